/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The directory of a log, and an event of it. */

#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void say(struct log *log, const char *format, ...) {
  va_list list;

  log->findings += 1;
  if (log->verify) {
    va_start(list, format);
    (void)vprintf(format, list);
    va_end(list);
    (void)putchar('\n');
  }
}

void give_up(const char *format, ...) {
  va_list list;

  fprintf(stderr, "weirlog: ");
  va_start(list, format);
  (void)vfprintf(stderr, format, list);
  va_end(list);
  fprintf(stderr, "\n");
  exit(2);
}

void *allocate(void *old, size_t count, size_t size) {
  void *memory =
      count <= SIZE_MAX / size ? realloc(old, count * size + 1) : NULL;

  if (memory == NULL) {
    give_up("out of memory");
  }
  return memory;
}

/* --- The directory ---------------------------------------------------------*/

/* The number of a segment's name; 0: it is none. */
static uint64_t number_of(const char *name, bool *is_made) {
  char *end = NULL;
  char again[32];
  uint64_t number;

  if (strncmp(name, "weir-", 5) != 0 || strlen(name) < 25) {
    return 0;
  }
  number = strtoull(name + 5, &end, 16);
  *is_made = strcmp(end, ".log.new") != 0;
  (void)snprintf(again, sizeof again, "weir-%016llx.log%s",
                 (unsigned long long)number, *is_made ? "" : ".new");
  return strcmp(name, again) == 0 ? number : 0;
}

static void add_segment(struct log *log, uint64_t number) {
  struct segment segment;

  memset(&segment, 0, sizeof segment);
  segment.number = number;
  log->segments =
      allocate(log->segments, log->segment_count + 1, sizeof log->segments[0]);
  log->segments[log->segment_count++] = segment;
}

static int by_number(const void *a, const void *b) {
  const struct segment *left = a;
  const struct segment *right = b;

  return (left->number > right->number) - (left->number < right->number);
}

static bool is_regular(const struct log *log, const char *name) {
  struct stat status;

  /* What has gone meanwhile was a segment. */
  return fstatat(log->directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
         S_ISREG(status.st_mode);
}

/* List them once. */
static void list(struct log *log) {
  DIR *directory = fdopendir(openat(log->directory, ".", O_RDONLY));
  const struct dirent *entry;
  uint64_t number;
  bool is_made;

  if (directory == NULL) {
    give_up("%s: %s", log->path, strerror(errno));
  }
  log->segment_count = 0;
  while ((entry = readdir(directory)) != NULL) {
    const char *name = entry->d_name;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        strcmp(name, "lock") == 0 || strcmp(name, "lost+found") == 0) {
      continue;
    }
    number = number_of(name, &is_made);
    if (number == 0 || !is_regular(log, name)) {
      give_up("%s/%s: does not belong into the directory of a log", log->path,
              name);
    }
    if (is_made) {
      add_segment(log, number);
    }
  }
  (void)closedir(directory);
  if (log->segment_count != 0) {
    qsort(log->segments, log->segment_count, sizeof log->segments[0],
          by_number);
  }
}

/* List them until nothing has changed meanwhile: a name that comes while a
 * directory is read may be missed, and one that comes later be seen. */
static void list_segments(struct log *log) {
  struct segment *before = NULL;
  size_t count;
  bool is_same = false;

  list(log);
  while (!is_same) {
    count = log->segment_count;
    before = allocate(before, count, sizeof *before);
    memcpy(before, log->segments, count * sizeof *before);
    list(log);
    is_same = count == log->segment_count &&
              memcmp(before, log->segments, count * sizeof *before) == 0;
  }
  free(before);
}

/* Whether there is a head here, of this segment and a version that is known. */
static bool check_head(const struct log *log, struct segment *segment, int fd,
                       uint64_t offset) {
  unsigned char bytes[HEAD];
  struct head head;

  if (pread(fd, bytes, sizeof bytes, (off_t)offset) != HEAD ||
      !read_head(bytes, &head)) {
    return false;
  }
  if (head.version != VERSION) {
    give_up("%s: segment %016llx has format version %lu; this program knows %d",
            log->path, (unsigned long long)segment->number,
            (unsigned long)head.version, VERSION);
  }
  if (head.number != segment->number) {
    give_up("%s: segment %016llx says that it is %016llx", log->path,
            (unsigned long long)segment->number,
            (unsigned long long)head.number);
  }
  segment->salt = head.salt;
  return true;
}

static void look_at(struct log *log, struct segment *segment, int fd) {
  const unsigned long long number = segment->number;
  unsigned char bytes[HEAD];
  struct trailer trailer;
  struct stat status;
  bool has_trailer;
  uint64_t end;

  if (fstat(fd, &status) != 0) {
    give_up("%s: %s", log->path, strerror(errno));
  }
  segment->size = (uint64_t)status.st_size;
  end = segment->size < (uint64_t)2 * HEAD ? 0 : segment->size - HEAD;
  has_trailer = end != 0 && pread(fd, bytes, HEAD, (off_t)end) == HEAD &&
                read_trailer(bytes, &trailer) &&
                trailer.number == segment->number;
  if (!has_trailer) {
    segment->extent = segment_extent(fd, end);
  }
  if (check_head(log, segment, fd, 0)) {
    return;
  }
  if (end != 0 && check_head(log, segment, fd, end)) {
    say(log, "segment %016llx: its first head is damaged", number);
  } else if (has_trailer) {
    segment->salt = trailer.salt;
    say(log, "segment %016llx: its head is damaged", number);
  } else {
    segment->is_lost = true;
  }
}

/* Look at the heads, and how far open segments reach: the newest first, so that
 * nothing is seen without what was written before it. Those that have gone
 * meanwhile are none of ours. */
static void look_at_all(struct log *log) {
  size_t kept = log->segment_count;
  size_t lost = 0;
  size_t i;
  int fd;

  for (i = log->segment_count; i-- > 0;) {
    fd = segment_open(log, &log->segments[i]);
    if (fd >= 0) {
      log->segments[--kept] = log->segments[i];
      look_at(log, &log->segments[kept], fd);
      lost += log->segments[kept].is_lost;
      (void)close(fd);
    }
  }
  log->segment_count -= kept;
  memmove(log->segments, log->segments + kept,
          log->segment_count * sizeof log->segments[0]);
  if (log->segment_count != 0 && lost == log->segment_count) {
    give_up("%s: no segment has a head that is one", log->path);
  }
}

void log_open(struct log *log, const char *path, bool verify) {
  size_t i;

  memset(log, 0, sizeof *log);
  log->path = path;
  log->verify = verify;
  log->segments = allocate(NULL, 0, sizeof log->segments[0]);
  log->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (log->directory < 0) {
    give_up("%s: %s", path, strerror(errno));
  }
  list_segments(log);
  look_at_all(log);
  for (i = 0; i < log->segment_count; ++i) {
    segment_read(log, i);
  }
  stream_settle(log);
}

void log_close(struct log *log) {
  stream_forget_all(log);
  free(log->streams);
  free(log->segments);
  (void)close(log->directory);
}

/* --- An event --------------------------------------------------------------*/

const unsigned char *log_read(struct log *log, const struct stream *stream,
                              const struct place *place,
                              struct record *record) {
  static unsigned char *bytes;
  static size_t open_segment = SIZE_MAX;
  static int fd = -1;
  struct segment *segment = &log->segments[place->segment];
  const off_t offset = (off_t)place->offset;
  size_t len;

  if (open_segment != place->segment) {
    if (fd >= 0) {
      (void)close(fd);
    }
    fd = segment_open(log, segment);
    open_segment = place->segment;
    segment->is_gone = fd < 0;
  }
  bytes = allocate(bytes, HEAD, 1);
  if (fd < 0 || pread(fd, bytes, HEAD, offset) != HEAD ||
      !read_record(bytes, segment->salt, place->offset, record) ||
      record->kind != EVENT || record->generation != stream->generation ||
      record->number != place->number) {
    return NULL;
  }
  len = (size_t)record_length(record);
  bytes = allocate(bytes, len, 1);
  return pread(fd, bytes, len, offset) == (ssize_t)len &&
                 is_whole(bytes, segment->salt, record)
             ? bytes + HEAD
             : NULL;
}
