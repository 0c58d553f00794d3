/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content.h"
#include "host.h"
#include "producer.h"
#include "world.h"

#define ULL(n) ((unsigned long long)(n))

/* --- Texts ----------------------------------------------------------------*/

static int digit_of(char c) {
  return c >= 'a' && c <= 'z'   ? c - 'a'
         : c >= '2' && c <= '7' ? c - '2' + 26
                                : -1;
}

bool watch_parse(const char *text, size_t len, weir_cursor *cursor) {
  uint64_t epoch = 0;
  uint64_t seq = 0;
  size_t i;
  size_t from;

  for (i = 0; i < len && digit_of(text[i]) >= 0; ++i) {
    if (epoch >> 59 != 0) {
      return false;
    }
    epoch = epoch << 5 | (uint64_t)digit_of(text[i]);
  }
  if (i == 0 || text[0] == 'a' || i >= len || text[i] != '-') {
    return false;
  }
  from = ++i;
  for (; i < len && text[i] >= '0' && text[i] <= '9'; ++i) {
    if (seq > (uint64_t)INT64_MAX / 10) {
      return false;
    }
    seq = seq * 10 + (uint64_t)(text[i] - '0');
  }
  if (i != len || i == from || (text[from] == '0' && i != from + 1) ||
      seq >= (uint64_t)INT64_MAX) {
    return false;
  }
  cursor->epoch = epoch;
  cursor->seq = seq;
  return true;
}

bool watch_member(const struct kit_bytes *json, const char *name, char *value,
                  size_t size) {
  char mark[40];
  const char *p;
  size_t n;

  snprintf(mark, sizeof mark, "\"%s\":", name);
  p = strstr(json->data, mark);
  if (p == NULL) {
    return false;
  }
  p += strlen(mark);
  p += *p == '"';
  n = strcspn(p, "\",}");
  if (n >= size) {
    return false;
  }
  memcpy(value, p, n);
  value[n] = '\0';
  return true;
}

bool watch_is_own(const struct kit_bytes *type, const char *name) {
  const size_t n = strlen(world.plan.prefix);

  return type->len == n + strlen(name) &&
         memcmp(type->data, world.plan.prefix, n) == 0 &&
         memcmp(type->data + n, name, type->len - n) == 0;
}

/* --- Verdicts -------------------------------------------------------------*/

static bool knows(const struct generation *generation, uint64_t epoch) {
  size_t i = 0;

  while (i < generation->epoch_count && generation->epochs[i].epoch != epoch) {
    i += 1;
  }
  return i < generation->epoch_count;
}

static uint64_t last_of(const struct generation *generation, uint64_t epoch) {
  size_t i = 0;

  while (generation->epochs[i].epoch != epoch) {
    i += 1;
  }
  return generation->epochs[i].last;
}

_Noreturn static void misjudged(const struct watch *watch, const char *cursor,
                                const char *why) {
  const struct generation *generation = watch->generation;

  trace_fail(watch->verdict == WEIR_VERDICT_RESUMED ? 2 : 3,
             "c%u: \"%.60s\" on %s (%llu < .. <= %llu, ended %llu) is judged "
             "%s at %llu: %s",
             watch->number, cursor, model_name(generation),
             ULL(generation->trimmed), ULL(generation->last),
             ULL(generation->ended), weir_verdict_name(watch->verdict),
             ULL(watch->at), why);
}

/* A server that does not write a stream knows of it what it was told last. */
static bool is_writer(const struct watch *watch) {
  return host_port(watch->host) == NULL ||
         model_is_writer(watch->generation, host_port(watch->host));
}

/* One that says where the client has not been. */
static void judge_start(const struct watch *watch, const char *cursor,
                        int verdict) {
  if (watch->verdict != verdict) {
    misjudged(watch, cursor, weir_verdict_name(verdict));
  }
  if (watch->at > watch->generation->trimmed ||
      (!HAS(LOG) && watch->at != watch->generation->trimmed)) {
    misjudged(watch, cursor, "it does not begin with the first");
  }
}

static void judge_fresh(const struct watch *watch, int32_t from) {
  const struct generation *generation = watch->generation;

  if (from == WEIR_FROM_START) {
    judge_start(watch, "", WEIR_VERDICT_FRESH);
  } else if (watch->verdict != WEIR_VERDICT_FRESH ||
             watch->at > generation->last ||
             (generation->ended != 0 && watch->at == generation->ended)) {
    misjudged(watch, "", "not the head");
  } else if (!HAS(LOG) &&
             watch->at != generation->last - (generation->ended != 0)) {
    misjudged(watch, "", "not the head");
  }
}

/* What the client can have had when it came. */
static uint64_t acked_then(const struct watch *watch,
                           const struct watch_request *request) {
  const struct generation *generation = watch->generation;
  const unsigned newest = request->newest == NULL ? 0 : request->newest->count;

  return generation->count == newest  ? request->acked
         : generation->count < newest ? generation->acked
                                      : 0;
}

/* Whether storage may have failed to say what there is. */
static bool is_faulty(void) {
  return HAS(REFUSE) || HAS(WRONG) || HAS(NEVER) || HAS(MEMORY) ||
         HAS(LIMITS) || HAS(JUMP);
}

/* A cursor of an epoch that the generation has had. */
static void judge_known(const struct watch *watch,
                        const struct watch_request *request, const char *text,
                        const weir_cursor *cursor) {
  const struct generation *generation = watch->generation;
  const uint64_t last = last_of(generation, cursor->epoch);
  const int verdict = watch->verdict;

  if (cursor->seq > last) {
    if (verdict == WEIR_VERDICT_REWOUND) {
      if (watch->at != last) {
        misjudged(watch, text, "not the last of that epoch");
      }
    } else if (verdict == WEIR_VERDICT_RESUMED ||
               verdict == WEIR_VERDICT_EVICTED) {
      misjudged(watch, text, "there is no such event");
    }
    return;
  }
  if (verdict == WEIR_VERDICT_RESUMED) {
    if (watch->at != cursor->seq) {
      misjudged(watch, text, "it does not go on where it was");
    }
    if (cursor->seq < generation->trimmed && !HAS(LOG)) {
      misjudged(watch, text, "what follows it is gone");
    }
    if (generation->ended != 0 && cursor->seq >= generation->ended &&
        cursor->seq <= generation->acked) {
      trace_fail(7, "c%u: a client that has seen the end of %s is taken in",
                 watch->number, model_name(generation));
    }
  } else if (verdict == WEIR_VERDICT_EVICTED) {
    if (cursor->seq >= generation->trimmed || watch->at <= cursor->seq ||
        watch->at > generation->trimmed) {
      misjudged(watch, text, "what follows it is still there");
    }
  } else if (cursor->seq <= acked_then(watch, request) &&
             !(HAS(NODES) && is_faulty()) &&
             model_epoch_of(generation, cursor->seq) == cursor->epoch) {
    /* Another number of that epoch was never given to anybody: whoever makes it
     * up may name an epoch that this server has not been told of. */
    misjudged(watch, text, "it was good");
  }
}

static void judge(const struct watch *watch,
                  const struct watch_request *request) {
  const char *text = request->cursor;
  weir_cursor cursor;

  if (*text == '\0') {
    judge_fresh(watch, request->from);
  } else if (!watch_parse(text, strlen(text), &cursor)) {
    judge_start(watch, text, WEIR_VERDICT_MALFORMED);
  } else if (knows(watch->generation, cursor.epoch)) {
    judge_known(watch, request, text, &cursor);
  } else {
    judge_start(watch, text, WEIR_VERDICT_FOREIGN);
  }
}

/* Of a stream whose end is trimmed nothing is left, for anybody. It may have
 * been begun while storage was asked; of one that another server has begun
 * since the writer of this one has not heard, and of one whose beginning was
 * never answered nobody has. */
static bool is_nothing_left(const struct watch_request *request) {
  const struct generation *generation = world.model.newest[request->key];
  bool known = false;

  for (; generation != NULL && (!known || HAS(NODES));
       generation = generation->older) {
    if (generation->ended != 0 && generation->trimmed >= generation->ended) {
      return true;
    }
    known = known || (generation == request->newest && generation->told);
  }
  return false;
}

void watch_refusal(const struct host *host, const struct watch_request *request,
                   int verdict) {
  const struct generation *generation = request->newest;
  weir_cursor cursor;

  (void)host;
  if (verdict == WEIR_VERDICT_UNKNOWN) {
    /* Another server may have begun it while this one's storage was asked; and
     * without storage it may have ended by itself, unseen, and been forgotten.
     */
    if (generation != NULL && !generation->gone && !HAS(NODES) &&
        (HAS(LOG) || (generation->ended == 0 &&
                      (!HAS(EXPIRE) || producer_holds(generation))))) {
      trace_fail(2, "%s is said to be unknown", model_name(generation));
    }
    return;
  }
  if (request->cursor[0] == '\0' && is_nothing_left(request)) {
    return;
  }
  if (!watch_parse(request->cursor, strlen(request->cursor), &cursor)) {
    trace_fail(7, "finished, says the server to \"%s\"", request->cursor);
  }
  for (generation = world.model.newest[request->key]; generation != NULL;
       generation = generation->older) {
    if (knows(generation, cursor.epoch) && generation->ended != 0 &&
        cursor.seq >= generation->ended) {
      return;
    }
  }
  trace_fail(7,
             "finished, says the server to \"%s\", which has not seen an end",
             request->cursor);
}

/* --- Frames ---------------------------------------------------------------*/

_Noreturn static void complain(const struct watch *watch, int invariant,
                               const struct wire_frame *frame,
                               const char *why) {
  trace_fail(invariant,
             "c%u at %llu of %s: %s: id \"%s\" event \"%s\" \"%.80s\"",
             watch->number, ULL(watch->at), model_name(watch->generation), why,
             frame->id.data, frame->type.data, frame->data.data);
}

/* The members that each object of weir's has. */
static void check_identity(const struct watch *watch,
                           const struct wire_frame *frame) {
  char text[80];
  weir_cursor cursor;
  size_t n;

  if (!watch_member(&frame->data, "stream", text, sizeof text) ||
      text[0] != 'k' || text[1] != (char)('a' + watch->generation->key)) {
    complain(watch, 9, frame, "of another stream");
  }
  if (!watch_member(&frame->data, "generation", text, sizeof text - 2)) {
    complain(watch, 9, frame, "without a generation");
  }
  n = strlen(text);
  memcpy(text + n, "-0", 3);
  if (!watch_parse(text, n + 2, &cursor) ||
      cursor.epoch != watch->generation->epochs[0].epoch) {
    complain(watch, 9, frame, "of another generation");
  }
}

static uint64_t number_of(const struct watch *watch,
                          const struct wire_frame *frame, const char *name) {
  char text[80];

  if (!watch_member(&frame->data, name, text, sizeof text)) {
    complain(watch, 2, frame, "a member is missing");
  }
  return strtoull(text, NULL, 10);
}

/* The id of a frame that names a position. */
static uint64_t position_of(const struct watch *watch,
                            const struct wire_frame *frame) {
  weir_cursor cursor;

  if (!frame->has_id || !watch_parse(frame->id.data, frame->id.len, &cursor)) {
    complain(watch, 1, frame, "not an id of a position");
  }
  if (!knows(watch->generation, cursor.epoch) ||
      cursor.seq > last_of(watch->generation, cursor.epoch)) {
    complain(watch, 1, frame, "an id that names nothing");
  }
  return cursor.seq;
}

static void check_greeting(struct watch *watch,
                           const struct wire_frame *frame) {
  char verdict[32];

  check_identity(watch, frame);
  if (!watch_member(&frame->data, "verdict", verdict, sizeof verdict) ||
      strcmp(verdict, weir_verdict_name(watch->verdict)) != 0) {
    complain(watch, 2, frame, "of another verdict");
  }
  if (position_of(watch, frame) != watch->at) {
    complain(watch, 1, frame, "not the position that was given");
  }
  if (frame->has_retry != (watch->stage == WATCH_WARNED ? false : true) ||
      (frame->has_retry && (frame->retry < 1000 || frame->retry > 1500))) {
    complain(watch, 2, frame, "retry is missing, or strange");
  }
}

static void take_ready(struct watch *watch, const struct wire_frame *frame) {
  const bool loss = watch->verdict != WEIR_VERDICT_FRESH &&
                    watch->verdict != WEIR_VERDICT_RESUMED;

  if (watch->stage == WATCH_READING) {
    complain(watch, 2, frame, "ready twice");
  }
  check_greeting(watch, frame);
  if (loss != (watch->stage == WATCH_WARNED)) {
    complain(watch, 2, frame, loss ? "without a gap" : "after a gap");
  }
  watch->stage = WATCH_READING;
}

/* Without storage, an end that weir has made may drive out what is before it,
 * and then a gap is the first to tell of it. */
static void learn_of_end(const struct watch *watch,
                         const struct wire_frame *frame) {
  struct generation *generation = watch->generation;

  if (!HAS(LOG) && HAS(EXPIRE) && generation->ended == 0 &&
      number_of(watch, frame, "last") == generation->last + 1) {
    (void)host_learn_end(generation);
  }
}

static void take_gap(struct watch *watch, const struct wire_frame *frame) {
  uint64_t seq;

  check_identity(watch, frame);
  if (watch->stage == WATCH_GREETING) {
    check_greeting(watch, frame);
    watch->stage = WATCH_WARNED;
  } else if (watch->stage == WATCH_READING) {
    seq = position_of(watch, frame);
    learn_of_end(watch, frame);
    if (seq <= watch->at || !model_is_gone(watch->generation, watch->at, seq)) {
      complain(watch, 2, frame, "what is said to be lost is there");
    }
    watch->at = seq;
  } else {
    complain(watch, 2, frame, "a gap after a gap");
  }
  if (number_of(watch, frame, "first") != watch->at + 1 ||
      number_of(watch, frame, "last") > watch->generation->last) {
    complain(watch, 2, frame, "first or last");
  }
}

/* Without storage, an end that weir has made shows itself here first. */
static struct fact *learn_end(struct watch *watch,
                              const struct wire_frame *frame, uint64_t epoch,
                              uint64_t seq) {
  struct generation *generation = watch->generation;

  if (HAS(LOG) || seq != generation->last + 1 || generation->ended != 0 ||
      epoch != model_epoch(generation) ||
      (!watch_is_own(&frame->type, "done") &&
       !watch_is_own(&frame->type, "failed"))) {
    return NULL;
  }
  return host_learn_end(generation);
}

static void check_content(const struct watch *watch, const struct fact *fact,
                          const struct wire_frame *frame) {
  struct content content;

  if ((fact->flags & WEIR_RECORD_END) != 0) {
    if (!watch_is_own(&frame->type, "done") &&
        !watch_is_own(&frame->type, "failed")) {
      complain(watch, 7, frame, "this is the end");
    }
    check_identity(watch, frame);
    return;
  }
  if (content_number(frame->data.data, frame->data.len) != fact->number) {
    complain(watch, 3, frame, "another event has this number");
  }
  content_make(&content, world.plan.seed, fact->number, world.plan.event_bytes);
  if (!wire_is(&frame->type,
               strcmp(content.type, "message") == 0 ? "" : content.type)) {
    complain(watch, 10, frame, "not its type");
  }
  if (watch->generation->envelope) {
    check_identity(watch, frame);
    if (number_of(watch, frame, "index") != fact->seq - 1) {
      complain(watch, 10, frame, "not its index");
    }
  } else if (frame->data.len != content.plain.len ||
             memcmp(frame->data.data, content.plain.data, content.plain.len) !=
                 0) {
    complain(watch, 10, frame, "not its data");
  }
  content_free(&content);
}

/* All readers get the same bytes. */
static void check_bytes(const struct watch *watch, struct fact *fact,
                        const struct wire_frame *frame) {
  if (fact->shown == 0) {
    fact->shown = frame->hash;
    fact->shown_len = frame->len;
  }
  if (fact->shown != frame->hash || fact->shown_len != frame->len) {
    complain(watch, 10, frame, "not the bytes that others got");
  }
}

static void take_event(struct watch *watch, const struct wire_frame *frame) {
  struct fact *fact;
  weir_cursor cursor;

  if (!watch_parse(frame->id.data, frame->id.len, &cursor)) {
    complain(watch, 1, frame, "not an id");
  }
  fact = model_fact(watch->generation, cursor.epoch, cursor.seq);
  if (fact == NULL) {
    fact = learn_end(watch, frame, cursor.epoch, cursor.seq);
  }
  if (fact == NULL || fact->void_) {
    complain(watch, fact == NULL ? 5 : 1, frame, "there is no such event");
  }
  if (cursor.seq <= watch->at) {
    complain(watch, 3, frame, "it had this event");
  }
  if (cursor.seq != watch->at + 1) {
    complain(watch, 2, frame, "something was left out");
  }
  if (fact->waits != NULL && fact->waits == host_port(watch->host)) {
    complain(watch, 5, frame, "storage has not said yes");
  }
  if (frame->has_retry) {
    complain(watch, 10, frame, "retry in an event");
  }
  check_content(watch, fact, frame);
  check_bytes(watch, fact, frame);
  watch->at = cursor.seq;
  if ((fact->flags & WEIR_RECORD_END) != 0) {
    watch->stage = WATCH_OVER;
  }
}

/* The last frame of a connection, which is not of the log. */
static void take_last(struct watch *watch, const struct wire_frame *frame) {
  const bool closing = watch_is_own(&frame->type, "closing");
  char reason[32];

  check_identity(watch, frame);
  if (!closing) {
    if (!watch->generation->broken && !HAS(JUMP)) {
      complain(watch, 5, frame, "it has not failed");
    }
  } else if (!frame->has_retry ||
             !watch_member(&frame->data, "reason", reason, sizeof reason)) {
    complain(watch, 2, frame, "without retry or reason");
  } else if (!host_may_close(watch->host, reason) && !watch->may_close) {
    complain(watch, 9, frame, "no reason to close");
  }
  trace_say("  c%u is shown out: %.80s", watch->number, frame->data.data);
  watch->stage = WATCH_OVER;
}

static void take_signal(struct watch *watch, const struct wire_frame *frame) {
  const uint32_t number = content_number(frame->data.data, frame->data.len);
  const struct saying *saying = &world.model.sayings[number];
  struct content content;

  if (number == 0 || number > world.model.said ||
      saying->state != SAYING_SIGNAL) {
    complain(watch, 1, frame, "an event without an id");
  }
  if (saying->generation != watch->generation) {
    complain(watch, 9, frame, "a signal of another stream");
  }
  if (number <= watch->signals || number <= watch->last_signal) {
    complain(watch, 3, frame, "a signal from before");
  }
  if (watch->at < saying->stamp) {
    complain(watch, 2, frame, "a signal before its time");
  }
  watch->last_signal = number;
  content_make(&content, world.plan.seed, number, world.plan.event_bytes);
  if (!watch->generation->envelope &&
      (frame->data.len != content.plain.len ||
       memcmp(frame->data.data, content.plain.data, content.plain.len) != 0)) {
    complain(watch, 6, frame, "not what was said");
  }
  content_free(&content);
}

static void take_frame(void *user, const struct wire_frame *frame) {
  struct watch *watch = user;
  const bool ready = watch_is_own(&frame->type, "ready");
  const bool gap = watch_is_own(&frame->type, "gap");

  if (watch->stage == WATCH_OVER) {
    complain(watch, 7, frame, "something follows the last");
  }
  if (!frame->comment && !ready && !gap && watch->stage != WATCH_READING) {
    /* A connection can be shown out before it has begun. */
    if (!watch_is_own(&frame->type, "closing")) {
      complain(watch, 2, frame, "before ready");
    }
  }
  if (frame->comment) {
    return;
  }
  if (ready) {
    take_ready(watch, frame);
  } else if (gap) {
    take_gap(watch, frame);
  } else if (frame->has_id) {
    take_event(watch, frame);
  } else if (watch_is_own(&frame->type, "closing") ||
             watch_is_own(&frame->type, "failed")) {
    take_last(watch, frame);
  } else if (watch_is_own(&frame->type, "ping")) {
    check_identity(watch, frame);
  } else {
    take_signal(watch, frame);
  }
}

void watch_begin(struct watch *watch, struct host *host, unsigned number,
                 const struct watch_request *request,
                 const weir_subscriber *subscriber, int verdict) {
  weir_subscriber_info info;

  memset(watch, 0, sizeof *watch);
  wire_init(&watch->wire, take_frame, watch);
  info.size = sizeof info;
  if (weir_subscriber_get_info(subscriber, &info) != WEIR_OK ||
      info.verdict != verdict) {
    trace_fail(12, "c%u: verdict %d, and %d", number, verdict, info.verdict);
  }
  watch->host = host;
  watch->number = number;
  watch->verdict = verdict;
  watch->at = info.position.seq;
  watch->signals = request->said;
  watch->generation = model_find(&world.model, request->key, info.generation);
  if (watch->generation == NULL) {
    trace_fail(8, "c%u reads a generation that nobody has begun", number);
  }
  world.tally.verdicts[verdict] += 1;
  judge(watch, request);
}

void watch_see(struct watch *watch, const void *bytes, size_t len) {
  wire_feed(&watch->wire, bytes, len);
}

void watch_idle(const struct watch *watch) {
  const struct generation *generation = watch->generation;

  if (!wire_is_whole(&watch->wire)) {
    trace_fail(6, "c%u is left in the middle of a frame", watch->number);
  }
  /* Where others write too, a look now and then has to do. */
  if (watch->stage == WATCH_READING && !generation->shared && !HAS(NODES) &&
      is_writer(watch) && watch->at < generation->acked) {
    trace_fail(4, "c%u stands at %llu of %s, which has %llu: nobody tells it",
               watch->number, ULL(watch->at), model_name(generation),
               ULL(generation->acked));
  }
}

void watch_end(const struct watch *watch) {
  if (!wire_is_whole(&watch->wire)) {
    trace_fail(6, "c%u ends in the middle of a frame", watch->number);
  }
  /* Whoever trims the end leaves nothing but a 204. */
  if (watch->stage != WATCH_OVER &&
      (watch->generation->ended == 0 ||
       watch->generation->trimmed < watch->generation->ended)) {
    trace_fail(7, "c%u at %llu of %s ends without a last frame", watch->number,
               ULL(watch->at), model_name(watch->generation));
  }
}

void watch_free(struct watch *watch) {
  wire_free(&watch->wire);
}
