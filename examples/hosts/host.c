/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "host.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* An option that only the reference server honours, or NULL. Who closes
 * publishing, say, must not believe that it is closed here. */
static const char *not_honoured(const struct options *options, char **argv) {
  struct options defaults;

  (void)options_parse(&defaults, 1, argv);
  return options->log.path != NULL                        ? "--log"
         : options->publish_token != NULL                 ? "--publish-token"
         : options->cors != NULL                          ? "--cors"
         : options->idle_timeout != defaults.idle_timeout ? "--keep-alive"
                                                          : NULL;
}

int host_configure(struct host *host, int argc, char **argv) {
  int status = options_parse(&host->options, argc, argv);
  const char *name = status < 0 ? not_honoured(&host->options, argv) : NULL;

  weir_http_options_init(&host->http, sizeof host->http);
  if (name != NULL) {
    fprintf(stderr, "%s: only the reference server has this\n", name);
    status = 2;
  }
  listen_raise_limit();
  (void)signal(SIGPIPE, SIG_IGN);
  return status;
}

struct slice host_slice(const char *string) {
  const struct slice slice = {string, string == NULL ? 0 : strlen(string)};

  return slice;
}

/* --- Requests -------------------------------------------------------------*/

/* /streams/KEY and what follows it. */
static bool take_key(struct host_request *request, struct slice path,
                     struct slice *tail) {
  static const char first[] = "/streams/";
  struct text decoded = {NULL, 0, 0, false};
  struct slice key;
  const char *slash;
  bool good;

  if (path.len <= sizeof first - 1 ||
      memcmp(path.data, first, sizeof first - 1) != 0) {
    return false;
  }
  key.data = path.data + sizeof first - 1;
  key.len = path.len - (sizeof first - 1);
  slash = memchr(key.data, '/', key.len);
  if (slash != NULL) {
    key.len = (size_t)(slash - key.data);
  }
  tail->data = key.data + key.len;
  tail->len = path.len - (size_t)(tail->data - path.data);
  good = text_decode(&decoded, key, false) && !decoded.failed &&
         decoded.len != 0 && decoded.len < sizeof request->key;
  if (good) {
    memcpy(request->key, decoded.data, decoded.len);
    request->key_len = decoded.len;
  }
  text_free(&decoded);
  return good;
}

void host_parse(struct host_request *request, const char *method,
                struct slice path, struct slice query) {
  const char *mark = path.len == 0 ? NULL : memchr(path.data, '?', path.len);
  struct slice tail = {NULL, 0};

  memset(request, 0, sizeof *request);
  request->query = query;
  if (mark != NULL) {
    request->query.data = mark + 1;
    request->query.len = path.len - (size_t)(mark + 1 - path.data);
    path.len = (size_t)(mark - path.data);
  }
  if (strcmp(method, "HEAD") == 0) {
    request->wish = HOST_HEAD;
  } else if (slice_is(path, "/stats") && strcmp(method, "GET") == 0) {
    request->wish = HOST_STATS;
  } else if (!take_key(request, path, &tail)) {
    request->wish = HOST_NOTHING;
  } else if (tail.len == 0 && strcmp(method, "GET") == 0) {
    request->wish = HOST_READ;
  } else if (tail.len == 0 && strcmp(method, "PUT") == 0) {
    request->wish = HOST_OPEN;
  } else if (slice_is(tail, "/events") && strcmp(method, "POST") == 0) {
    request->wish = HOST_PUBLISH;
  } else if (slice_is(tail, "/end") && strcmp(method, "POST") == 0) {
    request->wish = HOST_END;
  }
}

/* Whether a name in the query has this value. */
static bool query_is(const struct host_request *request, const char *name,
                     const char *wanted) {
  struct text value = {NULL, 0, 0, false};
  struct slice found;
  bool bad = false;
  bool same;

  same = query_get(request->query, name, &value, &bad);
  found.data = value.data;
  found.len = value.len;
  same = same && slice_is(found, wanted);
  text_free(&value);
  return same;
}

/* --- Readers --------------------------------------------------------------*/

void host_attach(struct host *host, const struct host_request *request,
                 struct slice last_event_id, void *user,
                 weir_subscriber **subscriber, weir_response *response) {
  weir_attach_options attach = host->options.attach;
  struct text client = {NULL, 0, 0, false};
  weir_request places;
  bool bad = false;
  int rv;

  weir_request_init(&places, sizeof places);
  places.header = last_event_id.data;
  places.header_len = last_event_id.len;
  places.query = request->query.data;
  places.query_len = request->query.len;
  (void)query_get(request->query, "client", &client, &bad);
  attach.key = request->key;
  attach.key_len = request->key_len;
  attach.request = &places;
  attach.user = user;
  attach.client = client.data;
  attach.client_len = client.len;
  attach.start =
      query_is(request, "from", "head") ? WEIR_FROM_HEAD : WEIR_FROM_START;
  *subscriber = NULL;
  response->size = sizeof *response;
  rv = bad || client.failed ? WEIR_EINVAL
                            : weir_http_attach(host->hub, &attach, &host->http,
                                               subscriber, response);
  if (rv != WEIR_OK) {
    /* With a log that answers later there would be one more case: a status of
     * 0, until the notice `decided` comes. */
    (void)weir_http_respond(&host->http, rv, WEIR_VERDICT_PENDING, NULL, 0, 0,
                            response);
  }
  host->readers += *subscriber != NULL;
  text_free(&client);
}

void host_release(struct host *host, weir_subscriber *subscriber) {
  host->readers -= subscriber != NULL;
  weir_subscriber_release(subscriber);
}

/* --- Producers ------------------------------------------------------------*/

/* Publish, or end, with a word of the query: the type, or the reason. Without a
 * log, or with one that answers at once, the event is stored when the call
 * returns. Otherwise the notice `stored` would say so, and answer the request.
 */
static int act(const struct host_request *request, weir_stream *stream,
               struct text word, struct slice body, uint64_t *seq) {
  weir_event event;

  if (request->wish == HOST_END) {
    return weir_stream_end(stream, word.data, word.len, 0, seq);
  }
  weir_event_init(&event, sizeof event);
  event.type = word.data;
  event.type_len = word.len;
  event.data = body.data;
  event.data_len = body.len;
  return weir_stream_publish(stream, &event, 1, seq);
}

static int status_of(int error) {
  switch (error) {
    case WEIR_EINVAL:
    case WEIR_EUTF8:
    case WEIR_ERESERVED:
      return 400;
    case WEIR_ENOENT:
      return 404;
    case WEIR_EEXISTS:
    case WEIR_EENDED:
      return 409;
    case WEIR_ETOOBIG:
      return 413;
    default:
      return 503;
  }
}

/* A cursor's text; of seq 0 without "-0", the name of the epoch. */
static void put_cursor(struct text *json, uint64_t epoch, uint64_t seq) {
  const weir_cursor cursor = {epoch, seq};
  char text[WEIR_CURSOR_MAX];
  size_t len = 0;

  (void)weir_cursor_format(&cursor, WEIR_CURSOR_EPOCH, text, sizeof text, &len);
  text_json(json, text, seq == 0 ? len - 2 : len);
}

static void describe(const struct host_request *request,
                     const weir_stream_info *info, uint64_t seq,
                     struct text *json) {
  if (request->wish == HOST_OPEN) {
    text_put(json, "{\"stream\":");
    text_json(json, request->key, request->key_len);
    text_put(json, ",\"generation\":");
    put_cursor(json, info->generation, 0);
    text_put(json, ",\"epoch\":");
    put_cursor(json, info->epoch, 0);
  } else {
    text_put(json, "{\"id\":");
    put_cursor(json, info->epoch, seq);
  }
  text_put(json, "}\n");
}

/* Open the stream, do one thing with it, and let the handle go, which does not
 * end the stream. */
static int produce(struct host *host, const struct host_request *request,
                   struct slice body, struct text *json) {
  const bool publishes = request->wish == HOST_PUBLISH;
  const bool ends = request->wish == HOST_END;
  weir_open_options open = host->options.open;
  struct text word = {NULL, 0, 0, false};
  weir_stream *stream = NULL;
  weir_stream_info info;
  uint64_t seq = 0;
  bool bad = false;
  int rv;

  open.key = request->key;
  open.key_len = request->key_len;
  if (publishes) {
    (void)query_get(request->query, "type", &word, &bad);
    open.flags |= WEIR_OPEN_UNENDED;
  } else if (ends) {
    if (!query_get(request->query, "reason", &word, &bad)) {
      text_put(&word, "done");
    }
    open.flags |= WEIR_OPEN_EXISTING;
  } else if (query_is(request, "on_duplicate", "replace")) {
    open.on_duplicate = WEIR_DUPLICATE_REPLACE;
  } else if (query_is(request, "on_duplicate", "reject")) {
    open.on_duplicate = WEIR_DUPLICATE_REJECT;
  }
  rv = bad           ? WEIR_EINVAL
       : word.failed ? WEIR_ENOMEM
                     : weir_hub_open(host->hub, &open, &stream);
  if (rv == WEIR_OK && (publishes || ends)) {
    rv = act(request, stream, word, body, &seq);
  }
  text_free(&word);
  info.size = sizeof info;
  if (rv == WEIR_OK) {
    rv = weir_stream_get_info(stream, &info);
  }
  weir_stream_release(stream);
  if (rv != WEIR_OK) {
    text_put(json, "{\"error\":");
    text_json(json, weir_strerror(rv), strlen(weir_strerror(rv)));
    text_put(json, "}\n");
    return status_of(rv);
  }
  describe(request, &info, seq, json);
  return publishes || (!ends && info.joined == 0) ? 201 : 200;
}

static void count(struct host *host, struct text *json) {
  weir_hub_info info;
  char line[256];

  info.size = sizeof info;
  (void)weir_hub_get_info(host->hub, &info);
  (void)snprintf(
      line, sizeof line,
      "{\"streams\":%llu,\"subscribers\":%llu,\"resident\":%llu,"
      "\"heartbeats\":%llu,\"stalled\":%llu}\n",
      (unsigned long long)info.streams, (unsigned long long)info.subscribers,
      (unsigned long long)info.resident, (unsigned long long)info.heartbeats,
      (unsigned long long)info.stalled);
  text_put(json, line);
}

int host_produce(struct host *host, const struct host_request *request,
                 struct slice body, struct text *json) {
  switch (request->wish) {
    case HOST_STATS:
      count(host, json);
      return 200;
    case HOST_OPEN:
    case HOST_PUBLISH:
    case HOST_END:
      return produce(host, request, body, json);
    case HOST_HEAD:
      return 501; /* and nothing in *json */
    default:
      text_put(json, "{\"error\":\"there is no such thing\"}\n");
      return 404;
  }
}

/* --- Stopping -------------------------------------------------------------*/

static uint64_t now(void) {
  struct timespec time;

  (void)clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

void host_drain(struct host *host) {
  host->quit_at = now() + (host->quit_at == 0 ? host->options.drain : 0);
  (void)weir_hub_drain(host->hub, 0, 0);
}

int host_get_timeout(struct host *host) {
  const int ms = weir_hub_get_timeout(host->hub);
  const uint64_t time = now();
  const uint64_t left = host->quit_at > time ? host->quit_at - time : 0;

  return host->quit_at != 0 && (ms < 0 || left < (uint64_t)ms)
             ? (int)(left < 1000 ? left : 1000)
             : ms;
}

bool host_drained(const struct host *host) {
  return host->quit_at != 0 && (host->readers == 0 || now() >= host->quit_at);
}
