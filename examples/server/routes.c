/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "routes.h"

#include "demo.h"
#include "page.h"
#include "reply.h"
#include "stats.h"
#include "streams.h"

#include <stdio.h>
#include <string.h>

/* What a path stands for. The number is its place in `resources`. */
enum resource {
  RESOURCE_STREAM,
  RESOURCE_EVENTS,
  RESOURCE_SIGNALS,
  RESOURCE_END,
  RESOURCE_FAIL,
  RESOURCE_INFO,
  RESOURCE_DEMO,
  RESOURCE_CUT,
  RESOURCE_STATS,
  RESOURCE_METRICS,
  RESOURCE_HEALTH,
  RESOURCE_PAGE,
  RESOURCE_ALL, /* `*` */
  RESOURCE_NONE,
  RESOURCE_MALFORMED /* a key that cannot be decoded */
};

#define BIT(method) (1u << (method))
#define READS (BIT(HTTP_GET) | BIT(HTTP_HEAD) | BIT(HTTP_OPTIONS))

/* Where a resource is, and what can be done with it. */
static const struct {
  const char *first; /* segment of the path */
  const char *third; /* after the key; NULL: there is none */
  const char *allow;
  unsigned methods;
} resources[] = {
    {"streams", NULL, "GET, HEAD, PUT, DELETE, OPTIONS",
     READS | BIT(HTTP_PUT) | BIT(HTTP_DELETE)},
    {"streams", "events", "POST, OPTIONS", BIT(HTTP_POST) | BIT(HTTP_OPTIONS)},
    {"streams", "signals", "POST, OPTIONS", BIT(HTTP_POST) | BIT(HTTP_OPTIONS)},
    {"streams", "end", "POST, OPTIONS", BIT(HTTP_POST) | BIT(HTTP_OPTIONS)},
    {"streams", "fail", "POST, OPTIONS", BIT(HTTP_POST) | BIT(HTTP_OPTIONS)},
    {"streams", "info", "GET, HEAD, OPTIONS", READS},
    {"demo", NULL, "POST, OPTIONS", BIT(HTTP_POST) | BIT(HTTP_OPTIONS)},
    {"demo", "cut", "POST, OPTIONS", BIT(HTTP_POST) | BIT(HTTP_OPTIONS)},
    {"stats", NULL, "GET, HEAD, OPTIONS", READS},
    {"metrics", NULL, "GET, HEAD, OPTIONS", READS},
    {"healthz", NULL, "GET, HEAD, OPTIONS", READS},
    {NULL, NULL, "GET, HEAD, OPTIONS", READS},
    {NULL, NULL, "GET, HEAD, PUT, POST, DELETE, OPTIONS", BIT(HTTP_OPTIONS)},
};

struct route {
  enum resource resource;
  struct text key;
};

/* Take the next segment off a path. */
static struct slice take_segment(struct slice *path) {
  struct slice segment = {path->data + 1, 0};
  const char *slash;

  if (path->len == 0) {
    segment.data = path->data;
    return segment;
  }
  slash = memchr(path->data + 1, '/', path->len - 1);
  segment.len =
      slash == NULL ? path->len - 1 : (size_t)(slash - path->data - 1);
  path->data += segment.len + 1;
  path->len -= segment.len + 1;
  return segment;
}

/* /streams/KEY, /streams/KEY/events, ... */
static enum resource find_keyed(struct slice first, struct slice path,
                                struct text *key) {
  struct slice name = take_segment(&path);
  const bool has_third = path.len != 0;
  struct slice third = take_segment(&path);
  int i;

  if (path.len != 0 || name.len == 0) {
    return RESOURCE_NONE;
  }
  if (!text_decode(key, name, false)) {
    return RESOURCE_MALFORMED;
  }
  for (i = RESOURCE_STREAM; i <= RESOURCE_CUT; ++i) {
    if (slice_is(first, resources[i].first) &&
        (resources[i].third == NULL ? !has_third
                                    : slice_is(third, resources[i].third))) {
      return (enum resource)i;
    }
  }
  return RESOURCE_NONE;
}

static enum resource find(struct slice path, struct text *key) {
  struct slice rest = path;
  struct slice first;
  int i;

  if (slice_is(path, "*")) {
    return RESOURCE_ALL;
  }
  if (page_has(path)) {
    return RESOURCE_PAGE;
  }
  first = take_segment(&rest);
  if (slice_is(first, "streams") || slice_is(first, "demo")) {
    return find_keyed(first, rest, key);
  }
  for (i = RESOURCE_STATS; i <= RESOURCE_HEALTH; ++i) {
    if (rest.len == 0 && slice_is(first, resources[i].first)) {
      return (enum resource)i;
    }
  }
  return RESOURCE_NONE;
}

/* Whether an origin may talk to this server: its own, or the one it was told
 * of. A page of another origin can send a simple request without asking first.
 */
static bool is_allowed_origin(const struct server *server,
                              const struct http_request *request) {
  const char *cors = server->options.cors;
  const char *scheme;

  if (request->origin.data == NULL) {
    return true;
  }
  if (cors != NULL &&
      (strcmp(cors, "*") == 0 || slice_is(request->origin, cors))) {
    return true;
  }
  scheme =
      request->origin.len > 7 && memcmp(request->origin.data, "http://", 7) == 0
          ? "http://"
      : request->origin.len > 8 &&
              memcmp(request->origin.data, "https://", 8) == 0
          ? "https://"
          : NULL;
  return scheme != NULL &&
         request->origin.len - strlen(scheme) == request->host.len &&
         memcmp(request->origin.data + strlen(scheme), request->host.data,
                request->host.len) == 0;
}

/* Whether the token is right. Takes as long for any that is as long. */
static bool has_token(const struct server *server,
                      const struct http_request *request) {
  const char *token = server->options.publish_token;
  const struct slice given = request->authorization;
  struct slice scheme = {given.data, 7};
  size_t i;
  unsigned char differ = 0;

  if (token == NULL) {
    return true;
  }
  if (given.len != scheme.len + strlen(token) ||
      !slice_is_name(scheme, "Bearer ")) {
    return false;
  }
  for (i = scheme.len; i < given.len; ++i) {
    differ |= (unsigned char)(given.data[i] ^ token[i - scheme.len]);
  }
  return differ == 0;
}

/* Whether a request may be asked at all; it has been answered if not. */
static bool check(struct conn *conn, const struct http_request *request,
                  enum resource resource) {
  const struct server *server = conn->pool->server;
  char allow[128];

  if (request->method == HTTP_OTHER) {
    reply_error(conn, 501, "not_implemented",
                "this server does not know the method", NULL);
    return false;
  }
  if (resource == RESOURCE_NONE) {
    reply_error(conn, 404, "not_found", "there is nothing here", NULL);
    return false;
  }
  if (resource == RESOURCE_MALFORMED) {
    reply_error(conn, 400, "malformed",
                "the key has a % without two hex digits", NULL);
    return false;
  }
  if (!is_allowed_origin(server, request)) {
    /* With --cors every response says already what it varies by. */
    reply_error(conn, 403, "origin",
                "pages of this origin may not use this server",
                server->cors.len == 0 ? "Vary: Origin\r\n" : NULL);
    return false;
  }
  if ((resources[resource].methods & BIT(request->method)) == 0) {
    (void)snprintf(allow, sizeof allow, "Allow: %s\r\n",
                   resources[resource].allow);
    reply_error(conn, 405, "method_not_allowed",
                "the method is none of those in Allow", allow);
    return false;
  }
  if ((BIT(request->method) & READS) == 0 && !has_token(server, request)) {
    reply_error(conn, 401, "unauthorized", "publishing needs a token",
                "WWW-Authenticate: Bearer\r\n");
    return false;
  }
  return true;
}

bool routes_admit(struct conn *conn, const struct http_request *request) {
  const bool keep_alive = conn->keep_alive;
  struct text key = {NULL, 0, 0, false};
  const enum resource resource = find(request->path, &key);
  bool admitted;

  text_free(&key);
  /* What is refused here has a body that will not be read. */
  conn->keep_alive = false;
  admitted = check(conn, request, resource);
  if (admitted && request->length > conn->pool->body_most) {
    reply_refusal(conn, 413, "the body is too large");
    admitted = false;
  }
  if (admitted) {
    conn->keep_alive = keep_alive;
  }
  return admitted;
}

/* What may be done, and what a page of another origin may do. */
static void answer_options(struct conn *conn,
                           const struct http_request *request,
                           enum resource resource) {
  struct text fields = {NULL, 0, 0, false};

  text_put(&fields, "Allow: ");
  text_put(&fields, resources[resource].allow);
  text_put(&fields, "\r\n");
  if (request->request_method.data != NULL) {
    text_add(&fields, conn->pool->server->cors.data,
             conn->pool->server->cors.len);
    text_put(&fields, "Access-Control-Allow-Methods: ");
    text_put(&fields, resources[resource].allow);
    text_put(&fields,
             "\r\nAccess-Control-Allow-Headers: Last-Event-ID, Content-Type, "
             "Authorization, Cache-Control\r\n"
             "Access-Control-Max-Age: 600\r\n");
  }
  text_add(&fields, "", 1);
  conn_respond(conn, 204, fields.failed ? NULL : fields.data, NULL, NULL, 0);
  text_free(&fields);
}

static void serve_stream(struct conn *conn, const struct http_request *request,
                         struct slice key, struct slice body) {
  if (request->method == HTTP_PUT) {
    streams_act(conn, request, key, STREAMS_OPEN, body);
  } else if (request->method == HTTP_DELETE) {
    streams_act(conn, request, key, STREAMS_CANCEL, body);
  } else {
    streams_read(conn, request, key);
  }
}

static void serve(struct conn *conn, const struct http_request *request,
                  enum resource resource, struct slice key, struct slice body) {
  switch (resource) {
    case RESOURCE_STREAM:
      serve_stream(conn, request, key, body);
      break;
    case RESOURCE_EVENTS:
      streams_act(conn, request, key, STREAMS_PUBLISH, body);
      break;
    case RESOURCE_SIGNALS:
      streams_act(conn, request, key, STREAMS_SIGNAL, body);
      break;
    case RESOURCE_END:
      streams_act(conn, request, key, STREAMS_END, body);
      break;
    case RESOURCE_FAIL:
      streams_act(conn, request, key, STREAMS_FAIL, body);
      break;
    case RESOURCE_INFO:
      streams_act(conn, request, key, STREAMS_INFO, body);
      break;
    case RESOURCE_DEMO:
      demo_start(conn, request, key);
      break;
    case RESOURCE_CUT:
      demo_cut(conn, request);
      break;
    case RESOURCE_STATS:
      stats_json(conn);
      break;
    case RESOURCE_METRICS:
      stats_metrics(conn);
      break;
    case RESOURCE_HEALTH:
      stats_health(conn);
      break;
    default:
      page_serve(conn, request->path);
      break;
  }
}

void routes_handle(struct conn *conn, const struct http_request *request,
                   struct slice body) {
  struct text key = {NULL, 0, 0, false};
  const enum resource resource = find(request->path, &key);
  struct slice name;

  conn->pool->server->requests += 1;
  if (check(conn, request, resource)) {
    if (request->method == HTTP_OPTIONS) {
      answer_options(conn, request, resource);
    } else {
      name.data = key.data;
      name.len = key.len;
      serve(conn, request, resource, name, body);
    }
  }
  text_free(&key);
}

void routes_closed(struct conn *conn) {
  streams_closed(conn);
  demo_closed(conn);
}
