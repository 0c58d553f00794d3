/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__GENERATION_H
#define WEIR__GENERATION_H

/* One run of a stream, from open to end: what producers put in and what
 * subscribers read. It watches its producers, ends, and forgets itself in
 * time. */

#include <weir/stream.h>

#include "map.h"
#include "settings.h"
#include "signals.h"
#include "storage.h"

/* How a generation is known to this hub. */
enum weir__phase {
  WEIR__ASKED,    /* storage has been asked whether there is one */
  WEIR__VOID,     /* there is none, or `fault` says why nobody knows */
  WEIR__CREATING, /* it is being begun */
  WEIR__KNOWN     /* it is there */
};

/* What a timer of a generation is for. */
enum {
  WEIR__AT_EVENT,     /* no event has come for too long */
  WEIR__AT_LIFETIME,  /* it has been open for too long */
  WEIR__AT_ABANDONED, /* nobody has read for too long */
  WEIR__AT_FORGET,    /* nobody will miss it */
  WEIR__AT_CHECK,     /* another look at storage */
  WEIR__AT_AGAIN,     /* another try of what there was no memory for */
  WEIR__AT_LIMIT,     /* what is kept is too old, or too much */
  WEIR__ATS
};

/* What it has only with a log. */
struct weir__backing {
  struct weir__storage storage;
  struct weir__work work;
  struct weir__generation *generation;
  struct weir__link undecided; /* attaches: weir_subscriber.sibling */
  struct weir__receipt *first; /* of events that storage has to answer for */
  struct weir__receipt *last;
  struct weir__final *will; /* what to end with, or has been */
  uint64_t put;             /* events given to storage */
  uint64_t stored;          /* events that it has answered for */
  uint64_t retry;  /* ms to the next try to log an end that it refused */
  uint64_t quiet;  /* a refusal of later events is not told by notices */
  int32_t refusal; /* of a batch, while it is being sent */
  int32_t unseen;  /* why the last look at the head has failed */
  int32_t sought;  /* what the last lookup of the key has said */
  bool dirty;      /* something has changed that calls for a decision */
  bool doubted;    /* broken: whether it lives on elsewhere has been asked */
};

struct weir__generation {
  struct weir__link all; /* in core->generations */
  struct weir__core *core;
  size_t refs; /* registry, handles, subscribers, a successor */
  struct weir__generation *previous; /* of the same key, while remembered */
  struct weir__settings *settings;   /* NULL until known */
  struct weir__backing *backing;     /* NULL without a log */
  struct weir__signals *signals;     /* NULL: none yet */
  struct weir__page *failure;    /* what readers get of a failure not logged */
  struct weir__link producers;   /* weir_stream.sibling: decided */
  struct weir__link opens;       /* weir_stream.sibling: pending */
  struct weir__link subscribers; /* weir_subscriber.sibling */
  uint32_t reader_count;         /* subscribers that are decided */
  int32_t fault;
  int32_t refusal; /* broken: what storage said */
  uint8_t phase;
  bool registered; /* the registry knows it: it has times */
  bool ending;     /* its end has been put, and nothing follows */
  bool ended;      /* its end is committed */
  bool failed;     /* it ended by failing */
  bool broken;     /* storage refused, and the end is not logged yet */
  bool wrote;      /* this hub has been its writer */
  bool fenced;     /* somebody else writes it now */
  bool gone;       /* storage does not have it any more */
  struct weir__history history;
  uint64_t events;
  uint64_t signalled;
  uint64_t dropped;
  struct weir__timer timer;
  uint64_t at[WEIR__ATS];
  struct weir__node node; /* by key, which is looked at together with it */
  unsigned char key[];
};

/* That an event has been stored, for its producer. */
struct weir__receipt {
  struct weir__receipt *next;
  struct weir_stream *producer; /* NULL: has let go */
  uint64_t tag;
  uint64_t order; /* of the event, among those published here; then its seq */
  int32_t error;
};

/* weir_stream.source.notices */
enum {
  WEIR__SAY_OPENED = 0x01,
  WEIR__SAY_EXPIRED = 0x02, /* shifted left by WEIR_TIMER_... - 1 */
  WEIR__SAY_ABANDONED = 0x10,
  WEIR__SAY_CANCELLED = 0x20,
  WEIR__SAY_ENDED = 0x40
};

/* What a generation is to end with. */
struct weir__final {
  bool failed;
  bool cancels; /* whoever writes it: it is put again behind another writer */
  size_t reason_len; /* or code */
  size_t message_len;
  uint64_t tag;
  char text[];
};

/* A producer's handle. */
struct weir_stream {
  struct weir__source source;
  struct weir__link sibling;
  struct weir__core *core;
  struct weir__generation *generation; /* NULL: gone, or refused */
  int32_t cancel_error; /* of the notices `cancelled` and `ended` */
  int32_t end_error;
  void *user;
  bool pending; /* the open is not decided */
  bool silent;  /* it is being decided inside the call that opened */
  bool joined;
  bool founder;  /* the generation is being begun for it */
  uint8_t tries; /* to begin one, or to find it */
  bool asked;    /* it has had this hub ask to take over */
  bool released; /* by the host; it lives on for its final */
  int32_t on_duplicate;
  uint32_t flags; /* WEIR_OPEN_... */
  uint32_t seek;  /* a lookup of the key that was begun behind it */
  struct weir__settings *settings; /* while pending */
  struct weir__final *final;       /* while pending: it has been ended */
  struct weir__receipt *stored;    /* notices to come, oldest first */
  struct weir__receipt *stored_last;
};

/* With these texts: WEIR_OK, WEIR_EINVAL, WEIR_EUTF8 or WEIR_ENOMEM. message
 * NULL: the reason of an end. */
int weir__final_new(struct weir__core *core, const void *reason,
                    size_t reason_len, const void *message, size_t message_len,
                    uint64_t tag, struct weir__final **made);
void weir__final_free(struct weir__core *core, struct weir__final *final);

/* A new one, of which nothing is known: ASKED with a log, else VOID. */
int weir__generation_new(struct weir__core *core, const void *key,
                         size_t key_len, struct weir__generation **made);

static inline void weir__generation_hold(struct weir__generation *generation) {
  generation->refs += 1;
}

void weir__generation_release(struct weir__generation *generation);

/* Free it: nobody holds it any more, and no answer stands on it. */
void weir__generation_destroy(struct weir__generation *generation);

/* Nobody but who holds it knows it any more: no timer, no predecessor. */
void weir__generation_forget(struct weir__generation *generation);

/* What its frames have in common. Its settings are known. */
void weir__generation_scheme(const struct weir__generation *generation,
                             struct weir__scheme *scheme);

/* Its name, the first epoch; 0 while it is not known. */
uint64_t weir__generation_name(const struct weir__generation *generation);

/* Whether events can be put in by this hub, of one that is known: WEIR_OK,
 * WEIR_EENDED, WEIR_EFENCED or WEIR_EAGAIN (not without taking it over). */
int weir__generation_is_writable(const struct weir__generation *generation);

/* Events that wait for storage. */
uint64_t weir__generation_pending(const struct weir__generation *generation);

/* Storage has not got all of it, or not its end; or readers wait for what
 * another writer has to say. */
bool weir__generation_is_owing(const struct weir__generation *generation);

/* One of its times. Of what has been forgotten only one counts: whoever still
 * waits there is to get what there was no memory for. */
static inline uint64_t weir__generation_time(
    const struct weir__generation *generation, unsigned what) {
  return generation->registered || what == WEIR__AT_AGAIN
             ? generation->at[what]
             : (uint64_t)WEIR_NEVER;
}

/* Let its timer fire at the next of its times. */
void weir__generation_schedule(struct weir__generation *generation);

/* Let its timer fire for `what` at a time, or never. */
void weir__generation_set_time(struct weir__generation *generation,
                               unsigned what, uint64_t when);

/* Set a watchdog as the settings say. */
void weir__generation_watch(struct weir__generation *generation, unsigned what,
                            unsigned dog);

/* Something calls for a decision that may call storage. */
void weir__generation_touch(struct weir__generation *generation);

/* It is open for writing: watch the producers. */
void weir__generation_open(struct weir__generation *generation);

/* Events up to seq are committed; ended, if not 0, is the end. */
void weir__generation_commit(struct weir__generation *generation, uint64_t seq,
                             uint64_t ended);

/* Its end is committed. */
void weir__generation_ended(struct weir__generation *generation);

/* Tell of something that happened to it: WEIR_TRACE_... */
void weir__generation_trace(struct weir__generation *generation, int32_t kind,
                            int error);

/* Storage has refused an event: it has failed, and the end is not logged. */
void weir__generation_break(struct weir__generation *generation, int error);

/* Have the frame that its readers share then. WEIR_OK, or as weir__page_frame.
 */
int weir__generation_make_failure(struct weir__generation *generation);

/* It could not be logged this time either: once more, later. */
void weir__generation_retry(struct weir__generation *generation);

/* Another writer has taken it over, where it lives on: its producers here have
 * to stop, and what they put in that is not stored never will be. */
void weir__generation_fence(struct weir__generation *generation);

/* Try once more, in a while, what there was no memory for. */
void weir__generation_again(struct weir__generation *generation);

/* What it failed of, as clients are told. */
const char *weir__generation_failure_code(
    const struct weir__generation *generation);

/* How long to keep it in memory, now that somebody has come or gone. */
void weir__generation_reconsider(struct weir__generation *generation);

/* Say something to one producer, or to all whose open is decided. */
void weir__producer_say(struct weir_stream *producer, unsigned notice);
void weir__generation_say(struct weir__generation *generation, unsigned notice,
                          int error);

/* Give a receipt to its producer. */
void weir__receipt_deliver(struct weir__core *core,
                           struct weir__receipt *receipt, uint64_t seq,
                           int error);

/* Deliver those of the next count events that storage has answered for; the
 * first got this number (0: nobody knows). */
void weir__generation_settle_receipts(struct weir__generation *generation,
                                      uint64_t count, uint64_t first,
                                      int error);

#endif /* WEIR__GENERATION_H */
