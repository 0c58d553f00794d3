/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include <weir/log_file.h>

#include <limits.h>

#include "file_read.h"
#include "file_recover.h"
#include "file_round.h"
#include "log_file.h"
#include "platform.h"

#define DAY UINT64_C(86400000)

void weir_log_file_options_init(weir_log_file_options *options, size_t size) {
  weir_log_file_options defaults;

  memset(&defaults, 0, sizeof defaults);
  defaults.size = sizeof defaults;
  defaults.sync = WEIR_SYNC_ALWAYS;
  defaults.sync_interval = 1000;
  defaults.segment_bytes = (uint64_t)64 * 1024 * 1024;
  defaults.keep_age = DAY;
  defaults.keep_ended = DAY;
  if (weir__start(options, size)) {
    (void)weir__store(options, &defaults, sizeof defaults);
  }
}

/* --- The log as weir sees it
 * --------------------------------------------------*/

/* What every yes says: the stream, without what is not acknowledged. */
static void fill_state(const struct weir__file_stream *stream,
                       weir_answer *answer) {
  weir_answer_init(answer, sizeof *answer);
  answer->result = WEIR_LOG_YES;
  answer->epochs = stream->epochs;
  answer->epoch_count = stream->epoch_count;
  answer->trimmed = stream->trimmed;
  answer->last = stream->last;
  answer->ended = stream->ended;
  answer->failed = stream->failed;
}

static int refuse(weir_hub *hub, uint64_t ticket, int error) {
  weir_answer answer;

  weir_answer_init(&answer, sizeof answer);
  answer.result = error;
  (void)weir_log_answer(hub, ticket, &answer);
  return WEIR_LOG_YES;
}

/* Refuse, and say how it stands. */
static int refuse_with_state(weir_hub *hub, uint64_t ticket, int error,
                             const struct weir__file_stream *stream) {
  weir_answer answer;

  fill_state(stream, &answer);
  answer.result = error;
  (void)weir_log_answer(hub, ticket, &answer);
  return WEIR_LOG_YES;
}

static void answer_open(struct weir__file_stream *stream, weir_hub *hub,
                        uint64_t ticket) {
  weir_answer answer;

  fill_state(stream, &answer);
  answer.handle = stream;
  answer.meta = stream->text + stream->key_len;
  answer.meta_len = stream->meta_len;
  weir__file_hold(stream);
  (void)weir_log_answer(hub, ticket, &answer);
}

static void answer_state(const struct weir__file_stream *stream, weir_hub *hub,
                         uint64_t ticket) {
  weir_answer answer;

  fill_state(stream, &answer);
  (void)weir_log_answer(hub, ticket, &answer);
}

/* What has been appended for a call is to be answered when the disk has it. */
static struct weir__op *make_op(struct weir_log_file *log, weir_hub *hub,
                                uint64_t ticket,
                                struct weir__file_stream *stream) {
  struct weir__op *op = weir__file_alloc(log, sizeof *op);

  if (op != NULL) {
    memset(op, 0, sizeof *op);
    weir__link_init(&op->link);
    op->hub = hub;
    op->ticket = ticket;
    op->stream = stream;
    weir__file_hold(stream);
  }
  return op;
}

static void free_op(struct weir_log_file *log, struct weir__op *op) {
  weir__link_remove(&op->link);
  weir__file_release(log, op->stream);
  weir__file_free(log, op, sizeof *op);
}

/* The events up to op->last are acknowledged. */
static void settle_append(struct weir_log_file *log, struct weir__op *op) {
  struct weir__file_stream *stream = op->stream;

  stream->last = op->last;
  stream->epochs[stream->epoch_count - 1].last = op->last;
  if (op->ends) {
    weir__file_set_ended(log, stream, op->last, weir__file_wall(log),
                         op->fails);
  }
}

/* It is on the disk. */
static void succeed(struct weir_log_file *log, struct weir__op *op) {
  if (op->mode != 0) {
    weir__file_confirm(log, op->stream);
    answer_open(op->stream, op->hub, op->ticket);
  } else if (op->is_void) {
    (void)refuse(op->hub, op->ticket, WEIR_EFENCED);
  } else {
    settle_append(log, op);
    answer_state(op->stream, op->hub, op->ticket);
  }
  free_op(log, op);
}

/* It is not: as if it had never been asked for. */
static void fail(struct weir_log_file *log, struct weir__op *op, int error) {
  struct weir__file_stream *stream = op->stream;

  if (op->mode == WEIR_LOG_CREATE) {
    weir__file_purge(log, stream);
  } else if (op->mode == WEIR_LOG_TAKE) {
    /* Its epoch has no events, and stays: nobody knows its name. */
    stream->epochs[stream->epoch_count - 1].last = stream->last;
  } else if (!op->is_void) {
    stream->put = stream->last;
    weir__segment_forget_all(log, stream, stream->last);
  }
  (void)refuse(op->hub, op->ticket, error);
  free_op(log, op);
}

/* The call has been carried out as far as that needs no disk: answer now, or
 * when the disk has it. A new epoch waits for that under every policy: were it
 * lost with events that clients have seen, their cursors would say nothing. */
static void finish(struct weir_log_file *log, struct weir__op *op) {
  if (!weir__file_waits(log) && op->mode != WEIR_LOG_TAKE) {
    succeed(log, op);
    return;
  }
  op->segment = log->active->number;
  op->place = log->active->tail;
  log->active->wanted = op->place;
  weir__link_append(&log->ops, &op->link);
}

static int lookup(struct weir_log_file *log, weir_hub *hub, uint64_t ticket,
                  const weir_log_request *request) {
  struct weir__file_stream *stream =
      weir__file_find_key(log, request->key, request->key_len);

  if (stream == NULL) {
    return refuse(hub, ticket, WEIR_ENOENT);
  }
  answer_open(stream, hub, ticket);
  return WEIR_LOG_YES;
}

static int create(struct weir_log_file *log, weir_hub *hub, uint64_t ticket,
                  const weir_log_request *request) {
  const struct weir__file_stream *newest =
      weir__file_find_key(log, request->key, request->key_len);
  const weir_epoch first = {request->epoch, 0};
  struct weir__append append = {NULL, WEIR__RECORD_STATE, NULL, 0, 0, 0};
  struct weir__file_state state;
  unsigned char epoch[16];
  struct weir__op *op;
  int rv;

  if (request->shared != 0 || request->key_len == 0 ||
      request->key_len > WEIR_KEY_MAX || request->meta_len > WEIR_META_MAX) {
    return refuse(hub, ticket, WEIR_EINVAL);
  }
  if ((newest == NULL ? 0 : newest->generation) != request->generation ||
      weir__file_find(log, request->epoch) != NULL) {
    return refuse(hub, ticket, WEIR_EEXISTS);
  }
  memset(&state, 0, sizeof state);
  weir__epoch_write(&first, epoch);
  state.key = request->key;
  state.key_len = (uint16_t)request->key_len;
  state.meta = request->meta;
  state.meta_len = (uint16_t)request->meta_len;
  state.epochs = epoch;
  state.epoch_count = 1;
  state.order = log->orders + 1;
  rv = weir__file_adopt(log, request->epoch, &state, &append.stream);
  if (rv != WEIR_OK) {
    return refuse(hub, ticket, rv);
  }
  op = make_op(log, hub, ticket, append.stream);
  rv = op == NULL ? WEIR_ENOMEM : weir__file_append(log, &append);
  if (rv != WEIR_OK) {
    if (op != NULL) {
      free_op(log, op);
    }
    weir__file_purge(log, append.stream);
    return refuse(hub, ticket, rv);
  }
  op->mode = WEIR_LOG_CREATE;
  finish(log, op);
  return WEIR_LOG_YES;
}

/* What an older writer has under way will not count. */
static void void_ops(struct weir_log_file *log,
                     const struct weir__file_stream *stream) {
  struct weir__link *link;
  struct weir__op *op;

  for (link = log->ops.next; link != &log->ops; link = link->next) {
    op = weir__owner(link, struct weir__op, link);
    op->is_void = op->is_void || (op->stream == stream && op->mode == 0);
  }
}

static int take(struct weir_log_file *log, weir_hub *hub, uint64_t ticket,
                const weir_log_request *request) {
  struct weir__file_stream *stream = weir__file_find(log, request->generation);
  struct weir__append append = {stream, WEIR__RECORD_TAKE, NULL,
                                1,      request->epoch,    0};
  struct weir__op *op;
  int rv;

  if (stream == NULL || !weir__same(stream->text, stream->key_len, request->key,
                                    request->key_len)) {
    return refuse(hub, ticket, WEIR_ENOENT);
  }
  if (stream->ended != 0) {
    answer_open(stream, hub, ticket);
    return WEIR_LOG_YES;
  }
  append.seq = stream->last;
  op = make_op(log, hub, ticket, stream);
  rv = op == NULL
           ? WEIR_ENOMEM
           : weir__file_add_epoch(log, stream, request->epoch, stream->last);
  if (rv == WEIR_OK) {
    rv = weir__file_append(log, &append);
    stream->epoch_count -= rv != WEIR_OK;
  }
  if (rv != WEIR_OK) {
    if (op != NULL) {
      free_op(log, op);
    }
    return refuse(hub, ticket, rv);
  }
  void_ops(log, stream);
  stream->put = stream->last;
  weir__segment_forget_all(log, stream, stream->last);
  op->mode = WEIR_LOG_TAKE;
  finish(log, op);
  return WEIR_LOG_YES;
}

static int table_open(void *user, weir_hub *hub, uint64_t ticket,
                      const weir_log_request *request) {
  struct weir_log_file *log = user;

  switch (request->mode) {
    case WEIR_LOG_LOOKUP:
      return lookup(log, hub, ticket, request);
    case WEIR_LOG_TAKE:
      return take(log, hub, ticket, request);
    case WEIR_LOG_CREATE:
      return create(log, hub, ticket, request);
    default:
      return WEIR_EINVAL;
  }
}

/* Whether a batch may follow what there is. */
static int check_batch(const struct weir__file_stream *stream,
                       const weir_record *records, size_t count) {
  size_t i;

  if (stream->ended != 0) {
    return WEIR_EENDED;
  }
  for (i = 0; i < count; ++i) {
    if (records[i].epoch != stream->epochs[stream->epoch_count - 1].epoch) {
      return WEIR_EFENCED;
    }
    if (records[i].frame == NULL || records[i].seq != stream->put + 1 + i ||
        ((records[i].flags & WEIR_RECORD_END) != 0 && i + 1 != count)) {
      return WEIR_EINVAL;
    }
  }
  return WEIR_OK;
}

static int table_append(void *user, weir_hub *hub, uint64_t ticket,
                        void *handle, const weir_record *records,
                        size_t count) {
  struct weir_log_file *log = user;
  struct weir__file_stream *stream = handle;
  const struct weir__append append = {
      stream, WEIR__RECORD_EVENT, records, count, 0, 0};
  struct weir__op *op;
  int rv = check_batch(stream, records, count);

  if (rv != WEIR_OK) {
    return refuse_with_state(hub, ticket, rv, stream);
  }
  op = make_op(log, hub, ticket, stream);
  rv = op == NULL ? WEIR_ENOMEM : weir__file_append(log, &append);
  if (rv != WEIR_OK) {
    if (op != NULL) {
      free_op(log, op);
    }
    return refuse(hub, ticket, rv);
  }
  log->info.appends += 1;
  log->info.events += count;
  stream->put = records[count - 1].seq;
  op->last = stream->put;
  op->ends = (records[count - 1].flags & WEIR_RECORD_END) != 0;
  op->fails = (records[count - 1].flags & WEIR_RECORD_FAILED) != 0;
  finish(log, op);
  return WEIR_LOG_YES;
}

static int table_read(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                      uint64_t after, uint64_t upto, size_t max_bytes) {
  struct weir_log_file *log = user;
  struct weir__file_stream *stream = handle;
  struct weir__file_events events;
  weir_answer answer;
  int rv = weir__file_read(log, stream, after, upto, max_bytes, &events);

  if (rv != WEIR_OK) {
    return refuse(hub, ticket, rv);
  }
  fill_state(stream, &answer);
  answer.records = events.records;
  answer.record_count = events.count;
  answer.lost_through = events.lost_through;
  (void)weir_log_answer(hub, ticket, &answer);
  return WEIR_LOG_YES;
}

static int table_trim(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                      uint64_t through) {
  struct weir_log_file *log = user;
  struct weir__file_stream *stream = handle;
  struct weir__append append = {stream, WEIR__RECORD_TRIM, NULL, 1, 0, 0};
  int rv = WEIR_OK;

  through = weir__min(through, stream->last);
  append.seq = through;
  if (through > stream->trimmed) {
    rv = weir__file_append(log, &append);
  }
  if (rv != WEIR_OK) {
    return refuse(hub, ticket, rv);
  }
  stream->trimmed = weir__max(stream->trimmed, through);
  answer_state(stream, hub, ticket);
  return WEIR_LOG_YES;
}

static void table_close(void *user, void *handle) {
  weir__file_release(user, handle);
}

int weir_log_file_get_log(weir_log_file *file, weir_log *callers) {
  weir_log log;

  if (file == NULL) {
    return WEIR_EGONE;
  }
  weir_log_init(&log, sizeof log);
  log.user = file;
  log.flags = WEIR_LOG_CHECKED;
  log.open = table_open;
  log.append = table_append;
  log.read = table_read;
  log.trim = table_trim;
  log.close = table_close;
  return weir__store(callers, &log, sizeof log);
}

/* --- Opening and closing
 * ------------------------------------------------------*/

/* A cursor may be beyond what survived: numbers go on under another epoch. It
 * is written only when somebody goes on. */
static void renew(void *user, struct weir__node *node) {
  struct weir_log_file *log = user;
  struct weir__file_stream *stream =
      weir__owner(node, struct weir__file_stream, node);
  uint64_t epoch;

  if (stream->ended != 0) {
    return;
  }
  epoch = weir__draw(&log->chance);
  if (weir__file_add_epoch(log, stream, epoch != 0 ? epoch : 1, stream->last) !=
      WEIR_OK) {
    log->fault = WEIR_ENOMEM;
  }
}

static void free_segments(struct weir_log_file *log) {
  while (!weir__link_alone(&log->segments)) {
    weir__segment_free(
        log, weir__owner(log->segments.next, struct weir__segment, link));
  }
}

static void free_log(struct weir_log_file *log) {
  const weir_allocator allocator = log->allocator;

  weir__file_free_streams(log);
  free_segments(log);
  weir__file_free(log, log->records.memory, log->records.cap);
  weir__file_free(log, log->places.memory, log->places.cap);
  weir__file_free(log, log->events, WEIR__READ_MOST * sizeof *log->events);
  weir__file_free(log, log->batch, log->batch_cap);
  log->io->leave(log->io->user);
  weir__free(&allocator, log, sizeof *log);
}

static bool are_sound(const weir_log_file_options *options,
                      const weir_allocator *allocator) {
  return options->path != NULL &&
         (allocator->alloc == NULL) == (allocator->free == NULL) &&
         options->sync >= WEIR_SYNC_ALWAYS &&
         options->sync <= WEIR_SYNC_NEVER && options->segment_bytes >= 4096 &&
         options->segment_bytes <= WEIR__SEGMENT_MOST / 2 &&
         options->reserved0 == 0 &&
         weir__is_zero(options->reserved, sizeof options->reserved);
}

/* Sum up what has been found. */
static void count(struct weir_log_file *log) {
  struct weir__segment *segment;
  struct weir__link *link;

  for (link = log->segments.next; link != &log->segments; link = link->next) {
    segment = weir__owner(link, struct weir__segment, link);
    log->info.segments += 1;
    log->info.bytes += segment->size;
    log->growth = weir__max(log->growth, segment->size * 2);
  }
}

static int enter(struct weir_log_file *log, const char *path) {
  const int entered = log->io->enter(log->io->user, path);
  size_t i;
  int rv;

  if (entered < 0) {
    rv = weir__io_error(entered);
    /* What the system says of a lock is less than what weir does. */
    if (rv != WEIR_ELOCKED) {
      weir__file_report(log, "%s: %s", path, strerror(-entered));
    }
    return rv;
  }
  rv = weir__recover(log);
  for (i = 0; rv == WEIR_OK && i < log->by_generation.buckets; ++i) {
    weir__map_visit(&log->by_generation, i, renew, log);
    rv = log->fault;
  }
  if (rv == WEIR_OK) {
    count(log);
    weir__retain(log);
  }
  return rv;
}

int weir__log_file_open(const weir_log_file_options *callers,
                        const struct weir__io *io, weir_log_file **opened) {
  weir_log_file_options options;
  weir_allocator allocator;
  struct weir_log_file *log;
  int rv;

  weir_log_file_options_init(&options, sizeof options);
  memset(&allocator, 0, sizeof allocator);
  if (weir__load(&options, sizeof options, callers) != WEIR_OK ||
      (options.allocator != NULL && weir__load(&allocator, sizeof allocator,
                                               options.allocator) != WEIR_OK) ||
      !are_sound(&options, &allocator)) {
    return WEIR_EINVAL;
  }
  log = weir__alloc(&allocator, sizeof *log);
  if (log == NULL) {
    return WEIR_ENOMEM;
  }
  memset(log, 0, sizeof *log);
  log->options = options;
  log->allocator = allocator;
  weir__io_system_init(&log->system);
  log->io = io != NULL ? io : &log->system.io;
  weir__crc32c_init(&log->crc, WEIR__CRC32C_WIDE);
  weir__link_init(&log->segments);
  weir__link_init(&log->open);
  weir__link_init(&log->ended);
  weir__link_init(&log->ops);
  if (options.entropy == NULL) {
    log->options.entropy = weir__platform_entropy;
  }
  weir__map_init(&log->by_key, &log->allocator, &log->secret);
  weir__map_init(&log->by_generation, &log->allocator, &log->secret);
  rv = weir__file_random(log, &log->chance, sizeof log->chance);
  if (rv == WEIR_OK) {
    rv = weir__secret_draw(&log->secret, log->options.entropy,
                           log->options.entropy_user);
  }
  if (rv == WEIR_OK) {
    rv = enter(log, options.path);
  }
  log->options.path = NULL; /* the caller's */
  log->options.allocator = NULL;
  if (rv != WEIR_OK) {
    free_log(log);
    return rv;
  }
  *opened = log;
  return WEIR_OK;
}

int weir_log_file_open(const weir_log_file_options *options,
                       weir_log_file **log) {
  return weir__log_file_open(options, NULL, log);
}

int weir_log_file_close(weir_log_file *log) {
  int rv = WEIR_OK;
  int one;

  if (log == NULL) {
    return WEIR_OK;
  }
  /* Whoever opens it next lets go of what is too much. */
  log->options.keep_age = 0;
  log->options.keep_bytes = 0;
  log->options.keep_ended = 0;
  if (log->active != NULL) {
    log->active->full = true;
    log->active = NULL;
  }
  for (one = weir_log_file_begin(log); one == WEIR_OK;
       one = weir_log_file_begin(log)) {
    weir_log_file_run(log);
    one = weir_log_file_end(log);
    rv = rv == WEIR_OK ? one : rv;
  }
  if (rv == WEIR_OK && one != WEIR_EAGAIN) {
    rv = one;
  }
  /* Without memory for a round, nothing more comes to the disk. */
  while (!weir__link_alone(&log->ops)) {
    fail(log, weir__owner(log->ops.next, struct weir__op, link), one);
  }
  free_log(log);
  return rv;
}

/* --- Rounds
 * -------------------------------------------------------------------*/

int weir_log_file_get_timeout(weir_log_file *log) {
  uint64_t due;
  uint64_t now;

  if (log == NULL || log->round != NULL) {
    return -1;
  }
  due = weir__round_due(log);
  if (due == (uint64_t)WEIR_NEVER) {
    return -1;
  }
  now = weir__file_clock(log);
  return due <= now ? 0 : (int)weir__min(due - now, INT_MAX);
}

int weir_log_file_begin(weir_log_file *log) {
  return log == NULL          ? WEIR_EGONE
         : log->round != NULL ? WEIR_EBUSY
                              : weir__round_begin(log);
}

void weir_log_file_run(weir_log_file *log) {
  if (log != NULL && log->round != NULL && !log->round->has_run) {
    weir__round_run(log);
  }
}

/* Answer what has been decided: what is on the disk, and what will not come
 * there. Answers come in the order of the calls. */
static void answer_ops(struct weir_log_file *log, int error) {
  const struct weir__segment *segment;
  struct weir__link *link = log->ops.next;
  struct weir__op *op;
  bool made; /* or it could not be */

  while (link != &log->ops) {
    op = weir__owner(link, struct weir__op, link);
    link = link->next;
    segment = weir__segment_upto(log, op->segment);
    made = segment != NULL && segment->number == op->segment;
    if (made && segment->synced >= op->place) {
      succeed(log, op);
    } else if (!made || segment->tail < op->place || segment->distrusted) {
      fail(log, op, error);
    }
  }
}

int weir_log_file_end(weir_log_file *log) {
  int rv;

  if (log == NULL) {
    return WEIR_EGONE;
  }
  if (log->round == NULL || !log->round->has_run) {
    return WEIR_EINVAL;
  }
  rv = weir__round_end(log);
  answer_ops(log, rv);
  return rv;
}

/* --- What there is
 * ------------------------------------------------------------*/

struct listing {
  uint64_t skip;
  struct weir__file_stream *found;
};

static void visit(void *user, struct weir__node *node) {
  struct listing *listing = user;

  if (listing->skip == 0 && listing->found == NULL) {
    listing->found = weir__owner(node, struct weir__file_stream, node);
  }
  listing->skip -= listing->skip != 0;
}

int weir_log_file_next_stream(const weir_log_file *log, uint64_t *at,
                              weir_log_file_stream *callers) {
  const struct weir__file_stream *stream;
  struct listing listing;
  weir_log_file_stream info;
  size_t bucket;

  if (log == NULL) {
    return WEIR_EGONE;
  }
  if (callers == NULL || callers->size <= sizeof callers->size) {
    return WEIR_EINVAL;
  }
  /* The bucket, and how many of it have been. */
  for (bucket = (size_t)(*at >> 16); bucket < log->by_generation.buckets;
       ++bucket, *at = (uint64_t)bucket << 16) {
    listing.skip = *at & 0xffff;
    listing.found = NULL;
    weir__map_visit(&log->by_generation, bucket, visit, &listing);
    if (listing.found != NULL) {
      break;
    }
  }
  if (bucket >= log->by_generation.buckets) {
    return WEIR_EDONE;
  }
  *at += 1;
  stream = listing.found;
  memset(&info, 0, sizeof info);
  info.key = stream->text;
  info.key_len = stream->key_len;
  info.meta = stream->text + stream->key_len;
  info.meta_len = stream->meta_len;
  info.generation = stream->generation;
  info.epoch = stream->epochs[stream->epoch_count - 1].epoch;
  info.trimmed = stream->trimmed;
  info.last = stream->last;
  info.ended = stream->ended;
  info.ended_at = stream->ended_at;
  info.failed = stream->failed;
  info.newest = stream->is_named;
  return weir__store(callers, &info, sizeof info);
}

int weir_log_file_get_info(const weir_log_file *log, weir_log_file_info *info) {
  return log == NULL ? WEIR_EGONE
                     : weir__store(info, &log->info, sizeof log->info);
}
