/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The streams of a log, and what each record does to them. */

#include "log.h"

#include <stdlib.h>
#include <string.h>

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

/* --- Finding them ----------------------------------------------------------*/

/* Generations are random. */
static size_t *slot_of(const struct log *log, uint64_t generation) {
  size_t i = (size_t)generation & (log->table_size - 1);

  while (log->table[i] != 0 &&
         log->streams[log->table[i] - 1]->generation != generation) {
    i = (i + 1) & (log->table_size - 1);
  }
  return &log->table[i];
}

struct stream *stream_find(const struct log *log, uint64_t generation) {
  const size_t *slot = log->table_size == 0 ? NULL : slot_of(log, generation);

  return slot == NULL || *slot == 0 ? NULL : log->streams[*slot - 1];
}

static void grow_table(struct log *log) {
  size_t i;

  log->table_size = log->table_size == 0 ? 64 : log->table_size * 2;
  free(log->table);
  log->table = allocate(NULL, log->table_size, sizeof *log->table);
  memset(log->table, 0, log->table_size * sizeof *log->table);
  for (i = 0; i < log->stream_count; ++i) {
    *slot_of(log, log->streams[i]->generation) = i + 1;
  }
}

static struct stream *make_stream(struct log *log, uint64_t generation) {
  struct stream *stream = allocate(NULL, 1, sizeof *stream);

  if (log->stream_count == log->stream_cap) {
    log->stream_cap = log->stream_cap * 2 + 16;
    log->streams =
        allocate(log->streams, log->stream_cap, sizeof log->streams[0]);
  }
  memset(stream, 0, sizeof *stream);
  stream->generation = generation;
  log->streams[log->stream_count++] = stream;
  if (log->stream_count * 2 > log->table_size) {
    grow_table(log);
  } else {
    *slot_of(log, generation) = log->stream_count;
  }
  return stream;
}

/* --- What is said of them --------------------------------------------------*/

/* There are no events from this number on. */
static void forget_from(struct stream *stream, uint64_t number) {
  while (stream->count != 0 &&
         stream->places[stream->count - 1].number >= number) {
    stream->count -= 1;
  }
}

static void void_beyond(struct stream *stream, uint64_t number) {
  forget_from(stream, number + 1);
  stream->last = least(stream->last, number);
  if (stream->ended > number) {
    stream->ended = 0;
    stream->ended_at = 0;
  }
}

static void add_place(struct stream *stream, uint64_t number, size_t segment,
                      uint64_t offset) {
  const struct place place = {number, offset, segment};

  if (stream->count == stream->cap) {
    stream->cap = stream->cap * 2 + 4;
    stream->places =
        allocate(stream->places, stream->cap, sizeof stream->places[0]);
  }
  stream->places[stream->count++] = place;
}

/* More than can be kept: the oldest that gave no number goes, but not the
 * first; else the second, with its events. */
static void forget_epoch(struct stream *stream) {
  struct epoch *epochs = stream->epochs;
  size_t i = 1;

  while (i + 1 < stream->epoch_count && epochs[i].last != epochs[i - 1].last) {
    i += 1;
  }
  if (i + 1 == stream->epoch_count) {
    i = 1;
    stream->trimmed = most(stream->trimmed, epochs[1].last);
  }
  stream->epoch_count -= 1;
  memmove(epochs + i, epochs + i + 1,
          (stream->epoch_count - i) * sizeof epochs[0]);
}

static void reserve_epochs(struct stream *stream, size_t count) {
  stream->epochs = allocate(stream->epochs, count, sizeof stream->epochs[0]);
}

/* An epoch becomes the newest; it begins behind this number. */
static void add_epoch(struct stream *stream, uint64_t name, uint64_t number) {
  size_t i;

  if (stream->epoch_count == EPOCHS_MOST) {
    forget_epoch(stream);
  }
  for (i = 0; i < stream->epoch_count; ++i) {
    stream->epochs[i].last = least(stream->epochs[i].last, number);
  }
  reserve_epochs(stream, stream->epoch_count + 1);
  stream->epochs[stream->epoch_count].name = name;
  stream->epochs[stream->epoch_count].last = number;
  stream->epoch_count += 1;
}

static struct epoch *newest_epoch(struct stream *stream) {
  return &stream->epochs[stream->epoch_count - 1];
}

/* Events up to this number there were, be they lost. */
static void reach(struct stream *stream, uint64_t number) {
  if (stream->last < number) {
    stream->last = number;
    newest_epoch(stream)->last = number;
  }
}

/* The state replaces what was known, but trimmed never falls. */
static struct stream *adopt(struct log *log, uint64_t generation,
                            const struct state *state) {
  struct stream *stream = stream_find(log, generation);

  if (stream == NULL) {
    stream = make_stream(log, generation);
  }
  stream->key_len = state->key_len;
  memcpy(stream->key, state->key, state->key_len);
  stream->order = state->order;
  stream->trimmed = most(stream->trimmed, state->trimmed);
  stream->last = state->last;
  stream->ended = state->ended;
  stream->ended_at = state->ended_at;
  stream->epoch_count = state->epoch_count;
  reserve_epochs(stream, state->epoch_count);
  memcpy(stream->epochs, state->epochs,
         state->epoch_count * sizeof stream->epochs[0]);
  return stream;
}

static struct stream *apply_state(struct log *log, uint64_t generation,
                                  const struct state *state) {
  struct stream *stream = stream_find(log, generation);

  if (stream != NULL) {
    void_beyond(stream, state->last);
    return adopt(log, generation, state);
  }
  stream = adopt(log, generation, state);
  stream->trimmed = state->last;
  return stream;
}

static void apply_event(struct stream *stream, size_t segment, uint64_t offset,
                        const struct record *record, bool is_good) {
  size_t i = 0;

  if (record->epoch == 0 || record->number == 0 ||
      record->number > NUMBER_MOST) {
    return;
  }
  while (i < stream->epoch_count && stream->epochs[i].name != record->epoch) {
    ++i;
  }
  if (i == stream->epoch_count) {
    void_beyond(stream, record->number - 1);
    add_epoch(stream, record->epoch, record->number - 1);
  } else if (i + 1 != stream->epoch_count) {
    return;
  }
  if (record->number <= stream->last) {
    return;
  }
  reach(stream, record->number);
  if (is_good) {
    add_place(stream, record->number, segment, offset);
  }
  if ((record->flags & FLAG_END) != 0) {
    stream->ended = record->number;
    stream->ended_at = record->time;
  }
}

static void apply_take(struct stream *stream, const struct record *record) {
  if (record->epoch == 0 || record->number > NUMBER_MOST) {
    return;
  }
  void_beyond(stream, record->number);
  reach(stream, record->number);
  if (newest_epoch(stream)->name != record->epoch) {
    add_epoch(stream, record->epoch, record->number);
  }
}

static void apply_trim(struct stream *stream, const struct record *record) {
  if (record->number <= NUMBER_MOST) {
    reach(stream, record->number);
    stream->trimmed = most(stream->trimmed, record->number);
  }
}

bool stream_apply(struct log *log, size_t segment, uint64_t offset,
                  const struct record *record, const unsigned char *payload) {
  struct stream *stream = stream_find(log, record->generation);
  struct state state;

  if (record->kind == STATE && payload != NULL &&
      read_state(payload, record->size, &state)) {
    stream = apply_state(log, record->generation, &state);
  }
  if (stream == NULL) {
    return false;
  }
  stream->newest = log->segments[segment].number;
  stream->newest_offset = offset;
  if (record->kind == EVENT) {
    apply_event(stream, segment, offset, record, payload != NULL);
  } else if (record->kind == TAKE) {
    apply_take(stream, record);
  } else if (record->kind == TRIM) {
    apply_trim(stream, record);
  }
  return true;
}

void stream_apply_entry(struct log *log, size_t segment,
                        const struct entry *entry, const struct state *state,
                        const unsigned char *positions) {
  struct stream *stream = adopt(log, entry->generation, state);
  uint64_t number;
  uint64_t offset;

  forget_from(stream, entry->first);
  for (number = entry->first; number <= entry->last; ++number) {
    offset = (uint64_t)le32(positions + (number - entry->first) * 4) * 8;
    if (offset != 0) {
      add_place(stream, number, segment, offset);
    }
  }
  if (entry->previous == 0 ||
      log->segments[log->first].number > entry->previous) {
    stream->trimmed =
        most(stream->trimmed, least(entry->first - 1, stream->last));
  }
  stream->newest = log->segments[segment].number;
  stream->newest_offset = 0;
}

void stream_forget_all(struct log *log) {
  size_t i;

  for (i = 0; i < log->stream_count; ++i) {
    free(log->streams[i]->epochs);
    free(log->streams[i]->places);
    free(log->streams[i]);
  }
  log->stream_count = 0;
  free(log->table);
  log->table = NULL;
  log->table_size = 0;
}

/* --- When all has been read ------------------------------------------------*/

static bool is_suspect(const struct log *log, const struct stream *stream) {
  return stream->ended == 0 && stream->last < NUMBER_MOST &&
         (stream->newest < log->damaged ||
          (stream->newest == log->damaged &&
           stream->newest_offset < log->damaged_offset));
}

static int by_key_and_order(const void *a, const void *b) {
  const struct stream *left = *(struct stream *const *)a;
  const struct stream *right = *(struct stream *const *)b;
  int rv = memcmp(left->key, right->key, least(left->key_len, right->key_len));

  if (rv == 0) {
    rv = (left->key_len > right->key_len) - (left->key_len < right->key_len);
  }
  return rv != 0 ? rv
                 : (left->order < right->order) - (left->order > right->order);
}

void stream_settle(struct log *log) {
  struct stream *stream;
  struct stream *before = NULL;
  size_t i;

  if (log->stream_count != 0) {
    qsort(log->streams, log->stream_count, sizeof log->streams[0],
          by_key_and_order);
  }
  for (i = 0; i < log->stream_count; ++i) {
    stream = log->streams[i];
    if (is_suspect(log, stream)) {
      stream->is_suspected = true;
      stream->last += 1;
    }
    stream->trimmed = least(stream->trimmed, stream->last);
    if (stream->ended != stream->last) {
      stream->ended = 0;
      stream->ended_at = 0;
    }
    stream->is_hidden = before != NULL && before->key_len == stream->key_len &&
                        memcmp(before->key, stream->key, stream->key_len) == 0;
    before = stream;
  }
}

struct stream *log_find(const struct log *log, const char *key) {
  const size_t len = strlen(key);
  size_t i;

  for (i = 0; i < log->stream_count; ++i) {
    if (log->streams[i]->key_len == len && !log->streams[i]->is_hidden &&
        memcmp(log->streams[i]->key, key, len) == 0) {
      return log->streams[i];
    }
  }
  return NULL;
}
