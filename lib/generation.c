/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "generation.h"

#include "scan.h"

#define NEVER ((uint64_t)WEIR_NEVER)

/* ms to the first try to log an end that storage refused, and the most that it
 * grows to, by doubling. */
#define RETRY_FIRST 1000
#define RETRY_MOST 12000

/* ms to the next try of what there was no memory for. */
#define AGAIN 1000

void weir__generation_schedule(struct weir__generation *generation) {
  uint64_t next = NEVER;
  unsigned i;

  for (i = 0; i < WEIR__ATS; ++i) {
    next = weir__min(next, weir__generation_time(generation, i));
  }
  weir__core_start(generation->core, &generation->timer, next);
}

void weir__generation_set_time(struct weir__generation *generation,
                               unsigned what, uint64_t when) {
  generation->at[what] = when;
  weir__generation_schedule(generation);
}

/* The same, of what is set often and mostly to what it is. */
static void move_time(struct weir__generation *generation, unsigned what,
                      uint64_t when) {
  if (generation->at[what] != when) {
    weir__generation_set_time(generation, what, when);
  }
}

void weir__generation_watch(struct weir__generation *generation, unsigned what,
                            unsigned dog) {
  const uint64_t after = generation->settings->after[dog];

  move_time(generation, what,
            after == 0 ? NEVER : weir__later(generation->core->now, after));
}

void weir__generation_touch(struct weir__generation *generation) {
  generation->backing->dirty = true;
  weir__core_work(generation->core, &generation->backing->work);
}

int weir__final_new(struct weir__core *core, const void *reason,
                    size_t reason_len, const void *message, size_t message_len,
                    uint64_t tag, struct weir__final **made) {
  struct weir__final *final;

  if (reason_len > WEIR_REASON_MAX || message_len > WEIR_MESSAGE_MAX) {
    return WEIR_EINVAL;
  }
  if (!weir__is_text(reason, reason_len) ||
      !weir__is_text(message, message_len)) {
    return WEIR_EUTF8;
  }
  final = weir__core_alloc(core, sizeof *final + reason_len + message_len);
  if (final == NULL) {
    return WEIR_ENOMEM;
  }
  final->failed = message != NULL;
  final->cancels = false;
  final->reason_len = reason_len;
  final->message_len = message_len;
  final->tag = tag;
  weir__copy(final->text, reason, reason_len);
  if (final->failed) {
    weir__copy(final->text + reason_len, message, message_len);
  }
  *made = final;
  return WEIR_OK;
}

void weir__final_free(struct weir__core *core, struct weir__final *final) {
  if (final != NULL) {
    weir__core_free(core, final,
                    sizeof *final + final->reason_len + final->message_len);
  }
}

static int make_backing(struct weir__generation *generation) {
  struct weir__core *core = generation->core;
  struct weir__backing *backing = weir__core_alloc(core, sizeof *backing);

  if (backing == NULL) {
    return WEIR_ENOMEM;
  }
  memset(backing, 0, sizeof *backing);
  weir__storage_init(&backing->storage, core->floors->owner,
                     &generation->history);
  weir__work_init(&backing->work, core->floors->work);
  weir__link_init(&backing->undecided);
  backing->generation = generation;
  backing->quiet = UINT64_MAX;
  backing->retry = RETRY_FIRST;
  generation->backing = backing;
  generation->phase = WEIR__ASKED;
  weir__storage_ask(&backing->storage, WEIR_LOG_LOOKUP, 0, 0);
  return WEIR_OK;
}

int weir__generation_new(struct weir__core *core, const void *key,
                         size_t key_len, struct weir__generation **made) {
  struct weir__generation *generation =
      weir__core_alloc(core, sizeof *generation + key_len);
  unsigned i;

  if (generation == NULL) {
    return WEIR_ENOMEM;
  }
  memset(generation, 0, sizeof *generation);
  generation->core = core;
  memcpy(generation->key, key, key_len);
  generation->node.key = generation->key;
  generation->node.key_len = (uint32_t)key_len;
  generation->refs = 1;
  generation->phase = WEIR__VOID;
  weir__link_init(&generation->producers);
  weir__link_init(&generation->opens);
  weir__link_init(&generation->subscribers);
  weir__history_init(&generation->history, core);
  weir__timer_init(&generation->timer, WEIR__TIMER_STREAM);
  for (i = 0; i < WEIR__ATS; ++i) {
    generation->at[i] = NEVER;
  }
  if (core->log.open != NULL && make_backing(generation) != WEIR_OK) {
    weir__core_free(core, generation, sizeof *generation + key_len);
    return WEIR_ENOMEM;
  }
  weir__link_append(&core->generations, &generation->all);
  weir__core_hold(core);
  *made = generation;
  return WEIR_OK;
}

/* Nobody is told any more of what storage has to answer for. */
static void drop_receipts(struct weir__backing *backing,
                          struct weir__core *core) {
  struct weir__receipt *receipt;

  while (backing->first != NULL) {
    receipt = backing->first;
    backing->first = receipt->next;
    weir__core_free(core, receipt, sizeof *receipt);
  }
  backing->last = NULL;
}

/* The registry does not know it any more. */
static void retire(struct weir__generation *generation) {
  generation->registered = false;
  weir__generation_schedule(generation);
}

void weir__generation_destroy(struct weir__generation *generation) {
  struct weir__core *core = generation->core;
  struct weir__backing *backing = generation->backing;

  weir__timer_stop(&core->wheel, &generation->timer);
  weir__link_remove(&generation->all);
  weir__replay_abandon(&generation->history);
  if (backing != NULL) {
    weir__link_remove(&backing->work.link);
    weir__storage_free(&backing->storage);
    drop_receipts(backing, core);
    weir__final_free(core, backing->will);
    weir__core_free(core, backing, sizeof *backing);
  }
  weir__history_free(&generation->history);
  weir__signals_free(core, generation->signals);
  weir__settings_release(core, generation->settings);
  if (generation->failure != NULL) {
    weir__page_release(generation->failure);
  }
  weir__core_free(core, generation,
                  sizeof *generation + generation->node.key_len);
  weir__core_release(core);
}

void weir__generation_release(struct weir__generation *generation) {
  struct weir__core *core = generation->core;

  generation->refs -= 1;
  if (generation->refs != 0) {
    return;
  }
  if (core->inside != 0 && generation->backing != NULL) {
    /* An answer stands on it. */
    weir__generation_touch(generation);
  } else {
    weir__generation_destroy(generation);
  }
}

void weir__generation_forget(struct weir__generation *generation) {
  struct weir__generation *previous = generation->previous;

  generation->previous = NULL;
  retire(generation);
  while (previous != NULL) {
    generation = previous;
    previous = generation->previous;
    generation->previous = NULL;
    retire(generation);
    weir__generation_release(generation);
  }
}

uint64_t weir__generation_name(const struct weir__generation *generation) {
  return generation->history.epoch_count == 0
             ? 0
             : generation->history.epochs[0].epoch;
}

void weir__generation_scheme(const struct weir__generation *generation,
                             struct weir__scheme *scheme) {
  const weir_hub_options *options = &generation->core->options;
  const struct weir__settings *settings = generation->settings;

  memset(scheme, 0, sizeof *scheme);
  scheme->key = generation->key;
  scheme->key_len = generation->node.key_len;
  scheme->generation = weir__generation_name(generation);
  scheme->prefix = settings->text;
  scheme->prefix_len = settings->prefix_len;
  scheme->members = settings->text + settings->prefix_len;
  scheme->members_len = settings->members_len;
  scheme->format = options->cursor_format;
  scheme->envelope = settings->envelope;
  scheme->bytes = (options->flags & WEIR_HUB_BYTES) != 0;
  scheme->lines = options->max_event_lines;
}

void weir__generation_trace(struct weir__generation *generation, int32_t kind,
                            int error) {
  weir_trace what = {0};

  what.kind = kind;
  what.error = error;
  what.key = generation->key;
  what.key_len = generation->node.key_len;
  what.generation = weir__generation_name(generation);
  what.epoch = weir__history_epoch(&generation->history);
  what.seq = generation->history.committed;
  weir__core_trace(generation->core, &what);
}

/* It has something to say, and is in no ring but that of those who have. Who
 * has been let go of is told nothing. */
static void make_ready(struct weir_stream *producer) {
  if (!producer->released && weir__link_alone(&producer->source.link)) {
    weir__core_ready(producer->core, &producer->source);
  }
}

void weir__producer_say(struct weir_stream *producer, unsigned notice) {
  producer->source.notices |= (uint16_t)notice;
  make_ready(producer);
}

void weir__generation_say(struct weir__generation *generation, unsigned notice,
                          int error) {
  struct weir__link *link;
  struct weir_stream *producer;

  for (link = generation->producers.next; link != &generation->producers;
       link = link->next) {
    producer = weir__owner(link, struct weir_stream, sibling);
    if (notice == WEIR__SAY_CANCELLED) {
      producer->cancel_error = error;
    } else if (notice == WEIR__SAY_ENDED) {
      producer->end_error = error;
    }
    weir__producer_say(producer, notice);
  }
}

void weir__receipt_deliver(struct weir__core *core,
                           struct weir__receipt *receipt, uint64_t seq,
                           int error) {
  struct weir_stream *producer = receipt->producer;

  if (producer == NULL) {
    weir__core_free(core, receipt, sizeof *receipt);
    return;
  }
  receipt->next = NULL;
  receipt->order = seq;
  receipt->error = error;
  if (producer->stored == NULL) {
    producer->stored = receipt;
  } else {
    producer->stored_last->next = receipt;
  }
  producer->stored_last = receipt;
  make_ready(producer);
}

void weir__generation_settle_receipts(struct weir__generation *generation,
                                      uint64_t count, uint64_t first,
                                      int error) {
  struct weir__backing *backing = generation->backing;
  struct weir__receipt *receipt;
  uint64_t seq;

  while (backing->first != NULL &&
         backing->first->order <= backing->stored + count) {
    receipt = backing->first;
    backing->first = receipt->next;
    backing->last = backing->first == NULL ? NULL : backing->last;
    if (error != WEIR_OK && receipt->order > backing->quiet) {
      weir__core_free(generation->core, receipt, sizeof *receipt);
      continue;
    }
    seq = first == 0 ? 0 : first + (receipt->order - backing->stored - 1);
    weir__receipt_deliver(generation->core, receipt, seq, error);
  }
  backing->stored += count;
}

static void stop_watching(struct weir__generation *generation) {
  generation->at[WEIR__AT_EVENT] = NEVER;
  generation->at[WEIR__AT_LIFETIME] = NEVER;
  generation->at[WEIR__AT_ABANDONED] = NEVER;
  generation->at[WEIR__AT_CHECK] = NEVER;
}

static uint64_t linger_time(const struct weir__generation *generation) {
  return weir__later(generation->core->now, generation->settings->linger);
}

void weir__generation_ended(struct weir__generation *generation) {
  const bool told = generation->broken;

  generation->ending = true;
  generation->ended = true;
  generation->broken = false;
  stop_watching(generation);
  if (!told) {
    generation->at[WEIR__AT_FORGET] = linger_time(generation);
    weir__generation_say(generation, WEIR__SAY_ENDED, WEIR_OK);
  }
  weir__generation_schedule(generation);
  /* What had ended before this hub knew it has been counted by another. */
  if (generation->phase == WEIR__KNOWN) {
    generation->core->info.ends += 1;
    weir__generation_trace(generation, WEIR_TRACE_END, WEIR_OK);
  }
}

void weir__generation_commit(struct weir__generation *generation, uint64_t seq,
                             uint64_t ended) {
  weir__history_commit(&generation->history, seq, ended);
  move_time(
      generation, WEIR__AT_LIMIT,
      weir__history_limit(&generation->history, generation->reader_count > 1));
  if (ended != 0) {
    weir__generation_ended(generation);
  }
}

/* With a log, what nobody uses is kept by the log alone. Of one that lives. */
static bool is_idle(const struct weir__generation *generation) {
  return generation->phase == WEIR__KNOWN &&
         weir__link_alone(&generation->producers) &&
         weir__link_alone(&generation->opens) &&
         weir__link_alone(&generation->subscribers) &&
         weir__link_alone(&generation->backing->undecided) &&
         generation->at[WEIR__AT_EVENT] == NEVER &&
         generation->at[WEIR__AT_LIFETIME] == NEVER &&
         generation->at[WEIR__AT_ABANDONED] == NEVER &&
         generation->backing->will == NULL &&
         weir__generation_pending(generation) == 0;
}

void weir__generation_reconsider(struct weir__generation *generation) {
  if (generation->ended || generation->broken || generation->backing == NULL ||
      !generation->registered) {
    return;
  }
  weir__generation_set_time(
      generation, WEIR__AT_FORGET,
      is_idle(generation) ? linger_time(generation) : NEVER);
}

uint64_t weir__generation_pending(const struct weir__generation *generation) {
  const struct weir__backing *backing = generation->backing;

  return backing == NULL ? 0
                         : backing->storage.waiting + backing->storage.flying;
}

bool weir__generation_is_owing(const struct weir__generation *generation) {
  const struct weir__backing *backing = generation->backing;

  return weir__generation_pending(generation) != 0 ||
         (!generation->gone &&
          (generation->broken ||
           (backing != NULL && !generation->ended &&
            (backing->will != NULL || generation->reader_count != 0))));
}

void weir__generation_open(struct weir__generation *generation) {
  generation->wrote = true;
  generation->core->info.opens += 1;
  weir__generation_watch(generation, WEIR__AT_EVENT, WEIR__FIRST_EVENT);
  weir__generation_watch(generation, WEIR__AT_LIFETIME, WEIR__LIFETIME);
  if (generation->reader_count == 0) {
    weir__generation_watch(generation, WEIR__AT_ABANDONED, WEIR__ABANDONED);
  }
  weir__generation_trace(generation, WEIR_TRACE_OPEN, WEIR_OK);
}

struct failure {
  struct weir__scheme scheme;
  const char *code;
};

static void put_failure(struct weir__out *out, const void *what) {
  const struct failure *failure = what;

  weir__put_failed(out, &failure->scheme, failure->code);
}

int weir__generation_make_failure(struct weir__generation *generation) {
  struct failure failure;

  if (generation->failure != NULL) {
    return WEIR_OK;
  }
  weir__generation_scheme(generation, &failure.scheme);
  failure.code = weir__generation_failure_code(generation);
  return weir__page_frame(generation->core, WEIR__NEED_OWN, put_failure,
                          &failure, &generation->failure);
}

const char *weir__generation_failure_code(
    const struct weir__generation *generation) {
  return generation->refusal == WEIR_EUNKNOWN ? "log_unknown" : "log_refused";
}

/* What waits never will be stored; what is under way has its own answer, and
 * takes the rest with it. */
static void drop_rest(struct weir__generation *generation, int error) {
  struct weir__backing *backing = generation->backing;

  weir__storage_drop(&backing->storage);
  if (backing->storage.flying == 0) {
    weir__generation_settle_receipts(generation, backing->put - backing->stored,
                                     0, error);
  }
}

void weir__generation_break(struct weir__generation *generation, int error) {
  generation->ending = true;
  generation->failed = true;
  generation->broken = true;
  generation->refusal = error;
  drop_rest(generation, error);
  stop_watching(generation);
  generation->at[WEIR__AT_FORGET] = linger_time(generation);
  generation->at[WEIR__AT_CHECK] =
      weir__later(generation->core->now, generation->backing->retry);
  weir__generation_schedule(generation);
  weir__generation_say(generation, WEIR__SAY_ENDED, error);
  weir__generation_trace(generation, WEIR_TRACE_LOG, error);
  weir__core_ready_all(generation->core, &generation->history.waiters);
}

void weir__generation_retry(struct weir__generation *generation) {
  struct weir__backing *backing = generation->backing;

  backing->retry = weir__min(backing->retry * 2, RETRY_MOST);
  weir__generation_set_time(generation, WEIR__AT_CHECK,
                            weir__later(generation->core->now, backing->retry));
}

void weir__generation_again(struct weir__generation *generation) {
  weir__generation_set_time(generation, WEIR__AT_AGAIN,
                            weir__later(generation->core->now, AGAIN));
}

/* A failure here is none where it lives on, and who has not heard of it need
 * not. */
static void mend(struct weir__generation *generation) {
  struct weir__link *link;

  for (link = generation->producers.next; link != &generation->producers;
       link = link->next) {
    weir__owner(link, struct weir_stream, sibling)->source.notices &=
        (uint16_t)~WEIR__SAY_ENDED;
  }
  if (generation->failure != NULL) {
    weir__page_release(generation->failure);
    generation->failure = NULL;
  }
  generation->broken = false;
  generation->failed = false;
  generation->backing->retry = RETRY_FIRST;
  generation->at[WEIR__AT_FORGET] = NEVER;
}

void weir__generation_fence(struct weir__generation *generation) {
  generation->fenced = true;
  generation->ending = false;
  if (generation->broken) {
    mend(generation);
  }
  drop_rest(generation, WEIR_EFENCED);
  stop_watching(generation);
  weir__generation_schedule(generation);
  weir__generation_say(generation, WEIR__SAY_CANCELLED, WEIR_EFENCED);
}

int weir__generation_is_writable(const struct weir__generation *generation) {
  if (generation->ending) {
    return WEIR_EENDED;
  }
  if (generation->backing == NULL || generation->settings->shared ||
      !generation->history.follow) {
    return WEIR_OK;
  }
  return generation->fenced ? WEIR_EFENCED : WEIR_EAGAIN;
}
