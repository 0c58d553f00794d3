/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/*
 * weir in CivetWeb: a thread for each connection. What it serves is in host.h.
 *
 * All threads share one hub under a lock; another thread runs it and hands out
 * its notices (see locked.h). A reader's thread peeks under the lock, writes
 * without it, and consumes under it again. The bytes are not copied: they stay
 * where they are until they are consumed. When there are none, the thread waits
 * for a condition of its own, which the notice `readable` signals.
 *
 * A thread that waits does not look at its socket: that its client has left is
 * noticed when a heartbeat is sent, or rather the one after it, for the first
 * only draws the answer that nobody is there.
 *
 * CivetWeb does not give out its sockets, so the notice `abort` cannot cut a
 * write that does not go on. CivetWeb's own limit for that has the same length.
 */

#include "host.h"
#include "locked.h"

#include <civetweb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Bytes that are written at once, more or less: what a client has to take
 * within the time for a stall. */
#define LOT 16384

/* There are more threads than readers, so that publishers find one. */
#define READERS_MOST 900
#define THREADS_MORE 100

static struct host host;
static struct locked locked;

/* A thread that sends a stream to its client. */
struct reader {
  weir_subscriber *subscriber;
  pthread_cond_t changed;
  bool aborted;
};

/* --- Readers --------------------------------------------------------------*/

/* In the hub's thread, under the lock. */
static void notify(void *user, const weir_notice *notice) {
  struct reader *reader = notice->user;

  (void)user;
  switch (notice->kind) {
    case WEIR_NOTICE_ABORT:
      reader->aborted = true;
      (void)pthread_cond_signal(&reader->changed);
      break;
    case WEIR_NOTICE_READABLE:
    case WEIR_NOTICE_CLOSING:
      (void)pthread_cond_signal(&reader->changed);
      break;
    default:
      break; /* of producers: ours have been answered */
  }
}

/* Wait until there is something to send. Under the lock, over the look and the
 * wait together: else the notice could come between them, and be lost. */
static int wait_for_bytes(struct reader *reader, weir_bytes *run) {
  size_t count = 0;
  int rv;

  do {
    rv = weir_subscriber_peek(reader->subscriber, run, 1, &count);
    if (rv == WEIR_EAGAIN) {
      (void)pthread_cond_wait(&reader->changed, &locked.mutex);
    }
  } while (rv == WEIR_EAGAIN && !reader->aborted);
  return reader->aborted ? WEIR_ESTALLED : rv;
}

/* Send the stream, for as long as there is one and a client. */
static void send_stream(struct mg_connection *conn, struct reader *reader) {
  weir_bytes run;
  bool sent;

  locked_enter(&locked);
  while (wait_for_bytes(reader, &run) == WEIR_OK) {
    run.len = run.len < LOT ? run.len : LOT;
    locked_leave(&locked);
    sent = mg_write(conn, run.base, run.len) == (int)run.len;
    locked_enter(&locked);
    if (!sent) {
      break; /* the client has left, or takes nothing */
    }
    (void)weir_subscriber_consume(reader->subscriber, run.len);
  }
  locked_leave(&locked);
}

static int serve_reader(struct mg_connection *conn,
                        const struct host_request *wanted) {
  struct reader reader = {NULL, PTHREAD_COND_INITIALIZER, false};
  weir_response response;
  char head[4096];
  char body[1024];
  size_t head_len = 0;
  size_t body_len = 0;

  locked_enter(&locked);
  host_attach(&host, wanted, host_slice(mg_get_header(conn, "Last-Event-ID")),
              &reader, &reader.subscriber, &response);
  locked_leave(&locked);
  (void)weir_http_write_head(&response, head, sizeof head, &head_len);
  if (response.stream == 0) {
    (void)weir_http_write_body(&response, body, sizeof body, &body_len);
  }
  if (mg_write(conn, head, head_len) == (int)head_len) {
    if (response.stream != 0) {
      send_stream(conn, &reader);
    } else if (body_len != 0) {
      (void)mg_write(conn, body, body_len);
    }
  }
  locked_enter(&locked);
  host_release(&host, reader.subscriber); /* and no notice comes any more */
  locked_leave(&locked);
  (void)pthread_cond_destroy(&reader.changed);
  return response.status;
}

/* --- Requests -------------------------------------------------------------*/

static bool read_body(struct mg_connection *conn, struct text *body) {
  char buffer[8192];
  int n = mg_read(conn, buffer, sizeof buffer);

  while (n > 0 && body->len <= host.options.max_body) {
    text_add(body, buffer, (size_t)n);
    n = mg_read(conn, buffer, sizeof buffer);
  }
  return n == 0 && !body->failed && body->len <= host.options.max_body;
}

static int serve_producer(struct mg_connection *conn,
                          const struct host_request *wanted) {
  struct text body = {NULL, 0, 0, false};
  struct text json = {NULL, 0, 0, false};
  struct slice data;
  int status = 413;

  if (read_body(conn, &body)) {
    data.data = body.data;
    data.len = body.len;
    locked_enter(&locked);
    status = host_produce(&host, wanted, data, &json);
    locked_leave(&locked);
  }
  (void)mg_printf(conn,
                  "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
                  "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                  status, http_reason(status), json.len);
  if (json.len != 0) {
    (void)mg_write(conn, json.data, json.len);
  }
  text_free(&body);
  text_free(&json);
  return status;
}

static int on_request(struct mg_connection *conn, void *arg) {
  const struct mg_request_info *info = mg_get_request_info(conn);
  struct host_request wanted;

  (void)arg;
  host_parse(&wanted, info->request_method, host_slice(info->request_uri),
             host_slice(info->query_string));
  return wanted.wish == HOST_READ ? serve_reader(conn, &wanted)
                                  : serve_producer(conn, &wanted);
}

/* --- The server -----------------------------------------------------------*/

/* CivetWeb has to open the socket itself. */
static void say(const struct mg_context *context) {
  const char *colon = strrchr(host.options.listen, ':');
  struct mg_server_port port;

  if (colon != NULL && mg_get_server_ports(context, 1, &port) == 1) {
    printf("listening on http://%.*s:%d\n", (int)(colon - host.options.listen),
           host.options.listen, port.port);
    fflush(stdout);
  }
}

static struct mg_context *start(void) {
  char patience[16];
  char threads[16];
  const char *const options[] = {"listening_ports",
                                 host.options.listen,
                                 "num_threads",
                                 threads,
                                 "request_timeout_ms",
                                 patience,
                                 "decode_url",
                                 "no",
                                 "tcp_nodelay",
                                 "1",
                                 NULL};
  const struct mg_callbacks callbacks = {0};
  struct mg_context *context;

  host.options.hub.notify = notify;
  if (host.options.hub.max_subscribers > READERS_MOST) {
    host.options.hub.max_subscribers = READERS_MOST;
  }
  if (!locked_start(&locked, &host.options.hub)) {
    return NULL;
  }
  host.hub = locked.hub;
  (void)snprintf(patience, sizeof patience, "%u",
                 (unsigned)host.options.attach.stall);
  (void)snprintf(threads, sizeof threads, "%u",
                 (unsigned)host.options.hub.max_subscribers + THREADS_MORE);
  context = mg_start(&callbacks, NULL, (const char **)(uintptr_t)options);
  if (context != NULL) {
    mg_set_request_handler(context, "/", on_request, NULL);
    say(context);
  }
  return context;
}

int main(int argc, char **argv) {
  struct mg_context *context;
  sigset_t signals;
  int status = host_configure(&host, argc, argv);
  int signal;

  if (status >= 0) {
    return status;
  }
  (void)sigemptyset(&signals);
  (void)sigaddset(&signals, SIGINT);
  (void)sigaddset(&signals, SIGTERM);
  (void)pthread_sigmask(SIG_BLOCK, &signals, NULL); /* for all threads */
  (void)mg_init_library(0);
  context = start();
  if (context == NULL) {
    fprintf(stderr, "civetweb: cannot start\n");
    return 1;
  }
  (void)sigwait(&signals, &signal);
  /* Wakes all readers, who then come to an end. */
  locked_drain(&locked, &host.readers, host.options.drain);
  mg_stop(context);
  locked_stop(&locked);
  (void)mg_exit_library();
  return 0;
}
