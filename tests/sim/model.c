/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

static void *make(void *old, size_t size) {
  void *made = realloc(old, size);

  if (made == NULL) {
    abort();
  }
  return made;
}

static void free_fact(struct fact *fact) {
  free(fact->type);
  free(fact->data);
  free(fact->frame);
  free(fact);
}

void model_free(struct model *model) {
  struct generation *generation;
  struct generation *older;
  unsigned key;
  uint64_t i;

  for (key = 0; key < MODEL_KEYS; ++key) {
    for (generation = model->newest[key]; generation != NULL;
         generation = older) {
      older = generation->older;
      for (i = 0; i < generation->last; ++i) {
        free_fact(generation->facts[i]);
      }
      for (i = 0; i < generation->undone_count; ++i) {
        free_fact(generation->undone[i]);
      }
      free(generation->facts);
      free(generation->undone);
      free(generation->meta);
      free(generation);
    }
  }
  free(model->sayings);
}

struct generation *model_begin(struct model *model, unsigned key,
                               uint64_t name) {
  struct generation *generation = make(NULL, sizeof *generation);

  if (name == 0 || model_find(model, key, name) != NULL) {
    trace_fail(3, "k%c: a second generation of the name %llx",
               (char)(0x61 + key), (unsigned long long)name);
  }
  memset(generation, 0, sizeof *generation);
  generation->older = model->newest[key];
  generation->key = key;
  generation->count =
      generation->older == NULL ? 1 : generation->older->count + 1;
  model->newest[key] = generation;
  model_take(generation, name);
  return generation;
}

struct generation *model_find(const struct model *model, unsigned key,
                              uint64_t name) {
  struct generation *generation = model->newest[key];

  while (generation != NULL && generation->epochs[0].epoch != name) {
    generation = generation->older;
  }
  return generation;
}

const char *model_name(const struct generation *generation) {
  static char names[8][24];
  static unsigned next;
  char *name = names[next++ % 8];

  if (generation == NULL) {
    return "nothing";
  }
  snprintf(name, sizeof names[0], "k%c.%u", (char)(0x61 + generation->key),
           generation->count);
  return name;
}

uint64_t model_epoch(const struct generation *generation) {
  return generation->epochs[generation->epoch_count - 1].epoch;
}

void model_take(struct generation *generation, uint64_t epoch) {
  if (generation->epoch_count == MODEL_EPOCHS) {
    trace_fail(0, "%s: more epochs than the model has room for",
               model_name(generation));
  }
  generation->epochs[generation->epoch_count].epoch = epoch;
  generation->epochs[generation->epoch_count].last = generation->last;
  generation->epoch_count += 1;
}

bool model_is_writer(const struct generation *generation, const void *writer) {
  return generation->writers[generation->epoch_count - 1] == writer;
}

bool model_was_writer(const struct generation *generation, const void *writer) {
  size_t i = 0;

  while (i < generation->epoch_count && generation->writers[i] != writer) {
    i += 1;
  }
  return i < generation->epoch_count;
}

struct fact *model_add(struct model *model, struct generation *generation,
                       uint64_t epoch, uint32_t number, uint32_t flags) {
  struct fact *fact = make(NULL, sizeof *fact);
  struct saying *saying;

  if (generation->ended != 0) {
    trace_fail(7, "%s: event %llu after the end %llu", model_name(generation),
               (unsigned long long)generation->last + 1,
               (unsigned long long)generation->ended);
  }
  if (number != 0) {
    saying = &model->sayings[number];
    if (number > model->said || saying->generation != generation) {
      trace_fail(
          9, "%s: #%u was said in %s", model_name(generation), number,
          number > model->said ? "nothing" : model_name(saying->generation));
    }
    if (saying->state != SAYING_ASKED && saying->state != SAYING_TAKEN) {
      trace_fail(saying->state == SAYING_REFUSED ? 12 : 3,
                 "%s: #%u becomes event %llu, but it was %s",
                 model_name(generation), number,
                 (unsigned long long)generation->last + 1,
                 saying->state == SAYING_REFUSED  ? "refused"
                 : saying->state == SAYING_SIGNAL ? "a signal"
                                                  : "one already");
    }
    saying->state = SAYING_FACT;
  }
  memset(fact, 0, sizeof *fact);
  fact->epoch = epoch;
  fact->seq = ++generation->last;
  fact->number = number;
  fact->flags = flags;
  if (generation->last > generation->cap) {
    generation->cap = generation->cap * 2 + 16;
    generation->facts =
        make(generation->facts, generation->cap * sizeof generation->facts[0]);
  }
  generation->facts[fact->seq - 1] = fact;
  generation->epochs[generation->epoch_count - 1].last = fact->seq;
  if ((flags & WEIR_RECORD_END) != 0) {
    generation->ended = fact->seq;
  }
  model_trim(generation, generation->to_trim);
  model->facts += 1;
  return fact;
}

struct fact *model_at(const struct generation *generation, uint64_t seq) {
  return seq == 0 || seq > generation->last ? NULL : generation->facts[seq - 1];
}

struct fact *model_fact(const struct generation *generation, uint64_t epoch,
                        uint64_t seq) {
  struct fact *fact = model_at(generation, seq);
  size_t i;

  if (fact != NULL && fact->epoch == epoch) {
    return fact;
  }
  for (i = 0; i < generation->undone_count; ++i) {
    if (generation->undone[i]->epoch == epoch &&
        generation->undone[i]->seq == seq) {
      return generation->undone[i];
    }
  }
  return NULL;
}

void model_trim(struct generation *generation, uint64_t through) {
  through = through < generation->last ? through : generation->last;
  if (through > generation->trimmed) {
    generation->trimmed = through;
  }
}

void model_crash(struct generation *generation, uint64_t last) {
  struct fact *fact;
  size_t i;

  while (generation->last > last) {
    fact = generation->facts[--generation->last];
    fact->void_ = true;
    generation->undone =
        make(generation->undone,
             (generation->undone_count + 1) * sizeof generation->undone[0]);
    generation->undone[generation->undone_count++] = fact;
  }
  for (i = 0; i < generation->epoch_count; ++i) {
    if (generation->epochs[i].last > last) {
      generation->epochs[i].last = last;
    }
  }
  if (generation->ended > last) {
    generation->ended = 0;
  }
  generation->acked = generation->acked < last ? generation->acked : last;
  generation->settled = 0;
}

bool model_is_gone(const struct generation *generation, uint64_t after,
                   uint64_t seq) {
  after = after > generation->trimmed ? after : generation->trimmed;
  for (; after < seq; ++after) {
    const struct fact *fact = model_at(generation, after + 1);

    if (fact == NULL || !fact->lost) {
      return false;
    }
  }
  return seq <= generation->last;
}

uint64_t model_epoch_of(const struct generation *generation, uint64_t seq) {
  size_t i;

  for (i = 0; i + 1 < generation->epoch_count; ++i) {
    if (seq <= generation->epochs[i].last) {
      return generation->epochs[i].epoch;
    }
  }
  return generation->epochs[i].epoch;
}

uint32_t model_say(struct model *model, struct generation *generation,
                   int state, uint32_t producer) {
  struct saying *saying;

  if (model->said + 2 > model->cap) {
    model->cap = model->cap * 2 + 256;
    model->sayings =
        make(model->sayings, model->cap * sizeof model->sayings[0]);
  }
  saying = &model->sayings[++model->said];
  memset(saying, 0, sizeof *saying);
  saying->generation = generation;
  saying->state = state;
  saying->producer = producer;
  return model->said;
}

bool model_is_cursor(const struct generation *generation,
                     const weir_cursor *cursor) {
  size_t i;

  for (i = 0; i < generation->epoch_count; ++i) {
    if (generation->epochs[i].epoch == cursor->epoch) {
      return cursor->seq <= generation->epochs[i].last;
    }
  }
  return false;
}
