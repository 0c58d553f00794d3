/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_SUBSCRIBER_H
#define WEIR_SUBSCRIBER_H

/**
 * @file
 * A subscriber handle: one client connection that reads one stream.
 * weir_hub_attach gives one. It is a cursor that walks the stream's pages; it
 * holds no queue.
 *
 * The notice `readable` says once that there is something to send. Pull until
 * WEIR_EAGAIN; the next notice comes when there is something again. WEIR_EDONE
 * means that nothing will ever follow: close the connection in an orderly way
 * and release the handle. Only consumed bytes count as sent. No time passes in
 * these calls: see weir_hub_run.
 */

#include <weir/base.h>
#include <weir/cursor.h>
#include <weir/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One client connection that reads one stream. */
typedef struct weir_subscriber weir_subscriber;

/** Some bytes, in the layout of struct iovec. Its size never changes. */
typedef struct weir_bytes {
  const void *base;
  size_t len;
} weir_bytes;

/**
 * Look at what there is to send, without a copy: *count runs of bytes are
 * filled in, at most cap, and never more than a few at a time. They stay where
 * they are until they have been consumed or the handle is released, also when
 * the subscriber is detached or its stream has gone; so they may be handed to
 * an asynchronous write. They never change: reading them needs no lock. Calling
 * again shows the same bytes, and more if there is more.
 *
 * Returns WEIR_OK (*count is at least 1), WEIR_EAGAIN, WEIR_EDONE, WEIR_EINVAL
 * (cap is 0), WEIR_EGONE (detached, or the hub has been freed, and nothing is
 * left of what was shown), WEIR_ENOMEM (a frame could not be made; call again,
 * or when a notice says so) or WEIR_EBUSY.
 *
 * Reentrancy: calls storage (read), wake, trace. Threads: the hub's.
 * Allocates: yes.
 */
WEIR_API int weir_subscriber_peek(weir_subscriber *subscriber,
                                  weir_bytes *bytes, size_t cap, size_t *count);

/**
 * Say that n of the bytes that were shown have been sent: any number of them,
 * also in the middle of a frame.
 *
 * Returns WEIR_OK, WEIR_EGONE (NULL) or WEIR_EINVAL (more than were shown:
 * nothing has happened).
 *
 * Reentrancy: calls wake. Threads: the hub's. Allocates: no.
 */
WEIR_API int weir_subscriber_consume(weir_subscriber *subscriber, size_t n);

/**
 * Copy what there is to send into dst, at most cap bytes, and consume it. *len
 * receives the number, at least 1.
 *
 * Returns as weir_subscriber_peek (WEIR_EINVAL: cap is 0).
 * Reentrancy, threads, memory: as weir_subscriber_peek.
 */
WEIR_API int weir_subscriber_read(weir_subscriber *subscriber, void *dst,
                                  size_t cap, size_t *len);

/**
 * Send a signal to this subscriber alone; see weir_stream_signal.
 *
 * Returns WEIR_OK, WEIR_EINVAL, WEIR_EUTF8, WEIR_EJSON, WEIR_ERESERVED,
 * WEIR_ETOOBIG, WEIR_EOVERFLOW, WEIR_EPENDING (as many wait as the ring holds,
 * or 255), WEIR_ERESIDENT, WEIR_ENOMEM, WEIR_EAGAIN (not decided yet),
 * WEIR_EENDED, WEIR_EGONE or WEIR_EBUSY.
 *
 * Reentrancy: calls wake. Threads: the hub's. Allocates: yes.
 */
WEIR_API int weir_subscriber_signal(weir_subscriber *subscriber,
                                    const weir_event *signal);

/**
 * Ask the client to go, in band: after what it has been shown comes a last
 * frame `closing` with the reason (if it is empty, `expired`) and its `retry:`,
 * then WEIR_EDONE. The notice `closing` follows. retry is in ms, 500 to
 * WEIR_RETRY_MAX; 0 is what the client was told at first.
 *
 * Returns WEIR_OK, WEIR_EINVAL (length, retry), WEIR_EUTF8, WEIR_EGONE,
 * WEIR_EAGAIN (not decided yet), WEIR_ERESIDENT, WEIR_ENOMEM or WEIR_EBUSY.
 *
 * Reentrancy: calls wake, trace. Threads: the hub's. Allocates: yes.
 */
WEIR_API int weir_subscriber_close(weir_subscriber *subscriber,
                                   const void *reason, size_t reason_len,
                                   uint32_t retry);

/**
 * The client has gone: leave the stream, at once. The producer is not touched.
 * What has been shown and not consumed stays readable until the release.
 *
 * Reentrancy: everywhere; calls wake and trace (also inside trace). Threads:
 * the hub's. Allocates: no.
 */
WEIR_API void weir_subscriber_detach(weir_subscriber *subscriber);

/** What is known of a subscriber. Everything in it is a copy. */
typedef struct weir_subscriber_info {
  size_t size;     /**< of this struct */
  int32_t verdict; /**< WEIR_VERDICT_PENDING ... WEIR_VERDICT_UNKNOWN */
  int32_t error;   /**< why it was refused later, or aborted; else WEIR_OK */
  /** Where it stands: the last event of which every byte was consumed, or the
   * position that it was given. Once it is detached the epoch is that of the
   * last event that it was shown. */
  weir_cursor position;
  uint64_t generation; /**< its first epoch; 0 while pending */
  uint64_t bytes;      /**< consumed */
  uint64_t events;     /**< consumed to the last byte */
  uint64_t dropped;    /**< signals that it was too slow for */
  uint64_t shown;      /**< bytes shown and not consumed */
  /** 1 from the verdict until it is detached, closed or at the end of its
   * stream. */
  uint32_t attached;
  uint32_t reserved0;
  uint64_t reserved[4];
} weir_subscriber_info;

/**
 * Fill *info, whose size the caller has set.
 *
 * Returns WEIR_OK, WEIR_EINVAL or WEIR_EGONE (the hub has been freed).
 *
 * Reentrancy: calls nothing. Threads: the hub's. Allocates: no.
 */
WEIR_API int weir_subscriber_get_info(const weir_subscriber *subscriber,
                                      weir_subscriber_info *info);

/** The pointer that weir_hub_attach was given.
 *
 * Reentrancy: calls nothing. Threads: the hub's. Allocates: no. */
WEIR_API void *weir_subscriber_get_user(const weir_subscriber *subscriber);

/**
 * Let the handle go, and detach it first if need be. Bytes that were shown are
 * no longer there.
 *
 * Reentrancy, threads, memory: as weir_subscriber_detach.
 */
WEIR_API void weir_subscriber_release(weir_subscriber *subscriber);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_SUBSCRIBER_H */
