/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/*
 * weir on libuv: a push host, one thread, one loop. What it serves is in
 * host.h. libuv knows nothing of HTTP; requests are read with the reference
 * server's parser, and weir writes the head of the response.
 *
 * The bytes of an event are not copied: uv_write gets the pages' own, which
 * stay where they are until they are consumed or the handle is released. There
 * is one write at a time, and its bytes are consumed when it is done; so a
 * client that does not read keeps one small write waiting, and weir sees that
 * it has stalled.
 *
 * libuv goes on reading meanwhile, and so a client that leaves is noticed at
 * once.
 */

#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* Runs of bytes in one write, and bytes, more or less: what a client has to
 * take within the time for a stall. */
#define RUNS 4
#define LOT 16384

#define BACKLOG 4096

static struct host host;
static uv_loop_t *loop;
static uv_tcp_t listener;
static bool owed; /* a connection waits until there is memory for it */

/* A connection: it has one request. */
struct conn {
  uv_tcp_t tcp;
  uv_timer_t patience; /* until the request is complete */
  uv_write_t write;
  uv_shutdown_t shutdown;
  int handles;    /* of the first two, those that are open */
  struct text in; /* the head of the request */
  struct text body;
  struct http_body coming; /* the rest of it */
  size_t head_len;         /* 0: the head is not complete */
  struct text out;         /* the head of the response, or all of it */
  bool writing;
  bool answered;
  weir_subscriber *subscriber; /* NULL: this is no stream */
  size_t shown;                /* bytes of weir's in the write */
};

/* --- Connections ----------------------------------------------------------*/

static void on_connection(uv_stream_t *stream, int status);

static void on_closed(uv_handle_t *handle) {
  struct conn *conn = handle->data;

  conn->handles -= 1;
  if (conn->handles == 0) {
    /* Its last write is over, if only by being cancelled. */
    host_release(&host, conn->subscriber);
    text_free(&conn->in);
    text_free(&conn->body);
    text_free(&conn->out);
    free(conn);
    if (owed) {
      on_connection((uv_stream_t *)&listener, 0);
    }
  }
}

/* The client has gone, or is to go. The producer is not touched. Bytes that
 * libuv still has stay where they are until the release. */
static void close_conn(struct conn *conn) {
  if (conn->subscriber != NULL) {
    weir_subscriber_detach(conn->subscriber);
  }
  if (!uv_is_closing((uv_handle_t *)&conn->patience)) {
    uv_close((uv_handle_t *)&conn->patience, on_closed);
  }
  if (!uv_is_closing((uv_handle_t *)&conn->tcp)) {
    uv_close((uv_handle_t *)&conn->tcp, on_closed);
  }
}

/* Only a reset gets through to a client that does not read. */
static void reset(struct conn *conn) {
  if (!uv_is_closing((uv_handle_t *)&conn->tcp)) {
    (void)uv_tcp_close_reset(&conn->tcp, on_closed);
  }
  close_conn(conn);
}

static void on_shutdown(uv_shutdown_t *shutdown, int status) {
  (void)status;
  close_conn(shutdown->data);
}

/* All is sent. */
static void finish(struct conn *conn) {
  host_release(&host, conn->subscriber);
  conn->subscriber = NULL;
  if (uv_shutdown(&conn->shutdown, (uv_stream_t *)&conn->tcp, on_shutdown) !=
      0) {
    close_conn(conn);
  }
}

/* --- What is sent ---------------------------------------------------------*/

static void push(struct conn *conn);

static void on_written(uv_write_t *write, int status) {
  struct conn *conn = write->data;

  conn->writing = false;
  if (status != 0) {
    close_conn(conn);
    return;
  }
  if (conn->shown != 0) {
    /* Let time pass first: this progress is of now, and not of when the loop
     * went to sleep. */
    (void)weir_hub_get_timeout(host.hub);
    (void)weir_subscriber_consume(conn->subscriber, conn->shown);
    conn->shown = 0;
  }
  push(conn);
}

static void write_bytes(struct conn *conn, const uv_buf_t *bufs,
                        unsigned count) {
  conn->writing = true;
  if (uv_write(&conn->write, (uv_stream_t *)&conn->tcp, bufs, count,
               on_written) != 0) {
    conn->writing = false;
    close_conn(conn);
  }
}

/* Go on sending. Called when there is something, and when a write is done. The
 * head of the response and the first frame go together. */
static void push(struct conn *conn) {
  weir_bytes runs[RUNS];
  uv_buf_t bufs[1 + RUNS];
  size_t count = 0;
  size_t len;
  size_t i;
  unsigned n = 0;
  int rv = WEIR_EDONE;

  if (conn->writing || uv_is_closing((uv_handle_t *)&conn->tcp)) {
    return;
  }
  if (conn->out.len != 0) {
    bufs[n++] = uv_buf_init(conn->out.data, (unsigned)conn->out.len);
    conn->out.len = 0; /* its bytes remain */
  }
  if (conn->subscriber != NULL) {
    rv = weir_subscriber_peek(conn->subscriber, runs, RUNS, &count);
  }
  for (i = 0; i < count && conn->shown < LOT; ++i) {
    len = runs[i].len < LOT ? runs[i].len : LOT;
    /* libuv only reads, but has no type that says so. */
    bufs[n++] = uv_buf_init((char *)(uintptr_t)runs[i].base, (unsigned)len);
    conn->shown += len;
  }
  if (n != 0) {
    write_bytes(conn, bufs, n);
  } else if (rv == WEIR_EDONE) {
    finish(conn);
  } else if (rv != WEIR_EAGAIN) { /* then `readable` will tell */
    reset(conn);                  /* out of memory: the client comes back */
  }
}

static void notify(void *user, const weir_notice *notice) {
  struct conn *conn = notice->user;

  (void)user;
  switch (notice->kind) {
    case WEIR_NOTICE_READABLE:
    case WEIR_NOTICE_CLOSING:
      push(conn);
      break;
    case WEIR_NOTICE_ABORT:
      reset(conn);
      break;
    default:
      break; /* of producers: ours have been answered */
  }
}

/* --- Requests -------------------------------------------------------------*/

/* The response is in conn->out, and conn->subscriber is its stream, if any. */
static void respond(struct conn *conn) {
  conn->answered = true;
  if (conn->out.failed) {
    reset(conn);
    return;
  }
  (void)uv_timer_stop(&conn->patience); /* weir has those of a stream */
  push(conn);
}

static void respond_json(struct conn *conn, int status,
                         const struct text *json) {
  struct text *out = &conn->out;

  text_put(out, "HTTP/1.1 ");
  text_number(out, (uint64_t)status);
  text_put(out, " ");
  text_put(out, http_reason(status));
  text_put(out, "\r\nContent-Type: application/json\r\nContent-Length: ");
  text_number(out, json->len);
  text_put(out, "\r\nConnection: close\r\n\r\n");
  text_add(out, json->data, json->len);
  respond(conn);
}

static void serve_reader(struct conn *conn, const struct host_request *wanted,
                         struct slice last_event_id) {
  weir_response response;
  char head[4096];
  char body[1024];
  size_t head_len = 0;
  size_t body_len = 0;

  host_attach(&host, wanted, last_event_id, conn, &conn->subscriber, &response);
  (void)weir_http_write_head(&response, head, sizeof head, &head_len);
  if (response.stream == 0) {
    (void)weir_http_write_body(&response, body, sizeof body, &body_len);
  }
  text_add(&conn->out, head, head_len);
  text_add(&conn->out, body, body_len);
  respond(conn);
}

static void refuse(struct conn *conn, int status) {
  struct text json = {NULL, 0, 0, false};

  text_put(&json, "{\"error\":\"the request cannot be understood\"}\n");
  respond_json(conn, status, &json);
  text_free(&json);
}

static void serve(struct conn *conn) {
  static const char *const methods[] = {"",    "GET",    "HEAD",   "POST",
                                        "PUT", "DELETE", "OPTIONS"};
  const struct slice body = {conn->body.data, conn->body.len};
  struct text json = {NULL, 0, 0, false};
  struct http_request request;
  struct host_request wanted;
  size_t len;
  int status;

  (void)http_parse(conn->in.data, conn->in.len, &request, &len);
  host_parse(&wanted, methods[request.method], request.path, request.query);
  if (wanted.wish == HOST_READ) {
    serve_reader(conn, &wanted, request.last_event_id);
    return;
  }
  status = host_produce(&host, &wanted, body, &json);
  respond_json(conn, status, &json);
  text_free(&json);
}

/* Take in more of a request. */
static void take(struct conn *conn, const char *bytes, size_t len) {
  static char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
  uv_buf_t buf = uv_buf_init(go_on, sizeof go_on - 1);
  struct http_request request;
  size_t used = 0;
  int rv;

  if (conn->head_len == 0) {
    used = conn->in.len; /* of the head, before these */
    text_add(&conn->in, bytes, len);
    rv = conn->in.failed ? 503
                         : http_parse(conn->in.data, conn->in.len, &request,
                                      &conn->head_len);
    if (rv >= 0) {
      conn->head_len = 0;
      if (rv > 0) {
        refuse(conn, rv);
      }
      return;
    }
    http_body_init(&conn->coming, &request);
    if (request.expects_continue) {
      (void)uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);
    }
    used = conn->head_len - used;
    bytes += used;
    len -= used;
  }
  rv = http_body_feed(&conn->coming, bytes, len, &used, &conn->body,
                      host.options.max_body);
  if (rv > 0) {
    refuse(conn, rv);
  } else if (rv < 0) {
    serve(conn);
  }
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf) {
  struct conn *conn = stream->data;

  if (len < 0) {
    close_conn(conn);
  } else if (!conn->answered) { /* what comes behind is not for us */
    take(conn, buf->base, (size_t)len);
  }
}

/* One buffer does for all: what is read is taken in at once. */
static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *buf) {
  static char buffer[65536];

  (void)handle;
  (void)wanted;
  *buf = uv_buf_init(buffer, sizeof buffer);
}

static void on_impatience(uv_timer_t *timer) {
  close_conn(timer->data);
}

/* libuv takes no other connection until this one is accepted. */
static void on_connection(uv_stream_t *stream, int status) {
  struct conn *conn = status == 0 ? calloc(1, sizeof *conn) : NULL;

  owed = status == 0 && conn == NULL;
  if (conn == NULL) {
    return;
  }
  conn->tcp.data = conn->patience.data = conn;
  conn->write.data = conn->shutdown.data = conn;
  conn->handles = 2;
  (void)uv_timer_init(loop, &conn->patience);
  (void)uv_tcp_init(loop, &conn->tcp);
  if (uv_accept(stream, (uv_stream_t *)&conn->tcp) != 0 ||
      uv_tcp_nodelay(&conn->tcp, 1) != 0 ||
      uv_timer_start(&conn->patience, on_impatience,
                     host.options.request_timeout, 0) != 0 ||
      uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read) != 0) {
    close_conn(conn);
  }
}

/* --- The loop -------------------------------------------------------------*/

static void on_time(uv_timer_t *timer) {
  (void)timer; /* it is enough that the loop has woken up */
}

/* Before the loop sleeps: what has happened in a turn can have brought the
 * hub's next deadline nearer. */
static void before_sleep(uv_prepare_t *prepare) {
  uv_timer_t *timer = prepare->data;
  const int ms = host_get_timeout(&host);

  if (ms < 0) {
    (void)uv_timer_stop(timer);
  } else {
    uv_update_time(loop); /* it counts from when this turn began, else */
    (void)uv_timer_start(timer, on_time, (uint64_t)ms, 0);
  }
}

/* After what the sleep has brought. */
static void after_sleep(uv_check_t *check) {
  (void)check;
  (void)weir_hub_run(host.hub);
  if (host_drained(&host)) {
    uv_stop(loop);
  }
}

static void on_signal(uv_signal_t *signal, int number) {
  (void)signal;
  (void)number;
  host_drain(&host);
}

static void close_any(uv_handle_t *handle, void *arg) {
  (void)arg;
  if (handle->type == UV_TCP && handle->data != NULL) {
    close_conn(handle->data);
  } else if (!uv_is_closing(handle) && handle->type != UV_TIMER) {
    uv_close(handle, NULL);
  }
}

int main(int argc, char **argv) {
  uv_signal_t signals[2];
  uv_prepare_t prepare;
  uv_check_t check;
  uv_timer_t timer;
  int status = host_configure(&host, argc, argv);
  int fd;

  if (status >= 0) {
    return status;
  }
  host.options.hub.notify = notify;
  loop = uv_default_loop();
  fd = listen_on(host.options.listen);
  if (fd < 0 || weir_hub_new(&host.options.hub, &host.hub) != WEIR_OK ||
      uv_tcp_init(loop, &listener) != 0 || uv_tcp_open(&listener, fd) != 0 ||
      uv_listen((uv_stream_t *)&listener, BACKLOG, on_connection) != 0) {
    fprintf(stderr, "uv: cannot start\n");
    return 1;
  }
  (void)uv_timer_init(loop, &timer);
  (void)uv_prepare_init(loop, &prepare);
  (void)uv_check_init(loop, &check);
  (void)uv_signal_init(loop, &signals[0]);
  (void)uv_signal_init(loop, &signals[1]);
  prepare.data = &timer;
  (void)uv_prepare_start(&prepare, before_sleep);
  (void)uv_check_start(&check, after_sleep);
  (void)uv_signal_start(&signals[0], on_signal, SIGINT);
  (void)uv_signal_start(&signals[1], on_signal, SIGTERM);
  listen_say(fd);
  (void)uv_run(loop, UV_RUN_DEFAULT);
  owed = false;
  uv_walk(loop, close_any, NULL);
  uv_close((uv_handle_t *)&timer, NULL);
  (void)uv_run(loop, UV_RUN_DEFAULT); /* until all is closed */
  (void)uv_loop_close(loop);
  weir_hub_free(host.hub);
  return 0;
}
