/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__TIMER_H
#define WEIR__TIMER_H

/* A hierarchical timing wheel (Varghese and Lauck, 1987): start, stop and
 * rearm in constant time, for 64-bit times to WEIR_NEVER - 1. It never calls
 * anybody: whoever drives it takes the expired timers out one by one. Timers
 * fire in the order of their deadlines, equal ones in the order in which they
 * were armed, however late the wheel is driven. */

#include <stdbool.h>
#include <stdint.h>

#include "util.h"

/* Level 0 has a slot for each of 256 ms; each level above has 64 slots, each
 * as long as the whole level below it. 10 levels above reach beyond 64 bits. */
#define WEIR__WHEEL_BITS 8
#define WEIR__LEVEL_BITS 6
#define WEIR__LEVELS 10
#define WEIR__SLOTS (1u << WEIR__WHEEL_BITS)
#define WEIR__LEVEL_SLOTS (1u << WEIR__LEVEL_BITS)

/* To be embedded, and never to be looked into. 40 bytes. */
struct weir__timer {
  struct weir__link link; /* alone: not running */
  uint64_t deadline;
  uint64_t slot;  /* the deadline by which the link was placed; <= deadline */
  uint64_t order; /* of arming, shifted left by 8, and the kind */
};

struct weir__wheel {
  uint64_t now; /* up to here slots have been emptied */
  uint64_t order;
  uint64_t count;              /* timers that run */
  struct weir__link due;       /* expired, in order */
  struct weir__link cascading; /* of a slot above that has been reached */
  uint64_t used0[WEIR__SLOTS / 64];
  uint64_t unsorted[WEIR__SLOTS / 64];
  uint64_t used[WEIR__LEVELS];
  struct weir__link slots0[WEIR__SLOTS];
  struct weir__link slots[WEIR__LEVELS * WEIR__LEVEL_SLOTS];
};

void weir__wheel_init(struct weir__wheel *wheel, uint64_t now);

/* kind is the owner's, to tell its timers apart: weir__timer_kind. */
void weir__timer_init(struct weir__timer *timer, unsigned kind);

static inline unsigned weir__timer_kind(const struct weir__timer *timer) {
  return (unsigned)(timer->order & 0xff);
}

static inline bool weir__timer_running(const struct weir__timer *timer) {
  return !weir__link_alone(&timer->link);
}

/* Start a timer, or give a running one another deadline. One that has passed
 * fires next; WEIR_NEVER stops it. Moving a deadline to a later time is a
 * store; the wheel finds out when it comes to the old one. */
void weir__timer_start(struct weir__wheel *wheel, struct weir__timer *timer,
                       uint64_t deadline);

void weir__timer_stop(struct weir__wheel *wheel, struct weir__timer *timer);

/* Take out the next timer whose deadline is at or before now; NULL if there is
 * none. *budget is what the call may do, in timers touched, and what is left
 * of it; with 0 left, NULL does not mean that there is none. */
struct weir__timer *weir__wheel_expire(struct weir__wheel *wheel, uint64_t now,
                                       unsigned *budget);

/* When weir__wheel_expire may have something to do, at the earliest: never
 * later than the next deadline. WEIR_NEVER if no timer runs. */
uint64_t weir__wheel_next(const struct weir__wheel *wheel);

/* Check every invariant; for tests. NULL, or what is wrong. */
const char *weir__wheel_check(const struct weir__wheel *wheel);

#endif /* WEIR__TIMER_H */
