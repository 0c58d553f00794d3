/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Output that keeps counting after it stops fitting: at every capacity, with
 * the byte behind it faulting, it says the same length, and writes what fits
 * nowhere but inside. */

#include "../kit.h"

#include <string.h>

#include "out.h"

/* Something to put; what is put. */
struct row {
  void (*put)(struct weir__out *out, const void *text, size_t len);
  const char *text;
  size_t len;
  const char *want;
};

#define TEXT(text) text, sizeof text - 1

/* Put the row at every capacity up to two more than it takes. */
static void check_row(const struct row *row) {
  const size_t want = strlen(row->want);
  const size_t most = want + 2;
  unsigned char *end = (unsigned char *)kit_fence(most) + most;
  const void *text = kit_fenced(row->text, row->len);
  struct weir__out out;
  size_t cap;
  size_t len;
  size_t i;

  for (cap = 0; cap <= most; ++cap) {
    unsigned char *dst = end - cap;

    memset(end - most, 0xdd, most);
    weir__out_init(&out, dst, cap);
    row->put(&out, text, row->len);
    len = SIZE_MAX;
    ck_assert_int_eq(weir__out_end(&out, &len),
                     cap < want ? WEIR_ENOSPACE : WEIR_OK);
    ck_assert_uint_eq(len, want);
    if (cap >= want) {
      ck_assert_msg(memcmp(dst, row->want, want) == 0, "got %.*s, not %s",
                    (int)want, (const char *)dst, row->want);
    }
    /* Nothing before it, and, where it fits, nothing behind it. */
    for (i = cap + 1; i <= most; ++i) {
      ck_assert_uint_eq(*(end - i), 0xdd);
    }
    for (i = want; i < cap; ++i) {
      ck_assert_uint_eq(dst[i], 0xdd);
    }
  }
  weir__out_init(&out, NULL, 0);
  row->put(&out, text, row->len);
  (void)weir__out_end(&out, &len);
  ck_assert_uint_eq(len, want);
}

static void put_pieces(struct weir__out *out, const void *text, size_t len) {
  const char *p = text;
  size_t i;

  for (i = 0; i < len; ++i) {
    weir__put(out, p + i, 1);
    weir__put(out, NULL, 0);
  }
}

/* text is a NUL-terminated string. */
static void put_string(struct weir__out *out, const void *text, size_t len) {
  (void)len;
  weir__put_text(out, text);
}

static const struct row rows[] = {
    {weir__put, TEXT(""), ""},
    {weir__put, TEXT("a"), "a"},
    {weir__put, TEXT("abcdef"), "abcdef"},
    {put_pieces, TEXT(""), ""},
    {put_pieces, TEXT("abc"), "abc"},
    {put_string, "", 1, ""},
    {put_string, "abc", 4, "abc"},
    {weir__put_json, NULL, 0, "\"\""},
    {weir__put_json, TEXT("a"), "\"a\""},
    {weir__put_json, TEXT("\""), "\"\\\"\""},
    {weir__put_json, TEXT("\\"), "\"\\\\\""},
    {weir__put_json, TEXT("\n\r\t"), "\"\\n\\r\\t\""},
    {weir__put_json, TEXT("\0"), "\"\\u0000\""},
    {weir__put_json, TEXT("\b\f\v\x1f"), "\"\\u0008\\u000c\\u000b\\u001f\""},
    {weir__put_json, TEXT("\x7f"), "\"\x7f\""},
    {weir__put_json, TEXT(" a b"), "\" a b\""},
    {weir__put_json, TEXT("/"), "\"/\""},
    {weir__put_json, TEXT("a\"b\\c\nd"), "\"a\\\"b\\\\c\\nd\""},
    {weir__put_json, TEXT("\xc3\xa4\xf0\x9f\x98\x80"),
     "\"\xc3\xa4\xf0\x9f\x98\x80\""},
    {weir__put_percent, NULL, 0, ""},
    {weir__put_percent, TEXT("aZ0-._~!/?#"), "aZ0-._~!/?#"},
    {weir__put_percent, TEXT("%"), "%25"},
    {weir__put_percent, TEXT(" \t\r\n"), "%20%09%0D%0A"},
    {weir__put_percent, TEXT("\0\x7f\xc3\xa4"), "%00%7F%C3%A4"},
    {weir__put_lines, NULL, 0, ""},
    {weir__put_lines, TEXT("a"), "a"},
    {weir__put_lines, TEXT("\n"), "\ndata: "},
    {weir__put_lines, TEXT("\r"), "\ndata: "},
    {weir__put_lines, TEXT("\r\n"), "\ndata: "},
    {weir__put_lines, TEXT("\n\r"), "\ndata: \ndata: "},
    {weir__put_lines, TEXT("\r\r\n"), "\ndata: \ndata: "},
    {weir__put_lines, TEXT("\n\n"), "\ndata: \ndata: "},
    {weir__put_lines, TEXT("a\nb"), "a\ndata: b"},
    {weir__put_lines, TEXT("a\rb"), "a\ndata: b"},
    {weir__put_lines, TEXT("a\r\nb"), "a\ndata: b"},
    {weir__put_lines, TEXT("a\n"), "a\ndata: "},
    {weir__put_lines, TEXT("\na"), "\ndata: a"},
    {weir__put_lines, TEXT("0123456789\n0123456789\r\n0123456789"),
     "0123456789\ndata: 0123456789\ndata: 0123456789"},
    {weir__put_lines, TEXT("a\x0b\x0c\xc2\x85\xe2\x80\xa8z"),
     "a\x0b\x0c\xc2\x85\xe2\x80\xa8z"},
};

START_TEST(measures_and_writes_alike) {
  check_row(&rows[_i]);
}
END_TEST

static uint64_t number_to_put;

static void put_number(struct weir__out *out, const void *text, size_t len) {
  (void)text;
  (void)len;
  weir__put_number(out, number_to_put);
}

START_TEST(numbers_are_decimal) {
  static const struct {
    uint64_t number;
    const char *text;
  } numbers[] = {
      {0, "0"},
      {1, "1"},
      {9, "9"},
      {10, "10"},
      {99, "99"},
      {100, "100"},
      {4294967295u, "4294967295"},
      {4294967296u, "4294967296"},
      {(uint64_t)INT64_MAX, "9223372036854775807"},
      {UINT64_MAX, "18446744073709551615"},
  };
  size_t i;

  for (i = 0; i < sizeof numbers / sizeof numbers[0]; ++i) {
    const struct row row = {put_number, NULL, 0, numbers[i].text};

    number_to_put = numbers[i].number;
    check_row(&row);
  }
}
END_TEST

START_TEST(lines_are_counted) {
  static const struct {
    const char *text;
    size_t len;
    size_t breaks;
  } texts[] = {
      {TEXT(""), 0},
      {TEXT("a"), 0},
      {TEXT("\n"), 1},
      {TEXT("\r\n"), 1},
      {TEXT("\n\r\n\r"), 3},
      {TEXT("a\nb\nc"), 2},
      {TEXT("\r\r\r\r\n"), 4},
      {TEXT("0\0\n\0"
            "0"),
       1},
      {TEXT("a\r\nb"), 1},
  };
  struct weir__out out;
  char dst[64];
  size_t cap;
  size_t i;

  for (i = 0; i < sizeof texts / sizeof texts[0]; ++i) {
    for (cap = 0; cap <= sizeof dst; cap += sizeof dst) {
      weir__out_init(&out, cap == 0 ? NULL : dst, cap);
      out.lines = 1;
      weir__put_lines(&out, texts[i].text, texts[i].len);
      ck_assert_uint_eq(out.lines, 1 + texts[i].breaks);
    }
  }
}
END_TEST

/* A number below bound. */
static size_t draw(uint64_t *chance, size_t bound) {
  *chance = *chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (size_t)(*chance >> 33) % bound;
}

/* The same, one byte after the other. */
static size_t put_lines_slowly(const char *text, size_t len, char *dst) {
  size_t n = 0;
  size_t i;

  for (i = 0; i < len; ++i) {
    if (text[i] == '\n' && i > 0 && text[i - 1] == '\r') {
      continue;
    }
    if (text[i] == '\n' || text[i] == '\r') {
      memcpy(dst + n, "\ndata: ", 7);
      n += 7;
    } else {
      dst[n++] = text[i];
    }
  }
  return n;
}

START_TEST(lines_of_random_texts) {
  static const char alphabet[] = "\n\r\n\rabcdefg\0\v\xff";
  uint64_t chance = (uint64_t)_i + 1;
  struct weir__out out;
  char text[60];
  char want[7 * sizeof text];
  char got[sizeof want];
  size_t want_len;
  size_t cap;
  size_t len;
  size_t i;
  int round;

  for (round = 0; round < 500; ++round) {
    for (i = 0; i < sizeof text; ++i) {
      text[i] = alphabet[draw(&chance, sizeof alphabet - 1)];
    }
    i = draw(&chance, sizeof text + 1);
    want_len = put_lines_slowly(text, i, want);
    /* Where it fits, where it nearly does, and where it does not at all. */
    for (cap = want_len + 1; cap + 9 > want_len && cap < sizeof got; --cap) {
      weir__out_init(&out, got, cap);
      weir__put_lines(&out, text, i);
      ck_assert_int_eq(weir__out_end(&out, &len),
                       cap < want_len ? WEIR_ENOSPACE : WEIR_OK);
      ck_assert_uint_eq(len, want_len);
      if (cap >= want_len) {
        ck_assert_msg(memcmp(got, want, want_len) == 0, "seed %d, round %d", _i,
                      round);
      }
    }
  }
}
END_TEST

/* Lengths that no size_t holds: nothing is read, nothing is written, and the
 * caller's length stays as it was. */
START_TEST(overflow_is_remembered) {
  volatile size_t most = SIZE_MAX; /* or compilers warn */
  unsigned char *dst = kit_fence(0);
  struct weir__out out;
  size_t len = 7;

  weir__out_init(&out, dst, 0);
  weir__put(&out, "", most);
  ck_assert_int_eq(weir__out_end(&out, &len), WEIR_ENOSPACE);
  ck_assert_uint_eq(len, SIZE_MAX);
  len = 7;
  weir__put(&out, "", 0);
  ck_assert_int_eq(weir__out_end(&out, &len), WEIR_ENOSPACE);
  len = 7;
  weir__put(&out, "a", 1);
  ck_assert_int_eq(weir__out_end(&out, &len), WEIR_EOVERFLOW);
  ck_assert_uint_eq(len, 7);
  weir__put(&out, "", 0);
  weir__put_number(&out, 12);
  ck_assert_int_eq(weir__out_end(&out, &len), WEIR_EOVERFLOW);
  ck_assert_uint_eq(len, 7);
}
END_TEST

int main(void) {
  TCase *tcase = tcase_create("out");

  tcase_add_loop_test(tcase, measures_and_writes_alike, 0,
                      (int)(sizeof rows / sizeof rows[0]));
  tcase_add_test(tcase, numbers_are_decimal);
  tcase_add_test(tcase, lines_are_counted);
  tcase_add_loop_test(tcase, lines_of_random_texts, 0, 8);
  tcase_add_test(tcase, overflow_is_remembered);
  return kit_main("out", &tcase, 1);
}
