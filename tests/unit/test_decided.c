/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Opens and attaches that storage decides: later, against others who want the
 * same, or not at all. */

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

/* What an open of a log that answers at once comes to. */
static int open_now(struct kit *kit, int policy, uint32_t flags) {
  weir_open_options options = kit_open_options("k", NULL);
  weir_stream *stream = NULL;
  int rv;

  options.on_duplicate = policy;
  options.flags = flags;
  rv = weir_hub_open(kit->hub, &options, &stream);
  ck_assert((rv == WEIR_OK) == (stream != NULL));
  weir_stream_release(stream);
  return rv;
}

static weir_subscriber *attach_as(struct kit *kit, const char *name,
                                  const char *cursor) {
  weir_attach_options options = kit_attach_options("k", name);
  weir_subscriber *subscriber = NULL;
  weir_request request;
  int verdict = -1;

  weir_request_init(&request, sizeof request);
  if (cursor != NULL) {
    request.header = cursor;
    request.header_len = strlen(cursor);
  }
  options.request = &request;
  ck_assert_int_eq(weir_hub_attach(kit->hub, &options, &subscriber, &verdict),
                   WEIR_OK);
  ck_assert_int_eq(verdict, WEIR_VERDICT_PENDING);
  ck_assert_ptr_nonnull(subscriber);
  return subscriber;
}

static void expect_all(struct kit *kit, int rv, const char *text) {
  weir_subscriber *reader = bench_attach(&bench, kit, "k", NULL);

  ck_assert_ptr_nonnull(reader);
  bench_expect(&bench, reader, rv, text);
  weir_subscriber_release(reader);
}

static int status(const weir_stream *stream) {
  return bench_info(stream).status;
}

/* --- Opens --------------------------------------------------------------- */

START_TEST(an_open_is_decided_later) {
  const weir_event event = kit_make_event("x", "1");
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_EAGAIN);
  ck_assert_int_eq(weir_stream_signal(stream, &event, NULL), WEIR_EAGAIN);
  ck_assert_int_eq(weir_stream_trim(stream, 0), WEIR_EAGAIN);
  ck_assert_int_eq(status(stream), WEIR_STREAM_OPENING);
  kit_expect_notices(a, "");
  bench_rest(&bench);
  kit_expect_notices(a, "p opened 0");
  ck_assert_int_eq(status(stream), WEIR_STREAM_LIVE);
  ck_assert_uint_eq(bench_info(stream).joined, 0);
  bench_publish(&bench, stream, 1);
  weir_stream_release(stream);
}
END_TEST

/* A host that sleeps by weir_hub_get_timeout is woken by each answer, and needs
 * no more than weir_hub_next. */
START_TEST(a_host_that_polls_is_woken) {
  weir_stream *stream;
  unsigned wakes;

  storage->later = true;
  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  while (status(stream) == WEIR_STREAM_OPENING) {
    ck_assert_int_eq(kit_next(a).kind, 0);
    ck_assert_int_ne(weir_hub_get_timeout(a->hub), 0);
    wakes = a->wakes;
    testlog_deliver(storage, 0);
    ck_assert_uint_eq(a->wakes, wakes + 1);
    ck_assert_int_eq(weir_hub_get_timeout(a->hub), 0);
    if (testlog_waiting(storage) == 0) {
      kit_expect_notices(
          a, storage->modes[WEIR_LOG_CREATE] == 0 ? "" : "p opened 0");
    }
  }
  weir_stream_release(stream);
}
END_TEST

START_TEST(an_open_is_refused_later) {
  const weir_event event = kit_make_event("x", "1");
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  testlog_fail(storage, TESTLOG_OPEN, (size_t)_i + 1, TESTLOG_REFUSE,
               WEIR_ELOG);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  bench_rest(&bench);
  kit_expect_notices(a, "p opened -16");
  ck_assert_int_eq(status(stream), WEIR_STREAM_REFUSED);
  ck_assert_int_eq(bench_info(stream).error, WEIR_ELOG);
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_signal(stream, &event, NULL), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_end(stream, "", 0, 0, NULL), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_fail(stream, "", 0, "", 0, 0, NULL), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_cancel(stream, NULL, 0), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_trim(stream, 0), WEIR_EGONE);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
  ck_assert_uint_eq(bench_hub_info(a).pending, 0);
  weir_stream_release(stream);
}
END_TEST

/* Two opens of one key before storage has answered begin one generation. */
START_TEST(race18_two_opens_begin_one_generation) {
  weir_stream *first;
  weir_stream *second;
  weir_stream *third;

  storage->later = true;
  bench_hub(&bench);
  first = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  second = open_as(a, "q", WEIR_DUPLICATE_JOIN, 0);
  third = open_as(a, "r", WEIR_DUPLICATE_REJECT, 0);
  bench_rest(&bench);
  kit_expect_notices(a, "r opened -10; p opened 0; q opened 0");
  ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], 1);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_CREATE], 1);
  ck_assert_uint_eq(bench_info(first).joined, 0);
  ck_assert_uint_eq(bench_info(second).joined, 1);
  ck_assert_int_eq(status(third), WEIR_STREAM_REFUSED);
  ck_assert_uint_eq(bench_info(first).generation,
                    bench_info(second).generation);
  weir_stream_release(first);
  weir_stream_release(second);
  weir_stream_release(third);
}
END_TEST

/* Those that come while it is being begun: they wait, or are refused, with
 * those before them left as they are. */
START_TEST(opens_of_what_is_being_begun) {
  weir_stream *first;
  weir_stream *second;

  storage->later = true;
  bench_hub(&bench);
  first = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  testlog_deliver(storage, 0);
  kit_pass(a, 0);
  ck_assert_int_eq(storage->waiting->mode, WEIR_LOG_CREATE);
  second = open_as(a, "q", WEIR_DUPLICATE_JOIN, 0);
  ck_assert_int_eq(open_now(a, WEIR_DUPLICATE_REJECT, 0), WEIR_EEXISTS);
  kit_expect_notices(a, "");
  ck_assert_uint_eq(bench_hub_info(a).pending, 2);
  bench_rest(&bench);
  kit_expect_notices(a, "p opened 0; q opened 0");
  ck_assert_uint_eq(bench_info(first).joined, 0);
  ck_assert_uint_eq(bench_info(second).joined, 1);
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* One that replaces waits until there is something to replace. */
START_TEST(replacing_what_is_being_begun) {
  weir_stream *first;
  weir_stream *second;

  storage->later = true;
  bench_hub(&bench);
  first = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  second = open_as(a, "q", WEIR_DUPLICATE_REPLACE, 0);
  bench_rest(&bench);
  kit_expect_notices(a, "p opened 0; q opened 0; p cancelled; p ended 1");
  ck_assert_int_eq(status(first), WEIR_STREAM_ENDED);
  ck_assert_int_eq(status(second), WEIR_STREAM_LIVE);
  ck_assert_uint_eq(testlog_find(storage, "k")->older->ended, 1);
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* Two processes begin a generation of one key: one does, and the other finds
 * it; by its policy. */
START_TEST(race18_two_processes_begin) {
  static const int policies[] = {WEIR_DUPLICATE_JOIN, WEIR_DUPLICATE_REPLACE,
                                 WEIR_DUPLICATE_REJECT};
  const int policy = policies[_i];
  weir_stream *second;
  weir_stream *first;

  storage->later = true;
  bench_hubs(&bench);
  first = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  second = open_as(b, "q", policy, 0);
  testlog_deliver_all(storage); /* both look, and find nothing */
  bench_rest(&bench);
  kit_count(a, 0);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], 3);
  if (policy == WEIR_DUPLICATE_REJECT) {
    kit_expect_notices(b, "q opened -10");
    ck_assert_int_eq(status(second), WEIR_STREAM_REFUSED);
    ck_assert_int_eq(status(first), WEIR_STREAM_LIVE);
  } else {
    kit_expect_notices(b, "q opened 0");
    ck_assert_int_eq(status(second), WEIR_STREAM_LIVE);
    ck_assert_uint_eq(bench_info(second).joined, policy == WEIR_DUPLICATE_JOIN);
    bench_publish(&bench, second, 1);
    ck_assert_uint_eq(bench_info(second).last, 1);
    ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
  }
  if (policy == WEIR_DUPLICATE_REPLACE) {
    ck_assert_uint_ne(testlog_find(storage, "k")->older->ended, 0);
  }
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* Storage that says there is another, which it then does not have, is not asked
 * for ever. */
START_TEST(an_open_does_not_go_round_in_circles) {
  int i;

  bench_hub(&bench);
  for (i = 0; i < 8; ++i) {
    testlog_fail(storage, TESTLOG_OPEN, (size_t)(2 * i + 2), TESTLOG_REFUSE,
                 WEIR_EEXISTS);
  }
  ck_assert_int_eq(open_now(a, WEIR_DUPLICATE_JOIN, 0), WEIR_ELOG);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
  storage->plan_count = 0;
  ck_assert_int_eq(open_now(a, WEIR_DUPLICATE_JOIN, 0), WEIR_OK);
}
END_TEST

/* A stream that is in storage alone is opened by its flags. */
START_TEST(opens_of_what_storage_has) {
  weir_stream *stream;

  bench_hubs(&bench);
  ck_assert_int_eq(open_now(a, WEIR_DUPLICATE_JOIN, WEIR_OPEN_EXISTING),
                   WEIR_ENOENT);
  ck_assert_int_eq(open_now(a, WEIR_DUPLICATE_JOIN, WEIR_OPEN_LOOK),
                   WEIR_ENOENT);
  stream = bench_open(&bench, a, "k");
  bench_publish(&bench, stream, 1);
  ck_assert_int_eq(open_now(b, WEIR_DUPLICATE_REJECT, 0), WEIR_EEXISTS);
  ck_assert_int_eq(open_now(b, WEIR_DUPLICATE_JOIN, WEIR_OPEN_LOOK), WEIR_OK);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 0);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(stream);
  /* The other hub learns that it has ended when it wants to take it over. */
  ck_assert_int_eq(open_now(b, WEIR_DUPLICATE_JOIN, WEIR_OPEN_EXISTING),
                   WEIR_EENDED);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
  ck_assert_uint_eq(testlog_find(storage, "k")->epoch_count, 1);
  ck_assert_int_eq(open_now(b, WEIR_DUPLICATE_JOIN, WEIR_OPEN_UNENDED),
                   WEIR_EENDED);
  ck_assert_int_eq(open_now(b, WEIR_DUPLICATE_REJECT, 0), WEIR_OK);
  ck_assert_ptr_nonnull(testlog_find(storage, "k")->older);
}
END_TEST

/* What an open chose is kept with its generation, and holds for whoever comes
 * to it later. */
START_TEST(settings_are_kept) {
  static const char *const want[] = {
      "id: ~-0\nevent: my.ready\nretry: ~\ndata: {\"stream\":\"k\","
      "\"generation\":\"~\",\"verdict\":\"fresh\",\"m\":[1]}\n\n"
      "id: ~-1\nevent: x\ndata: {\"stream\":\"k\",\"generation\":\"~\","
      "\"index\":0,\"data\":\"1\",\"m\":[1]}\n\n",
      "id: ~-0\nevent: weir.ready\nretry: ~\ndata: {\"stream\":\"k\","
      "\"generation\":\"~\",\"verdict\":\"fresh\"}\n\n"
      "id: ~-1\nevent: x\ndata: 1\n\n"};
  weir_open_options options = kit_open_options("k", "p");
  weir_subscriber *reader;
  weir_stream *stream;

  bench_hubs(&bench);
  if (_i == 0) {
    options.prefix = "my.";
    options.prefix_len = 3;
    options.members = "\"m\":[1]";
    options.members_len = 7;
    options.flags = WEIR_OPEN_ENVELOPE;
    options.idle = 5000;
    options.on_idle = WEIR_ACTION_END;
  }
  stream = kit_open_with(a, &options);
  bench_publish(&bench, stream, 1);
  weir_stream_release(stream);
  reader = bench_attach(&bench, b, "k", NULL);
  kit_expect(reader, WEIR_EAGAIN, want[_i]);
  weir_subscriber_release(reader);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 1);
  kit_pass(b, 5000);
  ck_assert_int_eq(status(stream),
                   _i == 0 ? WEIR_STREAM_ENDED : WEIR_STREAM_LIVE);
  weir_stream_release(stream);
}
END_TEST

static void bend_no_meta(weir_answer *answer, weir_epoch *epochs,
                         weir_record *records) {
  (void)epochs;
  (void)records;
  answer->meta = NULL;
  answer->meta_len = 0;
}

static char other_meta[2000];
static void bend_meta(weir_answer *answer, weir_epoch *epochs,
                      weir_record *records) {
  (void)epochs;
  (void)records;
  answer->meta = other_meta;
  answer->meta_len = sizeof other_meta;
}

/* Storage that keeps no settings has those of the hub; other settings than this
 * library's are refused. */
START_TEST(settings_that_were_not_kept) {
  weir_open_options options = kit_open_options("k", "p");
  weir_attach_options attach = kit_attach_options("k", NULL);
  weir_subscriber *reader = NULL;
  weir_stream *stream;
  int verdict;

  bench_hubs(&bench);
  options.prefix = "my.";
  options.prefix_len = 3;
  stream = kit_open_with(a, &options);
  bench_publish(&bench, stream, 1);
  weir_stream_release(stream);
  testlog_plan_bend(storage, TESTLOG_OPEN, 1,
                    _i == 0 ? bend_no_meta : bend_meta);
  if (_i == 0) {
    expect_all(b, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  } else {
    ck_assert_int_eq(weir_hub_attach(b->hub, &attach, &reader, &verdict),
                     WEIR_ELOG);
    ck_assert_uint_eq(bench_hub_info(b).streams, 0);
  }
}
END_TEST

/* --- Ends that come before the open is decided --------------------------- */

START_TEST(an_end_before_the_open_is_decided) {
  weir_stream *stream;
  uint64_t seq = 99;

  storage->later = true;
  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  ck_assert_int_eq(weir_stream_fail(stream, "c", 1, "m", 1, 7, &seq), WEIR_OK);
  ck_assert_uint_eq(seq, 0);
  ck_assert_int_eq(weir_stream_end(stream, "", 0, 0, NULL), WEIR_EENDED);
  ck_assert_int_eq(weir_stream_cancel(stream, NULL, 0), WEIR_EENDED);
  if (_i == 1) {
    /* The handle is not needed for that. */
    weir_stream_release(stream);
  }
  bench_rest(&bench);
  if (_i == 0) {
    kit_expect_notices(a, "p opened 0; p stored 7=1; p ended 1");
    weir_stream_release(stream);
  } else {
    kit_expect_notices(a, "");
  }
  expect_all(a, WEIR_EDONE, "ready@0 fresh; failed@1 c m");
}
END_TEST

START_TEST(r38_a_cancel_before_the_open_is_decided) {
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  ck_assert_int_eq(weir_stream_cancel(stream, "\xff", 1), WEIR_EUTF8);
  ck_assert_int_eq(weir_stream_cancel(stream, NULL, 0), WEIR_OK);
  bench_rest(&bench);
  kit_expect_notices(a, "p opened 0; p cancelled; p ended 1");
  expect_all(a, WEIR_EDONE, "ready@0 fresh; done@1 cancelled");
  weir_stream_release(stream);
}
END_TEST

/* The open is refused: the end has nothing to end. */
START_TEST(an_end_of_what_is_refused) {
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  testlog_fail(storage, TESTLOG_OPEN, 2, TESTLOG_REFUSE, WEIR_ELOG);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  ck_assert_int_eq(weir_stream_end(stream, "", 0, 7, NULL), WEIR_OK);
  if (_i == 1) {
    weir_stream_release(stream);
  }
  bench_rest(&bench);
  kit_expect_notices(a, _i == 0 ? "p opened -16" : "");
  if (_i == 0) {
    weir_stream_release(stream);
  }
}
END_TEST

/* Handles go before anything is decided, or the hub does. */
START_TEST(released_before_the_open_is_decided) {
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  if ((_i & 1) != 0) {
    ck_assert_int_eq(weir_stream_end(stream, "", 0, 7, NULL), WEIR_OK);
  }
  if ((_i & 2) != 0) {
    testlog_deliver(storage, 0);
    kit_pass(a, 0);
  }
  if ((_i & 8) != 0) {
    weir_stream_release(stream);
    weir_hub_free(a->hub);
    a->hub = NULL;
    return;
  }
  if ((_i & 4) != 0) {
    weir_hub_free(a->hub);
    a->hub = NULL;
    ck_assert_int_eq(weir_stream_cancel(stream, NULL, 0), WEIR_EGONE);
    weir_stream_release(stream);
    return;
  }
  weir_stream_release(stream);
  ck_assert_uint_eq(bench_hub_info(a).pending, _i & 1);
  bench_rest(&bench);
  kit_expect_notices(a, "");
  ck_assert_uint_eq(bench_hub_info(a).pending, 0);
}
END_TEST

/* --- Attaches ------------------------------------------------------------ */

/* They are decided in the order in which they came, as soon as that can be. */
START_TEST(attaches_that_wait_for_different_things) {
  weir_subscriber *readers[5];
  weir_stream *stream;
  int i;

  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 1);
  storage->later = true;
  readers[0] = attach_as(a, "s", "b-9");
  readers[1] = attach_as(a, "t", NULL);
  readers[2] = attach_as(a, "u", "b-9");
  kit_expect_notices(a, "");
  testlog_deliver(storage, 0);
  readers[3] = attach_as(a, "v", "b-9");
  kit_pass(a, 0);
  /* About the cursors of those who came when it had been asked, it has to be
   * asked again; in that the fourth has its share. */
  kit_expect_notices(a, "s decided foreign 0; t decided fresh 0");
  readers[4] = attach_as(a, "w", "b-9");
  testlog_deliver(storage, 0);
  kit_pass(a, 0);
  kit_expect_notices(a, "u decided foreign 0; v decided foreign 0");
  /* Behind the look for those who read. */
  testlog_deliver(storage, 1);
  kit_pass(a, 0);
  kit_expect_notices(a, "w decided foreign 0");
  for (i = 0; i < 5; ++i) {
    weir_subscriber_release(readers[i]);
  }
  weir_stream_release(stream);
}
END_TEST

START_TEST(an_attach_is_decided_later) {
  const weir_event event = kit_make_event("x", "1");
  weir_subscriber_info info;
  weir_subscriber *reader;
  weir_stream *stream;
  weir_bytes bytes;
  size_t count;

  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 1);
  storage->later = true;
  reader = attach_as(a, "s", NULL);
  ck_assert_int_eq(weir_subscriber_peek(reader, &bytes, 1, &count),
                   WEIR_EAGAIN);
  ck_assert_int_eq(weir_subscriber_signal(reader, &event), WEIR_EAGAIN);
  ck_assert_int_eq(weir_subscriber_close(reader, NULL, 0, 0), WEIR_EAGAIN);
  info.size = sizeof info;
  ck_assert_int_eq(weir_subscriber_get_info(reader, &info), WEIR_OK);
  ck_assert_int_eq(info.verdict, WEIR_VERDICT_PENDING);
  ck_assert_uint_eq(info.attached, 0);
  ck_assert_uint_eq(info.generation, 0);
  ck_assert_uint_eq(bench_hub_info(a).pending, 1);
  ck_assert_uint_eq(bench_hub_info(a).subscribers, 0);
  kit_expect_notices(a, "");
  testlog_deliver(storage, 0);
  kit_pass(a, 0);
  kit_expect_notices(a, "s decided fresh 0");
  ck_assert_uint_eq(bench_hub_info(a).pending, 0);
  ck_assert_uint_eq(bench_hub_info(a).subscribers, 1);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

START_TEST(an_attach_to_nothing) {
  weir_subscriber *reader;

  storage->later = true;
  bench_hub(&bench);
  if (_i != 0) {
    testlog_fail(storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE,
                 _i == 1 ? WEIR_ELOG : WEIR_EUNKNOWN);
  }
  reader = attach_as(a, "s", NULL);
  bench_rest(&bench);
  kit_expect_notices(a, _i == 0   ? "s decided unknown 0"
                        : _i == 1 ? "s decided pending -16"
                                  : "s decided pending -17");
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
  ck_assert_uint_eq(bench_hub_info(a).pending, 0);
  kit_expect_frames(reader, WEIR_EDONE, "");
  weir_subscriber_release(reader);
}
END_TEST

/* At once, that is what the call says. */
START_TEST(an_attach_that_storage_fails) {
  static const int errors[] = {WEIR_ELOG, WEIR_EUNKNOWN};
  weir_attach_options options = kit_attach_options("k", NULL);
  weir_subscriber *reader = NULL;
  int verdict = -1;

  bench_hub(&bench);
  testlog_fail(storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE, errors[_i]);
  ck_assert_int_eq(weir_hub_attach(a->hub, &options, &reader, &verdict),
                   errors[_i]);
  ck_assert_int_eq(verdict, -1);
  ck_assert_ptr_null(reader);
  ck_assert_int_eq(weir_hub_attach(a->hub, &options, &reader, &verdict),
                   WEIR_OK);
  ck_assert_int_eq(verdict, WEIR_VERDICT_UNKNOWN);
  ck_assert_ptr_null(reader);
}
END_TEST

/* A stream exists from its open on, also for a client that comes before storage
 * has said so. */
START_TEST(f15_an_attach_behind_an_open) {
  weir_subscriber *reader;
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  reader = attach_as(a, "s", NULL);
  bench_rest(&bench);
  kit_expect_notices(a, "p opened 0; s decided fresh 0");
  bench_publish(&bench, stream, 1);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* Who waited for storage replaces like anybody else, and what it wants the
 * loser to be told is still known then. */
START_TEST(a_client_is_replaced_by_one_that_was_decided_later) {
  weir_attach_options options = kit_attach_options("k", "1");
  weir_subscriber *readers[2];
  struct kit_client client;
  weir_stream *stream;
  int verdict;
  int i;

  storage->later = true;
  bench_hub(&bench);
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  options.client = "c";
  options.client_len = 1;
  options.retry_replaced = 30000;
  for (i = 0; i < 2; ++i) {
    ck_assert_int_eq(weir_hub_attach(a->hub, &options, &readers[i], &verdict),
                     WEIR_OK);
    ck_assert_int_eq(verdict, WEIR_VERDICT_PENDING);
  }
  bench_rest(&bench);
  kit_client_init(&client, "");
  ck_assert_int_eq(kit_client_read(&client, readers[0]), WEIR_EDONE);
  ck_assert_str_eq(client.events[client.count - 1].type, "weir.closing");
  ck_assert(client.retry >= 30000 && client.retry <= 36000);
  ck_assert_int_eq(kit_client_read(&client, readers[1]), WEIR_EAGAIN);
  kit_client_free(&client);
  weir_subscriber_release(readers[0]);
  weir_subscriber_release(readers[1]);
  weir_stream_release(stream);
}
END_TEST

START_TEST(a_client_leaves_before_it_is_decided) {
  weir_subscriber *stays;
  weir_subscriber *reader;
  weir_stream *stream;

  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  storage->later = true;
  reader = attach_as(a, "s", NULL);
  stays = attach_as(a, "t", NULL);
  weir_subscriber_detach(reader);
  ck_assert_uint_eq(bench_hub_info(a).pending, 1);
  if (_i == 1) {
    weir_hub_free(a->hub);
    a->hub = NULL;
  } else {
    bench_rest(&bench);
    kit_expect_notices(a, "t decided fresh 0");
  }
  weir_subscriber_release(reader);
  weir_subscriber_release(stays);
  weir_stream_release(stream);
}
END_TEST

/* Limits and policies are those of the time when it is decided. */
START_TEST(an_attach_is_refused_later) {
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *readers[3];
  weir_stream *stream;
  int verdict;
  int i;

  a->options.max_stream_subscribers = _i == 0 ? 2 : 0;
  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  storage->later = true;
  options.client = "c";
  options.client_len = _i == 1;
  options.on_duplicate = WEIR_CLIENT_REJECT;
  for (i = 0; i < 3; ++i) {
    ck_assert_int_eq(weir_hub_attach(a->hub, &options, &readers[i], &verdict),
                     WEIR_OK);
  }
  if (_i == 2) {
    ck_assert_int_eq(weir_hub_drain(a->hub, 0, 0), WEIR_OK);
  }
  bench_rest(&bench);
  kit_expect_notices(a, _i == 0 ? "s decided fresh 0; s decided fresh 0; "
                                  "s decided pending -22"
                        : _i == 1
                            ? "s decided fresh 0; s decided pending -10; "
                              "s decided pending -10"
                            : "s decided pending -15; s decided pending -15; "
                              "s decided pending -15");
  for (i = 0; i < 3; ++i) {
    weir_subscriber_release(readers[i]);
  }
  weir_stream_release(stream);
}
END_TEST

/* Those who wait are counted among those who are there. */
START_TEST(pending_attaches_have_a_limit) {
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *reader;
  weir_subscriber *other = NULL;
  weir_stream *stream;
  int verdict;

  storage->later = true;
  a->options.max_subscribers = 1;
  bench_hub(&bench);
  /* An open that waits is none. */
  stream = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  reader = attach_as(a, "s", NULL);
  ck_assert_int_eq(weir_hub_attach(a->hub, &options, &other, &verdict),
                   WEIR_ESUBSCRIBERS);
  weir_subscriber_release(reader);
  reader = attach_as(a, "s", NULL);
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* --- Generations --------------------------------------------------------- */

/* A client that has seen the end of the generation before is finished, on any
 * hub: nothing of the next one is for it. */
START_TEST(the_generation_before_is_remembered) {
  weir_subscriber *reader;
  weir_stream *stream;
  uint64_t first;
  int verdict;

  bench_hubs(&bench);
  stream = bench_open(&bench, a, "k");
  first = bench_info(stream).generation;
  bench_publish(&bench, stream, 1);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  expect_all(b, WEIR_EDONE, "ready@0 fresh; x@1 1; done@2 ok");
  weir_stream_release(stream);
  stream = bench_open(&bench, a, "k");
  reader = bench_resume(&bench, a, "k", first, 2, &verdict);
  ck_assert_ptr_null(reader);
  ck_assert_int_eq(verdict, WEIR_VERDICT_FINISHED);
  reader = bench_resume(&bench, b, "k", first, 2, &verdict);
  ck_assert_ptr_null(reader);
  ck_assert_int_eq(verdict, WEIR_VERDICT_FINISHED);
  /* One that has not seen it gets the new one, and is told of the loss. */
  reader = bench_resume(&bench, b, "k", first, 1, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_FOREIGN);
  bench_expect(&bench, reader, WEIR_EAGAIN,
               "gap@0 foreign 1 1-0; ready@0 foreign");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* Another takes over between this hub's taking over for an end that it owes and
 * the answer to that: it tries again. */
START_TEST(an_end_is_owed_behind_another_writer) {
  weir_open_options options = kit_open_options("k", "p");
  weir_stream *theirs;
  weir_stream *mine;

  bench_hubs(&bench);
  theirs = bench_open(&bench, b, "k");
  options.flags = WEIR_OPEN_LOOK;
  mine = kit_open_with(a, &options);
  bench_rest(&bench);
  storage->later = true;
  storage->current = true;
  ck_assert_int_eq(weir_stream_cancel(mine, "stop", 4), WEIR_OK);
  testlog_take(storage, "k");
  testlog_deliver_all(storage);
  kit_pass(a, 0);
  storage->later = false;
  weir_stream_release(mine);
  bench_pass(&bench, 10000);
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 1);
  weir_stream_release(theirs);
}
END_TEST

/* What an open begins in the place of a generation may come to nothing, and
 * with it goes the one before, though that is being taken over. */
START_TEST(replacing_what_is_being_taken_over) {
  weir_open_options options = kit_open_options("k", "p");
  weir_stream *second;
  weir_stream *stream;
  size_t i;

  bench_hubs(&bench);
  second = bench_open(&bench, b, "k");
  weir_subscriber_release(bench_attach(&bench, a, "k", NULL));
  bench_rest(&bench);
  storage->later = true;
  weir_stream_release(kit_open_with(a, &options));
  storage->later = false;
  /* Storage says each time that there is another, which it then does not have.
   */
  for (i = 0; i < 8; ++i) {
    testlog_fail(storage, TESTLOG_OPEN, 2 * i + 1, TESTLOG_REFUSE,
                 WEIR_EEXISTS);
    testlog_fail(storage, TESTLOG_OPEN, 2 * i + 2, TESTLOG_REFUSE, WEIR_ENOENT);
  }
  options.on_duplicate = WEIR_DUPLICATE_REPLACE;
  ck_assert_int_eq(weir_hub_open(a->hub, &options, &stream), WEIR_ELOG);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
  bench_rest(&bench);
  weir_stream_release(second);
}
END_TEST

/* The next generation could not be begun: the one before it is what there is,
 * with its end to be logged if that is still to be done. */
START_TEST(the_next_generation_is_refused) {
  weir_stream *stream;
  int verdict;

  bench_hub(&bench);
  stream = bench_open(&bench, a, "k");
  bench_publish(&bench, stream, 1);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  testlog_fail(storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE, WEIR_ELOG);
  (void)weir_stream_end(stream, "ok", 2, 0, NULL);
  ck_assert_int_eq(open_now(a, WEIR_DUPLICATE_JOIN, 0), WEIR_ELOG);
  ck_assert_uint_eq(bench_hub_info(a).streams, 1);
  expect_all(a, WEIR_EDONE, "ready@0 fresh; x@1 1; failed log_refused ");
  kit_pass(a, 1000);
  expect_all(a, WEIR_EDONE, "ready@0 fresh; x@1 1; failed@2 log_refused ");
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 2);
  ck_assert_ptr_null(
      bench_resume(&bench, a, "k", bench_info(stream).epoch, 2, &verdict));
  ck_assert_int_eq(verdict, WEIR_VERDICT_FINISHED);
  weir_stream_release(stream);
}
END_TEST

/* Who replaces or cancels what another writes takes it over for that, and ends
 * it in the log: once that is possible. */
START_TEST(r45_replacing_what_another_writes) {
  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *first;

  bench_hubs(&bench);
  first = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_publish(&bench, first, 1);
  kit_count(a, 0);
  expect_all(b, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  storage->later = true;
  if (_i == 1) {
    testlog_fail(storage, TESTLOG_OPEN, 2, TESTLOG_REFUSE, WEIR_ELOG);
  }
  second = open_as(b, "q", WEIR_DUPLICATE_REPLACE, 0);
  bench_rest(&bench);
  if (_i == 1) {
    ck_assert_uint_eq(testlog_find(storage, "k")->older->ended, 0);
    bench_pass(&bench, 2000);
  }
  ck_assert_uint_eq(testlog_find(storage, "k")->older->ended, 2);
  ck_assert_int_eq(status(second), WEIR_STREAM_LIVE);
  ck_assert_uint_eq(bench_info(second).joined, 0);
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 2), WEIR_OK);
  bench_expect(&bench, reader, WEIR_EDONE,
               "ready@0 fresh; x@1 1; done@2 replaced_by_new_stream");
  ck_assert_int_eq(status(first), WEIR_STREAM_ENDED);
  weir_subscriber_release(reader);
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* That is owed also when the new one has come and gone meanwhile. */
START_TEST(the_end_of_one_that_is_hidden_is_owed) {
  weir_open_options options = kit_open_options("k", "q");
  weir_stream *second;
  weir_stream *first;

  bench_hubs(&bench);
  first = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  bench_publish(&bench, first, 1);
  storage->later = true;
  testlog_fail(storage, TESTLOG_OPEN, 3, TESTLOG_REFUSE, WEIR_ELOG);
  options.on_duplicate = WEIR_DUPLICATE_REPLACE;
  options.linger = 1;
  second = kit_open_with(b, &options);
  bench_rest(&bench);
  ck_assert_int_eq(weir_stream_end(second, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(second);
  bench_rest(&bench);
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 1);
  ck_assert_uint_eq(testlog_find(storage, "k")->older->ended, 0);
  bench_pass(&bench, 1);
  ck_assert_uint_eq(bench_hub_info(b).streams, 1);
  bench_pass(&bench, 1999);
  ck_assert_uint_eq(testlog_find(storage, "k")->older->ended, 2);
  bench_pass(&bench, 1000);
  ck_assert_uint_eq(bench_hub_info(b).streams, 0);
  weir_stream_release(first);
}
END_TEST

/* What has been taken over to log its end is not forgotten before that. */
START_TEST(what_is_under_way_is_brought_to_its_end) {
  weir_open_options options = kit_open_options("k", "p");
  weir_event event = kit_make_event("x", "1");
  weir_stream *stream;

  bench_hub(&bench);
  options.linger = 1500;
  stream = kit_open_with(a, &options);
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_ELOG);
  weir_stream_release(stream);
  storage->later = true;
  storage->slow = true;
  kit_pass(a, 1000);
  if (_i != 0) {
    testlog_deliver(storage, 0); /* nobody else writes it */
    kit_pass(a, 0);
  }
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], _i == 0 ? 0 : 1);
  kit_pass(a, 500);
  ck_assert_uint_eq(testlog_waiting(storage), 1);
  bench_rest(&bench);
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 1);
  bench_pass(&bench, 1000);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
}
END_TEST

START_TEST(cancelling_what_another_writes) {
  weir_stream *second;
  weir_stream *first;

  storage->later = _i != 0;
  bench_hubs(&bench);
  first = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  bench_rest(&bench);
  second = open_as(b, "q", WEIR_DUPLICATE_JOIN, WEIR_OPEN_LOOK);
  bench_rest(&bench);
  kit_count(b, 0);
  ck_assert_int_eq(weir_stream_cancel(second, NULL, 0), WEIR_OK);
  bench_rest(&bench);
  kit_expect_notices(b, "q cancelled; q ended 1");
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 1);
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* An open that waits to become the writer of what a read then shows to have
 * ended need not wait any more: it begins the next one. */
START_TEST(an_open_of_what_ends_meanwhile) {
  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *first;

  storage->current = true;
  bench_hubs(&bench);
  first = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  bench_publish(&bench, first, 2);
  reader = bench_attach(&bench, b, "k", NULL);
  bench_rest(&bench);
  storage->later = true;
  storage->slow = true;
  kit_expect_frames(reader, WEIR_EAGAIN, "ready@0 fresh");
  second = open_as(b, "q", WEIR_DUPLICATE_JOIN, 0);
  ck_assert_int_eq(weir_stream_end(first, "ok", 2, 0, NULL), WEIR_OK);
  testlog_deliver(storage, 2); /* the end is stored */
  testlog_deliver(storage, 0); /* the read comes back, and says so */
  kit_pass(b, 0);
  testlog_deliver(storage, 1); /* the next one is begun */
  kit_count(a, 0);
  kit_pass(b, 0);
  ck_assert_int_eq(status(second), WEIR_STREAM_LIVE);
  ck_assert_uint_eq(bench_info(second).joined, 0);
  ck_assert_uint_eq(testlog_waiting(storage), 1); /* the take-over */
  bench_expect(&bench, reader, WEIR_EDONE, "x@1 1; x@2 2; done@3 ok");
  weir_subscriber_release(reader);
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* Retention takes a whole generation, which this hub still remembers. */
START_TEST(a_generation_that_storage_has_no_more) {
  weir_attach_options options = kit_attach_options("k", NULL);
  weir_subscriber *reader = NULL;
  weir_stream *stream;
  int verdict = -1;

  bench_hubs(&bench);
  stream = bench_open(&bench, a, "k");
  bench_publish(&bench, stream, 100);
  weir_stream_release(stream);
  if (_i != 2) {
    reader = bench_attach(&bench, b, "k", NULL);
    weir_subscriber_release(reader);
  }
  testlog_forget(storage, "k");
  if (_i == 0) {
    ck_assert_int_eq(open_now(b, WEIR_DUPLICATE_JOIN, WEIR_OPEN_EXISTING),
                     WEIR_ENOENT);
    stream = bench_open(&bench, b, "k");
    ck_assert_uint_eq(bench_info(stream).joined, 0);
    bench_publish(&bench, stream, 1);
    expect_all(b, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
    weir_stream_release(stream);
    return;
  }
  if (_i == 1) {
    /* A client that comes finds out; the next one is told. */
    expect_all(b, WEIR_EDONE, "ready@0 fresh; closing unavailable");
    kit_pass(b, 0);
  }
  ck_assert_int_eq(weir_hub_attach(b->hub, &options, &reader, &verdict),
                   WEIR_OK);
  ck_assert_int_eq(verdict, WEIR_VERDICT_UNKNOWN);
}
END_TEST

/* Generations that the hub has forgotten, and handles still stand for, end with
 * the hub. */
START_TEST(handles_of_old_generations_end_with_the_hub) {
  weir_subscriber *readers[3];
  weir_open_options options = kit_open_options("k", "p");
  weir_stream *streams[3];
  weir_bytes bytes;
  size_t count;
  int i;

  options.linger = 1000;
  options.on_duplicate = WEIR_DUPLICATE_REPLACE;
  bench_hub(&bench);
  for (i = 0; i < 3; ++i) {
    streams[i] = kit_open_with(a, &options);
    readers[i] = bench_attach(&bench, a, "k", NULL);
    bench_publish(&bench, streams[i], 1);
  }
  if (_i == 1) {
    kit_pass(a, 100000);
  }
  weir_hub_free(a->hub);
  a->hub = NULL;
  for (i = 0; i < 3; ++i) {
    const weir_event event = kit_make_event("x", "1");
    ck_assert_int_eq(weir_subscriber_peek(readers[i], &bytes, 1, &count),
                     WEIR_EGONE);
    ck_assert_int_eq(weir_stream_publish(streams[i], &event, 1, NULL),
                     WEIR_EGONE);
  }
  ck_assert_uint_eq(storage->handles, 0);
  for (i = 0; i < 3; ++i) {
    weir_subscriber_release(readers[i]);
    weir_stream_release(streams[i]);
  }
}
END_TEST

/* --- Random bits ---------------------------------------------------------- */

static int (*drawn)(void *user, void *dst, size_t len);
static bool dry;

static int draw(void *user, void *dst, size_t len) {
  return dry ? 0 : drawn(user, dst, len);
}

static void hubs_that_draw(void) {
  drawn = a->options.entropy;
  dry = false;
  a->options.entropy = draw;
  bench_hubs(&bench);
}

/* Who only looks may cancel; also before it is known what there is, and whether
 * there are random bits then or not. */
START_TEST(a_cancel_by_who_looks_before_it_is_decided) {
  const bool ended = (_i & 1) != 0;
  weir_stream *second;
  weir_stream *first;

  hubs_that_draw();
  first = bench_open(&bench, b, "k");
  bench_publish(&bench, first, 1);
  if (ended) {
    ck_assert_int_eq(weir_stream_end(first, "ok", 2, 0, NULL), WEIR_OK);
  }
  storage->later = true;
  second = open_as(a, "q", WEIR_DUPLICATE_JOIN, WEIR_OPEN_LOOK);
  ck_assert_int_eq(weir_stream_cancel(second, "why", 3), WEIR_OK);
  if ((_i & 2) != 0) {
    dry = true;
    bench_rest(&bench);
    ck_assert_int_eq(status(second),
                     ended ? WEIR_STREAM_ENDED : WEIR_STREAM_OPENING);
    dry = false;
    bench_pass(&bench, 1000);
  }
  bench_rest(&bench);
  /* Also of an end that was there before. */
  kit_expect_notices(a, "q opened 0; q cancelled; q ended 2");
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 2);
  expect_all(a, WEIR_EDONE,
             ended ? "ready@0 fresh; x@1 1; done@2 ok"
                   : "ready@0 fresh; x@1 1; done@2 why");
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

START_TEST(no_random_bits_to_take_over) {
  weir_stream *second;
  weir_stream *first;

  hubs_that_draw();
  first = bench_open(&bench, b, "k");
  bench_publish(&bench, first, 1);
  second = open_as(a, "q", WEIR_DUPLICATE_JOIN, WEIR_OPEN_LOOK);
  dry = true;
  ck_assert_int_eq(open_now(a, WEIR_DUPLICATE_JOIN, 0), WEIR_EENTROPY);
  ck_assert_int_eq(weir_stream_cancel(second, NULL, 0), WEIR_EENTROPY);
  kit_expect_notices(a, "");
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 0);
  ck_assert_int_eq(status(first), WEIR_STREAM_LIVE);
  dry = false;
  ck_assert_int_eq(open_now(a, WEIR_DUPLICATE_JOIN, 0), WEIR_OK);
  ck_assert_int_eq(weir_stream_cancel(second, NULL, 0), WEIR_OK);
  kit_expect_notices(a, "q cancelled; q ended 2");
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

START_TEST(no_random_bits_for_another_try) {
  weir_stream *stream;

  hubs_that_draw();
  stream = bench_open(&bench, a, "k");
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_ELOG);
  dry = true;
  kit_pass(a, 1000);
  ck_assert_int_eq(status(stream), WEIR_STREAM_FAILED);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 0);
  dry = false;
  kit_pass(a, 1999);
  ck_assert_int_eq(status(stream), WEIR_STREAM_FAILED);
  kit_pass(a, 1);
  ck_assert_int_eq(status(stream), WEIR_STREAM_ENDED);
  expect_all(a, WEIR_EDONE, "ready@0 fresh; failed@1 log_refused ");
  weir_stream_release(stream);
}
END_TEST

/* --- Several at once ------------------------------------------------------ */

/* What the first has begun is what the next one gets. */
START_TEST(opens_wait_behind_one_that_replaces) {
  weir_stream *second;
  weir_stream *first;
  weir_stream *old;

  bench_hubs(&bench);
  old = bench_open(&bench, b, "k");
  bench_publish(&bench, old, 1);
  storage->later = true;
  first = open_as(a, "p", WEIR_DUPLICATE_REPLACE, 0);
  second = open_as(a, "q", WEIR_DUPLICATE_JOIN, 0);
  bench_rest(&bench);
  kit_expect_notices(a, "p opened 0; q opened 0");
  ck_assert_uint_eq(bench_info(first).joined, 0);
  ck_assert_uint_eq(bench_info(second).joined, 1);
  ck_assert_uint_eq(bench_info(second).generation,
                    bench_info(first).generation);
  ck_assert_uint_ne(bench_info(first).generation, bench_info(old).generation);
  bench_publish(&bench, second, 1);
  expect_all(a, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  weir_stream_release(first);
  weir_stream_release(second);
  weir_stream_release(old);
}
END_TEST

/* Storage says each time that there is another, and then that there is none:
 * nobody is told of something that there is not. */
START_TEST(two_opens_in_circles) {
  weir_stream *second;
  weir_stream *first;
  int i;

  bench_hubs(&bench);
  first = bench_open(&bench, b, "k");
  ck_assert_int_eq(weir_stream_end(first, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(first);
  storage->later = true;
  first = open_as(a, "p", WEIR_DUPLICATE_JOIN, 0);
  second = open_as(a, "q", WEIR_DUPLICATE_JOIN, 0);
  testlog_deliver(storage, 0);
  testlog_forget(storage, "k");
  storage->later = false;
  for (i = 0; i < 8; ++i) {
    testlog_fail(storage, TESTLOG_OPEN, (size_t)(2 * i + 1), TESTLOG_REFUSE,
                 WEIR_EEXISTS);
  }
  bench_rest(&bench);
  ck_assert_int_eq(status(first), WEIR_STREAM_REFUSED);
  ck_assert_int_eq(bench_info(first).error, WEIR_ELOG);
  ck_assert_int_eq(status(second), WEIR_STREAM_LIVE);
  ck_assert_uint_eq(bench_info(second).joined, 0);
  ck_assert_uint_eq(bench_hub_info(a).pending, 0);
  ck_assert_uint_eq(bench_hub_info(a).streams, 1);
  storage->plan_count = 0;
  ck_assert_int_eq(open_now(a, WEIR_DUPLICATE_JOIN, 0), WEIR_OK);
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* One take-over, and one end: with the reason that was given last. */
START_TEST(two_cancels_of_what_another_writes) {
  weir_stream *second;
  weir_stream *first;

  bench_hubs(&bench);
  first = bench_open(&bench, b, "k");
  second = open_as(a, "q", WEIR_DUPLICATE_JOIN, WEIR_OPEN_LOOK);
  storage->later = true;
  ck_assert_int_eq(weir_stream_cancel(second, "one", 3), WEIR_OK);
  ck_assert_int_eq(weir_stream_cancel(second, "two", 3), WEIR_OK);
  bench_rest(&bench);
  kit_expect_notices(a, "q cancelled; q ended 1");
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
  expect_all(a, WEIR_EDONE, "ready@0 fresh; done@1 two");
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* The end that a cancel asks for is refused: it fails, as of any event, and
 * ends once. */
START_TEST(a_cancel_that_storage_refuses) {
  weir_stream *second;
  weir_stream *first;

  bench_hubs(&bench);
  first = bench_open(&bench, b, "k");
  second = open_as(a, "q", WEIR_DUPLICATE_JOIN, WEIR_OPEN_LOOK);
  storage->later = _i != 0;
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  ck_assert_int_eq(weir_stream_cancel(second, "why", 3), WEIR_OK);
  bench_rest(&bench);
  ck_assert_int_eq(status(second), WEIR_STREAM_FAILED);
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 0);
  bench_pass(&bench, 1000);
  ck_assert_int_eq(status(second), WEIR_STREAM_ENDED);
  kit_expect_notices(a, "q cancelled; q ended -16");
  bench_pass(&bench, 60000);
  ck_assert_uint_eq(testlog_find(storage, "k")->count, 1);
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* Storage has let go of what it is to end: there is no end of that, and nobody
 * waits for one. */
START_TEST(a_cancel_of_what_has_gone) {
  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *first;
  int i;

  bench_hubs(&bench);
  first = bench_open(&bench, b, "k");
  bench_publish(&bench, first, 1);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  second = open_as(a, "q", WEIR_DUPLICATE_JOIN, WEIR_OPEN_LOOK);
  kit_count(a, 0);
  bench_expect(&bench, reader, WEIR_EAGAIN, "");
  testlog_forget(storage, "k");
  storage->later = _i != 0;
  ck_assert_int_eq(weir_stream_cancel(second, "why", 3), WEIR_OK);
  bench_rest(&bench);
  kit_expect_notices(a, "q cancelled; closing; q ended -9");
  bench_expect(&bench, reader, WEIR_EDONE, "closing unavailable");
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
  bench_pass(&bench, 60000);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
  weir_subscriber_release(reader);
  weir_stream_release(second);
  /* It does not stay for what is not to come, nor keep what follows. */
  second = open_as(a, "q", WEIR_DUPLICATE_JOIN, 0);
  ck_assert_int_eq(weir_stream_end(second, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(second);
  bench_rest(&bench);
  for (i = 0; i < 3; ++i) {
    bench_pass(&bench, 600000);
  }
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
  weir_stream_release(first);
}
END_TEST

/* Another writer takes over between this hub's taking over and its end: what
 * was promised is done all the same, and once. */
START_TEST(a_cancel_that_is_fenced) {
  weir_stream *second;
  weir_stream *third;
  weir_stream *first;
  int i;

  bench_hubs(&bench);
  first = bench_open(&bench, b, "k");
  second = open_as(a, "q", WEIR_DUPLICATE_JOIN, WEIR_OPEN_LOOK);
  storage->later = true;
  ck_assert_int_eq(weir_stream_cancel(second, "why", 3), WEIR_OK);
  testlog_deliver(storage, 0);
  storage->later = false;
  ck_assert_int_eq(weir_stream_end(first, "no", 2, 0, NULL), WEIR_EFENCED);
  third = open_as(b, "r", WEIR_DUPLICATE_JOIN, 0);
  bench_publish(&bench, third, 1);
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 0);
  bench_rest(&bench);
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 0);
  for (i = 0; i < 5; ++i) {
    bench_pass(&bench, 1000);
  }
  ck_assert_int_eq(status(second), WEIR_STREAM_ENDED);
  kit_expect_notices(a, "q cancelled; q ended 2");
  expect_all(a, WEIR_EDONE, "ready@0 fresh; x@1 1; done@2 why");
  weir_stream_release(first);
  weir_stream_release(second);
  weir_stream_release(third);
}
END_TEST

/* The same, and this hub hears of it by a look, before it has put the end. */
START_TEST(a_cancel_that_a_look_fences) {
  const struct testlog_call *call;
  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *first;
  size_t n = 0;
  int i;

  bench_hubs(&bench);
  first = bench_open(&bench, b, "k");
  bench_publish(&bench, first, 1);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  second = open_as(a, "q", WEIR_DUPLICATE_JOIN, WEIR_OPEN_LOOK);
  storage->later = true;
  storage->slow = true;
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 2), WEIR_OK);
  ck_assert_int_eq(weir_stream_cancel(second, "why", 3), WEIR_OK);
  kit_pass(a, 0);
  for (call = storage->waiting; call->kind != TESTLOG_OPEN; call = call->next) {
    n += 1;
  }
  testlog_deliver(storage, n);
  testlog_take(storage, "k");
  testlog_write(storage, "k", "x", "2");
  testlog_deliver_all(storage);
  storage->later = false;
  storage->slow = false;
  for (i = 0; i < 5; ++i) {
    bench_pass(&bench, 1000);
  }
  ck_assert_int_eq(status(second), WEIR_STREAM_ENDED);
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 3);
  weir_subscriber_release(reader);
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* It is time for another look meanwhile: nothing is asked for twice. */
START_TEST(a_cancel_that_takes_long) {
  weir_subscriber *reader;
  weir_stream *second;
  weir_stream *first;

  bench_hubs(&bench);
  first = bench_open(&bench, b, "k");
  second = open_as(a, "q", WEIR_DUPLICATE_JOIN, WEIR_OPEN_LOOK);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh");
  kit_pass(a, 11000);
  storage->later = true;
  ck_assert_int_eq(weir_stream_cancel(second, "why", 3), WEIR_OK);
  kit_pass(a, 1000);
  kit_pass(a, 1000);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 1);
  bench_expect(&bench, reader, WEIR_EDONE, ":; done@1 why");
  weir_subscriber_release(reader);
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* A lookup has said that a stream has ended, and the host does not come before
 * it would be forgotten: who waits for the next lookup is decided first. */
START_TEST(who_waits_comes_before_who_is_forgotten) {
  weir_open_options options = kit_open_options("k", "p");
  weir_subscriber *reader;
  weir_subscriber *other;
  weir_subscriber *ahead;
  weir_stream *stream;

  storage->later = true;
  storage->current = true;
  bench_hubs(&bench);
  options.linger = 5;
  stream = kit_open_with(b, &options);
  bench_rest(&bench);
  bench_publish(&bench, stream, 1);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_rest(&bench);
  kit_count(a, 0);
  storage->slow = true;
  other = attach_as(a, "r", kit_cursor(stream, 9));
  ahead = attach_as(a, "s", kit_cursor(stream, 9));
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  testlog_deliver(storage, 1);
  testlog_deliver(storage, 0);
  kit_pass(a, 0);
  kit_expect_notices(a, "r decided ahead 0");
  weir_subscriber_release(other);
  weir_subscriber_release(reader);
  a->now += 10;
  kit_pass(a, 0);
  kit_expect_notices(a, "");
  testlog_deliver_all(storage);
  kit_pass(a, 0);
  kit_expect_notices(a, "s decided ahead 0");
  bench_expect(&bench, ahead, WEIR_EDONE,
               "gap@0 ahead 9 1-2; ready@0 ahead; x@1 1; done@2 ok");
  weir_subscriber_release(ahead);
  kit_pass(a, 1000);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
  weir_stream_release(stream);
}
END_TEST

/* The end is on its way: a watchdog that fires then adds no other. */
START_TEST(a_watchdog_behind_the_end) {
  weir_open_options options = kit_open_options("k", "p");
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  options.idle = 1000;
  options.on_idle = WEIR_ACTION_FAIL;
  stream = kit_open_with(a, &options);
  bench_rest(&bench);
  bench_publish(&bench, stream, 1);
  kit_count(a, 0);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  kit_pass(a, 1000);
  kit_expect_notices(a, "p expired idle");
  bench_rest(&bench);
  kit_expect_notices(a, "p ended 2");
  expect_all(a, WEIR_EDONE, "ready@0 fresh; x@1 1; done@2 ok");
  weir_stream_release(stream);
}
END_TEST

/* --- Three generations ---------------------------------------------------- */

/* The first is still to be taken over to be ended when the third begins. */
START_TEST(an_end_that_waits_behind_two_generations) {
  weir_stream *streams[3];
  int i;

  bench_hubs(&bench);
  streams[0] = bench_open(&bench, b, "k");
  weir_stream_release(open_as(a, "o", WEIR_DUPLICATE_JOIN, WEIR_OPEN_LOOK));
  storage->later = true;
  streams[1] = open_as(a, "p", WEIR_DUPLICATE_REPLACE, 0);
  kit_pass(a, 0);
  ck_assert_uint_eq(testlog_waiting(storage), 2); /* and one to take over */
  ck_assert_int_eq(storage->waiting->mode, WEIR_LOG_CREATE);
  testlog_deliver(storage, 0);
  kit_pass(a, 0);
  ck_assert_int_eq(status(streams[1]), WEIR_STREAM_LIVE);
  streams[2] = open_as(a, "q", WEIR_DUPLICATE_REPLACE, 0);
  bench_rest(&bench);
  ck_assert_int_eq(status(streams[2]), WEIR_STREAM_LIVE);
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 0);
  ck_assert_uint_eq(testlog_find(storage, "k")->older->ended, 1);
  ck_assert_uint_eq(testlog_find(storage, "k")->older->older->ended, 1);
  for (i = 0; i < 3; ++i) {
    weir_stream_release(streams[i]);
  }
}
END_TEST

START_TEST(a_reader_of_the_generation_before_the_last) {
  weir_subscriber *reader = NULL;
  weir_stream *streams[3];
  int i;

  bench_hub(&bench);
  for (i = 0; i < 3; ++i) {
    streams[i] = bench_open(&bench, a, "k");
    bench_publish(&bench, streams[i], 1);
    reader = i == 0 ? bench_attach(&bench, a, "k", NULL) : reader;
    ck_assert_int_eq(weir_stream_end(streams[i], "ok", 2, 0, NULL), WEIR_OK);
  }
  bench_expect(&bench, reader, WEIR_EDONE, "ready@0 fresh; x@1 1; done@2 ok");
  weir_subscriber_release(reader);
  for (i = 0; i < 3; ++i) {
    weir_stream_release(streams[i]);
  }
}
END_TEST

/* The end that a replacement wanted to put came too late: another writes that
 * generation, and who reads it here gets the end of that one, whatever has
 * begun since. */
START_TEST(a_generation_that_lives_on_elsewhere_is_remembered) {
  weir_subscriber *reader;
  weir_stream *streams[4];
  int i;

  bench_hubs(&bench);
  streams[0] = bench_open(&bench, a, "k");
  bench_publish(&bench, streams[0], 1);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  streams[1] = bench_open(&bench, b, "k");
  storage->later = true;
  streams[2] = open_as(a, "p", WEIR_DUPLICATE_REPLACE, 0);
  bench_rest(&bench);
  ck_assert_int_eq(status(streams[0]), WEIR_STREAM_FENCED);
  ck_assert_int_eq(status(streams[2]), WEIR_STREAM_LIVE);
  streams[3] = open_as(a, "q", WEIR_DUPLICATE_REPLACE, 0);
  bench_rest(&bench);
  ck_assert_int_eq(status(streams[3]), WEIR_STREAM_LIVE);
  ck_assert_int_eq(weir_stream_end(streams[1], "ok", 2, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  for (i = 0; i < 9; ++i) {
    bench_pass(&bench, 1000);
  }
  bench_expect(&bench, reader, WEIR_EDONE, "done@2 ok");
  weir_subscriber_release(reader);
  for (i = 0; i < 4; ++i) {
    weir_stream_release(streams[i]);
  }
}
END_TEST

/* Two ends that are not logged are remembered behind the third generation, each
 * for its time. */
START_TEST(failures_are_forgotten_in_their_order) {
  weir_open_options options = kit_open_options("k", NULL);
  weir_event event = kit_make_event("x", "1");
  weir_subscriber *reader = NULL;
  weir_stream *stream;
  weir_stream *first;
  size_t appends;
  int i;

  bench_hub(&bench);
  options.linger = 500;
  first = kit_open_with(a, &options);
  for (i = 0; i < 2; ++i) {
    stream = kit_open_with(a, &options);
    reader = i == 0 ? bench_attach(&bench, a, "k", NULL) : reader;
    testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
    ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_ELOG);
    weir_stream_release(stream);
    kit_pass(a, 100);
  }
  stream = kit_open_with(a, &options);
  kit_pass(a, 0);
  ck_assert_uint_eq(storage->handles, 3);
  kit_pass(a, 300);
  /* Only who stands for it knows it any more; it is not tried again. */
  appends = storage->calls[TESTLOG_APPEND];
  ck_assert_int_eq(weir_stream_trim(first, 0), WEIR_OK);
  kit_pass(a, 0);
  ck_assert_uint_eq(storage->calls[TESTLOG_APPEND], appends);
  weir_stream_release(first);
  ck_assert_uint_eq(storage->handles, 3);
  bench_expect(&bench, reader, WEIR_EDONE,
               "ready@0 fresh; failed log_refused ");
  weir_subscriber_release(reader);
  kit_pass(a, 0);
  ck_assert_uint_eq(storage->handles, 2);
  kit_pass(a, 100);
  ck_assert_uint_eq(storage->handles, 1);
  bench_publish(&bench, stream, 1);
  expect_all(a, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  weir_stream_release(stream);
}
END_TEST

/* Who has not fetched that it was let in before its patience with it ends gets
 * both told. */
START_TEST(decided_and_then_aborted) {
  weir_subscriber *reader;
  weir_stream *stream;

  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  storage->later = true;
  reader = attach_as(a, "s", NULL);
  bench_rest(&bench);
  bench_pass(&bench, 30000);
  kit_expect_notices(a, "s decided fresh 0; s abort -30");
  kit_expect_frames(reader, WEIR_EGONE, "");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

static TCase *opens(void) {
  TCase *tcase = tcase_create("opens");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, an_open_is_decided_later);
  tcase_add_test(tcase, a_host_that_polls_is_woken);
  tcase_add_loop_test(tcase, an_open_is_refused_later, 0, 2);
  tcase_add_test(tcase, race18_two_opens_begin_one_generation);
  tcase_add_test(tcase, opens_of_what_is_being_begun);
  tcase_add_test(tcase, replacing_what_is_being_begun);
  tcase_add_test(tcase, an_end_is_owed_behind_another_writer);
  tcase_add_test(tcase, replacing_what_is_being_taken_over);
  tcase_add_loop_test(tcase, race18_two_processes_begin, 0, 3);
  tcase_add_test(tcase, an_open_does_not_go_round_in_circles);
  tcase_add_test(tcase, opens_of_what_storage_has);
  tcase_add_loop_test(tcase, settings_are_kept, 0, 2);
  tcase_add_loop_test(tcase, settings_that_were_not_kept, 0, 2);
  tcase_add_loop_test(tcase, an_end_before_the_open_is_decided, 0, 2);
  tcase_add_test(tcase, r38_a_cancel_before_the_open_is_decided);
  tcase_add_loop_test(tcase, an_end_of_what_is_refused, 0, 2);
  tcase_add_loop_test(tcase, released_before_the_open_is_decided, 0, 12);
  return tcase;
}

static TCase *attaches(void) {
  TCase *tcase = tcase_create("attaches");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, an_attach_is_decided_later);
  tcase_add_test(tcase, attaches_that_wait_for_different_things);
  tcase_add_loop_test(tcase, an_attach_to_nothing, 0, 3);
  tcase_add_loop_test(tcase, an_attach_that_storage_fails, 0, 2);
  tcase_add_test(tcase, f15_an_attach_behind_an_open);
  tcase_add_test(tcase, a_client_is_replaced_by_one_that_was_decided_later);
  tcase_add_loop_test(tcase, a_client_leaves_before_it_is_decided, 0, 2);
  tcase_add_loop_test(tcase, an_attach_is_refused_later, 0, 3);
  tcase_add_test(tcase, pending_attaches_have_a_limit);
  return tcase;
}

static TCase *generations(void) {
  TCase *tcase = tcase_create("generations");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, the_generation_before_is_remembered);
  tcase_add_test(tcase, the_next_generation_is_refused);
  tcase_add_loop_test(tcase, r45_replacing_what_another_writes, 0, 2);
  tcase_add_test(tcase, the_end_of_one_that_is_hidden_is_owed);
  tcase_add_loop_test(tcase, what_is_under_way_is_brought_to_its_end, 0, 2);
  tcase_add_loop_test(tcase, cancelling_what_another_writes, 0, 2);
  tcase_add_test(tcase, an_open_of_what_ends_meanwhile);
  tcase_add_loop_test(tcase, a_generation_that_storage_has_no_more, 0, 3);
  tcase_add_loop_test(tcase, handles_of_old_generations_end_with_the_hub, 0, 2);
  tcase_add_loop_test(tcase, a_cancel_by_who_looks_before_it_is_decided, 0, 4);
  tcase_add_test(tcase, no_random_bits_to_take_over);
  tcase_add_test(tcase, no_random_bits_for_another_try);
  tcase_add_test(tcase, opens_wait_behind_one_that_replaces);
  tcase_add_test(tcase, two_opens_in_circles);
  tcase_add_test(tcase, two_cancels_of_what_another_writes);
  tcase_add_loop_test(tcase, a_cancel_that_storage_refuses, 0, 2);
  tcase_add_loop_test(tcase, a_cancel_of_what_has_gone, 0, 2);
  tcase_add_test(tcase, a_cancel_that_is_fenced);
  tcase_add_test(tcase, a_cancel_that_a_look_fences);
  tcase_add_test(tcase, a_cancel_that_takes_long);
  tcase_add_test(tcase, who_waits_comes_before_who_is_forgotten);
  tcase_add_test(tcase, a_watchdog_behind_the_end);
  tcase_add_test(tcase, an_end_that_waits_behind_two_generations);
  tcase_add_test(tcase, a_reader_of_the_generation_before_the_last);
  tcase_add_test(tcase, failures_are_forgotten_in_their_order);
  tcase_add_test(tcase, decided_and_then_aborted);
  tcase_add_test(tcase, a_generation_that_lives_on_elsewhere_is_remembered);
  return tcase;
}

KIT_MAIN("decided", opens(), attaches(), generations())
