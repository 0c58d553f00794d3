/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* What the headers say of arguments, handles and answers, one test each. */

#include "../kit.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../testlog.h"

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

/* --- Handles -------------------------------------------------------------- */

/* Structs without a size of their own, too. */
START_TEST(a_struct_that_is_null_is_an_error) {
  const weir_cursor cursor = {1, 2};
  weir_resolution resolution = {.size = sizeof resolution};
  weir_response response = {.size = sizeof response};
  weir_epoch epoch = {1, 0};
  weir_state state;
  char text[WEIR_CURSOR_MAX];
  size_t len;

  ck_assert_int_eq(
      weir_cursor_format(NULL, WEIR_CURSOR_EPOCH, text, sizeof text, &len),
      WEIR_EINVAL);
  ck_assert_int_eq(weir_cursor_parse(WEIR_CURSOR_EPOCH, "b-1", 3, NULL),
                   WEIR_EINVAL);
  weir_state_init(&state, sizeof state);
  state.epochs = &epoch;
  state.epoch_count = 1;
  ck_assert_int_eq(weir_cursor_resolve(&state, NULL, WEIR_OK, NULL,
                                       WEIR_FROM_START, &resolution),
                   WEIR_EINVAL);
  ck_assert_int_eq(weir_cursor_resolve(&state, NULL, WEIR_EABSENT, NULL,
                                       WEIR_FROM_START, &resolution),
                   WEIR_OK);
  ck_assert_int_eq(weir_cursor_resolve(&state, NULL, WEIR_OK, &cursor,
                                       WEIR_FROM_START, NULL),
                   WEIR_EINVAL);
  ck_assert_int_eq(weir_http_respond(NULL, WEIR_OK, WEIR_VERDICT_UNKNOWN, "k",
                                     1, 0, &response),
                   WEIR_OK);
  ck_assert_int_eq(weir_http_get_field(&response, 0, text, sizeof text, NULL),
                   WEIR_EINVAL);
}
END_TEST

START_TEST(what_is_null_has_gone) {
  const weir_event event = kit_make_event("x", "y");
  const weir_open_options open = kit_open_options("a", NULL);
  const weir_attach_options attach = kit_attach_options("a", NULL);
  weir_subscriber *subscriber = NULL;
  weir_subscriber_info about_subscriber;
  weir_log_file_stream about_file_stream;
  weir_log_file_info about_file;
  weir_stream *stream = NULL;
  weir_stream_info about_stream;
  weir_response response;
  weir_hub_info about_hub;
  weir_notice notice;
  weir_answer answer;
  weir_bytes bytes;
  weir_log log;
  char room[8];
  uint64_t at = 0;
  size_t len;
  int verdict;

  ck_assert_int_eq(weir_stream_publish(NULL, &event, 1, NULL), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_signal(NULL, &event, NULL), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_end(NULL, "", 0, 0, NULL), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_fail(NULL, "", 0, "", 0, 0, NULL), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_cancel(NULL, NULL, 0), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_trim(NULL, 0), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_get_info(NULL, &about_stream), WEIR_EGONE);
  ck_assert_ptr_null(weir_stream_get_user(NULL));
  weir_stream_release(NULL);
  ck_assert_int_eq(weir_subscriber_peek(NULL, &bytes, 1, &len), WEIR_EGONE);
  ck_assert_int_eq(weir_subscriber_peek(NULL, NULL, 0, &len), WEIR_EGONE);
  ck_assert_int_eq(weir_subscriber_consume(NULL, 0), WEIR_EGONE);
  ck_assert_int_eq(weir_subscriber_read(NULL, room, 1, &len), WEIR_EGONE);
  ck_assert_int_eq(weir_subscriber_read(NULL, NULL, 0, &len), WEIR_EGONE);
  ck_assert_int_eq(weir_subscriber_signal(NULL, &event), WEIR_EGONE);
  ck_assert_int_eq(weir_subscriber_close(NULL, NULL, 0, 0), WEIR_EGONE);
  ck_assert_int_eq(weir_subscriber_get_info(NULL, &about_subscriber),
                   WEIR_EGONE);
  ck_assert_ptr_null(weir_subscriber_get_user(NULL));
  weir_subscriber_detach(NULL);
  weir_subscriber_release(NULL);
  ck_assert_int_eq(weir_hub_get_timeout(NULL), -1);
  ck_assert_int_eq(weir_hub_run(NULL), WEIR_EGONE);
  ck_assert_int_eq(weir_hub_next(NULL, &notice), WEIR_EGONE);
  ck_assert_int_eq(weir_hub_open(NULL, &open, &stream), WEIR_EGONE);
  ck_assert_int_eq(weir_hub_attach(NULL, &attach, &subscriber, &verdict),
                   WEIR_EGONE);
  ck_assert_int_eq(weir_hub_hint(NULL, "a", 1, 1), WEIR_EGONE);
  ck_assert_int_eq(weir_hub_drain(NULL, 0, 0), WEIR_EGONE);
  ck_assert_int_eq(weir_hub_get_info(NULL, &about_hub), WEIR_EGONE);
  weir_hub_free(NULL);
  weir_answer_init(&answer, sizeof answer);
  ck_assert_int_eq(weir_log_answer(NULL, 1, &answer), WEIR_EGONE);
  response.size = sizeof response;
  ck_assert_int_eq(
      weir_http_attach(NULL, &attach, NULL, &subscriber, &response),
      WEIR_EGONE);
  ck_assert_int_eq(weir_log_file_get_timeout(NULL), -1);
  ck_assert_int_eq(weir_log_file_begin(NULL), WEIR_EGONE);
  weir_log_file_run(NULL);
  ck_assert_int_eq(weir_log_file_end(NULL), WEIR_EGONE);
  ck_assert_int_eq(weir_log_file_get_log(NULL, &log), WEIR_EGONE);
  ck_assert_int_eq(weir_log_file_next_stream(NULL, &at, &about_file_stream),
                   WEIR_EGONE);
  ck_assert_int_eq(weir_log_file_get_info(NULL, &about_file), WEIR_EGONE);
  ck_assert_int_eq(weir_log_file_close(NULL), WEIR_OK);
}
END_TEST

/* Who only looks puts nothing in; but may stop the work of others. */
START_TEST(a_handle_that_looks_puts_nothing_in) {
  const weir_event event = kit_make_event("x", "y");
  weir_open_options options = kit_open_options("a", "l");
  weir_stream *writer = kit_open(&kit, "a");
  weir_stream *looker;
  uint64_t seq = 77;

  kit_publish(writer, "x", "y");
  options.flags = WEIR_OPEN_LOOK;
  looker = kit_open_with(&kit, &options);
  ck_assert_int_eq(weir_stream_publish(looker, &event, 1, &seq), WEIR_EINVAL);
  ck_assert_int_eq(weir_stream_signal(looker, &event, NULL), WEIR_EINVAL);
  ck_assert_int_eq(weir_stream_end(looker, "", 0, 0, &seq), WEIR_EINVAL);
  ck_assert_int_eq(weir_stream_fail(looker, "", 0, "", 0, 0, &seq),
                   WEIR_EINVAL);
  ck_assert_int_eq(weir_stream_trim(looker, 1), WEIR_EINVAL);
  ck_assert_uint_eq(seq, 77);
  ck_assert_uint_eq(info_of(writer).last, 1);
  ck_assert_uint_eq(info_of(writer).trimmed, 0);
  ck_assert_int_eq(weir_stream_cancel(looker, NULL, 0), WEIR_OK);
  ck_assert_int_eq(info_of(writer).status, WEIR_STREAM_ENDED);
  weir_stream_release(looker);
  weir_stream_release(writer);
}
END_TEST

static void free_hub(void *user, const weir_trace *trace) {
  (void)trace;
  weir_hub_free(*(weir_hub **)user);
}

/* A hub that was freed where it must not be goes when the host is next there,
 * also if that only polls. */
START_TEST(a_hub_freed_in_a_trace_goes_later) {
  weir_notice notice;
  weir_stream *stream;

  weir_hub_free(kit.hub);
  kit.options.trace = free_hub;
  kit.options.trace_user = &kit.hub;
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  notice.size = sizeof notice;
  ck_assert_int_eq(weir_hub_next(kit.hub, &notice), WEIR_EGONE);
  kit.hub = NULL;
  ck_assert_int_eq(weir_stream_cancel(stream, NULL, 0), WEIR_EGONE);
  weir_stream_release(stream);
}
END_TEST

/* --- Reasons and times ---------------------------------------------------- */

START_TEST(a_cancel_has_a_reason) {
  static const char text[WEIR_REASON_MAX + 1] = "later";
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);

  ck_assert_int_eq(weir_stream_cancel(stream, text, sizeof text), WEIR_EINVAL);
  ck_assert_int_eq(weir_stream_cancel(stream, "\xff", 1), WEIR_EUTF8);
  ck_assert_int_eq(info_of(stream).status, WEIR_STREAM_LIVE);
  ck_assert_int_eq(weir_stream_cancel(stream, text, _i == 0 ? 0 : 5), WEIR_OK);
  kit_expect_frames(subscriber, WEIR_EDONE,
                    _i == 0 ? "ready@0 fresh; done@1 cancelled"
                            : "ready@0 fresh; done@1 later");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(who_is_shown_out_is_told_why_and_for_how_long) {
  static const char text[WEIR_REASON_MAX + 1] = {0};
  weir_attach_options options = kit_attach_options("a", NULL);
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber;

  options.retry = 7000;
  options.retry_jitter = 0;
  subscriber = kit_attach_with(&kit, &options);
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  ck_assert_int_eq(weir_subscriber_close(subscriber, text, sizeof text, 0),
                   WEIR_EINVAL);
  ck_assert_int_eq(weir_subscriber_close(subscriber, "\xff", 1, 0), WEIR_EUTF8);
  ck_assert_int_eq(weir_subscriber_close(subscriber, "x", 1, 499), WEIR_EINVAL);
  ck_assert_int_eq(
      weir_subscriber_close(subscriber, "x", 1, WEIR_RETRY_MAX + 1),
      WEIR_EINVAL);
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  if (_i == 0) {
    ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
    kit_expect(subscriber, WEIR_EDONE,
               "event: weir.closing\nretry: 7000\ndata: {\"stream\":\"a\","
               "\"generation\":\"~\",\"reason\":\"expired\"}\n\n");
  } else {
    ck_assert_int_eq(weir_subscriber_close(subscriber, "moved", 5, 500),
                     WEIR_OK);
    kit_expect(subscriber, WEIR_EDONE,
               "event: weir.closing\nretry: 500\ndata: {\"stream\":\"a\","
               "\"generation\":\"~\",\"reason\":\"moved\"}\n\n");
  }
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* A drain's own time is told to those who are there and to those who come;
 * without one, each gets what its attach has. */
START_TEST(a_drain_has_a_time_to_come_back) {
  const uint32_t retry = _i == 0 ? 0 : 90000;
  weir_attach_options options = kit_attach_options("a", NULL);
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber;
  weir_subscriber *late = NULL;
  weir_response response;

  options.retry = 7000;
  options.retry_jitter = 0;
  subscriber = kit_attach_with(&kit, &options);
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  ck_assert_int_eq(weir_hub_drain(kit.hub, 0, 499), WEIR_EINVAL);
  ck_assert_int_eq(weir_hub_drain(kit.hub, 0, WEIR_RETRY_MAX + 1), WEIR_EINVAL);
  ck_assert_int_eq(weir_hub_drain(kit.hub, 0, retry), WEIR_OK);
  kit_pass(&kit, 1); /* who is to go is told when */
  kit_pass(&kit, 1);
  kit_expect(subscriber, WEIR_EDONE,
             _i == 0 ? "event: weir.closing\nretry: 7000\ndata: "
                       "{\"stream\":\"a\",\"generation\":\"~\","
                       "\"reason\":\"draining\"}\n\n"
                     : "event: weir.closing\nretry: 90000\ndata: "
                       "{\"stream\":\"a\",\"generation\":\"~\","
                       "\"reason\":\"draining\"}\n\n");
  response.size = sizeof response;
  ck_assert_int_eq(weir_http_attach(kit.hub, &options, NULL, &late, &response),
                   WEIR_OK);
  ck_assert_ptr_null(late);
  ck_assert_int_eq(response.error, WEIR_EDRAINING);
  ck_assert_uint_eq(response.retry, _i == 0 ? 7000 : 90000);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* --- What is checked ------------------------------------------------------ */

/* Invariant 7: nothing follows the end, to one reader no more than to all. */
START_TEST(no_signal_follows_the_end) {
  const weir_event event = kit_make_event("late", "x");
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);

  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  ck_assert_int_eq(weir_stream_signal(stream, &event, NULL), WEIR_EENDED);
  ck_assert_int_eq(weir_subscriber_signal(subscriber, &event), WEIR_EENDED);
  kit_expect_frames(subscriber, WEIR_EDONE, "ready@0 fresh; done@1 ok");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(a_signal_has_no_tag) {
  weir_event event = kit_make_event("x", "y");
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);

  event.tag = 1;
  ck_assert_int_eq(weir_stream_signal(stream, &event, NULL), WEIR_EINVAL);
  ck_assert_int_eq(weir_subscriber_signal(subscriber, &event), WEIR_EINVAL);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 fresh");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(a_type_is_at_most_255_bytes) {
  char type[WEIR_TYPE_MAX + 1];
  weir_event event = kit_make_event("", "x");
  weir_stream *stream = kit_open(&kit, "a");

  memset(type, 't', sizeof type);
  event.type = type;
  event.type_len = (size_t)(WEIR_TYPE_MAX - 1 + _i);
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL),
                   _i < 2 ? WEIR_OK : WEIR_ETOOBIG);
  ck_assert_int_eq(weir_stream_signal(stream, &event, NULL),
                   _i < 2 ? WEIR_OK : WEIR_ETOOBIG);
  weir_stream_release(stream);
}
END_TEST

START_TEST(a_comment_is_text) {
  char dst[8];
  size_t len = 77;

  ck_assert_int_eq(weir_frame_encode_comment("\xff", 1, dst, sizeof dst, &len),
                   WEIR_EUTF8);
  ck_assert_uint_eq(len, 77);
}
END_TEST

/* The header of a newer library may be longer: an answer's timers go where the
 * caller's struct has them, and nowhere else. */
START_TEST(the_timers_of_an_answer_know_the_callers_size) {
  const size_t size = offsetof(weir_open_options, lifetime);
  weir_open_options *options = kit_fence(size);

  weir_open_options_init(options, size);
  weir_open_options_set_answer(options);
  ck_assert_uint_eq(options->size, size);
  ck_assert_uint_eq(options->first_event, 35000);
  ck_assert_uint_eq(options->idle, 55000);
  weir_open_options_set_answer(NULL);
}
END_TEST

/* --- Storage -------------------------------------------------------------- */

static struct testlog storage;

static void log_setup(void) {
  kit_init(&kit);
  testlog_init(&storage);
  kit.options.log = &storage.log;
  kit_hub(&kit);
}

static void log_teardown(void) {
  kit_end(&kit);
  testlog_end(&storage);
}

/* A number of storage's own is no number of weir's: a client would be told that
 * its request is bad, a host that its handle has gone. */
START_TEST(the_numbers_of_storage_stay_there) {
  static const struct {
    int says;
    int is;
  } rows[] = {
      {WEIR_ENOMEM, WEIR_ENOMEM},
      {WEIR_ELOG, WEIR_ELOG},
      {WEIR_EUNKNOWN, WEIR_EUNKNOWN},
      {WEIR_EIO, WEIR_EIO},
      {WEIR_EFULL, WEIR_EFULL},
      {WEIR_EACCESS, WEIR_EACCESS},
      {WEIR_EFENCED, WEIR_EFENCED},
      {WEIR_EENDED, WEIR_EENDED},
      {WEIR_EHOST, WEIR_EHOST},
      {INT_MIN, INT_MIN},
      {WEIR_EHOST + 1, WEIR_ELOG},
      {WEIR_EINVAL, WEIR_ELOG},
      {WEIR_EGONE, WEIR_ELOG},
      {WEIR_EBUSY, WEIR_ELOG},
      {WEIR_EAGAIN, WEIR_ELOG},
      {WEIR_EMALFORMED, WEIR_ELOG},
      {-1000, WEIR_ELOG},
  };
  weir_attach_options options = kit_attach_options("a", NULL);
  weir_subscriber *subscriber = NULL;
  int verdict;

  testlog_fail(&storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE, rows[_i].says);
  ck_assert_int_eq(weir_hub_attach(kit.hub, &options, &subscriber, &verdict),
                   rows[_i].is);
  testlog_fail(&storage, TESTLOG_OPEN, 1, TESTLOG_RETURN, rows[_i].says);
  ck_assert_int_eq(weir_hub_attach(kit.hub, &options, &subscriber, &verdict),
                   rows[_i].is);
}
END_TEST

static void reserve(weir_answer *answer, weir_epoch *epochs,
                    weir_record *records) {
  (void)epochs;
  (void)records;
  answer->reserved[1] = 1;
}

static void share(weir_answer *answer, weir_epoch *epochs,
                  weir_record *records) {
  (void)epochs;
  (void)records;
  answer->shared = 2;
}

static void reserve_more(weir_answer *answer, weir_epoch *epochs,
                         weir_record *records) {
  (void)epochs;
  (void)records;
  answer->reserved0 = 1;
}

static void fail_twice(weir_answer *answer, weir_epoch *epochs,
                       weir_record *records) {
  (void)epochs;
  (void)records;
  answer->failed = 2;
}

START_TEST(an_answer_with_what_nobody_knows_is_none) {
  testlog_bend *const bends[] = {reserve, reserve_more, share, fail_twice};
  weir_open_options options = kit_open_options("a", NULL);
  weir_stream *stream = NULL;

  testlog_plan_bend(&storage, TESTLOG_OPEN, 1, bends[_i]);
  ck_assert_int_eq(weir_hub_open(kit.hub, &options, &stream), WEIR_EUNKNOWN);
  ck_assert_ptr_null(stream);
  ck_assert_int_eq(storage.answered, WEIR_EINVAL);
}
END_TEST

static int bent;

static void bend_record(weir_answer *answer, weir_epoch *epochs,
                        weir_record *records) {
  (void)epochs;
  ck_assert_uint_ne(answer->record_count, 0);
  records[0].flags |= bent == 0 ? 0x80 : 0;
  records[0].reserved0 = bent == 1;
  records[0].reserved[1] = bent == 2;
}

START_TEST(a_record_with_what_nobody_knows_is_none) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber;

  kit_publish(stream, "x", "y");
  weir_stream_release(stream);
  weir_hub_free(kit.hub);
  kit_hub(&kit);
  bent = _i;
  /* The first read looks how far it is. */
  testlog_plan_bend(&storage, TESTLOG_READ, 2, bend_record);
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  kit_expect_frames(subscriber, WEIR_EDONE,
                    "ready@0 fresh; closing unavailable");
  weir_subscriber_release(subscriber);
}
END_TEST

static void double_epoch(weir_answer *answer, weir_epoch *epochs,
                         weir_record *records) {
  (void)records;
  ck_assert_uint_eq(answer->epoch_count, 2);
  epochs[1].epoch = epochs[0].epoch;
}

START_TEST(no_epoch_stands_twice) {
  weir_attach_options options = kit_attach_options("a", NULL);
  weir_subscriber *subscriber = NULL;
  weir_stream *stream;
  int verdict;
  int i;

  for (i = 0; i < 2; ++i) {
    stream = kit_open(&kit, "a");
    kit_publish(stream, "x", "y");
    weir_stream_release(stream);
    weir_hub_free(kit.hub);
    kit_hub(&kit);
  }
  testlog_plan_bend(&storage, TESTLOG_OPEN, 1, double_epoch);
  ck_assert_int_eq(weir_hub_attach(kit.hub, &options, &subscriber, &verdict),
                   WEIR_ELOG);
  ck_assert_int_eq(weir_hub_attach(kit.hub, &options, &subscriber, &verdict),
                   WEIR_OK);
  weir_subscriber_release(subscriber);
}
END_TEST

static bool inside_answer;
static bool closed_inside;
static void (*real_close)(void *user, void *handle);

static void watch_close(void *user, void *handle) {
  closed_inside |= inside_answer;
  real_close(user, handle);
}

/* A log that holds a lock while it answers is not called back. */
START_TEST(nothing_is_closed_inside_an_answer) {
  weir_open_options options = kit_open_options("a", NULL);
  weir_stream *stream = NULL;

  weir_hub_free(kit.hub);
  real_close = storage.log.close;
  storage.log.close = watch_close;
  kit_hub(&kit);
  storage.later = true;
  closed_inside = false;
  ck_assert_int_eq(weir_hub_open(kit.hub, &options, &stream), WEIR_OK);
  testlog_deliver(&storage, 0); /* there is none: begin it */
  ck_assert_int_eq(weir_hub_run(kit.hub), WEIR_OK);
  weir_stream_release(stream);
  kit.now += 10001; /* the deadline passes */
  (void)kit_count(&kit, 0);
  inside_answer = true;
  testlog_deliver_all(&storage);
  inside_answer = false;
  ck_assert(!closed_inside);
  storage.later = false;
  (void)kit_count(&kit, 0);
  weir_hub_free(kit.hub);
  kit.hub = NULL;
  ck_assert_uint_eq(storage.handles, 0);
  storage.log.close = real_close;
}
END_TEST

/* Each of two notices that wait says what is its own: another writer has taken
 * over, and has ended it as one should. */
static weir_notice next_of_stream(void) {
  weir_notice notice;

  do {
    notice = kit_next(&kit);
  } while (notice.kind != 0 && notice.stream == NULL);
  return notice;
}

START_TEST(a_notice_keeps_its_error) {
  const weir_event event = kit_make_event("x", "y");
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *reader = kit_attach(&kit, "a", NULL, NULL);
  weir_stream *second;
  struct kit other;
  weir_notice notice;

  kit_publish(stream, "x", "y");
  kit_init(&other);
  other.options.log = &storage.log;
  other.chance = 43;
  kit_hub(&other);
  second = kit_open(&other, "a");
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_EFENCED);
  ck_assert_int_eq(weir_stream_end(second, "ok", 2, 0, NULL), WEIR_OK);
  ck_assert_int_eq(weir_hub_hint(kit.hub, "a", 1, 2), WEIR_OK);
  notice = next_of_stream();
  ck_assert_int_eq(notice.kind, WEIR_NOTICE_CANCELLED);
  ck_assert_int_eq(notice.error, WEIR_EFENCED);
  notice = next_of_stream();
  ck_assert_int_eq(notice.kind, WEIR_NOTICE_ENDED);
  ck_assert_int_eq(notice.error, WEIR_OK);
  weir_stream_release(second);
  kit_end(&other);
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* The error of a `decided` notice comes with the time to come back. */
START_TEST(a_late_refusal_has_a_time_to_come_back) {
  weir_attach_options options = kit_attach_options("a", NULL);
  weir_subscriber *subscriber = NULL;
  weir_notice notice;
  int verdict;

  storage.later = true;
  options.retry = 7000;
  options.retry_jitter = 0;
  testlog_fail(&storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE, WEIR_ELOG);
  ck_assert_int_eq(weir_hub_attach(kit.hub, &options, &subscriber, &verdict),
                   WEIR_OK);
  ck_assert_int_eq(verdict, WEIR_VERDICT_PENDING);
  testlog_deliver_all(&storage);
  notice = kit_next(&kit);
  ck_assert_int_eq(notice.kind, WEIR_NOTICE_DECIDED);
  ck_assert_int_eq(notice.error, WEIR_ELOG);
  ck_assert_uint_eq(notice.retry, 7000);
  weir_subscriber_release(subscriber);
  /* So for a stream that is not there: a host may answer with 200. */
  ck_assert_int_eq(weir_hub_attach(kit.hub, &options, &subscriber, &verdict),
                   WEIR_OK);
  testlog_deliver_all(&storage);
  notice = kit_next(&kit);
  ck_assert_int_eq(notice.error, WEIR_OK);
  ck_assert_int_eq(notice.verdict, WEIR_VERDICT_UNKNOWN);
  ck_assert_uint_eq(notice.retry, 7000);
  weir_subscriber_release(subscriber);
}
END_TEST

/* Whoever looks may stop what another writes: the reason is kept until the
 * generation has been taken over. */
START_TEST(a_cancel_where_another_writes_keeps_its_reason) {
  weir_open_options options = kit_open_options("a", "l");
  char reason[] = "enough";
  weir_subscriber *reader;
  weir_stream *looker;
  weir_stream *writer;
  struct kit other;

  kit_init(&other);
  other.options.log = &storage.log;
  other.chance = 43;
  kit_hub(&other);
  writer = kit_open(&other, "a");
  options.flags = WEIR_OPEN_LOOK;
  looker = kit_open_with(&kit, &options);
  reader = kit_attach(&kit, "a", NULL, NULL);
  ck_assert_int_eq(kit_skip(reader), WEIR_EAGAIN);
  storage.later = true;
  ck_assert_int_eq(weir_stream_cancel(looker, reason, 6), WEIR_OK);
  memset(reason, 'x', sizeof reason);
  while (testlog_waiting(&storage) != 0) {
    testlog_deliver_all(&storage);
    ck_assert_int_eq(weir_hub_run(kit.hub), WEIR_OK);
  }
  storage.later = false;
  kit_expect_frames(reader, WEIR_EDONE, "done@1 enough");
  weir_subscriber_release(reader);
  weir_stream_release(looker);
  weir_stream_release(writer);
  kit_end(&other);
}
END_TEST

/* The hub and its handles may outlive the file log that they were made with, as
 * long as the hub is freed first. */
START_TEST(handles_outlive_a_file_log) {
  const weir_event event = kit_make_event("x", "y");
  weir_subscriber *subscriber;
  weir_log_file_options options;
  weir_log_file *file = NULL;
  weir_stream *stream;
  weir_bytes bytes;
  weir_log log;
  char path[KIT_DIRECTORY];
  char room[256];
  size_t len;

  kit_directory(path);
  weir_log_file_options_init(&options, sizeof options);
  options.path = path;
  options.sync = _i == 0 ? WEIR_SYNC_NEVER : WEIR_SYNC_ALWAYS;
  ck_assert_int_eq(weir_log_file_open(&options, &file), WEIR_OK);
  weir_log_init(&log, sizeof log);
  ck_assert_int_eq(weir_log_file_get_log(file, &log), WEIR_OK);
  weir_hub_free(kit.hub);
  kit.options.log = &log;
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  while (weir_log_file_begin(file) == WEIR_OK) {
    weir_log_file_run(file);
    ck_assert_int_eq(weir_log_file_end(file), WEIR_OK);
  }
  (void)kit_count(&kit, 0);
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  ck_assert_int_eq(weir_subscriber_peek(subscriber, &bytes, 1, &len), WEIR_OK);
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_OK);
  weir_hub_free(kit.hub);
  kit.hub = NULL;
  ck_assert_int_eq(weir_log_file_close(file), WEIR_OK);
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_EGONE);
  ck_assert_int_eq(weir_subscriber_read(subscriber, room, sizeof room, &len),
                   WEIR_OK);
  ck_assert_uint_ne(len, 0);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* --- Random bits ---------------------------------------------------------- */

static int lazy_entropy(void *user, void *dst, size_t len) {
  (void)user;
  (void)dst;
  (void)len;
  return WEIR_OK;
}

/* Yes is never 0 by accident. */
START_TEST(a_source_that_does_nothing_gives_no_random_bits) {
  weir_log_file_options options;
  weir_log_file *log = NULL;
  weir_hub *hub = NULL;

  kit.options.entropy = lazy_entropy;
  ck_assert_int_eq(weir_hub_new(&kit.options, &hub), WEIR_EENTROPY);
  weir_log_file_options_init(&options, sizeof options);
  options.path = "/nowhere/at/all";
  options.entropy = lazy_entropy;
  ck_assert_int_eq(weir_log_file_open(&options, &log), WEIR_EENTROPY);
  options.entropy = NULL;
  options.reserved[7] = 1;
  ck_assert_int_eq(weir_log_file_open(&options, &log), WEIR_EINVAL);
  options.reserved[7] = 0;
  options.reserved0 = 1;
  ck_assert_int_eq(weir_log_file_open(&options, &log), WEIR_EINVAL);
}
END_TEST

/* A connection that would have been closed sooner is. */
START_TEST(a_drain_puts_nothing_off) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber;

  options.lifetime = 1;
  subscriber = kit_attach_with(&kit, &options);
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  ck_assert_int_eq(weir_hub_drain(kit.hub, UINT32_MAX, 0), WEIR_OK);
  kit_pass(&kit, 0);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "");
  kit_pass(&kit, 1);
  kit_expect_frames(subscriber, WEIR_EDONE, "closing draining");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* So many streams that one turn does not see to all of them; and nobody has to
 * wait for time to pass. */
START_TEST(a_drain_of_many_takes_several_turns) {
  enum { MANY = 300 };
  static weir_subscriber *subscribers[MANY];
  static weir_stream *streams[MANY];
  char key[16];
  size_t closed;
  size_t turns;
  size_t i;

  for (i = 0; i < MANY; ++i) {
    snprintf(key, sizeof key, "%zu", i);
    streams[i] = kit_open(&kit, key);
    subscribers[i] = kit_attach(&kit, key, NULL, NULL);
    ck_assert_int_eq(kit_skip(subscribers[i]), WEIR_EAGAIN);
  }
  (void)kit_count(&kit, 0);
  ck_assert_int_eq(weir_hub_drain(kit.hub, 0, 0), WEIR_OK);
  kit_pass(&kit, 0);
  closed = 0;
  for (turns = 1; closed < MANY; ++turns) {
    ck_assert_int_eq(weir_hub_get_timeout(kit.hub), 0);
    kit_pass(&kit, 0);
    for (closed = 0, i = 0; i < MANY; ++i) {
      closed += kit_skip(subscribers[i]) == WEIR_EDONE;
    }
    ck_assert(turns > 1 || closed < MANY);
    ck_assert_uint_lt(turns, 100);
  }
  for (i = 0; i < MANY; ++i) {
    weir_subscriber_release(subscribers[i]);
    weir_stream_release(streams[i]);
  }
}
END_TEST

START_TEST(a_hint_without_a_log_is_none) {
  static const char long_key[1000000];
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);

  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  ck_assert_int_eq(weir_hub_hint(kit.hub, "a", 1, 7), WEIR_OK);
  /* No key is as long. */
  ck_assert_int_eq(weir_hub_hint(kit.hub, long_key, sizeof long_key, 7),
                   WEIR_OK);
  kit_pass(&kit, 0);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "");
  ck_assert_uint_eq(info_of(stream).last, 0);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

static weir_stream *doomed;

static void release_doomed(void *user, const weir_trace *trace) {
  (void)user;
  (void)trace;
  weir_stream_release(doomed);
  doomed = NULL;
}

/* The last that stands for a generation. */
START_TEST(a_handle_is_released_in_a_trace) {
  weir_open_options options = kit_open_options("a", NULL);
  weir_stream *streams[3];
  size_t live;
  int i;

  options.on_duplicate = WEIR_DUPLICATE_REPLACE;
  weir_hub_free(kit.hub);
  doomed = NULL;
  kit.options.trace = release_doomed;
  kit_hub(&kit);
  for (i = 0; i < 3; ++i) {
    streams[i] = kit_open_with(&kit, &options);
  }
  (void)kit_count(&kit, 0);
  live = kit.memory.live;
  doomed = streams[0];
  ck_assert_int_eq(weir_stream_end(streams[2], "ok", 2, 0, NULL), WEIR_OK);
  ck_assert_ptr_null(doomed);
  kit_pass(&kit, 0);
  ck_assert_uint_lt(kit.memory.live, live);
  ck_assert_int_eq(info_of(streams[2]).status, WEIR_STREAM_ENDED);
  weir_stream_release(streams[1]);
  weir_stream_release(streams[2]);
}
END_TEST

static TCase *without_log(void) {
  TCase *tcase = tcase_create("without a log");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, a_struct_that_is_null_is_an_error);
  tcase_add_test(tcase, what_is_null_has_gone);
  tcase_add_test(tcase, a_handle_that_looks_puts_nothing_in);
  tcase_add_test(tcase, a_hub_freed_in_a_trace_goes_later);
  tcase_add_loop_test(tcase, handles_outlive_a_file_log, 0, 2);
  tcase_add_loop_test(tcase, a_cancel_has_a_reason, 0, 2);
  tcase_add_loop_test(tcase, who_is_shown_out_is_told_why_and_for_how_long, 0,
                      2);
  tcase_add_loop_test(tcase, a_drain_has_a_time_to_come_back, 0, 2);
  tcase_add_test(tcase, no_signal_follows_the_end);
  tcase_add_test(tcase, a_signal_has_no_tag);
  tcase_add_loop_test(tcase, a_type_is_at_most_255_bytes, 0, 3);
  tcase_add_test(tcase, a_comment_is_text);
  tcase_add_test(tcase, the_timers_of_an_answer_know_the_callers_size);
  tcase_add_test(tcase, a_source_that_does_nothing_gives_no_random_bits);
  tcase_add_test(tcase, a_drain_puts_nothing_off);
  tcase_add_test(tcase, a_drain_of_many_takes_several_turns);
  tcase_add_test(tcase, a_hint_without_a_log_is_none);
  tcase_add_test(tcase, a_handle_is_released_in_a_trace);
  return tcase;
}

static TCase *with_log(void) {
  TCase *tcase = tcase_create("with a log");

  tcase_add_checked_fixture(tcase, log_setup, log_teardown);
  tcase_add_loop_test(tcase, the_numbers_of_storage_stay_there, 0, 17);
  tcase_add_loop_test(tcase, an_answer_with_what_nobody_knows_is_none, 0, 4);
  tcase_add_loop_test(tcase, a_record_with_what_nobody_knows_is_none, 0, 3);
  tcase_add_test(tcase, no_epoch_stands_twice);
  tcase_add_test(tcase, nothing_is_closed_inside_an_answer);
  tcase_add_test(tcase, a_notice_keeps_its_error);
  tcase_add_test(tcase, a_cancel_where_another_writes_keeps_its_reason);
  tcase_add_test(tcase, a_late_refusal_has_a_time_to_come_back);
  return tcase;
}

KIT_MAIN("contract", without_log(), with_log())
