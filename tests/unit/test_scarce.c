/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* A whole life with a log, without memory at every point of it: first for one
 * allocation, then for that and all after it, until a call has said so. No
 * event is lost or doubled, nothing waits for ever, nothing leaks. */

#include "../bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

static struct bench bench;
static struct testlog *const storage = &bench.log;
static struct kit *const a = &bench.a;
static struct kit *const b = &bench.b;

/* There is memory again, if the fault has come. */
static bool recover(void) {
  struct kit_memory *memory = &a->memory;
  const bool failed = memory->fail_at != 0 && memory->calls >= memory->fail_at;

  if (failed) {
    memory->fail_at = 0;
  }
  return failed;
}

/* Let everything happen that is to happen by itself, with what is tried again
 * after a while. */
static void settle(void) {
  bench_rest(&bench);
  if (recover()) {
    bench_pass(&bench, 1000);
    bench_pass(&bench, 1000);
  }
}

/* A call that may be without memory, and then works. */
#define MUST(call)                  \
  do {                              \
    int rv_ = (call);               \
    if (rv_ == WEIR_ENOMEM) {       \
      ck_assert(recover());         \
      rv_ = (call);                 \
    }                               \
    ck_assert_int_eq(rv_, WEIR_OK); \
  } while (0)

static weir_stream *open_scarcely(uint32_t flags) {
  weir_open_options options = kit_open_options("k", "p");
  weir_stream *stream = NULL;

  options.flags = flags;
  for (;;) {
    MUST(weir_hub_open(a->hub, &options, &stream));
    settle();
    if (bench_info(stream).status != WEIR_STREAM_REFUSED) {
      return stream;
    }
    weir_stream_release(stream);
  }
}

static void publish_scarcely(weir_stream *stream, size_t n) {
  weir_event events[40];
  char datas[40][40];
  size_t i;

  for (i = 0; i < n; ++i) {
    snprintf(datas[i], sizeof datas[i], "%zu", i);
    events[i] = kit_make_event("x", datas[i]);
    events[i].tag = i + 1;
  }
  MUST(weir_stream_publish(stream, events, n, NULL));
}

/* A client that comes back with its cursor as often as it has to, until it has
 * caught up: true; or has seen the end: false. */
static struct kit_client browser;
static weir_subscriber *connection;

static void connect_scarcely(void) {
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber_info info;
  weir_request request;
  int verdict;

  weir_request_init(&request, sizeof request);
  request.header = browser.last_id;
  request.header_len = strlen(browser.last_id);
  options.request = &request;
  options.client = "c";
  options.client_len = 1;
  while (connection == NULL) {
    MUST(weir_hub_attach(a->hub, &options, &connection, &verdict));
    settle();
    if (connection == NULL) {
      return;
    }
    info.size = sizeof info;
    ck_assert_int_eq(weir_subscriber_get_info(connection, &info), WEIR_OK);
    ck_assert(info.verdict == WEIR_VERDICT_FRESH ||
              info.verdict == WEIR_VERDICT_RESUMED ||
              info.error == WEIR_ENOMEM);
    if (info.error != WEIR_OK) {
      weir_subscriber_release(connection);
      connection = NULL;
    }
  }
}

static bool read_scarcely(void) {
  int quiet = 0;
  size_t before;
  int rv;

  while (quiet < 3) {
    connect_scarcely();
    if (connection == NULL) {
      return false;
    }
    before = browser.count;
    rv = kit_client_read(&browser, connection);
    settle();
    while (kit_next(a).kind != 0) {
    }
    if (rv == WEIR_EDONE || rv == WEIR_EGONE) {
      kit_client_end(&browser);
      weir_subscriber_release(connection);
      connection = NULL;
      if (strcmp(browser.events[browser.count - 1].type, "weir.done") == 0) {
        return false;
      }
    }
    quiet = rv == WEIR_EAGAIN && browser.count == before ? quiet + 1 : 0;
  }
  return true;
}

/* The client has all that was ever stored, each once; and of what storage has
 * still, it has the same. */
static void expect_whole(void) {
  const struct testlog_stream *stream = testlog_find(storage, "k");
  const struct testlog_event *stored;
  const struct kit_event *event;
  uint64_t seq = 0;
  size_t i;

  for (i = 0; i < browser.count; ++i) {
    event = &browser.events[i];
    if (strcmp(event->type, "x") != 0 &&
        strcmp(event->type, "weir.done") != 0) {
      continue;
    }
    ck_assert_uint_eq(strtoull(strchr(event->id, '-') + 1, NULL, 10), ++seq);
    stored = testlog_event(stream, seq);
    if (stored != NULL) {
      ck_assert_str_eq(stored->type, event->type);
      ck_assert_str_eq(stored->data, event->data);
    }
  }
  ck_assert_uint_eq(seq, stream->last);
}

/* This hub writes and is read; another takes over, writes and is followed; this
 * one takes it back, and ends it. */
static void live(uint32_t flags) {
  const weir_event signal = kit_make_event("typing", "");
  weir_stream *second;
  weir_stream *stream;

  MUST(weir_hub_new(&a->options, &a->hub));
  stream = open_scarcely(flags);
  publish_scarcely(stream, 1);
  publish_scarcely(stream, 20);
  publish_scarcely(stream, 2);
  settle();
  ck_assert_uint_eq(bench_info(stream).last, 23);
  ck_assert_uint_eq(bench_info(stream).pending, 0);
  ck_assert(read_scarcely());
  MUST(weir_stream_signal(stream, &signal, NULL));
  second = bench_open(&bench, b, "k");
  bench_publish(&bench, second, 3);
  MUST(weir_hub_hint(a->hub, "k", 1, 26));
  settle();
  ck_assert(read_scarcely());
  ck_assert_uint_eq(bench_info(stream).last, 26);
  MUST(weir_stream_trim(stream, 2));
  settle();
  MUST(weir_stream_cancel(stream, NULL, 0));
  settle();
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_ENDED);
  ck_assert(!read_scarcely());
  expect_whole();
  weir_stream_release(second);
  weir_stream_release(stream);
}

/* One life, with a fault at the nth allocation. Returns how many there were. */
static size_t try_life(size_t nth, bool on, int mode) {
  size_t calls;

  bench_init(&bench);
  kit_hub(b);
  storage->later = (mode & 1) != 0;
  a->memory.fail_at = nth;
  a->memory.fail_on = on;
  kit_client_init(&browser, "");
  live((mode & 2) != 0 ? WEIR_OPEN_SHARED : 0);
  calls = a->memory.calls;
  weir_subscriber_release(connection);
  connection = NULL;
  kit_client_free(&browser);
  bench_end(&bench);
  return calls;
}

START_TEST(a_life_without_memory) {
  const size_t calls = try_life(0, false, _i);
  size_t n;

  ck_assert_uint_gt(calls, 50);
  for (n = 1; n <= calls; ++n) {
    (void)try_life(n, false, _i);
    (void)try_life(n, true, _i);
  }
}
END_TEST

/* Storage has all of it; a hub that begins anew reads it back. */
static size_t try_replay(size_t nth, bool on, int mode) {
  weir_stream *stream;
  size_t calls;

  bench_init(&bench);
  kit_hub(b);
  storage->encoded = (mode & 2) != 0;
  storage->most = 7;
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 70);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(stream);
  storage->later = (mode & 1) != 0;
  a->memory.fail_at = nth;
  a->memory.fail_on = on;
  kit_client_init(&browser, "");
  MUST(weir_hub_new(&a->options, &a->hub));
  ck_assert(!read_scarcely());
  expect_whole();
  calls = a->memory.calls;
  kit_client_free(&browser);
  bench_end(&bench);
  return calls;
}

START_TEST(a_replay_without_memory) {
  const size_t calls = try_replay(0, false, _i);
  size_t n;

  for (n = 1; n <= calls; ++n) {
    (void)try_replay(n, false, _i);
    (void)try_replay(n, true, _i);
  }
}
END_TEST

/* Storage refuses an event; the end that says so needs memory too. */
static size_t try_failure(size_t nth, bool on, int mode) {
  weir_event event = kit_make_event("x", "1");
  weir_stream *stream;
  size_t calls;
  int i;

  bench_init(&bench);
  storage->later = (mode & 1) != 0;
  kit_hub(a);
  stream = bench_open(&bench, a, "k");
  a->memory.calls = 0;
  a->memory.fail_at = nth;
  a->memory.fail_on = on;
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  if (weir_stream_publish(stream, &event, 1, NULL) == WEIR_ENOMEM) {
    ck_assert(recover());
    (void)weir_stream_publish(stream, &event, 1, NULL);
  }
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FAILED);
  for (i = 0; bench_info(stream).status == WEIR_STREAM_FAILED; ++i) {
    ck_assert_int_lt(i, 20);
    bench_pass(&bench, 1000);
    (void)recover();
  }
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_ENDED);
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 1);
  calls = a->memory.calls;
  weir_stream_release(stream);
  bench_end(&bench);
  return calls;
}

START_TEST(r37_a_failure_without_memory) {
  const size_t calls = try_failure(0, false, _i);
  size_t n;

  for (n = 1; n <= calls; ++n) {
    (void)try_failure(n, false, _i);
    (void)try_failure(n, true, _i);
  }
}
END_TEST

/* What readers get of a failure is made when one comes to it: there may be
 * memory again by then. */
START_TEST(the_frame_of_a_failure_can_wait) {
  weir_event event = kit_make_event("x", "1");
  weir_subscriber *reader;
  weir_stream *stream;

  bench_init(&bench);
  kit_hub(a);
  stream = bench_open(&bench, a, "k");
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh");
  storage->later = true;
  testlog_fail(storage, TESTLOG_APPEND, 1, TESTLOG_REFUSE, WEIR_ELOG);
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_OK);
  a->memory.fail_at = a->memory.calls + 1;
  a->memory.fail_on = true;
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FAILED);
  a->memory.fail_at = 0;
  bench_expect(&bench, reader, WEIR_EDONE, "failed log_refused ");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
  bench_end(&bench);
}
END_TEST

/* An end that was accepted before the open was decided comes, memory or not. */
static size_t try_end(size_t nth, bool on, int mode) {
  weir_open_options options = kit_open_options("k", "p");
  weir_stream *stream;
  size_t calls;

  bench_init(&bench);
  storage->later = true;
  kit_hub(a);
  stream = kit_open_with(a, &options);
  ck_assert_int_eq(weir_stream_fail(stream, "c", 1, "m", 1, 7, NULL), WEIR_OK);
  if (mode != 0) {
    weir_stream_release(stream);
  }
  a->memory.calls = 0;
  a->memory.fail_at = nth;
  a->memory.fail_on = on;
  bench_rest(&bench);
  (void)recover();
  bench_pass(&bench, 1000);
  bench_pass(&bench, 1000);
  calls = a->memory.calls;
  if (testlog_find(storage, "k") != NULL) {
    ck_assert_uint_eq(testlog_find(storage, "k")->ended, 1);
  } else {
    ck_assert_uint_ne(nth, 0);
  }
  if (mode == 0) {
    kit_expect_notices(a, testlog_find(storage, "k") != NULL
                              ? "p opened 0; p stored 7=1; p ended 1"
                              : "p opened -1");
    weir_stream_release(stream);
  }
  bench_end(&bench);
  return calls;
}

START_TEST(an_early_end_without_memory) {
  const size_t calls = try_end(0, false, _i);
  size_t n;

  for (n = 1; n <= calls; ++n) {
    (void)try_end(n, false, _i);
    (void)try_end(n, true, _i);
  }
}
END_TEST

/* --- Bytes are short, not memory ----------------------------------------- */

#define CROWD 20
#define EVENTS 3000

/* A client that comes back until it has seen the end. */
struct member {
  struct kit_client client;
  weir_subscriber *reader;
  bool done;
};
static struct member crowd[CROWD];

static void come_back(struct member *member) {
  weir_attach_options options = kit_attach_options("k", NULL);
  weir_request request;
  int verdict;

  weir_request_init(&request, sizeof request);
  request.header = member->client.last_id;
  request.header_len = strlen(member->client.last_id);
  options.request = &request;
  options.user = member;
  (void)weir_hub_attach(a->hub, &options, &member->reader, &verdict);
}

static void serve(struct member *member) {
  const struct kit_client *client = &member->client;

  if (member->reader == NULL ||
      kit_client_read(&member->client, member->reader) == WEIR_EAGAIN) {
    return;
  }
  kit_client_end(&member->client);
  weir_subscriber_release(member->reader);
  member->reader = NULL;
  member->done =
      client->count != 0 &&
      strcmp(client->events[client->count - 1].type, "weir.done") == 0;
}

static void expect_every_event(const struct kit_client *client) {
  uint64_t seq = 0;
  size_t i;

  for (i = 0; i < client->count; ++i) {
    if (strcmp(client->events[i].type, "x") == 0) {
      ck_assert_uint_eq(strtoull(client->events[i].data, NULL, 10), ++seq);
    }
  }
  ck_assert_uint_eq(seq, EVENTS);
}

/* What is read for one reader drives out what was read for another, and still
 * everybody gets everything. */
START_TEST(many_readers_in_little_room) {
  weir_notice notice;
  weir_stream *stream;
  size_t done = 0;
  size_t turns;
  size_t i;

  bench_init(&bench);
  storage->later = _i != 0;
  a->options.max_resident = 40000;
  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, EVENTS);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  weir_stream_release(stream);
  for (i = 0; i < CROWD; ++i) {
    memset(&crowd[i], 0, sizeof crowd[i]);
    kit_client_init(&crowd[i].client, "");
  }
  for (turns = 0; done < CROWD; ++turns) {
    ck_assert_uint_lt(turns, 2000);
    for (done = 0, i = 0; i < CROWD; ++i) {
      if (crowd[i].reader == NULL && !crowd[i].done) {
        come_back(&crowd[i]);
        serve(&crowd[i]);
      }
      done += crowd[i].done;
    }
    for (notice = kit_next(a); notice.kind != 0; notice = kit_next(a)) {
      serve(notice.user);
    }
    testlog_deliver_all(storage);
    ck_assert_uint_le(bench_hub_info(a).resident, 80000);
  }
  for (i = 0; i < CROWD; ++i) {
    expect_every_event(&crowd[i].client);
    kit_client_free(&crowd[i].client);
  }
  bench_end(&bench);
}
END_TEST

/* --- A call that fails leaves nothing ------------------------------------ */

START_TEST(an_attach_without_memory_leaves_nothing) {
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *reader = NULL;
  size_t nth = 0;
  int verdict = -1;
  int rv;

  bench_init(&bench);
  storage->later = _i != 0;
  kit_hub(a);
  do {
    a->memory.calls = 0;
    a->memory.fail_at = ++nth;
    rv = weir_hub_attach(a->hub, &options, &reader, &verdict);
    if (rv != WEIR_OK) {
      ck_assert_int_eq(rv, WEIR_ENOMEM);
      ck_assert_ptr_null(reader);
      ck_assert_int_eq(verdict, -1);
      bench_rest(&bench);
      bench_pass(&bench, 1000);
      ck_assert_uint_eq(bench_hub_info(a).streams, 0);
      ck_assert_uint_eq(bench_hub_info(a).pending, 0);
    }
  } while (rv != WEIR_OK);
  ck_assert_uint_gt(nth, 2);
  a->memory.fail_at = 0;
  weir_subscriber_release(reader);
  bench_rest(&bench);
  bench_pass(&bench, 1000);
  ck_assert_uint_eq(bench_hub_info(a).streams, 0);
  bench_end(&bench);
}
END_TEST

/* Storage has lost some in the middle, and says so. */
static size_t try_loss(size_t nth, bool on, int mode) {
  const struct kit_event *event;
  weir_stream *stream;
  uint64_t position = 0;
  uint64_t seq;
  size_t calls;
  size_t i;

  bench_init(&bench);
  kit_hub(b);
  storage->encoded = (mode & 2) != 0;
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 40);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(stream);
  testlog_lose(storage, "k", 10, 20);
  storage->later = (mode & 1) != 0;
  a->memory.fail_at = nth;
  a->memory.fail_on = on;
  kit_client_init(&browser, "");
  MUST(weir_hub_new(&a->options, &a->hub));
  ck_assert(!read_scarcely());
  for (i = 0; i < browser.count; ++i) {
    event = &browser.events[i];
    if (strcmp(event->type, "weir.closing") == 0) {
      continue;
    }
    seq = strtoull(strchr(event->id, '-') + 1, NULL, 10);
    if (strcmp(event->type, "x") == 0) {
      ck_assert_uint_eq(seq, position + 1);
      ck_assert_uint_eq(strtoull(event->data, NULL, 10), seq);
    } else if (strcmp(event->type, "weir.gap") == 0) {
      ck_assert_uint_eq(position, 10);
      ck_assert_uint_eq(seq, 20);
    }
    position = seq;
  }
  ck_assert_uint_eq(position, 41);
  calls = a->memory.calls;
  kit_client_free(&browser);
  bench_end(&bench);
  return calls;
}

START_TEST(a_loss_without_memory) {
  const size_t calls = try_loss(0, false, _i);
  size_t n;

  for (n = 1; n <= calls; ++n) {
    (void)try_loss(n, false, _i);
    (void)try_loss(n, true, _i);
  }
}
END_TEST

/* Behind the end of what another has written there may be the next one, which
 * is asked for. */
START_TEST(an_attach_behind_an_end_without_memory) {
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *reader = NULL;
  weir_hub_info before;
  weir_hub_info after;
  weir_stream *stream;
  size_t nth = 0;
  int verdict = -1;
  bool failed;
  int rv;

  bench_init(&bench);
  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(stream);
  weir_subscriber_release(bench_attach(&bench, a, "k", NULL));
  bench_rest(&bench);
  do {
    before = bench_hub_info(a);
    a->memory.fail_at = a->memory.calls + ++nth;
    rv = weir_hub_attach(a->hub, &options, &reader, &verdict);
    failed = recover();
    a->memory.fail_at = 0;
    if (rv != WEIR_OK) {
      ck_assert_int_eq(rv, WEIR_ENOMEM);
      ck_assert_ptr_null(reader);
      ck_assert_int_eq(verdict, -1);
      bench_rest(&bench);
      after = bench_hub_info(a);
      ck_assert_uint_eq(after.streams, before.streams);
      ck_assert_uint_eq(after.subscribers, before.subscribers);
      ck_assert_uint_eq(after.pending, before.pending);
      continue;
    }
    /* Storage answers at once. */
    ck_assert_int_ne(verdict, WEIR_VERDICT_PENDING);
    bench_expect(&bench, reader, WEIR_EDONE, "ready@0 fresh; done@1 ok");
    weir_subscriber_release(reader);
    reader = NULL;
    verdict = -1;
  } while (failed);
  ck_assert_uint_gt(nth, 3);
  bench_end(&bench);
}
END_TEST

/* --- There is memory, but no more may be taken ---------------------------- */

static void set_room(uint64_t most) {
  ((struct weir__core *)(void *)a->hub)->options.max_resident = most;
}

/* An end that was asked for before the open was decided waits, and the open
 * with it. */
START_TEST(an_early_end_without_room) {
  weir_open_options options = kit_open_options("k", "p");
  weir_stream *stream;

  bench_init(&bench);
  storage->later = true;
  kit_hub(a);
  stream = kit_open_with(a, &options);
  ck_assert_int_eq(weir_stream_fail(stream, "c", 1, "m", 1, 7, NULL), WEIR_OK);
  set_room(1);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_OPENING);
  kit_expect_notices(a, "");
  set_room(0);
  bench_pass(&bench, 1000);
  kit_expect_notices(a, "p opened 0; p stored 7=1; p ended 1");
  weir_stream_release(stream);
  bench_end(&bench);
}
END_TEST

/* So does that of a cancel. */
START_TEST(a_cancel_without_room) {
  weir_open_options options = kit_open_options("k", "p");
  weir_stream *second;
  weir_stream *first;

  bench_init(&bench);
  bench_hubs(&bench);
  first = bench_open(&bench, b, "k");
  options.flags = WEIR_OPEN_LOOK;
  second = kit_open_with(a, &options);
  set_room(1);
  ck_assert_int_eq(weir_stream_cancel(second, NULL, 0), WEIR_OK);
  bench_rest(&bench);
  kit_expect_notices(a, "p cancelled");
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 0);
  set_room(0);
  bench_pass(&bench, 1000);
  kit_expect_notices(a, "p ended 1");
  ck_assert_uint_eq(testlog_find(storage, "k")->ended, 1);
  weir_stream_release(first);
  weir_stream_release(second);
  bench_end(&bench);
}
END_TEST

/* Who waits for what a look brings is cut off, not even told; who comes back
 * gets it. Whoever is not at the head stays. */
START_TEST(a_look_without_room) {
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *slow;
  weir_subscriber *reader;
  weir_stream *stream;
  size_t reads;

  bench_init(&bench);
  storage->later = _i != 0;
  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 1);
  slow = bench_attach(&bench, a, "k", NULL);
  bench_rest(&bench);
  reader = kit_attach_with(a, &options);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  kit_count(a, 0);
  bench_publish(&bench, stream, 1);
  set_room(1);
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 2), WEIR_OK);
  bench_rest(&bench);
  kit_expect_notices(a, "s abort -25");
  kit_expect_frames(reader, WEIR_EGONE, "");
  set_room(0);
  /* It looks again by itself, soon. */
  reads = storage->calls[TESTLOG_READ];
  bench_pass(&bench, 999);
  ck_assert_uint_eq(storage->calls[TESTLOG_READ], reads);
  bench_pass(&bench, 1);
  ck_assert_uint_eq(storage->calls[TESTLOG_READ], reads + 1);
  bench_expect(&bench, slow, WEIR_EAGAIN, "ready@0 fresh; x@1 1; x@2 2");
  weir_subscriber_release(slow);
  weir_subscriber_release(reader);
  weir_stream_release(stream);
  bench_end(&bench);
}
END_TEST

START_TEST(a_watchdog_without_room) {
  weir_open_options options = kit_open_options("k", "p");
  weir_stream *stream;

  bench_init(&bench);
  a->options.log = NULL;
  kit_hub(a);
  options.first_event = 1000;
  options.on_first_event = WEIR_ACTION_END;
  stream = kit_open_with(a, &options);
  set_room(1);
  kit_pass(a, 1000);
  kit_expect_notices(a, "p expired first_event");
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_LIVE);
  set_room(0);
  kit_pass(a, 1000);
  kit_expect_notices(a, "p expired first_event; p ended 1");
  weir_stream_release(stream);
  bench_end(&bench);
}
END_TEST

static TCase *scarce(void) {
  TCase *tcase = tcase_create("scarce");

  tcase_set_timeout(tcase, 60);
  tcase_add_loop_test(tcase, a_life_without_memory, 0, 4);
  tcase_add_loop_test(tcase, a_replay_without_memory, 0, 4);
  tcase_add_loop_test(tcase, r37_a_failure_without_memory, 0, 2);
  tcase_add_test(tcase, the_frame_of_a_failure_can_wait);
  tcase_add_loop_test(tcase, an_early_end_without_memory, 0, 2);
  tcase_add_loop_test(tcase, an_attach_without_memory_leaves_nothing, 0, 2);
  tcase_add_loop_test(tcase, many_readers_in_little_room, 0, 2);
  tcase_add_loop_test(tcase, a_loss_without_memory, 0, 4);
  tcase_add_test(tcase, an_attach_behind_an_end_without_memory);
  tcase_add_test(tcase, an_early_end_without_room);
  tcase_add_test(tcase, a_cancel_without_room);
  tcase_add_loop_test(tcase, a_look_without_room, 0, 2);
  tcase_add_test(tcase, a_watchdog_without_room);
  return tcase;
}

KIT_MAIN("scarce", scarce())
