/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_HTTP_H
#define WEIR_HTTP_H

/**
 * @file
 * What a host says over HTTP: the status and the head of a response for each
 * verdict and each refusal. A host with a head of its own asks for names and
 * values; one that writes HTTP/1.1 itself asks for the bytes.
 *
 * A stream is answered with 200. So are refusals for now (a limit, draining):
 * with one frame `closing` that has a `retry:`, and the end, because any other
 * status closes an EventSource for good. `finished` is 204 of type
 * text/event-stream, on which clients stop.
 */

#include <weir/base.h>
#include <weir/cursor.h>
#include <weir/hub.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One header field. Its size never changes. */
typedef struct weir_field {
  const void *name;
  size_t name_len;
  const void *value;
  size_t value_len;
} weir_field;

/** weir_http_options.flags: names in lower case; those of `fields` have to
 * be. */
#define WEIR_HTTP_LOWER 0x1u

/** weir_http_options.flags: the host's server frames the body itself, as
 * chunks: no Connection field. */
#define WEIR_HTTP_FRAMED 0x2u

/** weir_http_options.flags: HTTP/2 or 3, which is both of these. */
#define WEIR_HTTP_2 0x3u

/** weir_http_options.flags: with an origin, which is not `*` then:
 * Access-Control-Allow-Credentials. */
#define WEIR_HTTP_CREDENTIALS 0x4u

/** The longest value of X-Stream-Id: a key, percent-encoded. */
#define WEIR_STREAM_ID_MAX 765

/** What a host adds to its responses. */
typedef struct weir_http_options {
  size_t size; /**< of this struct */
  /** Access-Control-Allow-Origin: an origin or `*`; empty is none. */
  const void *origin;
  size_t origin_len;
  /** More fields for every response. */
  const weir_field *fields;
  size_t field_count;
  int32_t unknown_status; /**< 404, 204, or 200 (retry and end); default 404 */
  uint32_t flags;         /**< WEIR_HTTP_... */
  /** Overrides the default "weir." in the type of a refusal's frame, unless
   * NULL. Give the hub's here too, if it has another. */
  const void *prefix;
  size_t prefix_len;
  uint64_t reserved[4];
} weir_http_options;

/** Fill *options, of size bytes, with the defaults.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no. */
WEIR_API void weir_http_options_init(weir_http_options *options, size_t size);

/** A response: its status, and what the functions below need. It points to the
 * options and the key, which stay while it is used; a caller whose memory has
 * moved sets key, key_len and options again. */
typedef struct weir_response {
  size_t size;     /**< of this struct */
  int32_t status;  /**< 200, 204, 400, 404, ...; 0 while pending */
  uint32_t stream; /**< 1: the subscriber's bytes follow the head */
  int32_t verdict;
  int32_t error;
  uint32_t retry; /**< ms, for the frame of a refusal; 0 writes none */
  uint32_t reserved0;
  const void *key;
  size_t key_len;
  const weir_http_options *options;
  uint64_t reserved[2];
} weir_response;

/**
 * Decide a response: from the return value and the verdict of
 * weir_hub_attach, or the error and the verdict of a `decided` notice. retry is
 * for refusals for now. options may be NULL. The caller has set
 * response->size.
 *
 * Returns WEIR_OK or WEIR_EINVAL (a text of the options would end its line, the
 * prefix is none that a hub may have, the name of a field is no token or has
 * upper case with WEIR_HTTP_LOWER, credentials for any origin, unknown_status
 * is none of the three, the key is too long to be one, there is no such
 * verdict, error is positive, or retry is beyond WEIR_RETRY_MAX).
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no.
 */
WEIR_API int weir_http_respond(const weir_http_options *options, int error,
                               int verdict, const void *key, size_t key_len,
                               uint32_t retry, weir_response *response);

/**
 * A request in, its verdict and response out: weir_hub_attach and
 * weir_http_respond in one. A refusal is a response, so it is WEIR_OK here;
 * *subscriber is NULL then. A key or a client that can be none is the client's
 * mistake: 400. While response->status is 0, storage has been asked: keep the
 * options and the key, and call weir_http_respond on the notice `decided`.
 *
 * Returns WEIR_OK, or WEIR_EINVAL, WEIR_EBUSY and WEIR_EGONE, which are the
 * host's mistakes.
 *
 * Reentrancy, threads, memory: as weir_hub_attach.
 */
WEIR_API int weir_http_attach(weir_hub *hub, const weir_attach_options *attach,
                              const weir_http_options *options,
                              weir_subscriber **subscriber,
                              weir_response *response);

/**
 * Write the whole head for HTTP/1.1, with the blank line, into dst. *len as in
 * weir_frame_encode_event.
 *
 * Returns WEIR_OK, WEIR_ENOSPACE, WEIR_EINVAL (pending) or WEIR_EOVERFLOW.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no.
 */
WEIR_API int weir_http_write_head(const weir_response *response, void *dst,
                                  size_t cap, size_t *len);

/**
 * Give field number index (from 0) of the head, for hosts that make it
 * themselves. The value of X-Stream-Id is the key, percent-encoded (all but
 * visible ASCII, and `%`), and is written to dst: WEIR_STREAM_ID_MAX + 1 bytes
 * are enough. All else is static or belongs to the options. Names and values
 * end in a NUL, which is not counted, unless they are the options'.
 *
 * Returns WEIR_OK, WEIR_EDONE (there are no more), WEIR_ENOSPACE, WEIR_EINVAL
 * (pending) or WEIR_EOVERFLOW.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no.
 */
WEIR_API int weir_http_get_field(const weir_response *response, size_t index,
                                 void *dst, size_t cap, weir_field *field);

/**
 * Write the body of a response that is no stream: a frame for a refusal for
 * now, else nothing. *len as in weir_frame_encode_event.
 *
 * Returns WEIR_OK, WEIR_ENOSPACE, WEIR_EINVAL (pending, or a stream) or
 * WEIR_EOVERFLOW.
 *
 * Reentrancy: calls nothing. Threads: any. Allocates: no.
 */
WEIR_API int weir_http_write_body(const weir_response *response, void *dst,
                                  size_t cap, size_t *len);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_HTTP_H */
