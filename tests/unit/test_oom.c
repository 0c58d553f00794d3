/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Without memory. Every allocation of a scenario fails in turn, alone, or with
 * all that come after it. A call that fails has changed nothing; it works when
 * there is memory again; and at the end no byte is left. */

#include "../bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bench bench;
static struct kit *const kit = &bench.a;

/* Memory fails from now on, as the test wants it. */
static size_t countdown;
static bool all_after;

static void arm(void) {
  kit->memory.fail_at = countdown == 0 ? 0 : kit->memory.calls + countdown;
  kit->memory.fail_on = all_after;
}

/* There is memory again. Returns whether it had failed. */
static bool recover(void) {
  const bool failed =
      kit->memory.fail_at != 0 && kit->memory.calls >= kit->memory.fail_at;

  kit->memory.fail_at = 0;
  return failed;
}

/* A step of which each allocation fails in turn, before it succeeds.
 * describes what it must not change. */
#define STEP(call)                                      \
  do {                                                  \
    size_t n_;                                          \
    int rv_ = WEIR_ENOMEM;                              \
    for (n_ = 1; rv_ == WEIR_ENOMEM; ++n_) {            \
      char *before_ = probe();                          \
      char *after_;                                     \
      countdown = n_;                                   \
      arm();                                            \
      rv_ = (call);                                     \
      (void)recover();                                  \
      ck_assert(rv_ == WEIR_OK || rv_ == WEIR_ENOMEM);  \
      after_ = probe();                                 \
      if (rv_ != WEIR_OK) {                             \
        ck_assert_str_eq(after_, before_);              \
      }                                                 \
      free(before_);                                    \
      free(after_);                                     \
      ck_assert_uint_lt(n_, 100);                       \
    }                                                   \
    /* What a log was to be asked, and could not be. */ \
    kit_pass(kit, kit->options.log != NULL ? 1000 : 0); \
  } while (0)

/* Everything that can be seen of a world, as text. */
static weir_stream *stream;
static weir_subscriber *subscriber;

static char *probe(void) {
  struct kit_bytes text = {NULL, 0, 0};
  weir_subscriber_info of_subscriber;
  weir_stream_info of_stream;
  weir_hub_info of_hub;
  char line[512];

  memset(&of_hub, 0, sizeof of_hub);
  memset(&of_stream, 0, sizeof of_stream);
  memset(&of_subscriber, 0, sizeof of_subscriber);
  of_hub.size = sizeof of_hub;
  of_stream.size = sizeof of_stream;
  of_subscriber.size = sizeof of_subscriber;
  ck_assert_int_eq(weir_hub_get_info(kit->hub, &of_hub), WEIR_OK);
  if (stream != NULL) {
    ck_assert_int_eq(weir_stream_get_info(stream, &of_stream), WEIR_OK);
  }
  if (subscriber != NULL) {
    ck_assert_int_eq(weir_subscriber_get_info(subscriber, &of_subscriber),
                     WEIR_OK);
  }
  snprintf(line, sizeof line,
           "hub %d streams %d subscribers %d pending %d resident %d opens %d "
           "ends %d attaches %d detaches %d events %d signals\n",
           (int)of_hub.streams, (int)of_hub.subscribers, (int)of_hub.pending,
           (int)of_hub.resident, (int)of_hub.opens, (int)of_hub.ends,
           (int)of_hub.attaches, (int)of_hub.detaches, (int)of_hub.events,
           (int)of_hub.signals);
  kit_bytes_add(&text, line, strlen(line));
  snprintf(line, sizeof line,
           "stream %d last %d ended %d resident %d "
           "subscribers %d trimmed %d failed %d\n",
           of_stream.status, (int)of_stream.last, (int)of_stream.ended,
           (int)of_stream.resident, (int)of_stream.subscribers,
           (int)of_stream.trimmed, (int)of_stream.failed);
  kit_bytes_add(&text, line, strlen(line));
  snprintf(line, sizeof line,
           "subscriber %d verdict %d seq %d bytes %d shown "
           "%d attached\n",
           of_subscriber.verdict, (int)of_subscriber.position.seq,
           (int)of_subscriber.bytes, (int)of_subscriber.shown,
           (int)of_subscriber.attached);
  kit_bytes_add(&text, line, strlen(line));
  return text.data;
}

/* --- Steps ---------------------------------------------------------------- */

static int open_stream(const char *key, int32_t policy, weir_stream **made) {
  weir_open_options options = kit_open_options(key, NULL);

  options.on_duplicate = policy;
  options.members = "\"a\":1";
  options.members_len = 5;
  options.idle = 1000;
  return weir_hub_open(kit->hub, &options, made);
}

static int attach(const char *client, weir_subscriber **made) {
  weir_attach_options options = kit_attach_options("a", NULL);
  int verdict;

  options.client = client;
  options.client_len = strlen(client);
  return weir_hub_attach(kit->hub, &options, made, &verdict);
}

static int publish(size_t count) {
  weir_event events[20];
  size_t i;

  for (i = 0; i < count; ++i) {
    events[i] = kit_make_event("x", "some data that takes a little room");
    events[i].tag = i + 1;
  }
  return weir_stream_publish(stream, events, count, NULL);
}

static int signal_all(void) {
  const weir_event signal = kit_make_event("s", "");

  return weir_stream_signal(stream, &signal, NULL);
}

static int signal_one(void) {
  const weir_event signal = kit_make_event("s", "");

  return weir_subscriber_signal(subscriber, &signal);
}

static void begin(bool log) {
  bench_init(&bench);
  kit->options.log = log ? &bench.log.log : NULL;
  kit->options.history_events = 50;
  kit_hub(kit);
  stream = NULL;
  subscriber = NULL;
}

static void finish(void) {
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
  bench_end(&bench);
}

/* --- One call after the other --------------------------------------------- */

START_TEST(a_hub_is_made_or_not) {
  weir_hub *hub = NULL;
  size_t n;
  int rv = WEIR_ENOMEM;

  bench_init(&bench);
  for (n = 1; rv == WEIR_ENOMEM; ++n) {
    ck_assert_ptr_null(hub);
    ck_assert_uint_eq(kit->memory.live, 0);
    kit->memory.fail_at = kit->memory.calls + n;
    kit->memory.fail_on = _i != 0;
    rv = weir_hub_new(&kit->options, &hub);
  }
  ck_assert_int_eq(rv, WEIR_OK);
  ck_assert_uint_gt(n, 2);
  weir_hub_free(hub);
  bench_end(&bench);
}
END_TEST

START_TEST(every_call_is_done_or_not) {
  weir_subscriber *more[3] = {NULL, NULL, NULL};
  weir_stream *other = NULL;
  weir_stream *joined = NULL;
  int i;

  all_after = _i % 2 != 0;
  begin(_i / 2 != 0);
  STEP(open_stream("a", WEIR_DUPLICATE_JOIN, &stream));
  STEP(open_stream("b", WEIR_DUPLICATE_JOIN, &other));
  STEP(open_stream("a", WEIR_DUPLICATE_JOIN, &joined));
  STEP(attach("c", &subscriber));
  STEP(publish(1));
  STEP(publish(20));
  STEP(signal_all());
  STEP(signal_one());
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  for (i = 0; i < 30; ++i) {
    STEP(publish(7));
    STEP(signal_all());
  }
  STEP(attach("c", &more[0]));
  STEP(attach("d", &more[1]));
  STEP(attach("d", &more[2]));
  weir_stream_release(joined);
  joined = NULL;
  STEP(open_stream("a", WEIR_DUPLICATE_REPLACE, &joined));
  weir_stream_release(stream);
  stream = joined;
  STEP(publish(2));
  STEP(weir_stream_end(stream, "ok", 2, 7, NULL));
  STEP(open_stream("a", WEIR_DUPLICATE_JOIN, &joined));
  STEP(weir_stream_fail(joined, "a", 1, "b", 1, 7, NULL));
  STEP(weir_stream_cancel(other, NULL, 0));
  for (i = 0; i < 3; ++i) {
    weir_subscriber_release(more[i]);
  }
  weir_stream_release(other);
  weir_stream_release(joined);
  finish();
}
END_TEST

START_TEST(a_close_is_said_or_not) {
  all_after = _i != 0;
  begin(false);
  stream = kit_open(kit, "a");
  ck_assert_int_eq(attach("c", &subscriber), WEIR_OK);
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  STEP(weir_subscriber_close(subscriber, NULL, 0, 0));
  kit_expect_frames(subscriber, WEIR_EDONE, "closing expired");
  finish();
}
END_TEST

/* Over HTTP there is a response in any case: to come back. */
START_TEST(a_response_is_made_without_memory) {
  weir_attach_options options = kit_attach_options("a", NULL);
  weir_response response;
  size_t failures = 0;
  char *before;
  char *after;

  all_after = _i % 2 != 0;
  begin(_i / 2 != 0);
  stream = kit_open(kit, "a");
  options.client = "c";
  options.client_len = 1;
  for (countdown = 1; subscriber == NULL; ++countdown) {
    before = probe();
    response.size = sizeof response;
    arm();
    ck_assert_int_eq(
        weir_http_attach(kit->hub, &options, NULL, &subscriber, &response),
        WEIR_OK);
    (void)recover();
    ck_assert_int_eq(response.status, 200);
    ck_assert_int_eq(response.error,
                     subscriber == NULL ? WEIR_ENOMEM : WEIR_OK);
    if (subscriber == NULL) {
      ck_assert_uint_ne(response.retry, 0);
      after = probe();
      ck_assert_str_eq(after, before);
      free(after);
      failures += 1;
    }
    free(before);
  }
  ck_assert_uint_gt(failures, 2);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 fresh");
  finish();
}
END_TEST

/* --- What has no call to fail --------------------------------------------- */

/* A watchdog without memory for the end bites later. */
START_TEST(a_watchdog_bites_in_the_end) {
  weir_open_options options = kit_open_options("a", "p");
  int i;

  begin(false);
  if (_i < 2) {
    options.first_event = 1000;
    options.on_first_event = _i == 0 ? WEIR_ACTION_END : WEIR_ACTION_FAIL;
  } else if (_i == 2) {
    options.lifetime = 1000;
    options.on_lifetime = WEIR_ACTION_END;
  } else {
    options.abandoned = 1000;
    options.on_abandoned = WEIR_ACTION_END;
  }
  stream = kit_open_with(kit, &options);
  for (i = 0; i < 5; ++i) {
    countdown = 1;
    all_after = true;
    arm();
    kit_pass(kit, 1000);
    (void)recover();
  }
  kit_pass(kit, 1000);
  /* However often it barked. */
  ck_assert_uint_eq(kit_count(kit, WEIR_NOTICE_ENDED), 1);
  subscriber = kit_attach(kit, "a", NULL, NULL);
  kit_expect_frames(subscriber, WEIR_EDONE,
                    _i == 0   ? "ready@0 fresh; done@1 first_event_timeout"
                    : _i == 1 ? "ready@0 fresh; failed@1 first_event_timeout "
                    : _i == 2 ? "ready@0 fresh; done@1 lifetime_timeout"
                              : "ready@0 fresh; done@1 abandoned");
  finish();
}
END_TEST

/* Without memory for the last frame the connection is cut: no silence. */
START_TEST(a_close_without_words_is_an_abort) {
  weir_attach_options options = kit_attach_options("a", "s");

  begin(false);
  stream = kit_open(kit, "a");
  options.lifetime = 1000;
  subscriber = kit_attach_with(kit, &options);
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  countdown = 1;
  all_after = true;
  arm();
  if (_i == 0) {
    kit_pass(kit, 1000);
  } else if (_i == 1) {
    ck_assert_int_eq(weir_hub_drain(kit->hub, 0, 0), WEIR_OK);
    kit_pass(kit, 0);
    kit_pass(kit, 0);
  }
  (void)recover();
  kit_expect_notices(kit, "s abort -1");
  kit_expect_frames(subscriber, WEIR_EGONE, "");
  finish();
}
END_TEST

/* --- A whole life --------------------------------------------------------- */

/* What a client of this life was sent in the end. */
static void expect_sound(weir_subscriber *reader) {
  struct kit_client client;
  uint64_t position = 0;
  uint64_t seq;
  size_t i;
  int rv;

  kit_client_init(&client, "");
  rv = kit_client_read(&client, reader);
  ck_assert_msg(rv == WEIR_EAGAIN || rv == WEIR_EDONE || rv == WEIR_EGONE, "%d",
                rv);
  for (i = 0; i < client.count; ++i) {
    seq = strtoull(strrchr(client.events[i].id, '-') + 1, NULL, 10);
    if (strcmp(client.events[i].type, "x") == 0) {
      ck_assert_uint_eq(seq, position + 1);
    }
    position = seq;
  }
  kit_client_free(&client);
}

/* The host goes on whatever fails. Returns whether memory ever failed. */
static bool live(int log) {
  weir_subscriber *readers[4] = {NULL, NULL, NULL, NULL};
  weir_stream *other = NULL;
  int i;

  bench_init(&bench);
  kit->options.log = log == 0 ? NULL : &bench.log.log;
  kit->options.history_events = 30;
  kit->options.history_bytes = 4000;
  kit_hub(kit);
  bench.log.later = log == 2;
  stream = NULL;
  arm();
  (void)open_stream("a", WEIR_DUPLICATE_JOIN, &stream);
  bench_rest(&bench);
  for (i = 0; i < 3; ++i) {
    (void)attach(i == 2 ? "c" : "", &readers[i]);
    bench_rest(&bench);
  }
  for (i = 0; i < 6 && stream != NULL; ++i) {
    (void)publish(9);
    (void)signal_all();
    bench_rest(&bench);
    if (readers[0] != NULL) {
      (void)kit_skip(readers[0]);
    }
    kit_pass(kit, 300);
  }
  (void)attach("c", &readers[3]);
  bench_rest(&bench);
  (void)open_stream("a", WEIR_DUPLICATE_REPLACE, &other);
  bench_rest(&bench);
  if (other != NULL) {
    (void)weir_stream_end(other, "ok", 2, 1, NULL);
  }
  bench_rest(&bench);
  kit_pass(kit, 15000);
  bench_rest(&bench);
  i = recover();
  for (log = 0; log < 4; ++log) {
    if (readers[log] != NULL) {
      if (log != 0) {
        expect_sound(readers[log]);
      }
      weir_subscriber_release(readers[log]);
    }
  }
  (void)kit_count(kit, 0);
  weir_stream_release(other);
  weir_stream_release(stream);
  stream = NULL;
  bench.log.later = false;
  bench_end(&bench);
  return i != 0;
}

START_TEST(a_life_goes_on_without_memory) {
  const int log = _i / 2;

  all_after = _i % 2 != 0;
  for (countdown = 1; live(log); ++countdown) {
    ck_assert_uint_lt(countdown, 2000);
  }
  ck_assert_uint_gt(countdown, 50);
}
END_TEST

static TCase *oom(void) {
  TCase *tcase = tcase_create("oom");

  tcase_set_timeout(tcase, 30);
  tcase_add_loop_test(tcase, a_hub_is_made_or_not, 0, 2);
  tcase_add_loop_test(tcase, every_call_is_done_or_not, 0, 4);
  tcase_add_loop_test(tcase, a_close_is_said_or_not, 0, 2);
  tcase_add_loop_test(tcase, a_response_is_made_without_memory, 0, 4);
  tcase_add_loop_test(tcase, a_watchdog_bites_in_the_end, 0, 4);
  tcase_add_loop_test(tcase, a_close_without_words_is_an_abort, 0, 2);
  tcase_add_loop_test(tcase, a_life_goes_on_without_memory, 0, 6);
  return tcase;
}

KIT_MAIN("oom", oom())
