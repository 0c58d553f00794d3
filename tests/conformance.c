/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "conformance.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NODES 3
#define HANDLES 64
#define EVENTS 512
#define PATIENCE 100000

/* A check says what is wrong, or NULL. */
#define MUST(condition, problem) \
  do {                           \
    if (!(condition)) {          \
      return problem;            \
    }                            \
  } while (0)
#define PASS(check)                 \
  do {                              \
    const char *problem_ = (check); \
    if (problem_ != NULL) {         \
      return problem_;              \
    }                               \
  } while (0)

static const char no_memory[] = "the kit has no memory";

struct trial;

/* A hub on the log, with what it has asked for. */
struct node {
  struct trial *trial;
  weir_hub *hub;
  unsigned opens[4]; /* by mode */
  unsigned reads;
  uint64_t epoch; /* of the last TAKE or CREATE */
  /* What to change, 0 for nothing. */
  uint64_t generation; /* of the next CREATE, to this less 1 */
  uint64_t taken;      /* of the next TAKE */
  uint64_t writer;     /* the epoch of the next records, */
  size_t writer_from;  /* from this one on */
  size_t max_bytes;    /* of all reads */
  uint64_t span;       /* upto - after of all reads */
  /* The last notice `stored`. */
  uint64_t tag;
  int32_t error;
  uint64_t seq;
};

/* One check, on a log of its own. */
struct trial {
  const struct conformance *subject;
  weir_log log;
  bool errors; /* calls fail on purpose */
  uint64_t chance;
  uint64_t tags;
  struct node nodes[NODES];
  weir_stream *streams[HANDLES];
  size_t stream_count;
  weir_subscriber *readers[HANDLES];
  size_t reader_count;
};

/* --- Between the hub and the log ----------------------------------------- */

static int pass_open(void *user, weir_hub *hub, uint64_t ticket,
                     const weir_log_request *request) {
  struct node *node = user;
  const weir_log *log = &node->trial->log;
  weir_log_request changed = *request;

  node->opens[request->mode & 3] += 1;
  if (request->epoch != 0) {
    node->epoch = request->epoch;
  }
  if (request->mode == WEIR_LOG_CREATE && node->generation != 0) {
    changed.generation = node->generation - 1;
    node->generation = 0;
  }
  if (request->mode == WEIR_LOG_TAKE && node->taken != 0) {
    changed.generation = node->taken;
    node->taken = 0;
  }
  return log->open(log->user, hub, ticket, &changed);
}

static int pass_append(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                       const weir_record *records, size_t count) {
  struct node *node = user;
  const weir_log *log = &node->trial->log;
  weir_record changed[8];
  size_t i;

  if (node->writer == 0 || count > sizeof changed / sizeof changed[0]) {
    return log->append(log->user, hub, ticket, handle, records, count);
  }
  for (i = 0; i < count; ++i) {
    changed[i] = records[i];
    changed[i].epoch = i >= node->writer_from ? node->writer : changed[i].epoch;
  }
  node->writer = 0;
  node->writer_from = 0;
  return log->append(log->user, hub, ticket, handle, changed, count);
}

static int pass_read(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                     uint64_t after, uint64_t upto, size_t max_bytes) {
  struct node *node = user;
  const weir_log *log = &node->trial->log;

  node->reads += 1;
  if (node->span != 0 && upto - after > node->span) {
    upto = after + node->span;
  }
  return log->read(log->user, hub, ticket, handle, after, upto,
                   node->max_bytes != 0 ? node->max_bytes : max_bytes);
}

static int pass_trim(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                     uint64_t through) {
  const weir_log *log = &((struct node *)user)->trial->log;

  return log->trim(log->user, hub, ticket, handle, through);
}

static void pass_close(void *user, void *handle) {
  const weir_log *log = &((struct node *)user)->trial->log;

  log->close(log->user, handle);
}

/* --- Hubs ---------------------------------------------------------------- */

static uint64_t still(void *user) {
  (void)user;
  return 1000;
}

/* SplitMix64: every epoch of a trial is another. */
static int draw(void *user, void *dst, size_t len) {
  struct trial *trial = user;
  unsigned char *p = dst;
  uint64_t z = 0;
  size_t i;

  for (i = 0; i < len; ++i) {
    if (i % 8 == 0) {
      trial->chance += UINT64_C(0x9e3779b97f4a7c15);
      z = trial->chance;
      z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
      z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
      z ^= z >> 31;
    }
    p[i] = (unsigned char)(z >> i % 8 * 8);
  }
  return 1;
}

static void note(void *user, const weir_notice *notice) {
  struct node *node = user;

  if (notice->kind == WEIR_NOTICE_STORED) {
    node->tag = notice->tag;
    node->error = notice->error;
    node->seq = notice->seq;
  }
}

static const char *start(struct trial *trial, size_t n) {
  struct node *node = &trial->nodes[n];
  weir_hub_options options;
  weir_log table;

  memset(node, 0, sizeof *node);
  node->trial = trial;
  weir_log_init(&table, sizeof table);
  table.user = node;
  table.flags = trial->log.flags;
  table.open = pass_open;
  table.append = pass_append;
  table.read = pass_read;
  table.trim = pass_trim;
  table.close = pass_close;
  weir_hub_options_init(&options, sizeof options);
  options.clock = still;
  options.entropy = draw;
  options.entropy_user = trial;
  options.notify = note;
  options.notify_user = node;
  options.log = &table;
  options.flags = WEIR_HUB_BYTES;
  MUST(weir_hub_new(&options, &node->hub) == WEIR_OK, no_memory);
  return NULL;
}

static weir_hub_info hub_info(const struct node *node) {
  weir_hub_info info;

  info.size = sizeof info;
  (void)weir_hub_get_info(node->hub, &info);
  return info;
}

/* Let the hubs run. Returns the number of calls under way. */
static uint64_t turn(struct trial *trial) {
  uint64_t calls = 0;
  size_t i;

  for (i = 0; i < NODES; ++i) {
    if (trial->nodes[i].hub != NULL) {
      (void)weir_hub_run(trial->nodes[i].hub);
      calls += hub_info(&trial->nodes[i]).calls;
    }
  }
  return calls;
}

/* Until nothing is under way. */
static const char *settle(struct trial *trial) {
  uint32_t patience =
      trial->subject->patience != 0 ? trial->subject->patience : PATIENCE;
  int quiet = 0;

  while (quiet < 3) {
    quiet = turn(trial) == 0 ? quiet + 1 : 0;
    MUST(patience-- != 0, "a call is not answered");
    if (trial->subject->pump != NULL) {
      trial->subject->pump(trial->subject->user, &trial->log);
    }
  }
  return NULL;
}

/* Let go of all handles and hubs. */
static const char *stop(struct trial *trial) {
  const char *problem = settle(trial);
  size_t i;

  while (trial->reader_count != 0) {
    weir_subscriber_release(trial->readers[--trial->reader_count]);
  }
  while (trial->stream_count != 0) {
    weir_stream_release(trial->streams[--trial->stream_count]);
  }
  for (i = 0; i < NODES; ++i) {
    weir_hub_free(trial->nodes[i].hub);
    trial->nodes[i].hub = NULL;
  }
  return problem;
}

/* Storage has not been found wanting by any hub. */
static const char *clean(const struct trial *trial) {
  size_t i;

  for (i = 0; i < NODES && !trial->errors; ++i) {
    MUST(trial->nodes[i].hub == NULL ||
             hub_info(&trial->nodes[i]).log_errors == 0,
         "a call failed that has to succeed");
    MUST(trial->nodes[i].hub == NULL || hub_info(&trial->nodes[i]).stale == 0,
         "a call was answered twice");
  }
  return NULL;
}

/* --- What a host does ---------------------------------------------------- */

static weir_stream_info info_of(const weir_stream *stream) {
  weir_stream_info info;

  memset(&info, 0, sizeof info);
  info.size = sizeof info;
  (void)weir_stream_get_info(stream, &info);
  return info;
}

static weir_open_options opening(const char *key, uint32_t flags) {
  weir_open_options options;

  weir_open_options_init(&options, sizeof options);
  options.key = key;
  options.key_len = strlen(key);
  options.flags = flags;
  return options;
}

/* Open, and wait for the decision: what it is. The handle goes with the
 * trial. */
static int open_with(struct trial *trial, size_t n,
                     const weir_open_options *options, weir_stream **opened) {
  int rv = weir_hub_open(trial->nodes[n].hub, options, opened);

  if (rv != WEIR_OK) {
    return rv;
  }
  if (trial->stream_count == HANDLES) {
    weir_stream_release(*opened);
    return WEIR_ENOMEM;
  }
  trial->streams[trial->stream_count++] = *opened;
  if (settle(trial) != NULL) {
    return WEIR_EUNKNOWN;
  }
  return info_of(*opened).error;
}

static int open_stream(struct trial *trial, size_t n, const char *key,
                       weir_stream **opened) {
  const weir_open_options options = opening(key, 0);

  return open_with(trial, n, &options, opened);
}

/* Data of some length that tells events apart. */
static void fill(char *data, size_t len, uint64_t seed) {
  size_t i;

  for (i = 0; i < len; ++i) {
    data[i] = (char)('a' + (seed * 7 + i) % 26);
  }
}

/* What was published: what a reader has to get. */
struct entry {
  weir_cursor at;
  const char *type;
  const char *data; /* NULL: the end */
  size_t len;
};
struct book {
  struct entry entries[EVENTS];
  size_t count;
};

static void enter(struct book *book, uint64_t epoch, uint64_t seq,
                  const char *type, const char *data, size_t len) {
  struct entry *entry = &book->entries[book->count++];

  entry->at.epoch = epoch;
  entry->at.seq = seq;
  entry->type = type;
  entry->data = data;
  entry->len = len;
}

/* Wait for what becomes of an event with this tag: what the call returned if
 * that says it already. */
static int wait_for(struct trial *trial, size_t n, int rv, uint64_t tag) {
  const struct node *node = &trial->nodes[n];

  if (rv != WEIR_OK) {
    (void)settle(trial);
    return rv;
  }
  if (settle(trial) != NULL || node->tag != tag) {
    return WEIR_EUNKNOWN;
  }
  return node->error;
}

/* Publish count events of these bytes as one batch (at most 128), and wait. */
static int publish_batch(struct trial *trial, size_t n, weir_stream *stream,
                         const char *type, const char *data, size_t len,
                         size_t count) {
  weir_event events[128];
  size_t i;
  int rv;

  for (i = 0; i < count; ++i) {
    weir_event_init(&events[i], sizeof events[i]);
    events[i].type = type;
    events[i].type_len = strlen(type);
    events[i].data = data;
    events[i].data_len = len;
  }
  events[count - 1].tag = ++trial->tags;
  rv = weir_stream_publish(stream, events, count, NULL);
  return wait_for(trial, n, rv, trial->tags);
}

/* Publish one event, and enter it if it was stored. */
static int publish(struct trial *trial, size_t n, weir_stream *stream,
                   struct book *book, const char *type, const char *data,
                   size_t len) {
  int rv = publish_batch(trial, n, stream, type, data, len, 1);

  if (rv == WEIR_OK && book != NULL) {
    enter(book, info_of(stream).epoch, trial->nodes[n].seq, type, data, len);
  }
  return rv;
}

static int publish_text(struct trial *trial, size_t n, weir_stream *stream,
                        struct book *book, const char *text) {
  return publish(trial, n, stream, book, "x", text, strlen(text));
}

static int end_stream(struct trial *trial, size_t n, weir_stream *stream,
                      struct book *book) {
  int rv = weir_stream_end(stream, "ok", 2, ++trial->tags, NULL);

  rv = wait_for(trial, n, rv, trial->tags);
  if (rv == WEIR_OK && book != NULL) {
    enter(book, info_of(stream).epoch, trial->nodes[n].seq, "weir.done", NULL,
          0);
  }
  return rv;
}

/* Attach with a cursor (NULL: none), and wait for the verdict. *reader is NULL
 * if there is none. Negative: an error. */
static int attach(struct trial *trial, size_t n, const char *key,
                  const weir_cursor *cursor, weir_subscriber **reader) {
  weir_attach_options options;
  weir_subscriber_info info;
  weir_request request;
  char text[WEIR_CURSOR_MAX];
  int verdict = WEIR_VERDICT_UNKNOWN;
  int rv;

  weir_attach_options_init(&options, sizeof options);
  weir_request_init(&request, sizeof request);
  options.key = key;
  options.key_len = strlen(key);
  options.request = &request;
  if (cursor != NULL) {
    (void)weir_cursor_format(cursor, WEIR_CURSOR_EPOCH, text, sizeof text,
                             &request.header_len);
    request.header = text;
  }
  *reader = NULL;
  rv = weir_hub_attach(trial->nodes[n].hub, &options, reader, &verdict);
  if (rv != WEIR_OK || *reader == NULL) {
    return rv != WEIR_OK ? rv : verdict;
  }
  if (trial->reader_count == HANDLES) {
    weir_subscriber_release(*reader);
    return WEIR_ENOMEM;
  }
  trial->readers[trial->reader_count++] = *reader;
  if (settle(trial) != NULL) {
    return WEIR_EUNKNOWN;
  }
  info.size = sizeof info;
  (void)weir_subscriber_get_info(*reader, &info);
  return info.error != WEIR_OK ? info.error : info.verdict;
}

/* --- What a client gets -------------------------------------------------- */

struct bytes {
  char *data;
  size_t len;
  size_t cap;
};

static bool grow(struct bytes *bytes, size_t len) {
  const size_t cap = (bytes->len + len) * 2 + 4096;
  char *data;

  if (bytes->len + len <= bytes->cap) {
    return true;
  }
  data = realloc(bytes->data, cap);
  if (data == NULL) {
    return false;
  }
  bytes->data = data;
  bytes->cap = cap;
  return true;
}

/* Pull until nothing comes any more. *last is why. */
static const char *pull(struct trial *trial, weir_subscriber *reader,
                        struct bytes *bytes, int *last) {
  size_t len;
  int quiet = 0;

  while (quiet < 3) {
    MUST(grow(bytes, 65536), no_memory);
    *last = weir_subscriber_read(reader, bytes->data + bytes->len, 65536, &len);
    if (*last == WEIR_OK) {
      bytes->len += len;
      quiet = 0;
    } else {
      quiet += 1;
      PASS(settle(trial));
    }
  }
  return NULL;
}

/* The length of the frame at the beginning, with its blank line; 0 if there is
 * none. */
static size_t frame_length(const char *data, size_t len) {
  size_t i;

  for (i = 1; i < len; ++i) {
    if (data[i] == '\n' && data[i - 1] == '\n') {
      return i + 1;
    }
  }
  return 0;
}

static bool has_type(const char *data, size_t len, const char *type) {
  const size_t type_len = strlen(type);
  size_t i;

  for (i = 0; i + type_len + 8 < len; ++i) {
    if (memcmp(data + i, "\nevent: ", 8) == 0) {
      return memcmp(data + i + 8, type, type_len) == 0 &&
             data[i + 8 + type_len] == '\n';
    }
  }
  return false;
}

/* Whether a frame is that of an event. */
static const char *check_frame(const char *data, size_t len,
                               const struct entry *entry) {
  char id[WEIR_CURSOR_MAX];
  weir_frame frame;
  size_t id_len = 0;
  size_t want;
  char *expected;
  bool same;

  (void)weir_cursor_format(&entry->at, WEIR_CURSOR_EPOCH, id, sizeof id,
                           &id_len);
  MUST(len > id_len + 5 && memcmp(data, "id: ", 4) == 0 &&
           memcmp(data + 4, id, id_len) == 0 && data[4 + id_len] == '\n',
       "an event is missing, or comes twice, or has the number of another");
  if (entry->data == NULL) {
    MUST(has_type(data, len, entry->type), "the end is not as it was stored");
    return NULL;
  }
  weir_frame_init(&frame, sizeof frame);
  frame.type = entry->type;
  frame.type_len = strlen(entry->type);
  frame.data = entry->data;
  frame.data_len = entry->len;
  frame.flags = WEIR_FRAME_BYTES;
  (void)weir_frame_encode_event(&frame, id, id_len, NULL, 0, &want);
  expected = malloc(want);
  MUST(expected != NULL, no_memory);
  (void)weir_frame_encode_event(&frame, id, id_len, expected, want, &want);
  same = len == want && memcmp(expected, data, len) == 0;
  free(expected);
  MUST(same, "an event is not as it was stored, byte for byte");
  return NULL;
}

static const char *check_frames(const struct bytes *bytes,
                                const struct book *book, uint64_t after,
                                bool gap) {
  const char *p = bytes->data;
  size_t left = bytes->len;
  size_t i;
  size_t n = frame_length(p, left);

  MUST(has_type(p, n, "weir.gap") == gap,
       gap ? "a loss is not told" : "a loss is told that was none");
  if (gap) {
    p += n;
    left -= n;
    n = frame_length(p, left);
  }
  MUST(has_type(p, n, "weir.ready"),
       "a connection does not begin as it has to");
  for (i = 0; i < book->count; ++i) {
    if (book->entries[i].at.seq <= after) {
      continue;
    }
    p += n;
    left -= n;
    n = frame_length(p, left);
    MUST(n != 0, "events are missing at the end");
    PASS(check_frame(p, n, &book->entries[i]));
  }
  MUST(left == n, "there is more than was published");
  return NULL;
}

/* A reader gets all events of the book after this number, and then waits, or
 * (ended) nothing more, ever. */
static const char *expect(struct trial *trial, weir_subscriber *reader,
                          const struct book *book, uint64_t after, bool gap,
                          bool ended) {
  struct bytes bytes = {NULL, 0, 0};
  const char *problem;
  int last = WEIR_OK;

  problem = pull(trial, reader, &bytes, &last);
  if (problem == NULL) {
    problem = check_frames(&bytes, book, after, gap);
  }
  free(bytes.data);
  PASS(problem);
  MUST(last == (ended ? WEIR_EDONE : WEIR_EAGAIN),
       ended ? "the end is not known to be one"
             : "a stream is taken for ended that is not");
  return NULL;
}

/* The hub that reads; alone if it has to be. It knows nothing but what it has
 * read. */
static const char *begin_reading(struct trial *trial) {
  struct node *node = &trial->nodes[NODES - 1];
  size_t i;

  if ((trial->subject->flags & CONFORMANCE_ONE_HUB) != 0) {
    PASS(settle(trial));
    for (i = 0; i + 1 < NODES; ++i) {
      PASS(clean(trial));
      weir_hub_free(trial->nodes[i].hub);
      trial->nodes[i].hub = NULL;
    }
  }
  return node->hub != NULL ? NULL : start(trial, NODES - 1);
}

/* It knows nothing again. */
static const char *forget(struct trial *trial) {
  struct node *node = &trial->nodes[NODES - 1];

  PASS(settle(trial));
  PASS(clean(trial));
  weir_hub_free(node->hub);
  node->hub = NULL;
  return NULL;
}

/* It gets the whole stream. */
static const char *expect_all(struct trial *trial, const char *key,
                              const struct book *book, bool ended) {
  weir_subscriber *reader;

  PASS(begin_reading(trial));
  MUST(attach(trial, NODES - 1, key, NULL, &reader) == WEIR_VERDICT_FRESH,
       "a stream is not found");
  return expect(trial, reader, book, 0, false, ended);
}

/* What a client with this cursor is told; and unless it is finished, what it
 * gets after that number. */
static const char *expect_verdict(struct trial *trial, const char *key,
                                  const struct book *book, uint64_t epoch,
                                  uint64_t seq, int verdict, uint64_t after,
                                  const char *problem) {
  const weir_cursor cursor = {epoch, seq};
  weir_subscriber *reader;

  PASS(begin_reading(trial));
  MUST(attach(trial, NODES - 1, key, &cursor, &reader) == verdict, problem);
  if (reader == NULL || verdict == WEIR_VERDICT_FINISHED) {
    return NULL;
  }
  return expect(
      trial, reader, book, after, verdict != WEIR_VERDICT_RESUMED,
      book->count != 0 && book->entries[book->count - 1].data == NULL);
}

/* --- The checks: opens --------------------------------------------------- */

static const char *unknown_key(struct trial *trial) {
  weir_subscriber *reader;

  PASS(start(trial, 0));
  MUST(attach(trial, 0, "nobody", NULL, &reader) == WEIR_VERDICT_UNKNOWN,
       "LOOKUP of an unknown key is not answered with WEIR_ENOENT");
  return NULL;
}

static const char *create(struct trial *trial) {
  struct book book = {.count = 0};
  weir_stream_info info;
  weir_stream *stream;

  PASS(start(trial, 0));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  info = info_of(stream);
  MUST(
      info.generation == trial->nodes[0].epoch && info.epoch == info.generation,
      "CREATE does not name the generation by its epoch");
  MUST(info.last == 0 && info.trimmed == 0 && info.ended == 0,
       "a new generation is not empty");
  return expect_all(trial, "k", &book, false);
}

static const char *create_compares(struct trial *trial) {
  weir_open_options options = opening("k", 0);
  weir_stream *stream;
  uint64_t first;
  unsigned i;

  PASS(start(trial, 0));
  /* A log that answers later shows a generation whose end is under way as it
   * is, and the hub, sent back, may take it over from itself to end it. */
  trial->errors = true;
  /* There is none: one that is to follow another cannot be begun. */
  trial->nodes[0].generation = 1 + 4711;
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  MUST(trial->nodes[0].opens[WEIR_LOG_CREATE] == 2 &&
           trial->nodes[0].opens[WEIR_LOG_LOOKUP] == 2,
       "CREATE after a generation that is not there does not give "
       "WEIR_EEXISTS");
  options.on_duplicate = WEIR_DUPLICATE_REPLACE;
  for (i = 0; i < 2; ++i) {
    /* There is one: neither the first nor one after another may be begun. */
    first = info_of(stream).generation;
    trial->nodes[0].generation = i == 0 ? 1 : 1 + 4711;
    MUST(open_with(trial, 0, &options, &stream) == WEIR_OK,
         "CREATE of the next generation is refused");
    MUST(trial->nodes[0].opens[WEIR_LOG_CREATE] == 4 + 2 * i,
         "CREATE does not compare the generation with the newest");
    MUST(info_of(stream).generation != first, "the old generation comes back");
  }
  return NULL;
}

/* The newest generation hides those before it, which live on for who has a
 * handle. */
static const char *create_hides(struct trial *trial) {
  weir_open_options options = opening("k", 0);
  struct book before = {.count = 0};
  struct book book = {.count = 0};
  weir_subscriber *reader;
  weir_stream *stream;
  weir_stream *next;

  PASS(start(trial, 0));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  MUST(publish_text(trial, 0, stream, &before, "old") == WEIR_OK,
       "append is refused");
  MUST(attach(trial, 0, "k", NULL, &reader) == WEIR_VERDICT_FRESH,
       "a stream is not found");
  options.on_duplicate = WEIR_DUPLICATE_REPLACE;
  MUST(open_with(trial, 0, &options, &next) == WEIR_OK,
       "CREATE of the next generation is refused");
  enter(&before, info_of(stream).epoch, 2, "weir.done", NULL, 0);
  MUST(info_of(stream).ended == 2,
       "the end of a hidden generation cannot be appended");
  PASS(expect(trial, reader, &before, 0, false, true));
  MUST(publish_text(trial, 0, next, &book, "new") == WEIR_OK,
       "append is refused");
  MUST(info_of(next).last == 1, "a new generation does not begin with 1");
  return expect_all(trial, "k", &book, false);
}

static const char *keys(struct trial *trial) {
  static const char *const odd[] = {
      "a",   "a ",  "A",    "a/b",  "a/b/c",    "a%2fb",
      "a_b", "a'b", "a\"b", "a\\b", "a;b",      "a--b",
      "a*b", "..",  "a:b",  "a,b}", "\xc3\xa9", "e\xcc\x81"};
  struct book books[18];
  weir_stream *stream;
  char longest[256];
  size_t i;

  memset(books, 0, sizeof books);
  PASS(start(trial, 0));
  for (i = 0; i < 18; ++i) {
    MUST(open_stream(trial, 0, odd[i], &stream) == WEIR_OK &&
             info_of(stream).joined == 0,
         "a key is taken for another, or is refused");
    MUST(publish_text(trial, 0, stream, &books[i], odd[i]) == WEIR_OK,
         "append is refused");
  }
  memset(longest, 'k', 255);
  longest[255] = '\0';
  MUST(open_stream(trial, 0, longest, &stream) == WEIR_OK,
       "a key of 255 bytes is refused");
  longest[254] = 'l';
  MUST(open_stream(trial, 0, longest, &stream) == WEIR_OK &&
           info_of(stream).joined == 0,
       "a key of 255 bytes is cut");
  for (i = 0; i < 18; ++i) {
    PASS(expect_all(trial, odd[i], &books[i], false));
  }
  return NULL;
}

/* What the open chose comes back as it was: as long as it can be, with bytes of
 * every kind. */
static const char *meta(struct trial *trial) {
  weir_open_options options = opening("k", WEIR_OPEN_ENVELOPE);
  struct bytes bytes = {NULL, 0, 0};
  const char *problem = NULL;
  weir_subscriber *reader;
  weir_stream *stream;
  char members[1024];
  int last;

  memset(members, 'm', sizeof members);
  memcpy(members, "\"m\":\"", 5);
  members[sizeof members - 1] = '"';
  options.members = members;
  options.members_len = sizeof members;
  options.prefix =
      "a-prefix-of-64-bytes-which-is-as-long-as-prefixes-can-ever-be---";
  options.prefix_len = 64;
  options.idle = 0xff00ff00ff;
  PASS(start(trial, 0));
  MUST(open_with(trial, 0, &options, &stream) == WEIR_OK, "CREATE is refused");
  PASS(begin_reading(trial));
  MUST(attach(trial, NODES - 1, "k", NULL, &reader) == WEIR_VERDICT_FRESH,
       "the meta of a stream does not come back, or not as it was");
  problem = pull(trial, reader, &bytes, &last);
  if (problem == NULL &&
      (bytes.len < 1024 ||
       memcmp(bytes.data + bytes.len - 3 - sizeof members, members,
              sizeof members) != 0 ||
       !has_type(bytes.data, bytes.len,
                 "a-prefix-of-64-bytes-which-is-as-long-as-prefixes-can-ever-"
                 "be---ready"))) {
    problem = "the meta of a stream does not come back as it was";
  }
  free(bytes.data);
  return problem;
}

/* --- Events -------------------------------------------------------------- */

static const char *append_and_read(struct trial *trial) {
  struct book book = {.count = 0};
  weir_stream *stream;
  weir_stream_info info;
  unsigned i;

  PASS(start(trial, 0));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  for (i = 1; i <= 5; ++i) {
    MUST(publish_text(trial, 0, stream, &book, "event") == WEIR_OK,
         "append is refused");
    info = info_of(stream);
    MUST(info.last == i, "the state after an append is not that after it");
  }
  return expect_all(trial, "k", &book, false);
}

static const char *batches(struct trial *trial) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
  static const size_t sizes[] = {2, 128, 1, 17, 128};
  struct book book = {.count = 0};
  weir_event events[128];
  weir_stream *stream;
  uint64_t epoch;
  size_t i;
  size_t n;
  int rv;

  PASS(start(trial, 0));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  epoch = info_of(stream).epoch;
  for (n = 0; n < sizeof sizes / sizeof sizes[0]; ++n) {
    for (i = 0; i < sizes[n]; ++i) {
      weir_event_init(&events[i], sizeof events[i]);
      events[i].type = "x";
      events[i].type_len = 1;
      events[i].data = letters + i % 26;
      events[i].data_len = 1;
      enter(&book, epoch, book.count + 1, "x", letters + i % 26, 1);
    }
    events[sizes[n] - 1].tag = ++trial->tags;
    rv = weir_stream_publish(stream, events, sizes[n], NULL);
    MUST(wait_for(trial, 0, rv, trial->tags) == WEIR_OK, "a batch is refused");
    MUST(info_of(stream).last == book.count, "a batch is stored in part");
  }
  return expect_all(trial, "k", &book, false);
}

/* `after` is exclusive, `upto` inclusive, and nothing in between is left out.
 */
static const char *ranges(struct trial *trial) {
  static const uint64_t cursors[] = {0,   1,   62,  63,  64, 65,
                                     127, 128, 129, 199, 200};
  struct book book = {.count = 0};
  weir_stream *stream;
  uint64_t epoch;
  size_t i;

  PASS(start(trial, 0));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  epoch = info_of(stream).epoch;
  for (i = 1; i <= 200; ++i) {
    MUST(publish_text(trial, 0, stream, &book, "event") == WEIR_OK,
         "append is refused");
  }
  for (i = 0; i < sizeof cursors / sizeof cursors[0]; ++i) {
    PASS(expect_verdict(trial, "k", &book, epoch, cursors[i],
                        WEIR_VERDICT_RESUMED, cursors[i],
                        "a cursor of the stream is not known"));
    PASS(forget(trial));
  }
  return NULL;
}

/* A read that asks for one event gets one. */
static const char *upto(struct trial *trial) {
  struct node *reading = &trial->nodes[NODES - 1];
  struct book book = {.count = 0};
  weir_stream *stream;
  size_t i;

  PASS(start(trial, 0));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  for (i = 0; i < 20; ++i) {
    MUST(publish_text(trial, 0, stream, &book, "event") == WEIR_OK,
         "append is refused");
  }
  PASS(begin_reading(trial));
  reading->span = 1;
  PASS(expect_all(trial, "k", &book, false));
  MUST(reading->reads >= 20, "a read brings events beyond `upto`");
  return NULL;
}

/* At least one event, then as many as fit. */
static const char *max_bytes(struct trial *trial) {
  static const size_t sizes[] = {1, 200};
  struct book book = {.count = 0};
  char data[100];
  weir_stream *stream;
  struct node *reading = &trial->nodes[NODES - 1];
  size_t i;

  PASS(start(trial, 0));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  fill(data, sizeof data, 1);
  for (i = 0; i < 20; ++i) {
    MUST(publish(trial, 0, stream, &book, "x", data, sizeof data) == WEIR_OK,
         "append is refused");
  }
  for (i = 0; i < 2; ++i) {
    PASS(begin_reading(trial));
    reading->max_bytes = sizes[i];
    PASS(expect_all(trial, "k", &book, false));
    MUST(reading->reads >= (i == 0 ? 20 : 10),
         "a read brings more than max_bytes");
    PASS(forget(trial));
  }
  return NULL;
}

static const char *sizes(struct trial *trial) {
  static const size_t lengths[] = {0, 1, 4095, 4096, 65536, 1024 * 1024};
  struct book book = {.count = 0};
  const char *problem = NULL;
  weir_stream *stream = NULL;
  char *data = malloc(1024 * 1024);
  size_t i;

  MUST(data != NULL, no_memory);
  fill(data, 1024 * 1024, 3);
  problem = start(trial, 0);
  if (problem == NULL && open_stream(trial, 0, "k", &stream) != WEIR_OK) {
    problem = "CREATE is refused";
  }
  for (i = 0; problem == NULL && i < sizeof lengths / sizeof lengths[0]; ++i) {
    if (publish(trial, 0, stream, &book, i == 0 ? "" : "x", data, lengths[i]) !=
        WEIR_OK) {
      problem = "an event is refused for its size";
    }
  }
  if (problem == NULL) {
    problem = expect_all(trial, "k", &book, false);
  }
  free(data);
  return problem;
}

/* Frames and data are bytes. */
static const char *binary(struct trial *trial) {
  struct book book = {.count = 0};
  weir_stream *stream;
  char bytes[256];
  size_t i;

  for (i = 0; i < sizeof bytes; ++i) {
    bytes[i] = (char)(255 - i);
  }
  PASS(start(trial, 0));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  MUST(publish(trial, 0, stream, &book, "x", bytes, sizeof bytes) == WEIR_OK &&
           publish(trial, 0, stream, &book, "x\xc3\xa9", "\0", 1) == WEIR_OK &&
           publish(trial, 0, stream, &book, "x", "a\0b\0", 4) == WEIR_OK,
       "bytes are refused");
  return expect_all(trial, "k", &book, false);
}

/* That data is JSON is a flag of its event, which is kept: in an envelope such
 * data is no string. Of a frame that comes back nobody asks. */
static const char *json_in(struct trial *trial, uint32_t open_flags) {
  static const char data[] = "{\"a\":\"b\"}";
  weir_open_options options = opening("k", WEIR_OPEN_ENVELOPE | open_flags);
  struct bytes bytes = {NULL, 0, 0};
  const char *problem;
  weir_subscriber *reader;
  weir_stream *stream;
  weir_event event;
  size_t found = 0;
  size_t i;
  int last;
  int rv;

  PASS(start(trial, 0));
  MUST(open_with(trial, 0, &options, &stream) == WEIR_OK, "CREATE is refused");
  for (i = 0; i < 2; ++i) {
    weir_event_init(&event, sizeof event);
    event.data = data;
    event.data_len = sizeof data - 1;
    event.flags = i == 0 ? 0 : WEIR_EVENT_JSON;
    event.tag = ++trial->tags;
    rv = weir_stream_publish(stream, &event, 1, NULL);
    MUST(wait_for(trial, 0, rv, trial->tags) == WEIR_OK, "append is refused");
  }
  PASS(begin_reading(trial));
  MUST(attach(trial, NODES - 1, "k", NULL, &reader) == WEIR_VERDICT_FRESH,
       "a stream is not found");
  problem = pull(trial, reader, &bytes, &last);
  for (i = 0; i + sizeof data - 1 <= bytes.len; ++i) {
    found += memcmp(bytes.data + i, data, sizeof data - 1) == 0;
  }
  free(bytes.data);
  PASS(problem);
  MUST(found == 1, found == 0 ? "that data is JSON is not kept"
                              : "data that is none is taken for JSON");
  return NULL;
}

static const char *json(struct trial *trial) {
  return json_in(trial, 0);
}

static const char *interleaved(struct trial *trial) {
  static const char *const names[] = {"s0", "s1", "s2", "s3", "s4",
                                      "s5", "s6", "s7", "s8", "s9"};
  static struct book books[10];
  weir_stream *streams[10];
  size_t round;
  size_t i;

  memset(books, 0, sizeof books);
  PASS(start(trial, 0));
  for (i = 0; i < 10; ++i) {
    MUST(open_stream(trial, 0, names[i], &streams[i]) == WEIR_OK,
         "CREATE is refused");
  }
  for (round = 0; round < 20; ++round) {
    for (i = 0; i < 10; ++i) {
      if (round % (i + 1) == 0) {
        MUST(publish_text(trial, 0, streams[i], &books[i], names[i]) == WEIR_OK,
             "append is refused");
      }
    }
  }
  for (i = 0; i < 10; i += 2) {
    MUST(end_stream(trial, 0, streams[i], &books[i]) == WEIR_OK,
         "an end is refused");
  }
  for (i = 0; i < 10; ++i) {
    PASS(expect_all(trial, names[i], &books[i], i % 2 == 0));
  }
  return NULL;
}

/* --- Ends and trims ------------------------------------------------------ */

static const char *ends(struct trial *trial) {
  struct book book = {.count = 0};
  weir_stream *stream;
  uint64_t epoch;

  PASS(start(trial, 0));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  epoch = info_of(stream).epoch;
  MUST(publish_text(trial, 0, stream, &book, "1") == WEIR_OK &&
           end_stream(trial, 0, stream, &book) == WEIR_OK,
       "an end is refused");
  MUST(info_of(stream).ended == 2, "an end is not in the state");
  PASS(expect_all(trial, "k", &book, true));
  PASS(expect_verdict(trial, "k", &book, epoch, 1, WEIR_VERDICT_RESUMED, 1,
                      "a cursor before the end is not known"));
  return expect_verdict(trial, "k", &book, epoch, 2, WEIR_VERDICT_FINISHED, 2,
                        "an end is not known to be one");
}

/* A failed end differs from another by a flag, which is kept. */
static const char *flags(struct trial *trial) {
  weir_open_options options = opening("k", WEIR_OPEN_LOOK);
  struct book book = {.count = 0};
  weir_stream *stream;
  int rv;

  PASS(start(trial, 0));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  rv = weir_stream_fail(stream, "code", 4, "text", 4, ++trial->tags, NULL);
  MUST(wait_for(trial, 0, rv, trial->tags) == WEIR_OK, "an end is refused");
  enter(&book, info_of(stream).epoch, 1, "weir.failed", NULL, 0);
  PASS(begin_reading(trial));
  MUST(open_with(trial, NODES - 1, &options, &stream) == WEIR_OK,
       "a stream that has ended is not found");
  return expect_all(trial, "k", &book, true);
}

/* Whoever wants to take over what has ended is told so, and nothing changes. */
static const char *take_what_ended(struct trial *trial) {
  weir_open_options options = opening("k", WEIR_OPEN_EXISTING);
  struct book book = {.count = 0};
  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *stream;
  uint64_t epoch;

  PASS(start(trial, 0));
  PASS(start(trial, 1));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  epoch = info_of(stream).epoch;
  MUST(publish_text(trial, 0, stream, &book, "1") == WEIR_OK,
       "append is refused");
  MUST(attach(trial, 1, "k", NULL, &reader) == WEIR_VERDICT_FRESH,
       "a stream is not found");
  MUST(end_stream(trial, 0, stream, &book) == WEIR_OK, "an end is refused");
  MUST(open_with(trial, 1, &options, &second) == WEIR_EENDED &&
           trial->nodes[1].opens[WEIR_LOG_TAKE] == 1,
       "TAKE of what has ended does not say that it has");
  PASS(expect_verdict(trial, "k", &book, trial->nodes[1].epoch, 1,
                      WEIR_VERDICT_FOREIGN, 0,
                      "TAKE of what has ended adds an epoch"));
  return expect_verdict(trial, "k", &book, epoch, 1, WEIR_VERDICT_RESUMED, 1,
                        "a cursor before the end is not known");
}

static const char *append_after_end(struct trial *trial) {
  struct book book = {.count = 0};
  weir_stream *second;
  weir_stream *stream;

  PASS(start(trial, 0));
  PASS(start(trial, 1));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  MUST(publish_text(trial, 0, stream, &book, "1") == WEIR_OK,
       "append is refused");
  MUST(open_stream(trial, 1, "k", &second) == WEIR_OK, "TAKE is refused");
  MUST(end_stream(trial, 1, second, &book) == WEIR_OK, "an end is refused");
  /* As if it were the newest writer: then only the end is in the way. */
  trial->nodes[0].writer = trial->nodes[1].epoch;
  MUST(publish_text(trial, 0, stream, NULL, "late") == WEIR_EENDED,
       "an append after the end does not give WEIR_EENDED");
  return expect_all(trial, "k", &book, true);
}

static const char *trims(struct trial *trial) {
  struct book book = {.count = 0};
  weir_stream *stream;
  uint64_t epoch;
  size_t i;

  PASS(start(trial, 0));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  epoch = info_of(stream).epoch;
  for (i = 0; i < 10; ++i) {
    MUST(publish_text(trial, 0, stream, &book, "event") == WEIR_OK,
         "append is refused");
  }
  MUST(weir_stream_trim(stream, 6) == WEIR_OK, "trim is refused");
  PASS(settle(trial));
  MUST(info_of(stream).trimmed == 6, "a trim is not in its state");
  MUST(weir_stream_trim(stream, 3) == WEIR_OK, "trim is refused");
  PASS(settle(trial));
  MUST(info_of(stream).trimmed == 6, "a smaller trim takes a larger back");
  MUST(publish_text(trial, 0, stream, &book, "event") == WEIR_OK,
       "append is refused after a trim");
  PASS(expect_verdict(trial, "k", &book, epoch, 6, WEIR_VERDICT_RESUMED, 6,
                      "the last event that is trimmed is no good cursor"));
  PASS(expect_verdict(trial, "k", &book, epoch, 5, WEIR_VERDICT_EVICTED, 6,
                      "a trim is not known to who comes later"));
  return expect_verdict(trial, "k", &book, epoch, 11, WEIR_VERDICT_RESUMED, 11,
                        "a cursor of the stream is not known");
}

static const char *trim_of_all(struct trial *trial) {
  struct book book = {.count = 0};
  weir_stream *stream;
  uint64_t epoch;

  PASS(start(trial, 0));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  epoch = info_of(stream).epoch;
  MUST(publish_text(trial, 0, stream, &book, "1") == WEIR_OK &&
           publish_text(trial, 0, stream, &book, "2") == WEIR_OK,
       "append is refused");
  MUST(weir_stream_trim(stream, 2) == WEIR_OK, "trim is refused");
  PASS(settle(trial));
  MUST(info_of(stream).trimmed == 2 && info_of(stream).last == 2,
       "a trim of all changes what the last number is");
  MUST(publish_text(trial, 0, stream, &book, "3") == WEIR_OK &&
           info_of(stream).last == 3,
       "numbers do not go on after a trim of all");
  return expect_verdict(trial, "k", &book, epoch, 2, WEIR_VERDICT_RESUMED, 2,
                        "a cursor of the stream is not known");
}

/* --- Who writes ---------------------------------------------------------- */

/* What is hidden can still be taken over and ended: that is how a hub replaces
 * what another writes. */
static const char *replace(struct trial *trial) {
  weir_open_options options = opening("k", 0);
  struct book before = {.count = 0};
  struct book book = {.count = 0};
  weir_subscriber *reader;
  weir_stream *stream;
  weir_stream *next;

  PASS(start(trial, 0));
  PASS(start(trial, 1));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  MUST(publish_text(trial, 0, stream, &before, "1") == WEIR_OK,
       "append is refused");
  MUST(attach(trial, 0, "k", NULL, &reader) == WEIR_VERDICT_FRESH,
       "a stream is not found");
  options.on_duplicate = WEIR_DUPLICATE_REPLACE;
  MUST(open_with(trial, 1, &options, &next) == WEIR_OK,
       "CREATE of the next generation is refused");
  MUST(publish_text(trial, 1, next, &book, "2") == WEIR_OK,
       "append is refused");
  MUST(weir_hub_hint(trial->nodes[0].hub, "k", 1, 2) == WEIR_OK, no_memory);
  PASS(settle(trial));
  MUST(info_of(stream).ended == 2,
       "a hidden generation cannot be taken over and ended");
  enter(&before, info_of(stream).epoch, 2, "weir.done", NULL, 0);
  PASS(expect(trial, reader, &before, 0, false, true));
  return expect_all(trial, "k", &book, false);
}

/* Writers follow one another, each under its epoch, and the log knows how far
 * each came. */
static const char *take_over(struct trial *trial) {
  struct book book = {.count = 0};
  weir_stream *stream;
  uint64_t epochs[3];
  uint64_t i;

  for (i = 0; i < 3; ++i) {
    PASS(start(trial, 0));
    MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK,
         i == 0 ? "CREATE is refused" : "TAKE is refused");
    epochs[i] = trial->nodes[0].epoch;
    MUST(info_of(stream).epoch == epochs[i],
         "TAKE does not make its epoch the newest");
    MUST(info_of(stream).last == 2 * i, "numbers do not go on after TAKE");
    MUST(publish_text(trial, 0, stream, &book, "a") == WEIR_OK &&
             publish_text(trial, 0, stream, &book, "b") == WEIR_OK,
         "append is refused after TAKE");
    PASS(settle(trial));
    PASS(clean(trial));
    weir_hub_free(trial->nodes[0].hub);
    trial->nodes[0].hub = NULL;
  }
  PASS(expect_all(trial, "k", &book, false));
  for (i = 0; i < 3; ++i) {
    PASS(expect_verdict(trial, "k", &book, epochs[i], 2 * i + 2,
                        WEIR_VERDICT_RESUMED, 2 * i + 2,
                        "an earlier epoch is not in the state"));
  }
  PASS(expect_verdict(trial, "k", &book, epochs[0], 3, WEIR_VERDICT_REWOUND, 2,
                      "how far an earlier epoch came is not in the state"));
  return expect_verdict(trial, "k", &book, epochs[1], 5, WEIR_VERDICT_REWOUND,
                        4, "how far an earlier epoch came is not in the state");
}

/* What is not there cannot be taken over, nor is anything else instead: the hub
 * looks for what there is, and takes that. */
static const char *take_nothing(struct trial *trial) {
  struct book book = {.count = 0};
  weir_stream *stream;

  PASS(start(trial, 0));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  MUST(publish_text(trial, 0, stream, &book, "1") == WEIR_OK,
       "append is refused");
  PASS(settle(trial));
  PASS(clean(trial));
  weir_hub_free(trial->nodes[0].hub);
  PASS(start(trial, 0));
  trial->nodes[0].taken = 4711;
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK &&
           trial->nodes[0].opens[WEIR_LOG_TAKE] == 2,
       "TAKE of a generation that is not there does not give WEIR_ENOENT");
  MUST(publish_text(trial, 0, stream, &book, "2") == WEIR_OK,
       "append is refused after TAKE");
  return expect_all(trial, "k", &book, false);
}

static const char *fences(struct trial *trial) {
  struct book book = {.count = 0};
  weir_stream *second;
  weir_stream *stream;

  PASS(start(trial, 0));
  PASS(start(trial, 1));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  MUST(publish_text(trial, 0, stream, &book, "1") == WEIR_OK,
       "append is refused");
  MUST(open_stream(trial, 1, "k", &second) == WEIR_OK, "TAKE is refused");
  MUST(publish_batch(trial, 0, stream, "x", "ghost", 5, 3) == WEIR_EFENCED,
       "an append of an older epoch does not give WEIR_EFENCED");
  MUST(publish_text(trial, 1, second, &book, "2") == WEIR_OK,
       "append is refused after TAKE");
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK,
       "a writer that was fenced cannot take over again");
  MUST(publish_text(trial, 1, second, NULL, "ghost") == WEIR_EFENCED,
       "an append of an older epoch does not give WEIR_EFENCED");
  MUST(publish_text(trial, 0, stream, &book, "3") == WEIR_OK,
       "append is refused after TAKE");
  return expect_all(trial, "k", &book, false);
}

/* One record of a batch is of an older epoch: none is stored. */
static const char *all_or_nothing(struct trial *trial) {
  struct book book = {.count = 0};
  weir_stream *stream;
  uint64_t first;

  PASS(start(trial, 0));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  first = info_of(stream).epoch;
  MUST(publish_text(trial, 0, stream, &book, "1") == WEIR_OK,
       "append is refused");
  PASS(settle(trial));
  weir_hub_free(trial->nodes[0].hub);
  PASS(start(trial, 0));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "TAKE is refused");
  trial->nodes[0].writer = first;
  trial->nodes[0].writer_from = 2;
  MUST(publish_batch(trial, 0, stream, "x", "ghost", 5, 3) == WEIR_EFENCED,
       "a batch with a record of an older epoch does not give WEIR_EFENCED");
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK,
       "TAKE is refused after a batch was");
  MUST(publish_text(trial, 0, stream, &book, "2") == WEIR_OK,
       "append is refused after a batch was");
  PASS(begin_reading(trial));
  return expect_all(trial, "k", &book, false);
}

/* A hub that only reads follows what another writes. */
static const char *follows(struct trial *trial) {
  struct book book = {.count = 0};

  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *stream;

  PASS(start(trial, 0));
  PASS(start(trial, 1));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  MUST(publish_text(trial, 0, stream, &book, "1") == WEIR_OK,
       "append is refused");
  PASS(begin_reading(trial));
  MUST(attach(trial, NODES - 1, "k", NULL, &reader) == WEIR_VERDICT_FRESH,
       "a stream is not found");
  MUST(weir_hub_hint(trial->nodes[NODES - 1].hub, "k", 1, 9) == WEIR_OK &&
           settle(trial) == NULL,
       "a read beyond the last event is not answered");
  PASS(clean(trial));
  MUST(publish_text(trial, 0, stream, &book, "2") == WEIR_OK,
       "append is refused");
  MUST(open_stream(trial, 1, "k", &second) == WEIR_OK, "TAKE is refused");
  MUST(publish_text(trial, 1, second, &book, "3") == WEIR_OK &&
           end_stream(trial, 1, second, &book) == WEIR_OK,
       "append is refused after TAKE");
  (void)weir_hub_hint(trial->nodes[NODES - 1].hub, "k", 1, 4);
  PASS(settle(trial));
  PASS(expect(trial, reader, &book, 0, false, true));

  return NULL;
}

/* A handle that is closed does not take others with it. */
static const char *handles(struct trial *trial) {
  struct book book = {.count = 0};
  weir_subscriber *reader;
  weir_stream *stream;

  PASS(start(trial, 0));
  PASS(start(trial, 1));
  MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK, "CREATE is refused");
  MUST(publish_text(trial, 0, stream, &book, "1") == WEIR_OK,
       "append is refused");
  MUST(attach(trial, 1, "k", NULL, &reader) == WEIR_VERDICT_FRESH,
       "a stream is not found");
  PASS(settle(trial));
  PASS(clean(trial));
  weir_hub_free(trial->nodes[1].hub);
  trial->nodes[1].hub = NULL;
  MUST(publish_text(trial, 0, stream, &book, "2") == WEIR_OK,
       "append is refused after another handle was closed");
  return expect_all(trial, "k", &book, false);
}

/* --- Shared streams ------------------------------------------------------ */

static const char *shared_numbers(struct trial *trial) {
  weir_open_options options = opening("k", WEIR_OPEN_SHARED);
  struct book book = {.count = 0};
  weir_stream *streams[2];
  uint64_t last = 0;
  size_t i;
  size_t n;

  PASS(start(trial, 0));
  PASS(start(trial, 1));
  for (n = 0; n < 2; ++n) {
    MUST(open_with(trial, n, &options, &streams[n]) == WEIR_OK,
         "a shared stream is refused, or not known to be one");
  }
  MUST(trial->nodes[1].opens[WEIR_LOG_TAKE] == 0,
       "a shared stream is not known to be one");
  for (i = 0; i < 30; ++i) {
    n = i % 3 == 0;
    MUST(publish_text(trial, n, streams[n], &book, n == 0 ? "0" : "1") ==
             WEIR_OK,
         "append to a shared stream is refused");
    MUST(trial->nodes[n].seq > last,
         "the numbers of a shared stream do not rise");
    last = trial->nodes[n].seq;
  }
  if ((trial->log.flags & WEIR_LOG_SPARSE) != 0) {
    return expect_all(trial, "k", &book, false);
  }
  MUST(publish_batch(trial, 0, streams[0], "x", "b", 1, 5) == WEIR_OK,
       "append to a shared stream is refused");
  MUST(trial->nodes[0].seq == last + 5,
       "`first` is not the number of the first record of a batch");
  for (i = 0; i < 5; ++i) {
    enter(&book, info_of(streams[0]).epoch, last + 1 + i, "x", "b", 1);
  }
  return expect_all(trial, "k", &book, false);
}

static const char *shared_json(struct trial *trial) {
  return json_in(trial, WEIR_OPEN_SHARED);
}

static const char *shared_end(struct trial *trial) {
  weir_open_options options = opening("k", WEIR_OPEN_SHARED);
  struct book book = {.count = 0};
  weir_stream *streams[2];
  size_t n;

  PASS(start(trial, 0));
  PASS(start(trial, 1));
  for (n = 0; n < 2; ++n) {
    MUST(open_with(trial, n, &options, &streams[n]) == WEIR_OK,
         "a shared stream is refused, or not known to be one");
  }
  MUST(publish_text(trial, 0, streams[0], &book, "1") == WEIR_OK &&
           end_stream(trial, 0, streams[0], &book) == WEIR_OK,
       "append to a shared stream is refused");
  MUST(publish_text(trial, 1, streams[1], NULL, "late") == WEIR_EENDED,
       "an append after the end does not give WEIR_EENDED");
  return expect_all(trial, "k", &book, true);
}

/* --- Restarts ------------------------------------------------------------ */

static const char *reopens(struct trial *trial) {
  weir_open_options options = opening("ended", 0);
  struct book ended = {.count = 0};
  struct book book = {.count = 0};
  weir_stream *stream;
  uint64_t epochs[2];
  uint64_t end;
  unsigned i;

  options.members = "\"a\":1";
  options.members_len = 5;
  for (i = 0; i < 2; ++i) {
    PASS(start(trial, 0));
    MUST(open_stream(trial, 0, "k", &stream) == WEIR_OK,
         i == 0 ? "CREATE is refused" : "TAKE is refused after a restart");
    epochs[i] = trial->nodes[0].epoch;
    MUST(info_of(stream).last == 100 * i,
         "numbers do not go on after a restart");
    while (book.count < 100 * (i + 1)) {
      MUST(publish_text(trial, 0, stream, &book, "event") == WEIR_OK,
           "append is refused");
    }
    if (i == 0) {
      MUST(open_with(trial, 0, &options, &stream) == WEIR_OK &&
               publish_text(trial, 0, stream, &ended, "1") == WEIR_OK &&
               publish_text(trial, 0, stream, &ended, "2") == WEIR_OK &&
               end_stream(trial, 0, stream, &ended) == WEIR_OK,
           "append is refused");
      MUST(weir_stream_trim(stream, 1) == WEIR_OK, "trim is refused");
    }
    PASS(settle(trial));
    PASS(clean(trial));
    PASS(stop(trial));
    MUST(trial->subject->reopen(trial->subject->user, &trial->log),
         "the log cannot be opened again");
  }
  end = ended.entries[0].at.epoch;
  PASS(expect_all(trial, "k", &book, false));
  PASS(expect_verdict(trial, "k", &book, epochs[0], 100, WEIR_VERDICT_RESUMED,
                      100, "an epoch is lost in a restart"));
  PASS(expect_verdict(trial, "k", &book, epochs[0], 101, WEIR_VERDICT_REWOUND,
                      100, "how far an epoch came is lost in a restart"));
  PASS(expect_verdict(trial, "ended", &ended, end, 0, WEIR_VERDICT_EVICTED, 1,
                      "a trim is lost in a restart"));
  return expect_verdict(trial, "ended", &ended, end, 3, WEIR_VERDICT_FINISHED,
                        3, "an end is lost in a restart");
}

/* --- All of them --------------------------------------------------------- */

enum { TWO_HUBS = 0x1, SHARED = 0x2, REOPEN = 0x4, ERRORS = 0x8 };

static const struct {
  const char *name;
  const char *(*run)(struct trial *trial);
  unsigned needs; /* ERRORS: calls fail on purpose */
} checks[] = {
    {"lookup of an unknown key", unknown_key, 0},
    {"create", create, 0},
    {"create compares and sets", create_compares, 0},
    {"create hides what was", create_hides, 0},
    {"keys are bytes", keys, 0},
    {"meta comes back", meta, 0},
    {"append and read", append_and_read, 0},
    {"batches are whole and in order", batches, 0},
    {"read ranges", ranges, 0},
    {"reads end with upto", upto, 0},
    {"max_bytes", max_bytes, 0},
    {"events of any size", sizes, 0},
    {"bytes of every kind", binary, 0},
    {"JSON stays JSON", json, 0},
    {"streams interleaved", interleaved, 0},
    {"ends", ends, 0},
    {"flags of an end", flags, 0},
    {"take of what has ended", take_what_ended, TWO_HUBS},
    {"append after the end", append_after_end, TWO_HUBS | ERRORS},
    {"trim", trims, 0},
    {"trim of everything", trim_of_all, 0},
    {"take over", take_over, 0},
    {"take of what is not there", take_nothing, 0},
    {"replace what another writes", replace, TWO_HUBS},
    {"take fences", fences, TWO_HUBS | ERRORS},
    {"all or nothing", all_or_nothing, ERRORS},
    {"a hub follows another", follows, TWO_HUBS},
    {"handles are independent", handles, TWO_HUBS},
    {"shared: numbers", shared_numbers, TWO_HUBS | SHARED},
    {"shared: JSON stays JSON", shared_json, SHARED},
    {"shared: the end", shared_end, TWO_HUBS | SHARED | ERRORS},
    {"reopen keeps everything", reopens, REOPEN},
};

static bool is_offered(const struct conformance *subject, unsigned needs) {
  return ((needs & TWO_HUBS) == 0 ||
          (subject->flags & CONFORMANCE_ONE_HUB) == 0) &&
         ((needs & SHARED) == 0 ||
          (subject->flags & CONFORMANCE_SHARED) != 0) &&
         ((needs & REOPEN) == 0 || subject->reopen != NULL);
}

static const char *run(const struct conformance *subject, size_t n) {
  struct trial trial;
  const char *problem;
  const char *after;

  memset(&trial, 0, sizeof trial);
  trial.subject = subject;
  trial.chance = n;
  trial.errors = (checks[n].needs & ERRORS) != 0;
  weir_log_init(&trial.log, sizeof trial.log);
  MUST(subject->make(subject->user, &trial.log), "no log could be made");
  problem = checks[n].run(&trial);
  if (problem == NULL) {
    problem = clean(&trial);
  }
  after = stop(&trial);
  subject->destroy(subject->user, &trial.log);
  return problem != NULL ? problem : after;
}

unsigned conformance_run(const struct conformance *subject) {
  unsigned failures = 0;
  const char *problem;
  size_t i;

  for (i = 0; i < sizeof checks / sizeof checks[0]; ++i) {
    if (is_offered(subject, checks[i].needs)) {
      problem = run(subject, i);
      failures += problem != NULL;
      if (subject->report != NULL) {
        subject->report(subject->user, checks[i].name, problem);
      }
    }
  }
  return failures;
}
