/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The interface to storage: tickets, deadlines, answers of every kind at every
 * time, handles. What the answers mean for a stream is test_storage's. */

#include "../bench.h"
#include "../conformance.h"

#include <stdlib.h>
#include <string.h>

static struct bench bench;
static struct testlog *const storage = &bench.log;

static void setup(void) {
  bench_init(&bench);
}

static void teardown(void) {
  bench_end(&bench);
}

/* An open under way: its handle and the ticket it waits for. */
static weir_stream *open_later(uint64_t *ticket) {
  weir_stream *stream;

  storage->later = true;
  bench_hub(&bench);
  stream = kit_open(&bench.a, "k");
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_OPENING);
  ck_assert_uint_eq(testlog_waiting(storage), 1);
  *ticket = storage->waiting->ticket;
  return stream;
}

/* --- What a function returns, and what an answer says -------------------- */

/* Rows: what goes wrong with an append, and how the publisher hears of it. */
static const struct {
  int what;
  int value;
  int error;
} outcomes[] = {
    {TESTLOG_RETURN, WEIR_ELOG, WEIR_ELOG},
    {TESTLOG_RETURN, -1234567, -1234567},
    {TESTLOG_RETURN, WEIR_EUNKNOWN, WEIR_EUNKNOWN},
    {TESTLOG_RETURN, 0, WEIR_EUNKNOWN},
    {TESTLOG_RETURN, 2, WEIR_EUNKNOWN},
    {TESTLOG_RETURN, 1234567, WEIR_EUNKNOWN},
    {TESTLOG_REFUSE, WEIR_ELOG, WEIR_ELOG},
    {TESTLOG_REFUSE, -1234567, -1234567},
    {TESTLOG_REFUSE, WEIR_EUNKNOWN, WEIR_EUNKNOWN},
    {TESTLOG_REFUSE, 0, WEIR_EUNKNOWN},
    {TESTLOG_REFUSE, 2, WEIR_EUNKNOWN},
    {TESTLOG_CONFUSE, WEIR_ELOG, WEIR_ELOG},
    {TESTLOG_CONFUSE, WEIR_EUNKNOWN, WEIR_EUNKNOWN},
    {TESTLOG_CONFUSE, 0, WEIR_EUNKNOWN},
    {TESTLOG_CONFUSE, 17, WEIR_EUNKNOWN},
};
#define OUTCOMES ((int)(sizeof outcomes / sizeof outcomes[0]))

/* Yes is never 0 by accident, nor any other number. */
START_TEST(yes_is_one) {
  const weir_event event = kit_make_event("x", "1");
  weir_stream *stream;

  bench_hub(&bench);
  stream = bench_open(&bench, &bench.a, "k");
  testlog_fail(storage, TESTLOG_APPEND, 1, outcomes[_i].what,
               outcomes[_i].value);
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL),
                   outcomes[_i].error);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FAILED);
  ck_assert_uint_eq(bench_hub_info(&bench.a).log_errors, 1);
  ck_assert_uint_eq(bench_hub_info(&bench.a).calls, 0);
  weir_stream_release(stream);
}
END_TEST

START_TEST(yes_is_one_for_opens) {
  weir_open_options options = kit_open_options("k", NULL);
  weir_stream *stream = NULL;

  bench_hub(&bench);
  testlog_fail(storage, TESTLOG_OPEN, 1, outcomes[_i].what, outcomes[_i].value);
  ck_assert_int_eq(weir_hub_open(bench.a.hub, &options, &stream),
                   outcomes[_i].error);
  ck_assert_ptr_null(stream);
  /* Nothing is left of it, and the next one finds what there is. */
  ck_assert_uint_eq(bench_hub_info(&bench.a).streams, 0);
  ck_assert_uint_eq(bench_hub_info(&bench.a).pending, 0);
  weir_stream_release(bench_open(&bench, &bench.a, "k"));
}
END_TEST

/* --- Answers that come when they should not ------------------------------ */

/* A function that has answered, and then returns something else. */
static const int afterwards[] = {WEIR_LOG_YES, WEIR_ELOG, WEIR_EUNKNOWN, 0, 2};

static int append_and_regret(void *user, weir_hub *hub, uint64_t ticket,
                             void *handle, const weir_record *records,
                             size_t count) {
  ck_assert_int_eq(
      storage->log.append(storage, hub, ticket, handle, records, count),
      WEIR_LOG_YES);
  ck_assert_int_eq(storage->answered, WEIR_OK);
  return *(const int *)user;
}

static int open_and_answer(void *user, weir_hub *hub, uint64_t ticket,
                           const weir_log_request *request) {
  (void)user;
  return storage->log.open(storage, hub, ticket, request);
}

static int read_and_answer(void *user, weir_hub *hub, uint64_t ticket,
                           void *handle, uint64_t after, uint64_t upto,
                           size_t max_bytes) {
  (void)user;
  return storage->log.read(storage, hub, ticket, handle, after, upto,
                           max_bytes);
}

static void close_it(void *user, void *handle) {
  (void)user;
  storage->log.close(storage, handle);
}

/* The answer counts. */
START_TEST(an_answer_is_not_taken_back) {
  weir_log log = storage->log;
  weir_stream *stream;

  log.user = (void *)(uintptr_t)&afterwards[_i];
  log.open = open_and_answer;
  log.append = append_and_regret;
  log.read = read_and_answer;
  log.close = close_it;
  bench.a.options.log = &log;
  bench_hub(&bench);
  stream = bench_open(&bench, &bench.a, "k");
  ck_assert_uint_eq(kit_publish(stream, "x", "1"), 1);
  ck_assert_uint_eq(bench_info(stream).last, 1);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_LIVE);
  ck_assert_uint_eq(bench_hub_info(&bench.a).log_errors, 0);
  ck_assert_uint_eq(bench_hub_info(&bench.a).calls, 0);
  weir_stream_release(stream);
}
END_TEST

START_TEST(ticket_that_never_was) {
  weir_answer answer;

  bench_hub(&bench);
  weir_answer_init(&answer, sizeof answer);
  answer.result = WEIR_LOG_YES;
  ck_assert_int_eq(weir_log_answer(bench.a.hub, 0, &answer), WEIR_ESTALE);
  ck_assert_int_eq(weir_log_answer(bench.a.hub, 1, &answer), WEIR_ESTALE);
  ck_assert_int_eq(weir_log_answer(bench.a.hub, UINT64_MAX, &answer),
                   WEIR_ESTALE);
  ck_assert_uint_eq(bench_hub_info(&bench.a).stale, 3);
}
END_TEST

/* Each of the calls of a whole life is answered twice; nothing comes of it. */
START_TEST(answers_come_twice) {
  weir_subscriber *reader;
  weir_stream *stream;
  uint64_t ticket;
  size_t answers = 0;

  stream = open_later(&ticket);
  for (;;) {
    while (testlog_waiting(storage) != 0) {
      testlog_deliver(storage, 0);
      ck_assert_int_eq(storage->answered, WEIR_OK);
      ck_assert_int_eq(testlog_repeat(storage), WEIR_ESTALE);
      answers += 1;
    }
    kit_pass(&bench.a, 0);
    if (testlog_waiting(storage) != 0) {
      continue;
    }
    if (answers == 2) {
      kit_publish(stream, "x", "1");
    } else if (answers == 3) {
      ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
    } else {
      break;
    }
  }
  ck_assert_uint_eq(bench_hub_info(&bench.a).stale, answers);
  ck_assert_uint_eq(storage->handles, 1);
  reader = bench_attach(&bench, &bench.a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EDONE, "ready@0 fresh; x@1 1; done@2 ok");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* The deadline is ten seconds, or what the log says; to the millisecond. */
START_TEST(deadline) {
  const uint64_t limit = _i == 0 ? 10000 : 250;
  weir_stream *stream;
  uint64_t ticket;

  storage->log.deadline = _i == 0 ? 0 : 250;
  stream = open_later(&ticket);
  kit_pass(&bench.a, limit - 1);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_OPENING);
  ck_assert_uint_eq(kit_count(&bench.a, WEIR_NOTICE_OPENED), 0);
  kit_pass(&bench.a, 1);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_REFUSED);
  ck_assert_int_eq(kit_next(&bench.a).error, WEIR_EUNKNOWN);
  weir_stream_release(stream);
}
END_TEST

/* A call whose time is over is under way for storage; its answer, when it
 * comes, is no longer for anybody. */
START_TEST(answer_after_the_deadline) {
  weir_stream *stream;
  uint64_t ticket;

  stream = open_later(&ticket);
  kit_pass(&bench.a, 10000);
  ck_assert_uint_eq(bench_hub_info(&bench.a).calls, 1);
  testlog_deliver(storage, 0);
  ck_assert_int_eq(storage->answered, WEIR_ESTALE);
  ck_assert_uint_eq(bench_hub_info(&bench.a).calls, 0);
  ck_assert_uint_eq(bench_hub_info(&bench.a).stale, 1);
  ck_assert_int_eq(testlog_repeat(storage), WEIR_ESTALE);
  weir_stream_release(stream);
}
END_TEST

/* So is that of an open that would have succeeded: its handle is given back,
 * once. */
START_TEST(handle_after_the_deadline) {
  weir_stream *stream;
  uint64_t ticket;

  stream = open_later(&ticket);
  testlog_deliver(storage, 0);
  kit_pass(&bench.a, 0); /* CREATE */
  kit_pass(&bench.a, 10000);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_REFUSED);
  testlog_deliver(storage, 0);
  ck_assert_int_eq(storage->answered, WEIR_ESTALE);
  ck_assert_int_eq(testlog_repeat(storage), WEIR_ESTALE);
  kit_pass(&bench.a, 0);
  ck_assert_uint_eq(storage->closes, 1);
  ck_assert_uint_eq(storage->handles, 0);
  weir_stream_release(stream);
}
END_TEST

/* A hub that is freed leaves its calls to storage, which answers them in its
 * own time; handles included. */
START_TEST(answers_after_the_hub) {
  weir_stream *stream;
  uint64_t ticket;

  stream = open_later(&ticket);
  if (_i != 0) {
    testlog_deliver(storage, 0);
    kit_pass(&bench.a, 0);
  }
  weir_hub_free(bench.a.hub);
  bench.a.hub = NULL;
  if ((_i & 2) != 0) {
    weir_stream_release(stream);
    testlog_deliver(storage, 0);
  } else {
    testlog_deliver(storage, 0);
    weir_stream_release(stream);
  }
  ck_assert_int_eq(storage->answered, WEIR_ESTALE);
  ck_assert_uint_eq(storage->closes, _i != 0);
}
END_TEST

/* Calls of different streams may be answered in any order. */
START_TEST(answers_out_of_order) {
  static const char *const keys[] = {"a", "b", "c", "d", "e"};
  weir_stream *streams[5];
  size_t i;

  storage->later = true;
  bench_hub(&bench);
  for (i = 0; i < 5; ++i) {
    streams[i] = kit_open(&bench.a, keys[i]);
  }
  while (testlog_waiting(storage) != 0) {
    testlog_deliver(storage, testlog_waiting(storage) - 1);
    if (testlog_waiting(storage) == 0) {
      kit_pass(&bench.a, 0);
    }
  }
  for (i = 0; i < 5; ++i) {
    ck_assert_int_eq(bench_info(streams[i]).status, WEIR_STREAM_LIVE);
    ck_assert_uint_eq(bench_info(streams[i]).generation,
                      testlog_find(storage, keys[i])->epochs[0].epoch);
    weir_stream_release(streams[i]);
  }
}
END_TEST

/* --- Answers that are none ----------------------------------------------- */

START_TEST(answer_that_is_no_struct) {
  struct {
    weir_answer known;
    uint64_t unknown;
  } longer;
  weir_stream *stream;
  weir_answer answer;
  uint64_t ticket;

  stream = open_later(&ticket);
  memset(&longer, 0, sizeof longer);
  weir_answer_init(&answer, sizeof answer);
  answer.result = WEIR_ENOENT;
  longer.known = answer;
  longer.known.size = sizeof longer;
  longer.unknown = 1;
  if (_i == 0) {
    ck_assert_int_eq(weir_log_answer(bench.a.hub, ticket, NULL), WEIR_EINVAL);
  } else if (_i == 1) {
    answer.size = sizeof answer.size;
    ck_assert_int_eq(weir_log_answer(bench.a.hub, ticket, &answer),
                     WEIR_EINVAL);
  } else {
    ck_assert_int_eq(weir_log_answer(bench.a.hub, ticket, &longer.known),
                     WEIR_EINVAL);
  }
  /* The call has failed, and is over. */
  kit_pass(&bench.a, 0);
  ck_assert_int_eq(kit_next(&bench.a).error, WEIR_EUNKNOWN);
  ck_assert_int_eq(weir_log_answer(bench.a.hub, ticket, &answer), WEIR_ESTALE);
  testlog_deliver(storage, 0);
  weir_stream_release(stream);
}
END_TEST

/* A shorter answer of an older header, and a longer one of a newer. */
START_TEST(answer_of_another_size) {
  const size_t old = offsetof(weir_answer, epochs);
  struct {
    weir_answer known;
    uint64_t unknown;
  } longer;
  weir_answer *shorter;
  weir_stream *stream;
  uint64_t ticket;

  stream = open_later(&ticket);
  memset(&longer, 0, sizeof longer);
  weir_answer_init(&longer.known, sizeof longer);
  longer.known.result = WEIR_ENOENT;
  shorter = kit_fenced(&longer, old);
  memcpy(shorter, &old, sizeof old);
  ck_assert_int_eq(
      weir_log_answer(bench.a.hub, ticket, _i == 0 ? shorter : &longer.known),
      WEIR_OK);
  /* There is none, so one is begun. */
  kit_pass(&bench.a, 0);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_CREATE], 1);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_LIVE);
  weir_stream_release(stream);
}
END_TEST

/* --- Handles ------------------------------------------------------------- */

/* Every yes to an open gives a handle, and each is closed once: at the latest
 * when nothing is left that could use it. testlog_end sees to the rest. */
START_TEST(handles_are_closed_once) {
  weir_stream *first;
  weir_stream *second;

  storage->later = _i != 0;
  bench_hubs(&bench);
  first = bench_open(&bench, &bench.a, "k");
  ck_assert_uint_eq(storage->handles, 1);
  second = bench_open(&bench, &bench.b, "k"); /* looks up, and takes */
  ck_assert_uint_eq(storage->handles, 2);
  ck_assert_uint_eq(storage->closes, 1);
  weir_stream_release(second);
  weir_hub_free(bench.b.hub);
  bench.b.hub = NULL;
  ck_assert_uint_eq(storage->handles, 1);
  ck_assert_uint_eq(storage->closes, 2);
  weir_stream_release(first);
}
END_TEST

/* What nobody reads or writes is closed after its linger time. */
START_TEST(idle_handles_are_closed) {
  weir_open_options options = kit_open_options("k", NULL);
  weir_stream *stream;

  options.linger = 1000;
  bench_hub(&bench);
  stream = kit_open_with(&bench.a, &options);
  kit_pass(&bench.a, 100000);
  ck_assert_uint_eq(storage->handles, 1);
  weir_stream_release(stream);
  kit_pass(&bench.a, 999);
  ck_assert_uint_eq(storage->handles, 1);
  kit_pass(&bench.a, 1);
  ck_assert_uint_eq(storage->handles, 0);
  ck_assert_uint_eq(bench_hub_info(&bench.a).streams, 0);
}
END_TEST

/* Who finds a stream that had ended has not seen it end. */
START_TEST(an_end_is_counted_where_it_happens) {
  weir_open_options options = kit_open_options("k", NULL);
  weir_subscriber *reader;
  weir_stream *stream;
  int i;

  options.linger = 1000;
  bench_hubs(&bench);
  stream = kit_open_with(&bench.a, &options);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(stream);
  kit_pass(&bench.a, 1000);
  ck_assert_uint_eq(storage->handles, 0);
  for (i = 0; i < 2; ++i) {
    reader = bench_attach(&bench, i == 0 ? &bench.a : &bench.b, "k", NULL);
    bench_expect(&bench, reader, WEIR_EDONE, "ready@0 fresh; done@1 ok");
    weir_subscriber_release(reader);
  }
  ck_assert_uint_eq(bench_hub_info(&bench.a).ends, 1);
  ck_assert_uint_eq(bench_hub_info(&bench.b).ends, 0);
}
END_TEST

/* A handle that a call still uses is closed when the call is answered. */
START_TEST(handle_outlives_its_calls) {
  weir_stream *stream;

  bench_hub(&bench);
  stream = bench_open(&bench, &bench.a, "k");
  storage->later = true;
  kit_publish(stream, "x", "1");
  weir_stream_release(stream);
  weir_hub_free(bench.a.hub);
  bench.a.hub = NULL;
  ck_assert_uint_eq(storage->handles, 1);
  testlog_deliver(storage, 0);
  ck_assert_uint_eq(storage->handles, 0);
}
END_TEST

/* The frames of an append stay where they are until it is answered, whatever
 * becomes of the stream: a log may write them out meanwhile. */
static const void *lent_frame;
static size_t lent_len;
static int lend(void *user, weir_hub *hub, uint64_t ticket, void *handle,
                const weir_record *records, size_t count) {
  (void)user;
  (void)hub;
  (void)ticket;
  (void)handle;
  (void)count;
  lent_frame = records[0].frame;
  lent_len = records[0].frame_len;
  return WEIR_LOG_YES;
}

START_TEST(frames_outlive_the_stream) {
  weir_subscriber *reader;
  weir_stream *stream;
  weir_answer answer;
  weir_hub *hub;
  char *before;

  storage->log.append = lend;
  bench_hub(&bench);
  stream = bench_open(&bench, &bench.a, "k");
  reader = bench_attach(&bench, &bench.a, "k", NULL);
  kit_publish(stream, "x", "lent");
  before = malloc(lent_len);
  memcpy(before, lent_frame, lent_len);
  hub = bench.a.hub;
  if (_i == 1) {
    kit_pass(&bench.a, 10000); /* the deadline: the stream fails */
  }
  weir_stream_release(stream);
  weir_subscriber_release(reader);
  weir_hub_free(hub);
  bench.a.hub = NULL;
  ck_assert_mem_eq(lent_frame, before, lent_len);
  free(before);
  weir_answer_init(&answer, sizeof answer);
  answer.result = WEIR_ELOG;
  ck_assert_int_eq(weir_log_answer(hub, 3, &answer), WEIR_ESTALE);
}
END_TEST

/* --- What may be called from inside -------------------------------------- */

static weir_stream *inner_stream;
static weir_subscriber *inner_reader;
static unsigned inside_calls;

/* Everything there is, from inside a storage function. */
static void try_everything(void *user, int kind) {
  weir_hub *hub = bench.a.hub;
  weir_open_options open = kit_open_options("k", NULL);
  weir_attach_options attach = kit_attach_options("k", NULL);
  const weir_event event = kit_make_event("x", "1");
  weir_subscriber *subscriber = NULL;
  weir_stream *stream = NULL;
  weir_notice notice = {0};
  weir_http_options http;
  weir_response response;
  weir_bytes bytes;
  size_t count;
  int verdict;
  char byte;

  (void)user;
  (void)kind;
  inside_calls += 1;
  notice.size = sizeof notice;
  ck_assert_int_eq(weir_hub_run(hub), WEIR_EBUSY);
  ck_assert_int_eq(weir_hub_next(hub, &notice), WEIR_EBUSY);
  ck_assert_int_eq(weir_hub_open(hub, &open, &stream), WEIR_EBUSY);
  ck_assert_int_eq(weir_hub_attach(hub, &attach, &subscriber, &verdict),
                   WEIR_EBUSY);
  weir_http_options_init(&http, sizeof http);
  response.size = sizeof response;
  ck_assert_int_eq(
      weir_http_attach(hub, &attach, &http, &subscriber, &response),
      WEIR_EBUSY);
  ck_assert_ptr_null(subscriber);
  ck_assert_int_eq(weir_hub_hint(hub, "k", 1, 9), WEIR_EBUSY);
  ck_assert_int_eq(weir_hub_drain(hub, 9, 0), WEIR_EBUSY);
  if (inner_stream != NULL) {
    ck_assert_int_eq(weir_stream_publish(inner_stream, &event, 1, NULL),
                     WEIR_EBUSY);
    ck_assert_int_eq(weir_stream_signal(inner_stream, &event, NULL),
                     WEIR_EBUSY);
    ck_assert_int_eq(weir_stream_end(inner_stream, "", 0, 0, NULL), WEIR_EBUSY);
    ck_assert_int_eq(weir_stream_fail(inner_stream, "", 0, "", 0, 0, NULL),
                     WEIR_EBUSY);
    ck_assert_int_eq(weir_stream_cancel(inner_stream, NULL, 0), WEIR_EBUSY);
    ck_assert_int_eq(weir_stream_trim(inner_stream, 0), WEIR_EBUSY);
  }
  if (inner_reader != NULL) {
    ck_assert_int_eq(weir_subscriber_peek(inner_reader, &bytes, 1, &count),
                     WEIR_EBUSY);
    ck_assert_int_eq(weir_subscriber_read(inner_reader, &byte, 1, &count),
                     WEIR_EBUSY);
    ck_assert_int_eq(weir_subscriber_signal(inner_reader, &event), WEIR_EBUSY);
    ck_assert_int_eq(weir_subscriber_close(inner_reader, NULL, 0, 0),
                     WEIR_EBUSY);
  }
}

/* The hub sees none of the calls, and goes on as if nothing had been. */
START_TEST(nothing_but_answers_inside) {
  weir_open_options options = kit_open_options("k", NULL);

  inner_stream = NULL;
  inner_reader = NULL;
  inside_calls = 0;
  storage->inside = try_everything;
  options.linger = 0;
  bench_hubs(&bench);
  inner_stream = kit_open_with(&bench.a, &options);
  ck_assert_uint_eq(inside_calls, 2); /* LOOKUP, CREATE */
  inner_reader = bench_attach(&bench, &bench.a, "k", NULL);
  bench_publish(&bench, inner_stream, 2);
  ck_assert_uint_eq(inside_calls, 4);
  ck_assert_int_eq(weir_stream_trim(inner_stream, 1), WEIR_OK);
  ck_assert_uint_eq(inside_calls, 5);
  bench_expect(&bench, inner_reader, WEIR_EAGAIN,
               "ready@0 fresh; gap@1 evicted 0 2-2; x@2 2");
  weir_subscriber_release(inner_reader);
  inner_reader = NULL;
  weir_stream_release(inner_stream);
  inner_stream = NULL;
  inside_calls = 0;
  kit_pass(&bench.a, 1);
  ck_assert_uint_eq(inside_calls, 1); /* CLOSE */
  storage->inside = NULL;
}
END_TEST

/* Release and detach are legal everywhere, in here too. */
static void release_everything(void *user, int kind) {
  (void)user;
  (void)kind;
  weir_subscriber_detach(inner_reader);
  weir_subscriber_release(inner_reader);
  weir_stream_release(inner_stream);
  inner_reader = NULL;
  inner_stream = NULL;
}

START_TEST(release_inside) {
  const weir_event event = kit_make_event("x", "1");
  weir_bytes bytes;
  size_t count;

  bench_hub(&bench);
  inner_stream = bench_open(&bench, &bench.a, "k");
  bench_publish(&bench, inner_stream, 1);
  if (_i == 0) {
    inner_reader = bench_attach(&bench, &bench.a, "k", NULL);
    storage->inside = release_everything;
    ck_assert_int_eq(weir_stream_publish(inner_stream, &event, 1, NULL),
                     WEIR_OK);
  } else {
    weir_stream_release(inner_stream);
    inner_stream = NULL;
    bench_restart(&bench);
    inner_reader = bench_attach(&bench, &bench.a, "k", NULL);
    storage->inside = release_everything;
    ck_assert_int_lt(weir_subscriber_peek(inner_reader, &bytes, 1, &count), 1);
  }
  storage->inside = NULL;
  ck_assert_ptr_null(inner_reader);
  kit_pass(&bench.a, 0);
  ck_assert_uint_eq(bench_hub_info(&bench.a).subscribers, 0);
}
END_TEST

/* It is the last that stands for a generation: that goes when the function has
 * returned, or with the hub. It may be what the function is called for. */
START_TEST(the_last_handle_is_released_inside) {
  weir_open_options options = kit_open_options("k", NULL);
  weir_stream *streams[3];
  weir_bytes bytes;
  size_t count;
  int i;

  options.on_duplicate = WEIR_DUPLICATE_REPLACE;
  bench.a.options.history_bytes = 1;
  bench_hub(&bench);
  streams[0] = kit_open_with(&bench.a, &options);
  bench_publish(&bench, streams[0], 2000);
  inner_reader = _i != 2 ? NULL : bench_attach(&bench, &bench.a, "k", NULL);
  for (i = 1; i < 3; ++i) {
    streams[i] = kit_open_with(&bench.a, &options);
  }
  kit_pass(&bench.a, 0);
  ck_assert_uint_eq(storage->handles, 3);
  inner_stream = streams[0];
  if (_i == 2) {
    weir_stream_release(inner_stream);
    inner_stream = NULL;
  }
  storage->inside = release_everything;
  if (_i == 2) {
    ck_assert_int_lt(weir_subscriber_peek(inner_reader, &bytes, 1, &count), 1);
    ck_assert_ptr_null(inner_reader);
  } else {
    kit_publish(streams[2], "x", "1");
  }
  storage->inside = NULL;
  ck_assert_ptr_null(inner_stream);
  ck_assert_uint_eq(storage->handles, 3);
  ck_assert_int_eq(weir_hub_get_timeout(bench.a.hub), 0);
  if (_i != 1) {
    /* The generation goes in one run, its handle in the next. */
    kit_pass(&bench.a, 0);
    kit_pass(&bench.a, 0);
    ck_assert_uint_eq(storage->handles, 2);
  } else {
    weir_hub_free(bench.a.hub);
    bench.a.hub = NULL;
    ck_assert_uint_eq(storage->handles, 0);
  }
  weir_stream_release(streams[1]);
  weir_stream_release(streams[2]);
}
END_TEST

static void answer_one(void *user, int kind) {
  (void)user;
  if (kind == TESTLOG_KINDS && testlog_waiting(storage) != 0) {
    testlog_deliver(storage, 0);
  }
}

/* A hub is freed: whenever one of its handles is closed storage answers a call
 * on another, which lets go of that. All of them are closed. */
START_TEST(a_close_brings_answers) {
  static const char *const keys[] = {"a", "b", "c"};
  weir_stream *streams[3];
  int i;

  bench_hub(&bench);
  for (i = 0; i < 3; ++i) {
    streams[i] = bench_open(&bench, &bench.a, keys[i]);
  }
  storage->later = true;
  for (i = 0; i < 3; ++i) {
    if (i != _i) {
      kit_publish(streams[i], "x", "1");
    }
    weir_stream_release(streams[i]);
  }
  ck_assert_uint_eq(testlog_waiting(storage), 2);
  storage->inside = answer_one;
  weir_hub_free(bench.a.hub);
  bench.a.hub = NULL;
  while (testlog_waiting(storage) != 0) {
    testlog_deliver(storage, 0);
  }
  storage->inside = NULL;
  ck_assert_uint_eq(storage->handles, 0);
  ck_assert_uint_eq(bench.a.memory.live, 0);
}
END_TEST

/* --- Numbers ------------------------------------------------------------- */

START_TEST(calls_are_counted) {
  weir_subscriber *reader;
  weir_stream *stream;
  weir_hub_info info;

  storage->later = true;
  bench_hub(&bench);
  stream = kit_open(&bench.a, "k");
  info = bench_hub_info(&bench.a);
  ck_assert_uint_eq(info.calls, 1);
  ck_assert_uint_eq(info.pending, 1);
  bench_rest(&bench);
  info = bench_hub_info(&bench.a);
  ck_assert_uint_eq(info.calls, 0);
  ck_assert_uint_eq(info.pending, 0);
  ck_assert_uint_eq(info.opens, 1);
  bench_publish(&bench, stream, 3);
  weir_stream_release(stream);
  bench_restart(&bench);
  reader = bench_attach(&bench, &bench.a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN,
               "ready@0 fresh; x@1 1; x@2 2; x@3 3");
  info = bench_hub_info(&bench.a);
  ck_assert_uint_ge(info.reads, 1);
  ck_assert_uint_eq(info.appends, 0);
  ck_assert_uint_eq(info.log_errors, 0);
  ck_assert_uint_eq(info.stale, 0);
  weir_subscriber_release(reader);
}
END_TEST

/* A log is a whole table, or none. */
START_TEST(log_that_is_no_table) {
  weir_log *log = &storage->log;
  weir_hub *hub = NULL;

  switch (_i) {
    case 0:
      log->open = NULL;
      break;
    case 1:
      log->append = NULL;
      break;
    case 2:
      log->read = NULL;
      break;
    case 3:
      log->trim = NULL;
      break;
    case 4:
      log->close = NULL;
      break;
    case 5:
      log->flags = 0x80000000u;
      break;
    default:
      log->size = sizeof log->size;
      break;
  }
  ck_assert_int_eq(weir_hub_new(&bench.a.options, &hub), WEIR_EINVAL);
  ck_assert_ptr_null(hub);
}
END_TEST

/* --- Conformance --------------------------------------------------------- */

/* Modes of the log in memory, as bits. */
enum {
  LATER = 0x1,
  ENCODED = 0x2,
  SLOW = 0x4,
  CURRENT = 0x8,
  SPARSE = 0x10,
  FEW = 0x20,
  ALONE = 0x40,
  MODES = 0x80
};

static int kit_make(void *user, weir_log *log) {
  const int mode = *(const int *)user;

  testlog_init(storage);
  storage->later = (mode & LATER) != 0;
  storage->slow = (mode & SLOW) != 0;
  storage->current = (mode & CURRENT) != 0;
  storage->encoded = (mode & ENCODED) != 0;
  storage->most = (mode & FEW) != 0 ? 2 : 0;
  if ((mode & SPARSE) != 0) {
    storage->log.flags = WEIR_LOG_SPARSE;
    storage->step = 10;
  }
  *log = storage->log;
  return 1;
}

static void kit_destroy(void *user, weir_log *log) {
  (void)user;
  (void)log;
  testlog_end(storage);
}

static int kit_reopen(void *user, weir_log *log) {
  (void)user;
  *log = storage->log;
  return 1;
}

static void kit_pump(void *user, weir_log *log) {
  (void)user;
  (void)log;
  testlog_deliver_all(storage);
}

static unsigned reported;
static void kit_report(void *user, const char *check, const char *problem) {
  (void)user;
  reported += 1;
  ck_assert_msg(problem == NULL, "%s: %s", check, problem);
}

/* A log that is sound passes; one for one hub alone is spared some. */
START_TEST(conforms) {
  struct conformance subject = {&_i,      CONFORMANCE_SHARED, 0,
                                kit_make, kit_destroy,        kit_reopen,
                                kit_pump, kit_report};

  if ((_i & ALONE) != 0) {
    subject.flags = CONFORMANCE_ONE_HUB;
    subject.reopen = (_i & FEW) != 0 ? NULL : kit_reopen;
  }
  reported = 0;
  ck_assert_uint_eq(conformance_run(&subject), 0);
  ck_assert_uint_eq(reported, (_i & ALONE) == 0 ? 32
                              : (_i & FEW) == 0 ? 23
                                                : 22);
}
END_TEST

/* The kit finds every defect that a log can have for good. */
static unsigned found;
static void kit_find(void *user, const char *check, const char *problem) {
  (void)user;
  (void)check;
  found += problem != NULL;
}

static int kit_spoil(void *user, weir_log *log) {
  static int mode;

  mode = (*(const int *)user & 1) != 0 ? LATER : 0;
  (void)kit_make(&mode, log);
  storage->defect = *(const int *)user / 2;
  return 1;
}

static void kit_pump_spoiled(void *user, weir_log *log) {
  (void)user;
  (void)log;
  if (storage->defect != TESTLOG_ANSWERS_NO_TRIM) {
    testlog_deliver_all(storage);
  }
}

static void kit_destroy_spoiled(void *user, weir_log *log) {
  (void)user;
  (void)log;
  testlog_deliver_all(storage);
  testlog_end(storage);
}

START_TEST(defects_are_found) {
  struct conformance subject = {
      &_i,        CONFORMANCE_SHARED, 50,      kit_spoil, kit_destroy_spoiled,
      kit_reopen, kit_pump_spoiled,   kit_find};

  found = 0;
  ck_assert_uint_ne(conformance_run(&subject), 0);
  ck_assert_uint_ne(found, 0);
}
END_TEST

static TCase *answers(void) {
  TCase *tcase = tcase_create("answers");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, yes_is_one, 0, OUTCOMES);
  tcase_add_loop_test(tcase, yes_is_one_for_opens, 0, OUTCOMES);
  tcase_add_loop_test(tcase, an_answer_is_not_taken_back, 0, 5);
  tcase_add_test(tcase, ticket_that_never_was);
  tcase_add_test(tcase, answers_come_twice);
  tcase_add_loop_test(tcase, deadline, 0, 2);
  tcase_add_test(tcase, answer_after_the_deadline);
  tcase_add_test(tcase, handle_after_the_deadline);
  tcase_add_loop_test(tcase, answers_after_the_hub, 0, 4);
  tcase_add_test(tcase, answers_out_of_order);
  tcase_add_loop_test(tcase, answer_that_is_no_struct, 0, 3);
  tcase_add_loop_test(tcase, answer_of_another_size, 0, 2);
  return tcase;
}

static TCase *handles(void) {
  TCase *tcase = tcase_create("handles");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, handles_are_closed_once, 0, 2);
  tcase_add_test(tcase, idle_handles_are_closed);
  tcase_add_test(tcase, an_end_is_counted_where_it_happens);
  tcase_add_test(tcase, handle_outlives_its_calls);
  tcase_add_loop_test(tcase, frames_outlive_the_stream, 0, 2);
  tcase_add_test(tcase, nothing_but_answers_inside);
  tcase_add_loop_test(tcase, release_inside, 0, 2);
  tcase_add_test(tcase, calls_are_counted);
  tcase_add_loop_test(tcase, log_that_is_no_table, 0, 7);
  tcase_add_loop_test(tcase, the_last_handle_is_released_inside, 0, 3);
  tcase_add_loop_test(tcase, a_close_brings_answers, 0, 3);
  return tcase;
}

static TCase *conformance(void) {
  TCase *tcase = tcase_create("conformance");

  tcase_add_loop_test(tcase, conforms, 0, MODES);
  tcase_add_loop_test(tcase, defects_are_found, 2, 2 * TESTLOG_DEFECTS);
  return tcase;
}

KIT_MAIN("log", answers(), handles(), conformance())
