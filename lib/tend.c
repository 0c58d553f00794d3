/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "tend.h"

#define NEVER ((uint64_t)WEIR_NEVER)

/* ms to the next bark of a watchdog that could not bite for want of memory, to
 * the next look that has failed for that, and to the next try to forget what is
 * still needed. */
#define AGAIN 1000

static struct weir__generation *generation_of(struct weir__storage *storage) {
  return weir__owner(storage, struct weir__backing, storage)->generation;
}

static struct weir__generation *of_history(struct weir__history *history) {
  return weir__owner(history, struct weir__generation, history);
}

void weir__tend_begin(struct weir__generation *generation,
                      struct weir__settings *settings, uint64_t after,
                      uint64_t epoch) {
  const weir_epoch first = {epoch, 0};

  weir__settings_release(generation->core, generation->settings);
  generation->settings = settings;
  settings->refs += 1;
  generation->fault = WEIR_OK;
  if (generation->backing != NULL) {
    generation->phase = WEIR__CREATING;
    generation->backing->storage.shared = settings->shared;
    weir__storage_ask(&generation->backing->storage, WEIR_LOG_CREATE, after,
                      epoch);
    return;
  }
  weir__history_set_epochs(&generation->history, &first, 1);
  generation->phase = WEIR__KNOWN;
  weir__generation_open(generation);
}

bool weir__tend_is_taking(const struct weir__generation *generation) {
  return generation->backing->storage.mode == WEIR_LOG_TAKE;
}

int weir__tend_take(struct weir__generation *generation) {
  uint64_t epoch;

  if (weir__core_epoch(generation->core, &epoch) != WEIR_OK) {
    return WEIR_EENTROPY;
  }
  generation->fault = WEIR_OK;
  weir__storage_ask(&generation->backing->storage, WEIR_LOG_TAKE,
                    weir__generation_name(generation), epoch);
  return WEIR_OK;
}

uint32_t weir__tend_look(struct weir__generation *generation) {
  weir__generation_touch(generation);
  return weir__storage_look(&generation->backing->storage);
}

/* Whether what was to be number n has come to an end: the count goes round. */
static bool is_over(uint32_t count, uint32_t n) {
  return count - n < UINT32_MAX / 2;
}

bool weir__tend_has_looked(const struct weir__generation *generation,
                           uint32_t look) {
  return is_over(generation->backing->storage.looks, look);
}

/* Whether somebody waits to hear what there is. */
static bool is_asked(const struct weir__generation *generation) {
  return !weir__link_alone(&generation->opens) ||
         !weir__link_alone(&generation->backing->undecided);
}

/* Have storage look the key up, of which it knows nothing. */
static void ask(struct weir__generation *generation) {
  generation->phase = WEIR__ASKED;
  weir__storage_ask(&generation->backing->storage, WEIR_LOG_LOOKUP, 0, 0);
}

void weir__tend_ask_again(struct weir__generation *generation) {
  if (generation->phase == WEIR__VOID && generation->backing != NULL &&
      is_asked(generation)) {
    ask(generation);
  }
}

bool weir__tend_is_sure(struct weir__generation *generation, uint32_t seek,
                        bool how_far) {
  struct weir__storage *storage = &generation->backing->storage;

  if (is_over(storage->seeks, seek) || generation->gone) {
    return true;
  }
  if (generation->phase == WEIR__KNOWN && (generation->ended || how_far)) {
    weir__storage_seek(storage, how_far);
    return false;
  }
  return generation->phase != WEIR__VOID || generation->fault != WEIR_OK;
}

bool weir__tend_is_astray(const struct weir__generation *generation,
                          bool how_far) {
  const struct weir__backing *backing = generation->backing;

  if (backing == NULL || generation->phase != WEIR__KNOWN) {
    return false;
  }
  /* What this hub has written is remembered, whatever storage has let go of. */
  return generation->gone ||
         ((generation->ended || how_far) && backing->sought == WEIR_EEXISTS) ||
         (generation->ended && generation->history.follow &&
          backing->sought == WEIR_ENOENT);
}

int weir__tend_doubt(const struct weir__generation *generation, bool how_far) {
  return generation->backing != NULL && generation->history.follow &&
                 (generation->ended || how_far)
             ? generation->backing->sought
             : WEIR_OK;
}

/* There is an end to be logged as soon as this hub may write. */
static bool owes_end(const struct weir__generation *generation) {
  return !generation->gone &&
         (generation->broken ||
          (generation->backing != NULL && generation->backing->will != NULL &&
           !generation->ending));
}

/* Whether somebody waits for what others write, or may have written. */
static bool is_watched(const struct weir__generation *generation) {
  return (generation->reader_count != 0 || generation->ending) &&
         !generation->ended && !generation->gone &&
         generation->backing != NULL &&
         (generation->history.follow || generation->backing->unseen != WEIR_OK);
}

/* Look again in a while, as long as that is so. */
static void look_later(struct weir__generation *generation, uint64_t after) {
  if (!owes_end(generation)) {
    weir__generation_set_time(generation, WEIR__AT_CHECK,
                              after != 0 && is_watched(generation)
                                  ? weir__later(generation->core->now, after)
                                  : NEVER);
  }
}

/* If it is so, look now, and then again. */
static void begin_looking(struct weir__generation *generation) {
  if (is_watched(generation)) {
    look_later(generation, generation->core->options.recheck);
    (void)weir__tend_look(generation);
  }
}

void weir__tend_joined(struct weir__generation *generation) {
  generation->reader_count += 1;
  if (generation->reader_count != 1) {
    return;
  }
  weir__generation_set_time(generation, WEIR__AT_ABANDONED, NEVER);
  begin_looking(generation);
}

void weir__tend_left(struct weir__generation *generation) {
  generation->reader_count -= 1;
  if (generation->reader_count != 0) {
    return;
  }
  if (generation->signals != NULL) {
    weir__signals_clear(generation->signals);
  }
  look_later(generation, generation->core->options.recheck);
  if (weir__generation_is_writable(generation) == WEIR_OK) {
    weir__generation_watch(generation, WEIR__AT_ABANDONED, WEIR__ABANDONED);
  }
}

int weir__tend_owe(struct weir__generation *generation,
                   struct weir__final *final) {
  struct weir__backing *backing = generation->backing;
  int rv = WEIR_OK;

  if (weir__generation_is_writable(generation) != WEIR_OK &&
      !weir__tend_is_taking(generation)) {
    rv = weir__tend_take(generation);
  }
  if (rv == WEIR_OK) {
    weir__final_free(generation->core, backing->will);
    backing->will = final;
    weir__generation_set_time(generation, WEIR__AT_CHECK, NEVER);
    weir__generation_touch(generation);
    weir__generation_say(generation, WEIR__SAY_CANCELLED, WEIR_OK);
  }
  return rv;
}

void weir__tend_keep(struct weir__generation *generation,
                     struct weir__final *final) {
  struct weir__core *core = generation->core;

  if (generation->backing == NULL || generation->ended) {
    weir__final_free(core, final);
  } else {
    weir__final_free(core, generation->backing->will);
    generation->backing->will = final;
  }
}

int weir__tend_cancel(struct weir__generation *generation, const void *reason,
                      size_t reason_len) {
  struct weir__core *core = generation->core;
  const int writable = weir__generation_is_writable(generation);
  struct weir__final *final;
  int rv = writable == WEIR_EENDED
               ? writable
               : weir__final_new(core, reason, reason_len, NULL, 0, 0, &final);

  if (rv != WEIR_OK) {
    return rv;
  }
  rv = writable == WEIR_OK ? weir__publish_end(generation, NULL, final, NULL)
                           : WEIR_EFENCED;
  if (rv == WEIR_EFENCED) {
    rv = weir__tend_owe(generation, final);
    if (rv == WEIR_OK) {
      return rv;
    }
  } else if (rv == WEIR_OK) {
    weir__tend_keep(generation, final);
    weir__generation_say(generation, WEIR__SAY_CANCELLED, WEIR_OK);
    return rv;
  }
  weir__final_free(core, final);
  return rv;
}

void weir__tend_trim(struct weir__generation *generation, uint64_t through) {
  if (generation->backing == NULL) {
    weir__history_trim(&generation->history, through);
  } else {
    generation->backing->storage.trim =
        weir__max(generation->backing->storage.trim, through);
    weir__tend_advance(generation);
  }
}

/* Carry out what was put off until this hub could write. */
static int carry_out(struct weir__generation *generation) {
  struct weir__backing *backing = generation->backing;
  const bool may_write =
      generation->phase == WEIR__KNOWN &&
      (generation->settings->shared || !generation->history.follow);
  int rv = WEIR_OK;

  if (generation->ended || generation->gone || !may_write ||
      weir__generation_pending(generation) != 0 ||
      generation->at[WEIR__AT_CHECK] != NEVER) {
    /* What has been refused is put again in its time. */
    return WEIR_OK;
  }
  if (generation->broken && !weir__tend_is_taking(generation)) {
    rv = weir__publish_failed(generation,
                              weir__generation_failure_code(generation));
    /* not reached: it is just ending with it where there was no memory to take
     * in the answer that says so */
  } else if (backing->will != NULL && !generation->ending) {
    rv = weir__publish_end(generation, NULL, backing->will, NULL);
  }
  return rv;
}

void weir__tend_proceed(struct weir__generation *generation) {
  struct weir__core *core = generation->core;
  struct weir__backing *backing = generation->backing;
  unsigned char meta[WEIR__META_MOST];
  size_t meta_len = 0;
  int rv;

  weir__generation_hold(generation);
  do {
    if (backing->dirty) {
      backing->dirty = false;
      weir__link_remove(&backing->work.link);
      core->floors->settle(generation);
    }
    rv = carry_out(generation);
    if (rv == WEIR_OK && weir__storage_wants(&backing->storage)) {
      if (generation->settings != NULL) {
        meta_len = weir__settings_write(generation->settings, meta);
      }
      rv = weir__storage_pump(&backing->storage, generation->key,
                              generation->node.key_len, meta, meta_len);
    }
  } while (rv == WEIR_OK && backing->dirty);
  if (rv == WEIR_ENOMEM || rv == WEIR_ERESIDENT) {
    weir__generation_again(generation);
  }
  weir__generation_release(generation);
}

void weir__tend_advance(struct weir__generation *generation) {
  if (generation->backing == NULL) {
    generation->core->floors->settle(generation);
  } else {
    generation->backing->dirty = true;
    weir__tend_proceed(generation);
  }
}

void weir__tend_after(struct weir__generation *generation) {
  if (generation->backing != NULL && generation->backing->dirty) {
    weir__tend_advance(generation);
  }
}

void weir__tend_work(struct weir__work *work) {
  struct weir__generation *generation =
      weir__owner(work, struct weir__backing, work)->generation;

  if (generation->refs == 0) {
    weir__generation_destroy(generation);
  } else {
    weir__tend_advance(generation);
  }
}

/* What a generation in storage was opened with; what storage did not keep is as
 * this hub has it by default. */
static int read_settings(struct weir__generation *generation,
                         const weir_answer *answer) {
  struct weir__core *core = generation->core;
  struct weir__settings *settings;
  int rv;

  if (generation->settings != NULL) {
    return WEIR_OK;
  }
  if (answer->meta_len == 0) {
    rv = weir__settings_default(core, answer->shared != 0, &settings);
  } else {
    rv = weir__settings_read(core, answer->meta, answer->meta_len,
                             core->settings, &settings);
  }
  if (rv == WEIR_OK &&
      settings->shared != generation->backing->storage.shared) {
    weir__settings_release(core, settings);
    rv = WEIR_ELOG;
  }
  if (rv == WEIR_OK) {
    generation->settings = settings;
  }
  return rv;
}

/* Those who wait at the head do not know what they miss. */
static void deny_waiters(struct weir__generation *generation, int error) {
  struct weir__core *core = generation->core;
  struct weir__link *waiters = &generation->history.waiters;

  while (!weir__link_alone(waiters)) {
    core->floors->deny(weir__owner(waiters->next, struct weir__source, link),
                       error);
  }
}

/* Storage does not have it any more: it has failed, and there is no end to be
 * logged. What there is under the key is to be looked up anew. */
static void lose(struct weir__generation *generation) {
  deny_waiters(generation, WEIR_ENOENT);
  generation->gone = true;
  if (!generation->ended && !generation->broken) {
    weir__generation_break(generation, WEIR_ENOENT);
  }
}

/* It is there, and its settings are known: found, taken over or begun. */
static void is_there(struct weir__generation *generation, int mode) {
  const struct weir__history *history = &generation->history;

  generation->backing->sought = WEIR_OK;
  generation->fault = WEIR_OK;
  generation->fenced = false;
  if (history->ended != 0 && !generation->ended) {
    weir__generation_ended(generation);
  }
  generation->phase = WEIR__KNOWN;
  if (mode != WEIR_LOG_LOOKUP && !generation->ending &&
      weir__generation_is_writable(generation) == WEIR_OK) {
    weir__generation_open(generation);
  }
  if (mode == WEIR_LOG_TAKE && owes_end(generation)) {
    if (history->follow) {
      /* Another was faster. */
      weir__generation_retry(generation);
    } else {
      weir__generation_set_time(generation, WEIR__AT_CHECK, NEVER);
    }
  }
}

/* The lookup has been answered, or the taking over, or the beginning. */
static void opened(struct weir__storage *storage, int mode, int result,
                   const weir_answer *answer) {
  struct weir__generation *generation = generation_of(storage);

  if (result == WEIR_LOG_YES) {
    result = read_settings(generation, answer);
    result = result == WEIR_OK ? WEIR_LOG_YES : result;
  }
  if (result == WEIR_LOG_YES) {
    is_there(generation, mode);
  } else if (mode == WEIR_LOG_CREATE && result == WEIR_EEXISTS) {
    /* Somebody else was faster: see what there is. */
    weir__settings_release(generation->core, generation->settings);
    generation->settings = NULL;
    ask(generation);
  } else {
    if (mode != WEIR_LOG_TAKE) {
      generation->phase = WEIR__VOID;
    }
    generation->fault =
        result == WEIR_ENOENT && mode == WEIR_LOG_LOOKUP ? WEIR_OK : result;
    if (generation->fault != WEIR_OK) {
      weir__generation_trace(generation, WEIR_TRACE_LOG, result);
    }
    if (result == WEIR_ENOENT && mode == WEIR_LOG_TAKE) {
      lose(generation);
    }
    if (owes_end(generation)) {
      weir__generation_retry(generation);
    }
  }
  weir__generation_touch(generation);
}

/* What has been put here and is not with storage never will be stored. */
static void settle_rest(struct weir__generation *generation, int error) {
  struct weir__backing *backing = generation->backing;

  weir__generation_settle_receipts(generation, backing->put - backing->stored,
                                   0, error);
}

static void stored(struct weir__storage *storage, uint64_t count,
                   uint64_t first) {
  struct weir__generation *generation = generation_of(storage);
  const uint64_t last = first + count - 1;

  /* If another has taken over since, how far it is comes from storage. */
  if (!storage->history->follow) {
    weir__generation_commit(generation, last, storage->flying_end ? last : 0);
  }
  weir__generation_settle_receipts(generation, count, first, WEIR_OK);
  if (generation->gone) {
    settle_rest(generation, WEIR_ENOENT);
  } else if (storage->history->follow && !storage->shared) {
    settle_rest(generation, generation->ended ? WEIR_EENDED : WEIR_EFENCED);
  }
  if (weir__storage_wants(storage) || owes_end(generation)) {
    weir__generation_touch(generation);
  } else if (weir__link_alone(&generation->producers)) {
    /* The last one has left before this. */
    weir__generation_reconsider(generation);
  }
}

static void refused(struct weir__storage *storage, int result) {
  struct weir__generation *generation = generation_of(storage);

  generation->backing->refusal = result;
  if (generation->gone || (result == WEIR_ENOENT && storage->shared)) {
    lose(generation);
    settle_rest(generation, result);
    weir__generation_touch(generation);
    return;
  }
  /* What has ended meanwhile, or has another writer, cannot fail here. */
  if (result != WEIR_EFENCED && result != WEIR_EENDED && !generation->ended &&
      !generation->fenced) {
    if (generation->broken) {
      weir__generation_retry(generation);
    } else {
      weir__generation_break(generation, result);
    }
    return;
  }
  /* The generation lives on, or has ended, in other hands, which say how. */
  generation->failed = false;
  weir__storage_drop(storage);
  settle_rest(generation, result);
  generation->ending = generation->ended;
  if (!generation->ended && !storage->shared && !generation->fenced) {
    weir__generation_fence(generation);
  }
  if (owes_end(generation)) {
    /* Another has taken over before it could be put. */
    weir__generation_retry(generation);
  }
  (void)weir__tend_look(generation);
}

void weir__tend_failed(struct weir__history *history, int error) {
  struct weir__generation *generation = of_history(history);

  weir__generation_trace(generation, WEIR_TRACE_LOG, error);
  if (error == WEIR_ENOENT && history->follow) {
    lose(generation);
    weir__generation_touch(generation);
  }
}

/* The look at the head has come to an end. */
static void looked(struct weir__storage *storage, int result) {
  struct weir__generation *generation = generation_of(storage);

  generation->backing->unseen = result == WEIR_LOG_YES  ? WEIR_OK
                                : result == WEIR_ENOENT ? WEIR_ELOG
                                                        : result;
  if (result != WEIR_LOG_YES) {
    deny_waiters(generation, result);
    weir__tend_failed(&generation->history, result);
  }
  look_later(generation, result == WEIR_ENOMEM || result == WEIR_ERESIDENT
                             ? AGAIN
                             : generation->core->options.recheck);
  weir__generation_touch(generation);
}

static void trimmed(struct weir__storage *storage, int result) {
  struct weir__generation *generation = generation_of(storage);

  if (result != WEIR_LOG_YES) {
    weir__generation_trace(generation, WEIR_TRACE_LOG, result);
  }
  if (weir__storage_wants(storage)) {
    weir__generation_touch(generation);
  }
}

static void scheme(struct weir__storage *storage, struct weir__scheme *scheme) {
  weir__generation_scheme(generation_of(storage), scheme);
}

/* The end of what has failed is to be logged, and nobody else writes it, if
 * that is known. */
static void take_for_end(struct weir__generation *generation, int sought) {
  const bool is_known =
      sought == WEIR_OK || sought == WEIR_EEXISTS || sought == WEIR_ENOENT;

  if (generation->broken &&
      (!is_known || weir__tend_take(generation) != WEIR_OK)) {
    weir__generation_retry(generation);
  }
}

/* The key may lead elsewhere now. Whoever replaced this generation was to log
 * its end, and may have died before that, or given up: it is owed by all who
 * know, since those who read it wait for that. If it cannot be promised now,
 * the next look at storage comes back to it. */
static void sought(struct weir__storage *storage, int result) {
  struct weir__generation *generation = generation_of(storage);
  struct weir__final *final;

  generation->backing->sought = result;
  if (generation->backing->doubted) {
    generation->backing->doubted = false;
    take_for_end(generation, result);
  }
  if (result == WEIR_EEXISTS && !generation->ending &&
      generation->backing->will == NULL &&
      weir__final_new(generation->core, WEIR__HIDDEN, strlen(WEIR__HIDDEN),
                      NULL, 0, 0, &final) == WEIR_OK &&
      weir__tend_owe(generation, final) != WEIR_OK) {
    weir__final_free(generation->core, final);
  }
  if (weir__storage_wants(storage) || is_asked(generation)) {
    weir__generation_touch(generation);
  }
}

const struct weir__storage_owner weir__tend_owner = {
    scheme, opened, stored, refused, looked, trimmed, sought};

void weir__tend_changed(struct weir__history *history, bool rewound) {
  struct weir__generation *generation = of_history(history);
  struct weir__core *core = generation->core;

  if (rewound) {
    core->floors->rewind(generation, history->committed);
    return;
  }
  weir__generation_set_time(
      generation, WEIR__AT_LIMIT,
      weir__history_limit(history, generation->reader_count > 1));
  /* While it is being opened, its settings may not be known yet. */
  if (generation->phase != WEIR__KNOWN) {
    return;
  }
  if (history->ended != 0) {
    if (!generation->ended && !generation->settings->shared) {
      /* Another writer has ended it, before what waits here. */
      weir__storage_drop(&generation->backing->storage);
      if (generation->backing->storage.flying == 0) {
        settle_rest(generation, WEIR_EENDED);
      }
    }
    if (!generation->ended) {
      weir__generation_ended(generation);
      /* Opens that wait to become its writer need not any more. */
      weir__generation_touch(generation);
    }
  } else if (history->follow && generation->wrote && !generation->fenced &&
             !generation->gone && !generation->settings->shared &&
             !weir__tend_is_taking(generation)) {
    weir__generation_fence(generation);
    if (owes_end(generation)) {
      weir__generation_retry(generation);
    }
    begin_looking(generation);
  }
}

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
  if (rv == WEIR_ENOMEM || rv == WEIR_ERESIDENT) {
    /* It does not get off for that. */
    weir__generation_set_time(generation,
                              dog == WEIR__LIFETIME    ? WEIR__AT_LIFETIME
                              : dog == WEIR__ABANDONED ? WEIR__AT_ABANDONED
                                                       : WEIR__AT_EVENT,
                              weir__later(generation->core->now, AGAIN));
  }
  weir__tend_after(generation);
}

static void check(struct weir__generation *generation) {
  if (!owes_end(generation)) {
    if (is_watched(generation)) {
      weir__storage_seek(&generation->backing->storage, false);
    }
    begin_looking(generation);
  } else if (generation->settings->shared || weir__tend_is_taking(generation)) {
    /* Nothing has to be taken over for it, or that is under way. */
  } else if (generation->broken) {
    /* If another writes it meanwhile it has not failed there. */
    generation->backing->doubted = true;
    weir__generation_set_time(
        generation, WEIR__AT_CHECK,
        weir__later(generation->core->now, generation->backing->retry));
    weir__storage_seek(&generation->backing->storage, true);
  } else if (weir__tend_take(generation) != WEIR_OK) {
    weir__generation_retry(generation);
  }
  weir__tend_advance(generation);
}

bool weir__tend_owes_before(const struct weir__generation *generation) {
  do {
    generation = generation->previous;
  } while (generation != NULL && !weir__generation_is_owing(generation));
  return generation != NULL;
}

/* Whether somebody waits for storage. */
static bool is_awaited(const struct weir__generation *generation) {
  return generation->backing != NULL &&
         (weir__storage_is_busy(&generation->backing->storage) ||
          is_asked(generation));
}

/* Nobody will miss it; but who has come, and waits for a decision, comes first,
 * and so do those before it, and what is under way: who has taken it over has
 * to make use of that. */
static void forget(struct weir__generation *generation) {
  if (generation->backing != NULL && generation->backing->dirty) {
    weir__generation_set_time(generation, WEIR__AT_FORGET,
                              generation->core->now);
    weir__tend_advance(generation);
  } else if (weir__tend_owes_before(generation) || is_awaited(generation)) {
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

void weir__tend_expired(struct weir__timer *timer) {
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
