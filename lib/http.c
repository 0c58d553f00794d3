/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include <weir/http.h>

#include "control.h"
#include "hub.h"
#include "registry.h"
#include "scan.h"
#include "util.h"

#define DEFAULT_PREFIX "weir."

void weir_http_options_init(weir_http_options *options, size_t size) {
  static const weir_http_options defaults = {
      .unknown_status = 404,
  };

  weir__start_as(options, size, &defaults, sizeof defaults);
}

/* RFC 9110, section 5.6.2: what the name of a field is made of; RFC 9113,
 * section 8.2: not of upper case, in HTTP/2. */
static bool is_token(const void *text, size_t len, bool lower) {
  static const char others[] = "!#$%&'*+-.^_`|~";
  const char *name = text;
  size_t i;

  for (i = 0; i < len; ++i) {
    if (!((name[i] >= '0' && name[i] <= '9') ||
          (name[i] >= 'a' && name[i] <= 'z') ||
          (name[i] >= 'A' && name[i] <= 'Z' && !lower) ||
          (name[i] != '\0' && strchr(others, name[i]) != NULL))) {
      return false;
    }
  }
  return len != 0;
}

/* Whether it lets pages of any origin read. */
static bool is_any(const weir_http_options *options) {
  return weir__same(options->origin, options->origin_len, "*", 1);
}

static bool are_sound(const weir_http_options *options) {
  const bool lower = (options->flags & WEIR_HTTP_LOWER) != 0;
  const bool secret = (options->flags & WEIR_HTTP_CREDENTIALS) != 0;
  size_t i;

  /* Fetch, "CORS protocol and credentials": those are not for any origin. */
  if ((secret && is_any(options)) ||
      (options->unknown_status != 404 && options->unknown_status != 204 &&
       options->unknown_status != 200) ||
      (options->flags & ~(WEIR_HTTP_2 | WEIR_HTTP_CREDENTIALS)) != 0 ||
      !weir__is_zero(options->reserved, sizeof options->reserved) ||
      !weir__is_field(options->origin, options->origin_len) ||
      options->prefix_len > WEIR_PREFIX_MAX ||
      !weir__is_field(options->prefix, options->prefix_len) ||
      !weir__is_text(options->prefix, options->prefix_len)) {
    return false;
  }
  for (i = 0; i < options->field_count; ++i) {
    if (!is_token(options->fields[i].name, options->fields[i].name_len,
                  lower) ||
        !weir__is_field(options->fields[i].value,
                        options->fields[i].value_len)) {
      return false;
    }
  }
  return true;
}

/* The options of a response; the defaults if there are none. */
static int load_options(const weir_http_options *callers,
                        weir_http_options *options) {
  weir_http_options_init(options, sizeof *options);
  return callers == NULL ? WEIR_OK
                         : weir__load(options, sizeof *options, callers);
}

/* A refusal that the client made itself, and not one that passes. */
static bool is_bad_request(int error) {
  return error == WEIR_EMALFORMED || error == WEIR_EINVAL ||
         error == WEIR_EUTF8;
}

static int32_t status_of(const weir_http_options *options, int error,
                         int verdict) {
  if (error != WEIR_OK) {
    return is_bad_request(error) ? 400 : 200;
  }
  switch (verdict) {
    case WEIR_VERDICT_PENDING:
      return 0;
    case WEIR_VERDICT_FINISHED:
      return 204;
    case WEIR_VERDICT_UNKNOWN:
      return options->unknown_status;
    default:
      return 200;
  }
}

int weir_http_respond(const weir_http_options *callers, int error, int verdict,
                      const void *key, size_t key_len, uint32_t retry,
                      weir_response *response) {
  weir_http_options options;
  weir_response result;

  if (load_options(callers, &options) != WEIR_OK || !are_sound(&options) ||
      key_len > WEIR_KEY_MAX || verdict < WEIR_VERDICT_PENDING ||
      verdict > WEIR_VERDICT_UNKNOWN || error > 0 || retry > WEIR_RETRY_MAX) {
    return WEIR_EINVAL;
  }
  memset(&result, 0, sizeof result);
  result.status = status_of(&options, error, verdict);
  result.stream = error == WEIR_OK && verdict >= WEIR_VERDICT_FRESH &&
                  verdict <= WEIR_VERDICT_MALFORMED;
  result.verdict = verdict;
  result.error = error;
  result.retry = retry;
  result.key = key;
  result.key_len = key_len;
  result.options = callers;
  return weir__store(response, &result, sizeof result);
}

int weir_http_attach(weir_hub *hub, const weir_attach_options *attach,
                     const weir_http_options *options,
                     weir_subscriber **subscriber, weir_response *response) {
  weir_subscriber *made = NULL;
  weir_attach_options known;
  weir_response trial;
  int verdict = WEIR_VERDICT_PENDING;
  int error;
  int rv;

  if (response == NULL || response->size <= sizeof response->size) {
    return WEIR_EINVAL;
  }
  weir_attach_options_init(&known, sizeof known);
  rv = weir__load(&known, sizeof known, attach);
  if (rv == WEIR_OK) {
    /* The host's mistakes first, before anybody is let in. */
    trial.size = sizeof trial;
    rv = weir_http_respond(options, WEIR_OK, WEIR_VERDICT_PENDING, NULL, 0, 0,
                           &trial);
  }
  if (rv != WEIR_OK) {
    return rv;
  }
  error = weir__registry_check_key(known.key, known.key_len);
  if (error == WEIR_OK && known.client_len > WEIR_CLIENT_MAX) {
    error = WEIR_EINVAL;
  }
  if (error != WEIR_OK) {
    /* The client's mistake: hosts take both from what it sends. */
    *subscriber = NULL;
    return weir_http_respond(options, error, WEIR_VERDICT_PENDING, NULL, 0, 0,
                             response);
  }
  error = weir_hub_attach(hub, attach, &made, &verdict);
  if (error == WEIR_EINVAL || error == WEIR_EBUSY || error == WEIR_EGONE) {
    return error;
  }
  *subscriber = made;
  return weir_http_respond(options, error, verdict, known.key, known.key_len,
                           weir__hub_draw_retry(hub, error, &known), response);
}

/* What a response is made of: loaded by every function below. */
struct parts {
  weir_response response;
  weir_http_options options;
};

static int load_parts(const weir_response *callers, struct parts *parts) {
  memset(&parts->response, 0, sizeof parts->response);
  if (weir__load(&parts->response, sizeof parts->response, callers) !=
          WEIR_OK ||
      parts->response.status == 0 || parts->response.reserved0 != 0 ||
      !weir__is_zero(parts->response.reserved,
                     sizeof parts->response.reserved)) {
    return WEIR_EINVAL;
  }
  return load_options(parts->response.options, &parts->options);
}

/* A field of text that ends in NUL. */
static void set(weir_field *field, const char *name, const char *value) {
  field->name = name;
  field->name_len = strlen(name);
  field->value = value;
  field->value_len = strlen(value);
}

#define NAME(parts, name, lower) \
  (((parts)->options.flags & WEIR_HTTP_LOWER) != 0 ? (lower) : (name))

static void set_type(const struct parts *parts, weir_field *field) {
  const int32_t status = parts->response.status;

  if (status == 200) {
    set(field, NAME(parts, "Content-Type", "content-type"),
        "text/event-stream; charset=utf-8");
  } else if (status == 204) {
    /* On this type some clients stop that otherwise come back. */
    set(field, NAME(parts, "Content-Type", "content-type"),
        "text/event-stream");
  } else {
    set(field, NAME(parts, "Content-Length", "content-length"), "0");
  }
}

static int set_stream_id(const struct parts *parts, void *dst, size_t cap,
                         weir_field *field) {
  struct weir__out out;
  size_t len = 0;
  int rv;

  weir__out_init(&out, dst, cap);
  weir__put_percent(&out, parts->response.key, parts->response.key_len);
  weir__put(&out, "", 1);
  rv = weir__out_end(&out, &len);
  set(field, NAME(parts, "X-Stream-Id", "x-stream-id"), "");
  field->value = dst;
  field->value_len = len - 1;
  return rv;
}

static void set_origin(const struct parts *parts, weir_field *field) {
  set(field,
      NAME(parts, "Access-Control-Allow-Origin", "access-control-allow-origin"),
      "");
  field->value = parts->options.origin;
  field->value_len = parts->options.origin_len;
}

/* Field number i of all that there can be. WEIR_EAGAIN: not in this response.
 * WEIR_EDONE: there are no more. */
static int find_field(const struct parts *parts, size_t i, void *dst,
                      size_t cap, weir_field *field) {
  const weir_http_options *options = &parts->options;
  const bool cors = options->origin_len != 0;
  const bool body = parts->response.status == 200;
  bool has = true;

  switch (i) {
    case 0:
      set_type(parts, field);
      break;
    case 1:
      set(field, NAME(parts, "Cache-Control", "cache-control"),
          body ? "no-cache, no-transform" : "no-store");
      break;
    case 2:
      has = body;
      set(field, NAME(parts, "X-Accel-Buffering", "x-accel-buffering"), "no");
      break;
    case 3:
      return parts->response.key_len == 0
                 ? WEIR_EAGAIN
                 : set_stream_id(parts, dst, cap, field);
    case 4:
      has = body && (options->flags & WEIR_HTTP_FRAMED) == 0;
      set(field, NAME(parts, "Connection", "connection"), "close");
      break;
    case 5:
      has = cors;
      set_origin(parts, field);
      break;
    case 6:
      has = cors;
      set(field,
          NAME(parts, "Access-Control-Expose-Headers",
               "access-control-expose-headers"),
          "X-Stream-Id");
      break;
    case 7:
      has = cors && (options->flags & WEIR_HTTP_CREDENTIALS) != 0;
      set(field,
          NAME(parts, "Access-Control-Allow-Credentials",
               "access-control-allow-credentials"),
          "true");
      break;
    case 8:
      has = cors && !is_any(options);
      set(field, NAME(parts, "Vary", "vary"), "Origin");
      break;
    default:
      if (i - 9 >= options->field_count) {
        return WEIR_EDONE;
      }
      *field = options->fields[i - 9];
      break;
  }
  return has ? WEIR_OK : WEIR_EAGAIN;
}

int weir_http_get_field(const weir_response *response, size_t index, void *dst,
                        size_t cap, weir_field *callers) {
  struct parts parts;
  weir_field field;
  size_t i = 0;
  int rv = load_parts(response, &parts);

  if (rv != WEIR_OK || callers == NULL) {
    return rv != WEIR_OK ? rv : WEIR_EINVAL;
  }
  for (;; ++i) {
    rv = find_field(&parts, i, dst, cap, &field);
    if (rv == WEIR_EDONE || (rv != WEIR_EAGAIN && index == 0)) {
      break;
    }
    index -= rv != WEIR_EAGAIN;
  }
  if (rv == WEIR_OK) {
    *callers = field;
  }
  return rv;
}

static const char *status_line(int32_t status) {
  switch (status) {
    case 200:
      return "HTTP/1.1 200 OK\r\n";
    case 204:
      return "HTTP/1.1 204 No Content\r\n";
    case 400:
      return "HTTP/1.1 400 Bad Request\r\n";
    default:
      return "HTTP/1.1 404 Not Found\r\n";
  }
}

int weir_http_write_head(const weir_response *response, void *dst, size_t cap,
                         size_t *len) {
  char stream_id[WEIR_STREAM_ID_MAX + 1];
  struct weir__out out;
  struct parts parts;
  weir_field field;
  size_t i;
  int rv = load_parts(response, &parts);

  if (rv != WEIR_OK) {
    return rv;
  }
  weir__out_init(&out, dst, cap);
  weir__put_text(&out, status_line(parts.response.status));
  for (i = 0; rv != WEIR_EDONE; ++i) {
    rv = find_field(&parts, i, stream_id, sizeof stream_id, &field);
    if (rv == WEIR_OK) {
      weir__put(&out, field.name, field.name_len);
      weir__put_text(&out, ": ");
      weir__put(&out, field.value, field.value_len);
      weir__put_text(&out, "\r\n");
    }
  }
  weir__put_text(&out, "\r\n");
  return weir__out_end(&out, len);
}

int weir_http_write_body(const weir_response *response, void *dst, size_t cap,
                         size_t *len) {
  struct weir__scheme scheme;
  struct weir__out out;
  struct parts parts;
  const char *reason;
  int rv = load_parts(response, &parts);

  if (rv != WEIR_OK || parts.response.stream != 0) {
    return WEIR_EINVAL;
  }
  weir__out_init(&out, dst, cap);
  if (parts.response.status == 200) {
    memset(&scheme, 0, sizeof scheme);
    scheme.key = parts.response.key;
    scheme.key_len = parts.response.key_len;
    scheme.prefix = DEFAULT_PREFIX;
    scheme.prefix_len = sizeof DEFAULT_PREFIX - 1;
    if (parts.options.prefix != NULL) {
      scheme.prefix = parts.options.prefix;
      scheme.prefix_len = parts.options.prefix_len;
    }
    reason = parts.response.error == WEIR_EDRAINING ? WEIR__DRAINING
                                                    : WEIR__UNAVAILABLE;
    weir__put_closing(&out, &scheme, reason, strlen(reason),
                      parts.response.retry);
  }
  return weir__out_end(&out, len);
}
