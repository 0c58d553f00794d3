/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SIM_AGENDA_H
#define SIM_AGENDA_H

/* Time, and what is going to happen: the only thing that makes anything happen.
 * What is due at the same time happens in the order in which it was planned. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `what` is the planner's own: mostly a count by which he sees that what was
 * planned is out of date. */
typedef void agenda_act(void *who, uint64_t what);

struct agenda {
  uint64_t now; /* ms */
  uint64_t planned;
  struct agenda_item *items; /* a heap */
  size_t count;
  size_t cap;
};

/* Let something happen in so many ms. */
void agenda_plan(struct agenda *agenda, uint64_t after, agenda_act *act,
                 void *who, uint64_t what);

/* When something happens next; UINT64_MAX: never. */
uint64_t agenda_next(const struct agenda *agenda);

/* Let the next thing happen; false: there is none. */
bool agenda_step(struct agenda *agenda);

void agenda_free(struct agenda *agenda);

#endif /* SIM_AGENDA_H */
