/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

/* The truth, as plainly as it can be written: for each stream a list of
 * generations, for each generation a list of events. Storage and producers
 * enter what happens; whatever anybody is shown is compared with it. */

#include <weir/weir.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_KEYS 16

/* An event of a log. */
struct fact {
  uint64_t epoch;
  uint64_t seq;
  uint32_t number; /* of what was said; 0: an end */
  uint32_t flags;  /* WEIR_RECORD_... */
  bool acked;      /* storage has said so */
  bool void_;      /* a crash of the storage has undone it */
  bool lost;       /* storage says that it has lost it */
  char *type;      /* as given to storage, with one */
  size_t type_len;
  char *data;
  size_t data_len;
  char *frame; /* NULL: none was given */
  size_t frame_len;
  const void *waits; /* whose append of it has not been answered yet */
  uint64_t shown; /* a hash of the bytes that a reader was shown; 0: not yet */
  size_t shown_len;
};

/* A writer's run of numbers: weir_epoch. */
#define MODEL_EPOCHS 512

struct generation {
  struct generation *older; /* of this key */
  unsigned key;
  unsigned count; /* of this key, from 1: for people */
  bool gone;      /* the process has died, or retention has taken it */
  bool shared;
  bool envelope;
  bool told;   /* storage has told a server that it is there */
  bool ending; /* somebody has asked for that, or may have */
  bool broken; /* storage has refused or not answered: it may fail unlogged */
  char *meta;
  size_t meta_len;
  weir_epoch epochs[MODEL_EPOCHS];
  const void *writers[MODEL_EPOCHS]; /* with a log: who began them */
  size_t epoch_count;
  struct fact **facts; /* by number, from 1 */
  uint64_t last;
  uint64_t cap;
  uint64_t acked;   /* the last that storage has said yes to */
  uint64_t settled; /* storage has answered for all up to here */
  uint64_t trimmed;
  uint64_t to_trim; /* may be an end of the hub's own, of which nobody knows */
  uint64_t ended;
  struct fact **undone; /* by crashes */
  size_t undone_count;
};

/* What became of what was said. */
enum {
  SAYING_SIGNAL = 1, /* never in a log */
  SAYING_ASKED,      /* the call that publishes it has not returned */
  SAYING_TAKEN,      /* it was taken */
  SAYING_REFUSED,
  SAYING_FACT /* it is an event of a log */
};

struct saying {
  struct generation *generation;
  int state;
  uint32_t producer;
  const void *handle; /* by which it was said */
  uint64_t stamp;     /* of a signal: an event that came before it */
  bool told;          /* storage's answer has been told to the producer */
};

struct model {
  struct generation *newest[MODEL_KEYS];
  uint64_t cancels[MODEL_KEYS]; /* asked for, also by replacing */
  struct saying *sayings;       /* by number */
  uint32_t said;
  uint32_t cap;
  uint64_t facts;
};

void model_free(struct model *model);

struct generation *model_begin(struct model *model, unsigned key,
                               uint64_t name);

/* The generation of this name; NULL if there never was one. */
struct generation *model_find(const struct model *model, unsigned key,
                              uint64_t name);

/* A name, for people: "k3.2". Valid for a few calls. */
const char *model_name(const struct generation *generation);

void model_take(struct generation *generation, uint64_t epoch);
uint64_t model_epoch(const struct generation *generation);

/* Does this one write it now? Has it ever? */
bool model_is_writer(const struct generation *generation, const void *writer);
bool model_was_writer(const struct generation *generation, const void *writer);

/* The event after the last. The strings are the caller's to fill in. */
struct fact *model_add(struct model *model, struct generation *generation,
                       uint64_t epoch, uint32_t number, uint32_t flags);

/* The event of this number, or of this number and epoch, also one that a crash
 * has undone; NULL if there never was one. */
struct fact *model_at(const struct generation *generation, uint64_t seq);
struct fact *model_fact(const struct generation *generation, uint64_t epoch,
                        uint64_t seq);

void model_trim(struct generation *generation, uint64_t through);

/* The crash of a storage: what follows `last` never was. */
void model_crash(struct generation *generation, uint64_t last);

/* Everything after `after` and up to seq is gone, and this is known. */
bool model_is_gone(const struct generation *generation, uint64_t after,
                   uint64_t seq);

/* The epoch that names a position, as ids have it. */
uint64_t model_epoch_of(const struct generation *generation, uint64_t seq);

/* The number of something that is about to be said. */
uint32_t model_say(struct model *model, struct generation *generation,
                   int state, uint32_t producer);

/* Is this a cursor of something that a client can have been given? */
bool model_is_cursor(const struct generation *generation,
                     const weir_cursor *cursor);

#endif /* SIM_MODEL_H */
