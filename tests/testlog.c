/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "testlog.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What a hub gets for an open. Each is closed once. */
struct testlog_handle {
  struct testlog_handle *next;
  struct testlog_stream *stream;
};

static void *make(size_t size) {
  void *made = calloc(1, size);

  ck_assert_ptr_nonnull(made);
  return made;
}

/* A copy of some bytes, which ends in NUL. */
static char *copy(const void *bytes, size_t len) {
  char *made = make(len + 1);

  if (len != 0) {
    memcpy(made, bytes, len);
  }
  return made;
}

static void free_event(struct testlog_event *event) {
  free(event->type);
  free(event->data);
  free(event->frame);
}

static void free_call(struct testlog_call *call) {
  size_t i;

  for (i = 0; i < call->count; ++i) {
    free_event(&call->events[i]);
  }
  for (i = 0; i < call->lent_count; ++i) {
    free(call->lent[i].copy);
  }
  free(call->lent);
  free(call->events);
  free(call->key);
  free(call->meta);
  free(call);
}

/* --- What is stored ------------------------------------------------------ */

static bool is_key(const struct testlog *log,
                   const struct testlog_stream *stream, const char *key,
                   size_t key_len) {
  size_t len = stream->key_len;

  if (log->defect == TESTLOG_CUTS_KEYS && len > 200 && key_len > 200) {
    len = key_len = 200;
  }
  return len == key_len && (log->defect == TESTLOG_IGNORES_CASE
                                ? strncasecmp(stream->key, key, len) == 0
                                : memcmp(stream->key, key, len) == 0);
}

static struct testlog_stream *find(const struct testlog *log, const void *key,
                                   size_t key_len, uint64_t name) {
  struct testlog_stream *stream = log->newest;
  struct testlog_stream *found = NULL;

  for (; stream != NULL; stream = stream->older) {
    if (!stream->gone && is_key(log, stream, key, key_len) &&
        (name == 0 || stream->epochs[0].epoch == name)) {
      if (log->defect != TESTLOG_FINDS_OLDEST) {
        return stream;
      }
      found = stream;
    }
  }
  return found;
}

struct testlog_stream *testlog_find(const struct testlog *log,
                                    const char *key) {
  return find(log, key, strlen(key), 0);
}

static struct testlog_stream *must_find(const struct testlog *log,
                                        const char *key) {
  struct testlog_stream *stream = testlog_find(log, key);

  ck_assert_ptr_nonnull(stream);
  return stream;
}

const struct testlog_event *testlog_event(const struct testlog_stream *stream,
                                          uint64_t seq) {
  size_t i;

  for (i = 0; i < stream->count; ++i) {
    if (stream->events[i].seq == seq) {
      return &stream->events[i];
    }
  }
  return NULL;
}

static uint64_t newest_epoch(const struct testlog_stream *stream) {
  return stream->epochs[stream->epoch_count - 1].epoch;
}

static void add_epoch(struct testlog_stream *stream, uint64_t epoch) {
  ck_assert_uint_lt(stream->epoch_count, TESTLOG_EPOCHS);
  if (stream->epoch_count != 0) {
    stream->epochs[stream->epoch_count - 1].last = stream->last;
  }
  stream->epochs[stream->epoch_count].epoch = epoch;
  stream->epochs[stream->epoch_count].last = stream->last;
  stream->epoch_count += 1;
}

/* Takes over what the event points to. */
static void add_event(struct testlog_stream *stream,
                      const struct testlog_event *event) {
  if (stream->count == stream->cap) {
    stream->cap = stream->cap * 2 + 8;
    stream->events =
        realloc(stream->events, stream->cap * sizeof stream->events[0]);
    ck_assert_ptr_nonnull(stream->events);
  }
  stream->events[stream->count++] = *event;
  stream->last = event->seq;
  stream->epochs[stream->epoch_count - 1].last = event->seq;
  if ((event->flags & WEIR_RECORD_END) != 0) {
    stream->ended = event->seq;
    stream->failed = (event->flags & WEIR_RECORD_FAILED) != 0;
  }
}

/* Remove the events from number `from` to `to`. */
static void remove_events(struct testlog_stream *stream, uint64_t from,
                          uint64_t to) {
  size_t kept = 0;
  size_t i;

  for (i = 0; i < stream->count; ++i) {
    if (stream->events[i].seq >= from && stream->events[i].seq <= to) {
      free_event(&stream->events[i]);
    } else {
      stream->events[kept++] = stream->events[i];
    }
  }
  stream->count = kept;
}

static void free_stream(struct testlog_stream *stream) {
  remove_events(stream, 0, UINT64_MAX);
  free(stream->events);
  free(stream->key);
  free(stream->meta);
  free(stream);
}

static void trim(struct testlog_stream *stream, uint64_t through) {
  if (through > stream->trimmed) {
    remove_events(stream, 0, through);
    stream->trimmed = through;
  }
}

void testlog_crash(struct testlog *log, const char *key, uint64_t last) {
  struct testlog_stream *stream = must_find(log, key);

  remove_events(stream, last + 1, UINT64_MAX);
  stream->last = last;
  stream->epochs[stream->epoch_count - 1].last = last;
  stream->ended = 0;
}

void testlog_lose(struct testlog *log, const char *key, uint64_t after,
                  uint64_t to) {
  struct testlog_stream *stream = must_find(log, key);

  remove_events(stream, after + 1, to);
  stream->lost_after = after;
  stream->lost_to = to;
}

void testlog_drop(struct testlog *log, const char *key, uint64_t seq) {
  remove_events(must_find(log, key), seq, seq);
}

void testlog_retain(struct testlog *log, const char *key, uint64_t through) {
  trim(must_find(log, key), through);
}

void testlog_forget(struct testlog *log, const char *key) {
  must_find(log, key)->gone = true;
}

void testlog_write(struct testlog *log, const char *key, const char *type,
                   const char *data) {
  struct testlog_stream *stream = must_find(log, key);
  struct testlog_event event = {0};

  ck_assert_uint_eq(stream->ended, 0);
  event.epoch = newest_epoch(stream);
  event.seq = stream->last + log->step;
  event.type_len = strlen(type);
  event.type = copy(type, event.type_len);
  event.data_len = strlen(data);
  event.data = copy(data, event.data_len);
  add_event(stream, &event);
}

uint64_t testlog_take(struct testlog *log, const char *key) {
  struct testlog_stream *stream = must_find(log, key);

  add_epoch(stream, newest_epoch(stream) ^ 0x5555);
  return newest_epoch(stream);
}

void testlog_untake(struct testlog *log, const char *key) {
  struct testlog_stream *stream = must_find(log, key);

  stream->epoch_count -= 1;
  stream->last = stream->epochs[stream->epoch_count - 1].last;
  remove_events(stream, stream->last + 1, UINT64_MAX);
}

/* --- Doing what is asked for --------------------------------------------- */

static int create(struct testlog *log, struct testlog_call *call) {
  struct testlog_stream *before = find(log, call->key, call->key_len, 0);
  struct testlog_stream *stream;

  if ((before == NULL ? 0 : before->epochs[0].epoch) != call->generation &&
      log->defect != TESTLOG_CREATES_ALWAYS) {
    return WEIR_EEXISTS;
  }
  stream = make(sizeof *stream);
  stream->older = log->newest;
  log->newest = stream;
  stream->key = copy(call->key, call->key_len);
  stream->key_len = call->key_len;
  stream->shared = call->shared;
  stream->meta = copy(call->meta, call->meta_len);
  stream->meta_len =
      log->defect == TESTLOG_CUTS_META ? strlen(stream->meta) : call->meta_len;
  add_epoch(stream, call->epoch);
  call->stream = stream;
  return WEIR_LOG_YES;
}

static int open_stream(struct testlog *log, struct testlog_call *call) {
  if (call->mode == WEIR_LOG_CREATE) {
    return create(log, call);
  }
  call->stream = find(log, call->key, call->key_len,
                      call->mode == WEIR_LOG_TAKE ? call->generation : 0);
  if (call->stream == NULL && log->defect == TESTLOG_TAKES_NEWEST) {
    call->stream = find(log, call->key, call->key_len, 0);
  }
  if (call->stream == NULL && log->defect == TESTLOG_FINDS_ANYTHING) {
    call->epoch = 1;
    return create(log, call);
  }
  if (call->stream == NULL) {
    return call->mode == WEIR_LOG_TAKE && log->defect == TESTLOG_TAKES_NOTHING
               ? WEIR_EEXISTS
               : WEIR_ENOENT;
  }
  if (call->mode == WEIR_LOG_TAKE && log->defect != TESTLOG_DOES_NOT_TAKE &&
      (call->stream->ended == 0 || log->defect == TESTLOG_TAKES_ENDED)) {
    add_epoch(call->stream, call->epoch);
  }
  return WEIR_LOG_YES;
}

/* What a defect makes of an event on its way in. */
static void spoil(const struct testlog *log, struct testlog_event *event) {
  if (log->defect == TESTLOG_CUTS_STRINGS) {
    event->data_len = strlen(event->data);
    event->frame_len = event->frame != NULL ? strlen(event->frame) : 0;
  } else if (log->defect == TESTLOG_CUTS_DATA && event->data_len > 4095) {
    event->data_len = 4095;
    event->frame_len = 0;
    free(event->frame);
    event->frame = NULL;
  } else if (log->defect == TESTLOG_FORGETS_FLAGS) {
    event->flags = 0;
  } else if (log->defect == TESTLOG_FORGETS_JSON) {
    event->flags &= ~WEIR_RECORD_JSON;
  }
}

/* How many records may be stored. */
static size_t count_unfenced(const struct testlog *log,
                             const struct testlog_call *call) {
  const uint64_t newest = newest_epoch(call->stream);
  size_t i = 0;

  while (i < call->count &&
         (call->events[i].epoch == newest ||
          log->defect == TESTLOG_DOES_NOT_FENCE ||
          (log->defect == TESTLOG_FENCES_BY_FIRST && i != 0))) {
    i += 1;
  }
  return i;
}

static int append(struct testlog *log, struct testlog_call *call) {
  struct testlog_stream *stream = call->stream;
  const size_t unfenced = count_unfenced(log, call);
  struct testlog_event *event;
  int result = WEIR_LOG_YES;
  size_t i;

  if ((stream->ended != 0 && log->defect != TESTLOG_GOES_ON) ||
      (log->defect == TESTLOG_ENDS_HIDDEN &&
       find(log, stream->key, stream->key_len, 0) != stream)) {
    return WEIR_EENDED;
  }
  if (unfenced < call->count) {
    stream->rows =
        log->defect == TESTLOG_LEAVES_ROWS && (stream->rows || unfenced != 0);
    if (log->defect != TESTLOG_FENCES_LATE) {
      return WEIR_EFENCED;
    }
    result = WEIR_EFENCED;
  }
  if (stream->rows) {
    /* There is such a row already. */
    return WEIR_EIO;
  }
  call->first = stream->shared ? stream->last + log->step : 0;
  if (log->defect == TESTLOG_COUNTS_FROM_ONE && stream->shared) {
    call->first = 1;
  }
  if (log->defect == TESTLOG_REVERSES && call->count > 1) {
    const struct testlog_event other = call->events[0];

    call->events[0] = call->events[1];
    call->events[1] = other;
    call->events[0].seq -= !stream->shared;
    call->events[1].seq += !stream->shared;
  }
  for (i = 0; i < unfenced; ++i) {
    event = &call->events[i];
    if (stream->shared) {
      ck_assert_uint_eq(event->seq, 0);
      event->seq = stream->last + log->step;
      event->seq += log->defect == TESTLOG_LEAVES_HOLES && i != 0;
    }
    if (log->defect == TESTLOG_SOUND) {
      ck_assert_uint_gt(event->seq, stream->last);
      ck_assert(stream->shared || event->seq == stream->last + 1);
    }
    spoil(log, event);
    add_event(stream, event);
    memset(event, 0, sizeof *event);
  }
  return result;
}

static void take_state(const struct testlog *log, struct testlog_call *call) {
  const struct testlog_stream *stream = call->stream;
  size_t i;

  memcpy(call->epochs, stream->epochs, sizeof call->epochs);
  call->epoch_count = stream->epoch_count;
  call->trimmed = stream->trimmed;
  call->last = stream->last;
  call->ended = stream->ended;
  call->failed = stream->failed;
  if (log->defect == TESTLOG_FORGETS_EPOCHS) {
    call->epochs[0] = call->epochs[call->epoch_count - 1];
    call->epoch_count = 1;
  } else if (log->defect == TESTLOG_FORGETS_LASTS) {
    for (i = 0; i < call->epoch_count; ++i) {
      call->epochs[i].last = call->last;
    }
  } else if (log->defect == TESTLOG_FORGETS_TRIMS) {
    call->trimmed = 0;
  }
}

static void perform(struct testlog *log, struct testlog_call *call) {
  call->done = true;
  if (call->what == TESTLOG_REFUSE) {
    call->result = call->value;
    return;
  }
  call->result = call->kind == TESTLOG_OPEN     ? open_stream(log, call)
                 : call->stream->gone           ? WEIR_ENOENT
                 : call->kind == TESTLOG_APPEND ? append(log, call)
                                                : WEIR_LOG_YES;
  if (call->kind == TESTLOG_TRIM && call->result == WEIR_LOG_YES) {
    if (log->defect == TESTLOG_TRIMS_BACK) {
      call->stream->trimmed = 0;
    }
    trim(call->stream, call->after);
    if (log->defect == TESTLOG_TRIMS_LAST && call->stream->count == 0) {
      call->stream->last = call->stream->trimmed = 0;
    }
  }
  if (call->stream != NULL) {
    take_state(log, call);
  }
  if (call->what == TESTLOG_CONFUSE) {
    call->result = call->value;
  }
}

/* --- Answers ------------------------------------------------------------- */

static bool is_asked_for(const struct testlog *log,
                         const struct testlog_call *call, uint64_t seq) {
  const uint64_t after =
      call->after -
      (log->defect == TESTLOG_READS_INCLUSIVELY && call->after != 0);
  const uint64_t upto = log->defect == TESTLOG_READS_BEYOND ? UINT64_MAX
                        : log->defect == TESTLOG_READS_EXCLUSIVELY
                            ? call->upto - 1
                            : call->upto;

  return seq > after && seq <= upto;
}

/* The records that a read is answered with; *lost is lost_through. */
static size_t gather(const struct testlog *log, const struct testlog_call *call,
                     weir_record *records, uint64_t *lost) {
  const struct testlog_stream *stream = call->stream;
  const struct testlog_event *event;
  size_t bytes = 0;
  size_t count = 0;
  size_t i;

  *lost = 0;
  for (i = 0; i < stream->count; ++i) {
    event = &stream->events[i];
    if (!is_asked_for(log, call, event->seq)) {
      continue;
    }
    bytes += event->frame_len + event->type_len + event->data_len;
    if ((count != 0 || log->defect == TESTLOG_READS_NOTHING) &&
        ((bytes > call->max_bytes &&
          log->defect != TESTLOG_READS_WITHOUT_BOUND) ||
         (count != 0 && count == log->most))) {
      return count;
    }
    if (event->seq > stream->lost_to && stream->lost_to > call->after) {
      *lost = stream->lost_to;
    }
    memset(&records[count], 0, sizeof records[count]);
    records[count].size = sizeof records[count];
    records[count].epoch = event->epoch;
    records[count].seq = event->seq;
    records[count].flags = event->flags;
    if (log->encoded && event->frame != NULL) {
      records[count].frame = event->frame;
      records[count].frame_len = event->frame_len;
    } else {
      records[count].type = event->type;
      records[count].type_len = event->type_len;
      records[count].data = event->data;
      records[count].data_len = event->data_len;
    }
    count += 1;
  }
  /* All that is left of what was asked for has been looked at. */
  if (stream->lost_to > call->after && stream->lost_after < call->upto) {
    *lost = stream->lost_to < call->upto ? stream->lost_to : call->upto;
  }
  return count;
}

static void *give_handle(struct testlog *log, struct testlog_stream *stream) {
  struct testlog_handle *handle = make(sizeof *handle);

  handle->next = log->open;
  handle->stream = stream;
  log->open = handle;
  log->handles += 1;
  return handle;
}

static void answer_call(struct testlog *log, struct testlog_call *call) {
  const size_t room = call->stream == NULL ? 1 : call->stream->count + 1;
  weir_record *records = make(room * sizeof *records);
  weir_answer answer;

  weir_answer_init(&answer, sizeof answer);
  answer.result = call->result;
  if (call->stream != NULL && !call->stream->gone &&
      call->what != TESTLOG_REFUSE) {
    if (log->current) {
      take_state(log, call);
    }
    answer.shared =
        call->stream->shared && log->defect != TESTLOG_FORGETS_SHARED;
    answer.epochs = call->epochs;
    answer.epoch_count = call->epoch_count;
    answer.trimmed = call->trimmed;
    answer.last = call->last;
    answer.ended = call->ended;
    answer.failed = call->failed;
    answer.meta = call->stream->meta;
    answer.meta_len = call->stream->meta_len;
    answer.first = call->first;
    if (call->kind == TESTLOG_READ) {
      answer.records = records;
      answer.record_count = gather(log, call, records, &answer.lost_through);
      log->delivered += answer.record_count;
    }
    if (call->kind == TESTLOG_OPEN && call->result == WEIR_LOG_YES) {
      answer.handle = give_handle(log, call->stream);
    }
  }
  if (log->defect == TESTLOG_SAYS_NO_STATE && call->kind == TESTLOG_READ) {
    answer.epochs = NULL;
    answer.epoch_count = 0;
  }
  if (call->bend != NULL) {
    call->bend(&answer, call->epochs, records);
  }
  log->again_hub = call->hub;
  log->again_ticket = call->ticket;
  log->again = answer;
  log->again.records = NULL;
  log->again.record_count = 0;
  log->again.epochs = NULL;
  log->again.epoch_count = 0;
  log->again.meta = NULL;
  log->again.meta_len = 0;
  log->answered = weir_log_answer(call->hub, call->ticket, &answer);
  if (log->defect == TESTLOG_ANSWERS_TWICE) {
    (void)testlog_repeat(log);
  }
  free(records);
}

void testlog_deliver(struct testlog *log, size_t n) {
  struct testlog_call **at = &log->waiting;
  struct testlog_call *call;
  size_t i;

  for (; n != 0; --n) {
    ck_assert_ptr_nonnull(*at);
    at = &(*at)->next;
  }
  call = *at;
  ck_assert_ptr_nonnull(call);
  *at = call->next;
  for (i = 0; i < call->lent_count; ++i) {
    ck_assert_mem_eq(call->lent[i].frame, call->lent[i].copy,
                     call->lent[i].len);
  }
  if (!call->done) {
    perform(log, call);
  }
  answer_call(log, call);
  free_call(call);
}

void testlog_deliver_all(struct testlog *log) {
  size_t n;

  for (n = testlog_waiting(log); n != 0; --n) {
    testlog_deliver(log, 0);
  }
}

size_t testlog_waiting(const struct testlog *log) {
  const struct testlog_call *call = log->waiting;
  size_t n = 0;

  for (; call != NULL; call = call->next) {
    n += 1;
  }
  return n;
}

int testlog_repeat(struct testlog *log) {
  return weir_log_answer(log->again_hub, log->again_ticket, &log->again);
}

/* --- The functions of the table ------------------------------------------ */

/* What was planned for this call, if anything. */
static void apply_plan(struct testlog *log, struct testlog_call *call) {
  size_t i;

  for (i = 0; i < log->plan_count; ++i) {
    if (log->plans[i].kind == call->kind &&
        log->plans[i].nth == log->calls[call->kind]) {
      call->what = log->plans[i].what;
      call->value = log->plans[i].value;
      call->bend = log->plans[i].bend;
    }
  }
}

/* A call has come, with all that it brings. */
static int receive(struct testlog *log, struct testlog_call *call,
                   weir_hub *hub, uint64_t ticket) {
  struct testlog_call **end = &log->waiting;
  size_t n = 0;
  int returned;

  call->hub = hub;
  call->ticket = ticket;
  log->calls[call->kind] += 1;
  apply_plan(log, call);
  if (log->inside != NULL) {
    log->inside(log->inside_user, call->kind);
  }
  if (log->defect == TESTLOG_RETURNS_ZERO && call->kind == TESTLOG_APPEND) {
    call->what = TESTLOG_RETURN;
    call->value = 0;
  }
  if (call->what == TESTLOG_RETURN) {
    returned = call->value;
    free_call(call);
    return returned;
  }
  if (!log->later || !log->slow) {
    perform(log, call);
  }
  for (; *end != NULL; end = &(*end)->next) {
    n += 1;
  }
  *end = call;
  if (!log->later &&
      !(log->defect == TESTLOG_ANSWERS_NO_TRIM && call->kind == TESTLOG_TRIM)) {
    testlog_deliver(log, n);
  }
  return WEIR_LOG_YES;
}

static int log_open(void *user, weir_hub *hub, uint64_t ticket,
                    const weir_log_request *request) {
  struct testlog *log = user;
  struct testlog_call *call = make(sizeof *call);

  ck_assert(request->mode >= WEIR_LOG_LOOKUP &&
            request->mode <= WEIR_LOG_CREATE);
  ck_assert_uint_ge(request->key_len, 1);
  ck_assert((request->mode == WEIR_LOG_LOOKUP) == (request->epoch == 0));
  log->modes[request->mode] += 1;
  call->kind = TESTLOG_OPEN;
  call->mode = request->mode;
  call->key = copy(request->key, request->key_len);
  call->key_len = request->key_len;
  call->shared = request->shared != 0;
  call->generation = request->generation;
  call->epoch = request->epoch;
  call->meta = copy(request->meta, request->meta_len);
  call->meta_len = request->meta_len;
  return receive(log, call, hub, ticket);
}

static void copy_record(const weir_record *record, bool shared,
                        struct testlog_event *event) {
  ck_assert_uint_eq(record->size, sizeof *record);
  ck_assert((record->frame == NULL) == shared);
  event->epoch = record->epoch;
  event->seq = record->seq;
  event->flags = record->flags;
  event->type = copy(record->type, record->type_len);
  event->type_len = record->type_len;
  event->data = copy(record->data, record->data_len);
  event->data_len = record->data_len;
  event->frame = shared ? NULL : copy(record->frame, record->frame_len);
  event->frame_len = record->frame_len;
}

static struct testlog_call *make_handle_call(const struct testlog *log,
                                             int kind, void *handle) {
  struct testlog_call *call = make(sizeof *call);
  const struct testlog_handle *open = log->open;

  while (open != NULL && open != handle) {
    open = open->next;
  }
  ck_assert_msg(open != NULL, "a call on a handle that is not open");
  call->kind = kind;
  call->stream = open->stream;
  return call;
}

static int log_append(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                      const weir_record *records, size_t count) {
  struct testlog *log = user;
  struct testlog_call *call = make_handle_call(log, TESTLOG_APPEND, handle);
  size_t i;

  ck_assert_uint_ge(count, 1);
  log->batch = count;
  call->events = make(count * sizeof call->events[0]);
  call->count = count;
  call->lent = make(count * sizeof call->lent[0]);
  for (i = 0; i < count; ++i) {
    copy_record(&records[i], call->stream->shared, &call->events[i]);
    if (records[i].frame != NULL) {
      call->lent[call->lent_count].frame = records[i].frame;
      call->lent[call->lent_count].len = records[i].frame_len;
      call->lent[call->lent_count++].copy =
          copy(records[i].frame, records[i].frame_len);
    }
  }
  return receive(log, call, hub, ticket);
}

static int log_read(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                    uint64_t after, uint64_t upto, size_t max_bytes) {
  struct testlog *log = user;
  struct testlog_call *call = make_handle_call(log, TESTLOG_READ, handle);

  ck_assert_uint_lt(after, upto);
  ck_assert_uint_ge(max_bytes, 1);
  call->after = after;
  call->upto = upto;
  call->max_bytes = max_bytes;
  log->after = after;
  log->upto = upto;
  return receive(log, call, hub, ticket);
}

static int log_trim(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                    uint64_t through) {
  struct testlog *log = user;
  struct testlog_call *call = make_handle_call(log, TESTLOG_TRIM, handle);

  call->after = through;
  return receive(log, call, hub, ticket);
}

static void log_close(void *user, void *closed) {
  struct testlog *log = user;
  struct testlog_handle **at = &log->open;
  struct testlog_handle *handle;

  while (*at != NULL && *at != closed) {
    at = &(*at)->next;
  }
  handle = *at;
  ck_assert_msg(handle != NULL, "a handle is closed that is not open");
  *at = handle->next;
  if (log->defect == TESTLOG_CLOSES_ALL) {
    handle->stream->gone = true;
  }
  free(handle);
  log->handles -= 1;
  log->closes += 1;
  if (log->inside != NULL) {
    log->inside(log->inside_user, TESTLOG_KINDS);
  }
}

void testlog_init(struct testlog *log) {
  memset(log, 0, sizeof *log);
  weir_log_init(&log->log, sizeof log->log);
  log->log.user = log;
  log->log.open = log_open;
  log->log.append = log_append;
  log->log.read = log_read;
  log->log.trim = log_trim;
  log->log.close = log_close;
  log->step = 1;
}

void testlog_end(struct testlog *log) {
  struct testlog_stream *stream;

  ck_assert_uint_eq(testlog_waiting(log), 0);
  ck_assert_uint_eq(log->handles, 0);
  while (log->newest != NULL) {
    stream = log->newest;
    log->newest = stream->older;
    free_stream(stream);
  }
}

static struct testlog_plan *add_plan(struct testlog *log, int kind,
                                     size_t nth) {
  struct testlog_plan *plan = &log->plans[log->plan_count++];

  ck_assert_uint_le(log->plan_count, sizeof log->plans / sizeof *log->plans);
  memset(plan, 0, sizeof *plan);
  plan->kind = kind;
  plan->nth = log->calls[kind] + nth;
  return plan;
}

void testlog_fail(struct testlog *log, int kind, size_t nth, int what,
                  int value) {
  struct testlog_plan *plan = add_plan(log, kind, nth);

  plan->what = what;
  plan->value = value;
}

void testlog_plan_bend(struct testlog *log, int kind, size_t nth,
                       testlog_bend *bend) {
  add_plan(log, kind, nth)->bend = bend;
}
