/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Closed segments whose files are open. */
#define OPEN_MOST 64

/* Places of a run at most, besides those of the records that its segment has
 * room for: what is lost has places too. */
#define PLACES_MORE UINT64_C(131072)

/* So many places are read at once, if there are as many. */
#define PLACES_READ 4096

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
  uint64_t number = 0;
  size_t i;

  if (strncmp(name, "weir-", 5) != 0) {
    return 0;
  }
  for (i = 5; i < 21; ++i) {
    if (name[i] >= '0' && name[i] <= '9') {
      number = number << 4 | (uint64_t)(name[i] - '0');
    } else if (name[i] >= 'a' && name[i] <= 'f') {
      number = number << 4 | (uint64_t)(name[i] - 'a' + 10);
    } else {
      return 0;
    }
  }
  *made = strcmp(name + 21, ".log") == 0;
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

static void free_run(struct weir_log_file *log, struct weir__run *run) {
  weir__file_free(log, run->places, run->cap * sizeof run->places[0]);
  weir__file_free(log, run, sizeof *run);
}

static void free_runs(struct weir_log_file *log,
                      struct weir__segment *segment) {
  struct weir__node *node;

  for (node = weir__map_any(&segment->runs); node != NULL;
       node = weir__map_any(&segment->runs)) {
    weir__map_remove(&segment->runs, node);
    free_run(log, weir__owner(node, struct weir__run, node));
  }
  weir__map_free(&segment->runs);
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
  free_runs(log, segment);
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
  *fd = io->open(io->user, name, true);
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
  rv = io->rename(io->user, temporary, name);
  if (rv == 0) {
    rv = io->sync_names(io->user);
  }
  return rv < 0 ? weir__io_error(rv) : WEIR_OK;
}

void weir__segment_unmake(const struct weir__io *io, uint64_t number, int *fd) {
  char name[WEIR__FILE_NAME];

  if (*fd >= 0) {
    weir__segment_name(number, false, name);
    (void)io->remove(io->user, name);
    weir__segment_name(number, true, name);
    (void)io->remove(io->user, name);
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
  fd = log->io->open(log->io->user, name, false);
  if (fd == -EMFILE || fd == -ENFILE) {
    close_some(log, 0);
    fd = log->io->open(log->io->user, name, false);
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
    if (other != segment && !other->unreadable) {
      return false;
    }
    is_last = is_last || other != segment;
  }
  return is_last;
}

static struct weir__run *find_run(const struct weir__segment *segment,
                                  uint64_t generation) {
  struct weir__node *node =
      weir__map_find(&segment->runs, &generation, sizeof generation);

  return node == NULL ? NULL : weir__owner(node, struct weir__run, node);
}

static struct weir__run *make_run(struct weir_log_file *log,
                                  struct weir__segment *segment,
                                  struct weir__file_stream *stream) {
  struct weir__run *run = weir__file_alloc(log, sizeof *run);

  if (run == NULL) {
    return NULL;
  }
  memset(run, 0, sizeof *run);
  run->generation = stream->generation;
  run->node.key = &run->generation;
  run->node.key_len = sizeof run->generation;
  run->previous = stream->newest;
  run->begun = segment->tail;
  run->first = stream->put + 1;
  if (weir__map_insert(&segment->runs, &run->node) != WEIR_OK) {
    weir__file_free(log, run, sizeof *run);
    return NULL;
  }
  return run;
}

int weir__segment_enter(struct weir_log_file *log,
                        struct weir__segment *segment,
                        struct weir__file_stream *stream,
                        struct weir__run **entered) {
  struct weir__run *run = stream->run;

  if (stream->run_segment != segment->number) {
    run = find_run(segment, stream->generation);
    if (run == NULL) {
      run = make_run(log, segment, stream);
    }
    if (run == NULL) {
      return WEIR_ENOMEM;
    }
    stream->run = run;
    stream->run_segment = segment->number;
    stream->newest = segment->number;
  }
  *entered = run;
  return WEIR_OK;
}

static bool reserve_places(struct weir_log_file *log, struct weir__run *run,
                           uint32_t count) {
  uint32_t cap = run->cap == 0 ? 4 : run->cap;
  uint32_t *places;

  if (count <= run->cap) {
    return true;
  }
  while (cap < count) {
    cap *= 2;
  }
  places = weir__file_alloc(log, cap * sizeof *places);
  if (places == NULL) {
    return false;
  }
  weir__copy(places, run->places, run->count * sizeof *places);
  weir__file_free(log, run->places, run->cap * sizeof *places);
  run->places = places;
  run->cap = cap;
  return true;
}

int weir__segment_expect(struct weir_log_file *log,
                         struct weir__segment *segment,
                         struct weir__file_stream *stream, uint64_t first,
                         size_t expected, struct weir__run **entered) {
  struct weir__run *run;
  uint64_t count;

  if (weir__segment_enter(log, segment, stream, &run) != WEIR_OK) {
    return WEIR_ENOMEM;
  }
  if (run->count == 0) {
    run->first = first;
  }
  count = first - run->first + expected;
  if (count > segment->size / WEIR__RECORD_SIZE + PLACES_MORE) {
    weir__file_report(log,
                      "segment %016llx: an event with a number of elsewhere",
                      (unsigned long long)segment->number);
    return WEIR_EFORMAT;
  }
  if (!reserve_places(log, run, (uint32_t)count)) {
    return WEIR_ENOMEM;
  }
  /* Those in between are not there. */
  while (run->count < first - run->first) {
    weir__run_note(run, 0);
  }
  *entered = run;
  return WEIR_OK;
}

int weir__segment_note(struct weir_log_file *log, struct weir__segment *segment,
                       struct weir__file_stream *stream, uint64_t seq,
                       uint64_t place) {
  struct weir__run *run;
  const int rv = weir__segment_expect(log, segment, stream, seq, 1, &run);

  if (rv == WEIR_OK) {
    weir__run_note(run, place);
  }
  return rv;
}

void weir__segment_forget(struct weir__segment *segment,
                          const struct weir__file_stream *stream,
                          uint64_t seq) {
  struct weir__run *run = find_run(segment, stream->generation);

  if (run == NULL || run->first + run->count - 1 <= seq) {
    return;
  }
  if (run->first > seq) {
    run->first = seq + 1;
    run->count = 0;
  } else {
    run->count = (uint32_t)(seq - run->first + 1);
  }
}

void weir__segment_forget_all(struct weir_log_file *log,
                              const struct weir__file_stream *stream,
                              uint64_t seq) {
  struct weir__link *link;

  for (link = log->segments.prev; link != &log->segments; link = link->prev) {
    weir__segment_forget(weir__owner(link, struct weir__segment, link), stream,
                         seq);
  }
}

/* For the visit of runs. */
struct giving_up {
  struct weir_log_file *log;
  const struct weir__segment *segment;
};

static void give_up_run(void *user, struct weir__node *node) {
  const struct weir__run *run = weir__owner_const(node, struct weir__run, node);
  const struct giving_up *giving_up = user;
  const struct weir__segment *segment = giving_up->segment;
  struct weir__file_stream *stream =
      weir__file_find(giving_up->log, run->generation);

  if (stream != NULL && stream->newest == segment->number &&
      run->begun >= segment->written) {
    stream->newest = run->previous;
    stream->run_segment = 0;
  }
}

void weir__segment_give_up(struct weir_log_file *log,
                           struct weir__segment *segment) {
  struct giving_up giving_up = {log, segment};
  size_t i;

  weir__file_free(log, segment->pending, segment->pending_cap);
  segment->pending = NULL;
  segment->pending_cap = 0;
  segment->pending_len = 0;
  segment->tail = segment->written;
  for (i = 0; i < segment->runs.buckets; ++i) {
    weir__map_visit(&segment->runs, i, give_up_run, &giving_up);
  }
}

void weir__segment_damaged(struct weir_log_file *log,
                           const struct weir__segment *segment, uint64_t at) {
  /* They are read in the order of their numbers. */
  log->damaged_segment = segment->number;
  log->damaged_at = at;
}

static int read_entry(struct weir_log_file *log,
                      const struct weir__segment *segment, uint64_t i,
                      struct weir__entry_of_directory *entry) {
  unsigned char bytes[WEIR__ENTRY_SIZE];
  int rv = weir__io_read(log->io, segment->fd, bytes, sizeof bytes,
                         segment->directory + i * WEIR__ENTRY_SIZE);

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
  int rv = weir__segment_open(log, segment);

  *found = false;
  while (rv == WEIR_OK && !*found && low < high) {
    middle = low + (high - low) / 2;
    rv = read_entry(log, segment, middle, entry);
    if (rv != WEIR_OK) {
      break;
    }
    if (entry->generation == generation) {
      *found = true;
    } else if (entry->generation < generation) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return rv;
}

int weir__segment_entry(struct weir_log_file *log,
                        struct weir__segment *segment, uint64_t generation,
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
  run = find_run(segment, generation);
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

int weir__segment_places(struct weir_log_file *log,
                         struct weir__segment *segment,
                         const struct weir__entry_of_directory *entry,
                         uint64_t first, uint32_t count, uint32_t *places) {
  const uint64_t skip = first - entry->first;
  const struct weir__run *run;
  const unsigned char *bytes;
  uint64_t at;
  uint32_t i;
  int rv;

  if (!segment->sealed) {
    run = find_run(segment, entry->generation);
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

int weir__segment_index(struct weir_log_file *log,
                        struct weir__segment *segment, unsigned char **made,
                        size_t *size, uint64_t *directory, uint64_t *entries) {
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

void weir__segment_sealed(struct weir_log_file *log,
                          struct weir__segment *segment, uint64_t size,
                          uint64_t directory, uint64_t entries) {
  struct weir__file_stream *stream;
  struct weir__node *node;

  /* Nobody finds its runs here any more. */
  for (node = weir__map_any(&segment->runs); node != NULL;
       node = weir__map_any(&segment->runs)) {
    struct weir__run *run = weir__owner(node, struct weir__run, node);

    stream = weir__file_find(log, run->generation);
    if (stream != NULL && stream->run_segment == segment->number) {
      stream->run = NULL;
      stream->run_segment = 0;
    }
    weir__map_remove(&segment->runs, node);
    free_run(log, run);
  }
  weir__map_free(&segment->runs);
  segment->sealed = true;
  segment->full = false;
  segment->size = size;
  segment->directory = directory;
  segment->entries = entries;
  note_open(log, segment);
  close_some(log, OPEN_MOST);
}
