/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_round.h"

#include "file_index.h"
#include "file_retain.h"

#include <errno.h>

#define NEVER ((uint64_t)WEIR_NEVER)

/* A sync of what is written where nothing was before writes down, too, that now
 * there is something, as one of a file that grows does. Zeros go ahead of
 * records that somebody waits for: so many at once, by so many at a time; but
 * not where those are so many themselves that zeros would cost more. */
#define AHEAD ((uint64_t)256 * 1024)
#define ZEROS 16384
#define AHEAD_OF ((size_t)64 * 1024)

/* Bytes of a buffer that is kept for the next records. */
#define KEPT_MOST ((size_t)1024 * 1024)

static struct weir__segment *segment_of(struct weir__link *link) {
  return weir__owner(link, struct weir__segment, link);
}

/* Something of it is not on the disk, and may still come there. */
static bool is_dirty(const struct weir__segment *segment) {
  return segment->pending_len != 0 || segment->written > segment->synced ||
         (segment->full && !segment->named);
}

/* When a dirty segment is to be synced. Whatever waits for a round waits under
 * every policy. */
static uint64_t sync_time(const struct weir_log_file *log,
                          const struct weir__segment *segment) {
  if (!is_dirty(segment)) {
    return NEVER;
  }
  if (log->options.sync == WEIR_SYNC_ALWAYS || segment->full ||
      segment->pending_len != 0 || segment->wanted > segment->synced) {
    return 0;
  }
  return log->options.sync == WEIR_SYNC_NEVER
             ? NEVER
             : weir__later(segment->dirty_at, log->options.sync_interval);
}

/* It has an index, or never gets one. */
static bool is_settled(const struct weir__segment *segment) {
  return segment->sealed || segment->distrusted;
}

/* There may be thousands of segments: no more of them are looked at than have
 * to be. */
static bool is_unsettled_from(const struct weir_log_file *log,
                              struct weir__link *link) {
  return link != &log->segments && segment_of(link)->number >= log->settled;
}

uint64_t weir__round_due(struct weir_log_file *log) {
  uint64_t settled = log->numbers + 1;
  struct weir__segment *segment;
  struct weir__link *link;
  uint64_t due = NEVER;

  for (link = log->segments.prev; is_unsettled_from(log, link);
       link = link->prev) {
    segment = segment_of(link);
    if (is_settled(segment)) {
      continue;
    }
    settled = segment->number;
    due = weir__min(due, segment->full ? 0 : sync_time(log, segment));
  }
  log->settled = settled;
  return weir__min(due, weir__retain_time(log));
}

static struct weir__task *add_task(struct weir__round *round,
                                   const struct weir__segment *segment) {
  struct weir__task *task = &round->tasks[round->task_count++];

  task->number = segment->number;
  task->fd = segment->fd;
  task->filled = segment->filled;
  task->least = segment->size;
  return task;
}

/* A segment is to be written to, or synced; first it may have to be made. */
static void add_sync(struct weir_log_file *log, struct weir__round *round,
                     struct weir__segment *segment) {
  struct weir__task *task = add_task(round, segment);

  /* Under other policies the hub's thread writes there meanwhile. */
  if (log->options.sync == WEIR_SYNC_ALWAYS && !segment->full) {
    task->ahead = segment->size - WEIR__HEAD_SIZE;
  }
  if (!segment->named) {
    weir__segment_spare(log);
    task->size = segment->size;
    task->salt = segment->salt;
    task->time = weir__file_wall(log);
  }
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
  struct weir__task *task;
  unsigned char *bytes;
  uint64_t directory;
  uint64_t entries;
  size_t size;
  const int rv =
      weir__index_make(log, segment, &bytes, &size, &directory, &entries);

  if (rv == WEIR_OK) {
    task = add_task(round, segment);
    task->bytes = bytes;
    task->len = size;
    task->cap = size;
    task->at = segment->tail;
    task->least = segment->tail + size;
    task->seal = true;
    task->directory = directory;
    task->entries = entries;
  }
  return rv;
}

static int collect(struct weir_log_file *log, struct weir__round *round) {
  const uint64_t now = weir__file_clock(log);
  struct weir__segment *segment;
  struct weir__link *link;
  int rv = WEIR_OK;

  for (link = log->segments.prev; is_unsettled_from(log, link);
       link = link->prev) {
  }
  for (link = link->next; rv == WEIR_OK && link != &log->segments &&
                          round->task_count < WEIR__ROUND_MOST;
       link = link->next) {
    segment = segment_of(link);
    /* not reached: they are settled in their order */
    if (is_settled(segment)) {
      continue;
    }
    if (sync_time(log, segment) <= now) {
      add_sync(log, round, segment);
    } else if (segment->full) {
      rv = add_seal(log, round, segment);
    }
  }
  round->removed = weir__retain_next(log);
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
  if (round->task_count == 0 && round->removed == 0) {
    weir__file_free(log, round, sizeof *round);
    return rv != WEIR_OK ? rv : WEIR_EAGAIN;
  }
  log->round = round;
  return WEIR_OK;
}

static int make_file(const struct weir__io *io, const struct weir__crc32c *crc,
                     struct weir__task *task) {
  const struct weir__head head = {WEIR__FILE_VERSION, task->number, task->salt,
                                  task->time};

  return weir__segment_make(io, crc, &head, task->size, &task->fd);
}

/* What a task has written was the first there: have zeros behind it. They are
 * only for speed, and nobody is told if they cannot be written. */
static void fill_ahead(const struct weir__io *io, struct weir__task *task) {
  static const unsigned char zeros[ZEROS];
  const uint64_t end = task->at + task->len;
  const uint64_t to = weir__min(end + AHEAD, task->ahead);
  uint64_t n;

  if (end <= task->filled) {
    return;
  }
  task->filled = end;
  while (task->len < AHEAD_OF && task->filled < to) {
    n = weir__min(to - task->filled, ZEROS);
    if (weir__io_write(io, task->fd, zeros, (size_t)n, task->filled) !=
        WEIR_OK) {
      return;
    }
    task->filled += n;
  }
}

/* Sync a file. If somebody has removed it meanwhile, what is in it is in none
 * that an open would find, and if it was cut off, what was there before is
 * gone. */
static int sync_file(const struct weir__io *io, const struct weir__task *task) {
  const int rv = weir__io_sync(io, task->fd);
  int64_t size;

  if (rv != WEIR_OK) {
    return rv;
  }
  size = io->size(io->user, task->fd);
  if (size < 0) {
    return weir__io_error(size);
  }
  return (uint64_t)size < task->least ? WEIR_EIO : WEIR_OK;
}

static void run_task(const struct weir__io *io, const struct weir__crc32c *crc,
                     struct weir__task *task) {
  if (task->size != 0) {
    task->result = make_file(io, crc, task);
  }
  if (task->result == WEIR_OK && task->len != 0) {
    task->result =
        weir__io_write(io, task->fd, task->bytes, task->len, task->at);
  }
  if (task->result == WEIR_OK) {
    fill_ahead(io, task);
  }
  if (task->result == WEIR_OK && task->seal) {
    task->result = weir__io_truncate(io, task->fd, task->least);
  }
  if (task->result == WEIR_OK) {
    task->result = sync_file(io, task);
    task->failed_sync = task->result != WEIR_OK;
  }
  if (task->result == WEIR_OK && task->size != 0) {
    task->result = weir__segment_give_name(io, task->number);
  }
  if (task->result != WEIR_OK && task->size != 0) {
    weir__segment_unmake(io, task->number, &task->fd);
  }
}

static int remove_segment(const struct weir__io *io, uint64_t number) {
  char name[WEIR__FILE_NAME];
  int rv;

  weir__segment_name(number, true, name);
  rv = weir__io_remove(io, name);
  return rv == WEIR_OK ? weir__io_sync_names(io) : rv;
}

void weir__round_run(struct weir_log_file *log) {
  struct weir__round *round = log->round;
  const struct weir__io *io = log->io;
  size_t i;

  for (i = 0; i < round->task_count; ++i) {
    run_task(io, &log->crc, &round->tasks[i]);
  }
  if (round->removed != 0) {
    round->remove_result = remove_segment(io, round->removed);
  }
  round->has_run = true;
}

/* What a segment was to have written or synced has failed: nothing is added to
 * it any more, and what waited for it is void. If it was to be made it never
 * was. */
static void fail_segment(struct weir_log_file *log,
                         struct weir__segment *segment,
                         const struct weir__task *task) {
  /* What the system could not write it may have forgotten: what a later sync
   * says of this file is worth nothing (LWN 752063, 2018). */
  segment->distrusted = task->failed_sync || task->seal;
  segment->full = true;
  weir__segment_give_up(log, segment);
  if (segment->distrusted) {
    weir__retain_settled(log, segment);
  }
  if (log->active == segment) {
    log->active = NULL;
  }
  weir__retain_failed(log, segment, task->result);
  if (task->result == WEIR_EFULL) {
    /* There may be room for a small one. */
    log->growth = 0;
  }
  if (!segment->named) {
    log->info.segments -= 1;
    log->info.bytes -= segment->size;
    weir__segment_free(log, segment);
  }
}

/* A segment has been written to and synced. */
static void note_sync(struct weir_log_file *log, struct weir__segment *segment,
                      const struct weir__task *task) {
  segment->written = weir__max(segment->written, task->at + task->len);
  segment->synced = task->at + task->len;
  if (!segment->named) {
    segment->named = true;
    log->growth = segment->size * 2;
  }
}

/* A buffer has been written: the next records are made in it, so that they need
 * no new memory, whose pages cost as much as they do. */
static void keep_buffer(struct weir_log_file *log, struct weir__task *task) {
  unsigned char *other = task->bytes;
  size_t cap = task->cap;

  if (cap > log->batch_cap && cap <= KEPT_MOST) {
    other = log->batch;
    cap = log->batch_cap;
    log->batch = task->bytes;
    log->batch_cap = task->cap;
  }
  weir__file_free(log, other, cap);
}

static int end_task(struct weir_log_file *log, struct weir__task *task) {
  struct weir__segment *segment = weir__segment_upto(log, task->number);

  segment->fd = task->fd;
  segment->filled = task->filled;
  log->info.syncs += task->result == WEIR_OK;
  log->info.failures += task->result != WEIR_OK;
  if (task->result != WEIR_OK) {
    weir__file_report_failure(log, segment,
                              task->size != 0     ? "cannot be made"
                              : task->failed_sync ? "cannot be synced"
                                                  : "cannot be written",
                              task->result);
    fail_segment(log, segment, task);
  } else if (task->seal) {
    log->info.bytes = log->info.bytes + task->at + task->len - segment->size;
    weir__retain_settled(log, segment);
    weir__segment_sealed(log, segment, task->at + task->len, task->directory,
                         task->entries);
  } else {
    note_sync(log, segment, task);
  }
  keep_buffer(log, task);
  return task->result;
}

/* A file has gone, or will be tried again. */
static int end_removal(struct weir_log_file *log,
                       const struct weir__round *round) {
  struct weir__segment *segment = weir__segment_upto(log, round->removed);

  if (round->remove_result != WEIR_OK) {
    log->info.failures += 1;
    weir__file_report_failure(log, segment, "cannot be removed",
                              round->remove_result);
    weir__retain_later(log);
    return round->remove_result;
  }
  weir__retain_gone(log, segment);
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
  weir__file_free(log, round, sizeof *round);
  return rv;
}
