/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_table.h"

#include "file_read.h"
#include "file_runs.h"
#include "file_write.h"

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
    weir__runs_forget_all(log, stream, stream->last);
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
  weir__runs_forget_all(log, stream, stream->last);
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

void weir__table_init(struct weir_log_file *log, weir_log *table) {
  weir_log_init(table, sizeof *table);
  table->user = log;
  table->flags = WEIR_LOG_CHECKED | WEIR_LOG_SOLE;
  table->open = table_open;
  table->append = table_append;
  table->read = table_read;
  table->trim = table_trim;
  table->close = table_close;
}

void weir__table_settle(struct weir_log_file *log, int error) {
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

void weir__table_fail(struct weir_log_file *log, int error) {
  while (!weir__link_alone(&log->ops)) {
    fail(log, weir__owner(log->ops.next, struct weir__op, link), error);
  }
}
