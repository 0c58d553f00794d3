/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include <weir/stream.h>

#include "stream.h"

void weir_event_init(weir_event *event, size_t size) {
  weir__start(event, size);
}

int weir__producer_new(struct weir__core *core,
                       const weir_open_options *options,
                       struct weir__settings *settings,
                       struct weir_stream **made) {
  struct weir_stream *producer = weir__core_alloc(core, sizeof *producer);

  if (producer == NULL) {
    return WEIR_ENOMEM;
  }
  memset(producer, 0, sizeof *producer);
  weir__link_init(&producer->source.link);
  weir__link_init(&producer->sibling);
  producer->core = core;
  producer->user = options->user;
  producer->on_duplicate = options->on_duplicate;
  producer->flags = options->flags;
  producer->settings = settings;
  producer->pending = true;
  producer->silent = true;
  weir__core_hold(core);
  core->info.pending += 1;
  *made = producer;
  return WEIR_OK;
}

void weir__producer_join(struct weir_stream *producer,
                         struct weir__generation *generation) {
  struct weir__generation *before = producer->generation;

  weir__generation_hold(generation);
  weir__link_remove(&producer->sibling);
  weir__link_append(&generation->opens, &producer->sibling);
  producer->generation = generation;
  if (generation->backing != NULL) {
    producer->seek = weir__storage_next_seek(&generation->backing->storage);
  }
  weir__generation_reconsider(generation);
  if (before != NULL) {
    weir__generation_release(before);
  }
}

/* It stands last among those whose open is decided, or is to be. */
static void stand(struct weir_stream *producer, struct weir__link *ring) {
  weir__link_remove(&producer->sibling);
  weir__link_append(ring, &producer->sibling);
}

/* The open is decided, one way or the other. */
static void decided(struct weir_stream *producer) {
  struct weir__core *core = producer->core;

  producer->pending = false;
  stand(producer, &producer->generation->producers);
  core->info.pending -= 1;
  weir__settings_release(core, producer->settings);
  producer->settings = NULL;
  if (!producer->silent && !producer->released) {
    weir__producer_say(producer, WEIR__SAY_OPENED);
  }
}

/* Put the end that was asked for before the open was decided; a handle that
 * only looks may have cancelled what another writes. False: there is no memory
 * for that now. */
static bool put_final(struct weir_stream *producer) {
  struct weir__generation *generation = producer->generation;
  int rv = weir__generation_is_writable(generation);
  const bool owed = rv != WEIR_OK || producer->final->cancels;

  if (rv == WEIR_OK) {
    /* It is told of that end as all others are. */
    stand(producer, &generation->producers);
    rv = weir__publish_end(generation, producer, producer->final, NULL);
    stand(producer, &generation->opens);
    if (rv == WEIR_OK && producer->final->cancels) {
      weir__tend_keep(generation, producer->final);
      producer->final = NULL;
    }
  }
  if (owed && (rv == WEIR_EAGAIN || rv == WEIR_EFENCED)) {
    rv = weir__tend_owe(generation, producer->final);
    producer->final = rv == WEIR_OK ? NULL : producer->final;
  }
  if (!generation->broken &&
      (rv == WEIR_ENOMEM || rv == WEIR_ERESIDENT || rv == WEIR_EENTROPY)) {
    weir__generation_again(generation);
    return false;
  }
  if (rv == WEIR_EENDED && (generation->ended || generation->broken)) {
    /* Nobody else will tell it of an end that has been. */
    producer->end_error = generation->ended ? WEIR_OK : generation->refusal;
    weir__producer_say(producer, WEIR__SAY_ENDED);
  }
  weir__final_free(producer->core, producer->final);
  producer->final = NULL;
  return true;
}

void weir__producer_accept(struct weir_stream *producer, bool joined) {
  /* What was accepted is done; both are decided as soon as both can be. */
  if (producer->final != NULL && !put_final(producer)) {
    return;
  }
  producer->joined = joined;
  decided(producer);
  if (producer->released) {
    weir_stream_release(producer);
  }
}

/* Nothing holds it to a generation any more. */
static void part(struct weir_stream *producer) {
  struct weir__generation *generation = producer->generation;

  if (generation != NULL) {
    producer->generation = NULL;
    weir__link_remove(&producer->sibling);
    weir__generation_reconsider(generation);
    weir__generation_release(generation);
  }
}

void weir__producer_refuse(struct weir_stream *producer, int error) {
  producer->source.error = error;
  decided(producer);
  weir__final_free(producer->core, producer->final);
  producer->final = NULL;
  part(producer);
  if (producer->released) {
    weir_stream_release(producer);
  }
}

void weir__producer_gone(struct weir_stream *producer) {
  struct weir__core *core = producer->core;

  weir__link_remove(&producer->source.link);
  producer->source.notices = 0;
  if (producer->pending) {
    producer->pending = false;
    core->info.pending -= 1;
    weir__settings_release(core, producer->settings);
    weir__final_free(core, producer->final);
    producer->settings = NULL;
    producer->final = NULL;
  }
  part(producer);
  if (producer->released) {
    weir_stream_release(producer);
  }
}

/* Hand over the receipt of an event that storage has answered for. */
static void take_stored(struct weir_stream *producer, weir_notice *notice) {
  struct weir__receipt *receipt = producer->stored;

  producer->stored = receipt->next;
  notice->kind = WEIR_NOTICE_STORED;
  notice->tag = receipt->tag;
  notice->seq = receipt->order;
  notice->error = receipt->error;
  weir__core_free(producer->core, receipt, sizeof *receipt);
}

/* The kinds of notices but for `stored`, in the order in which they are told,
 * with the bits that stand for them. */
static const struct {
  uint16_t bit;
  uint8_t timer;
  uint8_t kind;
} kinds[] = {
    {WEIR__SAY_OPENED, 0, WEIR_NOTICE_OPENED},
    {WEIR__SAY_EXPIRED << WEIR__FIRST_EVENT, WEIR_TIMER_FIRST_EVENT,
     WEIR_NOTICE_EXPIRED},
    {WEIR__SAY_EXPIRED << WEIR__IDLE, WEIR_TIMER_IDLE, WEIR_NOTICE_EXPIRED},
    {WEIR__SAY_EXPIRED << WEIR__LIFETIME, WEIR_TIMER_LIFETIME,
     WEIR_NOTICE_EXPIRED},
    {WEIR__SAY_ABANDONED, 0, WEIR_NOTICE_ABANDONED},
    {WEIR__SAY_CANCELLED, 0, WEIR_NOTICE_CANCELLED},
    {WEIR__SAY_ENDED, 0, WEIR_NOTICE_ENDED},
};

bool weir__producer_take(struct weir_stream *producer, weir_notice *notice,
                         bool *more) {
  struct weir__source *source = &producer->source;
  size_t i = 0;

  notice->user = producer->user;
  notice->stream = producer;
  if (producer->stored != NULL && (source->notices & WEIR__SAY_OPENED) == 0) {
    take_stored(producer, notice);
  } else {
    while (i + 1 < sizeof kinds / sizeof kinds[0] &&
           (source->notices & kinds[i].bit) == 0) {
      ++i;
    }
    source->notices &= (uint16_t)~kinds[i].bit;
    notice->kind = kinds[i].kind;
    notice->timer = kinds[i].timer;
    notice->error = notice->kind == WEIR_NOTICE_OPENED ? source->error
                    : notice->kind == WEIR_NOTICE_CANCELLED
                        ? producer->cancel_error
                        : WEIR_OK;
    if (notice->kind == WEIR_NOTICE_ENDED) {
      notice->error = producer->end_error;
      notice->seq = producer->generation->history.ended;
    }
  }
  *more = producer->stored != NULL || source->notices != 0;
  return true;
}

/* Whether the handle has a generation to do something with. */
static int enter(const struct weir_stream *producer) {
  int rv = producer == NULL ? WEIR_EGONE : weir__core_enter(producer->core);

  return rv == WEIR_OK && producer->generation == NULL ? WEIR_EGONE : rv;
}

/* Whether it was opened to put something in. */
static int enter_writer(const struct weir_stream *producer) {
  int rv = enter(producer);

  return rv == WEIR_OK && (producer->flags & WEIR_OPEN_LOOK) != 0 ? WEIR_EINVAL
                                                                  : rv;
}

/* And its open is decided. */
static int enter_decided(const struct weir_stream *producer) {
  int rv = enter_writer(producer);

  return rv == WEIR_OK && producer->pending ? WEIR_EAGAIN : rv;
}

int weir_stream_publish(struct weir_stream *producer, const weir_event *events,
                        size_t count, uint64_t *last) {
  struct weir__generation *generation;
  int rv = enter_decided(producer);

  if (rv == WEIR_OK) {
    generation = producer->generation;
    weir__generation_hold(generation);
    rv = weir__publish(generation, producer, events, count, last);
    weir__tend_after(generation);
    weir__generation_release(generation);
  }
  return rv;
}

int weir_stream_signal(struct weir_stream *producer, const weir_event *signal,
                       uint64_t *reached) {
  int rv = enter_decided(producer);

  return rv == WEIR_OK
             ? weir__publish_signal(producer->generation, signal, reached)
             : rv;
}

/* End it now, or when the open has been decided. Frees the final. */
static int finish(struct weir_stream *producer, struct weir__final *final,
                  uint64_t *seq) {
  struct weir__generation *generation = producer->generation;
  int rv;

  if (producer->pending && producer->final == NULL) {
    producer->final = final;
    if (seq != NULL) {
      *seq = 0;
    }
    return WEIR_OK;
  }
  rv = producer->pending ? WEIR_EENDED
                         : weir__generation_is_writable(generation);
  if (rv == WEIR_OK) {
    weir__generation_hold(generation);
    rv = weir__publish_end(generation, producer, final, seq);
    weir__tend_after(generation);
    weir__generation_release(generation);
  }
  weir__final_free(producer->core, final);
  return rv;
}

int weir_stream_end(struct weir_stream *producer, const void *reason,
                    size_t reason_len, uint64_t tag, uint64_t *seq) {
  struct weir__final *final = NULL;
  int rv = enter_writer(producer);

  if (rv == WEIR_OK) {
    rv = weir__final_new(producer->core, reason, reason_len, NULL, 0, tag,
                         &final);
  }
  return rv == WEIR_OK ? finish(producer, final, seq) : rv;
}

int weir_stream_fail(struct weir_stream *producer, const void *code,
                     size_t code_len, const void *message, size_t message_len,
                     uint64_t tag, uint64_t *seq) {
  struct weir__final *final = NULL;
  int rv = enter_writer(producer);

  if (rv == WEIR_OK) {
    rv = weir__final_new(producer->core, code, code_len,
                         message_len != 0 ? message : "", message_len, tag,
                         &final);
  }
  return rv == WEIR_OK ? finish(producer, final, seq) : rv;
}

int weir_stream_cancel(struct weir_stream *producer, const void *reason,
                       size_t reason_len) {
  struct weir__generation *generation;
  struct weir__final *final = NULL;
  int rv = enter(producer);

  if (reason_len == 0) {
    reason = "cancelled";
    reason_len = 9;
  }
  if (rv == WEIR_OK && producer->pending) {
    rv =
        weir__final_new(producer->core, reason, reason_len, NULL, 0, 0, &final);
    if (rv == WEIR_OK) {
      final->cancels = true;
      rv = finish(producer, final, NULL);
    }
    if (rv == WEIR_OK) {
      weir__producer_say(producer, WEIR__SAY_CANCELLED);
    }
    return rv;
  }
  if (rv == WEIR_OK) {
    generation = producer->generation;
    weir__generation_hold(generation);
    rv = weir__tend_cancel(generation, reason, reason_len);
    weir__tend_after(generation);
    weir__generation_release(generation);
  }
  return rv;
}

int weir_stream_trim(struct weir_stream *producer, uint64_t through) {
  int rv = enter_decided(producer);

  if (rv == WEIR_OK && through > producer->generation->history.committed) {
    rv = WEIR_EINVAL;
  }
  if (rv == WEIR_OK) {
    weir__tend_trim(producer->generation, through);
  }
  return rv;
}

static int32_t status_of(const struct weir_stream *producer) {
  const struct weir__generation *generation = producer->generation;

  if (generation == NULL) {
    return WEIR_STREAM_REFUSED;
  }
  if (producer->pending) {
    return WEIR_STREAM_OPENING;
  }
  if (generation->broken) {
    return WEIR_STREAM_FAILED;
  }
  if (generation->ended) {
    return WEIR_STREAM_ENDED;
  }
  if (generation->ending) {
    return WEIR_STREAM_ENDING;
  }
  return generation->fenced ? WEIR_STREAM_FENCED : WEIR_STREAM_LIVE;
}

int weir_stream_get_info(const struct weir_stream *producer,
                         weir_stream_info *callers) {
  const struct weir__generation *generation;
  weir_stream_info info;

  if (producer == NULL || producer->core->gone) {
    return WEIR_EGONE;
  }
  generation = producer->generation;
  memset(&info, 0, sizeof info);
  info.status = status_of(producer);
  info.joined = producer->joined;
  if (generation != NULL) {
    info.failed = generation->failed || generation->history.failed;
    info.subscribers = generation->reader_count;
    info.generation = weir__generation_name(generation);
    info.epoch = weir__history_epoch(&generation->history);
    info.trimmed = generation->history.trimmed;
    info.last = generation->history.committed;
    info.ended = generation->history.ended;
    info.pending = weir__generation_pending(generation);
    info.resident = generation->history.bytes;
    info.events = generation->events;
    info.signals = generation->signalled;
    info.dropped = generation->dropped;
    info.label = generation->settings != NULL ? generation->settings->label : 0;
    info.error = generation->broken ? generation->refusal : WEIR_OK;
  } else {
    info.error = producer->source.error;
  }
  return weir__store(callers, &info, sizeof info);
}

void *weir_stream_get_user(const struct weir_stream *producer) {
  return producer == NULL ? NULL : producer->user;
}

/* The receipts that are on their way find nobody. */
static void let_go_of_receipts(struct weir_stream *producer) {
  struct weir__generation *generation = producer->generation;
  struct weir__receipt *receipt;

  while (producer->stored != NULL) {
    receipt = producer->stored;
    producer->stored = receipt->next;
    weir__core_free(producer->core, receipt, sizeof *receipt);
  }
  if (generation != NULL && generation->backing != NULL) {
    for (receipt = generation->backing->first; receipt != NULL;
         receipt = receipt->next) {
      if (receipt->producer == producer) {
        receipt->producer = NULL;
      }
    }
  }
}

void weir__producer_destroy(struct weir_stream *producer) {
  struct weir__core *core = producer->core;

  weir__core_free(core, producer, sizeof *producer);
  weir__core_release(core);
}

void weir_stream_release(struct weir_stream *producer) {
  struct weir__core *core;

  if (producer == NULL) {
    return;
  }
  core = producer->core;
  if (producer->pending && producer->final != NULL) {
    /* What was asked for is done all the same. */
    weir__link_remove(&producer->source.link);
    producer->released = true;
    return;
  }
  let_go_of_receipts(producer);
  if (producer->pending) {
    core->info.pending -= 1;
    weir__settings_release(core, producer->settings);
    weir__final_free(core, producer->final);
  }
  part(producer);
  weir__core_doom(core, &producer->source);
}
