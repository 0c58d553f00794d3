/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_segment.h"

#include "file_runs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Closed segments whose files are open. */
#define OPEN_MOST 64

/* What is read begins where a line of the cache does: systems copy to there
 * fastest. */
#define LINE 64

void weir__segment_name(uint64_t number, bool made,
                        char name[WEIR__FILE_NAME]) {
  (void)snprintf(name, WEIR__FILE_NAME, "weir-%016llx.log%s",
                 (unsigned long long)number, made ? "" : ".new");
}

uint64_t weir__segment_number(const char *name, bool *made) {
  char again[WEIR__FILE_NAME];
  uint64_t number;

  if (strncmp(name, "weir-", 5) != 0) {
    return 0;
  }
  /* Of what is no name, this is any number, which has another one. */
  number = strtoull(name + 5, NULL, 16);
  *made = strstr(name, ".new") == NULL;
  weir__segment_name(number, *made, again);
  /* No log gets to 2^60: behind that there is always another number. */
  return strcmp(name, again) == 0 && number >> 60 == 0 ? number : 0;
}

struct weir__segment *weir__segment_new(struct weir_log_file *log,
                                        uint64_t number) {
  struct weir__segment *segment = weir__file_alloc(log, sizeof *segment);

  if (segment == NULL) {
    return NULL;
  }
  memset(segment, 0, sizeof *segment);
  weir__link_init(&segment->link);
  weir__link_init(&segment->open_link);
  segment->number = number;
  segment->fd = -1;
  segment->tail = WEIR__HEAD_SIZE;
  segment->written = WEIR__HEAD_SIZE;
  segment->synced = WEIR__HEAD_SIZE;
  weir__map_init(&segment->runs, &log->allocator, &log->secret);
  return segment;
}

void weir__segment_close(struct weir_log_file *log,
                         struct weir__segment *segment) {
  if (segment->fd >= 0) {
    log->io->close(log->io->user, segment->fd);
    segment->fd = -1;
  }
  if (!weir__link_alone(&segment->open_link)) {
    weir__link_remove(&segment->open_link);
    log->open_count -= 1;
  }
}

void weir__segment_free(struct weir_log_file *log,
                        struct weir__segment *segment) {
  weir__link_remove(&segment->link);
  weir__runs_free(log, segment);
  weir__segment_close(log, segment);
  weir__file_free(log, segment->pending, segment->pending_cap);
  weir__file_free(log, segment, sizeof *segment);
}

uint64_t weir__segment_room(const struct weir__segment *segment) {
  const uint64_t used = segment->tail + WEIR__HEAD_SIZE;

  return used < segment->size ? segment->size - used : 0;
}

int weir__segment_make(const struct weir__io *io,
                       const struct weir__crc32c *crc,
                       const struct weir__head *head, uint64_t size, int *fd) {
  unsigned char bytes[WEIR__HEAD_SIZE];
  char name[WEIR__FILE_NAME];
  int rv;

  weir__segment_name(head->number, false, name);
  *fd = weir__io_open(io, name, true);
  if (*fd < 0) {
    return weir__io_error(*fd);
  }
  weir__head_write(crc, head, bytes);
  rv = weir__io_reserve(io, *fd, size);
  if (rv == WEIR_OK) {
    rv = weir__io_write(io, *fd, bytes, WEIR__HEAD_SIZE, 0);
  }
  if (rv == WEIR_OK) {
    rv =
        weir__io_write(io, *fd, bytes, WEIR__HEAD_SIZE, size - WEIR__HEAD_SIZE);
  }
  return rv;
}

int weir__segment_give_name(const struct weir__io *io, uint64_t number) {
  char name[WEIR__FILE_NAME];
  char temporary[WEIR__FILE_NAME];
  int rv;

  weir__segment_name(number, true, name);
  weir__segment_name(number, false, temporary);
  rv = weir__io_rename(io, temporary, name);
  return rv == WEIR_OK ? weir__io_sync_names(io) : rv;
}

void weir__segment_unmake(const struct weir__io *io, uint64_t number, int *fd) {
  char name[WEIR__FILE_NAME];

  if (*fd >= 0) {
    weir__segment_name(number, false, name);
    (void)weir__io_remove(io, name);
    weir__segment_name(number, true, name);
    (void)weir__io_remove(io, name);
    io->close(io->user, *fd);
    *fd = -1;
  }
}

/* Of those that are only read, no more than so many stay open. */
static void close_some(struct weir_log_file *log, size_t most) {
  while (log->open_count > most) {
    weir__segment_close(
        log, weir__owner(log->open.next, struct weir__segment, open_link));
  }
}

void weir__segment_spare(struct weir_log_file *log) {
  close_some(log, log->open_count - (log->open_count != 0));
}

/* It is only read from now on. */
static void note_open(struct weir_log_file *log,
                      struct weir__segment *segment) {
  weir__link_append(&log->open, &segment->open_link);
  log->open_count += 1;
}

int weir__segment_open(struct weir_log_file *log,
                       struct weir__segment *segment) {
  char name[WEIR__FILE_NAME];
  int fd;

  if (segment->fd >= 0) {
    return WEIR_OK;
  }
  close_some(log, OPEN_MOST - 1);
  weir__segment_name(segment->number, true, name);
  fd = weir__io_open(log->io, name, false);
  if (fd == -EMFILE || fd == -ENFILE) {
    close_some(log, 0);
    fd = weir__io_open(log->io, name, false);
  }
  if (fd < 0) {
    return weir__io_error(fd);
  }
  segment->fd = fd;
  if (segment->sealed) {
    note_open(log, segment);
  }
  return WEIR_OK;
}

struct weir__segment *weir__segment_upto(const struct weir_log_file *log,
                                         uint64_t number) {
  struct weir__link *link;
  struct weir__segment *segment;

  /* The newest are asked for most. */
  for (link = log->segments.prev; link != &log->segments; link = link->prev) {
    segment = weir__owner(link, struct weir__segment, link);
    if (segment->number <= number) {
      return segment;
    }
  }
  return NULL;
}

bool weir__segment_is_last_head(const struct weir_log_file *log,
                                const struct weir__segment *segment) {
  const struct weir__segment *other;
  const struct weir__link *link;
  bool is_last = false;

  for (link = log->segments.next; link != &log->segments; link = link->next) {
    other = weir__owner_const(link, struct weir__segment, link);
    if (other == segment || other->gone) {
      continue;
    }
    if (!other->unreadable) {
      return false;
    }
    is_last = true;
  }
  return is_last;
}

void weir__segment_give_up(struct weir_log_file *log,
                           struct weir__segment *segment) {
  weir__file_free(log, segment->pending, segment->pending_cap);
  segment->pending = NULL;
  segment->pending_cap = 0;
  segment->pending_len = 0;
  segment->tail = segment->written;
  weir__runs_give_up(log, segment);
}

void weir__segment_damaged(struct weir_log_file *log,
                           const struct weir__segment *segment, uint64_t at) {
  /* They are read in the order of their numbers. */
  log->damaged_segment = segment->number;
  log->damaged_at = at;
}

int weir__segment_view(struct weir_log_file *log, struct weir__segment *segment,
                       struct weir__window *window, uint64_t at, uint64_t least,
                       uint64_t len) {
  const uint64_t end = segment->sealed ? segment->size : segment->written;
  int rv;

  if (window->segment == segment->number && at >= window->at &&
      at + least <= window->at + window->len) {
    return WEIR_OK;
  }
  window->segment = 0;
  if (at > end || least > end - at) {
    return WEIR_EIO;
  }
  len = weir__min(weir__max(len, least), end - at);
  if (!weir__file_reserve(log, &window->memory, &window->cap,
                          (size_t)len + LINE)) {
    return WEIR_ENOMEM;
  }
  window->bytes =
      window->memory + (LINE - (uintptr_t)window->memory % LINE) % LINE;
  rv = weir__segment_open(log, segment);
  if (rv != WEIR_OK) {
    return rv;
  }
  rv = weir__io_read(log->io, segment->fd, window->bytes, (size_t)len, at);
  if (rv == WEIR_EIO && len != least) {
    /* It may be what lies ahead that cannot be read. */
    len = least;
    rv = weir__io_read(log->io, segment->fd, window->bytes, (size_t)len, at);
  }
  if (rv == WEIR_OK) {
    window->segment = segment->number;
    window->at = at;
    window->len = (size_t)len;
  }
  return rv;
}

void weir__segment_sealed(struct weir_log_file *log,
                          struct weir__segment *segment, uint64_t size,
                          uint64_t directory, uint64_t entries) {
  weir__runs_free(log, segment);
  segment->sealed = true;
  segment->full = false;
  segment->size = size;
  segment->directory = directory;
  segment->entries = entries;
  note_open(log, segment);
  close_some(log, OPEN_MOST);
}
