/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_recover.h"

#include "file_index.h"
#include "file_runs.h"
#include "file_scan.h"

/* So much is written again at a time. */
#define PIECE 65536

static struct weir__segment *next_of(const struct weir_log_file *log,
                                     struct weir__link *link) {
  return link->next == &log->segments
             ? NULL
             : weir__owner(link->next, struct weir__segment, link);
}

/* --- What is in the directory ----------------------------------------------*/

/* Put a segment into its place among the others. */
static void insert(struct weir_log_file *log, struct weir__segment *segment) {
  struct weir__link *before = log->segments.prev;

  while (before != &log->segments &&
         weir__owner(before, struct weir__segment, link)->number >
             segment->number) {
    before = before->prev;
  }
  /* Append to the ring as seen from the one behind. */
  weir__link_append(before->next, &segment->link);
}

static int found(void *arg, const char *name, bool regular) {
  struct weir_log_file *log = arg;
  struct weir__segment *segment;
  uint64_t number;
  bool made;

  /* A file system of its own brings this. */
  if (!regular && strcmp(name, "lost+found") == 0) {
    return 0;
  }
  number = regular ? weir__segment_number(name, &made) : 0;
  if (number == 0) {
    weir__file_report(log, "%s: does not belong into the directory of a log",
                      name);
    log->fault = WEIR_EFORMAT;
    return 1;
  }
  log->numbers = weir__max(log->numbers, number);
  if (!made) {
    /* It was being made when a crash came, and nothing was ever in it; it is
     * removed when all else has turned out well. */
    return 0;
  }
  segment = weir__segment_new(log, number);
  if (segment == NULL) {
    log->fault = WEIR_ENOMEM;
    return 1;
  }
  segment->named = true;
  insert(log, segment);
  return 0;
}

/* Read a head, which stands at the beginning of a segment and, until it has an
 * index, at its end. */
static int read_head(struct weir_log_file *log,
                     const struct weir__segment *segment, uint64_t at,
                     struct weir__head *head) {
  unsigned char bytes[WEIR__HEAD_SIZE];
  int rv = weir__io_read(log->io, segment->fd, bytes, sizeof bytes, at);

  if (rv == WEIR_ENOMEM) {
    return rv;
  }
  return rv == WEIR_OK ? weir__head_read(&log->crc, bytes, head) : WEIR_EIO;
}

static bool read_trailer(struct weir_log_file *log,
                         const struct weir__segment *segment,
                         struct weir__trailer *trailer) {
  unsigned char bytes[WEIR__TRAILER_SIZE];

  return segment->size >= WEIR__HEAD_SIZE + WEIR__TRAILER_SIZE &&
         weir__io_read(log->io, segment->fd, bytes, sizeof bytes,
                       segment->size - WEIR__TRAILER_SIZE) == WEIR_OK &&
         weir__trailer_read(&log->crc, bytes, trailer) &&
         trailer->number == segment->number;
}

/* A head that is one: of this segment, and of a version that is known? */
static int check_head(struct weir_log_file *log, struct weir__segment *segment,
                      int rv, const struct weir__head *head) {
  const unsigned long long number = segment->number;

  if (rv == WEIR_EFORMAT) {
    weir__file_report(log,
                      "segment %016llx: format version %u; this library knows "
                      "%u",
                      number, head->version, WEIR__FILE_VERSION);
  }
  if (rv == WEIR_OK && head->number != segment->number) {
    weir__file_report(log, "segment %016llx: says that it is %016llx", number,
                      (unsigned long long)head->number);
    return WEIR_EFORMAT;
  }
  if (rv == WEIR_OK) {
    segment->salt = head->salt;
    segment->newest = head->made; /* its records are no older */
  }
  return rv;
}

/* Look for what makes a segment one: a head at its beginning, or at its end, or
 * an index there. */
static int look_for_head(struct weir_log_file *log,
                         struct weir__segment *segment) {
  struct weir__trailer trailer;
  struct weir__head head;
  int rv = WEIR_EIO;

  if (segment->size >= WEIR__HEAD_SIZE) {
    rv = check_head(log, segment, read_head(log, segment, 0, &head), &head);
  }
  if (rv == WEIR_EIO && segment->size >= (uint64_t)2 * WEIR__HEAD_SIZE) {
    rv = read_head(log, segment, segment->size - WEIR__HEAD_SIZE, &head);
    rv = check_head(log, segment, rv, &head);
  }
  if (rv == WEIR_EIO && read_trailer(log, segment, &trailer)) {
    segment->salt = trailer.salt;
    rv = WEIR_OK;
  }
  segment->unreadable = rv == WEIR_EIO;
  return segment->unreadable ? WEIR_OK : rv;
}

/* WEIR_OK, also if a segment is damaged; WEIR_EFORMAT: it is none that this
 * library knows. */
static int look_at(struct weir_log_file *log, struct weir__segment *segment) {
  int64_t size;
  int rv = weir__segment_open(log, segment);

  if (rv == WEIR_OK) {
    size = log->io->size(log->io->user, segment->fd);
    rv = size < 0 ? weir__io_error(size) : WEIR_OK;
    segment->size = (uint64_t)(size < 0 ? 0 : size);
  }
  if (rv != WEIR_OK) {
    weir__file_report(log, "segment %016llx: cannot be opened: %s",
                      (unsigned long long)segment->number, weir_strerror(rv));
    return rv;
  }
  if (segment->size > WEIR__SEGMENT_MOST) {
    weir__file_report(log, "segment %016llx: larger than any can be",
                      (unsigned long long)segment->number);
    return WEIR_EFORMAT;
  }
  rv = look_for_head(log, segment);
  weir__segment_close(log, segment);
  return rv;
}

/* Whether any segment is one: a directory in which none is belongs to somebody
 * else. */
static int look_at_all(struct weir_log_file *log) {
  struct weir__segment *segment = next_of(log, &log->segments);
  bool good = segment == NULL;
  int rv = WEIR_OK;

  for (; rv == WEIR_OK && segment != NULL;
       segment = next_of(log, &segment->link)) {
    rv = look_at(log, segment);
    good = good || !segment->unreadable;
  }
  if (rv == WEIR_OK && !good) {
    weir__file_report(log, "there is no segment with a head that is one");
    rv = WEIR_EFORMAT;
  }
  return rv;
}

/* --- What an index says --------------------------------------------------- */

/* The index of a segment, in memory: what stands from `begin` on. */
struct index {
  unsigned char *bytes;
  uint64_t begin;
  size_t size;
  struct weir__trailer trailer;
};

static const unsigned char *entry_at(const struct index *index, uint64_t i) {
  return index->bytes + (index->trailer.directory - index->begin) +
         i * WEIR__ENTRY_SIZE;
}

/* Entry number i, and the state that it points to. false: there is something
 * wrong with it. */
static bool read_entry(const struct weir_log_file *log,
                       const struct index *index, uint64_t i,
                       struct weir__entry_of_directory *entry,
                       struct weir__file_state *state) {
  const uint64_t end = index->trailer.directory;

  return weir__entry_read(&log->crc, entry_at(index, i), entry) &&
         weir__entry_is_sound(entry, index->begin, end) &&
         weir__state_read(index->bytes + (entry->state - index->begin),
                          entry->state_size, state);
}

/* All of it, before any of it is believed. */
static bool is_index_sound(const struct weir_log_file *log,
                           const struct index *index) {
  struct weir__entry_of_directory entry;
  struct weir__file_state state;
  uint64_t before = 0;
  uint64_t i;

  for (i = 0; i < index->trailer.entries; ++i) {
    if (!read_entry(log, index, i, &entry, &state) ||
        (i != 0 && entry.generation <= before)) {
      return false;
    }
    before = entry.generation;
  }
  return true;
}

/* Streams as they stood when a segment was closed. */
static int apply_index(struct weir_log_file *log, struct weir__segment *segment,
                       const struct index *index) {
  struct weir__entry_of_directory entry;
  struct weir__file_state state;
  struct weir__file_stream *stream;
  uint64_t i;
  int rv = WEIR_OK;

  for (i = 0; rv == WEIR_OK && i < index->trailer.entries; ++i) {
    (void)read_entry(log, index, i, &entry, &state);
    stream = weir__file_find(log, entry.generation);
    if (stream != NULL) {
      weir__runs_void(log, stream, entry.first - 1);
    }
    rv = weir__file_adopt(log, entry.generation, &state, &stream);
    if (rv == WEIR_OK) {
      stream->newest = segment->number;
      if (entry.previous <
          weir__owner(log->segments.next, struct weir__segment, link)->number) {
        /* What was before is gone with its segment. */
        stream->trimmed = weir__max(stream->trimmed,
                                    weir__min(entry.first - 1, stream->last));
      }
    }
  }
  return rv;
}

static bool is_trailer_sound(const struct weir__segment *segment,
                             const struct weir__trailer *trailer) {
  const uint64_t end = segment->size - WEIR__TRAILER_SIZE;

  return trailer->salt == segment->salt && trailer->data_end % 8 == 0 &&
         trailer->data_end >= WEIR__HEAD_SIZE &&
         trailer->directory >= trailer->data_end && trailer->directory <= end &&
         (end - trailer->directory) / WEIR__ENTRY_SIZE == trailer->entries &&
         (end - trailer->directory) % WEIR__ENTRY_SIZE == 0;
}

/* Load the index of a segment, all or nothing. *data_end: where its records
 * end, all of which were synced before it was written; 0: it has no index. */
static int load_index(struct weir_log_file *log, struct weir__segment *segment,
                      uint64_t *data_end) {
  struct index index;
  int rv;

  *data_end = 0;
  memset(&index, 0, sizeof index);
  if (!read_trailer(log, segment, &index.trailer) ||
      !is_trailer_sound(segment, &index.trailer)) {
    return WEIR_OK;
  }
  index.begin = index.trailer.data_end;
  index.size = (size_t)(segment->size - WEIR__TRAILER_SIZE - index.begin);
  index.bytes = weir__file_alloc(log, index.size + 1);
  if (index.bytes == NULL) {
    return WEIR_ENOMEM;
  }
  *data_end = index.begin;
  rv =
      weir__io_read(log->io, segment->fd, index.bytes, index.size, index.begin);
  if (rv == WEIR_OK &&
      weir__crc32c(&log->crc, 0, index.bytes, index.size) ==
          index.trailer.crc &&
      is_index_sound(log, &index)) {
    weir__segment_sealed(log, segment, segment->size, index.trailer.directory,
                         index.trailer.entries);
    segment->tail = index.begin;
    segment->newest = index.trailer.newest;
    rv = apply_index(log, segment, &index);
  }
  weir__file_free(log, index.bytes, index.size + 1);
  return rv == WEIR_ENOMEM ? rv : WEIR_OK;
}

static int load(struct weir_log_file *log, struct weir__segment *segment) {
  const unsigned long long number = segment->number;
  uint64_t end = 0;
  int rv;

  if (segment->unreadable) {
    weir__file_report(log,
                      "segment %016llx: its head is damaged; all that was in "
                      "it is lost",
                      number);
    weir__segment_damaged(log, segment, UINT64_MAX);
    segment->newest = (uint64_t)WEIR_NEVER;
    return WEIR_OK;
  }
  rv = weir__segment_open(log, segment);
  if (rv == WEIR_OK) {
    rv = load_index(log, segment, &end);
  }
  if (rv != WEIR_OK || segment->sealed) {
    return rv;
  }
  segment->full = true;
  if (end != 0) {
    weir__file_report(log,
                      "segment %016llx: its index is damaged; its records are "
                      "read instead",
                      number);
    rv = weir__scan_segment(log, segment, end, true);
  } else {
    /* Behind the records is a head again. */
    end = weir__max(segment->size, (uint64_t)2 * WEIR__HEAD_SIZE) -
          WEIR__HEAD_SIZE;
    rv = weir__scan_segment(log, segment, end, false);
  }
  weir__segment_close(log, segment);
  if (segment->distrusted) {
    /* There may be newer records where it cannot be read. */
    segment->newest = (uint64_t)WEIR_NEVER;
  }
  return rv;
}

/* --- And then ------------------------------------------------------------- */

/* Have everything of a segment on the disk. The process that wrote it may have
 * died before that, or because that failed; then the system may take for
 * written what it could not write, and only what is written again is safe. */
static int write_again(struct weir_log_file *log,
                       struct weir__segment *segment) {
  uint64_t at;
  size_t n;
  int rv = WEIR_OK;

  for (at = segment->synced; rv == WEIR_OK && at < segment->tail; at += n) {
    n = (size_t)weir__min(segment->tail - at, PIECE);
    if (!weir__file_reserve(log, &log->batch, &log->batch_cap, n)) {
      return WEIR_ENOMEM;
    }
    rv = weir__io_read(log->io, segment->fd, log->batch, n, at);
    if (rv == WEIR_OK) {
      rv = weir__io_write(log->io, segment->fd, log->batch, n, at);
    }
  }
  return rv == WEIR_OK ? weir__io_sync(log->io, segment->fd) : rv;
}

/* Give a segment that was read through its index. If that fails it goes
 * without, and is read through again next time. */
static void seal(struct weir_log_file *log, struct weir__segment *segment) {
  unsigned char *bytes = NULL;
  uint64_t directory;
  uint64_t entries;
  size_t size = 0;
  int rv = weir__segment_open(log, segment);

  if (rv == WEIR_OK) {
    rv = weir__index_make(log, segment, &bytes, &size, &directory, &entries);
  }
  if (rv == WEIR_OK) {
    rv = write_again(log, segment);
  }
  if (rv == WEIR_OK) {
    rv = weir__io_write(log->io, segment->fd, bytes, size, segment->tail);
  }
  if (rv == WEIR_OK) {
    rv = weir__io_truncate(log->io, segment->fd, segment->tail + size);
  }
  if (rv == WEIR_OK) {
    rv = weir__io_sync(log->io, segment->fd);
  }
  if (rv == WEIR_OK) {
    weir__segment_sealed(log, segment, segment->tail + size, directory,
                         entries);
  } else {
    log->info.failures += 1;
    /* It cannot be told what has been written of it. */
    segment->distrusted = true;
    weir__file_report(log, "segment %016llx: it got no index: %s",
                      (unsigned long long)segment->number, weir_strerror(rv));
  }
  weir__file_free(log, bytes, size);
}

/* What was read through gets its index, and what has nothing in it goes. */
static void finish(struct weir_log_file *log, struct weir__segment *segment) {
  char name[WEIR__FILE_NAME];

  if (!segment->full || segment->distrusted) {
    return;
  }
  if (segment->tail == WEIR__HEAD_SIZE &&
      !weir__segment_is_last_head(log, segment)) {
    weir__segment_name(segment->number, true, name);
    if (weir__io_remove(log->io, name) == WEIR_OK) {
      weir__segment_free(log, segment);
      return;
    }
  }
  seal(log, segment);
}

static int remove_unmade(void *arg, const char *name, bool regular) {
  struct weir_log_file *log = arg;
  bool made;

  (void)regular;
  if (weir__segment_number(name, &made) != 0 && !made) {
    (void)weir__io_remove(log->io, name);
  }
  return 0;
}

/* Whether something of a stream may be lost without a trace: there is a place
 * behind its newest record where nobody knows what stood. */
static bool is_suspect(const struct weir_log_file *log,
                       const struct weir__file_stream *stream) {
  return log->damaged_segment != 0 && stream->ended == 0 &&
         (stream->newest < log->damaged_segment ||
          (stream->newest == log->damaged_segment &&
           stream->run->seen < log->damaged_at));
}

/* An event is declared lost, since one may be: a gap that is none does less
 * harm than a loss in silence. */
static int suspect(struct weir_log_file *log,
                   struct weir__file_stream *stream) {
  struct weir__segment *segment = weir__segment_upto(log, log->damaged_segment);
  int rv = WEIR_OK;

  if (stream->last == (uint64_t)WEIR_SEQ_MAX) {
    return rv;
  }
  if (!segment->unreadable) {
    rv = weir__runs_note(log, segment, stream, stream->last + 1, 0);
  }
  if (rv == WEIR_OK) {
    stream->last += 1;
    stream->put = stream->last;
  }
  return rv;
}

/* What is known of every stream once all has been read. */
static void settle(void *user, struct weir__node *node) {
  struct weir_log_file *log = user;
  struct weir__file_stream *stream =
      weir__owner(node, struct weir__file_stream, node);
  uint32_t i;

  weir__file_confirm(log, stream);
  if (is_suspect(log, stream) && suspect(log, stream) != WEIR_OK) {
    log->fault = WEIR_ENOMEM;
  }
  for (i = 0; i < stream->epoch_count; ++i) {
    stream->epochs[i].last = weir__min(stream->epochs[i].last, stream->last);
  }
  stream->epochs[stream->epoch_count - 1].last = stream->last;
  stream->trimmed = weir__min(stream->trimmed, stream->last);
  if (stream->ended != 0 && stream->ended != stream->last) {
    weir__file_set_ended(log, stream, 0, 0, false);
  }
}

int weir__recover(struct weir_log_file *log) {
  const struct weir__io *io = log->io;
  struct weir__segment *segment;
  struct weir__segment *next;
  size_t i;
  int rv = io->list(io->user, found, log);

  if (rv != 0) {
    return rv < 0 ? weir__io_error(rv) : log->fault;
  }
  rv = look_at_all(log);
  for (segment = next_of(log, &log->segments); rv == WEIR_OK && segment != NULL;
       segment = next_of(log, &segment->link)) {
    rv = load(log, segment);
  }
  for (i = 0; rv == WEIR_OK && i < log->by_generation.buckets; ++i) {
    weir__map_visit(&log->by_generation, i, settle, log);
    rv = log->fault;
  }
  if (rv != WEIR_OK) {
    return rv;
  }
  /* Whatever could not be read: what comes now is later. */
  log->orders =
      weir__max(log->orders, weir__min(log->numbers + 1, UINT32_MAX) << 32);
  /* Only now is anything touched. */
  (void)io->list(io->user, remove_unmade, log);
  for (segment = next_of(log, &log->segments); segment != NULL;
       segment = next) {
    next = next_of(log, &segment->link);
    finish(log, segment);
  }
  return WEIR_OK;
}
