/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The file log where it is narrow: what it refuses, what it is told by a disk
 * that fails in the middle, and files whose checksums are right but that say
 * what no log ever wrote. */

#include "../filebench.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "file_runs.h"
#include "file_segment.h"

static struct filebench bench;
static struct weir__crc32c crc;

static void setup(void) {
  fb_init(&bench);
  weir__crc32c_init(&crc, WEIR__CRC32C_WIDE);
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

/* What an answer was, and how much came with it. */
struct came {
  int result;
  size_t count;
  uint64_t first;
  uint64_t lost_through;
};

static void come(void *owner, int result, const weir_answer *answer,
                 struct weir__handle *handle) {
  struct came *came = owner;

  came->result = result;
  came->count = answer == NULL ? 0 : answer->record_count;
  came->first = came->count == 0 ? 0 : answer->records[0].seq;
  came->lost_through = answer == NULL ? 0 : answer->lost_through;
  weir__handle_release(handle);
}

/* --- Options and arguments -------------------------------------------------*/

START_TEST(options_are_looked_at) {
  weir_log_file_options options = bench.options;
  weir_allocator allocator = bench.memory.allocator;
  weir_log_file *log = NULL;

  options.allocator = &allocator;
  switch (_i) {
    case 0:
      options.size = 4;
      break;
    case 1:
      options.path = NULL;
      break;
    case 2:
      allocator.size = 4;
      break;
    case 3:
      allocator.alloc = NULL;
      break;
    case 4:
      allocator.free = NULL;
      break;
    case 5:
      options.sync = -1;
      break;
    case 6:
      options.sync = WEIR_SYNC_NEVER + 1;
      break;
    case 7:
      options.segment_bytes = 4095;
      break;
    case 8:
      options.segment_bytes = UINT64_C(0x200000001);
      break;
    case 9:
      options.reserved0 = 1;
      break;
    case 10:
      options.reserved[7] = 1;
      break;
    default:
      options.segment_bytes = UINT64_C(0x200000000);
      break;
  }
  ck_assert_int_eq(weir__log_file_open(&options, &bench.disk.io, &log),
                   _i == 11 ? WEIR_OK : WEIR_EINVAL);
  if (_i == 11) {
    ck_assert_int_eq(weir_log_file_close(log), WEIR_OK);
  } else {
    ck_assert_ptr_null(log);
  }
  ck_assert_uint_eq(bench.memory.live, 0);
}
END_TEST

START_TEST(a_small_struct_is_left_alone) {
  unsigned char bytes[sizeof(size_t)];

  memset(bytes, 7, sizeof bytes);
  weir_log_file_options_init((weir_log_file_options *)(void *)bytes, 3);
  ck_assert_mem_eq(bytes, "\7\7\7\7", 4);
}
END_TEST

START_TEST(a_listing_has_room) {
  weir_log_file_stream stream;
  uint64_t at = 0;

  fb_open(&bench);
  fb_write(&bench, "a", 1, 1);
  ck_assert_int_eq(weir_log_file_next_stream(bench.log, &at, NULL),
                   WEIR_EINVAL);
  stream.size = sizeof stream.size;
  ck_assert_int_eq(weir_log_file_next_stream(bench.log, &at, &stream),
                   WEIR_EINVAL);
  ck_assert_uint_eq(at, 0);
  stream.size = sizeof stream;
  ck_assert_int_eq(weir_log_file_next_stream(bench.log, &at, &stream), WEIR_OK);
  ck_assert_uint_eq(stream.generation, 1);
}
END_TEST

/* A round is begun, run and ended once. */
START_TEST(a_round_has_an_order) {
  struct fb_call call;
  size_t writes;

  fb_open(&bench);
  weir_log_file_run(bench.log);
  ck_assert_int_eq(weir_log_file_end(bench.log), WEIR_EINVAL);
  fb_start_create(&bench, &call, "a", 0, 1);
  ck_assert_int_eq(weir_log_file_get_timeout(bench.log), 0);
  ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_OK);
  ck_assert_int_eq(weir_log_file_get_timeout(bench.log), -1);
  ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_EBUSY);
  ck_assert_int_eq(weir_log_file_end(bench.log), WEIR_EINVAL);
  weir_log_file_run(bench.log);
  writes = bench.disk.calls_of[SIM_WRITE];
  weir_log_file_run(bench.log);
  ck_assert_uint_eq(bench.disk.calls_of[SIM_WRITE], writes);
  ck_assert_int_eq(weir_log_file_end(bench.log), WEIR_OK);
  ck_assert_int_eq(call.result, WEIR_LOG_YES);
  weir__handle_release(call.handle);
}
END_TEST

/* What a hub never asks. */
START_TEST(requests_are_looked_at) {
  static const struct {
    int mode;
    size_t key_len;
    size_t meta_len;
    uint32_t shared;
    uint64_t generation;
    uint64_t epoch;
    int result;
  } rows[] = {
      {WEIR_LOG_CREATE, 1, 0, 1, 0, 9, WEIR_ELOG},
      {WEIR_LOG_CREATE, 0, 0, 0, 0, 9, WEIR_ELOG},
      {WEIR_LOG_CREATE, WEIR_KEY_MAX + 1, 0, 0, 0, 9, WEIR_ELOG},
      {WEIR_LOG_CREATE, WEIR_KEY_MAX, WEIR_META_MAX + 1, 0, 0, 9, WEIR_ELOG},
      /* There is a generation of this name. */
      {WEIR_LOG_CREATE, 2, 0, 0, 0, 1, WEIR_EEXISTS},
      /* It is another stream's. */
      {WEIR_LOG_TAKE, 2, 0, 0, 1, 9, WEIR_ENOENT},
      {99, 1, 0, 0, 0, 9, WEIR_ELOG},
      {WEIR_LOG_CREATE, WEIR_KEY_MAX, WEIR_META_MAX, 0, 0, 9, WEIR_LOG_YES},
  };
  static char bytes[WEIR_META_MAX + WEIR_KEY_MAX];
  weir_log_request request;
  struct weir__call *place;
  struct came came;
  size_t i;

  memset(bytes, 'a', sizeof bytes);
  fb_open(&bench);
  fb_write(&bench, "a", 1, 1);
  for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    memset(&request, 0, sizeof request);
    memset(&came, 0, sizeof came);
    request.size = sizeof request;
    request.mode = rows[i].mode;
    request.key = bytes;
    request.key_len = rows[i].key_len;
    request.meta = bytes;
    request.meta_len = rows[i].meta_len;
    request.shared = rows[i].shared;
    request.generation = rows[i].generation;
    request.epoch = rows[i].epoch;
    weir__log_open(
        weir__log_prepare((struct weir__core *)(void *)bench.kit.hub), &request,
        come, &came, &place);
    (void)fb_rounds(&bench);
    ck_assert_msg(came.result == rows[i].result, "row %d: %d", (int)i,
                  came.result);
  }
  ck_assert_uint_eq(fb_info(&bench).streams, 2);
}
END_TEST

/* Batches that do not follow what there is, or are too large: sizes are
 * believed, since nothing is read of what is refused. */
START_TEST(batches_are_looked_at) {
  static const struct {
    uint64_t seqs[2];
    size_t frame_len;
    uint32_t flags;
    bool has_frame;
    size_t times;
    int result;
  } rows[] = {
      {{2, 3}, 8, 0, false, 1, WEIR_ELOG},
      {{3, 4}, 8, 0, true, 1, WEIR_ELOG},
      {{1, 2}, 8, 0, true, 1, WEIR_ELOG},
      {{2, 4}, 8, 0, true, 1, WEIR_ELOG},
      {{2, 3}, 8, WEIR_RECORD_END, true, 1, WEIR_ELOG},
      {{2, 3}, UINT32_MAX / 2 + (size_t)1, 0, true, 1, WEIR_ELOG},
      {{2, 3}, UINT32_MAX / 2, 0, true, 4, WEIR_ELOG},
      {{2, 3}, 8, 0, true, 1, WEIR_LOG_YES},
  };
  struct weir__handle *handle;
  struct weir__call *place;
  weir_record records[8];
  struct came came;
  size_t count;
  size_t i;
  size_t j;

  fb_open(&bench);
  handle = create("a", 1);
  append(handle, 1, 1, 1);
  for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    count = rows[i].times * 2;
    memset(records, 0, sizeof records);
    memset(&came, 0, sizeof came);
    for (j = 0; j < count; ++j) {
      records[j].size = sizeof records[j];
      records[j].epoch = 1;
      records[j].seq = j < 2 ? rows[i].seqs[j] : j + 2;
      records[j].frame = rows[i].has_frame ? "1-2 abcd" : NULL;
      records[j].frame_len = rows[i].frame_len;
      records[j].flags = j == 0 ? rows[i].flags : 0;
    }
    ck_assert_int_eq(
        weir__log_append(handle, records, count, NULL, 0, come, &came, &place),
        WEIR_OK);
    (void)fb_rounds(&bench);
    ck_assert_msg(came.result == rows[i].result, "row %d: %d", (int)i,
                  came.result);
  }
  weir__handle_release(handle);
  ck_assert_uint_eq(fb_info(&bench).events, 3);
}
END_TEST

/* The limits of what grows. */
START_TEST(more_than_can_be) {
  unsigned char *buffer = NULL;
  struct weir__file_stream *stream;
  uint64_t most;
  size_t cap = 0;

  fb_open(&bench);
  fb_write(&bench, "a", 1, 1);
  ck_assert(!weir__file_reserve(bench.log, &buffer, &cap, SIZE_MAX));
  ck_assert_uint_eq(cap, 0);
  ck_assert_ptr_null(buffer);
  /* Places for what a segment has room for, and for some that is lost. */
  stream = weir__file_find(bench.log, 1);
  most = bench.log->active->size / WEIR__RECORD_SIZE + 131072;
  ck_assert_int_eq(
      weir__runs_note(bench.log, bench.log->active, stream, most + 1, 64),
      WEIR_EFORMAT);
  ck_assert_int_eq(
      weir__runs_note(bench.log, bench.log->active, stream, most, 64), WEIR_OK);
  expect("a", "1:1 | 1");
}
END_TEST

START_TEST(names_of_segments) {
  static const struct {
    const char *name;
    uint64_t number;
    bool made;
  } rows[] = {
      {"weir-0000000000000001.log", 1, true},
      {"weir-0000000000000001.log.new", 1, false},
      {"weir-0edcba9876543210.log", UINT64_C(0xedcba9876543210), true},
      {"weir-0fffffffffffffff.log", UINT64_C(0xfffffffffffffff), true},
      {"weir-1000000000000000.log", 0, true},
      {"weir-ffffffffffffffff.log", 0, true},
      {"weir-0000000000000000.log", 0, false},
      {"weir-000000000000000A.log", 0, false},
      {"weir-000000000000000g.log", 0, false},
      {"weir-000000000000000`.log", 0, false},
      {"weir-000000000000000/.log", 0, false},
      {"weir-000000000000000:.log", 0, false},
      {"weir-0x00000000000001.log", 0, false},
      {"weir- 000000000000001.log", 0, false},
      {"weir-+000000000000001.log", 0, false},
      {"weir--000000000000001.log", 0, false},
      {"weir-00000000000000001.log", 0, false},
      {"weir-10000000000000000000000001.log", 0, false},
      {"weir-.log", 0, false},
      {"weir-.new", 0, false},
      {"weir-00000000", 0, false},
      {"weir-0000000000000001", 0, false},
      {"weir-0000000000000001.log.old", 0, false},
      {"Weir-0000000000000001.log", 0, false},
  };
  uint64_t number;
  bool made;
  size_t i;

  for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    number = weir__segment_number(rows[i].name, &made);
    ck_assert_msg(number == rows[i].number, "%s", rows[i].name);
    ck_assert(number == 0 || made == rows[i].made);
  }
}
END_TEST

/* --- What surrounds it -----------------------------------------------------*/

static int draws;

static int few_bits(void *user, void *dst, size_t len) {
  (void)user;
  memset(dst, 5, len);
  return draws-- > 0;
}

/* Without random bits there are no segments; and then there are. */
START_TEST(no_entropy) {
  struct weir__handle *handle;
  int i;

  bench.options.entropy = few_bits;
  for (i = 0; i < 4; ++i) {
    draws = i;
    ck_assert_int_eq(fb_try(&bench), WEIR_EENTROPY);
  }
  draws = 4;
  fb_open(&bench);
  ck_assert_int_eq(draws, 0);
  ck_assert_int_eq(fb_create(&bench, "a", 0, 1, &handle), WEIR_ELOG);
  ck_assert_uint_eq(fb_info(&bench).segments, 0);
  draws = 1;
  handle = create("a", 1);
  draws = 0;
  ck_assert_int_eq(fb_append(&bench, handle, 1, 1, 30, 0), WEIR_LOG_YES);
  ck_assert_int_eq(fb_append(&bench, handle, 1, 31, 60, 0), WEIR_ELOG);
  ck_assert_uint_eq(fb_info(&bench).segments, 1);
  draws = 1;
  append(handle, 1, 31, 60);
  weir__handle_release(handle);
  expect("a", "1:60 | 1-60");
}
END_TEST

/* An epoch that is drawn is never 0: the one seed that would give it. */
static int chosen_bits(void *user, void *dst, size_t len) {
  const uint64_t chance = UINT64_C(0) - UINT64_C(0x9e3779b97f4a7c15);

  (void)user;
  memset(dst, 5, len);
  if (len == sizeof chance) {
    memcpy(dst, &chance, sizeof chance);
  }
  return 1;
}

START_TEST(no_epoch_is_zero) {
  fb_open(&bench);
  fb_write(&bench, "a", 7, 2);
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  bench.options.entropy = chosen_bits;
  fb_open(&bench);
  expect("a", "7:2 1:2 | 1-2");
}
END_TEST

/* Time steps back after every look at it. */
static uint64_t backwards(void *user) {
  uint64_t *now = user;

  return (*now)--;
}

START_TEST(a_clock_that_steps_back) {
  static uint64_t now = 100000; /* also when the log is closed */

  bench.options.sync = WEIR_SYNC_INTERVAL;
  bench.options.clock = backwards;
  bench.options.clock_user = &now;
  fb_open(&bench);
  fb_write(&bench, "a", 1, 1);
  do {
    /* Due, and when it is looked for, not any more. */
    now = bench.log->active->dirty_at + bench.options.sync_interval + 4;
  } while (
      weir_log_file_begin(bench.log) == WEIR_OK &&
      (weir_log_file_run(bench.log), weir_log_file_end(bench.log) == WEIR_OK));
  expect("a", "1:1 | 1");
}
END_TEST

/* A clock on the wall that goes on after it has been read so many times. */
static size_t readings;

static uint64_t go_on(void *user) {
  const uint64_t *wall = user;

  if (readings == 0) {
    return *wall + 2000;
  }
  readings -= 1;
  return *wall;
}

/* Something becomes too old while a round is begun: it goes with this one, or
 * with the next. */
START_TEST(time_passes_in_a_round) {
  size_t rounds;
  size_t late = 0;
  size_t i;
  int rv;

  for (i = 0; i < 12; ++i) {
    bench.options.keep_age = 1000;
    readings = SIZE_MAX;
    bench.options.wall = go_on;
    bench.options.wall_user = &bench.wall;
    fb_open(&bench);
    fb_write(&bench, "a", 1, 60);
    (void)fb_rounds(&bench);
    readings = i;
    rv = weir_log_file_begin(bench.log);
    late += rv == WEIR_EAGAIN;
    if (rv == WEIR_OK) {
      weir_log_file_run(bench.log);
      ck_assert_int_eq(weir_log_file_end(bench.log), WEIR_OK);
    } else {
      ck_assert_int_eq(rv, WEIR_EAGAIN);
    }
    readings = 0;
    for (rounds = 0; fb_info(&bench).removed == 0; ++rounds) {
      ck_assert_uint_lt(rounds, 3);
      ck_assert_int_eq(fb_rounds(&bench), WEIR_OK);
    }
    fb_end(&bench);
    fb_init(&bench);
  }
  ck_assert_uint_gt(late, 0);
}
END_TEST

/* Why a directory cannot be used is said once, and in the words that say most.
 */
START_TEST(what_is_said_of_a_directory) {
  bench.disk.is_locked = true;
  ck_assert_int_eq(fb_try(&bench), WEIR_ELOCKED);
  ck_assert_str_eq(bench.reports.data, "");
  bench.disk.is_locked = false;
  simdisk_fail(&bench.disk, SIM_ENTER, 1, SIM_ERROR, EACCES);
  ck_assert_int_eq(fb_try(&bench), WEIR_EACCESS);
  ck_assert(fb_said(&bench, "log: Permission denied"));
}
END_TEST

/* Nobody wants to be told. */
START_TEST(no_report) {
  uint64_t size;

  bench.options.report = NULL;
  fb_open(&bench);
  fb_write(&bench, "a", 1, 3);
  fb_kill(&bench);
  fb_segment(&bench, 0, &size)[fb_find(&bench, 0, 1, 2) + 20] ^= 1;
  fb_open(&bench);
  ck_assert_uint_eq(bench.reports.len, 0);
}
END_TEST

/* --- Calls under way -------------------------------------------------------*/

/* Two take over, one after the other, while appends of this and of another
 * stream are under way; and then the disk says no, or yes. */
START_TEST(two_takings_over) {
  struct weir__handle *a = NULL;
  struct weir__handle *b = NULL;
  struct fb_call calls[4];
  size_t i;

  fb_open(&bench);
  a = create("a", 1);
  b = create("b", 2);
  append(a, 1, 1, 1);
  fb_start_append(&bench, &calls[0], a, 1, 2, 3, 0);
  fb_start_append(&bench, &calls[1], b, 2, 1, 2, 0);
  fb_start_take(&bench, &calls[2], "a", 1, 3);
  fb_start_take(&bench, &calls[3], "a", 1, 4);
  if (_i == 0) {
    simdisk_fail(&bench.disk, SIM_SYNC, 1, SIM_ERROR, EIO);
  }
  (void)fb_rounds(&bench);
  for (i = 0; i < 4; ++i) {
    ck_assert_uint_eq(calls[i].answers, 1);
    ck_assert_int_eq(calls[i].result, _i == 0  ? WEIR_EIO
                                      : i == 0 ? WEIR_EFENCED
                                               : WEIR_LOG_YES);
    weir__handle_release(calls[i].handle);
  }
  weir__handle_release(a);
  weir__handle_release(b);
  expect("a", "1:1 3:1 4:1 | 1");
  expect("b", _i == 0 ? "2:0 |" : "2:2 | 1-2");
}
END_TEST

/* What a new generation was to hide has gone meanwhile: nothing comes back. */
START_TEST(nothing_comes_back) {
  struct weir__handle *handle;
  struct fb_call call;

  bench.options.keep_ended = 1000;
  fb_open(&bench);
  handle = create("a", 1);
  ck_assert_int_eq(fb_append(&bench, handle, 1, 1, 2, WEIR_RECORD_END),
                   WEIR_LOG_YES);
  weir__handle_release(handle);
  fb_start_create(&bench, &call, "a", 1, 2);
  bench.wall += 2000;
  simdisk_fail(&bench.disk, SIM_SYNC, 1, SIM_ERROR, EIO);
  (void)fb_rounds(&bench);
  ck_assert_int_eq(call.result, WEIR_EIO);
  expect("a", "none");
  ck_assert_uint_eq(fb_info(&bench).streams, 0);
}
END_TEST

/* No memory for a last round, and no disk for the one before: what is under
 * way is refused, and nothing is left. */
START_TEST(a_close_that_fails) {
  struct fb_call calls[2];
  struct weir__handle *handle;
  int rv;

  fb_open(&bench);
  handle = create("a", 1);
  fb_start_append(&bench, &calls[0], handle, 1, 1, 20, 0);
  fb_start_append(&bench, &calls[1], handle, 1, 21, 60, 0);
  weir__handle_release(handle);
  bench.memory.fail_at = bench.memory.calls + 1 + (unsigned)_i;
  bench.memory.fail_on = true;
  simdisk_fail_on(&bench.disk, SIM_SYNC, 1, SIM_ERROR, ENOSPC);
  rv = fb_close(&bench);
  ck_assert_int_eq(rv, _i == 0 ? WEIR_ENOMEM : WEIR_EFULL);
  bench.memory.fail_at = 0;
  simdisk_heal(&bench.disk);
  fb_open(&bench);
  (void)fb_contents(&bench, "a");
  ck_assert_uint_eq(bench.counts.lost, 0);
}
END_TEST

/* While a round is under way nothing is closed, and nothing touched. */
START_TEST(a_close_during_a_round) {
  struct weir__handle *handle;
  struct fb_call call;
  size_t calls;

  fb_open(&bench);
  handle = create("a", 1);
  fb_start_append(&bench, &call, handle, 1, 1, 3, 0);
  weir__handle_release(handle);
  ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_OK);
  calls = bench.disk.calls;
  ck_assert_int_eq(weir_log_file_close(bench.log), WEIR_EBUSY);
  weir_log_file_run(bench.log);
  ck_assert_uint_gt(bench.disk.calls, calls);
  calls = bench.disk.calls;
  ck_assert_int_eq(weir_log_file_close(bench.log), WEIR_EBUSY);
  ck_assert_uint_eq(bench.disk.calls, calls);
  ck_assert_int_eq(weir_log_file_end(bench.log), WEIR_OK);
  ck_assert_int_eq(call.result, WEIR_LOG_YES);
  ck_assert(!bench.log->active->full);
  fb_reopen(&bench);
  expect("a", "1:3 *:3 | 1-3");
}
END_TEST

START_TEST(a_buffer_that_is_large_enough_takes_no_memory) {
  static struct weir_log_file log;
  unsigned char *buffer = NULL;
  size_t cap = 0;
  size_t calls;

  log.allocator = bench.memory.allocator;
  ck_assert(weir__file_reserve(&log, &buffer, &cap, 5000));
  ck_assert_uint_ge(cap, 5000);
  calls = bench.memory.calls;
  ck_assert(weir__file_reserve(&log, &buffer, &cap, 1));
  ck_assert(weir__file_reserve(&log, &buffer, &cap, cap));
  ck_assert_uint_eq(bench.memory.calls, calls);
  weir__file_free(&log, buffer, cap);
}
END_TEST

/* What has been appended behind what is being written, and that fails: it has
 * not been stored, and does not come to the disk later. */
START_TEST(what_waits_behind_a_failed_write_is_void) {
  struct weir__handle *a;
  struct weir__handle *b;
  struct fb_call first;
  struct fb_call second;
  size_t writes;

  bench.options.sync = WEIR_SYNC_ALWAYS;
  fb_open(&bench);
  a = create("a", 1);
  b = create("b", 2);
  append(a, 1, 1, 1);
  append(b, 2, 1, 1);
  fb_start_append(&bench, &first, a, 1, 2, 2, 0);
  ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_OK);
  fb_start_append(&bench, &second, b, 2, 2, 2, 0);
  simdisk_fail(&bench.disk, SIM_WRITE, 1, SIM_ERROR, EIO);
  weir_log_file_run(bench.log);
  ck_assert_int_eq(weir_log_file_end(bench.log), WEIR_EIO);
  simdisk_heal(&bench.disk);
  ck_assert_uint_eq(first.answers, 1);
  ck_assert_int_eq(first.result, WEIR_EIO);
  ck_assert_uint_eq(second.answers, 1);
  ck_assert_int_eq(second.result, WEIR_EIO);
  ck_assert_ptr_null(weir__segment_upto(bench.log, 1)->pending);
  weir__handle_release(a);
  weir__handle_release(b);
  ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_OK);
  writes = bench.disk.calls_of[SIM_WRITE];
  weir_log_file_run(bench.log);
  ck_assert_uint_eq(bench.disk.calls_of[SIM_WRITE], writes + 1); /* an index */
  ck_assert_int_eq(weir_log_file_end(bench.log), WEIR_OK);
  expect("a", "1:1 | 1");
  expect("b", "2:1 | 1");
  fb_kill(&bench);
  fb_open(&bench);
  expect("a", "1:1 *:1 | 1");
  expect("b", "2:1 *:1 | 1");
}
END_TEST

/* Of segments that are only read few files stay open. */
START_TEST(files_do_not_stay_open) {
  fb_open(&bench);
  fb_write(&bench, "a", 1, 3000);
  ck_assert_uint_gt(fb_info(&bench).segments, 80);
  (void)fb_contents(&bench, "a");
  ck_assert_uint_eq(bench.counts.present, 3000);
  ck_assert_uint_eq(bench.disk.open, 64 + 1); /* and the active one */
}
END_TEST

/* One event after number `after`, of a stream whose handle this is. */
static void read_after(struct weir__handle *handle, uint64_t after) {
  struct weir__call *place;
  struct came came;

  memset(&came, 0, sizeof came);
  ck_assert_int_eq(
      weir__log_read(handle, after, after + 1, 4096, come, &came, &place),
      WEIR_OK);
  ck_assert_int_eq(came.result, WEIR_LOG_YES);
  ck_assert_uint_eq(came.count, 1);
  ck_assert_uint_eq(came.first, after + 1);
}

/* Whoever reads on is not looked for from the newest segment on, each time that
 * one has been read: that would be a file for every newer one. */
START_TEST(reading_on_opens_each_file_once) {
  size_t before;
  size_t segments;

  fb_open(&bench);
  fb_write(&bench, "a", 1, 6000);
  segments = (size_t)fb_info(&bench).segments;
  ck_assert_uint_gt(segments, 150);
  before = bench.disk.calls_of[SIM_OPEN];
  (void)fb_contents(&bench, "a");
  ck_assert_uint_eq(bench.counts.present, 6000);
  ck_assert_uint_le(bench.disk.calls_of[SIM_OPEN] - before, 2 * segments);
}
END_TEST

/* Nor if there are others elsewhere in the stream, as many as are recalled. */
START_TEST(readers_of_one_stream_do_not_disturb_each_other) {
  enum { READERS = WEIR__RECALLED_MOST + 1, STEP = 90, EACH = 70 };
  struct weir__handle *handle;
  size_t before = 0;
  uint64_t i;
  uint64_t j;

  fb_open(&bench);
  fb_write(&bench, "a", 1, 2);
  fb_write(&bench, "b", 2, (READERS + 1) * STEP);
  fb_reopen(&bench);
  ck_assert_int_eq(fb_lookup(&bench, "b", &handle), WEIR_LOG_YES);
  for (i = 0; i < EACH; ++i) {
    for (j = 0; j < READERS; ++j) {
      read_after(handle, j * STEP + i);
      if (j == 0) {
        (void)fb_contents(&bench, "a");
      }
    }
    if (i == 0) {
      before = bench.disk.calls_of[SIM_OPEN];
    }
  }
  weir__handle_release(handle);
  /* Places and records of each, and perhaps those of the next segments. */
  ck_assert_uint_le(bench.disk.calls_of[SIM_OPEN] - before,
                    (size_t)READERS * EACH * 2);
}
END_TEST

/* Readers of three streams that read on, or leap, in any order: each gets what
 * comes next, whoever else has been where. */
START_TEST(readers_anywhere) {
  enum { READERS = 90, READS = 20000 };
  static const uint64_t steps[] = {40, 3, 1};
  struct weir__handle *handles[3];
  uint64_t last[3] = {0, 0, 0};
  uint64_t at[READERS];
  uint64_t seed = 7;
  size_t i;
  size_t j;

  fb_open(&bench);
  handles[0] = create("a", 1);
  handles[1] = create("b", 2);
  handles[2] = create("c", 3);
  for (i = 0; i < 200; ++i) {
    for (j = 0; j < 3; ++j) {
      if (sim_draw(&seed) % 4 != 0) {
        append(handles[j], j + 1, last[j] + 1, last[j] + steps[j]);
        last[j] += steps[j];
      }
    }
  }
  ck_assert_uint_gt(fb_info(&bench).segments, 150);
  for (i = 0; i < READERS; ++i) {
    at[i] = sim_draw(&seed) % last[i % 3];
  }
  for (i = 0; i < READS; ++i) {
    j = (size_t)(sim_draw(&seed) % READERS);
    if (at[j] == last[j % 3] || sim_draw(&seed) % 50 == 0) {
      at[j] = sim_draw(&seed) % last[j % 3];
    }
    read_after(handles[j % 3], at[j]);
    at[j] += 1;
  }
  for (i = 0; i < 3; ++i) {
    weir__handle_release(handles[i]);
  }
}
END_TEST

/* A stream that is in few of many segments, and in some without an event; from
 * none in between to more than are looked into on the way. */
START_TEST(a_stream_with_long_silences) {
  struct weir__handle *rare;
  struct weir__handle *often;
  uint64_t seq = 0;
  uint64_t i;
  uint64_t j;

  fb_open(&bench);
  often = create("b", 2);
  rare = create("a", 1);
  for (i = 1; i <= 40; ++i) {
    append(rare, 1, i, i);
    for (j = 0; j < i % 13; ++j, seq += 30) {
      append(often, 2, seq + 1, seq + 30);
    }
    if (i % 2 == 0) {
      ck_assert_int_eq(fb_trim(&bench, rare, i / 2), WEIR_LOG_YES);
    }
    append(often, 2, seq + 1, seq + 30);
    seq += 30;
  }
  weir__handle_release(rare);
  weir__handle_release(often);
  expect("a", "1:40 trimmed 20 | 21-40");
  fb_reopen(&bench);
  expect("a", "1:40 *:40 trimmed 20 | 21-40");
}
END_TEST

static TCase *edges(void) {
  TCase *tcase = tcase_create("edges");

  tcase_set_timeout(tcase, 60);
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, options_are_looked_at, 0, 12);
  tcase_add_test(tcase, a_small_struct_is_left_alone);
  tcase_add_test(tcase, a_listing_has_room);
  tcase_add_test(tcase, a_round_has_an_order);
  tcase_add_test(tcase, what_waits_behind_a_failed_write_is_void);
  tcase_add_test(tcase, files_do_not_stay_open);
  tcase_add_test(tcase, reading_on_opens_each_file_once);
  tcase_add_test(tcase, readers_of_one_stream_do_not_disturb_each_other);
  tcase_add_test(tcase, readers_anywhere);
  tcase_add_test(tcase, a_stream_with_long_silences);
  tcase_add_test(tcase, requests_are_looked_at);
  tcase_add_test(tcase, batches_are_looked_at);
  tcase_add_test(tcase, more_than_can_be);
  tcase_add_test(tcase, names_of_segments);
  tcase_add_test(tcase, no_entropy);
  tcase_add_test(tcase, no_epoch_is_zero);
  tcase_add_test(tcase, a_clock_that_steps_back);
  tcase_add_test(tcase, time_passes_in_a_round);
  tcase_add_test(tcase, what_is_said_of_a_directory);
  tcase_add_test(tcase, no_report);
  tcase_add_loop_test(tcase, two_takings_over, 0, 2);
  tcase_add_test(tcase, nothing_comes_back);
  tcase_add_loop_test(tcase, a_close_that_fails, 0, 2);
  tcase_add_test(tcase, a_close_during_a_round);
  tcase_add_test(tcase, a_buffer_that_is_large_enough_takes_no_memory);
  return tcase;
}

KIT_MAIN("log_edges", edges())
