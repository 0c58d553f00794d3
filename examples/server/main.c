/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The reference server: one process, one thread, one loop; with a log, another
 * thread that waits for the disk. */

#include "demo.h"
#include "durable.h"
#include "listen.h"
#include "reply.h"
#include "routes.h"
#include "server.h"
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Connections taken in one turn, so that those already open get theirs. */
#define ACCEPTS_AT_ONCE 256

/* ms until it is looked whether more connections can be taken. */
#define ACCEPT_AGAIN 1000

/* Bodies as large as they may be that can be on their way together. */
#define BODIES_AT_ONCE 4

/* What the loop watches besides connections. */
static struct main {
  struct server server;
  int listener;
  int signals[2];     /* a pipe: what a signal handler can write to */
  size_t most;        /* connections */
  uint64_t accept_at; /* not before; 0 is now */
  uint64_t quit_at;   /* 0: never */
} program;

static const struct conn_handler handler = {routes_admit, reply_refusal,
                                            routes_handle, streams_writable,
                                            routes_closed};

static uint64_t clock_now(void) {
  struct timespec now;

  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void on_signal(int number) {
  const int saved = errno;
  const char byte = (char)number;

  (void)!write(program.signals[1], &byte, 1);
  errno = saved;
}

static bool catch_signals(void) {
  struct sigaction action;

  if (pipe(program.signals) != 0 ||
      fcntl(program.signals[1], F_SETFL, O_NONBLOCK) != 0) {
    return false;
  }
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  (void)sigaction(SIGTERM, &action, NULL);
  (void)sigaction(SIGINT, &action, NULL);
  action.sa_handler = SIG_IGN;
  (void)sigaction(SIGPIPE, &action, NULL);
  /* A limit on the size of files is a full disk, not an end. */
  (void)sigaction(SIGXFSZ, &action, NULL);
  return true;
}

/* Tell the clients to go, spread over most of the time there is, and take no
 * new ones. A second signal ends it at once. */
static void drain(struct server *server) {
  const uint64_t time = server->options.drain;

  if (server->draining) {
    program.quit_at = server->pool.now;
    return;
  }
  server->draining = true;
  program.quit_at = server->pool.now + time;
  loop_remove(server->pool.loop, program.listener, &program.listener);
  (void)close(program.listener);
  program.listener = -1;
  conn_pool_close(&server->pool);
  demo_stop_all(server);
  (void)weir_hub_drain(server->hub, time / 2, 0);
}

static void accept_connections(struct server *server) {
  int fd = 0;
  int i;

  for (i = 0; i < ACCEPTS_AT_ONCE && fd >= 0; ++i) {
    fd = server->pool.count < program.most ? listen_accept(program.listener)
                                           : -2;
    if (fd >= 0) {
      (void)conn_open(&server->pool, fd);
    }
  }
  if (fd == -2) {
    /* They wait in the backlog until somebody goes. */
    program.accept_at = server->pool.now + ACCEPT_AGAIN;
    (void)loop_change(server->pool.loop, program.listener, 0,
                      &program.listener);
  }
}

static void happened(void *user, int events) {
  char byte;

  if (user == &program.listener) {
    accept_connections(&program.server);
  } else if (user == program.signals) {
    if (read(program.signals[0], &byte, 1) == 1) {
      drain(&program.server);
    }
  } else if (user == durable_user(&program.server)) {
    durable_answer(&program.server);
  } else {
    conn_happened(user, events);
  }
}

/* The earliest of several times to wait; -1 is "no limit". */
static int earliest(int a, int b) {
  return a < 0 ? b : b < 0 || a < b ? a : b;
}

static int until(uint64_t when, uint64_t now) {
  return when == 0              ? -1
         : when <= now          ? 0
         : when - now < INT_MAX ? (int)(when - now)
                                : INT_MAX;
}

static int next_turn(const struct server *server) {
  const uint64_t now = server->pool.now;
  int ms = weir_hub_get_timeout(server->hub);

  ms = earliest(ms, conn_pool_timeout(&server->pool));
  ms = earliest(ms, demo_timeout(server));
  ms = earliest(ms, durable_timeout(server));
  ms = earliest(ms, until(program.accept_at, now));
  return earliest(ms, until(program.quit_at, now));
}

static void run(struct server *server) {
  while (program.quit_at == 0 ||
         (server->pool.now < program.quit_at && server->pool.count != 0)) {
    server->pool.now = clock_now();
    loop_wait(server->pool.loop, next_turn(server));
    server->pool.now = clock_now();
    /* First what time has brought: weir's time stands still in between. */
    (void)weir_hub_run(server->hub);
    loop_report(server->pool.loop, happened);
    demo_type(server);
    durable_turn(server);
    conn_pool_expire(&server->pool);
    if (program.accept_at != 0 && program.accept_at <= server->pool.now &&
        program.listener >= 0) {
      program.accept_at = 0;
      (void)loop_change(server->pool.loop, program.listener, LOOP_READ,
                        &program.listener);
    }
  }
}

static void set_http(const struct options *options, weir_http_options *http) {
  weir_http_options_init(http, sizeof *http);
  http->origin = options->cors;
  http->origin_len = options->cors == NULL ? 0 : strlen(options->cors);
}

/* What every response says to pages of other origins. */
static void set_cors(struct server *server) {
  const char *origin = server->options.cors;

  if (origin == NULL) {
    return;
  }
  text_put(&server->cors, "Access-Control-Allow-Origin: ");
  text_put(&server->cors, origin);
  text_put(&server->cors, "\r\nAccess-Control-Expose-Headers: X-Stream-Id\r\n");
  if (strcmp(origin, "*") != 0) {
    text_put(&server->cors, "Vary: Origin\r\n");
  }
}

/* Try what the command line says on a hub that nobody sees. Otherwise every
 * client would be told that it asks for the impossible. */
static int try_options(const struct options *options) {
  weir_open_options open = options->open;
  weir_attach_options attach = options->attach;
  weir_http_options http;
  weir_subscriber *subscriber = NULL;
  weir_stream *stream = NULL;
  weir_response response;
  weir_hub *hub = NULL;
  int rv = weir_hub_new(&options->hub, &hub);

  set_http(options, &http);
  open.key = attach.key = "key";
  open.key_len = attach.key_len = 3;
  response.size = sizeof response;
  if (rv == WEIR_OK) {
    rv = weir_hub_open(hub, &open, &stream);
  }
  if (rv == WEIR_OK) {
    rv = weir_http_attach(hub, &attach, &http, &subscriber, &response);
  }
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
  weir_hub_free(hub);
  return rv;
}

/* Have a stream to try events on. */
static bool open_trial(struct server *server) {
  weir_open_options open;
  int rv = weir_hub_new(&server->options.hub, &server->trial_hub);

  weir_open_options_init(&open, sizeof open);
  open.key = "trial";
  open.key_len = 5;
  if (rv == WEIR_OK) {
    rv = weir_hub_open(server->trial_hub, &open, &server->trial);
  }
  if (rv != WEIR_OK) {
    fprintf(stderr, "server: %s\n", weir_strerror(rv));
  }
  return rv == WEIR_OK;
}

static void set_limits(struct server *server) {
  const struct options *options = &server->options;
  struct conn_pool *pool = &server->pool;

  pool->body_most = options->max_body != 0 ? options->max_body : UINT64_MAX;
  pool->body_limit = pool->body_most < SIZE_MAX / BODIES_AT_ONCE
                         ? pool->body_most * BODIES_AT_ONCE
                         : SIZE_MAX;
  conn_pool_set_timeout(pool, CONN_IN_HEAD, options->request_timeout);
  conn_pool_set_timeout(pool, CONN_IN_BODY, options->request_timeout);
  conn_pool_set_timeout(pool, CONN_IDLE, options->idle_timeout);
  conn_pool_set_timeout(pool, CONN_IN_WRITE, options->attach.stall);
}

static bool start(struct server *server) {
  struct loop *loop = loop_new();
  int rv;

  if (loop == NULL || !catch_signals()) {
    fprintf(stderr, "server: %s\n", strerror(errno));
    return false;
  }
  conn_pool_init(&server->pool, server, &handler, loop);
  set_limits(server);
  server->pool.now = clock_now();
  server->started = server->pool.now;
  set_http(&server->options, &server->http);
  set_cors(server);
  if (!open_trial(server)) {
    return false;
  }
  server->options.hub.notify = streams_notify;
  if (!durable_open(server)) {
    return false;
  }
  rv = weir_hub_new(&server->options.hub, &server->hub);
  if (rv != WEIR_OK) {
    fprintf(stderr, "server: %s\n", weir_strerror(rv));
    return false;
  }
  if (!durable_start(server)) {
    return false;
  }
  program.listener = listen_on(server->options.listen);
  if (program.listener < 0) {
    return false;
  }
  if (!loop_add(loop, program.listener, LOOP_READ, &program.listener) ||
      !loop_add(loop, program.signals[0], LOOP_READ, program.signals)) {
    fprintf(stderr, "server: %s\n", strerror(errno));
    return false;
  }
  return true;
}

int main(int argc, char **argv) {
  struct server *server = &program.server;
  int status = options_parse(&server->options, argc, argv);
  const char *blamed;

  if (status >= 0) {
    return status;
  }
  status = try_options(&program.server.options);
  if (status != WEIR_OK) {
    blamed = options_blame(argc, argv, try_options);
    if (blamed == NULL) {
      fprintf(stderr, "server: %s\n", weir_strerror(status));
    } else {
      fprintf(stderr,
              "server: --%s: %s, by itself or with the options before "
              "it; see --help\n",
              blamed, weir_strerror(status));
    }
    return 2;
  }
  program.most = listen_raise_limit();
  if (!start(server)) {
    return 1;
  }
  listen_say(program.listener);
  run(server);
  conn_pool_end(&server->pool);
  weir_hub_free(server->hub);
  durable_close(server);
  weir_stream_release(server->trial);
  weir_hub_free(server->trial_hub);
  text_free(&server->cors);
  loop_free(server->pool.loop);
  return 0;
}
