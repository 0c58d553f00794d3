/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "streams.h"

#include "reply.h"

#include <stdlib.h>
#include <string.h>

/*
 * How weir is wired to a server, in the order in which it happens.
 *
 * A producer's request opens the stream (weir_hub_open), does one thing with it
 * and waits until storage has answered; then it is answered itself, and lets
 * the handle go. That does not end the stream: only an end does.
 *
 * A client's request attaches (weir_http_attach, which also makes the head of
 * the response). From then on the connection pulls: weir_subscriber_peek shows
 * what there is to send, the socket takes some of it, weir_subscriber_consume
 * says how much. When there is nothing, the notice `readable` says when to go
 * on; when there is no room, the socket does.
 */

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

/* Lines that one request may publish. */
#define LINES_MOST 262144
#define LINES_RULE "one request publishes at most 262144 lines"

/* What is said of the text that goes with an action; see streams.h. */
static const char *const text_rules[] = {
    NULL,
    "type is at most 255 bytes, without CR, LF and NUL",
    "type is at most 255 bytes, without CR, LF and NUL",
    "reason is at most 255 bytes",
    "code is at most 255 bytes, and the text at most 4096",
    NULL,
    NULL};

/* Runs of bytes that are sent at once. */
#define RUNS 4

/* A request that does something with a stream: it may take more than one turn.
 */
struct job {
  struct listener listener; /* first: the user pointer of the handle */
  struct conn *conn;
  enum streams_action action;
  struct text key;
  struct text type; /* of an event or a signal; or a reason, or a code */
  struct slice body;
  const char *rule; /* what its next step refuses as invalid; or NULL */
  bool split;
  weir_event *events; /* to publish; they point into the body */
  size_t count;
  weir_open_options open;
};

static void job_free(struct job *job) {
  free(job->events);
  text_free(&job->key);
  text_free(&job->type);
  free(job);
}

/* --- Clients --------------------------------------------------------------*/

/* Send what there is, as long as there is room. */
void streams_writable(struct conn *conn) {
  weir_bytes runs[RUNS];
  size_t count = 0;
  size_t shown;
  size_t taken;
  size_t i;
  int rv;

  for (;;) {
    shown = 0;
    rv = weir_subscriber_peek(conn->subscriber, runs, RUNS, &count);
    for (i = 0; rv == WEIR_OK && i < count; ++i) {
      shown += runs[i].len;
    }
    if (!conn_send(conn, runs, rv == WEIR_OK ? count : 0, &taken)) {
      conn_abort(conn);
      return;
    }
    if (rv != WEIR_OK) {
      break;
    }
    (void)weir_subscriber_consume(conn->subscriber, taken);
    if (taken < shown) {
      return; /* the socket is full, and will say when it is not */
    }
  }
  if (rv == WEIR_EDONE && conn->out.len == 0) {
    conn_finish(conn);
  } else if (rv != WEIR_EDONE && rv != WEIR_EAGAIN) {
    conn_abort(conn); /* out of memory: the client comes back */
  }
}

/* The connection closes, or the request has been answered: let its handles go.
 * A client that leaves does not touch the producer. */
void streams_closed(struct conn *conn) {
  weir_subscriber_release(conn->subscriber);
  conn->subscriber = NULL;
  if (conn->job != NULL) {
    weir_stream_release(conn->stream);
    conn->stream = NULL;
    job_free(conn->job);
    conn->job = NULL;
  }
}

/* Begin a response with what weir says of it. A stream's bytes follow; a
 * refusal that passes has a body of one frame, and the connection ends with it.
 */
static void begin_response(struct conn *conn, const weir_response *response) {
  char head[4096];
  char body[4096];
  size_t head_len = 0;
  size_t body_len = 0;

  if (weir_http_write_head(response, head, sizeof head, &head_len) != WEIR_OK ||
      (response->stream == 0 &&
       weir_http_write_body(response, body, sizeof body, &body_len) !=
           WEIR_OK)) {
    reply_error(conn, 500, "head_too_long", "the head is too long", NULL);
    return;
  }
  if (response->status == 200) {
    text_add(&conn->out, head, head_len);
  } else {
    /* It has no body, and the connection may go on: say whether it does, before
     * the empty line. */
    text_add(&conn->out, head, head_len - 2);
    text_put(&conn->out, conn_fate(conn));
    text_put(&conn->out, "\r\n");
  }
  if (!conn->no_body) {
    text_add(&conn->out, body, body_len);
  }
}

/* Answer a client by what became of its attach. */
static void answer_client(struct conn *conn, weir_subscriber *subscriber,
                          const weir_response *response) {
  if (response->status == 404) {
    weir_subscriber_release(subscriber);
    conn->subscriber = NULL;
    reply_weir_error(conn, WEIR_ENOENT, NULL);
    return;
  }
  begin_response(conn, response);
  if (response->stream != 0 && !conn->no_body) {
    conn_stream(conn, subscriber);
    return;
  }
  weir_subscriber_release(subscriber);
  conn->subscriber = NULL;
  if (response->status == 200) {
    conn->keep_alive = false;
  }
  conn_answered(conn);
}

/* The notices of a connection that reads, or waits to be told what it reads. */
static void hear_client(struct listener *listener, const weir_notice *notice) {
  struct conn *conn = (struct conn *)(void *)listener;
  const weir_http_options *http = &conn->pool->server->http;
  weir_response response;
  struct job *job = conn->job;

  switch (notice->kind) {
    case WEIR_NOTICE_DECIDED:
      response.size = sizeof response;
      (void)weir_http_respond(http, notice->error, notice->verdict,
                              job->key.data, job->key.len, notice->retry,
                              &response);
      conn->job = NULL;
      answer_client(conn, notice->subscriber, &response);
      job_free(job); /* the response points to its key */
      conn_resume(conn);
      break;
    case WEIR_NOTICE_READABLE:
    case WEIR_NOTICE_CLOSING:
      streams_writable(conn);
      break;
    default:
      conn_abort(conn); /* it has stalled: only a reset gets through to it */
      break;
  }
}

/* Read the query of a reader. Returns the rule that it breaks, or NULL. */
static const char *choose_reader(struct slice query,
                                 weir_attach_options *options,
                                 struct text *client) {
  static const char *const starts[] = {"start", "head"};
  static const char *const heartbeats[] = {"comment", "ping"};
  int start = 0;
  int heartbeat = 0;
  bool bad = false;

  if (!query_choose(query, "from", starts, 2, &start)) {
    return "from is start or head";
  }
  if (!query_choose(query, "heartbeat", heartbeats, 2, &heartbeat)) {
    return "heartbeat is comment or ping";
  }
  (void)query_get(query, "client", client, &bad);
  if (bad || client->len > WEIR_CLIENT_MAX) {
    return "client is at most 255 bytes, percent-encoded";
  }
  options->start = start == 1 ? WEIR_FROM_HEAD : WEIR_FROM_START;
  options->flags |= heartbeat == 1 ? WEIR_ATTACH_PING : 0u;
  options->client = client->data;
  options->client_len = client->len;
  return NULL;
}

/* A name that ends in NUL; NULL without memory, or if it has one inside. */
static char *copy(struct text name) {
  char *made =
      memchr(name.data, '\0', name.len) == NULL ? malloc(name.len + 1) : NULL;

  if (made != NULL) {
    memcpy(made, name.data, name.len);
    made[name.len] = '\0';
  }
  return made;
}

/* Remember what is needed when storage has said whether there is such a
 * stream. */
static void wait_for_verdict(struct conn *conn, weir_subscriber *subscriber,
                             struct slice key) {
  struct job *job = calloc(1, sizeof *job);

  if (job != NULL) {
    text_add(&job->key, key.data, key.len);
  }
  if (job == NULL || job->key.failed) {
    free(job);
    weir_subscriber_release(subscriber);
    reply_weir_error(conn, WEIR_ENOMEM, NULL);
    return;
  }
  conn->job = job;
  conn->subscriber = subscriber;
  conn_wait(conn);
}

void streams_read(struct conn *conn, const struct http_request *request,
                  struct slice key) {
  struct server *server = conn->pool->server;
  weir_attach_options attach = server->options.attach;
  weir_subscriber *subscriber = NULL;
  struct text client = {NULL, 0, 0, false};
  weir_response response;
  weir_request places;
  const char *rule;
  int rv = WEIR_EINVAL;

  weir_request_init(&places, sizeof places);
  places.header = request->last_event_id.data;
  places.header_len = request->last_event_id.len;
  places.query = request->query.data;
  places.query_len = request->query.len;
  attach.key = key.data;
  attach.key_len = key.len;
  attach.request = &places;
  attach.user = conn;
  conn->listener.hear = hear_client;
  response.size = sizeof response;
  rule = choose_reader(request->query, &attach, &client);
  if (rule == NULL) {
    free(conn->client); /* of a request that was refused */
    conn->client = client.len != 0 && !conn->no_body ? copy(client) : NULL;
    /* A HEAD asks what a GET would get: it displaces nobody. */
    attach.client_len = conn->no_body ? 0 : attach.client_len;
    rv = weir_http_attach(server->hub, &attach, &server->http, &subscriber,
                          &response);
    rule = STREAMS_KEY_RULE;
  }
  text_free(&client);
  if (rv == WEIR_OK && response.status == 400) {
    rv = response.error; /* said as the errors of every request are */
  }
  if (rv != WEIR_OK) {
    reply_weir_error(conn, rv, rule);
  } else if (response.status == 0) {
    wait_for_verdict(conn, subscriber, key);
  } else {
    answer_client(conn, subscriber, &response);
  }
}

/* --- Producers ------------------------------------------------------------*/

/* A cursor's text; of seq 0 without "-0", the name of the epoch. */
static void put_cursor(struct text *body, uint64_t epoch, uint64_t seq) {
  const weir_cursor cursor = {epoch, seq};
  char text[WEIR_CURSOR_MAX];
  size_t len = 0;

  (void)weir_cursor_format(&cursor, WEIR_CURSOR_EPOCH, text, sizeof text, &len);
  text_json(body, text, seq == 0 ? len - 2 : len);
}

void streams_describe(const weir_stream *stream, struct slice key,
                      struct text *body) {
  weir_stream_info info;

  info.size = sizeof info;
  (void)weir_stream_get_info(stream, &info);
  text_put(body, "{\"stream\":");
  text_json(body, key.data, key.len);
  text_put(body, ",\"generation\":");
  put_cursor(body, info.generation, 0);
  text_put(body, ",\"epoch\":");
  put_cursor(body, info.epoch, 0);
}

/* The job is done: answer, and let the handle go. */
static void finish(struct job *job, int status, struct text *body) {
  struct conn *conn = job->conn;

  streams_closed(conn);
  reply_json(conn, status, body);
  text_free(body);
}

static void finish_badly(struct job *job, int error) {
  const char *rule = job->rule;
  struct conn *conn = job->conn;

  streams_closed(conn);
  reply_weir_error(conn, error, rule);
}

static void answer_open(struct job *job, const weir_stream_info *info) {
  const struct slice key = {job->key.data, job->key.len};
  struct text body = {NULL, 0, 0, false};

  streams_describe(job->conn->stream, key, &body);
  text_put(&body, "}\n");
  finish(job, info->joined != 0 ? 200 : 201, &body);
}

static void put_field(struct text *body, const char *name, uint64_t number) {
  text_put(body, ",\"");
  text_put(body, name);
  text_put(body, "\":");
  text_number(body, number);
}

static void answer_info(struct job *job, const weir_stream_info *info) {
  static const char *const statuses[] = {"opening", "live",   "ending",
                                         "ended",   "failed", "fenced"};
  const struct slice key = {job->key.data, job->key.len};
  struct text body = {NULL, 0, 0, false};

  streams_describe(job->conn->stream, key, &body);
  text_put(&body, ",\"status\":");
  text_json(&body, statuses[info->status], strlen(statuses[info->status]));
  text_put(&body, info->failed != 0 ? ",\"failed\":true" : ",\"failed\":false");
  put_field(&body, "trimmed", info->trimmed);
  put_field(&body, "last", info->last);
  put_field(&body, "ended", info->ended);
  put_field(&body, "pending", info->pending);
  put_field(&body, "subscribers", info->subscribers);
  put_field(&body, "events", info->events);
  put_field(&body, "signals", info->signals);
  put_field(&body, "dropped", info->dropped);
  put_field(&body, "resident", info->resident);
  text_put(&body, "}\n");
  finish(job, 200, &body);
}

/* Where the line that begins at p ends (LF or CRLF), and where the next begins.
 */
static const char *line_end(const char *p, const char *end, const char **next) {
  const char *lf = memchr(p, '\n', (size_t)(end - p));

  *next = lf == NULL ? end : lf + 1;
  if (lf == NULL) {
    return end;
  }
  return lf > p && lf[-1] == '\r' ? lf - 1 : lf;
}

/* Make the events of a body: all of it, or each of its lines. Returns WEIR_OK,
 * WEIR_ETOOBIG (there are too many) or WEIR_ENOMEM. */
static int make_events(struct job *job) {
  const char *end = job->body.data + job->body.len;
  const char *p = job->body.data;
  const char *next = end;
  weir_event *event;
  size_t i = 0;

  job->count = 0;
  do {
    if (job->split) {
      (void)line_end(p, end, &next);
    }
    p = next;
    job->count += 1;
  } while (p < end);
  if (job->count > LINES_MOST) {
    return WEIR_ETOOBIG;
  }
  job->events = calloc(job->count, sizeof *job->events);
  if (job->events == NULL) {
    return WEIR_ENOMEM;
  }
  for (p = job->body.data; i < job->count; p = next, ++i) {
    event = &job->events[i];
    weir_event_init(event, sizeof *event);
    event->type = job->type.data;
    event->type_len = job->type.len;
    event->data = p;
    next = end;
    event->data_len =
        job->split ? (size_t)(line_end(p, end, &next) - p) : job->body.len;
  }
  return WEIR_OK;
}

/* What every new stream would say to the events, before there is one. A signal
 * that reaches nobody is refused as an event is. */
static int try_events(struct job *job) {
  weir_stream *trial = job->conn->pool->server->trial;
  int rv = WEIR_OK;
  size_t i;

  for (i = 0; rv == WEIR_OK && i < job->count; ++i) {
    rv = weir_stream_signal(trial, &job->events[i], NULL);
  }
  return rv;
}

static void publish(struct job *job) {
  struct conn *conn = job->conn;
  int rv;

  /* Storage answers in order: the last answer is the answer for all. */
  job->events[job->count - 1].tag = 1;
  rv = weir_stream_publish(conn->stream, job->events, job->count, NULL);
  if (rv != WEIR_OK) {
    finish_badly(job, rv);
  } else {
    conn_wait(conn);
  }
}

static void send_signal(struct job *job) {
  struct text body = {NULL, 0, 0, false};
  weir_event event;
  uint64_t reached = 0;
  int rv;

  weir_event_init(&event, sizeof event);
  event.type = job->type.data;
  event.type_len = job->type.len;
  event.data = job->body.data;
  event.data_len = job->body.len;
  rv = weir_stream_signal(job->conn->stream, &event, &reached);
  if (rv != WEIR_OK) {
    finish_badly(job, rv);
    return;
  }
  text_put(&body, "{\"reached\":");
  text_number(&body, reached);
  text_put(&body, "}\n");
  finish(job, 202, &body);
}

static void end(struct job *job) {
  weir_stream *stream = job->conn->stream;
  int rv;

  if (job->action == STREAMS_END) {
    rv = weir_stream_end(stream, job->type.data, job->type.len, 1, NULL);
  } else {
    rv = weir_stream_fail(stream, job->type.data, job->type.len, job->body.data,
                          job->body.len, 1, NULL);
  }
  if (rv != WEIR_OK) {
    finish_badly(job, rv);
  } else {
    conn_wait(job->conn);
  }
}

static void answer_cancel(struct job *job, int error) {
  struct text body = {NULL, 0, 0, false};

  if (error != WEIR_OK && error != WEIR_EENDED) {
    finish_badly(job, error);
    return;
  }
  /* To cancel what has ended is to do nothing. */
  text_put(&body, error == WEIR_OK ? "{\"cancelled\":true}\n"
                                   : "{\"cancelled\":false}\n");
  finish(job, 200, &body);
}

static void cancel(struct job *job) {
  int rv = weir_stream_cancel(job->conn->stream, NULL, 0);

  if (rv != WEIR_OK) {
    answer_cancel(job, rv);
  } else {
    conn_wait(job->conn);
  }
}

/* The stream is open: do what was asked for. */
static void act(struct job *job) {
  weir_stream_info info;

  job->rule = text_rules[job->action];
  info.size = sizeof info;
  (void)weir_stream_get_info(job->conn->stream, &info);
  switch (job->action) {
    case STREAMS_OPEN:
      answer_open(job, &info);
      break;
    case STREAMS_PUBLISH:
      publish(job);
      break;
    case STREAMS_SIGNAL:
      send_signal(job);
      break;
    case STREAMS_CANCEL:
      cancel(job);
      break;
    case STREAMS_INFO:
      answer_info(job, &info);
      break;
    default:
      end(job);
      break;
  }
}

/* Storage has answered for the event, or the end. */
static void answer_stored(struct job *job, uint64_t seq) {
  struct text body = {NULL, 0, 0, false};
  weir_stream_info info;

  info.size = sizeof info;
  (void)weir_stream_get_info(job->conn->stream, &info);
  text_put(&body, "{\"id\":");
  put_cursor(&body, info.epoch, seq);
  if (job->split) {
    put_field(&body, "count", job->count);
  }
  text_put(&body, "}\n");
  finish(job, job->action == STREAMS_PUBLISH ? 201 : 200, &body);
}

static void refuse_open(struct job *job, int error) {
  if (job->action == STREAMS_CANCEL) {
    answer_cancel(job, error);
  } else {
    finish_badly(job, error);
  }
}

/* Open the stream of a job. Returns WEIR_OK, WEIR_EAGAIN (`opened` will tell)
 * or what refuses it. */
static int open_stream(struct job *job) {
  struct conn *conn = job->conn;
  weir_stream_info info;
  int rv = weir_hub_open(conn->pool->server->hub, &job->open, &conn->stream);

  if (rv == WEIR_OK) {
    info.size = sizeof info;
    (void)weir_stream_get_info(conn->stream, &info);
    rv = info.status == WEIR_STREAM_OPENING ? WEIR_EAGAIN : WEIR_OK;
  }
  return rv;
}

/* Events that would be refused are no reason to begin a stream. */
static int begin_stream(struct job *job) {
  int rv = try_events(job);

  if (rv != WEIR_OK) {
    job->rule = text_rules[job->action];
    return rv;
  }
  weir_stream_release(job->conn->stream);
  job->conn->stream = NULL;
  job->open.flags &= ~WEIR_OPEN_EXISTING;
  return open_stream(job);
}

/* Go on with a job by what has become of its open. */
static void opened(struct job *job, int rv) {
  if (rv == WEIR_ENOENT && job->action == STREAMS_PUBLISH) {
    rv = begin_stream(job);
  }
  if (rv == WEIR_OK) {
    act(job);
  } else if (rv == WEIR_EAGAIN) {
    conn_wait(job->conn);
  } else {
    refuse_open(job, rv);
  }
}

/* The notices of a request that does something with a stream. */
static void hear_producer(struct listener *listener,
                          const weir_notice *notice) {
  struct job *job = (struct job *)(void *)listener;
  struct conn *conn = job->conn;

  if (notice->kind == WEIR_NOTICE_OPENED) {
    opened(job, notice->error);
  } else if (notice->kind == WEIR_NOTICE_STORED) {
    if (notice->error != WEIR_OK) {
      finish_badly(job, notice->error);
    } else {
      answer_stored(job, notice->seq);
    }
  } else if (notice->kind == WEIR_NOTICE_ENDED &&
             job->action == STREAMS_CANCEL) {
    answer_cancel(job, notice->error);
  } else {
    return; /* of the stream's other fates its readers hear */
  }
  conn_resume(conn);
}

/* How a stream is opened for an action. A publish may begin one, when its
 * events have been tried. */
static void choose_open(enum streams_action action,
                        weir_open_options *options) {
  switch (action) {
    case STREAMS_OPEN:
      break;
    case STREAMS_PUBLISH:
      options->flags |= WEIR_OPEN_EXISTING | WEIR_OPEN_UNENDED;
      break;
    case STREAMS_INFO:
      options->flags |= WEIR_OPEN_LOOK;
      break;
    default:
      options->flags |= WEIR_OPEN_EXISTING;
      break;
  }
}

const char *streams_choose(struct slice query, weir_open_options *options) {
  static const char *const duplicates[] = {"join", "replace", "reject"};
  static const char *const envelopes[] = {"json"};
  static const char *const timers[] = {"answer"};
  int duplicate = WEIR_DUPLICATE_JOIN;
  int envelope = -1;
  int timer = -1;

  if (!query_choose(query, "on_duplicate", duplicates, 3, &duplicate)) {
    return "on_duplicate is join, replace or reject";
  }
  if (!query_choose(query, "envelope", envelopes, 1, &envelope)) {
    return "envelope is json";
  }
  if (!query_choose(query, "timers", timers, 1, &timer)) {
    return "timers is answer";
  }
  options->on_duplicate = duplicate; /* in the order of WEIR_DUPLICATE_... */
  options->flags |= envelope == 0 ? WEIR_OPEN_ENVELOPE : 0u;
  if (timer == 0) {
    weir_open_options_set_answer(options);
  }
  return NULL;
}

/* Read the query of an action: the one parameter that it has besides its body,
 * and whether the body's lines are events. Returns the rule that it breaks, or
 * NULL. */
static const char *choose_action(struct job *job, struct slice query) {
  static const char *const names[] = {NULL,   "type", "type", "reason",
                                      "code", NULL,   NULL};
  static const char *const defaults[] = {"",       "message", "message", "done",
                                         "failed", "",        ""};
  static const char *const splits[] = {"lines"};
  const char *name = names[job->action];
  int split = -1;
  bool bad = false;

  if (name != NULL && !query_get(query, name, &job->type, &bad)) {
    text_put(&job->type, defaults[job->action]);
  }
  if (bad) {
    return "the query has a % without two hex digits";
  }
  if (job->type.len > WEIR_TYPE_MAX) {
    return text_rules[job->action];
  }
  if (job->action == STREAMS_PUBLISH &&
      !query_choose(query, "split", splits, 1, &split)) {
    return "split is lines";
  }
  job->split = split == 0;
  if (job->split && job->body.len == 0) {
    return "the body has no line";
  }
  return NULL;
}

void streams_act(struct conn *conn, const struct http_request *request,
                 struct slice key, enum streams_action action,
                 struct slice body) {
  struct server *server = conn->pool->server;
  struct job *job = calloc(1, sizeof *job);
  int rv = WEIR_OK;

  if (job == NULL) {
    reply_weir_error(conn, WEIR_ENOMEM, NULL);
    return;
  }
  job->listener.hear = hear_producer;
  job->conn = conn;
  job->action = action;
  job->body = body;
  conn->job = job;
  text_add(&job->key, key.data, key.len);
  job->open = server->options.open;
  job->open.key = job->key.data;
  job->open.key_len = job->key.len;
  job->open.user = job;
  choose_open(action, &job->open);
  job->rule = choose_action(job, request->query);
  if (job->rule == NULL && action == STREAMS_OPEN) {
    job->rule = streams_choose(request->query, &job->open);
  }
  if (job->rule != NULL) {
    finish_badly(job, WEIR_EINVAL);
    return;
  }
  if (action == STREAMS_PUBLISH) {
    rv = make_events(job);
  }
  if (rv == WEIR_ETOOBIG) {
    streams_closed(conn);
    reply_error(conn, 413, "too_many_lines", LINES_RULE, NULL);
    return;
  }
  if (job->key.failed || job->type.failed) {
    rv = WEIR_ENOMEM;
  }
  job->rule = STREAMS_KEY_RULE;
  opened(job, rv == WEIR_OK ? open_stream(job) : rv);
}

void streams_notify(void *user, const weir_notice *notice) {
  struct listener *listener = notice->user;

  (void)user;
  listener->hear(listener, notice);
}
