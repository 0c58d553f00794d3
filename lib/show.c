/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "show.h"

#include "cursor.h"

/* ms to the next try of what there was no memory for. */
#define AGAIN 1000

/* Show a page's bytes. The reference to the page is the span's from now on. */
static void show(struct weir_subscriber *subscriber, struct weir__page *page,
                 uint32_t from, uint32_t to) {
  struct weir__span *span = &subscriber->spans[subscriber->span_count++];

  span->page = page;
  span->from = from;
  span->to = to;
}

static void show_own(struct weir_subscriber *subscriber) {
  struct weir__page *page = subscriber->todo.own;

  subscriber->todo.own = page->next;
  subscriber->own_count -= !page->greeting;
  page->next = NULL;
  show(subscriber, page, 0, page->used);
}

static void show_shared(struct weir_subscriber *subscriber,
                        struct weir__page *page) {
  weir__page_hold(page);
  show(subscriber, page, 0, page->used);
}

/* The oldest signal of the stream that the subscriber has not got; what has
 * fallen off the ring meanwhile is counted. */
static struct weir__page *next_signal(struct weir_subscriber *subscriber) {
  struct weir__generation *generation = subscriber->generation;
  const struct weir__signals *signals = generation->signals;
  uint64_t missed;

  if (signals == NULL || subscriber->signal == signals->next) {
    return NULL;
  }
  if (subscriber->signal < weir__signals_first(signals)) {
    missed = weir__signals_first(signals) - subscriber->signal;
    subscriber->signal += missed;
    subscriber->dropped += (uint32_t)weir__min(missed, UINT32_MAX);
    generation->dropped += missed;
    subscriber->core->info.dropped += missed;
  }
  return weir__signals_at(signals, subscriber->signal);
}

struct loss {
  struct weir__scheme scheme;
  weir_resolution resolution;
  char text[WEIR_CURSOR_MAX];
  size_t text_len;
};

static void put_loss(struct weir__out *out, const void *what) {
  const struct loss *loss = what;

  weir__put_gap(out, &loss->scheme, &loss->resolution, 0, loss->text,
                loss->text_len);
}

/* Events up to `upto` are gone: say so, and go on behind them. */
static int show_gap(struct weir_subscriber *subscriber, uint64_t upto) {
  struct weir__generation *generation = subscriber->generation;
  struct weir__page *page;
  weir_cursor before;
  weir_state state;
  struct loss loss;
  int rv;

  weir__history_state(&generation->history, &state);
  memset(&loss, 0, sizeof loss);
  weir__generation_scheme(generation, &loss.scheme);
  before.seq = subscriber->seq;
  before.epoch = weir__state_epoch_of(&state, before.seq)->epoch;
  (void)weir_cursor_format(&before, loss.scheme.format, loss.text,
                           sizeof loss.text, &loss.text_len);
  loss.resolution.verdict = WEIR_VERDICT_EVICTED;
  loss.resolution.position.seq = upto;
  loss.resolution.position.epoch = weir__state_epoch_of(&state, upto)->epoch;
  loss.resolution.first = upto + 1;
  loss.resolution.last = state.last;
  rv = weir__page_frame(subscriber->core, WEIR__NEED_OWN, put_loss, &loss,
                        &page);
  if (rv == WEIR_OK) {
    page->lost = true;
    page->after = subscriber->seq;
    show(subscriber, page, 0, page->used);
    subscriber->seq = upto;
    subscriber->core->info.gaps += 1;
  }
  return rv;
}

/* Show events after the last that was shown, at most up to `upto`. WEIR_OK:
 * there may be more. */
static int show_events(struct weir_subscriber *subscriber, uint64_t upto) {
  struct weir__generation *generation = subscriber->generation;
  struct weir__link *ring = NULL;
  struct weir__scheme scheme;
  struct weir__span span;
  uint64_t last = 0;
  int rv;

  rv = weir__replay_find(&generation->history, subscriber->seq, upto, &span,
                         &last);
  if (rv == WEIR_ENOENT) {
    weir__generation_scheme(generation, &scheme);
    rv = weir__replay_fetch(&generation->history, &scheme, subscriber->seq,
                            upto, &span, &last, &ring);
  }
  if (subscriber->standing != WEIR__READING) {
    /* What storage answered at once has shown it out, or the host has let go of
     * it in there. */
    return WEIR_OK;
  }
  if (rv == WEIR_OK) {
    if (span.page != NULL) {
      weir__page_hold(span.page);
      show(subscriber, span.page, span.from, span.to);
    }
    subscriber->seq = last;
  } else if (rv == WEIR_EDONE) {
    rv = show_gap(subscriber, last);
  } else if (ring != NULL) {
    weir__link_remove(&subscriber->source.link);
    weir__link_append(ring, &subscriber->source.link);
  }
  return rv;
}

struct ping {
  struct weir__scheme scheme;
  bool event;
};

static void put_ping(struct weir__out *out, const void *what) {
  const struct ping *ping = what;

  if (ping->event) {
    weir__put_ping(out, &ping->scheme);
  } else {
    weir__put_text(out, ":\n");
  }
}

static int show_heartbeat(struct weir_subscriber *subscriber) {
  struct weir__page *page;
  struct ping ping;
  int rv;

  weir__generation_scheme(subscriber->generation, &ping.scheme);
  ping.event = subscriber->ping;
  rv = weir__page_frame(subscriber->core, WEIR__NEED_OWN, put_ping, &ping,
                        &page);
  if (rv == WEIR_OK) {
    show(subscriber, page, 0, page->used);
    subscriber->beat = false;
    subscriber->core->info.heartbeats += 1;
  }
  return rv;
}

/* At the head: the end of everything, or the end for now. */
static int at_head(struct weir_subscriber *subscriber) {
  struct weir__generation *generation = subscriber->generation;
  int rv;

  if (generation->history.ended != 0) {
    weir__reader_free_own(subscriber);
    weir__reader_detach(subscriber, WEIR__LEAVING);
    return WEIR_EDONE;
  }
  /* Of what has been forgotten here nobody hears any more. */
  if (generation->gone || (!generation->registered && !generation->broken)) {
    return WEIR_ENOENT;
  }
  if (generation->broken) {
    rv = weir__generation_make_failure(generation);
    if (rv != WEIR_OK) {
      /* Without memory for the frame it is cut off, which is no silence. */
      weir__reader_abort_for(subscriber, rv);
      return WEIR_EGONE;
    }
    show_shared(subscriber, generation->failure);
    weir__reader_detach(subscriber, WEIR__LEAVING);
    return WEIR_EDONE;
  }
  /* Who has been shown something holds bytes, and does not wait. */
  if (subscriber->span_count == 0) {
    weir__link_remove(&subscriber->source.link);
    weir__link_append(&generation->history.waiters, &subscriber->source.link);
  }
  return WEIR_EAGAIN;
}

/* Whether the first of the frames for it alone is next, and not an event or the
 * stream's next signal. */
static bool is_own_next(const struct weir_subscriber *subscriber,
                        const struct weir__page *own,
                        const struct weir__page *signal) {
  return own != NULL && own->last <= subscriber->seq &&
         (signal == NULL || signal->last > subscriber->seq ||
          own->after <= subscriber->signal);
}

/* Nothing follows the end: not even what was stamped with a number that another
 * writer has given to the end since. */
static struct weir__page *in_time(const struct weir_subscriber *subscriber,
                                  struct weir__page *page) {
  const uint64_t ended = subscriber->generation->history.ended;

  return page != NULL && ended != 0 && page->last >= ended ? NULL : page;
}

/* Show one thing more, of what comes next. WEIR_OK: there may be more. Every
 * delivery comes through here twice: not to be called saves 46 instructions. */
static inline int show_next(struct weir_subscriber *subscriber) {
  struct weir__page *own = subscriber->todo.own;
  const struct weir__history *history;
  struct weir__page *signal;
  uint64_t upto;

  if (subscriber->standing != WEIR__READING) {
    if (own == NULL) {
      return subscriber->standing == WEIR__LEAVING ? WEIR_EDONE : WEIR_EGONE;
    }
    show_own(subscriber);
    return WEIR_OK;
  }
  history = &subscriber->generation->history;
  own = in_time(subscriber, own);
  signal = in_time(subscriber, next_signal(subscriber));
  if (is_own_next(subscriber, own, signal)) {
    show_own(subscriber);
    return WEIR_OK;
  }
  if (signal != NULL && signal->last <= subscriber->seq) {
    show_shared(subscriber, signal);
    subscriber->signal += 1;
    return WEIR_OK;
  }
  if (subscriber->seq >= history->committed) {
    return at_head(subscriber);
  }
  upto = history->committed;
  upto = own == NULL ? upto : weir__min(upto, own->last);
  upto = signal == NULL ? upto : weir__min(upto, signal->last);
  return show_events(subscriber, upto);
}

void weir__show_later(struct weir_subscriber *subscriber) {
  subscriber->beat = false;
  subscriber->beat_at = weir__later(subscriber->core->now, AGAIN);
  weir__reader_schedule(subscriber);
}

int weir__show(struct weir_subscriber *subscriber) {
  int rv = WEIR_OK;

  while (rv == WEIR_OK && subscriber->span_count < WEIR__SPANS) {
    rv = show_next(subscriber);
    if (rv < 0 && rv != WEIR_EAGAIN && rv != WEIR_EDONE && rv != WEIR_EGONE &&
        rv != WEIR_ENOMEM) {
      weir__reader_leave(subscriber, WEIR__UNAVAILABLE);
      rv = WEIR_OK;
    }
  }
  if (rv == WEIR_EAGAIN && subscriber->beat && subscriber->span_count == 0) {
    if (show_heartbeat(subscriber) == WEIR_OK) {
      rv = WEIR_OK;
    } else {
      weir__show_later(subscriber);
    }
  }
  return rv;
}
