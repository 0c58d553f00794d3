/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "http1.h"

#include <string.h>

/* Bytes of chunk extensions and trailers in one body. Nobody needs them. */
#define OVERHEAD_MOST 4096

/* Digits of a chunk's size: as many as 64 bits have. Zeros in front could go on
 * for ever. */
#define DIGITS_MOST 16

#define COMPLETE (-1)
#define GO_ON 0

static bool is_token_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z') ||
         (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct slice slice) {
  size_t i;

  for (i = 0; i < slice.len; ++i) {
    if (!is_token_char(slice.data[i])) {
      return false;
    }
  }
  return slice.len != 0;
}

/* Take a line off *rest, without its CRLF (a lone LF is let pass). false: it is
 * not complete. */
static bool take_line(struct slice *rest, struct slice *line) {
  const char *lf = rest->len == 0 ? NULL : memchr(rest->data, '\n', rest->len);

  if (lf == NULL) {
    return false;
  }
  line->data = rest->data;
  line->len = (size_t)(lf - rest->data);
  rest->len -= line->len + 1;
  rest->data = lf + 1;
  if (line->len != 0 && line->data[line->len - 1] == '\r') {
    line->len -= 1;
  }
  return true;
}

/* Take what stands before the next blank off *line. */
static struct slice take_word(struct slice *line) {
  const char *blank =
      line->len == 0 ? NULL : memchr(line->data, ' ', line->len);
  struct slice word = *line;

  if (blank != NULL) {
    word.len = (size_t)(blank - line->data);
    line->data += word.len + 1;
    line->len -= word.len + 1;
  } else {
    line->data += line->len;
    line->len = 0;
  }
  return word;
}

static enum http_method method_of(struct slice word) {
  static const struct {
    const char *name;
    enum http_method method;
  } methods[] = {{"GET", HTTP_GET},       {"HEAD", HTTP_HEAD},
                 {"POST", HTTP_POST},     {"PUT", HTTP_PUT},
                 {"DELETE", HTTP_DELETE}, {"OPTIONS", HTTP_OPTIONS}};
  size_t i;

  for (i = 0; i < sizeof methods / sizeof methods[0]; ++i) {
    if (slice_is(word, methods[i].name)) {
      return methods[i].method;
    }
  }
  return HTTP_OTHER;
}

/* The status of a refusal, and what is wrong. */
static int refuse(struct http_request *request, int status, const char *what) {
  request->wrong = what;
  return status;
}

static int bad(struct http_request *request, const char *what) {
  return refuse(request, 400, what);
}

/* Whether a target is in absolute form; if so, its authority is taken off. */
static bool take_authority(struct slice *target) {
  struct slice scheme = {target->data, 7};

  if (target->len <= 7 || !slice_is_name(scheme, "http://")) {
    return false;
  }
  target->data += 7;
  target->len -= 7;
  while (target->len != 0 && *target->data != '/' && *target->data != '?') {
    target->data += 1;
    target->len -= 1;
  }
  return true;
}

/* A target in origin form, or what is left of one in absolute form, which may
 * be without a path; `*` is for OPTIONS alone. */
static int parse_target(struct slice target, struct http_request *request) {
  const bool absolute = take_authority(&target);
  const char *mark =
      target.len == 0 ? NULL : memchr(target.data, '?', target.len);

  request->path = target;
  request->query.data = target.data + target.len;
  if (mark != NULL) {
    request->path.len = (size_t)(mark - target.data);
    request->query.data = mark + 1;
    request->query.len = target.len - request->path.len - 1;
  }
  if (absolute && request->path.len == 0) {
    request->path.data = "/";
    request->path.len = 1;
  }
  if (slice_is(target, "*") && request->method == HTTP_OPTIONS) {
    return GO_ON;
  }
  return request->path.len != 0 && request->path.data[0] == '/'
             ? GO_ON
             : bad(request, "the target is not a path");
}

/* Visible ASCII and nothing else. */
static bool is_visible(struct slice slice) {
  size_t i;

  for (i = 0; i < slice.len; ++i) {
    if (slice.data[i] < 0x21 || slice.data[i] > 0x7e) {
      return false;
    }
  }
  return true;
}

static int parse_request_line(struct slice line, struct http_request *request) {
  struct slice method = take_word(&line);
  struct slice target = take_word(&line);

  request->method = method_of(method);
  if (!is_token(method) || target.len == 0) {
    return bad(request, "the first line is not a request's");
  }
  if (target.len > HTTP_TARGET_MOST) {
    return 414;
  }
  if (slice_is(line, "HTTP/1.0")) {
    request->version_1_0 = true;
  } else if (line.len == 8 && memcmp(line.data, "HTTP/", 5) == 0 &&
             line.data[5] != '1') {
    return 505;
  } else if (line.len != 8 || memcmp(line.data, "HTTP/1.", 7) != 0 ||
             line.data[7] < '0' || line.data[7] > '9') {
    /* A later minor version is answered as 1.1 (RFC 9110, section 2.5). */
    return bad(request, "the first line does not end in HTTP/1.1");
  }
  if (!is_visible(target)) {
    return bad(request, "the target has a character that it cannot have");
  }
  request->keep_alive = !request->version_1_0;
  return parse_target(target, request);
}

/* Without the blanks around it. */
static struct slice trim(struct slice slice) {
  while (slice.len != 0 && (slice.data[0] == ' ' || slice.data[0] == '\t')) {
    slice.data += 1;
    slice.len -= 1;
  }
  while (slice.len != 0 && (slice.data[slice.len - 1] == ' ' ||
                            slice.data[slice.len - 1] == '\t')) {
    slice.len -= 1;
  }
  return slice;
}

/* Whether a list has this word among its members. */
static bool has_word(struct slice list, const char *word) {
  const char *comma;
  struct slice member;

  while (list.len != 0) {
    comma = memchr(list.data, ',', list.len);
    member = list;
    member.len = comma == NULL ? list.len : (size_t)(comma - list.data);
    list.data += member.len + (comma != NULL);
    list.len -= member.len + (comma != NULL);
    if (slice_is_name(trim(member), word)) {
      return true;
    }
  }
  return false;
}

/* Fields that may stand once only. */
static int set_once(struct http_request *request, struct slice *slot,
                    struct slice value) {
  if (slot->data != NULL) {
    return bad(request, "a header field is there twice");
  }
  *slot = value;
  return GO_ON;
}

static int set_length(struct http_request *request, struct slice value) {
  uint64_t length;

  if (!parse_number(value, &length) ||
      (request->has_length && request->length != length)) {
    return bad(request, "Content-Length is not one number");
  }
  request->has_length = true;
  request->length = length;
  return GO_ON;
}

static int set_coding(struct http_request *request, struct slice value) {
  if (request->chunked || request->version_1_0) {
    return bad(request, "Transfer-Encoding is there twice, or in HTTP/1.0");
  }
  request->chunked = true;
  return slice_is_name(value, "chunked")
             ? GO_ON
             : refuse(request, 501, "the only transfer coding here is chunked");
}

static int set_field(struct http_request *request, struct slice name,
                     struct slice value) {
  if (slice_is_name(name, "host")) {
    return set_once(request, &request->host, value);
  }
  if (slice_is_name(name, "content-length")) {
    return set_length(request, value);
  }
  if (slice_is_name(name, "transfer-encoding")) {
    return set_coding(request, value);
  }
  if (slice_is_name(name, "last-event-id")) {
    return set_once(request, &request->last_event_id, value);
  }
  if (slice_is_name(name, "origin")) {
    return set_once(request, &request->origin, value);
  }
  if (slice_is_name(name, "authorization")) {
    return set_once(request, &request->authorization, value);
  }
  if (slice_is_name(name, "access-control-request-method")) {
    return set_once(request, &request->request_method, value);
  }
  if (slice_is_name(name, "expect")) {
    /* HTTP/1.0 knows no 100. */
    request->expects_continue =
        slice_is_name(value, "100-continue") && !request->version_1_0;
    return slice_is_name(value, "100-continue")
               ? GO_ON
               : refuse(request, 417,
                        "all that can be expected is 100-continue");
  }
  if (slice_is_name(name, "connection")) {
    request->asks_close = request->asks_close || has_word(value, "close");
    request->keep_alive =
        !request->asks_close &&
        (request->keep_alive || has_word(value, "keep-alive"));
  }
  return GO_ON;
}

static int parse_field(struct slice line, struct http_request *request) {
  const char *colon = memchr(line.data, ':', line.len);
  struct slice name = line;
  struct slice value = line;
  size_t i;

  if (colon == NULL) {
    return bad(request, "a header field has no colon");
  }
  name.len = (size_t)(colon - line.data);
  value.data = colon + 1;
  value.len = line.len - name.len - 1;
  /* Neither a blank before the colon nor a folded line is a token. */
  if (!is_token(name)) {
    return bad(request, "the name of a header field is not one");
  }
  for (i = 0; i < value.len; ++i) {
    if (value.data[i] == '\r' || value.data[i] == '\0') {
      return bad(request, "a header field has a character it cannot have");
    }
  }
  return set_field(request, name, trim(value));
}

/* How a head that has not ended stands: too long, or not there yet. */
static int incomplete(const char *bytes, size_t len,
                      struct http_request *request) {
  struct slice rest = {bytes, len};
  struct slice line;

  if (!take_line(&rest, &line) && len > HTTP_TARGET_MOST + 32) {
    request->method = method_of(take_word(&rest));
    return 414;
  }
  return len >= HTTP_HEAD_MOST ? 431 : GO_ON;
}

int http_parse(const char *bytes, size_t len, struct http_request *request,
               size_t *head_len) {
  struct slice rest = {bytes, len};
  struct slice line;
  int rv;

  memset(request, 0, sizeof *request);
  do {
    /* A client may end a body with a CRLF too many (RFC 9112, section 2.2). */
    if (!take_line(&rest, &line)) {
      return incomplete(bytes, len, request);
    }
  } while (line.len == 0);
  rv = parse_request_line(line, request);
  while (rv == GO_ON) {
    if (!take_line(&rest, &line)) {
      return incomplete(bytes, len, request);
    }
    *head_len = len - rest.len;
    if (*head_len > HTTP_HEAD_MOST) {
      return 431;
    }
    rv = line.len == 0 ? COMPLETE : parse_field(line, request);
  }
  if (rv != COMPLETE) {
    return rv;
  }
  if (request->chunked && request->has_length) {
    return bad(request, "both Content-Length and Transfer-Encoding");
  }
  if (request->host.data == NULL && !request->version_1_0) {
    return bad(request, "Host is missing");
  }
  return COMPLETE;
}

void http_body_init(struct http_body *body,
                    const struct http_request *request) {
  memset(body, 0, sizeof *body);
  body->chunked = request->chunked;
  body->left = request->length;
  body->state = request->chunked       ? HTTP_BODY_SIZE
                : request->length != 0 ? HTTP_BODY_BYTES
                                       : HTTP_BODY_DONE;
}

static int hex_value(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A byte of the line with a chunk's size. */
static int feed_size(struct http_body *body, char c) {
  int value = hex_value(c);

  if (value >= 0) {
    body->left = body->left << 4 | (uint64_t)value;
    body->digits += 1;
    return body->digits <= DIGITS_MOST ? GO_ON : 400;
  }
  if (body->digits == 0) {
    return 400;
  }
  if (c == ';') {
    body->state = HTTP_BODY_EXTENSION;
  } else if (c == '\r') {
    body->state = HTTP_BODY_SIZE_LF;
  } else {
    return 400;
  }
  return GO_ON;
}

/* A byte between the data. */
static int feed_frame(struct http_body *body, char c) {
  switch (body->state) {
    case HTTP_BODY_SIZE:
      return feed_size(body, c);
    case HTTP_BODY_EXTENSION:
      if (c == '\r') {
        body->state = HTTP_BODY_SIZE_LF;
      }
      return c == '\n' ? 400 : GO_ON;
    case HTTP_BODY_SIZE_LF:
      body->state = body->left != 0 ? HTTP_BODY_BYTES : HTTP_BODY_TRAILER;
      return c == '\n' ? GO_ON : 400;
    case HTTP_BODY_DATA_CR:
      body->state = HTTP_BODY_DATA_LF;
      return c == '\r' ? GO_ON : 400;
    case HTTP_BODY_DATA_LF:
      body->state = HTTP_BODY_SIZE;
      body->digits = 0;
      return c == '\n' ? GO_ON : 400;
    case HTTP_BODY_TRAILER:
      if (c == '\r') {
        body->state = HTTP_BODY_TRAILER_LF;
      } else {
        body->line = true;
      }
      return c == '\n' ? 400 : GO_ON;
    default:
      body->state = body->line ? HTTP_BODY_TRAILER : HTTP_BODY_DONE;
      body->line = false;
      return c == '\n' ? GO_ON : 400;
  }
}

/* Take as much data as there is. */
static size_t take_data(struct http_body *body, const char *bytes, size_t len,
                        struct text *data) {
  const size_t n = len < body->left ? len : (size_t)body->left;

  text_add(data, bytes, n);
  body->left -= n;
  if (body->left == 0) {
    body->state = body->chunked ? HTTP_BODY_DATA_CR : HTTP_BODY_DONE;
  }
  return n;
}

int http_body_feed(struct http_body *body, const char *bytes, size_t len,
                   size_t *used, struct text *data, uint64_t most) {
  int rv = GO_ON;

  *used = 0;
  while (rv == GO_ON && body->state != HTTP_BODY_DONE && *used < len) {
    if (body->state == HTTP_BODY_BYTES) {
      if (body->left > most || data->len > most - body->left) {
        return 413;
      }
      *used += take_data(body, bytes + *used, len - *used, data);
      continue;
    }
    if (body->state == HTTP_BODY_EXTENSION ||
        body->state == HTTP_BODY_TRAILER) {
      body->overhead += 1;
    }
    rv = body->overhead > OVERHEAD_MOST ? 431 : feed_frame(body, bytes[*used]);
    *used += 1;
  }
  if (rv == GO_ON && data->failed) {
    return 503;
  }
  return rv == GO_ON && body->state == HTTP_BODY_DONE ? COMPLETE : rv;
}

const char *http_reason(int status) {
  static const struct {
    int status;
    const char *reason;
  } reasons[] = {{100, "Continue"},
                 {200, "OK"},
                 {201, "Created"},
                 {202, "Accepted"},
                 {204, "No Content"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {408, "Request Timeout"},
                 {409, "Conflict"},
                 {413, "Content Too Large"},
                 {414, "URI Too Long"},
                 {417, "Expectation Failed"},
                 {431, "Request Header Fields Too Large"},
                 {500, "Internal Server Error"},
                 {501, "Not Implemented"},
                 {503, "Service Unavailable"},
                 {505, "HTTP Version Not Supported"}};
  size_t i;

  for (i = 0; i < sizeof reasons / sizeof reasons[0]; ++i) {
    if (reasons[i].status == status) {
      return reasons[i].reason;
    }
  }
  return "Error";
}
