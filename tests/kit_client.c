/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* for strdup */

#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void kit_bytes_add(struct kit_bytes *bytes, const void *data, size_t len) {
  if (bytes->len + len + 1 > bytes->cap) {
    bytes->cap = (bytes->len + len + 1) * 2;
    bytes->data = realloc(bytes->data, bytes->cap);
    kit_need(bytes->data != NULL);
  }
  if (len != 0) {
    memcpy(bytes->data + bytes->len, data, len);
  }
  bytes->len += len;
  bytes->data[bytes->len] = '\0';
}

void kit_bytes_free(struct kit_bytes *bytes) {
  free(bytes->data);
  memset(bytes, 0, sizeof *bytes);
}

int kit_pull(weir_subscriber *subscriber, struct kit_bytes *bytes) {
  char buffer[4096];
  size_t len;
  int rv;

  kit_bytes_add(bytes, NULL, 0);
  for (;;) {
    rv = weir_subscriber_read(subscriber, buffer, sizeof buffer, &len);
    if (rv != WEIR_OK) {
      return rv;
    }
    kit_need(len >= 1);
    kit_bytes_add(bytes, buffer, len);
  }
}

int kit_skip(weir_subscriber *subscriber) {
  struct kit_bytes bytes = {NULL, 0, 0};
  const int rv = kit_pull(subscriber, &bytes);

  kit_bytes_free(&bytes);
  return rv;
}

/* Past what a `~` stands for: digits and letters. */
static const char *skip(const char *p) {
  while ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9')) {
    ++p;
  }
  return p;
}

void kit_expect(weir_subscriber *subscriber, int end, const char *text) {
  struct kit_bytes bytes = {NULL, 0, 0};
  const char *want = text;
  const char *p;

  ck_assert_int_eq(kit_pull(subscriber, &bytes), end);
  for (p = bytes.data; *want != '\0'; ++want) {
    if (*want == '~') {
      p = skip(p);
    } else if (*p == *want) {
      ++p;
    } else {
      break;
    }
  }
  if (*want != '\0' || *p != '\0') {
    ck_abort_msg("got:\n%s\nwant:\n%s\nfrom \"%.20s\" on", bytes.data, text, p);
  }
  kit_bytes_free(&bytes);
}

/* The value of a member of an object, up to its end; text without quotes. */
static void add_member(struct kit_bytes *text, const char *json,
                       const char *name) {
  char mark[40];
  const char *p;
  size_t n;

  snprintf(mark, sizeof mark, "\"%s\":", name);
  p = strstr(json, mark);
  ck_assert_msg(p != NULL, "no %s in %s", name, json);
  p += strlen(mark);
  p += *p == '"';
  n = strcspn(p, "\",}");
  /* Of a cursor, the number. */
  while (strcmp(name, "requested") == 0 && memchr(p, '-', n) != NULL) {
    ++p;
    --n;
  }
  kit_bytes_add(text, p, n);
}

/* What is peculiar to a frame of weir's. */
static void add_own(struct kit_bytes *text, const char *type,
                    const char *json) {
  static const struct {
    const char *type;
    const char *members; /* with what stands before them */
  } rows[] = {{"ready", " verdict"},  {"gap", " verdict requested first-last"},
              {"done", " reason"},    {"failed", " code message"},
              {"closing", " reason"}, {"ping", ""}};
  char name[32];
  const char *p;
  size_t i = 0;
  size_t n;

  ck_assert_msg(strncmp(json, "{\"stream\":\"", 11) == 0, "%s", json);
  while (strcmp(rows[i].type, type) != 0) {
    i += 1;
    ck_assert_uint_lt(i, sizeof rows / sizeof rows[0]);
  }
  for (p = rows[i].members; *p != '\0'; p += n) {
    kit_bytes_add(text, p++, 1);
    n = strcspn(p, " -");
    snprintf(name, sizeof name, "%.*s", (int)n, p);
    add_member(text, json, name);
  }
}

/* One frame, from its first line to its blank line. */
struct frame {
  struct kit_bytes type;
  struct kit_bytes data;
  char seq[24];
  bool retry;
};

static void add_frame(struct kit_bytes *text, struct frame *frame) {
  const char *type = frame->type.data;
  const bool own = strncmp(type, "weir.", 5) == 0;

  kit_bytes_add(text, type + (own ? 5 : 0), strlen(type) - (own ? 5 : 0));
  if (frame->seq[0] != '\0') {
    kit_bytes_add(text, "@", 1);
    kit_bytes_add(text, frame->seq, strlen(frame->seq));
  }
  if (own) {
    add_own(text, type + 5, frame->data.data);
  } else if (frame->data.len != 0) {
    kit_bytes_add(text, " ", 1);
    kit_bytes_add(text, frame->data.data, frame->data.len);
  }
}

/* Take one line of a frame. The lines stand in the order id, event, retry,
 * data, and every frame has data. */
static void take_frame_line(struct frame *frame, const char *line, size_t len) {
  const char *p = memchr(line, ':', len);

  ck_assert(p != NULL && p[1] == ' ');
  p += 2;
  len -= (size_t)(p - line);
  if (strncmp(line, "data: ", 6) == 0) {
    kit_bytes_add(&frame->data, frame->data.data == NULL ? "" : "|",
                  frame->data.data == NULL ? 0 : 1);
    kit_bytes_add(&frame->data, p, len);
    return;
  }
  ck_assert_ptr_null(frame->data.data);
  if (strncmp(line, "event: ", 7) == 0) {
    ck_assert(!frame->retry && frame->type.data == NULL && len != 0);
    kit_bytes_add(&frame->type, p, len);
  } else if (strncmp(line, "id: ", 4) == 0) {
    ck_assert(!frame->retry && frame->type.data == NULL &&
              frame->seq[0] == '\0');
    while (memchr(p, '-', len) != NULL) {
      ++p;
      --len;
    }
    ck_assert(len != 0 && len < sizeof frame->seq);
    memcpy(frame->seq, p, len);
  } else {
    ck_assert(!frame->retry && strncmp(line, "retry: ", 7) == 0);
    frame->retry = true;
  }
}

static void start_frame(struct frame *frame) {
  kit_bytes_free(&frame->type);
  kit_bytes_free(&frame->data);
  memset(frame, 0, sizeof *frame);
}

/* What bytes say, which are whole frames. */
static void describe(struct kit_bytes *text, const char *bytes, size_t len) {
  struct frame frame = {{NULL, 0, 0}, {NULL, 0, 0}, "", false};
  const char *end = bytes + len;
  const char *p = bytes;
  const char *stop;

  kit_bytes_add(text, NULL, 0);
  for (; p < end; p = stop + 1) {
    stop = memchr(p, '\n', (size_t)(end - p));
    ck_assert_ptr_nonnull(stop);
    if (stop != p && *p != ':') {
      take_frame_line(&frame, p, (size_t)(stop - p));
      continue;
    }
    kit_bytes_add(text, "; ", text->len == 0 ? 0 : 2);
    if (*p == ':') {
      ck_assert_ptr_null(frame.data.data);
      kit_bytes_add(text, p, (size_t)(stop - p));
      continue;
    }
    ck_assert_ptr_nonnull(frame.data.data);
    if (frame.type.data == NULL) {
      kit_bytes_add(&frame.type, "message", 7);
    }
    add_frame(text, &frame);
    start_frame(&frame);
  }
  ck_assert_ptr_null(frame.data.data);
}

void kit_expect_text(const char *bytes, size_t len, const char *want) {
  struct kit_bytes text = {NULL, 0, 0};

  describe(&text, bytes, len);
  ck_assert_str_eq(text.data, want);
  kit_bytes_free(&text);
}

void kit_expect_frames(weir_subscriber *subscriber, int end, const char *want) {
  struct kit_bytes bytes = {NULL, 0, 0};
  const int rv = kit_pull(subscriber, &bytes);

  kit_expect_text(bytes.data, bytes.len, want);
  ck_assert_int_eq(rv, end);
  kit_bytes_free(&bytes);
}

/* The client: WHATWG HTML, sections 9.2.5 and 9.2.6. */

void kit_client_init(struct kit_client *client, const char *last_id) {
  memset(client, 0, sizeof *client);
  client->last_id = strdup(last_id);
  client->retry = UINT64_MAX;
  kit_bytes_add(&client->id, last_id, strlen(last_id));
  kit_bytes_add(&client->type, NULL, 0);
  kit_bytes_add(&client->data, NULL, 0);
  kit_bytes_add(&client->line, NULL, 0);
}

void kit_client_forget(struct kit_client *client) {
  size_t i;

  for (i = 0; i < client->count; ++i) {
    free(client->events[i].type);
    free(client->events[i].data);
    free(client->events[i].id);
  }
  client->count = 0;
}

void kit_client_free(struct kit_client *client) {
  kit_client_forget(client);
  free(client->events);
  free(client->last_id);
  kit_bytes_free(&client->line);
  kit_bytes_free(&client->data);
  kit_bytes_free(&client->type);
  kit_bytes_free(&client->id);
}

static void set(struct kit_bytes *bytes, const char *data, size_t len) {
  bytes->len = 0;
  kit_bytes_add(bytes, data, len);
}

static char *copy(const char *data, size_t len) {
  char *made = malloc(len + 1);

  kit_need(made != NULL);
  memcpy(made, data, len);
  made[len] = '\0';
  return made;
}

static void dispatch(struct kit_client *client) {
  struct kit_event *event;

  free(client->last_id);
  client->last_id = strdup(client->id.data);
  if (client->has_data) {
    client->events =
        realloc(client->events, (client->count + 1) * sizeof *client->events);
    kit_need(client->events != NULL);
    event = &client->events[client->count++];
    if (client->type.len == 0) {
      set(&client->type, "message", 7);
    }
    event->type_len = client->type.len;
    event->type = copy(client->type.data, event->type_len);
    event->data_len = client->data.len - 1; /* without the last LF */
    event->data = copy(client->data.data, event->data_len);
    event->id = strdup(client->last_id);
  }
  client->has_data = false;
  set(&client->data, "", 0);
  set(&client->type, "", 0);
}

static void set_retry(struct kit_client *client, const char *value,
                      size_t len) {
  uint64_t retry = 0;
  size_t i;

  for (i = 0; i < len; ++i) {
    if (value[i] < '0' || value[i] > '9') {
      return;
    }
    /* Longer than there are numbers for stays as long as there are. */
    retry = retry > (UINT64_MAX - 9) / 10
                ? UINT64_MAX
                : retry * 10 + (uint64_t)(value[i] - '0');
  }
  if (len != 0) {
    client->retry = retry;
  }
}

static bool is(const char *name, size_t len, const char *what) {
  return len == strlen(what) && memcmp(name, what, len) == 0;
}

static void take_line(struct kit_client *client) {
  const char *line = client->line.data;
  const size_t len = client->line.len;
  const char *colon = len == 0 ? NULL : memchr(line, ':', len);
  const size_t name_len = colon == NULL ? len : (size_t)(colon - line);
  const char *value = colon == NULL ? line + len : colon + 1;
  size_t value_len = (size_t)(line + len - value);

  if (len == 0) {
    dispatch(client);
    return;
  }
  if (value_len != 0 && *value == ' ') {
    ++value;
    --value_len;
  }
  if (is(line, name_len, "data")) {
    kit_bytes_add(&client->data, value, value_len);
    kit_bytes_add(&client->data, "\n", 1);
    client->has_data = true;
  } else if (is(line, name_len, "event")) {
    set(&client->type, value, value_len);
  } else if (is(line, name_len, "id")) {
    if (memchr(value, '\0', value_len) == NULL) {
      set(&client->id, value, value_len);
    }
  } else if (is(line, name_len, "retry")) {
    set_retry(client, value, value_len);
  }
}

static void take_byte(struct kit_client *client, char c) {
  const bool after_cr = client->cr;

  client->cr = c == '\r';
  if (c == '\n' && after_cr) {
    return;
  }
  if (c == '\n' || c == '\r') {
    take_line(client);
    client->line.len = 0;
    client->line.data[0] = '\0';
  } else {
    kit_bytes_add(&client->line, &c, 1);
  }
}

void kit_client_feed(struct kit_client *client, const void *bytes, size_t len) {
  static const char bom[] = "\xef\xbb\xbf";
  const char *p = bytes;
  size_t i;
  size_t n;

  for (i = 0; i < len; ++i) {
    if (client->bom < 3 && p[i] == bom[client->bom]) {
      client->bom += 1;
      continue;
    }
    if (client->bom < 3) {
      for (n = 0; n < client->bom; ++n) {
        take_byte(client, bom[n]);
      }
      client->bom = 3;
    }
    take_byte(client, p[i]);
  }
}

void kit_client_end(struct kit_client *client) {
  set(&client->line, "", 0);
  set(&client->data, "", 0);
  set(&client->type, "", 0);
  set(&client->id, client->last_id, strlen(client->last_id));
  client->has_data = false;
  client->cr = false;
  client->bom = 0;
}

int kit_client_read(struct kit_client *client, weir_subscriber *subscriber) {
  struct kit_bytes bytes = {NULL, 0, 0};
  int rv = kit_pull(subscriber, &bytes);

  kit_client_feed(client, bytes.data, bytes.len);
  kit_bytes_free(&bytes);
  return rv;
}
