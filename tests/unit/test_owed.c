/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* What a hub owes when storage is at fault, or somebody else was faster: an end
 * to those who wait for one, silence to those who have let go, and its memory
 * back. */

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

static weir_stream *open_as(struct kit *kit, const char *name, int policy,
                            uint32_t flags) {
  weir_open_options options = kit_open_options("k", name);

  options.on_duplicate = policy;
  options.flags = flags;
  return kit_open_with(kit, &options);
}

static weir_stream *look(struct kit *kit) {
  return open_as(kit, "look", WEIR_DUPLICATE_JOIN, WEIR_OPEN_LOOK);
}

static int publish(weir_stream *stream) {
  const weir_event event = kit_make_event("x", "more");

  return weir_stream_publish(stream, &event, 1, NULL);
}

/* A reader on the first hub that has got all there is, and what has been said
 * so far. */
static weir_subscriber *catch_up(const char *frames) {
  weir_subscriber *reader = bench_attach(&bench, a, "k", NULL);

  bench_expect(&bench, reader, WEIR_EAGAIN, frames);
  kit_count(a, 0);
  bench_expect(&bench, reader, WEIR_EAGAIN, "");
  return reader;
}

/* Time passes, in steps in which nothing is missed. */
static void wait(uint64_t seconds) {
  for (; seconds != 0; --seconds) {
    bench_pass(&bench, 1000);
  }
}

static void expect_status(const weir_stream *stream, int status) {
  ck_assert_int_eq(bench_info(stream).status, status);
}

static uint64_t ended(void) {
  return testlog_find(storage, "k")->ended;
}

/* --- Streams that storage does not have any more ---------------------------
 */

/* Who holds one hears of it once, and can do nothing to it. */
START_TEST(it_has_failed) {
  const uint32_t flags = _i == 0 ? 0 : WEIR_OPEN_SHARED;
  weir_subscriber *reader;
  weir_stream *theirs;
  weir_stream *ours;

  bench_hubs(&bench);
  theirs = open_as(b, "q", WEIR_DUPLICATE_JOIN, flags);
  bench_rest(&bench);
  kit_publish(theirs, "x", "1");
  reader = catch_up("ready@0 fresh; x@1 1");
  ours = look(a);
  testlog_forget(storage, "k");
  wait(12);
  kit_expect_notices(a, "closing; look ended -9");
  bench_expect(&bench, reader, WEIR_EDONE, "closing unavailable");
  expect_status(ours, WEIR_STREAM_FAILED);
  ck_assert_int_eq(bench_info(ours).error, WEIR_ENOENT);
  ck_assert_int_eq(weir_stream_cancel(ours, "why", 3), WEIR_EENDED);
  wait(60);
  kit_expect_notices(a, "");
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 0);
  weir_subscriber_release(reader);
  weir_stream_release(ours);
  weir_stream_release(theirs);
}
END_TEST

/* An append of a shared one finds out: it is not put again and again. */
START_TEST(an_append_finds_out) {
  weir_subscriber *reader;
  weir_stream *stream;
  size_t appends;

  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, WEIR_OPEN_SHARED);
  bench_rest(&bench);
  kit_publish(stream, "x", "1");
  reader = catch_up("ready@0 fresh; x@1 1");
  testlog_forget(storage, "k");
  storage->later = _i != 0;
  ck_assert_int_eq(publish(stream), _i == 0 ? WEIR_ENOENT : WEIR_OK);
  bench_rest(&bench);
  kit_expect_notices(a, "closing; p ended -9");
  bench_expect(&bench, reader, WEIR_EDONE, "closing unavailable");
  appends = storage->calls[TESTLOG_APPEND];
  wait(60);
  ck_assert_uint_eq(storage->calls[TESTLOG_APPEND], appends);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* A read finds out while an append is under way, whose answer comes then, and
 * what waits behind it: each is answered for once, and the end is told once. */
START_TEST(an_append_is_under_way) {
  weir_event event = kit_make_event("x", "2");
  weir_subscriber *reader;
  weir_stream *stream;

  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, WEIR_OPEN_SHARED);
  bench_rest(&bench);
  kit_publish(stream, "x", "1");
  reader = catch_up("ready@0 fresh; x@1 1");
  storage->later = true;
  if (_i != 0) {
    testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_EIO);
  }
  event.tag = 1;
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_OK);
  event.tag = 2;
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_OK);
  testlog_fail(storage, TESTLOG_READ, 1, TESTLOG_REFUSE, WEIR_ENOENT);
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 9), WEIR_OK);
  kit_pass(a, 0);
  testlog_deliver(storage, 1);
  kit_pass(a, 0);
  expect_status(stream, WEIR_STREAM_FAILED);
  ck_assert_int_eq(publish(stream), WEIR_EENDED);
  bench_rest(&bench);
  kit_expect_notices(a, _i == 0 ? "closing; p stored 1=2; p stored 2 -9; "
                                  "p ended -9"
                                : "closing; p stored 1 -31; p stored 2 -31; "
                                  "p ended -9");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* The one before it is still owed an end: it is not forgotten with it. */
START_TEST(the_one_before_is_owed_an_end) {
  weir_subscriber *readers[2];
  weir_stream *streams[2];
  weir_stream *looks[2];

  bench_hubs(&bench);
  streams[0] = bench_open(&bench, b, "k");
  bench_publish(&bench, streams[0], 1);
  readers[0] = catch_up("ready@0 fresh; x@1 1");
  looks[0] = look(a);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_EIO);
  storage->later = true;
  storage->slow = true;
  streams[1] = open_as(b, "q", WEIR_DUPLICATE_REPLACE, 0);
  storage->later = false;
  storage->slow = false;
  bench_rest(&bench);
  weir_stream_release(streams[0]);
  weir_stream_release(streams[1]);
  kit_end(b);
  /* This hub finds out that it is hidden, and may not take it over yet. */
  testlog_fail(storage, TESTLOG_OPEN, 2, TESTLOG_REFUSE, WEIR_EIO);
  kit_pass(a, 12000);
  looks[1] = look(a);
  bench_rest(&bench);
  readers[1] = catch_up("ready@0 fresh");
  storage->newest->gone = true;
  storage->newest->older->gone = true;
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 5), WEIR_OK);
  bench_rest(&bench);
  kit_expect_notices(a, "closing; look ended -9");
  expect_status(looks[0], WEIR_STREAM_LIVE);
  kit_pass(a, 4000);
  kit_expect_notices(a, "look ended -9");
  bench_expect(&bench, readers[0], WEIR_EDONE, "closing unavailable");
  bench_expect(&bench, readers[1], WEIR_EDONE, "closing unavailable");
  weir_subscriber_release(readers[0]);
  weir_subscriber_release(readers[1]);
  weir_stream_release(looks[0]);
  weir_stream_release(looks[1]);
  /* Then nothing is left of both. */
  kit_pass(a, 600000);
  kit_pass(a, 600000);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
}
END_TEST

static bool dry; /* there are no random bits */

static int entropy(void *user, void *dst, size_t len) {
  static unsigned char next;

  (void)user;
  memset(dst, ++next, len);
  return dry ? 0 : 1;
}

/* What is hidden, and cannot be ended here, is not forgotten while somebody
 * reads it, whatever becomes of the one that hides it. */
START_TEST(the_one_before_is_read) {
  weir_open_options options = kit_open_options("k", "q");
  weir_subscriber *readers[2];
  weir_stream *streams[2];
  int i;

  dry = false;
  a->options.entropy = entropy;
  bench_hubs(&bench);
  streams[0] = bench_open(&bench, b, "k");
  bench_publish(&bench, streams[0], 1);
  readers[0] = catch_up("ready@0 fresh; x@1 1");
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_EIO);
  storage->later = true;
  storage->slow = true;
  options.on_duplicate = WEIR_DUPLICATE_REPLACE;
  options.linger = 1000;
  streams[1] = kit_open_with(b, &options);
  storage->later = false;
  storage->slow = false;
  bench_rest(&bench);
  ck_assert_int_eq(weir_stream_end(streams[1], "ok", 2, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  weir_stream_release(streams[0]);
  weir_stream_release(streams[1]);
  kit_end(b);
  dry = true;
  kit_pass(a, 12000);
  weir_stream_release(look(a));
  readers[1] = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, readers[1], WEIR_EDONE, "ready@0 fresh; done@1 ok");
  weir_subscriber_release(readers[1]);
  for (i = 0; i < 10; ++i) {
    kit_pass(a, 1000);
  }
  ck_assert_uint_eq(bench_hub_info(a).streams, 1);
  weir_subscriber_release(readers[0]);
  kit_pass(a, 2000);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
}
END_TEST

/* --- Ends ------------------------------------------------------------------
 */

/* Another takes over between a writer's cancel and its end, or has before the
 * writer knew: the end comes all the same, once. */
START_TEST(a_writer_cancels_and_is_fenced) {
  weir_subscriber *reader;
  weir_stream *theirs;
  weir_stream *ours;

  bench_hubs(&bench);
  ours = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  bench_publish(&bench, ours, 1);
  kit_count(a, 0);
  if (_i == 0) {
    theirs = bench_open(&bench, b, "k");
    ck_assert_int_eq(weir_stream_cancel(ours, "stop", 4), WEIR_OK);
    kit_expect_notices(a, "p cancelled; p ended 2");
  } else {
    storage->later = true;
    storage->slow = true;
    theirs = kit_open(b, "k");
    testlog_deliver(storage, 0);
    kit_pass(b, 0);
    ck_assert_int_eq(weir_stream_cancel(ours, "stop", 4), WEIR_OK);
    storage->later = false;
    storage->slow = false;
    bench_rest(&bench);
    kit_expect_notices(a, "p cancelled");
    wait(10);
    kit_expect_notices(a, "p ended 2");
  }
  expect_status(ours, WEIR_STREAM_ENDED);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EDONE, "ready@0 fresh; x@1 1; done@2 stop");
  weir_subscriber_release(reader);
  ck_assert_uint_eq(ended(), 2);
  weir_stream_release(ours);
  weir_stream_release(theirs);
}
END_TEST

/* The take-over is refused, and then there are no random bits for another. */
START_TEST(a_cancel_without_random_bits) {
  weir_stream *theirs;
  weir_stream *ours;

  dry = false;
  a->options.entropy = entropy;
  bench_hubs(&bench);
  theirs = bench_open(&bench, b, "k");
  ours = look(a);
  kit_count(a, 0);
  testlog_fail(storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE, WEIR_EIO);
  ck_assert_int_eq(weir_stream_cancel(ours, "why", 3), WEIR_OK);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
  dry = true;
  wait(4);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
  dry = false;
  wait(12);
  kit_expect_notices(a, "look cancelled; look ended 1");
  ck_assert_uint_eq(ended(), 1);
  weir_stream_release(ours);
  weir_stream_release(theirs);
}
END_TEST

/* The take-over waits for an append of this hub that is under way, and then
 * takes longer than the time to the next try: it is one. */
START_TEST(a_cancel_behind_an_append) {
  weir_subscriber *reader;
  weir_stream *ours;
  weir_stream *other;

  bench_hub(&bench);
  ours = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  bench_publish(&bench, ours, 1);
  reader = catch_up("ready@0 fresh; x@1 1");
  other = look(a);
  (void)testlog_take(storage, "k");
  testlog_write(storage, "k", "x", "2");
  testlog_write(storage, "k", "x", "3");
  kit_count(a, 0);
  storage->later = true;
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 3), WEIR_OK);
  ck_assert_int_eq(publish(ours), WEIR_OK);
  testlog_deliver(storage, 0);
  expect_status(ours, WEIR_STREAM_FENCED);
  ck_assert_int_eq(weir_stream_cancel(other, "why", 3), WEIR_OK);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 0);
  testlog_deliver(storage, 0);
  kit_pass(a, 0);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
  kit_pass(a, 3000);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
  bench_rest(&bench);
  storage->later = false;
  expect_status(ours, WEIR_STREAM_ENDED);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
  bench_expect(&bench, reader, WEIR_EDONE, "x@2 2; x@3 3; done@4 why");
  weir_subscriber_release(reader);
  weir_stream_release(ours);
  weir_stream_release(other);
}
END_TEST

/* The same before the open has been decided. */
START_TEST(a_cancel_of_an_open_is_fenced) {
  weir_stream *theirs;
  weir_stream *ours;

  bench_hubs(&bench);
  storage->later = true;
  storage->slow = true;
  ours = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  if (_i < 2) {
    ck_assert_int_eq(weir_stream_cancel(ours, "stop", 4), WEIR_OK);
  } else {
    ck_assert_int_eq(weir_stream_end(ours, "stop", 4, 0, NULL), WEIR_OK);
  }
  testlog_deliver(storage, 0);
  kit_pass(a, 0);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_EFENCED);
  if (_i == 1) {
    storage->later = false;
    testlog_deliver_all(storage);
  } else {
    testlog_deliver(storage, 0);
    kit_pass(a, 0);
    storage->later = false;
    testlog_deliver_all(storage);
  }
  storage->slow = false;
  theirs = bench_open(&bench, b, "k");
  wait(10);
  kit_expect_notices(a, _i < 2 ? "p opened 0; p cancelled; p ended 1"
                               : "p opened 0; p cancelled");
  ck_assert_uint_eq(ended(), _i < 2 ? 1 : 0);
  weir_stream_release(ours);
  weir_stream_release(theirs);
}
END_TEST

/* What was said to be stored has been, also if those who read it cannot be
 * shown that, for whatever reason. */
START_TEST(an_end_that_cannot_be_read) {
  weir_subscriber *reader;
  weir_stream *stream;

  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, WEIR_OPEN_SHARED);
  bench_rest(&bench);
  kit_publish(stream, "x", "1");
  reader = catch_up("ready@0 fresh; x@1 1");
  kit_count(a, 0);
  testlog_fail(storage, TESTLOG_READ, 1, TESTLOG_REFUSE, WEIR_EIO);
  if (_i >= 20) {
    weir_subscriber_release(reader);
    reader = NULL;
  }
  if (_i % 20 != 0) {
    a->memory.fail_at = a->memory.calls + (size_t)_i % 20;
  }
  if (_i < 20) {
    (void)weir_stream_end(stream, "ok", 2, 0, NULL);
  } else {
    (void)weir_stream_cancel(stream, "ok", 2);
  }
  bench_rest(&bench);
  a->memory.fail_at = 0;
  wait(30);
  expect_status(stream, ended() != 0 ? WEIR_STREAM_ENDED : WEIR_STREAM_LIVE);
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* A cancel that was accepted before it was known what there is, of what has
 * failed: who waits for the end is told. */
START_TEST(a_cancel_of_what_has_failed) {
  weir_stream *stream;
  weir_stream *other;

  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  bench_publish(&bench, stream, 1);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_EIO);
  ck_assert_int_eq(publish(stream), WEIR_EIO);
  kit_expect_notices(a, "p ended -31");
  storage->later = true;
  storage->slow = true;
  other = look(a);
  expect_status(other, WEIR_STREAM_OPENING);
  ck_assert_int_eq(weir_stream_cancel(other, "why", 3), WEIR_OK);
  bench_rest(&bench);
  kit_expect_notices(a, "look opened 0; look cancelled; look ended -31");
  weir_stream_release(stream);
  weir_stream_release(other);
}
END_TEST

/* The same of what is just ending: it is told as all others are. */
START_TEST(a_cancel_of_what_is_ending) {
  weir_stream *stream;
  weir_stream *other;

  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  bench_publish(&bench, stream, 1);
  kit_count(a, 0);
  storage->later = true;
  storage->slow = true;
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  other = look(a);
  ck_assert_int_eq(weir_stream_cancel(other, "why", 3), WEIR_OK);
  testlog_deliver(storage, 1);
  kit_pass(a, 0);
  kit_expect_notices(a, "look opened 0; look cancelled");
  bench_rest(&bench);
  kit_expect_notices(a, "p ended 2; look ended 2");
  weir_stream_release(stream);
  weir_stream_release(other);
}
END_TEST

/* Nobody here knows what has become of an event, and another has taken over and
 * goes on: no end is logged into what is alive there. */
START_TEST(a_failure_that_is_none_elsewhere) {
  weir_stream *theirs;
  weir_stream *ours;
  uint64_t last;

  bench_hubs(&bench);
  ours = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  bench_publish(&bench, ours, 1);
  testlog_fail(storage, TESTLOG_APPEND, 1,
               _i % 2 == 0 ? TESTLOG_REFUSE : TESTLOG_CONFUSE, WEIR_EUNKNOWN);
  ck_assert_int_eq(publish(ours), WEIR_EUNKNOWN);
  kit_expect_notices(a, "p ended -17");
  theirs = bench_open(&bench, b, "k");
  bench_publish(&bench, theirs, 3);
  last = bench_info(theirs).last;
  storage->later = _i >= 2;
  wait(3);
  storage->later = false;
  kit_expect_notices(a, "p cancelled");
  expect_status(ours, WEIR_STREAM_FENCED);
  bench_publish(&bench, theirs, 1);
  wait(60);
  expect_status(theirs, WEIR_STREAM_LIVE);
  ck_assert_uint_eq(testlog_find(storage, "k")->last, last + 1);
  weir_stream_release(ours);
  weir_stream_release(theirs);
}
END_TEST

/* The take-over for that has been done, without an answer, perhaps often: it
 * was nobody else's, and the end is logged. */
START_TEST(a_failure_whose_take_over_is_lost) {
  weir_stream *stream;
  int i;

  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  bench_publish(&bench, stream, 1);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_EUNKNOWN);
  ck_assert_int_eq(publish(stream), WEIR_EUNKNOWN);
  for (i = 0; i < 12; ++i) {
    testlog_fail(storage, TESTLOG_OPEN, 2, TESTLOG_CONFUSE, WEIR_EUNKNOWN);
    wait(i < 4 ? (uint64_t)1 << i : 12);
    storage->plan_count = 0;
    expect_status(stream, WEIR_STREAM_FAILED);
  }
  ck_assert_uint_eq(testlog_find(storage, "k")->epoch_count, 13);
  wait(12);
  expect_status(stream, WEIR_STREAM_ENDED);
  ck_assert_uint_eq(ended(), 2);
  weir_stream_release(stream);
}
END_TEST

/* That take-over takes longer than the time to the next try: the end waits for
 * it, since it alone makes sure that no number is given twice. */
START_TEST(a_failure_whose_take_over_is_slow) {
  weir_stream *stream;

  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  bench_publish(&bench, stream, 1);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_CONFUSE, WEIR_EUNKNOWN);
  ck_assert_int_eq(publish(stream), WEIR_EUNKNOWN);
  storage->later = true;
  storage->slow = true;
  kit_pass(a, 1000);
  testlog_deliver(storage, 0); /* nobody else writes it */
  kit_pass(a, 0);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
  kit_pass(a, 3000);
  kit_pass(a, 3000);
  ck_assert_uint_eq(testlog_waiting(storage), 1);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
  bench_rest(&bench);
  expect_status(stream, WEIR_STREAM_ENDED);
  ck_assert_uint_eq(ended(), 3);
  weir_stream_release(stream);
}
END_TEST

/* A failure is none where it lives on: who has not heard of it does not. */
START_TEST(a_failure_that_was_mended) {
  weir_subscriber *reader;
  weir_stream *stream;

  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  bench_publish(&bench, stream, 1);
  reader = catch_up("ready@0 fresh; x@1 1");
  storage->later = true;
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_EIO);
  ck_assert_int_eq(publish(stream), WEIR_OK);
  testlog_deliver_all(storage);
  storage->later = false;
  expect_status(stream, WEIR_STREAM_FAILED);
  (void)testlog_take(storage, "k");
  testlog_write(storage, "k", "x", "theirs");
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 2), WEIR_OK);
  expect_status(stream, WEIR_STREAM_FENCED);
  kit_expect_notices(a, "p cancelled; readable");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* --- Who writes, and does not any more ------------------------------------ */

/* A writer that rests, and has readers, finds out by itself that another has
 * taken over, although no hint comes; not if it said that there is no other. */
START_TEST(a_writer_that_rests_finds_out) {
  weir_subscriber *reader;
  weir_stream *theirs;
  weir_stream *ours;

  storage->log.flags = _i == 0 ? 0 : WEIR_LOG_SOLE;
  bench_hubs(&bench);
  ours = bench_open(&bench, a, "k");
  bench_publish(&bench, ours, 1);
  reader = catch_up("ready@0 fresh; x@1 1");
  theirs = bench_open(&bench, b, "k");
  bench_publish(&bench, theirs, 1);
  wait(_i == 0 ? 13 : 60);
  bench_expect(&bench, reader, WEIR_EAGAIN, _i == 0 ? "x@2 2" : ":");
  expect_status(ours, _i == 0 ? WEIR_STREAM_FENCED : WEIR_STREAM_LIVE);
  weir_subscriber_release(reader);
  weir_stream_release(theirs);
  weir_stream_release(ours);
}
END_TEST

/* While it writes it need not ask. */
START_TEST(a_writer_that_writes_does_not_ask) {
  weir_subscriber *reader;
  weir_stream *stream;
  size_t opens;
  int i;

  bench_hub(&bench);
  stream = bench_open(&bench, a, "k");
  bench_publish(&bench, stream, 1);
  reader = bench_attach(&bench, a, "k", NULL);
  opens = storage->calls[TESTLOG_OPEN];
  for (i = 0; i < 20; ++i) {
    wait(5);
    bench_publish(&bench, stream, 1);
    (void)kit_skip(reader);
  }
  ck_assert_uint_eq(storage->calls[TESTLOG_OPEN], opens);
  wait(25);
  ck_assert_uint_eq(storage->calls[TESTLOG_OPEN], opens + 2);
  weir_subscriber_release(reader);
  wait(60);
  ck_assert_uint_eq(storage->calls[TESTLOG_OPEN], opens + 2);
  weir_stream_release(stream);
}
END_TEST

/* Who replaced its stream has died before it could end it: the writer finds
 * that out, and does. */
START_TEST(a_writer_that_rests_is_hidden) {
  weir_subscriber *reader;
  weir_stream *theirs;
  weir_stream *ours;

  bench_hubs(&bench);
  ours = bench_open(&bench, a, "k");
  bench_publish(&bench, ours, 1);
  reader = catch_up("ready@0 fresh; x@1 1");
  /* A lookup, the next generation, and what is to end the one before. */
  testlog_fail(storage, TESTLOG_OPEN, 3, TESTLOG_REFUSE, WEIR_EIO);
  theirs = open_as(b, "q", WEIR_DUPLICATE_REPLACE, 0);
  weir_stream_release(theirs);
  kit_end(b);
  ck_assert_uint_eq(storage->newest->older->ended, 0);
  wait(15);
  bench_expect(&bench, reader, WEIR_EDONE, "done@2 replaced_by_new_stream");
  ck_assert_uint_eq(storage->newest->older->ended, 2);
  expect_status(ours, WEIR_STREAM_ENDED);
  weir_subscriber_release(reader);
  weir_stream_release(ours);
}
END_TEST

/* Storage has no memory for the end that a watchdog puts: the stream has failed
 * of that, once, and the watchdog has done its work. */
START_TEST(a_watchdog_whose_end_is_refused) {
  weir_open_options options = kit_open_options("k", "p");
  weir_stream *stream;

  bench_hub(&bench);
  options.lifetime = 5000;
  options.on_lifetime = WEIR_ACTION_END;
  stream = kit_open_with(a, &options);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ENOMEM);
  kit_pass(a, 5000);
  kit_expect_notices(a, "p expired lifetime; p ended -1");
  wait(20);
  kit_expect_notices(a, "");
  expect_status(stream, WEIR_STREAM_ENDED);
  weir_stream_release(stream);
}
END_TEST

/* The same of an end that waited for the open: its producer hears of both, in
 * their order, and once. */
START_TEST(an_end_that_waits_is_refused) {
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  testlog_deliver_all(storage);
  kit_pass(a, 0);
  storage->later = false;
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ENOMEM);
  testlog_deliver_all(storage);
  kit_expect_notices(a, "p opened 0; p ended -1");
  wait(20);
  kit_expect_notices(a, "");
  expect_status(stream, WEIR_STREAM_ENDED);
  weir_stream_release(stream);
}
END_TEST

/* Another writer goes on behind what has just been stored. */
static void go_on(weir_answer *answer, weir_epoch *epochs,
                  weir_record *records) {
  static weir_epoch both[2];

  (void)records;
  both[0] = epochs[0];
  both[1].epoch = 77;
  both[1].last = epochs[0].last + 5;
  answer->epochs = both;
  answer->epoch_count = 2;
  answer->last = both[1].last;
}

/* The number of an event is that which it got, whoever has written since. */
START_TEST(numbers_before_those_of_another) {
  weir_event event = kit_make_event("x", "1");
  weir_stream *stream;
  uint64_t last;

  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  testlog_plan_bend(storage, TESTLOG_APPEND, 1, go_on);
  event.tag = 9;
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, &last), WEIR_OK);
  ck_assert_uint_eq(last, 1);
  kit_expect_notices(a, "p stored 9=1; p cancelled");
  weir_stream_release(stream);
}
END_TEST

/* A writer whose stream failed, and was taken over by another before that could
 * be logged, forgets it. */
START_TEST(what_failed_and_was_taken_over_is_forgotten) {
  const weir_event event = kit_make_event("x", "more");
  weir_stream *theirs;
  weir_stream *ours;

  bench_hubs(&bench);
  ours = bench_open(&bench, a, "k");
  bench_publish(&bench, ours, 1);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_EIO);
  ck_assert_int_eq(weir_stream_publish(ours, &event, 1, NULL), WEIR_EIO);
  bench_rest(&bench);
  weir_stream_release(ours);
  theirs = bench_open(&bench, b, "k");
  wait(10);
  ck_assert_int_eq(weir_stream_end(theirs, "ok", 2, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  weir_stream_release(theirs);
  bench_pass(&bench, 3600000);
  bench_pass(&bench, 3600000);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
  ck_assert_uint_eq(bench_hub_info(b).streams, 0);
}
END_TEST

/* What another has ended can be replaced as what has ended: the next begins. */
START_TEST(a_replaced_one_has_ended_elsewhere) {
  const uint32_t flags = WEIR_OPEN_SHARED;
  weir_stream *streams[3];
  int i;

  bench_hubs(&bench);
  streams[0] = open_as(a, "p", WEIR_DUPLICATE_JOIN, flags);
  streams[1] = open_as(b, "q", WEIR_DUPLICATE_JOIN, flags);
  bench_rest(&bench);
  ck_assert_int_eq(weir_stream_end(streams[1], "ok", 2, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  streams[2] = open_as(a, "r", WEIR_DUPLICATE_REPLACE, flags);
  bench_rest(&bench);
  expect_status(streams[2], WEIR_STREAM_LIVE);
  expect_status(streams[0], WEIR_STREAM_ENDED);
  for (i = 0; i < 3; ++i) {
    weir_stream_release(streams[i]);
  }
}
END_TEST

/* --- Those who have let go --------------------------------------------------
 */

/* A handle that was let go of before its end could be put has no notices any
 * more: not those that waited, nor of what becomes of the end. */
START_TEST(nothing_is_said_to_who_has_let_go) {
  weir_stream *theirs;
  weir_stream *ours;

  bench_hubs(&bench);
  theirs = bench_open(&bench, b, "k");
  bench_publish(&bench, theirs, 1);
  storage->later = true;
  if (_i == 0) {
    ours = look(a);
    ck_assert_int_eq(weir_stream_cancel(ours, "why", 3), WEIR_OK);
  } else {
    ours = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
    ck_assert_int_eq(weir_stream_end(ours, "ok", 2, 7, NULL), WEIR_OK);
    testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ENOMEM);
  }
  weir_stream_release(ours);
  kit_expect_notices(a, "");
  storage->later = false;
  testlog_deliver_all(storage);
  kit_expect_notices(a, "");
  wait(10);
  kit_expect_notices(a, "");
  ck_assert_uint_ne(ended(), 0);
  weir_stream_release(theirs);
}
END_TEST

/* Who leaves while an event is under way does not keep the stream here. */
START_TEST(a_producer_leaves_before_the_answer) {
  weir_stream *stream;

  bench_hub(&bench);
  stream = bench_open(&bench, a, "k");
  bench_publish(&bench, stream, 1);
  storage->later = true;
  ck_assert_int_eq(publish(stream), WEIR_OK);
  weir_stream_release(stream);
  bench_rest(&bench);
  ck_assert_uint_eq(bench_hub_info(a).streams, 1);
  bench_pass(&bench, 600000);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
  ck_assert_uint_eq(storage->handles, 0);
}
END_TEST

static weir_subscriber *leaving;

static void let_go(void *user, const weir_trace *what) {
  weir_subscriber *subscriber = leaving;

  (void)user;
  if (what->kind == WEIR_TRACE_DETACH) {
    leaving = NULL;
    weir_subscriber_release(subscriber);
  }
}

/* In the trace of its own detach: by the host, or with the hub. */
START_TEST(a_subscriber_is_let_go_of_while_it_leaves) {
  weir_stream *stream;

  a->options.trace = let_go;
  bench_hub(&bench);
  stream = bench_open(&bench, a, "k");
  leaving = bench_attach(&bench, a, "k", NULL);
  weir_stream_release(stream);
  if (_i == 0) {
    weir_subscriber_detach(leaving);
  }
  /* The end of the test sees that nothing is left. */
}
END_TEST

/* --- Who waits --------------------------------------------------------------
 */

/* What a hub has ended itself is known here; but it has heard that the key
 * leads elsewhere, and could not look where: who comes then is decided. */
START_TEST(an_attach_that_is_led_elsewhere) {
  weir_open_options options = kit_open_options("k", "look");
  weir_subscriber *reader;
  weir_stream *stream;
  weir_stream *theirs;
  int verdict;

  bench_hubs(&bench);
  stream = bench_open(&bench, a, "k");
  bench_publish(&bench, stream, 1);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(stream);
  theirs = bench_open(&bench, b, "k");
  bench_publish(&bench, theirs, 1);
  testlog_fail(storage, TESTLOG_OPEN, 2, TESTLOG_REFUSE, WEIR_EIO);
  options.flags = WEIR_OPEN_LOOK;
  ck_assert_int_eq(weir_hub_open(a->hub, &options, &stream), WEIR_EIO);
  bench_rest(&bench);
  reader = bench_attach(&bench, a, "k", &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_FRESH);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  weir_subscriber_release(reader);
  weir_stream_release(theirs);
}
END_TEST

static TCase *writers(void) {
  TCase *tcase = tcase_create("writers");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, a_writer_that_rests_finds_out, 0, 2);
  tcase_add_test(tcase, a_writer_that_writes_does_not_ask);
  tcase_add_test(tcase, a_writer_that_rests_is_hidden);
  tcase_add_test(tcase, what_failed_and_was_taken_over_is_forgotten);
  tcase_add_test(tcase, a_replaced_one_has_ended_elsewhere);
  return tcase;
}

static TCase *ends(void) {
  TCase *tcase = tcase_create("ends");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, a_writer_cancels_and_is_fenced, 0, 2);
  tcase_add_loop_test(tcase, a_cancel_of_an_open_is_fenced, 0, 3);
  tcase_add_test(tcase, a_cancel_without_random_bits);
  tcase_add_test(tcase, a_cancel_behind_an_append);
  tcase_add_loop_test(tcase, an_end_that_cannot_be_read, 0, 40);
  tcase_add_test(tcase, a_cancel_of_what_has_failed);
  tcase_add_test(tcase, a_cancel_of_what_is_ending);
  tcase_add_loop_test(tcase, a_failure_that_is_none_elsewhere, 0, 4);
  tcase_add_test(tcase, a_failure_whose_take_over_is_lost);
  tcase_add_test(tcase, a_failure_whose_take_over_is_slow);
  tcase_add_test(tcase, a_failure_that_was_mended);
  tcase_add_test(tcase, a_watchdog_whose_end_is_refused);
  tcase_add_test(tcase, an_end_that_waits_is_refused);
  tcase_add_test(tcase, numbers_before_those_of_another);
  return tcase;
}

static TCase *left(void) {
  TCase *tcase = tcase_create("left");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, nothing_is_said_to_who_has_let_go, 0, 2);
  tcase_add_test(tcase, a_producer_leaves_before_the_answer);
  tcase_add_loop_test(tcase, a_subscriber_is_let_go_of_while_it_leaves, 0, 2);
  tcase_add_test(tcase, an_attach_that_is_led_elsewhere);
  return tcase;
}

static TCase *gone(void) {
  TCase *tcase = tcase_create("gone");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, it_has_failed, 0, 2);
  tcase_add_loop_test(tcase, an_append_finds_out, 0, 2);
  tcase_add_loop_test(tcase, an_append_is_under_way, 0, 2);
  tcase_add_test(tcase, the_one_before_is_owed_an_end);
  tcase_add_test(tcase, the_one_before_is_read);
  return tcase;
}

KIT_MAIN("owed", gone(), writers(), ends(), left())
