/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_index.h"

#include "file_runs.h"

#include <stdlib.h>

/* So many places are read at once, if there are as many. */
#define PLACES_READ 4096

int weir__index_read(struct weir_log_file *log, struct weir__segment *segment,
                     uint64_t i, struct weir__entry_of_directory *entry) {
  unsigned char bytes[WEIR__ENTRY_SIZE];
  int rv = weir__segment_open(log, segment);

  if (rv == WEIR_OK) {
    rv = weir__io_read(log->io, segment->fd, bytes, sizeof bytes,
                       segment->directory + i * WEIR__ENTRY_SIZE);
  }
  if (rv == WEIR_OK && !weir__entry_read(&log->crc, bytes, entry)) {
    rv = WEIR_EIO;
  }
  return rv;
}

/* A binary search in the directory, which is sorted by generation. */
static int find_entry(struct weir_log_file *log, struct weir__segment *segment,
                      uint64_t generation,
                      struct weir__entry_of_directory *entry, bool *found) {
  uint64_t low = 0;
  uint64_t high = segment->entries;
  uint64_t middle;
  int rv;

  *found = false;
  while (!*found && low < high) {
    middle = low + (high - low) / 2;
    rv = weir__index_read(log, segment, middle, entry);
    if (rv != WEIR_OK) {
      return rv;
    }
    if (entry->generation == generation) {
      *found = true;
    } else if (entry->generation < generation) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return WEIR_OK;
}

int weir__index_entry(struct weir_log_file *log, struct weir__segment *segment,
                      uint64_t generation,
                      struct weir__entry_of_directory *entry, bool *found) {
  const struct weir__run *run;
  int rv;

  *found = false;
  if (segment->unreadable) {
    return WEIR_OK;
  }
  if (segment->sealed) {
    rv = find_entry(log, segment, generation, entry, found);
    if (rv == WEIR_OK && *found &&
        (!weir__entry_is_sound(entry, WEIR__HEAD_SIZE, segment->directory) ||
         entry->previous >= segment->number)) {
      rv = WEIR_EIO;
    }
    return rv;
  }
  run = weir__runs_find(segment, generation);
  if (run != NULL) {
    memset(entry, 0, sizeof *entry);
    entry->generation = generation;
    entry->first = run->first;
    entry->last = run->first + run->count - 1;
    entry->previous = run->previous;
    *found = true;
  }
  return WEIR_OK;
}

int weir__index_places(struct weir_log_file *log, struct weir__segment *segment,
                       const struct weir__entry_of_directory *entry,
                       uint64_t first, uint32_t count, uint32_t *places) {
  const uint64_t skip = first - entry->first;
  const struct weir__run *run;
  const unsigned char *bytes;
  uint64_t at;
  uint32_t i;
  int rv;

  if (!segment->sealed) {
    run = weir__runs_find(segment, entry->generation);
    memcpy(places, run->places + skip, count * sizeof *places);
    return WEIR_OK;
  }
  at = entry->positions + skip * 4;
  rv = weir__segment_view(log, segment, &log->places, at, count * (size_t)4,
                          weir__min(entry->last - first + 1, PLACES_READ) * 4);
  if (rv != WEIR_OK) {
    return rv;
  }
  bytes = log->places.bytes + (at - log->places.at);
  for (i = 0; i < count; ++i) {
    places[i] = weir__le32(bytes + (size_t)i * 4);
  }
  return WEIR_OK;
}

/* The runs of a segment, to be sorted. */
struct sorted {
  struct weir__run **runs;
  size_t count;
};

static void collect(void *user, struct weir__node *node) {
  struct sorted *sorted = user;

  sorted->runs[sorted->count++] = weir__owner(node, struct weir__run, node);
}

static int by_generation(const void *a, const void *b) {
  struct weir__run *const *left = a;
  struct weir__run *const *right = b;

  return ((*left)->generation > (*right)->generation) -
         ((*left)->generation < (*right)->generation);
}

/* Bytes that a run needs in an index besides its entry. */
static size_t run_size(const struct weir__run *run,
                       const struct weir__file_stream *stream) {
  return (run->count * (size_t)4 + 7) / 8 * 8 +
         (WEIR__STATE_SIZE + stream->epoch_count * (size_t)16 +
          stream->key_len + stream->meta_len + 7) /
             8 * 8;
}

/* Write what a run needs; the entry says where it stands. */
static size_t write_run(const struct weir__run *run,
                        const struct weir__file_stream *stream,
                        unsigned char *bytes, uint64_t at,
                        struct weir__entry_of_directory *entry) {
  unsigned char epochs[WEIR__EPOCHS_MOST * 16];
  struct weir__file_state state;
  size_t size = 0;
  uint32_t i;

  memset(entry, 0, sizeof *entry);
  entry->generation = run->generation;
  entry->first = run->first;
  entry->last = run->first + run->count - 1;
  entry->previous = run->previous;
  entry->positions = at;
  for (i = 0; i < run->count; ++i, size += 4) {
    weir__put_le32(bytes + size, run->places[i]);
  }
  size = (size + 7) / 8 * 8;
  entry->state = at + size;
  weir__file_state_of(stream, entry->last, epochs, &state);
  weir__state_write(&state, bytes + size);
  entry->state_size = (uint32_t)weir__state_size(&state);
  return (size + entry->state_size + 7) / 8 * 8;
}

/* Leave out what is not in the log any more, and sum up. */
static size_t measure(const struct weir_log_file *log, struct sorted *sorted) {
  const struct weir__file_stream *stream;
  size_t size = 0;
  size_t kept = 0;
  size_t i;

  for (i = 0; i < sorted->count; ++i) {
    stream = weir__file_find(log, sorted->runs[i]->generation);
    if (stream != NULL) {
      size += run_size(sorted->runs[i], stream);
      sorted->runs[kept++] = sorted->runs[i];
    }
  }
  sorted->count = kept;
  return size;
}

static void write_index(struct weir_log_file *log,
                        const struct weir__segment *segment,
                        const struct sorted *sorted, unsigned char *bytes,
                        size_t directory) {
  const size_t end = directory + sorted->count * WEIR__ENTRY_SIZE;
  struct weir__entry_of_directory entry;
  struct weir__trailer trailer;
  size_t at = 0;
  size_t i;

  for (i = 0; i < sorted->count; ++i) {
    at += write_run(sorted->runs[i],
                    weir__file_find(log, sorted->runs[i]->generation),
                    bytes + at, segment->tail + at, &entry);
    weir__entry_write(&log->crc, &entry,
                      bytes + directory + i * WEIR__ENTRY_SIZE);
  }
  memset(&trailer, 0, sizeof trailer);
  trailer.number = segment->number;
  trailer.salt = segment->salt;
  trailer.data_end = segment->tail;
  trailer.directory = segment->tail + directory;
  trailer.newest = segment->newest;
  trailer.entries = (uint32_t)sorted->count;
  trailer.crc = weir__crc32c(&log->crc, 0, bytes, end);
  weir__trailer_write(&log->crc, &trailer, bytes + end);
}

int weir__index_make(struct weir_log_file *log, struct weir__segment *segment,
                     unsigned char **made, size_t *size, uint64_t *directory,
                     uint64_t *entries) {
  const size_t room = (segment->runs.count + 1) * sizeof(struct weir__run *);
  struct sorted sorted = {weir__file_alloc(log, room), 0};
  unsigned char *bytes = NULL;
  size_t body;
  size_t i;

  if (sorted.runs == NULL) {
    return WEIR_ENOMEM;
  }
  for (i = 0; i < segment->runs.buckets; ++i) {
    weir__map_visit(&segment->runs, i, collect, &sorted);
  }
  body = measure(log, &sorted);
  *size = body + sorted.count * WEIR__ENTRY_SIZE + WEIR__TRAILER_SIZE;
  bytes = weir__file_alloc(log, *size);
  if (bytes != NULL) {
    memset(bytes, 0, *size);
    qsort(sorted.runs, sorted.count, sizeof sorted.runs[0], by_generation);
    write_index(log, segment, &sorted, bytes, body);
    *directory = segment->tail + body;
    *entries = sorted.count;
  }
  weir__file_free(log, sorted.runs, room);
  *made = bytes;
  return bytes != NULL ? WEIR_OK : WEIR_ENOMEM;
}
