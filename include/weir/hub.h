/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_HUB_H
#define WEIR_HUB_H

/**
 * @file
 * The hub: the registry of streams, with their timers, limits and counters. A
 * host has one per event loop. It drives it with three calls: sleep for
 * weir_hub_get_timeout, call weir_hub_run (or weir_hub_next until WEIR_EAGAIN),
 * and do what the notices say.
 */

#include <weir/base.h>
#include <weir/cursor.h>
#include <weir/log.h>
#include <weir/stream.h>
#include <weir/subscriber.h>

#ifdef __cplusplus
extern "C" {
#endif

/** weir_notice.kind. Of a subscriber: */
enum {
  WEIR_NOTICE_DECIDED = 1,  /**< the verdict is known: make the head now, and
                               pull if there is a stream */
  WEIR_NOTICE_READABLE = 2, /**< there is something to send: pull */
  WEIR_NOTICE_CLOSING = 3,  /**< pull until WEIR_EDONE, then close */
  WEIR_NOTICE_ABORT = 4     /**< close the transport now, which is all that is
                               left of it; see `error` */
};
/** weir_notice.kind. Of a stream, for each of its handles: */
enum {
  WEIR_NOTICE_OPENED = 16,    /**< the open is decided; see `error` */
  WEIR_NOTICE_STORED = 17,    /**< storage has answered; see tag, seq, error */
  WEIR_NOTICE_EXPIRED = 18,   /**< a timer has fired; see `timer` */
  WEIR_NOTICE_ABANDONED = 19, /**< nobody has read for so long */
  WEIR_NOTICE_CANCELLED = 20, /**< stop the work */
  WEIR_NOTICE_ENDED = 21      /**< the end is stored, or storage refused it or
                                 an event */
};

/** weir_notice.timer: the watchdogs of a stream. */
enum {
  WEIR_TIMER_FIRST_EVENT = 1, /**< no event since the open */
  WEIR_TIMER_IDLE = 2,        /**< no event since the last one */
  WEIR_TIMER_LIFETIME = 3     /**< open for too long */
};

/** What weir tells the host. What `notify` gets is valid during the call.
 * Handles in it are the host's own, or NULL. */
typedef struct weir_notice {
  size_t size;  /**< of this struct */
  int32_t kind; /**< WEIR_NOTICE_... */
  /** DECIDED, OPENED, STORED: WEIR_OK or why not. ABORT: why. CANCELLED:
   * WEIR_OK, or WEIR_EFENCED if another writer took over. ENDED: WEIR_OK, or
   * why storage refused the end or an event. */
  int32_t error;
  void *user; /**< the handle's user pointer */
  weir_subscriber *subscriber;
  weir_stream *stream;
  uint64_t tag;    /**< STORED: the publisher's tag */
  uint64_t seq;    /**< STORED, ENDED: the event's number; 0 is not known */
  int32_t verdict; /**< DECIDED: the verdict */
  int32_t timer;   /**< EXPIRED: WEIR_TIMER_... */
  uint32_t retry;  /**< DECIDED: for weir_http_respond */
  uint32_t reserved0;
  uint64_t reserved[1];
} weir_notice;

/** weir_trace.kind. */
enum {
  WEIR_TRACE_ATTACH = 1, /**< a client was let in, or had finished: verdict,
                            its cursor */
  WEIR_TRACE_DETACH = 2, /**< a client left, or was aborted: its position,
                            bytes */
  WEIR_TRACE_OPEN = 3,   /**< a generation began, or was taken over */
  WEIR_TRACE_END = 4,    /**< a generation ended */
  WEIR_TRACE_LOG = 5,    /**< storage failed a call: error */
  WEIR_TRACE_ABORT = 6   /**< a subscriber was aborted: error */
};

/** Something that happened, for logs and metrics. */
typedef struct weir_trace {
  size_t size;     /**< of this struct */
  int32_t kind;    /**< WEIR_TRACE_... */
  int32_t error;   /**< LOG, ABORT: what has failed; else WEIR_OK */
  const void *key; /**< of the stream; empty if it is no longer known */
  size_t key_len;
  uint64_t generation;
  /** ATTACH: the client's cursor as weir_cursor_pick gives it, unchecked; empty
   * if that gives none. */
  const void *text;
  size_t text_len;
  /** ATTACH, DETACH, ABORT: the client's position. OPEN, END, LOG: the newest
   * epoch, and the newest event that is stored. */
  uint64_t epoch;
  uint64_t seq;
  uint64_t bytes;  /**< DETACH, ABORT: consumed */
  int32_t verdict; /**< ATTACH, DETACH, ABORT */
  uint32_t reserved0;
  void *user; /**< ATTACH, DETACH, ABORT: of the subscriber */
  uint64_t reserved[2];
} weir_trace;

/** What a hub is made of. Everything has a default. */
typedef struct weir_hub_options {
  size_t size; /**< of this struct */

  /** Copied; NULL is malloc and free. */
  const weir_allocator *allocator;
  /** Monotonic milliseconds; NULL is the system's clock. */
  uint64_t (*clock)(void *user);
  void *clock_user;
  /** Fill dst with len random bytes and return 1; all else has failed
   * (WEIR_EENTROPY). NULL is the system's source. Epochs come from here, so do
   * not weaken it except in tests. */
  int (*entropy)(void *user, void *dst, size_t len);
  void *entropy_user;
  /** Storage. Copied; NULL: the pages in memory are all there is. */
  const weir_log *log;

  /** weir_hub_run hands notices to this. */
  void (*notify)(void *user, const weir_notice *notice);
  void *notify_user;
  /** Called once when weir_hub_get_timeout has become less than it last said,
   * and not because time has passed: there is something to do, or a deadline
   * has come nearer. It may only schedule (write to a pipe, uv_async_send). */
  void (*wake)(void *user);
  void *wake_user;
  /** Called in mid-operation; may call only what base.h lists for it. */
  void (*trace)(void *user, const weir_trace *trace);
  void *trace_user;

  /** The prefix of the types that weir writes itself; default "weir.". At most
   * WEIR_PREFIX_MAX bytes; none with a length of 0. weir_open_options can
   * override it. What refuses a client over HTTP has one of its own:
   * weir_http_options. */
  const void *prefix;
  size_t prefix_len;
  int32_t cursor_format; /**< WEIR_CURSOR_EPOCH or WEIR_CURSOR_DECIMAL */
  uint32_t flags;        /**< WEIR_HUB_... */

  /* Limits. 0 is no limit, unless a comment says otherwise. */
  uint64_t max_streams;            /**< default 1,000,000 */
  uint64_t max_subscribers;        /**< default 1,000,000 */
  uint64_t max_stream_subscribers; /**< of one stream; default 0 */
  uint64_t max_client_subscribers; /**< of a client key on a stream; 6 */
  uint64_t max_event_bytes;        /**< of the data; default 1 MiB */
  uint64_t max_event_lines;        /**< 1 to 100,000, default 100,000 */
  uint64_t max_pending;            /**< a stream's, for storage; default 4096 */
  uint64_t max_resident;           /**< bytes of pages; default 256 MiB; a
                                      sixteenth more for ends, and for frames of
                                      weir's own to single readers */

  /* The history of a stream in memory. Without a log these say what is kept.
   * With one, history_bytes bounds the cache, of which at most a sixteenth is
   * what storage has brought for a stream's only reader; the others have no
   * effect. */
  uint64_t history_bytes;  /**< default 8 MiB */
  uint64_t history_events; /**< default 0 */
  uint64_t history_age;    /**< ms; default 0 */

  uint32_t signal_ring; /**< signals kept for slow readers: 1 to 65,536; 64 */
  uint32_t recheck;     /**< ms between looks at a stream that others write or
                           may have taken over; 12,000; 0 is never */
  uint64_t reserved[8];
} weir_hub_options;

/** weir_hub_options.flags: publish bytes that are not UTF-8, and NULs, as they
 * are. Some clients close the connection on them. */
#define WEIR_HUB_BYTES 0x1u

/** Fill *options, of size bytes, with the defaults.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no. */
WEIR_API void weir_hub_options_init(weir_hub_options *options, size_t size);

/**
 * Make a hub. NULL options are the defaults.
 *
 * Returns WEIR_OK, WEIR_EINVAL, WEIR_ENOMEM or WEIR_EENTROPY.
 *
 * Reentrancy: calls clock and entropy. Threads: any. Allocates: yes.
 */
WEIR_API int weir_hub_new(const weir_hub_options *options, weir_hub **hub);

/**
 * Free a hub: its streams are forgotten (their logs are not), no further
 * notice comes. Handles that are still held answer WEIR_EGONE until they are
 * released, and keep the allocator in use until then. A storage call under way
 * keeps what it needs: it may be answered once more, never twice. Otherwise the
 * pointer is dead; no other function takes it.
 *
 * Reentrancy: legal in a notice, where it takes effect when weir_hub_run
 * returns, but between two calls of weir_hub_next at once; not inside a storage
 * function or trace. Calls storage (close), trace. Threads: the hub's.
 * Allocates: no.
 */
WEIR_API void weir_hub_free(weir_hub *hub);

/**
 * How long the host may sleep, for poll(2) and its kin: milliseconds until
 * weir_hub_run has something to do, 0 if it has now, -1 for no limit.
 *
 * Reentrancy: calls clock. Threads: the hub's. Allocates: no.
 */
WEIR_API int weir_hub_get_timeout(weir_hub *hub);

/**
 * Let time pass and hand out the notices that were due when called, to
 * `notify`; without one they stay for weir_hub_next.
 *
 * Time passes for a hub in this call, weir_hub_next, weir_hub_get_timeout and
 * whatever opens, publishes or attaches; a host calls one of them after every
 * sleep, before it serves sockets.
 *
 * Returns WEIR_OK, WEIR_EGONE, or WEIR_EBUSY inside a notice or a storage
 * function.
 *
 * Reentrancy: calls notify, storage, trace. Threads: the hub's. Allocates:
 * yes.
 */
WEIR_API int weir_hub_run(weir_hub *hub);

/**
 * Let time pass and take one notice: the polling twin of weir_hub_run. The
 * caller has set notice->size.
 *
 * Returns WEIR_OK, WEIR_EAGAIN (there is none), WEIR_EINVAL, WEIR_EGONE or
 * WEIR_EBUSY.
 *
 * Reentrancy: calls storage, trace. Threads: the hub's. Allocates: yes.
 */
WEIR_API int weir_hub_next(weir_hub *hub, weir_notice *notice);

/** What a watchdog does when it fires, besides its notice. */
enum {
  WEIR_ACTION_NOTICE = 0, /**< nothing */
  WEIR_ACTION_END = 1,    /**< end the generation; the reason names the timer */
  WEIR_ACTION_FAIL = 2    /**< fail it; the code names the timer */
};

/** What becomes of an open when the key has a live generation. */
enum {
  WEIR_DUPLICATE_JOIN = 0, /**< become another producer of it */
  WEIR_DUPLICATE_REPLACE =
      1, /**< cancel it (`replaced_by_new_stream`) and begin anew */
  WEIR_DUPLICATE_REJECT = 2 /**< fail with WEIR_EEXISTS; as with
                               WEIR_OPEN_LOOK, storage is asked first */
};

/** weir_open_options.flags: only where there is a live generation, to join or
 * to replace; fail with WEIR_ENOENT where there is none, with WEIR_EENDED where
 * the last one has ended. As with the next one and WEIR_OPEN_LOOK, storage is
 * asked first for what other writers may have changed. */
#define WEIR_OPEN_EXISTING 0x1u
/** weir_open_options.flags: where the last generation has ended, fail with
 * WEIR_EENDED instead of beginning another. */
#define WEIR_OPEN_UNENDED 0x2u
/** weir_open_options.flags: storage numbers the events of this stream. */
#define WEIR_OPEN_SHARED 0x4u
/** weir_open_options.flags: events are wrapped in JSON that names them. */
#define WEIR_OPEN_ENVELOPE 0x8u
/** weir_open_options.flags: only look, and hear of what happens: join what is
 * there, live or ended, and never begin a generation or take one over from
 * another writer. */
#define WEIR_OPEN_LOOK 0x10u

/** How a stream is opened. What does not concern this call alone (envelope,
 * prefix, members, timers, shared) holds for the generation, is kept with it in
 * the log, and is chosen by whoever began it. */
typedef struct weir_open_options {
  size_t size; /**< of this struct */
  /** UTF-8 text of 1 to WEIR_KEY_MAX bytes without control characters; of the
   * host's choosing, never of the client's cursor. */
  const void *key;
  size_t key_len;
  void *user;
  int32_t on_duplicate; /**< WEIR_DUPLICATE_JOIN ... */
  uint32_t flags;       /**< WEIR_OPEN_... */
  /** Overrides the hub's prefix unless NULL. */
  const void *prefix;
  size_t prefix_len;
  /** Members to add to every JSON object that weir writes for this stream,
   * such as `"app":"x"`; at most WEIR_MEMBERS_MAX bytes. */
  const void *members;
  size_t members_len;
  /* Watchdogs, in ms; 0 is off, the default but for linger. */
  uint64_t first_event;   /**< from the open to the first event */
  uint64_t idle;          /**< from an event to the next */
  uint64_t lifetime;      /**< of the generation */
  uint64_t abandoned;     /**< without a subscriber */
  uint64_t linger;        /**< in memory after the end or, with a log, the last
                             use; default 600,000 */
  int32_t on_first_event; /**< WEIR_ACTION_... */
  int32_t on_idle;
  int32_t on_lifetime;
  int32_t on_abandoned;
  /** A number of the application's own, kept with the generation in storage:
   * for instance which part of the program produces the events, so that after a
   * restart it can tell the streams that somebody goes on with from those that
   * nobody will. See weir_stream_info.label and weir_meta_get_label. */
  uint64_t label;
  uint64_t reserved[7];
} weir_open_options;

/** Fill *options, of size bytes, with the defaults.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no. */
WEIR_API void weir_open_options_init(weir_open_options *options, size_t size);

/** Set the watchdogs of an answer that types itself out: fail it after 35 s
 * without a first event, and 55 s after its last one.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no. */
WEIR_API void weir_open_options_set_answer(weir_open_options *options);

/**
 * Open a stream for writing: begin a generation, or join the one that is
 * there. With a log that answers later the handle comes at once, says
 * WEIR_STREAM_OPENING, and the notice `opened` brings the result; else the
 * result is here and there is no such notice.
 *
 * Returns WEIR_OK, WEIR_EINVAL (also: shared without a log), WEIR_EUTF8,
 * WEIR_EJSON (members), WEIR_ENOENT (WEIR_OPEN_EXISTING, WEIR_OPEN_LOOK),
 * WEIR_EENDED (WEIR_OPEN_EXISTING, WEIR_OPEN_UNENDED), WEIR_EEXISTS,
 * WEIR_EFENCED (another writer was faster), WEIR_ESTREAMS, WEIR_EDRAINING,
 * WEIR_ERESIDENT and WEIR_EOVERFLOW (the end of what is replaced),
 * WEIR_EENTROPY, WEIR_ENOMEM, WEIR_EBUSY, WEIR_EGONE, or what storage refused
 * with (see weir_answer).
 *
 * Reentrancy: calls storage, wake, trace. Threads: the hub's.
 * Allocates: yes.
 */
WEIR_API int weir_hub_open(weir_hub *hub, const weir_open_options *options,
                           weir_stream **stream);

/** What becomes of an attach when its client key is attached already. */
enum {
  WEIR_CLIENT_REPLACE = 0, /**< the older ones are told to go, and not to return
                                soon; unless that was done in the last ten
                                minutes: then as ALLOW */
  WEIR_CLIENT_ALLOW = 1,   /**< up to max_client_subscribers */
  WEIR_CLIENT_REJECT = 2   /**< fail with WEIR_EEXISTS */
};

/** weir_attach_options.flags: heartbeats are `ping` events, which a page sees,
 * instead of comments. */
#define WEIR_ATTACH_PING 0x1u
/** weir_attach_options.flags: fail with WEIR_EMALFORMED where the verdict would
 * be malformed. */
#define WEIR_ATTACH_STRICT 0x2u

/** How a client is attached. */
typedef struct weir_attach_options {
  size_t size; /**< of this struct */
  /** The stream; see weir_open_options. */
  const void *key;
  size_t key_len;
  void *user;
  /** Where its cursor may stand; NULL is no cursor. A host without HTTP puts
   * the text in `header`. */
  const weir_request *request;
  int32_t start;  /**< WEIR_FROM_START, WEIR_FROM_HEAD */
  uint32_t flags; /**< WEIR_ATTACH_... */
  /** Names the client among those of this stream: at most WEIR_CLIENT_MAX
   * bytes; empty is anonymous. */
  const void *client;
  size_t client_len;
  int32_t on_duplicate; /**< WEIR_CLIENT_... */
  uint32_t reserved0;
  /* Times in ms; 0 is off. What has a jitter is drawn once per connection.
   * The jitters of heartbeat and lifetime are less than these. The retry times
   * are at least 500 and, with their jitter (6,000 for retry_replaced), at most
   * WEIR_RETRY_MAX. */
  uint32_t heartbeat;        /**< after the last byte; 12,000 */
  uint32_t heartbeat_jitter; /**< up to this much sooner; 1,200 */
  uint32_t stall;            /**< without progress in writing; 30,000 */
  uint32_t retry;            /**< told to the client, also in its last frame or
                                  in a refusal; 1,000 */
  uint32_t retry_jitter;     /**< up to this much more; 500 */
  uint32_t retry_replaced;   /**< told to the loser of a duplicate, which is
                                  this one with REJECT; 60,000, and up to 6,000
                                  more for one that is replaced */
  uint64_t lifetime;         /**< of the connection; off. Some clients that are
                                  not an EventSource take it for the end */
  uint64_t lifetime_jitter;  /**< up to this much sooner, 2^32-1 at most; 0 */
  uint64_t reserved[8];
} weir_attach_options;

/** Fill *options, of size bytes, with the defaults.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no. */
WEIR_API void weir_attach_options_init(weir_attach_options *options,
                                       size_t size);

/**
 * Attach a client to a stream. This never begins a generation.
 *
 * *verdict says what became of its cursor. WEIR_VERDICT_FINISHED and
 * WEIR_VERDICT_UNKNOWN give no subscriber (*subscriber is NULL).
 * WEIR_VERDICT_PENDING: the notice `decided` comes, with the verdict or an
 * error; make the response head then. On all others there is something to send
 * at once, and the notice `readable` comes too.
 *
 * Returns WEIR_OK, WEIR_EINVAL, WEIR_EUTF8, WEIR_EMALFORMED
 * (WEIR_ATTACH_STRICT), WEIR_EEXISTS (WEIR_CLIENT_REJECT), WEIR_EDRAINING,
 * WEIR_ESUBSCRIBERS, WEIR_ECROWD, WEIR_ECLIENT, WEIR_ESTREAMS, WEIR_ERESIDENT,
 * WEIR_ENOMEM, WEIR_EBUSY, WEIR_EGONE, or what storage refused with (see
 * weir_answer).
 *
 * Reentrancy: calls storage, wake, trace. Threads: the hub's.
 * Allocates: yes.
 */
WEIR_API int weir_hub_attach(weir_hub *hub, const weir_attach_options *options,
                             weir_subscriber **subscriber, int *verdict);

/**
 * A hint that the log of this key now reaches `last`: another process has
 * published. It is only a reason to read on; one that is wrong, late, doubled
 * or for a key that nobody reads here does nothing. While someone waits, a
 * slow look (weir_hub_options.recheck) covers hints that were lost, and ends
 * what another generation hides if nobody else has.
 *
 * Returns WEIR_OK, WEIR_EBUSY or WEIR_EGONE.
 *
 * Reentrancy: calls storage, wake, trace. Threads: the hub's.
 * Allocates: yes.
 */
WEIR_API int weir_hub_hint(weir_hub *hub, const void *key, size_t key_len,
                           uint64_t last);

/**
 * Take no one in any more, no open and no attach, and tell the clients to go
 * (frame `closing`, reason `draining`, its `retry:`) at times drawn from the
 * next `over` milliseconds (2^32-2 at most). retry is as in
 * weir_subscriber_close, and is told to those who come, too. There is no way
 * back. weir_hub_get_info says how many are left.
 *
 * Returns WEIR_OK, WEIR_EINVAL (retry), WEIR_EBUSY or WEIR_EGONE.
 *
 * Reentrancy: calls wake. Threads: the hub's. Allocates: no.
 */
WEIR_API int weir_hub_drain(weir_hub *hub, uint64_t over, uint32_t retry);

/** Counters. Those without a comment count since the hub was made. */
typedef struct weir_hub_info {
  size_t size;          /**< of this struct */
  uint64_t streams;     /**< now, the ended that linger included */
  uint64_t subscribers; /**< now */
  uint64_t pending;     /**< now: attaches and opens that wait for storage */
  uint64_t resident;    /**< now: bytes of pages */
  uint64_t calls;       /**< now: storage calls under way */
  uint64_t opens;       /**< generations begun or taken over */
  uint64_t ends;
  uint64_t attaches;
  uint64_t detaches;
  uint64_t events;
  uint64_t signals;
  uint64_t dropped;   /**< signals that readers were too slow for */
  uint64_t bytes;     /**< consumed */
  uint64_t delivered; /**< events consumed */
  uint64_t heartbeats;
  uint64_t gaps;     /**< gap frames made */
  uint64_t trimmed;  /**< events that were dropped from histories */
  uint64_t stalled;  /**< aborts: no progress in writing */
  uint64_t evicted;  /**< aborts: held memory that was needed */
  uint64_t replaced; /**< clients that another with their key displaced */
  uint64_t refused;  /**< attaches that a limit or a policy refused */
  uint64_t appends;
  uint64_t reads;
  uint64_t log_errors;
  uint64_t stale; /**< answers to calls that were no longer open */
  /** By verdict: verdicts[WEIR_VERDICT_FRESH] and so on. */
  uint64_t verdicts[10];
  uint64_t reserved[8];
} weir_hub_info;

/**
 * Fill *info, whose size the caller has set.
 *
 * Returns WEIR_OK, WEIR_EGONE (NULL) or WEIR_EINVAL.
 *
 * Reentrancy: calls nothing. Threads: the hub's. Allocates: no.
 */
WEIR_API int weir_hub_get_info(const weir_hub *hub, weir_hub_info *info);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_HUB_H */
