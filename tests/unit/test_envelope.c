/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The JSON that weir writes, to the byte: its own frames, the envelope around
 * the application's, prefixes and members. */

#include "../kit.h"

#include <stdio.h>
#include <string.h>

static struct kit kit;

static void setup(void) {
  kit_init(&kit);
  kit_hub(&kit);
}

static void teardown(void) {
  kit_end(&kit);
}

static int publish(weir_stream *stream, const weir_event *event) {
  return weir_stream_publish(stream, event, 1, NULL);
}

/* The bytes that a client gets who comes with this cursor. */
static void expect_bytes(const char *cursor, int end, const char *text) {
  weir_subscriber *subscriber = kit_attach(&kit, "a", cursor, NULL);

  kit_expect(subscriber, end, text);
  weir_subscriber_release(subscriber);
}

/* What every object of stream "a" begins with. */
#define IDENTITY "{\"stream\":\"a\",\"generation\":\"~\""
#define READY(seq, verdict)         \
  "id: ~-" seq                      \
  "\nevent: weir.ready\nretry: ~\n" \
  "data: " IDENTITY ",\"verdict\":\"" verdict "\"}\n\n"

/* --- Weir's own frames ---------------------------------------------------- */

START_TEST(ready_is_the_first_frame) {
  weir_stream *stream = kit_open(&kit, "a");

  expect_bytes(NULL, WEIR_EAGAIN, READY("0", "fresh"));
  expect_bytes(kit_cursor(stream, 0), WEIR_EAGAIN, READY("0", "resumed"));
  weir_stream_release(stream);
}
END_TEST

/* F02: what a page sees of a loss, with the position that is safe now. */
START_TEST(f02_gap_comes_before_ready_with_the_same_id) {
  static const struct {
    const char *cursor; /* NULL: of event 1 */
    const char *verdict;
    const char *requested; /* NULL: the cursor's text */
  } rows[] = {
      {NULL, "evicted", "\"~-1\""},    {"b-1", "foreign", "\"b-1\""},
      {"zzz", "malformed", "\"zzz\""}, {"-1", "malformed", "\"-1\""},
      {"a b", "malformed", "null"},    {"\xd9\xa6", "malformed", "null"},
      {"\"", "malformed", "null"},
  };
  weir_stream *stream = kit_open(&kit, "a");
  const char *cursor;
  char want[1024];
  char own[WEIR_CURSOR_MAX];
  int i;

  for (i = 0; i < 6; ++i) {
    kit_publish(stream, "x", "y");
  }
  ck_assert_int_eq(weir_stream_trim(stream, 5), WEIR_OK);
  strcpy(own, kit_cursor(stream, 1));
  cursor = rows[_i].cursor != NULL ? rows[_i].cursor : own;
  snprintf(want, sizeof want,
           "id: ~-5\nevent: weir.gap\nretry: ~\ndata: " IDENTITY
           ",\"verdict\":\"%s\",\"requested\":%s,\"first\":6,\"last\":6}\n\n"
           "id: ~-5\nevent: weir.ready\ndata: " IDENTITY
           ",\"verdict\":\"%s\"}\n\n"
           "id: ~-6\nevent: x\ndata: y\n\n",
           rows[_i].verdict, rows[_i].requested, rows[_i].verdict);
  expect_bytes(cursor, WEIR_EAGAIN, want);
  weir_stream_release(stream);
}
END_TEST

START_TEST(the_two_ends_are_events) {
  weir_stream *stream = kit_open(&kit, "a");

  if (_i == 0) {
    ck_assert_int_eq(weir_stream_end(stream, "stop", 4, 0, NULL), WEIR_OK);
    expect_bytes(
        NULL, WEIR_EDONE,
        READY("0", "fresh") "id: ~-1\nevent: weir.done\ndata: " IDENTITY
                            ",\"reason\":\"stop\"}\n\n");
  } else {
    ck_assert_int_eq(weir_stream_fail(stream, "oops", 4, "sorry", 5, 0, NULL),
                     WEIR_OK);
    expect_bytes(
        NULL, WEIR_EDONE,
        READY("0", "fresh") "id: ~-1\nevent: weir.failed\ndata: " IDENTITY
                            ",\"code\":\"oops\",\"message\":\"sorry\"}\n\n");
  }
  weir_stream_release(stream);
}
END_TEST

START_TEST(closing_has_a_reason_a_retry_and_no_id) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);

  ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
  kit_expect(
      subscriber, WEIR_EDONE,
      READY("0", "fresh") "event: weir.closing\nretry: ~\ndata: " IDENTITY
                          ",\"reason\":\"expired\"}\n\n");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(r15_a_heartbeat_is_a_comment_or_a_ping) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber;

  options.flags = _i != 0 ? WEIR_ATTACH_PING : 0;
  subscriber = kit_attach_with(&kit, &options);
  kit_expect(subscriber, WEIR_EAGAIN, READY("0", "fresh"));
  kit_pass(&kit, 12000);
  kit_expect(subscriber, WEIR_EAGAIN,
             _i != 0 ? "event: weir.ping\ndata: " IDENTITY "}\n\n" : ":\n");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(texts_stand_in_json_whatever_they_are) {
  weir_open_options options = kit_open_options("q\"\\ \xc3\xa9", NULL);
  weir_stream *stream = kit_open_with(&kit, &options);
  weir_subscriber *subscriber;

  ck_assert_int_eq(
      weir_stream_fail(stream, "a\"b", 3, "c\\\r\nd: e\x01", 9, 0, NULL),
      WEIR_OK);
  subscriber = kit_attach(&kit, "q\"\\ \xc3\xa9", NULL, NULL);
  kit_expect(subscriber, WEIR_EDONE,
             "id: ~-0\nevent: weir.ready\nretry: ~\ndata: "
             "{\"stream\":\"q\\\"\\\\ \xc3\xa9\",\"generation\":\"~\","
             "\"verdict\":\"fresh\"}\n\n"
             "id: ~-1\nevent: weir.failed\ndata: "
             "{\"stream\":\"q\\\"\\\\ \xc3\xa9\",\"generation\":\"~\","
             "\"code\":\"a\\\"b\",\"message\":\"c\\\\\\r\\nd: e\\u0001\"}\n\n");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(a_hub_can_have_a_prefix_of_its_own_or_none) {
  weir_stream *stream;

  weir_hub_free(kit.hub);
  kit.options.prefix = "my-";
  kit.options.prefix_len = _i != 0 ? 3 : 0;
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  expect_bytes(NULL, WEIR_EDONE,
               _i != 0 ? "id: ~-0\nevent: my-ready\nretry: ~\ndata: " IDENTITY
                         ",\"verdict\":\"fresh\"}\n\n"
                         "id: ~-1\nevent: my-done\ndata: " IDENTITY
                         ",\"reason\":\"ok\"}\n\n"
                       : "id: ~-0\nevent: ready\nretry: ~\ndata: " IDENTITY
                         ",\"verdict\":\"fresh\"}\n\n"
                         "id: ~-1\nevent: done\ndata: " IDENTITY
                         ",\"reason\":\"ok\"}\n\n");
  weir_stream_release(stream);
}
END_TEST

START_TEST(a_stream_can_overrule_the_prefix) {
  weir_open_options options = kit_open_options("a", NULL);
  weir_stream *stream;

  options.prefix = "my-";
  options.prefix_len = _i != 0 ? 3 : 0;
  stream = kit_open_with(&kit, &options);
  expect_bytes(NULL, WEIR_EAGAIN,
               _i != 0 ? "id: ~-0\nevent: my-ready\nretry: ~\ndata: " IDENTITY
                         ",\"verdict\":\"fresh\"}\n\n"
                       : "id: ~-0\nevent: ready\nretry: ~\ndata: " IDENTITY
                         ",\"verdict\":\"fresh\"}\n\n");
  weir_stream_release(stream);
}
END_TEST

/* --- Envelopes and members ------------------------------------------------ */

static weir_stream *open_envelope(const char *members) {
  weir_open_options options = kit_open_options("a", NULL);

  options.flags = WEIR_OPEN_ENVELOPE;
  options.members = members;
  options.members_len = strlen(members);
  return kit_open_with(&kit, &options);
}

START_TEST(r12_in_an_envelope_every_frame_names_its_stream) {
  weir_stream *stream = open_envelope("");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);
  weir_event event = kit_make_event("x", "{\"n\":\n[1,\r\n2]}");

  kit_publish(stream, "x", "a \"b\"\n\x01");
  event.flags = WEIR_EVENT_JSON;
  ck_assert_int_eq(publish(stream, &event), WEIR_OK);
  kit_signal(stream, "typing", "on");
  kit_publish(stream, "", "");
  kit_expect(
      subscriber, WEIR_EAGAIN,
      READY("0",
            "fresh") "id: ~-1\nevent: x\ndata: " IDENTITY
                     ",\"index\":0,\"data\":\"a \\\"b\\\"\\n\\u0001\"}\n\n"
                     "id: ~-2\nevent: x\ndata: " IDENTITY
                     ",\"index\":1,\"data\":{\"n\":\ndata: [1,\ndata: 2]}}\n\n"
                     "event: typing\ndata: " IDENTITY
                     ",\"data\":\"on\"}\n\n"
                     "id: ~-3\ndata: " IDENTITY
                     ",\"index\":2,\"data\":\"\"}\n\n");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(r14_indexes_are_consecutive_also_in_a_replay) {
  weir_stream *stream = open_envelope("");

  kit_publish(stream, "x", "p");
  kit_publish(stream, "x", "q");
  kit_publish(stream, "x", "r");
  expect_bytes(kit_cursor(stream, 1), WEIR_EAGAIN,
               READY("1", "resumed") "id: ~-2\nevent: x\ndata: " IDENTITY
                                     ",\"index\":1,\"data\":\"q\"}\n\n"
                                     "id: ~-3\nevent: x\ndata: " IDENTITY
                                     ",\"index\":2,\"data\":\"r\"}\n\n");
  weir_stream_release(stream);
}
END_TEST

START_TEST(members_are_added_to_every_json_of_weirs) {
  weir_stream *stream = open_envelope("\"app\":\"x\",\"n\":[1]");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);

  kit_publish(stream, "x", "y");
  ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
  ck_assert_int_eq(weir_stream_fail(stream, "c", 1, "m", 1, 0, NULL), WEIR_OK);
  kit_expect(subscriber, WEIR_EDONE,
             "id: ~-0\nevent: weir.ready\nretry: ~\ndata: " IDENTITY
             ",\"verdict\":\"fresh\",\"app\":\"x\",\"n\":[1]}\n\n"
             "event: weir.closing\nretry: ~\ndata: " IDENTITY
             ",\"reason\":\"expired\",\"app\":\"x\",\"n\":[1]}\n\n");
  weir_subscriber_release(subscriber);
  expect_bytes("b-7", WEIR_EDONE,
               "id: ~-0\nevent: weir.gap\nretry: ~\ndata: " IDENTITY
               ",\"verdict\":\"foreign\",\"requested\":\"b-7\",\"first\":1,"
               "\"last\":2,\"app\":\"x\",\"n\":[1]}\n\n"
               "id: ~-0\nevent: weir.ready\ndata: " IDENTITY
               ",\"verdict\":\"foreign\",\"app\":\"x\",\"n\":[1]}\n\n"
               "id: ~-1\nevent: x\ndata: " IDENTITY
               ",\"index\":0,\"data\":\"y\",\"app\":\"x\",\"n\":[1]}\n\n"
               "id: ~-2\nevent: weir.failed\ndata: " IDENTITY
               ",\"code\":\"c\",\"message\":\"m\",\"app\":\"x\","
               "\"n\":[1]}\n\n");
  weir_stream_release(stream);
}
END_TEST

START_TEST(members_are_checked) {
  static const struct {
    const char *members;
    int error;
  } rows[] = {
      {"", WEIR_OK},
      {"\"a\":1", WEIR_OK},
      {"\"a\":{\"b\":[null,true]},\"c\":\"d\"", WEIR_OK},
      {" \"a\" : 1 ", WEIR_OK},
      {"a", WEIR_EJSON},
      {"\"a\"", WEIR_EJSON},
      {"\"a\":1,", WEIR_EJSON},
      {",\"a\":1", WEIR_EJSON},
      {"\"a\":1}", WEIR_EJSON},
      {"\"a\":1},{\"b\":2", WEIR_EJSON},
      {"{\"a\":1}", WEIR_EJSON},
      {"\"a\":1\n", WEIR_EJSON},
      {"\"a\":\"\xff\"", WEIR_EUTF8},
  };
  weir_open_options options = kit_open_options("a", NULL);
  weir_stream *stream = NULL;

  options.members = rows[_i].members;
  options.members_len = strlen(rows[_i].members);
  ck_assert_int_eq(weir_hub_open(kit.hub, &options, &stream), rows[_i].error);
  ck_assert((stream != NULL) == (rows[_i].error == WEIR_OK));
  weir_stream_release(stream);
}
END_TEST

/* Prefixes of 63, 64 and 65 bytes, members of 1023, 1024 and 1025. */
START_TEST(texts_of_an_open_have_limits) {
  weir_open_options options;
  weir_stream *stream;
  char prefix[65];
  char members[1025];
  size_t n;

  memset(prefix, 'p', sizeof prefix);
  for (n = 63; n <= 65; ++n) {
    options = kit_open_options("a", NULL);
    options.prefix = prefix;
    options.prefix_len = n;
    stream = NULL;
    ck_assert_int_eq(weir_hub_open(kit.hub, &options, &stream),
                     n <= 64 ? WEIR_OK : WEIR_EINVAL);
    weir_stream_release(stream);
  }
  for (n = 1023; n <= 1025; ++n) {
    memset(members, 'm', sizeof members);
    memcpy(members, "\"a\":\"", 5);
    members[n - 1] = '"';
    options = kit_open_options("a", NULL);
    options.members = members;
    options.members_len = n;
    stream = NULL;
    ck_assert_int_eq(weir_hub_open(kit.hub, &options, &stream),
                     n <= 1024 ? WEIR_OK : WEIR_EINVAL);
    weir_stream_release(stream);
  }
}
END_TEST

START_TEST(a_prefix_that_would_split_a_frame_is_refused) {
  static const struct {
    const char *prefix;
    size_t len;
    int error;
  } rows[] = {{"a\nb", 3, WEIR_EINVAL},
              {"a\rb", 3, WEIR_EINVAL},
              {"a\0b", 3, WEIR_EINVAL},
              {"\xff", 1, WEIR_EUTF8}};
  weir_open_options options = kit_open_options("a", NULL);
  weir_stream *stream = NULL;
  weir_hub *hub = NULL;

  options.prefix = rows[_i].prefix;
  options.prefix_len = rows[_i].len;
  ck_assert_int_eq(weir_hub_open(kit.hub, &options, &stream), rows[_i].error);
  ck_assert_ptr_null(stream);
  kit.options.prefix = rows[_i].prefix;
  kit.options.prefix_len = rows[_i].len;
  ck_assert_int_eq(weir_hub_new(&kit.options, &hub), WEIR_EINVAL);
  ck_assert_ptr_null(hub);
}
END_TEST

START_TEST(json_is_checked_and_sent_as_it_is) {
  static const struct {
    const char *data;
    int error;
  } rows[] = {
      {"{}", WEIR_OK},     {"1", WEIR_OK},           {" [1, 2] ", WEIR_OK},
      {"\"x\"", WEIR_OK},  {"null", WEIR_OK},        {"", WEIR_EJSON},
      {"{", WEIR_EJSON},   {"{}}", WEIR_EJSON},      {"01", WEIR_EJSON},
      {"'x'", WEIR_EJSON}, {"{\"a\":}", WEIR_EJSON}, {"\"\xff\"", WEIR_EUTF8},
  };
  weir_stream *stream = kit_open(&kit, "a");
  weir_event event = kit_make_event("x", rows[_i].data);
  char want[256];

  event.flags = WEIR_EVENT_JSON;
  ck_assert_int_eq(publish(stream, &event), rows[_i].error);
  ck_assert_int_eq(weir_stream_signal(stream, &event, NULL), rows[_i].error);
  if (rows[_i].error == WEIR_OK) {
    snprintf(want, sizeof want, "%sid: ~-1\nevent: x\ndata: %s\n\n",
             READY("0", "fresh"), rows[_i].data);
    expect_bytes(NULL, WEIR_EAGAIN, want);
  }
  weir_stream_release(stream);
}
END_TEST

static TCase *own(void) {
  TCase *tcase = tcase_create("own");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, ready_is_the_first_frame);
  tcase_add_loop_test(tcase, f02_gap_comes_before_ready_with_the_same_id, 0, 7);
  tcase_add_loop_test(tcase, the_two_ends_are_events, 0, 2);
  tcase_add_test(tcase, closing_has_a_reason_a_retry_and_no_id);
  tcase_add_loop_test(tcase, r15_a_heartbeat_is_a_comment_or_a_ping, 0, 2);
  tcase_add_test(tcase, texts_stand_in_json_whatever_they_are);
  tcase_add_loop_test(tcase, a_hub_can_have_a_prefix_of_its_own_or_none, 0, 2);
  tcase_add_loop_test(tcase, a_stream_can_overrule_the_prefix, 0, 2);
  return tcase;
}

static TCase *envelopes(void) {
  TCase *tcase = tcase_create("envelopes");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, r12_in_an_envelope_every_frame_names_its_stream);
  tcase_add_test(tcase, r14_indexes_are_consecutive_also_in_a_replay);
  tcase_add_test(tcase, members_are_added_to_every_json_of_weirs);
  tcase_add_loop_test(tcase, members_are_checked, 0, 13);
  tcase_add_test(tcase, texts_of_an_open_have_limits);
  tcase_add_loop_test(tcase, a_prefix_that_would_split_a_frame_is_refused, 0,
                      4);
  tcase_add_loop_test(tcase, json_is_checked_and_sent_as_it_is, 0, 12);
  return tcase;
}

KIT_MAIN("envelope", own(), envelopes())
