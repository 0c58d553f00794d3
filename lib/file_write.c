/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_write.h"

#include "file_runs.h"

/* No segment is smaller. */
#define SEGMENT_LEAST 4096

/* A limit on bytes is at least so many segments, since whole ones go: were the
 * newest larger than the limit, nothing would be left. */
#define SEGMENTS_KEPT 4
#define SEGMENT_LEAST_KEPT 65536

/* A batch on its way into a buffer. */
struct batch {
  struct weir_log_file *log;
  const struct weir__append *append;
  struct weir__segment *segment;
  unsigned char *bytes;
  uint64_t at;                     /* where the next record will stand */
  bool introduce;                  /* the stream's state comes first */
  struct weir__file_record record; /* the next one, as far as it is known */
};

/* The size of the segment that comes next, with room for so much. */
static uint64_t next_size(const struct weir_log_file *log, uint64_t bytes) {
  const uint64_t least =
      weir__max(bytes + (uint64_t)2 * WEIR__HEAD_SIZE, SEGMENT_LEAST);
  const uint64_t most =
      log->options.keep_bytes == 0
          ? UINT64_MAX
          : weir__max(log->options.keep_bytes / SEGMENTS_KEPT / 8 * 8,
                      SEGMENT_LEAST_KEPT);

  return weir__max(
      weir__min(weir__min(log->growth, most), log->options.segment_bytes),
      least);
}

/* The active segment has no room: have another, with room for so much. Its file
 * is made by the next round. */
static int turn_over(struct weir_log_file *log, uint64_t bytes) {
  struct weir__segment *segment = weir__segment_new(log, log->numbers + 1);
  int rv;

  if (segment == NULL) {
    return WEIR_ENOMEM;
  }
  rv = weir__file_random(log, &segment->salt, sizeof segment->salt);
  if (rv != WEIR_OK) {
    weir__segment_free(log, segment);
    return rv;
  }
  /* Never given again: something may be left under its name. */
  log->numbers += 1;
  segment->size = next_size(log, bytes);
  segment->newest = weir__file_wall(log);
  if (log->active != NULL) {
    log->active->full = true;
  }
  weir__link_append(&log->segments, &segment->link);
  log->active = segment;
  log->info.segments += 1;
  log->info.bytes += segment->size;
  return WEIR_OK;
}

/* Whether this segment knows the stream already. */
static bool is_introduced(const struct weir_log_file *log,
                          const struct weir__file_stream *stream) {
  return stream->newest == log->active->number;
}

static uint64_t state_length(const struct weir__file_stream *stream) {
  return weir__record_length((uint32_t)(WEIR__STATE_SIZE +
                                        stream->epoch_count * (size_t)16 +
                                        stream->key_len + stream->meta_len));
}

/* Have an active segment with room for so much of a stream, and for its state
 * if that has to come first. */
static int have_room(struct weir_log_file *log,
                     const struct weir__file_stream *stream, uint64_t own) {
  const uint64_t whole = own + state_length(stream);

  if (log->active != NULL && (is_introduced(log, stream) ? own : whole) <=
                                 weir__segment_room(log->active)) {
    return WEIR_OK;
  }
  return whole <= WEIR__SEGMENT_MOST / 2 ? turn_over(log, whole) : WEIR_ETOOBIG;
}

/* Bytes of the records themselves; 0: there can be no such record. */
static uint64_t measure(const struct weir__append *append) {
  uint64_t sum = 0;
  size_t i;

  switch (append->kind) {
    case WEIR__RECORD_EVENT:
      for (i = 0; i < append->count; ++i) {
        if (append->records[i].frame_len > UINT32_MAX / 2) {
          return 0;
        }
        sum += weir__record_length((uint32_t)append->records[i].frame_len);
      }
      return sum;
    case WEIR__RECORD_STATE:
      return state_length(append->stream);
    default:
      return WEIR__RECORD_SIZE;
  }
}

/* Put a record whose payload is in its place. */
static void put_record(struct batch *batch,
                       const struct weir__file_record *record) {
  const uint64_t length = weir__record_length(record->size);

  weir__record_write(&batch->log->crc, batch->segment->salt, batch->at, record,
                     batch->bytes);
  batch->bytes += length;
  batch->at += length;
}

static void put_state(struct batch *batch, uint32_t left) {
  const struct weir__append *append = batch->append;
  const struct weir__file_stream *stream = append->stream;
  unsigned char epochs[WEIR__EPOCHS_MOST * 16];
  struct weir__file_record record = batch->record;
  struct weir__file_state state;

  /* What is under way counts, unless it is voided here. */
  weir__file_state_of(
      stream, append->kind == WEIR__RECORD_TAKE ? append->seq : stream->put,
      epochs, &state);
  weir__state_write(&state, batch->bytes + WEIR__RECORD_SIZE);
  record.kind = WEIR__RECORD_STATE;
  record.size = (uint32_t)weir__state_size(&state);
  record.left = left;
  put_record(batch, &record);
}

static void put_event(struct batch *batch, size_t i) {
  const weir_record *event = &batch->append->records[i];
  struct weir__file_record *record = &batch->record;

  memcpy(batch->bytes + WEIR__RECORD_SIZE, event->frame, event->frame_len);
  record->flags = (uint8_t)event->flags;
  record->size = (uint32_t)event->frame_len;
  record->left = (uint32_t)(batch->append->count - i - 1);
  record->epoch = event->epoch;
  record->seq = event->seq;
  put_record(batch, record);
}

static void put_all(struct batch *batch) {
  const struct weir__append *append = batch->append;
  struct weir__file_record *record = &batch->record;
  size_t i;

  if (append->kind == WEIR__RECORD_STATE) {
    put_state(batch, 0);
    return;
  }
  if (batch->introduce) {
    put_state(batch, (uint32_t)append->count);
  }
  record->kind = (uint8_t)append->kind;
  if (append->kind != WEIR__RECORD_EVENT) {
    record->epoch = append->epoch;
    record->seq = append->seq;
    put_record(batch, record);
  }
  for (i = 0; append->kind == WEIR__RECORD_EVENT && i < append->count; ++i) {
    put_event(batch, i);
  }
}

/* Note where the events will stand: before they do, since it needs memory. */
static int note_all(struct weir_log_file *log, struct weir__segment *segment,
                    const struct weir__append *append, uint64_t at) {
  struct weir__file_stream *stream = append->stream;
  struct weir__run *run;
  size_t i;
  int rv;

  if (append->kind != WEIR__RECORD_EVENT) {
    return weir__runs_enter(log, segment, stream, &run);
  }
  rv = weir__runs_expect(log, segment, stream, append->records[0].seq,
                         append->count, &run);
  for (i = 0; rv == WEIR_OK && i < append->count; ++i) {
    weir__run_note(run, at);
    at += weir__record_length((uint32_t)append->records[i].frame_len);
  }
  return rv;
}

bool weir__file_waits(const struct weir_log_file *log) {
  const struct weir__segment *active = log->active;

  return log->options.sync == WEIR_SYNC_ALWAYS || !active->named ||
         active->written != active->tail;
}

/* The bytes are made: into the file, or into the queue. */
static int deliver(struct weir_log_file *log, struct weir__segment *segment,
                   const unsigned char *bytes, size_t size) {
  int rv;

  if (weir__file_waits(log)) {
    segment->pending_len += size; /* where they were made */
    return WEIR_OK;
  }
  rv = weir__io_write(log->io, segment->fd, bytes, size, segment->tail);
  if (rv != WEIR_OK) {
    log->info.failures += 1;
    weir__file_report_failure(log, segment, "cannot be written", rv);
    return rv;
  }
  if (segment->written == segment->synced) {
    segment->dirty_at = weir__file_clock(log);
  }
  segment->written += size;
  return WEIR_OK;
}

/* A buffer to make `size` bytes of records in. */
static unsigned char *make_room(struct weir_log_file *log,
                                struct weir__segment *segment, size_t size) {
  if (weir__file_waits(log)) {
    if (segment->pending == NULL) {
      segment->pending = log->batch;
      segment->pending_cap = log->batch_cap;
      log->batch = NULL;
      log->batch_cap = 0;
    }
    return weir__file_reserve(log, &segment->pending, &segment->pending_cap,
                              segment->pending_len + size)
               ? segment->pending + segment->pending_len
               : NULL;
  }
  return weir__file_reserve(log, &log->batch, &log->batch_cap, size)
             ? log->batch
             : NULL;
}

int weir__file_append(struct weir_log_file *log,
                      const struct weir__append *append) {
  struct weir__file_stream *stream = append->stream;
  const uint64_t newest = stream->newest;
  const uint64_t own = measure(append);
  struct weir__segment *segment;
  struct batch batch;
  uint64_t size;
  int rv;

  if (own == 0) {
    return WEIR_ETOOBIG;
  }
  rv = have_room(log, stream, own);
  if (rv != WEIR_OK) {
    return rv;
  }
  segment = log->active;
  memset(&batch, 0, sizeof batch);
  batch.log = log;
  batch.append = append;
  batch.segment = segment;
  batch.introduce =
      append->kind != WEIR__RECORD_STATE && !is_introduced(log, stream);
  size = own + (batch.introduce ? state_length(stream) : 0);
  batch.bytes = make_room(log, segment, (size_t)size);
  batch.at = segment->tail;
  batch.record.generation = stream->generation;
  batch.record.time = weir__file_wall(log);
  batch.record.synced = segment->synced;
  rv = batch.bytes == NULL
           ? WEIR_ENOMEM
           : note_all(log, segment, append, segment->tail + (size - own));
  if (rv == WEIR_OK) {
    unsigned char *bytes = batch.bytes;

    put_all(&batch);
    rv = deliver(log, segment, bytes, (size_t)size);
  }
  if (rv != WEIR_OK) {
    weir__runs_forget(segment, stream, stream->put);
    stream->newest = newest;
    stream->run_segment = 0;
    return rv;
  }
  segment->tail += size;
  segment->newest = weir__max(segment->newest, batch.record.time);
  log->info.written += size;
  return WEIR_OK;
}

int weir__file_carry(struct weir_log_file *log,
                     struct weir__file_stream *stream) {
  const struct weir__append append = {stream, WEIR__RECORD_STATE, NULL, 0, 0,
                                      0};

  return weir__file_append(log, &append);
}
