/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__SIGNALS_H
#define WEIR__SIGNALS_H

/* The signals of a stream that some reader may not have got yet: a ring of the
 * newest. They are numbered from 1; what has fallen off is counted by who
 * misses it. Each is a page whose `last` is its stamp: the event that was
 * published before it. */

#include "page.h"

struct weir__signals {
  uint64_t next; /* the number that the next one gets */
  uint32_t count;
  uint32_t cap;
  struct weir__page *ring[]; /* number n at n % cap */
};

struct weir__signals *weir__signals_new(struct weir__core *core, uint32_t cap);
void weir__signals_free(struct weir__core *core, struct weir__signals *signals);

/* Add one; takes over the page. */
void weir__signals_add(struct weir__signals *signals, struct weir__page *page);

/* Nobody is there to hear them. */
void weir__signals_clear(struct weir__signals *signals);

/* The oldest number that is left; `next` if there is none. */
static inline uint64_t weir__signals_first(
    const struct weir__signals *signals) {
  return signals->next - signals->count;
}

/* Number n, which is left. */
static inline struct weir__page *weir__signals_at(
    const struct weir__signals *signals, uint64_t n) {
  return signals->ring[n % signals->cap];
}

#endif /* WEIR__SIGNALS_H */
