/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_round.h"

#include <errno.h>

#define NEVER ((uint64_t)WEIR_NEVER)

/* ms to another try to make a segment, or to let one go. */
#define AGAIN 1000

static struct weir__segment *segment_of(struct weir__link *link) {
  return weir__owner(link, struct weir__segment, link);
}

/* Something of it is not on the disk, and may still come there. */
static bool is_dirty(const struct weir__segment *segment) {
  return !segment->distrusted &&
         (segment->pending_len != 0 || segment->written > segment->synced);
}

/* When a dirty segment is to be synced. Somebody who waits for it waits under
 * every policy. */
static uint64_t sync_time(const struct weir_log_file *log,
                          const struct weir__segment *segment) {
  if (!is_dirty(segment)) {
    return NEVER;
  }
  if (log->options.sync == WEIR_SYNC_ALWAYS || segment->full ||
      segment->wanted > segment->synced) {
    return 0;
  }
  return log->options.sync == WEIR_SYNC_NEVER
             ? NEVER
             : weir__later(segment->dirty_at, log->options.sync_interval);
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

static bool wants_spare(const struct weir_log_file *log) {
  const struct weir__segment *active = log->active;

  return log->spare == NULL && active != NULL &&
         active->tail > active->size / 2;
}

/* --- Retention
 * ---------------------------------------------------------------*/

/* Whether a limit says that the oldest segment should go. */
static bool is_beyond(const struct weir_log_file *log,
                      const struct weir__segment *segment, uint64_t bytes) {
  const uint64_t age = log->options.keep_age;

  return (age != 0 &&
          weir__file_wall(log) > weir__later(segment->newest, age)) ||
         (log->options.keep_bytes != 0 && bytes > log->options.keep_bytes);
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
  unsigned char bytes[WEIR__ENTRY_SIZE];
  struct weir__entry_of_directory entry;
  uint64_t i;

  for (i = 0; i < segment->entries; ++i) {
    if (weir__segment_open(log, segment) != WEIR_OK ||
        weir__io_read(log->io, segment->fd, bytes, sizeof bytes,
                      segment->directory + i * WEIR__ENTRY_SIZE) != WEIR_OK ||
        !weir__entry_read(&log->crc, bytes, &entry)) {
      return false;
    }
    if (!see_to(log, segment, entry.generation, entry.last)) {
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

void weir__retain(struct weir_log_file *log) {
  struct weir__segment *segment;

  purge_ended(log);
  segment = oldest(log);
  if (segment != NULL && !segment->carried &&
      log->again_at <= weir__file_clock(log) &&
      is_beyond(log, segment, log->info.bytes)) {
    carry(log, segment);
    if (!segment->carried) {
      log->again_at = weir__later(weir__file_clock(log), AGAIN);
    }
  }
}

/* When there is something to let go, by the clock of rounds. */
static uint64_t retain_time(const struct weir_log_file *log) {
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
  if (segment != NULL && is_beyond(log, segment, log->info.bytes)) {
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

/* --- Rounds
 * ------------------------------------------------------------------*/

uint64_t weir__round_due(struct weir_log_file *log) {
  struct weir__segment *segment;
  struct weir__link *link;
  uint64_t due = NEVER;

  for (link = log->segments.prev; link != &log->segments; link = link->prev) {
    segment = segment_of(link);
    if (segment->sealed) {
      continue;
    }
    due = weir__min(due, sync_time(log, segment));
    if (segment->full && !segment->distrusted) {
      due = 0;
    }
  }
  due = weir__min(due, retain_time(log));
  return wants_spare(log) ? weir__min(due, log->again_at) : due;
}

/* A segment is to be written to, or synced. */
static void add_sync(struct weir_log_file *log, struct weir__round *round,
                     struct weir__segment *segment) {
  struct weir__task *task = &round->tasks[round->task_count++];

  (void)log;
  task->number = segment->number;
  task->fd = segment->fd;
  task->bytes = segment->pending;
  task->len = segment->pending_len;
  task->cap = segment->pending_cap;
  task->at = segment->written;
  segment->pending = NULL;
  segment->pending_len = 0;
  segment->pending_cap = 0;
}

/* A segment gets its index: everything in it is synced. */
static int add_seal(struct weir_log_file *log, struct weir__round *round,
                    struct weir__segment *segment) {
  struct weir__task *task = &round->tasks[round->task_count];
  int rv = weir__segment_index(log, segment, &task->bytes, &task->len,
                               &task->directory, &task->entries);

  if (rv == WEIR_OK) {
    round->task_count += 1;
    task->number = segment->number;
    task->fd = segment->fd;
    task->cap = task->len;
    task->at = segment->tail;
    task->seal = true;
  }
  return rv;
}

static int add_spare(struct weir_log_file *log, struct weir__round *round) {
  struct weir__segment *spare = weir__segment_new(log, log->numbers + 1);
  int rv = spare == NULL
               ? WEIR_ENOMEM
               : weir__file_random(log, &spare->salt, sizeof spare->salt);

  if (rv != WEIR_OK) {
    log->again_at = weir__later(weir__file_clock(log), AGAIN);
    if (spare != NULL) {
      weir__segment_free(log, spare);
    }
    return rv;
  }
  log->numbers += 1;
  round->spare = spare;
  round->spare_size = weir__file_next_size(log);
  round->made = weir__file_wall(log);
  return WEIR_OK;
}

static int collect(struct weir_log_file *log, struct weir__round *round) {
  const uint64_t now = weir__file_clock(log);
  struct weir__segment *segment;
  struct weir__link *link;
  struct weir__link *next;
  int rv = WEIR_OK;

  for (link = log->segments.next; rv == WEIR_OK && link != &log->segments &&
                                  round->task_count < WEIR__ROUND_MOST;
       link = next) {
    next = link->next;
    segment = segment_of(link);
    if (segment->sealed || segment->distrusted) {
      continue;
    }
    if (sync_time(log, segment) <= now) {
      add_sync(log, round, segment);
    } else if (segment->full) {
      rv = add_seal(log, round, segment);
    }
  }
  segment = oldest(log);
  if (segment != NULL && may_go(log, segment) && log->again_at <= now) {
    round->removed = segment->number;
  }
  if (rv == WEIR_OK && wants_spare(log) && log->again_at <= now) {
    rv = add_spare(log, round);
  }
  return rv;
}

int weir__round_begin(struct weir_log_file *log) {
  struct weir__round *round;
  int rv;

  weir__retain(log);
  if (weir__round_due(log) > weir__file_clock(log)) {
    return WEIR_EAGAIN;
  }
  round = weir__file_alloc(log, sizeof *round);
  if (round == NULL) {
    return WEIR_ENOMEM;
  }
  memset(round, 0, sizeof *round);
  rv = collect(log, round);
  if (round->task_count == 0 && round->removed == 0 && round->spare == NULL) {
    weir__file_free(log, round, sizeof *round);
    return rv != WEIR_OK ? rv : WEIR_EAGAIN;
  }
  log->round = round;
  return WEIR_OK;
}

static void run_task(const struct weir__io *io, struct weir__task *task) {
  if (task->len != 0) {
    task->result =
        weir__io_write(io, task->fd, task->bytes, task->len, task->at);
  }
  if (task->result == WEIR_OK && task->seal) {
    task->result = weir__io_truncate(io, task->fd, task->at + task->len);
  }
  if (task->result == WEIR_OK) {
    task->result = weir__io_sync(io, task->fd);
    task->failed_sync = task->result != WEIR_OK;
  }
}

/* Somebody else may have removed it. */
static int remove_segment(const struct weir__io *io, uint64_t number) {
  char name[WEIR__FILE_NAME];
  int rv;

  weir__segment_name(number, true, name);
  rv = io->remove(io->user, name);
  if (rv == 0 || rv == -ENOENT) {
    rv = io->sync_names(io->user);
  }
  return rv < 0 ? weir__io_error(rv) : WEIR_OK;
}

void weir__round_run(struct weir_log_file *log) {
  struct weir__round *round = log->round;
  const struct weir__io *io = log->io;
  size_t i;

  for (i = 0; i < round->task_count; ++i) {
    run_task(io, &round->tasks[i]);
  }
  if (round->removed != 0) {
    round->remove_result = remove_segment(io, round->removed);
  }
  if (round->spare != NULL) {
    round->spare_result = weir__segment_make(
        io, &log->crc, round->spare->number, round->spare->salt, round->made,
        round->spare_size, log->options.sync == WEIR_SYNC_NEVER,
        &round->spare->fd);
  }
  round->has_run = true;
}

/* What a segment was to have written or synced has failed: nothing is added to
 * it any more, and what waited for it is void. */
static void fail_task(struct weir_log_file *log, struct weir__segment *segment,
                      const struct weir__task *task) {
  struct weir__segment *first = segment_of(log->segments.next);

  log->info.failures += 1;
  /* What the system could not write it may have forgotten: what a later sync
   * says of this file is worth nothing (LWN 752063, 2018). */
  segment->distrusted = task->failed_sync || task->seal;
  segment->full = true;
  weir__segment_give_up(log, segment);
  if (log->active == segment) {
    log->active = NULL;
  }
  if (segment->number >= first->carried_from &&
      segment->number <= first->carried_by) {
    first->carried = false;
  }
  weir__file_report(
      log, "segment %016llx: %s: %s", (unsigned long long)segment->number,
      task->failed_sync ? "cannot be synced" : "cannot be written",
      weir_strerror(task->result));
}

static int end_task(struct weir_log_file *log, struct weir__task *task) {
  struct weir__segment *segment = weir__segment_upto(log, task->number);

  log->info.syncs += task->result == WEIR_OK;
  if (task->result != WEIR_OK) {
    fail_task(log, segment, task);
  } else if (task->seal) {
    log->info.bytes = log->info.bytes + task->at + task->len - segment->size;
    weir__segment_sealed(log, segment, task->at + task->len, task->directory,
                         task->entries);
  } else {
    segment->written = weir__max(segment->written, task->at + task->len);
    segment->synced = task->len != 0 ? task->at + task->len : task->at;
  }
  weir__file_free(log, task->bytes, task->cap);
  return task->result;
}

/* A segment has gone, or will be tried again. */
static int end_removal(struct weir_log_file *log,
                       const struct weir__round *round) {
  struct weir__segment *segment = weir__segment_upto(log, round->removed);

  if (round->remove_result != WEIR_OK) {
    log->info.failures += 1;
    log->again_at = weir__later(weir__file_clock(log), AGAIN);
    return round->remove_result;
  }
  log->info.bytes -= segment->size;
  log->info.segments -= 1;
  log->info.removed += 1;
  weir__segment_free(log, segment);
  return WEIR_OK;
}

static int end_spare(struct weir_log_file *log, struct weir__round *round) {
  struct weir__segment *spare = round->spare;

  if (round->spare_result != WEIR_OK) {
    log->info.failures += 1;
    log->again_at = weir__later(weir__file_clock(log), AGAIN);
    weir__segment_free(log, spare);
    return round->spare_result;
  }
  spare->size = round->spare_size;
  if (segment_of(log->segments.prev)->number < spare->number) {
    log->spare = spare;
  } else {
    /* It came too late: there is a newer one. */
    weir__segment_discard(log, spare);
  }
  return WEIR_OK;
}

int weir__round_end(struct weir_log_file *log) {
  struct weir__round *round = log->round;
  int rv = WEIR_OK;
  int one;
  size_t i;

  log->round = NULL;
  for (i = 0; i < round->task_count; ++i) {
    one = end_task(log, &round->tasks[i]);
    rv = rv == WEIR_OK ? one : rv;
  }
  if (round->removed != 0) {
    one = end_removal(log, round);
    rv = rv == WEIR_OK ? one : rv;
  }
  if (round->spare != NULL) {
    one = end_spare(log, round);
    rv = rv == WEIR_OK ? one : rv;
  }
  weir__file_free(log, round, sizeof *round);
  return rv;
}
