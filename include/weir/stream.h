/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_STREAM_H
#define WEIR_STREAM_H

/**
 * @file
 * A stream handle: the producer's end of a generation. weir_hub_open gives
 * one; several may stand for the same generation (WEIR_DUPLICATE_JOIN), each
 * with notices of its own.
 *
 * A generation ends exactly once: by weir_stream_end, _fail or _cancel, by a
 * timer whose action says so, by being replaced, or because storage refused an
 * event. Releasing handles does not end it, and a client that leaves does not
 * either.
 */

#include <weir/base.h>
#include <weir/cursor.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The producer's end of a generation. */
typedef struct weir_stream weir_stream;

/** weir_event.flags: the data is JSON, nested at most 100 deep. An envelope
 * then carries it as it is instead of as a string; without an envelope it is
 * checked all the same. */
#define WEIR_EVENT_JSON 0x1u

/** An event, or a signal, as the application has it. */
typedef struct weir_event {
  size_t size; /**< of this struct, which is also the step of an array */
  /** Empty is "message". Refused: CR, LF, NUL; what weir writes itself
   * (`ready` and so on, with the stream's prefix); `open` and `error`, which
   * fire an EventSource's own handlers; more than WEIR_TYPE_MAX bytes. */
  const void *type;
  size_t type_len;
  const void *data;
  size_t data_len;
  /** Not 0: a `stored` notice with this tag comes when storage has answered.
   * 0 for signals. */
  uint64_t tag;
  uint32_t flags; /**< WEIR_EVENT_... */
  uint32_t reserved0;
  uint64_t reserved[2];
} weir_event;

/** Fill *event, of size bytes, with zeros and its size.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no. */
WEIR_API void weir_event_init(weir_event *event, size_t size);

/**
 * Publish count events (events[0].size apart), all or none, in order.
 *
 * *last receives the number of the last one; 0 for a shared stream, whose
 * numbers storage gives (see the `stored` notice). last may be NULL.
 *
 * An event is seen by clients when storage has accepted it: at once without a
 * log. If a synchronous log refuses, the call says so and the stream has
 * failed; an asynchronous one says so in the notices `stored` and `ended`.
 *
 * Returns WEIR_OK, WEIR_EINVAL (also: opened to look), WEIR_EUTF8, WEIR_EJSON,
 * WEIR_ERESERVED, WEIR_ETOOBIG, WEIR_EPENDING, WEIR_ERESIDENT, WEIR_EOVERFLOW
 * (no more numbers), WEIR_ENOMEM, WEIR_EAGAIN (the open has not been decided
 * yet, or another writes), WEIR_EENDED, WEIR_EFENCED, WEIR_EGONE (also: the
 * open was refused), WEIR_EBUSY, or what storage refused with (see
 * weir_answer).
 *
 * Reentrancy: calls storage, wake, trace. Threads: the hub's.
 * Allocates: yes.
 */
WEIR_API int weir_stream_publish(weir_stream *stream, const weir_event *events,
                                 size_t count, uint64_t *last);

/**
 * Send a signal to those who are connected now: never stored, never with an
 * id, delivered after the events that were published before it. A bounded ring
 * keeps them for slow readers; what falls off is dropped and counted.
 *
 * *reached, if not NULL, receives the number of subscribers that it is for.
 *
 * Returns WEIR_OK, WEIR_EINVAL (also: a tag; opened to look), WEIR_EUTF8,
 * WEIR_EJSON, WEIR_ERESERVED, WEIR_ETOOBIG, WEIR_EOVERFLOW, WEIR_ERESIDENT,
 * WEIR_ENOMEM, WEIR_EAGAIN (the open has not been decided yet), WEIR_EENDED,
 * WEIR_EGONE or WEIR_EBUSY.
 *
 * Reentrancy: calls wake. Threads: the hub's. Allocates: yes.
 */
WEIR_API int weir_stream_signal(weir_stream *stream, const weir_event *signal,
                                uint64_t *reached);

/**
 * End the generation: an event of type `done`, with the reason, is its last.
 * The reason is text of at most WEIR_REASON_MAX bytes; clients see it. tag is
 * as in weir_event; *seq, if not NULL, receives the number of the end (0 if not
 * known yet). May be called before the open has been decided.
 *
 * Returns WEIR_OK, WEIR_EINVAL (length; opened to look), WEIR_EUTF8,
 * WEIR_EAGAIN (another writes), WEIR_EENDED, WEIR_EFENCED, WEIR_EGONE,
 * WEIR_ERESIDENT, WEIR_EOVERFLOW, WEIR_ENOMEM, WEIR_EBUSY, or what storage
 * refused with.
 *
 * Reentrancy: calls storage, wake, trace. Threads: the hub's.
 * Allocates: yes.
 */
WEIR_API int weir_stream_end(weir_stream *stream, const void *reason,
                             size_t reason_len, uint64_t tag, uint64_t *seq);

/**
 * End the generation by failing: an event of type `failed`, with a code (at
 * most WEIR_REASON_MAX bytes) and a message (at most WEIR_MESSAGE_MAX). Clients
 * see both: the message is a safe text, never the raw error.
 *
 * Returns, reentrancy, threads, memory: as weir_stream_end.
 */
WEIR_API int weir_stream_fail(weir_stream *stream, const void *code,
                              size_t code_len, const void *message,
                              size_t message_len, uint64_t tag, uint64_t *seq);

/**
 * Ask the producer to stop: every handle of the generation gets the notice
 * `cancelled`, and the generation ends with the reason; if that is empty, with
 * `cancelled`. Also where another writes: the generation is taken over, and
 * then ended. This has nothing to do with clients that leave: see
 * weir_subscriber_detach.
 *
 * Returns WEIR_OK, WEIR_EENDED (nothing happened: the end came first),
 * WEIR_EENTROPY, or as weir_stream_end, also on a handle that looks.
 * Reentrancy, threads, memory: as weir_stream_end.
 */
WEIR_API int weir_stream_cancel(weir_stream *stream, const void *reason,
                                size_t reason_len);

/**
 * Forget the events up to and including `through`: clients that ask for them
 * get a gap. With a log, storage is asked to; what it forgot is known when it
 * has answered. Of a refusal only trace hears.
 *
 * Returns WEIR_OK, WEIR_EINVAL (through is beyond the last event; opened to
 * look), WEIR_EAGAIN, WEIR_EGONE or WEIR_EBUSY.
 *
 * Reentrancy: calls storage, wake, trace. Threads: the hub's.
 * Allocates: yes.
 */
WEIR_API int weir_stream_trim(weir_stream *stream, uint64_t through);

/** What a stream is doing. */
enum {
  WEIR_STREAM_OPENING = 0, /**< storage has not answered yet */
  WEIR_STREAM_LIVE = 1,
  WEIR_STREAM_ENDING = 2, /**< the end waits for storage */
  WEIR_STREAM_ENDED = 3,
  WEIR_STREAM_FAILED = 4, /**< storage refused; its end is not logged yet */
  WEIR_STREAM_FENCED = 5, /**< another writer has taken over; readers go on */
  WEIR_STREAM_REFUSED = 6 /**< the open was refused: this handle has none */
};

/** What is known of a stream. Everything in it is a copy. */
typedef struct weir_stream_info {
  size_t size;    /**< of this struct */
  int32_t status; /**< WEIR_STREAM_... */
  /** 1 if the generation was there when this handle was opened. */
  uint32_t joined;
  uint32_t failed; /**< 1 if it ended by failing, as far as the log says so */
  uint32_t subscribers;
  uint64_t generation; /**< its first epoch; format it with seq 0 */
  uint64_t epoch;      /**< the newest */
  uint64_t trimmed;
  uint64_t last; /**< the newest event that storage has accepted */
  uint64_t ended;
  uint64_t pending;  /**< events that wait for storage */
  uint64_t resident; /**< bytes of frames in memory */
  uint64_t events;   /**< published through this hub */
  uint64_t signals;
  uint64_t dropped; /**< signals that readers were too slow for */
  uint64_t label;   /**< weir_open_options.label of whoever began it */
  int32_t error;    /**< REFUSED, FAILED: why, else WEIR_OK */
  uint32_t reserved0;
  uint64_t reserved[2];
} weir_stream_info;

/**
 * Fill *info, whose size the caller has set.
 *
 * Returns WEIR_OK, WEIR_EINVAL or WEIR_EGONE (the hub has been freed).
 *
 * Reentrancy: calls nothing. Threads: the hub's. Allocates: no.
 */
WEIR_API int weir_stream_get_info(const weir_stream *stream,
                                  weir_stream_info *info);

/** The pointer that weir_hub_open was given.
 *
 * Reentrancy: calls nothing. Threads: the hub's. Allocates: no. */
WEIR_API void *weir_stream_get_user(const weir_stream *stream);

/**
 * Let the handle go. Its notices are gone with it; the generation is not.
 *
 * Reentrancy: everywhere; calls wake. Threads: the hub's. Allocates: no.
 */
WEIR_API void weir_stream_release(weir_stream *stream);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_STREAM_H */
