/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SERVER_HTTP1_H
#define SERVER_HTTP1_H

/* HTTP/1.1 requests (RFC 9112), from bytes alone: no socket, no memory but the
 * caller's. What could be understood in two ways is refused, since that is what
 * request smuggling lives on. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

#define HTTP_HEAD_MOST 16384  /* bytes of a head: beyond that, 431 */
#define HTTP_TARGET_MOST 8192 /* bytes of its target: beyond that, 414 */

enum http_method {
  HTTP_OTHER,
  HTTP_GET,
  HTTP_HEAD,
  HTTP_POST,
  HTTP_PUT,
  HTTP_DELETE,
  HTTP_OPTIONS
};

/* A head. Slices point into the bytes that were parsed. */
struct http_request {
  enum http_method method;
  struct slice path;  /* percent-encoded, as it came */
  struct slice query; /* without the `?` */
  struct slice host;
  struct slice origin;
  struct slice authorization;
  struct slice last_event_id;
  struct slice request_method; /* Access-Control-Request-Method */
  uint64_t length;             /* Content-Length; 0 if there is none */
  bool has_length;
  bool chunked;
  bool expects_continue;
  bool keep_alive;
  bool asks_close;
  bool version_1_0;
  const char
      *wrong; /* what is to say of an error besides its status; or NULL */
};

/* Parse a head. Returns 0: it is not complete; -1: *head_len bytes are the
 * head; or the status of the error. The method is there as soon as it is known.
 */
int http_parse(const char *bytes, size_t len, struct http_request *request,
               size_t *head_len);

/* A body on its way. */
struct http_body {
  enum http_body_state {
    HTTP_BODY_BYTES,     /* `left` bytes of data */
    HTTP_BODY_SIZE,      /* in the line with a chunk's size */
    HTTP_BODY_EXTENSION, /* behind it */
    HTTP_BODY_SIZE_LF,
    HTTP_BODY_DATA_CR, /* behind a chunk's data */
    HTTP_BODY_DATA_LF,
    HTTP_BODY_TRAILER, /* in a line behind the last chunk */
    HTTP_BODY_TRAILER_LF,
    HTTP_BODY_DONE
  } state;
  bool chunked;
  bool line;         /* the trailer's line is not empty */
  uint8_t digits;    /* of the size */
  uint64_t left;     /* of the data, or of the chunk */
  uint32_t overhead; /* bytes of extensions and trailers */
};

void http_body_init(struct http_body *body, const struct http_request *request);

/* Take in len bytes, and append the data to *data. *used is how many of them
 * belong to the body. Returns 0: go on; -1: the body is complete; or the status
 * of the error, 413 if there would be more than `most` bytes of data. */
int http_body_feed(struct http_body *body, const char *bytes, size_t len,
                   size_t *used, struct text *data, uint64_t most);

/* The words for a status. */
const char *http_reason(int status);

#endif /* SERVER_HTTP1_H */
