/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "demo.h"

#include "reply.h"
#include "streams.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define INTERVAL 60 /* ms between tokens */
#define INTERVAL_MOST 10000
#define STALL_IDLE 10000 /* ms until a stalled answer is given up */
#define DEMOS_MOST 1000

enum script { SCRIPT_ANSWER, SCRIPT_FAIL, SCRIPT_STALL };

struct demo {
  struct listener listener; /* first: the user pointer of the stream */
  struct demo *next;
  struct server *server;
  weir_stream *stream;
  enum script script;
  uint64_t interval;
  uint64_t due;
  size_t at; /* in the text */
  size_t tokens;
};

static const char answer[] =
    "A weir is a low wall across a river. It holds the water back, so that it\n"
    "can be let through again, a little at a time.\n\n"
    "This answer is being typed by a program. Every word that you see is an\n"
    "event with a number of its own, and it was stored before it was sent. "
    "Your\n"
    "browser remembers the last number that it has seen.\n\n"
    "So cut the line, if you like. The typing goes on without you. When you "
    "are\n"
    "back you say how far you had come, and get what follows: nothing twice,\n"
    "nothing left out. If something really is gone, you are told so, and told\n"
    "where to go on.\n\n"
    "Open this answer in a second tab, and it is the same answer, from the\n"
    "start. Close every tab, and it is still being typed. Come back when it "
    "is\n"
    "over, and you are told that it is over, so that nobody waits for ever.\n\n"
    "    That is all a weir does.\n";

/* Where half of the text is: there things go wrong, if they are to. */
#define MIDDLE (sizeof answer / 2)

/* The end of the token that begins at `at`: a word and the blanks before it. */
static size_t token_end(size_t at) {
  while (answer[at] == ' ' || answer[at] == '\n') {
    ++at;
  }
  while (answer[at] != '\0' && answer[at] != ' ' && answer[at] != '\n') {
    ++at;
  }
  return at;
}

static void demo_free(struct demo *demo) {
  struct demo **link = &demo->server->demos;

  while (*link != demo) {
    link = &(*link)->next;
  }
  *link = demo->next;
  weir_stream_release(demo->stream);
  free(demo);
}

/* The stream has been opened, or is at its end; nobody types into what is at
 * its end. */
static void hear(struct listener *listener, const weir_notice *notice) {
  struct demo *demo = (struct demo *)(void *)listener;

  if (notice->kind == WEIR_NOTICE_CANCELLED ||
      notice->kind == WEIR_NOTICE_ENDED ||
      (notice->kind == WEIR_NOTICE_OPENED && notice->error != WEIR_OK)) {
    demo_free(demo);
  }
}

static void send_status(struct demo *demo, const char *data) {
  weir_event signal;

  weir_event_init(&signal, sizeof signal);
  signal.type = "status";
  signal.type_len = 6;
  signal.data = data;
  signal.data_len = strlen(data);
  signal.flags = WEIR_EVENT_JSON;
  (void)weir_stream_signal(demo->stream, &signal, NULL);
}

/* Type one token. */
static void type(struct demo *demo) {
  weir_event event;
  size_t end = token_end(demo->at);
  int rv;

  if (demo->tokens % 40 == 0) {
    send_status(demo, demo->tokens == 0 ? "{\"state\":\"thinking\"}"
                                        : "{\"state\":\"typing\"}");
  }
  weir_event_init(&event, sizeof event);
  event.type = "token";
  event.type_len = 5;
  event.data = answer + demo->at;
  event.data_len = end - demo->at;
  rv = weir_stream_publish(demo->stream, &event, 1, NULL);
  if (rv == WEIR_OK) {
    demo->at = end;
    demo->tokens += 1;
  }
  demo->due = demo->server->pool.now + demo->interval;
}

/* Do what is next. */
static void go_on(struct demo *demo) {
  static const char message[] = "This failure was asked for.";

  if (demo->at >= MIDDLE && demo->script == SCRIPT_STALL) {
    demo->due = UINT64_MAX; /* the watchdog sees to it */
  } else if (demo->at >= MIDDLE && demo->script == SCRIPT_FAIL) {
    (void)weir_stream_fail(demo->stream, "demo_failed", 11, message,
                           sizeof message - 1, 0, NULL);
    demo->due = UINT64_MAX;
  } else if (answer[token_end(demo->at)] == '\0' &&
             token_end(demo->at) == demo->at) {
    (void)weir_stream_end(demo->stream, "complete", 8, 0, NULL);
    demo->due = UINT64_MAX;
  } else {
    type(demo);
  }
}

int demo_timeout(const struct server *server) {
  const struct demo *demo;
  uint64_t next = UINT64_MAX;

  for (demo = server->demos; demo != NULL; demo = demo->next) {
    next = demo->due < next ? demo->due : next;
  }
  if (next == UINT64_MAX) {
    return -1;
  }
  if (next <= server->pool.now) {
    return 0;
  }
  return next - server->pool.now < INT_MAX ? (int)(next - server->pool.now)
                                           : INT_MAX;
}

void demo_type(struct server *server) {
  struct demo *demo;

  for (demo = server->demos; demo != NULL; demo = demo->next) {
    if (demo->due <= server->pool.now) {
      go_on(demo);
    }
  }
}

void demo_stop_all(struct server *server) {
  while (server->demos != NULL) {
    demo_free(server->demos);
  }
}

/* What the query says of a demo. */
static bool choose(struct slice query, struct demo *demo,
                   weir_open_options *options) {
  static const char *const scripts[] = {"answer", "fail", "stall"};
  struct text value = {NULL, 0, 0, false};
  struct slice word;
  bool good = streams_choose(query, options);
  bool bad = false;
  int i = 0;

  demo->interval = INTERVAL;
  if (query_get(query, "interval", &value, &bad)) {
    word.data = value.data;
    word.len = value.len;
    good = good && parse_number(word, &demo->interval) && demo->interval >= 1 &&
           demo->interval <= INTERVAL_MOST;
  }
  value.len = 0;
  if (query_get(query, "script", &value, &bad)) {
    word.data = value.data;
    word.len = value.len;
    while (i < 3 && !slice_is(word, scripts[i])) {
      ++i;
    }
    good = good && i < 3;
  }
  demo->script = (enum script)i;
  text_free(&value);
  return good && !bad;
}

static size_t count(const struct server *server) {
  const struct demo *demo;
  size_t n = 0;

  for (demo = server->demos; demo != NULL; demo = demo->next) {
    n += 1;
  }
  return n;
}

static void answer_start(struct conn *conn, const struct demo *demo,
                         struct slice key) {
  struct text body = {NULL, 0, 0, false};
  weir_stream_info info;

  info.size = sizeof info;
  (void)weir_stream_get_info(demo->stream, &info);
  streams_describe(demo->stream, key, &body);
  text_put(&body, "}\n");
  reply_json(conn, info.joined != 0 ? 200 : 201, &body);
  text_free(&body);
}

/* One that is joined is being typed already. */
static bool is_joined(const struct demo *demo) {
  weir_stream_info info;

  info.size = sizeof info;
  return weir_stream_get_info(demo->stream, &info) == WEIR_OK &&
         info.joined != 0;
}

void demo_start(struct conn *conn, const struct http_request *request,
                struct slice key) {
  struct server *server = conn->pool->server;
  weir_open_options options = server->options.open;
  struct demo *demo = calloc(1, sizeof *demo);
  int rv = WEIR_ENOMEM;

  if (demo != NULL) {
    demo->listener.hear = hear;
    demo->server = server;
    weir_open_options_answer(&options);
    options.key = key.data;
    options.key_len = key.len;
    options.user = demo;
    rv = choose(request->query, demo, &options) ? WEIR_OK : WEIR_EINVAL;
    if (demo->script == SCRIPT_STALL) {
      options.idle = STALL_IDLE;
    }
  }
  if (rv == WEIR_OK && count(server) >= DEMOS_MOST) {
    rv = WEIR_ESTREAMS;
  }
  if (rv == WEIR_OK) {
    rv = weir_hub_open(server->hub, &options, &demo->stream);
  }
  if (rv != WEIR_OK) {
    free(demo);
    reply_weir_error(conn, rv);
    return;
  }
  demo->due = conn->pool->now + demo->interval;
  demo->next = server->demos;
  server->demos = demo;
  answer_start(conn, demo, key);
  if (is_joined(demo)) {
    demo_free(demo);
  }
}

void demo_cut(struct conn *conn, const struct http_request *request) {
  struct text client = {NULL, 0, 0, false};
  struct text body = {NULL, 0, 0, false};
  struct slice name;
  bool bad = false;
  size_t cut = 0;

  if (query_get(request->query, "client", &client, &bad)) {
    name.data = client.data;
    name.len = client.len;
    cut = conn_pool_cut(conn->pool, name);
  }
  text_put(&body, "{\"cut\":");
  text_number(&body, cut);
  text_put(&body, "}\n");
  reply_json(conn, 200, &body);
  text_free(&body);
  text_free(&client);
}
