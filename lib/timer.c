/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "timer.h"

#include <limits.h>

#define NEVER ((uint64_t)WEIR_NEVER)

/* Where a deadline belongs while the wheel stands at now: the level of the
 * highest bit in which the two differ, and the slot that the deadline has
 * there. So every slot in use lies ahead of now on its level (or, on level 0,
 * at now), those of a lower level come before those of a higher one, and time
 * passing within a slot leaves every timer where it is. */
struct place {
  struct weir__link *slot;
  uint64_t *used;
  unsigned bit;
};

static unsigned level_shift(unsigned level) {
  return WEIR__WHEEL_BITS + WEIR__LEVEL_BITS * level;
}

static struct weir__timer *timer_of(struct weir__link *link) {
  return weir__owner(link, struct weir__timer, link);
}

static const struct weir__timer *timer_in(const struct weir__link *link) {
  return weir__owner_const(link, struct weir__timer, link);
}

/* deadline >= wheel->now */
static struct place find_place(struct weir__wheel *wheel, uint64_t deadline) {
  const uint64_t differ = deadline ^ wheel->now;
  struct place place;
  unsigned level;
  unsigned slot;

  if (differ < WEIR__SLOTS) {
    slot = (unsigned)(deadline & (WEIR__SLOTS - 1));
    place.slot = &wheel->slots0[slot];
    place.used = &wheel->used0[slot / 64];
  } else {
    level = (weir__highest_bit(differ) - WEIR__WHEEL_BITS) / WEIR__LEVEL_BITS;
    slot = (unsigned)(deadline >> level_shift(level)) & (WEIR__LEVEL_SLOTS - 1);
    place.slot = &wheel->slots[level * WEIR__LEVEL_SLOTS + slot];
    place.used = &wheel->used[level];
  }
  place.bit = slot % 64;
  return place;
}

/* Whether something stands in an array of so many bytes. */
static bool is_within(const void *p, const void *array, size_t size) {
  return (uintptr_t)p - (uintptr_t)array < size;
}

static void insert(struct weir__wheel *wheel, struct weir__timer *timer) {
  struct place place;
  struct weir__link *tail;

  timer->slot = timer->deadline;
  if (timer->deadline < wheel->now) {
    weir__link_append(&wheel->due, &timer->link);
    return;
  }
  place = find_place(wheel, timer->deadline);
  tail = place.slot->prev;
  weir__link_append(place.slot, &timer->link);
  *place.used |= UINT64_C(1) << place.bit;
  /* A timer whose rearming was put off comes here later than it was armed.
   * Only level 0 hands out timers, so only there does it matter. */
  if (is_within(place.used, wheel->used0, sizeof wheel->used0) &&
      tail != place.slot && timer_of(tail)->order > timer->order) {
    wheel->unsorted[place.used - wheel->used0] |= UINT64_C(1) << place.bit;
  }
}

/* Unlink, and if that leaves a slot empty, say so in its level's bits. The
 * last one's neighbours are the same: the head of its slot. */
static void take(struct weir__wheel *wheel, struct weir__timer *timer) {
  struct weir__link *head = timer->link.next;
  const bool last = head == timer->link.prev;
  size_t slot;

  weir__link_remove(&timer->link);
  if (!last) {
    return;
  }
  if (is_within(head, wheel->slots0, sizeof wheel->slots0)) {
    slot = (size_t)(head - wheel->slots0);
    wheel->used0[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    wheel->unsorted[slot / 64] &= ~(UINT64_C(1) << slot % 64);
  } else if (is_within(head, wheel->slots, sizeof wheel->slots)) {
    slot = (size_t)(head - wheel->slots);
    wheel->used[slot / WEIR__LEVEL_SLOTS] &=
        ~(UINT64_C(1) << slot % WEIR__LEVEL_SLOTS);
  }
}

void weir__wheel_init(struct weir__wheel *wheel, uint64_t now) {
  unsigned i;

  memset(wheel, 0, sizeof *wheel);
  wheel->now = now;
  weir__link_init(&wheel->due);
  weir__link_init(&wheel->cascading);
  for (i = 0; i < WEIR__SLOTS; ++i) {
    weir__link_init(&wheel->slots0[i]);
  }
  for (i = 0; i < WEIR__LEVELS * WEIR__LEVEL_SLOTS; ++i) {
    weir__link_init(&wheel->slots[i]);
  }
}

void weir__timer_init(struct weir__timer *timer, unsigned kind) {
  weir__link_init(&timer->link);
  timer->deadline = NEVER;
  timer->slot = NEVER;
  timer->order = kind;
}

void weir__timer_start(struct weir__wheel *wheel, struct weir__timer *timer,
                       uint64_t deadline) {
  if (deadline >= NEVER) {
    weir__timer_stop(wheel, timer);
    return;
  }
  timer->order = ++wheel->order << 8 | (timer->order & 0xff);
  timer->deadline = deadline;
  if (weir__timer_running(timer)) {
    /* For the time of its own slot it goes behind those that are there. */
    if (deadline > timer->slot && timer->slot > wheel->now) {
      return;
    }
    take(wheel, timer);
  } else {
    wheel->count += 1;
  }
  insert(wheel, timer);
}

void weir__timer_stop(struct weir__wheel *wheel, struct weir__timer *timer) {
  if (weir__timer_running(timer)) {
    take(wheel, timer);
    wheel->count -= 1;
  }
  timer->deadline = NEVER;
  timer->slot = NEVER;
}

/* The next slot in use, and when it begins: those of level 0 count from 0,
 * those above from WEIR__SLOTS on. NO_SLOT if there is none. */
#define NO_SLOT UINT_MAX

static unsigned next_slot(const struct weir__wheel *wheel, uint64_t *begin) {
  unsigned shift;
  unsigned slot;
  unsigned i;

  for (i = 0; i < WEIR__SLOTS / 64; ++i) {
    if (wheel->used0[i] != 0) {
      slot = i * 64 + weir__lowest_bit(wheel->used0[i]);
      *begin = (wheel->now & ~(uint64_t)(WEIR__SLOTS - 1)) | slot;
      return slot;
    }
  }
  for (i = 0; i < WEIR__LEVELS; ++i) {
    if (wheel->used[i] != 0) {
      shift = level_shift(i);
      slot = weir__lowest_bit(wheel->used[i]);
      *begin =
          ((wheel->now >> shift & ~(uint64_t)(WEIR__LEVEL_SLOTS - 1)) | slot)
          << shift;
      return WEIR__SLOTS + i * WEIR__LEVEL_SLOTS + slot;
    }
  }
  return NO_SLOT;
}

/* Merge two chains that end in NULL, by order. */
static struct weir__link *merge(struct weir__link *a, struct weir__link *b) {
  struct weir__link *head = NULL;
  struct weir__link **tail = &head;
  struct weir__link **least;

  while (a != NULL && b != NULL) {
    least = timer_of(a)->order <= timer_of(b)->order ? &a : &b;
    *tail = *least;
    tail = &(*least)->next;
    *least = (*least)->next;
  }
  *tail = a != NULL ? a : b;
  return head;
}

/* Sort a ring by order: a bottom-up merge sort, whose runs[i] has 2^i. */
static void sort(struct weir__link *ring) {
  struct weir__link *runs[64] = {NULL};
  struct weir__link *chain = ring->next;
  struct weir__link *one;
  unsigned i;

  ring->prev->next = NULL;
  while (chain != NULL) {
    one = chain;
    chain = chain->next;
    one->next = NULL;
    for (i = 0; runs[i] != NULL; ++i) {
      one = merge(runs[i], one);
      runs[i] = NULL;
    }
    runs[i] = one;
  }
  for (i = 0; i < 64; ++i) {
    chain = merge(runs[i], chain);
  }
  weir__link_init(ring);
  while (chain != NULL) {
    one = chain;
    chain = chain->next;
    weir__link_append(ring, one);
  }
}

/* Let the wheel stand at the begin of a slot, and empty it: one of level 0
 * holds timers of one deadline, which are due; one above holds those to be
 * spread over the levels below. */
static void reach(struct weir__wheel *wheel, unsigned slot, uint64_t begin) {
  const uint64_t bit = UINT64_C(1) << slot % 64;
  uint64_t *unsorted;

  wheel->now = begin;
  if (slot < WEIR__SLOTS) {
    unsorted = &wheel->unsorted[slot / 64];
    if ((*unsorted & bit) != 0) {
      sort(&wheel->slots0[slot]);
    }
    *unsorted &= ~bit;
    wheel->used0[slot / 64] &= ~bit;
    weir__link_splice(&wheel->due, &wheel->slots0[slot]);
  } else {
    slot -= WEIR__SLOTS;
    wheel->used[slot / WEIR__LEVEL_SLOTS] &= ~bit;
    weir__link_splice(&wheel->cascading, &wheel->slots[slot]);
  }
}

/* Take a timer off a ring of due ones. One whose deadline has been moved goes
 * back into the wheel, and NULL comes back. */
static struct weir__timer *take_due(struct weir__wheel *wheel,
                                    struct weir__timer *timer) {
  weir__link_remove(&timer->link);
  if (timer->deadline > wheel->now) {
    insert(wheel, timer);
    return NULL;
  }
  wheel->count -= 1;
  timer->deadline = NEVER;
  timer->slot = NEVER;
  return timer;
}

struct weir__timer *weir__wheel_expire(struct weir__wheel *wheel, uint64_t now,
                                       unsigned *budget) {
  struct weir__timer *timer;
  uint64_t begin;
  unsigned slot;

  while (*budget != 0) {
    if (!weir__link_alone(&wheel->cascading)) {
      *budget -= 1;
      timer = timer_of(wheel->cascading.next);
      weir__link_remove(&timer->link);
      insert(wheel, timer);
    } else if (!weir__link_alone(&wheel->due)) {
      *budget -= 1;
      timer = take_due(wheel, timer_of(wheel->due.next));
      if (timer != NULL) {
        return timer;
      }
    } else {
      slot = next_slot(wheel, &begin);
      if (slot == NO_SLOT || begin > now) {
        wheel->now = now > wheel->now ? now : wheel->now;
        return NULL;
      }
      reach(wheel, slot, begin);
    }
  }
  return NULL;
}

uint64_t weir__wheel_next(const struct weir__wheel *wheel) {
  uint64_t begin;

  if (!weir__link_alone(&wheel->due) || !weir__link_alone(&wheel->cascading)) {
    return wheel->now;
  }
  return next_slot(wheel, &begin) != NO_SLOT ? begin : NEVER;
}

/* How many timers a ring has, UINT64_MAX if one of them does not belong. */
static uint64_t check_ring(const struct weir__link *ring, uint64_t begin,
                           uint64_t length) {
  const struct weir__link *link;
  uint64_t count = 0;

  for (link = ring->next; link != ring; link = link->next) {
    if (link->next->prev != link || link->prev->next != link ||
        timer_in(link)->slot < begin ||
        timer_in(link)->slot - begin >= length ||
        timer_in(link)->deadline < timer_in(link)->slot) {
      return UINT64_MAX;
    }
    count += 1;
  }
  return count;
}

/* Add up one level. False if a slot and its bit disagree, or if something lies
 * where it does not belong. */
static bool check_level(const struct weir__wheel *wheel, unsigned shift,
                        const struct weir__link *slots, const uint64_t *used,
                        unsigned slot_count, uint64_t *count) {
  uint64_t base = wheel->now >> shift & ~(uint64_t)(slot_count - 1);
  uint64_t begin;
  uint64_t n;
  unsigned i;

  for (i = 0; i < slot_count; ++i) {
    begin = (base | i) << shift;
    n = check_ring(&slots[i], begin, UINT64_C(1) << shift);
    if (n == UINT64_MAX || (n != 0) != ((used[i / 64] >> i % 64 & 1) != 0) ||
        (n != 0 && begin < wheel->now + (shift != 0))) {
      return false;
    }
    *count += n;
  }
  return true;
}

const char *weir__wheel_check(const struct weir__wheel *wheel) {
  uint64_t count = 0;
  unsigned i;

  if (!check_level(wheel, 0, wheel->slots0, wheel->used0, WEIR__SLOTS,
                   &count)) {
    return "level 0";
  }
  for (i = 0; i < WEIR__LEVELS; ++i) {
    if (!check_level(wheel, level_shift(i),
                     &wheel->slots[(size_t)i * WEIR__LEVEL_SLOTS],
                     &wheel->used[i], WEIR__LEVEL_SLOTS, &count)) {
      return "a level above";
    }
  }
  count += check_ring(&wheel->due, 0, NEVER);
  count += check_ring(&wheel->cascading, 0, NEVER);
  return count == wheel->count ? NULL : "the count";
}
