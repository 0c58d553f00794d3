/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "demo.h"

#include "durable.h"
#include "reply.h"
#include "streams.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define NEVER UINT64_MAX
#define INTERVAL 60 /* ms between tokens */
#define INTERVAL_MOST 10000
#define STALL_IDLE 10000 /* ms until a stalled answer is given up */
#define DEMOS_MOST 1000

enum script { SCRIPT_ANSWER, SCRIPT_FAIL, SCRIPT_STALL };

struct demo {
  struct listener listener; /* first: the user pointer of the stream */
  struct demo *next;
  struct server *server;
  struct conn *conn; /* that waits for the answer, or NULL */
  weir_stream *stream;
  struct text key;
  enum script script;
  uint64_t interval;
  uint64_t due;
  size_t at; /* in the text */
  size_t tokens;
};

static const char answer[] =
    "A weir is a low wall across a river. It holds the water back, so that "
    "it can be let through again, a little at a time.\n\n"
    "This answer is being typed by a program. Every word that you see is an "
    "event with a number of its own, and it was stored before it was sent. "
    "Your browser remembers the last number that it has seen.\n\n"
    "So cut the line, if you like. The typing goes on without you. When you "
    "are back you say how far you had come, and get what follows: nothing "
    "twice, nothing left out. If something really is gone, you are told so, "
    "and told where to go on.\n\n"
    "Open this answer in a second tab, and it is the same answer, from the "
    "start. Close every tab, and it is still being typed. Come back when it "
    "is over, and you are told that it is over, so that nobody waits for "
    "ever.\n\n"
    "That is all a weir does.\n";

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
  text_free(&demo->key);
  free(demo);
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
    demo->due = NEVER; /* the watchdog sees to it */
  } else if (demo->at >= MIDDLE && demo->script == SCRIPT_FAIL) {
    (void)weir_stream_fail(demo->stream, "demo_failed", 11, message,
                           sizeof message - 1, 0, NULL);
    demo->due = NEVER;
  } else if (answer[token_end(demo->at)] == '\0' &&
             token_end(demo->at) == demo->at) {
    (void)weir_stream_end(demo->stream, "complete", 8, 0, NULL);
    demo->due = NEVER;
  } else {
    type(demo);
  }
}

int demo_timeout(const struct server *server) {
  const struct demo *demo;
  uint64_t next = NEVER;

  for (demo = server->demos; demo != NULL; demo = demo->next) {
    next = demo->due < next ? demo->due : next;
  }
  if (next == NEVER) {
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
  struct demo *demo;
  struct demo *next;

  for (demo = server->demos; demo != NULL; demo = next) {
    next = demo->next;
    if (demo->conn == NULL) {
      demo_free(demo);
    }
  }
}

/* What the query says of a demo. Returns the rule that it breaks, or NULL. */
static const char *choose(struct slice query, struct demo *demo,
                          weir_open_options *options) {
  static const char *const scripts[] = {"answer", "fail", "stall"};
  struct text value = {NULL, 0, 0, false};
  struct slice word;
  int script = SCRIPT_ANSWER;
  bool bad = false;
  bool good = true;

  demo->interval = INTERVAL;
  if (query_get(query, "interval", &value, &bad)) {
    word.data = value.data;
    word.len = value.len;
    good = parse_number(word, &demo->interval) && demo->interval >= 1 &&
           demo->interval <= INTERVAL_MOST;
  }
  text_free(&value);
  if (bad || !good) {
    return "interval is 1 to 10000 milliseconds";
  }
  if (!query_choose(query, "script", scripts, 3, &script)) {
    return "script is answer, fail or stall";
  }
  demo->script = (enum script)script;
  return streams_choose(query, options);
}

static size_t count(const struct server *server) {
  const struct demo *demo;
  size_t n = 0;

  for (demo = server->demos; demo != NULL; demo = demo->next) {
    n += 1;
  }
  return n;
}

/* The stream is open: say so, and begin. One that is joined is being typed
 * already. */
static void begin(struct demo *demo, struct conn *conn) {
  const struct slice key = {demo->key.data, demo->key.len};
  struct text body = {NULL, 0, 0, false};
  weir_stream_info info;

  info.size = sizeof info;
  (void)weir_stream_get_info(demo->stream, &info);
  if (conn != NULL) {
    streams_describe(demo->stream, key, &body);
    text_put(&body, "}\n");
    reply_json(conn, info.joined != 0 ? 200 : 201, &body);
    text_free(&body);
  }
  if (info.joined != 0 || demo->server->draining) {
    demo_free(demo);
  } else {
    demo->due = demo->server->pool.now + demo->interval;
  }
}

/* The stream has been opened, or has ended; nobody types into one that has. */
static void hear(struct listener *listener, const weir_notice *notice) {
  struct demo *demo = (struct demo *)(void *)listener;
  struct conn *conn = demo->conn;

  if (notice->kind == WEIR_NOTICE_CANCELLED ||
      notice->kind == WEIR_NOTICE_ENDED) {
    demo_free(demo);
  } else if (notice->kind == WEIR_NOTICE_OPENED) {
    demo->conn = NULL;
    if (notice->error == WEIR_OK) {
      begin(demo, conn);
    } else {
      demo_free(demo);
      if (conn != NULL) {
        reply_weir_error(conn, notice->error, NULL);
      }
    }
    if (conn != NULL) {
      conn_resume(conn);
    }
  }
}

void demo_closed(const struct conn *conn) {
  struct demo *demo;

  for (demo = conn->pool->server->demos; demo != NULL; demo = demo->next) {
    if (demo->conn == conn) {
      demo->conn = NULL;
    }
  }
}

/* Open the stream of a demo. *rule is what the request has broken if it is
 * invalid. */
static int open_stream(struct demo *demo, struct slice query,
                       const char **rule) {
  weir_open_options options = demo->server->options.open;

  weir_open_options_set_answer(&options);
  options.key = demo->key.data;
  options.key_len = demo->key.len;
  options.user = demo;
  options.label = LABEL_DEMO;
  if (demo->key.failed) {
    return WEIR_ENOMEM;
  }
  *rule = choose(query, demo, &options);
  if (*rule != NULL) {
    return WEIR_EINVAL;
  }
  *rule = STREAMS_KEY_RULE;
  if (demo->script == SCRIPT_STALL) {
    options.idle = STALL_IDLE;
  }
  return count(demo->server) < DEMOS_MOST
             ? weir_hub_open(demo->server->hub, &options, &demo->stream)
             : WEIR_ESTREAMS;
}

void demo_start(struct conn *conn, const struct http_request *request,
                struct slice key) {
  struct server *server = conn->pool->server;
  struct demo *demo = calloc(1, sizeof *demo);
  const char *rule = NULL;
  weir_stream_info info;
  int rv;

  if (demo == NULL) {
    reply_weir_error(conn, WEIR_ENOMEM, NULL);
    return;
  }
  demo->listener.hear = hear;
  demo->server = server;
  demo->due = NEVER;
  text_add(&demo->key, key.data, key.len);
  rv = open_stream(demo, request->query, &rule);
  demo->next = server->demos;
  server->demos = demo;
  if (rv != WEIR_OK) {
    demo_free(demo);
    reply_weir_error(conn, rv, rule);
    return;
  }
  info.size = sizeof info;
  (void)weir_stream_get_info(demo->stream, &info);
  if (info.status == WEIR_STREAM_OPENING) {
    demo->conn = conn;
    conn_wait(conn); /* `opened` will tell */
  } else {
    begin(demo, conn);
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
