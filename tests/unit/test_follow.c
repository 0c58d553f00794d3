/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Streams that others write, alone or together with this hub: hints, looks, and
 * who leads. */

#include "../bench.h"

#include <stdio.h>
#include <stdlib.h>
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

static size_t reads(void) {
  return storage->calls[TESTLOG_READ];
}

static void hint(struct kit *kit, uint64_t last) {
  ck_assert_int_eq(weir_hub_hint(kit->hub, "k", 1, last), WEIR_OK);
}

static weir_stream *open_shared(struct kit *kit, const char *name) {
  weir_open_options options = kit_open_options("k", name);
  weir_stream *stream;

  options.flags = WEIR_OPEN_SHARED;
  stream = kit_open_with(kit, &options);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_LIVE);
  kit_count(kit, 0);
  return stream;
}

static int publish(weir_stream *stream, uint64_t tag, const char *data) {
  weir_event event = kit_make_event("x", data);
  uint64_t last = 99;
  int rv;

  event.tag = tag;
  rv = weir_stream_publish(stream, &event, 1, &last);
  ck_assert_uint_eq(last, rv == WEIR_OK ? 0 : 99);
  return rv;
}

static int publish_owned(weir_stream *stream, const char *data) {
  const weir_event event = kit_make_event("x", data);

  return weir_stream_publish(stream, &event, 1, NULL);
}

/* Storage has a stream of two events, of a writer elsewhere; a client reads it
 * on the first hub, and has caught up. */
static weir_subscriber *follow(void) {
  weir_stream *stream;
  weir_subscriber *reader;

  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 2);
  weir_stream_release(stream);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1; x@2 2");
  return reader;
}

/* --- Hints --------------------------------------------------------------- */

/* A hint is a reason to read on, once; never an event by its number. */
START_TEST(race11_a_hint_is_a_reason_to_read) {
  weir_subscriber *reader;
  size_t before;

  storage->later = _i != 0;
  reader = follow();
  before = reads();
  testlog_write(storage, "k", "x", "3");
  testlog_write(storage, "k", "x", "4");
  testlog_write(storage, "k", "x", "5");
  hint(a, 5);
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@3 3; x@4 4; x@5 5");
  ck_assert_uint_eq(reads(), before + 1);
  weir_subscriber_release(reader);
}
END_TEST

/* R23: what is known already, or again, is nothing. */
START_TEST(r23_hints_of_what_is_known) {
  weir_subscriber *reader = follow();
  size_t before = reads();
  uint64_t n;

  for (n = 0; n <= 2; ++n) {
    hint(a, n);
    hint(a, n);
  }
  ck_assert_uint_eq(reads(), before);
  testlog_write(storage, "k", "x", "3");
  hint(a, 3);
  hint(a, 3);
  ck_assert_uint_eq(reads(), before + 1);
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@3 3");
  weir_subscriber_release(reader);
}
END_TEST

/* Hints that come while a look is under way are all covered by the next one; it
 * is begun after them. */
START_TEST(hints_are_spent_by_a_look_begun_after_them) {
  weir_subscriber *reader;
  size_t before;
  int i;

  storage->later = true;
  storage->slow = true;
  reader = follow();
  before = reads();
  testlog_write(storage, "k", "x", "3");
  hint(a, 3);
  for (i = 0; i < 10; ++i) {
    hint(a, 4);
    kit_pass(a, 0);
  }
  ck_assert_uint_eq(reads(), before + 1);
  testlog_deliver(storage, 0);
  testlog_write(storage, "k", "x", "4");
  kit_pass(a, 0);
  ck_assert_uint_eq(reads(), before + 2);
  testlog_deliver(storage, 0);
  kit_pass(a, 0);
  ck_assert_uint_eq(reads(), before + 2);
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@3 3; x@4 4");
  weir_subscriber_release(reader);
}
END_TEST

/* A hint that is wrong, or for what nobody reads, or nobody has, does
 * nothing. */
START_TEST(hints_for_nobody) {
  weir_subscriber *reader = follow();
  const size_t before = reads();
  char key[300];

  hint(a, UINT64_MAX);
  ck_assert_uint_eq(reads(), before + 1);
  kit_expect_frames(reader, WEIR_EAGAIN, "");
  ck_assert_int_eq(weir_hub_hint(a->hub, "other", 5, 9), WEIR_OK);
  ck_assert_int_eq(weir_hub_hint(a->hub, NULL, 0, 9), WEIR_OK);
  memset(key, 'k', sizeof key);
  ck_assert_int_eq(weir_hub_hint(a->hub, key, sizeof key, 9), WEIR_OK);
  ck_assert_uint_eq(bench_hub_info(a).streams, 1);
  ck_assert_uint_eq(bench_hub_info(a).calls, 0);
  weir_subscriber_release(reader);
  hint(a, 9);
  ck_assert_uint_eq(reads(), before + 1);
}
END_TEST

/* Where storage keeps them. */
START_TEST(r04_a_look_brings_frames) {
  struct kit_bytes bytes[2] = {{NULL, 0, 0}, {NULL, 0, 0}};
  weir_subscriber *readers[2];
  weir_stream *stream;
  int i;

  storage->later = _i != 0;
  storage->encoded = true;
  readers[0] = follow();
  stream = bench_open(&bench, b, "k");
  readers[1] = bench_attach(&bench, b, "k", NULL);
  bench_expect(&bench, readers[1], WEIR_EAGAIN, "ready@0 fresh; x@1 1; x@2 2");
  hint(a, 3); /* that another writes it */
  bench_rest(&bench);
  kit_publish(stream, "x", "a\nb");
  kit_publish(stream, "", "");
  bench_rest(&bench);
  hint(a, 4);
  bench_rest(&bench);
  for (i = 0; i < 2; ++i) {
    ck_assert_int_eq(kit_pull(readers[i], &bytes[i]), WEIR_EAGAIN);
  }
  kit_expect_text(bytes[0].data, bytes[0].len, "x@3 a|b; message@4");
  ck_assert_uint_eq(bytes[0].len, bytes[1].len);
  ck_assert_mem_eq(bytes[0].data, bytes[1].data, bytes[0].len);
  for (i = 0; i < 2; ++i) {
    kit_bytes_free(&bytes[i]);
    weir_subscriber_release(readers[i]);
  }
  weir_stream_release(stream);
}
END_TEST

/* Others write on where something has been lost. */
static void write_with_a_loss(void) {
  char data[2] = "3";

  for (; *data <= '6'; ++*data) {
    testlog_write(storage, "k", "x", data);
  }
  testlog_lose(storage, "k", 2, 4);
}

START_TEST(r10_a_loss_at_the_head_is_a_gap) {
  weir_subscriber *reader;

  storage->later = _i != 0;
  reader = follow();
  write_with_a_loss();
  hint(a, 6);
  bench_expect(&bench, reader, WEIR_EAGAIN,
               "gap@4 evicted 2 5-6; x@5 5; x@6 6");
  testlog_write(storage, "k", "x", "7");
  hint(a, 7);
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@7 7");
  weir_subscriber_release(reader);
}
END_TEST

/* Each allocation fails in turn: who is at the head is sent away, and told of
 * the loss when he is back. */
START_TEST(r10_a_loss_at_the_head_without_memory) {
  weir_subscriber *reader;
  uint64_t epoch;
  size_t nth;
  bool failed = true;
  int verdict;

  for (nth = 1; failed; ++nth) {
    reader = follow();
    epoch = testlog_find(storage, "k")->epochs[0].epoch;
    write_with_a_loss();
    a->memory.fail_at = a->memory.calls + nth;
    a->memory.fail_on = _i != 0;
    hint(a, 6);
    failed = a->memory.calls >= a->memory.fail_at;
    a->memory.fail_at = 0;
    if (failed) {
      bench_pass(&bench, 1000);
      (void)kit_skip(reader);
      weir_subscriber_release(reader);
      reader = bench_resume(&bench, a, "k", epoch, 2, &verdict);
      ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
    }
    bench_expect(&bench, reader, WEIR_EAGAIN,
                 failed ? "ready@2 resumed; gap@4 evicted 2 5-6; x@5 5; x@6 6"
                        : "gap@4 evicted 2 5-6; x@5 5; x@6 6");
    weir_subscriber_release(reader);
    bench_end(&bench);
    bench_init(&bench);
  }
  ck_assert_uint_gt(nth, 4);
}
END_TEST

/* A look and a block, of which either comes first: what one has brought is not
 * brought again by the other, and nothing goes back. */
START_TEST(answers_come_in_any_order) {
  weir_subscriber *reader;
  weir_subscriber *other;

  a->options.history_bytes = 1;
  reader = follow();
  hint(a, 3); /* there is nothing, and what was read is let go */
  storage->later = true;
  storage->current = _i == 0;
  other = bench_attach(&bench, a, "k", NULL);
  bench_rest(&bench);
  kit_count(a, 0);
  if (_i == 0) {
    testlog_write(storage, "k", "x", "3");
    hint(a, 3);
    kit_expect_frames(other, WEIR_EAGAIN, "ready@0 fresh");
    ck_assert_uint_eq(testlog_waiting(storage), 2);
  } else {
    kit_expect_frames(other, WEIR_EAGAIN, "ready@0 fresh");
    testlog_write(storage, "k", "x", "3");
    hint(a, 3);
    ck_assert_uint_eq(testlog_waiting(storage), 2);
  }
  testlog_deliver(storage, 1);
  testlog_deliver(storage, 0);
  bench_expect(&bench, other, WEIR_EAGAIN, "x@1 1; x@2 2; x@3 3");
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@3 3");
  weir_subscriber_release(other);
  weir_subscriber_release(reader);
}
END_TEST

/* Retention has taken all of it: who has something to read still, is told
 * behind that. */
START_TEST(a_generation_that_is_gone_is_read_to_its_end) {
  weir_subscriber *reader = follow();
  weir_subscriber *slow = bench_attach(&bench, a, "k", NULL);

  testlog_write(storage, "k", "x", "3");
  hint(a, 3);
  testlog_forget(storage, "k");
  hint(a, 4);
  bench_expect(&bench, reader, WEIR_EDONE, "x@3 3; closing unavailable");
  bench_expect(&bench, slow, WEIR_EDONE,
               "ready@0 fresh; x@1 1; x@2 2; x@3 3; closing unavailable");
  weir_subscriber_release(slow);
  weir_subscriber_release(reader);
}
END_TEST

/* Of what is being looked up, and of what has ended. */
START_TEST(hints_for_what_cannot_be_looked_at) {
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *reader;
  weir_subscriber *slow;
  weir_stream *stream;
  size_t before;
  int verdict;

  storage->later = true;
  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 1);
  ck_assert_int_eq(weir_hub_attach(a->hub, &options, &reader, &verdict),
                   WEIR_OK);
  before = reads();
  hint(a, 9);
  ck_assert_uint_eq(reads(), before);
  bench_rest(&bench);
  slow = bench_attach(&bench, a, "k", NULL);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  hint(a, 2);
  bench_rest(&bench);
  before = reads();
  hint(a, 9); /* nothing follows the end */
  bench_rest(&bench);
  ck_assert_uint_eq(reads(), before);
  bench_expect(&bench, reader, WEIR_EDONE, "ready@0 fresh; x@1 1; done@2 ok");
  bench_expect(&bench, slow, WEIR_EDONE, "ready@0 fresh; x@1 1; done@2 ok");
  weir_subscriber_release(slow);
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* A hint may come before what it is about can be read (NOTIFY before the
 * commit is visible), and after that none. The slow look finds it. */
START_TEST(r26_hints_are_lost) {
  weir_subscriber *reader;
  size_t before;

  storage->later = _i != 0;
  reader = follow();
  hint(a, 3);
  bench_rest(&bench);
  before = reads();
  testlog_write(storage, "k", "x", "3");
  kit_count(a, 0);
  bench_pass(&bench, 11999);
  ck_assert_uint_eq(reads(), before);
  bench_pass(&bench, 1);
  ck_assert_uint_eq(reads(), before + 1);
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@3 3");
  /* As long as somebody is there. */
  bench_pass(&bench, 12000);
  ck_assert_uint_eq(reads(), before + 2);
  weir_subscriber_release(reader);
  bench_pass(&bench, 100000);
  ck_assert_uint_eq(reads(), before + 2);
}
END_TEST

/* The last event of all has no successor that would reveal it. */
START_TEST(f16_the_end_is_found_without_a_hint) {
  weir_subscriber *reader = follow();
  weir_stream *stream = bench_open(&bench, b, "k");

  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(stream);
  kit_expect_frames(reader, WEIR_EAGAIN, "");
  bench_pass(&bench, 12000);
  bench_expect(&bench, reader, WEIR_EDONE, "done@3 ok");
  /* Nothing is looked for behind an end. */
  ck_assert_uint_eq(bench_hub_info(a).calls, 0);
  weir_subscriber_release(reader);
}
END_TEST

START_TEST(the_slow_look_can_be_set) {
  weir_subscriber *reader;
  size_t before;

  a->options.recheck = _i == 0 ? 0 : 500;
  reader = follow();
  before = reads();
  kit_pass(a, 499);
  ck_assert_uint_eq(reads(), before);
  kit_pass(a, 1);
  ck_assert_uint_eq(reads(), before + (size_t)_i);
  kit_pass(a, 20000);
  ck_assert_uint_ge(reads(), before + (size_t)_i);
  ck_assert(_i != 0 || reads() == before);
  weir_subscriber_release(reader);
}
END_TEST

/* A look that fails: those who wait there do not know what they miss. They are
 * told to come back; and the next look may work. */
START_TEST(a_look_that_fails) {
  weir_subscriber *reader;

  storage->later = _i != 0;
  reader = follow();
  testlog_fail(storage, TESTLOG_READ, 1, TESTLOG_REFUSE, WEIR_ELOG);
  hint(a, 3);
  bench_expect(&bench, reader, WEIR_EDONE, "closing unavailable");
  weir_subscriber_release(reader);
  testlog_write(storage, "k", "x", "3");
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN,
               "ready@0 fresh; x@1 1; x@2 2; x@3 3");
  weir_subscriber_release(reader);
}
END_TEST

/* --- Cursors that know more than this hub -------------------------------- */

/* A cursor beyond the known head of what others write is not judged before the
 * log has been asked. */
START_TEST(a_cursor_ahead_of_the_known_head) {
  weir_subscriber *reader;
  weir_subscriber *other;
  uint64_t epoch;
  size_t before;
  int verdict;

  storage->later = _i != 0;
  reader = follow();
  epoch = testlog_find(storage, "k")->epochs[0].epoch;
  testlog_write(storage, "k", "x", "3");
  testlog_write(storage, "k", "x", "4");
  before = storage->modes[WEIR_LOG_LOOKUP];
  other = bench_resume(&bench, a, "k", epoch, 3, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], before + 1);
  bench_expect(&bench, other, WEIR_EAGAIN, "ready@3 resumed; x@4 4");
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@3 3; x@4 4");
  weir_subscriber_release(other);
  /* Ahead it is when storage says so. */
  other = bench_resume(&bench, a, "k", epoch, 9, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_AHEAD);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], before + 2);
  weir_subscriber_release(other);
  weir_subscriber_release(reader);
}
END_TEST

/* So is one of an epoch that this hub has not heard of: another may have taken
 * over since. */
START_TEST(f22_a_cursor_of_the_next_writer) {
  weir_subscriber *reader;
  weir_subscriber *other;
  uint64_t epoch;
  int verdict;

  storage->later = _i != 0;
  reader = follow();
  epoch = testlog_take(storage, "k");
  testlog_write(storage, "k", "x", "3");
  other = bench_resume(&bench, a, "k", epoch, 3, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
  weir_subscriber_release(other);
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@3 3");
  other = bench_resume(&bench, a, "k", epoch + 1, 3, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_FOREIGN);
  weir_subscriber_release(other);
  weir_subscriber_release(reader);
}
END_TEST

/* It waits for one lookup, begun after it came; and all who wait share it. */
START_TEST(a_cursor_waits_for_one_lookup) {
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *others[20];
  weir_subscriber_info info;
  weir_subscriber *reader;
  weir_request request;
  char text[WEIR_CURSOR_MAX];
  weir_cursor cursor;
  size_t before;
  size_t i;
  int verdict;

  storage->later = true;
  reader = follow();
  before = storage->modes[WEIR_LOG_LOOKUP];
  cursor.epoch = testlog_find(storage, "k")->epochs[0].epoch;
  cursor.seq = 9;
  weir_request_init(&request, sizeof request);
  ck_assert_int_eq(weir_cursor_format(&cursor, WEIR_CURSOR_EPOCH, text,
                                      sizeof text, &request.header_len),
                   WEIR_OK);
  request.header = text;
  options.request = &request;
  if (_i == 1) {
    testlog_fail(storage, TESTLOG_OPEN, 2, TESTLOG_REFUSE, WEIR_EIO);
  }
  for (i = 0; i < 20; ++i) {
    ck_assert_int_eq(weir_hub_attach(a->hub, &options, &others[i], &verdict),
                     WEIR_OK);
    ck_assert_int_eq(verdict, WEIR_VERDICT_PENDING);
  }
  /* That of the first. */
  ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], before + 1);
  testlog_deliver(storage, 0);
  kit_pass(a, 0);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], before + 2);
  ck_assert_uint_eq(kit_count(a, WEIR_NOTICE_DECIDED), 1);
  hint(a, 4);
  testlog_deliver(storage, 0);
  kit_pass(a, 0);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], before + 2);
  ck_assert_uint_eq(kit_count(a, WEIR_NOTICE_DECIDED), 19);
  info.size = sizeof info;
  for (i = 1; i < 20; ++i) {
    ck_assert_int_eq(weir_subscriber_get_info(others[i], &info), WEIR_OK);
    ck_assert_int_eq(info.error, _i == 0 ? WEIR_OK : WEIR_EIO);
  }
  for (i = 0; i < 20; ++i) {
    weir_subscriber_release(others[i]);
  }
  weir_subscriber_release(reader);
}
END_TEST

START_TEST(a_cursor_that_cannot_be_looked_up) {
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *reader;
  weir_subscriber *other = NULL;
  weir_request request;
  int verdict = -1;

  reader = follow();
  weir_request_init(&request, sizeof request);
  request.header = "b-9";
  request.header_len = 3;
  options.request = &request;
  testlog_fail(storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE, WEIR_EIO);
  ck_assert_int_eq(weir_hub_attach(a->hub, &options, &other, &verdict),
                   WEIR_EIO);
  ck_assert_ptr_null(other);
  ck_assert_int_eq(weir_hub_attach(a->hub, &options, &other, &verdict),
                   WEIR_OK);
  ck_assert_int_eq(verdict, WEIR_VERDICT_FOREIGN);
  weir_subscriber_release(other);
  weir_subscriber_release(reader);
}
END_TEST

/* --- Who leads ----------------------------------------------------------- */

/* A writer that does not write hears of its successor by a hint, and so do its
 * readers. */
START_TEST(race16_a_silent_writer_is_succeeded) {
  weir_open_options options = kit_open_options("k", "p");
  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *stream;

  storage->later = _i != 0;
  bench_hubs(&bench);
  stream = kit_open_with(a, &options);
  bench_rest(&bench);
  bench_publish(&bench, stream, 1);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  second = bench_open(&bench, b, "k");
  bench_publish(&bench, second, 1);
  kit_count(a, 0);
  hint(a, 2);
  bench_rest(&bench);
  kit_expect_notices(a, "readable; p cancelled");
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@2 2");
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FENCED);
  /* From then on it follows, with the slow look too. */
  bench_publish(&bench, second, 1);
  bench_pass(&bench, 12000);
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@3 3");
  weir_subscriber_release(reader);
  weir_stream_release(second);
  weir_stream_release(stream);
}
END_TEST

/* Hints of what this hub itself writes are none. */
START_TEST(a_writer_that_hears_itself) {
  weir_subscriber *reader;
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  stream = bench_open(&bench, a, "k");
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh");
  kit_publish(stream, "x", "1");
  hint(a, 1); /* before the answer */
  bench_rest(&bench);
  hint(a, 1);
  bench_rest(&bench);
  ck_assert_uint_eq(reads(), 0);
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@1 1");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* It may also find out while it reads its own events back; without any hint it
 * then goes on to look. */
START_TEST(race16_a_writer_finds_out_by_reading) {
  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *stream;
  uint64_t epoch;
  int verdict;
  int i;

  storage->later = _i != 0;
  a->options.history_bytes = 1;
  bench_hubs(&bench);
  stream = bench_open(&bench, a, "k");
  epoch = bench_info(stream).epoch;
  bench_publish(&bench, stream, 999);
  bench_publish(&bench, stream, 1);
  second = bench_open(&bench, b, "k");
  reader = bench_resume(&bench, a, "k", epoch, 998, &verdict);
  bench_expect(&bench, reader, WEIR_EAGAIN,
               "ready@998 resumed; x@999 999; x@1000 1000");
  weir_subscriber_release(reader);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_LIVE);
  reader = bench_resume(&bench, a, "k", epoch, 1, &verdict);
  for (i = 0; i < 20; ++i) {
    ck_assert_int_eq(kit_skip(reader), WEIR_EAGAIN);
    bench_rest(&bench);
  }
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FENCED);
  bench_publish(&bench, second, 1);
  bench_pass(&bench, 12000);
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@1001 1001");
  weir_subscriber_release(reader);
  weir_stream_release(second);
  weir_stream_release(stream);
}
END_TEST

/* A writer that has failed lives on where another has taken over: what was told
 * to clients concerns nobody who comes now. */
START_TEST(a_failed_writer_is_succeeded) {
  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *stream;

  bench_hubs(&bench);
  stream = bench_open(&bench, a, "k");
  bench_publish(&bench, stream, 1);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  ck_assert_int_eq(publish(stream, 0, "2"), WEIR_ELOG);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FAILED);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EDONE,
               "ready@0 fresh; x@1 1; failed log_refused ");
  weir_subscriber_release(reader);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_EFENCED);
  kit_pass(a, 1000); /* it wants to log its end, and may not */
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FENCED);
  ck_assert_uint_eq(bench_info(stream).failed, 0);
  second = bench_open(&bench, b, "k");
  bench_publish(&bench, second, 1);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1; x@2 2");
  weir_subscriber_release(reader);
  weir_stream_release(second);
  weir_stream_release(stream);
}
END_TEST

/* A writer that knows of its successor already, while an append of its own is
 * under way: whatever becomes of that one, the stream has not failed. */
START_TEST(a_writer_that_is_succeeded_meanwhile) {
  const int result = _i == 0 ? WEIR_EIO : WEIR_EFENCED;
  weir_event event = kit_make_event("x", "ghost");
  weir_open_options options = kit_open_options("k", "p");
  weir_subscriber *reader;
  weir_stream *stream;

  bench_hub(&bench);
  stream = kit_open_with(a, &options);
  bench_publish(&bench, stream, 1);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  (void)testlog_take(storage, "k");
  testlog_write(storage, "k", "x", "2");
  testlog_write(storage, "k", "x", "3");
  storage->later = true;
  hint(a, 3);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, result);
  event.tag = 7;
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_OK);
  kit_count(a, 0);
  testlog_deliver(storage, 0);
  kit_expect_notices(a, "readable; p cancelled");
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FENCED);
  storage->later = false;
  testlog_deliver_all(storage);
  kit_expect_notices(a,
                     result == WEIR_EIO ? "p stored 7 -31" : "p stored 7 -12");
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@2 2; x@3 3");
  bench_pass(&bench, 30000);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FENCED);
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 0);
  testlog_write(storage, "k", "x", "4");
  bench_pass(&bench, 12000);
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@4 4");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* How another has ended a stream is known too, also to who has read it. */
START_TEST(how_another_has_ended_it) {
  weir_open_options options = kit_open_options("k", "p");
  weir_subscriber *reader = NULL;
  weir_stream *stream;

  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  if (_i >= 2) {
    reader = bench_attach(&bench, a, "k", NULL);
  }
  ck_assert_int_eq((_i & 1) != 0
                       ? weir_stream_fail(stream, "c", 1, "m", 1, 0, NULL)
                       : weir_stream_end(stream, "ok", 2, 0, NULL),
                   WEIR_OK);
  bench_rest(&bench);
  weir_stream_release(stream);
  if (reader != NULL) {
    bench_pass(&bench, 12000);
    bench_expect(&bench, reader, WEIR_EDONE,
                 (_i & 1) != 0 ? "ready@0 fresh; failed@1 c m"
                               : "ready@0 fresh; done@1 ok");
    weir_subscriber_release(reader);
  }
  options.flags = WEIR_OPEN_LOOK;
  stream = kit_open_with(a, &options);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_ENDED);
  ck_assert_uint_eq(bench_info(stream).failed, (unsigned)_i & 1);
  weir_stream_release(stream);
}
END_TEST

/* A slow reader of one that has failed, and been forgotten, gets what another
 * writer has put into it since, as far as that is known; then it has to come
 * back, since nobody here hears of more. */
START_TEST(a_failed_writer_is_forgotten_and_succeeded) {
  weir_open_options options = kit_open_options("k", "p");
  struct kit_bytes bytes = {NULL, 0, 0};
  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *stream;

  a->options.history_bytes = 1;
  bench_hubs(&bench);
  options.linger = 1;
  stream = kit_open_with(a, &options);
  bench_publish(&bench, stream, 999);
  bench_publish(&bench, stream, 1);
  reader = bench_attach(&bench, a, "k", NULL);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  ck_assert_int_eq(publish_owned(stream, "x"), WEIR_ELOG);
  weir_stream_release(stream);
  kit_pass(a, 1);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
  second = bench_open(&bench, b, "k");
  bench_publish(&bench, second, 1);
  ck_assert_int_eq(kit_pull(reader, &bytes), WEIR_EDONE);
  ck_assert_ptr_nonnull(strstr(bytes.data, "\ndata: 1000\n"));
  ck_assert_ptr_nonnull(strstr(bytes.data, "\"reason\":\"unavailable\""));
  kit_bytes_free(&bytes);
  weir_subscriber_release(reader);
  weir_stream_release(second);
}
END_TEST

/* Without another writer there is nothing more of it but that it has failed. */
START_TEST(a_failed_writer_is_forgotten) {
  weir_open_options options = kit_open_options("k", "p");
  struct kit_bytes bytes = {NULL, 0, 0};
  weir_subscriber *reader;
  weir_stream *stream;

  a->options.history_bytes = 1;
  bench_hubs(&bench);
  options.linger = 1;
  stream = kit_open_with(a, &options);
  bench_publish(&bench, stream, 999);
  reader = bench_attach(&bench, a, "k", NULL);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  ck_assert_int_eq(publish_owned(stream, "x"), WEIR_ELOG);
  weir_stream_release(stream);
  kit_pass(a, 1);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
  ck_assert_int_eq(kit_pull(reader, &bytes), WEIR_EDONE);
  ck_assert_ptr_nonnull(strstr(bytes.data, "\ndata: 999\n"));
  ck_assert_ptr_nonnull(strstr(bytes.data, "event: weir.failed\n"));
  kit_bytes_free(&bytes);
  weir_subscriber_release(reader);
}
END_TEST

/* Back and forth: numbers go on, under a new epoch each time, and a cursor of
 * any of them is good. */
START_TEST(f01_writers_take_turns) {
  weir_subscriber *reader;
  weir_stream *stream;
  uint64_t epochs[6];
  uint64_t i;
  int verdict;

  storage->later = _i != 0;
  bench_hubs(&bench);
  for (i = 0; i < 6; ++i) {
    stream = bench_open(&bench, i % 2 == 0 ? a : b, "k");
    if (i >= 2) {
      /* This hub takes itself for the writer still; its next event shows. */
      (void)publish_owned(stream, "ghost");
      bench_rest(&bench);
      ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FENCED);
      weir_stream_release(stream);
      stream = bench_open(&bench, i % 2 == 0 ? a : b, "k");
    }
    epochs[i] = bench_info(stream).epoch;
    ck_assert_uint_eq(bench_info(stream).last, i);
    bench_publish(&bench, stream, 1);
    weir_stream_release(stream);
  }
  ck_assert_uint_eq(testlog_find(storage, "k")->epoch_count, 6);
  for (i = 0; i < 6; ++i) {
    ck_assert_uint_eq(testlog_find(storage, "k")->epochs[i].last, i + 1);
    reader = bench_resume(&bench, b, "k", epochs[i], i + 1, &verdict);
    ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
    weir_subscriber_release(reader);
    reader = bench_resume(&bench, b, "k", epochs[i], i + 2, &verdict);
    ck_assert_int_eq(verdict,
                     i == 5 ? WEIR_VERDICT_AHEAD : WEIR_VERDICT_REWOUND);
    weir_subscriber_release(reader);
  }
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN,
               "ready@0 fresh; x@1 1; x@2 2; x@3 3; x@4 4; x@5 5; x@6 6");
  weir_subscriber_release(reader);
}
END_TEST

/* A signal that was stamped with a number which another writer has then given
 * to the end. */
START_TEST(inv07_a_signal_from_beyond_the_end_is_none) {
  const weir_event own = kit_make_event("own", "");
  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *stream;

  storage->later = true;
  bench_hubs(&bench);
  stream = bench_open(&bench, a, "k");
  bench_publish(&bench, stream, 1);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  storage->slow = true;
  ck_assert_int_eq(publish_owned(stream, "ghost"), WEIR_OK);
  kit_signal(stream, "s", "");
  ck_assert_int_eq(weir_subscriber_signal(reader, &own), WEIR_OK);
  second = kit_open(b, "k");
  while (bench_info(second).status == WEIR_STREAM_OPENING) {
    testlog_deliver(storage, testlog_waiting(storage) - 1);
    kit_pass(b, 0);
  }
  ck_assert_int_eq(weir_stream_end(second, "ok", 2, 0, NULL), WEIR_OK);
  testlog_deliver(storage, 1);
  bench_expect(&bench, reader, WEIR_EDONE, "done@2 ok");
  weir_subscriber_release(reader);
  weir_stream_release(second);
  weir_stream_release(stream);
}
END_TEST

/* --- Shared streams ------------------------------------------------------ */

/* Several nodes publish, and storage numbers the events in the order of its
 * commits; every reader of every node sees the same. */
START_TEST(r21_two_nodes_publish) {
  weir_subscriber *readers[2];
  weir_stream *streams[2];
  char want[2000] = "ready@0 fresh";
  char data[24];
  size_t i;

  storage->later = (_i & 1) != 0;
  bench_hubs(&bench);
  streams[0] = open_shared(a, "p");
  streams[1] = open_shared(b, "q");
  ck_assert_uint_eq(bench_info(streams[0]).joined, 0);
  ck_assert_uint_eq(bench_info(streams[1]).joined, 1);
  /* Nobody takes over for that. */
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 0);
  readers[0] = bench_attach(&bench, a, "k", NULL);
  readers[1] = bench_attach(&bench, b, "k", NULL);
  for (i = 1; i <= 40; ++i) {
    snprintf(data, sizeof data, "%zu", i);
    ck_assert_int_eq(publish(streams[i % 3 == 0], i, data), WEIR_OK);
    if ((_i & 2) != 0) {
      bench_rest(&bench);
    }
  }
  bench_rest(&bench);
  hint(a, 40);
  hint(b, 40);
  bench_rest(&bench);
  ck_assert_uint_eq(testlog_find(storage, "k")->count, 40);
  for (i = 1; i <= 40; ++i) {
    snprintf(want + strlen(want), sizeof want - strlen(want), "; x@%zu %s", i,
             testlog_event(testlog_find(storage, "k"), i)->data);
  }
  bench_expect(&bench, readers[0], WEIR_EAGAIN, want);
  bench_expect(&bench, readers[1], WEIR_EAGAIN, want);
  for (i = 0; i < 2; ++i) {
    ck_assert_uint_eq(bench_info(streams[i]).last, 40);
    ck_assert_uint_eq(bench_info(streams[i]).pending, 0);
    weir_subscriber_release(readers[i]);
    weir_stream_release(streams[i]);
  }
}
END_TEST

/* The publisher learns the numbers that its events got. */
START_TEST(r21_numbers_come_from_storage) {
  weir_event events[3];
  weir_stream *streams[2];
  size_t i;

  storage->later = true;
  bench_hubs(&bench);
  streams[0] = open_shared(a, "p");
  streams[1] = open_shared(b, "q");
  for (i = 0; i < 3; ++i) {
    events[i] = kit_make_event("x", "d");
    events[i].tag = i + 1;
  }
  ck_assert_int_eq(publish(streams[1], 7, "d"), WEIR_OK);
  ck_assert_int_eq(weir_stream_publish(streams[0], events, 3, NULL), WEIR_OK);
  ck_assert_int_eq(publish(streams[1], 8, "d"), WEIR_OK);
  ck_assert_int_eq(publish(streams[0], 9, "d"), WEIR_OK);
  bench_rest(&bench);
  kit_expect_notices(a,
                     "p stored 1=2; p stored 2=3; p stored 3=4; "
                     "p stored 9=5");
  kit_expect_notices(b, "q stored 7=1; q stored 8=6");
  weir_stream_release(streams[0]);
  weir_stream_release(streams[1]);
}
END_TEST

/* Where numbers have holes, those of a batch are not known but for the first of
 * one. */
START_TEST(r21_numbers_with_holes_come_from_storage) {
  weir_event events[2];
  weir_subscriber *reader;
  weir_stream *stream;
  size_t i;

  storage->log.flags = WEIR_LOG_SPARSE;
  storage->step = 10;
  bench_hubs(&bench);
  stream = open_shared(a, "p");
  for (i = 0; i < 2; ++i) {
    events[i] = kit_make_event("x", "d");
    events[i].tag = i + 1;
  }
  ck_assert_int_eq(publish(stream, 7, "d"), WEIR_OK);
  ck_assert_int_eq(weir_stream_publish(stream, events, 2, NULL), WEIR_OK);
  kit_expect_notices(a, "p stored 7=10; p stored 1=0; p stored 2=0");
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN,
               "ready@0 fresh; x@10 d; x@20 d; x@30 d");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* An event that is published here comes back by one read, and readers at the
 * head share a page. */
START_TEST(an_event_of_a_shared_stream_costs_one_read) {
  weir_subscriber *readers[10];
  weir_stream *stream;
  size_t before;
  size_t i;

  storage->later = _i != 0;
  bench_hub(&bench);
  stream = open_shared(a, "p");
  for (i = 0; i < 10; ++i) {
    readers[i] = bench_attach(&bench, a, "k", NULL);
    bench_expect(&bench, readers[i], WEIR_EAGAIN, "ready@0 fresh");
  }
  before = reads();
  ck_assert_int_eq(publish(stream, 0, "1"), WEIR_OK);
  bench_rest(&bench);
  ck_assert_uint_eq(reads(), before + 1);
  for (i = 0; i < 10; ++i) {
    bench_expect(&bench, readers[i], WEIR_EAGAIN, "x@1 1");
    weir_subscriber_release(readers[i]);
  }
  ck_assert_uint_eq(reads(), before + 1);
  weir_stream_release(stream);
}
END_TEST

/* One node ends it: for all. What another publishes after that is refused. */
START_TEST(r36_one_end_of_a_shared_stream) {
  weir_subscriber *readers[2];
  weir_stream *streams[2];
  uint64_t seq = 99;
  int i;

  storage->later = _i != 0;
  bench_hubs(&bench);
  streams[0] = open_shared(a, "p");
  streams[1] = open_shared(b, "q");
  readers[0] = bench_attach(&bench, a, "k", NULL);
  readers[1] = bench_attach(&bench, b, "k", NULL);
  bench_rest(&bench);
  ck_assert_int_eq(publish(streams[0], 0, "1"), WEIR_OK);
  ck_assert_int_eq(weir_stream_end(streams[0], "ok", 2, 0, &seq), WEIR_OK);
  ck_assert_uint_eq(seq, 0); /* storage says which */
  bench_rest(&bench);
  kit_count(a, 0);
  kit_count(b, 0);
  ck_assert_int_eq(bench_info(streams[0]).status, WEIR_STREAM_ENDED);
  ck_assert_int_eq(publish(streams[1], 9, "late"),
                   storage->later ? WEIR_OK : WEIR_EENDED);
  bench_rest(&bench);
  if (storage->later) {
    ck_assert_int_eq(kit_next(b).error, WEIR_EENDED);
  }
  ck_assert_int_eq(bench_info(streams[1]).status, WEIR_STREAM_ENDED);
  ck_assert_uint_eq(bench_info(streams[1]).pending, 0);
  ck_assert_int_eq(publish(streams[1], 0, "late"), WEIR_EENDED);
  for (i = 0; i < 2; ++i) {
    bench_expect(&bench, readers[i], WEIR_EDONE,
                 "ready@0 fresh; x@1 1; done@2 ok");
    weir_subscriber_release(readers[i]);
    weir_stream_release(streams[i]);
  }
  ck_assert_uint_eq(testlog_find(storage, "k")->count, 2);
}
END_TEST

/* A node whose event is refused fails the stream for all: its end is logged
 * without taking the others' epoch away. */
START_TEST(r33_a_node_fails_a_shared_stream) {
  weir_subscriber *reader;
  weir_stream *streams[2];

  bench_hubs(&bench);
  streams[0] = open_shared(a, "p");
  streams[1] = open_shared(b, "q");
  reader = bench_attach(&bench, b, "k", NULL);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_CONFUSE, WEIR_EUNKNOWN);
  ck_assert_int_eq(publish(streams[0], 0, "1"), WEIR_EUNKNOWN);
  ck_assert_int_eq(bench_info(streams[0]).status, WEIR_STREAM_FAILED);
  ck_assert_int_eq(publish(streams[1], 0, "2"), WEIR_OK);
  kit_pass(a, 1000);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 0);
  ck_assert_int_eq(bench_info(streams[0]).status, WEIR_STREAM_ENDED);
  hint(b, 3);
  bench_expect(&bench, reader, WEIR_EDONE,
               "ready@0 fresh; x@1 1; x@2 2; failed@3 log_unknown ");
  weir_subscriber_release(reader);
  weir_stream_release(streams[0]);
  weir_stream_release(streams[1]);
}
END_TEST

/* Somebody has taken it over all the same: what was under way is refused, and
 * told; the next event goes under the new epoch. */
START_TEST(a_shared_stream_is_taken_over) {
  weir_subscriber *reader;
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  stream = open_shared(a, "p");
  reader = bench_attach(&bench, a, "k", NULL);
  bench_rest(&bench);
  kit_count(a, 0);
  testlog_take(storage, "k");
  ck_assert_int_eq(publish(stream, 1, "1"), WEIR_OK);
  ck_assert_int_eq(publish(stream, 2, "2"), WEIR_OK);
  bench_rest(&bench);
  kit_expect_notices(a, "p stored 1 -12; p stored 2 -12");
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_LIVE);
  ck_assert_int_eq(publish(stream, 3, "3"), WEIR_OK);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 3");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

static void bend_first(weir_answer *answer, weir_epoch *epochs,
                       weir_record *records) {
  (void)epochs;
  (void)records;
  answer->first += 1;
}

static void bend_no_first(weir_answer *answer, weir_epoch *epochs,
                          weir_record *records) {
  (void)epochs;
  (void)records;
  answer->first = 0;
}

static void bend_not_ended(weir_answer *answer, weir_epoch *epochs,
                           weir_record *records) {
  (void)epochs;
  (void)records;
  answer->ended = 0;
}

/* A yes whose numbers cannot be is none. */
START_TEST(appends_of_shared_streams_are_confirmed) {
  testlog_bend *const bends[] = {bend_first, bend_no_first, bend_not_ended};
  weir_stream *stream;

  bench_hub(&bench);
  stream = open_shared(a, "p");
  testlog_plan_bend(storage, TESTLOG_APPEND, 1, bends[_i]);
  ck_assert_int_eq(_i == 2 ? weir_stream_end(stream, "ok", 2, 0, NULL)
                           : publish(stream, 0, "1"),
                   WEIR_EUNKNOWN);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FAILED);
  kit_pass(a, 1000);
  if (_i == 2) {
    /* It has been stored all the same: the next try is told. */
    ck_assert_uint_eq(testlog_find(storage, "k")->count, 1);
  }
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_ENDED);
  weir_stream_release(stream);
}
END_TEST

/* Events of shared streams are checked as all others, before they have a
 * number; their limits are those of the longest there is. */
START_TEST(events_of_shared_streams_are_checked) {
  weir_event events[2];
  weir_stream *stream;
  char *lines = calloc(1, 100002);

  bench_hub(&bench);
  stream = open_shared(a, "p");
  events[0] = kit_make_event("x", "1");
  events[1] = kit_make_event("weir.done", "1");
  ck_assert_int_eq(weir_stream_publish(stream, events, 2, NULL),
                   WEIR_ERESERVED);
  events[1] = kit_make_event("x", "\xff");
  ck_assert_int_eq(weir_stream_publish(stream, events, 2, NULL), WEIR_EUTF8);
  memset(lines, '\n', 100000);
  events[1] = kit_make_event("x", lines);
  ck_assert_int_eq(weir_stream_publish(stream, events, 2, NULL), WEIR_ETOOBIG);
  events[1].data_len = 99999;
  ck_assert_int_eq(weir_stream_publish(stream, events, 2, NULL), WEIR_OK);
  ck_assert_uint_eq(testlog_find(storage, "k")->count, 2);
  free(lines);
  weir_stream_release(stream);
}
END_TEST

/* As many as it has events. */
START_TEST(a_batch_of_a_shared_stream_has_its_numbers) {
  weir_event events[2];
  weir_stream *stream;

  bench_hub(&bench);
  stream = open_shared(a, "p");
  events[0] = kit_make_event("x", "1");
  events[1] = kit_make_event("x", "2");
  testlog_plan_bend(storage, TESTLOG_APPEND, 1, bend_first);
  ck_assert_int_eq(weir_stream_publish(stream, events, 2, NULL), WEIR_EUNKNOWN);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FAILED);
  weir_stream_release(stream);
}
END_TEST

/* Between the append and its answer, which says so. */
START_TEST(race16_a_shared_stream_is_taken_over_meanwhile) {
  weir_subscriber *reader;
  weir_stream *stream;
  uint64_t epoch;

  storage->later = true;
  storage->current = true;
  bench_hub(&bench);
  stream = open_shared(a, "p");
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh");
  ck_assert_int_eq(publish(stream, 1, "1"), WEIR_OK);
  epoch = testlog_take(storage, "k");
  testlog_write(storage, "k", "y", "2");
  testlog_deliver(storage, 0);
  ck_assert_uint_eq(bench_info(stream).epoch, epoch);
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@1 1; y@2 2");
  ck_assert_int_eq(publish(stream, 3, "3"), WEIR_OK);
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@3 3");
  kit_expect_notices(a, "p stored 1=1; p stored 3=3");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* --- Generations that are hidden ------------------------------------------ */

static bool no_entropy;

static int scarce_entropy(void *user, void *dst, size_t len) {
  static unsigned char next;

  (void)user;
  memset(dst, ++next, len);
  return no_entropy ? 0 : 1;
}

static uint64_t hidden_end(void) {
  return testlog_find(storage, "k")->older->ended;
}

/* A client on the first hub reads what the second one has replaced, and could
 * not log the end of. Time passes for the first alone. */
static weir_subscriber *read_hidden(uint32_t flags, weir_stream **look) {
  weir_open_options options = kit_open_options("k", "p");
  weir_open_options looking = kit_open_options("k", "l");
  weir_attach_options reading = kit_attach_options("k", "s");
  weir_event event = kit_make_event("x", "1");
  weir_stream *streams[2];
  weir_subscriber *reader;

  no_entropy = false;
  a->options.entropy = scarce_entropy;
  bench_hubs(&bench);
  options.flags = flags;
  streams[0] = kit_open_with(b, &options);
  ck_assert_int_eq(weir_stream_publish(streams[0], &event, 1, NULL), WEIR_OK);
  reading.heartbeat = 0;
  reader = kit_attach_with(a, &reading);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  if (look != NULL) {
    looking.flags = WEIR_OPEN_LOOK;
    *look = kit_open_with(a, &looking);
  }
  storage->later = true;
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  options.on_duplicate = WEIR_DUPLICATE_REPLACE;
  streams[1] = kit_open_with(b, &options);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(streams[0]).status, WEIR_STREAM_FAILED);
  ck_assert_int_eq(bench_info(streams[1]).status, WEIR_STREAM_LIVE);
  ck_assert_uint_eq(hidden_end(), 0);
  weir_stream_release(streams[0]);
  weir_stream_release(streams[1]);
  kit_expect_frames(reader, WEIR_EAGAIN, "");
  return reader;
}

static void look_again(uint64_t ms) {
  kit_pass(a, ms);
  bench_rest(&bench);
}

static void expect_replaced(weir_subscriber *reader) {
  ck_assert_uint_eq(hidden_end(), 2);
  bench_expect(&bench, reader, WEIR_EDONE, "done@2 replaced_by_new_stream");
  weir_subscriber_release(reader);
}

static void bend_no_state(weir_answer *answer, weir_epoch *epochs,
                          weir_record *records) {
  (void)epochs;
  (void)records;
  answer->epoch_count = 0;
}

/* Whoever reads it learns by the slow look that it is hidden, and ends it: who
 * was to do that may have died. An answer that is none has to be had again. */
START_TEST(a_hidden_generation_is_ended_by_who_reads_it) {
  weir_subscriber *reader = read_hidden(_i % 2 ? WEIR_OPEN_SHARED : 0, NULL);

  look_again(11999);
  ck_assert_uint_eq(hidden_end(), 0);
  if (_i / 2 == 1) {
    testlog_fail(storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE, WEIR_ELOG);
  } else if (_i / 2 == 2) {
    testlog_plan_bend(storage, TESTLOG_OPEN, 1, bend_no_state);
  } else if (_i / 2 == 3) {
    no_entropy = true;
  }
  look_again(1);
  if (_i >= 2 && _i != 7) {
    ck_assert_uint_eq(hidden_end(), 0);
    no_entropy = false;
    look_again(12000);
  }
  expect_replaced(reader);
}
END_TEST

/* Storage refuses that end, and does not say why nor how far it is: it is put
 * again in a while, not at once each time that it fails. */
START_TEST(a_hidden_generation_that_is_not_to_be_ended) {
  weir_subscriber *reader = read_hidden(_i % 2 ? WEIR_OPEN_SHARED : 0, NULL);
  const size_t before = storage->calls[TESTLOG_APPEND];
  size_t i;

  for (i = 1; i <= 5; ++i) {
    testlog_fail(storage, TESTLOG_APPEND, i, TESTLOG_REFUSE,
                 _i / 2 ? WEIR_EFENCED : WEIR_EENDED);
    testlog_fail(storage, TESTLOG_READ, i, TESTLOG_REFUSE, WEIR_EIO);
  }
  look_again(12000);
  for (i = 0; i < 100; ++i) {
    look_again(10);
  }
  ck_assert_uint_eq(storage->calls[TESTLOG_APPEND], before + 1);
  for (i = 0; i < 60; ++i) {
    look_again(1000);
  }
  ck_assert_uint_eq(hidden_end(), 2);
  weir_subscriber_release(reader);
}
END_TEST

/* Without memory for that at any point, it takes longer. */
START_TEST(a_hidden_generation_without_memory) {
  weir_subscriber *reader = read_hidden(0, NULL);

  a->memory.fail_at = a->memory.calls + (size_t)_i + 1;
  look_again(12000);
  a->memory.fail_at = 0;
  if (hidden_end() == 0) {
    look_again(1000);
  }
  if (hidden_end() == 0) {
    look_again(12000);
  }
  expect_replaced(reader);
}
END_TEST

/* Who only looks is shown what hides it, and hears of that. */
START_TEST(a_look_at_a_hidden_generation) {
  weir_open_options options = kit_open_options("k", "l");
  weir_subscriber *reader = read_hidden(0, NULL);
  weir_stream *look;

  options.flags = WEIR_OPEN_LOOK;
  look = kit_open_with(a, &options);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(look).status, WEIR_STREAM_LIVE);
  ck_assert_uint_eq(bench_info(look).last, 0);
  expect_replaced(reader);
  weir_stream_release(look);
}
END_TEST

/* While that is looked into, the end comes, or is asked for by another. */
START_TEST(a_hidden_generation_that_ends_meanwhile) {
  weir_stream *look = NULL;
  weir_subscriber *reader = read_hidden(0, &look);

  storage->slow = true;
  kit_count(a, 0);
  kit_pass(a, 12000);
  ck_assert_uint_eq(testlog_waiting(storage), 2); /* the lookup, the look */
  if (_i == 0) {
    kit_pass(b, 2000);
    testlog_deliver(storage, 2); /* the second hub sees that nobody has it */
    kit_pass(b, 0);
    testlog_deliver(storage, 2); /* takes it back */
    kit_pass(b, 0);
    testlog_deliver(storage, 2); /* and logs the end, after all */
    testlog_deliver(storage, 1); /* which the look sees */
    bench_rest(&bench);
  } else {
    ck_assert_int_eq(weir_stream_cancel(look, "why", 3), WEIR_OK);
    bench_rest(&bench);
  }
  ck_assert_uint_eq(hidden_end(), 2);
  bench_pass(&bench, 12000);
  bench_expect(&bench, reader, WEIR_EDONE,
               _i == 0 ? "failed@2 log_refused " : "done@2 why");
  weir_stream_release(look);
  weir_subscriber_release(reader);
}
END_TEST

/* Nothing of that happens to one that is not hidden: it is looked up, and that
 * is all. */
START_TEST(what_is_not_hidden_goes_on) {
  weir_subscriber *reader;
  size_t before;

  storage->later = _i != 0;
  reader = follow();
  before = storage->modes[WEIR_LOG_LOOKUP];
  bench_pass(&bench, 12000);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], before + 1);
  testlog_write(storage, "k", "x", "3");
  hint(a, 3);
  kit_skip(reader);
  bench_rest(&bench);
  ck_assert_uint_eq(bench_hub_info(a).calls, 0);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], before + 1);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 0);
  weir_subscriber_release(reader);
}
END_TEST

/* Time for the next one comes meanwhile, or it comes while a take-over is under
 * way: one is asked for at a time. */
START_TEST(a_lookup_that_takes_long) {
  weir_subscriber *reader;
  weir_stream *stream = NULL;
  size_t before;

  a->options.recheck = 1000;
  reader = follow();
  storage->later = true;
  before = storage->modes[WEIR_LOG_LOOKUP];
  if (_i == 1) {
    stream = kit_open(a, "k");
    ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
    kit_pass(a, 1000);
    ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], before);
  } else {
    kit_pass(a, 1000);
    ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], before + 1);
    testlog_deliver(storage, 1); /* the look */
    kit_pass(a, 1000);
    ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], before + 1);
  }
  bench_rest(&bench);
  if (_i == 1) {
    kit_publish(stream, "x", "3");
  } else {
    testlog_write(storage, "k", "x", "3");
    hint(a, 3);
  }
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@3 3");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* There is no memory for the lookup, and a take-over comes before the next try:
 * its answer is not taken for that of the lookup. */
START_TEST(a_lookup_without_memory) {
  weir_subscriber *reader;
  weir_stream *stream;
  size_t before;

  a->options.recheck = 1000;
  reader = follow();
  storage->later = true;
  before = storage->modes[WEIR_LOG_LOOKUP];
  a->memory.fail_at = a->memory.calls + 1;
  a->memory.fail_on = true;
  kit_pass(a, 1000);
  ck_assert_uint_ge(a->memory.calls, a->memory.fail_at);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], before);
  a->memory.fail_at = 0;
  stream = kit_open(a, "k");
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
  bench_rest(&bench);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_LIVE);
  kit_publish(stream, "x", "3");
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@3 3");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* Of a shared one that is hidden an event is on its way when that is found: its
 * end comes as soon as that is stored. */
START_TEST(a_hidden_generation_ends_behind_what_is_under_way) {
  weir_open_options options = kit_open_options("k", "q");
  weir_subscriber *reader;
  weir_stream *streams[3];
  int i;

  a->options.recheck = 1000;
  storage->current = true;
  bench_hubs(&bench);
  streams[0] = open_shared(b, "p");
  streams[1] = open_shared(a, "o");
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh");
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  storage->later = true;
  options.flags = WEIR_OPEN_SHARED;
  options.on_duplicate = WEIR_DUPLICATE_REPLACE;
  streams[2] = kit_open_with(b, &options);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(streams[2]).status, WEIR_STREAM_LIVE);
  ck_assert_uint_eq(testlog_find(storage, "k")->older->ended, 0);
  kit_pass(a, 1000);
  ck_assert_uint_eq(testlog_waiting(storage), 2); /* the lookup, the look */
  ck_assert_int_eq(publish(streams[1], 7, "1"), WEIR_OK);
  testlog_deliver(storage, 0);
  kit_pass(a, 0);
  testlog_deliver(storage, 0);
  kit_pass(a, 0);
  ck_assert_uint_eq(testlog_find(storage, "k")->older->ended, 0);
  bench_rest(&bench);
  ck_assert_uint_eq(testlog_find(storage, "k")->older->ended, 2);
  bench_expect(&bench, reader, WEIR_EDONE,
               "x@1 1; done@2 replaced_by_new_stream");
  weir_subscriber_release(reader);
  for (i = 0; i < 3; ++i) {
    weir_stream_release(streams[i]);
  }
}
END_TEST

static TCase *hints(void) {
  TCase *tcase = tcase_create("hints");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, race11_a_hint_is_a_reason_to_read, 0, 2);
  tcase_add_test(tcase, r23_hints_of_what_is_known);
  tcase_add_test(tcase, hints_are_spent_by_a_look_begun_after_them);
  tcase_add_test(tcase, hints_for_nobody);
  tcase_add_loop_test(tcase, r26_hints_are_lost, 0, 2);
  tcase_add_test(tcase, f16_the_end_is_found_without_a_hint);
  tcase_add_loop_test(tcase, the_slow_look_can_be_set, 0, 2);
  tcase_add_loop_test(tcase, a_look_that_fails, 0, 2);
  tcase_add_loop_test(tcase, a_cursor_ahead_of_the_known_head, 0, 2);
  tcase_add_loop_test(tcase, f22_a_cursor_of_the_next_writer, 0, 2);
  tcase_add_loop_test(tcase, a_cursor_waits_for_one_lookup, 0, 2);
  tcase_add_test(tcase, a_cursor_that_cannot_be_looked_up);
  tcase_add_loop_test(tcase, r04_a_look_brings_frames, 0, 2);
  tcase_add_loop_test(tcase, r10_a_loss_at_the_head_is_a_gap, 0, 2);
  tcase_add_loop_test(tcase, r10_a_loss_at_the_head_without_memory, 0, 2);
  tcase_add_loop_test(tcase, answers_come_in_any_order, 0, 2);
  tcase_add_test(tcase, a_generation_that_is_gone_is_read_to_its_end);
  tcase_add_test(tcase, hints_for_what_cannot_be_looked_at);
  return tcase;
}

static TCase *leaders(void) {
  TCase *tcase = tcase_create("leaders");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, race16_a_silent_writer_is_succeeded, 0, 2);
  tcase_add_test(tcase, a_writer_that_hears_itself);
  tcase_add_loop_test(tcase, race16_a_writer_finds_out_by_reading, 0, 2);
  tcase_add_test(tcase, a_failed_writer_is_succeeded);
  tcase_add_loop_test(tcase, a_writer_that_is_succeeded_meanwhile, 0, 2);
  tcase_add_test(tcase, a_failed_writer_is_forgotten_and_succeeded);
  tcase_add_loop_test(tcase, how_another_has_ended_it, 0, 4);
  tcase_add_test(tcase, a_failed_writer_is_forgotten);
  tcase_add_loop_test(tcase, f01_writers_take_turns, 0, 2);
  tcase_add_test(tcase, inv07_a_signal_from_beyond_the_end_is_none);
  return tcase;
}

static TCase *shared(void) {
  TCase *tcase = tcase_create("shared");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, r21_two_nodes_publish, 0, 4);
  tcase_add_test(tcase, r21_numbers_come_from_storage);
  tcase_add_test(tcase, r21_numbers_with_holes_come_from_storage);
  tcase_add_loop_test(tcase, an_event_of_a_shared_stream_costs_one_read, 0, 2);
  tcase_add_loop_test(tcase, r36_one_end_of_a_shared_stream, 0, 2);
  tcase_add_test(tcase, r33_a_node_fails_a_shared_stream);
  tcase_add_test(tcase, a_shared_stream_is_taken_over);
  tcase_add_loop_test(tcase, appends_of_shared_streams_are_confirmed, 0, 3);
  tcase_add_test(tcase, events_of_shared_streams_are_checked);
  tcase_add_test(tcase, a_batch_of_a_shared_stream_has_its_numbers);
  tcase_add_test(tcase, race16_a_shared_stream_is_taken_over_meanwhile);
  tcase_add_loop_test(tcase, a_lookup_that_takes_long, 0, 2);
  tcase_add_test(tcase, a_lookup_without_memory);
  tcase_add_test(tcase, a_hidden_generation_ends_behind_what_is_under_way);
  return tcase;
}

static TCase *hidden(void) {
  TCase *tcase = tcase_create("hidden");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, a_hidden_generation_is_ended_by_who_reads_it, 0,
                      8);
  tcase_add_loop_test(tcase, a_hidden_generation_that_is_not_to_be_ended, 0, 4);
  tcase_add_loop_test(tcase, a_hidden_generation_without_memory, 0, 12);
  tcase_add_test(tcase, a_look_at_a_hidden_generation);
  tcase_add_loop_test(tcase, a_hidden_generation_that_ends_meanwhile, 0, 2);
  tcase_add_loop_test(tcase, what_is_not_hidden_goes_on, 0, 2);
  return tcase;
}

KIT_MAIN("follow", hints(), leaders(), shared(), hidden())
