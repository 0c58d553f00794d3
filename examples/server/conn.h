/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SERVER_CONN_H
#define SERVER_CONN_H

/* Connections: bytes in, requests out; responses in, bytes out. What a request
 * means is for the files above, which give this one their functions. */

#include <weir/weir.h>

#include "http1.h"
#include "loop.h"
#include "text.h"

struct conn;
struct job;
struct server;

/* The user pointer of every handle of weir's points to one of these. */
struct listener {
  void (*hear)(struct listener *listener, const weir_notice *notice);
};

/* A request with a body, which takes more than one turn. */
struct exchange {
  struct text head; /* what the request points into */
  struct http_request request;
  struct http_body decoder;
  struct text body;
  uint64_t started; /* ms */
};

/* What the floors above do for connections. */
struct conn_handler {
  /* Look at a head before its body is read. false: it has been refused, with a
   * response after which the connection closes. */
  bool (*admit)(struct conn *conn, const struct http_request *request);
  /* Answer what is not a request, or takes too long to become one; the
   * connection closes after it. `wrong` says what is wrong; NULL: the status
   * says it all. */
  void (*refuse)(struct conn *conn, int status, const char *wrong);
  /* Answer a request: by a response, by conn_wait and a response later, or by
   * conn_stream. */
  void (*handle)(struct conn *conn, const struct http_request *request,
                 struct slice body);
  /* There is room to write to a stream. */
  void (*writable)(struct conn *conn);
  /* The connection goes. */
  void (*closed)(struct conn *conn);
};

/* What a connection is doing. */
enum conn_state {
  CONN_HEAD,   /* waiting for a request */
  CONN_BODY,   /* in its body */
  CONN_WAIT,   /* its answer is not known yet */
  CONN_STREAM, /* Server-Sent Events */
  CONN_FLUSH,  /* the last response is on its way */
  CONN_LINGER  /* all is sent; the peer may still be sending */
};

/* Timeouts, each with a length of its own, so that those of one kind are due in
 * the order in which they began. */
enum conn_timeout {
  CONN_IN_HEAD,
  CONN_IDLE,
  CONN_IN_BODY,
  CONN_IN_WRITE,
  CONN_IN_LINGER,
  CONN_WITHOUT_END, /* weir's clocks see to it */
  CONN_TIMEOUTS,
  CONN_NO_TIMEOUT = CONN_TIMEOUTS
};

struct conn {
  struct listener listener; /* first: the user pointer of its subscriber */
  struct conn *next;        /* with the same timeout, due later */
  struct conn *previous;
  struct conn_pool *pool;
  struct exchange *exchange; /* while a request has one */
  weir_subscriber *subscriber;
  weir_stream *stream; /* of the job */
  struct job *job;     /* what a request that waits is about */
  char *client;        /* the client key of a reader, for scissors */
  struct text in;      /* what has come of a request that is not complete */
  struct text out;     /* to be sent before any bytes of a stream */
  size_t sent;         /* of it */
  uint64_t due;
  int fd;
  uint8_t state;
  uint8_t timeout;
  uint8_t watched; /* events that the loop looks for */
  bool keep_alive; /* the peer wants it so */
  bool no_body;    /* the response to a HEAD */
  bool ended;      /* the peer sends nothing more */
  bool is_http_1_0;
};

/* ms: no timeout. */
#define CONN_NEVER (UINT64_MAX / 2)

/* All connections of a server. */
struct conn_pool {
  struct server *server;
  const struct conn_handler *handler;
  struct loop *loop;
  uint64_t now; /* ms */
  size_t count;
  size_t body_bytes;                 /* of bodies on their way, all together */
  size_t body_limit;                 /* of all of them */
  uint64_t body_most;                /* of one */
  uint64_t timeouts[CONN_TIMEOUTS];  /* ms */
  bool closing;                      /* no keep-alive any more */
  struct conn *first[CONN_TIMEOUTS]; /* the next to be due */
  struct conn *last[CONN_TIMEOUTS];
  char buffer[65536]; /* what has just been read */
};

void conn_pool_init(struct conn_pool *pool, struct server *server,
                    const struct conn_handler *handler, struct loop *loop);

/* How long a timeout is. 0 is off, the default except for CONN_IN_LINGER. */
void conn_pool_set_timeout(struct conn_pool *pool, enum conn_timeout timeout,
                           uint64_t ms);

/* Take over a socket that has been accepted. false: it has been closed. */
bool conn_open(struct conn_pool *pool, int fd);

/* Something has happened to its socket. */
void conn_happened(struct conn *conn, int events);

/* ms to the next timeout, -1 for none; and see to those that are due. */
int conn_pool_timeout(const struct conn_pool *pool);
void conn_pool_expire(struct conn_pool *pool);

/* No more keep-alive; close the connections that wait for a request. */
void conn_pool_close(struct conn_pool *pool);

/* Close everything. */
void conn_pool_end(struct conn_pool *pool);

/* Respond: fields are whole lines with CRLF, without Content-Length, or NULL.
 */
void conn_respond(struct conn *conn, int status, const char *fields,
                  const char *type, const void *body, size_t len);

/* The header field that says whether the connection goes on, or nothing. */
const char *conn_fate(const struct conn *conn);

/* The whole response has been put into `out`. */
void conn_answered(struct conn *conn);

/* The response comes later; the exchange is kept until then. */
void conn_wait(struct conn *conn);

/* It has come: go on. The connection may be gone afterwards. */
void conn_resume(struct conn *conn);

/* The request is answered by a stream: what has been put into `out` is its
 * beginning. */
void conn_stream(struct conn *conn, weir_subscriber *subscriber);

/* Reset the connections of the readers that have this client key; how many. */
size_t conn_pool_cut(struct conn_pool *pool, struct slice client);

/* Send what there is, and after it `count` runs of a stream's bytes. *taken is
 * how many of those bytes have been sent. Less than all: there is no room, and
 * `writable` will be called. false: the connection is broken. */
bool conn_send(struct conn *conn, const weir_bytes *bytes, size_t count,
               size_t *taken);

/* The stream is at its end: close in an orderly way. */
void conn_finish(struct conn *conn);

/* Close at once, so that the peer sees a reset. */
void conn_abort(struct conn *conn);

#endif /* SERVER_CONN_H */
