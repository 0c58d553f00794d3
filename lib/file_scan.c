/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_scan.h"

#include "file_runs.h"

/* A segment is read in pieces of this size, or of its largest record; where
 * that fails, in blocks, so that only what cannot be read is lost. */
#define PIECE ((size_t)1024 * 1024)
#define BLOCK 4096

/* So many events that are lost are noted one by one, where they should have
 * been; of more, an index says that they were before it. */
#define HOLE 65536

/* A segment that is being read through. */
struct scan {
  struct weir_log_file *log;
  struct weir__segment *segment;
  unsigned char *piece; /* of the segment, */
  size_t cap;
  uint64_t begin; /* from here */
  size_t len;
  uint64_t end;     /* of what is to be read */
  uint64_t synced;  /* what was on the disk, as later records say */
  uint64_t damaged; /* places */
  uint64_t orphans; /* records of streams of which nothing is known */
  int fault;        /* why no more is read */
};

/* --- Bytes ----------------------------------------------------------------*/

/* Read what can be read of a piece; the rest is no record, and not zero: it may
 * be what was synced, and may be read another time. */
static void read_blocks(struct scan *scan, uint64_t at, size_t len) {
  struct weir_log_file *log = scan->log;
  unsigned char *bytes = scan->piece;
  size_t n;

  for (; len != 0; at += n, bytes += n, len -= n) {
    n = BLOCK - (size_t)(at % BLOCK);
    n = n < len ? n : len;
    if (weir__io_read(log->io, scan->segment->fd, bytes, n, at) != WEIR_OK) {
      memset(bytes, 0xff, n);
      scan->synced = weir__max(scan->synced, at + n);
      scan->segment->distrusted = true;
      scan->segment->newest = weir__file_wall(log);
    }
  }
}

/* Have len bytes at a place in the piece. NULL: they are not there, or there is
 * a fault. */
static const unsigned char *bytes_at(struct scan *scan, uint64_t at,
                                     uint64_t len) {
  struct weir_log_file *log = scan->log;
  size_t want;
  int rv;

  if (scan->fault != WEIR_OK || len > scan->end - at) {
    return NULL;
  }
  if (at >= scan->begin && at + len <= scan->begin + scan->len) {
    return scan->piece + (at - scan->begin);
  }
  if (!weir__file_reserve(log, &scan->piece, &scan->cap,
                          len > PIECE ? (size_t)len : PIECE)) {
    scan->fault = WEIR_ENOMEM;
    return NULL;
  }
  want = scan->end - at < scan->cap ? (size_t)(scan->end - at) : scan->cap;
  rv = weir__io_read(log->io, scan->segment->fd, scan->piece, want, at);
  if (rv == WEIR_ENOMEM) {
    scan->fault = rv;
    return NULL;
  }
  if (rv != WEIR_OK) {
    read_blocks(scan, at, want);
  }
  scan->begin = at;
  scan->len = want;
  return scan->piece;
}

/* The head of the record at a place. NULL: there is none. */
static const unsigned char *head_at(struct scan *scan, uint64_t at,
                                    struct weir__file_record *record) {
  const unsigned char *bytes = bytes_at(scan, at, WEIR__RECORD_SIZE);

  return bytes != NULL &&
                 weir__record_read(&scan->log->crc, scan->segment->salt, at,
                                   bytes, record)
             ? bytes
             : NULL;
}

/* The record at a place, whole. NULL: there is none. */
static const unsigned char *record_at(struct scan *scan, uint64_t at,
                                      struct weir__file_record *record) {
  const unsigned char *bytes = head_at(scan, at, record);

  if (bytes == NULL) {
    return NULL;
  }
  bytes = bytes_at(scan, at, weir__record_length(record->size));
  /* It may have been read again since. */
  return bytes != NULL &&
                 weir__record_is_whole(&scan->log->crc, scan->segment->salt,
                                       bytes, record->size)
             ? bytes
             : NULL;
}

/* The next place from `at` on, in steps of 4096, where there is something but
 * zeros; the end if there is none. */
static uint64_t skip_zeros(struct scan *scan, uint64_t at) {
  static const unsigned char zeros[BLOCK];
  const unsigned char *bytes;
  uint64_t n;

  for (; at < scan->end; at += n) {
    n = weir__min(scan->end - at, sizeof zeros);
    bytes = bytes_at(scan, at, n);
    if (bytes == NULL || memcmp(bytes, zeros, (size_t)n) != 0) {
      break;
    }
  }
  return at;
}

/* The next place from `at` on where there is a good record; the end if there is
 * none. */
static uint64_t next_record(struct scan *scan, uint64_t at) {
  struct weir__file_record record;

  while (scan->fault == WEIR_OK && at < scan->end &&
         record_at(scan, at, &record) == NULL) {
    at += 8;
    if (at % BLOCK == 0) {
      at = skip_zeros(scan, at);
    }
  }
  return weir__min(at, scan->end);
}

/* --- What records say ----------------------------------------------------- */

/* Event seq is the last of a stream; it stands at this place, or (0) is lost,
 * as is what should stand before it and does not. */
static int append_event(struct scan *scan, struct weir__file_stream *stream,
                        uint64_t seq, uint64_t place) {
  const uint64_t next = stream->last + 1;
  int rv = WEIR_OK;

  if (seq != next && seq - next < HOLE) {
    rv = weir__runs_note(scan->log, scan->segment, stream, next, 0);
  }
  if (rv == WEIR_OK) {
    rv = weir__runs_note(scan->log, scan->segment, stream, seq, place);
  }
  if (rv == WEIR_OK) {
    stream->last = seq;
    stream->put = seq;
    stream->epochs[stream->epoch_count - 1].last = seq;
  }
  return rv;
}

/* The epoch of an event becomes the newest, if that is not known already:
 * that it began has been lost. *stale: it is over. */
static int know_epoch(struct weir_log_file *log,
                      struct weir__file_stream *stream,
                      const struct weir__file_record *record, bool *stale) {
  uint32_t i = stream->epoch_count;

  while (i > 0 && stream->epochs[i - 1].epoch != record->epoch) {
    --i;
  }
  *stale = i != 0 && i != stream->epoch_count;
  if (i != 0) {
    return WEIR_OK;
  }
  weir__runs_void(log, stream, record->seq - 1);
  return weir__file_add_epoch(log, stream, record->epoch, record->seq - 1);
}

static int apply_event(struct scan *scan, struct weir__file_stream *stream,
                       const struct weir__file_record *record, uint64_t place) {
  bool stale;
  int rv;

  if (record->epoch == 0 || record->seq == 0 ||
      record->seq > (uint64_t)WEIR_SEQ_MAX) {
    return WEIR_OK;
  }
  rv = know_epoch(scan->log, stream, record, &stale);
  if (rv != WEIR_OK || stale || record->seq <= stream->last) {
    return rv;
  }
  rv = append_event(scan, stream, record->seq, place);
  if (rv == WEIR_OK && (record->flags & WEIR_RECORD_END) != 0) {
    weir__file_set_ended(scan->log, stream, record->seq, record->time,
                         (record->flags & WEIR_RECORD_FAILED) != 0);
  }
  return rv;
}

/* What a stream was before its first record in this segment: all that is known
 * if what came before is gone, and the truth if it is damaged. */
static int apply_state(struct scan *scan,
                       const struct weir__file_record *record,
                       const unsigned char *payload) {
  struct weir_log_file *log = scan->log;
  struct weir__file_stream *stream = weir__file_find(log, record->generation);
  const bool is_new = stream == NULL;
  struct weir__file_state state;
  int rv;

  if (!weir__state_read(payload, record->size, &state)) {
    scan->orphans += 1;
    return WEIR_OK;
  }
  if (!is_new) {
    weir__runs_void(log, stream, state.last);
  }
  rv = weir__file_adopt(log, record->generation, &state, &stream);
  if (rv == WEIR_OK && is_new) {
    stream->trimmed = state.last;
  }
  return rv;
}

/* A new epoch began after event seq. */
static int apply_take(struct scan *scan, struct weir__file_stream *stream,
                      const struct weir__file_record *record) {
  const uint64_t base = record->seq;
  int rv = WEIR_OK;

  if (record->epoch == 0 || base > (uint64_t)WEIR_SEQ_MAX) {
    return WEIR_OK;
  }
  weir__runs_void(scan->log, stream, base);
  if (stream->last < base) {
    rv = append_event(scan, stream, base, 0);
  }
  if (rv == WEIR_OK &&
      stream->epochs[stream->epoch_count - 1].epoch != record->epoch) {
    rv = weir__file_add_epoch(scan->log, stream, record->epoch, base);
  }
  return rv;
}

static int apply_trim(struct scan *scan, struct weir__file_stream *stream,
                      const struct weir__file_record *record) {
  int rv = WEIR_OK;

  if (record->seq > (uint64_t)WEIR_SEQ_MAX) {
    return WEIR_OK;
  }
  if (stream->last < record->seq) {
    rv = append_event(scan, stream, record->seq, 0);
  }
  stream->trimmed =
      weir__max(stream->trimmed, weir__min(record->seq, stream->last));
  return rv;
}

/* Take over what a record says; without its payload (NULL) it is damaged, but
 * still says whose it was. */
static int apply(struct scan *scan, const struct weir__file_record *record,
                 uint64_t at, const unsigned char *payload) {
  struct weir_log_file *log = scan->log;
  struct weir__file_stream *stream = weir__file_find(log, record->generation);
  struct weir__run *run;
  int rv = WEIR_OK;

  scan->segment->newest = weir__max(scan->segment->newest, record->time);
  if (record->kind == WEIR__RECORD_STATE && payload != NULL) {
    rv = apply_state(scan, record, payload);
    stream = weir__file_find(log, record->generation);
  }
  if (rv == WEIR_OK && stream == NULL) {
    scan->orphans += 1;
    return WEIR_OK;
  }
  if (rv == WEIR_OK) {
    rv = weir__runs_enter(log, scan->segment, stream, &run);
  }
  if (rv != WEIR_OK) {
    return rv;
  }
  run->seen = at;
  switch (record->kind) {
    case WEIR__RECORD_EVENT:
      return apply_event(scan, stream, record, payload == NULL ? 0 : at);
    case WEIR__RECORD_TAKE:
      return apply_take(scan, stream, record);
    case WEIR__RECORD_TRIM:
      return apply_trim(scan, stream, record);
    default:
      return WEIR_OK;
  }
}

/* --- Batches -------------------------------------------------------------- */

/* Where the batch at a place ends; 0: it is not whole. */
static uint64_t batch_end(struct scan *scan, uint64_t at) {
  struct weir__file_record record;
  bool first = true;
  uint32_t left = 0;

  do {
    if (record_at(scan, at, &record) == NULL ||
        (!first && record.left + 1 != left)) {
      return 0;
    }
    first = false;
    left = record.left;
    scan->synced = weir__max(scan->synced, record.synced);
    at += weir__record_length(record.size);
  } while (left != 0);
  return at;
}

/* Apply the records of a batch, from `at` to before `end`, which are whole. */
static int apply_batch(struct scan *scan, uint64_t at, uint64_t end) {
  struct weir__file_record record;
  const unsigned char *bytes;
  int rv = WEIR_OK;

  while (rv == WEIR_OK && at < end) {
    bytes = record_at(scan, at, &record);
    if (bytes == NULL) {
      return scan->fault != WEIR_OK ? scan->fault : WEIR_EIO;
    }
    rv = apply(scan, &record, at, bytes + WEIR__RECORD_SIZE);
    at += weir__record_length(record.size);
  }
  return rv;
}

/* How much of the segment was synced once, as records behind a damage say: up
 * to there it is damage, and beyond it is a torn tail. */
static void find_synced(struct scan *scan, uint64_t at) {
  struct weir__file_record record;

  for (at = next_record(scan, at); at < scan->end;
       at = next_record(scan, at + weir__record_length(record.size))) {
    if (record_at(scan, at, &record) == NULL) {
      return;
    }
    scan->synced = weir__max(scan->synced, record.synced);
  }
}

/* Apply one record of a batch that is damaged, or find out what it was, or go
 * on to where good ones are. */
static int apply_damaged(struct scan *scan, uint64_t *at) {
  struct weir__file_record record;
  const unsigned char *bytes = record_at(scan, *at, &record);
  uint64_t length;
  int rv;

  if (bytes == NULL && head_at(scan, *at, &record) == NULL) {
    scan->damaged += 1;
    *at = next_record(scan, *at + 8);
    weir__segment_damaged(scan->log, scan->segment, *at);
    return WEIR_OK;
  }
  length = weir__record_length(record.size);
  scan->damaged += bytes == NULL;
  rv = apply(scan, &record, *at,
             bytes == NULL ? NULL : bytes + WEIR__RECORD_SIZE);
  *at = length > scan->end - *at ? scan->end : *at + length;
  return rv;
}

static int read_through(struct scan *scan) {
  uint64_t at = WEIR__HEAD_SIZE;
  uint64_t end;
  bool looked = false;
  int rv = WEIR_OK;

  while (rv == WEIR_OK && at < scan->end) {
    end = batch_end(scan, at);
    if (end != 0) {
      rv = apply_batch(scan, at, end);
      at = end;
    } else {
      if (!looked) {
        find_synced(scan, at);
        looked = true;
      }
      if (at >= scan->synced) {
        break;
      }
      rv = apply_damaged(scan, &at);
    }
    rv = scan->fault != WEIR_OK ? scan->fault : rv;
  }
  scan->segment->tail = weir__min(at, scan->end);
  scan->segment->written = scan->segment->tail;
  scan->segment->synced = weir__min(scan->synced, scan->segment->tail);
  return scan->fault != WEIR_OK ? scan->fault : rv;
}

/* How much but zeros stands behind the tail. */
static uint64_t torn_bytes(struct scan *scan) {
  const uint64_t tail = scan->segment->tail;
  const unsigned char *bytes;
  uint64_t last = tail;
  uint64_t at;
  uint64_t n;
  uint64_t i;

  for (at = skip_zeros(scan, tail); at < scan->end;
       at = skip_zeros(scan, at + n)) {
    n = weir__min(scan->end - at, BLOCK);
    bytes = bytes_at(scan, at, n);
    for (i = 0; bytes != NULL && i < n; ++i) {
      last = bytes[i] != 0 ? at + i + 1 : last;
    }
  }
  return last - tail;
}

static void report(const struct scan *scan, uint64_t torn) {
  const struct weir_log_file *log = scan->log;
  const unsigned long long number = scan->segment->number;

  if (scan->damaged != 0) {
    weir__file_report(log,
                      "segment %016llx: damaged in %llu places before %llu; "
                      "what was there is lost",
                      number, (unsigned long long)scan->damaged,
                      (unsigned long long)scan->synced);
  }
  if (scan->orphans != 0) {
    weir__file_report(log,
                      "segment %016llx: %llu records of streams whose "
                      "beginning is lost",
                      number, (unsigned long long)scan->orphans);
  }
  if (torn != 0) {
    weir__file_report(log,
                      "segment %016llx: cut off %llu bytes of a torn tail at "
                      "%llu",
                      number, (unsigned long long)torn,
                      (unsigned long long)scan->segment->tail);
  }
  if (scan->segment->distrusted) {
    weir__file_report(log,
                      "segment %016llx: cannot be read everywhere; it is left "
                      "as it is",
                      number);
  }
}

int weir__scan_segment(struct weir_log_file *log, struct weir__segment *segment,
                       uint64_t end, bool was_synced) {
  uint64_t torn = 0;
  struct scan scan;
  int rv;

  memset(&scan, 0, sizeof scan);
  scan.log = log;
  scan.segment = segment;
  scan.end = end;
  scan.synced = was_synced ? end : 0;
  rv = read_through(&scan);
  if (rv == WEIR_OK && !was_synced) {
    torn = torn_bytes(&scan);
    rv = scan.fault;
  }
  if (rv == WEIR_OK) {
    log->info.cut += torn;
    report(&scan, torn);
  }
  weir__file_free(log, scan.piece, scan.cap);
  return rv;
}
