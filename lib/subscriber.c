/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include <weir/subscriber.h>

#include "scan.h"
#include "show.h"
#include "subscriber.h"

#define NEVER ((uint64_t)WEIR_NEVER)

bool weir__subscriber_take(struct weir_subscriber *subscriber,
                           weir_notice *notice, bool *more) {
  struct weir__source *source = &subscriber->source;

  notice->user = subscriber->user;
  notice->subscriber = subscriber;
  if ((source->notices & WEIR__SAY_DECIDED) != 0) {
    source->notices &= (uint16_t)~WEIR__SAY_DECIDED;
    notice->kind = WEIR_NOTICE_DECIDED;
    notice->verdict = subscriber->verdict;
    /* Why it is to be cut off, if it is, comes by itself. */
    notice->error =
        weir__reader_is_doomed(subscriber) ? WEIR_OK : source->error;
    notice->retry = subscriber->retry;
    /* What there is to send, the host will find by itself; unless it has been
     * told already that there is nothing. */
    *more = source->notices != 0 || subscriber->drained;
    return true;
  }
  *more = false;
  if ((source->notices & WEIR__SAY_ABORT) != 0) {
    weir__reader_cut(subscriber);
    if (source->notices == 0) {
      /* The host, which was told of it, has let go of it. */
      return false;
    }
    source->notices = 0;
    notice->kind = WEIR_NOTICE_ABORT;
    notice->error = source->error;
    return true;
  }
  subscriber->drained = false;
  notice->kind = subscriber->standing == WEIR__LEAVING ||
                         subscriber->generation->ended ||
                         subscriber->generation->broken
                     ? WEIR_NOTICE_CLOSING
                     : WEIR_NOTICE_READABLE;
  weir__reader_set_patience(subscriber);
  return true;
}

/* Into the ring of those who hold bytes, if it does: the last to have made
 * progress. */
static void hold_bytes(struct weir_subscriber *subscriber) {
  struct weir__link *link = &subscriber->source.link;

  if (subscriber->standing == WEIR__GONE) {
    /* It may be among the doomed. */
    return;
  }
  weir__link_remove(link);
  if (subscriber->span_count != 0) {
    weir__link_append(&subscriber->core->holding, link);
  }
}

/* The bytes have been shown, or there are none: where does it wait? */
static void settle(struct weir_subscriber *subscriber, int rv) {
  subscriber->drained =
      subscriber->span_count == 0 && (rv == WEIR_EAGAIN || rv == WEIR_ENOMEM);
  if (subscriber->drained && rv == WEIR_ENOMEM) {
    weir__show_later(subscriber);
  }
  if (subscriber->source.notices != 0) {
    /* Something else is still to be said. To show it this, it may have had to
     * go itself. */
    if (weir__reader_is_doomed(subscriber)) {
      weir__reader_yield(subscriber);
    }
    weir__reader_ready(subscriber);
  } else if (!subscriber->drained) {
    hold_bytes(subscriber);
  }
  if (subscriber->span_count == 0) {
    subscriber->stall_at = NEVER;
  }
}

/* Have something to send, for a caller with room for cap of it. */
static int offer(struct weir_subscriber *subscriber, size_t cap) {
  int rv = WEIR_OK;

  if (subscriber == NULL) {
    return WEIR_EGONE;
  }
  if (cap == 0) {
    return WEIR_EINVAL;
  }
  if (subscriber->core->inside != 0) {
    return WEIR_EBUSY;
  }
  if (subscriber->standing == WEIR__UNDECIDED) {
    return WEIR_EAGAIN;
  }
  if (weir__reader_is_doomed(subscriber)) {
    rv = subscriber->standing == WEIR__GONE ? WEIR_EGONE : WEIR_EAGAIN;
  } else if (subscriber->span_count < WEIR__SPANS) {
    rv = weir__show(subscriber);
    settle(subscriber, rv);
  }
  return subscriber->span_count == 0 ? rv : WEIR_OK;
}

static weir_bytes bytes_of(const struct weir__span *span) {
  weir_bytes bytes;

  bytes.base = weir__page_bytes(span->page) + span->from;
  bytes.len = span->to - span->from;
  return bytes;
}

int weir_subscriber_peek(struct weir_subscriber *subscriber, weir_bytes *bytes,
                         size_t cap, size_t *count) {
  size_t i;
  int rv = offer(subscriber, cap);

  if (rv != WEIR_OK) {
    return rv;
  }
  for (i = 0; i < subscriber->span_count && i < cap; ++i) {
    bytes[i] = bytes_of(&subscriber->spans[i]);
  }
  *count = i;
  return WEIR_OK;
}

/* Bytes shown and not consumed. */
static size_t shown(const struct weir_subscriber *subscriber) {
  size_t sum = 0;
  size_t i;

  for (i = 0; i < subscriber->span_count; ++i) {
    sum += subscriber->spans[i].to - subscriber->spans[i].from;
  }
  return sum;
}

/* n bytes of a span have been sent. Counts the events that are complete. */
static void advance(struct weir_subscriber *subscriber, struct weir__span *span,
                    uint32_t n) {
  const struct weir__page *page = span->page;
  uint32_t events;

  if (page->count != 0) {
    events = weir__page_count_at(page, span->from + n) -
             weir__page_count_at(page, span->from);
    subscriber->events += events;
    subscriber->core->info.delivered += events;
  }
  span->from += n;
}

int weir_subscriber_consume(struct weir_subscriber *subscriber, size_t n) {
  struct weir__span *span;
  size_t gone = 0;
  size_t part;
  size_t i;

  if (subscriber == NULL) {
    return WEIR_EGONE;
  }
  if (n > shown(subscriber)) {
    return WEIR_EINVAL;
  }
  if (n == 0) {
    return WEIR_OK;
  }
  span = subscriber->spans;
  subscriber->bytes += n;
  subscriber->core->info.bytes += n;
  for (; n != 0; n -= part) {
    part = span->to - span->from;
    part = n < part ? n : part;
    advance(subscriber, span, (uint32_t)part);
    if (span->from == span->to) {
      if (subscriber->late != 0) {
        weir__page_keep(span->page);
        subscriber->late -= 1;
      }
      weir__page_release(span->page);
      ++span;
      ++gone;
    }
  }
  subscriber->span_count = (uint8_t)(subscriber->span_count - gone);
  for (i = 0; i < subscriber->span_count; ++i) {
    subscriber->spans[i] = subscriber->spans[i + gone];
  }
  if (subscriber->source.notices == 0) {
    hold_bytes(subscriber);
  }
  weir__reader_set_beat(subscriber);
  weir__reader_set_patience(subscriber);
  return WEIR_OK;
}

int weir_subscriber_read(struct weir_subscriber *subscriber, void *dst,
                         size_t cap, size_t *len) {
  unsigned char *p = dst;
  weir_bytes bytes;
  size_t i;
  int rv = offer(subscriber, cap);

  if (rv != WEIR_OK) {
    return rv;
  }
  for (i = 0; i < subscriber->span_count && cap != 0; ++i) {
    bytes = bytes_of(&subscriber->spans[i]);
    bytes.len = bytes.len < cap ? bytes.len : cap;
    memcpy(p, bytes.base, bytes.len);
    p += bytes.len;
    cap -= bytes.len;
  }
  *len = (size_t)(p - (unsigned char *)dst);
  return weir_subscriber_consume(subscriber, *len);
}

/* Whether something can be said to it. */
static int enter(const struct weir_subscriber *subscriber) {
  int rv = subscriber == NULL ? WEIR_EGONE : weir__core_enter(subscriber->core);

  if (rv == WEIR_OK && subscriber->standing == WEIR__UNDECIDED) {
    rv = WEIR_EAGAIN;
  } else if (rv == WEIR_OK && subscriber->standing != WEIR__READING) {
    rv = WEIR_EGONE;
  }
  return rv;
}

int weir_subscriber_signal(struct weir_subscriber *subscriber,
                           const weir_event *signal) {
  const struct weir__signals *signals;
  struct weir__page *page;
  int rv = enter(subscriber);

  if (rv != WEIR_OK) {
    return rv;
  }
  if (subscriber->generation->ending) {
    return WEIR_EENDED;
  }
  if (subscriber->own_count >= subscriber->core->options.signal_ring ||
      subscriber->own_count == UINT8_MAX) {
    return WEIR_EPENDING;
  }
  rv = weir__publish_signal_page(subscriber->generation, signal, &page);
  if (rv == WEIR_OK) {
    signals = subscriber->generation->signals;
    page->after = signals == NULL ? 1 : signals->next;
    weir__reader_add_own(subscriber, page);
    if (subscriber->drained) {
      weir__reader_ready(subscriber);
    }
  }
  return rv;
}

int weir_subscriber_close(struct weir_subscriber *subscriber,
                          const void *reason, size_t reason_len,
                          uint32_t retry) {
  int rv = enter(subscriber);

  if (rv == WEIR_OK &&
      (reason_len > WEIR_REASON_MAX || !weir__is_retry(retry))) {
    rv = WEIR_EINVAL;
  }
  if (rv == WEIR_OK && !weir__is_text(reason, reason_len)) {
    rv = WEIR_EUTF8;
  }
  if (rv != WEIR_OK) {
    return rv;
  }
  if (reason_len == 0) {
    reason = WEIR__EXPIRED;
    reason_len = strlen(WEIR__EXPIRED);
  }
  return weir__reader_close(subscriber, reason, reason_len,
                            retry != 0 ? retry : subscriber->retry);
}

void weir_subscriber_detach(struct weir_subscriber *subscriber) {
  if (subscriber == NULL) {
    return;
  }
  /* Who has been cut off need not be told of that any more. */
  weir__timer_stop(&subscriber->core->wheel, &subscriber->timer);
  weir__link_remove(&subscriber->source.link);
  subscriber->source.notices = 0;
  if (subscriber->standing != WEIR__GONE) {
    if (subscriber->standing != WEIR__UNDECIDED) {
      weir__reader_free_own(subscriber);
    }
    weir__reader_detach(subscriber, WEIR__GONE);
  }
}

int weir_subscriber_get_info(const struct weir_subscriber *subscriber,
                             weir_subscriber_info *callers) {
  const struct weir__generation *generation;
  weir_subscriber_info info;

  if (subscriber == NULL || subscriber->core->gone) {
    return WEIR_EGONE;
  }
  generation = subscriber->generation;
  memset(&info, 0, sizeof info);
  info.verdict = subscriber->verdict;
  info.error = subscriber->source.error;
  info.bytes = subscriber->bytes;
  info.events = subscriber->events;
  info.dropped = subscriber->dropped;
  info.shown = shown(subscriber);
  info.attached = subscriber->standing == WEIR__READING;
  if (subscriber->standing != WEIR__UNDECIDED) {
    weir__reader_position(subscriber, &info.position);
    info.generation = generation == NULL ? subscriber->was.generation
                                         : weir__generation_name(generation);
  }
  return weir__store(callers, &info, sizeof info);
}

void *weir_subscriber_get_user(const struct weir_subscriber *subscriber) {
  return subscriber == NULL ? NULL : subscriber->user;
}

void weir__subscriber_destroy(struct weir_subscriber *subscriber) {
  struct weir__core *core = subscriber->core;
  uint8_t i;

  weir__reader_keep(subscriber);
  for (i = 0; i < subscriber->span_count; ++i) {
    weir__page_release(subscriber->spans[i].page);
  }
  weir__core_free(core, subscriber, sizeof *subscriber);
  weir__core_release(core);
}

void weir_subscriber_release(struct weir_subscriber *subscriber) {
  if (subscriber != NULL) {
    weir_subscriber_detach(subscriber);
    weir__core_doom(subscriber->core, &subscriber->source);
  }
}

static void beat(struct weir_subscriber *subscriber) {
  if (subscriber->drained) {
    subscriber->beat_at = NEVER;
    subscriber->beat = subscriber->heartbeat != 0;
    weir__reader_ready(subscriber);
  } else {
    /* Something else is on its way. */
    weir__reader_set_beat(subscriber);
  }
}

void weir__subscriber_expired(struct weir__timer *timer) {
  struct weir_subscriber *subscriber =
      weir__owner(timer, struct weir_subscriber, timer);
  struct weir__core *core = subscriber->core;
  const uint64_t now = core->wheel.now;

  if (subscriber->stall_at <= now) {
    core->info.stalled += 1;
    weir__reader_abort_for(subscriber, WEIR_ESTALLED);
  } else if (subscriber->leave_at <= now) {
    subscriber->leave_at = NEVER;
    if (core->draining && core->drain_retry != 0) {
      subscriber->retry = core->drain_retry;
    }
    weir__reader_leave(subscriber,
                       core->draining ? WEIR__DRAINING : WEIR__EXPIRED);
  } else if (subscriber->beat_at <= now) {
    beat(subscriber);
  }
  weir__reader_schedule(subscriber);
}
