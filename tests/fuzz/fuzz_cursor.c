/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The text of a cursor: what parses is what formatting writes, and it is what a
 * reader of another make sees in it. */

#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Read digits of a base, up to 20 of them; false: it is not how that number is
 * written, or it is beyond `most`. */
static bool read_digits(const char *digits, const char *text, size_t len,
                        uint64_t most, uint64_t *number) {
  const unsigned base = (unsigned)strlen(digits);
  bool fits = true;
  const char *digit;
  size_t i;

  *number = 0;
  if (len == 0 || len > 20 || (text[0] == digits[0] && len != 1)) {
    return false;
  }
  for (i = 0; i < len; ++i) {
    digit = text[i] == '\0' ? NULL : strchr(digits, text[i]);
    if (digit == NULL) {
      return false;
    }
    fits = fits && *number <= (most - (uint64_t)(digit - digits)) / base;
    *number = *number * base + (uint64_t)(digit - digits);
  }
  return fits;
}

static bool read_cursor(int format, const char *text, size_t len,
                        weir_cursor *cursor) {
  static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";
  const char *hyphen = len == 0 ? NULL : memchr(text, '-', len);

  cursor->epoch = 0;
  if (format == WEIR_CURSOR_EPOCH) {
    if (hyphen == NULL ||
        !read_digits(base32, text, (size_t)(hyphen - text), UINT64_MAX,
                     &cursor->epoch) ||
        cursor->epoch == 0) {
      return false;
    }
    len -= (size_t)(hyphen + 1 - text);
    text = hyphen + 1;
  }
  return read_digits("0123456789", text, len, (uint64_t)WEIR_SEQ_MAX,
                     &cursor->seq);
}

static void check_text(int format, const struct fuzz_bytes *text) {
  weir_cursor cursor = {7, 7};
  weir_cursor want;
  char again[WEIR_CURSOR_MAX];
  size_t len;
  const int rv = weir_cursor_parse(format, text->data, text->len, &cursor);

  if (read_cursor(format, (const char *)text->data, text->len, &want)) {
    ck_assert_int_eq(rv, WEIR_OK);
    ck_assert_uint_eq(cursor.epoch, want.epoch);
    ck_assert_uint_eq(cursor.seq, want.seq);
    ck_assert_int_eq(
        weir_cursor_format(&cursor, format, again, sizeof again, &len),
        WEIR_OK);
    kit_need(fuzz_same(again, len, text->data, text->len));
  } else {
    ck_assert_int_eq(rv, text->len == 0 ? WEIR_EABSENT : WEIR_EMALFORMED);
    kit_need(cursor.epoch == 7 && cursor.seq == 7);
  }
}

/* At every capacity. */
static void check_format(int format, const weir_cursor *cursor) {
  const bool good = cursor->seq <= (uint64_t)WEIR_SEQ_MAX &&
                    (format == WEIR_CURSOR_DECIMAL || cursor->epoch != 0);
  struct fuzz_bytes text;
  weir_cursor again;
  size_t cap;
  size_t len = 0;
  int rv = WEIR_ENOSPACE;

  for (cap = 0; rv == WEIR_ENOSPACE; ++cap) {
    text = fuzz_copy("0123456789012345678901234567890123456789", cap);
    rv = weir_cursor_format(cursor, format, text.data, cap, &len);
    if (rv == WEIR_OK) {
      ck_assert_uint_eq(len, cap);
      ck_assert_int_eq(weir_cursor_parse(format, text.data, len, &again),
                       WEIR_OK);
      ck_assert_uint_eq(again.seq, cursor->seq);
      ck_assert_uint_eq(again.epoch,
                        format == WEIR_CURSOR_DECIMAL ? 0 : cursor->epoch);
    }
    free(text.data);
  }
  ck_assert_int_eq(rv, good ? WEIR_OK : WEIR_EINVAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input input = {data, size};
  const int format = fuzz_byte(&input) & 1;
  const struct fuzz_bytes text = fuzz_take(&input, SIZE_MAX);
  weir_cursor cursor;

  check_text(format, &text);
  input.p = data + (size != 0);
  input.left = size - (size != 0);
  cursor.epoch = fuzz_extreme(&input);
  cursor.seq = fuzz_extreme(&input);
  check_format(format, &cursor);
  free(text.data);
  return 0;
}
