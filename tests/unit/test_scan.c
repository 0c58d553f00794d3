/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The inner loops of the encoder, which take eight bytes at a time: against
 * loops that take one, with the text before a byte that faults. */

#include "../kit.h"

#include <stdio.h>
#include <string.h>

#include "scan.h"

/* Longer than three words, so that every way in and out of the loops is. */
#define MOST 27

/* Bytes that are no line break and look like one to somebody: neighbours of CR
 * and LF, the two with the high bit set, the other line ends of Unicode. */
static const unsigned char fillers[] = {'a',  0x00, 0x01, 0x09, 0x0b,
                                        0x0c, 0x0e, 0x1a, 0x2a, 0x80,
                                        0x85, 0x8a, 0x8d, 0xe2, 0xff};
#define FILLERS (int)sizeof fillers

static const unsigned char breaks[] = {'\r', '\n'};

/* The end of readable memory. */
static unsigned char *make_end(void) {
  return (unsigned char *)kit_fence(MOST) + MOST;
}

START_TEST(line_ends_at_cr_or_lf_only) {
  unsigned char *end = make_end();
  size_t len;
  size_t at;
  int i;

  for (len = 0; len <= MOST; ++len) {
    unsigned char *text = end - len;

    for (at = 0; at <= len; ++at) {
      for (i = 0; i < 2; ++i) {
        memset(text, fillers[_i], len);
        if (at < len) {
          text[at] = breaks[i];
          text[len - 1] = breaks[i]; /* the first one counts */
        }
        ck_assert_uint_eq(weir__scan_line(text, len), at);
      }
    }
  }
}
END_TEST

START_TEST(nothing_has_no_line) {
  ck_assert_uint_eq(weir__scan_line(NULL, 0), 0);
}
END_TEST

START_TEST(json_escapes_quotes_backslashes_and_controls) {
  static const unsigned char plain[] = {' ',  '!',  '#',  '[',  ']', 0x7f,
                                        0x80, 0x9f, 0xa2, 0xdc, 0xff};
  const bool escaped = _i < 0x20 || _i == '"' || _i == '\\';
  unsigned char *end = make_end();
  size_t len;
  size_t at;
  size_t i;

  ck_assert_uint_eq(weir__scan_json(NULL, 0), 0);
  for (len = 1; len <= MOST; ++len) {
    unsigned char *text = end - len;

    for (at = 0; at < len; ++at) {
      for (i = 0; i < sizeof plain; ++i) {
        memset(text, plain[i], len);
        text[at] = (unsigned char)_i;
        ck_assert_uint_eq(weir__scan_json(text, len), escaped ? at : len);
      }
    }
  }
}
END_TEST

START_TEST(field_has_no_cr_lf_nul) {
  unsigned char *end = make_end();
  unsigned char *text;
  size_t len;
  size_t at;

  ck_assert(weir__is_field(NULL, 0));
  for (len = 1; len <= MOST; ++len) {
    text = end - len;
    for (at = 0; at < len; ++at) {
      memset(text, 'a', len);
      text[at] = (unsigned char)_i;
      ck_assert_int_eq(weir__is_field(text, len),
                       _i != '\r' && _i != '\n' && _i != '\0');
    }
  }
}
END_TEST

/* --- UTF-8, by another road: decode, then see whether that is a character and
 * whether it could have been shorter (RFC 3629, section 3). ---------------- */

static size_t decode(const unsigned char *p, size_t len) {
  static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};
  uint32_t character;
  size_t n;
  size_t i;

  for (n = 0; n < 8 && (p[0] & (0x80 >> n)) != 0; ++n) {
  }
  if (n == 1 || n > 4) {
    return 0;
  }
  n = n == 0 ? 1 : n;
  if (n > len) {
    return 0;
  }
  character = n == 1 ? p[0] : p[0] & (0x7fu >> n);
  for (i = 1; i < n; ++i) {
    if ((p[i] & 0xc0) != 0x80) {
      return 0;
    }
    character = character << 6 | (p[i] & 0x3f);
  }
  if (character < least[n] || character > 0x10ffff ||
      (character >= 0xd800 && character <= 0xdfff)) {
    return 0;
  }
  return n;
}

static bool is_text(const unsigned char *p, size_t len) {
  size_t n;

  for (; len != 0; p += n, len -= n) {
    n = decode(p, len);
    if (n == 0) {
      return false;
    }
  }
  return true;
}

static void check_text(const unsigned char *text, size_t len) {
  size_t i;

  if (weir__is_text(text, len) != is_text(text, len)) {
    char hex[3 * MOST + 1] = "";

    for (i = 0; i < len; ++i) {
      (void)snprintf(hex + 3 * i, 4, " %02x", text[i]);
    }
    ck_abort_msg("%s UTF-8:%s", is_text(text, len) ? "is" : "is not", hex);
  }
}

/* Every one and two bytes, and every third after them that a rule names. */
static const unsigned char edges[] = {
    0x00, 0x01, 0x0a, 0x0d, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x9f, 0xa0,
    0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef,
    0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xfe, 0xff};

START_TEST(text_is_utf8_without_nul_two_bytes) {
  unsigned char *end = make_end();
  unsigned a;
  unsigned b;
  size_t i;

  ck_assert(weir__is_text(NULL, 0));
  for (a = 0; a < 256; ++a) {
    end[-1] = (unsigned char)a;
    check_text(end - 1, 1);
    for (b = 0; b < 256; ++b) {
      end[-2] = (unsigned char)a;
      end[-1] = (unsigned char)b;
      check_text(end - 2, 2);
      end[-3] = (unsigned char)a;
      end[-2] = (unsigned char)b;
      for (i = 0; i < sizeof edges; ++i) {
        end[-1] = edges[i];
        check_text(end - 3, 3);
      }
    }
  }
}
END_TEST

/* Every four bytes of those, at the start and across the first word. */
START_TEST(text_is_utf8_without_nul_four_bytes) {
  unsigned char *end = make_end();
  size_t a;
  size_t b;
  size_t c;

  memset(end - MOST, 'a', MOST);
  end[-4] = edges[_i];
  for (a = 0; a < sizeof edges; ++a) {
    end[-3] = edges[a];
    for (b = 0; b < sizeof edges; ++b) {
      end[-2] = edges[b];
      for (c = 0; c < sizeof edges; ++c) {
        end[-1] = edges[c];
        check_text(end - 4, 4);
        check_text(end - 11, 11);
      }
    }
  }
}
END_TEST

/* The greatest and the least of each length, and what is just beyond. */
START_TEST(text_golden) {
  static const struct {
    const char *text;
    bool good;
  } rows[] = {
      {"\x01", true},
      {"\x7f", true},
      {"\xc2\x80", true},
      {"\xdf\xbf", true},
      {"\xe0\xa0\x80", true},
      {"\xed\x9f\xbf", true},
      {"\xee\x80\x80", true},
      {"\xef\xbf\xbf", true},
      {"\xf0\x90\x80\x80", true},
      {"\xf4\x8f\xbf\xbf", true},
      {"\xc1\xbf", false},
      {"\xc0\x80", false}, /* NUL in disguise */
      {"\xe0\x9f\xbf", false},
      {"\xed\xa0\x80", false}, /* half a pair of UTF-16 */
      {"\xed\xbf\xbf", false},
      {"\xf0\x8f\xbf\xbf", false},
      {"\xf4\x90\x80\x80", false},
      {"\xf8\x88\x80\x80\x80", false},
      {"\x80", false},
      {"\xc2", false},
      {"\xe2\x82", false},
      {"\xe2\x82\n", false},
      {"\xf0\x9f\x98", false},
      {"\xff", false},
  };
  unsigned char *end = make_end();
  size_t before;
  size_t after;
  size_t len;
  size_t i;

  for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    len = strlen(rows[i].text);
    for (before = 0; before <= 9; ++before) {
      for (after = 0; after <= 9; ++after) {
        unsigned char *text = end - before - len - after;

        memset(text, 'a', before + len + after);
        memcpy(text + before, rows[i].text, len);
        ck_assert_msg(weir__is_text(text, before + len + after) == rows[i].good,
                      "row %zu", i);
      }
    }
  }
}
END_TEST

START_TEST(text_has_no_nul_anywhere) {
  unsigned char *end = make_end();
  size_t len;
  size_t at;

  for (len = 1; len <= MOST; ++len) {
    for (at = 0; at < len; ++at) {
      memset(end - len, 'a', len);
      ck_assert(weir__is_text(end - len, len));
      end[-(ptrdiff_t)len + (ptrdiff_t)at] = '\0';
      ck_assert(!weir__is_text(end - len, len));
      /* A word's zero test must not be led astray by what follows a zero. */
      memset(end - len, 0x01, len);
      ck_assert(weir__is_text(end - len, len));
    }
  }
}
END_TEST

int main(void) {
  TCase *lines = tcase_create("lines");
  TCase *text = tcase_create("text");
  TCase *cases[2];

  tcase_add_loop_test(lines, line_ends_at_cr_or_lf_only, 0, FILLERS);
  tcase_add_test(lines, nothing_has_no_line);
  tcase_add_loop_test(lines, json_escapes_quotes_backslashes_and_controls, 0,
                      256);
  tcase_add_loop_test(lines, field_has_no_cr_lf_nul, 0, 256);
  tcase_add_test(text, text_is_utf8_without_nul_two_bytes);
  tcase_add_loop_test(text, text_is_utf8_without_nul_four_bytes, 0,
                      (int)sizeof edges);
  tcase_add_test(text, text_golden);
  tcase_add_test(text, text_has_no_nul_anywhere);
  cases[0] = lines;
  cases[1] = text;
  return kit_main("scan", cases, 2);
}
