/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "expiry.h"

#include "tend.h"

#define NEVER ((uint64_t)WEIR_NEVER)

/* ms to the next bark of a watchdog that could not bite for want of memory, and
 * to the next try to forget what is still needed. */
#define AGAIN 1000

/* The names of the watchdogs, as they stand in the reason of an end. */
static const char *watchdog_text(unsigned dog) {
  static const char *const texts[] = {"first_event_timeout", "idle_timeout",
                                      "lifetime_timeout", "abandoned"};

  return texts[dog];
}

/* A watchdog has fired. */
static void bark(struct weir__generation *generation, unsigned dog) {
  const uint8_t action = generation->settings->action[dog];
  const char *text = watchdog_text(dog);
  int rv = WEIR_OK;

  weir__generation_say(generation,
                       dog == WEIR__ABANDONED
                           ? (unsigned)WEIR__SAY_ABANDONED
                           : (unsigned)WEIR__SAY_EXPIRED << dog,
                       WEIR_OK);
  if (weir__generation_is_writable(generation) != WEIR_OK) {
    return;
  }
  if (action == WEIR_ACTION_END) {
    rv = weir__publish_done(generation, text);
  } else if (action == WEIR_ACTION_FAIL) {
    rv = weir__publish_failed(generation, text);
  }
  if ((rv == WEIR_ENOMEM || rv == WEIR_ERESIDENT) && !generation->ending) {
    /* It does not get off for that; storage may have said so, though, and then
     * it has failed. */
    weir__generation_set_time(generation,
                              dog == WEIR__LIFETIME    ? WEIR__AT_LIFETIME
                              : dog == WEIR__ABANDONED ? WEIR__AT_ABANDONED
                                                       : WEIR__AT_EVENT,
                              weir__later(generation->core->now, AGAIN));
  }
  weir__tend_after(generation);
}

/* Have the key looked up again, whatever is under way. */
static void seek(struct weir__generation *generation, bool how_far) {
  struct weir__storage *storage = &generation->backing->storage;

  weir__storage_seek(storage, weir__storage_next_seek(storage), how_far);
}

static void check(struct weir__generation *generation) {
  if (!weir__tend_owes_end(generation)) {
    if (weir__tend_is_watched(generation)) {
      /* Who writes it, as far as is known, asks whether that is still so. */
      seek(generation, !generation->history.follow);
    }
    weir__tend_watch(generation);
  } else if (generation->settings->shared || weir__tend_is_taking(generation)) {
    /* Nothing has to be taken over for it, or that is under way. */
  } else if (generation->broken) {
    /* If another writes it meanwhile it has not failed there. */
    generation->backing->doubted = true;
    weir__generation_set_time(
        generation, WEIR__AT_CHECK,
        weir__later(generation->core->now, generation->backing->retry));
    seek(generation, true);
  } else if (weir__tend_take(generation) != WEIR_OK) {
    weir__generation_retry(generation);
  }
  weir__tend_advance(generation);
}

/* Nobody will miss it; but those before it come first, and so does what is
 * under way: others wait for that, or who has taken it over has to make use of
 * it. */
static void forget(struct weir__generation *generation) {
  const struct weir__backing *backing = generation->backing;

  if (backing != NULL && backing->dirty) {
    weir__generation_set_time(generation, WEIR__AT_FORGET,
                              generation->core->now);
    weir__tend_advance(generation);
  } else if (weir__tend_owes_before(generation) ||
             (backing != NULL && weir__storage_is_busy(&backing->storage))) {
    weir__generation_set_time(generation, WEIR__AT_FORGET,
                              weir__later(generation->core->now, AGAIN));
  } else {
    generation->core->floors->forget(generation);
  }
}

static void expire(struct weir__generation *generation, unsigned what) {
  switch (what) {
    case WEIR__AT_EVENT:
      bark(generation,
           generation->events == 0 ? WEIR__FIRST_EVENT : WEIR__IDLE);
      break;
    case WEIR__AT_LIFETIME:
      bark(generation, WEIR__LIFETIME);
      break;
    case WEIR__AT_ABANDONED:
      bark(generation, WEIR__ABANDONED);
      break;
    case WEIR__AT_CHECK:
      check(generation);
      break;
    case WEIR__AT_AGAIN:
      weir__tend_advance(generation);
      break;
    case WEIR__AT_LIMIT:
      weir__generation_set_time(
          generation, WEIR__AT_LIMIT,
          weir__history_limit(&generation->history,
                              generation->reader_count > 1));
      break;
    default:
      forget(generation);
      break;
  }
}

void weir__expire(struct weir__timer *timer) {
  struct weir__generation *generation =
      weir__owner(timer, struct weir__generation, timer);
  unsigned first = 0;
  unsigned i;

  /* One at a time, the earliest first; the others go back into the wheel, so
   * that those of all streams fire in order. */
  for (i = 1; i < WEIR__ATS; ++i) {
    if (weir__generation_time(generation, i) <
        weir__generation_time(generation, first)) {
      first = i;
    }
  }
  weir__generation_hold(generation);
  generation->at[first] = NEVER;
  weir__generation_schedule(generation);
  expire(generation, first);
  weir__generation_release(generation);
}
