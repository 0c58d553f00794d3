/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The encoder: a table with a row a rule, written before a byte that faults;
 * the vectors of other encoders; what it refuses. */

#include <weir/frame.h>

#include "../kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vectors.h"

#define COUNT(rows) (int)(sizeof(rows) / sizeof(rows)[0])
#define TEXT(text) text, sizeof text - 1

struct row {
  const char *id; /* NULL: a signal */
  size_t id_len;
  const char *type;
  size_t type_len;
  const char *data;
  size_t data_len;
  uint32_t retry;
  uint32_t flags;
  const char *want;
  size_t want_len;
};

#define NONE NULL, 0

static const struct row rows[] = {
    /* The lines, and their order. */
    {NONE, NONE, NONE, 0, 0, TEXT("data: \n\n")},
    {NONE, NONE, TEXT("a"), 0, 0, TEXT("data: a\n\n")},
    {TEXT("7"), NONE, NONE, 0, 0, TEXT("id: 7\ndata: \n\n")},
    {NONE, TEXT("t"), NONE, 0, 0, TEXT("event: t\ndata: \n\n")},
    {NONE, NONE, NONE, 1, 0, TEXT("retry: 1\ndata: \n\n")},
    {TEXT("7"), TEXT("t"), TEXT("a"), 2000, 0,
     TEXT("id: 7\nevent: t\nretry: 2000\ndata: a\n\n")},
    /* Of length 0, an id is none, and no empty line comes of it. */
    {TEXT(""), NONE, TEXT("a"), 0, 0, TEXT("data: a\n\n")},
    {TEXT(""), TEXT("t"), TEXT("a"), 0, 0, TEXT("event: t\ndata: a\n\n")},
    /* The default type is not written; what only resembles it is. */
    {NONE, TEXT(""), TEXT("a"), 0, 0, TEXT("data: a\n\n")},
    {NONE, TEXT("message"), TEXT("a"), 0, 0, TEXT("data: a\n\n")},
    {NONE, TEXT("Message"), TEXT("a"), 0, 0,
     TEXT("event: Message\ndata: a\n\n")},
    {NONE, TEXT("messages"), TEXT("a"), 0, 0,
     TEXT("event: messages\ndata: a\n\n")},
    {NONE, TEXT("messag"), TEXT("a"), 0, 0, TEXT("event: messag\ndata: a\n\n")},
    /* Data is split at each kind of line end, and nowhere else. */
    {NONE, NONE, TEXT("a\nb"), 0, 0, TEXT("data: a\ndata: b\n\n")},
    {NONE, NONE, TEXT("a\rb"), 0, 0, TEXT("data: a\ndata: b\n\n")},
    {NONE, NONE, TEXT("a\r\nb"), 0, 0, TEXT("data: a\ndata: b\n\n")},
    {NONE, NONE, TEXT("a\n\rb"), 0, 0, TEXT("data: a\ndata: \ndata: b\n\n")},
    {NONE, NONE, TEXT("a\r\rb"), 0, 0, TEXT("data: a\ndata: \ndata: b\n\n")},
    {NONE, NONE, TEXT("\n"), 0, 0, TEXT("data: \ndata: \n\n")},
    {NONE, NONE, TEXT("\r"), 0, 0, TEXT("data: \ndata: \n\n")},
    {NONE, NONE, TEXT("\r\n"), 0, 0, TEXT("data: \ndata: \n\n")},
    {NONE, NONE, TEXT("a\n"), 0, 0, TEXT("data: a\ndata: \n\n")},
    {NONE, NONE, TEXT("\na"), 0, 0, TEXT("data: \ndata: a\n\n")},
    {NONE, NONE, TEXT("a\r\n\r\nb"), 0, 0,
     TEXT("data: a\ndata: \ndata: b\n\n")},
    {NONE, NONE, TEXT("a\xc2\x85\xe2\x80\xa8\xe2\x80\xa9\v\fb"), 0, 0,
     TEXT("data: a\xc2\x85\xe2\x80\xa8\xe2\x80\xa9\v\fb\n\n")},
    /* The one space behind the colon is always there, so that a client takes
     * away that one. */
    {TEXT(" 7"), TEXT(" t"), TEXT(" a\n  b"), 0, 0,
     TEXT("id:  7\nevent:  t\ndata:  a\ndata:   b\n\n")},
    /* What looks like a field is data all the same. */
    {NONE, NONE, TEXT("id: 9\n:x\nretry: 1"), 0, 0,
     TEXT("data: id: 9\ndata: :x\ndata: retry: 1\n\n")},
    {TEXT("a:b"), TEXT("c: d"), TEXT(":"), 0, 0,
     TEXT("id: a:b\nevent: c: d\ndata: :\n\n")},
    /* Retry is digits, from 1 on. */
    {NONE, NONE, NONE, 10, 0, TEXT("retry: 10\ndata: \n\n")},
    {NONE, NONE, NONE, WEIR_RETRY_MAX, 0, TEXT("retry: 86400000\ndata: \n\n")},
    /* Text of several bytes a character. */
    {TEXT("\xc3\xa4"), TEXT("\xe2\x82\xac"), TEXT("\xf0\x9f\x98\x80"), 0, 0,
     TEXT("id: \xc3\xa4\nevent: \xe2\x82\xac\ndata: \xf0\x9f\x98\x80\n\n")},
    /* Bytes that are no text, when asked for. */
    {TEXT("\xff"), TEXT("\xc3"), TEXT("\x80\0\xfe\n\0"), 0, WEIR_FRAME_BYTES,
     TEXT("id: \xff\nevent: \xc3\ndata: \x80\0\xfe\ndata: \0\n\n")},
};

static void fill(weir_frame *frame, const struct row *row) {
  weir_frame_init(frame, sizeof *frame);
  frame->type = row->type;
  frame->type_len = row->type_len;
  frame->data = row->data;
  frame->data_len = row->data_len;
  frame->retry = row->retry;
  frame->flags = row->flags;
}

static int encode(const weir_frame *frame, const struct row *row, void *dst,
                  size_t cap, size_t *len) {
  return row->id == NULL ? weir_frame_encode_signal(frame, dst, cap, len)
                         : weir_frame_encode_event(frame, row->id, row->id_len,
                                                   dst, cap, len);
}

/* At every capacity up to one more than it takes. */
START_TEST(golden) {
  const struct row *row = &rows[_i];
  const size_t most = row->want_len + 1;
  unsigned char *end = (unsigned char *)kit_fence(most) + most;
  struct row copy = *row;
  weir_frame frame;
  size_t cap;
  size_t len;

  /* What is read faults at its end too. */
  copy.id = row->id == NULL ? NULL : kit_fenced(row->id, row->id_len);
  copy.type = kit_fenced(row->type, row->type_len);
  copy.data = kit_fenced(row->data, row->data_len);
  fill(&frame, &copy);
  for (cap = 0; cap <= most; ++cap) {
    memset(end - most, 0xdd, most);
    len = SIZE_MAX;
    ck_assert_int_eq(encode(&frame, &copy, end - cap, cap, &len),
                     cap < row->want_len ? WEIR_ENOSPACE : WEIR_OK);
    ck_assert_uint_eq(len, row->want_len);
    if (cap >= len) {
      ck_assert_msg(memcmp(end - cap, row->want, len) == 0, "got %.*s",
                    (int)len, (const char *)end - cap);
    }
    if (cap < most) {
      ck_assert_uint_eq(*(end - cap - 1), 0xdd);
    }
  }
  ck_assert_int_eq(encode(&frame, &copy, NULL, 0, &len), WEIR_ENOSPACE);
  ck_assert_uint_eq(len, row->want_len);
}
END_TEST

/* --- A client reads what was meant ---------------------------------------- */

/* Encode into memory of exactly the length. */
static char *make_frame(const weir_frame *frame, const char *id, size_t id_len,
                        size_t *len) {
  char *dst;

  ck_assert_int_eq(weir_frame_encode_event(frame, id, id_len, NULL, 0, len),
                   WEIR_ENOSPACE);
  dst = malloc(*len);
  ck_assert_ptr_nonnull(dst);
  ck_assert_int_eq(weir_frame_encode_event(frame, id, id_len, dst, *len, len),
                   WEIR_OK);
  return dst;
}

START_TEST(vectors_of_other_encoders) {
  const struct vector_encode *row = &vector_encodes[_i];
  struct kit_client client;
  weir_frame frame;
  char *dst;
  size_t len = 7;
  size_t i;

  weir_frame_init(&frame, sizeof frame);
  frame.type = row->type;
  frame.type_len = row->type_len;
  frame.data = row->data;
  frame.data_len = row->data_len;
  frame.retry = row->retry;
  if (row->reject != NULL) {
    ck_assert_msg(weir_frame_encode_event(&frame, row->id, row->id_len, NULL, 0,
                                          &len) < 0 &&
                      len == 7,
                  "%s: not refused", row->name);
    return;
  }
  dst = make_frame(&frame, row->id, row->id_len, &len);
  if (row->bytes != NULL) {
    ck_assert_msg(len == row->bytes_len && memcmp(dst, row->bytes, len) == 0,
                  "%s: got %.*s", row->name, (int)len, dst);
  }
  kit_client_init(&client, "");
  kit_client_feed(&client, dst, len);
  ck_assert_uint_eq(client.count, row->event_count);
  for (i = 0; i < row->event_count; ++i) {
    const struct vector_event *want = &row->events[i];
    const struct kit_event *got = &client.events[i];

    ck_assert_uint_eq(got->type_len, want->type_len);
    ck_assert(memcmp(got->type, want->type, want->type_len) == 0);
    ck_assert_uint_eq(got->data_len, want->data_len);
    ck_assert(memcmp(got->data, want->data, want->data_len) == 0);
    ck_assert_str_eq(got->id, want->id);
  }
  ck_assert_str_eq(client.last_id, row->last_id);
  ck_assert_uint_eq(client.retry, row->retry != 0 ? row->retry : UINT64_MAX);
  kit_client_free(&client);
  free(dst);
}
END_TEST

/* A number below bound. */
static size_t draw(uint64_t *chance, size_t bound) {
  *chance = *chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (size_t)(*chance >> 33) % bound;
}

static size_t draw_text(uint64_t *chance, const char *alphabet, size_t most,
                        char *text) {
  const size_t len = draw(chance, most + 1);
  size_t i;

  for (i = 0; i < len; ++i) {
    text[i] = alphabet[draw(chance, strlen(alphabet))];
  }
  return len;
}

/* Data as a client gives it: every line end is LF. */
static size_t normalize(const char *data, size_t len, char *dst) {
  size_t n = 0;
  size_t i;

  for (i = 0; i < len; ++i) {
    if (data[i] != '\n' || i == 0 || data[i - 1] != '\r') {
      dst[n++] = data[i];
      dst[n - 1] = (char)(data[i] == '\r' ? '\n' : data[i]);
    }
  }
  return n;
}

/* Two frames behind each other, in any pieces: exactly these two events. */
START_TEST(client_reads_what_was_meant) {
  static const char fields[] = "abc: id\tevent data:  \x7f{}\"";
  static const char lines[] = "\n\r\n\rab: \tid: 9data";
  uint64_t chance = (uint64_t)_i + 1;
  char id[12];
  char type[12];
  char data[40];
  char want[40];
  weir_frame frame;
  int round;

  for (round = 0; round < 1000; ++round) {
    struct kit_client client;
    const size_t id_len = draw_text(&chance, fields, sizeof id, id);
    const size_t type_len = draw_text(&chance, fields, sizeof type, type);
    const size_t data_len = draw_text(&chance, lines, sizeof data, data);
    const size_t want_len = normalize(data, data_len, want);
    char *dst;
    size_t len;
    size_t at;
    size_t n;
    size_t i;

    weir_frame_init(&frame, sizeof frame);
    frame.type = type;
    frame.type_len = type_len;
    frame.data = data;
    frame.data_len = data_len;
    frame.retry = (uint32_t)draw(&chance, 3);
    dst = make_frame(&frame, id, id_len, &len);
    kit_client_init(&client, "before");
    for (i = 0; i < 2; ++i) {
      for (at = 0; at < len; at += n) {
        n = 1 + draw(&chance, len - at);
        kit_client_feed(&client, dst + at, n);
      }
    }
    ck_assert_msg(client.count == 2, "seed %d, round %d: %zu events", _i, round,
                  client.count);
    for (i = 0; i < 2; ++i) {
      const struct kit_event *event = &client.events[i];

      ck_assert_msg(event->data_len == want_len &&
                        memcmp(event->data, want, want_len) == 0,
                    "seed %d, round %d: data", _i, round);
      ck_assert_msg(type_len == 0
                        ? strcmp(event->type, "message") == 0
                        : event->type_len == type_len &&
                              memcmp(event->type, type, type_len) == 0,
                    "seed %d, round %d: type", _i, round);
      ck_assert_msg(id_len == 0 ? strcmp(event->id, "before") == 0
                                : strlen(event->id) == id_len &&
                                      memcmp(event->id, id, id_len) == 0,
                    "seed %d, round %d: id", _i, round);
    }
    ck_assert_uint_eq(client.retry,
                      frame.retry != 0 ? frame.retry : UINT64_MAX);
    kit_client_free(&client);
    free(dst);
  }
}
END_TEST

/* --- The vectors of the wire ---------------------------------------------- */

static const struct vector_wire *find_wire(const char *name) {
  size_t i;

  for (i = 0; i < vector_wire_count; ++i) {
    if (strncmp(vector_wires[i].name, name, strlen(name)) == 0) {
      return &vector_wires[i];
    }
  }
  ck_abort_msg("no vector %s", name);
  return NULL;
}

/* Frames behind each other. id NULL: a signal; type NULL: a comment. */
static void add(struct kit_bytes *bytes, const char *id, const char *type,
                const char *data) {
  char dst[512];
  weir_frame frame;
  size_t len;
  int rv;

  weir_frame_init(&frame, sizeof frame);
  frame.type = type;
  frame.type_len = type == NULL ? 0 : strlen(type);
  frame.data = data;
  frame.data_len = strlen(data);
  if (type == NULL) {
    rv = weir_frame_encode_comment(data, strlen(data), dst, sizeof dst, &len);
  } else if (id == NULL) {
    rv = weir_frame_encode_signal(&frame, dst, sizeof dst, &len);
  } else {
    rv = weir_frame_encode_event(&frame, id, strlen(id), dst, sizeof dst, &len);
  }
  ck_assert_int_eq(rv, WEIR_OK);
  kit_bytes_add(bytes, dst, len);
}

static void expect_wire(const struct kit_bytes *bytes, const char *name) {
  const struct vector_wire *wire = find_wire(name);

  ck_assert_msg(bytes->len == wire->bytes_len &&
                    memcmp(bytes->data, wire->bytes, bytes->len) == 0,
                "%s: got %s", wire->name, bytes->data);
}

/* A client sees the same in both, though the bytes differ. */
static void expect_same(const struct kit_bytes *bytes, const char *name) {
  const struct vector_wire *wire = find_wire(name);
  struct kit_client got;
  struct kit_client want;
  size_t i;

  kit_client_init(&got, "");
  kit_client_feed(&got, bytes->data, bytes->len);
  kit_client_init(&want, "");
  kit_client_feed(&want, wire->bytes, wire->bytes_len);
  ck_assert_uint_eq(got.count, want.count);
  for (i = 0; i < want.count; ++i) {
    ck_assert_str_eq(got.events[i].type, want.events[i].type);
    ck_assert_str_eq(got.events[i].data, want.events[i].data);
    ck_assert_str_eq(got.events[i].id, want.events[i].id);
  }
  ck_assert_str_eq(got.last_id, want.last_id);
  kit_client_free(&got);
  kit_client_free(&want);
}

START_TEST(wire_vectors) {
  static const struct {
    const char *name;
    const char *frames[6][3];
    bool equal; /* byte by byte */
  } wires[] = {
      {"V04", {{"6", "tool.end", "{}"}, {NULL, "job.status", "{}"}}, true},
      {"V09",
       {{"1", "", "a"}, {NULL, NULL, "keepalive"}, {"2", "", "b"}},
       false},
      {"V12", {{"9", "", "line1\nline2"}}, true},
      {"V14", {{"1", "", "a"}}, false},
      {"V18", {{NULL, "ping", ""}}, false},
      {"V19", {{"3", "stream", "{}"}}, false},
      {"V20",
       {{NULL, "control",
         "{\"name\":\"prompt_ready\",\"type\":\"prompt_ready\",\"streamId\":"
         "\"s1\",\"at\":1000,\"sinceStartMs\":12,\"client_message_id\":"
         "\"test-1\"}"}},
       true},
      {"V23", {{NULL, "", " two"}, {NULL, "", "none"}}, false},
      {"V25", {{NULL, NULL, "ok"}, {NULL, NULL, ""}}, false},
      {"V26", {{"11", "chunk", "{}"}}, false},
  };
  struct kit_bytes bytes = {NULL, 0, 0};
  size_t i;
  size_t n;

  for (i = 0; i < sizeof wires / sizeof wires[0]; ++i) {
    bytes.len = 0;
    for (n = 0; wires[i].frames[n][2] != NULL; ++n) {
      add(&bytes, wires[i].frames[n][0], wires[i].frames[n][1],
          wires[i].frames[n][2]);
    }
    if (wires[i].equal) {
      expect_wire(&bytes, wires[i].name);
    }
    expect_same(&bytes, wires[i].name);
  }
  kit_bytes_free(&bytes);
}
END_TEST

/* --- Limits --------------------------------------------------------------- */

START_TEST(bytes_are_limited) {
  char dst[64];
  weir_frame frame;
  size_t want;
  size_t len;

  weir_frame_init(&frame, sizeof frame);
  frame.type = "t";
  frame.type_len = 1;
  frame.data = "a\nb";
  frame.data_len = 3;
  ck_assert_int_eq(
      weir_frame_encode_event(&frame, "7", 1, dst, sizeof dst, &want), WEIR_OK);
  frame.max_bytes = want + 1;
  ck_assert_int_eq(
      weir_frame_encode_event(&frame, "7", 1, dst, sizeof dst, &len), WEIR_OK);
  frame.max_bytes = want;
  ck_assert_int_eq(
      weir_frame_encode_event(&frame, "7", 1, dst, sizeof dst, &len), WEIR_OK);
  frame.max_bytes = want - 1;
  len = 7;
  ck_assert_int_eq(
      weir_frame_encode_event(&frame, "7", 1, dst, sizeof dst, &len),
      WEIR_ETOOBIG);
  /* More room would not help, so it is not asked for. */
  ck_assert_int_eq(weir_frame_encode_event(&frame, "7", 1, NULL, 0, &len),
                   WEIR_ETOOBIG);
  ck_assert_uint_eq(len, 7);
  frame.max_bytes = 1;
  ck_assert_int_eq(weir_frame_encode_signal(&frame, dst, sizeof dst, &len),
                   WEIR_ETOOBIG);
  frame.max_bytes = UINT64_MAX;
  ck_assert_int_eq(weir_frame_encode_signal(&frame, dst, sizeof dst, &len),
                   WEIR_OK);
}
END_TEST

/* Some clients close the connection at about 131,000 lines. */
START_TEST(lines_are_limited) {
  static const char *const breaks[] = {"\n", "\r", "\r\n"};
  static const uint32_t limits[] = {0, 1, 2, 3, 1000, WEIR_FRAME_LINES_MAX + 1};
  const char *line_end = breaks[_i];
  const size_t n = strlen(line_end);
  weir_frame frame;
  char *data = malloc((WEIR_FRAME_LINES_MAX + 2) * n);
  size_t i;

  ck_assert_ptr_nonnull(data);
  for (i = 0; i < WEIR_FRAME_LINES_MAX + 2; ++i) {
    memcpy(data + i * n, line_end, n);
  }
  for (i = 0; i < sizeof limits / sizeof limits[0]; ++i) {
    const size_t limit = limits[i] == 0 ? WEIR_FRAME_LINES_MAX : limits[i];
    size_t lines;

    for (lines = limit - 1; lines <= limit + 1; ++lines) {
      size_t len = 7;

      if (lines == 0) {
        continue; /* there is always one */
      }
      weir_frame_init(&frame, sizeof frame);
      frame.max_lines = limits[i];
      frame.data = data;
      frame.data_len = (lines - 1) * n;
      ck_assert_int_eq(weir_frame_encode_signal(&frame, NULL, 0, &len),
                       lines > limit ? WEIR_ETOOBIG : WEIR_ENOSPACE);
      ck_assert_uint_eq(len, lines > limit ? 7 : lines * 7 + 1);
    }
  }
  free(data);
}
END_TEST

START_TEST(sixteen_mib_in_a_line) {
  const size_t size = 1 << 24;
  char *data = malloc(size);
  char *dst = malloc(size + 8);
  weir_frame frame;
  size_t len;

  ck_assert_ptr_nonnull(data);
  ck_assert_ptr_nonnull(dst);
  memset(data, 'x', size);
  weir_frame_init(&frame, sizeof frame);
  frame.data = data;
  frame.data_len = size;
  ck_assert_int_eq(weir_frame_encode_signal(&frame, dst, size + 7, &len),
                   WEIR_ENOSPACE);
  ck_assert_int_eq(weir_frame_encode_signal(&frame, dst, size + 8, &len),
                   WEIR_OK);
  ck_assert_uint_eq(len, size + 8);
  ck_assert(memcmp(dst, "data: ", 6) == 0);
  ck_assert(memcmp(dst + 6, data, size) == 0);
  ck_assert(memcmp(dst + 6 + size, "\n\n", 2) == 0);
  free(data);
  free(dst);
}
END_TEST

/* --- What is refused ------------------------------------------------------ */

/* A call that fails says so and leaves the length alone. */
static void refuse(const weir_frame *frame, const char *id, size_t id_len,
                   int error) {
  char dst[128];
  size_t len = 7;

  ck_assert_int_eq(
      weir_frame_encode_event(frame, id, id_len, dst, sizeof dst, &len), error);
  ck_assert_int_eq(weir_frame_encode_event(frame, id, id_len, NULL, 0, &len),
                   error);
  ck_assert_uint_eq(len, 7);
}

START_TEST(text_is_checked_unless_bytes) {
  static const char *const bad[] = {"\xff",
                                    "\xc3",
                                    "a\xc3",
                                    "\x80",
                                    "\xc0\x80",
                                    "\xed\xa0\x80",
                                    "\xf4\x90\x80\x80",
                                    "12345678\xff",
                                    "\xe2\x82 12345678"};
  const char *text = bad[_i];
  const size_t text_len = strlen(text);
  weir_frame frame;
  size_t len;
  int place;

  for (place = 0; place < 3; ++place) {
    const char *id = place == 0 ? text : "1";
    const size_t id_len = strlen(id);

    weir_frame_init(&frame, sizeof frame);
    frame.type = place == 1 ? text : "t";
    frame.type_len = strlen(frame.type);
    frame.data = place == 2 ? text : "a";
    frame.data_len = strlen(frame.data);
    refuse(&frame, id, id_len, WEIR_EUTF8);
    frame.flags = WEIR_FRAME_BYTES;
    ck_assert_int_eq(weir_frame_encode_event(&frame, id, id_len, NULL, 0, &len),
                     WEIR_ENOSPACE);
    ck_assert_uint_eq(len, text_len + 23);
  }
}
END_TEST

START_TEST(nul_in_data_is_checked_unless_bytes) {
  weir_frame frame;
  size_t len;

  weir_frame_init(&frame, sizeof frame);
  frame.data = "a\0b";
  frame.data_len = 3;
  refuse(&frame, "1", 1, WEIR_EUTF8);
  ck_assert_int_eq(weir_frame_encode_signal(&frame, NULL, 0, &len), WEIR_EUTF8);
  frame.flags = WEIR_FRAME_BYTES;
  ck_assert_int_eq(weir_frame_encode_signal(&frame, NULL, 0, &len),
                   WEIR_ENOSPACE);
  ck_assert_uint_eq(len, 11);
}
END_TEST

START_TEST(unknown_flags_are_refused) {
  weir_frame frame;
  unsigned bit;

  for (bit = 1; bit < 32; ++bit) {
    weir_frame_init(&frame, sizeof frame);
    frame.flags = UINT32_C(1) << bit;
    refuse(&frame, "1", 1, WEIR_EINVAL);
    frame.flags |= WEIR_FRAME_BYTES;
    refuse(&frame, "1", 1, WEIR_EINVAL);
  }
}
END_TEST

/* --- Structs of other sizes ----------------------------------------------- */

/* An older caller's struct, at exactly its size, means what a full one means
 * that has zeros behind it; a newer one's is taken if its tail is zero. */
START_TEST(frame_of_any_size) {
  const size_t most = sizeof(weir_frame) + 16;
  weir_frame full;
  weir_frame known;
  char want[128];
  char got[128];
  size_t want_len;
  size_t got_len;
  size_t size;
  int rv;

  weir_frame_init(&full, sizeof full);
  full.type = "t";
  full.type_len = 1;
  full.data = "a\nb\xff";
  full.data_len = 4;
  full.retry = 1234;
  full.flags = WEIR_FRAME_BYTES;
  full.max_bytes = 100;
  full.max_lines = 5;
  for (size = sizeof size + 1; size <= most; ++size) {
    unsigned char *callers = kit_fence(size);

    memset(&known, 0, sizeof known);
    memcpy(&known, &full, size < sizeof known ? size : sizeof known);
    known.size = sizeof known;
    memset(callers, 0, size);
    memcpy(callers, &known, size < sizeof known ? size : sizeof known);
    memcpy(callers, &size, sizeof size);
    rv = weir_frame_encode_signal(&known, want, sizeof want, &want_len);
    ck_assert_int_eq(
        weir_frame_encode_signal((void *)callers, got, sizeof got, &got_len),
        rv);
    if (rv == WEIR_OK) {
      ck_assert_uint_eq(got_len, want_len);
      ck_assert(memcmp(got, want, want_len) == 0);
    }
    /* Before there were flags, bytes were refused. */
    if (size % sizeof(uint64_t) == 0) {
      ck_assert_int_eq(rv, size > offsetof(weir_frame, data_len) &&
                                   size <= offsetof(weir_frame, flags)
                               ? WEIR_EUTF8
                               : WEIR_OK);
    }
    if (size > sizeof full) {
      callers[size - 1] = 1;
      ck_assert_int_eq(
          weir_frame_encode_signal((void *)callers, got, sizeof got, &got_len),
          WEIR_EINVAL);
    }
  }
}
END_TEST

START_TEST(what_is_no_frame_is_refused) {
  weir_frame frame;
  char dst[64];
  size_t len = 7;

  weir_frame_init(&frame, sizeof frame);
  frame.size = 0;
  refuse(&frame, "1", 1, WEIR_EINVAL);
  frame.size = sizeof frame.size;
  refuse(&frame, "1", 1, WEIR_EINVAL);
  ck_assert_int_eq(weir_frame_encode_signal(NULL, dst, sizeof dst, &len),
                   WEIR_EINVAL);
  ck_assert_uint_eq(len, 7);
}
END_TEST

START_TEST(init_fills_any_size) {
  const weir_frame zero = {0};
  size_t size;
  size_t stored;

  for (size = sizeof size + 1; size <= sizeof(weir_frame) + 8; ++size) {
    unsigned char *frame = kit_fence(size);

    memset(frame, 0xdd, size);
    weir_frame_init((void *)frame, size);
    memcpy(&stored, frame, sizeof stored);
    ck_assert_uint_eq(stored, size);
    ck_assert(memcmp(frame + sizeof size, (const char *)&zero + sizeof size,
                     size < sizeof zero ? size - sizeof size
                                        : sizeof zero - sizeof size) == 0);
  }
  weir_frame_init(NULL, sizeof zero);
}
END_TEST

/* --- Comments ------------------------------------------------------------- */

START_TEST(comment_is_one_line) {
  static const struct {
    const char *text;
    size_t len;
    const char *want;
  } comments[] = {
      {NONE, ":\n"},
      {TEXT("keepalive"), ":keepalive\n"},
      {TEXT(" keepalive"), ": keepalive\n"},
      {TEXT("data: x"), ":data: x\n"},
      {TEXT("\xc3\xa4"), ":\xc3\xa4\n"},
  };
  size_t i;

  for (i = 0; i < sizeof comments / sizeof comments[0]; ++i) {
    const size_t want = strlen(comments[i].want);
    const void *text = kit_fenced(comments[i].text, comments[i].len);
    size_t cap;
    size_t len;

    for (cap = 0; cap <= want + 1; ++cap) {
      char *dst = kit_fence(cap);

      len = SIZE_MAX;
      ck_assert_int_eq(
          weir_frame_encode_comment(text, comments[i].len, dst, cap, &len),
          cap < want ? WEIR_ENOSPACE : WEIR_OK);
      ck_assert_uint_eq(len, want);
      ck_assert(cap < want || memcmp(dst, comments[i].want, want) == 0);
    }
    ck_assert_int_eq(
        weir_frame_encode_comment(text, comments[i].len, NULL, 0, &len),
        WEIR_ENOSPACE);
  }
}
END_TEST

START_TEST(comment_refuses_line_ends) {
  static const struct {
    const char *text;
    size_t len;
  } bad[] = {{TEXT("\n")},     {TEXT("\r")},         {TEXT("\0")},
             {TEXT("a\n\nb")}, {TEXT("a\rdata: x")}, {TEXT("12345678\n")}};
  char dst[64];
  size_t len = 7;
  size_t i;

  for (i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
    ck_assert_int_eq(weir_frame_encode_comment(bad[i].text, bad[i].len, dst,
                                               sizeof dst, &len),
                     WEIR_EINVAL);
  }
  ck_assert_uint_eq(len, 7);
}
END_TEST

/* --- Requirements --------------------------------------------------------- */

/* The id of an event is the number that the log gave it. */
START_TEST(r01_event_has_the_id_of_its_log) {
  struct kit_bytes bytes = {NULL, 0, 0};

  add(&bytes, "7", "job.event", "{\"n\": 1}");
  expect_wire(&bytes, "V01");
  kit_bytes_free(&bytes);
}
END_TEST

/* A signal has no id line, and not an empty one, whatever it carries. */
START_TEST(r02_signal_has_no_id_line) {
  static const char alphabet[] = "id: \n\r7";
  struct kit_bytes bytes = {NULL, 0, 0};
  uint64_t chance = 2;
  char data[32];
  char dst[512];
  weir_frame frame;
  size_t len;
  int round;

  add(&bytes, NULL, "job.status", "{\"status\": \"running\"}");
  expect_wire(&bytes, "V02");
  kit_bytes_free(&bytes);
  for (round = 0; round < 5000; ++round) {
    weir_frame_init(&frame, sizeof frame);
    frame.type = "id";
    frame.type_len = draw(&chance, 3);
    frame.data = data;
    frame.data_len = draw_text(&chance, alphabet, sizeof data, data);
    ck_assert_int_eq(
        weir_frame_encode_signal(&frame, dst, sizeof dst - 1, &len), WEIR_OK);
    dst[len] = '\0';
    ck_assert_msg(strncmp(dst, "id", 2) != 0 && strstr(dst, "\nid") == NULL &&
                      strchr(dst, '\r') == NULL,
                  "round %d: %s", round, dst);
  }
}
END_TEST

/* An empty id would make a client forget its cursor: it cannot be written. */
START_TEST(r02_empty_id_cannot_be_written) {
  struct kit_bytes bytes = {NULL, 0, 0};
  struct kit_client client;

  add(&bytes, "6", "", "a");
  add(&bytes, "", "", "b");
  ck_assert_str_eq(bytes.data, "id: 6\ndata: a\n\ndata: b\n\n");
  kit_client_init(&client, "");
  kit_client_feed(&client, bytes.data, bytes.len);
  ck_assert_str_eq(client.last_id, "6");
  kit_client_free(&client);
  /* As V05 would have it. */
  kit_client_init(&client, "");
  kit_client_feed(&client, find_wire("V05")->bytes,
                  find_wire("V05")->bytes_len);
  ck_assert_str_eq(client.last_id, "");
  kit_client_free(&client);
  kit_bytes_free(&bytes);
}
END_TEST

START_TEST(r03_signals_leave_the_cursor_where_it_is) {
  struct kit_bytes bytes = {NULL, 0, 0};
  struct kit_client client;

  add(&bytes, "5", "tool.end", "{}");
  add(&bytes, NULL, "job.status", "{}");
  add(&bytes, NULL, "stream.mode", "{}");
  add(&bytes, NULL, "job.shutdown", "{}");
  kit_client_init(&client, "");
  kit_client_feed(&client, bytes.data, bytes.len);
  ck_assert_uint_eq(client.count, 4);
  ck_assert_str_eq(client.last_id, "5");
  kit_client_free(&client);
  kit_bytes_free(&bytes);
}
END_TEST

/* What went wrong elsewhere: a number made up for a control frame moves the
 * cursor past an event that comes later under that number. */
START_TEST(r05_made_up_id_would_lose_an_event) {
  struct kit_client client;

  kit_client_init(&client, "");
  kit_client_feed(&client, find_wire("V03")->bytes,
                  find_wire("V03")->bytes_len);
  ck_assert_str_eq(client.last_id, "7");
  kit_client_free(&client);
  kit_client_init(&client, "");
  kit_client_feed(&client, find_wire("V04")->bytes,
                  find_wire("V04")->bytes_len);
  ck_assert_str_eq(client.last_id, "6");
  kit_client_free(&client);
}
END_TEST

/* A heartbeat dispatches nothing, and there is no blank line after it. */
START_TEST(r15_comment_dispatches_nothing) {
  struct kit_bytes bytes = {NULL, 0, 0};
  struct kit_client client;

  add(&bytes, NULL, NULL, "keepalive");
  add(&bytes, NULL, NULL, "ok");
  add(&bytes, NULL, NULL, "");
  ck_assert_str_eq(bytes.data, ":keepalive\n:ok\n:\n");
  kit_client_init(&client, "5");
  kit_client_feed(&client, bytes.data, bytes.len);
  ck_assert_uint_eq(client.count, 0);
  ck_assert_str_eq(client.last_id, "5");
  kit_client_free(&client);
  kit_bytes_free(&bytes);
}
END_TEST

/* CR, LF, NUL anywhere in an id or a type, also when bytes are let through. */
START_TEST(r17_line_ends_and_nul_are_refused_in_fields) {
  static const char forbidden[] = {'\r', '\n', '\0'};
  char text[20];
  weir_frame frame;
  size_t len;
  size_t at;

  for (len = 1; len <= sizeof text; ++len) {
    for (at = 0; at < len; ++at) {
      uint32_t flags;

      memset(text, 'x', sizeof text);
      text[at] = forbidden[_i];
      for (flags = 0; flags <= WEIR_FRAME_BYTES; ++flags) {
        weir_frame_init(&frame, sizeof frame);
        frame.flags = flags;
        refuse(&frame, text, len, WEIR_EINVAL);
        frame.type = text;
        frame.type_len = len;
        refuse(&frame, "1", 1, WEIR_EINVAL);
      }
    }
  }
}
END_TEST

/* The same bytes in every field: either refused, or data of one event. */
START_TEST(r17_injections_stay_data) {
  static const struct {
    const char *text;
    size_t len;
  } attacks[] = {
      {TEXT("1\ndata: evil\n\nid: 2")},
      {TEXT("1\rdata: evil\r\rid: 2")},
      {TEXT("1\r\ndata: evil\r\n\r\nid: 2")},
      {TEXT("x\n\nevent: evil\ndata: y\n\n")},
      {TEXT("x\r\revent: evil\rdata: y\r\r")},
      {TEXT("\nid: 9")},
      {TEXT("\rid: 9")},
      {TEXT("\n\n")},
      {TEXT("\r\r")},
      {TEXT("\r\n\r\n")},
      {TEXT("a\n\rb\r\nretry: 1")},
  };
  const char *text = attacks[_i].text;
  const size_t text_len = attacks[_i].len;
  struct kit_client client;
  char want[64];
  weir_frame frame;
  char *dst;
  size_t len;

  weir_frame_init(&frame, sizeof frame);
  frame.data = "a";
  frame.data_len = 1;
  refuse(&frame, text, text_len, WEIR_EINVAL);
  frame.type = text;
  frame.type_len = text_len;
  refuse(&frame, "1", 1, WEIR_EINVAL);
  ck_assert_int_eq(weir_frame_encode_signal(&frame, NULL, 0, &len),
                   WEIR_EINVAL);
  ck_assert_int_eq(weir_frame_encode_comment(text, text_len, NULL, 0, &len),
                   WEIR_EINVAL);
  frame.type = "t";
  frame.type_len = 1;
  frame.data = text;
  frame.data_len = text_len;
  dst = make_frame(&frame, "1", 1, &len);
  kit_client_init(&client, "");
  kit_client_feed(&client, dst, len);
  ck_assert_uint_eq(client.count, 1);
  ck_assert_str_eq(client.events[0].type, "t");
  ck_assert_uint_eq(client.events[0].data_len, normalize(text, text_len, want));
  ck_assert(memcmp(client.events[0].data, want, client.events[0].data_len) ==
            0);
  ck_assert_str_eq(client.last_id, "1");
  ck_assert_uint_eq(client.retry, UINT64_MAX);
  kit_client_free(&client);
  free(dst);
}
END_TEST

/* Milliseconds in digits, inside a frame with data; and nothing else can be
 * written (V08), nor anything that a client takes for "at once". */
START_TEST(r18_retry_is_digits_in_a_frame) {
  static const uint32_t good[] = {1,    9,     10,       1000,
                                  1500, 60000, 86399999, WEIR_RETRY_MAX};
  static const uint32_t bad[] = {WEIR_RETRY_MAX + 1, 2147483647u, 2147483648u,
                                 UINT32_MAX};
  struct kit_client client;
  char want[64];
  char dst[64];
  weir_frame frame;
  size_t len;
  size_t i;

  weir_frame_init(&frame, sizeof frame);
  for (i = 0; i < sizeof good / sizeof good[0]; ++i) {
    frame.retry = good[i];
    ck_assert_int_eq(weir_frame_encode_signal(&frame, dst, sizeof dst, &len),
                     WEIR_OK);
    (void)snprintf(want, sizeof want, "retry: %lu\ndata: \n\n",
                   (unsigned long)good[i]);
    ck_assert_uint_eq(len, strlen(want));
    ck_assert(memcmp(dst, want, len) == 0);
    kit_client_init(&client, "");
    kit_client_feed(&client, dst, len);
    ck_assert_uint_eq(client.retry, good[i]);
    kit_client_free(&client);
  }
  for (i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
    frame.retry = bad[i];
    refuse(&frame, "1", 1, WEIR_EINVAL);
  }
}
END_TEST

/* Each field by each of the three bytes: of the security bugs of others, none
 * comes out of here as more than one event. */
START_TEST(f09_no_field_can_be_injected_into) {
  static const char bytes[] = {'\r', '\n', '\0'};
  char text[32];
  size_t i;
  size_t n;

  for (i = 0; i < sizeof bytes; ++i) {
    for (n = 0; n < 3; ++n) {
      struct kit_client client;
      weir_frame frame;
      char dst[256];
      size_t len;
      int rv;

      (void)snprintf(text, sizeof text, "x?event: evil?data: evil??");
      text[1] = text[13] = text[24] = text[25] = bytes[i];
      weir_frame_init(&frame, sizeof frame);
      frame.flags = WEIR_FRAME_BYTES;
      frame.type = n == 1 ? text : "t";
      frame.type_len = n == 1 ? 26 : 1;
      frame.data = n == 2 ? text : "d";
      frame.data_len = n == 2 ? 26 : 1;
      rv = weir_frame_encode_event(&frame, n == 0 ? text : "1", n == 0 ? 26 : 1,
                                   dst, sizeof dst, &len);
      if (n != 2) {
        ck_assert_int_eq(rv, WEIR_EINVAL);
        continue;
      }
      ck_assert_int_eq(rv, WEIR_OK);
      kit_client_init(&client, "");
      kit_client_feed(&client, dst, len);
      ck_assert_uint_eq(client.count, 1);
      ck_assert_str_eq(client.events[0].type, "t");
      ck_assert_str_eq(client.events[0].id, "1");
      kit_client_free(&client);
    }
  }
}
END_TEST

/* The mistakes of other encoders in C and elsewhere, one by one. */
START_TEST(f21_retry_line_ends_before_the_data) {
  struct kit_client client;
  weir_frame frame;
  char dst[64];
  size_t len;

  weir_frame_init(&frame, sizeof frame);
  frame.retry = 3000;
  frame.data = "a";
  frame.data_len = 1;
  ck_assert_int_eq(
      weir_frame_encode_event(&frame, "1", 1, dst, sizeof dst, &len), WEIR_OK);
  kit_client_init(&client, "");
  kit_client_feed(&client, dst, len);
  ck_assert_uint_eq(client.count, 1);
  ck_assert_str_eq(client.events[0].data, "a");
  ck_assert_uint_eq(client.retry, 3000);
  kit_client_free(&client);
}
END_TEST

START_TEST(f21_bare_cr_ends_a_line) {
  struct kit_bytes bytes = {NULL, 0, 0};

  add(&bytes, NULL, "", "a\revent: evil\r\rb");
  ck_assert_str_eq(bytes.data,
                   "data: a\ndata: event: evil\ndata: \ndata: b\n\n");
  kit_bytes_free(&bytes);
}
END_TEST

/* Data whose neighbour in memory is a line feed: it is not looked at. */
START_TEST(f21_byte_after_the_data_is_not_looked_at) {
  weir_frame frame;
  char dst[64];
  size_t len;

  weir_frame_init(&frame, sizeof frame);
  frame.data = "a\n\n";
  frame.data_len = 1;
  ck_assert_int_eq(weir_frame_encode_signal(&frame, dst, sizeof dst, &len),
                   WEIR_OK);
  ck_assert_uint_eq(len, 9);
  ck_assert(memcmp(dst, "data: a\n\n", 9) == 0);
  frame.data = "a\r\n";
  frame.data_len = 2;
  ck_assert_int_eq(weir_frame_encode_signal(&frame, dst, sizeof dst, &len),
                   WEIR_OK);
  ck_assert_uint_eq(len, 16);
  ck_assert(memcmp(dst, "data: a\ndata: \n\n", 16) == 0);
}
END_TEST

START_TEST(f21_every_line_of_data_is_there) {
  struct kit_bytes bytes = {NULL, 0, 0};

  add(&bytes, NULL, "", "{\n  \"a\": 1\n}");
  ck_assert_str_eq(bytes.data, "data: {\ndata:   \"a\": 1\ndata: }\n\n");
  kit_bytes_free(&bytes);
}
END_TEST

START_TEST(f21_64_kib_of_line_ends) {
  static const char ends[] = {'\n', '\r'};
  enum { SIZE = 65536 };
  struct kit_client client;
  char *data = malloc(SIZE);
  weir_frame frame;
  char *dst;
  size_t len;
  size_t i;

  ck_assert_ptr_nonnull(data);
  memset(data, ends[_i], SIZE);
  weir_frame_init(&frame, sizeof frame);
  frame.data = data;
  frame.data_len = SIZE;
  dst = make_frame(&frame, "1", 1, &len);
  ck_assert_uint_eq(len, 6 + (SIZE + 1) * 7 + 1);
  kit_client_init(&client, "");
  kit_client_feed(&client, dst, len);
  ck_assert_uint_eq(client.count, 1);
  ck_assert_uint_eq(client.events[0].data_len, SIZE);
  for (i = 0; i < SIZE; ++i) {
    ck_assert(client.events[0].data[i] == '\n');
  }
  kit_client_free(&client);
  free(dst);
  free(data);
}
END_TEST

int main(void) {
  TCase *tables = tcase_create("tables");
  TCase *limits = tcase_create("limits");
  TCase *structs = tcase_create("structs");
  TCase *comments = tcase_create("comments");
  TCase *requirements = tcase_create("requirements");
  TCase *cases[5];

  tcase_add_loop_test(tables, golden, 0, COUNT(rows));
  tcase_add_loop_test(tables, vectors_of_other_encoders, 0,
                      (int)vector_encode_count);
  tcase_add_test(tables, wire_vectors);
  tcase_add_loop_test(tables, client_reads_what_was_meant, 0, 4);
  tcase_add_test(limits, bytes_are_limited);
  tcase_add_loop_test(limits, lines_are_limited, 0, 3);
  tcase_add_test(limits, sixteen_mib_in_a_line);
  tcase_add_loop_test(limits, text_is_checked_unless_bytes, 0, 9);
  tcase_add_test(limits, nul_in_data_is_checked_unless_bytes);
  tcase_add_test(limits, unknown_flags_are_refused);
  tcase_add_test(structs, frame_of_any_size);
  tcase_add_test(structs, what_is_no_frame_is_refused);
  tcase_add_test(structs, init_fills_any_size);
  tcase_add_test(comments, comment_is_one_line);
  tcase_add_test(comments, comment_refuses_line_ends);
  tcase_add_test(requirements, r01_event_has_the_id_of_its_log);
  tcase_add_test(requirements, r02_signal_has_no_id_line);
  tcase_add_test(requirements, r02_empty_id_cannot_be_written);
  tcase_add_test(requirements, r03_signals_leave_the_cursor_where_it_is);
  tcase_add_test(requirements, r05_made_up_id_would_lose_an_event);
  tcase_add_test(requirements, r15_comment_dispatches_nothing);
  tcase_add_loop_test(requirements, r17_line_ends_and_nul_are_refused_in_fields,
                      0, 3);
  tcase_add_loop_test(requirements, r17_injections_stay_data, 0, 11);
  tcase_add_test(requirements, r18_retry_is_digits_in_a_frame);
  tcase_add_test(requirements, f09_no_field_can_be_injected_into);
  tcase_add_test(requirements, f21_retry_line_ends_before_the_data);
  tcase_add_test(requirements, f21_bare_cr_ends_a_line);
  tcase_add_test(requirements, f21_byte_after_the_data_is_not_looked_at);
  tcase_add_test(requirements, f21_every_line_of_data_is_there);
  tcase_add_loop_test(requirements, f21_64_kib_of_line_ends, 0, 2);
  cases[0] = tables;
  cases[1] = limits;
  cases[2] = structs;
  cases[3] = comments;
  cases[4] = requirements;
  return kit_main("frame", cases, 5);
}
