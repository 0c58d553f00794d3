/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_read.h"

#include "file_index.h"
#include "file_place.h"

/* So much is read at least, and at most, but for a record that is larger. */
#define LITTLE 4096
#define MUCH 262144

/* Where a read stands. */
struct reading {
  struct weir_log_file *log;
  struct weir__file_stream *stream;
  struct weir__file_events *events;
  uint64_t seq; /* the next to be read */
  uint64_t upto;
  size_t room; /* bytes that may still come */
  bool full;   /* nothing more may */
};

/* The record of event seq, as far as any two differ. */
static void put_event(weir_record *event, uint64_t seq,
                      const unsigned char *bytes) {
  event->epoch = weir__record_epoch(bytes);
  event->seq = seq;
  event->frame = bytes + WEIR__RECORD_SIZE;
  event->frame_len = weir__record_payload(bytes);
  event->flags = weir__record_flags(bytes);
}

/* The record at a place, if it is in the window, as its head says, which may be
 * none; else NULL. */
static inline const unsigned char *find_record(
    const struct weir__window *window, const struct weir__segment *segment,
    uint64_t at) {
  const unsigned char *bytes;
  uint64_t left;

  if (window->segment != segment->number || at < window->at ||
      at - window->at >= window->len) {
    return NULL;
  }
  left = window->len - (at - window->at);
  bytes = window->bytes + (at - window->at);
  return left >= WEIR__RECORD_SIZE &&
                 left >= weir__record_length(weir__record_payload(bytes))
             ? bytes
             : NULL;
}

/* Take over the next events, which stand at these places, up to the first that
 * is not in the window or not what it was. Returns how many. */
static uint32_t take(struct reading *reading,
                     const struct weir__segment *segment,
                     const uint32_t *places, uint32_t count) {
  const struct weir_log_file *log = reading->log;
  const struct weir__window window = log->records;
  const uint64_t generation = reading->stream->generation;
  const uint64_t seq = reading->seq;
  weir_record *events = log->events + reading->events->count;
  const unsigned char *bytes;
  uint64_t at;
  uint32_t i;

  for (i = 0; i < count && !reading->full; ++i) {
    at = (uint64_t)places[i] * 8;
    bytes = find_record(&window, segment, at);
    if (bytes == NULL || !weir__record_is_event(&log->crc, segment->salt, at,
                                                generation, seq + i, bytes)) {
      break;
    }
    put_event(&events[i], seq + i, bytes);
    reading->full = events[i].frame_len >= reading->room;
    reading->room -= (size_t)weir__min(reading->room, events[i].frame_len);
  }
  reading->events->count += i;
  reading->seq = seq + i;
  return i;
}

/* Have a record in the window, if there is one at this place. */
static int load_record(struct weir_log_file *log, struct weir__segment *segment,
                       uint64_t at, uint64_t ahead) {
  struct weir__window *window = &log->records;
  struct weir__file_record record;
  int rv =
      weir__segment_view(log, segment, window, at, WEIR__RECORD_SIZE, ahead);

  if (rv == WEIR_OK &&
      weir__record_read(&log->crc, segment->salt, at,
                        window->bytes + (at - window->at), &record)) {
    rv = weir__segment_view(log, segment, window, at,
                            weir__record_length(record.size), ahead);
  }
  return rv;
}

/* Read the next event, which stands at this place; 0: nowhere. */
static int read_event(struct reading *reading, struct weir__segment *segment,
                      const uint32_t *place, uint64_t ahead) {
  struct weir_log_file *log = reading->log;
  const uint64_t at = (uint64_t)*place * 8;
  int rv = WEIR_OK;

  if (at != 0 && find_record(&log->records, segment, at) == NULL) {
    if (reading->events->count != 0) {
      /* Those that were found stay where they are. */
      reading->full = true;
      return WEIR_OK;
    }
    rv = load_record(log, segment, at, ahead);
  }
  if (rv != WEIR_OK && !weir__is_damage(rv)) {
    return rv;
  }
  if (rv != WEIR_OK || take(reading, segment, place, 1) == 0) {
    reading->events->lost_through = reading->seq;
    log->info.lost += 1;
    reading->seq += 1;
  }
  return WEIR_OK;
}

/* How much to read so that it has those of the events that stand close enough
 * together, of which there are `count`; `known` is as many, or one more, since
 * how long one is, the place of the next one says. The very last of a segment
 * is taken to be as long as the one before it, or little. */
static uint64_t reach(const uint32_t *places, uint32_t count, uint32_t known,
                      size_t room) {
  const uint64_t most = places[0] + weir__min(room, MUCH) / 8;
  uint32_t i = known - 1;
  uint64_t far;

  /* Those that are lost stand at 0. */
  while (i > 0 && (places[i] <= places[0] || places[i] > most)) {
    i -= 1;
  }
  far = (uint64_t)(places[i] - places[0]) * 8;
  if (i == count - 1 && i > 0) {
    far += (places[i] - weir__min(places[i], places[i - 1])) * 8;
  }
  return weir__min(weir__max(far, LITTLE), MUCH);
}

/* Read events that are in one segment, from reading->seq on, as long as they
 * come into the window together. */
static int read_run(struct reading *reading, const struct weir__place *place) {
  const uint64_t here = place->limit - reading->seq + 1;
  const uint64_t limit = weir__min(place->limit, reading->upto);
  uint32_t places[WEIR__READ_MOST + 1];
  uint32_t count;
  uint32_t known;
  uint64_t ahead;
  uint32_t i;
  int rv;

  count = (uint32_t)weir__min(limit - reading->seq + 1, WEIR__READ_MOST);
  known = (uint32_t)weir__min(here, count + 1);
  rv = weir__index_places(reading->log, place->segment, &place->entry,
                          reading->seq, known, places);
  if (weir__is_damage(rv)) {
    /* Nobody knows where they stand. */
    memset(places, 0, sizeof places);
    rv = WEIR_OK;
  }
  if (rv != WEIR_OK) {
    return rv;
  }
  ahead = reach(places, count, known, reading->room);
  i = take(reading, place->segment, places, count);
  for (; rv == WEIR_OK && i < count && !reading->full;
       i += take(reading, place->segment, places + i, count - i)) {
    rv = read_event(reading, place->segment, &places[i++], ahead);
  }
  return rv;
}

/* The records that are handed out. */
static int make_events(struct weir_log_file *log) {
  const size_t size = WEIR__READ_MOST * sizeof *log->events;
  size_t i;

  log->events = weir__file_alloc(log, size);
  if (log->events == NULL) {
    return WEIR_ENOMEM;
  }
  memset(log->events, 0, size);
  for (i = 0; i < WEIR__READ_MOST; ++i) {
    log->events[i].size = sizeof log->events[i];
  }
  return WEIR_OK;
}

int weir__file_read(struct weir_log_file *log, struct weir__file_stream *stream,
                    uint64_t after, uint64_t upto, size_t max_bytes,
                    struct weir__file_events *events) {
  struct reading reading = {log, stream, events, 0, 0, max_bytes, false};
  struct weir__place place;
  uint64_t limit;
  bool found;
  int rv = log->events == NULL ? make_events(log) : WEIR_OK;

  if (rv != WEIR_OK) {
    return rv;
  }
  events->records = log->events;
  events->count = 0;
  events->lost_through = 0;
  reading.seq = weir__max(after, stream->trimmed) + 1;
  reading.upto = weir__min(upto, stream->last);
  if (reading.seq <= reading.upto) {
    rv = weir__place_find(log, stream, reading.seq, &place, &found);
    if (rv == WEIR_OK && found) {
      /* The next segment would drive out what is in the window. */
      rv = read_run(&reading, &place);
    } else if (rv == WEIR_OK) {
      /* It is in no segment that is there. */
      limit = weir__max(weir__min(place.limit, reading.upto), reading.seq);
      log->info.lost += limit - reading.seq + 1;
      events->lost_through = limit;
    }
  }
  log->info.reads += 1;
  return rv;
}
