/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The bytes of every frame that weir writes itself; the application's events
 * with an envelope and without; what is refused on the way in, and what is
 * believed of a frame on the way back from storage. */

#include "../kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "json.h"

#define COUNT(rows) (int)(sizeof(rows) / sizeof(rows)[0])
#define TEXT(text) text, sizeof text - 1

/* What a stream is by default. */
static struct weir__scheme make_scheme(void) {
  struct weir__scheme scheme;

  memset(&scheme, 0, sizeof scheme);
  scheme.key = "k";
  scheme.key_len = 1;
  scheme.generation = 1; /* "b" */
  scheme.prefix = "weir.";
  scheme.prefix_len = 5;
  scheme.format = WEIR_CURSOR_EPOCH;
  scheme.lines = WEIR_FRAME_LINES_MAX;
  return scheme;
}

static void set_members(struct weir__scheme *scheme, const char *members) {
  scheme->members = members;
  scheme->members_len = strlen(members);
}

static void set_prefix(struct weir__scheme *scheme, const char *prefix) {
  scheme->prefix = prefix;
  scheme->prefix_len = strlen(prefix);
}

/* --- Frames of weir's own ------------------------------------------------- */

static const weir_cursor at_five = {1, 5};

/* Each contents one of them. */
static void ready(struct weir__out *out, const struct weir__scheme *scheme) {
  weir__put_ready(out, scheme, &at_five, 1234, WEIR_VERDICT_RESUMED);
}

static void ready_again(struct weir__out *out,
                        const struct weir__scheme *scheme) {
  weir__put_ready(out, scheme, &at_five, 0, WEIR_VERDICT_EVICTED);
}

static void put_gap(struct weir__out *out, const struct weir__scheme *scheme,
                    int verdict, const char *requested) {
  weir_resolution resolution = {0};

  resolution.verdict = verdict;
  resolution.gap = 1;
  resolution.position = at_five;
  resolution.first = 6;
  resolution.last = 9;
  weir__put_gap(out, scheme, &resolution, 1500, requested,
                requested == NULL ? 0 : strlen(requested));
}

static void gap(struct weir__out *out, const struct weir__scheme *scheme) {
  put_gap(out, scheme, WEIR_VERDICT_EVICTED, "b-2");
}

static void gap_foreign(struct weir__out *out,
                        const struct weir__scheme *scheme) {
  put_gap(out, scheme, WEIR_VERDICT_FOREIGN, "AZaz09._~-");
}

static void gap_malformed(struct weir__out *out,
                          const struct weir__scheme *scheme) {
  put_gap(out, scheme, WEIR_VERDICT_MALFORMED, "b-2 ");
}

static void gap_hostile(struct weir__out *out,
                        const struct weir__scheme *scheme) {
  put_gap(out, scheme, WEIR_VERDICT_MALFORMED, "\"},\n\ndata: {\"");
}

static void gap_of_nothing(struct weir__out *out,
                           const struct weir__scheme *scheme) {
  put_gap(out, scheme, WEIR_VERDICT_AHEAD, NULL);
}

static void replaced(struct weir__out *out, const struct weir__scheme *scheme) {
  weir__put_closing(out, scheme, WEIR__REPLACED, strlen(WEIR__REPLACED), 60000);
}

static void draining(struct weir__out *out, const struct weir__scheme *scheme) {
  weir__put_closing(out, scheme, WEIR__DRAINING, strlen(WEIR__DRAINING), 1000);
}

static void unavailable(struct weir__out *out,
                        const struct weir__scheme *scheme) {
  weir__put_closing(out, scheme, WEIR__UNAVAILABLE, strlen(WEIR__UNAVAILABLE),
                    1000);
}

static void expired(struct weir__out *out, const struct weir__scheme *scheme) {
  weir__put_closing(out, scheme, WEIR__EXPIRED, strlen(WEIR__EXPIRED), 1);
}

static void failed(struct weir__out *out, const struct weir__scheme *scheme) {
  weir__put_failed(out, scheme, "storage");
}

static void done_data(struct weir__out *out,
                      const struct weir__scheme *scheme) {
  weir__put_done_data(out, scheme, "stop", 4);
}

static void done_data_hostile(struct weir__out *out,
                              const struct weir__scheme *scheme) {
  weir__put_done_data(out, scheme, TEXT("\"\n\r\t\\"));
}

static void failed_data(struct weir__out *out,
                        const struct weir__scheme *scheme) {
  weir__put_failed_data(out, scheme, "timeout", 7, TEXT("too \"late\"\n"));
}

static void failed_data_empty(struct weir__out *out,
                              const struct weir__scheme *scheme) {
  weir__put_failed_data(out, scheme, NULL, 0, NULL, 0);
}

/* How the scheme differs from the default. */
enum { PLAIN, MEMBERS, NO_PREFIX, OWN_PREFIX, DECIMAL, NAMELESS, ODD_KEY };

static const struct own {
  void (*put)(struct weir__out *out, const struct weir__scheme *scheme);
  int scheme;
  const char *want;
} owns[] = {
    {ready, PLAIN,
     "id: b-5\nevent: weir.ready\nretry: 1234\ndata: {\"stream\":\"k\","
     "\"generation\":\"b\",\"verdict\":\"resumed\"}\n\n"},
    {ready_again, PLAIN,
     "id: b-5\nevent: weir.ready\ndata: {\"stream\":\"k\","
     "\"generation\":\"b\",\"verdict\":\"evicted\"}\n\n"},
    {ready, MEMBERS,
     "id: b-5\nevent: weir.ready\nretry: 1234\ndata: {\"stream\":\"k\","
     "\"generation\":\"b\",\"verdict\":\"resumed\",\"app\":\"x\",\"n\":1}\n\n"},
    {ready, NO_PREFIX,
     "id: b-5\nevent: ready\nretry: 1234\ndata: {\"stream\":\"k\","
     "\"generation\":\"b\",\"verdict\":\"resumed\"}\n\n"},
    {ready, OWN_PREFIX,
     "id: b-5\nevent: x/ready\nretry: 1234\ndata: {\"stream\":\"k\","
     "\"generation\":\"b\",\"verdict\":\"resumed\"}\n\n"},
    {ready, DECIMAL,
     "id: 5\nevent: weir.ready\nretry: 1234\ndata: {\"stream\":\"k\","
     "\"generation\":\"b\",\"verdict\":\"resumed\"}\n\n"},
    {ready, NAMELESS,
     "id: b-5\nevent: weir.ready\nretry: 1234\ndata: {\"stream\":\"k\","
     "\"generation\":null,\"verdict\":\"resumed\"}\n\n"},
    {ready, ODD_KEY,
     "id: b-5\nevent: weir.ready\nretry: 1234\ndata: {\"stream\":"
     "\"\\\"a\\\\b\xc3\xa4\",\"generation\":\"p777777777777\","
     "\"verdict\":\"resumed\"}\n\n"},
    {gap, PLAIN,
     "id: b-5\nevent: weir.gap\nretry: 1500\ndata: {\"stream\":\"k\","
     "\"generation\":\"b\",\"verdict\":\"evicted\",\"requested\":\"b-2\","
     "\"first\":6,\"last\":9}\n\n"},
    {gap, MEMBERS,
     "id: b-5\nevent: weir.gap\nretry: 1500\ndata: {\"stream\":\"k\","
     "\"generation\":\"b\",\"verdict\":\"evicted\",\"requested\":\"b-2\","
     "\"first\":6,\"last\":9,\"app\":\"x\",\"n\":1}\n\n"},
    {gap_foreign, PLAIN,
     "id: b-5\nevent: weir.gap\nretry: 1500\ndata: {\"stream\":\"k\","
     "\"generation\":\"b\",\"verdict\":\"foreign\","
     "\"requested\":\"AZaz09._~-\",\"first\":6,\"last\":9}\n\n"},
    {gap_malformed, PLAIN,
     "id: b-5\nevent: weir.gap\nretry: 1500\ndata: {\"stream\":\"k\","
     "\"generation\":\"b\",\"verdict\":\"malformed\",\"requested\":null,"
     "\"first\":6,\"last\":9}\n\n"},
    {gap_hostile, PLAIN,
     "id: b-5\nevent: weir.gap\nretry: 1500\ndata: {\"stream\":\"k\","
     "\"generation\":\"b\",\"verdict\":\"malformed\",\"requested\":null,"
     "\"first\":6,\"last\":9}\n\n"},
    {gap_of_nothing, PLAIN,
     "id: b-5\nevent: weir.gap\nretry: 1500\ndata: {\"stream\":\"k\","
     "\"generation\":\"b\",\"verdict\":\"ahead\",\"requested\":null,"
     "\"first\":6,\"last\":9}\n\n"},
    {replaced, PLAIN,
     "event: weir.closing\nretry: 60000\ndata: {\"stream\":\"k\","
     "\"generation\":\"b\",\"reason\":\"replaced\"}\n\n"},
    {draining, PLAIN,
     "event: weir.closing\nretry: 1000\ndata: {\"stream\":\"k\","
     "\"generation\":\"b\",\"reason\":\"draining\"}\n\n"},
    {unavailable, NAMELESS,
     "event: weir.closing\nretry: 1000\ndata: {\"stream\":\"k\","
     "\"generation\":null,\"reason\":\"unavailable\"}\n\n"},
    {expired, MEMBERS,
     "event: weir.closing\nretry: 1\ndata: {\"stream\":\"k\","
     "\"generation\":\"b\",\"reason\":\"expired\",\"app\":\"x\",\"n\":1}\n\n"},
    {weir__put_ping, PLAIN,
     "event: weir.ping\ndata: {\"stream\":\"k\",\"generation\":\"b\"}\n\n"},
    {weir__put_ping, MEMBERS,
     "event: weir.ping\ndata: {\"stream\":\"k\",\"generation\":\"b\","
     "\"app\":\"x\",\"n\":1}\n\n"},
    {failed, PLAIN,
     "event: weir.failed\ndata: {\"stream\":\"k\",\"generation\":\"b\","
     "\"code\":\"storage\",\"message\":\"\"}\n\n"},
    {failed, MEMBERS,
     "event: weir.failed\ndata: {\"stream\":\"k\",\"generation\":\"b\","
     "\"code\":\"storage\",\"message\":\"\",\"app\":\"x\",\"n\":1}\n\n"},
    {done_data, PLAIN,
     "{\"stream\":\"k\",\"generation\":\"b\",\"reason\":\"stop\"}"},
    {done_data, MEMBERS,
     "{\"stream\":\"k\",\"generation\":\"b\",\"reason\":\"stop\","
     "\"app\":\"x\",\"n\":1}"},
    {done_data_hostile, PLAIN,
     "{\"stream\":\"k\",\"generation\":\"b\","
     "\"reason\":\"\\\"\\n\\r\\t\\\\\"}"},
    {failed_data, PLAIN,
     "{\"stream\":\"k\",\"generation\":\"b\",\"code\":\"timeout\","
     "\"message\":\"too \\\"late\\\"\\n\"}"},
    {failed_data_empty, MEMBERS,
     "{\"stream\":\"k\",\"generation\":\"b\",\"code\":\"\","
     "\"message\":\"\",\"app\":\"x\",\"n\":1}"},
};

static struct weir__scheme scheme_of(const struct own *own) {
  struct weir__scheme scheme = make_scheme();

  if (own->scheme == MEMBERS) {
    set_members(&scheme, "\"app\":\"x\",\"n\":1");
  } else if (own->scheme == NO_PREFIX) {
    set_prefix(&scheme, "");
  } else if (own->scheme == OWN_PREFIX) {
    set_prefix(&scheme, "x/");
  } else if (own->scheme == DECIMAL) {
    scheme.format = WEIR_CURSOR_DECIMAL;
  } else if (own->scheme == NAMELESS) {
    scheme.generation = 0;
  } else if (own->scheme == ODD_KEY) {
    scheme.key = "\"a\\b\xc3\xa4";
    scheme.key_len = 6;
    scheme.generation = UINT64_MAX;
  }
  return scheme;
}

START_TEST(own_frames_golden) {
  const struct own *own = &owns[_i];
  const struct weir__scheme scheme = scheme_of(own);
  const size_t want = strlen(own->want);
  unsigned char *end = (unsigned char *)kit_fence(want + 1) + want + 1;
  struct weir__out out;
  size_t cap;

  for (cap = 0; cap <= want + 1; ++cap) {
    weir__out_init(&out, end - cap, cap);
    own->put(&out, &scheme);
    ck_assert_uint_eq(out.len, want);
    ck_assert_msg(cap < want || memcmp(end - cap, own->want, want) == 0,
                  "got %.*s", (int)want, (const char *)end - cap);
  }
}
END_TEST

/* One event for a client each, whose data is JSON on one line; and it moves
 * the cursor only where it names a position. */
START_TEST(own_frames_are_read_by_a_client) {
  const struct own *own = &owns[_i];
  const struct weir__scheme scheme = scheme_of(own);
  const bool has_id = strncmp(own->want, "id: ", 4) == 0;
  struct kit_client client;
  struct kit_event *event;

  if (own->want[0] == '{') {
    ck_assert(weir__is_json(own->want, strlen(own->want)));
    ck_assert_ptr_null(strchr(own->want, '\n'));
    return;
  }
  kit_client_init(&client, "before");
  kit_client_feed(&client, own->want, strlen(own->want));
  ck_assert_uint_eq(client.count, 1);
  event = &client.events[0];
  ck_assert(weir__is_json(event->data, event->data_len));
  ck_assert_ptr_null(strchr(event->data, '\n'));
  ck_assert(strncmp(event->type, scheme.prefix, scheme.prefix_len) == 0);
  ck_assert_str_eq(client.last_id, !has_id                  ? "before"
                                   : own->scheme == DECIMAL ? "5"
                                                            : "b-5");
  kit_client_free(&client);
}
END_TEST

/* --- Content -------------------------------------------------------------- */

static struct weir__content make_content(const char *type, const char *data) {
  struct weir__content content;

  memset(&content, 0, sizeof content);
  content.type = type;
  content.type_len = strlen(type);
  content.data = data;
  content.data_len = strlen(data);
  return content;
}

/* What goes in: how, at which position (0: a signal), and the frame. */
static const struct put {
  const char *type;
  const char *data;
  bool envelope;
  bool json;
  bool bare;
  bool members;
  uint64_t seq;
  const char *want;
} contents[] = {
    /* without an envelope */
    {"", "", false, false, false, false, 1, "id: b-1\ndata: \n\n"},
    {"t", "a", false, false, false, false, 7, "id: b-7\nevent: t\ndata: a\n\n"},
    {"t", "a\nb", false, false, false, true, 7,
     "id: b-7\nevent: t\ndata: a\ndata: b\n\n"},
    {"message", "a", false, false, false, false, 7, "id: b-7\ndata: a\n\n"},
    {"t", "[1,\n2]", false, true, false, false, 7,
     "id: b-7\nevent: t\ndata: [1,\ndata: 2]\n\n"},
    {"t", "a", false, false, false, false, 0, "event: t\ndata: a\n\n"},
    {"", "", false, false, false, false, 0, "data: \n\n"},
    /* with one: index, and the data as a string or raw */
    {"t", "a", true, false, false, false, 1,
     "id: b-1\nevent: t\ndata: {\"stream\":\"k\",\"generation\":\"b\","
     "\"index\":0,\"data\":\"a\"}\n\n"},
    {"", "", true, false, false, false, 8,
     "id: b-8\ndata: {\"stream\":\"k\",\"generation\":\"b\",\"index\":7,"
     "\"data\":\"\"}\n\n"},
    {"t", "a\r\nb\"\\", true, false, false, true, 8,
     "id: b-8\nevent: t\ndata: {\"stream\":\"k\",\"generation\":\"b\","
     "\"index\":7,\"data\":\"a\\r\\nb\\\"\\\\\",\"app\":1}\n\n"},
    {"t", "{\"x\":[1]}", true, true, false, false, 8,
     "id: b-8\nevent: t\ndata: {\"stream\":\"k\",\"generation\":\"b\","
     "\"index\":7,\"data\":{\"x\":[1]}}\n\n"},
    {"t", "[1,\n\n2]", true, true, false, true, 8,
     "id: b-8\nevent: t\ndata: {\"stream\":\"k\",\"generation\":\"b\","
     "\"index\":7,\"data\":[1,\ndata: \ndata: 2],\"app\":1}\n\n"},
    /* a signal has no index */
    {"t", "a", true, false, false, false, 0,
     "event: t\ndata: {\"stream\":\"k\",\"generation\":\"b\","
     "\"data\":\"a\"}\n\n"},
    {"t", "1", true, true, false, true, 0,
     "event: t\ndata: {\"stream\":\"k\",\"generation\":\"b\","
     "\"data\":1,\"app\":1}\n\n"},
    /* weir's own has no other envelope than it brings */
    {"weir.done", "{}", true, true, true, true, 9,
     "id: b-9\nevent: weir.done\ndata: {}\n\n"},
};

START_TEST(content_golden) {
  const struct put *row = &contents[_i];
  struct weir__scheme scheme = make_scheme();
  struct weir__content content = make_content(row->type, row->data);
  const weir_cursor cursor = {1, row->seq};
  const size_t want = strlen(row->want);
  unsigned char *end = (unsigned char *)kit_fence(want + 1) + want + 1;
  struct weir__out out;
  size_t lines = 0;
  size_t cap;
  const char *p;

  scheme.envelope = row->envelope;
  set_members(&scheme, row->members ? "\"app\":1" : "");
  content.json = row->json;
  content.bare = row->bare;
  ck_assert_int_eq(weir__check_content(&scheme, &content), WEIR_OK);
  for (p = strstr(row->want, "data: "); p != NULL; p = strstr(p, "\ndata: ")) {
    lines += 1;
    p += 1;
  }
  scheme.lines = lines;
  for (cap = 0; cap <= want + 1; ++cap) {
    weir__out_init(&out, end - cap, cap);
    weir__put_content(&out, &scheme, &content, row->seq == 0 ? NULL : &cursor);
    ck_assert_uint_eq(out.len, want);
    ck_assert_uint_le(out.lines, scheme.lines);
    ck_assert_msg(cap < want || memcmp(end - cap, row->want, want) == 0,
                  "got %.*s", (int)want, (const char *)end - cap);
  }
  for (scheme.lines = lines - 1; scheme.lines > 0; --scheme.lines) {
    weir__out_init(&out, end, 0);
    weir__put_content(&out, &scheme, &content, row->seq == 0 ? NULL : &cursor);
    ck_assert_uint_gt(out.lines, scheme.lines);
  }
}
END_TEST

/* --- What may go in ------------------------------------------------------- */

START_TEST(reserved_types) {
  static const struct {
    const char *prefix;
    const char *type;
    bool reserved;
  } types[] = {
      {"weir.", "weir.ready", true},
      {"weir.", "weir.gap", true},
      {"weir.", "weir.done", true},
      {"weir.", "weir.failed", true},
      {"weir.", "weir.closing", true},
      {"weir.", "weir.ping", true},
      {"weir.", "open", true},
      {"weir.", "error", true},
      {"weir.", "ready", false},
      {"weir.", "done", false},
      {"weir.", "weir.", false},
      {"weir.", "weir.other", false},
      {"weir.", "weir.readyy", false},
      {"weir.", "weir.read", false},
      {"weir.", "weir.Ready", false},
      {"weir.", "Weir.ready", false},
      {"weir.", "x.weir.ready", false},
      {"weir.", "weir", false},
      {"weir.", "message", false},
      {"weir.", "", false},
      {"weir.", "Open", false},
      {"weir.", "opened", false},
      {"weir.", "errors", false},
      {"weir.", "weir.open", false},
      {"", "ready", true},
      {"", "gap", true},
      {"", "done", true},
      {"", "failed", true},
      {"", "closing", true},
      {"", "ping", true},
      {"", "open", true},
      {"", "error", true},
      {"", "weir.ready", false},
      {"", "", false},
      {"x", "xready", true},
      {"x", "ready", false},
      {"x", "weir.ready", false},
      {"x", "open", true},
      {"op", "open", true},
      {"rea", "readone", true},
  };
  struct weir__scheme scheme = make_scheme();
  struct weir__content content;
  size_t i;

  for (i = 0; i < sizeof types / sizeof types[0]; ++i) {
    set_prefix(&scheme, types[i].prefix);
    content = make_content(types[i].type, "{}");
    ck_assert_msg(weir__check_content(&scheme, &content) ==
                      (types[i].reserved ? WEIR_ERESERVED : WEIR_OK),
                  "prefix '%s', type '%s'", types[i].prefix, types[i].type);
    /* weir itself may. */
    content.bare = true;
    ck_assert_int_eq(weir__check_content(&scheme, &content), WEIR_OK);
  }
}
END_TEST

START_TEST(content_is_checked) {
  static const struct {
    const char *type;
    size_t type_len;
    const char *data;
    size_t data_len;
    bool json;
    int want;          /* as text */
    int want_bytes;    /* where bytes are let through */
    int want_envelope; /* where they are, but in an envelope */
  } rows[] = {
      {TEXT("t"), TEXT("a"), false, 0, 0, 0},
      {TEXT("\xc3\xa4"), TEXT("\xe2\x82\xac"), false, 0, 0, 0},
      {TEXT("a\nb"), TEXT("a"), false, WEIR_EINVAL, WEIR_EINVAL, WEIR_EINVAL},
      {TEXT("a\rb"), TEXT("a"), false, WEIR_EINVAL, WEIR_EINVAL, WEIR_EINVAL},
      {TEXT("a\0b"), TEXT("a"), false, WEIR_EINVAL, WEIR_EINVAL, WEIR_EINVAL},
      {TEXT("open\n"), TEXT("a"), false, WEIR_EINVAL, WEIR_EINVAL, WEIR_EINVAL},
      {TEXT("\xff"), TEXT("a"), false, WEIR_EUTF8, WEIR_EUTF8, WEIR_EUTF8},
      {TEXT("t"), TEXT("\xff"), false, WEIR_EUTF8, 0, WEIR_EUTF8},
      {TEXT("t"), TEXT("a\0"), false, WEIR_EUTF8, 0, WEIR_EUTF8},
      {TEXT("t"), TEXT("a\n\r\n"), false, 0, 0, 0},
      {TEXT("t"), TEXT("{}"), true, 0, 0, 0},
      {TEXT("t"), TEXT("{"), true, WEIR_EJSON, WEIR_EJSON, WEIR_EJSON},
      {TEXT("t"), TEXT(""), true, WEIR_EJSON, WEIR_EJSON, WEIR_EJSON},
      {TEXT("t"), TEXT("1}"), true, WEIR_EJSON, WEIR_EJSON, WEIR_EJSON},
      {TEXT("t"), TEXT("\"\xff\""), true, WEIR_EUTF8, WEIR_EUTF8, WEIR_EUTF8},
      {TEXT("t"), TEXT("[1,\r\n2]"), true, 0, 0, 0},
  };
  struct weir__scheme scheme = make_scheme();
  struct weir__content content;
  size_t i;

  for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    content = make_content("", "");
    content.type = rows[i].type;
    content.type_len = rows[i].type_len;
    content.data = rows[i].data;
    content.data_len = rows[i].data_len;
    content.json = rows[i].json;
    scheme.bytes = false;
    scheme.envelope = false;
    ck_assert_int_eq(weir__check_content(&scheme, &content), rows[i].want);
    scheme.envelope = true;
    ck_assert_int_eq(weir__check_content(&scheme, &content), rows[i].want);
    scheme.bytes = true;
    ck_assert_int_eq(weir__check_content(&scheme, &content),
                     rows[i].want_envelope);
    scheme.envelope = false;
    ck_assert_int_eq(weir__check_content(&scheme, &content),
                     rows[i].want_bytes);
  }
}
END_TEST

/* --- What comes back from storage ----------------------------------------- */

/* Put it as weir would, into *bytes. */
static void put(const struct weir__scheme *scheme,
                const struct weir__content *content, const weir_cursor *cursor,
                struct kit_bytes *bytes) {
  struct weir__out out;
  char *dst;

  weir__out_init(&out, NULL, 0);
  weir__put_content(&out, scheme, content, cursor);
  dst = malloc(out.len);
  ck_assert_ptr_nonnull(dst);
  weir__out_init(&out, dst, out.len);
  weir__put_content(&out, scheme, content, cursor);
  bytes->len = 0;
  kit_bytes_add(bytes, dst, out.len);
  free(dst);
}

/* Whether weir can have written it at this position: then a client reads one
 * event in it, with that id, and what it reads gives the same bytes again. */
static bool can_have_been_put(const struct weir__scheme *scheme,
                              const weir_cursor *cursor, const char *frame,
                              size_t len) {
  struct weir__scheme bare = *scheme;
  struct kit_bytes bytes = {NULL, 0, 0};
  struct kit_client client;
  struct weir__content content;
  bool same = false;

  kit_client_init(&client, "");
  kit_client_feed(&client, frame, len);
  if (client.count == 1) {
    content = make_content("", "");
    content.type = client.events[0].type;
    content.type_len = client.events[0].type_len;
    content.data = client.events[0].data;
    content.data_len = client.events[0].data_len;
    content.bare = true;
    bare.envelope = false;
    if (weir__check_content(&bare, &content) == WEIR_OK) {
      put(&bare, &content, cursor, &bytes);
      same = bytes.len == len && memcmp(bytes.data, frame, len) == 0;
    }
  }
  kit_bytes_free(&bytes);
  kit_client_free(&client);
  return same;
}

/* Before a byte that faults. */
static bool check_frame(const struct weir__scheme *scheme,
                        const weir_cursor *cursor, const char *frame,
                        size_t len) {
  enum { ROOM = 4096 };
  static char *end;

  if (end == NULL) {
    end = (char *)kit_fence(ROOM) + ROOM;
  }
  if (len > ROOM) {
    ck_abort_msg("too long");
  }
  memcpy(end - len, frame, len);
  return weir__check_frame(scheme, cursor, end - len, len);
}

static void compare(const struct weir__scheme *scheme,
                    const weir_cursor *cursor, const char *frame, size_t len) {
  const bool want = can_have_been_put(scheme, cursor, frame, len);

  if (check_frame(scheme, cursor, frame, len) != want) {
    ck_abort_msg("%s: %.*s", want ? "not taken" : "taken", (int)len, frame);
  }
}

/* The frame with the bytes from `at` to `to` replaced. */
static void compare_with(const struct weir__scheme *scheme,
                         const weir_cursor *cursor,
                         const struct kit_bytes *frame, size_t at, size_t to,
                         const char *other, size_t other_len) {
  char changed[1024];

  if (frame->len + other_len > sizeof changed) {
    ck_abort_msg("too long");
  }
  memcpy(changed, frame->data, at);
  memcpy(changed + at, other, other_len);
  memcpy(changed + at + other_len, frame->data + to, frame->len - to);
  compare(scheme, cursor, changed, at + other_len + frame->len - to);
}

/* Whatever is written is taken; cut off, with a byte left out, or put in, or
 * another, or a line more or less, only what can have been written is. */
static void mutate(const struct weir__scheme *scheme,
                   const struct weir__content *content,
                   const weir_cursor *cursor) {
  static const char bytes[] = "\n\r\0:x \xff\x80";
  static const char *const lines[] = {
      "event: e\n", "event: \n",  "event: message\n",
      "event:e\n",  "id: b-7\n",  "id: \n",
      "id\n",       "retry: 1\n", "data: d\n",
      "data:d\n",   "data\n",     ":comment\n",
      "\n",         " data: d\n", "event: e\xff\n",
      "Data: d\n"};
  struct kit_bytes frame = {NULL, 0, 0};
  size_t at;
  size_t i;

  put(scheme, content, cursor, &frame);
  ck_assert_msg(check_frame(scheme, cursor, frame.data, frame.len),
                "not taken: %s", frame.data);
  ck_assert(can_have_been_put(scheme, cursor, frame.data, frame.len));
  for (at = 0; at < frame.len; ++at) {
    compare(scheme, cursor, frame.data, at);
    compare_with(scheme, cursor, &frame, at, at + 1, "", 0);
    for (i = 0; i < sizeof bytes - 1; ++i) {
      compare_with(scheme, cursor, &frame, at, at, bytes + i, 1);
      compare_with(scheme, cursor, &frame, at, at + 1, bytes + i, 1);
      compare_with(scheme, cursor, &frame, frame.len, frame.len, bytes + i, 1);
    }
    if (at == 0 || frame.data[at - 1] == '\n') {
      const char *stop = memchr(frame.data + at, '\n', frame.len - at);
      const size_t next = (size_t)(stop - frame.data) + 1;

      compare_with(scheme, cursor, &frame, at, next, "", 0);
      compare_with(scheme, cursor, &frame, at, at, frame.data + at, next - at);
      for (i = 0; i < sizeof lines / sizeof lines[0]; ++i) {
        compare_with(scheme, cursor, &frame, at, at, lines[i],
                     strlen(lines[i]));
        compare_with(scheme, cursor, &frame, at, next, lines[i],
                     strlen(lines[i]));
      }
    }
  }
  /* Two of them are not one. */
  compare_with(scheme, cursor, &frame, 0, 0, frame.data, frame.len);
  kit_bytes_free(&frame);
}

START_TEST(frames_come_back_as_they_were) {
  const struct put *row = &contents[_i];
  struct weir__scheme scheme = make_scheme();
  struct weir__content content = make_content(row->type, row->data);
  const weir_cursor cursor = {1, row->seq};
  int bytes;

  scheme.envelope = row->envelope;
  set_members(&scheme, row->members ? "\"app\":1" : "");
  content.json = row->json;
  content.bare = row->bare;
  if (row->seq == 0) {
    return; /* signals are not kept */
  }
  for (bytes = 0; bytes < 2; ++bytes) {
    scheme.bytes = bytes != 0;
    scheme.format = WEIR_CURSOR_EPOCH;
    mutate(&scheme, &content, &cursor);
    scheme.format = WEIR_CURSOR_DECIMAL;
    mutate(&scheme, &content, &cursor);
  }
}
END_TEST

/* Bytes that are no text: only where they are let through. */
START_TEST(frames_of_bytes) {
  static const struct {
    const char *frame;
    size_t len;
    bool good;
  } rows[] = {
      {TEXT("id: b-7\ndata: \xff\n\n"), true},
      {TEXT("id: b-7\ndata: a\0b\n\n"), true},
      {TEXT("id: b-7\ndata: \0\ndata: \xc3\n\n"), true},
      {TEXT("id: b-7\nevent: \xff\ndata: a\n\n"), false},
      {TEXT("id: b-7\nevent: a\0\ndata: a\n\n"), false},
      {TEXT("id: b-7\ndata: a\r\n\n"), false},
      {TEXT("id: b-7\n\0data: a\n\n"), false},
  };
  struct weir__scheme scheme = make_scheme();
  const weir_cursor cursor = {1, 7};
  size_t i;

  for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    scheme.bytes = false;
    ck_assert(!check_frame(&scheme, &cursor, rows[i].frame, rows[i].len));
    scheme.bytes = true;
    ck_assert_msg(check_frame(&scheme, &cursor, rows[i].frame, rows[i].len) ==
                      rows[i].good,
                  "row %zu", i);
  }
}
END_TEST

/* The id is that of the position that storage says it is of, and no other. */
START_TEST(frames_of_another_position) {
  static const struct {
    weir_cursor cursor;
    int format;
    const char *frame;
    bool good;
  } rows[] = {
      {{1, 7}, WEIR_CURSOR_EPOCH, "id: b-7\ndata: a\n\n", true},
      {{1, 8}, WEIR_CURSOR_EPOCH, "id: b-7\ndata: a\n\n", false},
      {{2, 7}, WEIR_CURSOR_EPOCH, "id: b-7\ndata: a\n\n", false},
      {{1, 70}, WEIR_CURSOR_EPOCH, "id: b-7\ndata: a\n\n", false},
      {{1, 7}, WEIR_CURSOR_EPOCH, "id: b-70\ndata: a\n\n", false},
      {{1, 7}, WEIR_CURSOR_EPOCH, "id: 7\ndata: a\n\n", false},
      {{1, 7}, WEIR_CURSOR_DECIMAL, "id: 7\ndata: a\n\n", true},
      {{1, 7}, WEIR_CURSOR_DECIMAL, "id: b-7\ndata: a\n\n", false},
      {{1, 7}, WEIR_CURSOR_EPOCH, "data: a\n\n", false},
      {{1, 7}, WEIR_CURSOR_EPOCH, "id: b-7\n\n", false},
      {{1, 7}, WEIR_CURSOR_EPOCH, "id: b-7\n\n\n", false},
      {{1, 7}, WEIR_CURSOR_EPOCH, "id: b-7\nevent: t\n\n", false},
      {{1, 7}, WEIR_CURSOR_EPOCH, "", false},
      {{1, 7}, WEIR_CURSOR_EPOCH, "\n\n", false},
      /* A position that has no text has no frame either. */
      {{0, 7}, WEIR_CURSOR_EPOCH, "id: \ndata: a\n\n", false},
      {{0, 7}, WEIR_CURSOR_EPOCH, "id: a-7\ndata: a\n\n", false},
      {{1, UINT64_MAX}, WEIR_CURSOR_EPOCH, "id: \ndata: a\n\n", false},
      {{1, UINT64_MAX}, WEIR_CURSOR_DECIMAL, "id: \ndata: a\n\n", false},
  };
  struct weir__scheme scheme = make_scheme();
  size_t i;

  for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    scheme.format = rows[i].format;
    ck_assert_msg(check_frame(&scheme, &rows[i].cursor, rows[i].frame,
                              strlen(rows[i].frame)) == rows[i].good,
                  "row %zu", i);
  }
}
END_TEST

/* A number below bound. */
static size_t draw(uint64_t *chance, size_t bound) {
  *chance = *chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (size_t)(*chance >> 33) % bound;
}

/* Whatever is checked on its way in is taken on its way back. */
START_TEST(what_is_let_in_comes_back) {
  static const char signs[] = "\n\r\n :aedm\"\\{}[]1,\0\xc3\xa4";
  uint64_t chance = (uint64_t)_i + 1;
  struct kit_bytes frame = {NULL, 0, 0};
  size_t taken = 0;
  int round;

  for (round = 0; round < 20000; ++round) {
    struct weir__scheme scheme = make_scheme();
    struct weir__content content = make_content("", "");
    char type[10];
    char data[40];
    weir_cursor cursor;
    size_t i;

    for (i = 0; i < sizeof type; ++i) {
      type[i] = signs[draw(&chance, sizeof signs - 1)];
    }
    for (i = 0; i < sizeof data; ++i) {
      data[i] = signs[draw(&chance, sizeof signs - 1)];
    }
    content.type = type;
    content.type_len = draw(&chance, 4);
    content.data = data;
    content.data_len = draw(&chance, sizeof data);
    content.json = draw(&chance, 4) == 0;
    scheme.bytes = draw(&chance, 2) == 0;
    scheme.envelope = draw(&chance, 2) == 0;
    scheme.format = (int)draw(&chance, 2);
    cursor.epoch = 1 + draw(&chance, 1000);
    cursor.seq = 1 + draw(&chance, 1000);
    if (weir__check_content(&scheme, &content) == WEIR_OK) {
      taken += 1;
      put(&scheme, &content, &cursor, &frame);
      if (!check_frame(&scheme, &cursor, frame.data, frame.len)) {
        ck_abort_msg("seed %d, round %d: %s", _i, round, frame.data);
      }
    }
  }
  ck_assert_uint_gt(taken, 1000);
  kit_bytes_free(&frame);
}
END_TEST

/* --- Requirements --------------------------------------------------------- */

/* Every frame with JSON of weir's own names the stream and its generation. */
START_TEST(r12_own_frames_name_their_stream) {
  int i;

  for (i = 0; i < COUNT(owns); ++i) {
    const char *data = strchr(owns[i].want, '{');

    ck_assert_ptr_nonnull(data);
    ck_assert(strncmp(data, TEXT("{\"stream\":\"")) == 0);
    ck_assert_ptr_nonnull(strstr(data, "\"generation\":"));
  }
}
END_TEST

/* Indexes count from 0 without a hole, since the numbers do; a signal takes
 * none of them. */
START_TEST(r14_index_is_one_less_than_the_number) {
  struct weir__scheme scheme = make_scheme();
  struct weir__content content = make_content("chunk", "x");
  struct kit_bytes frame = {NULL, 0, 0};
  weir_cursor cursor = {1, 1};
  char want[64];

  scheme.envelope = true;
  for (; cursor.seq < 100; ++cursor.seq) {
    put(&scheme, &content, &cursor, &frame);
    (void)snprintf(want, sizeof want, "\"index\":%d,", (int)cursor.seq - 1);
    ck_assert_ptr_nonnull(strstr(frame.data, want));
  }
  put(&scheme, &content, NULL, &frame);
  ck_assert_ptr_null(strstr(frame.data, "index"));
  kit_bytes_free(&frame);
}
END_TEST

/* Frames that concern one connection have no id; `ready` and `gap` have that
 * of the position, never one ahead of it. */
START_TEST(r02_only_ready_and_gap_have_the_position) {
  int i;

  for (i = 0; i < COUNT(owns); ++i) {
    const bool named = owns[i].put == ready || owns[i].put == ready_again ||
                       owns[i].put == gap || owns[i].put == gap_foreign ||
                       owns[i].put == gap_malformed ||
                       owns[i].put == gap_hostile ||
                       owns[i].put == gap_of_nothing;

    ck_assert_int_eq(strncmp(owns[i].want, "id: ", 4) == 0, named);
    ck_assert_ptr_null(strstr(owns[i].want, "\nid"));
    if (named) {
      ck_assert_int_eq(*(strchr(owns[i].want, '\n') - 1), '5');
    }
  }
}
END_TEST

/* Types that fire an EventSource's own handlers are refused. */
START_TEST(r17_open_and_error_are_refused) {
  struct weir__scheme scheme = make_scheme();
  struct weir__content content = make_content("error", "{\"reason\":\"x\"}");

  ck_assert_int_eq(weir__check_content(&scheme, &content), WEIR_ERESERVED);
  content = make_content("open", "");
  ck_assert_int_eq(weir__check_content(&scheme, &content), WEIR_ERESERVED);
}
END_TEST

/* A gap is an event that a plain EventSource sees, and has the new safe id. */
START_TEST(f02_gap_is_an_event_with_the_safe_id) {
  struct weir__scheme scheme = make_scheme();
  struct kit_client client;
  struct weir__out out;
  char dst[512];

  weir__out_init(&out, dst, sizeof dst);
  gap(&out, &scheme);
  kit_client_init(&client, "b-2");
  kit_client_feed(&client, dst, out.len);
  ck_assert_uint_eq(client.count, 1);
  ck_assert_str_eq(client.events[0].type, "weir.gap");
  ck_assert_str_eq(client.last_id, "b-5");
  kit_client_free(&client);
}
END_TEST

int main(void) {
  TCase *own = tcase_create("own");
  TCase *content = tcase_create("content");
  TCase *storage = tcase_create("storage");
  TCase *requirements = tcase_create("requirements");
  TCase *cases[4];

  tcase_add_loop_test(own, own_frames_golden, 0, COUNT(owns));
  tcase_add_loop_test(own, own_frames_are_read_by_a_client, 0, COUNT(owns));
  tcase_add_loop_test(content, content_golden, 0, COUNT(contents));
  tcase_add_test(content, reserved_types);
  tcase_add_test(content, content_is_checked);
  tcase_add_loop_test(storage, frames_come_back_as_they_were, 0,
                      COUNT(contents));
  tcase_add_test(storage, frames_of_bytes);
  tcase_add_test(storage, frames_of_another_position);
  tcase_add_loop_test(storage, what_is_let_in_comes_back, 0, 2);
  tcase_add_test(requirements, r02_only_ready_and_gap_have_the_position);
  tcase_add_test(requirements, r12_own_frames_name_their_stream);
  tcase_add_test(requirements, r14_index_is_one_less_than_the_number);
  tcase_add_test(requirements, r17_open_and_error_are_refused);
  tcase_add_test(requirements, f02_gap_is_an_event_with_the_safe_id);
  cases[0] = own;
  cases[1] = content;
  cases[2] = storage;
  cases[3] = requirements;
  return kit_main("control", cases, 4);
}
