/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* What of the file log is done when, and on which thread: what the policies of
 * syncing come to, and how segments are made while others are in use. */

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

static size_t calls(int kind) {
  return bench.disk.calls_of[kind];
}

static void run_round(int result) {
  ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_OK);
  weir_log_file_run(bench.log);
  ck_assert_int_eq(weir_log_file_end(bench.log), result);
}

/* The name of the file that is being made; NULL: there is none. */
static const char *unmade(void) {
  const char *name;
  size_t i;

  for (i = 0; (name = simdisk_name(&bench.disk, i)) != NULL; ++i) {
    if (strstr(name, ".new") != NULL) {
      return name;
    }
  }
  return NULL;
}

/* --- Policies --------------------------------------------------------------*/

/* All that was appended meanwhile shares one sync, and is answered behind it;
 * what comes while that is under way has the next. */
START_TEST(always_is_a_group_commit) {
  struct weir__handle *handles[4];
  struct fb_call first[4];
  struct fb_call second[4];
  size_t syncs;
  size_t i;

  fb_open(&bench);
  for (i = 0; i < 4; ++i) {
    char key[2] = {(char)('a' + i), '\0'};

    handles[i] = create(key, i + 1);
  }
  syncs = calls(SIM_SYNC);
  for (i = 0; i < 4; ++i) {
    fb_start_append(&bench, &first[i], handles[i], i + 1, 1, 2, 0);
  }
  ck_assert_int_eq(weir_log_file_get_timeout(bench.log), 0);
  ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_OK);
  for (i = 0; i < 4; ++i) {
    fb_start_append(&bench, &second[i], handles[i], i + 1, 3, 4, 0);
  }
  weir_log_file_run(bench.log);
  for (i = 0; i < 4; ++i) {
    ck_assert_uint_eq(first[i].answers, 0);
  }
  ck_assert_uint_eq(calls(SIM_SYNC), syncs + 1);
  ck_assert_int_eq(weir_log_file_end(bench.log), WEIR_OK);
  for (i = 0; i < 4; ++i) {
    ck_assert_uint_eq(first[i].answers, 1);
    ck_assert_uint_eq(second[i].answers, 0);
  }
  run_round(WEIR_OK);
  for (i = 0; i < 4; ++i) {
    ck_assert_uint_eq(second[i].answers, 1);
    weir__handle_release(handles[i]);
  }
  ck_assert_uint_eq(calls(SIM_SYNC), syncs + 2);
  fb_cut(&bench);
  fb_open(&bench);
  expect("d", "4:4 *:4 | 1-4");
}
END_TEST

/* What was appended is answered at once, and on the disk within the interval,
 * which begins with the first that is not. */
START_TEST(an_interval_is_kept) {
  struct weir__handle *handle;
  size_t syncs;
  size_t i;

  bench.options.sync = WEIR_SYNC_INTERVAL;
  bench.options.sync_interval = 500;
  bench.options.keep_age = 0;
  bench.options.keep_ended = 0;
  fb_open(&bench);
  handle = create("a", 1);
  ck_assert_int_eq(weir_log_file_get_timeout(bench.log), -1);
  syncs = calls(SIM_SYNC);
  for (i = 1; i <= 4; ++i) {
    struct fb_call call;

    fb_start_append(&bench, &call, handle, 1, i, i, 0);
    ck_assert_uint_eq(call.answers, 1);
    ck_assert_int_eq(weir_log_file_get_timeout(bench.log),
                     500 - 100 * ((int)i - 1));
    bench.kit.now += 100;
    ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_EAGAIN);
  }
  ck_assert_uint_eq(calls(SIM_SYNC), syncs);
  bench.kit.now += 100;
  run_round(WEIR_OK);
  ck_assert_uint_eq(calls(SIM_SYNC), syncs + 1);
  ck_assert_int_eq(weir_log_file_get_timeout(bench.log), -1);
  append(handle, 1, 5, 5);
  weir__handle_release(handle);
  fb_cut(&bench);
  fb_open(&bench);
  expect("a", "1:4 *:4 | 1-4");
}
END_TEST

/* The system does it when it likes, but for what has to stand: a new segment, a
 * new epoch, an index, a close. */
START_TEST(never_is_but_now_and_then) {
  struct weir__handle *handle;
  size_t syncs;
  size_t i;

  bench.options.sync = WEIR_SYNC_NEVER;
  fb_open(&bench);
  handle = create("a", 1);
  syncs = calls(SIM_SYNC);
  for (i = 1; i <= 30; ++i) {
    struct fb_call call;

    fb_start_append(&bench, &call, handle, 1, i, i, 0);
    ck_assert_uint_eq(call.answers, 1);
    ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_EAGAIN);
    bench.kit.now += 100000;
  }
  ck_assert_uint_eq(calls(SIM_SYNC), syncs);
  weir__handle_release(handle);
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  ck_assert_uint_eq(calls(SIM_SYNC), syncs + 2);
  fb_open(&bench);
  ck_assert_int_eq(fb_take(&bench, "a", 1, 2, &handle), WEIR_LOG_YES);
  weir__handle_release(handle);
  ck_assert_uint_eq(calls(SIM_SYNC), syncs + 3);
}
END_TEST

/* --- What blocks -----------------------------------------------------------*/

/* Calls that wait for the disk. */
static size_t slow_calls(void) {
  return calls(SIM_MAKE) + calls(SIM_SYNC) + calls(SIM_SYNC_NAMES) +
         calls(SIM_RENAME) + calls(SIM_REMOVE) + calls(SIM_TRUNCATE);
}

/* Under every policy, and however much comes at once, nothing on the hub's
 * thread waits for the disk, also when there is no segment yet, or when the
 * next one has not been made in time, or is not large enough. */
START_TEST(only_a_run_waits_for_the_disk) {
  struct fb_call appends[60];
  struct fb_call taken;
  struct fb_call created;
  struct weir__handle *handle;
  uint64_t seq = 0;
  size_t before;
  size_t i;

  bench.options.sync = _i;
  bench.options.keep_bytes = (uint64_t)8 * 65536;
  bench.options.segment_bytes = 65536;
  bench.frame_len = 900;
  fb_open(&bench);
  before = slow_calls();
  fb_start_create(&bench, &created, "a", 0, 1);
  ck_assert_uint_eq(created.answers, 0); /* not before it has a file */
  ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_OK);
  ck_assert_uint_eq(slow_calls(), before);
  weir_log_file_run(bench.log);
  before = slow_calls();
  ck_assert_int_eq(weir_log_file_end(bench.log), WEIR_OK);
  ck_assert_uint_eq(created.answers, 1);
  handle = created.handle;
  for (i = 0; i < 60; ++i) {
    /* Now and then one that no segment of the usual size has room for. */
    const uint64_t count = i % 13 == 5 ? 80 : 10;

    fb_start_append(&bench, &appends[i], handle, 1, seq + 1, seq + count, 0);
    seq += count;
    if (i % 7 == 3) {
      (void)weir_log_file_begin(bench.log);
    }
    ck_assert_uint_eq(slow_calls(), before);
    if (i % 7 == 5) {
      weir_log_file_run(bench.log);
      before = slow_calls();
    }
    if (i % 7 == 6) {
      (void)weir_log_file_end(bench.log);
    }
    ck_assert_uint_eq(slow_calls(), before);
  }
  weir_log_file_run(bench.log);
  (void)weir_log_file_end(bench.log);
  ck_assert_int_eq(fb_rounds(&bench), WEIR_OK);
  for (i = 0; i < 60; ++i) {
    ck_assert_uint_eq(appends[i].answers, 1);
    ck_assert_int_eq(appends[i].result, WEIR_LOG_YES);
  }
  ck_assert_uint_gt(fb_info(&bench).removed, 0);
  before = slow_calls();
  fb_start_take(&bench, &taken, "a", 1, 2);
  ck_assert_uint_eq(slow_calls(), before);
  ck_assert_int_eq(fb_rounds(&bench), WEIR_OK);
  ck_assert_int_eq(taken.result, WEIR_LOG_YES);
  weir__handle_release(taken.handle);
  weir__handle_release(handle);
  (void)fb_contents(&bench, "a");
  ck_assert_uint_eq(bench.counts.last, seq);
  ck_assert_uint_eq(bench.counts.present, seq - bench.counts.trimmed);
}
END_TEST

/* What waits because its segment is not there yet goes before what comes then;
 * of what was answered nothing is missing after a crash. */
START_TEST(what_comes_behind_what_waits) {
  struct fb_call calls_of[6];
  struct weir__handle *handle;
  size_t i;

  bench.options.sync = _i;
  fb_open(&bench);
  handle = create("a", 1);
  append(handle, 1, 1, 30);
  /* There is no room for this, and what is next waits with it. */
  fb_start_append(&bench, &calls_of[0], handle, 1, 31, 50, 0);
  fb_start_append(&bench, &calls_of[1], handle, 1, 51, 51, 0);
  ck_assert_uint_eq(calls_of[0].answers + calls_of[1].answers, 0);
  ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_OK);
  fb_start_append(&bench, &calls_of[2], handle, 1, 52, 52, 0);
  weir_log_file_run(bench.log);
  fb_start_append(&bench, &calls_of[3], handle, 1, 53, 53, 0);
  ck_assert_int_eq(weir_log_file_end(bench.log), WEIR_OK);
  ck_assert_uint_eq(calls_of[0].answers + calls_of[1].answers, 2);
  ck_assert_uint_eq(calls_of[2].answers + calls_of[3].answers, 0);
  fb_start_append(&bench, &calls_of[4], handle, 1, 54, 54, 0);
  ck_assert_uint_eq(calls_of[4].answers, 0);
  ck_assert_int_eq(fb_rounds(&bench), WEIR_OK);
  fb_start_append(&bench, &calls_of[5], handle, 1, 55, 55, 0);
  ck_assert_uint_eq(calls_of[5].answers, _i != WEIR_SYNC_ALWAYS);
  ck_assert_int_eq(fb_rounds(&bench), WEIR_OK);
  for (i = 0; i < 6; ++i) {
    ck_assert_uint_eq(calls_of[i].answers, 1);
  }
  weir__handle_release(handle);
  expect("a", "1:55 | 1-55");
  fb_kill(&bench);
  fb_open(&bench);
  expect("a", "1:55 *:55 | 1-55");
}
END_TEST

/* Nobody waits for what is trimmed; but it is not left lying in memory. */
START_TEST(a_trim_behind_what_waits) {
  struct fb_call call;
  struct weir__handle *handle;

  bench.options.sync = _i;
  fb_open(&bench);
  handle = create("a", 1);
  append(handle, 1, 1, 30);
  fb_start_append(&bench, &call, handle, 1, 31, 50, 0);
  ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_OK);
  ck_assert_int_eq(fb_trim(&bench, handle, 20), WEIR_LOG_YES);
  weir_log_file_run(bench.log);
  ck_assert_int_eq(weir_log_file_end(bench.log), WEIR_OK);
  ck_assert_uint_ne(bench.log->active->pending_len, 0);
  ck_assert_int_eq(fb_rounds(&bench), WEIR_OK);
  ck_assert_uint_eq(bench.log->active->pending_len, 0);
  weir__handle_release(handle);
  fb_cut(&bench);
  fb_open(&bench);
  expect("a", "1:50 *:50 trimmed 20 | 21-50");
}
END_TEST

/* --- How a segment is made -------------------------------------------------*/

/* Writes of an append of so many events, to a segment that is there. */
static size_t writes_of(struct weir__handle *handle, uint64_t *seq,
                        uint64_t count) {
  const size_t before = calls(SIM_WRITE);

  append(handle, 1, *seq + 1, *seq + count);
  *seq += count;
  return calls(SIM_WRITE) - before;
}

/* What somebody waits for is written where there are zeros already: 256 KiB of
 * them go ahead of it, but not of much at once, and not over the head at the
 * end. When nobody waits there are none. Events are of a KiB here. */
START_TEST(zeros_go_ahead) {
  const bool are_any = _i == WEIR_SYNC_ALWAYS;
  struct weir__handle *handle;
  unsigned char *bytes;
  uint64_t size;
  uint64_t seq = 0;
  size_t i;

  bench.options.sync = _i;
  bench.options.segment_bytes = (uint64_t)1024 * 1024;
  bench.frame_len = 960;
  fb_open(&bench);
  handle = create("a", 1);
  for (i = 0; i < 64; ++i) {
    ck_assert_uint_eq(writes_of(handle, &seq, 4), 1);
  }
  ck_assert_uint_eq(writes_of(handle, &seq, 4), are_any ? 1 + 16 : 1);
  ck_assert_uint_eq(writes_of(handle, &seq, 255), 1);
  ck_assert_uint_eq(writes_of(handle, &seq, 64), 1);
  ck_assert_uint_eq(writes_of(handle, &seq, 63), are_any ? 1 + 16 : 1);
  ck_assert_uint_eq(writes_of(handle, &seq, 252), 1);
  ck_assert_uint_eq(writes_of(handle, &seq, 10), are_any ? 1 + 8 : 1);
  ck_assert_uint_eq(fb_info(&bench).segments, 1);
  weir__handle_release(handle);
  bytes = simdisk_bytes(&bench.disk, simdisk_name(&bench.disk, 0), &size);
  ck_assert_uint_eq(size, bench.options.segment_bytes);
  ck_assert_mem_eq(bytes, bytes + size - WEIR__HEAD_SIZE, WEIR__HEAD_SIZE);
  fb_kill(&bench);
  fb_open(&bench);
  (void)fb_contents(&bench, "a");
  ck_assert_uint_eq(bench.counts.present, seq);
}
END_TEST

/* Nobody is told of zeros that cannot be written: what they were for is there.
 */
START_TEST(zeros_that_fail) {
  struct weir__handle *handle;
  uint64_t seq = 0;

  bench.options.segment_bytes = (uint64_t)1024 * 1024;
  bench.frame_len = 960;
  fb_open(&bench);
  handle = create("a", 1);
  ck_assert_uint_eq(writes_of(handle, &seq, 255), 1);
  simdisk_fail(&bench.disk, SIM_WRITE, 3, SIM_ERROR, EIO);
  ck_assert_uint_eq(writes_of(handle, &seq, 2), 3);
  ck_assert_uint_eq(fb_info(&bench).failures, 0);
  /* 16 KiB of them are there, which will do for as much. */
  ck_assert_uint_eq(writes_of(handle, &seq, 16), 1);
  ck_assert_uint_eq(writes_of(handle, &seq, 1), 1 + 16);
  weir__handle_release(handle);
  fb_cut(&bench);
  fb_open(&bench);
  (void)fb_contents(&bench, "a");
  ck_assert_uint_eq(bench.counts.present, seq);
}
END_TEST

/* Nor do any go where the hub's thread writes while a round runs. */
START_TEST(no_zeros_over_what_is_written_meanwhile) {
  struct weir__handle *handle;
  struct fb_call call;

  bench.options.sync = WEIR_SYNC_INTERVAL;
  bench.options.sync_interval = 500;
  bench.options.segment_bytes = (uint64_t)1024 * 1024;
  bench.frame_len = 960;
  fb_open(&bench);
  handle = create("a", 1);
  append(handle, 1, 1, 300);
  bench.kit.now += 500;
  ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_OK);
  fb_start_append(&bench, &call, handle, 1, 301, 320, 0);
  ck_assert_uint_eq(call.answers, 1);
  weir_log_file_run(bench.log);
  ck_assert_int_eq(weir_log_file_end(bench.log), WEIR_OK);
  weir__handle_release(handle);
  fb_kill(&bench);
  fb_open(&bench);
  expect("a", "1:320 *:320 | 1-320");
}
END_TEST

/* What gets no more records needs none. */
START_TEST(no_zeros_where_nothing_comes) {
  struct weir__handle *handle;
  struct fb_call call;
  size_t before;

  bench.options.segment_bytes = (uint64_t)1024 * 1024;
  bench.frame_len = 960;
  fb_open(&bench);
  handle = create("a", 1);
  append(handle, 1, 1, 255);
  fb_start_append(&bench, &call, handle, 1, 256, 260, 0);
  before = calls(SIM_WRITE);
  weir__handle_release(handle);
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  ck_assert_int_eq(call.result, WEIR_LOG_YES);
  ck_assert_uint_eq(calls(SIM_WRITE) - before, 2); /* and the index */
}
END_TEST

/* A buffer is used again, and not given up for a smaller one; but memory for
 * very much goes when that is written. */
START_TEST(buffers_are_kept) {
  struct weir__handle *handle;
  size_t live;

  bench.options.segment_bytes = (uint64_t)64 * 1024;
  bench.frame_len = 960;
  fb_open(&bench);
  handle = create("a", 1);
  append(handle, 1, 1, 30);
  ck_assert_uint_eq(bench.log->batch_cap, 32768);
  append(handle, 1, 31, 70); /* with the index of the first segment */
  ck_assert_uint_eq(fb_info(&bench).segments, 2);
  ck_assert_uint_eq(bench.log->batch_cap, 65536);
  append(handle, 1, 71, 71);
  ck_assert_uint_eq(bench.log->batch_cap, 65536);
  live = bench.memory.live;
  append(handle, 1, 72, 3000);
  ck_assert_uint_le(bench.log->batch_cap, (uint64_t)1024 * 1024);
  ck_assert_uint_lt(bench.memory.live, live + (uint64_t)64 * 1024);
  weir__handle_release(handle);
}
END_TEST

/* There is no memory for what is to be written at once: it is refused, and
 * nothing else. */
START_TEST(no_memory_for_a_buffer) {
  struct weir__handle *handle;
  struct fb_call call;
  size_t nth = 0;

  bench.options.sync = _i;
  bench.options.segment_bytes = (uint64_t)1024 * 1024;
  bench.frame_len = 960;
  fb_open(&bench);
  handle = create("a", 1);
  append(handle, 1, 1, 10);
  do {
    bench.memory.fail_at = bench.memory.calls + ++nth;
    fb_start_append(&bench, &call, handle, 1, 11, 110, 0);
    bench.memory.fail_at = 0;
    ck_assert_int_eq(fb_rounds(&bench), WEIR_OK);
    ck_assert_uint_eq(call.answers, 1);
  } while (call.result != WEIR_LOG_YES);
  ck_assert_uint_gt(nth, 2);
  weir__handle_release(handle);
  fb_reopen(&bench);
  expect("a", "1:110 *:110 | 1-110");
}
END_TEST

/* There is no room for a large segment, but for a small one. */
START_TEST(a_smaller_one) {
  const uint64_t mega = (uint64_t)1024 * 1024;
  struct weir__handle *handle;
  uint64_t seq = 0;

  bench.options.sync = _i;
  bench.options.segment_bytes = 64 * mega;
  bench.frame_len = 60000;
  fb_open(&bench);
  handle = create("a", 1);
  while (fb_info(&bench).segments < 3) {
    seq += 1;
    append(handle, 1, seq, seq);
  }
  bench.disk.room = fb_info(&bench).bytes + mega;
  while (fb_append(&bench, handle, 1, seq + 1, seq + 1, 0) == WEIR_LOG_YES) {
    seq += 1;
  }
  weir__handle_release(handle);
  handle = create("b", 2);
  ck_assert_int_eq(fb_append(&bench, handle, 2, 1, 10, 0), WEIR_LOG_YES);
  weir__handle_release(handle);
}
END_TEST

/* The first ones are small, and each is twice as large as the one before. */
START_TEST(segments_grow) {
  static const unsigned want[] = {1, 2, 4, 5, 5};
  struct weir__handle *handle;
  uint64_t bytes = 0;
  uint64_t seq = 0;
  size_t i;

  bench.options.segment_bytes = (uint64_t)5 * 1024 * 1024;
  bench.frame_len = 60000;
  fb_open(&bench);
  handle = create("a", 1);
  for (i = 0; i < sizeof want / sizeof want[0]; ++i) {
    while (fb_info(&bench).segments <= i) {
      seq += 1;
      append(handle, 1, seq, seq);
    }
    ck_assert_uint_eq(bench.log->active->size, (uint64_t)want[i] << 20);
    bytes += bench.log->active->size;
    ck_assert_uint_le(fb_info(&bench).bytes, bytes);
  }
  weir__handle_release(handle);
}
END_TEST

/* What was being made when the process died goes with the next open. */
START_TEST(what_was_not_made_goes) {
  static const unsigned char bytes[100] = {1};

  fb_open(&bench);
  fb_write(&bench, "a", 1, 30);
  fb_kill(&bench);
  simdisk_put(&bench.disk, "weir-0000000000000002.log.new", bytes,
              sizeof bytes);
  ck_assert_ptr_nonnull(unmade());
  fb_open(&bench);
  ck_assert_ptr_null(unmade());
  expect("a", "1:30 *:30 | 1-30");
  fb_write(&bench, "b", 2, 60);
  fb_reopen(&bench);
  expect("b", "2:60 *:60 | 1-60");
}
END_TEST

/* Rows: the call with which a segment cannot be made. */
static const int steps[] = {SIM_MAKE, SIM_RESERVE, SIM_WRITE,     SIM_SYNC,
                            SIM_SIZE, SIM_RENAME,  SIM_SYNC_NAMES};

#define STEPS ((int)(sizeof steps / sizeof steps[0]))

/* A segment that is needed cannot be made: what was to be in it is refused, and
 * it never was; then all goes on. */
START_TEST(a_segment_that_cannot_be_made) {
  const int sync = _i / STEPS;
  const int step = steps[_i % STEPS];
  struct weir__handle *handle = NULL;
  struct fb_call call;
  size_t names;

  bench.options.sync = sync;
  fb_open(&bench);
  simdisk_fail(&bench.disk, step, 1, SIM_ERROR, EIO);
  ck_assert_int_lt(fb_create(&bench, "a", 0, 1, &handle), 0);
  ck_assert_ptr_null(handle);
  ck_assert(fb_said(&bench, "cannot be made"));
  ck_assert_uint_eq(fb_info(&bench).segments, 0);
  ck_assert_uint_eq(fb_info(&bench).bytes, 0);
  ck_assert_ptr_null(simdisk_name(&bench.disk, 0));
  expect("a", "none");
  handle = create("a", 2);
  append(handle, 2, 1, 30);
  bench.options.report = NULL;
  names = bench.disk.name_count;
  simdisk_fail(&bench.disk, step, 1, SIM_ERROR, EIO);
  fb_start_append(&bench, &call, handle, 2, 31, 80, 0);
  (void)fb_rounds(&bench);
  ck_assert_uint_eq(call.answers, 1);
  simdisk_heal(&bench.disk);
  if (call.result != WEIR_LOG_YES) {
    ck_assert_uint_eq(fb_info(&bench).segments, 1);
    ck_assert_uint_eq(bench.disk.name_count, names);
    expect("a", "2:30 | 1-30");
    append(handle, 2, 31, 80);
  }
  weir__handle_release(handle);
  fb_cut(&bench);
  fb_open(&bench);
  if (sync == WEIR_SYNC_ALWAYS) {
    expect("a", "2:80 *:80 | 1-80");
  } else {
    ck_assert_str_ne(fb_contents(&bench, "a"), "none");
  }
}
END_TEST

/* More segments have been filled than one round sees to. */
START_TEST(many_at_once) {
  struct fb_call appends[20];
  struct weir__handle *handle;
  uint64_t i;

  bench.options.sync = _i;
  fb_open(&bench);
  handle = create("a", 1);
  for (i = 0; i < 20; ++i) {
    fb_start_append(&bench, &appends[i], handle, 1, i * 30 + 1, i * 30 + 30, 0);
  }
  ck_assert_uint_ge(fb_info(&bench).segments, 20);
  ck_assert_int_eq(fb_rounds(&bench), WEIR_OK);
  for (i = 0; i < 20; ++i) {
    ck_assert_int_eq(appends[i].result, WEIR_LOG_YES);
  }
  weir__handle_release(handle);
  fb_cut(&bench);
  fb_open(&bench);
  expect("a", "1:600 *:600 | 1-600");
}
END_TEST

/* There was no memory for the first record of a segment, and then it is closed:
 * it has nothing in it, and disturbs nobody. */
START_TEST(a_segment_with_nothing) {
  struct weir__handle *handle;
  size_t nth = 0;

  do {
    fb_end(&bench);
    fb_init(&bench);
    fb_open(&bench);
    bench.memory.fail_at = bench.memory.calls + ++nth;
    (void)fb_create(&bench, "a", 0, 1, &handle);
    bench.memory.fail_at = 0;
    weir__handle_release(handle);
  } while (bench.log->active == NULL || bench.log->active->pending_cap != 0);
  expect("a", "none");
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  ck_assert_ptr_null(unmade());
  fb_open(&bench);
  expect("a", "none");
  fb_write(&bench, "a", 2, 3);
  fb_reopen(&bench);
  expect("a", "2:3 *:3 | 1-3");
}
END_TEST

/* --- A file that vanishes --------------------------------------------------*/

/* Somebody removes the file that is being appended to: what was to be in it is
 * refused, what is in others can be read, and new streams work. */
START_TEST(a_file_that_vanishes) {
  struct weir__handle *handle;
  const char *name;

  fb_open(&bench);
  fb_write(&bench, "a", 1, 30);
  fb_reopen(&bench);
  handle = create("b", 2);
  append(handle, 2, 1, 3);
  name = simdisk_name(&bench.disk, 1);
  ck_assert_ptr_nonnull(name);
  simdisk_remove(&bench.disk, name);
  ck_assert_int_lt(fb_append(&bench, handle, 2, 4, 5, 0), 0);
  weir__handle_release(handle);
  ck_assert(fb_said(&bench, "cannot be synced"));
  expect("a", "1:30 *:30 | 1-30");
  fb_write(&bench, "c", 3, 4);
  fb_cut(&bench);
  fb_open(&bench);
  expect("a", "1:30 *:30 | 1-30");
  expect("c", "3:4 *:4 | 1-4");
}
END_TEST

/* Somebody cuts off the file that is being appended to: nothing is acknowledged
 * that came into it from then on. */
START_TEST(a_file_that_is_cut_off) {
  struct weir__handle *handle;
  const char *name;

  bench.options.sync = _i;
  fb_open(&bench);
  fb_write(&bench, "a", 1, 30);
  fb_reopen(&bench);
  handle = create("b", 2);
  append(handle, 2, 1, 3);
  name = simdisk_name(&bench.disk, 1);
  ck_assert_ptr_nonnull(name);
  simdisk_resize(&bench.disk, name, 0);
  if (_i == WEIR_SYNC_ALWAYS) {
    ck_assert_int_lt(fb_append(&bench, handle, 2, 4, 5, 0), 0);
  } else {
    append(handle, 2, 4, 5);
    ck_assert_int_eq(fb_append(&bench, handle, 2, 6, 60, 0), WEIR_LOG_YES);
    bench.kit.now += 2000;
    (void)fb_rounds(&bench);
  }
  weir__handle_release(handle);
  ck_assert(fb_said(&bench, "cannot be synced"));
  ck_assert_str_ne(fb_contents(&bench, "b"), "none");
  ck_assert_uint_ge(bench.counts.lost, 3);
  expect("a", "1:30 *:30 | 1-30");
  fb_write(&bench, "c", 3, 4);
  expect("c", "3:4 | 1-4");
}
END_TEST

/* Readers have all descriptors that there are: a segment can be made all the
 * same. */
START_TEST(a_descriptor_to_spare) {
  struct weir__handle *handle;

  fb_open(&bench);
  fb_write(&bench, "a", 1, 1000);
  handle = create("b", 2);
  (void)fb_contents(&bench, "a");
  ck_assert_uint_eq(bench.counts.present, 1000);
  ck_assert_uint_gt(bench.disk.open, 2);
  bench.disk.fd_most = bench.disk.open;
  append(handle, 2, 1, 100);
  weir__handle_release(handle);
  ck_assert_uint_eq(fb_info(&bench).failures, 0);
}
END_TEST

static TCase *rounds(void) {
  TCase *tcase = tcase_create("rounds");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, always_is_a_group_commit);
  tcase_add_test(tcase, an_interval_is_kept);
  tcase_add_test(tcase, never_is_but_now_and_then);
  tcase_add_loop_test(tcase, only_a_run_waits_for_the_disk, 0, 3);
  tcase_add_loop_test(tcase, what_comes_behind_what_waits, 0, 3);
  tcase_add_loop_test(tcase, a_trim_behind_what_waits, 0, 3);
  tcase_add_loop_test(tcase, zeros_go_ahead, 0, 3);
  tcase_add_test(tcase, zeros_that_fail);
  tcase_add_test(tcase, no_zeros_over_what_is_written_meanwhile);
  tcase_add_test(tcase, no_zeros_where_nothing_comes);
  tcase_add_test(tcase, buffers_are_kept);
  tcase_add_loop_test(tcase, no_memory_for_a_buffer, 0, 3);
  tcase_add_loop_test(tcase, a_smaller_one, 0, 3);
  tcase_add_test(tcase, segments_grow);
  tcase_add_test(tcase, what_was_not_made_goes);
  tcase_add_loop_test(tcase, a_segment_that_cannot_be_made, 0, 3 * STEPS);
  tcase_add_loop_test(tcase, many_at_once, 0, 3);
  tcase_add_test(tcase, a_segment_with_nothing);
  tcase_add_test(tcase, a_file_that_vanishes);
  tcase_add_loop_test(tcase, a_file_that_is_cut_off, 0, 3);
  tcase_add_test(tcase, a_descriptor_to_spare);
  return tcase;
}

KIT_MAIN("log_rounds", rounds())
