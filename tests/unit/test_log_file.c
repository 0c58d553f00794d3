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

static TCase *lives(void) {
  TCase *tcase = tcase_create("lives");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, round_trip, 0, 6);
  return tcase;
}

KIT_MAIN("log_file", lives())
