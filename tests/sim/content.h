/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SIM_CONTENT_H
#define SIM_CONTENT_H

/* What producers say. Everything that is said has a number, from which its
 * type and its data follow; so whoever finds a number knows what should stand
 * around it. */

#include <weir/stream.h>

#include "../kit.h"

struct content {
  const char *type;
  struct kit_bytes data;  /* as it is published */
  struct kit_bytes plain; /* as a client has it: line ends are LF */
  uint32_t flags;         /* WEIR_EVENT_... */
};

void content_make(struct content *content, uint64_t seed, uint32_t number,
                  size_t most);
void content_free(struct content *content);

/* The number in what somebody received; 0: there is none. */
uint32_t content_number(const char *data, size_t len);

#endif /* SIM_CONTENT_H */
