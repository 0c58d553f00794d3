/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "conn.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* ms for the peer to close, too. */
#define LINGER 2000

/* ms that a request with a body may take in all. */
#define EXCHANGE_MOST 300000

/* A response that is not a stream's is not begun while so much is unsent. */
#define OUT_MOST 65536

/* weir hands out its runs of bytes in the layout of struct iovec. */
_Static_assert(sizeof(weir_bytes) == sizeof(struct iovec) &&
                   offsetof(weir_bytes, base) ==
                       offsetof(struct iovec, iov_base) &&
                   offsetof(weir_bytes, len) == offsetof(struct iovec, iov_len),
               "weir_bytes is no iovec");

static void process(struct conn *conn, const char *bytes, size_t len);

void conn_pool_init(struct conn_pool *pool, struct server *server,
                    const struct conn_handler *handler, struct loop *loop) {
  int i;

  memset(pool, 0, sizeof *pool);
  pool->server = server;
  pool->handler = handler;
  pool->loop = loop;
  for (i = 0; i < CONN_TIMEOUTS; ++i) {
    pool->timeouts[i] = CONN_NEVER;
  }
  pool->timeouts[CONN_IN_LINGER] = LINGER;
}

void conn_pool_set_timeout(struct conn_pool *pool, enum conn_timeout timeout,
                           uint64_t ms) {
  pool->timeouts[timeout] = ms != 0 && ms < CONN_NEVER ? ms : CONN_NEVER;
}

static void unlink_timeout(struct conn *conn) {
  struct conn_pool *pool = conn->pool;

  if (conn->timeout == CONN_NO_TIMEOUT) {
    return;
  }
  if (conn->previous != NULL) {
    conn->previous->next = conn->next;
  } else {
    pool->first[conn->timeout] = conn->next;
  }
  if (conn->next != NULL) {
    conn->next->previous = conn->previous;
  } else {
    pool->last[conn->timeout] = conn->previous;
  }
}

static void set_timeout(struct conn *conn, enum conn_timeout timeout) {
  struct conn_pool *pool = conn->pool;

  unlink_timeout(conn);
  conn->timeout = (uint8_t)timeout;
  if (timeout == CONN_NO_TIMEOUT) {
    return;
  }
  conn->due = pool->now + pool->timeouts[timeout];
  conn->next = NULL;
  conn->previous = pool->last[timeout];
  if (conn->previous != NULL) {
    conn->previous->next = conn;
  } else {
    pool->first[timeout] = conn;
  }
  pool->last[timeout] = conn;
}

static void watch(struct conn *conn, int events) {
  if (conn->watched != events &&
      loop_change(conn->pool->loop, conn->fd, events, conn)) {
    conn->watched = (uint8_t)events;
  }
}

static void free_exchange(struct conn *conn) {
  struct exchange *exchange = conn->exchange;

  if (exchange != NULL) {
    conn->pool->body_bytes -= exchange->body.len;
    text_free(&exchange->head);
    text_free(&exchange->body);
    free(exchange);
    conn->exchange = NULL;
  }
}

static void close_conn(struct conn *conn) {
  struct conn_pool *pool = conn->pool;

  pool->handler->closed(conn);
  loop_remove(pool->loop, conn->fd, conn);
  unlink_timeout(conn);
  free_exchange(conn);
  text_free(&conn->in);
  text_free(&conn->out);
  free(conn->client);
  (void)close(conn->fd);
  pool->count -= 1;
  free(conn);
}

bool conn_open(struct conn_pool *pool, int fd) {
  struct conn *conn = calloc(1, sizeof *conn);

  if (conn == NULL || !loop_add(pool->loop, fd, LOOP_READ, conn)) {
    free(conn);
    (void)close(fd);
    return false;
  }
  conn->pool = pool;
  conn->fd = fd;
  conn->state = CONN_HEAD;
  conn->watched = LOOP_READ;
  conn->timeout = CONN_NO_TIMEOUT;
  pool->count += 1;
  set_timeout(conn, CONN_IN_HEAD);
  return true;
}

void conn_abort(struct conn *conn) {
  const struct linger reset = {1, 0};

  (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close_conn(conn);
}

/* Everything is sent. What the peer is still sending is read and thrown away,
 * since closing with bytes unread would reset the connection and take the end
 * of the response with it. */
static void linger(struct conn *conn) {
  if (conn->ended || shutdown(conn->fd, SHUT_WR) != 0) {
    close_conn(conn);
    return;
  }
  conn->state = CONN_LINGER;
  text_free(&conn->in);
  text_free(&conn->out);
  watch(conn, LOOP_READ);
  set_timeout(conn, CONN_IN_LINGER);
}

/* Send what is in `out` and then the runs. -1: broken. */
static ssize_t send_runs(struct conn *conn, const weir_bytes *bytes,
                         size_t count) {
  struct msghdr message;
  struct iovec iov[8];
  size_t n = 0;
  ssize_t sent;

  if (conn->sent < conn->out.len) {
    iov[n].iov_base = conn->out.data + conn->sent;
    iov[n].iov_len = conn->out.len - conn->sent;
    n += 1;
  }
  count = count < 8 - n ? count : 8 - n;
  if (count != 0) {
    memcpy(iov + n, bytes, count * sizeof *iov);
  }
  if (n + count == 1) {
    sent = send(conn->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL);
  } else {
    memset(&message, 0, sizeof message);
    message.msg_iov = iov;
    message.msg_iovlen = n + count;
    sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
  }
  if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ||
                   errno == ENOBUFS)) {
    return 0;
  }
  return sent;
}

bool conn_send(struct conn *conn, const weir_bytes *bytes, size_t count,
               size_t *taken) {
  const size_t waiting = conn->out.len - conn->sent;
  size_t whole = waiting;
  ssize_t sent;
  size_t i;

  for (i = 0; i < count; ++i) {
    whole += bytes[i].len;
  }
  *taken = 0;
  if (whole == 0) {
    watch(conn, conn->watched & LOOP_READ);
    return true;
  }
  sent = send_runs(conn, bytes, count);
  if (sent < 0) {
    return false;
  }
  if ((size_t)sent < waiting) {
    conn->sent += (size_t)sent;
  } else {
    text_free(&conn->out);
    conn->sent = 0;
    *taken = (size_t)sent - waiting;
  }
  watch(conn, (conn->ended                ? 0
               : conn->state == CONN_WAIT ? conn->watched & LOOP_READ
                                          : LOOP_READ) |
                  ((size_t)sent < whole ? LOOP_WRITE : 0));
  return true;
}

/* Send responses. false: the connection is gone. */
static bool flush(struct conn *conn) {
  size_t taken;

  if (!conn_send(conn, NULL, 0, &taken)) {
    close_conn(conn);
    return false;
  }
  if (conn->out.len == 0 && conn->state == CONN_FLUSH) {
    linger(conn);
    return false;
  }
  if (conn->out.len != 0 && conn->state != CONN_STREAM) {
    set_timeout(conn, CONN_IN_WRITE);
  }
  return true;
}

void conn_answered(struct conn *conn) {
  free_exchange(conn);
  if (conn->keep_alive && !conn->pool->closing) {
    conn->state = CONN_HEAD;
    set_timeout(conn, CONN_IDLE);
  } else {
    conn->state = CONN_FLUSH;
    set_timeout(conn, CONN_IN_WRITE);
  }
}

const char *conn_fate(const struct conn *conn) {
  return !conn->keep_alive || conn->pool->closing ? "Connection: close\r\n"
         : conn->is_http_1_0                      ? "Connection: keep-alive\r\n"
                                                  : "";
}

void conn_respond(struct conn *conn, int status, const char *fields,
                  const char *type, const void *body, size_t len) {
  struct text *out = &conn->out;

  text_put(out, "HTTP/1.1 ");
  text_number(out, (uint64_t)status);
  text_put(out, " ");
  text_put(out, http_reason(status));
  text_put(out, "\r\n");
  if (fields != NULL) {
    text_put(out, fields);
  }
  if (status != 204) {
    text_put(out, "Content-Type: ");
    text_put(out, type);
    text_put(out, "\r\nContent-Length: ");
    text_number(out, len);
    text_put(out, "\r\n");
  }
  text_put(out, conn_fate(conn));
  text_put(out, "\r\n");
  if (!conn->no_body) {
    text_add(out, body, len);
  }
  if (out->failed) {
    conn->keep_alive = false;
    text_free(out);
  }
  conn_answered(conn);
}

void conn_wait(struct conn *conn) {
  conn->state = CONN_WAIT;
  set_timeout(conn, CONN_WITHOUT_END);
}

void conn_stream(struct conn *conn, weir_subscriber *subscriber) {
  free_exchange(conn);
  text_free(&conn->in);
  conn->subscriber = subscriber;
  conn->state = CONN_STREAM;
  set_timeout(conn, CONN_WITHOUT_END);
}

size_t conn_pool_cut(struct conn_pool *pool, struct slice client) {
  struct conn *conn = pool->first[CONN_WITHOUT_END];
  struct conn *next;
  size_t cut = 0;

  for (; conn != NULL; conn = next) {
    next = conn->next;
    if (conn->client != NULL && slice_is(client, conn->client)) {
      conn_abort(conn);
      cut += 1;
    }
  }
  return cut;
}

void conn_finish(struct conn *conn) {
  conn->pool->handler->closed(conn);
  conn->state = CONN_FLUSH;
  (void)flush(conn);
}

/* The request cannot be read on: answer, and close. */
static void refuse(struct conn *conn, int status, const char *wrong) {
  conn->keep_alive = false;
  conn->pool->handler->refuse(conn, status, wrong);
}

/* A request with a body begins: keep its head. */
static bool begin_exchange(struct conn *conn, const char *head,
                           size_t head_len) {
  struct exchange *exchange = calloc(1, sizeof *exchange);
  size_t ignored;

  if (exchange == NULL) {
    return false;
  }
  conn->exchange = exchange;
  exchange->started = conn->pool->now;
  text_add(&exchange->head, head, head_len);
  if (exchange->head.failed) {
    return false;
  }
  (void)http_parse(exchange->head.data, exchange->head.len, &exchange->request,
                   &ignored);
  http_body_init(&exchange->decoder, &exchange->request);
  conn->state = CONN_BODY;
  set_timeout(conn, CONN_IN_BODY);
  return true;
}

/* Take a head off the bytes. Returns how many were used; 0: it is not complete.
 */
static size_t take_head(struct conn *conn, const char *bytes, size_t len) {
  struct http_request request;
  struct slice none = {NULL, 0};
  size_t head_len = 0;
  int status = http_parse(bytes, len, &request, &head_len);

  conn->no_body = request.method == HTTP_HEAD; /* also if it is refused */
  if (status == 0) {
    return 0;
  }
  if (status > 0) {
    refuse(conn, status, request.wrong);
    return len;
  }
  conn->keep_alive = request.keep_alive;
  conn->is_http_1_0 = request.version_1_0;
  if (!request.chunked && request.length == 0) {
    conn->pool->handler->handle(conn, &request, none);
    return head_len;
  }
  if (!conn->pool->handler->admit(conn, &request)) {
    return len;
  }
  if (!begin_exchange(conn, bytes, head_len)) {
    refuse(conn, 503, "out of memory");
    return len;
  }
  if (request.expects_continue && len == head_len) {
    text_put(&conn->out, "HTTP/1.1 100 Continue\r\n\r\n");
  }
  return head_len;
}

/* Take as much of a body off the bytes as there is. */
static size_t take_body(struct conn *conn, const char *bytes, size_t len) {
  struct conn_pool *pool = conn->pool;
  struct exchange *exchange = conn->exchange;
  const size_t before = exchange->body.len;
  const char *wrong = NULL;
  struct slice body;
  size_t used;
  int status = http_body_feed(&exchange->decoder, bytes, len, &used,
                              &exchange->body, pool->body_most);

  pool->body_bytes += exchange->body.len - before;
  if (status == 400) {
    wrong = "the chunks of the body are not well-formed";
  } else if (status == 413) {
    wrong = "the body is too large";
  } else if (status == 0 && pool->body_bytes > pool->body_limit) {
    status = 503;
    wrong = "too many bodies at once";
  }
  if (status == 0) {
    if (used != 0 && pool->now - exchange->started < EXCHANGE_MOST) {
      set_timeout(conn, CONN_IN_BODY);
    }
    return used;
  }
  if (status > 0) {
    refuse(conn, status, wrong);
    return len;
  }
  body.data = exchange->body.data;
  body.len = exchange->body.len;
  pool->handler->handle(conn, &exchange->request, body);
  return used;
}

/* Whether it is the peer's turn to say something. */
static bool listens(const struct conn *conn) {
  return conn->state == CONN_HEAD || conn->state == CONN_BODY;
}

/* Whether another request may be looked at now. */
static bool may_go_on(const struct conn *conn) {
  return listens(conn) && conn->out.len - conn->sent < OUT_MOST;
}

/* Answer as many requests as there are in the bytes (those that were kept, if
 * bytes is NULL). The connection may be gone afterwards. */
static void process(struct conn *conn, const char *bytes, size_t len) {
  struct text kept = conn->in;
  size_t used = 1;
  bool has_more;

  memset(&conn->in, 0, sizeof conn->in);
  if (bytes == NULL) {
    bytes = kept.data;
    len = kept.len;
  }
  while (used != 0 && len != 0 && may_go_on(conn)) {
    used = conn->state == CONN_HEAD ? take_head(conn, bytes, len)
                                    : take_body(conn, bytes, len);
    bytes += used;
    len -= used;
  }
  has_more = used != 0 && len != 0 && listens(conn);
  if (conn->state == CONN_STREAM) {
    text_free(&kept);
    conn->pool->handler->writable(conn);
    return;
  }
  if (conn->state == CONN_HEAD && len != 0 && conn->timeout != CONN_IN_HEAD) {
    set_timeout(conn, CONN_IN_HEAD);
  }
  if (conn->state != CONN_FLUSH) {
    text_add(&conn->in, bytes, len);
  }
  text_free(&kept);
  /* What cannot be kept, or will never be complete, is not waited for. */
  if (conn->in.failed ||
      (conn->ended && !has_more && conn->state != CONN_WAIT)) {
    conn->state = CONN_FLUSH;
  }
  /* There are answers enough for one turn; the rest has the next. The socket
   * may have taken them all, and would not say by itself that there is room. */
  if (flush(conn) && has_more && listens(conn)) {
    watch(conn, conn->watched | LOOP_WRITE);
  }
}

void conn_resume(struct conn *conn) {
  process(conn, NULL, 0);
}

/* Bytes that nobody wants; their end counts. */
static void read_and_forget(struct conn *conn) {
  struct conn_pool *pool = conn->pool;
  ssize_t n = recv(conn->fd, pool->buffer, sizeof pool->buffer, 0);

  if (n == 0 ||
      (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
    close_conn(conn);
  }
}

static void readable(struct conn *conn) {
  struct conn_pool *pool = conn->pool;
  size_t before = conn->in.len;
  ssize_t n;

  if (conn->state == CONN_STREAM || conn->state == CONN_LINGER) {
    read_and_forget(conn);
    return;
  }
  if (!may_go_on(conn) || before >= sizeof pool->buffer) {
    /* First things first: an answer is still awaited, or being sent. */
    watch(conn, conn->watched & LOOP_WRITE);
    return;
  }
  n = recv(conn->fd, pool->buffer + before, sizeof pool->buffer - before, 0);
  if (n < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
      close_conn(conn);
    }
    return;
  }
  if (n == 0) {
    conn->ended = true;
    process(conn, NULL, 0);
    return;
  }
  if (before != 0) {
    memcpy(pool->buffer, conn->in.data, before);
  }
  process(conn, pool->buffer, before + (size_t)n);
}

void conn_happened(struct conn *conn, int events) {
  if ((events & LOOP_BROKEN) != 0) {
    close_conn(conn);
  } else if ((events & LOOP_WRITE) != 0 && conn->state == CONN_STREAM) {
    conn->pool->handler->writable(conn);
  } else if ((events & LOOP_WRITE) != 0) {
    if (flush(conn) && conn->out.len == 0) {
      if (conn->state == CONN_HEAD) {
        set_timeout(conn, CONN_IDLE);
      }
      process(conn, NULL, 0);
    }
  } else if ((events & LOOP_READ) != 0) {
    readable(conn);
  }
}

int conn_pool_timeout(const struct conn_pool *pool) {
  uint64_t next = UINT64_MAX;
  int i;

  for (i = 0; i < CONN_TIMEOUTS; ++i) {
    if (pool->first[i] != NULL && pool->first[i]->due < next) {
      next = pool->first[i]->due;
    }
  }
  if (next == UINT64_MAX) {
    return -1;
  }
  if (next <= pool->now) {
    return 0;
  }
  return next - pool->now < INT_MAX ? (int)(next - pool->now) : INT_MAX;
}

void conn_pool_expire(struct conn_pool *pool) {
  struct conn *conn;
  int i;

  for (i = 0; i < CONN_TIMEOUTS; ++i) {
    /* What is closed is in no list any more, which clang cannot know. */
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    while (pool->first[i] != NULL && pool->first[i]->due <= pool->now) {
      conn = pool->first[i];
      if (i == CONN_IN_BODY || (i == CONN_IN_HEAD && conn->in.len != 0)) {
        refuse(conn, 408, "the request took too long to come");
        (void)flush(conn);
      } else {
        close_conn(conn);
      }
    }
  }
}

static void close_all(struct conn_pool *pool, int timeout) {
  while (pool->first[timeout] != NULL) {
    close_conn(pool->first[timeout]); /* NOLINT(clang-analyzer-unix.Malloc) */
  }
}

void conn_pool_close(struct conn_pool *pool) {
  static const int waiting[] = {CONN_IN_HEAD, CONN_IDLE};
  size_t i;

  pool->closing = true;
  for (i = 0; i < sizeof waiting / sizeof waiting[0]; ++i) {
    close_all(pool, waiting[i]);
  }
}

void conn_pool_end(struct conn_pool *pool) {
  int i;

  for (i = 0; i < CONN_TIMEOUTS; ++i) {
    close_all(pool, i);
  }
}
