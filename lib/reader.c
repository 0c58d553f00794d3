/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "reader.h"

#include "cursor.h"

#define NEVER ((uint64_t)WEIR_NEVER)

int weir__reader_new(struct weir__core *core,
                     const weir_attach_options *options,
                     struct weir_subscriber **made) {
  struct weir_subscriber *subscriber =
      weir__core_alloc(core, sizeof *subscriber);
  uint64_t jitter;

  if (subscriber == NULL) {
    return WEIR_ENOMEM;
  }
  memset(subscriber, 0, sizeof *subscriber);
  weir__link_init(&subscriber->source.link);
  subscriber->source.reader = true;
  weir__link_init(&subscriber->sibling);
  weir__timer_init(&subscriber->timer, WEIR__TIMER_READER);
  subscriber->core = core;
  subscriber->user = options->user;
  subscriber->heartbeat = options->heartbeat;
  if (options->heartbeat != 0) {
    subscriber->heartbeat -= weir__core_draw(core, options->heartbeat_jitter);
  }
  subscriber->stall = options->stall;
  subscriber->retry =
      options->retry + weir__core_draw(core, options->retry_jitter);
  subscriber->ping = (options->flags & WEIR_ATTACH_PING) != 0;
  subscriber->beat_at = NEVER;
  subscriber->stall_at = NEVER;
  subscriber->leave_at = NEVER;
  if (options->lifetime != 0) {
    jitter = weir__core_draw(core, (uint32_t)options->lifetime_jitter);
    subscriber->leave_at = weir__later(core->now, options->lifetime - jitter);
  }
  weir__core_hold(core);
  *made = subscriber;
  return WEIR_OK;
}

/* Let the timer fire in time. Times mostly move away; then it fires when it was
 * to, finds nothing, and is set again. */
void weir__reader_schedule(struct weir_subscriber *subscriber) {
  const uint64_t next =
      weir__min(weir__min(subscriber->beat_at, subscriber->stall_at),
                subscriber->leave_at);

  if (next < subscriber->timer.deadline && subscriber->standing != WEIR__GONE) {
    weir__core_start(subscriber->core, &subscriber->timer, next);
  }
}

/* Something has come up for it. */
void weir__reader_ready(struct weir_subscriber *subscriber) {
  weir__core_ready(subscriber->core, &subscriber->source);
}

void weir__reader_free_own(struct weir_subscriber *subscriber) {
  struct weir__page *page;

  while (subscriber->todo.own != NULL) {
    page = subscriber->todo.own;
    subscriber->todo.own = page->next;
    weir__page_release(page);
  }
  subscriber->own_count = 0;
}

void weir__reader_add_own(struct weir_subscriber *subscriber,
                          struct weir__page *page) {
  struct weir__page **end = &subscriber->todo.own;

  while (*end != NULL) {
    end = &(*end)->next;
  }
  *end = page;
  subscriber->own_count += !page->greeting;
}

static size_t claim_size(const struct weir__claim *claim) {
  return sizeof *claim + claim->text_len + claim->client_len;
}

static void free_claim(struct weir_subscriber *subscriber) {
  struct weir__claim *claim = subscriber->todo.claim;

  weir__core_free(subscriber->core, claim, claim_size(claim));
  subscriber->todo.claim = NULL;
  subscriber->core->info.pending -= 1;
  subscriber->core->undecided -= 1;
}

void weir__reader_wait(struct weir_subscriber *subscriber,
                       struct weir__generation *generation,
                       struct weir__claim *claim) {
  subscriber->standing = WEIR__UNDECIDED;
  subscriber->todo.claim = claim;
  subscriber->generation = generation;
  weir__generation_hold(generation);
  weir__link_append(&generation->backing->undecided, &subscriber->sibling);
  subscriber->core->info.pending += 1;
  subscriber->core->undecided += 1;
}

void weir__reader_move(struct weir_subscriber *subscriber,
                       struct weir__generation *generation) {
  struct weir__generation *before = subscriber->generation;

  weir__generation_hold(generation);
  subscriber->generation = generation;
  weir__link_remove(&subscriber->sibling);
  weir__link_append(&generation->backing->undecided, &subscriber->sibling);
  weir__generation_release(before);
}

/* Which epoch of its generation gave a number; 0 if that is not known. */
static uint64_t epoch_of(const struct weir__generation *generation,
                         uint64_t seq) {
  weir_state state;

  weir__history_state(&generation->history, &state);
  return state.epoch_count == 0 ? 0 : weir__state_epoch_of(&state, seq)->epoch;
}

/* The last event before what a span shows; seq if it shows no events. */
static uint64_t before_span(const struct weir__span *span, uint64_t seq) {
  const struct weir__page *page = span->page;
  const uint32_t n = weir__page_count_at(page, span->from);

  if (page->count == 0) {
    return page->lost ? page->after : seq;
  }
  return n == 0 ? page->after : weir__page_seq(page, n - 1);
}

void weir__reader_position(const struct weir_subscriber *subscriber,
                           weir_cursor *position) {
  const struct weir__generation *generation = subscriber->generation;
  uint8_t i;

  position->seq = subscriber->seq;
  for (i = subscriber->span_count; i > 0; --i) {
    position->seq = before_span(&subscriber->spans[i - 1], position->seq);
  }
  position->epoch = generation == NULL ? subscriber->was.epoch
                                       : epoch_of(generation, position->seq);
}

/* What there is to tell of one that is attached. */
static void describe(const struct weir_subscriber *subscriber, int32_t kind,
                     int error, weir_trace *what) {
  const struct weir__generation *generation = subscriber->generation;
  weir_cursor position;

  weir__reader_position(subscriber, &position);
  memset(what, 0, sizeof *what);
  what->kind = kind;
  what->error = error;
  what->key = generation->key;
  what->key_len = generation->node.key_len;
  what->generation = weir__generation_name(generation);
  what->epoch = position.epoch;
  what->seq = position.seq;
  what->bytes = subscriber->bytes;
  what->verdict = subscriber->verdict;
  what->user = subscriber->user;
}

/* It is no longer attached, nor does it wait: only what is in hand is left. The
 * host, which is told of that, may let go of it in there. */
void weir__reader_detach(struct weir_subscriber *subscriber,
                         enum weir__standing standing) {
  const bool waited = subscriber->standing == WEIR__UNDECIDED;
  struct weir__core *core = subscriber->core;
  struct weir__generation *generation = subscriber->generation;
  weir_trace what;

  subscriber->standing = (uint8_t)standing;
  if (generation == NULL) {
    return;
  }
  if (waited) {
    free_claim(subscriber);
  } else {
    describe(subscriber, WEIR_TRACE_DETACH, WEIR_OK, &what);
    core->floors->left(subscriber);
    core->info.subscribers -= 1;
    core->info.detaches += 1;
  }
  weir__link_remove(&subscriber->sibling);
  subscriber->was.generation = weir__generation_name(generation);
  subscriber->was.epoch = epoch_of(generation, subscriber->seq);
  subscriber->generation = NULL;
  subscriber->beat_at = NEVER;
  subscriber->leave_at = NEVER;
  if (!waited) {
    weir__core_trace(core, &what);
    weir__tend_left(generation);
  }
  weir__generation_reconsider(generation);
  weir__generation_release(generation);
}

/* The first frames of a connection. */
struct greeting {
  struct weir__scheme scheme;
  const weir_resolution *resolution;
  const void *requested;
  size_t requested_len;
  uint32_t retry;
};

static void put_greeting(struct weir__out *out, const void *what) {
  const struct greeting *greeting = what;
  const weir_resolution *resolution = greeting->resolution;
  uint32_t retry = greeting->retry;

  if (resolution->gap != 0) {
    weir__put_gap(out, &greeting->scheme, resolution, retry,
                  greeting->requested, greeting->requested_len);
    retry = 0;
  }
  weir__put_ready(out, &greeting->scheme, &resolution->position, retry,
                  resolution->verdict);
}

int weir__reader_greet(struct weir__generation *generation,
                       const weir_resolution *resolution, const void *requested,
                       size_t requested_len, uint32_t retry,
                       struct weir__page **made) {
  struct greeting greeting;
  int rv;

  weir__generation_scheme(generation, &greeting.scheme);
  greeting.resolution = resolution;
  greeting.requested = requested;
  greeting.requested_len = requested_len;
  greeting.retry = retry;
  rv = weir__page_frame(generation->core, WEIR__NEED_OWN, put_greeting,
                        &greeting, made);
  if (rv == WEIR_OK) {
    (*made)->greeting = true;
  }
  return rv;
}

void weir__reader_begin(struct weir_subscriber *subscriber,
                        struct weir__generation *generation,
                        const weir_resolution *resolution,
                        struct weir__page *greeting) {
  struct weir__core *core = subscriber->core;

  if (subscriber->generation == NULL) {
    subscriber->generation = generation;
    weir__generation_hold(generation);
  } else {
    free_claim(subscriber);
  }
  weir__link_remove(&subscriber->sibling);
  weir__link_append(&generation->subscribers, &subscriber->sibling);
  subscriber->todo.own = NULL;
  weir__reader_add_own(subscriber, greeting);
  subscriber->standing = WEIR__READING;
  subscriber->verdict = (uint8_t)resolution->verdict;
  subscriber->seq = resolution->position.seq;
  subscriber->signal =
      generation->signals == NULL ? 1 : generation->signals->next;
  core->info.subscribers += 1;
  core->info.gaps += resolution->gap;
  weir__tend_joined(generation);
  weir__generation_reconsider(generation);
  weir__reader_set_beat(subscriber);
  weir__reader_set_patience(subscriber);
  weir__reader_schedule(subscriber);
  weir__reader_ready(subscriber);
}

void weir__reader_refuse(struct weir_subscriber *subscriber, int verdict,
                         int error) {
  weir__reader_detach(subscriber, WEIR__LEAVING);
  subscriber->todo.own = NULL;
  subscriber->verdict = (uint8_t)verdict;
  subscriber->source.error = error;
}

void weir__reader_decided(struct weir_subscriber *subscriber) {
  subscriber->source.notices |= WEIR__SAY_DECIDED;
  weir__reader_ready(subscriber);
}

struct last_frame {
  struct weir__scheme scheme;
  const void *reason;
  size_t reason_len;
  uint32_t retry;
};

static void put_last_frame(struct weir__out *out, const void *what) {
  const struct last_frame *last = what;

  weir__put_closing(out, &last->scheme, last->reason, last->reason_len,
                    last->retry);
}

/* It has been shown the end, after which there is nothing. */
static bool is_through(const struct weir_subscriber *subscriber) {
  const struct weir__history *history = &subscriber->generation->history;

  return history->ended != 0 && subscriber->seq >= history->ended;
}

/* It goes with this last frame. */
static void leave(struct weir_subscriber *subscriber, struct weir__page *page) {
  struct weir__page *greeting = NULL;

  /* Nothing comes before `ready`, and signals are for those who stay. */
  if (subscriber->todo.own != NULL && subscriber->todo.own->greeting) {
    greeting = subscriber->todo.own;
    subscriber->todo.own = greeting->next;
    greeting->next = NULL;
  }
  weir__reader_free_own(subscriber);
  if (greeting != NULL) {
    weir__reader_add_own(subscriber, greeting);
  }
  weir__reader_add_own(subscriber, page);
  weir__reader_set_patience(subscriber);
  weir__reader_ready(subscriber);
  weir__reader_detach(subscriber, WEIR__LEAVING);
}

int weir__reader_close(struct weir_subscriber *subscriber, const void *reason,
                       size_t reason_len, uint32_t retry) {
  struct last_frame last;
  struct weir__page *page = NULL;
  int rv;

  if (is_through(subscriber)) {
    weir__reader_free_own(subscriber);
    weir__reader_ready(subscriber);
    weir__reader_detach(subscriber, WEIR__LEAVING);
    return WEIR_OK;
  }
  weir__generation_scheme(subscriber->generation, &last.scheme);
  last.reason = reason;
  last.reason_len = reason_len;
  last.retry = retry;
  rv = weir__page_frame(subscriber->core, WEIR__NEED_OWN, put_last_frame, &last,
                        &page);
  if (rv == WEIR_OK) {
    leave(subscriber, page);
  }
  return rv;
}

void weir__reader_leave(struct weir_subscriber *subscriber,
                        const char *reason) {
  const int rv =
      weir__reader_close(subscriber, reason, strlen(reason), subscriber->retry);

  if (rv != WEIR_OK) {
    /* Without memory for a word, the connection is cut; the client comes
     * back. */
    weir__reader_abort_for(subscriber, rv);
  }
}

void weir__reader_drain(struct weir_subscriber *subscriber, uint64_t over) {
  const uint64_t when =
      weir__later(subscriber->core->now,
                  weir__core_draw(subscriber->core,
                                  (uint32_t)weir__min(over, UINT32_MAX - 1)));

  if (when < subscriber->leave_at) {
    subscriber->leave_at = when;
    weir__reader_schedule(subscriber);
  }
}

void weir__reader_deny(struct weir__source *source) {
  struct weir_subscriber *subscriber =
      weir__owner(source, struct weir_subscriber, source);

  weir__link_remove(&source->link);
  weir__reader_leave(subscriber, WEIR__UNAVAILABLE);
}

void weir__reader_cut(struct weir_subscriber *subscriber) {
  weir_trace what = {0};

  if (subscriber->standing == WEIR__GONE) {
    return;
  }
  if (subscriber->generation != NULL) {
    describe(subscriber, WEIR_TRACE_ABORT, subscriber->source.error, &what);
  } else {
    what.kind = WEIR_TRACE_ABORT;
    what.error = subscriber->source.error;
    what.user = subscriber->user;
  }
  weir__core_trace(subscriber->core, &what);
  weir__reader_free_own(subscriber);
  weir__reader_detach(subscriber, WEIR__GONE);
  subscriber->stall_at = NEVER;
}

void weir__reader_yield(struct weir_subscriber *subscriber) {
  for (; subscriber->late < subscriber->span_count; ++subscriber->late) {
    weir__page_yield(subscriber->spans[subscriber->late].page);
  }
}

void weir__reader_keep(struct weir_subscriber *subscriber) {
  for (; subscriber->late != 0; --subscriber->late) {
    weir__page_keep(subscriber->spans[subscriber->late - 1].page);
  }
}

void weir__reader_doom(struct weir_subscriber *subscriber, int error) {
  weir__reader_yield(subscriber);
  subscriber->source.error = error;
  subscriber->source.notices |= WEIR__SAY_ABORT;
  weir__reader_ready(subscriber);
}

void weir__reader_abort_for(struct weir_subscriber *subscriber, int error) {
  weir__reader_doom(subscriber, error);
  weir__reader_cut(subscriber);
}

void weir__reader_rewind(struct weir__generation *generation, uint64_t last) {
  struct weir__link *link = generation->subscribers.next;
  struct weir_subscriber *subscriber;
  struct weir__link beyond;

  /* Any of them may be let go of while another is told. */
  weir__link_init(&beyond);
  while (link != &generation->subscribers) {
    subscriber = weir__owner(link, struct weir_subscriber, sibling);
    link = link->next;
    if (subscriber->seq > last) {
      weir__link_remove(&subscriber->sibling);
      weir__link_append(&beyond, &subscriber->sibling);
    }
  }
  while (!weir__link_alone(&beyond)) {
    subscriber = weir__owner(beyond.next, struct weir_subscriber, sibling);
    weir__link_remove(&subscriber->sibling);
    weir__reader_leave(subscriber, WEIR__UNAVAILABLE);
  }
}
