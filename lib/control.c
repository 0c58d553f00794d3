/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "control.h"

#include <weir/frame.h>

#include "frame_plain.h"
#include "json.h"
#include "scan.h"
#include "util.h"

static const char *const own_types[] = {"ready",  "gap",     "done",
                                        "failed", "closing", "ping"};

/* What stands before the value of a member that is not the first. */
#define MEMBER(name) ",\"" name "\":"

static void put_text_member(struct weir__out *out, const char *member,
                            const void *text, size_t len) {
  weir__put_text(out, member);
  weir__put_json(out, text, len);
}

static void put_number_member(struct weir__out *out, const char *member,
                              uint64_t number) {
  weir__put_text(out, member);
  weir__put_number(out, number);
}

/* A cursor's text, NULL and 0 for none. */
static const char *cursor_text(char text[WEIR_CURSOR_MAX], size_t *len,
                               const weir_cursor *cursor, int format) {
  *len = 0;
  if (cursor == NULL) {
    return NULL;
  }
  (void)weir_cursor_format(cursor, format, text, WEIR_CURSOR_MAX, len);
  return text;
}

/* What every object begins with. */
static void put_identity(struct weir__out *out,
                         const struct weir__scheme *scheme) {
  const weir_cursor first = {scheme->generation, 0};
  char text[WEIR_CURSOR_MAX];
  size_t len;

  weir__put_text(out, "{\"stream\":");
  weir__put_json(out, scheme->key, scheme->key_len);
  if (scheme->generation != 0) {
    /* The epoch's name is its cursor's text without "-0". */
    (void)cursor_text(text, &len, &first, WEIR_CURSOR_EPOCH);
    put_text_member(out, MEMBER("generation"), text, len - 2);
  } else {
    weir__put_text(out, MEMBER("generation") "null");
  }
}

static void put_object_end(struct weir__out *out,
                           const struct weir__scheme *scheme) {
  if (scheme->members_len != 0) {
    weir__put_text(out, ",");
    weir__put(out, scheme->members, scheme->members_len);
  }
  weir__put_text(out, "}");
}

static void begin_own(struct weir__out *out, const struct weir__scheme *scheme,
                      const weir_cursor *cursor, const char *type,
                      uint32_t retry) {
  char text[WEIR_CURSOR_MAX];
  size_t id_len;
  const char *id = cursor_text(text, &id_len, cursor, scheme->format);

  weir__frame_begin(out, id, id_len, scheme->prefix, scheme->prefix_len, type,
                    strlen(type), retry);
  put_identity(out, scheme);
}

static void end_own(struct weir__out *out, const struct weir__scheme *scheme) {
  put_object_end(out, scheme);
  weir__frame_end(out);
}

void weir__put_ready(struct weir__out *out, const struct weir__scheme *scheme,
                     const weir_cursor *position, uint32_t retry, int verdict) {
  const char *name = weir_verdict_name(verdict);

  begin_own(out, scheme, position, "ready", retry);
  put_text_member(out, MEMBER("verdict"), name, strlen(name));
  end_own(out, scheme);
}

static bool is_cursor_char(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z') || (c != '\0' && strchr("._~-", c) != NULL);
}

void weir__put_gap(struct weir__out *out, const struct weir__scheme *scheme,
                   const weir_resolution *resolution, uint32_t retry,
                   const void *requested, size_t requested_len) {
  const char *name = weir_verdict_name(resolution->verdict);
  const unsigned char *p = requested;
  size_t i = 0;

  begin_own(out, scheme, &resolution->position, "gap", retry);
  put_text_member(out, MEMBER("verdict"), name, strlen(name));
  while (i < requested_len && is_cursor_char(p[i])) {
    i += 1;
  }
  if (i == requested_len && requested_len != 0) {
    put_text_member(out, MEMBER("requested"), requested, requested_len);
  } else {
    weir__put_text(out, MEMBER("requested") "null");
  }
  put_number_member(out, MEMBER("first"), resolution->first);
  put_number_member(out, MEMBER("last"), resolution->last);
  end_own(out, scheme);
}

void weir__put_closing(struct weir__out *out, const struct weir__scheme *scheme,
                       const void *reason, size_t reason_len, uint32_t retry) {
  begin_own(out, scheme, NULL, "closing", retry);
  put_text_member(out, MEMBER("reason"), reason, reason_len);
  end_own(out, scheme);
}

void weir__put_ping(struct weir__out *out, const struct weir__scheme *scheme) {
  begin_own(out, scheme, NULL, "ping", 0);
  end_own(out, scheme);
}

void weir__put_failed(struct weir__out *out, const struct weir__scheme *scheme,
                      const char *code) {
  begin_own(out, scheme, NULL, "failed", 0);
  put_text_member(out, MEMBER("code"), code, strlen(code));
  put_text_member(out, MEMBER("message"), NULL, 0);
  end_own(out, scheme);
}

void weir__put_done_data(struct weir__out *out,
                         const struct weir__scheme *scheme, const void *reason,
                         size_t reason_len) {
  put_identity(out, scheme);
  put_text_member(out, MEMBER("reason"), reason, reason_len);
  put_object_end(out, scheme);
}

void weir__put_failed_data(struct weir__out *out,
                           const struct weir__scheme *scheme, const void *code,
                           size_t code_len, const void *message,
                           size_t message_len) {
  put_identity(out, scheme);
  put_text_member(out, MEMBER("code"), code, code_len);
  put_text_member(out, MEMBER("message"), message, message_len);
  put_object_end(out, scheme);
}

/* A type that means something else to a client than an event: weir's own, and
 * those that fire an EventSource's own handlers. */
static bool is_reserved(const struct weir__scheme *scheme, const char *type,
                        size_t len) {
  size_t i;

  if (weir__same(type, len, "open", 4) || weir__same(type, len, "error", 5)) {
    return true;
  }
  if (len < scheme->prefix_len ||
      !weir__same(type, scheme->prefix_len, scheme->prefix,
                  scheme->prefix_len)) {
    return false;
  }
  for (i = 0; i < sizeof own_types / sizeof own_types[0]; ++i) {
    if (weir__same(type + scheme->prefix_len, len - scheme->prefix_len,
                   own_types[i], strlen(own_types[i]))) {
      return true;
    }
  }
  return false;
}

int weir__check_content(const struct weir__scheme *scheme,
                        const struct weir__content *content) {
  if (content->type_len > WEIR_TYPE_MAX) {
    return WEIR_ETOOBIG;
  }
  if (!weir__is_field(content->type, content->type_len)) {
    return WEIR_EINVAL;
  }
  if (!content->bare && content->type_len != 0 &&
      is_reserved(scheme, content->type, content->type_len)) {
    return WEIR_ERESERVED;
  }
  if (!weir__is_text(content->type, content->type_len)) {
    return WEIR_EUTF8;
  }
  /* What stands inside JSON has to be text, whatever else is let through. */
  if ((!scheme->bytes || scheme->envelope || content->json) &&
      !weir__is_text(content->data, content->data_len)) {
    return WEIR_EUTF8;
  }
  if (content->json && !weir__is_json(content->data, content->data_len)) {
    return WEIR_EJSON;
  }
  return WEIR_OK;
}

/* An event that is a frame as it is; what is in it has been checked. */
static void put_bare(struct weir__out *out, const struct weir__scheme *scheme,
                     const struct weir__content *content, const char *id,
                     size_t id_len) {
  const bool fits = out->len < out->cap;
  const weir_frame frame = {
      .size = sizeof frame,
      .type = content->type,
      .type_len = content->type_len,
      .data = content->data,
      .data_len = content->data_len,
      .flags = WEIR_FRAME_BYTES,
      .max_lines = (uint32_t)scheme->lines,
  };
  size_t len = 0;
  int rv = weir_frame_encode_event(&frame, id, id_len,
                                   fits ? out->dst + out->len : NULL,
                                   fits ? out->cap - out->len : 0, &len);
  out->lines = rv == WEIR_ETOOBIG ? SIZE_MAX : 1;
  /* not reached: needs more memory than there are addresses for, but where
   * they have 32 bits */
  out->overflow |= rv == WEIR_EOVERFLOW || len > SIZE_MAX - out->len;
  out->len += len;
}

void weir__put_content(struct weir__out *out, const struct weir__scheme *scheme,
                       const struct weir__content *content,
                       const weir_cursor *cursor) {
  char text[WEIR_CURSOR_MAX];
  size_t id_len;
  const char *id = cursor_text(text, &id_len, cursor, scheme->format);

  if (!scheme->envelope || content->bare) {
    put_bare(out, scheme, content, id, id_len);
    return;
  }
  weir__frame_begin(out, id, id_len, NULL, 0, content->type, content->type_len,
                    0);
  put_identity(out, scheme);
  if (cursor != NULL) {
    put_number_member(out, MEMBER("index"), cursor->seq - 1);
  }
  weir__put_text(out, MEMBER("data"));
  if (content->json) {
    weir__put_lines(out, content->data, content->data_len);
  } else {
    weir__put_json(out, content->data, content->data_len);
  }
  put_object_end(out, scheme);
  weir__frame_end(out);
}

static bool begins(const char *line, size_t len, const char *name) {
  return len >= strlen(name) && memcmp(line, name, strlen(name)) == 0;
}

/* Whether the line of a type is as weir__frame_begin writes it. */
static bool is_type_line(const char *line, size_t len) {
  return len > 7 && weir__is_text(line + 7, len - 7) &&
         !weir__same(line + 7, len - 7, "message", 7);
}

bool weir__check_frame(const struct weir__scheme *scheme,
                       const weir_cursor *cursor, const void *frame,
                       size_t len) {
  const char *p = frame;
  const char *end = p + len;
  const char *stop;
  char text[WEIR_CURSOR_MAX];
  size_t id_len;
  const char *id = cursor_text(text, &id_len, cursor, scheme->format);

  if (id_len == 0 || len < id_len + 7 || memcmp(p, "id: ", 4) != 0 ||
      memcmp(p + 4, id, id_len) != 0 || p[4 + id_len] != '\n' ||
      memcmp(end - 2, "\n\n", 2) != 0 || memchr(p, '\r', len) != NULL ||
      (!scheme->bytes && !weir__is_text(p, len))) {
    return false;
  }
  p += id_len + 5;
  stop = memchr(p, '\n', (size_t)(end - p));
  if (begins(p, (size_t)(stop - p), "event: ")) {
    if (!is_type_line(p, (size_t)(stop - p))) {
      return false;
    }
    p = stop + 1;
  }
  /* Data, up to the line feed that is the blank line; there is some. */
  do {
    stop = memchr(p, '\n', (size_t)(end - p));
    if (!begins(p, (size_t)(stop - p), "data: ")) {
      return false;
    }
    p = stop + 1;
  } while (p < end - 1);
  return true;
}
