/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SIM_MEMORY_H
#define SIM_MEMORY_H

/* The memory of one simulated process: it can run out, and all of it goes when
 * the process dies. */

#include <weir/base.h>

#include "chance.h"

struct memory {
  weir_allocator allocator;
  struct chance chance;
  struct memory_block *blocks;
  size_t live;       /* bytes */
  uint64_t calls;    /* allocations asked for */
  uint64_t failures; /* and refused */
  unsigned scarce;   /* allocations that fail, of 1000 */
};

void memory_init(struct memory *memory, uint64_t seed, uint64_t number);

/* The process has died. */
void memory_drop(struct memory *memory);

#endif /* SIM_MEMORY_H */
