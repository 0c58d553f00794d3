/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__CORE_H
#define WEIR__CORE_H

/* What the objects of one hub share: the host's functions, the limits, time,
 * chance, the queue of notices, the queue of work, the counters. It outlives
 * the hub's registry for as long as a handle or a storage call is left. */

#include <weir/frame.h>
#include <weir/hub.h>

#include "map.h"
#include "timer.h"
#include "util.h"

struct weir__core;
struct weir__generation;
struct weir__history;
struct weir__page;
struct weir__storage_owner;

/* Who owns a timer: weir__timer_kind. */
enum {
  WEIR__TIMER_CALL,
  WEIR__TIMER_STREAM,
  WEIR__TIMER_READER,
  WEIR__TIMER_HUB
};

/* Something that notices are about: a producer's handle or a subscriber. Its
 * link is in the queue of notices, or in a ring of those who wait for
 * something. What there is to say, the owner knows. */
struct weir__source {
  struct weir__link link;
  int32_t error;    /* why it was refused, or the end */
  uint16_t notices; /* to come: each kind of owner has bits of its own */
  bool reader;      /* a subscriber */
};

/* Something that has storage calls to start, as soon as that is legal. */
struct weir__work {
  struct weir__link link;
  void (*start)(struct weir__work *work);
};

/* What a lower floor needs of an upper one, set when the hub is made. */
struct weir__floors {
  /* Fill in the source's next notice; false if there is none after all. *more
   * says whether another one follows. */
  bool (*take)(struct weir__source *source, weir_notice *notice, bool *more);
  /* Drop a page that nobody reads, and that the history can do without. */
  void (*evict)(struct weir__page *page);
  /* A history's state has changed by what storage said; or, rewound, is about
   * to: events that were known are no more. */
  void (*changed)(struct weir__history *history, bool rewound);
  /* A read has failed, or brought what cannot be believed. */
  void (*failed)(struct weir__history *history, int error);
  /* How a generation hears of its storage, and does what is to be done there.
   */
  const struct weir__storage_owner *owner;
  void (*work)(struct weir__work *work);
  /* Decide what waits for a generation to be known. */
  void (*settle)(struct weir__generation *generation);
  /* Nobody will miss the generation: let it go. */
  void (*forget)(struct weir__generation *generation);
  /* Readers that stand beyond this number hold what never was. */
  void (*rewind)(struct weir__generation *generation, uint64_t last);
  /* What the reader waits for will not come. */
  void (*deny)(struct weir__source *reader);
  /* The reader is no longer attached: forget its client key. */
  void (*left)(struct weir_subscriber *reader);
  /* Have readers go that hold bytes, the longest stalled first, so that so much
   * is leaving, if that can be. They do so when the host is told, since here
   * they may be in somebody's hands. */
  void (*relieve)(struct weir__core *core, uint64_t leaving);
  /* Free the hub: nobody holds it any more. */
  void (*free)(struct weir__core *core);
  /* Free a handle that was released where it could not be freed. */
  void (*destroy)(struct weir__source *source);
};

struct weir__core {
  weir_hub_options options; /* allocator and log point into this struct */
  weir_allocator allocator;
  weir_log log; /* open is NULL if there is none */
  char prefix[WEIR_PREFIX_MAX];
  const struct weir__floors *floors;
  size_t refs;        /* the hub, handles, storage calls */
  uint64_t undecided; /* subscribers that wait for storage */
  unsigned inside;    /* in a storage function, an answer or a trace */
  bool running;       /* in weir_hub_run */
  bool gone;          /* the hub has been freed */
  bool woken;         /* wake has been called, and nobody has come yet */
  bool draining;
  bool dying;           /* to be freed when weir_hub_run returns */
  uint32_t drain_retry; /* ms; 0 is as each attach has it */
  uint64_t now;
  uint64_t promised; /* the host sleeps until then at most; 0: it is awake */
  uint64_t chance;   /* state of weir__core_draw */
  struct weir__secret secret;      /* of all maps */
  struct weir__settings *settings; /* those chosen last, to be shared */
  struct weir__wheel wheel;
  unsigned taken;            /* notices, by weir_hub_next */
  struct weir__link mark;    /* in ready: what comes behind is for later */
  struct weir__link ready;   /* sources with a notice, oldest first */
  struct weir__link work;    /* of struct weir__work */
  struct weir__link holding; /* readers that hold bytes, by progress */
  struct weir__link pages; /* that may be evicted, least recently used first */
  struct weir__link generations; /* all there are, known to a key or not */
  struct weir__map calls;        /* to storage, under way, by ticket */
  struct weir__link doomed;      /* handles to be destroyed */
  uint64_t tickets;
  uint64_t leaving; /* of what is resident: only who has to go holds it still */
  weir_hub_info info;
};

/* The only way to make one. The options have been checked, and have an
 * allocator. */
int weir__core_new(const weir_hub_options *options, size_t size,
                   const struct weir__floors *floors, struct weir__core **core);

static inline void weir__core_hold(struct weir__core *core) {
  core->refs += 1;
}

/* Let go; the last one frees the memory. */
void weir__core_release(struct weir__core *core);

static inline void *weir__core_alloc(struct weir__core *core, size_t size) {
  return weir__alloc(&core->allocator, size);
}

static inline void weir__core_free(struct weir__core *core, void *memory,
                                   size_t size) {
  weir__free(&core->allocator, memory, size);
}

/* ms; some clients have a floor there. */
#define WEIR__RETRY_LEAST 500

/* Whether a host may tell a client to come back in so many ms; 0 says nothing.
 */
static inline bool weir__is_retry(uint32_t retry) {
  return retry == 0 || (retry >= WEIR__RETRY_LEAST && retry <= WEIR_RETRY_MAX);
}

/* Whether a public function may go on: WEIR_OK, WEIR_EBUSY or WEIR_EGONE. */
static inline int weir__core_enter(const struct weir__core *core) {
  return core->gone ? WEIR_EGONE : core->inside != 0 ? WEIR_EBUSY : WEIR_OK;
}

/* Let time pass. */
void weir__core_tick(struct weir__core *core);

/* A number from 0 to bound, drawn. For jitter, not for secrets. */
uint32_t weir__core_draw(struct weir__core *core, uint32_t bound);

/* A new epoch: 64 random bits, not 0. WEIR_OK or WEIR_EENTROPY. */
int weir__core_epoch(struct weir__core *core, uint64_t *epoch);

/* The source has a notice: into the queue, unless it is there. */
void weir__core_ready(struct weir__core *core, struct weir__source *source);

/* All who wait in ring have one. Takes the same time for any number. */
void weir__core_ready_all(struct weir__core *core, struct weir__link *ring);

static inline void weir__work_init(struct weir__work *work,
                                   void (*start)(struct weir__work *work)) {
  weir__link_init(&work->link);
  work->start = start;
}

/* weir_hub_get_timeout has become 0: tell the host, unless it has been told. */
void weir__core_wake(struct weir__core *core);

/* Start a timer of this hub. A host that would sleep for too long is woken. */
static inline void weir__core_start(struct weir__core *core,
                                    struct weir__timer *timer, uint64_t when) {
  weir__timer_start(&core->wheel, timer, when);
  if (when < core->promised) {
    weir__core_wake(core);
  }
}

/* There are storage calls to start. */
void weir__core_work(struct weir__core *core, struct weir__work *work);

/* Start them, if that is legal here. */
void weir__core_start_work(struct weir__core *core);

/* The handle has been released: destroy it, or have that done by the next
 * weir_hub_run if a storage function is on the stack, which may stand on it. */
void weir__core_doom(struct weir__core *core, struct weir__source *source);
void weir__core_destroy_doomed(struct weir__core *core);

/* Tell the host's trace callback. trace->size is set here. */
void weir__core_trace(struct weir__core *core, weir_trace *trace);

#endif /* WEIR__CORE_H */
