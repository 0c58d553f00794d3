/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "answers.h"

#include "tend.h"

#define NEVER ((uint64_t)WEIR_NEVER)

/* ms to the next look, if one has failed for want of memory. */
#define AGAIN 1000

static struct weir__generation *generation_of(struct weir__storage *storage) {
  return weir__owner(storage, struct weir__backing, storage)->generation;
}

static struct weir__generation *of_history(struct weir__history *history) {
  return weir__owner(history, struct weir__generation, history);
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
static void deny_waiters(struct weir__generation *generation) {
  struct weir__core *core = generation->core;
  struct weir__link *waiters = &generation->history.waiters;

  while (!weir__link_alone(waiters)) {
    core->floors->deny(weir__owner(waiters->next, struct weir__source, link));
  }
}

/* Storage does not have it any more: it has failed, and there is no end to be
 * logged. What there is under the key is to be looked up anew. */
static void lose(struct weir__generation *generation) {
  deny_waiters(generation);
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
  if (mode == WEIR_LOG_TAKE && weir__tend_owes_end(generation)) {
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
    weir__tend_ask(generation);
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
    if (weir__tend_owes_end(generation)) {
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
  /* It is this hub's still. */
  weir__tend_look_later(generation, generation->core->options.recheck);
  if (generation->gone) {
    settle_rest(generation, WEIR_ENOENT);
  } else if (storage->history->follow && !storage->shared) {
    settle_rest(generation, generation->ended ? WEIR_EENDED : WEIR_EFENCED);
  }
  if (weir__storage_wants(storage) || weir__tend_owes_end(generation) ||
      weir__tend_is_asked(generation)) {
    weir__generation_touch(generation);
  } else if (weir__link_alone(&generation->producers)) {
    /* The last one has left before this. */
    weir__generation_reconsider(generation);
  }
}

static void refused(struct weir__storage *storage, int result) {
  struct weir__generation *generation = generation_of(storage);

  generation->backing->refusal = result;
  weir__generation_touch(generation);
  if (generation->gone || (result == WEIR_ENOENT && storage->shared)) {
    lose(generation);
    settle_rest(generation, result);
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
  if (weir__tend_owes_end(generation)) {
    /* Another has taken over before it could be put. */
    weir__generation_retry(generation);
  }
  weir__tend_look(generation);
}

void weir__answers_failed(struct weir__history *history, int error) {
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
    deny_waiters(generation);
    weir__answers_failed(&generation->history, result);
  }
  weir__tend_look_later(generation,
                        result == WEIR_ENOMEM || result == WEIR_ERESIDENT
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
  /* What this hub has written is remembered, whatever storage has let go of. */
  if (result == WEIR_ENOENT && generation->history.follow) {
    lose(generation);
  }
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
  if (weir__storage_wants(storage) || weir__tend_is_asked(generation)) {
    weir__generation_touch(generation);
  }
}

const struct weir__storage_owner weir__answers = {
    scheme, opened, stored, refused, looked, trimmed, sought};

void weir__answers_changed(struct weir__history *history, bool rewound) {
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
    weir__generation_touch(generation);
    if (weir__tend_owes_end(generation)) {
      weir__generation_retry(generation);
    }
    weir__tend_watch(generation);
  }
}
