/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* What is JSON (RFC 8259), and what may stand as members between braces of
 * weir's. Every text lies before a byte that faults. */

#include "../kit.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"

#define COUNT(rows) (int)(sizeof(rows) / sizeof(rows)[0])

struct row {
  const char *text;
  size_t len;
};
#define TEXT(text) \
  { text, sizeof text - 1 }

/* The text lies before a byte that faults; the same place is used again, for
 * there are many. */
static const void *fence(const char *text, size_t len) {
  enum { ROOM = 4096 };
  static char *end;

  if (end == NULL) {
    end = (char *)kit_fence(ROOM) + ROOM;
  }
  if (len > ROOM) {
    ck_abort_msg("too long");
  }
  memcpy(end - len, text, len);
  return end - len;
}

static bool is_json(const char *text, size_t len) {
  return weir__is_json(fence(text, len), len);
}

static bool is_members(const char *text, size_t len) {
  return weir__is_json_members(fence(text, len), len);
}

/* A number below bound. */
static size_t draw(uint64_t *chance, size_t bound) {
  *chance = *chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (size_t)(*chance >> 33) % bound;
}

static const struct row good[] = {
    TEXT("null"),
    TEXT("true"),
    TEXT("false"),
    TEXT("\"\""),
    TEXT("\"a\""),
    TEXT("\"\x7f\xc3\xa4\""),
    TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    TEXT("\"\\u0000\\uFFFF\\uabCD\\u0019\""),
    TEXT("\"\\\\\""),
    TEXT("{}"),
    TEXT("[]"),
    TEXT("[[]]"),
    TEXT("[{}]"),
    TEXT("{\"\":{}}"),
    TEXT("[1]"),
    TEXT("[1,2,3]"),
    TEXT("[null,true,false,\"x\",{},[]]"),
    TEXT("{\"a\":1}"),
    TEXT("{\"a\":1,\"b\":[2,{\"c\":null}]}"),
    TEXT("{\"a\":1,\"a\":2}"),
    TEXT(" \t\n\r{ \t\n\r\"a\" \t\n\r: \t\n\r1 \t\n\r, \"b\" : 2 } \t\n\r"),
    TEXT(" [ ] "),
    TEXT(" { } "),
    TEXT("[ 1 , 2 ]"),
};

/* Numbers go on for as long as they like, so that one cut short may be one. */
static const struct row numbers[] = {
    TEXT("0"),    TEXT("-0"),     TEXT("1"),
    TEXT("-1"),   TEXT("10"),     TEXT("9999"),
    TEXT("0.0"),  TEXT("-0.10"),  TEXT("1e1"),
    TEXT("1E1"),  TEXT("1e+1"),   TEXT("1e-1"),
    TEXT("0e0"),  TEXT("1.5e12"), TEXT("1e0009"),
    TEXT(" 12 "), TEXT("1E+00"),  TEXT("123456789012345678901234567890"),
};

static const struct row bad[] = {
    TEXT(""),
    TEXT(" "),
    TEXT("nul"),
    TEXT("nulll"),
    TEXT("Null"),
    TEXT("TRUE"),
    TEXT("truefalse"),
    TEXT("undefined"),
    TEXT("NaN"),
    TEXT("Infinity"),
    TEXT("01"),
    TEXT("-"),
    TEXT("-01"),
    TEXT("+1"),
    TEXT(".5"),
    TEXT("1."),
    TEXT("1.e1"),
    TEXT("-.5"),
    TEXT("1e"),
    TEXT("1e+"),
    TEXT("1e+-1"),
    TEXT("1e-+1"),
    TEXT("1e1.5"),
    TEXT("0x10"),
    TEXT("1 2"),
    TEXT("--1"),
    TEXT("\""),
    TEXT("\"\\\""),
    TEXT("\"\\\\\\\""),
    TEXT("\"a\"b"),
    TEXT("'a'"),
    TEXT("\"\n\""),
    TEXT("\"\r\""),
    TEXT("\"\t\""),
    TEXT("\"\x1f\""),
    TEXT("\"\0\""),
    TEXT("\"\\0\""),
    TEXT("\"\\x20\""),
    TEXT("\"\\v\""),
    TEXT("\"\\\0\""),
    TEXT("\"\\u\""),
    TEXT("\"\\u123\""),
    TEXT("\"\\u12g4\""),
    TEXT("\"\\U0041\""),
    TEXT("\"\\u 041\""),
    TEXT("["),
    TEXT("]"),
    TEXT("{"),
    TEXT("}"),
    TEXT("[}"),
    TEXT("{]"),
    TEXT("[1}"),
    TEXT("{\"a\":1]"),
    TEXT("[1,]"),
    TEXT("[,1]"),
    TEXT("[,]"),
    TEXT("[1,,2]"),
    TEXT("[1 2]"),
    TEXT("[1]]"),
    TEXT("[[1]"),
    TEXT("{,}"),
    TEXT("{\"a\"}"),
    TEXT("{\"a\":}"),
    TEXT("{\"a\" 1}"),
    TEXT("{\"a\",1}"),
    TEXT("{:1}"),
    TEXT("{a:1}"),
    TEXT("{1:1}"),
    TEXT("{null:1}"),
    TEXT("{\"a\":1,}"),
    TEXT("{\"a\":1,,\"b\":2}"),
    TEXT("{\"a\":1 \"b\":2}"),
    TEXT("{\"a\"::1}"),
    TEXT("{\"a\":1}}"),
    TEXT("{}{}"),
    TEXT("[]1"),
    TEXT("null,"),
    TEXT("\xef\xbb\xbf{}"), /* a BOM */
    TEXT("\0"),
    TEXT("null\0"),
    TEXT("\0null"),
    TEXT("/**/1"),
    TEXT("1//"),
    TEXT("\x0b"
         "1"),
    TEXT("1\x0c"),
    TEXT("\xc2\xa0"
         "1"), /* a blank to others */
};

START_TEST(takes_what_is_json) {
  ck_assert_msg(is_json(good[_i].text, good[_i].len), "%s", good[_i].text);
}
END_TEST

START_TEST(takes_what_is_a_number) {
  ck_assert_msg(is_json(numbers[_i].text, numbers[_i].len), "%s",
                numbers[_i].text);
}
END_TEST

START_TEST(refuses_what_is_not) {
  ck_assert_msg(!is_json(bad[_i].text, bad[_i].len), "%s", bad[_i].text);
}
END_TEST

START_TEST(nothing_is_not_json) {
  ck_assert(!weir__is_json(NULL, 0));
  ck_assert(!weir__is_json_members(NULL, 0));
}
END_TEST

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Cut anywhere but in blanks at its end, a text is no longer one. */
START_TEST(refuses_every_truncation) {
  const struct row *row = &good[_i];
  size_t len = row->len;
  size_t n;

  while (is_blank(row->text[len - 1])) {
    ck_assert(is_json(row->text, len));
    --len;
  }
  for (n = 0; n < len; ++n) {
    ck_assert_msg(!is_json(row->text, n), "%.*s", (int)n, row->text);
  }
}
END_TEST

/* --- Nesting -------------------------------------------------------------- */

/* count times open, then inner, then count times close. */
static size_t make_nest(char *text, const char *open, const char *close,
                        size_t count, const char *inner) {
  size_t i;

  text[0] = '\0';
  for (i = 0; i < count; ++i) {
    strcat(text, open);
  }
  strcat(text, inner);
  for (i = 0; i < count; ++i) {
    strcat(text, close);
  }
  return strlen(text);
}

/* 100 values inside each other are taken: so 100 brackets with nothing inside,
 * or 99 around something. */
START_TEST(nesting_limit) {
  static const struct {
    const char *open;
    const char *inner;
    const char *close;
    size_t most;
  } rows[] = {
      {"[", "", "]", 100},
      {"[", "1", "]", 99},
      {"[", "null", "]", 99},
      {"[", "[]", "]", 99},
      {"{\"a\":", "{}", "}", 99},
      {"{\"a\":", "\"x\"", "}", 99},
      {"[0,", "1", ",2]", 99},
      {"[{\"a\":", "1", "}]", 49}, /* 2 * 49 + 1 */
      {"[{\"a\":", "{}", "}]", 49},
      {"[{\"a\":", "[0]", "}]", 49}, /* 2 * 49 + 2 */
      {" [ ", " ", " ] ", 100},
  };
  char text[2048];
  size_t count;
  size_t len;
  size_t i;

  for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    for (count = 1; count <= 102; ++count) {
      len = make_nest(text, rows[i].open, rows[i].close, count, rows[i].inner);
      ck_assert_msg(
          is_json(text, len) == (count <= rows[i].most && len != 0 &&
                                 text[0] != '\0' && strspn(text, " ") < len),
          "row %zu, nested %zu times", i, count);
    }
  }
}
END_TEST

/* What is within the limit twice is so again: a list is not a nest. */
START_TEST(siblings_do_not_nest) {
  char text[2048] = "[";
  int i;

  for (i = 0; i < 500; ++i) {
    strcat(text, "[],");
  }
  strcat(text, "{}]");
  ck_assert(is_json(text, strlen(text)));
}
END_TEST

START_TEST(members_nest_one_deep_already) {
  char text[2048];
  size_t count;
  size_t len;

  for (count = 0; count <= 102; ++count) {
    strcpy(text, "\"a\":");
    len = 4 + make_nest(text + 4, "[", "]", count, "1");
    ck_assert_int_eq(is_members(text, len), count <= 98);
    /* The same as with the braces in front of it. */
    memmove(text + 1, text, len);
    text[0] = '{';
    text[len + 1] = '}';
    ck_assert_int_eq(is_json(text, len + 2), count <= 98);
  }
}
END_TEST

START_TEST(hostile_nesting_is_refused) {
  static const char *const units[] = {"[", "{\"\":", "[[", "[{\"\":"};
  const size_t len = 1 << 20;
  char *text = kit_fence(len);
  size_t n = strlen(units[_i]);
  size_t i;

  for (i = 0; i < len; ++i) {
    text[i] = units[_i][i % n];
  }
  ck_assert(!weir__is_json(text, len));
  ck_assert(!weir__is_json_members(text, len));
}
END_TEST

/* --- Members -------------------------------------------------------------- */

static const struct row good_members[] = {
    TEXT("\"a\":1"),
    TEXT("\"\":null"),
    TEXT(" \"a\" : 1 "),
    TEXT("\"a\":1,\"b\":{\"c\":[]}"),
    TEXT("\t\"a\"\t:\t[1,\t2]\t"),
    TEXT("\"app\":\"x\""),
};

static const struct row bad_members[] = {
    TEXT(""),
    TEXT(" "),
    TEXT("1"),
    TEXT("\"a\""),
    TEXT("\"a\":"),
    TEXT("{\"a\":1}"),
    TEXT("\"a\":1,"),
    TEXT(",\"a\":1"),
    TEXT("\"a\":1,,\"b\":2"),
    TEXT("\"a\":1 \"b\":2"),
    /* Out of the braces and in again. */
    TEXT("\"a\":1}"),
    TEXT("\"a\":1},{\"b\":2"),
    TEXT("\"a\":1}\""),
    /* They stand on one line of a frame. */
    TEXT("\"a\":\n1"),
    TEXT("\"a\":\r1"),
    TEXT("\"a\":1\n"),
    TEXT("\"a\":1\n\ndata: {\"b\":2"),
    TEXT("\n\"a\":1"),
    TEXT("\"a\":\"\0\""),
    TEXT("\0"),
};

START_TEST(takes_members) {
  const struct row *row = &good_members[_i];

  ck_assert_msg(is_members(row->text, row->len), "%s", row->text);
}
END_TEST

START_TEST(refuses_what_are_no_members) {
  const struct row *row = &bad_members[_i];

  ck_assert_msg(!is_members(row->text, row->len), "%s", row->text);
}
END_TEST

/* Whatever may stand between braces makes an object of them. */
START_TEST(members_make_an_object) {
  static const char alphabet[] = "{}[]\"\"\"\":::,,,1a \\";
  uint64_t chance = (uint64_t)_i + 1;
  char text[16];
  size_t taken = 0;
  size_t len;
  size_t i;
  int round;

  for (round = 0; round < 200000; ++round) {
    len = 1 + draw(&chance, 12);
    for (i = 1; i <= len; ++i) {
      text[i] = alphabet[draw(&chance, sizeof alphabet - 1)];
    }
    if (is_members(text + 1, len)) {
      taken += 1;
      text[0] = '{';
      text[len + 1] = '}';
      ck_assert_msg(is_json(text, len + 2), "seed %d, round %d: %.*s", _i,
                    round, (int)len, text + 1);
    }
  }
  ck_assert_uint_gt(taken, 0);
}
END_TEST

/* --- Another judge -------------------------------------------------------- */

/* JSON by another road: the text becomes a string of signs (v for a scalar or
 * anything that is whole, s for a string, and the punctuation), in which what
 * is whole is replaced by v until nothing changes. */

/* The length of the number at p by the grammar, 0 if there is none. */
static size_t match_number(const char *p, const char *end) {
  const char *from = p;
  const char *mark;

  p += p < end && *p == '-';
  if (p < end && *p == '0') {
    ++p;
  } else {
    mark = p;
    while (p < end && *p >= '0' && *p <= '9') {
      ++p;
    }
    if (p == mark) {
      return 0;
    }
  }
  if (p + 1 < end && *p == '.' && p[1] >= '0' && p[1] <= '9') {
    for (++p; p < end && *p >= '0' && *p <= '9'; ++p) {
    }
  }
  if (p < end && (*p == 'e' || *p == 'E')) {
    mark = p + 1;
    mark += mark < end && (*mark == '+' || *mark == '-');
    if (mark < end && *mark >= '0' && *mark <= '9') {
      for (p = mark; p < end && *p >= '0' && *p <= '9'; ++p) {
      }
    }
  }
  return (size_t)(p - from);
}

static size_t match_string(const char *p, const char *end) {
  const char *from = p;

  for (++p; p < end && *p != '"'; ++p) {
    if ((unsigned char)*p < 0x20) {
      return 0;
    }
    if (*p == '\\') {
      ++p;
      if (p == end || *p == '\0') {
        return 0;
      }
      if (*p == 'u') {
        if (end - p < 5 ||
            strspn(p + 1, "0123456789abcdefABCDEF") < 4) { /* NUL-ended */
          return 0;
        }
        p += 4;
      } else if (strchr("\"\\/bfnrt", *p) == NULL) {
        return 0;
      }
    }
  }
  return p < end ? (size_t)(p + 1 - from) : 0;
}

/* text ends in NUL, behind len. */
static bool make_signs(const char *text, size_t len, char *signs) {
  const char *p = text;
  const char *end = text + len;
  size_t n;

  while (p < end) {
    n = 1;
    if (is_blank(*p)) {
      ++p;
      continue;
    }
    if (*p != '\0' && strchr("[]{}:,", *p) != NULL) {
      *signs++ = *p;
    } else if (*p == '"') {
      n = match_string(p, end);
      *signs++ = 's';
    } else if (strncmp(p, "true", 4) == 0 || strncmp(p, "null", 4) == 0) {
      n = 4;
      *signs++ = 'v';
    } else if (strncmp(p, "false", 5) == 0) {
      n = 5;
      *signs++ = 'v';
    } else {
      n = match_number(p, end);
      *signs++ = 'v';
    }
    if (n == 0) {
      return false;
    }
    p += n;
  }
  *signs = '\0';
  return true;
}

/* Replace the first `from`, if there is one. */
static bool rewrite(char *signs, const char *from, const char *to) {
  char *at = strstr(signs, from);

  if (at == NULL) {
    return false;
  }
  memcpy(at, to, strlen(to));
  memmove(at + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
  return true;
}

/* m: members; l: elements. A string before a colon is a name, else a value. */
static bool judge(const char *text, size_t len) {
  static const char *const rules[][2] = {
      {"s:", "n"},  {"s", "v"},    {"[]", "v"},  {"{}", "v"},
      {"nv,", "m"}, {"nv}", "m}"}, {"mm", "m"},  {"{m}", "v"},
      {"[v,", "l"}, {"lv,", "l"},  {"[v]", "v"}, {"lv]", "v"},
  };
  char signs[64];
  size_t i = 0;

  if (!make_signs(text, len, signs)) {
    return false;
  }
  /* A comma promises a member: "nv,}" must not become "m}". */
  if (strstr(signs, ",}") != NULL || strstr(signs, ",]") != NULL) {
    return false;
  }
  while (i < sizeof rules / sizeof rules[0]) {
    i = rewrite(signs, rules[i][0], rules[i][1]) ? 0 : i + 1;
  }
  return strcmp(signs, "v") == 0;
}

START_TEST(the_other_judge_knows_the_tables) {
  int i;

  for (i = 0; i < COUNT(good); ++i) {
    ck_assert_msg(judge(good[i].text, good[i].len), "%s", good[i].text);
  }
  for (i = 0; i < COUNT(numbers); ++i) {
    ck_assert_msg(judge(numbers[i].text, numbers[i].len), "%s",
                  numbers[i].text);
  }
  for (i = 0; i < COUNT(bad); ++i) {
    ck_assert_msg(!judge(bad[i].text, bad[i].len), "%s", bad[i].text);
  }
}
END_TEST

/* Short random texts of what JSON is made of: many are JSON, most are not. */
START_TEST(agrees_with_another_judge) {
  static const char *const pieces[] = {
      "{",  "}",   "[",    "]",    "\"",   ":",     ",",    "\"a\":",
      "0",  "1",   "-",    ".",    "e",    "+",     "true", "null",
      "\\", " ",   "\"\"", "{}",   "[]",   "false", "\n",   "\"x\"",
      "u",  "00a", "1.5",  "\\u0", "\\\"", ",\"",   "E1",   "\t",
  };
  uint64_t chance = (uint64_t)_i + 100;
  char text[64];
  size_t taken = 0;
  size_t count;
  bool want;
  int round;

  for (round = 0; round < 100000; ++round) {
    text[0] = '\0';
    for (count = 1 + draw(&chance, 8); count != 0; --count) {
      strcat(text, pieces[draw(&chance, sizeof pieces / sizeof pieces[0])]);
    }
    want = judge(text, strlen(text));
    taken += want;
    if (is_json(text, strlen(text)) != want) {
      ck_abort_msg("seed %d, round %d: %s JSON: %s", _i, round,
                   want ? "is" : "is not", text);
    }
  }
  ck_assert_uint_gt(taken, 100);
}
END_TEST

int main(void) {
  TCase *tables = tcase_create("tables");
  TCase *nesting = tcase_create("nesting");
  TCase *members = tcase_create("members");
  TCase *random = tcase_create("random");
  TCase *cases[4];

  tcase_add_loop_test(tables, takes_what_is_json, 0, COUNT(good));
  tcase_add_loop_test(tables, takes_what_is_a_number, 0, COUNT(numbers));
  tcase_add_loop_test(tables, refuses_what_is_not, 0, COUNT(bad));
  tcase_add_test(tables, nothing_is_not_json);
  tcase_add_loop_test(tables, refuses_every_truncation, 0, COUNT(good));
  tcase_add_test(nesting, nesting_limit);
  tcase_add_test(nesting, siblings_do_not_nest);
  tcase_add_test(nesting, members_nest_one_deep_already);
  tcase_add_loop_test(nesting, hostile_nesting_is_refused, 0, 4);
  tcase_add_loop_test(members, takes_members, 0, COUNT(good_members));
  tcase_add_loop_test(members, refuses_what_are_no_members, 0,
                      COUNT(bad_members));
  tcase_add_loop_test(members, members_make_an_object, 0, 2);
  tcase_add_test(random, the_other_judge_knows_the_tables);
  tcase_add_loop_test(random, agrees_with_another_judge, 0, 4);
  cases[0] = tables;
  cases[1] = nesting;
  cases[2] = members;
  cases[3] = random;
  return kit_main("json", cases, 4);
}
