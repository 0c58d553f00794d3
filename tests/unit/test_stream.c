/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* A stream handle without a log: what goes in, in which bytes it comes out, and
 * how a generation ends. */

#include "../kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generation.h"

static struct kit kit;

static void setup(void) {
  kit_init(&kit);
  kit_hub(&kit);
}

static void teardown(void) {
  kit_end(&kit);
}

static weir_stream_info info_of(const weir_stream *stream) {
  weir_stream_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_stream_get_info(stream, &info), WEIR_OK);
  return info;
}

/* What a client that comes now is sent, from the first event on. */
static void expect_all(const char *key, int end, const char *text) {
  weir_subscriber *subscriber = kit_attach(&kit, key, NULL, NULL);

  kit_expect_frames(subscriber, end, text);
  weir_subscriber_release(subscriber);
}

static int publish(weir_stream *stream, const weir_event *event) {
  return weir_stream_publish(stream, event, 1, NULL);
}

/* --- Publishing ----------------------------------------------------------- */

START_TEST(r01_events_carry_the_number_of_the_log) {
  weir_stream *a = kit_open(&kit, "a");
  weir_stream *b = kit_open(&kit, "b");

  ck_assert_uint_eq(kit_publish(a, "x", "1"), 1);
  ck_assert_uint_eq(kit_publish(b, "x", "1"), 1);
  ck_assert_uint_eq(kit_publish(a, "x", "2"), 2);
  expect_all("a", WEIR_EAGAIN, "ready@0 fresh; x@1 1; x@2 2");
  expect_all("b", WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  weir_stream_release(a);
  weir_stream_release(b);
}
END_TEST

START_TEST(r11_every_event_has_an_id_and_no_signal_has) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);

  kit_signal(stream, "typing", "");
  kit_publish(stream, "", "one");
  kit_publish(stream, "message", "two");
  kit_signal(stream, "", "three");
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  kit_expect_frames(subscriber, WEIR_EDONE,
                    "ready@0 fresh; typing; message@1 one; message@2 two; "
                    "message three; done@3 ok");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(r22_a_batch_gets_consecutive_numbers) {
  weir_stream *stream = kit_open(&kit, "a");
  const weir_event events[] = {kit_make_event("x", "1"),
                               kit_make_event("y", "2"),
                               kit_make_event("", "3")};
  uint64_t last = 0;

  kit_publish(stream, "x", "0");
  ck_assert_int_eq(weir_stream_publish(stream, events, 3, &last), WEIR_OK);
  ck_assert_uint_eq(last, 4);
  ck_assert_int_eq(weir_stream_publish(stream, events, 1, NULL), WEIR_OK);
  expect_all("a", WEIR_EAGAIN,
             "ready@0 fresh; x@1 0; x@2 1; y@3 2; message@4 3; x@5 1");
  ck_assert_uint_eq(info_of(stream).events, 5);
  weir_stream_release(stream);
}
END_TEST

/* A batch of five, of which one is bad, at every place. */
START_TEST(a_batch_is_all_or_nothing) {
  static const struct {
    const char *type;
    const char *data;
    uint32_t flags;
    int error;
  } rows[] = {
      {"a\nb", "", 0, WEIR_EINVAL},
      {"a\rb", "", 0, WEIR_EINVAL},
      {"x", "", 0x80, WEIR_EINVAL},
      {"open", "", 0, WEIR_ERESERVED},
      {"weir.gap", "", 0, WEIR_ERESERVED},
      {"\xff", "", 0, WEIR_EUTF8},
      {"x", "\xc3", 0, WEIR_EUTF8},
      {"x", "{", WEIR_EVENT_JSON, WEIR_EJSON},
      {"x", "", WEIR_EVENT_JSON, WEIR_EJSON},
      {"x", "123456789", 0, WEIR_ETOOBIG},
      {"x", "1\n2\n3\n4", 0, WEIR_ETOOBIG},
  };
  weir_event events[5];
  weir_stream *stream;
  uint64_t last = 77;
  int bad;
  int i;

  weir_hub_free(kit.hub);
  kit.options.max_event_bytes = 8;
  kit.options.max_event_lines = 3;
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  kit_publish(stream, "x", "first");
  for (bad = 0; bad < 5; ++bad) {
    for (i = 0; i < 5; ++i) {
      events[i] = kit_make_event("x", "y");
      events[i].tag = 1;
    }
    events[bad] = kit_make_event(rows[_i].type, rows[_i].data);
    events[bad].flags = rows[_i].flags;
    ck_assert_int_eq(weir_stream_publish(stream, events, 5, &last),
                     rows[_i].error);
    ck_assert_uint_eq(last, 77);
  }
  kit_expect_notices(&kit, "");
  ck_assert_uint_eq(info_of(stream).events, 1);
  ck_assert_uint_eq(kit_publish(stream, "x", "second"), 2);
  expect_all("a", WEIR_EAGAIN, "ready@0 fresh; x@1 first; x@2 second");
  weir_stream_release(stream);
}
END_TEST

START_TEST(a_call_without_events_is_refused) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_event event = kit_make_event("x", "y");
  uint64_t last = 77;

  ck_assert_int_eq(weir_stream_publish(stream, &event, 0, &last), WEIR_EINVAL);
  ck_assert_int_eq(weir_stream_publish(stream, NULL, 1, &last), WEIR_EINVAL);
  ck_assert_int_eq(weir_stream_publish(stream, &event, SIZE_MAX, &last),
                   WEIR_EINVAL);
  event.size = 0;
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, &last), WEIR_EINVAL);
  event.size = sizeof event.size;
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, &last), WEIR_EINVAL);
  ck_assert_uint_eq(last, 77);
  ck_assert_uint_eq(info_of(stream).last, 0);
  weir_stream_release(stream);
}
END_TEST

/* One row a limit: what is let through at limit-1 and limit, and what is not
 * at limit+1. */
START_TEST(limits_of_an_event_are_exact) {
  static const char data[] = "0123456789abcdef";
  static const char lines[] = "1\n2\r3\r\n4";
  weir_stream *stream;
  weir_event event;
  size_t n;

  weir_hub_free(kit.hub);
  kit.options.max_event_bytes = 10;
  kit.options.max_event_lines = 3;
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  for (n = 9; n <= 11; ++n) {
    event = kit_make_event("x", data);
    event.data_len = n;
    ck_assert_int_eq(publish(stream, &event), n <= 10 ? WEIR_OK : WEIR_ETOOBIG);
    ck_assert_int_eq(weir_stream_signal(stream, &event, NULL),
                     n <= 10 ? WEIR_OK : WEIR_ETOOBIG);
  }
  /* 2, 3 and 4 lines. */
  for (n = 3; n <= 8; ++n) {
    event = kit_make_event("x", lines);
    event.data_len = n;
    ck_assert_int_eq(publish(stream, &event), n <= 5 ? WEIR_OK : WEIR_ETOOBIG);
    ck_assert_int_eq(weir_stream_signal(stream, &event, NULL),
                     n <= 5 ? WEIR_OK : WEIR_ETOOBIG);
  }
  weir_stream_release(stream);
}
END_TEST

/* JSON keeps its line breaks in an envelope, and they count there too. */
START_TEST(lines_of_an_envelope_have_the_same_limit) {
  static const char *const rows[] = {"[1]", "[1,\n2]", "[1\r,\r\n2]",
                                     "[\n1\r,\r\n2]"};
  weir_open_options options = kit_open_options("a", NULL);
  weir_stream *stream;
  weir_event event;
  size_t n;

  weir_hub_free(kit.hub);
  kit.options.max_event_lines = 3;
  kit_hub(&kit);
  options.flags = WEIR_OPEN_ENVELOPE;
  stream = kit_open_with(&kit, &options);
  for (n = 0; n < 4; ++n) {
    event = kit_make_event("x", rows[n]);
    event.flags = WEIR_EVENT_JSON;
    ck_assert_int_eq(publish(stream, &event), n < 3 ? WEIR_OK : WEIR_ETOOBIG);
    ck_assert_int_eq(weir_stream_signal(stream, &event, NULL),
                     n < 3 ? WEIR_OK : WEIR_ETOOBIG);
  }
  weir_stream_release(stream);
}
END_TEST

START_TEST(without_limits_an_event_may_be_long) {
  const size_t len = 3 * 1024 * 1024;
  char *data = malloc(len);
  weir_stream *stream;
  weir_event event;

  ck_assert_ptr_nonnull(data);
  memset(data, 'x', len);
  stream = kit_open(&kit, "a");
  event = kit_make_event("x", "");
  event.data = data;
  event.data_len = len;
  ck_assert_int_eq(publish(stream, &event), WEIR_ETOOBIG);
  weir_stream_release(stream);
  weir_hub_free(kit.hub);
  kit.options.max_event_bytes = 0;
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  ck_assert_int_eq(publish(stream, &event), WEIR_OK);
  ck_assert_uint_gt(info_of(stream).resident, len);
  weir_stream_release(stream);
  free(data);
}
END_TEST

START_TEST(f09_no_byte_of_an_event_passes_for_a_field) {
  static const char evil[] = "1\ndata: evil\n\nid: 2\rretry: 1\r\nevent: x";
  weir_stream *stream = kit_open(&kit, "a");
  struct kit_client client;
  weir_subscriber *subscriber;

  kit_publish(stream, "x", evil);
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  kit_client_init(&client, "");
  ck_assert_int_eq(kit_client_read(&client, subscriber), WEIR_EAGAIN);
  ck_assert_uint_eq(client.count, 2);
  ck_assert_str_eq(client.events[1].type, "x");
  ck_assert_str_eq(client.events[1].data,
                   "1\ndata: evil\n\nid: 2\nretry: 1\nevent: x");
  ck_assert_str_eq(client.last_id, kit_cursor(stream, 1));
  ck_assert_uint_ge(client.retry, 1000);
  kit_client_free(&client);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(r17_a_line_break_or_nul_in_a_type_is_refused) {
  static const char types[][4] = {"a\nb", "a\rb", "a\0b", "\n", "\r"};
  weir_stream *stream = kit_open(&kit, "a");
  weir_event event = kit_make_event("", "");

  event.type = types[_i];
  event.type_len = _i < 3 ? 3 : 1;
  ck_assert_int_eq(publish(stream, &event), WEIR_EINVAL);
  ck_assert_int_eq(weir_stream_signal(stream, &event, NULL), WEIR_EINVAL);
  weir_stream_release(stream);
}
END_TEST

START_TEST(text_is_checked_unless_the_hub_says_otherwise) {
  static const char *const bad[] = {"\xff", "\xc0\x80", "\xed\xa0\x80",
                                    "\xf4\x90\x80\x80", "a\xe2\x82"};
  weir_event event;
  weir_stream *stream;
  weir_stream *envelope;
  weir_open_options options;
  size_t i;

  weir_hub_free(kit.hub);
  kit.options.flags = _i != 0 ? WEIR_HUB_BYTES : 0;
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  options = kit_open_options("b", NULL);
  options.flags = WEIR_OPEN_ENVELOPE;
  envelope = kit_open_with(&kit, &options);
  for (i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
    event = kit_make_event("x", bad[i]);
    ck_assert_int_eq(publish(stream, &event), _i != 0 ? WEIR_OK : WEIR_EUTF8);
    /* What stands inside JSON is text in any case. */
    ck_assert_int_eq(publish(envelope, &event), WEIR_EUTF8);
    event = kit_make_event(bad[i], "");
    ck_assert_int_eq(publish(stream, &event), WEIR_EUTF8);
  }
  event = kit_make_event("x", "");
  event.data = "a\0b";
  event.data_len = 3;
  ck_assert_int_eq(publish(stream, &event), _i != 0 ? WEIR_OK : WEIR_EUTF8);
  weir_stream_release(stream);
  weir_stream_release(envelope);
}
END_TEST

START_TEST(reserved_types_are_refused) {
  static const struct {
    const char *prefix; /* NULL: the default */
    const char *type;
    int error;
  } rows[] = {
      {NULL, "open", WEIR_ERESERVED},
      {NULL, "error", WEIR_ERESERVED},
      {NULL, "weir.ready", WEIR_ERESERVED},
      {NULL, "weir.gap", WEIR_ERESERVED},
      {NULL, "weir.done", WEIR_ERESERVED},
      {NULL, "weir.failed", WEIR_ERESERVED},
      {NULL, "weir.closing", WEIR_ERESERVED},
      {NULL, "weir.ping", WEIR_ERESERVED},
      {NULL, "weir.pin", WEIR_OK},
      {NULL, "weir.pings", WEIR_OK},
      {NULL, "weir.", WEIR_OK},
      {NULL, "weir", WEIR_OK},
      {NULL, "ready", WEIR_OK},
      {NULL, "Open", WEIR_OK},
      {NULL, "errors", WEIR_OK},
      {NULL, "message", WEIR_OK},
      {"", "ready", WEIR_ERESERVED},
      {"", "ping", WEIR_ERESERVED},
      {"", "open", WEIR_ERESERVED},
      {"", "weir.ready", WEIR_OK},
      {"x-", "x-done", WEIR_ERESERVED},
      {"x-", "weir.done", WEIR_OK},
      {"x-", "x-open", WEIR_OK},
  };
  weir_open_options options = kit_open_options("a", NULL);
  weir_event event = kit_make_event(rows[_i].type, "");
  weir_stream *stream;

  if (rows[_i].prefix != NULL) {
    options.prefix = rows[_i].prefix;
    options.prefix_len = strlen(rows[_i].prefix);
  }
  stream = kit_open_with(&kit, &options);
  ck_assert_int_eq(publish(stream, &event), rows[_i].error);
  ck_assert_int_eq(weir_stream_signal(stream, &event, NULL), rows[_i].error);
  weir_stream_release(stream);
}
END_TEST

START_TEST(numbers_end_before_they_wrap) {
  const weir_event events[] = {kit_make_event("x", "1"),
                               kit_make_event("x", "2")};
  weir_stream *stream = kit_open(&kit, "a");
  uint64_t last;

  /* Nobody publishes that many: pretend. */
  kit_publish(stream, "x", "0");
  weir__history_trim(&stream->generation->history, 1);
  stream->generation->history.put = (uint64_t)WEIR_SEQ_MAX - 2;
  stream->generation->history.committed = (uint64_t)WEIR_SEQ_MAX - 2;
  stream->generation->history.trimmed = (uint64_t)WEIR_SEQ_MAX - 2;
  ck_assert_int_eq(weir_stream_publish(stream, events, 2, &last),
                   WEIR_EOVERFLOW);
  ck_assert_int_eq(weir_stream_publish(stream, events, 1, &last), WEIR_OK);
  ck_assert_uint_eq(last, (uint64_t)WEIR_SEQ_MAX - 1);
  ck_assert_int_eq(weir_stream_publish(stream, events, 1, &last),
                   WEIR_EOVERFLOW);
  /* The end has the last one. */
  ck_assert_int_eq(weir_stream_end(stream, "", 0, 0, &last), WEIR_OK);
  ck_assert_uint_eq(last, (uint64_t)WEIR_SEQ_MAX);
  weir_stream_release(stream);
  /* Unless somebody has given that to an event. */
  stream = kit_open(&kit, "b");
  kit_publish(stream, "x", "0");
  weir__history_trim(&stream->generation->history, 1);
  stream->generation->history.put = (uint64_t)WEIR_SEQ_MAX;
  stream->generation->history.committed = (uint64_t)WEIR_SEQ_MAX;
  stream->generation->history.trimmed = (uint64_t)WEIR_SEQ_MAX;
  ck_assert_int_eq(weir_stream_publish(stream, events, 1, &last),
                   WEIR_EOVERFLOW);
  ck_assert_int_eq(weir_stream_end(stream, "", 0, 0, &last), WEIR_EOVERFLOW);
  ck_assert_int_eq(weir_stream_cancel(stream, NULL, 0), WEIR_EOVERFLOW);
  weir_stream_release(stream);
}
END_TEST

/* --- Tags ----------------------------------------------------------------- */

START_TEST(tags_are_answered_in_order_each_once) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream = kit_open_with(&kit, &options);
  weir_event events[3];
  size_t i;

  for (i = 0; i < 3; ++i) {
    events[i] = kit_make_event("x", "y");
    events[i].tag = 10 + i;
  }
  events[1].tag = 0;
  ck_assert_int_eq(weir_stream_publish(stream, events, 3, NULL), WEIR_OK);
  kit_publish(stream, "x", "without");
  ck_assert_int_eq(weir_stream_publish(stream, events, 1, NULL), WEIR_OK);
  kit_expect_notices(&kit, "p stored 10=1; p stored 12=3; p stored 10=5");
  ck_assert_int_eq(weir_stream_end(stream, "", 0, 99, NULL), WEIR_OK);
  kit_expect_notices(&kit, "p stored 99=6; p ended 6");
  weir_stream_release(stream);
}
END_TEST

START_TEST(tags_are_answered_to_the_handle_that_published) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *first = kit_open_with(&kit, &options);
  weir_stream *second;
  weir_event event = kit_make_event("x", "y");

  options.user = (void *)(uintptr_t) "q";
  second = kit_open_with(&kit, &options);
  event.tag = 1;
  ck_assert_int_eq(publish(second, &event), WEIR_OK);
  event.tag = 2;
  ck_assert_int_eq(publish(first, &event), WEIR_OK);
  kit_expect_notices(&kit, "q stored 1=1; p stored 2=2");
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

START_TEST(the_notices_of_a_released_handle_are_gone_with_it) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream = kit_open_with(&kit, &options);
  weir_event event = kit_make_event("x", "y");

  event.tag = 1;
  ck_assert_int_eq(publish(stream, &event), WEIR_OK);
  ck_assert_int_eq(publish(stream, &event), WEIR_OK);
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), 0);
  weir_stream_release(stream);
  kit_expect_notices(&kit, "");
}
END_TEST

/* --- Ends ----------------------------------------------------------------- */

enum ending { BY_END, BY_FAIL, BY_CANCEL, ENDINGS };

static int finish(weir_stream *stream, int how) {
  switch (how) {
    case BY_END:
      return weir_stream_end(stream, "stop", 4, 0, NULL);
    case BY_FAIL:
      return weir_stream_fail(stream, "oops", 4, "sorry", 5, 0, NULL);
    default:
      return weir_stream_cancel(stream, NULL, 0);
  }
}

static const char *const last_frames[] = {"done@2 stop", "failed@2 oops sorry",
                                          "done@2 cancelled"};

START_TEST(r40_each_end_has_its_frame_and_nothing_follows) {
  static const char *const notices[] = {"p ended 2", "p ended 2",
                                        "p cancelled; p ended 2"};
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream = kit_open_with(&kit, &options);
  weir_event event = kit_make_event("x", "late");
  char want[1024];
  uint64_t seq = 77;
  int how;

  kit_publish(stream, "x", "y");
  ck_assert_int_eq(finish(stream, _i), WEIR_OK);
  event.tag = 5;
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, &seq), WEIR_EENDED);
  ck_assert_int_eq(weir_stream_signal(stream, &event, &seq), WEIR_EENDED);
  ck_assert_int_eq(weir_stream_end(stream, "", 0, 5, &seq), WEIR_EENDED);
  ck_assert_int_eq(weir_stream_fail(stream, "", 0, "", 0, 5, &seq),
                   WEIR_EENDED);
  for (how = 0; how < ENDINGS; ++how) {
    ck_assert_int_eq(finish(stream, how), WEIR_EENDED);
  }
  ck_assert_uint_eq(seq, 77);
  kit_expect_notices(&kit, notices[_i]);
  snprintf(want, sizeof want, "ready@0 fresh; x@1 y; %s", last_frames[_i]);
  expect_all("a", WEIR_EDONE, want);
  ck_assert_int_eq(info_of(stream).status, WEIR_STREAM_ENDED);
  ck_assert_uint_eq(info_of(stream).ended, 2);
  ck_assert_uint_eq(info_of(stream).last, 2);
  ck_assert_uint_eq(info_of(stream).failed, _i == BY_FAIL);
  weir_stream_release(stream);
}
END_TEST

START_TEST(r42_the_end_comes_after_all_data_and_then_the_close) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach_with(&kit, &options);

  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 fresh");
  kit_publish(stream, "x", "1");
  kit_publish(stream, "x", "2");
  kit_publish(stream, "x", "3");
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  kit_expect_notices(&kit, "s closing; ended 4");
  kit_expect_frames(subscriber, WEIR_EDONE, "x@1 1; x@2 2; x@3 3; done@4 ok");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(an_end_can_be_all_there_is) {
  weir_stream *stream = kit_open(&kit, "a");
  uint64_t seq = 0;

  ck_assert_int_eq(weir_stream_end(stream, NULL, 0, 0, &seq), WEIR_OK);
  ck_assert_uint_eq(seq, 1);
  expect_all("a", WEIR_EDONE, "ready@0 fresh; done@1 ");
  weir_stream_release(stream);
}
END_TEST

START_TEST(r35_a_failure_that_nobody_saw_is_there_for_who_comes_later) {
  weir_stream *stream = kit_open(&kit, "a");

  kit_publish(stream, "x", "part");
  ck_assert_int_eq(weir_stream_fail(stream, "model", 5, NULL, 0, 0, NULL),
                   WEIR_OK);
  weir_stream_release(stream);
  kit_pass(&kit, 300000);
  expect_all("a", WEIR_EDONE, "ready@0 fresh; x@1 part; failed@2 model ");
}
END_TEST

START_TEST(r34_what_came_before_a_failure_stays) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber;
  char cursor[WEIR_CURSOR_MAX];

  kit_publish(stream, "x", "1");
  kit_publish(stream, "x", "2");
  kit_publish(stream, "x", "3");
  strcpy(cursor, kit_cursor(stream, 3));
  ck_assert_int_eq(weir_stream_fail(stream, "oops", 4, "no", 2, 0, NULL),
                   WEIR_OK);
  expect_all("a", WEIR_EDONE,
             "ready@0 fresh; x@1 1; x@2 2; x@3 3; failed@4 oops no");
  /* R33: who has all but the end gets the same end. */
  subscriber = kit_attach(&kit, "a", cursor, NULL);
  kit_expect_frames(subscriber, WEIR_EDONE,
                    "ready@3 resumed; failed@4 oops no");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(texts_of_an_end_have_limits) {
  static const char text[5000];
  char *letters = malloc(sizeof text);
  weir_stream *stream;
  size_t n;
  int rv;

  ck_assert_ptr_nonnull(letters);
  memset(letters, 'x', sizeof text);
  for (n = 254; n <= 256; ++n) {
    rv = n <= 255 ? WEIR_OK : WEIR_EINVAL;
    stream = kit_open(&kit, "a");
    ck_assert_int_eq(weir_stream_end(stream, letters, n, 0, NULL), rv);
    weir_stream_release(stream);
    stream = kit_open(&kit, "b");
    ck_assert_int_eq(weir_stream_fail(stream, letters, n, "", 0, 0, NULL), rv);
    weir_stream_release(stream);
  }
  for (n = 4095; n <= 4097; ++n) {
    rv = n <= 4096 ? WEIR_OK : WEIR_EINVAL;
    stream = kit_open(&kit, "c");
    ck_assert_int_eq(weir_stream_fail(stream, "", 0, letters, n, 0, NULL), rv);
    weir_stream_release(stream);
  }
  free(letters);
}
END_TEST

START_TEST(texts_of_an_end_are_text_and_stand_in_json) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber;

  ck_assert_int_eq(weir_stream_end(stream, "\xff", 1, 0, NULL), WEIR_EUTF8);
  ck_assert_int_eq(weir_stream_fail(stream, "\xff", 1, "", 0, 0, NULL),
                   WEIR_EUTF8);
  ck_assert_int_eq(weir_stream_fail(stream, "", 0, "a\0", 2, 0, NULL),
                   WEIR_EUTF8);
  ck_assert_int_eq(info_of(stream).status, WEIR_STREAM_LIVE);
  ck_assert_int_eq(
      weir_stream_fail(stream, "a\"b", 3, "c\\\r\nd: e", 8, 0, NULL), WEIR_OK);
  subscriber = kit_attach(&kit, "a", kit_cursor(stream, 0), NULL);
  kit_expect(subscriber, WEIR_EDONE,
             "id: ~-0\nevent: weir.ready\nretry: ~\ndata: {\"stream\":\"a\","
             "\"generation\":\"~\",\"verdict\":\"resumed\"}\n\n"
             "id: ~-1\nevent: weir.failed\ndata: {\"stream\":\"a\","
             "\"generation\":\"~\",\"code\":\"a\\\"b\","
             "\"message\":\"c\\\\\\r\\nd: e\"}\n\n");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(r44_clients_see_the_code_and_the_message_and_nothing_else) {
  weir_stream *stream = kit_open(&kit, "a");

  ck_assert_int_eq(
      weir_stream_fail(stream, "upstream", 8, "please try again", 16, 0, NULL),
      WEIR_OK);
  expect_all("a", WEIR_EDONE,
             "ready@0 fresh; failed@1 upstream please try again");
  weir_stream_release(stream);
}
END_TEST

START_TEST(f17_leaving_is_not_cancelling_and_the_other_way_round) {
  weir_open_options open = kit_open_options("a", "p");
  weir_attach_options attach = kit_attach_options("a", "s");
  weir_stream *stream = kit_open_with(&kit, &open);
  weir_subscriber *subscriber = kit_attach_with(&kit, &attach);

  weir_subscriber_detach(subscriber);
  weir_subscriber_release(subscriber);
  kit_expect_notices(&kit, "");
  ck_assert_int_eq(info_of(stream).status, WEIR_STREAM_LIVE);
  subscriber = kit_attach_with(&kit, &attach);
  ck_assert_int_eq(weir_stream_cancel(stream, NULL, 0), WEIR_OK);
  kit_expect_notices(&kit, "s closing; p cancelled; p ended 1");
  kit_expect_frames(subscriber, WEIR_EDONE, "ready@0 fresh; done@1 cancelled");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(race22_cancel_and_end_in_one_tick_give_one_end) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream = kit_open_with(&kit, &options);

  if (_i == 0) {
    ck_assert_int_eq(weir_stream_cancel(stream, NULL, 0), WEIR_OK);
    ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_EENDED);
    kit_expect_notices(&kit, "p cancelled; p ended 1");
  } else {
    ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
    ck_assert_int_eq(weir_stream_cancel(stream, NULL, 0), WEIR_EENDED);
    kit_expect_notices(&kit, "p ended 1");
  }
  ck_assert_uint_eq(info_of(stream).last, 1);
  weir_stream_release(stream);
}
END_TEST

START_TEST(r38_cancelled_at_once_it_says_so) {
  weir_stream *stream = kit_open(&kit, "a");

  ck_assert_int_eq(weir_stream_cancel(stream, NULL, 0), WEIR_OK);
  expect_all("a", WEIR_EDONE, "ready@0 fresh; done@1 cancelled");
  weir_stream_release(stream);
}
END_TEST

START_TEST(every_handle_is_told_of_the_end) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *first = kit_open_with(&kit, &options);
  weir_stream *second;

  options.user = (void *)(uintptr_t) "q";
  second = kit_open_with(&kit, &options);
  ck_assert_int_eq(weir_stream_cancel(second, NULL, 0), WEIR_OK);
  kit_expect_notices(&kit, "p cancelled; q cancelled; p ended 1; q ended 1");
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* --- Signals -------------------------------------------------------------- */

START_TEST(a_signal_reaches_those_who_are_there) {
  weir_stream *stream = kit_open(&kit, "a");
  const weir_event signal = kit_make_event("x", "y");
  weir_subscriber *first;
  weir_subscriber *second;
  uint64_t reached = 77;

  ck_assert_int_eq(weir_stream_signal(stream, &signal, &reached), WEIR_OK);
  ck_assert_uint_eq(reached, 0);
  first = kit_attach(&kit, "a", NULL, NULL);
  second = kit_attach(&kit, "a", NULL, NULL);
  ck_assert_int_eq(weir_stream_signal(stream, &signal, &reached), WEIR_OK);
  ck_assert_uint_eq(reached, 2);
  weir_subscriber_release(second);
  ck_assert_int_eq(weir_stream_signal(stream, &signal, &reached), WEIR_OK);
  ck_assert_uint_eq(reached, 1);
  kit_expect_frames(first, WEIR_EAGAIN, "ready@0 fresh; x y; x y");
  ck_assert_uint_eq(info_of(stream).signals, 3);
  ck_assert_uint_eq(info_of(stream).last, 0);
  weir_subscriber_release(first);
  weir_stream_release(stream);
}
END_TEST

/* --- Generations ---------------------------------------------------------- */

START_TEST(r52_generations_of_a_key_are_independent) {
  weir_stream *streams[3];
  uint64_t names[3];
  int i;

  for (i = 0; i < 3; ++i) {
    streams[i] = kit_open(&kit, "a");
    names[i] = info_of(streams[i]).generation;
    ck_assert_uint_eq(info_of(streams[i]).epoch, names[i]);
    ck_assert_uint_eq(info_of(streams[i]).joined, 0);
    ck_assert_uint_eq(kit_publish(streams[i], "x", "y"), 1);
    expect_all("a", WEIR_EAGAIN, "ready@0 fresh; x@1 y");
    ck_assert_int_eq(weir_stream_end(streams[i], "ok", 2, 0, NULL), WEIR_OK);
  }
  ck_assert_uint_ne(names[0], names[1]);
  ck_assert_uint_ne(names[1], names[2]);
  ck_assert_uint_ne(names[0], names[2]);
  for (i = 0; i < 3; ++i) {
    ck_assert_int_eq(info_of(streams[i]).status, WEIR_STREAM_ENDED);
    ck_assert_uint_eq(info_of(streams[i]).generation, names[i]);
    weir_stream_release(streams[i]);
  }
}
END_TEST

START_TEST(r54_what_is_meant_for_the_old_one_does_not_hit_the_new) {
  weir_stream *old = kit_open(&kit, "a");
  const weir_event event = kit_make_event("x", "stale");
  weir_stream *new;

  ck_assert_int_eq(weir_stream_end(old, "ok", 2, 0, NULL), WEIR_OK);
  new = kit_open(&kit, "a");
  ck_assert_int_eq(weir_stream_cancel(old, NULL, 0), WEIR_EENDED);
  ck_assert_int_eq(publish(old, &event), WEIR_EENDED);
  ck_assert_int_eq(weir_stream_signal(old, &event, NULL), WEIR_EENDED);
  ck_assert_int_eq(weir_stream_trim(old, 1), WEIR_OK);
  weir_stream_release(old);
  ck_assert_int_eq(info_of(new).status, WEIR_STREAM_LIVE);
  ck_assert_uint_eq(info_of(new).last, 0);
  ck_assert_uint_eq(info_of(new).trimmed, 0);
  weir_stream_release(new);
}
END_TEST

START_TEST(releasing_handles_ends_nothing) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);

  kit_publish(stream, "x", "1");
  weir_stream_release(stream);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  stream = kit_open(&kit, "a");
  ck_assert_uint_eq(info_of(stream).joined, 1);
  ck_assert_uint_eq(kit_publish(stream, "x", "2"), 2);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "x@2 2");
  weir_stream_release(stream);
  weir_stream_release(NULL);
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(f15_a_stream_exists_from_its_open_and_after_its_end) {
  weir_stream *stream;
  int verdict = WEIR_VERDICT_PENDING;

  ck_assert_ptr_null(kit_attach(&kit, "a", NULL, &verdict));
  ck_assert_int_eq(verdict, WEIR_VERDICT_UNKNOWN);
  stream = kit_open(&kit, "a");
  expect_all("a", WEIR_EAGAIN, "ready@0 fresh");
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(stream);
  kit_pass(&kit, 599999);
  expect_all("a", WEIR_EDONE, "ready@0 fresh; done@1 ok");
  kit_pass(&kit, 1);
  ck_assert_ptr_null(kit_attach(&kit, "a", NULL, &verdict));
  ck_assert_int_eq(verdict, WEIR_VERDICT_UNKNOWN);
}
END_TEST

START_TEST(info_says_what_is_known) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream = kit_open_with(&kit, &options);
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);
  weir_stream_info info = info_of(stream);

  ck_assert_ptr_eq(weir_stream_get_user(stream), options.user);
  ck_assert_int_eq(info.status, WEIR_STREAM_LIVE);
  ck_assert_uint_eq(info.joined, 0);
  ck_assert_uint_eq(info.failed, 0);
  ck_assert_uint_eq(info.subscribers, 1);
  ck_assert_uint_ne(info.generation, 0);
  ck_assert_uint_eq(info.epoch, info.generation);
  ck_assert_uint_eq(info.resident, 0);
  ck_assert_uint_eq(info.pending, 0);
  kit_publish(stream, "x", "1");
  kit_publish(stream, "x", "2");
  ck_assert_int_eq(weir_stream_trim(stream, 3), WEIR_EINVAL);
  ck_assert_int_eq(weir_stream_trim(stream, 1), WEIR_OK);
  kit_signal(stream, "x", "");
  info = info_of(stream);
  ck_assert_uint_eq(info.trimmed, 1);
  ck_assert_uint_eq(info.last, 2);
  ck_assert_uint_eq(info.ended, 0);
  ck_assert_uint_eq(info.events, 2);
  ck_assert_uint_eq(info.signals, 1);
  ck_assert_uint_eq(info.dropped, 0);
  ck_assert_uint_eq(info.resident, strlen(kit_cursor(stream, 2)) +
                                       strlen("id: \nevent: x\ndata: 2\n\n"));
  weir_subscriber_release(subscriber);
  ck_assert_uint_eq(info_of(stream).subscribers, 0);
  weir_stream_release(stream);
}
END_TEST

static TCase *publishing(void) {
  TCase *tcase = tcase_create("publishing");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, r01_events_carry_the_number_of_the_log);
  tcase_add_test(tcase, r11_every_event_has_an_id_and_no_signal_has);
  tcase_add_test(tcase, r22_a_batch_gets_consecutive_numbers);
  tcase_add_loop_test(tcase, a_batch_is_all_or_nothing, 0, 11);
  tcase_add_test(tcase, a_call_without_events_is_refused);
  tcase_add_test(tcase, limits_of_an_event_are_exact);
  tcase_add_test(tcase, lines_of_an_envelope_have_the_same_limit);
  tcase_add_test(tcase, without_limits_an_event_may_be_long);
  tcase_add_test(tcase, f09_no_byte_of_an_event_passes_for_a_field);
  tcase_add_loop_test(tcase, r17_a_line_break_or_nul_in_a_type_is_refused, 0,
                      5);
  tcase_add_loop_test(tcase, text_is_checked_unless_the_hub_says_otherwise, 0,
                      2);
  tcase_add_loop_test(tcase, reserved_types_are_refused, 0, 23);
  tcase_add_test(tcase, numbers_end_before_they_wrap);
  tcase_add_test(tcase, tags_are_answered_in_order_each_once);
  tcase_add_test(tcase, tags_are_answered_to_the_handle_that_published);
  tcase_add_test(tcase, the_notices_of_a_released_handle_are_gone_with_it);
  tcase_add_test(tcase, a_signal_reaches_those_who_are_there);
  return tcase;
}

static TCase *ends(void) {
  TCase *tcase = tcase_create("ends");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, r40_each_end_has_its_frame_and_nothing_follows, 0,
                      ENDINGS);
  tcase_add_test(tcase, r42_the_end_comes_after_all_data_and_then_the_close);
  tcase_add_test(tcase, an_end_can_be_all_there_is);
  tcase_add_test(tcase,
                 r35_a_failure_that_nobody_saw_is_there_for_who_comes_later);
  tcase_add_test(tcase, r34_what_came_before_a_failure_stays);
  tcase_add_test(tcase, texts_of_an_end_have_limits);
  tcase_add_test(tcase, texts_of_an_end_are_text_and_stand_in_json);
  tcase_add_test(tcase,
                 r44_clients_see_the_code_and_the_message_and_nothing_else);
  tcase_add_test(tcase, f17_leaving_is_not_cancelling_and_the_other_way_round);
  tcase_add_loop_test(tcase, race22_cancel_and_end_in_one_tick_give_one_end, 0,
                      2);
  tcase_add_test(tcase, r38_cancelled_at_once_it_says_so);
  tcase_add_test(tcase, every_handle_is_told_of_the_end);
  return tcase;
}

static TCase *generations(void) {
  TCase *tcase = tcase_create("generations");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, r52_generations_of_a_key_are_independent);
  tcase_add_test(tcase, r54_what_is_meant_for_the_old_one_does_not_hit_the_new);
  tcase_add_test(tcase, releasing_handles_ends_nothing);
  tcase_add_test(tcase, f15_a_stream_exists_from_its_open_and_after_its_end);
  tcase_add_test(tcase, info_says_what_is_known);
  return tcase;
}

KIT_MAIN("stream", publishing(), ends(), generations())
