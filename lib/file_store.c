/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_store.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "platform.h"

void *weir__file_alloc(struct weir_log_file *log, size_t size) {
  return weir__alloc(&log->allocator, size);
}

void weir__file_free(struct weir_log_file *log, void *memory, size_t size) {
  weir__free(&log->allocator, memory, size);
}

bool weir__file_reserve(struct weir_log_file *log, unsigned char **buffer,
                        size_t *cap, size_t size) {
  size_t grown = *cap == 0 ? 4096 : *cap;
  unsigned char *bytes;

  if (size <= *cap) {
    return true;
  }
  while (grown < size) {
    if (grown > SIZE_MAX / 2) {
      return false;
    }
    grown *= 2;
  }
  bytes = weir__file_alloc(log, grown);
  if (bytes == NULL) {
    return false;
  }
  weir__copy(bytes, *buffer, *cap);
  weir__file_free(log, *buffer, *cap);
  *buffer = bytes;
  *cap = grown;
  return true;
}

uint64_t weir__file_clock(const struct weir_log_file *log) {
  return log->options.clock != NULL
             ? log->options.clock(log->options.clock_user)
             : weir__platform_clock(NULL);
}

static uint64_t system_wall(void) {
  struct timespec now = {0, 0};

  (void)timespec_get(&now, TIME_UTC);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t weir__file_wall(const struct weir_log_file *log) {
  return log->options.wall != NULL ? log->options.wall(log->options.wall_user)
                                   : system_wall();
}

int weir__file_random(const struct weir_log_file *log, void *dst, size_t len) {
  return log->options.entropy(log->options.entropy_user, dst, len) == 1
             ? WEIR_OK
             : WEIR_EENTROPY;
}

void weir__file_report(const struct weir_log_file *log, const char *format,
                       ...) {
  char text[512];
  va_list list;

  if (log->options.report != NULL) {
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    log->options.report(log->options.report_user, text);
  }
}

void weir__file_report_failure(const struct weir_log_file *log,
                               struct weir__segment *segment, const char *what,
                               int error) {
  if (segment->told == NULL || strcmp(segment->told, what) != 0) {
    segment->told = what;
    weir__file_report(log, "segment %016llx: %s: %s",
                      (unsigned long long)segment->number, what,
                      weir_strerror(error));
  }
}

struct weir__file_stream *weir__file_find(const struct weir_log_file *log,
                                          uint64_t generation) {
  struct weir__node *node =
      weir__map_find(&log->by_generation, &generation, sizeof generation);

  return node == NULL ? NULL
                      : weir__owner(node, struct weir__file_stream, node);
}

struct weir__file_stream *weir__file_find_key(const struct weir_log_file *log,
                                              const void *key, size_t key_len) {
  struct weir__node *node = weir__map_find(&log->by_key, key, key_len);

  return node == NULL ? NULL
                      : weir__owner(node, struct weir__file_stream, name);
}

static bool reserve_epochs(struct weir_log_file *log,
                           struct weir__file_stream *stream, uint32_t count) {
  weir_epoch *epochs;
  uint32_t cap = stream->epoch_cap == 0 ? 2 : stream->epoch_cap;

  if (count <= stream->epoch_cap) {
    return true;
  }
  while (cap < count) {
    cap *= 2;
  }
  epochs = weir__file_alloc(log, cap * sizeof *epochs);
  if (epochs == NULL) {
    return false;
  }
  weir__copy(epochs, stream->epochs, stream->epoch_count * sizeof *epochs);
  weir__file_free(log, stream->epochs, stream->epoch_cap * sizeof *epochs);
  stream->epochs = epochs;
  stream->epoch_cap = cap;
  return true;
}

static void free_stream(struct weir_log_file *log,
                        struct weir__file_stream *stream) {
  weir__file_free(log, stream->epochs,
                  stream->epoch_cap * sizeof stream->epochs[0]);
  weir__file_free(log, stream,
                  sizeof *stream + stream->key_len + stream->meta_len);
}

/* The newest generation of a key has its name. */
static int name_stream(struct weir_log_file *log,
                       struct weir__file_stream *stream) {
  struct weir__file_stream *other =
      weir__file_find_key(log, stream->text, stream->key_len);

  if (other == NULL) {
    if (weir__map_insert(&log->by_key, &stream->name) != WEIR_OK) {
      return WEIR_ENOMEM;
    }
    stream->is_named = true;
  } else if (other->order < stream->order) {
    weir__map_replace(&log->by_key, &other->name, &stream->name);
    other->is_named = false;
    stream->is_named = true;
    stream->hides = other;
    weir__file_hold(other);
  }
  return WEIR_OK;
}

static struct weir__file_stream *make_stream(
    struct weir_log_file *log, uint64_t generation,
    const struct weir__file_state *state) {
  struct weir__file_stream *stream =
      weir__file_alloc(log, sizeof *stream + state->key_len + state->meta_len);

  if (stream == NULL) {
    return NULL;
  }
  memset(stream, 0, sizeof *stream);
  weir__link_init(&stream->ended_link);
  stream->generation = generation;
  stream->key_len = state->key_len;
  stream->meta_len = state->meta_len;
  memcpy(stream->text, state->key, state->key_len);
  weir__copy(stream->text + state->key_len, state->meta, state->meta_len);
  stream->node.key = &stream->generation;
  stream->node.key_len = sizeof stream->generation;
  stream->name.key = stream->text;
  stream->name.key_len = state->key_len;
  stream->order = state->order;
  log->orders = weir__max(log->orders, state->order);
  if (!reserve_epochs(log, stream, state->epoch_count) ||
      weir__map_insert(&log->by_generation, &stream->node) != WEIR_OK) {
    free_stream(log, stream);
    return NULL;
  }
  if (name_stream(log, stream) != WEIR_OK) {
    weir__map_remove(&log->by_generation, &stream->node);
    free_stream(log, stream);
    return NULL;
  }
  log->info.streams += 1;
  return stream;
}

/* What a stream has to have in a log, whatever becomes of its events: a state,
 * and a state and an entry of the index. */
static void weigh(struct weir_log_file *log, struct weir__file_stream *stream) {
  const uint32_t size = WEIR__STATE_SIZE + stream->epoch_count * 16 +
                        stream->key_len + stream->meta_len;

  log->weight -= stream->weight;
  stream->weight = WEIR__RECORD_SIZE + WEIR__ENTRY_SIZE + 2 * size + 16;
  log->weight += stream->weight;
}

void weir__file_set_ended(struct weir_log_file *log,
                          struct weir__file_stream *stream, uint64_t seq,
                          uint64_t when, bool failed) {
  stream->ended = seq;
  stream->failed = failed;
  stream->ended_at = when;
  weir__link_remove(&stream->ended_link);
  if (seq != 0) {
    weir__link_append(&log->ended, &stream->ended_link);
  }
}

int weir__file_adopt(struct weir_log_file *log, uint64_t generation,
                     const struct weir__file_state *state,
                     struct weir__file_stream **adopted) {
  struct weir__file_stream *stream = weir__file_find(log, generation);
  uint32_t i;

  if (stream == NULL) {
    stream = make_stream(log, generation, state);
    if (stream == NULL) {
      return WEIR_ENOMEM;
    }
  } else if (!reserve_epochs(log, stream, state->epoch_count)) {
    return WEIR_ENOMEM;
  }
  for (i = 0; i < state->epoch_count; ++i) {
    weir__state_epoch(state, i, &stream->epochs[i]);
  }
  stream->epoch_count = state->epoch_count;
  stream->trimmed = weir__max(stream->trimmed, state->trimmed);
  stream->last = state->last;
  stream->put = state->last;
  weir__file_set_ended(log, stream, state->ended, state->ended_at,
                       state->failed);
  weigh(log, stream);
  *adopted = stream;
  return WEIR_OK;
}

void weir__file_state_of(const struct weir__file_stream *stream, uint64_t last,
                         unsigned char *epochs,
                         struct weir__file_state *state) {
  weir_epoch epoch;
  uint32_t i;

  memset(state, 0, sizeof *state);
  for (i = 0; i < stream->epoch_count; ++i) {
    epoch = stream->epochs[i];
    epoch.last =
        i + 1 == stream->epoch_count ? last : weir__min(epoch.last, last);
    weir__epoch_write(&epoch, epochs + i * (size_t)16);
  }
  state->key = stream->text;
  state->key_len = stream->key_len;
  state->meta = stream->text + stream->key_len;
  state->meta_len = stream->meta_len;
  state->epochs = epochs;
  state->epoch_count = stream->epoch_count;
  state->order = stream->order;
  state->trimmed = weir__min(stream->trimmed, last);
  state->last = last;
  if (stream->ended != 0 && stream->ended <= last) {
    state->ended = stream->ended;
    state->ended_at = stream->ended_at;
    state->failed = stream->failed;
  }
}

/* Forget an epoch, since there are too many: the oldest that gave no number,
 * which is not missed; else the oldest but the first, which is the generation's
 * name. Its events go with it: they would belong to nobody. */
static void forget_epoch(struct weir__file_stream *stream) {
  weir_epoch *epochs = stream->epochs;
  uint32_t i = 1;

  while (i + 1 < stream->epoch_count && epochs[i].last != epochs[i - 1].last) {
    i += 1;
  }
  if (i + 1 == stream->epoch_count) {
    i = 1;
    stream->trimmed = weir__max(stream->trimmed, epochs[1].last);
  }
  stream->epoch_count -= 1;
  memmove(epochs + i, epochs + i + 1,
          (stream->epoch_count - i) * sizeof epochs[0]);
}

int weir__file_add_epoch(struct weir_log_file *log,
                         struct weir__file_stream *stream, uint64_t epoch,
                         uint64_t base) {
  uint32_t i;

  if (stream->epoch_count == WEIR__EPOCHS_MOST) {
    forget_epoch(stream);
  }
  if (!reserve_epochs(log, stream, stream->epoch_count + 1)) {
    return WEIR_ENOMEM;
  }
  for (i = 0; i < stream->epoch_count; ++i) {
    stream->epochs[i].last = weir__min(stream->epochs[i].last, base);
  }
  stream->epochs[i].epoch = epoch;
  stream->epochs[i].last = base;
  stream->epoch_count += 1;
  weigh(log, stream);
  return WEIR_OK;
}

void weir__file_confirm(struct weir_log_file *log,
                        struct weir__file_stream *stream) {
  struct weir__file_stream *hidden = stream->hides;

  if (hidden != NULL) {
    stream->hides = NULL;
    weir__file_release(log, hidden);
  }
}

void weir__file_hide(struct weir_log_file *log,
                     struct weir__file_stream *stream) {
  struct weir__file_stream *hidden = stream->hides;

  stream->past = true;
  if (stream->is_named && hidden != NULL && !hidden->past) {
    weir__map_replace(&log->by_key, &stream->name, &hidden->name);
    hidden->is_named = true;
  } else if (stream->is_named) {
    weir__map_remove(&log->by_key, &stream->name);
  }
  stream->is_named = false;
  weir__file_confirm(log, stream);
}

void weir__file_purge(struct weir_log_file *log,
                      struct weir__file_stream *stream) {
  stream->purged = true;
  weir__map_remove(&log->by_generation, &stream->node);
  weir__file_hide(log, stream);
  weir__link_remove(&stream->ended_link);
  stream->trimmed = stream->last;
  log->weight -= stream->weight;
  stream->weight = 0;
  log->info.streams -= 1;
  if (stream->holds == 0) {
    free_stream(log, stream);
  }
}

void weir__file_hold(struct weir__file_stream *stream) {
  stream->holds += 1;
}

void weir__file_release(struct weir_log_file *log,
                        struct weir__file_stream *stream) {
  stream->holds -= 1;
  if (stream->holds == 0 && stream->purged) {
    free_stream(log, stream);
  }
}

static void confirm(void *user, struct weir__node *node) {
  weir__file_confirm(user, weir__owner(node, struct weir__file_stream, node));
}

void weir__file_free_streams(struct weir_log_file *log) {
  struct weir__file_stream *stream;
  struct weir__node *node;
  size_t i;

  /* Those that are hidden are held by those that hide them. */
  for (i = 0; i < log->by_generation.buckets; ++i) {
    weir__map_visit(&log->by_generation, i, confirm, log);
  }
  for (node = weir__map_any(&log->by_generation); node != NULL;
       node = weir__map_any(&log->by_generation)) {
    stream = weir__owner(node, struct weir__file_stream, node);
    stream->holds = 0;
    weir__file_purge(log, stream);
  }
  weir__map_free(&log->by_generation);
  weir__map_free(&log->by_key);
}
