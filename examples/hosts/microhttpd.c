/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/*
 * weir in GNU libmicrohttpd: a pull host. What it serves is in host.h.
 *
 * libmicrohttpd asks for bytes whenever a socket has room, and has its own
 * thread to do that in. When there are none, the connection is suspended; the
 * notice `readable` resumes it. The hub runs in a thread beside, under a lock
 * (see locked.h): asking for bytes and suspending are one step under it, or the
 * notice that comes in between would be lost, and the connection would sleep
 * until the next one.
 *
 * libmicrohttpd has its content copied into a buffer of its own; that copy is
 * the only one. It holds one block, so a client that does not read costs no
 * more than that.
 *
 * A suspended connection is not watched: that its client has left is noticed
 * when a heartbeat is sent, or rather the one after it, for the first only
 * draws the answer that nobody is there.
 */

#include "host.h"
#include "locked.h"

#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Bytes that are pulled at once. */
#define BLOCK 8192

#define CONNECTIONS_MOST 10000

static struct host host;
static struct locked locked;

/* A connection that reads a stream. */
struct reader {
  struct MHD_Connection *connection;
  weir_subscriber *subscriber;
  bool suspended;
  bool aborted;
};

/* --- Readers --------------------------------------------------------------*/

/* libmicrohttpd has room for max bytes. */
static ssize_t pull(void *arg, uint64_t position, char *buffer, size_t max) {
  struct reader *reader = arg;
  size_t len = 0;
  int rv;

  (void)position;
  locked_enter(&locked);
  rv = reader->aborted
           ? WEIR_ESTALLED
           : weir_subscriber_read(reader->subscriber, buffer, max, &len);
  if (rv == WEIR_EAGAIN) {
    reader->suspended = true;
    MHD_suspend_connection(reader->connection);
  }
  locked_leave(&locked);
  switch (rv) {
    case WEIR_OK:
      return (ssize_t)len;
    case WEIR_EAGAIN:
      return 0;
    case WEIR_EDONE:
      return MHD_CONTENT_READER_END_OF_STREAM;
    default:
      return MHD_CONTENT_READER_END_WITH_ERROR;
  }
}

static void resume(struct reader *reader) {
  if (reader->suspended) {
    reader->suspended = false;
    MHD_resume_connection(reader->connection);
  }
}

/* Its client takes nothing, so libmicrohttpd asks for nothing: only the socket
 * can tell it. A reset is what gets through to such a client. */
static void cut(struct reader *reader) {
  const struct linger now = {1, 0};
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(
      reader->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

  reader->aborted = true;
  (void)setsockopt(info->connect_fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  (void)shutdown(info->connect_fd, SHUT_RDWR);
  resume(reader);
}

/* In the hub's thread, under the lock. */
static void notify(void *user, const weir_notice *notice) {
  (void)user;
  switch (notice->kind) {
    case WEIR_NOTICE_READABLE:
    case WEIR_NOTICE_CLOSING:
      resume(notice->user);
      break;
    case WEIR_NOTICE_ABORT:
      cut(notice->user);
      break;
    default:
      break; /* of producers: ours have been answered */
  }
}

/* The connection has gone, or its response is complete. */
static void let_go(void *arg) {
  struct reader *reader = arg;

  locked_enter(&locked);
  host_release(&host, reader->subscriber);
  locked_leave(&locked);
  free(reader);
}

/* --- Requests -------------------------------------------------------------*/

/* A request on its way. Each connection has one, for one after the other. */
struct incoming {
  char *target; /* as it came: what libmicrohttpd hands on is decoded */
  struct text body;
  bool begun;
};

/* libmicrohttpd destroys the response when it is done with it. */
static enum MHD_Result send_response(struct MHD_Connection *connection,
                                     int status,
                                     struct MHD_Response *response) {
  enum MHD_Result result =
      MHD_queue_response(connection, (unsigned)status, response);

  MHD_destroy_response(response);
  return result;
}

static struct MHD_Response *make_plain(const void *body, size_t len) {
  void *copy = malloc(len + 1);

  if (copy == NULL) {
    return NULL;
  }
  if (len != 0) {
    memcpy(copy, body, len);
  }
  return MHD_create_response_from_buffer(len, copy, MHD_RESPMEM_MUST_FREE);
}

/* What is sent to a reader: the stream, or a refusal. */
static struct MHD_Response *make_response(const weir_response *response,
                                          struct reader *reader) {
  struct MHD_Response *made;
  char body[1024];
  size_t len = 0;

  if (response->stream != 0) {
    made = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, pull,
                                             reader, let_go);
    if (made != NULL) { /* the end of the connection is the end: no chunks */
      (void)MHD_set_response_options(made, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT,
                                     MHD_RO_END);
    }
    return made;
  }
  (void)weir_http_write_body(response, body, sizeof body, &len);
  return make_plain(body, len);
}

static enum MHD_Result serve_reader(struct MHD_Connection *connection,
                                    const struct host_request *wanted) {
  const char *cursor =
      MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Last-Event-ID");
  struct reader *reader = calloc(1, sizeof *reader);
  struct MHD_Response *made;
  char id[WEIR_STREAM_ID_MAX + 1];
  weir_response response;
  weir_field field;
  size_t i;

  if (reader == NULL) {
    return MHD_NO; /* closes the connection */
  }
  reader->connection = connection;
  locked_enter(&locked);
  host_attach(&host, wanted, host_slice(cursor), reader, &reader->subscriber,
              &response);
  locked_leave(&locked);
  made = make_response(&response, reader);
  if (made == NULL || response.stream == 0) {
    let_go(reader);
  } else {
    /* weir has the timeouts of a stream. */
    (void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                    0u);
  }
  if (made == NULL) {
    return MHD_NO;
  }
  for (i = 0;
       weir_http_get_field(&response, i, id, sizeof id, &field) == WEIR_OK;
       ++i) {
    (void)MHD_add_response_header(made, field.name, field.value);
  }
  return send_response(connection, response.status, made);
}

static enum MHD_Result serve_producer(struct MHD_Connection *connection,
                                      const struct host_request *wanted,
                                      const struct text *body) {
  const struct slice data = {body->data, body->len};
  struct text json = {NULL, 0, 0, false};
  struct MHD_Response *made;
  int status = body->failed ? 503 : 413;

  if (!body->failed && body->len <= host.options.max_body) {
    locked_enter(&locked);
    status = host_produce(&host, wanted, data, &json);
    locked_leave(&locked);
  }
  made = make_plain(json.data, json.len);
  text_free(&json);
  if (made == NULL) {
    return MHD_NO;
  }
  (void)MHD_add_response_header(made, "Content-Type", "application/json");
  return send_response(connection, status, made);
}

/* Called once for the head, for each piece of the body, and at its end. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection,
                                  const char *url, const char *method,
                                  const char *version, const char *piece,
                                  size_t *piece_len, void **user) {
  struct incoming *incoming = *user;
  struct host_request wanted;

  (void)arg;
  (void)url;
  (void)version;
  if (incoming == NULL) {
    return MHD_NO;
  }
  if (!incoming->begun) {
    incoming->begun = true;
    return MHD_YES;
  }
  if (*piece_len != 0) {
    /* What is too large is not kept, but read to its end: libmicrohttpd takes
     * no response before. */
    if (incoming->body.len <= host.options.max_body) {
      text_add(&incoming->body, piece, *piece_len);
    }
    *piece_len = 0;
    return MHD_YES;
  }
  host_parse(&wanted, method, host_slice(incoming->target), host_slice(NULL));
  return wanted.wish == HOST_READ
             ? serve_reader(connection, &wanted)
             : serve_producer(connection, &wanted, &incoming->body);
}

static void clear(struct incoming *incoming) {
  text_free(&incoming->body);
  free(incoming->target);
  memset(incoming, 0, sizeof *incoming);
}

/* The first that is heard of a request. What this returns is *user above. */
static void *on_target(void *arg, const char *target,
                       struct MHD_Connection *connection) {
  struct incoming *incoming =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
          ->socket_context;

  (void)arg;
  if (incoming != NULL) {
    clear(incoming); /* of the request before */
    incoming->target = strdup(target);
  }
  return incoming;
}

/* MHD_OPTION_NOTIFY_COMPLETED is not the place to free a request:
 * libmicrohttpd does not call it for one that it refuses itself. */
static void on_connection(void *arg, struct MHD_Connection *connection,
                          void **context,
                          enum MHD_ConnectionNotificationCode what) {
  (void)arg;
  (void)connection;
  if (what == MHD_CONNECTION_NOTIFY_STARTED) {
    *context = calloc(1, sizeof(struct incoming));
  } else if (*context != NULL) {
    clear(*context);
    free(*context);
  }
}

/* --- The daemon -----------------------------------------------------------*/

static struct MHD_Daemon *start(void) {
  const unsigned patience = (unsigned)(host.options.request_timeout / 1000);
  struct MHD_Daemon *daemon;
  int fd;

  host.options.hub.notify = notify;
  fd = listen_on(host.options.listen);
  if (fd < 0 || !locked_start(&locked, &host.options.hub)) {
    return NULL;
  }
  host.hub = locked.hub;
  daemon = MHD_start_daemon(
      MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
      on_request, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
      MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MOST,
      MHD_OPTION_CONNECTION_TIMEOUT, patience, MHD_OPTION_URI_LOG_CALLBACK,
      on_target, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL,
      MHD_OPTION_END);
  if (daemon != NULL) {
    listen_say(fd);
  }
  return daemon;
}

int main(int argc, char **argv) {
  struct MHD_Daemon *daemon;
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
  daemon = start();
  if (daemon == NULL) {
    fprintf(stderr, "microhttpd: cannot start\n");
    return 1;
  }
  (void)sigwait(&signals, &signal);
  /* libmicrohttpd must not be stopped while connections are suspended. This
   * resumes them all, and none is suspended again, for what follows is its end.
   */
  locked_drain(&locked, &host.readers, host.options.drain);
  MHD_stop_daemon(daemon);
  locked_stop(&locked);
  return 0;
}
