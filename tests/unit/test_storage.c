/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Writing through a log: what is stored, what is refused, what nobody knows;
 * and who may write. */

#include "../bench.h"

#include <string.h>

static struct bench bench;
static struct testlog *const storage = &bench.log;
static struct kit *const a = &bench.a;
static struct kit *const b = &bench.b;

static void setup(void) {
  bench_init(&bench);
}

static void teardown(void) {
  bench_end(&bench);
}

/* A stream of the first hub whose handle is called p. */
static weir_stream *open_named(void) {
  const weir_open_options options = kit_open_options("k", "p");
  weir_stream *stream = kit_open_with(a, &options);

  bench_rest(&bench);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_LIVE);
  kit_count(a, 0);
  return stream;
}

static int publish(weir_stream *stream, uint64_t tag, const char *data) {
  weir_event event = kit_make_event("x", data);

  event.tag = tag;
  return weir_stream_publish(stream, &event, 1, NULL);
}

static int end(weir_stream *stream, uint64_t tag) {
  return weir_stream_end(stream, "ok", 2, tag, NULL);
}

/* What a client that begins now on a hub sees of the stream, from the start. */
static void expect_all(struct kit *kit, int rv, const char *text) {
  weir_subscriber *reader = bench_attach(&bench, kit, "k", NULL);

  ck_assert_ptr_nonnull(reader);
  bench_expect(&bench, reader, rv, text);
  weir_subscriber_release(reader);
}

/* --- Stored before sent -------------------------------------------------- */

START_TEST(r20_nothing_is_sent_before_it_is_stored) {
  weir_subscriber *reader;
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  stream = open_named();
  reader = bench_attach(&bench, a, "k", NULL);
  kit_expect_frames(reader, WEIR_EAGAIN, "ready@0 fresh");
  ck_assert_int_eq(publish(stream, 7, "1"), WEIR_OK);
  kit_pass(a, 0);
  kit_expect_notices(a, "");
  kit_expect_frames(reader, WEIR_EAGAIN, "");
  ck_assert_uint_eq(bench_info(stream).last, 0);
  ck_assert_uint_eq(bench_info(stream).pending, 1);
  testlog_deliver(storage, 0);
  kit_expect_notices(a, "readable; p stored 7=1");
  kit_expect_frames(reader, WEIR_EAGAIN, "x@1 1");
  ck_assert_uint_eq(bench_info(stream).last, 1);
  ck_assert_uint_eq(bench_info(stream).pending, 0);
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* One append is in flight; what is published meanwhile goes in the next, all of
 * it. */
START_TEST(r22_events_go_in_groups) {
  weir_stream *stream;
  uint64_t i;

  storage->later = true;
  bench_hub(&bench);
  stream = open_named();
  for (i = 1; i <= 100; ++i) {
    ck_assert_int_eq(publish(stream, i % 50 == 0 ? i : 0, "d"), WEIR_OK);
    kit_pass(a, 0);
    ck_assert_uint_eq(testlog_waiting(storage), 1);
    ck_assert_uint_eq(storage->calls[TESTLOG_APPEND], 1);
  }
  ck_assert_int_eq(end(stream, 200), WEIR_OK);
  ck_assert_uint_eq(bench_info(stream).pending, 101);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_ENDING);
  testlog_deliver(storage, 0);
  kit_pass(a, 0);
  ck_assert_uint_eq(storage->calls[TESTLOG_APPEND], 2);
  ck_assert_uint_eq(storage->batch, 100);
  ck_assert_uint_eq(bench_info(stream).last, 1);
  testlog_deliver(storage, 0);
  ck_assert_uint_eq(bench_info(stream).last, 101);
  ck_assert_uint_eq(bench_info(stream).ended, 101);
  ck_assert_uint_eq(bench_info(stream).pending, 0);
  kit_expect_notices(
      a, "p stored 50=50; p stored 100=100; p stored 200=101; p ended 101");
  weir_stream_release(stream);
}
END_TEST

/* A batch has consecutive numbers, and what was published before it comes
 * before it. */
START_TEST(r22_batches_are_whole_and_in_order) {
  weir_event events[40];
  weir_stream *stream;
  uint64_t last;
  size_t i;

  storage->later = (_i & 1) != 0;
  storage->encoded = (_i & 2) != 0;
  bench_hubs(&bench);
  stream = open_named();
  for (i = 0; i < 40; ++i) {
    events[i] = kit_make_event("y", "d");
    events[i].tag = i;
  }
  ck_assert_int_eq(publish(stream, 0, "1"), WEIR_OK);
  ck_assert_int_eq(weir_stream_publish(stream, events, 3, &last), WEIR_OK);
  ck_assert_uint_eq(last, 4);
  ck_assert_int_eq(weir_stream_publish(stream, events, 40, &last), WEIR_OK);
  ck_assert_uint_eq(last, 44);
  ck_assert_int_eq(weir_stream_publish(stream, events, 1, &last), WEIR_OK);
  ck_assert_uint_eq(last, 45);
  bench_rest(&bench);
  ck_assert_uint_eq(bench_info(stream).last, 45);
  ck_assert_uint_eq(testlog_find(storage, "k")->count, 45);
  for (i = 1; i < 45; ++i) {
    ck_assert_str_eq(testlog_event(testlog_find(storage, "k"), i + 1)->type,
                     "y");
  }
  weir_stream_release(stream);
}
END_TEST

/* The bytes of a replay are those that were sent live: from storage that keeps
 * frames, and from storage that keeps what was published. */
START_TEST(r04_replay_and_live_are_the_same_bytes) {
  static const char *const datas[] = {"", "1", "a\nb\r\nc\rd", "\xe2\x82\xac",
                                      "{\"a\":[1,2]}"};
  weir_open_options options = kit_open_options("k", "p");
  struct kit_bytes live = {NULL, 0, 0};
  struct kit_bytes replay = {NULL, 0, 0};
  weir_subscriber *reader;
  weir_stream *stream;
  weir_event event;
  size_t i;

  storage->encoded = (_i & 1) != 0;
  options.flags = (_i & 2) != 0 ? WEIR_OPEN_ENVELOPE : 0;
  options.members = "\"m\":1";
  options.members_len = 5;
  bench_hub(&bench);
  stream = kit_open_with(a, &options);
  reader = bench_attach(&bench, a, "k", NULL);
  for (i = 0; i < sizeof datas / sizeof datas[0]; ++i) {
    event = kit_make_event(i % 2 == 0 ? "x" : "", datas[i]);
    event.flags = datas[i][0] == '{' ? WEIR_EVENT_JSON : 0;
    ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_OK);
  }
  ck_assert_int_eq(weir_stream_fail(stream, "c", 1, "m", 1, 0, NULL), WEIR_OK);
  ck_assert_int_eq(kit_pull(reader, &live), WEIR_EDONE);
  weir_subscriber_release(reader);
  weir_stream_release(stream);
  bench_restart(&bench);
  reader = bench_attach(&bench, a, "k", NULL);
  ck_assert_int_eq(kit_pull(reader, &replay), WEIR_EDONE);
  weir_subscriber_release(reader);
  /* From the first event on: `retry` of the first frame is drawn. */
  ck_assert_str_eq(strstr(live.data, "\n\n"), strstr(replay.data, "\n\n"));
  kit_bytes_free(&live);
  kit_bytes_free(&replay);
}
END_TEST

/* Events that wait for storage have a limit. */
START_TEST(events_that_wait_have_a_limit) {
  weir_event events[6];
  weir_stream *stream;
  int i;

  for (i = 0; i < 6; ++i) {
    events[i] = kit_make_event("x", "d");
  }
  storage->later = true;
  a->options.max_pending = 4;
  bench_hub(&bench);
  stream = open_named();
  ck_assert_int_eq(weir_stream_publish(stream, events, 3, NULL), WEIR_OK);
  ck_assert_int_eq(weir_stream_publish(stream, events, 2, NULL), WEIR_EPENDING);
  ck_assert_int_eq(weir_stream_publish(stream, events, 1, NULL), WEIR_OK);
  ck_assert_int_eq(weir_stream_publish(stream, events, 1, NULL), WEIR_EPENDING);
  bench_rest(&bench);
  /* What is larger than the limit has its turn when nothing waits. */
  ck_assert_int_eq(weir_stream_publish(stream, events, 6, NULL), WEIR_OK);
  ck_assert_int_eq(weir_stream_publish(stream, events, 1, NULL), WEIR_EPENDING);
  /* An end is never too much. */
  ck_assert_int_eq(end(stream, 0), WEIR_OK);
  bench_rest(&bench);
  ck_assert_uint_eq(bench_info(stream).ended, 11);
  weir_stream_release(stream);
}
END_TEST

/* --- Refused ------------------------------------------------------------- */

/* A refusal fails the stream in the open: its publisher hears it from the call,
 * clients get a frame that says so, and no id of what was refused is ever
 * seen. */
START_TEST(r37_refused_at_once) {
  weir_subscriber *reader;
  weir_stream *stream;

  bench_hub(&bench);
  stream = open_named();
  reader = bench_attach(&bench, a, "k", NULL);
  bench_publish(&bench, stream, 2);
  testlog_fail(storage, TESTLOG_APPEND, 1,
               _i == 0 ? TESTLOG_REFUSE : TESTLOG_RETURN, WEIR_ELOG);
  kit_expect_frames(reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1; x@2 2");
  ck_assert_int_eq(publish(stream, 7, "3"), WEIR_ELOG);
  /* The call has said it; there is no notice `stored`. */
  kit_expect_notices(a, "p ended -16; closing");
  kit_expect_frames(reader, WEIR_EDONE, "failed log_refused ");
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FAILED);
  ck_assert_uint_eq(bench_info(stream).failed, 1);
  ck_assert_uint_eq(bench_info(stream).last, 2);
  ck_assert_uint_eq(bench_info(stream).pending, 0);
  ck_assert_int_eq(publish(stream, 0, "4"), WEIR_EENDED);
  ck_assert_int_eq(end(stream, 0), WEIR_EENDED);
  ck_assert_int_eq(weir_stream_cancel(stream, NULL, 0), WEIR_EENDED);
  /* What was stored stays readable. */
  expect_all(a, WEIR_EDONE, "ready@0 fresh; x@1 1; x@2 2; failed log_refused ");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

START_TEST(r37_refused_later) {
  weir_subscriber *reader;
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  stream = open_named();
  reader = bench_attach(&bench, a, "k", NULL);
  bench_publish(&bench, stream, 1);
  kit_expect_frames(reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE,
               _i == 0 ? WEIR_ELOG : WEIR_EUNKNOWN);
  ck_assert_int_eq(publish(stream, 7, "2"), WEIR_OK);
  ck_assert_int_eq(publish(stream, 8, "3"), WEIR_OK);
  ck_assert_int_eq(end(stream, 9), WEIR_OK);
  testlog_deliver(storage, 0);
  kit_expect_notices(a, _i == 0
                            ? "p stored 7 -16; closing; "
                              "p stored 8 -16; p stored 9 -16; p ended -16"
                            : "p stored 7 -17; closing; "
                              "p stored 8 -17; p stored 9 -17; p ended -17");
  kit_expect_frames(reader, WEIR_EDONE,
                    _i == 0 ? "failed log_refused " : "failed log_unknown ");
  ck_assert_uint_eq(bench_info(stream).pending, 0);
  ck_assert_uint_eq(storage->calls[TESTLOG_APPEND], 2);
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* The end that says so is tried again until it is in the log: under a new
 * epoch, since nobody knows what an answer that was lost has left there; after
 * 1 s, then 2, 4, 8, and every 12. It says what clients were told. */
START_TEST(r33_the_failure_gets_into_the_log) {
  static const uint64_t pauses[] = {1000, 2000, 4000, 8000, 12000, 12000};
  weir_stream *stream;
  size_t i;

  bench_hubs(&bench);
  stream = open_named();
  bench_publish(&bench, stream, 2);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE,
               _i == 0 ? WEIR_ELOG : WEIR_EUNKNOWN);
  ck_assert_int_lt(publish(stream, 0, "3"), 0);
  for (i = 0; i < 6; ++i) {
    /* Either of whether another writes it, or of the take-over. */
    testlog_fail(storage, TESTLOG_OPEN, 1 + i % 2, TESTLOG_REFUSE, WEIR_ELOG);
    kit_pass(a, pauses[i] - 1);
    ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], i / 2);
    kit_pass(a, 1);
    ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], (i + 1) / 2);
    storage->plan_count = 0;
    ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FAILED);
  }
  kit_pass(a, 12000);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_ENDED);
  ck_assert_uint_eq(bench_info(stream).ended, 3);
  ck_assert_uint_eq(bench_info(stream).failed, 1);
  ck_assert_uint_eq(testlog_find(storage, "k")->epoch_count, 2);
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 3);
  ck_assert_uint_eq(testlog_event(testlog_find(storage, "k"), 3)->flags,
                    WEIR_RECORD_END | WEIR_RECORD_FAILED | WEIR_RECORD_JSON);
  /* The producer has been told once. */
  kit_expect_notices(a, _i == 0 ? "p ended -16" : "p ended -17");
  /* Everywhere, and for those who come back: the same. */
  expect_all(a, WEIR_EDONE,
             _i == 0 ? "ready@0 fresh; x@1 1; x@2 2; failed@3 log_refused "
                     : "ready@0 fresh; x@1 1; x@2 2; failed@3 log_unknown ");
  expect_all(b, WEIR_EDONE,
             _i == 0 ? "ready@0 fresh; x@1 1; x@2 2; failed@3 log_refused "
                     : "ready@0 fresh; x@1 1; x@2 2; failed@3 log_unknown ");
  weir_stream_release(stream);
}
END_TEST

/* The append of that end is tried as often as its takeover. */
START_TEST(r33_the_append_of_the_failure_is_tried_again_too) {
  weir_stream *stream;

  storage->later = _i != 0;
  bench_hub(&bench);
  stream = open_named();
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  testlog_fail(storage, TESTLOG_APPEND, 2, TESTLOG_REFUSE, WEIR_ELOG);
  testlog_fail(storage, TESTLOG_APPEND, 3, TESTLOG_CONFUSE, WEIR_EUNKNOWN);
  (void)publish(stream, 0, "1");
  bench_rest(&bench);
  bench_pass(&bench, 1000);
  ck_assert_uint_eq(storage->calls[TESTLOG_APPEND], 2);
  bench_pass(&bench, 2000);
  ck_assert_uint_eq(storage->calls[TESTLOG_APPEND], 3);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FAILED);
  /* That one has been stored after all, which the next takeover finds out. */
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 1);
  bench_pass(&bench, 4000);
  ck_assert_uint_eq(storage->calls[TESTLOG_APPEND], 3);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_ENDED);
  ck_assert_uint_eq(testlog_find(storage, "k")->count, 1);
  weir_stream_release(stream);
}
END_TEST

/* Without anybody there it is the same: whoever comes later gets the failure,
 * and does not wait for ever. */
START_TEST(r35_a_failure_without_clients) {
  weir_stream *stream;

  bench_hub(&bench);
  stream = open_named();
  bench_publish(&bench, stream, 1);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  ck_assert_int_eq(publish(stream, 0, "2"), WEIR_ELOG);
  weir_stream_release(stream);
  expect_all(a, WEIR_EDONE, "ready@0 fresh; x@1 1; failed log_refused ");
  kit_pass(a, 1000);
  bench_restart(&bench);
  expect_all(a, WEIR_EDONE, "ready@0 fresh; x@1 1; failed@2 log_refused ");
}
END_TEST

/* There is one end, whatever comes together. */
START_TEST(r36_one_end) {
  weir_stream *stream;
  weir_stream *other;

  storage->later = true;
  bench_hub(&bench);
  stream = open_named();
  other = bench_open(&bench, a, "k");
  ck_assert_int_eq(end(stream, 0), WEIR_OK);
  ck_assert_int_eq(weir_stream_fail(stream, "c", 1, "m", 1, 0, NULL),
                   WEIR_EENDED);
  ck_assert_int_eq(end(other, 0), WEIR_EENDED);
  ck_assert_int_eq(weir_stream_cancel(other, NULL, 0), WEIR_EENDED);
  ck_assert_int_eq(publish(other, 0, "late"), WEIR_EENDED);
  bench_rest(&bench);
  ck_assert_int_eq(end(other, 0), WEIR_EENDED);
  ck_assert_uint_eq(testlog_find(storage, "k")->count, 1);
  weir_stream_release(stream);
  weir_stream_release(other);
}
END_TEST

/* Storage does not say whether it stored, and has: a number that a client may
 * have seen elsewhere is not given to anything else. */
START_TEST(race09_unknown_and_stored) {
  weir_subscriber *reader;
  weir_stream *stream;
  int verdict;

  bench_hubs(&bench);
  stream = open_named();
  bench_publish(&bench, stream, 1);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_CONFUSE, WEIR_EUNKNOWN);
  ck_assert_int_eq(publish(stream, 0, "2"), WEIR_EUNKNOWN);
  reader = bench_attach(&bench, b, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1; x@2 2");
  kit_pass(a, 1000);
  ck_assert_uint_eq(bench_info(stream).ended, 3);
  expect_all(a, WEIR_EDONE,
             "ready@0 fresh; x@1 1; x@2 2; failed@3 log_unknown ");
  bench_pass(&bench, 12000);
  bench_expect(&bench, reader, WEIR_EDONE, "failed@3 log_unknown ");
  weir_subscriber_release(reader);
  /* And it is not lost either for who has it. */
  reader =
      bench_resume(&bench, a, "k", bench_info(stream).generation, 2, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
  bench_expect(&bench, reader, WEIR_EDONE,
               "ready@2 resumed; failed@3 log_unknown ");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* And has not. */
START_TEST(race09_unknown_and_not_stored) {
  weir_stream *stream;

  bench_hub(&bench);
  stream = open_named();
  bench_publish(&bench, stream, 1);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_EUNKNOWN);
  ck_assert_int_eq(publish(stream, 0, "2"), WEIR_EUNKNOWN);
  kit_pass(a, 1000);
  expect_all(a, WEIR_EDONE, "ready@0 fresh; x@1 1; failed@2 log_unknown ");
  ck_assert_uint_eq(bench_info(stream).epoch,
                    testlog_event(testlog_find(storage, "k"), 2)->epoch);
  weir_stream_release(stream);
}
END_TEST

/* An append that is not answered in time is one of unknown outcome. What it
 * does later, it does under an epoch that is not the newest any more. */
START_TEST(race09_an_append_that_comes_after_its_deadline) {
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  stream = open_named();
  bench_publish(&bench, stream, 1);
  storage->slow = true;
  ck_assert_int_eq(publish(stream, 7, "2"), WEIR_OK);
  kit_pass(a, 10000);
  kit_expect_notices(a, "p stored 7 -17; p ended -17");
  kit_pass(a, 1000); /* is it still this hub's? */
  ck_assert_uint_eq(testlog_waiting(storage), 2);
  testlog_deliver(storage, 1);
  kit_pass(a, 0); /* the takeover */
  testlog_deliver(storage, 1);
  testlog_deliver(storage, 0); /* is refused: it is fenced */
  ck_assert_int_eq(storage->answered, WEIR_ESTALE);
  bench_rest(&bench);
  expect_all(a, WEIR_EDONE, "ready@0 fresh; x@1 1; failed@2 log_unknown ");
  weir_stream_release(stream);
}
END_TEST

/* The frames of one that is not answered stay as they are, whatever is put
 * behind those that are committed. (Storage sees to it.) */
START_TEST(frames_of_a_late_append) {
  weir_stream *stream;
  int i;

  bench_hub(&bench);
  stream = open_named();
  bench_publish(&bench, stream, 2);
  storage->later = true;
  storage->slow = true;
  ck_assert_int_eq(publish(stream, 7, "a long text"), WEIR_OK);
  ck_assert_int_eq(publish(stream, 8, "and another"), WEIR_OK);
  for (i = 0; i < 40; ++i) {
    kit_pass(a, 1000);
    while (testlog_waiting(storage) > 1) {
      testlog_deliver(storage, 1);
    }
  }
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 3);
  testlog_deliver(storage, 0);
  ck_assert_int_eq(storage->answered, WEIR_ESTALE);
  bench_rest(&bench);
  expect_all(a, WEIR_EDONE,
             "ready@0 fresh; x@1 1; x@2 2; failed@3 log_unknown ");
  weir_stream_release(stream);
}
END_TEST

/* A new generation may begin while the end of the failed one is not logged
 * yet; that goes on in the background. */
START_TEST(a_failed_stream_can_be_opened_anew) {
  weir_stream *next;
  weir_stream *stream;

  bench_hub(&bench);
  stream = open_named();
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  ck_assert_int_eq(publish(stream, 0, "1"), WEIR_ELOG);
  next = bench_open(&bench, a, "k");
  ck_assert_uint_eq(bench_info(next).joined, 0);
  bench_publish(&bench, next, 1);
  kit_pass(a, 1000);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_ENDED);
  ck_assert_uint_eq(testlog_find(storage, "k")->older->ended, 1);
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 0);
  expect_all(a, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  weir_stream_release(next);
  weir_stream_release(stream);
}
END_TEST

/* A generation whose time is over stays as long as the one before it waits for
 * its end to be stored; then both are forgotten. */
START_TEST(r36_an_end_that_outlives_the_next_generation) {
  weir_open_options options = kit_open_options("k", NULL);
  weir_stream *next;
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  stream = open_named();
  bench_publish(&bench, stream, 1);
  ck_assert_int_eq(end(stream, 7), WEIR_OK); /* not answered yet */
  options.linger = 1000;
  next = kit_open_with(a, &options);
  kit_pass(a, 0);
  testlog_deliver(storage, 1); /* it is begun */
  kit_pass(a, 0);
  ck_assert_int_eq(bench_info(next).status, WEIR_STREAM_LIVE);
  ck_assert_int_eq(end(next, 0), WEIR_OK);
  testlog_deliver(storage, 1);
  ck_assert_int_eq(bench_info(next).status, WEIR_STREAM_ENDED);
  weir_stream_release(next);
  kit_pass(a, 1000);
  ck_assert_uint_eq(bench_hub_info(a).streams, 1);
  testlog_deliver(storage, 0);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_ENDED);
  kit_expect_notices(a, "p stored 7=2; p ended 2");
  kit_pass(a, 3600000);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
  weir_stream_release(stream);
}
END_TEST

/* A take-over waits for what is under way, and goes on as soon as that has
 * failed: the generation may be forgotten soon. */
START_TEST(race09_an_open_that_waits_for_a_failure) {
  weir_open_options options = kit_open_options("k", NULL);
  weir_stream *second;
  weir_stream *stream;
  weir_stream *third;

  storage->later = true;
  bench_hubs(&bench);
  options.linger = 100;
  stream = kit_open_with(a, &options);
  bench_rest(&bench);
  bench_publish(&bench, stream, 1);
  ck_assert_int_eq(publish(stream, 0, "2"), WEIR_OK); /* not answered */
  second = kit_open(b, "k");
  while (bench_info(second).status == WEIR_STREAM_OPENING) {
    testlog_deliver(storage, testlog_waiting(storage) - 1);
    kit_pass(b, 0);
  }
  /* This hub learns of it, and wants it back. */
  ck_assert_int_eq(weir_stream_trim(stream, 1), WEIR_OK);
  testlog_deliver(storage, 1);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FENCED);
  third = kit_open(a, "k");
  ck_assert_uint_eq(testlog_waiting(storage), 1);
  kit_pass(a, 10000);
  kit_pass(a, 500);
  testlog_deliver_all(storage);
  kit_pass(a, 0);
  testlog_deliver_all(storage);
  kit_pass(a, 0);
  ck_assert_int_ne(bench_info(third).status, WEIR_STREAM_OPENING);
  weir_stream_release(third);
  weir_stream_release(second);
  weir_stream_release(stream);
}
END_TEST

/* --- Answers that are wrong ---------------------------------------------- */

static void bend_last(weir_answer *answer, weir_epoch *epochs,
                      weir_record *records) {
  (void)records;
  answer->last += 1;
  epochs[answer->epoch_count - 1].last += 1;
}

static void bend_back(weir_answer *answer, weir_epoch *epochs,
                      weir_record *records) {
  (void)records;
  answer->last -= 1;
  epochs[answer->epoch_count - 1].last -= 1;
}

static void bend_epoch(weir_answer *answer, weir_epoch *epochs,
                       weir_record *records) {
  (void)records;
  epochs[answer->epoch_count - 1].epoch ^= 1;
}

static void bend_no_epochs(weir_answer *answer, weir_epoch *epochs,
                           weir_record *records) {
  (void)epochs;
  (void)records;
  answer->epochs = NULL;
}

static void bend_epoch_count(weir_answer *answer, weir_epoch *epochs,
                             weir_record *records) {
  (void)epochs;
  (void)records;
  answer->epoch_count = 0;
}

static void bend_zero_epoch(weir_answer *answer, weir_epoch *epochs,
                            weir_record *records) {
  (void)answer;
  (void)records;
  epochs[0].epoch = 0;
}

static void bend_trimmed(weir_answer *answer, weir_epoch *epochs,
                         weir_record *records) {
  (void)epochs;
  (void)records;
  answer->trimmed = answer->last + 1;
}

static void bend_ended(weir_answer *answer, weir_epoch *epochs,
                       weir_record *records) {
  (void)epochs;
  (void)records;
  answer->ended = answer->last;
}

static void bend_ended_before(weir_answer *answer, weir_epoch *epochs,
                              weir_record *records) {
  (void)epochs;
  (void)records;
  answer->ended = answer->last - 1;
}

static void bend_disagree(weir_answer *answer, weir_epoch *epochs,
                          weir_record *records) {
  (void)records;
  epochs[answer->epoch_count - 1].last -= 1;
}

static void bend_number(weir_answer *answer, weir_epoch *epochs,
                        weir_record *records) {
  (void)records;
  answer->last = UINT64_MAX;
  epochs[answer->epoch_count - 1].last = UINT64_MAX;
}

static testlog_bend *const wrong_states[] = {
    bend_last,         bend_back,       bend_epoch,   bend_no_epochs,
    bend_epoch_count,  bend_zero_epoch, bend_trimmed, bend_ended,
    bend_ended_before, bend_disagree,   bend_number};
#define WRONG_STATES ((int)(sizeof wrong_states / sizeof wrong_states[0]))

/* A yes to an append whose state does not say what it has to is none: nobody
 * knows what has been stored. Readers go on with what was known. */
START_TEST(an_append_is_confirmed_by_its_state) {
  weir_stream *stream;

  bench_hub(&bench);
  stream = open_named();
  bench_publish(&bench, stream, 2);
  testlog_plan_bend(storage, TESTLOG_APPEND, 1, wrong_states[_i]);
  ck_assert_int_eq(publish(stream, 7, "3"), WEIR_EUNKNOWN);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FAILED);
  ck_assert_uint_eq(bench_info(stream).last, 2);
  ck_assert_uint_eq(bench_info(stream).trimmed, 0);
  ck_assert_uint_eq(bench_info(stream).ended, 0);
  expect_all(a, WEIR_EDONE, "ready@0 fresh; x@1 1; x@2 2; failed log_unknown ");
  kit_pass(a, 1000);
  expect_all(a, WEIR_EDONE,
             "ready@0 fresh; x@1 1; x@2 2; x@3 3; failed@4 log_unknown ");
  weir_stream_release(stream);
}
END_TEST

/* So is that of an end. */
static void bend_not_ended(weir_answer *answer, weir_epoch *epochs,
                           weir_record *records) {
  (void)epochs;
  (void)records;
  answer->ended = 0;
}

START_TEST(an_end_is_confirmed_by_its_state) {
  weir_stream *stream;

  bench_hub(&bench);
  stream = open_named();
  testlog_plan_bend(storage, TESTLOG_APPEND, 1, bend_not_ended);
  ck_assert_int_eq(end(stream, 0), WEIR_EUNKNOWN);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FAILED);
  kit_pass(a, 1000);
  /* It was there all the time. */
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_ENDED);
  expect_all(a, WEIR_EDONE, "ready@0 fresh; done@1 ok");
  weir_stream_release(stream);
}
END_TEST

static void bend_shared(weir_answer *answer, weir_epoch *epochs,
                        weir_record *records) {
  (void)epochs;
  (void)records;
  answer->shared ^= 1;
}

static void bend_meta(weir_answer *answer, weir_epoch *epochs,
                      weir_record *records) {
  (void)epochs;
  (void)records;
  answer->meta_len -= 1;
}

/* A lookup, a beginning and a taking over whose answers are wrong are refused;
 * the handle is given back, and the next one works. */
START_TEST(opens_are_confirmed_by_their_state) {
  static const int nths[] = {1, 2, 1};
  testlog_bend *const bends[] = {bend_no_epochs, bend_zero_epoch, bend_disagree,
                                 bend_trimmed,   bend_epoch,      bend_last,
                                 bend_shared,    bend_meta};
  weir_open_options options = kit_open_options("k", NULL);
  weir_stream *stream = NULL;
  const int mode = _i % 3; /* 0: LOOKUP; 1: CREATE; 2: TAKE */
  const int bend = _i / 3;
  int rv;

  bench_hubs(&bench);
  if (mode != 1) {
    stream = bench_open(&bench, b, "k");
    bench_publish(&bench, stream, 1);
    weir_stream_release(stream);
    stream = NULL;
  }
  if (mode == 2) {
    expect_all(a, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  }
  testlog_plan_bend(storage, TESTLOG_OPEN, (size_t)nths[mode], bends[bend]);
  rv = weir_hub_open(a->hub, &options, &stream);
  if ((bend == 5 && mode != 1) || (bend == 7 && mode != 0) ||
      (bend == 4 && mode == 0)) {
    /* Nothing contradicts what is known; or nobody wants to know; or what was
     * said to be there is not, which the takeover finds out. */
    ck_assert_int_eq(rv, WEIR_OK);
    weir_stream_release(stream);
    return;
  }
  ck_assert_int_eq(rv, WEIR_ELOG);
  ck_assert_ptr_null(stream);
  kit_pass(a, 0);
  ck_assert_uint_eq(storage->handles, mode == 0 ? 1 : mode == 1 ? 0 : 2);
  stream = bench_open(&bench, a, "k");
  bench_publish(&bench, stream, 1);
  weir_stream_release(stream);
}
END_TEST

/* It knows the epochs up to the one before ours. */
static void bend_older(weir_answer *answer, weir_epoch *epochs,
                       weir_record *records) {
  (void)records;
  answer->epoch_count -= 1;
  answer->last = epochs[answer->epoch_count - 1].last;
}

START_TEST(an_answer_of_an_older_epoch_confirms_nothing) {
  weir_stream *stream;

  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 1);
  weir_stream_release(stream);
  stream = open_named();
  testlog_plan_bend(storage, TESTLOG_APPEND, 1, bend_older);
  ck_assert_int_eq(publish(stream, 0, "2"), WEIR_EUNKNOWN);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FAILED);
  ck_assert_uint_eq(bench_info(stream).last, 1);
  weir_stream_release(stream);
}
END_TEST

/* Another has taken it over since. */
static void bend_overtaken(weir_answer *answer, weir_epoch *epochs,
                           weir_record *records) {
  (void)records;
  epochs[answer->epoch_count].epoch = 4711;
  epochs[answer->epoch_count].last = answer->last;
  answer->epoch_count += 1;
}

/* What has just been begun cannot have been taken over yet; who has taken over,
 * and is not the writer any more, may not write. */
START_TEST(an_open_that_another_has_overtaken) {
  weir_open_options options = kit_open_options("k", NULL);
  weir_stream *stream = NULL;

  bench_hubs(&bench);
  if (_i == 1) {
    stream = bench_open(&bench, b, "k");
    bench_publish(&bench, stream, 1);
    weir_stream_release(stream);
    stream = NULL;
  }
  testlog_plan_bend(storage, TESTLOG_OPEN, 2, bend_overtaken);
  ck_assert_int_eq(weir_hub_open(a->hub, &options, &stream),
                   _i == 0 ? WEIR_ELOG : WEIR_EFENCED);
  ck_assert_ptr_null(stream);
  kit_pass(a, 0);
  if (_i == 1) {
    expect_all(a, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  }
}
END_TEST

/* A function may say no by itself. */
START_TEST(a_refusal_without_an_answer) {
  weir_stream *stream;

  bench_hub(&bench);
  stream = open_named();
  bench_publish(&bench, stream, 1);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_RETURN,
               _i == 0 ? WEIR_EFENCED : WEIR_EENDED);
  ck_assert_int_eq(publish(stream, 0, "2"),
                   _i == 0 ? WEIR_EFENCED : WEIR_EENDED);
  ck_assert_uint_eq(bench_info(stream).last, 1);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FENCED);
  expect_all(a, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  weir_stream_release(stream);
}
END_TEST

/* There is no memory for the frame that says so. Where another takes over after
 * that nothing is left of it. */
START_TEST(a_failure_without_memory_cuts_readers_off) {
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *stream;

  storage->later = true;
  bench_hubs(&bench);
  stream = open_named();
  bench_publish(&bench, stream, 1);
  reader = kit_attach_with(a, &options);
  kit_expect_frames(reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  ck_assert_int_eq(publish(stream, 0, "2"), WEIR_OK);
  a->memory.fail_at = a->memory.calls + 1;
  testlog_deliver(storage, 0);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FAILED);
  if (_i == 0) {
    kit_expect_frames(reader, WEIR_EGONE, "");
    kit_expect_notices(a, "p ended -16; s abort -1");
  } else {
    second = bench_open(&bench, b, "k");
    bench_publish(&bench, second, 1);
    bench_pass(&bench, 1000); /* it wants to log its end */
    storage->later = false;
    testlog_take(storage, "k");
    bench_pass(&bench, 1000);
    weir_stream_release(second);
  }
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* An append fails of which another writer's end says already that it came to
 * nothing: the stream has ended, and has not failed. */
START_TEST(a_refusal_after_anothers_end) {
  weir_stream *second;
  weir_stream *stream;

  storage->later = true;
  storage->current = true;
  bench_hubs(&bench);
  stream = open_named();
  bench_publish(&bench, stream, 1);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  ck_assert_int_eq(publish(stream, 7, "2"), WEIR_OK);
  second = kit_open(b, "k");
  while (bench_info(second).status == WEIR_STREAM_OPENING) {
    testlog_deliver(storage, testlog_waiting(storage) - 1);
    kit_pass(b, 0);
  }
  ck_assert_int_eq(end(second, 0), WEIR_OK);
  testlog_deliver(storage, 1);
  ck_assert_int_eq(weir_stream_trim(stream, 1), WEIR_OK);
  testlog_deliver(storage, 1);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_ENDED);
  testlog_deliver(storage, 0);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_ENDED);
  ck_assert_uint_eq(bench_info(stream).failed, 0);
  kit_expect_notices(a, "p stored 7 -16; p ended 2");
  bench_pass(&bench, 20000);
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 2);
  weir_stream_release(second);
  weir_stream_release(stream);
}
END_TEST

/* Another has ended it, and its time in memory is over, before an append of
 * this hub is answered: who published is told. */
START_TEST(what_is_under_way_is_not_forgotten) {
  weir_open_options options = kit_open_options("k", "p");
  weir_stream *second;
  weir_stream *stream;

  storage->later = true;
  storage->current = true;
  bench_hubs(&bench);
  options.linger = 100;
  stream = kit_open_with(a, &options);
  bench_rest(&bench);
  bench_publish(&bench, stream, 1);
  kit_count(a, 0);
  ck_assert_int_eq(publish(stream, 7, "2"), WEIR_OK);
  second = kit_open(b, "k");
  while (bench_info(second).status == WEIR_STREAM_OPENING) {
    testlog_deliver(storage, testlog_waiting(storage) - 1);
    kit_pass(b, 0);
  }
  ck_assert_int_eq(end(second, 0), WEIR_OK);
  testlog_deliver(storage, 1);
  ck_assert_int_eq(weir_stream_trim(stream, 1), WEIR_OK);
  testlog_deliver(storage, 1);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_ENDED);
  kit_pass(a, 0);
  kit_pass(a, 100);
  ck_assert_uint_eq(bench_hub_info(a).streams, 1);
  testlog_deliver(storage, 0);
  kit_expect_notices(a, "p stored 7=2; p ended 3");
  kit_pass(a, 1000);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
  weir_stream_release(second);
  weir_stream_release(stream);
}
END_TEST

/* Between which places of the stack memory has been given back. */
static struct {
  void (*free)(void *user, void *bytes, size_t size);
  uintptr_t least;
  uintptr_t most;
} depth;

static void free_and_note_depth(void *user, void *bytes, size_t size) {
  const char here = 0;
  const uintptr_t at = (uintptr_t)&here;

  depth.least = at < depth.least ? at : depth.least;
  depth.most = at > depth.most ? at : depth.most;
  depth.free(user, bytes, size);
}

/* A host that goes on replacing what storage has not got the end of makes a
 * chain of generations, however long. The hub forgets all of them from one
 * frame of the stack. */
START_TEST(a_long_chain_is_forgotten_at_one_depth) {
  enum { MANY = 500 };
  weir_stream *stream;
  int i;

  storage->later = true;
  depth.free = a->memory.allocator.free;
  a->memory.allocator.free = free_and_note_depth;
  bench_hub(&bench);
  for (i = 0; i < MANY; ++i) {
    stream = kit_open(a, "k");
    kit_pass(a, 0);
    while (bench_info(stream).status == WEIR_STREAM_OPENING) {
      testlog_deliver(storage, testlog_waiting(storage) - 1);
      kit_pass(a, 0);
    }
    ck_assert_int_eq(end(stream, 0), WEIR_OK); /* not answered */
    weir_stream_release(stream);
    kit_pass(a, 0);
  }
  ck_assert_uint_eq(testlog_waiting(storage), MANY);
  depth.least = UINTPTR_MAX;
  depth.most = 0;
  weir_hub_free(a->hub);
  a->hub = NULL;
  ck_assert_uint_lt(depth.least, depth.most);
  ck_assert_uint_lt(depth.most - depth.least, MANY * 4);
}
END_TEST

/* --- Who writes ---------------------------------------------------------- */

/* Whoever takes a generation over goes on at the next number under a new epoch;
 * the older writer is stopped at its next event, of which nobody sees
 * anything. */
START_TEST(f22_the_older_writer_stops) {
  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *stream;

  storage->later = (_i & 1) != 0;
  storage->current = (_i & 2) != 0;
  bench_hubs(&bench);
  stream = open_named();
  reader = bench_attach(&bench, a, "k", NULL);
  bench_publish(&bench, stream, 2);
  second = bench_open(&bench, b, "k");
  ck_assert_uint_eq(bench_info(second).joined, 1);
  ck_assert_uint_eq(bench_info(second).generation,
                    bench_info(stream).generation);
  ck_assert_uint_ne(bench_info(second).epoch, bench_info(stream).epoch);
  bench_publish(&bench, second, 2);
  ck_assert_int_eq(publish(stream, 7, "ghost"),
                   storage->later ? WEIR_OK : WEIR_EFENCED);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FENCED);
  ck_assert_int_eq(publish(stream, 8, "ghost"), WEIR_EFENCED);
  ck_assert_int_eq(end(stream, 9), WEIR_EFENCED);
  /* Readers here go on with what the other writes. */
  bench_expect(&bench, reader, WEIR_EAGAIN,
               "ready@0 fresh; x@1 1; x@2 2; x@3 3; x@4 4");
  ck_assert_uint_eq(bench_info(stream).last, 4);
  ck_assert_uint_eq(bench_info(stream).epoch, bench_info(second).epoch);
  ck_assert_int_eq(end(second, 0), WEIR_OK);
  bench_pass(&bench, 12000);
  bench_expect(&bench, reader, WEIR_EDONE, "done@5 ok");
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_ENDED);
  weir_subscriber_release(reader);
  weir_stream_release(second);
  weir_stream_release(stream);
}
END_TEST

/* What it had published is answered for, all of it, and its producers are told
 * to stop. */
START_TEST(f22_the_older_writer_is_told) {
  weir_stream *second;
  weir_stream *stream;

  storage->later = true;
  bench_hubs(&bench);
  stream = open_named();
  second = bench_open(&bench, b, "k");
  ck_assert_int_eq(publish(stream, 1, "1"), WEIR_OK);
  ck_assert_int_eq(publish(stream, 2, "2"), WEIR_OK);
  ck_assert_int_eq(end(stream, 3), WEIR_OK);
  bench_rest(&bench);
  kit_expect_notices(
      a, "p stored 1 -12; p stored 2 -12; p stored 3 -12; p cancelled");
  ck_assert_uint_eq(bench_info(stream).pending, 0);
  ck_assert_uint_eq(testlog_find(storage, "k")->count, 0);
  weir_stream_release(second);
  weir_stream_release(stream);
}
END_TEST

/* An append that was stored before another took over is stored, even if its
 * answer comes after that; what waited behind it is not. */
START_TEST(race16_stored_and_then_taken_over) {
  const bool tell = (_i & 2) != 0;
  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *stream;

  storage->later = true;
  storage->current = (_i & 1) != 0;
  bench_hubs(&bench);
  stream = open_named();
  reader = bench_attach(&bench, a, "k", NULL);
  bench_publish(&bench, stream, 1);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  ck_assert_int_eq(publish(stream, 2, "2"), WEIR_OK); /* done, not answered */
  ck_assert_int_eq(publish(stream, 3, "3"), WEIR_OK); /* waits */
  second = kit_open(b, "k");
  while (bench_info(second).status == WEIR_STREAM_OPENING) {
    testlog_deliver(storage, testlog_waiting(storage) - 1);
    kit_pass(b, 0);
  }
  kit_publish(second, "y", "3");
  testlog_deliver(storage, 1);
  if (tell) {
    /* The first hub learns of it in another way before its answer comes. */
    ck_assert_int_eq(weir_stream_trim(stream, 1), WEIR_OK);
    testlog_deliver(storage, 1);
    ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FENCED);
    ck_assert_uint_eq(bench_info(stream).last, 3);
  }
  testlog_deliver(storage, 0);
  ck_assert_int_eq(bench_info(stream).status,
                   _i == 0 ? WEIR_STREAM_LIVE : WEIR_STREAM_FENCED);
  ck_assert_uint_eq(bench_info(stream).last, _i == 0 ? 2 : 3);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FENCED);
  ck_assert_uint_eq(bench_info(stream).last, 3);
  ck_assert_uint_eq(bench_info(stream).pending, 0);
  kit_expect_notices(a, "readable; p stored 2=2; p stored 3 -12; p cancelled");
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@2 2; y@3 3");
  weir_subscriber_release(reader);
  weir_stream_release(second);
  weir_stream_release(stream);
}
END_TEST

/* The same where the other has ended it: also if the answer comes at once. */
static void bend_ended_by_another(weir_answer *answer, weir_epoch *epochs,
                                  weir_record *records) {
  (void)records;
  answer->last += 1;
  epochs[answer->epoch_count].epoch = 4711;
  epochs[answer->epoch_count].last = answer->last;
  answer->epoch_count += 1;
  answer->ended = answer->last;
}

START_TEST(race16_stored_and_then_ended) {
  weir_stream *stream;

  storage->later = _i != 0;
  bench_hub(&bench);
  stream = open_named();
  bench_publish(&bench, stream, 1);
  testlog_plan_bend(storage, TESTLOG_APPEND, 1, bend_ended_by_another);
  ck_assert_int_eq(publish(stream, 2, "2"), WEIR_OK);
  if (storage->later) {
    ck_assert_int_eq(publish(stream, 3, "3"), WEIR_OK); /* waits */
    testlog_deliver(storage, 0);
  }
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_ENDED);
  ck_assert_uint_eq(bench_info(stream).ended, 3);
  ck_assert_uint_eq(bench_info(stream).pending, 0);
  kit_expect_notices(a, storage->later
                            ? "p stored 2=2; p stored 3 -11; p ended 3"
                            : "p stored 2=2; p ended 3");
  ck_assert_int_eq(publish(stream, 4, "4"), WEIR_EENDED);
  weir_stream_release(stream);
}
END_TEST

/* There is no memory for what the answer to an append says beyond that: it is
 * stored, and the rest is asked for. */
START_TEST(an_answer_without_memory) {
  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *stream;

  storage->later = true;
  storage->current = true;
  bench_hubs(&bench);
  stream = open_named();
  reader = bench_attach(&bench, a, "k", NULL);
  bench_publish(&bench, stream, 1);
  ck_assert_int_eq(publish(stream, 2, "2"), WEIR_OK);
  second = kit_open(b, "k");
  while (bench_info(second).status == WEIR_STREAM_OPENING) {
    testlog_deliver(storage, testlog_waiting(storage) - 1);
    kit_pass(b, 0);
  }
  kit_publish(second, "y", "3");
  testlog_deliver(storage, 1);
  a->memory.fail_at = a->memory.calls + 1;
  testlog_deliver(storage, 0);
  ck_assert_uint_ge(a->memory.calls, a->memory.fail_at);
  kit_count(b, 0);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FENCED);
  kit_expect_notices(a, "readable; p stored 2=2; p cancelled");
  bench_expect(&bench, reader, WEIR_EAGAIN,
               "ready@0 fresh; x@1 1; x@2 2; y@3 3");
  weir_subscriber_release(reader);
  weir_stream_release(second);
  weir_stream_release(stream);
}
END_TEST

/* There is none for the call that would take what waits to storage: it goes
 * later, with what has come behind it. */
START_TEST(events_wait_for_memory) {
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  stream = open_named();
  ck_assert_int_eq(publish(stream, 1, "1"), WEIR_OK);
  ck_assert_int_eq(publish(stream, 2, "2"), WEIR_OK);
  testlog_deliver(storage, 0);
  a->memory.fail_at = a->memory.calls + 1;
  kit_pass(a, 0);
  ck_assert_uint_ge(a->memory.calls, a->memory.fail_at);
  ck_assert_uint_eq(testlog_waiting(storage), 0);
  ck_assert_int_eq(publish(stream, 3, "3"), WEIR_OK);
  ck_assert_uint_eq(testlog_waiting(storage), 0);
  ck_assert_uint_eq(bench_info(stream).pending, 2);
  bench_pass(&bench, 1000);
  ck_assert_uint_eq(storage->calls[TESTLOG_APPEND], 2);
  ck_assert_uint_eq(storage->batch, 2);
  kit_expect_notices(a, "p stored 1=1; p stored 2=2; p stored 3=3");
  expect_all(a, WEIR_EAGAIN, "ready@0 fresh; x@1 1; x@2 2; x@3 3");
  weir_stream_release(stream);
}
END_TEST

static TCase *storing(void) {
  TCase *tcase = tcase_create("storing");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, r20_nothing_is_sent_before_it_is_stored);
  tcase_add_test(tcase, r22_events_go_in_groups);
  tcase_add_loop_test(tcase, r22_batches_are_whole_and_in_order, 0, 4);
  tcase_add_loop_test(tcase, r04_replay_and_live_are_the_same_bytes, 0, 4);
  tcase_add_test(tcase, events_that_wait_have_a_limit);
  return tcase;
}

static TCase *refusals(void) {
  TCase *tcase = tcase_create("refusals");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, r37_refused_at_once, 0, 2);
  tcase_add_loop_test(tcase, r37_refused_later, 0, 2);
  tcase_add_loop_test(tcase, r33_the_failure_gets_into_the_log, 0, 2);
  tcase_add_loop_test(tcase, r33_the_append_of_the_failure_is_tried_again_too,
                      0, 2);
  tcase_add_test(tcase, r35_a_failure_without_clients);
  tcase_add_test(tcase, r36_one_end);
  tcase_add_test(tcase, race09_unknown_and_stored);
  tcase_add_test(tcase, race09_unknown_and_not_stored);
  tcase_add_test(tcase, race09_an_append_that_comes_after_its_deadline);
  tcase_add_test(tcase, frames_of_a_late_append);
  tcase_add_test(tcase, a_failed_stream_can_be_opened_anew);
  tcase_add_test(tcase, r36_an_end_that_outlives_the_next_generation);
  tcase_add_test(tcase, race09_an_open_that_waits_for_a_failure);
  tcase_add_loop_test(tcase, an_append_is_confirmed_by_its_state, 0,
                      WRONG_STATES);
  tcase_add_test(tcase, an_end_is_confirmed_by_its_state);
  tcase_add_loop_test(tcase, opens_are_confirmed_by_their_state, 0, 24);
  tcase_add_test(tcase, an_answer_of_an_older_epoch_confirms_nothing);
  tcase_add_loop_test(tcase, an_open_that_another_has_overtaken, 0, 2);
  tcase_add_loop_test(tcase, a_refusal_without_an_answer, 0, 2);
  tcase_add_loop_test(tcase, a_failure_without_memory_cuts_readers_off, 0, 2);
  tcase_add_test(tcase, a_refusal_after_anothers_end);
  tcase_add_test(tcase, what_is_under_way_is_not_forgotten);
  tcase_add_test(tcase, a_long_chain_is_forgotten_at_one_depth);
  return tcase;
}

static TCase *writers(void) {
  TCase *tcase = tcase_create("writers");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, f22_the_older_writer_stops, 0, 4);
  tcase_add_test(tcase, f22_the_older_writer_is_told);
  tcase_add_loop_test(tcase, race16_stored_and_then_taken_over, 0, 4);
  tcase_add_loop_test(tcase, race16_stored_and_then_ended, 0, 2);
  tcase_add_test(tcase, an_answer_without_memory);
  tcase_add_test(tcase, events_wait_for_memory);
  return tcase;
}

KIT_MAIN("storage", storing(), refusals(), writers())
