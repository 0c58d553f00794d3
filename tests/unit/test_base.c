/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Error numbers, whose values are ABI, and the version. */

#include "../kit.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define UNKNOWN "unknown error"

/* Every number there is: the value is pinned, the text is its own. */
static const struct row {
  int error;
  int value;
  const char *text;
} rows[] = {
    {WEIR_OK, 0, "no error"},
    {WEIR_ENOMEM, -1, "out of memory"},
    {WEIR_EINVAL, -2, "invalid argument"},
    {WEIR_ENOSPACE, -3, "buffer too small"},
    {WEIR_EOVERFLOW, -4, "out of range"},
    {WEIR_EAGAIN, -5, "nothing now"},
    {WEIR_EDONE, -6, "nothing ever again"},
    {WEIR_EBUSY, -7, "not to be called from here"},
    {WEIR_EGONE, -8, "gone"},
    {WEIR_ENOENT, -9, "no such stream"},
    {WEIR_EEXISTS, -10, "exists already"},
    {WEIR_EENDED, -11, "the stream has ended"},
    {WEIR_EFENCED, -12, "another writer has taken over"},
    {WEIR_EMALFORMED, -13, "malformed cursor"},
    {WEIR_EABSENT, -14, "no cursor"},
    {WEIR_EDRAINING, -15, "draining"},
    {WEIR_ELOG, -16, "storage failed"},
    {WEIR_EUNKNOWN, -17, "storage did not say whether it stored"},
    {WEIR_ESTALE, -18, "late answer"},
    {WEIR_EENTROPY, -19, "no random bits"},
    {WEIR_ESTREAMS, -20, "too many streams"},
    {WEIR_ESUBSCRIBERS, -21, "too many subscribers"},
    {WEIR_ECROWD, -22, "too many subscribers of this stream"},
    {WEIR_ECLIENT, -23, "too many subscribers of this client"},
    {WEIR_ETOOBIG, -24, "event too big"},
    {WEIR_ERESIDENT, -25, "too many bytes in memory"},
    {WEIR_EPENDING, -26, "too many events wait for storage"},
    {WEIR_EUTF8, -27, "not UTF-8, or a NUL in it"},
    {WEIR_EJSON, -28, "not JSON"},
    {WEIR_ERESERVED, -29, "reserved event type"},
    {WEIR_ESTALLED, -30, "no progress in writing"},
    {WEIR_EIO, -31, "the file system failed"},
    {WEIR_EFULL, -32, "no room on the disk"},
    {WEIR_ELOCKED, -33, "another process has the directory"},
    {WEIR_EFORMAT, -34, "not a log of this library, or of a newer one"},
    {WEIR_EACCESS, -35, "not allowed"},
};

#define ROWS (int)(sizeof rows / sizeof rows[0])

START_TEST(numbers_are_pinned_and_have_texts) {
  const struct row *row = &rows[_i];

  ck_assert_int_eq(row->error, row->value);
  ck_assert_int_eq(row->value, -_i);
  ck_assert_str_eq(weir_strerror(row->error), row->text);
}
END_TEST

START_TEST(texts_differ) {
  int i;
  int n;

  for (i = 0; i < ROWS; ++i) {
    ck_assert_str_ne(weir_strerror(-i), UNKNOWN);
    for (n = 0; n < i; ++n) {
      ck_assert_str_ne(weir_strerror(-i), weir_strerror(-n));
    }
  }
}
END_TEST

START_TEST(what_is_no_number_has_a_text_too) {
  static const int none[] = {1, 2, 30, 31, INT_MAX, INT_MIN, INT_MIN + 1};
  int i;

  for (i = ROWS; i < 1000; ++i) {
    ck_assert_str_eq(weir_strerror(-i), UNKNOWN);
    ck_assert_str_eq(weir_strerror(i), UNKNOWN);
  }
  for (i = 0; i < (int)(sizeof none / sizeof none[0]); ++i) {
    ck_assert_str_eq(weir_strerror(none[i]), UNKNOWN);
  }
}
END_TEST

START_TEST(version_is_that_of_the_header) {
  char text[64];

  (void)snprintf(text, sizeof text, "%d.%d.%d", WEIR_VERSION_MAJOR,
                 WEIR_VERSION_MINOR, WEIR_VERSION_PATCH);
  ck_assert_str_eq(weir_version(), text);
}
END_TEST

/* Sentinels fit in what other languages have. */
START_TEST(sentinels_fit_in_int64) {
  ck_assert_int_eq(WEIR_NEVER, INT64_MAX);
  ck_assert_int_eq(WEIR_SEQ_MAX, INT64_MAX - 1);
}
END_TEST

int main(void) {
  TCase *tcase = tcase_create("base");

  tcase_add_loop_test(tcase, numbers_are_pinned_and_have_texts, 0, ROWS);
  tcase_add_test(tcase, texts_differ);
  tcase_add_test(tcase, what_is_no_number_has_a_text_too);
  tcase_add_test(tcase, version_is_that_of_the_header);
  tcase_add_test(tcase, sentinels_fit_in_int64);
  return kit_main("base", &tcase, 1);
}
