/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_retain.h"

#include "file_index.h"
#include "file_write.h"

#define NEVER ((uint64_t)WEIR_NEVER)

/* ms to another try to let a segment go, or to carry what has to stay. */
#define AGAIN 1000

static struct weir__segment *segment_of(struct weir__link *link) {
  return weir__owner(link, struct weir__segment, link);
}

/* Whether a segment may be removed now: what it had that has to stay is on the
 * disk elsewhere. */
static bool may_go(const struct weir_log_file *log,
                   const struct weir__segment *segment) {
  const struct weir__segment *by;
  struct weir__link *link;

  if (!segment->carried) {
    return false;
  }
  for (link = log->segments.prev; link != &log->segments; link = link->prev) {
    by = segment_of(link);
    if (by->number < segment->carried_from) {
      break;
    }
    if (by->number <= segment->carried_by && !by->sealed &&
        by->synced < (by->number < segment->carried_by ? by->tail
                                                       : segment->carried_to)) {
      return false;
    }
  }
  return true;
}

/* Whether there are more bytes than there may be. What streams have to have is
 * not to be more than a third: else it would be carried round and round. */
static bool is_too_much(const struct weir_log_file *log) {
  return log->options.keep_bytes != 0 &&
         log->info.bytes > weir__max(log->options.keep_bytes, log->weight * 3);
}

/* Whether a limit says that the oldest segment should go. */
static bool is_beyond(const struct weir_log_file *log,
                      const struct weir__segment *segment) {
  const uint64_t age = log->options.keep_age;

  return (age != 0 &&
          weir__file_wall(log) > weir__later(segment->newest, age)) ||
         is_too_much(log);
}

/* See to a stream of a segment that goes: false without room to keep it. */
static bool see_to(struct weir_log_file *log, struct weir__segment *segment,
                   uint64_t generation, uint64_t last) {
  struct weir__file_stream *stream = weir__file_find(log, generation);

  if (stream == NULL) {
    return true;
  }
  if (stream->newest == segment->number) {
    /* All that it has is here. Nobody finds what is hidden: it goes. Else that
     * it was there is worth keeping, as long as it lives, or has lived lately.
     */
    if (!stream->is_named && stream->holds == 0) {
      weir__file_purge(log, stream);
      return true;
    }
    if (weir__file_carry(log, stream) != WEIR_OK) {
      return false;
    }
  }
  stream->trimmed = weir__max(stream->trimmed, weir__min(last, stream->last));
  return true;
}

/* As see_to, for the visit of a segment without an index. */
struct visit {
  struct weir_log_file *log;
  struct weir__segment *segment;
  bool good;
};

static void see_to_run(void *user, struct weir__node *node) {
  const struct weir__run *run = weir__owner_const(node, struct weir__run, node);
  struct visit *visit = user;

  visit->good =
      visit->good && see_to(visit->log, visit->segment, run->generation,
                            run->first + run->count - 1);
}

static bool see_to_runs(struct weir_log_file *log,
                        struct weir__segment *segment) {
  struct visit visit = {log, segment, true};
  size_t i;

  for (i = 0; i < segment->runs.buckets; ++i) {
    weir__map_visit(&segment->runs, i, see_to_run, &visit);
  }
  return visit.good;
}

static bool see_to_entries(struct weir_log_file *log,
                           struct weir__segment *segment) {
  struct weir__entry_of_directory entry;
  uint64_t i;

  for (i = 0; i < segment->entries; ++i) {
    if (weir__index_read(log, segment, i, &entry) != WEIR_OK ||
        !see_to(log, segment, entry.generation, entry.last)) {
      return false;
    }
  }
  return true;
}

/* Keep what has to be kept of a segment. */
static void carry(struct weir_log_file *log, struct weir__segment *segment) {
  segment->carried_from = segment_of(log->segments.prev)->number;
  segment->carried = segment->sealed ? see_to_entries(log, segment)
                                     : see_to_runs(log, segment);
  segment->carried_by = log->active == NULL ? 0 : log->active->number;
  segment->carried_to = log->active == NULL ? 0 : log->active->tail;
  if (log->active != NULL) {
    log->active->wanted = log->active->tail;
  }
}

/* Streams that ended long ago. */
static void purge_ended(struct weir_log_file *log) {
  const uint64_t age = log->options.keep_ended;
  struct weir__file_stream *stream;
  const uint64_t now = weir__file_wall(log);

  while (age != 0 && !weir__link_alone(&log->ended)) {
    stream = weir__owner(log->ended.next, struct weir__file_stream, ended_link);
    if (now <= weir__later(stream->ended_at, age)) {
      break;
    }
    weir__file_purge(log, stream);
  }
}

/* The oldest segment, if it may go by its kind. */
static struct weir__segment *oldest(const struct weir_log_file *log) {
  struct weir__segment *segment;
  bool may;

  if (weir__link_alone(&log->segments)) {
    return NULL;
  }
  segment = segment_of(log->segments.next);
  may = segment->sealed || segment->unreadable || segment->distrusted;
  return may && !weir__segment_is_last_head(log, segment) ? segment : NULL;
}

void weir__retain_later(struct weir_log_file *log) {
  log->again_at = weir__later(weir__file_clock(log), AGAIN);
}

void weir__retain(struct weir_log_file *log) {
  struct weir__segment *segment;

  purge_ended(log);
  segment = oldest(log);
  if (segment != NULL && !segment->carried &&
      log->again_at <= weir__file_clock(log) && is_beyond(log, segment)) {
    carry(log, segment);
    if (!segment->carried) {
      weir__retain_later(log);
    }
  }
}

uint64_t weir__retain_time(const struct weir_log_file *log) {
  const uint64_t wall = weir__file_wall(log);
  const uint64_t now = weir__file_clock(log);
  const struct weir__segment *segment = oldest(log);
  const struct weir__file_stream *stream;
  uint64_t when = NEVER; /* by the wall's */

  if (segment != NULL && segment->carried) {
    return may_go(log, segment) ? log->again_at : NEVER;
  }
  if (segment != NULL && log->options.keep_age != 0) {
    when = weir__later(segment->newest, log->options.keep_age) + 1;
  }
  if (segment != NULL && is_beyond(log, segment)) {
    when = 0;
  }
  if (log->options.keep_ended != 0 && !weir__link_alone(&log->ended)) {
    stream = weir__owner_const(log->ended.next, struct weir__file_stream,
                               ended_link);
    when = weir__min(
        when, weir__later(stream->ended_at, log->options.keep_ended) + 1);
  }
  if (when <= wall) {
    return weir__max(now, log->again_at);
  }
  return when >= NEVER ? NEVER : weir__later(now, when - wall);
}

uint64_t weir__retain_next(const struct weir_log_file *log) {
  const struct weir__segment *segment = oldest(log);

  return segment != NULL && may_go(log, segment) &&
                 log->again_at <= weir__file_clock(log)
             ? segment->number
             : 0;
}

void weir__retain_failed(struct weir_log_file *log, uint64_t number) {
  struct weir__segment *first = segment_of(log->segments.next);

  if (number >= first->carried_from && number <= first->carried_by) {
    first->carried = false;
    weir__retain_later(log);
  }
}
