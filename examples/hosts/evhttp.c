/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/*
 * weir in libevent's evhttp: a push host, one thread, one loop. What it serves
 * is in host.h.
 *
 * The bytes of an event are not copied: libevent is lent the pages' own
 * (evbuffer_add_reference) and says when it has let go of them, which is when
 * the socket has taken them. Only then are they consumed, so that weir sees a
 * client that stalls, and only then is there more to lend, so that such a
 * client never has more in evhttp's output than one peek shows. What evhttp
 * forces on us is the chunked coding: its lines go around the bytes.
 *
 * A client that leaves is noticed at once, for evhttp goes on reading while it
 * replies. It keeps what it reads, however, so there is a bound for that.
 */

#include "host.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Runs of bytes that one peek may show. */
#define RUNS 4

/* Bytes that are lent as one piece. libevent returns whole pieces, so this is
 * what a client has to take within the time for a stall. */
#define PIECE 4096

/* Seconds for the end of a response to go out. */
#define PATIENCE 30

static struct host host;
static struct event_base *base;

/* A connection that reads a stream. It goes when both have happened: the
 * connection is closed, and all that was lent is back. */
struct reader {
  struct evhttp_request *request; /* NULL: closed */
  weir_subscriber *subscriber;
  size_t lent; /* bytes of weir's that libevent has */
};

/* --- Readers --------------------------------------------------------------*/

static void let_go(struct reader *reader) {
  host_release(&host, reader->subscriber);
  free(reader);
}

/* libevent calls this in the midst of its work: it is no place to send more. */
static void returned(const void *piece, size_t len, void *arg) {
  struct reader *reader = arg;

  (void)piece;
  reader->lent -= len;
  if (reader->request != NULL) {
    /* Let time pass first: this progress is of now, and not of when the loop
     * went to sleep. */
    (void)weir_hub_get_timeout(host.hub);
    (void)weir_subscriber_consume(reader->subscriber, len);
  } else if (reader->lent == 0) {
    let_go(reader);
  }
}

/* false: no memory. What is not lent is shown again, so nothing behind it may
 * be lent before. */
static bool lend(struct reader *reader, struct evbuffer *chunk,
                 const weir_bytes *run) {
  const unsigned char *p = run->base;
  size_t left = run->len;
  size_t n;

  for (; left != 0; left -= n, p += n) {
    n = left < PIECE ? left : PIECE;
    if (evbuffer_add_reference(chunk, p, n, returned, reader) != 0) {
      return false;
    }
    reader->lent += n;
  }
  return true;
}

static void on_drained(struct evhttp_connection *connection, void *arg);

/* All is sent. libevent finishes without us, and must not wait for ever for a
 * client that does not even take the last chunk. Then there may be another
 * request. */
static void finish(struct reader *reader) {
  struct evhttp_request *request = reader->request;
  struct evhttp_connection *connection = evhttp_request_get_connection(request);

  evhttp_connection_set_closecb(connection, NULL, NULL);
  evhttp_connection_set_timeout(connection, PATIENCE);
  bufferevent_setwatermark(evhttp_connection_get_bufferevent(connection),
                           EV_READ, 0, 0);
  let_go(reader);
  evhttp_send_reply_end(request);
}

/* Only a reset gets through to a client that does not read. */
static void reset(struct reader *reader) {
  const struct linger now = {1, 0};
  struct evhttp_connection *connection =
      evhttp_request_get_connection(reader->request);

  (void)setsockopt(
      bufferevent_getfd(evhttp_connection_get_bufferevent(connection)),
      SOL_SOCKET, SO_LINGER, &now, sizeof now);
  evhttp_connection_free(connection); /* calls on_close */
}

/* Send what there is. Called when there is something, and when evhttp's output
 * is empty; the reader may be gone afterwards. */
static void push(struct reader *reader) {
  weir_bytes runs[RUNS];
  struct evbuffer *chunk;
  size_t count = 0;
  size_t i;
  int rv;

  if (reader->lent != 0) {
    return; /* on_drained will go on */
  }
  rv = weir_subscriber_peek(reader->subscriber, runs, RUNS, &count);
  if (rv == WEIR_EDONE) {
    finish(reader);
    return;
  }
  if (rv == WEIR_EAGAIN) {
    return; /* `readable` will tell */
  }
  chunk = rv == WEIR_OK ? evbuffer_new() : NULL;
  if (chunk != NULL) {
    for (i = 0; i < count && lend(reader, chunk, &runs[i]); ++i) {
    }
  }
  if (reader->lent == 0) {
    reset(reader); /* out of memory: the client comes back */
  } else {
    evhttp_send_reply_chunk_with_cb(reader->request, chunk, on_drained, reader);
  }
  if (chunk != NULL) {
    evbuffer_free(chunk);
  }
}

static void on_drained(struct evhttp_connection *connection, void *arg) {
  (void)connection;
  push(arg);
}

/* The client has left, or reset() was called. The producer is not touched. What
 * is still lent has to stay where it is: peeked bytes do, until the release. */
static void on_close(struct evhttp_connection *connection, void *arg) {
  struct reader *reader = arg;

  (void)connection;
  if (evhttp_request_get_connection(reader->request) == NULL) {
    /* Where the client closes in mid-reply, evhttp disowns the request. */
    evhttp_request_free(reader->request);
  }
  reader->request = NULL;
  weir_subscriber_detach(reader->subscriber);
  if (reader->lent == 0) {
    let_go(reader);
  }
}

static void notify(void *user, const weir_notice *notice) {
  (void)user;
  switch (notice->kind) {
    case WEIR_NOTICE_READABLE:
    case WEIR_NOTICE_CLOSING:
      push(notice->user);
      break;
    case WEIR_NOTICE_ABORT:
      reset(notice->user);
      break;
    default:
      break; /* of producers: ours have been answered */
  }
}

/* --- Requests -------------------------------------------------------------*/

static void reply(struct evhttp_request *request, int status, const void *body,
                  size_t len) {
  struct evbuffer *out = evbuffer_new();

  if (out == NULL || evbuffer_add(out, body, len) != 0) {
    evhttp_send_error(request, 503, NULL);
  } else {
    evhttp_send_reply(request, status, NULL, out);
  }
  if (out != NULL) {
    evbuffer_free(out);
  }
}

static void begin(struct reader *reader) {
  struct evhttp_connection *connection =
      evhttp_request_get_connection(reader->request);
  struct bufferevent *bufev = evhttp_connection_get_bufferevent(connection);

  evhttp_connection_set_closecb(connection, on_close, reader);
  /* weir has the timeouts of a stream: evhttp's would end one whose client has
   * nothing to say. What such a client says all the same is not kept. */
  bufferevent_set_timeouts(bufev, NULL, NULL);
  bufferevent_setwatermark(bufev, EV_READ, 0, PIECE);
  if (reader->request->major == 1 && reader->request->minor == 0) {
    /* There are no chunks, so the connection's end is the stream's. Where the
     * client asks to keep it, evhttp would say that the length is 0. */
    evhttp_remove_header(evhttp_request_get_input_headers(reader->request),
                         "Connection");
  }
  evhttp_send_reply_start(reader->request, 200, NULL);
  push(reader);
}

static void serve_reader(struct evhttp_request *request,
                         const struct host_request *wanted) {
  const char *cursor = evhttp_find_header(
      evhttp_request_get_input_headers(request), "Last-Event-ID");
  struct reader *reader = calloc(1, sizeof *reader);
  char id[WEIR_STREAM_ID_MAX + 1];
  weir_response response;
  weir_field field;
  char body[1024];
  size_t len = 0;
  size_t i;

  if (reader == NULL) {
    evhttp_send_error(request, 503, NULL);
    return;
  }
  host_attach(&host, wanted, host_slice(cursor), reader, &reader->subscriber,
              &response);
  for (i = 0;
       weir_http_get_field(&response, i, id, sizeof id, &field) == WEIR_OK;
       ++i) {
    evhttp_add_header(evhttp_request_get_output_headers(request), field.name,
                      field.value);
  }
  if (response.stream != 0) {
    reader->request = request;
    begin(reader);
    return;
  }
  free(reader);
  (void)weir_http_write_body(&response, body, sizeof body, &len);
  reply(request, response.status, body, len);
}

static const char *method_of(struct evhttp_request *request) {
  switch (evhttp_request_get_command(request)) {
    case EVHTTP_REQ_GET:
      return "GET";
    case EVHTTP_REQ_HEAD:
      return "HEAD";
    case EVHTTP_REQ_PUT:
      return "PUT";
    case EVHTTP_REQ_POST:
      return "POST";
    default:
      return "";
  }
}

static void on_request(struct evhttp_request *request, void *arg) {
  struct evbuffer *in = evhttp_request_get_input_buffer(request);
  struct text json = {NULL, 0, 0, false};
  struct host_request wanted;
  struct slice body;
  int status;

  (void)arg;
  host_parse(&wanted, method_of(request),
             host_slice(evhttp_request_get_uri(request)), host_slice(NULL));
  if (wanted.wish == HOST_READ) {
    serve_reader(request, &wanted);
    return;
  }
  body.len = evbuffer_get_length(in);
  body.data = (const char *)evbuffer_pullup(in, -1);
  status = host_produce(&host, &wanted, body, &json);
  evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                    "application/json");
  reply(request, status, json.data, json.len);
  text_free(&json);
}

/* --- The loop -------------------------------------------------------------*/

static void on_signal(evutil_socket_t number, short events, void *arg) {
  (void)number;
  (void)events;
  (void)arg;
  host_drain(&host);
}

static void on_time(evutil_socket_t fd, short events, void *arg) {
  (void)fd;
  (void)events;
  (void)arg; /* it is enough that the loop has woken up */
}

static void accept_again(evutil_socket_t fd, short events, void *listener) {
  (void)fd;
  (void)events;
  evconnlistener_enable(listener);
}

/* Out of descriptors, as a rule. Who comes waits in the backlog, and must not
 * wake us up for nothing meanwhile. */
static void on_refused(struct evconnlistener *listener, void *arg) {
  static const struct timeval later = {0, 100000};
  int rv =
      event_base_once(base, -1, EV_TIMEOUT, accept_again, listener, &later);

  (void)arg;
  if (rv == 0) {
    evconnlistener_disable(listener);
  }
}

/* One turn after another, each with a sleep that the hub is asked for: what
 * happens in a turn can bring its next deadline nearer. A program that leaves
 * the loop to event_base_dispatch sets the timer again at the end of every
 * callback in which it has called weir. */
static void run(struct event *timer) {
  struct timeval sleep;
  int ms;

  while (!host_drained(&host)) {
    ms = host_get_timeout(&host);
    if (ms < 0) {
      event_del(timer);
    } else {
      sleep.tv_sec = ms / 1000;
      sleep.tv_usec = ms % 1000 * 1000L;
      event_add(timer, &sleep);
    }
    event_base_loop(base, EVLOOP_ONCE);
    (void)weir_hub_run(host.hub);
  }
  event_base_loop(base, EVLOOP_NONBLOCK); /* sends the last chunks */
}

static struct evhttp *start(void) {
  struct evhttp_bound_socket *bound;
  struct evhttp *http;
  int fd;

  host.http.flags |= WEIR_HTTP_FRAMED; /* evhttp's chunks say where it ends */
  host.options.hub.notify = notify;
  base = event_base_new();
  http = base == NULL ? NULL : evhttp_new(base);
  if (http == NULL || weir_hub_new(&host.options.hub, &host.hub) != WEIR_OK) {
    return NULL;
  }
  fd = listen_on(host.options.listen);
  bound = fd < 0 ? NULL : evhttp_accept_socket_with_handle(http, fd);
  if (bound == NULL) {
    return NULL;
  }
  evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(bound),
                              on_refused);
  evhttp_set_gencb(http, on_request, NULL);
  evhttp_set_timeout(http, (int)(host.options.request_timeout / 1000));
  evhttp_set_max_headers_size(http, HTTP_HEAD_MOST);
  evhttp_set_max_body_size(http, (ev_ssize_t)host.options.max_body);
  listen_say(fd);
  return http;
}

int main(int argc, char **argv) {
  struct event *signals[2];
  struct event *timer;
  struct evhttp *http;
  int status = host_configure(&host, argc, argv);

  if (status >= 0) {
    return status;
  }
  http = start();
  if (http == NULL) {
    fprintf(stderr, "evhttp: cannot start\n");
    return 1;
  }
  timer = evtimer_new(base, on_time, NULL);
  signals[0] = evsignal_new(base, SIGINT, on_signal, NULL);
  signals[1] = evsignal_new(base, SIGTERM, on_signal, NULL);
  event_add(signals[0], NULL);
  event_add(signals[1], NULL);
  run(timer);
  evhttp_free(http); /* closes what is open, which calls on_close */
  weir_hub_free(host.hub);
  event_free(timer);
  event_free(signals[0]);
  event_free(signals[1]);
  /* libevent gives back what was lent when it frees its buffers, which it may
   * do as late as here: the handles outlive the hub. */
  event_base_free(base);
  return 0;
}
