/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include <weir/log_file.h>

#include <limits.h>

#include "file_read.h"
#include "file_recover.h"
#include "file_retain.h"
#include "file_round.h"
#include "file_table.h"
#include "file_write.h"
#include "log_file.h"
#include "platform.h"

#define DAY UINT64_C(86400000)

void weir_log_file_options_init(weir_log_file_options *options, size_t size) {
  static const weir_log_file_options defaults = {
      .sync = WEIR_SYNC_ALWAYS,
      .sync_interval = 1000,
      .segment_bytes = (uint64_t)64 * 1024 * 1024,
      .keep_age = DAY,
      .keep_ended = DAY,
  };

  weir__start_as(options, size, &defaults, sizeof defaults);
}

int weir_log_file_get_log(weir_log_file *file, weir_log *callers) {
  weir_log log;

  if (file == NULL) {
    return WEIR_EGONE;
  }
  weir__table_init(file, &log);
  return weir__store(callers, &log, sizeof log);
}

/* --- Opening and closing -------------------------------------------------- */

/* A cursor may be beyond what survived: numbers go on under another epoch. It
 * is written only when somebody goes on. */
static void renew(void *user, struct weir__node *node) {
  struct weir_log_file *log = user;
  struct weir__file_stream *stream =
      weir__owner(node, struct weir__file_stream, node);
  uint64_t epoch;

  if (stream->ended != 0) {
    return;
  }
  epoch = weir__draw(&log->chance);
  if (weir__file_add_epoch(log, stream, epoch != 0 ? epoch : 1, stream->last) !=
      WEIR_OK) {
    log->fault = WEIR_ENOMEM;
  }
}

static void free_segments(struct weir_log_file *log) {
  while (!weir__link_alone(&log->segments)) {
    weir__segment_free(
        log, weir__owner(log->segments.next, struct weir__segment, link));
  }
}

static void free_log(struct weir_log_file *log) {
  const weir_allocator allocator = log->allocator;

  weir__file_free_streams(log);
  free_segments(log);
  weir__file_free(log, log->records.memory, log->records.cap);
  weir__file_free(log, log->places.memory, log->places.cap);
  weir__file_free(log, log->events, WEIR__READ_MOST * sizeof *log->events);
  weir__file_free(log, log->batch, log->batch_cap);
  log->io->leave(log->io->user);
  weir__free(&allocator, log, sizeof *log);
}

static bool are_sound(const weir_log_file_options *options,
                      const weir_allocator *allocator) {
  return options->path != NULL &&
         (allocator->alloc == NULL) == (allocator->free == NULL) &&
         options->sync >= WEIR_SYNC_ALWAYS &&
         options->sync <= WEIR_SYNC_NEVER && options->segment_bytes >= 4096 &&
         options->segment_bytes <= WEIR__SEGMENT_MOST / 2 &&
         options->reserved0 == 0 &&
         weir__is_zero(options->reserved, sizeof options->reserved);
}

/* Sum up what has been found. */
static void count(struct weir_log_file *log) {
  struct weir__segment *segment;
  struct weir__link *link;

  for (link = log->segments.next; link != &log->segments; link = link->next) {
    segment = weir__owner(link, struct weir__segment, link);
    log->info.segments += 1;
    log->info.bytes += segment->size;
    log->growth = weir__max(log->growth, segment->size * 2);
  }
}

static int enter(struct weir_log_file *log, const char *path) {
  const int entered = log->io->enter(log->io->user, path);
  size_t i;
  int rv;

  if (entered < 0) {
    rv = weir__io_error(entered);
    /* What the system says of a lock is less than what weir does. */
    if (rv != WEIR_ELOCKED) {
      weir__file_report(log, "%s: %s", path, strerror(-entered));
    }
    return rv;
  }
  rv = weir__recover(log);
  for (i = 0; rv == WEIR_OK && i < log->by_generation.buckets; ++i) {
    weir__map_visit(&log->by_generation, i, renew, log);
    rv = log->fault;
  }
  if (rv == WEIR_OK) {
    log->settled = log->numbers + 1;
    log->growth = WEIR__SEGMENT_FIRST;
    count(log);
    weir__retain(log);
  }
  return rv;
}

int weir__log_file_open(const weir_log_file_options *callers,
                        const struct weir__io *io, weir_log_file **opened) {
  weir_log_file_options options;
  weir_allocator allocator;
  struct weir_log_file *log;
  int rv;

  weir_log_file_options_init(&options, sizeof options);
  memset(&allocator, 0, sizeof allocator);
  if (weir__load(&options, sizeof options, callers) != WEIR_OK ||
      (options.allocator != NULL && weir__load(&allocator, sizeof allocator,
                                               options.allocator) != WEIR_OK) ||
      !are_sound(&options, &allocator)) {
    return WEIR_EINVAL;
  }
  log = weir__alloc(&allocator, sizeof *log);
  if (log == NULL) {
    return WEIR_ENOMEM;
  }
  memset(log, 0, sizeof *log);
  log->options = options;
  log->allocator = allocator;
  weir__io_system_init(&log->system);
  log->io = io != NULL ? io : &log->system.io;
  weir__crc32c_init(&log->crc, WEIR__CRC32C_WIDE);
  weir__link_init(&log->segments);
  weir__link_init(&log->open);
  weir__link_init(&log->ended);
  weir__link_init(&log->ops);
  if (options.entropy == NULL) {
    log->options.entropy = weir__platform_entropy;
  }
  weir__map_init(&log->by_key, &log->allocator, &log->secret);
  weir__map_init(&log->by_generation, &log->allocator, &log->secret);
  rv = weir__file_random(log, &log->chance, sizeof log->chance);
  if (rv == WEIR_OK) {
    rv = weir__secret_draw(&log->secret, log->options.entropy,
                           log->options.entropy_user);
  }
  if (rv == WEIR_OK) {
    rv = enter(log, options.path);
  }
  log->options.path = NULL; /* the caller's */
  log->options.allocator = NULL;
  if (rv != WEIR_OK) {
    free_log(log);
    return rv;
  }
  *opened = log;
  return WEIR_OK;
}

int weir_log_file_open(const weir_log_file_options *options,
                       weir_log_file **log) {
  return weir__log_file_open(options, NULL, log);
}

int weir_log_file_close(weir_log_file *log) {
  int rv = WEIR_OK;
  int one;

  if (log == NULL) {
    return WEIR_OK;
  }
  if (log->round != NULL) {
    return WEIR_EBUSY;
  }
  /* Whoever opens it next lets go of what is too much. */
  log->options.keep_age = 0;
  log->options.keep_bytes = 0;
  log->options.keep_ended = 0;
  if (log->active != NULL) {
    log->active->full = true;
    log->active = NULL;
  }
  for (one = weir_log_file_begin(log); one == WEIR_OK;
       one = weir_log_file_begin(log)) {
    weir_log_file_run(log);
    one = weir_log_file_end(log);
    rv = rv == WEIR_OK ? one : rv;
  }
  if (rv == WEIR_OK && one != WEIR_EAGAIN) {
    rv = one;
  }
  /* Without memory for a round, nothing more comes to the disk. */
  weir__table_fail(log, one);
  free_log(log);
  return rv;
}

/* --- Rounds --------------------------------------------------------------- */

int weir_log_file_get_timeout(weir_log_file *log) {
  uint64_t due;
  uint64_t now;

  if (log == NULL || log->round != NULL) {
    return -1;
  }
  due = weir__round_due(log);
  if (due == (uint64_t)WEIR_NEVER) {
    return -1;
  }
  now = weir__file_clock(log);
  return due <= now ? 0 : (int)weir__min(due - now, INT_MAX);
}

int weir_log_file_begin(weir_log_file *log) {
  return log == NULL          ? WEIR_EGONE
         : log->round != NULL ? WEIR_EBUSY
                              : weir__round_begin(log);
}

void weir_log_file_run(weir_log_file *log) {
  if (log != NULL && log->round != NULL && !log->round->has_run) {
    weir__round_run(log);
  }
}

int weir_log_file_end(weir_log_file *log) {
  int rv;

  if (log == NULL) {
    return WEIR_EGONE;
  }
  if (log->round == NULL || !log->round->has_run) {
    return WEIR_EINVAL;
  }
  rv = weir__round_end(log);
  weir__table_settle(log, rv);
  return rv;
}

/* --- What there is -------------------------------------------------------- */

struct listing {
  uint64_t skip;
  struct weir__file_stream *found;
};

static void visit(void *user, struct weir__node *node) {
  struct listing *listing = user;

  if (listing->skip == 0 && listing->found == NULL) {
    listing->found = weir__owner(node, struct weir__file_stream, node);
  }
  listing->skip -= listing->skip != 0;
}

int weir_log_file_next_stream(const weir_log_file *log, uint64_t *at,
                              weir_log_file_stream *callers) {
  const struct weir__file_stream *stream;
  struct listing listing;
  weir_log_file_stream info;
  size_t bucket;

  if (log == NULL) {
    return WEIR_EGONE;
  }
  if (callers == NULL || callers->size <= sizeof callers->size) {
    return WEIR_EINVAL;
  }
  /* The bucket, and how many of it have been. */
  for (bucket = (size_t)(*at >> 16); bucket < log->by_generation.buckets;
       ++bucket, *at = (uint64_t)bucket << 16) {
    listing.skip = *at & 0xffff;
    listing.found = NULL;
    weir__map_visit(&log->by_generation, bucket, visit, &listing);
    if (listing.found != NULL) {
      break;
    }
  }
  if (bucket >= log->by_generation.buckets) {
    return WEIR_EDONE;
  }
  *at += 1;
  stream = listing.found;
  memset(&info, 0, sizeof info);
  info.key = stream->text;
  info.key_len = stream->key_len;
  info.meta = stream->text + stream->key_len;
  info.meta_len = stream->meta_len;
  info.generation = stream->generation;
  info.epoch = stream->epochs[stream->epoch_count - 1].epoch;
  info.trimmed = stream->trimmed;
  info.last = stream->last;
  info.ended = stream->ended;
  info.ended_at = stream->ended_at;
  info.failed = stream->failed;
  info.newest = stream->is_named;
  return weir__store(callers, &info, sizeof info);
}

int weir_log_file_get_info(const weir_log_file *log, weir_log_file_info *info) {
  return log == NULL ? WEIR_EGONE
                     : weir__store(info, &log->info, sizeof log->info);
}
