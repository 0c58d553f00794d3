/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The file log, call by call: what is stored, and what is left of it after
 * whatever may happen to files. */

#include "../filebench.h"

#include <errno.h>
#include <string.h>

static struct filebench bench;

static void setup(void) {
  fb_init(&bench);
}

static void teardown(void) {
  fb_end(&bench);
}

#define expect(key, text) ck_assert_str_eq(fb_contents(&bench, key), text)

/* --- A life ----------------------------------------------------------------*/

START_TEST(round_trip) {
  struct weir__handle *handle;

  bench.options.sync = _i % 3;
  bench.real = _i >= 3;
  fb_open(&bench);
  expect("k", "none");
  fb_write(&bench, "k", 7, 3);
  expect("k", "7:3 | 1-3");
  fb_reopen(&bench);
  expect("k", "7:3 *:3 | 1-3");
  ck_assert_int_eq(fb_take(&bench, "k", 7, 8, &handle), WEIR_LOG_YES);
  ck_assert_int_eq(fb_append(&bench, handle, 8, 4, 9, WEIR_RECORD_END),
                   WEIR_LOG_YES);
  weir__handle_release(handle);
  expect("k", "7:3 *:3 8:9 ended | 1-9");
  fb_reopen(&bench);
  expect("k", "7:3 *:3 8:9 ended | 1-9");
}
END_TEST

/* --- Segments --------------------------------------------------------------*/

/* Append events first to last of a stream that has a handle. */
static void append(struct weir__handle *handle, uint64_t epoch, uint64_t first,
                   uint64_t last) {
  ck_assert_int_eq(fb_append(&bench, handle, epoch, first, last, 0),
                   WEIR_LOG_YES);
}

static struct weir__handle *create(const char *key, uint64_t epoch) {
  struct weir__handle *handle;

  ck_assert_int_eq(fb_create(&bench, key, 0, epoch, &handle), WEIR_LOG_YES);
  return handle;
}

/* Streams in turn, over many segments, with what each of them is left by. */
START_TEST(many_segments) {
  struct weir__handle *handles[3];
  uint64_t seq;
  size_t i;

  bench.options.sync = _i / 3;
  fb_open(&bench);
  handles[0] = create("a", 1);
  handles[1] = create("b", 2);
  handles[2] = create("c", 3);
  for (seq = 1; seq <= 300; ++seq) {
    append(handles[0], 1, seq, seq);
    append(handles[1 + seq % 2], 2 + seq % 2, (seq + 1) / 2, (seq + 1) / 2);
  }
  for (i = 0; i < 3; ++i) {
    weir__handle_release(handles[i]);
  }
  ck_assert_uint_gt(fb_info(&bench).segments, 10);
  expect("a", "1:300 | 1-300");
  if (_i % 3 == 0) {
    fb_reopen(&bench);
  } else if (_i % 3 == 1) {
    fb_kill(&bench);
    fb_open(&bench);
  } else {
    (void)fb_rounds(&bench);
    ck_assert_int_eq(weir_log_file_timeout(bench.log) == 0, 0);
    fb_cut(&bench);
    fb_open(&bench);
  }
  if (_i % 3 != 2 || _i == 2) {
    expect("a", "1:300 *:300 | 1-300");
    expect("b", "2:150 *:150 | 1-150");
    expect("c", "3:150 *:150 | 1-150");
  }
  ck_assert(!fb_said(&bench, "damaged"));
}
END_TEST

/* A batch that needs a segment of its own comes while the next one has been
 * made already. */
START_TEST(batch_larger_than_a_segment) {
  struct weir__handle *handle;

  fb_open(&bench);
  handle = create("a", 1);
  append(handle, 1, 1, 20); /* more than half of it: the next one is made */
  (void)fb_rounds(&bench);
  append(handle, 1, 21, 200);
  append(handle, 1, 201, 201);
  append(handle, 1, 202, 240);
  weir__handle_release(handle);
  expect("a", "1:240 | 1-240");
  fb_kill(&bench);
  fb_open(&bench);
  expect("a", "1:240 *:240 | 1-240");
}
END_TEST

static TCase *lives(void) {
  TCase *tcase = tcase_create("lives");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, round_trip, 0, 6);
  return tcase;
}

static TCase *segments(void) {
  TCase *tcase = tcase_create("segments");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, many_segments, 0, 9);
  tcase_add_test(tcase, batch_larger_than_a_segment);
  return tcase;
}

KIT_MAIN("log_file", lives(), segments())
