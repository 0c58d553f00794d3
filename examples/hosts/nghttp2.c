/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/*
 * weir over HTTP/2, with nghttp2: a pull host, one thread, one loop (the
 * reference server's). What it serves is in host.h; without TLS, so a client
 * has to know: curl --http2-prior-knowledge.
 *
 * nghttp2 asks a data provider how much there is to send whenever the socket
 * and the client's windows have room. When there is nothing, the stream is
 * deferred; the notice `readable` resumes it.
 *
 * The bytes of an event are not copied: with NGHTTP2_DATA_FLAG_NO_COPY we write
 * the frame ourselves, its head from nghttp2 and its payload straight from the
 * pages. A frame that the socket takes only a part of has to be completed
 * before anything else is written, even if the client has cancelled its stream
 * meanwhile: peeked bytes are there until the handle is released.
 *
 * A connection carries many streams. Who stalls may have withheld the window of
 * one (then that one is reset), or not be reading at all (then a reset frame
 * would not get through, and the connection goes).
 *
 * What is left out: time limits for connections without a stream.
 */

#include "../server/loop.h"
#include "host.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Runs of bytes in one frame, and fields in one head. */
#define RUNS 4
#define FIELDS 12

#define FRAME_HEAD 9

#define STREAMS_AT_ONCE 1000

/* When to try to accept again, in ms, if we were out of descriptors. */
#define ACCEPT_AGAIN 100

static struct host host;
static struct loop *loop;
static int listener;
static bool full;      /* out of descriptors: who comes waits */
static int signals[2]; /* a pipe */
static struct conn *conns;

/* A request, and its response; HTTP/2's stream. */
struct request {
  struct request *next;
  struct request **link; /* what points to this one */
  struct conn *conn;
  int32_t id;
  char method[8];
  struct text target;
  struct text cursor;
  struct text body;
  struct text out; /* of a response that is no stream of weir's */
  size_t sent;     /* of it */
  weir_subscriber *subscriber;
  bool deferred;
};

struct conn {
  struct conn *next;
  struct conn **link;
  int fd;
  nghttp2_session *session;
  struct request *requests;
  /* The DATA frame that is being written. */
  struct request *writing; /* NULL: none */
  uint8_t head[FRAME_HEAD];
  size_t head_left;
  size_t left;  /* of the payload */
  bool blocked; /* the socket is full, and will say when it is not */
};

/* --- Requests as they come and go -----------------------------------------*/

static struct request *add_request(struct conn *conn, int32_t id) {
  struct request *request = calloc(1, sizeof *request);

  if (request == NULL) {
    return NULL;
  }
  request->conn = conn;
  request->id = id;
  request->link = &conn->requests;
  request->next = conn->requests;
  if (request->next != NULL) {
    request->next->link = &request->next;
  }
  conn->requests = request;
  return request;
}

static void free_request(struct request *request) {
  *request->link = request->next;
  if (request->next != NULL) {
    request->next->link = request->link;
  }
  host_release(&host, request->subscriber);
  text_free(&request->target);
  text_free(&request->cursor);
  text_free(&request->body);
  text_free(&request->out);
  free(request);
}

static void close_conn(struct conn *conn) {
  *conn->link = conn->next;
  if (conn->next != NULL) {
    conn->next->link = conn->link;
  }
  nghttp2_session_del(conn->session);
  while (conn->requests != NULL) {
    free_request(conn->requests);
  }
  loop_remove(loop, conn->fd, conn);
  (void)close(conn->fd);
  free(conn);
}

/* Only a reset gets through to a client that does not read. */
static void reset_conn(struct conn *conn) {
  const struct linger now = {1, 0};

  (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close_conn(conn);
}

/* --- What is sent ---------------------------------------------------------*/

/* Go on with the frame that is being written. 1: it is complete; 0: the socket
 * is full; -1: the connection is broken. */
static int write_frame(struct conn *conn) {
  struct request *request = conn->writing;
  struct iovec iov[1 + RUNS];
  weir_bytes runs[RUNS];
  size_t count;
  size_t room;
  size_t head;
  size_t i;
  ssize_t n;

  while (conn->head_left + conn->left != 0) {
    count = 0;
    (void)weir_subscriber_peek(request->subscriber, runs, RUNS, &count);
    iov[0].iov_base = conn->head + FRAME_HEAD - conn->head_left;
    iov[0].iov_len = conn->head_left;
    room = conn->left;
    for (i = 0; i < count; ++i) {
      iov[1 + i].iov_base = (void *)(uintptr_t)runs[i].base;
      iov[1 + i].iov_len = runs[i].len < room ? runs[i].len : room;
      room -= iov[1 + i].iov_len;
    }
    n = writev(conn->fd, iov, 1 + (int)count);
    if (n <= 0) {
      conn->blocked = n < 0 && errno == EAGAIN;
      return conn->blocked ? 0 : -1;
    }
    head = (size_t)n < conn->head_left ? (size_t)n : conn->head_left;
    conn->head_left -= head;
    conn->left -= (size_t)n - head;
    (void)weir_subscriber_consume(request->subscriber, (size_t)n - head);
  }
  conn->writing = NULL;
  if (request->id == 0) {
    free_request(request); /* it was closed meanwhile */
  }
  return 1;
}

/* nghttp2: write this DATA frame. For nghttp2 it is written then; we remember
 * what is not, and that nothing else may be. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame,
                        const uint8_t *head, size_t length,
                        nghttp2_data_source *source, void *user) {
  struct conn *conn = user;
  int rv;

  (void)session;
  (void)frame; /* it has no padding, for we have not asked for any */
  conn->writing = source->ptr;
  memcpy(conn->head, head, FRAME_HEAD);
  conn->head_left = FRAME_HEAD;
  conn->left = length;
  rv = write_frame(conn);
  return rv > 0    ? 0
         : rv == 0 ? NGHTTP2_ERR_PAUSE
                   : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* nghttp2: write these bytes, which are all but DATA of weir's. */
static ssize_t on_send(nghttp2_session *session, const uint8_t *data,
                       size_t length, int flags, void *user) {
  struct conn *conn = user;
  ssize_t n = send(conn->fd, data, length, 0);

  (void)session;
  (void)flags;
  conn->blocked = n < 0 && errno == EAGAIN;
  return n >= 0          ? n
         : conn->blocked ? NGHTTP2_ERR_WOULDBLOCK
                         : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* nghttp2: how much is there, up to length? */
static ssize_t offer_stream(nghttp2_session *session, int32_t id, uint8_t *buf,
                            size_t length, uint32_t *flags,
                            nghttp2_data_source *source, void *user) {
  struct request *request = source->ptr;
  weir_bytes runs[RUNS];
  size_t count = 0;
  size_t shown = 0;
  size_t i;
  int rv;

  (void)session;
  (void)id;
  (void)buf;
  (void)user;
  rv = weir_subscriber_peek(request->subscriber, runs, RUNS, &count);
  switch (rv) {
    case WEIR_OK:
      for (i = 0; i < count; ++i) {
        shown += runs[i].len;
      }
      *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
      return (ssize_t)(shown < length ? shown : length);
    case WEIR_EDONE:
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      return 0;
    case WEIR_EAGAIN:
      request->deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    default: /* out of memory: the client comes back */
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
}

/* The same for a body that is here. */
static ssize_t offer_text(nghttp2_session *session, int32_t id, uint8_t *buf,
                          size_t length, uint32_t *flags,
                          nghttp2_data_source *source, void *user) {
  struct request *request = source->ptr;
  size_t n = request->out.len - request->sent;

  (void)session;
  (void)id;
  (void)user;
  n = n < length ? n : length;
  if (n != 0) {
    memcpy(buf, request->out.data + request->sent, n);
  }
  request->sent += n;
  *flags |= request->sent == request->out.len ? NGHTTP2_DATA_FLAG_EOF : 0u;
  return (ssize_t)n;
}

/* Send what there is. The connection may be gone afterwards. */
static void push(struct conn *conn) {
  int rv = 1;

  conn->blocked = false; /* until it says so again */
  if (conn->writing != NULL) {
    rv = write_frame(conn);
  }
  if (rv > 0) {
    rv = nghttp2_session_send(conn->session);
  }
  if (rv < 0 || (!conn->blocked && !nghttp2_session_want_read(conn->session) &&
                 !nghttp2_session_want_write(conn->session))) {
    close_conn(conn);
    return;
  }
  (void)loop_change(loop, conn->fd,
                    conn->blocked ? LOOP_READ | LOOP_WRITE : LOOP_READ, conn);
}

static void notify(void *user, const weir_notice *notice) {
  struct request *request = notice->user;
  struct conn *conn = request == NULL ? NULL : request->conn;

  (void)user;
  switch (notice->kind) {
    case WEIR_NOTICE_READABLE:
    case WEIR_NOTICE_CLOSING:
      if (request->deferred) {
        request->deferred = false;
        (void)nghttp2_session_resume_data(conn->session, request->id);
        push(conn);
      }
      break;
    case WEIR_NOTICE_ABORT:
      if (conn->blocked) {
        reset_conn(conn);
      } else {
        (void)nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE,
                                        request->id, NGHTTP2_CANCEL);
        push(conn);
      }
      break;
    default:
      break; /* of producers: ours have been answered */
  }
}

/* --- Responses ------------------------------------------------------------*/

static nghttp2_nv make_field(const void *name, size_t name_len,
                             const void *value, size_t value_len) {
  const nghttp2_nv field = {(uint8_t *)(uintptr_t)name,
                            (uint8_t *)(uintptr_t)value, name_len, value_len,
                            NGHTTP2_NV_FLAG_NONE};

  return field; /* nghttp2 copies it */
}

static int submit(struct request *request, const nghttp2_nv *fields,
                  size_t count) {
  nghttp2_data_provider provider;

  provider.source.ptr = request;
  provider.read_callback =
      request->subscriber != NULL ? offer_stream : offer_text;
  return nghttp2_submit_response(
      request->conn->session, request->id, fields, count,
      request->subscriber != NULL || request->out.len != 0 ? &provider : NULL);
}

static int serve_reader(struct request *request,
                        const struct host_request *wanted) {
  const struct slice cursor = {request->cursor.data, request->cursor.len};
  char id[WEIR_STREAM_ID_MAX + 1];
  nghttp2_nv list[1 + FIELDS];
  weir_response response;
  weir_field field;
  char status[16];
  char body[1024];
  size_t len = 0;
  size_t i;

  host_attach(&host, wanted, cursor, request, &request->subscriber, &response);
  if (response.stream == 0 &&
      weir_http_write_body(&response, body, sizeof body, &len) == WEIR_OK) {
    text_add(&request->out, body, len);
  }
  (void)snprintf(status, sizeof status, "%d", (int)response.status);
  list[0] = make_field(":status", 7, status, strlen(status));
  for (i = 0; i < FIELDS && weir_http_get_field(&response, i, id, sizeof id,
                                                &field) == WEIR_OK;
       ++i) {
    list[1 + i] =
        make_field(field.name, field.name_len, field.value, field.value_len);
  }
  return submit(request, list, 1 + i);
}

static int serve(struct request *request) {
  const struct slice target = {request->target.data, request->target.len};
  const struct slice body = {request->body.data, request->body.len};
  struct host_request wanted;
  nghttp2_nv list[2];
  char status[16];

  host_parse(&wanted, request->method, target, host_slice(NULL));
  if (wanted.wish == HOST_READ) {
    return serve_reader(request, &wanted);
  }
  (void)snprintf(status, sizeof status, "%d",
                 host_produce(&host, &wanted, body, &request->out));
  list[0] = make_field(":status", 7, status, strlen(status));
  list[1] = make_field("content-type", 12, "application/json", 16);
  return submit(request, list, 2);
}

/* --- Requests, as nghttp2 reads them --------------------------------------*/

/* Of what follows, each returns 0, or an error that costs the stream or the
 * connection. */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame,
                    void *user) {
  struct request *request;

  if (frame->hd.type != NGHTTP2_HEADERS ||
      frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
    return 0;
  }
  request = add_request(user, frame->hd.stream_id);
  if (request == NULL) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id,
                                              request);
}

static int on_field(nghttp2_session *session, const nghttp2_frame *frame,
                    const uint8_t *name_bytes, size_t name_len,
                    const uint8_t *value, size_t value_len, uint8_t flags,
                    void *user) {
  struct request *request =
      nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
  const struct slice name = {(const char *)name_bytes, name_len};

  (void)flags;
  (void)user;
  if (request == NULL) {
    return 0;
  }
  if (slice_is(name, ":method")) {
    (void)snprintf(request->method, sizeof request->method, "%.*s",
                   (int)value_len, (const char *)value);
  } else if (slice_is(name, ":path")) {
    text_add(&request->target, value, value_len);
  } else if (slice_is(name, "last-event-id") && request->cursor.len == 0) {
    text_add(&request->cursor, value, value_len);
  }
  return 0;
}

static int on_body(nghttp2_session *session, uint8_t flags, int32_t id,
                   const uint8_t *data, size_t len, void *user) {
  struct request *request = nghttp2_session_get_stream_user_data(session, id);

  (void)flags;
  (void)user;
  if (request == NULL) {
    return 0;
  }
  text_add(&request->body, data, len);
  if (request->body.failed || request->body.len > host.options.max_body) {
    text_free(&request->body);
    request->body.failed = true;
    return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id,
                                     NGHTTP2_ENHANCE_YOUR_CALM);
  }
  return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame,
                    void *user) {
  struct request *request =
      nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

  (void)user;
  if (request == NULL || request->body.failed ||
      (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0 ||
      (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)) {
    return 0;
  }
  return serve(request);
}

/* The response is complete, or one side has cancelled it. The producer is not
 * touched. */
static int on_close(nghttp2_session *session, int32_t id, uint32_t error,
                    void *user) {
  struct conn *conn = user;
  struct request *request = nghttp2_session_get_stream_user_data(session, id);

  (void)error;
  if (request != NULL && request == conn->writing) {
    weir_subscriber_detach(request->subscriber);
    request->id = 0; /* write_frame still needs its bytes */
  } else if (request != NULL) {
    free_request(request);
  }
  return 0;
}

/* --- Connections ----------------------------------------------------------*/

static nghttp2_session_callbacks *callbacks;

static bool make_callbacks(void) {
  if (nghttp2_session_callbacks_new(&callbacks) != 0) {
    return false;
  }
  nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
  nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_field);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_body);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
  return true;
}

static void open_conn(int fd) {
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS_AT_ONCE}};
  struct conn *conn = calloc(1, sizeof *conn);

  if (conn == NULL || !loop_add(loop, fd, LOOP_READ, conn)) {
    free(conn);
    (void)close(fd);
    return;
  }
  conn->fd = fd;
  conn->link = &conns;
  conn->next = conns;
  if (conn->next != NULL) {
    conn->next->link = &conn->next;
  }
  conns = conn;
  if (nghttp2_session_server_new(&conn->session, callbacks, conn) != 0 ||
      nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, settings, 1) !=
          0) {
    close_conn(conn);
  }
}

static void on_events(void *user, int events) {
  static uint8_t buffer[65536];
  struct conn *conn = user;
  ssize_t n;

  if (user == signals) {
    if (read(signals[0], buffer, 1) == 1) {
      host_drain(&host);
    }
    return;
  }
  if ((events & LOOP_READ) != 0) {
    n = recv(conn->fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN) {
      return;
    }
    if (n <= 0 ||
        nghttp2_session_mem_recv(conn->session, buffer, (size_t)n) < 0) {
      close_conn(conn);
      return;
    }
  } else if ((events & LOOP_BROKEN) != 0) {
    close_conn(conn);
    return;
  }
  push(conn);
}

static void happened(void *user, int events) {
  int fd;

  if (user == &listener) {
    while ((fd = listen_accept(listener)) >= 0) {
      open_conn(fd);
    }
    full = fd == -2 && loop_change(loop, listener, 0, &listener);
  } else {
    on_events(user, events);
  }
}

/* Where there are no descriptors to accept with, nobody tells when there are:
 * others may have taken them. */
static void wait_for_events(void) {
  const int ms = host_get_timeout(&host);

  if (!full) {
    loop_wait(loop, ms);
    return;
  }
  loop_wait(loop, ms >= 0 && ms < ACCEPT_AGAIN ? ms : ACCEPT_AGAIN);
  full = !loop_change(loop, listener, LOOP_READ, &listener);
}

static void on_signal(int number) {
  const int saved = errno;
  const char byte = (char)number;

  (void)!write(signals[1], &byte, 1);
  errno = saved;
}

int main(int argc, char **argv) {
  int status = host_configure(&host, argc, argv);

  if (status >= 0) {
    return status;
  }
  host.http.flags |= WEIR_HTTP_2;
  host.options.hub.notify = notify;
  loop = loop_new();
  listener = listen_on(host.options.listen);
  if (loop == NULL || listener < 0 || !make_callbacks() ||
      weir_hub_new(&host.options.hub, &host.hub) != WEIR_OK ||
      pipe(signals) != 0 || !loop_add(loop, signals[0], LOOP_READ, signals) ||
      !loop_add(loop, listener, LOOP_READ, &listener)) {
    fprintf(stderr, "nghttp2: cannot start\n");
    return 1;
  }
  (void)signal(SIGINT, on_signal);
  (void)signal(SIGTERM, on_signal);
  listen_say(listener);
  while (!host_drained(&host)) {
    wait_for_events();
    (void)weir_hub_run(host.hub); /* lets time pass, too */
    loop_report(loop, happened);
  }
  while (conns != NULL) {
    close_conn(conns);
  }
  nghttp2_session_callbacks_del(callbacks);
  weir_hub_free(host.hub);
  loop_free(loop);
  return 0;
}
