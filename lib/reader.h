/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__READER_H
#define WEIR__READER_H

/* One client connection: a number, and the bytes that the host has been shown
 * and has not consumed yet. */

#include <weir/subscriber.h>

#include "tend.h"

struct weir__client;

/* ms up to which the loser of a duplicate is told to wait longer. */
#define WEIR__REPLACED_JITTER 6000

/* Runs of bytes that can be shown at once. */
#define WEIR__SPANS 3

enum weir__standing {
  WEIR__UNDECIDED, /* storage has been asked; `claim` is what for */
  WEIR__READING,   /* attached */
  WEIR__LEAVING,   /* no longer attached: what is in hand, then WEIR_EDONE */
  WEIR__GONE       /* as that, then WEIR_EGONE */
};

/* weir_subscriber.source.notices, besides "there is something to send". */
enum { WEIR__SAY_DECIDED = 1, WEIR__SAY_ABORT = 2 };

/* What an attach that is not decided yet asked for. */
struct weir__claim {
  int parsed; /* as weir_cursor_parse returned */
  weir_cursor cursor;
  int32_t start;
  int32_t on_duplicate;
  uint32_t retry_replaced;
  uint32_t seek; /* a lookup of the key that was begun since it came */
  bool beyond;   /* the cursor is of what this hub does not know */
  bool flying;   /* and perhaps of an event on its way to storage */
  bool inside;   /* the attach that asked has not returned yet */
  uint8_t moves; /* to another generation, where the key led */
  uint16_t text_len;
  uint16_t client_len;
  char text[]; /* of the cursor, then the client key */
};

struct weir_subscriber {
  /* What a delivery needs comes first: three cache lines of four. */
  struct weir__source source; /* in one ring: of those who have a notice, who
                                 wait, or who hold bytes; or alone */
  struct weir__core *core;
  struct weir__generation *generation; /* NULL unless attached or undecided */
  void *user;
  uint64_t seq;    /* the last event that has been shown */
  uint64_t signal; /* the number of the next signal */
  union {
    struct weir__page *own;    /* frames for it alone, by stamp */
    struct weir__claim *claim; /* WEIR__UNDECIDED */
  } todo;
  uint64_t beat_at;   /* the next heartbeat */
  uint64_t stall_at;  /* the end of patience */
  uint64_t leave_at;  /* the end of the connection */
  uint32_t heartbeat; /* ms; 0 is off */
  uint32_t stall;     /* ms; 0 is off */
  uint8_t span_count;
  uint8_t own_count;
  uint8_t verdict;
  uint8_t standing;
  bool ping;    /* heartbeats are events */
  bool beat;    /* a heartbeat is due */
  bool drained; /* the host has been told that there is nothing */
  uint8_t late; /* it is to go: from the first on, so many spans are leaving */
  struct weir__timer timer;
  uint64_t bytes;
  uint64_t events;
  uint32_t dropped;
  uint32_t retry;                       /* ms: when to come back, drawn */
  struct weir__span spans[WEIR__SPANS]; /* shown, not consumed */
  struct weir__link sibling;            /* in generation->subscribers */
  union {
    struct {
      struct weir__client *client;     /* NULL: anonymous */
      struct weir_subscriber *another; /* of the same client */
    };
    struct {
      uint64_t generation; /* its name */
      uint64_t epoch;      /* of seq */
    } was;                 /* once generation is NULL again */
  };
};

/* A new one, undecided, with what the options say about it; it belongs to
 * nothing yet. */
int weir__reader_new(struct weir__core *core,
                     const weir_attach_options *options,
                     struct weir_subscriber **made);

/* It waits in this generation for storage to say what there is. Takes over the
 * claim. */
void weir__reader_wait(struct weir_subscriber *subscriber,
                       struct weir__generation *generation,
                       struct weir__claim *claim);

/* It waits in another generation from now on. */
void weir__reader_move(struct weir_subscriber *subscriber,
                       struct weir__generation *generation);

/* Make the first frames of a connection, as a verdict has them; requested is
 * the text of the client's cursor. WEIR_OK, WEIR_ENOMEM or WEIR_ERESIDENT. */
int weir__reader_greet(struct weir__generation *generation,
                       const weir_resolution *resolution, const void *requested,
                       size_t requested_len, uint32_t retry,
                       struct weir__page **greeting);

/* Begin to read, at the position of the verdict. Takes over the greeting, and
 * frees the claim of one that waited. */
void weir__reader_begin(struct weir_subscriber *subscriber,
                        struct weir__generation *generation,
                        const weir_resolution *resolution,
                        struct weir__page *greeting);

/* There is nothing to read for it: a verdict, or an error. */
void weir__reader_refuse(struct weir_subscriber *subscriber, int verdict,
                         int error);

/* The claim of one that waited is decided. Frees it, and says so. */
void weir__reader_decided(struct weir_subscriber *subscriber);

/* Show it out, in band, if there is memory for that: WEIR_OK, WEIR_ENOMEM or
 * WEIR_ERESIDENT. It is reading. */
int weir__reader_close(struct weir_subscriber *subscriber, const void *reason,
                       size_t reason_len, uint32_t retry);

/* The same for a reason of weir's; without memory cut it off. */
void weir__reader_leave(struct weir_subscriber *subscriber, const char *reason);

/* Spread over the next so many ms, show it out. It is reading. */
void weir__reader_drain(struct weir_subscriber *subscriber, uint64_t over);

/* Where it stands: the last event of which every byte was consumed, or the
 * position that it was given. */
void weir__reader_position(const struct weir_subscriber *subscriber,
                           weir_cursor *position);

/* Let its timer fire in time. */
void weir__reader_schedule(struct weir_subscriber *subscriber);

/* A span from now, none if that is 0; the timer fires in time for it. */
static inline uint64_t weir__reader_from_now(struct weir_subscriber *subscriber,
                                             uint32_t span) {
  const uint64_t when = span == 0 ? (uint64_t)WEIR_NEVER
                                  : weir__later(subscriber->core->now, span);

  if (when < subscriber->timer.deadline) {
    weir__core_start(subscriber->core, &subscriber->timer, when);
  }
  return when;
}

/* From now on it has so long to take what there is. */
static inline void weir__reader_set_patience(
    struct weir_subscriber *subscriber) {
  subscriber->stall_at = weir__reader_from_now(
      subscriber, subscriber->standing == WEIR__GONE ? 0 : subscriber->stall);
}

/* From now on it is so long to the next heartbeat. */
static inline void weir__reader_set_beat(struct weir_subscriber *subscriber) {
  subscriber->beat = false;
  subscriber->beat_at = weir__reader_from_now(
      subscriber,
      subscriber->standing != WEIR__READING ? 0 : subscriber->heartbeat);
}

/* Something has come up for it. */
void weir__reader_ready(struct weir_subscriber *subscriber);

/* Frames for it alone. Takes over the page. */
void weir__reader_add_own(struct weir_subscriber *subscriber,
                          struct weir__page *page);
void weir__reader_free_own(struct weir_subscriber *subscriber);

/* It is no longer attached, nor does it wait: only what is in hand is left. */
void weir__reader_detach(struct weir_subscriber *subscriber,
                         enum weir__standing standing);

/* Have the host cut it off. */
void weir__reader_abort_for(struct weir_subscriber *subscriber, int error);

/* The same, but that it is still attached until the host is told: here it may
 * be in somebody's hands. */
void weir__reader_doom(struct weir_subscriber *subscriber, int error);

/* It is to go: what it holds is leaving. Or it is not, after all; or lets go of
 * all that. */
void weir__reader_yield(struct weir_subscriber *subscriber);
void weir__reader_keep(struct weir_subscriber *subscriber);

/* The host is about to be told so: what is left to be done for that. */
void weir__reader_cut(struct weir_subscriber *subscriber);

/* Whether it is to be cut off, and the host has not been told yet. */
static inline bool weir__reader_is_doomed(
    const struct weir_subscriber *subscriber) {
  return (subscriber->source.notices & WEIR__SAY_ABORT) != 0;
}

/* For weir__floors. */
void weir__reader_deny(struct weir__source *source);
void weir__reader_rewind(struct weir__generation *generation, uint64_t last);

#endif /* WEIR__READER_H */
