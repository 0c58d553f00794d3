/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Who comes to a key gets the newest generation that there was when it came,
 * whoever has begun it, and whatever this hub knew; and hears of it in the end.
 */

#include "../bench.h"

#include <stdio.h>
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

/* Another writer's generation, of n events, that has ended. */
static void end_another(size_t n) {
  weir_stream *stream = bench_open(&bench, b, "k");

  bench_publish(&bench, stream, n);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  weir_stream_release(stream);
}

/* The first hub knows such a one. */
static void know_an_end(void) {
  bench_hubs(&bench);
  end_another(1);
  weir_subscriber_release(bench_attach(&bench, a, "k", NULL));
  bench_rest(&bench);
  storage->modes[WEIR_LOG_LOOKUP] = 0;
}

/* One that has to wait for storage. */
static weir_subscriber *attach_late(const char *name, const char *cursor) {
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
  ck_assert_int_eq(weir_hub_attach(a->hub, &options, &subscriber, &verdict),
                   WEIR_OK);
  ck_assert_int_eq(verdict, WEIR_VERDICT_PENDING);
  return subscriber;
}

/* What a second hub does while the first waits for storage. */
static weir_stream *open_meanwhile(void) {
  weir_stream *stream;

  storage->later = false;
  stream = kit_open(b, "k");
  storage->later = true;
  return stream;
}

/* --- What was asked before somebody came ---------------------------------- */

/* It is not for who came after that: another hub may have begun one since. */
START_TEST(what_was_asked_before) {
  weir_subscriber *first;
  weir_subscriber *second;
  weir_stream *stream;

  bench_hubs(&bench);
  if (_i == 1) {
    end_another(1);
  }
  storage->later = true;
  first = attach_late("s", NULL);
  stream = open_meanwhile();
  second = attach_late("t", NULL);
  bench_rest(&bench);
  kit_expect_notices(a, _i == 0 ? "s decided unknown 0; t decided fresh 0"
                                : "s decided fresh 0; t decided fresh 0");
  bench_expect(&bench, second, WEIR_EAGAIN, "ready@0 fresh");
  weir_subscriber_release(first);
  weir_subscriber_release(second);
  weir_stream_release(stream);
}
END_TEST

/* If storage fails, nobody waits for another answer. */
START_TEST(what_was_asked_before_fails) {
  weir_subscriber *first;
  weir_subscriber *second;

  bench_hubs(&bench);
  storage->later = true;
  testlog_fail(storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE, WEIR_EIO);
  first = attach_late("s", NULL);
  kit_pass(a, 0);
  second = attach_late("t", NULL);
  bench_rest(&bench);
  kit_expect_notices(a, "s decided pending -31; t decided pending -31");
  weir_subscriber_release(first);
  weir_subscriber_release(second);
}
END_TEST

/* A look that finds the end says nothing of what has come after it. */
START_TEST(a_look_that_finds_the_end) {
  weir_subscriber *reader;
  weir_stream *stream;
  weir_stream *next;

  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 1);
  weir_subscriber_release(bench_attach(&bench, a, "k", NULL));
  bench_rest(&bench);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  next = bench_open(&bench, b, "k");
  bench_publish(&bench, next, 2);
  storage->later = _i == 1;
  reader = kit_attach(a, "k", kit_cursor(next, 1), NULL);
  bench_rest(&bench);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@1 resumed; x@2 2");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
  weir_stream_release(next);
}
END_TEST

/* A read shows that nothing is left of the generation: who waits for something
 * else of it, or comes just then, is not told that it is there. */
START_TEST(a_read_that_finds_nothing) {
  weir_subscriber *readers[3];
  weir_stream *stream;

  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 1);
  readers[0] = bench_attach(&bench, a, "k", NULL);
  bench_rest(&bench);
  storage->later = true;
  storage->slow = true;
  (void)kit_skip(readers[0]);
  ck_assert_uint_eq(testlog_waiting(storage), 1);
  readers[1] = attach_late("s", kit_cursor(stream, 9));
  testlog_forget(storage, "k");
  testlog_deliver(storage, 0);
  readers[2] = attach_late("t", NULL);
  kit_count(a, 0);
  bench_rest(&bench);
  kit_expect_notices(a, "s decided unknown 0; t decided unknown 0");
  weir_subscriber_release(readers[0]);
  weir_subscriber_release(readers[1]);
  weir_subscriber_release(readers[2]);
  weir_stream_release(stream);
}
END_TEST

/* However many wait, storage is asked for all of them at once. */
START_TEST(many_wait_for_one_answer) {
  enum { READERS = 50 };
  weir_subscriber *readers[READERS];
  size_t i;

  know_an_end();
  storage->later = true;
  storage->slow = true;
  for (i = 0; i < READERS; ++i) {
    readers[i] = attach_late("s", NULL);
  }
  testlog_forget(storage, "k");
  if (_i == 1) {
    storage->later = false;
  }
  bench_rest(&bench);
  ck_assert_uint_eq(bench_hub_info(a).pending, 0);
  /* The first of them asks, and then for a new one; and so do the others. */
  ck_assert_uint_le(storage->modes[WEIR_LOG_LOOKUP], 4);
  for (i = 0; i < READERS; ++i) {
    weir_subscriber_release(readers[i]);
  }
}
END_TEST

/* Who waits is not kept waiting by those who come after that, each time just
 * behind the answer. */
START_TEST(others_come_all_the_time) {
  enum { OTHERS = 20 };
  weir_open_options options = kit_open_options("k", "p");
  weir_subscriber *others[OTHERS];
  weir_subscriber *first;
  weir_stream *stream = NULL;
  size_t i;

  bench_hubs(&bench);
  storage->later = true;
  storage->slow = true;
  first = attach_late("s", NULL);
  if (_i == 1) {
    ck_assert_int_eq(weir_hub_open(a->hub, &options, &stream), WEIR_OK);
  }
  for (i = 0; i < OTHERS; ++i) {
    testlog_deliver_all(storage);
    others[i] = i == 0 || _i == 0 ? attach_late("t", NULL)
                                  : kit_attach(a, "k", NULL, NULL);
    if (i == 1 && _i == 0) {
      kit_expect_notices(a, "s decided unknown 0; t decided unknown 0");
    }
    kit_pass(a, 100);
  }
  if (_i == 1) {
    ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_LIVE);
  }
  for (i = 0; i < OTHERS; ++i) {
    weir_subscriber_release(others[i]);
  }
  weir_subscriber_release(first);
  weir_stream_release(stream);
}
END_TEST

/* What a lookup would have said is nothing to who attaches, if this hub becomes
 * the writer meanwhile, and knows the place. */
START_TEST(a_lookup_that_is_not_needed) {
  weir_subscriber *reader;
  weir_stream *theirs;
  weir_stream *ours;

  bench_hubs(&bench);
  theirs = bench_open(&bench, b, "k");
  bench_publish(&bench, theirs, 1);
  weir_subscriber_release(bench_attach(&bench, a, "k", NULL));
  bench_rest(&bench);
  storage->later = true;
  ours = kit_open(a, "k");
  reader = attach_late("s", kit_cursor(theirs, 9));
  ck_assert_uint_eq(testlog_waiting(storage), 1);
  testlog_fail(storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE, WEIR_EIO);
  testlog_deliver(storage, 0);
  kit_pass(a, 0);
  kit_expect_notices(a, "opened 0; s decided rewound 0");
  bench_rest(&bench);
  weir_subscriber_release(reader);
  weir_stream_release(ours);
  weir_stream_release(theirs);
}
END_TEST

static const uint32_t asks[] = {WEIR_OPEN_LOOK, WEIR_OPEN_EXISTING,
                                WEIR_OPEN_UNENDED};

/* One of those by the first hub; *rv is what the call says, and then what
 * becomes of it. */
static weir_stream *ask_late(uint32_t flags, int *rv) {
  weir_open_options options = kit_open_options("k", "p");
  weir_stream *stream = NULL;

  options.flags = flags;
  *rv = weir_hub_open(a->hub, &options, &stream);
  return stream;
}

static uint64_t renamed;

/* It is another one, each time. */
static void rename_it(weir_answer *answer, weir_epoch *epochs,
                      weir_record *records) {
  (void)answer;
  (void)records;
  epochs[0].epoch += ++renamed;
}

/* Each time that the key is looked up it leads to another one, which is over;
 * and somebody else has just asked for that one: an attach follows that for a
 * while. */
START_TEST(a_key_that_leads_on_and_on) {
  weir_subscriber_info info;
  weir_subscriber *reader;
  weir_stream *looks[12];
  size_t i;
  int rv;

  know_an_end();
  storage->later = true;
  for (i = 1; i <= 16; ++i) {
    testlog_plan_bend(storage, TESTLOG_OPEN, i, rename_it);
  }
  looks[0] = ask_late(WEIR_OPEN_LOOK, &rv);
  reader = attach_late("s", NULL);
  for (i = 1; i < 12; ++i) {
    looks[i] = ask_late(WEIR_OPEN_LOOK, &rv);
    testlog_deliver_all(storage);
    kit_pass(a, 0);
  }
  ck_assert_uint_eq(kit_count(a, WEIR_NOTICE_DECIDED), 1);
  info.size = sizeof info;
  ck_assert_int_eq(weir_subscriber_get_info(reader, &info), WEIR_OK);
  ck_assert_int_eq(info.error, WEIR_ELOG);
  weir_subscriber_release(reader);
  for (i = 0; i < 12; ++i) {
    weir_stream_release(looks[i]);
  }
  bench_rest(&bench);
}
END_TEST

/* --- Those who come to who wrote it last ---------------------------------- */

/* This hub has written it, and another has taken over since without its
 * hearing: a cursor of that one is not taken for a stranger's. */
START_TEST(who_was_elsewhere_comes_to_the_old_writer) {
  weir_subscriber *reader;
  weir_stream *theirs;
  weir_stream *ours;
  int verdict;

  bench_hubs(&bench);
  ours = bench_open(&bench, a, "k");
  bench_publish(&bench, ours, 1);
  theirs = bench_open(&bench, b, "k");
  bench_publish(&bench, theirs, 2);
  storage->later = _i != 0;
  reader = bench_resume(&bench, a, "k", bench_info(theirs).epoch, 2, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@2 resumed; x@3 3");
  ck_assert_int_eq(bench_info(ours).status, WEIR_STREAM_FENCED);
  weir_subscriber_release(reader);
  weir_stream_release(theirs);
  weir_stream_release(ours);
}
END_TEST

/* Storage cannot say: then it is so as far as this hub has written it. If no
 * other can have written it, storage is not asked at all. */
START_TEST(the_old_writer_is_all_there_is) {
  weir_subscriber *reader;
  weir_stream *ours;
  size_t lookups;
  int verdict;

  storage->log.flags = _i < 2 ? 0 : WEIR_LOG_SOLE;
  bench_hub(&bench);
  ours = bench_open(&bench, a, "k");
  bench_publish(&bench, ours, 2);
  storage->later = _i == 1;
  lookups = storage->modes[WEIR_LOG_LOOKUP];
  testlog_fail(storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE, WEIR_EIO);
  reader = bench_resume(&bench, a, "k", 12345, 2, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_FOREIGN);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], lookups + (_i < 2));
  weir_subscriber_release(reader);
  weir_stream_release(ours);
}
END_TEST

/* A number that has been given, of an event that is on its way to storage: it
 * may be there, and another hub's client have got it. */
START_TEST(what_is_stored_but_not_answered) {
  weir_subscriber *reader;
  weir_stream *ours;

  storage->later = true;
  bench_hub(&bench);
  ours = kit_open(a, "k");
  bench_rest(&bench);
  bench_publish(&bench, ours, 1);
  kit_count(a, 0);
  if (_i == 1) {
    testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_EIO);
  }
  kit_publish(ours, "x", "2");
  reader = attach_late("s", kit_cursor(ours, 2));
  bench_rest(&bench);
  kit_expect_notices(
      a, _i == 0 ? "s decided resumed 0" : "ended -31; s decided ahead 0");
  weir_subscriber_release(reader);
  weir_stream_release(ours);
}
END_TEST

/* Those behind one who waits for that do not. */
START_TEST(behind_one_who_waits_for_an_append) {
  weir_subscriber *readers[2];
  weir_stream *ours;

  storage->later = true;
  bench_hub(&bench);
  ours = kit_open(a, "k");
  bench_rest(&bench);
  bench_publish(&bench, ours, 1);
  kit_count(a, 0);
  kit_publish(ours, "x", "2");
  readers[0] = attach_late("s", kit_cursor(ours, 2));
  readers[1] = attach_late("t", "b-7");
  ck_assert_uint_eq(testlog_waiting(storage), 2);
  testlog_deliver(storage, 1);
  kit_pass(a, 0);
  kit_expect_notices(a, "t decided foreign 0");
  bench_rest(&bench);
  kit_expect_notices(a, "s decided resumed 0");
  weir_subscriber_release(readers[0]);
  weir_subscriber_release(readers[1]);
  weir_stream_release(ours);
}
END_TEST

/* Whether an append was stored nobody knows, but another hub has sent the
 * event: its client is told to come back, and not to begin anew. */
START_TEST(what_may_be_stored) {
  const weir_event event = kit_make_event("x", "1");
  weir_subscriber *reader;
  weir_stream *ours;
  weir_request request;
  weir_attach_options options = kit_attach_options("k", "s");
  int verdict = -1;

  bench_hubs(&bench);
  ours = bench_open(&bench, a, "k");
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_CONFUSE, WEIR_EUNKNOWN);
  ck_assert_int_eq(weir_stream_publish(ours, &event, 1, NULL), WEIR_EUNKNOWN);
  reader = bench_attach(&bench, b, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  weir_subscriber_release(reader);
  weir_request_init(&request, sizeof request);
  request.header = kit_cursor(ours, 1);
  request.header_len = strlen(request.header);
  options.request = &request;
  ck_assert_int_eq(weir_hub_attach(a->hub, &options, &reader, &verdict),
                   WEIR_EUNKNOWN);
  weir_stream_release(ours);
}
END_TEST

/* This hub begins the next while a client waits to hear whether another has:
 * that is what it gets. */
START_TEST(what_this_hub_begins_meanwhile) {
  weir_subscriber_info info;
  weir_subscriber *reader;
  weir_stream *ours;
  weir_stream *next;

  bench_hub(&bench);
  ours = bench_open(&bench, a, "k");
  bench_publish(&bench, ours, 1);
  ck_assert_int_eq(weir_stream_end(ours, "ok", 2, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  if (_i == 0) {
    ck_assert_int_eq(weir_stream_trim(ours, 2), WEIR_OK);
    bench_rest(&bench);
  }
  weir_stream_release(ours);
  storage->later = true;
  reader = attach_late("s", NULL);
  next = kit_open(a, "k");
  ck_assert_uint_eq(testlog_waiting(storage), 2);
  testlog_deliver(storage, 1);
  kit_pass(a, 0);
  ck_assert_int_eq(bench_info(next).status, WEIR_STREAM_LIVE);
  bench_rest(&bench);
  info.size = sizeof info;
  ck_assert_int_eq(weir_subscriber_get_info(reader, &info), WEIR_OK);
  ck_assert_int_eq(info.verdict, WEIR_VERDICT_FRESH);
  ck_assert_uint_eq(info.generation, bench_info(next).generation);
  weir_subscriber_release(reader);
  weir_stream_release(next);
}
END_TEST

/* What this hub has written has ended, and another has begun the next: whoever
 * comes anew gets that; who has seen the end goes, and storage is not asked. */
START_TEST(what_came_after_our_end) {
  weir_subscriber *reader;
  weir_stream *theirs;
  weir_stream *ours;
  uint64_t epoch;
  size_t lookups;
  int verdict;

  bench_hubs(&bench);
  ours = bench_open(&bench, a, "k");
  bench_publish(&bench, ours, 1);
  epoch = bench_info(ours).epoch;
  ck_assert_int_eq(weir_stream_end(ours, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(ours);
  theirs = bench_open(&bench, b, "k");
  bench_publish(&bench, theirs, 1);
  storage->later = _i != 0;
  lookups = storage->modes[WEIR_LOG_LOOKUP];
  reader = bench_resume(&bench, a, "k", epoch, 2, &verdict);
  ck_assert_ptr_null(reader);
  ck_assert_int_eq(verdict, WEIR_VERDICT_FINISHED);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], lookups);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  ck_assert_uint_gt(storage->modes[WEIR_LOG_LOOKUP], lookups);
  weir_subscriber_release(reader);
  weir_stream_release(theirs);
}
END_TEST

static void forget_epochs(weir_answer *answer, weir_epoch *epochs,
                          weir_record *records) {
  (void)epochs;
  (void)records;
  answer->epoch_count = 0;
}

static void forget_end(weir_answer *answer, weir_epoch *epochs,
                       weir_record *records) {
  (void)records;
  answer->ended = 0;
  answer->last = 1;
  epochs[0].last = 1;
}

/* Of what this hub has ended it does not believe everything. */
START_TEST(nonsense_about_our_end) {
  static testlog_bend *const bends[] = {forget_epochs, forget_end};
  weir_subscriber *reader;
  weir_stream *ours;

  bench_hub(&bench);
  ours = bench_open(&bench, a, "k");
  bench_publish(&bench, ours, 1);
  ck_assert_int_eq(weir_stream_end(ours, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(ours);
  testlog_plan_bend(storage, TESTLOG_OPEN, 1, bends[_i]);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EDONE, "ready@0 fresh; x@1 1; done@2 ok");
  weir_subscriber_release(reader);
}
END_TEST

/* A number alone may be one of the next. */
START_TEST(a_number_like_that_of_our_end) {
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *reader;
  weir_request request;
  weir_stream *theirs;
  weir_stream *ours;
  int verdict;

  a->options.cursor_format = WEIR_CURSOR_DECIMAL;
  b->options.cursor_format = WEIR_CURSOR_DECIMAL;
  bench_hubs(&bench);
  ours = bench_open(&bench, a, "k");
  bench_publish(&bench, ours, 1);
  ck_assert_int_eq(weir_stream_end(ours, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(ours);
  theirs = bench_open(&bench, b, "k");
  bench_publish(&bench, theirs, 3);
  weir_request_init(&request, sizeof request);
  request.header = "2";
  request.header_len = 1;
  options.request = &request;
  ck_assert_int_eq(weir_hub_attach(a->hub, &options, &reader, &verdict),
                   WEIR_OK);
  ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
  weir_subscriber_release(reader);
  weir_stream_release(theirs);
}
END_TEST

/* --- Opens that ask what there is ----------------------------------------- */

static weir_stream *ask(uint32_t flags, int *rv) {
  weir_stream *stream = ask_late(flags, rv);

  bench_rest(&bench);
  if (stream != NULL) {
    ck_assert_int_ne(bench_info(stream).status, WEIR_STREAM_OPENING);
    *rv = bench_info(stream).error;
  }
  return stream;
}

/* They get the one that another hub has begun since, although the end of the
 * one before is what this hub knows. */
START_TEST(opens_get_the_newest) {
  weir_stream *theirs;
  weir_stream *ours;
  int rv;

  know_an_end();
  theirs = bench_open(&bench, b, "k");
  bench_publish(&bench, theirs, 2);
  storage->later = _i >= 3;
  ours = ask(asks[_i % 3], &rv);
  ck_assert_int_eq(rv, WEIR_OK);
  ck_assert_int_eq(bench_info(ours).status, WEIR_STREAM_LIVE);
  ck_assert_uint_eq(bench_info(ours).generation, bench_info(theirs).generation);
  ck_assert_uint_eq(bench_info(ours).last, 2);
  weir_stream_release(ours);
  weir_stream_release(theirs);
}
END_TEST

/* Or what there is, if there is no other; however many ask, storage is asked
 * for all of them at once. */
START_TEST(opens_of_what_has_ended) {
  static const int errors[] = {WEIR_OK, WEIR_EENDED, WEIR_EENDED};
  enum { OPENS = 20 };
  weir_stream *streams[OPENS];
  size_t i;
  int rv;

  know_an_end();
  storage->later = true;
  storage->slow = true;
  for (i = 0; i < OPENS; ++i) {
    streams[i] = ask_late(asks[_i], &rv);
    ck_assert_int_eq(rv, WEIR_OK);
  }
  bench_rest(&bench);
  for (i = 0; i < OPENS; ++i) {
    ck_assert_int_eq(bench_info(streams[i]).error, errors[_i]);
    if (errors[_i] == WEIR_OK) {
      ck_assert_int_eq(bench_info(streams[i]).status, WEIR_STREAM_ENDED);
    }
    weir_stream_release(streams[i]);
  }
  /* The first of them asks, and all others behind that. */
  ck_assert_uint_le(storage->modes[WEIR_LOG_LOOKUP], 2);
}
END_TEST

/* Storage has let it go. */
START_TEST(opens_of_what_has_gone) {
  static const int errors[] = {WEIR_ENOENT, WEIR_ENOENT, WEIR_OK};
  weir_stream *stream;
  int rv;

  know_an_end();
  testlog_forget(storage, "k");
  storage->later = _i >= 3;
  stream = ask(asks[_i % 3], &rv);
  ck_assert_int_eq(rv, errors[_i % 3]);
  if (rv == WEIR_OK) {
    ck_assert_uint_eq(bench_info(stream).joined, 0);
  }
  weir_stream_release(stream);
}
END_TEST

/* Nobody knows. */
START_TEST(opens_that_cannot_ask) {
  weir_stream *stream;
  int rv;

  know_an_end();
  testlog_fail(storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE, WEIR_EIO);
  storage->later = _i >= 3;
  stream = ask(asks[_i % 3], &rv);
  ck_assert_int_eq(rv, WEIR_EIO);
  weir_stream_release(stream);
  /* What went wrong once is not held against the next. */
  stream = ask(WEIR_OPEN_LOOK, &rv);
  ck_assert_int_eq(rv, WEIR_OK);
  weir_stream_release(stream);
}
END_TEST

/* That there was none is no answer for who came after that was asked. */
START_TEST(opens_behind_a_question) {
  weir_stream *first;
  weir_stream *second;
  weir_stream *theirs;
  int rv;

  bench_hubs(&bench);
  storage->later = true;
  first = ask_late(WEIR_OPEN_LOOK, &rv);
  theirs = open_meanwhile();
  second = ask_late(asks[_i], &rv);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(first).error, WEIR_ENOENT);
  ck_assert_int_eq(bench_info(second).error, WEIR_OK);
  ck_assert_uint_eq(bench_info(second).joined, 1);
  weir_stream_release(first);
  weir_stream_release(second);
  weir_stream_release(theirs);
}
END_TEST

/* How far one is that others write, and nobody here reads; or why nobody
 * knows. */
START_TEST(a_look_at_what_others_write) {
  weir_stream *theirs;
  weir_stream *ours;
  int rv;

  bench_hubs(&bench);
  theirs = bench_open(&bench, b, "k");
  bench_publish(&bench, theirs, 1);
  ours = ask(WEIR_OPEN_LOOK, &rv);
  ck_assert_uint_eq(bench_info(ours).last, 1);
  weir_stream_release(ours);
  bench_publish(&bench, theirs, 2);
  storage->later = _i >= 2;
  if (_i % 2 == 1) {
    testlog_fail(storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE, WEIR_EIO);
  }
  ours = ask(WEIR_OPEN_LOOK, &rv);
  ck_assert_int_eq(rv, _i % 2 == 1 ? WEIR_EIO : WEIR_OK);
  if (rv == WEIR_OK) {
    ck_assert_uint_eq(bench_info(ours).last, 3);
  }
  weir_stream_release(ours);
  storage->later = false;
  ck_assert_int_eq(weir_stream_end(theirs, "ok", 2, 0, NULL), WEIR_OK);
  ours = ask(WEIR_OPEN_LOOK, &rv);
  ck_assert_int_eq(bench_info(ours).status, WEIR_STREAM_ENDED);
  weir_stream_release(ours);
  weir_stream_release(theirs);
}
END_TEST

/* An open that is to begin one, and no other to be disturbed: it does not take
 * an old word for it that there is one. If nobody else writes, this hub knows
 * without asking. */
START_TEST(an_open_that_joins_nothing) {
  enum { LIVE, OVER, OVER_AND_NEXT, UNKNOWN, GONE, OURS, TAKEN, SOLE, CASES };
  static const int errors[CASES] = {WEIR_EEXISTS, WEIR_OK,     WEIR_EEXISTS,
                                    WEIR_EIO,     WEIR_OK,     WEIR_EEXISTS,
                                    WEIR_OK,      WEIR_EEXISTS};
  weir_open_options options = kit_open_options("k", "p");
  weir_subscriber *reader;
  weir_stream *theirs;
  weir_stream *ours = NULL;
  const int what = _i % CASES;
  int rv;

  storage->log.flags = what == SOLE ? WEIR_LOG_SOLE : 0;
  bench_hubs(&bench);
  theirs = bench_open(&bench, what >= OURS ? a : b, "k");
  bench_publish(&bench, theirs, 1);
  reader = bench_attach(&bench, a, "k", NULL);
  weir_subscriber_release(reader);
  if (what == TAKEN) {
    end_another(1);
  } else if (what == OVER || what == OVER_AND_NEXT) {
    ck_assert_int_eq(weir_stream_end(theirs, "ok", 2, 0, NULL), WEIR_OK);
    weir_stream_release(theirs);
    theirs = what == OVER ? NULL : bench_open(&bench, b, "k");
  } else if (what == UNKNOWN) {
    testlog_fail(storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE, WEIR_EIO);
  } else if (what == GONE) {
    testlog_forget(storage, "k");
  }
  storage->later = _i >= CASES;
  storage->modes[WEIR_LOG_LOOKUP] = 0;
  options.on_duplicate = WEIR_DUPLICATE_REJECT;
  rv = weir_hub_open(a->hub, &options, &ours);
  bench_rest(&bench);
  if (rv == WEIR_OK) {
    rv = bench_info(ours).error;
  }
  ck_assert_int_eq(rv, errors[what]);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP] != 0, what != SOLE);
  if (rv == WEIR_OK) {
    ck_assert_int_eq(bench_info(ours).status, WEIR_STREAM_LIVE);
    ck_assert_uint_eq(bench_info(ours).joined, 0);
  }
  weir_stream_release(ours);
  weir_stream_release(theirs);
}
END_TEST

/* Two wait, and storage answers the next lookup inside the call: neither waits
 * for ever. */
START_TEST(opens_behind_opens) {
  static const int errors[] = {WEIR_OK, WEIR_EENDED, WEIR_EENDED};
  weir_stream *streams[3];
  size_t i;
  int rv;

  know_an_end();
  end_another(2);
  storage->later = true;
  storage->slow = true;
  for (i = 0; i < 3; ++i) {
    streams[i] = ask_late(asks[_i], &rv);
  }
  storage->later = false;
  testlog_deliver_all(storage);
  bench_rest(&bench);
  for (i = 0; i < 3; ++i) {
    ck_assert_int_eq(bench_info(streams[i]).error, errors[_i]);
    ck_assert_int_eq(bench_info(streams[i]).status,
                     _i == 0 ? WEIR_STREAM_ENDED : WEIR_STREAM_REFUSED);
    weir_stream_release(streams[i]);
  }
  ck_assert_uint_eq(bench_hub_info(a).pending, 0);
}
END_TEST

/* The first finds that there is none; the second, which may, begins one. */
START_TEST(an_open_behind_a_look) {
  weir_stream *second;
  weir_stream *first;
  int rv;

  know_an_end();
  testlog_forget(storage, "k");
  storage->later = true;
  storage->slow = true;
  first = ask_late(WEIR_OPEN_LOOK, &rv);
  second = ask_late(WEIR_OPEN_UNENDED, &rv);
  storage->later = _i == 1;
  testlog_deliver_all(storage);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(first).error, WEIR_ENOENT);
  ck_assert_int_eq(bench_info(second).status, WEIR_STREAM_LIVE);
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* Another begins the next one meanwhile, and that has been forgotten when the
 * answer comes: it is still what there is. */
START_TEST(opens_behind_what_is_forgotten) {
  static const int errors[] = {WEIR_OK, WEIR_EENDED, WEIR_EENDED};
  weir_open_options options = kit_open_options("k", NULL);
  weir_stream *plain = NULL;
  weir_stream *stream;
  int rv;

  know_an_end();
  storage->later = true;
  storage->slow = true;
  stream = ask_late(asks[_i], &rv);
  storage->later = false;
  options.linger = 0;
  ck_assert_int_eq(weir_hub_open(a->hub, &options, &plain), WEIR_OK);
  ck_assert_int_eq(weir_stream_end(plain, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(plain);
  kit_pass(a, 10);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(stream).error, errors[_i]);
  weir_stream_release(stream);
}
END_TEST

/* What this hub has ended itself may have been followed by another, too. */
START_TEST(what_follows_an_end_of_ours) {
  weir_subscriber *reader;
  weir_stream *theirs;
  weir_stream *ours;
  int rv;

  bench_hubs(&bench);
  ours = bench_open(&bench, a, "k");
  bench_publish(&bench, ours, 1);
  ck_assert_int_eq(weir_stream_end(ours, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(ours);
  theirs = bench_open(&bench, b, "k");
  bench_publish(&bench, theirs, 2);
  storage->later = _i >= 3;
  ours = ask(asks[_i % 3], &rv);
  ck_assert_int_eq(rv, WEIR_OK);
  ck_assert_int_eq(bench_info(ours).status, WEIR_STREAM_LIVE);
  ck_assert_uint_eq(bench_info(ours).last, 2);
  weir_stream_release(ours);
  /* Clients that come then get that, too. */
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1; x@2 2");
  weir_subscriber_release(reader);
  weir_stream_release(theirs);
}
END_TEST

/* If storage has let go of it, it is remembered here. */
START_TEST(what_is_left_of_an_end_of_ours) {
  static const int errors[] = {WEIR_OK, WEIR_EENDED, WEIR_EENDED};
  weir_subscriber *reader;
  weir_stream *ours;
  int rv;

  bench_hubs(&bench);
  ours = bench_open(&bench, a, "k");
  bench_publish(&bench, ours, 1);
  ck_assert_int_eq(weir_stream_end(ours, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(ours);
  testlog_forget(storage, "k");
  storage->later = _i >= 3;
  ours = ask(asks[_i % 3], &rv);
  ck_assert_int_eq(rv, errors[_i % 3]);
  weir_stream_release(ours);
  reader = kit_attach(a, "k", NULL, NULL);
  bench_rest(&bench);
  bench_expect(&bench, reader, WEIR_EDONE, "ready@0 fresh; x@1 1; done@2 ok");
  weir_subscriber_release(reader);
}
END_TEST

/* A look hears, too, that another has gone on with what this hub has begun. */
START_TEST(a_look_at_what_was_ours) {
  weir_stream *theirs;
  weir_stream *ours;
  int rv;

  bench_hubs(&bench);
  ours = bench_open(&bench, a, "k");
  bench_publish(&bench, ours, 1);
  weir_stream_release(ours);
  theirs = bench_open(&bench, b, "k");
  bench_publish(&bench, theirs, 2);
  storage->later = _i % 2 == 1;
  ours = ask(WEIR_OPEN_LOOK, &rv);
  ck_assert_int_eq(rv, WEIR_OK);
  ck_assert_uint_eq(bench_info(ours).last, 3);
  weir_stream_release(ours);
  weir_stream_release(theirs);
}
END_TEST

/* Nobody takes up with events for that. */
START_TEST(a_look_loads_nothing) {
  weir_stream *theirs;
  weir_stream *ours;
  size_t read;
  int rv;

  bench_hubs(&bench);
  theirs = bench_open(&bench, b, "k");
  weir_stream_release(ask(WEIR_OPEN_LOOK, &rv));
  bench_publish(&bench, theirs, 50);
  read = storage->calls[TESTLOG_READ];
  ours = ask(WEIR_OPEN_LOOK, &rv);
  ck_assert_uint_eq(bench_info(ours).last, 50);
  ck_assert_uint_eq(bench_info(ours).resident, 0);
  ck_assert_uint_eq(storage->calls[TESTLOG_READ], read);
  weir_stream_release(ours);
  weir_stream_release(theirs);
}
END_TEST

/* A broken stream of this hub's has gone from storage: who only asks begins no
 * other. */
START_TEST(what_has_gone_of_ours) {
  weir_stream *stream;
  weir_stream *asked;
  size_t created;
  int rv;

  bench_hubs(&bench);
  stream = bench_open(&bench, a, "k");
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_EIO);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_EIO);
  bench_rest(&bench);
  testlog_forget(storage, "k");
  storage->later = true;
  kit_pass(a, 1000);
  storage->later = false;
  testlog_deliver_all(storage);
  kit_pass(a, 0);
  created = storage->modes[WEIR_LOG_CREATE];
  asked = ask(asks[_i], &rv);
  ck_assert_int_eq(rv, WEIR_ENOENT);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_CREATE], created);
  weir_stream_release(asked);
  weir_stream_release(stream);
}
END_TEST

static int no_take(void *user, weir_hub *hub, uint64_t ticket,
                   const weir_log_request *request) {
  (void)user;
  return request->mode == WEIR_LOG_TAKE
             ? WEIR_ENOENT
             : storage->log.open(storage->log.user, hub, ticket, request);
}

/* Storage that has a key each time, which it then does not have, is not
 * followed for ever. */
START_TEST(an_open_that_leads_nowhere) {
  weir_log log = storage->log;
  weir_stream *theirs;
  weir_stream *ours;
  int rv;
  int i;

  log.open = no_take;
  a->options.log = &log;
  bench_hubs(&bench);
  theirs = bench_open(&bench, b, "k");
  storage->later = _i >= 2;
  storage->modes[WEIR_LOG_LOOKUP] = 0;
  ours = ask_late(asks[1 + _i % 2], &rv);
  for (i = 0; i < 50; ++i) {
    testlog_deliver_all(storage);
    kit_pass(a, 10);
  }
  ck_assert_int_eq(_i < 2 ? rv : bench_info(ours).error, WEIR_ELOG);
  ck_assert_uint_eq(bench_hub_info(a).pending, 0);
  ck_assert_uint_le(storage->modes[WEIR_LOG_LOOKUP], 20);
  weir_stream_release(ours);
  weir_stream_release(theirs);
}
END_TEST

/* Storage has let go of what is live elsewhere: who looks is told, and who
 * reads it here is, too, in time. */
START_TEST(a_look_at_what_has_gone) {
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *reader;
  weir_stream *theirs;
  weir_stream *ours;
  int rv;

  options.heartbeat = 0;
  bench_hubs(&bench);
  theirs = bench_open(&bench, b, "k");
  bench_publish(&bench, theirs, 1);
  reader = kit_attach_with(a, &options);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  testlog_forget(storage, "k");
  ours = ask(WEIR_OPEN_LOOK, &rv);
  ck_assert_int_eq(rv, WEIR_ENOENT);
  bench_pass(&bench, 12000);
  bench_expect(&bench, reader, WEIR_EDONE, "closing unavailable");
  weir_subscriber_release(reader);
  weir_stream_release(ours);
  weir_stream_release(theirs);
}
END_TEST

/* --- Who waits gets an answer --------------------------------------------- */

/* Whatever is short of memory once, and although the generation that they wait
 * for is forgotten meanwhile. Returns whether the fault has come. */
static bool wait_without_memory(size_t nth, int what) {
  weir_open_options open = kit_open_options("k", "p");
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *readers[2] = {NULL, NULL};
  weir_stream *stream = NULL;
  bool failed;
  int verdict;
  int i;

  bench_init(&bench);
  know_an_end();
  storage->later = true;
  storage->slow = true;
  a->memory.fail_at = a->memory.calls + nth;
  (void)weir_hub_attach(a->hub, &options, &readers[0], &verdict);
  kit_pass(a, 0);
  (void)weir_hub_attach(a->hub, &options, &readers[1], &verdict);
  if (what == 0) {
    testlog_forget(storage, "k");
  } else if (what != 2) {
    open.flags = what >= 3 ? WEIR_OPEN_LOOK : 0;
    (void)weir_hub_open(a->hub, &open, &stream);
  }
  for (i = 0; i < 20; ++i) {
    kit_pass(a, 0);
    testlog_deliver_all(storage);
    if ((what == 2 || what == 4) && i == 0) {
      testlog_forget(storage, "k");
    }
  }
  failed = a->memory.calls >= a->memory.fail_at;
  a->memory.fail_at = 0;
  for (i = 0; i < 10; ++i) {
    bench_pass(&bench, 1000);
  }
  ck_assert_uint_eq(bench_hub_info(a).pending, 0);
  weir_subscriber_release(readers[0]);
  weir_subscriber_release(readers[1]);
  weir_stream_release(stream);
  bench_end(&bench);
  return failed;
}

START_TEST(nobody_waits_for_ever) {
  size_t nth = 1;

  while (wait_without_memory(nth, _i)) {
    nth += 1;
  }
  ck_assert_uint_gt(nth, 10);
}
END_TEST

/* What an attach is short of memory for leaves nothing behind. */
START_TEST(attaches_without_memory_leave_nothing) {
  weir_attach_options options = kit_attach_options("k0", "s");
  weir_subscriber *reader = NULL;
  char key[8];
  int verdict;
  size_t nth;
  int rv;

  bench_hub(&bench);
  options.key = key;
  /* Tables grow in the first round. */
  for (nth = 0; nth < 20; ++nth) {
    options.key_len = (size_t)snprintf(key, sizeof key, "k%u", (unsigned)nth);
    a->memory.fail_at = a->memory.calls + 1 + nth % 10;
    rv = weir_hub_attach(a->hub, &options, &reader, &verdict);
    a->memory.fail_at = 0;
    ck_assert(rv == WEIR_OK || rv == WEIR_ENOMEM);
    weir_subscriber_release(rv == WEIR_OK ? reader : NULL);
  }
  bench_pass(&bench, 1000);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
}
END_TEST

/* An open whose early end there was no memory for waits for some; meanwhile the
 * generation has ended otherwise, and would be forgotten. Returns whether it
 * came to that. */
static bool wait_with_an_end(size_t nth) {
  weir_open_options options = kit_open_options("k", "p");
  weir_stream *streams[2];
  bool waits;

  bench_init(&bench);
  bench_hub(&bench);
  storage->later = true;
  options.linger = 500;
  streams[0] = kit_open_with(a, &options);
  options = kit_open_options("k", "q");
  options.linger = 500;
  streams[1] = kit_open_with(a, &options);
  ck_assert_int_eq(weir_stream_end(streams[1], "early", 5, 7, NULL), WEIR_OK);
  testlog_deliver_all(storage);
  kit_pass(a, 0);
  a->memory.fail_at = a->memory.calls + nth;
  testlog_deliver_all(storage);
  kit_pass(a, 0);
  a->memory.fail_at = 0;
  waits = bench_hub_info(a).pending == 1 &&
          bench_info(streams[0]).status == WEIR_STREAM_LIVE;
  if (waits) {
    ck_assert_int_eq(weir_stream_end(streams[0], "ok", 2, 0, NULL), WEIR_OK);
    testlog_deliver_all(storage);
    kit_pass(a, 600);
    ck_assert_uint_eq(bench_hub_info(a).streams, 1);
    bench_pass(&bench, 1000);
    ck_assert_uint_eq(bench_hub_info(a).pending, 0);
    ck_assert_int_eq(bench_info(streams[1]).status, WEIR_STREAM_ENDED);
    bench_pass(&bench, 2000);
    ck_assert_uint_eq(bench_hub_info(a).streams, 0);
  }
  weir_stream_release(streams[0]);
  weir_stream_release(streams[1]);
  bench_end(&bench);
  return waits;
}

START_TEST(who_waits_for_memory_is_not_forgotten) {
  size_t nth = 1;

  while (!wait_with_an_end(nth)) {
    ck_assert_uint_lt(++nth, 30);
  }
}
END_TEST

/* Who cannot ask storage for want of memory hears so from the call, and does
 * not wait for it: a host whose storage answers at once knows of no waiting.
 * What was there is there, and the same call works when memory is back. */
START_TEST(who_cannot_ask_hears_so) {
  weir_open_options open = kit_open_options("k", "p");
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *reader;
  weir_stream *stream;
  int verdict;
  size_t nth = 0;
  bool failed;
  int rv;

  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 1);
  weir_stream_release(stream);
  open.flags = _i == 2 ? WEIR_OPEN_LOOK : 0;
  open.on_duplicate = _i == 3 ? WEIR_DUPLICATE_REJECT : WEIR_DUPLICATE_JOIN;
  if (_i >= 2) {
    weir_subscriber_release(bench_attach(&bench, a, "k", NULL));
    bench_rest(&bench);
  }
  do {
    reader = NULL;
    stream = NULL;
    a->memory.fail_at = a->memory.calls + ++nth;
    rv = _i == 0 ? weir_hub_attach(a->hub, &options, &reader, &verdict)
                 : weir_hub_open(a->hub, &open, &stream);
    failed = a->memory.calls >= a->memory.fail_at;
    a->memory.fail_at = 0;
    ck_assert(rv == (_i == 3 && !failed ? WEIR_EEXISTS : WEIR_OK) ||
              (failed && rv == WEIR_ENOMEM));
    ck_assert_uint_eq(bench_hub_info(a).pending, 0);
    weir_subscriber_release(reader);
    weir_stream_release(stream);
  } while (failed);
  ck_assert_uint_gt(nth, 3);
}
END_TEST

/* --- What storage says that it may not ------------------------------------ */

/* A refusal to look a key up is no word that the stream has been replaced. */
START_TEST(a_lookup_is_refused) {
  static const int errors[] = {WEIR_EEXISTS, WEIR_ENOENT, WEIR_EIO};
  weir_subscriber *reader;
  weir_stream *stream;
  int i;

  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 1);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  storage->modes[WEIR_LOG_LOOKUP] = 0;
  testlog_fail(storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE, errors[_i]);
  for (i = 0; i < 3; ++i) {
    bench_pass(&bench, 12000);
  }
  ck_assert_uint_gt(storage->modes[WEIR_LOG_LOOKUP], 0);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], 0);
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 0);
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* A failing end that came too late is none. */
START_TEST(a_failure_that_comes_too_late) {
  weir_open_options options = kit_open_options("k", "p");
  weir_stream *theirs;
  weir_stream *mine;

  bench_hubs(&bench);
  options.flags = _i == 2 ? WEIR_OPEN_SHARED : 0;
  mine = kit_open_with(a, &options);
  bench_rest(&bench);
  theirs = kit_open_with(b, &options);
  bench_rest(&bench);
  if (_i != 1) {
    ck_assert_int_eq(weir_stream_end(theirs, "ok", 2, 0, NULL), WEIR_OK);
  }
  storage->later = true;
  ck_assert_int_eq(weir_stream_fail(mine, "c", 1, "m", 1, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(mine).status,
                   _i == 1 ? WEIR_STREAM_FENCED : WEIR_STREAM_ENDED);
  ck_assert_uint_eq(bench_info(mine).failed, 0);
  weir_stream_release(theirs);
  weir_stream_release(mine);
}
END_TEST

/* --- Letting go in a trace ------------------------------------------------ */

static weir_subscriber *victim;
static weir_stream *opened;
static int32_t kind;

/* The host lets go of a handle when it is told of something. */
static void let_go(void *user, const weir_trace *trace) {
  weir_subscriber *subscriber = victim;
  weir_stream *stream = opened;

  (void)user;
  if (trace->kind == kind) {
    victim = NULL;
    opened = NULL;
    weir_subscriber_release(subscriber);
    weir_stream_release(stream);
  }
}

/* One that is being let in goes when the host hears of that, or of another that
 * goes for it; or the other does. */
START_TEST(let_go_while_it_is_let_in) {
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *before = NULL;
  weir_subscriber *reader = NULL;
  int verdict;

  kind = _i % 2 == 0 ? WEIR_TRACE_ATTACH : WEIR_TRACE_DETACH;
  victim = NULL;
  a->options.trace = let_go;
  options.client = "c";
  options.client_len = 1;
  bench_hubs(&bench);
  end_another(1);
  ck_assert_int_eq(weir_hub_attach(a->hub, &options, &before, &verdict),
                   WEIR_OK);
  storage->later = true;
  ck_assert_int_eq(weir_hub_attach(a->hub, &options, &reader, &verdict),
                   WEIR_OK);
  ck_assert_int_eq(verdict, WEIR_VERDICT_PENDING);
  victim = _i < 2 ? reader : before;
  bench_rest(&bench);
  ck_assert_ptr_null(victim);
  ck_assert_uint_eq(bench_hub_info(a).pending, 0);
  ck_assert_uint_eq(bench_hub_info(a).subscribers, _i == 1 ? 0 : 1);
  bench_expect(&bench, _i < 2 ? before : reader, WEIR_EDONE,
               _i == 1 ? "ready@0 fresh; closing replaced"
                       : "ready@0 fresh; x@1 1; done@2 ok");
  weir_subscriber_release(_i < 2 ? before : reader);
}
END_TEST

/* The same of one that has seen the end. */
START_TEST(let_go_when_it_is_finished) {
  weir_stream *stream;

  kind = WEIR_TRACE_ATTACH;
  a->options.trace = let_go;
  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  storage->later = true;
  victim = attach_late("s", kit_cursor(stream, 1));
  bench_rest(&bench);
  ck_assert_ptr_null(victim);
  ck_assert_uint_eq(bench_hub_info(a).pending, 0);
  kit_expect_notices(a, "");
  weir_stream_release(stream);
}
END_TEST

/* The handle of an open goes when the host hears of the end of what it was to
 * replace, or of that which was asked for on it. */
START_TEST(let_go_while_it_is_opened) {
  weir_open_options options = kit_open_options("k", "p");
  weir_stream *first;
  weir_stream *second = NULL;

  kind = WEIR_TRACE_END;
  opened = NULL;
  a->options.trace = let_go;
  bench_hubs(&bench);
  storage->later = true;
  first = kit_open_with(a, &options);
  if (_i == 0) {
    options.on_duplicate = WEIR_DUPLICATE_REPLACE;
    ck_assert_int_eq(weir_hub_open(a->hub, &options, &second), WEIR_OK);
  } else {
    ck_assert_int_eq(weir_stream_end(first, "ok", 2, 0, NULL), WEIR_OK);
  }
  testlog_deliver_all(storage);
  kit_pass(a, 0);
  storage->later = false;
  opened = _i == 0 ? second : first;
  testlog_deliver_all(storage);
  bench_rest(&bench);
  ck_assert_ptr_null(opened);
  ck_assert_uint_eq(bench_hub_info(a).pending, 0);
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 1);
  weir_stream_release(_i == 0 ? first : NULL);
}
END_TEST

static TCase *asked(void) {
  TCase *tcase = tcase_create("asked");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, what_was_asked_before, 0, 2);
  tcase_add_test(tcase, what_was_asked_before_fails);
  tcase_add_loop_test(tcase, a_look_that_finds_the_end, 0, 2);
  tcase_add_test(tcase, a_read_that_finds_nothing);
  tcase_add_loop_test(tcase, many_wait_for_one_answer, 0, 2);
  tcase_add_loop_test(tcase, others_come_all_the_time, 0, 2);
  tcase_add_test(tcase, a_lookup_that_is_not_needed);
  tcase_add_test(tcase, a_key_that_leads_on_and_on);
  tcase_add_loop_test(tcase, who_was_elsewhere_comes_to_the_old_writer, 0, 2);
  tcase_add_loop_test(tcase, the_old_writer_is_all_there_is, 0, 3);
  tcase_add_loop_test(tcase, what_is_stored_but_not_answered, 0, 2);
  tcase_add_test(tcase, behind_one_who_waits_for_an_append);
  tcase_add_test(tcase, what_may_be_stored);
  tcase_add_loop_test(tcase, what_this_hub_begins_meanwhile, 0, 2);
  tcase_add_loop_test(tcase, what_came_after_our_end, 0, 2);
  tcase_add_loop_test(tcase, nonsense_about_our_end, 0, 2);
  tcase_add_test(tcase, a_number_like_that_of_our_end);
  tcase_add_loop_test(tcase, a_lookup_is_refused, 0, 3);
  tcase_add_loop_test(tcase, a_failure_that_comes_too_late, 0, 3);
  return tcase;
}

static TCase *opened_late(void) {
  TCase *tcase = tcase_create("opened");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, opens_get_the_newest, 0, 6);
  tcase_add_loop_test(tcase, opens_of_what_has_ended, 0, 3);
  tcase_add_loop_test(tcase, opens_of_what_has_gone, 0, 6);
  tcase_add_loop_test(tcase, opens_that_cannot_ask, 0, 6);
  tcase_add_loop_test(tcase, opens_behind_a_question, 0, 3);
  tcase_add_loop_test(tcase, a_look_at_what_others_write, 0, 4);
  tcase_add_loop_test(tcase, an_open_that_joins_nothing, 0, 16);
  tcase_add_loop_test(tcase, opens_behind_opens, 0, 3);
  tcase_add_loop_test(tcase, an_open_behind_a_look, 0, 2);
  tcase_add_loop_test(tcase, opens_behind_what_is_forgotten, 0, 3);
  tcase_add_loop_test(tcase, what_follows_an_end_of_ours, 0, 6);
  tcase_add_loop_test(tcase, what_is_left_of_an_end_of_ours, 0, 6);
  tcase_add_loop_test(tcase, a_look_at_what_was_ours, 0, 2);
  tcase_add_test(tcase, a_look_loads_nothing);
  tcase_add_loop_test(tcase, an_open_that_leads_nowhere, 0, 4);
  tcase_add_test(tcase, a_look_at_what_has_gone);
  tcase_add_loop_test(tcase, what_has_gone_of_ours, 0, 2);
  return tcase;
}

static TCase *forgotten(void) {
  TCase *tcase = tcase_create("forgotten");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, attaches_without_memory_leave_nothing);
  tcase_add_loop_test(tcase, who_cannot_ask_hears_so, 0, 4);
  tcase_add_test(tcase, who_waits_for_memory_is_not_forgotten);
  return tcase;
}

static TCase *scarce(void) {
  TCase *tcase = tcase_create("scarce");

  tcase_add_loop_test(tcase, nobody_waits_for_ever, 0, 5);
  return tcase;
}

static TCase *traces(void) {
  TCase *tcase = tcase_create("traces");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, let_go_while_it_is_let_in, 0, 4);
  tcase_add_test(tcase, let_go_when_it_is_finished);
  tcase_add_loop_test(tcase, let_go_while_it_is_opened, 0, 2);
  return tcase;
}

KIT_MAIN("newest", asked(), opened_late(), scarce(), forgotten(), traces())
