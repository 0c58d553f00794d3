/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_read.h"

/* So much is read at least, and at most, but for a record that is larger. */
#define LITTLE 4096
#define MUCH 262144

/* A run of events in one segment. */
struct place_of {
  struct weir__segment *segment; /* NULL: it is gone */
  struct weir__entry_of_directory entry;
};

/* Find the segment that has event seq: back from the newest, which is where
 * most readers are. *found says whether there is one. *limit is the last event
 * that is there too, or is missing too. */
static int search_place(struct weir_log_file *log,
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

/* Where a reader reads on: in the segment that it was found in last. */
static bool recall_place(struct weir_log_file *log,
                         const struct weir__file_stream *stream, uint64_t seq,
                         struct place_of *place) {
  if (seq < stream->read_first || seq > stream->read_last) {
    return false;
  }
  place->segment = weir__segment_upto(log, stream->read_segment);
  memset(&place->entry, 0, sizeof place->entry);
  place->entry.first = stream->read_first;
  place->entry.positions = stream->read_positions;
  /* The oldest go first: if it has gone, so have those before it. */
  return place->segment != NULL &&
         weir__segment_open(log, place->segment) == WEIR_OK;
}

/* As search_place, which takes a read for each segment that it looks into. */
static int find_place(struct weir_log_file *log,
                      struct weir__file_stream *stream, uint64_t seq,
                      struct place_of *place, uint64_t *limit, bool *found) {
  int rv;

  if (recall_place(log, stream, seq, place)) {
    *limit = stream->read_last;
    *found = true;
    return WEIR_OK;
  }
  rv = search_place(log, stream, seq, place, limit, found);
  if (rv == WEIR_OK && *found && place->segment->sealed) {
    stream->read_segment = place->segment->number;
    stream->read_first = place->entry.first;
    stream->read_last = weir__min(*limit, stream->last);
    stream->read_positions = place->entry.positions;
  }
  return rv;
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
  if (rv != WEIR_OK) {
    return rv;
  }
  rv = weir__io_read(log->io, segment->fd, log->buffer, (size_t)len, at);
  if (rv == WEIR_EIO && len != least) {
    /* It may be what lies ahead that cannot be read. */
    len = least;
    rv = weir__io_read(log->io, segment->fd, log->buffer, (size_t)len, at);
  }
  if (rv == WEIR_OK) {
    log->buffer_segment = segment->number;
    log->buffer_at = at;
    log->buffer_len = (size_t)len;
  }
  return rv;
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
  static const weir_record blank = {.size = sizeof blank};
  weir_record *event = &reading->events->records[reading->events->count++];

  *event = blank;
  event->epoch = record->epoch;
  event->seq = record->seq;
  event->flags = record->flags;
  event->frame = bytes + WEIR__RECORD_SIZE;
  event->frame_len = record->size;
  reading->room -= (size_t)weir__min(reading->room, record->size);
  reading->full =
      reading->room == 0 || reading->events->count == WEIR__READ_MOST;
}

/* What stands at a place of the segment whose bytes are in the buffer. */
static const unsigned char *bytes_at(const struct weir_log_file *log,
                                     uint64_t at) {
  return log->buffer + (at - log->buffer_at);
}

/* Whether a record is in the buffer, as its head says, which may be none. */
static bool is_buffered(const struct weir_log_file *log,
                        const struct weir__segment *segment, uint64_t at) {
  uint64_t begin;

  if (log->buffer_segment != segment->number || at < log->buffer_at) {
    return false;
  }
  begin = at - log->buffer_at;
  return begin + WEIR__RECORD_SIZE <= log->buffer_len &&
         begin + weir__record_length(weir__record_payload(bytes_at(log, at))) <=
             log->buffer_len;
}

/* Have a record in the buffer, if there is one at this place. */
static int load_record(struct weir_log_file *log, struct weir__segment *segment,
                       uint64_t at, uint64_t ahead) {
  struct weir__file_record record;
  int rv = fill_buffer(log, segment, at, WEIR__RECORD_SIZE, ahead);

  if (rv == WEIR_OK && weir__record_read(&log->crc, segment->salt, at,
                                         bytes_at(log, at), &record)) {
    rv = fill_buffer(log, segment, at, weir__record_length(record.size), ahead);
  }
  return rv;
}

/* Take over the record at a place, if it is that of the event to be read. */
static bool take_record(struct reading *reading,
                        const struct weir__segment *segment, uint64_t at) {
  const struct weir_log_file *log = reading->log;
  const unsigned char *bytes = bytes_at(log, at);
  struct weir__file_record record;

  if (!weir__record_read(&log->crc, segment->salt, at, bytes, &record) ||
      record.kind != WEIR__RECORD_EVENT ||
      record.generation != reading->stream->generation ||
      record.seq != reading->seq ||
      !weir__record_is_whole(&log->crc, bytes, &record)) {
    return false;
  }
  add(reading, &record, bytes);
  return true;
}

/* Read the next event, which stands at this place; 0: nowhere. */
static int read_event(struct reading *reading, struct weir__segment *segment,
                      uint64_t at, uint64_t ahead) {
  struct weir_log_file *log = reading->log;
  bool here = at != 0 && is_buffered(log, segment, at);
  int rv = WEIR_OK;

  if (at != 0 && !here) {
    if (reading->events->count != 0) {
      /* Those that were found stay where they are. */
      reading->full = true;
      return WEIR_OK;
    }
    rv = load_record(log, segment, at, ahead);
    here = rv == WEIR_OK && is_buffered(log, segment, at);
  }
  if (rv != WEIR_OK && !is_damage(rv)) {
    return rv;
  }
  if (!here || !take_record(reading, segment, at)) {
    reading->events->lost_through = reading->seq;
    log->info.lost += 1;
  }
  reading->seq += 1;
  return WEIR_OK;
}

/* How much to read so that it has those of the events that stand close enough
 * together. How long the last of them is, is not known: as long as the one
 * before it, or little. */
static uint64_t reach(const uint32_t *places, uint32_t count, size_t room) {
  const uint64_t most = weir__min(room, MUCH);
  uint64_t far = 0;
  uint64_t gap = 0;
  uint64_t next;
  uint32_t i;

  for (i = 1; i < count && places[i] > places[i - 1]; ++i) {
    next = (uint64_t)(places[i] - places[0]) * 8;
    if (next > most) {
      break;
    }
    gap = next - far;
    far = next;
  }
  return weir__min(far + weir__max(gap, LITTLE), MUCH);
}

/* Read events that are in one segment, from reading->seq to `limit`, as long as
 * they come into the buffer together. */
static int read_run(struct reading *reading, const struct place_of *place,
                    uint64_t limit) {
  uint32_t places[WEIR__READ_MOST];
  uint64_t ahead;
  uint32_t count;
  uint32_t i;
  int rv;

  limit = weir__min(limit, reading->upto);
  count = (uint32_t)weir__min(limit - reading->seq + 1, WEIR__READ_MOST);
  rv = weir__segment_places(reading->log, place->segment, &place->entry,
                            reading->seq, count, places);
  if (rv != WEIR_OK) {
    return rv;
  }
  ahead = reach(places, count, reading->room);
  for (i = 0; rv == WEIR_OK && i < count && !reading->full; ++i) {
    rv = read_event(reading, place->segment, (uint64_t)places[i] * 8, ahead);
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
