/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_read.h"

/* Who reads on where the last read ended gets so much at a time; who does not,
 * what a few events need. */
#define AHEAD 262144
#define LITTLE 4096

/* A run of events in one segment. */
struct place_of {
  struct weir__segment *segment; /* NULL: it is gone */
  struct weir__entry_of_directory entry;
};

/* Find the segment that has event seq: back from the newest, which is where
 * most readers are. *found says whether there is one. *limit is the last event
 * that is there too, or is missing too. */
static int find_place(struct weir_log_file *log,
                      const struct weir__file_stream *stream, uint64_t seq,
                      struct place_of *place, uint64_t *limit, bool *found) {
  uint64_t number = stream->newest;
  bool has;
  int rv;

  *limit = stream->last;
  *found = false;
  for (; number != 0; number = place->entry.previous) {
    place->segment = weir__segment_upto(log, number);
    if (place->segment == NULL) {
      return WEIR_OK;
    }
    rv = weir__segment_entry(log, place->segment, stream->generation,
                             &place->entry, &has);
    if (rv != WEIR_OK) {
      return rv;
    }
    if (!has) {
      /* What it had is lost, or nothing came of it; not what is older. */
      place->entry.previous = place->segment->number - 1;
      continue;
    }
    if (seq >= place->entry.first) {
      /* What it has beyond the limit is void: a newer one has those numbers. */
      *found = seq <= weir__min(*limit, place->entry.last);
      *limit = *found ? weir__min(*limit, place->entry.last) : *limit;
      return WEIR_OK;
    }
    *limit = weir__min(*limit, place->entry.first - 1);
  }
  return WEIR_OK;
}

/* Have `len` bytes at a place of a segment in the buffer, or as many as there
 * are, but no fewer than `least`. */
static int fill_buffer(struct weir_log_file *log, struct weir__segment *segment,
                       uint64_t at, uint64_t least, uint64_t len) {
  const uint64_t end = segment->sealed ? segment->size : segment->written;
  int rv;

  if (log->buffer_segment == segment->number && at >= log->buffer_at &&
      at + least <= log->buffer_at + log->buffer_len) {
    return WEIR_OK;
  }
  log->buffer_segment = 0;
  if (at > end || least > end - at) {
    return WEIR_EIO;
  }
  len = weir__min(weir__max(len, least), end - at);
  if (!weir__file_reserve(log, &log->buffer, &log->buffer_cap, (size_t)len)) {
    return WEIR_ENOMEM;
  }
  rv = weir__segment_open(log, segment);
  if (rv == WEIR_OK) {
    rv = weir__io_read(log->io, segment->fd, log->buffer, (size_t)len, at);
  }
  if (rv == WEIR_OK) {
    log->buffer_segment = segment->number;
    log->buffer_at = at;
    log->buffer_len = (size_t)len;
  }
  return rv;
}

/* The record at a place, if it is that of event seq; *bytes is NULL if not. */
static int fetch_record(struct weir_log_file *log,
                        struct weir__segment *segment,
                        const struct weir__file_stream *stream, uint64_t seq,
                        uint64_t at, uint64_t ahead,
                        struct weir__file_record *record,
                        const unsigned char **bytes) {
  const unsigned char *head;
  int rv = fill_buffer(log, segment, at, WEIR__RECORD_SIZE, ahead);

  *bytes = NULL;
  if (rv != WEIR_OK) {
    return rv;
  }
  head = log->buffer + (at - log->buffer_at);
  if (!weir__record_read(&log->crc, segment->salt, at, head, record) ||
      record->kind != WEIR__RECORD_EVENT ||
      record->generation != stream->generation || record->seq != seq) {
    return WEIR_OK;
  }
  rv = fill_buffer(log, segment, at, weir__record_length(record->size), ahead);
  if (rv != WEIR_OK) {
    return rv;
  }
  head = log->buffer + (at - log->buffer_at);
  if (weir__record_is_whole(&log->crc, head, record)) {
    *bytes = head;
  }
  return WEIR_OK;
}

/* What is lost by damage of a segment, and not because memory or the disk says
 * no just now. */
static bool is_damage(int error) {
  return error == WEIR_EIO;
}

/* Where a read stands. */
struct reading {
  struct weir_log_file *log;
  struct weir__file_stream *stream;
  struct weir__file_events *events;
  uint64_t seq; /* the next to be read */
  uint64_t upto;
  size_t room; /* bytes that may still come */
  bool full;
};

static void add(struct reading *reading, const struct weir__file_record *record,
                const unsigned char *bytes) {
  weir_record *event = &reading->events->records[reading->events->count++];

  *event = (weir_record){.size = sizeof *event,
                         .epoch = record->epoch,
                         .seq = record->seq,
                         .flags = record->flags,
                         .frame = bytes + WEIR__RECORD_SIZE,
                         .frame_len = record->size};
  reading->room -= (size_t)weir__min(reading->room, record->size);
  reading->full =
      reading->room == 0 || reading->events->count == WEIR__READ_MOST;
}

/* Whether another record of the segment that is in the buffer is there already,
 * so that those that were found stay where they are. */
static bool is_buffered(const struct weir_log_file *log,
                        const struct weir__segment *segment, uint64_t at) {
  struct weir__file_record record;
  const unsigned char *head;

  if (at < log->buffer_at ||
      at + WEIR__RECORD_SIZE > log->buffer_at + log->buffer_len) {
    return false;
  }
  head = log->buffer + (at - log->buffer_at);
  return !weir__record_read(&log->crc, segment->salt, at, head, &record) ||
         at + weir__record_length(record.size) <=
             log->buffer_at + log->buffer_len;
}

/* Read events that are in one segment, from reading->seq to `limit`, as long as
 * they come into the buffer together. */
static int read_run(struct reading *reading, const struct place_of *place,
                    uint64_t limit) {
  struct weir_log_file *log = reading->log;
  struct weir__segment *segment = place->segment;
  uint32_t places[WEIR__READ_MOST];
  struct weir__file_record record;
  const unsigned char *bytes;
  uint64_t ahead;
  uint64_t at;
  uint32_t count;
  uint32_t i;
  int rv;

  limit = weir__min(limit, reading->upto);
  count = (uint32_t)weir__min(limit - reading->seq + 1, WEIR__READ_MOST);
  rv = weir__segment_places(log, segment, &place->entry, reading->seq, count,
                            places);
  if (rv != WEIR_OK) {
    return rv;
  }
  /* Events that stand close together are read together. */
  at = (uint64_t)places[count - 1] * 8 - (uint64_t)places[0] * 8;
  ahead = places[0] != 0 && at < AHEAD ? AHEAD : LITTLE;
  for (i = 0; rv == WEIR_OK && i < count && !reading->full; ++i) {
    at = (uint64_t)places[i] * 8;
    if (reading->events->count != 0 && !is_buffered(log, segment, at)) {
      reading->full = true;
      break;
    }
    bytes = NULL;
    if (at != 0) {
      rv = fetch_record(log, segment, reading->stream, reading->seq, at, ahead,
                        &record, &bytes);
    }
    if (rv == WEIR_OK || is_damage(rv)) {
      if (rv == WEIR_OK && bytes != NULL) {
        add(reading, &record, bytes);
      } else {
        reading->events->lost_through = reading->seq;
        log->info.lost += 1;
      }
      rv = WEIR_OK;
      reading->seq += 1;
    }
  }
  return rv;
}

int weir__file_read(struct weir_log_file *log, struct weir__file_stream *stream,
                    uint64_t after, uint64_t upto, size_t max_bytes,
                    struct weir__file_events *events) {
  struct reading reading = {log, stream, events, 0, 0, max_bytes, false};
  struct place_of place;
  uint64_t limit;
  bool found;
  int rv = WEIR_OK;

  events->count = 0;
  events->lost_through = 0;
  reading.seq = weir__max(after, stream->trimmed) + 1;
  reading.upto = weir__min(upto, stream->last);
  while (rv == WEIR_OK && !reading.full && reading.seq <= reading.upto) {
    if (events->count != 0 || events->lost_through != 0) {
      /* The next segment would drive out what is in the buffer. */
      break;
    }
    rv = find_place(log, stream, reading.seq, &place, &limit, &found);
    if (rv == WEIR_OK && found) {
      rv = read_run(&reading, &place, limit);
    } else if (rv == WEIR_OK || is_damage(rv)) {
      /* It is in no segment that is there. */
      limit = weir__max(weir__min(limit, reading.upto), reading.seq);
      log->info.lost += limit - reading.seq + 1;
      events->lost_through = limit;
      rv = WEIR_OK;
    }
  }
  log->info.reads += 1;
  return rv;
}
