/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Retention of the file log where the disk, the clock or somebody else is
 * against it: what is too old goes all the same, and what has to stay stays. */

#include "../filebench.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "file_segment.h"

static struct filebench bench;

static void setup(void) {
  fb_init(&bench);
}

static void teardown(void) {
  fb_end(&bench);
}

#define expect(key, text) ck_assert_str_eq(fb_contents(&bench, key), text)

static struct weir__handle *create(const char *key, uint64_t epoch) {
  struct weir__handle *handle;

  ck_assert_int_eq(fb_create(&bench, key, 0, epoch, &handle), WEIR_LOG_YES);
  return handle;
}

static void append(struct weir__handle *handle, uint64_t epoch, uint64_t first,
                   uint64_t last) {
  ck_assert_int_eq(fb_append(&bench, handle, epoch, first, last, 0),
                   WEIR_LOG_YES);
}

/* Streams with an event each, from the epoch on. */
static void write_many(uint64_t epoch, uint64_t count) {
  char key[8];
  uint64_t i;

  for (i = epoch; i < epoch + count; ++i) {
    snprintf(key, sizeof key, "k%u", (unsigned)i);
    fb_write(&bench, key, i, 1);
  }
}

static void expect_many(uint64_t epoch, uint64_t count, bool trimmed) {
  char key[8];
  uint64_t i;

  for (i = epoch; i < epoch + count; ++i) {
    snprintf(key, sizeof key, "k%u", (unsigned)i);
    (void)fb_contents(&bench, key);
    ck_assert(bench.counts.exists);
    ck_assert_uint_eq(bench.counts.last, 1);
    ck_assert_uint_eq(bench.counts.trimmed, trimmed ? 1 : 0);
  }
}

/* So many seconds pass, and in each there is a round if something is due. */
static void pass(unsigned seconds) {
  for (; seconds != 0; --seconds) {
    (void)fb_rounds(&bench);
    bench.kit.now += 1000;
    bench.wall += 1000;
  }
}

/* How often the log has said something. */
static unsigned said(const char *text) {
  const char *at = bench.reports.data;
  unsigned count = 0;

  for (; (at = strstr(at, text)) != NULL; ++at) {
    count += 1;
  }
  return count;
}

/* The disk has no room left but for so many bytes. */
static void fill_disk(uint64_t left) {
  bench.disk.room = fb_info(&bench).bytes + left;
}

/* --- A full disk -----------------------------------------------------------*/

/* Where there is no room for a large segment, small ones use what there is. */
START_TEST(small_segments_use_the_rest) {
  struct weir__handle *handle;
  uint64_t seq = 1;

  bench.options.sync = _i;
  bench.options.segment_bytes = (uint64_t)1024 * 1024;
  fb_open(&bench);
  handle = create("a", 1);
  weir__handle_release(handle);
  fb_reopen(&bench);
  fill_disk(20000);
  ck_assert_int_lt(fb_create(&bench, "b", 0, 2, &handle), 0);
  handle = create("b", 3);
  while (fb_append(&bench, handle, 3, seq, seq, 0) == WEIR_LOG_YES) {
    seq += 1;
  }
  weir__handle_release(handle);
  /* A record of these takes 104 bytes. */
  ck_assert_uint_gt(seq, 11000 / 104);
  /* With room again they grow again. */
  bench.disk.room = UINT64_MAX;
  fb_write(&bench, "c", 4, 3000);
  ck_assert_uint_lt(fb_info(&bench).segments, 16);
  fb_reopen(&bench);
  expect("c", "4:3000 *:3000 | 1-3000");
}
END_TEST

/* There is no room at all, and all is too old: it goes, and streams stay, that
 * they were there. Files of any size, at most one of which has little. */
START_TEST(nothing_is_free) {
  const uint64_t sizes[] = {4096, 16384, 65536};
  struct weir__handle *handle;
  uint64_t bytes;

  bench.options.sync = _i % 3;
  bench.options.segment_bytes = sizes[_i / 3 % 3];
  bench.options.keep_age = 60000;
  fb_open(&bench);
  write_many(1, 3);
  if (_i >= 9) {
    /* The oldest is so small that what it gives is not enough. */
    fb_reopen(&bench);
  }
  write_many(4, 40);
  fb_write(&bench, "a", 90, 200);
  fb_reopen(&bench);
  fill_disk(0);
  bytes = fb_info(&bench).bytes;
  pass(3);
  ck_assert_uint_eq(fb_info(&bench).removed, 0);
  bench.wall += 60000;
  pass(30);
  ck_assert_uint_gt(fb_info(&bench).removed, 0);
  ck_assert_uint_lt(fb_info(&bench).bytes, bytes);
  ck_assert_uint_le(said("yet to be written"), 3);
  ck_assert_uint_gt(said("yet to be written"), 0);
  handle = create("new", 95);
  append(handle, 95, 1, 1);
  weir__handle_release(handle);
  ck_assert_uint_eq(bench.disk.resyncs, 0);
  fb_cut(&bench);
  fb_open(&bench);
  expect_many(1, 43, true);
  (void)fb_contents(&bench, "a");
  ck_assert_uint_eq(bench.counts.last, 200);
  ck_assert_uint_eq(bench.counts.trimmed, 200);
}
END_TEST

/* While what has to stay has yet to be written, nothing else goes that is not
 * too old, and readers read as ever. It is written once there is room, also by
 * a close. */
START_TEST(gone_before_what_has_to_stay_is_written) {
  uint64_t size;

  bench.options.sync = _i % 3;
  bench.options.keep_age = 60000;
  fb_open(&bench);
  write_many(1, 3);
  fb_reopen(&bench);
  (void)fb_segment(&bench, 0, &size);
  bench.wall += 40000;
  fb_write(&bench, "b", 50, 100);
  fb_reopen(&bench);
  bench.wall += 30000;
  bench.disk.room = fb_info(&bench).bytes - size;
  pass(6);
  ck_assert_uint_eq(fb_info(&bench).removed, 1);
  ck_assert_uint_eq(said("yet to be written"), 1);
  expect_many(1, 3, true);
  expect("b", "50:100 *:100 | 1-100");
  bench.disk.room = UINT64_MAX;
  bench.kit.now += 1000;
  if (_i < 3) {
    (void)fb_rounds(&bench);
    fb_cut(&bench);
  } else {
    ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  }
  fb_open(&bench);
  expect_many(1, 3, true);
  expect("b", "50:100 *:100 | 1-100");
}
END_TEST

/* The same where there is no other file. */
START_TEST(gone_and_nothing_else_is_there) {
  bench.options.sync = _i;
  bench.options.keep_age = 60000;
  fb_open(&bench);
  write_many(1, 3);
  fb_reopen(&bench);
  bench.wall += 70000;
  bench.disk.room = 0;
  pass(10);
  ck_assert_uint_eq(fb_info(&bench).removed, 1);
  ck_assert_uint_eq(fb_info(&bench).bytes, 0);
  expect_many(1, 3, true);
  bench.disk.room = UINT64_MAX;
  pass(2);
  ck_assert_uint_eq(fb_info(&bench).segments, 1);
  fb_cut(&bench);
  fb_open(&bench);
  expect_many(1, 3, true);
}
END_TEST

/* A close on a full disk lets nothing go that has to stay. */
START_TEST(a_close_sacrifices_nothing) {
  bench.options.keep_age = 60000;
  fb_open(&bench);
  write_many(1, 3);
  fb_reopen(&bench);
  fill_disk(0);
  bench.wall += 70000;
  pass(2);
  ck_assert_uint_eq(fb_info(&bench).removed, 0);
  (void)fb_close(&bench);
  bench.disk.room = UINT64_MAX;
  bench.options.keep_age = 0;
  fb_open(&bench);
  expect_many(1, 3, false);
}
END_TEST

/* --- A sync that fails -----------------------------------------------------*/

/* What has to stay was carried into a segment whose sync fails, or stood there
 * already: it is carried again. Before that the oldest does not go. */
START_TEST(carried_into_what_fails) {
  size_t nth = 0;
  bool failed;
  int i;

  do {
    fb_end(&bench);
    fb_init(&bench);
    bench.options.sync = _i;
    bench.options.keep_age = 60000;
    fb_open(&bench);
    write_many(1, 3);
    fb_write(&bench, "a", 90, 60);
    bench.wall += 40000;
    fb_write(&bench, "b", 91, 60);
    bench.wall += 30000;
    ck_assert_uint_eq(fb_info(&bench).removed, 0);
    simdisk_fail(&bench.disk, SIM_SYNC, ++nth, SIM_KEEP, 0);
    for (i = 0; i < 20 && fb_info(&bench).removed == 0; ++i) {
      (void)fb_rounds(&bench);
      bench.kit.now += 1000;
    }
    ck_assert_uint_gt(fb_info(&bench).removed, 0);
    failed = fb_info(&bench).failures != 0;
    fb_cut(&bench);
    bench.options.keep_age = 0;
    fb_open(&bench);
    expect_many(1, 3, true);
  } while (failed);
  ck_assert_uint_gt(nth, 1);
}
END_TEST

/* What fails behind what was carried does not matter to that. */
START_TEST(a_failure_behind_what_was_carried) {
  struct weir__handle *handle;
  struct fb_call call;

  bench.options.keep_age = 60000;
  fb_open(&bench);
  write_many(1, 3);
  fb_reopen(&bench);
  bench.wall += 40000;
  handle = create("b", 50);
  bench.wall += 30000;
  ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_OK);
  weir_log_file_run(bench.log);
  ck_assert_int_eq(weir_log_file_end(bench.log), WEIR_OK);
  fb_start_append(&bench, &call, handle, 50, 1, 60, 0);
  simdisk_fail(&bench.disk, SIM_MAKE, 1, SIM_ERROR, EIO);
  (void)fb_rounds(&bench);
  ck_assert_int_eq(call.result, WEIR_EIO);
  weir__handle_release(handle);
  ck_assert_uint_eq(fb_info(&bench).removed, 1);
  ck_assert_uint_eq(said("yet to be written"), 0);
  fb_cut(&bench);
  fb_open(&bench);
  expect_many(1, 3, true);
}
END_TEST

/* What was refused is in no index. */
START_TEST(refused_and_then_indexed) {
  struct weir__handle *handle;

  fb_open(&bench);
  write_many(1, 3);
  simdisk_fail(&bench.disk, SIM_WRITE, 1, SIM_ERROR, EIO);
  ck_assert_int_eq(fb_create(&bench, "b", 0, 50, &handle), WEIR_EIO);
  (void)fb_rounds(&bench);
  fb_cut(&bench);
  fb_open(&bench);
  expect_many(1, 3, false);
  expect("b", "none");
}
END_TEST

/* There is no memory for what has to be carried, of a segment that is sound, or
 * damaged, or of one whose sync has failed: it is carried later. */
START_TEST(no_memory_to_carry) {
  struct weir__handle *handle;
  size_t nth = 0;
  bool failed;
  uint64_t size;
  char key[8];
  uint64_t i;

  do {
    fb_end(&bench);
    fb_init(&bench);
    bench.options.sync = WEIR_SYNC_INTERVAL;
    bench.options.keep_age = 60000;
    bench.options.keep_ended = 1000;
    fb_open(&bench);
    write_many(1, 3);
    fb_reopen(&bench);
    bench.wall += 40000;
    write_many(10, 3);
    handle = create("z", 20);
    ck_assert_int_eq(fb_append(&bench, handle, 20, 1, 1, WEIR_RECORD_END),
                     WEIR_LOG_YES);
    weir__handle_release(handle);
    bench.wall += 2000;
    (void)fb_rounds(&bench);
    simdisk_fail(&bench.disk, SIM_SYNC, 1, SIM_KEEP, 0);
    pass(3);
    ck_assert_uint_eq(said("cannot be synced"), 1);
    expect("z", "none");
    if (_i == 1) {
      unsigned char *bytes = fb_segment(&bench, 0, &size);

      bytes[size - 64 - 64] ^= 1;
    }
    bench.wall += 30000;
    bench.memory.fail_at = bench.memory.calls + ++nth;
    (void)fb_rounds(&bench);
    failed = bench.memory.calls >= bench.memory.fail_at;
    bench.memory.fail_at = 0;
    pass(3);
    ck_assert_uint_eq(fb_info(&bench).removed, 1);
    fb_cut(&bench);
    bench.options.keep_age = 0;
    fb_open(&bench);
    expect_many(1, 3, true);
    for (i = 10; i < 13; ++i) {
      snprintf(key, sizeof key, "k%u", (unsigned)i);
      (void)fb_contents(&bench, key);
      ck_assert(bench.counts.exists);
    }
  } while (failed);
  ck_assert_uint_gt(nth, 5);
}
END_TEST

/* --- Clocks ----------------------------------------------------------------*/

/* A clock was ahead for years: what was written then is no newer than what came
 * behind it. */
START_TEST(a_clock_that_was_ahead) {
  struct weir__handle *handle;
  char key[8];
  uint64_t i;

  bench.options.keep_age = 60000;
  bench.options.keep_ended = 30000;
  fb_open(&bench);
  bench.wall += UINT64_C(315360000000);
  fb_write(&bench, "a", 1, 100);
  for (i = 10; i < 30; ++i) {
    snprintf(key, sizeof key, "e%u", (unsigned)i);
    handle = create(key, i);
    ck_assert_int_eq(fb_append(&bench, handle, i, 1, 1, WEIR_RECORD_END),
                     WEIR_LOG_YES);
    weir__handle_release(handle);
  }
  bench.wall -= UINT64_C(315360000000);
  if (_i == 1) {
    fb_reopen(&bench);
  }
  handle = create("e", 40);
  ck_assert_int_eq(fb_append(&bench, handle, 40, 1, 1, WEIR_RECORD_END),
                   WEIR_LOG_YES);
  weir__handle_release(handle);
  fb_write(&bench, "b", 41, 100);
  pass(40);
  ck_assert_uint_eq(fb_info(&bench).removed, 0);
  fb_write(&bench, "c", 42, 1);
  fb_write(&bench, "d", 43, 1);
  expect("e", "none");
  expect("e10", "10:1 ended | 1");
  pass(22);
  ck_assert_uint_gt(fb_info(&bench).removed, 2);
  (void)fb_contents(&bench, "a");
  ck_assert_uint_eq(bench.counts.trimmed, 100);
  expect("e10", "10:1 trimmed 1 ended |");
  pass(31);
  expect("e10", "none");
  expect("e29", "none");
  (void)fb_contents(&bench, "a");
  ck_assert(bench.counts.exists);
}
END_TEST

/* A clock that is far behind when a log is opened, until somebody tells it the
 * time, lets nothing go. */
START_TEST(a_clock_that_is_behind) {
  struct weir__handle *handle;
  const uint64_t now = bench.wall;

  bench.options.keep_age = 60000;
  bench.options.keep_ended = 60000;
  fb_open(&bench);
  fb_write(&bench, "a", 1, 100);
  handle = create("e", 2);
  ck_assert_int_eq(fb_append(&bench, handle, 2, 1, 1, WEIR_RECORD_END),
                   WEIR_LOG_YES);
  weir__handle_release(handle);
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  bench.wall = 1000;
  fb_open(&bench);
  fb_write(&bench, "b", 3, 100);
  pass(3);
  if (_i == 1) {
    fb_reopen(&bench);
  }
  bench.wall = now + 10000;
  fb_write(&bench, "c", 4, 1);
  pass(10);
  ck_assert_uint_eq(fb_info(&bench).removed, 0);
  (void)fb_contents(&bench, "a");
  ck_assert_uint_eq(bench.counts.present, 100);
  (void)fb_contents(&bench, "e");
  ck_assert(bench.counts.exists);
}
END_TEST

/* A stream that ended long ago is not found any more, but the index of the
 * segment with its end has it, if that is made only then: else it would be back
 * after a restart, and not have ended. */
START_TEST(an_index_knows_who_has_ended) {
  struct weir__handle *handle;
  uint64_t i;

  bench.options.keep_ended = 1000;
  fb_open(&bench);
  handle = create("a", 1);
  append(handle, 1, 1, 60);
  ck_assert_int_eq(fb_append(&bench, handle, 1, 61, 61, WEIR_RECORD_END),
                   WEIR_LOG_YES);
  weir__handle_release(handle);
  for (i = 10; i < 20; ++i) {
    char key[8];

    snprintf(key, sizeof key, "e%u", (unsigned)i);
    handle = create(key, i);
    ck_assert_int_eq(fb_append(&bench, handle, i, 1, 1, WEIR_RECORD_END),
                     WEIR_LOG_YES);
    weir__handle_release(handle);
  }
  ck_assert_uint_gt(fb_info(&bench).segments, 1);
  bench.wall += 2000;
  (void)fb_rounds(&bench);
  expect("a", "none");
  expect("e19", "none");
  if (_i == 1) {
    /* Another of this key hides it. */
    fb_write(&bench, "a", 2, 1);
  }
  fb_write(&bench, "b", 30, 30);
  pass(3);
  ck_assert_uint_eq(fb_info(&bench).streams, _i == 1 ? 2 : 1);
  bench.options.keep_ended = 0;
  fb_reopen(&bench);
  if (_i == 0) {
    expect("a", "1:61 ended | 1-61");
    expect("e19", "19:1 ended | 1");
  } else {
    expect("a", "2:1 *:1 | 1");
  }
}
END_TEST

/* The same when another segment with something of it gets its index first. */
START_TEST(an_index_before_that_with_the_end) {
  struct weir__handle *handle;
  struct fb_call calls[2];

  bench.options.keep_ended = 1000;
  fb_open(&bench);
  handle = create("a", 1);
  fb_start_append(&bench, &calls[0], handle, 1, 1, 30, 0);
  fb_start_append(&bench, &calls[1], handle, 1, 31, 60, WEIR_RECORD_END);
  ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_OK);
  weir_log_file_run(bench.log);
  ck_assert_int_eq(weir_log_file_end(bench.log), WEIR_OK);
  ck_assert_int_eq(calls[1].result, WEIR_LOG_YES);
  weir__handle_release(handle);
  ck_assert_uint_eq(fb_info(&bench).segments, 2);
  bench.wall += 2000;
  (void)fb_rounds(&bench);
  expect("a", "none");
  bench.options.keep_ended = 0;
  fb_reopen(&bench);
  expect("a", "1:60 ended | 1-60");
}
END_TEST

/* A segment of which nothing can be read, or not all, goes with the next one,
 * however often the log is opened meanwhile. */
START_TEST(unreadable_and_opened_often) {
  unsigned char *bytes;
  uint64_t size;
  int i;

  bench.options.keep_age = 60000;
  fb_open(&bench);
  fb_write(&bench, "a", 1, 10);
  fb_reopen(&bench);
  bytes = fb_segment(&bench, 0, &size);
  if (_i == 0) {
    bytes[30] ^= 1;
    bytes[size - 30] ^= 1;
  } else {
    bytes[size - 30] ^= 1;
    bench.disk.bad = 600;
  }
  bench.wall += 1000;
  for (i = 0; i < 8 && fb_info(&bench).removed == 0; ++i) {
    if (i == 0) {
      fb_write(&bench, "b", 2, 1);
    }
    fb_reopen(&bench);
    ck_assert_uint_eq(fb_info(&bench).removed, 0);
    bench.kit.now += 10000;
    bench.wall += 10000;
    (void)fb_rounds(&bench);
  }
  ck_assert_int_eq(i, 7);
}
END_TEST

/* --- What is told ----------------------------------------------------------*/

/* What fails again and again is told once of a segment. */
START_TEST(failures_are_told_once) {
  struct weir__handle *handle;
  int i;

  bench.options.sync = WEIR_SYNC_NEVER;
  bench.options.keep_age = 60000;
  fb_open(&bench);
  write_many(1, 3);
  fb_reopen(&bench);
  handle = create("a", 90);
  simdisk_fail_on(&bench.disk, SIM_WRITE, 1, SIM_ERROR, ENOSPC);
  for (i = 0; i < 5; ++i) {
    ck_assert_int_eq(fb_append(&bench, handle, 90, 1, 1, 0), WEIR_EFULL);
  }
  ck_assert_uint_eq(said("cannot be written: no room on the disk"), 1);
  simdisk_heal(&bench.disk);
  append(handle, 90, 1, 1);
  weir__handle_release(handle);
  bench.wall += 70000;
  simdisk_fail_on(&bench.disk, SIM_WRITE, 1, SIM_ERROR, EIO);
  pass(5);
  ck_assert_uint_eq(said("what has to stay of it cannot be kept"), 1);
  simdisk_heal(&bench.disk);
  simdisk_fail_on(&bench.disk, SIM_REMOVE, 1, SIM_ERROR, EPERM);
  pass(5);
  ck_assert_uint_eq(said("cannot be removed: not allowed"), 1);
  ck_assert_uint_eq(fb_info(&bench).removed, 0);
  simdisk_heal(&bench.disk);
  pass(5);
  ck_assert_uint_gt(fb_info(&bench).removed, 0);
}
END_TEST

static TCase *retain(void) {
  TCase *tcase = tcase_create("retain");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, small_segments_use_the_rest, 0, 3);
  tcase_add_loop_test(tcase, nothing_is_free, 0, 18);
  tcase_add_loop_test(tcase, gone_before_what_has_to_stay_is_written, 0, 6);
  tcase_add_loop_test(tcase, gone_and_nothing_else_is_there, 0, 3);
  tcase_add_test(tcase, a_close_sacrifices_nothing);
  tcase_add_test(tcase, a_failure_behind_what_was_carried);
  tcase_add_test(tcase, refused_and_then_indexed);
  tcase_add_loop_test(tcase, no_memory_to_carry, 0, 2);
  tcase_add_loop_test(tcase, carried_into_what_fails, 0, 3);
  tcase_add_loop_test(tcase, a_clock_that_was_ahead, 0, 2);
  tcase_add_loop_test(tcase, a_clock_that_is_behind, 0, 2);
  tcase_add_loop_test(tcase, an_index_knows_who_has_ended, 0, 2);
  tcase_add_test(tcase, an_index_before_that_with_the_end);
  tcase_add_loop_test(tcase, unreadable_and_opened_often, 0, 2);
  tcase_add_test(tcase, failures_are_told_once);
  return tcase;
}

KIT_MAIN("log_retain", retain())
