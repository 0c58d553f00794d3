/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_retain.h"

#include "file_index.h"
#include "file_write.h"

#define NEVER ((uint64_t)WEIR_NEVER)

/* ms to another try to let a segment go, or to carry what has to stay. */
#define AGAIN 1000

/* So many tries to carry find no room on the disk before a file goes all the
 * same: the first may have wanted a large segment, the second the smallest. */
#define CRAMPED_MOST 2

/* Ended streams that one round passes over. */
#define PASSED_MOST 8

static struct weir__segment *segment_of(struct weir__link *link) {
  return weir__owner(link, struct weir__segment, link);
}

/* Whether what had to stay of a segment is on the disk elsewhere. Of a segment
 * whose sync has failed nobody knows; what it had was carried, too. */
static bool is_safe(const struct weir_log_file *log,
                    const struct weir__segment *segment) {
  const struct weir__link *link = log->segments.prev;
  const struct weir__segment *by;

  for (; link != &segment->link; link = link->prev) {
    by = weir__owner_const(link, struct weir__segment, link);
    if (by->number < log->settled) {
      break;
    }
    if (by->number <= segment->carried_by && !by->sealed && !by->distrusted &&
        by->synced < (by->number < segment->carried_by ? by->tail
                                                       : segment->carried_to)) {
      return false;
    }
  }
  return segment->carried;
}

/* Whether there are more bytes than there may be. What streams have to have is
 * not to be more than a third: else it would be carried round and round. */
static bool is_too_much(const struct weir_log_file *log) {
  return log->options.keep_bytes != 0 &&
         log->info.bytes > weir__max(log->options.keep_bytes, log->weight * 3);
}

/* When the newest record of a segment was made. If that lies in the future the
 * clock was wrong, or nobody knows; then it is no newer than what came behind
 * it. No more segments are looked at than lie in the future. */
static uint64_t time_of(const struct weir_log_file *log,
                        const struct weir__segment *segment, uint64_t now) {
  const struct weir__link *next = segment->link.next;

  for (; segment->newest > now && next != &log->segments; next = next->next) {
    segment = weir__owner_const(next, struct weir__segment, link);
  }
  return segment->newest;
}

/* When the oldest segment is too old, by the clock on the wall. */
static uint64_t old_at(const struct weir_log_file *log,
                       const struct weir__segment *segment, uint64_t now) {
  return log->options.keep_age == 0
             ? NEVER
             : weir__later(time_of(log, segment, now), log->options.keep_age);
}

/* Whether a limit says that the oldest segment should go, or it has. */
static bool is_beyond(const struct weir_log_file *log,
                      const struct weir__segment *segment) {
  const uint64_t now = weir__file_wall(log);

  return segment->gone || now > old_at(log, segment, now) || is_too_much(log);
}

/* Keep a stream whose events up to `last` go, and that it was there if all that
 * it has goes: that is worth keeping as long as it lives, or has lived lately.
 */
static int keep(struct weir_log_file *log, const struct weir__segment *segment,
                struct weir__file_stream *stream, uint64_t last) {
  const uint64_t now = weir__file_wall(log);
  int rv;

  if (stream->newest <= segment->number) {
    if (stream->ended_at > now) {
      /* The clock was wrong: then it has been over for long. */
      weir__file_set_ended(log, stream, stream->ended, now, stream->failed);
    }
    rv = weir__file_carry(log, stream);
    if (rv != WEIR_OK) {
      return rv;
    }
  }
  stream->trimmed = weir__max(stream->trimmed, weir__min(last, stream->last));
  return WEIR_OK;
}

/* See to a stream of a segment that goes. WEIR_OK or an error: there is no room
 * to keep it. */
static int see_to(struct weir_log_file *log,
                  const struct weir__segment *segment, uint64_t generation,
                  uint64_t last) {
  struct weir__file_stream *stream = weir__file_find(log, generation);

  if (stream == NULL) {
    return WEIR_OK;
  }
  if (stream->newest <= segment->number && !stream->is_named &&
      stream->holds == 0) {
    /* Nobody finds what is hidden. */
    weir__file_purge(log, stream);
    return WEIR_OK;
  }
  return keep(log, segment, stream, last);
}

/* For visits, of the runs of a segment and of all streams. */
struct visit {
  struct weir_log_file *log;
  const struct weir__segment *segment;
  int rv;
};

static void see_to_run(void *user, struct weir__node *node) {
  const struct weir__run *run = weir__owner_const(node, struct weir__run, node);
  struct visit *visit = user;

  if (visit->rv == WEIR_OK) {
    visit->rv = see_to(visit->log, visit->segment, run->generation,
                       run->first + run->count - 1);
  }
}

/* What a segment has may not be on the disk: carry it, too. */
static void copy_run(void *user, struct weir__node *node) {
  const struct weir__run *run = weir__owner_const(node, struct weir__run, node);
  struct visit *visit = user;
  struct weir__file_stream *stream =
      weir__file_find(visit->log, run->generation);

  if (visit->rv == WEIR_OK && stream != NULL &&
      stream->newest == visit->segment->number) {
    visit->rv = weir__file_carry(visit->log, stream);
  }
}

/* A stream that may have been in a segment nobody can read any more. */
static void see_to_stream(void *user, struct weir__node *node) {
  struct weir__file_stream *stream =
      weir__owner(node, struct weir__file_stream, node);
  struct visit *visit = user;

  if (visit->rv == WEIR_OK && stream->newest <= visit->segment->number) {
    visit->rv = keep(visit->log, visit->segment, stream, stream->last);
  }
}

static int visit_all(struct weir_log_file *log,
                     const struct weir__segment *segment,
                     const struct weir__map *map,
                     void (*see)(void *user, struct weir__node *node)) {
  struct visit visit = {log, segment, WEIR_OK};
  size_t i;

  for (i = 0; i < map->buckets; ++i) {
    weir__map_visit(map, i, see, &visit);
  }
  return visit.rv;
}

static int see_to_entries(struct weir_log_file *log,
                          struct weir__segment *segment) {
  struct weir__entry_of_directory entry;
  uint64_t i;
  int rv = WEIR_OK;

  for (i = 0; rv == WEIR_OK && i < segment->entries; ++i) {
    rv = weir__index_read(log, segment, i, &entry);
    if (rv != WEIR_OK && rv != WEIR_ENOMEM) {
      log->info.failures += 1;
      weir__file_report_failure(log, segment, "cannot be read", rv);
      return visit_all(log, segment, &log->by_generation, see_to_stream);
    }
    if (rv == WEIR_OK) {
      rv = see_to(log, segment, entry.generation, entry.last);
    }
  }
  return rv;
}

/* Keep what has to be kept of a segment, and what the disk may not have of any
 * behind it. */
static int see_to_all(struct weir_log_file *log,
                      struct weir__segment *segment) {
  const struct weir__link *link = segment->link.next;
  const struct weir__segment *other;
  int rv;

  if (segment->gone) {
    rv = visit_all(log, segment, &log->by_generation, see_to_stream);
  } else if (segment->sealed) {
    rv = see_to_entries(log, segment);
  } else {
    rv = visit_all(log, segment, &segment->runs, see_to_run);
  }
  for (; rv == WEIR_OK && link != &log->segments; link = link->next) {
    other = weir__owner_const(link, struct weir__segment, link);
    if (other->distrusted && other->synced < other->tail) {
      rv = visit_all(log, other, &other->runs, copy_run);
    }
  }
  return rv;
}

/* It has to be carried again. */
static void not_carried(struct weir_log_file *log,
                        struct weir__segment *segment, int error) {
  segment->carried = false;
  segment->cramped += error == WEIR_EFULL;
  weir__retain_later(log);
}

static void carry(struct weir_log_file *log, struct weir__segment *segment) {
  const int rv = see_to_all(log, segment);
  struct weir__segment *last = segment_of(log->segments.prev);

  if (rv != WEIR_OK) {
    weir__file_report_failure(log, segment,
                              "what has to stay of it cannot be kept", rv);
    not_carried(log, segment, rv);
    return;
  }
  last->wanted = last->tail;
  segment->carried = true;
  segment->carried_by = last->number;
  segment->carried_to = last->tail;
}

/* Streams that ended long ago. Where the segment with the end has no index yet
 * that has to say so, or older segments would say after the next open that the
 * stream lives: until then it is there, but nobody finds it. One that has yet
 * to end, as its time says, is no reason to keep those behind it. */
static void purge_ended(struct weir_log_file *log) {
  const uint64_t age = log->options.keep_ended;
  const uint64_t now = weir__file_wall(log);
  struct weir__file_stream *stream;
  unsigned passed = 0;

  while (age != 0 && !weir__link_alone(&log->ended) && passed < PASSED_MOST) {
    stream = weir__owner(log->ended.next, struct weir__file_stream, ended_link);
    if (stream->ended_at > now) {
      passed += 1;
      weir__link_remove(&stream->ended_link);
      weir__link_append(&log->ended, &stream->ended_link);
    } else if (now <= weir__later(stream->ended_at, age)) {
      break;
    } else if (stream->newest >= log->settled) {
      weir__link_remove(&stream->ended_link);
      weir__file_hide(log, stream);
    } else {
      weir__file_purge(log, stream);
    }
  }
}

/* A stream of a segment that has its index now, or never gets one. */
static void purge_run(void *user, struct weir__node *node) {
  const struct weir__run *run = weir__owner_const(node, struct weir__run, node);
  const struct visit *visit = user;
  struct weir__file_stream *stream =
      weir__file_find(visit->log, run->generation);

  if (stream != NULL && stream->past &&
      stream->newest == visit->segment->number) {
    weir__file_purge(visit->log, stream);
  }
}

void weir__retain_settled(struct weir_log_file *log,
                          const struct weir__segment *segment) {
  (void)visit_all(log, segment, &segment->runs, purge_run);
}

/* The segment at this place, if it may go by its kind. */
static struct weir__segment *at(const struct weir_log_file *log,
                                struct weir__link *link) {
  struct weir__segment *segment;
  bool may;

  if (link == &log->segments) {
    return NULL;
  }
  segment = segment_of(link);
  may = segment->sealed || segment->unreadable || segment->distrusted;
  return may && !weir__segment_is_last_head(log, segment) ? segment : NULL;
}

static struct weir__segment *oldest(const struct weir_log_file *log) {
  return at(log, log->segments.next);
}

/* What has to stay of the oldest segment cannot be carried, since there is no
 * room on the disk, and will be none before a file goes. So one goes first, and
 * what has to stay is written when it has; a crash in between would forget it.
 * The file to go; NULL: this is not so. */
static struct weir__segment *sacrifice(const struct weir_log_file *log,
                                       struct weir__segment *segment) {
  struct weir__segment *one = segment;

  if (segment->carried || segment->cramped < CRAMPED_MOST) {
    return NULL;
  }
  if (segment->gone) {
    one = at(log, segment->link.next);
  }
  return one != NULL && is_beyond(log, one) ? one : NULL;
}

void weir__retain_later(struct weir_log_file *log) {
  log->again_at = weir__later(weir__file_clock(log), AGAIN);
}

void weir__retain(struct weir_log_file *log) {
  struct weir__segment *segment;

  purge_ended(log);
  segment = oldest(log);
  if (segment != NULL && !segment->carried &&
      log->again_at <= weir__file_clock(log) && is_beyond(log, segment) &&
      sacrifice(log, segment) == NULL) {
    carry(log, segment);
  }
}

uint64_t weir__retain_time(const struct weir_log_file *log) {
  const uint64_t wall = weir__file_wall(log);
  const uint64_t now = weir__file_clock(log);
  const struct weir__segment *segment = oldest(log);
  const struct weir__file_stream *stream;
  uint64_t when = NEVER; /* by the wall's */

  if (segment != NULL && segment->carried) {
    return is_safe(log, segment) ? log->again_at : NEVER;
  }
  if (segment != NULL) {
    when = is_beyond(log, segment) ? 0 : old_at(log, segment, wall) + 1;
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
  struct weir__segment *segment = oldest(log);
  const struct weir__segment *first;

  if (segment == NULL || log->again_at > weir__file_clock(log)) {
    return 0;
  }
  first = sacrifice(log, segment);
  if (first != NULL) {
    return first->number;
  }
  return is_safe(log, segment) ? segment->number : 0;
}

void weir__retain_gone(struct weir_log_file *log,
                       struct weir__segment *segment) {
  struct weir__segment *first = segment_of(log->segments.next);

  if (!segment->gone) {
    log->info.bytes -= segment->size;
    log->info.segments -= 1;
    log->info.removed += 1;
  }
  if (segment == first && is_safe(log, segment)) {
    weir__segment_free(log, segment);
    return;
  }
  weir__file_report(log,
                    "segment %016llx: is gone, and what has to stay of it has "
                    "yet to be written",
                    (unsigned long long)segment->number);
  weir__segment_close(log, segment);
  segment->gone = true;
  segment->cramped = CRAMPED_MOST - 1;
  log->again_at = 0;
  if (segment != first) {
    /* What has yet to be kept of that, too, is looked for by its number. */
    weir__segment_free(log, first);
  }
}

void weir__retain_failed(struct weir_log_file *log,
                         const struct weir__segment *segment, int error) {
  struct weir__segment *first = segment_of(log->segments.next);

  if (first->carried && segment->number <= first->carried_by) {
    not_carried(log, first, error);
  }
}
