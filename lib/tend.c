/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "tend.h"

#define NEVER ((uint64_t)WEIR_NEVER)

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

void weir__tend_look(struct weir__generation *generation) {
  weir__generation_touch(generation);
  generation->backing->storage.look = true;
}

bool weir__tend_is_asked(const struct weir__generation *generation) {
  return !weir__link_alone(&generation->opens) ||
         !weir__link_alone(&generation->backing->undecided);
}

void weir__tend_ask(struct weir__generation *generation) {
  generation->phase = WEIR__ASKED;
  weir__storage_ask(&generation->backing->storage, WEIR_LOG_LOOKUP, 0, 0);
}

void weir__tend_ask_again(struct weir__generation *generation) {
  if (generation->phase == WEIR__VOID && generation->backing != NULL &&
      weir__tend_is_asked(generation)) {
    weir__tend_ask(generation);
  }
}

bool weir__tend_is_sure(struct weir__generation *generation, uint32_t seek,
                        bool how_far) {
  struct weir__storage *storage = &generation->backing->storage;

  if (weir__storage_has_sought(storage, seek) || generation->gone ||
      (generation->phase == WEIR__KNOWN && !generation->history.follow &&
       (generation->core->log.flags & WEIR_LOG_SOLE) != 0)) {
    return true;
  }
  if (generation->phase == WEIR__KNOWN && (generation->ended || how_far)) {
    weir__storage_seek(storage, seek, how_far);
    return false;
  }
  return generation->phase != WEIR__VOID || generation->fault != WEIR_OK;
}

bool weir__tend_is_astray(const struct weir__generation *generation,
                          bool how_far) {
  const struct weir__backing *backing = generation->backing;

  return backing != NULL && generation->phase == WEIR__KNOWN &&
         (generation->gone ||
          ((generation->ended || how_far) && backing->sought == WEIR_EEXISTS));
}

int weir__tend_doubt(const struct weir__generation *generation, bool how_far) {
  return generation->backing != NULL && generation->history.follow &&
                 (generation->ended || how_far)
             ? generation->backing->sought
             : WEIR_OK;
}

bool weir__tend_owes_end(const struct weir__generation *generation) {
  return !generation->gone &&
         (generation->broken ||
          (generation->backing != NULL && generation->backing->will != NULL &&
           !generation->ending));
}

bool weir__tend_owes_before(const struct weir__generation *generation) {
  do {
    generation = generation->previous;
  } while (generation != NULL && !weir__generation_is_owing(generation));
  return generation != NULL;
}

/* Others write it, or may have written. */
static bool is_others(const struct weir__generation *generation) {
  return generation->history.follow || generation->backing->unseen != WEIR_OK;
}

bool weir__tend_is_watched(const struct weir__generation *generation) {
  return (generation->reader_count != 0 || generation->ending) &&
         !generation->ended && !generation->gone &&
         generation->backing != NULL &&
         (is_others(generation) ||
          (generation->core->log.flags & WEIR_LOG_SOLE) == 0);
}

void weir__tend_look_later(struct weir__generation *generation,
                           uint64_t after) {
  if (!weir__tend_owes_end(generation)) {
    weir__generation_set_time(generation, WEIR__AT_CHECK,
                              after != 0 && weir__tend_is_watched(generation)
                                  ? weir__later(generation->core->now, after)
                                  : NEVER);
  }
}

void weir__tend_watch(struct weir__generation *generation) {
  if (weir__tend_is_watched(generation)) {
    weir__tend_look_later(generation, generation->core->options.recheck);
    if (is_others(generation)) {
      weir__tend_look(generation);
    }
  }
}

void weir__tend_joined(struct weir__generation *generation) {
  generation->reader_count += 1;
  if (generation->reader_count != 1) {
    return;
  }
  weir__generation_set_time(generation, WEIR__AT_ABANDONED, NEVER);
  weir__tend_watch(generation);
}

void weir__tend_left(struct weir__generation *generation) {
  generation->reader_count -= 1;
  if (generation->reader_count != 0) {
    return;
  }
  if (generation->signals != NULL) {
    weir__signals_clear(generation->signals);
  }
  weir__tend_look_later(generation, generation->core->options.recheck);
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
