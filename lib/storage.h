/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__STORAGE_H
#define WEIR__STORAGE_H

/* A generation's dealings with its log: it is looked up, taken over or begun;
 * its events are appended, one batch at a time; its head is read on. Answers
 * change the state here and are told to the owner; calls are started by
 * weir__storage_pump alone, where that is legal. */

#include "replay.h"

struct weir__storage;

/* The owner's side. Called from inside answers: nothing here may be called but
 * weir__storage_drop. */
struct weir__storage_owner {
  void (*scheme)(struct weir__storage *storage, struct weir__scheme *scheme);
  /* The open has been answered. A yes has been taken into the history. */
  void (*opened)(struct weir__storage *storage, int mode, int result,
                 const weir_answer *answer);
  /* The batch of `count` events is stored; the first has this number, or 0 if
   * that is not known. Not committed yet, unless storage leads. */
  void (*stored)(struct weir__storage *storage, uint64_t count, uint64_t first);
  /* It is not, or nobody knows. */
  void (*refused)(struct weir__storage *storage, int result);
  /* The look at the head has come to an end, or the trim. */
  void (*looked)(struct weir__storage *storage, int result);
  void (*trimmed)(struct weir__storage *storage, int result);
  /* The key has been looked up again: WEIR_OK, it leads here; WEIR_EEXISTS,
   * another generation hides this one; WEIR_ENOENT, nothing is there, or not
   * what was; or nobody knows. */
  void (*sought)(struct weir__storage *storage, int result);
};

/* Of epochs that a hub has asked for and has not got an answer about, so many
 * are known for its own. */
#define WEIR__TRIED 8

struct weir__storage {
  const struct weir__storage_owner *owner;
  struct weir__history *history;
  struct weir__call *prepared; /* for the next open; NULL: not yet */
  struct weir__call *asking;
  struct weir__call *appending;
  struct weir__call *reading;
  struct weir__call *trimming;
  int mode;       /* of the open that is wanted or under way; 0 is none */
  bool shared;    /* storage numbers the events */
  bool look;      /* a look at the head is wanted */
  bool seek;      /* another lookup of the key is wanted */
  bool seeking;   /* `asking` is one */
  bool how_far;   /* somebody asks that, too */
  uint64_t epoch; /* this hub's, once it has taken or created */
  uint64_t tried[WEIR__TRIED]; /* those that were asked for last */
  unsigned tries;
  uint64_t expect; /* CREATE: the newest generation before; TAKE: which */
  uint64_t trim;   /* a trim up to here is wanted */
  struct weir__entry *first; /* events that wait for the batch under way */
  struct weir__entry *last;
  uint64_t waiting;      /* how many */
  uint64_t flying;       /* how many the batch under way has */
  uint64_t flying_epoch; /* what gave their numbers */
  uint64_t flying_last;  /* the number of its last */
  bool flying_end;       /* which is the end */
  uint64_t look_after;   /* what the look under way asked for */
  uint64_t look_asked;   /* the newest epoch that was known then */
  uint64_t open_asked;   /* and when `asking` began */
  uint32_t seeks;        /* lookups of the key that have come to an end */
};

void weir__storage_init(struct weir__storage *storage,
                        const struct weir__storage_owner *owner,
                        struct weir__history *history);

/* Have what the next open needs, so that it can be asked for whatever happens
 * to memory: false without. */
bool weir__storage_prepare(struct weir__storage *storage);

/* Lookups of the key have numbers: the one that is begun after this; and
 * whether that one has come to an end. */
uint32_t weir__storage_next_seek(const struct weir__storage *storage);
bool weir__storage_has_sought(const struct weir__storage *storage,
                              uint32_t seek);

/* Look the key up again, unless the lookup under way has that number: does it
 * still lead to this generation? And, if that is asked, how far is that? */
void weir__storage_seek(struct weir__storage *storage, uint32_t seek,
                        bool how_far);

/* Lose interest in what is under way, and drop what waits. */
void weir__storage_free(struct weir__storage *storage);

/* Ask for an open. Nothing is called yet. */
void weir__storage_ask(struct weir__storage *storage, int mode, uint64_t expect,
                       uint64_t epoch);

/* Append count events: at once if nothing is in the way, else when it is out of
 * it. Their frames are taken from the history. WEIR_OK, or WEIR_ENOMEM: nothing
 * has happened. */
int weir__storage_append(struct weir__storage *storage, weir_record *records,
                         size_t count);

/* Drop the events that wait. */
void weir__storage_drop(struct weir__storage *storage);

/* Start what is wanted, and can be started: WEIR_OK or WEIR_ENOMEM. key and
 * meta are for an open. */
int weir__storage_pump(struct weir__storage *storage, const void *key,
                       size_t key_len, const void *meta, size_t meta_len);

/* Whether it is being opened or written to. */
bool weir__storage_is_busy(const struct weir__storage *storage);

/* Whether the pump has something to do. */
bool weir__storage_wants(const struct weir__storage *storage);

#endif /* WEIR__STORAGE_H */
