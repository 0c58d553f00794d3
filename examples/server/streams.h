/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SERVER_STREAMS_H
#define SERVER_STREAMS_H

/* The wiring of weir: this is the file to read, and to copy from. */

#include "server.h"

/* What is said of a key that cannot be one. */
#define STREAMS_KEY_RULE \
  "a key is 1 to 255 bytes of UTF-8, without control characters"

/* GET /streams/KEY: attach a client. */
void streams_read(struct conn *conn, const struct http_request *request,
                  struct slice key);

/* What else can be done with a stream. */
enum streams_action {
  STREAMS_OPEN,    /* PUT    /streams/KEY */
  STREAMS_PUBLISH, /* POST   /streams/KEY/events */
  STREAMS_SIGNAL,  /* POST   /streams/KEY/signals */
  STREAMS_END,     /* POST   /streams/KEY/end */
  STREAMS_FAIL,    /* POST   /streams/KEY/fail */
  STREAMS_CANCEL,  /* DELETE /streams/KEY */
  STREAMS_INFO     /* GET    /streams/KEY/info */
};
void streams_act(struct conn *conn, const struct http_request *request,
                 struct slice key, enum streams_action action,
                 struct slice body);

/* Put what an open chose into *options: the query's on_duplicate, envelope and
 * timers. Returns the rule that one of them breaks, or NULL. */
const char *streams_choose(struct slice query, weir_open_options *options);

/* {"stream","generation","epoch"} */
void streams_describe(const weir_stream *stream, struct slice key,
                      struct text *body);

/* conn_handler.writable and .closed */
void streams_writable(struct conn *conn);
void streams_closed(struct conn *conn);

/* weir_hub_options.notify */
void streams_notify(void *user, const weir_notice *notice);

#endif /* SERVER_STREAMS_H */
