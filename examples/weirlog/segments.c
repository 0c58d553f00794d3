/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The segments of a log, one after the other: their heads, their indexes, and
 * where they have none, or all is to be looked at, their records. */

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 4096

/* A segment that is being read. */
struct reading {
  struct log *log;
  size_t index; /* of the segment */
  int fd;
  uint64_t salt;
  unsigned char *bytes; /* of the file, */
  uint64_t end;         /* up to here */
  uint64_t extent;      /* behind which there are zeros */
  uint64_t synced;
  uint64_t orphans; /* records of streams of which nothing is known */
  bool quietly;     /* an index has said it already */
};

static unsigned long long number_of(const struct reading *reading) {
  return reading->log->segments[reading->index].number;
}

int segment_open(const struct log *log, const struct segment *segment) {
  char name[32];
  int fd;

  (void)snprintf(name, sizeof name, "weir-%016llx.log",
                 (unsigned long long)segment->number);
  fd = openat(log->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 && errno != ENOENT) {
    give_up("%s/%s: %s", log->path, name, strerror(errno));
  }
  return fd;
}

/* --- Bytes -----------------------------------------------------------------*/

/* Read as much as there is: how many bytes, or -1. */
static ssize_t read_some(int fd, unsigned char *bytes, size_t len,
                         uint64_t offset) {
  size_t done = 0;
  ssize_t n = 1;

  while (done < len && n > 0) {
    n = pread(fd, bytes + done, len - done, (off_t)(offset + done));
    n = n < 0 && errno == EINTR ? 1 : n;
    done += n > 0 ? (size_t)n : 0;
  }
  return n < 0 ? -1 : (ssize_t)done;
}

/* Read len bytes. What is not there any more, since the file has been cut off
 * behind its index meanwhile, is zero. What the disk does not give back is
 * damaged, and was synced. */
static void read_all(struct reading *reading, unsigned char *bytes,
                     uint64_t len, uint64_t offset) {
  uint64_t at;
  size_t n;

  memset(bytes, 0, (size_t)len);
  if (read_some(reading->fd, bytes, (size_t)len, offset) >= 0) {
    return;
  }
  for (at = 0; at < len; at += n) {
    n = len - at < BLOCK ? (size_t)(len - at) : BLOCK;
    if (read_some(reading->fd, bytes + at, n, offset + at) < 0) {
      memset(bytes + at, 0xff, n);
      reading->synced = offset + at + n;
    }
  }
}

uint64_t segment_extent(int fd, uint64_t end) {
  const size_t most = (size_t)256 * BLOCK;
  unsigned char *piece = allocate(NULL, most, 1);
  uint64_t extent = 0;
  uint64_t at;
  ssize_t n;
  ssize_t i;

  for (at = 0; at < end; at += most) {
    n = read_some(fd, piece, end - at < most ? (size_t)(end - at) : most, at);
    for (i = n; i > 0 && piece[i - 1] == 0; --i) {
    }
    if (n < 0 || i > 0) {
      extent = n < 0 ? end : at + (uint64_t)i;
    }
  }
  free(piece);
  return extent;
}

/* Have the file in memory, up to `end`, of which not all needs to be read. */
static void load(struct reading *reading, uint64_t end, uint64_t extent) {
  reading->bytes = allocate(NULL, (size_t)end, 1);
  reading->end = end;
  reading->extent = extent;
  memset(reading->bytes, 0, (size_t)end);
  read_all(reading, reading->bytes, extent, 0);
}

/* --- Records ---------------------------------------------------------------*/

/* The head of a record at an offset. */
static bool has_head(const struct reading *reading, uint64_t offset,
                     struct record *record) {
  return reading->end >= HEAD && offset <= reading->end - HEAD &&
         read_record(reading->bytes + offset, reading->salt, offset, record);
}

/* The record at an offset, whole. */
static bool has_record(const struct reading *reading, uint64_t offset,
                       struct record *record) {
  return has_head(reading, offset, record) &&
         record_length(record) <= reading->end - offset &&
         is_whole(reading->bytes + offset, reading->salt, record);
}

/* The next record from an offset on; the end, if there is none. */
static uint64_t next_record(const struct reading *reading, uint64_t offset) {
  struct record record;

  while (offset < reading->end && !has_record(reading, offset, &record)) {
    offset += 8;
  }
  return offset < reading->end ? offset : reading->end;
}

static void see_synced(struct reading *reading, const struct record *record) {
  if (record->synced > reading->synced) {
    reading->synced = record->synced;
  }
}

/* Where the batch at an offset ends; 0: it is not whole. */
static uint64_t batch_end(struct reading *reading, uint64_t offset) {
  struct record record;
  uint32_t left = 0;
  bool is_first = true;

  do {
    if (!has_record(reading, offset, &record) ||
        (!is_first && record.left != left - 1)) {
      return 0;
    }
    is_first = false;
    left = record.left;
    see_synced(reading, &record);
    offset += record_length(&record);
  } while (left != 0);
  return offset;
}

static void apply(struct reading *reading, uint64_t offset,
                  const struct record *record, bool is_good) {
  if (!reading->quietly &&
      !stream_apply(reading->log, reading->index, offset, record,
                    is_good ? reading->bytes + offset + HEAD : NULL)) {
    reading->orphans += 1;
  }
}

/* Take over the record at a place where no whole batch stands, or what is known
 * of it: where the next one is looked for. */
static uint64_t apply_damaged(struct reading *reading, uint64_t offset) {
  static const char *const kinds[] = {"", "event", "state", "take", "trim"};
  struct log *log = reading->log;
  struct record record;
  uint64_t next;
  bool is_good;

  if (!has_head(reading, offset, &record)) {
    next = next_record(reading, offset + 8);
    say(log, "segment %016llx: damaged from offset %llu to %llu%s",
        number_of(reading), (unsigned long long)offset,
        (unsigned long long)next,
        reading->quietly ? "" : "; nobody knows whose events were there");
    if (!reading->quietly) {
      log->damaged = number_of(reading);
      log->damaged_offset = next;
    }
    return next;
  }
  is_good = has_record(reading, offset, &record);
  if (!is_good) {
    say(log, "segment %016llx: the %s at offset %llu is damaged",
        number_of(reading), kinds[record.kind], (unsigned long long)offset);
  }
  apply(reading, offset, &record, is_good);
  next = offset + record_length(&record);
  return next < reading->end ? next : reading->end;
}

/* Go through the records. */
static void read_records(struct reading *reading) {
  struct record record;
  bool has_looked = false;
  uint64_t offset = HEAD;
  uint64_t at;
  uint64_t end;

  while (offset < reading->end) {
    end = batch_end(reading, offset);
    for (; offset < end; offset += record_length(&record)) {
      (void)has_record(reading, offset, &record);
      apply(reading, offset, &record, true);
    }
    if (end != 0) {
      continue;
    }
    for (at = offset; !has_looked && at < reading->end; at += 8) {
      at = next_record(reading, at);
      if (has_record(reading, at, &record)) {
        see_synced(reading, &record);
        at += record_length(&record) - 8;
      }
    }
    has_looked = true;
    if (offset >= reading->synced) {
      break;
    }
    offset = apply_damaged(reading, offset);
  }
  if (reading->orphans != 0) {
    say(reading->log,
        "segment %016llx: %llu records of streams whose beginning is lost",
        number_of(reading), (unsigned long long)reading->orphans);
  }
  if (offset < reading->extent && reading->log->verify) {
    /* This is no damage: a crash leaves it, and so does who writes now. */
    printf(
        "segment %016llx: %llu bytes from offset %llu on were being written\n",
        number_of(reading), (unsigned long long)(reading->extent - offset),
        (unsigned long long)offset);
  }
}

/* --- An index --------------------------------------------------------------*/

struct index {
  unsigned char *bytes; /* of the file from trailer.index on */
  struct trailer trailer;
};

static bool read_index_entry(const struct index *index, uint32_t i,
                             struct entry *entry, struct state *state) {
  const uint64_t begin = index->trailer.index;
  const uint64_t end = index->trailer.directory;

  return read_entry(index->bytes + (end - begin) + (uint64_t)i * HEAD, entry) &&
         entry->positions >= begin && entry->positions <= entry->state &&
         (entry->last - (entry->first - 1)) <=
             (entry->state - entry->positions) / 4 &&
         entry->state <= end && entry->state_size <= end - entry->state &&
         read_state(index->bytes + (entry->state - begin), entry->state_size,
                    state);
}

static bool is_index_sound(const struct index *index, size_t size) {
  struct entry entry;
  struct state state;
  uint64_t before = 0;
  uint32_t i;

  if (crc32c(0, index->bytes, size) != index->trailer.checksum) {
    return false;
  }
  for (i = 0; i < index->trailer.entries; ++i) {
    if (!read_index_entry(index, i, &entry, &state) ||
        entry.generation <= before) {
      return false;
    }
    before = entry.generation;
  }
  return true;
}

/* Use the index, if there is a sound one. */
static bool apply_index(struct reading *reading, const struct trailer *trailer,
                        uint64_t size) {
  const size_t len = (size_t)(size - HEAD - trailer->index);
  struct index index = {allocate(NULL, len, 1), *trailer};
  struct entry entry;
  struct state state;
  uint32_t i;
  bool is_sound;

  read_all(reading, index.bytes, len, trailer->index);
  is_sound = is_index_sound(&index, len);
  for (i = 0; is_sound && i < trailer->entries; ++i) {
    (void)read_index_entry(&index, i, &entry, &state);
    stream_apply_entry(reading->log, reading->index, &entry, &state,
                       index.bytes + (entry.positions - trailer->index));
  }
  free(index.bytes);
  return is_sound;
}

/* --- A segment -------------------------------------------------------------*/

static bool has_trailer(const struct reading *reading, uint64_t size,
                        struct trailer *trailer) {
  unsigned char bytes[HEAD];
  const uint64_t end = size - HEAD;

  return size >= (uint64_t)2 * HEAD &&
         read_some(reading->fd, bytes, HEAD, end) == HEAD &&
         read_trailer(bytes, trailer) &&
         trailer->number == number_of(reading) &&
         trailer->salt == reading->salt && trailer->index >= HEAD &&
         trailer->index % 8 == 0 && trailer->index <= trailer->directory &&
         trailer->directory <= end &&
         end - trailer->directory == (uint64_t)trailer->entries * HEAD;
}

void segment_read(struct log *log, size_t i) {
  const struct segment *segment = &log->segments[i];
  struct reading reading;
  struct trailer trailer;

  memset(&reading, 0, sizeof reading);
  reading.log = log;
  reading.index = i;
  reading.salt = segment->salt;
  if (segment->is_lost) {
    say(log, "segment %016llx: its head is damaged; all that was in it is lost",
        number_of(&reading));
    log->damaged = segment->number;
    log->damaged_offset = UINT64_MAX;
    return;
  }
  reading.fd = segment_open(log, segment);
  if (reading.fd < 0) {
    /* The oldest ones go first: so have all before it, and what is behind it
     * can be read without. */
    stream_forget_all(log);
    log->first = i + 1;
    return;
  }
  if (!has_trailer(&reading, segment->size, &trailer)) {
    load(&reading,
         segment->size < (uint64_t)2 * HEAD ? 0 : segment->size - HEAD,
         segment->extent);
    read_records(&reading);
  } else if (!apply_index(&reading, &trailer, segment->size)) {
    say(log, "segment %016llx: its index is damaged", number_of(&reading));
    load(&reading, trailer.index, trailer.index);
    reading.synced = trailer.index;
    read_records(&reading);
  } else if (log->verify) {
    load(&reading, trailer.index, trailer.index);
    reading.synced = trailer.index;
    reading.quietly = true;
    read_records(&reading);
  }
  free(reading.bytes);
  (void)close(reading.fd);
}
