/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Who has to go when memory is needed, and who does not. */

#include "../kit.h"

#include <stdio.h>
#include <string.h>

#include "reader.h"

/* Of the data of an event: each is larger than any page of many. */
#define SIZE 40000
#define SMALLER 35000

/* Readers that are looked at in one call that publishes, which asks for room
 * twice, the second time for less; and some more. */
#define LOOKS 1024
#define CROWD 1500

static struct kit kit;
static weir_stream *streams[100];
static size_t stream_count;
static weir_subscriber *readers[CROWD];
static size_t reader_count;

static struct weir__core *core(void) {
  return (struct weir__core *)(void *)kit.hub;
}

static void setup(void) {
  kit_init(&kit);
  kit_hub(&kit);
  stream_count = 0;
  reader_count = 0;
}

static void release_readers(void) {
  while (reader_count != 0) {
    weir_subscriber_release(readers[--reader_count]);
  }
}

static void teardown(void) {
  release_readers();
  ck_assert_uint_eq(core()->leaving, 0);
  while (stream_count != 0) {
    weir_stream_release(streams[--stream_count]);
  }
  kit_end(&kit);
}

static uint64_t resident(void) {
  return core()->info.resident;
}

static weir_stream *open_one(void) {
  char key[8];

  (void)snprintf(key, sizeof key, "%zu", stream_count);
  streams[stream_count] = kit_open(&kit, key);
  return streams[stream_count++];
}

static int publish(weir_stream *stream, size_t size) {
  static char data[1000000];
  weir_event event = kit_make_event("x", "");

  memset(data, 'd', sizeof data);
  event.data = data;
  event.data_len = size;
  return weir_stream_publish(stream, &event, 1, NULL);
}

/* What one event takes. */
static uint64_t page_size(void) {
  const uint64_t before = resident();

  ck_assert_int_eq(publish(open_one(), SIZE), WEIR_OK);
  return resident() - before;
}

/* A reader that has been shown all of a stream, and takes nothing. */
static weir_subscriber *hold(size_t stream, const char *name) {
  char key[8];
  weir_attach_options options;
  weir_subscriber *reader;
  weir_bytes runs[3];
  size_t count;

  (void)snprintf(key, sizeof key, "%zu", stream);
  options = kit_attach_options(key, name);
  options.start = WEIR_FROM_START;
  options.stall = 0;
  reader = kit_attach_with(&kit, &options);
  ck_assert_int_eq(weir_subscriber_peek(reader, runs, 3, &count), WEIR_OK);
  ck_assert_uint_gt(count, 1);
  readers[reader_count++] = reader;
  return reader;
}

/* One that takes nothing but the greeting. */
static weir_subscriber *stall(size_t stream, const char *name) {
  weir_subscriber *reader = hold(stream, name);
  const struct weir__page *greeting = reader->spans[0].page;

  ck_assert_int_eq(weir_subscriber_consume(reader, greeting->used), WEIR_OK);
  return reader;
}

/* A stream of one event of this size that is in a page of its own, and may go
 * but for who reads it. Returns its number. */
static size_t make_stream(size_t size) {
  weir_stream *stream = open_one();

  ck_assert_int_eq(publish(stream, size), WEIR_OK);
  return stream_count - 1;
}

static void let_it_go(size_t stream) {
  ck_assert_int_eq(publish(streams[stream], 10), WEIR_OK);
}

/* The newest event of a stream stays, whoever reads it: that its readers go
 * would free nothing, and nothing more is let in. */
START_TEST(nobody_goes_for_what_stays) {
  const uint64_t page = page_size();
  int i;

  for (i = 0; i < 20; ++i) {
    (void)stall(0, "r");
  }
  kit_count(&kit, 0);
  core()->options.max_resident = resident() + 3 * page;
  for (i = 0; i < 30; ++i) {
    ck_assert_int_eq(publish(open_one(), SIZE),
                     i < 3 ? WEIR_OK : WEIR_ERESIDENT);
    ck_assert_uint_le(resident(), core()->options.max_resident);
  }
  kit_expect_notices(&kit, "");
  ck_assert_uint_eq(core()->info.evicted, 0);
}
END_TEST

/* A page that many hold is free once all of them have gone: they go at once,
 * and for one byte too many none does. */
START_TEST(all_go_who_hold_a_page) {
  const uint64_t page = page_size();
  int i;

  let_it_go(0);
  for (i = 0; i < 20; ++i) {
    (void)stall(0, "r");
  }
  kit_count(&kit, 0);
  /* One less than is needed, what is needed, one more. */
  core()->options.max_resident = resident() - 1 + (uint64_t)_i;
  ck_assert_int_eq(publish(open_one(), SIZE),
                   _i == 0 ? WEIR_ERESIDENT : WEIR_OK);
  ck_assert_uint_eq(core()->info.evicted, _i == 0 ? 0 : 20);
  ck_assert_uint_eq(core()->leaving, _i == 0 ? 0 : page);
  ck_assert_uint_eq(kit_count(&kit, WEIR_NOTICE_ABORT), _i == 0 ? 0 : 20);
  release_readers();
  ck_assert_uint_eq(core()->leaving, 0);
  ck_assert_uint_le(resident(), core()->options.max_resident);
}
END_TEST

/* Of those who hold enough, the one who has stalled for longest goes. */
START_TEST(the_one_that_has_stalled_longest_goes) {
  weir_subscriber *first;
  weir_bytes run;
  size_t count;
  size_t i;

  for (i = 0; i < 3; ++i) {
    (void)make_stream(SIZE);
    let_it_go(i);
  }
  first = stall(0, "0");
  (void)stall(1, "1");
  (void)stall(2, "2");
  kit_count(&kit, 0);
  ck_assert_int_eq(weir_subscriber_peek(first, &run, 1, &count), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_consume(first, 1), WEIR_OK);
  core()->options.max_resident = resident();
  ck_assert_int_eq(publish(open_one(), SIZE), WEIR_OK);
  kit_expect_notices(&kit, "1 abort -25");
  ck_assert_int_eq(publish(open_one(), SIZE), WEIR_OK);
  kit_expect_notices(&kit, "2 abort -25");
  ck_assert_int_eq(publish(open_one(), SIZE), WEIR_OK);
  kit_expect_notices(&kit, "0 abort -25");
  ck_assert_int_eq(publish(open_one(), SIZE), WEIR_ERESIDENT);
  ck_assert_uint_eq(core()->info.evicted, 3);
}
END_TEST

/* Who need not go stays, and keeps its place, however long it has stalled: who
 * holds what stays, and who holds less than goes with the others. */
START_TEST(who_need_not_go_stays) {
  (void)make_stream(SIZE);
  (void)make_stream(SMALLER);
  (void)make_stream(SIZE);
  (void)make_stream(SIZE);
  let_it_go(1);
  let_it_go(2);
  let_it_go(3);
  (void)stall(0, "stays");
  (void)stall(1, "little");
  (void)stall(2, "much");
  (void)stall(3, "more");
  kit_count(&kit, 0);
  core()->options.max_resident = resident();
  ck_assert_int_eq(publish(open_one(), SIZE), WEIR_OK);
  kit_expect_notices(&kit, "much abort -25");
  ck_assert_int_eq(publish(open_one(), SMALLER), WEIR_OK);
  kit_expect_notices(&kit, "little abort -25");
  ck_assert_int_eq(publish(open_one(), 2 * SIZE), WEIR_ERESIDENT);
  kit_expect_notices(&kit, "");
  ck_assert_int_eq(publish(open_one(), SIZE), WEIR_OK);
  kit_expect_notices(&kit, "more abort -25");
}
END_TEST

/* More have stalled than are looked at in one call. They are passed over if
 * they hold what stays, or one page that is free only without all of them. */
START_TEST(a_crowd_is_passed_over) {
  int i;

  (void)make_stream(SIZE);
  (void)make_stream(SIZE);
  let_it_go(1);
  if (_i == 1) {
    let_it_go(0);
  }
  for (i = 0; i < CROWD - 1; ++i) {
    (void)stall(0, "crowd");
  }
  (void)stall(1, "last");
  kit_count(&kit, 0);
  core()->options.max_resident = resident();
  ck_assert_int_eq(publish(open_one(), SIZE), WEIR_ERESIDENT);
  ck_assert_uint_le(resident(), core()->options.max_resident);
  kit_expect_notices(&kit, "");
  ck_assert_int_eq(publish(open_one(), SIZE), WEIR_OK);
  kit_expect_notices(&kit, "last abort -25");
}
END_TEST

/* Each has something of its own: so many go with each call. */
START_TEST(a_crowd_goes_by_and_by) {
  size_t own = 0;
  int i;

  (void)make_stream(SIZE);
  for (i = 0; i < CROWD; ++i) {
    own = hold(0, "crowd")->spans[0].page->size;
  }
  core()->options.max_resident = resident();
  ck_assert_int_eq(publish(open_one(), 1200 * own), WEIR_ERESIDENT);
  ck_assert_uint_eq(core()->info.evicted, LOOKS);
  ck_assert_uint_eq(core()->leaving, LOOKS * own);
  ck_assert_int_eq(publish(open_one(), 1200 * own), WEIR_OK);
  ck_assert_uint_ge(core()->info.evicted, 1200);
  ck_assert_uint_le(core()->info.evicted, 1201);
}
END_TEST

/* A host that lets go of nothing that it was told to is held to twice the
 * limit. */
START_TEST(what_does_not_leave_counts) {
  const uint64_t page = page_size();
  uint64_t limit;
  size_t accepted = 0;
  size_t i;

  let_it_go(0);
  limit = resident() + 3 * page;
  core()->options.max_resident = limit;
  (void)stall(0, "r");
  for (i = 0; i < 20; ++i) {
    if (publish(open_one(), SIZE) == WEIR_OK) {
      accepted += 1;
      let_it_go(stream_count - 1);
      (void)stall(stream_count - 1, "r");
    }
    ck_assert_uint_le(resident(), 2 * limit);
  }
  /* All of that can be used. */
  ck_assert_uint_gt(accepted, 3);
  ck_assert_uint_gt(resident() + page, 2 * limit);
  release_readers();
  ck_assert_uint_le(resident(), limit);
  ck_assert_int_eq(publish(open_one(), SIZE), WEIR_OK);
}
END_TEST

/* What was shown to one who goes may be taken all the same, and is free then;
 * that another has gone for a stall is the same thing. */
START_TEST(what_is_leaving_is_counted) {
  const uint64_t page = page_size();
  weir_subscriber *reader;
  weir_bytes run;
  size_t count;

  let_it_go(0);
  reader = stall(0, "r");
  core()->options.max_resident = resident();
  if (_i == 0) {
    ck_assert_int_eq(publish(open_one(), SIZE), WEIR_OK);
  } else {
    weir__reader_abort_for(reader, WEIR_ESTALLED);
    weir__reader_abort_for(reader, WEIR_ESTALLED);
    ck_assert_uint_eq(core()->leaving, 0);
    ck_assert_int_eq(publish(open_one(), SIZE), WEIR_OK);
    ck_assert_uint_eq(core()->info.evicted, 0);
  }
  ck_assert_uint_eq(core()->leaving, page);
  ck_assert_uint_gt(resident(), core()->options.max_resident);
  run.base = NULL;
  ck_assert_int_eq(weir_subscriber_peek(reader, &run, 1, &count), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_consume(reader, run.len), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_consume(reader, 1),
                   reader->span_count == 0 ? WEIR_EINVAL : WEIR_OK);
  ck_assert_uint_eq(core()->leaving, 0);
}
END_TEST

static TCase *stalled(void) {
  TCase *tcase = tcase_create("stalled");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, nobody_goes_for_what_stays);
  tcase_add_loop_test(tcase, all_go_who_hold_a_page, 0, 3);
  tcase_add_test(tcase, the_one_that_has_stalled_longest_goes);
  tcase_add_test(tcase, who_need_not_go_stays);
  tcase_add_loop_test(tcase, a_crowd_is_passed_over, 0, 2);
  tcase_add_test(tcase, a_crowd_goes_by_and_by);
  tcase_add_test(tcase, what_does_not_leave_counts);
  tcase_add_loop_test(tcase, what_is_leaving_is_counted, 0, 2);
  return tcase;
}

KIT_MAIN("stalled", stalled())
