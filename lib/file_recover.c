/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_recover.h"

/* A segment is read through in pieces of this size, or of its largest record.
 */
#define PIECE (1024 * 1024)

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
  insert(log, segment);
  return 0;
}

/* The head of a segment that has lost it may stand in its trailer. */
static bool find_salt(struct weir_log_file *log,
                      struct weir__segment *segment) {
  unsigned char bytes[WEIR__TRAILER_SIZE];
  struct weir__trailer trailer;

  if (segment->size < WEIR__HEAD_SIZE + WEIR__TRAILER_SIZE ||
      weir__io_read(log->io, segment->fd, bytes, sizeof bytes,
                    segment->size - WEIR__TRAILER_SIZE) != WEIR_OK ||
      !weir__trailer_read(&log->crc, bytes, &trailer)) {
    return false;
  }
  segment->salt = trailer.salt;
  return true;
}

/* Look at a segment's head: WEIR_OK, also if it is damaged; WEIR_EFORMAT: it is
 * no segment that this library knows. */
static int look_at(struct weir_log_file *log, struct weir__segment *segment) {
  unsigned char bytes[WEIR__HEAD_SIZE];
  struct weir__head head;
  int64_t size;
  int rv = weir__segment_open(log, segment);

  if (rv != WEIR_OK) {
    return rv;
  }
  size = log->io->size(log->io->user, segment->fd);
  if (size < 0) {
    return weir__io_error(size);
  }
  segment->size = (uint64_t)size;
  if (segment->size > WEIR__SEGMENT_MOST) {
    return WEIR_EFORMAT;
  }
  rv = WEIR_EIO;
  if (segment->size >= WEIR__HEAD_SIZE &&
      weir__io_read(log->io, segment->fd, bytes, sizeof bytes, 0) == WEIR_OK) {
    rv = weir__head_read(&log->crc, bytes, &head);
  }
  if (rv == WEIR_EFORMAT) {
    weir__file_report(log,
                      "segment %016llx: format version %u; this library "
                      "knows %u",
                      (unsigned long long)segment->number, head.version,
                      WEIR__FILE_VERSION);
    return WEIR_EFORMAT;
  }
  if (rv == WEIR_OK && head.number == segment->number) {
    segment->salt = head.salt;
    return WEIR_OK;
  }
  segment->unreadable = !find_salt(log, segment);
  return WEIR_OK;
}

static struct weir__segment *next_of(const struct weir_log_file *log,
                                     struct weir__link *link) {
  return link->next == &log->segments
             ? NULL
             : weir__owner(link->next, struct weir__segment, link);
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

/* --- What records say
 * --------------------------------------------------------*/

/* A segment that is being read through. */
struct scan {
  struct weir_log_file *log;
  struct weir__segment *segment;
  unsigned char *piece; /* of the segment, */
  size_t cap;
  uint64_t begin; /* from here */
  size_t len;
  uint64_t end;     /* of what is to be read */
  uint64_t synced;  /* what was on the disk, as later records say */
  uint64_t orphans; /* records of streams of which nothing is known */
};

/* Have len bytes at a place in the piece. NULL: they are not there. */
static const unsigned char *bytes_at(struct scan *scan, uint64_t at,
                                     uint64_t len) {
  struct weir_log_file *log = scan->log;
  size_t want;

  if (at > scan->end || len > scan->end - at) {
    return NULL;
  }
  if (at >= scan->begin && at + len <= scan->begin + scan->len) {
    return scan->piece + (at - scan->begin);
  }
  if (!weir__file_reserve(log, &scan->piece, &scan->cap,
                          len > PIECE ? (size_t)len : PIECE)) {
    return NULL;
  }
  want = scan->end - at < scan->cap ? (size_t)(scan->end - at) : scan->cap;
  scan->len = 0;
  if (weir__io_read(log->io, scan->segment->fd, scan->piece, want, at) !=
      WEIR_OK) {
    return NULL;
  }
  scan->begin = at;
  scan->len = want;
  return scan->piece;
}

/* The head of the record at a place. NULL: there is none. */
static const unsigned char *head_at(struct scan *scan, uint64_t at,
                                    struct weir__file_record *record) {
  const unsigned char *bytes = bytes_at(scan, at, WEIR__RECORD_SIZE);

  return bytes != NULL &&
                 weir__record_read(&scan->log->crc, scan->segment->salt, at,
                                   bytes, record)
             ? bytes
             : NULL;
}

/* The record at a place, whole. NULL: there is none. */
static const unsigned char *record_at(struct scan *scan, uint64_t at,
                                      struct weir__file_record *record) {
  const unsigned char *bytes = head_at(scan, at, record);

  if (bytes == NULL) {
    return NULL;
  }
  bytes = bytes_at(scan, at, weir__record_length(record->size));
  return bytes != NULL && weir__record_is_whole(&scan->log->crc, bytes, record)
             ? bytes
             : NULL;
}

/* The epoch that gave a number is known, or its beginning was lost. */
static int know_epoch(struct weir_log_file *log,
                      struct weir__file_stream *stream,
                      const struct weir__file_record *record) {
  uint32_t i = stream->epoch_count;

  while (i > 0 && stream->epochs[i - 1].epoch != record->epoch) {
    --i;
  }
  if (i == 0) {
    return weir__file_add_epoch(log, stream, record->epoch, record->seq - 1);
  }
  return WEIR_OK;
}

/* What a stream had beyond `base` never was. */
static void void_beyond(struct weir_log_file *log,
                        struct weir__file_stream *stream, uint64_t base) {
  struct weir__link *link;

  for (link = log->segments.next; link != &log->segments; link = link->next) {
    weir__segment_forget(log, weir__owner(link, struct weir__segment, link),
                         stream, base);
  }
  stream->last = weir__min(stream->last, base);
  stream->put = stream->last;
  if (stream->ended > base) {
    weir__file_set_ended(log, stream, 0, 0);
  }
}

static int apply_event(struct scan *scan, struct weir__file_stream *stream,
                       const struct weir__file_record *record, uint64_t at) {
  struct weir_log_file *log = scan->log;
  int rv;

  if (record->seq <= stream->last || record->seq > (uint64_t)WEIR_SEQ_MAX) {
    return WEIR_OK; /* it has been there already */
  }
  rv = know_epoch(log, stream, record);
  if (rv == WEIR_OK) {
    rv = weir__segment_note(log, scan->segment, stream, record->seq, at);
  }
  if (rv != WEIR_OK) {
    return rv;
  }
  stream->last = record->seq;
  stream->put = record->seq;
  stream->epochs[stream->epoch_count - 1].last = record->seq;
  if ((record->flags & WEIR_RECORD_END) != 0) {
    weir__file_set_ended(log, stream, record->seq, record->time);
  }
  return WEIR_OK;
}

/* What a stream was before its first record in this segment: all that is known
 * if what came before is gone, and the truth if it is damaged. */
static int apply_state(struct scan *scan,
                       const struct weir__file_record *record,
                       const unsigned char *payload) {
  struct weir_log_file *log = scan->log;
  struct weir__file_stream *stream = weir__file_find(log, record->generation);
  const bool is_new = stream == NULL;
  struct weir__file_state state;
  struct weir__run *run;
  int rv;

  if (!weir__state_read(payload, record->size, &state) || state.key_len == 0 ||
      state.last > (uint64_t)WEIR_SEQ_MAX) {
    scan->orphans += 1;
    return WEIR_OK;
  }
  if (!is_new) {
    void_beyond(log, stream, state.last);
  }
  rv = weir__file_adopt(log, record->generation, &state, &stream);
  if (rv == WEIR_OK && is_new) {
    stream->trimmed = state.last;
  }
  if (rv == WEIR_OK) {
    rv = weir__segment_enter(log, scan->segment, stream, &run);
  }
  return rv;
}

/* Take over what a record says. */
static int apply(struct scan *scan, const struct weir__file_record *record,
                 uint64_t at, const unsigned char *bytes) {
  struct weir_log_file *log = scan->log;
  struct weir__file_stream *stream = weir__file_find(log, record->generation);
  struct weir__run *run;

  scan->segment->newest = weir__max(scan->segment->newest, record->time);
  if (record->kind == WEIR__RECORD_STATE) {
    return apply_state(scan, record, bytes + WEIR__RECORD_SIZE);
  }
  if (stream == NULL) {
    scan->orphans += 1;
    return WEIR_OK;
  }
  switch (record->kind) {
    case WEIR__RECORD_EVENT:
      return apply_event(scan, stream, record, at);
    case WEIR__RECORD_TAKE:
      void_beyond(log, stream, record->seq);
      if (weir__segment_enter(log, scan->segment, stream, &run) != WEIR_OK) {
        return WEIR_ENOMEM;
      }
      return stream->epochs[stream->epoch_count - 1].epoch == record->epoch
                 ? WEIR_OK
                 : weir__file_add_epoch(log, stream, record->epoch,
                                        stream->last);
    default:
      stream->trimmed =
          weir__max(stream->trimmed, weir__min(record->seq, stream->last));
      return WEIR_OK;
  }
}

/* Apply the records of a batch, from `at` to before `end`, which are whole. */
static int apply_batch(struct scan *scan, uint64_t at, uint64_t end) {
  struct weir__file_record record;
  const unsigned char *bytes;
  int rv = WEIR_OK;

  while (rv == WEIR_OK && at < end) {
    if (head_at(scan, at, &record) == NULL) {
      return WEIR_EIO;
    }
    bytes = bytes_at(scan, at, weir__record_length(record.size));
    if (bytes == NULL) {
      return WEIR_EIO;
    }
    rv = apply(scan, &record, at, bytes);
    at += weir__record_length(record.size);
  }
  return rv;
}

/* Where the batch at a place ends; 0: it is not whole. */
static uint64_t batch_end(struct scan *scan, uint64_t at) {
  struct weir__file_record record;
  bool first = true;
  uint32_t left = 0;

  do {
    if (record_at(scan, at, &record) == NULL ||
        (!first && record.left + 1 != left)) {
      return 0;
    }
    first = false;
    left = record.left;
    scan->synced = weir__max(scan->synced, record.synced);
    at += weir__record_length(record.size);
  } while (left != 0);
  return at;
}

/* The next place from `at` on, in steps of 8, where there is not zero for a
 * whole record's head; the end if there is none. */
static uint64_t skip_zeros(struct scan *scan, uint64_t at) {
  static const unsigned char zeros[4096];
  const unsigned char *bytes;
  uint64_t n;

  for (; at < scan->end; at += n) {
    n = weir__min(scan->end - at, sizeof zeros);
    bytes = bytes_at(scan, at, n);
    if (bytes == NULL || memcmp(bytes, zeros, (size_t)n) != 0) {
      break;
    }
  }
  return at;
}

/* The next place from `at` on where there is a good record; the end if there is
 * none. */
static uint64_t next_record(struct scan *scan, uint64_t at) {
  struct weir__file_record record;

  while (at < scan->end && record_at(scan, at, &record) == NULL) {
    at += 8;
    if (at % 4096 == 0) {
      at = skip_zeros(scan, at);
    }
  }
  return weir__min(at, scan->end);
}

/* How much of the segment was synced once, as records behind a damage say: up
 * to there it is damage, and beyond it is a torn tail. */
static void find_synced(struct scan *scan, uint64_t at) {
  struct weir__file_record record;

  for (at = next_record(scan, at); at < scan->end;
       at = next_record(scan, at + weir__record_length(record.size))) {
    if (record_at(scan, at, &record) == NULL) {
      return;
    }
    scan->synced = weir__max(scan->synced, record.synced);
  }
}

/* Apply what is left of a batch that is damaged, record by record, up to where
 * good ones go on. */
static int apply_damaged(struct scan *scan, uint64_t *at) {
  struct weir__file_record record;
  const unsigned char *bytes = record_at(scan, *at, &record);
  int rv = WEIR_OK;

  if (bytes != NULL) {
    rv = apply(scan, &record, *at, bytes);
    *at += weir__record_length(record.size);
  } else {
    *at = next_record(scan, *at + 8);
  }
  return rv;
}

/* Read a segment through. Its tail is where its good records end. */
static int scan_segment(struct scan *scan) {
  struct weir__segment *segment = scan->segment;
  uint64_t at = WEIR__HEAD_SIZE;
  uint64_t damaged = 0;
  uint64_t end;
  bool looked = false;
  int rv = WEIR_OK;

  while (rv == WEIR_OK && at < scan->end) {
    end = batch_end(scan, at);
    if (end != 0) {
      rv = apply_batch(scan, at, end);
      at = end;
      continue;
    }
    if (!looked) {
      find_synced(scan, at);
      looked = true;
    }
    if (at >= scan->synced) {
      break;
    }
    damaged += 1;
    rv = apply_damaged(scan, &at);
  }
  segment->tail = weir__min(at, scan->end);
  segment->written = segment->tail;
  segment->synced = segment->tail;
  if (damaged != 0) {
    weir__file_report(scan->log,
                      "segment %016llx: damaged in %llu places before %llu; "
                      "what was there is lost",
                      (unsigned long long)segment->number,
                      (unsigned long long)damaged,
                      (unsigned long long)scan->synced);
  }
  return rv;
}

/* How much but zeros stands behind the tail. */
static uint64_t torn_bytes(struct scan *scan) {
  const uint64_t tail = scan->segment->tail;
  const unsigned char *bytes;
  uint64_t last = tail;
  uint64_t at;
  uint64_t n;
  uint64_t i;

  for (at = skip_zeros(scan, tail); at < scan->end;
       at = skip_zeros(scan, at + n)) {
    n = weir__min(scan->end - at, 4096);
    bytes = bytes_at(scan, at, n);
    for (i = 0; bytes != NULL && i < n; ++i) {
      last = bytes[i] != 0 ? at + i + 1 : last;
    }
  }
  return last - tail;
}

static int scan_whole(struct weir_log_file *log, struct weir__segment *segment,
                      uint64_t end, bool was_synced) {
  struct scan scan;
  uint64_t torn = 0;
  int rv;

  memset(&scan, 0, sizeof scan);
  scan.log = log;
  scan.segment = segment;
  scan.end = end;
  scan.synced = was_synced ? end : 0;
  rv = scan_segment(&scan);
  if (rv == WEIR_OK && !was_synced) {
    torn = torn_bytes(&scan);
  }
  if (torn != 0) {
    log->info.cut += torn;
    weir__file_report(log,
                      "segment %016llx: cut off %llu bytes of a torn tail at "
                      "%llu",
                      (unsigned long long)segment->number,
                      (unsigned long long)torn,
                      (unsigned long long)segment->tail);
  }
  if (scan.orphans != 0) {
    weir__file_report(log,
                      "segment %016llx: %llu records of streams whose "
                      "beginning is lost",
                      (unsigned long long)segment->number,
                      (unsigned long long)scan.orphans);
  }
  weir__file_free(log, scan.piece, scan.cap);
  return rv;
}

/* --- What an index says
 * ------------------------------------------------------*/

/* A stream as it stood when a segment was closed. */
static int apply_entry(struct weir_log_file *log, struct weir__segment *segment,
                       const struct weir__entry_of_directory *entry,
                       const struct weir__file_state *state) {
  struct weir__file_stream *stream;
  int rv = weir__file_adopt(log, entry->generation, state, &stream);

  if (rv == WEIR_OK) {
    stream->newest = segment->number;
    if (entry->previous == 0 ||
        weir__segment_find(log, entry->previous) == NULL) {
      /* What was before is gone with its segment. */
      stream->trimmed =
          weir__max(stream->trimmed, weir__min(entry->first - 1, stream->last));
    }
  }
  return rv;
}

/* Read an entry's state, and take it over. false in *good: it is damaged. */
static int load_entry(struct weir_log_file *log, struct weir__segment *segment,
                      const unsigned char *bytes, bool *good) {
  struct weir__entry_of_directory entry;
  struct weir__file_state state;
  uint64_t size;
  int rv;

  weir__entry_read(bytes, &entry);
  size = entry.state - entry.positions + entry.state_size;
  *good = false;
  if (entry.first == 0 || entry.positions > segment->directory ||
      entry.state < entry.positions || size > segment->directory ||
      entry.positions + size > segment->directory) {
    return WEIR_OK;
  }
  if (!weir__file_reserve(log, &log->buffer, &log->buffer_cap, (size_t)size)) {
    return WEIR_ENOMEM;
  }
  rv = weir__io_read(log->io, segment->fd, log->buffer, (size_t)size,
                     entry.positions);
  if (rv != WEIR_OK) {
    return rv == WEIR_ENOMEM ? rv : WEIR_OK;
  }
  *good = weir__crc32c(&log->crc, 0, log->buffer, (size_t)size) == entry.crc &&
          weir__state_read(log->buffer + (entry.state - entry.positions),
                           entry.state_size, &state) &&
          state.key_len != 0 && state.last <= (uint64_t)WEIR_SEQ_MAX;
  return *good ? apply_entry(log, segment, &entry, &state) : WEIR_OK;
}

static int load_entries(struct weir_log_file *log,
                        struct weir__segment *segment,
                        const unsigned char *directory, bool *good) {
  uint64_t i;
  int rv = WEIR_OK;

  *good = true;
  for (i = 0; rv == WEIR_OK && *good && i < segment->entries; ++i) {
    rv = load_entry(log, segment, directory + i * WEIR__ENTRY_SIZE, good);
  }
  return rv;
}

/* Load the index of a segment. *good: it has one, and nothing is wrong with it.
 * A segment whose index is damaged is read through instead, and everything up
 * to where its records end was synced before the index was written. */
static int load_index(struct weir_log_file *log, struct weir__segment *segment,
                      bool *good, uint64_t *data_end) {
  unsigned char bytes[WEIR__TRAILER_SIZE];
  unsigned char *directory = NULL;
  struct weir__trailer trailer;
  size_t cap = 0;
  size_t size;
  int rv;

  *good = false;
  *data_end = 0;
  if (segment->size < WEIR__HEAD_SIZE + WEIR__TRAILER_SIZE ||
      weir__io_read(log->io, segment->fd, bytes, sizeof bytes,
                    segment->size - WEIR__TRAILER_SIZE) != WEIR_OK ||
      !weir__trailer_read(&log->crc, bytes, &trailer) ||
      trailer.salt != segment->salt || trailer.data_end > segment->size) {
    return WEIR_OK;
  }
  *data_end = trailer.data_end;
  if (trailer.entries > segment->size / WEIR__ENTRY_SIZE ||
      trailer.directory + trailer.entries * WEIR__ENTRY_SIZE +
              WEIR__TRAILER_SIZE !=
          segment->size) {
    return WEIR_OK;
  }
  size = (size_t)(trailer.entries * WEIR__ENTRY_SIZE);
  if (!weir__file_reserve(log, &directory, &cap, size)) {
    return WEIR_ENOMEM;
  }
  rv = weir__io_read(log->io, segment->fd, directory, size, trailer.directory);
  if (rv == WEIR_OK &&
      weir__crc32c(&log->crc, 0, directory, size) == trailer.crc) {
    segment->directory = trailer.directory;
    segment->entries = trailer.entries;
    segment->tail = trailer.data_end;
    segment->newest = trailer.newest;
    rv = load_entries(log, segment, directory, good);
    segment->sealed = *good;
  }
  weir__file_free(log, directory, cap);
  return rv == WEIR_ENOMEM ? rv : WEIR_OK;
}

static int load(struct weir_log_file *log, struct weir__segment *segment) {
  uint64_t data_end = 0;
  bool good = false;
  int rv;

  if (segment->unreadable) {
    weir__file_report(log,
                      "segment %016llx: its head is damaged; all that was in "
                      "it is lost",
                      (unsigned long long)segment->number);
    return WEIR_OK;
  }
  rv = load_index(log, segment, &good, &data_end);
  if (rv != WEIR_OK || good) {
    return rv;
  }
  segment->full = true;
  if (data_end == 0) {
    return scan_whole(log, segment, segment->size, false);
  }
  weir__file_report(log,
                    "segment %016llx: its index is damaged; its records are "
                    "read instead",
                    (unsigned long long)segment->number);
  return scan_whole(log, segment, data_end, true);
}

/* --- And then
 * ----------------------------------------------------------------*/

/* Give a segment that was read through its index. If that fails it goes
 * without, and is read through again next time. */
static void seal(struct weir_log_file *log, struct weir__segment *segment) {
  const struct weir__io *io = log->io;
  unsigned char *bytes = NULL;
  uint64_t directory;
  uint64_t entries;
  size_t size = 0;
  int rv =
      weir__segment_index(log, segment, &bytes, &size, &directory, &entries);

  if (rv == WEIR_OK) {
    rv = weir__io_write(io, segment->fd, bytes, size, segment->tail);
  }
  if (rv == WEIR_OK &&
      (io->truncate(io->user, segment->fd, segment->tail + size) < 0 ||
       io->sync(io->user, segment->fd) < 0)) {
    rv = WEIR_EIO;
  }
  if (rv == WEIR_OK) {
    weir__segment_sealed(log, segment, segment->tail + size, directory,
                         entries);
  } else {
    log->info.failures += 1;
    weir__file_report(log, "segment %016llx: it got no index: %s",
                      (unsigned long long)segment->number, weir_strerror(rv));
  }
  weir__file_free(log, bytes, size);
}

static int remove_unmade(void *arg, const char *name, bool regular) {
  struct weir_log_file *log = arg;
  bool made;

  if (regular && weir__segment_number(name, &made) != 0 && !made) {
    (void)log->io->remove(log->io->user, name);
  }
  return 0;
}

/* What is known of every stream once all has been read. */
static void settle(void *user, struct weir__node *node) {
  struct weir_log_file *log = user;
  struct weir__file_stream *stream =
      weir__owner(node, struct weir__file_stream, node);
  uint32_t i;

  weir__file_confirm(log, stream);
  for (i = 0; i < stream->epoch_count; ++i) {
    stream->epochs[i].last = weir__min(stream->epochs[i].last, stream->last);
  }
  stream->epochs[stream->epoch_count - 1].last = stream->last;
  stream->trimmed = weir__min(stream->trimmed, stream->last);
  if (stream->ended != 0 && stream->ended != stream->last) {
    weir__file_set_ended(log, stream, 0, 0);
  }
}

int weir__recover(struct weir_log_file *log) {
  const struct weir__io *io = log->io;
  struct weir__segment *segment;
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
  if (rv != WEIR_OK) {
    return rv;
  }
  for (i = 0; i < log->by_generation.buckets; ++i) {
    weir__map_visit(&log->by_generation, i, settle, log);
  }
  (void)io->list(io->user, remove_unmade, log);
  for (segment = next_of(log, &log->segments); segment != NULL;
       segment = next_of(log, &segment->link)) {
    if (segment->full) {
      seal(log, segment);
    }
  }
  return WEIR_OK;
}
