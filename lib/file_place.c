/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_place.h"

#include "file_index.h"

/* So many segments that a reader's stream may have passed over are looked into
 * on the way to the next one that it is in. */
#define AHEAD_MOST 8

/* Back from the newest, which is where most readers are: a read for each
 * segment of the stream on the way. */
static int search(struct weir_log_file *log,
                  const struct weir__file_stream *stream, uint64_t seq,
                  struct weir__place *place, bool *found) {
  uint64_t number = stream->newest;
  struct weir__link *link;
  bool has;
  int rv;

  place->limit = stream->last;
  *found = false;
  for (link = log->segments.prev; link != &log->segments; link = link->prev) {
    place->segment = weir__owner(link, struct weir__segment, link);
    if (place->segment->number > number) {
      continue;
    }
    rv = weir__index_entry(log, place->segment, stream->generation,
                           &place->entry, &has);
    if (rv != WEIR_OK && !weir__is_damage(rv)) {
      return rv;
    }
    if (rv != WEIR_OK || !has) {
      /* What it had is lost, or nothing came of it; not what is older. */
      continue;
    }
    if (seq >= place->entry.first) {
      /* What it has beyond the limit is void: a newer one has those numbers. */
      *found = seq <= weir__min(place->limit, place->entry.last);
      place->limit =
          *found ? weir__min(place->limit, place->entry.last) : place->limit;
      return WEIR_OK;
    }
    place->limit = weir__min(place->limit, place->entry.first - 1);
    number = place->entry.previous;
  }
  return WEIR_OK;
}

/* Whether a reader that was there last may ask for event seq next. */
static bool leads_to(const struct weir__recalled *read, uint64_t seq) {
  return read->last != 0 && seq >= read->first && seq <= read->last + 1;
}

/* Have what leads to event seq, if anything does, as the stream's own. */
static bool recall(struct weir_log_file *log, struct weir__file_stream *stream,
                   uint64_t seq) {
  const struct weir__recalled read = stream->read;
  size_t i;

  for (i = 0; i < WEIR__RECALLED_MOST && !leads_to(&stream->read, seq); ++i) {
    if (log->recalled[i].generation == stream->generation &&
        leads_to(&log->recalled[i].read, seq)) {
      stream->read = log->recalled[i].read;
      log->recalled[i].read = read;
    }
  }
  return leads_to(&stream->read, seq);
}

/* Another reader's place of a stream was its own. */
static void keep(struct weir_log_file *log,
                 const struct weir__file_stream *stream) {
  const size_t i = log->recalled_count++ % WEIR__RECALLED_MOST;

  log->recalled[i].generation = stream->generation;
  log->recalled[i].read = stream->read;
}

static bool is_there(struct weir_log_file *log,
                     const struct weir__file_stream *stream,
                     struct weir__place *place) {
  const struct weir__recalled *read = &stream->read;

  memset(&place->entry, 0, sizeof place->entry);
  place->entry.first = read->first;
  place->entry.last = read->last;
  place->entry.positions = read->positions;
  place->limit = read->last;
  return weir__segment_open(log, place->segment) == WEIR_OK;
}

/* Whether it is in the next segment that has anything of its stream. */
static bool is_next(struct weir_log_file *log,
                    const struct weir__file_stream *stream, uint64_t seq,
                    struct weir__place *place) {
  struct weir__link *link = place->segment->link.next;
  bool has = false;
  int i;

  for (i = 0; i < AHEAD_MOST && link != &log->segments && !has; ++i) {
    place->segment = weir__owner(link, struct weir__segment, link);
    link = link->next;
    if (weir__index_entry(log, place->segment, stream->generation,
                          &place->entry, &has) != WEIR_OK) {
      return false;
    }
    has = has && place->entry.last >= seq;
  }
  if (!has || place->entry.first > seq) {
    return false;
  }
  place->limit = weir__min(place->entry.last, stream->last);
  return true;
}

/* Whether what was recalled leads to event seq. */
static bool follow(struct weir_log_file *log,
                   const struct weir__file_stream *stream, uint64_t seq,
                   struct weir__place *place) {
  place->segment = weir__segment_upto(log, stream->read.segment);
  /* The oldest go first: if it has gone, so have those before it. */
  if (place->segment == NULL) {
    return false;
  }
  if (seq <= stream->read.last) {
    return is_there(log, stream, place);
  }
  /* What was void once may stand there: a newer segment has it. */
  return seq > stream->voided && is_next(log, stream, seq, place);
}

int weir__place_find(struct weir_log_file *log,
                     struct weir__file_stream *stream, uint64_t seq,
                     struct weir__place *place, bool *found) {
  const bool recalled = recall(log, stream, seq);
  int rv = WEIR_OK;

  *found = recalled && follow(log, stream, seq, place);
  if (!*found) {
    rv = search(log, stream, seq, place, found);
  }
  if (rv != WEIR_OK || !*found || !place->segment->sealed) {
    return rv;
  }
  if (!recalled && stream->read.last != 0) {
    keep(log, stream);
  }
  stream->read.segment = place->segment->number;
  stream->read.first = place->entry.first;
  stream->read.last = weir__min(place->limit, stream->last);
  stream->read.positions = place->entry.positions;
  return WEIR_OK;
}
