/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The text of a cursor, where it stands in a request, and the verdict on it. */

#include <weir/cursor.h>

#include "../kit.h"

#include <stdio.h>
#include <string.h>

#include "cursor.h"

#define COUNT(rows) (int)(sizeof(rows) / sizeof(rows)[0])
#define TEXT(text) text, sizeof text - 1
#define SEQ_MAX ((uint64_t)WEIR_SEQ_MAX)

/* A number below bound. */
static size_t draw(uint64_t *chance, size_t bound) {
  *chance = *chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (size_t)(*chance >> 33) % bound;
}

/* 64 bits, of which the upper ones are 0 as often as not. */
static uint64_t draw_number(uint64_t *chance) {
  uint64_t number = (uint64_t)draw(chance, 1u << 16);
  int i;

  for (i = 0; i < 3; ++i) {
    number = number << 16 | (uint64_t)draw(chance, 1u << 16);
  }
  return number >> draw(chance, 64);
}

/* --- Text ----------------------------------------------------------------- */

static const struct row {
  int format;
  weir_cursor cursor;
  const char *text;
} rows[] = {
    {WEIR_CURSOR_EPOCH, {1, 0}, "b-0"},
    {WEIR_CURSOR_EPOCH, {1, 1}, "b-1"},
    {WEIR_CURSOR_EPOCH, {25, 9}, "z-9"},
    {WEIR_CURSOR_EPOCH, {26, 10}, "2-10"},
    {WEIR_CURSOR_EPOCH, {31, 42}, "7-42"},
    {WEIR_CURSOR_EPOCH, {32, 99}, "ba-99"},
    {WEIR_CURSOR_EPOCH, {33, 100}, "bb-100"},
    {WEIR_CURSOR_EPOCH, {1023, 7}, "77-7"},
    {WEIR_CURSOR_EPOCH, {1024, 7}, "baa-7"},
    {WEIR_CURSOR_EPOCH, {UINT64_C(1) << 60, 7}, "baaaaaaaaaaaa-7"},
    {WEIR_CURSOR_EPOCH, {(UINT64_C(1) << 60) - 1, 7}, "777777777777-7"},
    {WEIR_CURSOR_EPOCH, {UINT64_C(1) << 63, 7}, "iaaaaaaaaaaaa-7"},
    {WEIR_CURSOR_EPOCH, {UINT64_MAX - 1, 7}, "p777777777776-7"},
    {WEIR_CURSOR_EPOCH,
     {UINT64_MAX, SEQ_MAX},
     "p777777777777-9223372036854775806"},
    {WEIR_CURSOR_EPOCH,
     {UINT64_C(0x0123456789abcdef), UINT64_C(1) << 53},
     "ci2fm6e2xtpp-9007199254740992"},
    {WEIR_CURSOR_DECIMAL, {0, 0}, "0"},
    {WEIR_CURSOR_DECIMAL, {0, 9}, "9"},
    {WEIR_CURSOR_DECIMAL, {0, 10}, "10"},
    {WEIR_CURSOR_DECIMAL, {0, UINT64_C(1) << 53}, "9007199254740992"},
    {WEIR_CURSOR_DECIMAL, {0, SEQ_MAX}, "9223372036854775806"},
};

START_TEST(format_golden) {
  const struct row *row = &rows[_i];
  const size_t want = strlen(row->text);
  size_t cap;
  size_t len;

  for (cap = 0; cap <= want + 1; ++cap) {
    char *dst = kit_fence(cap);

    len = SIZE_MAX;
    ck_assert_int_eq(
        weir_cursor_format(&row->cursor, row->format, dst, cap, &len),
        cap < want ? WEIR_ENOSPACE : WEIR_OK);
    ck_assert_uint_eq(len, want);
    ck_assert_msg(cap < want || memcmp(dst, row->text, want) == 0,
                  "got %.*s, not %s", (int)len, dst, row->text);
  }
  ck_assert_int_eq(weir_cursor_format(&row->cursor, row->format, NULL, 0, &len),
                   WEIR_ENOSPACE);
}
END_TEST

START_TEST(parse_golden) {
  const struct row *row = &rows[_i];
  const size_t len = strlen(row->text);
  weir_cursor cursor;

  ck_assert_int_eq(
      weir_cursor_parse(row->format, kit_fenced(row->text, len), len, &cursor),
      WEIR_OK);
  ck_assert_uint_eq(cursor.epoch, row->cursor.epoch);
  ck_assert_uint_eq(cursor.seq, row->cursor.seq);
}
END_TEST

/* Decimal has no place for an epoch. */
START_TEST(decimal_leaves_the_epoch_out) {
  const weir_cursor cursor = {UINT64_MAX, 12};
  char dst[WEIR_CURSOR_MAX];
  size_t len;

  ck_assert_int_eq(
      weir_cursor_format(&cursor, WEIR_CURSOR_DECIMAL, dst, sizeof dst, &len),
      WEIR_OK);
  ck_assert_uint_eq(len, 2);
  ck_assert(memcmp(dst, "12", 2) == 0);
}
END_TEST

START_TEST(format_refuses) {
  static const struct {
    int format;
    weir_cursor cursor;
  } bad[] = {
      {WEIR_CURSOR_EPOCH, {0, 0}},
      {WEIR_CURSOR_EPOCH, {0, 1}},
      {WEIR_CURSOR_EPOCH, {1, SEQ_MAX + 1}},
      {WEIR_CURSOR_EPOCH, {1, UINT64_MAX}},
      {WEIR_CURSOR_DECIMAL, {0, SEQ_MAX + 1}},
      {WEIR_CURSOR_DECIMAL, {0, UINT64_MAX}},
      {2, {1, 1}},
      {-1, {1, 1}},
  };
  char dst[WEIR_CURSOR_MAX];
  size_t len = 7;
  size_t i;

  for (i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
    ck_assert_int_eq(weir_cursor_format(&bad[i].cursor, bad[i].format, dst,
                                        sizeof dst, &len),
                     WEIR_EINVAL);
  }
  ck_assert_uint_eq(len, 7);
}
END_TEST

static int parse(int format, const char *text, size_t len,
                 weir_cursor *cursor) {
  enum { ROOM = 4096 };
  static char *end;

  if (end == NULL) {
    end = (char *)kit_fence(ROOM) + ROOM;
  }
  if (len > ROOM) {
    ck_abort_msg("too long");
  }
  memcpy(end - len, text, len);
  return weir_cursor_parse(format, end - len, len, cursor);
}

/* Malformed in both formats. */
static const struct {
  const char *text;
  size_t len;
} malformed[] = {
    {TEXT("-")},
    {TEXT("--1")},
    {TEXT("-1")},
    {TEXT("b")},
    {TEXT("b-")},
    {TEXT("b--1")},
    {TEXT("b-1-")},
    {TEXT("b-1-1")},
    {TEXT("b-b")},
    {TEXT("b-01")},
    {TEXT("b-00")},
    {TEXT("b-+1")},
    {TEXT("b-1.0")},
    {TEXT("b-0x1")},
    {TEXT("b-1e1")},
    {TEXT("a-1")}, /* the epoch 0, which nobody has */
    {TEXT("ab-1")},
    {TEXT("aaaaaaaaaaaab-1")},
    {TEXT("B-1")},
    {TEXT("1-1")}, /* 0, 1, 8 and 9 are no digits of base 32 */
    {TEXT("0-1")},
    {TEXT("8-1")},
    {TEXT("9-1")},
    {TEXT("b1-1")},
    {TEXT("qaaaaaaaaaaaa-1")},  /* 2^64 */
    {TEXT("7777777777777-1")},  /* 2^65 - 1 */
    {TEXT("baaaaaaaaaaaaa-1")}, /* 2^65 */
    {TEXT("b-9223372036854775807")},
    {TEXT("b-18446744073709551615")},
    {TEXT("b-18446744073709551616")}, /* 0, to those who wrap */
    {TEXT("b-99999999999999999999")},
    {TEXT("9223372036854775807")},
    {TEXT("18446744073709551616")},
    {TEXT("00")},
    {TEXT("01")},
    {TEXT("+1")},
    {TEXT("1.5")},
    {TEXT(" ")},
    {TEXT(" b-1")},
    {TEXT("b-1 ")},
    {TEXT("b -1")},
    {TEXT("b- 1")},
    {TEXT("1 ")},
    {TEXT(" 1")},
    {TEXT("b-1\n")},
    {TEXT("b-1\0")},
    {TEXT("\0b-1")},
    {TEXT("\0")},
    {TEXT("b-\xd9\xa6")}, /* the digit 6 of another script */
    {TEXT("\xc3\xa4-1")},
    {TEXT("b_1")},
    {TEXT("b:1")},
    {TEXT("\"b-1\"")},
};

START_TEST(parse_malformed) {
  weir_cursor cursor = {7, 8};
  int format;

  for (format = 0; format < 2; ++format) {
    ck_assert_msg(parse(format, malformed[_i].text, malformed[_i].len,
                        &cursor) == WEIR_EMALFORMED,
                  "format %d: %s", format, malformed[_i].text);
    ck_assert_uint_eq(cursor.epoch, 7);
    ck_assert_uint_eq(cursor.seq, 8);
  }
}
END_TEST

START_TEST(parse_keeps_the_formats_apart) {
  weir_cursor cursor;
  int i;

  for (i = 0; i < COUNT(rows); ++i) {
    ck_assert_int_eq(
        parse(1 - rows[i].format, rows[i].text, strlen(rows[i].text), &cursor),
        WEIR_EMALFORMED);
  }
}
END_TEST

START_TEST(parse_absent_and_unknown_formats) {
  weir_cursor cursor = {7, 8};

  ck_assert_int_eq(weir_cursor_parse(WEIR_CURSOR_EPOCH, NULL, 0, &cursor),
                   WEIR_EABSENT);
  ck_assert_int_eq(weir_cursor_parse(WEIR_CURSOR_DECIMAL, "x", 0, &cursor),
                   WEIR_EABSENT);
  ck_assert_int_eq(weir_cursor_parse(2, "b-1", 3, &cursor), WEIR_EINVAL);
  ck_assert_int_eq(weir_cursor_parse(-1, "b-1", 3, &cursor), WEIR_EINVAL);
  ck_assert_int_eq(weir_cursor_parse(2, NULL, 0, &cursor), WEIR_EINVAL);
  ck_assert_uint_eq(cursor.epoch, 7);
  ck_assert_uint_eq(cursor.seq, 8);
}
END_TEST

/* What is longer than any cursor is not even looked at. */
START_TEST(parse_costs_nothing_beyond_the_longest) {
  const void *nothing = kit_fence(0);
  weir_cursor cursor;
  size_t len;
  int format;

  for (format = 0; format < 2; ++format) {
    for (len = 34; len < SIZE_MAX / 2; len *= 2) {
      ck_assert_int_eq(weir_cursor_parse(format, nothing, len, &cursor),
                       WEIR_EMALFORMED);
    }
    ck_assert_int_eq(weir_cursor_parse(format, nothing, SIZE_MAX, &cursor),
                     WEIR_EMALFORMED);
  }
}
END_TEST

/* Only what formatting writes parses: either a text is malformed, or writing
 * what it says gives the same text. Returns whether it is a cursor. */
static bool check_canonical(int format, const char *text, size_t len) {
  char again[WEIR_CURSOR_MAX];
  weir_cursor cursor;
  size_t again_len;
  int rv = parse(format, text, len, &cursor);

  if (rv != WEIR_OK) {
    if (rv != (len == 0 ? WEIR_EABSENT : WEIR_EMALFORMED)) {
      ck_abort_msg("%.*s: %s", (int)len, text, weir_strerror(rv));
    }
    return false;
  }
  if (weir_cursor_format(&cursor, format, again, sizeof again, &again_len) !=
          WEIR_OK ||
      again_len != len || memcmp(again, text, len) != 0) {
    ck_abort_msg("%.*s parses, but is written otherwise", (int)len, text);
  }
  return true;
}

/* Every byte replaced by every other, left out, and put in everywhere; and
 * every truncation. */
START_TEST(mutations_are_another_cursor_or_none) {
  const struct row *row = &rows[_i];
  const size_t len = strlen(row->text);
  weir_cursor cursor;
  char text[64];
  size_t at;
  int byte;

  for (at = 0; at <= len; ++at) {
    (void)check_canonical(row->format, row->text, at);
    memcpy(text, row->text, at);
    memcpy(text + at, row->text + at + 1, at == len ? 0 : len - at - 1);
    (void)check_canonical(row->format, text, at == len ? len : len - 1);
    for (byte = 0; byte < 256; ++byte) {
      memcpy(text, row->text, len);
      if (at < len) {
        text[at] = (char)byte;
        if (check_canonical(row->format, text, len) &&
            text[at] != row->text[at]) {
          /* Another text is another cursor. */
          ck_assert_int_eq(parse(row->format, text, len, &cursor), WEIR_OK);
          ck_assert(cursor.epoch != row->cursor.epoch ||
                    cursor.seq != row->cursor.seq);
        }
      }
      memcpy(text, row->text, at);
      text[at] = (char)byte;
      memcpy(text + at + 1, row->text + at, len - at);
      (void)check_canonical(row->format, text, len + 1);
    }
  }
}
END_TEST

/* Every text of up to five signs that matter. */
START_TEST(short_texts_are_canonical_or_malformed) {
  static const char signs[] = "ab7-019_";
  char text[5];
  size_t cursors = 0;
  size_t count = 1;
  size_t len;
  size_t n;
  size_t i;

  for (len = 1; len <= sizeof text; ++len) {
    count *= sizeof signs - 1;
    for (n = 0; n < count; ++n) {
      size_t rest = n;

      for (i = 0; i < len; ++i, rest /= sizeof signs - 1) {
        text[i] = signs[rest % (sizeof signs - 1)];
      }
      cursors += check_canonical(_i, text, len);
    }
  }
  ck_assert_uint_gt(cursors, 100);
}
END_TEST

START_TEST(random_cursors_come_back) {
  static const uint64_t edges[] = {1,
                                   31,
                                   32,
                                   33,
                                   1023,
                                   1024,
                                   UINT32_MAX,
                                   SEQ_MAX - 1,
                                   SEQ_MAX,
                                   SEQ_MAX + 1,
                                   UINT64_C(1) << 59,
                                   UINT64_C(1) << 60,
                                   UINT64_C(1) << 63,
                                   UINT64_MAX - 1,
                                   UINT64_MAX};
  uint64_t chance = (uint64_t)_i + 1;
  int round;

  for (round = 0; round < 20000; ++round) {
    weir_cursor cursor;
    weir_cursor back;
    char dst[WEIR_CURSOR_MAX];
    size_t len;
    int format = (int)draw(&chance, 2);

    cursor.epoch = draw(&chance, 2) == 0
                       ? draw_number(&chance)
                       : edges[draw(&chance, sizeof edges / sizeof edges[0])];
    cursor.seq = draw(&chance, 2) == 0
                     ? draw_number(&chance)
                     : edges[draw(&chance, sizeof edges / sizeof edges[0])];
    if (cursor.seq > SEQ_MAX) {
      cursor.seq = 0;
    }
    if (cursor.epoch == 0) {
      cursor.epoch = 1;
    }
    ck_assert_int_eq(weir_cursor_format(&cursor, format, dst, sizeof dst, &len),
                     WEIR_OK);
    ck_assert_int_eq(parse(format, dst, len, &back), WEIR_OK);
    ck_assert_msg(
        back.seq == cursor.seq &&
            back.epoch == (format == WEIR_CURSOR_EPOCH ? cursor.epoch : 0),
        "seed %d, round %d: %.*s", _i, round, (int)len, dst);
  }
}
END_TEST

/* --- Where it stands in a request ----------------------------------------- */

/* Rows of: header, query, path; what comes of it, and the text. */
static const struct pick {
  const char *header;
  const char *query;
  const char *path;
  int want;
  const char *text;
} picks[] = {
    {NULL, NULL, NULL, WEIR_EABSENT, NULL},
    {"", "", "", WEIR_EABSENT, NULL},
    {"h", NULL, NULL, WEIR_OK, "h"},
    {NULL, "lastEventId=q", NULL, WEIR_OK, "q"},
    {NULL, NULL, "p", WEIR_OK, "p"},
    /* Header, query, path. */
    {"h", "lastEventId=q", "p", WEIR_OK, "h"},
    {"h", NULL, "p", WEIR_OK, "h"},
    {NULL, "lastEventId=q", "p", WEIR_OK, "q"},
    {NULL, "other=q", "p", WEIR_OK, "p"},
    {"", "lastEventId=", "p", WEIR_OK, "p"},
    {"", "lastEventId=q", "", WEIR_OK, "q"},
    /* What the header says counts, though it be no cursor. */
    {"???", "lastEventId=b-1", "b-2", WEIR_OK, "???"},
    {"%41", NULL, NULL, WEIR_OK, "%41"},
    /* The names, and what is none. */
    {NULL, "last_event_id=q", NULL, WEIR_OK, "q"},
    {NULL, "Last-Event-ID=q", NULL, WEIR_OK, "q"},
    {NULL, "evs_last_event_id=q", NULL, WEIR_OK, "q"},
    {NULL, "lasteventid=q", NULL, WEIR_EABSENT, NULL},
    {NULL, "LASTEVENTID=q", NULL, WEIR_EABSENT, NULL},
    {NULL, "Last-Event-Id=q", NULL, WEIR_EABSENT, NULL},
    {NULL, "lastEventIdx=q", NULL, WEIR_EABSENT, NULL},
    {NULL, "xlastEventId=q", NULL, WEIR_EABSENT, NULL},
    {NULL, "lastEventI=q", NULL, WEIR_EABSENT, NULL},
    {NULL, "lastEventId", NULL, WEIR_EABSENT, NULL},
    {NULL, "=q", NULL, WEIR_EABSENT, NULL},
    {NULL, "=lastEventId", NULL, WEIR_EABSENT, NULL},
    {NULL, "a=lastEventId=q", NULL, WEIR_EABSENT, NULL},
    {NULL, "lastEventId;q", NULL, WEIR_EABSENT, NULL},
    /* A name may be encoded; one that is badly encoded is some other. */
    {NULL, "%6CastEvent%49d=q", NULL, WEIR_OK, "q"},
    {NULL, "Last%2dEvent%2DID=q", NULL, WEIR_OK, "q"},
    {NULL, "%lastEventId=q", NULL, WEIR_EABSENT, NULL},
    {NULL, "lastEventId%=q&last_event_id=r", NULL, WEIR_OK, "r"},
    /* Among others. */
    {NULL, "a=1&lastEventId=q", NULL, WEIR_OK, "q"},
    {NULL, "lastEventId=q&a=1", NULL, WEIR_OK, "q"},
    {NULL, "a&lastEventId=q&b", NULL, WEIR_OK, "q"},
    {NULL, "&&lastEventId=q&&", NULL, WEIR_OK, "q"},
    {NULL, "&", NULL, WEIR_EABSENT, NULL},
    {NULL, "=", NULL, WEIR_EABSENT, NULL},
    {NULL, "=&=", NULL, WEIR_EABSENT, NULL},
    /* Of several, the first that is not empty. */
    {NULL, "lastEventId=q&lastEventId=r", NULL, WEIR_OK, "q"},
    {NULL, "lastEventId=&lastEventId=r", NULL, WEIR_OK, "r"},
    {NULL, "last_event_id=&lastEventId&Last-Event-ID=r", NULL, WEIR_OK, "r"},
    {NULL, "lastEventId=&last_event_id=", "p", WEIR_OK, "p"},
    {NULL, "lastEventId=%&lastEventId=r", "p", WEIR_EMALFORMED, NULL},
    /* Percent-decoding. A plus is a plus, and the value goes to the end. */
    {NULL, "lastEventId=b%2D1", NULL, WEIR_OK, "b-1"},
    {NULL, "lastEventId=%62%2d%31", NULL, WEIR_OK, "b-1"},
    {NULL, "lastEventId=b+1", NULL, WEIR_OK, "b+1"},
    {NULL, "lastEventId==b=1=", NULL, WEIR_OK, "=b=1="},
    {NULL, "lastEventId=%26%3D%25%20", NULL, WEIR_OK, "&=% "},
    {NULL, "lastEventId=%", NULL, WEIR_EMALFORMED, NULL},
    {NULL, "lastEventId=%4", NULL, WEIR_EMALFORMED, NULL},
    {NULL, "lastEventId=%4&1=1", NULL, WEIR_EMALFORMED, NULL},
    {NULL, "lastEventId=%4g", NULL, WEIR_EMALFORMED, NULL},
    {NULL, "lastEventId=%g4", NULL, WEIR_EMALFORMED, NULL},
    {NULL, "lastEventId=%%41", NULL, WEIR_EMALFORMED, NULL},
    {NULL, "lastEventId=%@1", NULL, WEIR_EMALFORMED, NULL},
    {NULL, "lastEventId=%1`", NULL, WEIR_EMALFORMED, NULL},
    {NULL, "lastEventId=a%", NULL, WEIR_EMALFORMED, NULL},
    {NULL, NULL, "b%2D1", WEIR_OK, "b-1"},
    {NULL, NULL, "%2", WEIR_EMALFORMED, NULL},
    {NULL, NULL, "%zz", WEIR_EMALFORMED, NULL},
};

static int pick(const char *header, const char *query, const char *path,
                char *dst, size_t cap, size_t *len) {
  weir_request request;

  weir_request_init(&request, sizeof request);
  if (header != NULL) {
    request.header_len = strlen(header);
    request.header = kit_fenced(header, request.header_len);
  }
  if (query != NULL) {
    request.query_len = strlen(query);
    request.query = kit_fenced(query, request.query_len);
  }
  if (path != NULL) {
    request.path_len = strlen(path);
    request.path = kit_fenced(path, request.path_len);
  }
  return weir_cursor_pick(&request, dst, cap, len);
}

START_TEST(pick_golden) {
  const struct pick *row = &picks[_i];
  char *dst = kit_fence(WEIR_CURSOR_MAX);
  size_t len = 7;

  memset(dst, 0x7e, WEIR_CURSOR_MAX);
  ck_assert_int_eq(
      pick(row->header, row->query, row->path, dst, WEIR_CURSOR_MAX, &len),
      row->want);
  if (row->want == WEIR_OK) {
    ck_assert_uint_eq(len, strlen(row->text));
    ck_assert(memcmp(dst, row->text, len) == 0);
  } else {
    ck_assert_uint_eq(len, 7);
    ck_assert_int_eq(dst[0], 0x7e);
  }
}
END_TEST

START_TEST(pick_takes_any_escape) {
  char query[] = "lastEventId=%00";
  char dst[WEIR_CURSOR_MAX];
  size_t len;

  (void)snprintf(query + 12, 4, "%%%02x", (unsigned)_i);
  ck_assert_int_eq(pick(NULL, query, NULL, dst, sizeof dst, &len), WEIR_OK);
  ck_assert_uint_eq(len, 1);
  ck_assert_int_eq((unsigned char)dst[0], _i);
  (void)snprintf(query + 12, 4, "%%%02X", (unsigned)_i);
  ck_assert_int_eq(pick(NULL, query, NULL, dst, sizeof dst, &len), WEIR_OK);
  ck_assert_int_eq((unsigned char)dst[0], _i);
}
END_TEST

/* 128 bytes, decoded, is the most; in each place. */
START_TEST(pick_limits_the_length) {
  enum { MOST = WEIR_CURSOR_MAX };
  char text[16 + 3 * (MOST + 1) + 1];
  char dst[MOST];
  size_t len;
  size_t n;
  size_t i;

  for (n = MOST - 1; n <= MOST + 1; ++n) {
    const int want = n > MOST ? WEIR_EMALFORMED : WEIR_OK;

    memset(text, 'b', n);
    text[n] = '\0';
    len = 7;
    ck_assert_int_eq(pick(text, NULL, NULL, dst, MOST, &len), want);
    ck_assert_uint_eq(len, n > MOST ? 7 : n);
    len = 7;
    ck_assert_int_eq(pick(NULL, NULL, text, dst, MOST, &len), want);
    ck_assert_uint_eq(len, n > MOST ? 7 : n);
    strcpy(text, "lastEventId=");
    memset(text + 12, 'b', n);
    text[12 + n] = '\0';
    len = 7;
    ck_assert_int_eq(pick(NULL, text, NULL, dst, MOST, &len), want);
    ck_assert_uint_eq(len, n > MOST ? 7 : n);
    for (i = 0; i < n; ++i) {
      strcpy(text + 12 + 3 * i, "%62");
    }
    len = 7;
    ck_assert_int_eq(pick(NULL, text, NULL, dst, MOST, &len), want);
    ck_assert_uint_eq(len, n > MOST ? 7 : n);
    if (n == MOST) {
      ck_assert_int_eq(dst[MOST - 1], 'b');
    }
    len = 7;
    ck_assert_int_eq(pick(NULL, NULL, text + 12, dst, MOST, &len), want);
  }
  /* A header that is too long does not let the query in. */
  memset(text, 'b', MOST + 1);
  text[MOST + 1] = '\0';
  ck_assert_int_eq(pick(text, "lastEventId=b-1", "b-1", dst, MOST, &len),
                   WEIR_EMALFORMED);
}
END_TEST

/* A name that is too long is some other name. */
START_TEST(pick_passes_over_long_names) {
  char query[400];
  char dst[WEIR_CURSOR_MAX];
  size_t len;

  memset(query, 'n', sizeof query);
  strcpy(query + 300, "=x&lastEventId=q");
  ck_assert_int_eq(pick(NULL, query, NULL, dst, sizeof dst, &len), WEIR_OK);
  ck_assert_uint_eq(len, 1);
  ck_assert_int_eq(dst[0], 'q');
}
END_TEST

START_TEST(pick_wants_room) {
  size_t cap;
  size_t len = 7;

  for (cap = 0; cap <= WEIR_CURSOR_MAX; ++cap) {
    char *dst = kit_fence(cap);

    ck_assert_int_eq(pick("h", NULL, NULL, dst, cap, &len),
                     cap < WEIR_CURSOR_MAX ? WEIR_EINVAL : WEIR_OK);
    ck_assert_uint_eq(len, cap < WEIR_CURSOR_MAX ? 7 : 1);
  }
}
END_TEST

/* An older request that has no path, or not even a query. */
START_TEST(pick_from_a_request_of_any_size) {
  static const struct {
    size_t size;
    int want;
    char first;
  } sizes[] = {
      {sizeof(size_t), WEIR_EINVAL, 0},
      {offsetof(weir_request, query), WEIR_EABSENT, 0},
      {offsetof(weir_request, path), WEIR_OK, 'q'},
      {sizeof(weir_request), WEIR_OK, 'q'},
      {sizeof(weir_request) + 8, WEIR_OK, 'q'},
  };
  char dst[WEIR_CURSOR_MAX];
  weir_request full;
  size_t len;
  size_t i;

  for (i = 0; i < sizeof sizes / sizeof sizes[0]; ++i) {
    const size_t size = sizes[i].size;
    unsigned char *callers = kit_fence(size);

    weir_request_init(&full, sizeof full);
    full.query = "lastEventId=q";
    full.query_len = strlen(full.query);
    full.path = "p";
    full.path_len = 1;
    memset(callers, 0, size);
    memcpy(callers, &full, size < sizeof full ? size : sizeof full);
    memcpy(callers, &size, sizeof size);
    ck_assert_int_eq(weir_cursor_pick((void *)callers, dst, sizeof dst, &len),
                     sizes[i].want);
    if (sizes[i].want == WEIR_OK) {
      ck_assert_int_eq(dst[0], sizes[i].first);
    }
    if (size > sizeof full) {
      callers[size - 1] = 1;
      ck_assert_int_eq(weir_cursor_pick((void *)callers, dst, sizeof dst, &len),
                       WEIR_EINVAL);
    }
  }
  ck_assert_int_eq(weir_cursor_pick(NULL, dst, sizeof dst, &len), WEIR_EINVAL);
}
END_TEST

/* Whatever a query is made of, what is picked was in it. */
START_TEST(pick_from_random_queries) {
  static const char *const pieces[] = {"lastEventId",
                                       "last_event_id",
                                       "Last-Event-ID",
                                       "=",
                                       "=",
                                       "&",
                                       "&",
                                       "%",
                                       "%4",
                                       "%41",
                                       "b-",
                                       "1",
                                       "%%",
                                       "x"};
  uint64_t chance = (uint64_t)_i + 1;
  char *end = (char *)kit_fence(256) + 256;
  char dst[WEIR_CURSOR_MAX];
  size_t picked = 0;
  int round;

  for (round = 0; round < 20000; ++round) {
    weir_request request;
    char query[256] = "";
    size_t count;
    size_t len;
    int rv;

    for (count = draw(&chance, 12); count != 0; --count) {
      strcat(query, pieces[draw(&chance, sizeof pieces / sizeof pieces[0])]);
    }
    weir_request_init(&request, sizeof request);
    request.query_len = strlen(query);
    request.query = memcpy(end - request.query_len, query, request.query_len);
    rv = weir_cursor_pick(&request, dst, sizeof dst, &len);
    if (rv == WEIR_OK) {
      picked += 1;
      ck_assert_uint_ge(len, 1);
      ck_assert_uint_lt(len, request.query_len);
    } else {
      ck_assert_msg(rv == WEIR_EABSENT || rv == WEIR_EMALFORMED,
                    "seed %d, round %d: %s", _i, round, query);
    }
  }
  ck_assert_uint_gt(picked, 100);
}
END_TEST

/* --- The verdict ---------------------------------------------------------- */

enum { E1 = 11, E2 = 22, E3 = 33, OLD = 44, NOBODY = 55, MOST_EPOCHS = 3 };

/* Those of a generation, and of the one before it. */
static const uint64_t new_names[MOST_EPOCHS] = {E1, E2, E3};
static const uint64_t old_names[MOST_EPOCHS] = {OLD, OLD + 1, OLD + 2};

/* A state in short. count is that of the epochs. */
struct short_state {
  size_t count;
  uint64_t lasts[MOST_EPOCHS];
  uint64_t trimmed;
  bool ended;
};

static void fill(weir_state *state, weir_epoch epochs[MOST_EPOCHS],
                 const uint64_t epoch_names[MOST_EPOCHS],
                 const struct short_state *from) {
  size_t i;

  memset(state, 0, sizeof *state);
  state->size = sizeof *state;
  for (i = 0; i < from->count; ++i) {
    epochs[i].epoch = epoch_names[i];
    epochs[i].last = from->lasts[i];
  }
  state->epochs = epochs;
  state->epoch_count = from->count;
  state->trimmed = from->trimmed;
  state->last = from->lasts[from->count - 1];
  state->ended = from->ended ? state->last : 0;
}

static void fill_state(weir_state *state, weir_epoch epochs[MOST_EPOCHS],
                       const struct short_state *from) {
  fill(state, epochs, new_names, from);
}

/* The one before: one epoch, OLD, that ended with 4. */
static void fill_previous(weir_state *state, weir_epoch epochs[MOST_EPOCHS]) {
  static const struct short_state previous = {1, {4}, 0, true};

  fill(state, epochs, old_names, &previous);
}

/* One epoch with events 3 to 6 left; three, with some lost in crashes: the
 * first gave 1 to 3, the second 4 and 5, the third 6 to 9. */
#define ONE \
  { 1, {6}, 2, false }
#define ONE_ENDED \
  { 1, {6}, 2, true }
/* Ended, and only the end is left; and not even that; and ended by an epoch to
 * which another was added in vain. */
#define ONE_END \
  { 1, {6}, 5, true }
#define ONE_GONE \
  { 1, {6}, 6, true }
#define TAKEN_OVER \
  { 2, {6, 6}, 0, true }
#define EMPTY \
  { 1, {0}, 0, false }
#define THREE \
  { 3, {3, 5, 9}, 2, false }
#define THREE_ENDED \
  { 3, {3, 5, 9}, 2, true }
#define LATE \
  { 3, {3, 5, 9}, 4, false }

/* design.md, "Cursors and verdicts", from above to below. */
static const struct verdict {
  struct short_state state;
  int parsed;
  weir_cursor cursor;
  int from;
  int verdict;
  uint32_t gap;
  weir_cursor position;
} verdicts[] = {
    /* fresh: from the start or from the head, as the host says */
    {ONE,
     WEIR_EABSENT,
     {0, 0},
     WEIR_FROM_START,
     WEIR_VERDICT_FRESH,
     0,
     {E1, 2}},
    {ONE, WEIR_EABSENT, {0, 0}, WEIR_FROM_HEAD, WEIR_VERDICT_FRESH, 0, {E1, 6}},
    {EMPTY,
     WEIR_EABSENT,
     {0, 0},
     WEIR_FROM_START,
     WEIR_VERDICT_FRESH,
     0,
     {E1, 0}},
    {EMPTY,
     WEIR_EABSENT,
     {0, 0},
     WEIR_FROM_HEAD,
     WEIR_VERDICT_FRESH,
     0,
     {E1, 0}},
    {THREE,
     WEIR_EABSENT,
     {0, 0},
     WEIR_FROM_START,
     WEIR_VERDICT_FRESH,
     0,
     {E1, 2}},
    {THREE,
     WEIR_EABSENT,
     {0, 0},
     WEIR_FROM_HEAD,
     WEIR_VERDICT_FRESH,
     0,
     {E3, 9}},
    {LATE,
     WEIR_EABSENT,
     {0, 0},
     WEIR_FROM_START,
     WEIR_VERDICT_FRESH,
     0,
     {E2, 4}},
    /* ... from the head of an ended stream: its end */
    {ONE_ENDED,
     WEIR_EABSENT,
     {0, 0},
     WEIR_FROM_START,
     WEIR_VERDICT_FRESH,
     0,
     {E1, 2}},
    {ONE_ENDED,
     WEIR_EABSENT,
     {0, 0},
     WEIR_FROM_HEAD,
     WEIR_VERDICT_FRESH,
     0,
     {E1, 5}},
    {ONE_END,
     WEIR_EABSENT,
     {0, 0},
     WEIR_FROM_HEAD,
     WEIR_VERDICT_FRESH,
     0,
     {E1, 5}},
    /* ... and if that is gone too, there is nothing to come for */
    {ONE_GONE,
     WEIR_EABSENT,
     {0, 0},
     WEIR_FROM_HEAD,
     WEIR_VERDICT_FINISHED,
     0,
     {E1, 6}},
    {ONE_GONE,
     WEIR_EABSENT,
     {0, 0},
     WEIR_FROM_START,
     WEIR_VERDICT_FINISHED,
     0,
     {E1, 6}},
    /* resumed: a known epoch, trimmed <= seq <= that epoch's last */
    {ONE, WEIR_OK, {E1, 2}, WEIR_FROM_START, WEIR_VERDICT_RESUMED, 0, {E1, 2}},
    {ONE, WEIR_OK, {E1, 4}, WEIR_FROM_HEAD, WEIR_VERDICT_RESUMED, 0, {E1, 4}},
    {ONE, WEIR_OK, {E1, 6}, WEIR_FROM_START, WEIR_VERDICT_RESUMED, 0, {E1, 6}},
    {ONE_ENDED,
     WEIR_OK,
     {E1, 5},
     WEIR_FROM_START,
     WEIR_VERDICT_RESUMED,
     0,
     {E1, 5}},
    {EMPTY,
     WEIR_OK,
     {E1, 0},
     WEIR_FROM_START,
     WEIR_VERDICT_RESUMED,
     0,
     {E1, 0}},
    {THREE,
     WEIR_OK,
     {E1, 3},
     WEIR_FROM_START,
     WEIR_VERDICT_RESUMED,
     0,
     {E1, 3}},
    {THREE,
     WEIR_OK,
     {E2, 5},
     WEIR_FROM_START,
     WEIR_VERDICT_RESUMED,
     0,
     {E2, 5}},
    {THREE,
     WEIR_OK,
     {E3, 9},
     WEIR_FROM_START,
     WEIR_VERDICT_RESUMED,
     0,
     {E3, 9}},
    /* ... and it is named by the epoch that gave the number */
    {THREE,
     WEIR_OK,
     {E3, 3},
     WEIR_FROM_START,
     WEIR_VERDICT_RESUMED,
     0,
     {E1, 3}},
    {THREE,
     WEIR_OK,
     {E3, 4},
     WEIR_FROM_START,
     WEIR_VERDICT_RESUMED,
     0,
     {E2, 4}},
    {THREE,
     WEIR_OK,
     {E2, 3},
     WEIR_FROM_START,
     WEIR_VERDICT_RESUMED,
     0,
     {E1, 3}},
    /* ... without an epoch it is the newest */
    {THREE, WEIR_OK, {0, 4}, WEIR_FROM_START, WEIR_VERDICT_RESUMED, 0, {E2, 4}},
    /* evicted: seq < trimmed */
    {ONE, WEIR_OK, {E1, 1}, WEIR_FROM_START, WEIR_VERDICT_EVICTED, 1, {E1, 2}},
    {ONE, WEIR_OK, {E1, 0}, WEIR_FROM_HEAD, WEIR_VERDICT_EVICTED, 1, {E1, 2}},
    {THREE,
     WEIR_OK,
     {E3, 1},
     WEIR_FROM_START,
     WEIR_VERDICT_EVICTED,
     1,
     {E1, 2}},
    {LATE, WEIR_OK, {E1, 3}, WEIR_FROM_START, WEIR_VERDICT_EVICTED, 1, {E2, 4}},
    {ONE, WEIR_OK, {0, 1}, WEIR_FROM_START, WEIR_VERDICT_EVICTED, 1, {E1, 2}},
    {ONE_GONE,
     WEIR_OK,
     {E1, 5},
     WEIR_FROM_START,
     WEIR_VERDICT_EVICTED,
     1,
     {E1, 6}},
    /* ahead: beyond the last of the newest epoch; from the first */
    {ONE, WEIR_OK, {E1, 7}, WEIR_FROM_START, WEIR_VERDICT_AHEAD, 1, {E1, 2}},
    {ONE,
     WEIR_OK,
     {E1, SEQ_MAX},
     WEIR_FROM_HEAD,
     WEIR_VERDICT_AHEAD,
     1,
     {E1, 2}},
    {EMPTY, WEIR_OK, {E1, 1}, WEIR_FROM_START, WEIR_VERDICT_AHEAD, 1, {E1, 0}},
    {THREE, WEIR_OK, {E3, 10}, WEIR_FROM_START, WEIR_VERDICT_AHEAD, 1, {E1, 2}},
    {ONE_ENDED,
     WEIR_OK,
     {E1, 7},
     WEIR_FROM_START,
     WEIR_VERDICT_AHEAD,
     1,
     {E1, 2}},
    {ONE, WEIR_OK, {0, 7}, WEIR_FROM_START, WEIR_VERDICT_AHEAD, 1, {E1, 2}},
    /* rewound: beyond the last of an earlier one; from that last on */
    {THREE,
     WEIR_OK,
     {E1, 4},
     WEIR_FROM_START,
     WEIR_VERDICT_REWOUND,
     1,
     {E1, 3}},
    {THREE,
     WEIR_OK,
     {E1, 9},
     WEIR_FROM_START,
     WEIR_VERDICT_REWOUND,
     1,
     {E1, 3}},
    {THREE,
     WEIR_OK,
     {E1, 99},
     WEIR_FROM_HEAD,
     WEIR_VERDICT_REWOUND,
     1,
     {E1, 3}},
    {THREE,
     WEIR_OK,
     {E2, 6},
     WEIR_FROM_START,
     WEIR_VERDICT_REWOUND,
     1,
     {E2, 5}},
    {LATE, WEIR_OK, {E2, 6}, WEIR_FROM_START, WEIR_VERDICT_REWOUND, 1, {E2, 5}},
    /* ... even where the number is that of an end which it never saw */
    {THREE_ENDED,
     WEIR_OK,
     {E2, 9},
     WEIR_FROM_START,
     WEIR_VERDICT_REWOUND,
     1,
     {E2, 5}},
    /* ... and what is gone too cannot be gone on from */
    {LATE, WEIR_OK, {E1, 4}, WEIR_FROM_START, WEIR_VERDICT_FOREIGN, 1, {E2, 4}},
    {LATE, WEIR_OK, {E1, 9}, WEIR_FROM_START, WEIR_VERDICT_FOREIGN, 1, {E2, 4}},
    /* foreign: an epoch this stream never had */
    {ONE,
     WEIR_OK,
     {NOBODY, 4},
     WEIR_FROM_START,
     WEIR_VERDICT_FOREIGN,
     1,
     {E1, 2}},
    {ONE,
     WEIR_OK,
     {NOBODY, 0},
     WEIR_FROM_HEAD,
     WEIR_VERDICT_FOREIGN,
     1,
     {E1, 2}},
    {ONE_ENDED,
     WEIR_OK,
     {NOBODY, 6},
     WEIR_FROM_HEAD,
     WEIR_VERDICT_FOREIGN,
     1,
     {E1, 2}},
    {ONE, WEIR_OK, {OLD, 3}, WEIR_FROM_START, WEIR_VERDICT_FOREIGN, 1, {E1, 2}},
    {ONE, WEIR_OK, {OLD, 5}, WEIR_FROM_START, WEIR_VERDICT_FOREIGN, 1, {E1, 2}},
    /* malformed: as foreign */
    {ONE,
     WEIR_EMALFORMED,
     {0, 0},
     WEIR_FROM_START,
     WEIR_VERDICT_MALFORMED,
     1,
     {E1, 2}},
    {ONE,
     WEIR_EMALFORMED,
     {0, 0},
     WEIR_FROM_HEAD,
     WEIR_VERDICT_MALFORMED,
     1,
     {E1, 2}},
    /* finished: has seen the end, of this generation or of the one before */
    {ONE_ENDED,
     WEIR_OK,
     {E1, 6},
     WEIR_FROM_START,
     WEIR_VERDICT_FINISHED,
     0,
     {E1, 6}},
    {THREE_ENDED,
     WEIR_OK,
     {E3, 9},
     WEIR_FROM_HEAD,
     WEIR_VERDICT_FINISHED,
     0,
     {E3, 9}},
    {ONE_ENDED,
     WEIR_OK,
     {0, 6},
     WEIR_FROM_START,
     WEIR_VERDICT_FINISHED,
     0,
     {0, 6}},
    {ONE,
     WEIR_OK,
     {OLD, 4},
     WEIR_FROM_START,
     WEIR_VERDICT_FINISHED,
     0,
     {OLD, 4}},
    {EMPTY,
     WEIR_OK,
     {OLD, 4},
     WEIR_FROM_START,
     WEIR_VERDICT_FINISHED,
     0,
     {OLD, 4}},
    /* ... but without an epoch it is taken to be of this one */
    {ONE, WEIR_OK, {0, 4}, WEIR_FROM_START, WEIR_VERDICT_RESUMED, 0, {E1, 4}},
    /* ... and an end that an older epoch gave has been seen by its name */
    {TAKEN_OVER,
     WEIR_OK,
     {E1, 6},
     WEIR_FROM_START,
     WEIR_VERDICT_FINISHED,
     0,
     {E1, 6}},
};

START_TEST(resolve_golden) {
  const struct verdict *row = &verdicts[_i];
  weir_epoch epochs[MOST_EPOCHS];
  weir_epoch old[MOST_EPOCHS];
  weir_state state;
  weir_state previous;
  weir_resolution got;

  fill_state(&state, epochs, &row->state);
  fill_previous(&previous, old);
  memset(&got, 0xdd, sizeof got);
  got.size = sizeof got;
  ck_assert_int_eq(
      weir_cursor_resolve(&state, &previous, row->parsed,
                          row->parsed == WEIR_OK ? &row->cursor : NULL,
                          row->from, &got),
      WEIR_OK);
  ck_assert_str_eq(weir_verdict_name(got.verdict),
                   weir_verdict_name(row->verdict));
  ck_assert_int_eq(got.verdict, row->verdict);
  ck_assert_uint_eq(got.gap, row->gap);
  ck_assert_uint_eq(got.position.epoch, row->position.epoch);
  ck_assert_uint_eq(got.position.seq, row->position.seq);
  ck_assert_uint_eq(got.first, row->verdict == WEIR_VERDICT_FINISHED
                                   ? 0
                                   : row->position.seq + 1);
  ck_assert_uint_eq(got.last, state.last);
  ck_assert_uint_eq(got.size, sizeof got);
  ck_assert_uint_eq(got.reserved[0], 0);
  ck_assert_uint_eq(got.reserved[1], 0);
}
END_TEST

START_TEST(resolve_without_a_stream) {
  const weir_cursor cursor = {OLD, 4};
  weir_epoch old[MOST_EPOCHS];
  weir_state previous;
  weir_resolution got;
  int parsed;

  fill_previous(&previous, old);
  for (parsed = WEIR_EABSENT; parsed <= WEIR_OK; ++parsed) {
    memset(&got, 0xdd, sizeof got);
    got.size = sizeof got;
    ck_assert_int_eq(weir_cursor_resolve(NULL, &previous, parsed, &cursor,
                                         WEIR_FROM_START, &got),
                     WEIR_OK);
    ck_assert_int_eq(got.verdict, WEIR_VERDICT_UNKNOWN);
    ck_assert_uint_eq(got.gap, 0);
    ck_assert_uint_eq(got.position.epoch, 0);
    ck_assert_uint_eq(got.position.seq, 0);
    ck_assert_uint_eq(got.first, 0);
    ck_assert_uint_eq(got.last, 0);
  }
}
END_TEST

/* --- The oracle: it knows who gave which number, and what a client that
 * new_names an epoch has seen of them.
 * ----------------------------------------------- */

enum { MOST_SEQ = 6 };

struct oracle {
  size_t count;
  uint64_t last;
  uint64_t trimmed;
  bool ended;
  size_t giver[MOST_SEQ + 1]; /* of each number, by its index; [0] unused */
};

static void make_oracle(struct oracle *oracle,
                        const struct short_state *state) {
  uint64_t seq;

  oracle->count = state->count;
  oracle->last = state->lasts[state->count - 1];
  oracle->trimmed = state->trimmed;
  oracle->ended = state->ended && oracle->last != 0;
  for (seq = 1; seq <= oracle->last; ++seq) {
    oracle->giver[seq] = 0;
    while (state->lasts[oracle->giver[seq]] < seq) {
      oracle->giver[seq] += 1;
    }
  }
}

/* Up to which number a client has the real events, if it says that it has
 * everything up to seq, as of the index-th epoch. */
static uint64_t has_up_to(const struct oracle *oracle, size_t index,
                          uint64_t seq) {
  uint64_t n = 0;

  while (n < seq && n < oracle->last && oracle->giver[n + 1] <= index) {
    ++n;
  }
  return n;
}

/* Numbers are moved up by this, except 0 and those that no event can have; the
 * events in between are the oldest epoch's that has any. */
static uint64_t shift_by;

static uint64_t shift(uint64_t seq) {
  return seq == 0 || seq > SEQ_MAX ? seq : seq + shift_by;
}

static size_t giver_of(const struct oracle *oracle, uint64_t shifted) {
  return shifted == 0
             ? 0
             : oracle->giver[shifted > shift_by ? shifted - shift_by : 1];
}

/* Which epoch it is: count is none of them. */
static size_t index_of(const struct oracle *oracle,
                       const uint64_t epoch_names[MOST_EPOCHS],
                       uint64_t epoch) {
  size_t i = 0;

  while (i < oracle->count && epoch_names[i] != epoch) {
    ++i;
  }
  return i;
}

static bool has_seen_end(const struct oracle *oracle, size_t index,
                         uint64_t seq) {
  return oracle->ended && index < oracle->count && seq == oracle->last &&
         has_up_to(oracle, index, seq) == seq;
}

/* previous may be NULL. *position is shifted. */
static int judge(const struct oracle *oracle, const struct oracle *previous,
                 int parsed, uint64_t epoch, uint64_t seq, int from,
                 uint64_t *position) {
  size_t index;
  uint64_t has;

  *position = shift(oracle->trimmed);
  if (parsed == WEIR_EABSENT) {
    if (oracle->ended && oracle->trimmed == oracle->last) {
      return WEIR_VERDICT_FINISHED; /* nothing is left to be given, ever */
    }
    if (from == WEIR_FROM_HEAD) {
      *position = shift(oracle->last) - (oracle->ended ? 1 : 0);
    }
    return WEIR_VERDICT_FRESH;
  }
  if (parsed != WEIR_OK) {
    return WEIR_VERDICT_MALFORMED;
  }
  if (previous != NULL &&
      has_seen_end(previous, index_of(previous, old_names, epoch), seq)) {
    *position = shift(seq);
    return WEIR_VERDICT_FINISHED;
  }
  index = epoch == 0 ? oracle->count - 1 : index_of(oracle, new_names, epoch);
  if (index == oracle->count) {
    return WEIR_VERDICT_FOREIGN;
  }
  has = has_up_to(oracle, index, seq);
  if (has == seq) {
    /* All that it says it has is real. */
    if (has < oracle->trimmed && !(oracle->ended && has == oracle->last)) {
      return WEIR_VERDICT_EVICTED;
    }
    *position = shift(has);
    return oracle->ended && has == oracle->last ? WEIR_VERDICT_FINISHED
                                                : WEIR_VERDICT_RESUMED;
  }
  if (index == oracle->count - 1) {
    return WEIR_VERDICT_AHEAD;
  }
  if (has < oracle->trimmed) {
    return WEIR_VERDICT_FOREIGN;
  }
  *position = shift(has);
  return WEIR_VERDICT_REWOUND;
}

/* A client that comes back with the position that it was given has lost
 * nothing and gets nothing twice. */
static bool comes_back(const weir_state *state, const weir_state *previous,
                       const weir_resolution *given) {
  const int want = state->ended != 0 && given->position.seq == state->ended
                       ? WEIR_VERDICT_FINISHED
                       : WEIR_VERDICT_RESUMED;
  weir_resolution got;

  got.size = sizeof got;
  return weir_cursor_resolve(state, previous, WEIR_OK, &given->position,
                             WEIR_FROM_HEAD, &got) == WEIR_OK &&
         got.verdict == want && got.gap == 0 &&
         got.position.epoch == given->position.epoch &&
         got.position.seq == given->position.seq;
}

struct question {
  const struct short_state *in_short;
  const struct oracle *oracle;
  const weir_state *state;
  const weir_state *previous; /* NULL, as the next */
  const struct oracle *previous_oracle;
};

/* What comes next is there, and what the client lacks of what came before, it
 * is told. */
static bool is_safe(const struct question *question,
                    const weir_resolution *got) {
  const bool gap = got->verdict == WEIR_VERDICT_EVICTED ||
                   got->verdict == WEIR_VERDICT_AHEAD ||
                   got->verdict == WEIR_VERDICT_REWOUND ||
                   got->verdict == WEIR_VERDICT_FOREIGN ||
                   got->verdict == WEIR_VERDICT_MALFORMED;

  if (got->verdict == WEIR_VERDICT_FINISHED) {
    return got->first == 0 && got->last == question->state->last &&
           got->gap == 0;
  }
  return got->first == got->position.seq + 1 &&
         got->last == question->state->last &&
         got->position.seq >= question->state->trimmed &&
         got->position.seq <= question->state->last && got->gap == gap &&
         comes_back(question->state, question->previous, got);
}

static void ask(const struct question *question, int parsed, uint64_t epoch,
                uint64_t seq, int from) {
  const struct oracle *oracle = question->oracle;
  const struct short_state *s = question->in_short;
  weir_cursor cursor;
  weir_resolution got;
  uint64_t position;
  int verdict;
  int rv;

  cursor.epoch = epoch;
  cursor.seq = shift(seq);
  verdict = judge(oracle, question->previous_oracle, parsed, epoch, seq, from,
                  &position);
  got.size = sizeof got;
  rv = weir_cursor_resolve(question->state, question->previous, parsed,
                           parsed == WEIR_OK ? &cursor : NULL, from, &got);
  if (rv != WEIR_OK || got.verdict != verdict || got.position.seq != position ||
      got.position.epoch !=
          (verdict == WEIR_VERDICT_FINISHED && parsed == WEIR_OK
               ? epoch
               : new_names[giver_of(oracle, position)]) ||
      !is_safe(question, &got)) {
    ck_abort_msg(
        "%d epochs, to %d %d %d, trimmed %d, ended %d; cursor %d-%d, parsed "
        "%d, from %d: %s at %d, not %s at %d",
        (int)s->count, (int)s->lasts[0], s->count > 1 ? (int)s->lasts[1] : 0,
        s->count > 2 ? (int)s->lasts[2] : 0, (int)s->trimmed, s->ended,
        (int)epoch, (int)seq, parsed, from, weir_verdict_name(got.verdict),
        (int)(got.position.seq - shift_by), weir_verdict_name(verdict),
        (int)(position - shift_by));
  }
}

/* Every cursor there is, and every way to have none. */
static void ask_all(const struct question *question) {
  static const uint64_t epochs[] = {E1,      E2,      E3,     OLD,
                                    OLD + 1, OLD + 2, NOBODY, 0};
  /* Some agree with others in their lower half. */
  static const uint64_t seqs[] = {0,
                                  1,
                                  2,
                                  3,
                                  4,
                                  5,
                                  6,
                                  7,
                                  8,
                                  (UINT64_C(1) << 32) + 2,
                                  (UINT64_C(1) << 32) + 6,
                                  SEQ_MAX + 1,
                                  UINT64_MAX - 1,
                                  UINT64_MAX};
  size_t i;
  size_t n;
  int from;

  for (from = WEIR_FROM_START; from <= WEIR_FROM_HEAD; ++from) {
    ask(question, WEIR_EABSENT, NOBODY, 0, from);
    ask(question, WEIR_EMALFORMED, NOBODY, 0, from);
    for (i = 0; i < sizeof epochs / sizeof epochs[0]; ++i) {
      for (n = 0; n < sizeof seqs / sizeof seqs[0]; ++n) {
        ask(question, WEIR_OK, epochs[i], seqs[n], from);
      }
    }
  }
}

/* Every state of up to three epochs with numbers to `most`. Returns how many
 * there are, of MOST_STATES at most. */
enum { MOST_STATES = 1260 };

static size_t list_states(uint64_t most, struct short_state *list) {
  struct short_state state;
  size_t count = 0;
  uint64_t a;
  uint64_t b;
  uint64_t c;

  for (state.count = 1; state.count <= MOST_EPOCHS; ++state.count) {
    for (a = 0; a <= (state.count > 2 ? most : 0); ++a) {
      for (b = a; b <= (state.count > 1 ? most : a); ++b) {
        for (c = b; c <= most; ++c) {
          const uint64_t lasts[] = {a, b, c};

          memcpy(state.lasts, lasts + (MOST_EPOCHS - state.count),
                 state.count * sizeof lasts[0]);
          for (state.trimmed = 0; state.trimmed <= c; ++state.trimmed) {
            state.ended = false;
            list[count++] = state;
            state.ended = true; /* where there is an event at all */
            list[count++] = state;
          }
        }
      }
    }
  }
  return count;
}

static void fill_shifted(weir_state *state, weir_epoch epochs[MOST_EPOCHS],
                         const uint64_t epoch_names[MOST_EPOCHS],
                         struct short_state in_short) {
  size_t i;

  for (i = 0; i < in_short.count; ++i) {
    in_short.lasts[i] = shift(in_short.lasts[i]);
  }
  in_short.trimmed = shift(in_short.trimmed);
  fill(state, epochs, epoch_names, &in_short);
  kit_need(weir__state_is_sound(state));
}

/* Under every cursor, and after another generation, or NULL. */
static void ask_state(const struct short_state *in_short,
                      const struct short_state *before) {
  weir_epoch epochs[MOST_EPOCHS];
  weir_epoch old[MOST_EPOCHS];
  weir_state state;
  weir_state previous;
  struct oracle oracle;
  struct oracle previous_oracle;
  struct question question = {in_short, &oracle, &state, NULL, NULL};
  uint64_t seq;

  make_oracle(&oracle, in_short);
  fill_shifted(&state, epochs, new_names, *in_short);
  for (seq = 0; seq <= oracle.last; ++seq) {
    kit_need(weir__state_epoch_of(&state, shift(seq))->epoch ==
             epochs[giver_of(&oracle, shift(seq))].epoch);
  }
  if (before != NULL) {
    make_oracle(&previous_oracle, before);
    fill_shifted(&previous, old, old_names, *before);
    question.previous = &previous;
    question.previous_oracle = &previous_oracle;
  }
  ask_all(&question);
}

static const uint64_t shifts[] = {0, 1000, SEQ_MAX - MOST_SEQ};

START_TEST(resolve_every_state) {
  static struct short_state states[MOST_STATES];
  const size_t count = list_states(MOST_SEQ, states);
  size_t i;

  shift_by = shifts[_i];
  /* 7 with one epoch, 28 with two, 84 with three; by last + 1 trimmed. */
  ck_assert_uint_eq(count, 2 * (28 + 140 + 462));
  for (i = 0; i < count; ++i) {
    ask_state(&states[i], NULL);
  }
}
END_TEST

/* Small ones, after each of them. */
START_TEST(resolve_every_state_after_every_other) {
  static struct short_state states[MOST_STATES];
  const size_t count = list_states(2, states);
  size_t i;
  size_t before;

  shift_by = shifts[_i];
  ck_assert_uint_eq(count, 2 * (6 + 14 + 25));
  for (i = 0; i < count; ++i) {
    for (before = 0; before < count; ++before) {
      ask_state(&states[i], &states[before]);
    }
  }
}
END_TEST

/* A state that contradicts itself is judged by nobody. */
START_TEST(resolve_refuses_unsound_states) {
  static const struct {
    weir_epoch epochs[2];
    size_t count;
    uint64_t trimmed;
    uint64_t last;
    uint64_t ended;
  } unsound[] = {
      {{{E1, 6}}, 0, 0, 6, 0}, /* no epoch */
      {{{E1, 6}}, 1, 7, 6, 0}, /* gone before it came */
      {{{E1, 6}}, 1, 0, 7, 0}, /* given by nobody */
      {{{E1, 6}}, 1, 0, 5, 0},
      {{{E1, 6}}, 1, 0, 6, 5}, /* something follows */
      {{{E1, 6}}, 1, 0, 6, 7},
      {{{0, 6}}, 1, 0, 6, 0}, /* nobody's epoch */
      {{{0, 3}, {E2, 6}}, 2, 0, 6, 0},
      {{{E1, 6}, {0, 6}}, 2, 0, 6, 0},
      {{{E1, 7}, {E2, 6}}, 2, 0, 6, 0}, /* falls */
      {{{E1, 3}, {E2, 5}}, 2, 0, 6, 0},
      {{{E1, SEQ_MAX + 1}}, 1, 0, SEQ_MAX + 1, 0},
      {{{E1, UINT64_MAX}}, 1, 0, UINT64_MAX, 0},
  };
  const weir_cursor cursor = {E1, 3};
  const weir_epoch fine = {E1, 6};
  weir_resolution got;
  weir_resolution before;
  weir_state state;
  weir_state good;
  size_t i;

  memset(&good, 0, sizeof good);
  good.size = sizeof good;
  good.epochs = &fine;
  good.epoch_count = 1;
  good.last = 6;
  memset(&got, 0xdd, sizeof got);
  got.size = sizeof got;
  before = got;
  for (i = 0; i < sizeof unsound / sizeof unsound[0]; ++i) {
    memset(&state, 0, sizeof state);
    state.size = sizeof state;
    state.epochs = unsound[i].epochs;
    state.epoch_count = unsound[i].count;
    state.trimmed = unsound[i].trimmed;
    state.last = unsound[i].last;
    state.ended = unsound[i].ended;
    ck_assert_msg(weir_cursor_resolve(&state, NULL, WEIR_OK, &cursor,
                                      WEIR_FROM_START, &got) == WEIR_EINVAL,
                  "row %zu", i);
    ck_assert_int_eq(weir_cursor_resolve(&good, &state, WEIR_OK, &cursor,
                                         WEIR_FROM_START, &got),
                     WEIR_EINVAL);
    ck_assert_mem_eq(&got, &before, sizeof got);
  }
  ck_assert_int_eq(weir_cursor_resolve(&good, NULL, WEIR_OK, &cursor, 2, &got),
                   WEIR_EINVAL);
  ck_assert_int_eq(weir_cursor_resolve(&good, NULL, WEIR_OK, &cursor, -1, &got),
                   WEIR_EINVAL);
  good.size = 0;
  ck_assert_int_eq(
      weir_cursor_resolve(&good, NULL, WEIR_OK, &cursor, WEIR_FROM_START, &got),
      WEIR_EINVAL);
  ck_assert_mem_eq(&got, &before, sizeof got);
  good.size = sizeof good;
  for (i = 0; i < sizeof good.reserved / sizeof good.reserved[0]; ++i) {
    good.reserved[i] = 1;
    ck_assert_int_eq(weir_cursor_resolve(&good, NULL, WEIR_OK, &cursor,
                                         WEIR_FROM_START, &got),
                     WEIR_EINVAL);
    ck_assert_mem_eq(&got, &before, sizeof got);
    good.reserved[i] = 0;
  }
  ck_assert_int_eq(
      weir_cursor_resolve(&good, NULL, WEIR_OK, &cursor, WEIR_FROM_START, &got),
      WEIR_OK);
  got.size = 0;
  ck_assert_int_eq(
      weir_cursor_resolve(&good, NULL, WEIR_OK, &cursor, WEIR_FROM_START, &got),
      WEIR_EINVAL);
}
END_TEST

/* An older caller's resolution, and a newer one's. */
START_TEST(resolve_into_any_size) {
  const weir_cursor cursor = {E1, 3};
  const struct short_state one = ONE;
  weir_epoch epochs[MOST_EPOCHS];
  weir_state state;
  weir_resolution full;
  size_t size;
  size_t i;

  fill_state(&state, epochs, &one);
  full.size = sizeof full;
  ck_assert_int_eq(weir_cursor_resolve(&state, NULL, WEIR_OK, &cursor,
                                       WEIR_FROM_START, &full),
                   WEIR_OK);
  for (size = sizeof size + 8; size <= sizeof full + 16; size += 8) {
    unsigned char *got = kit_fence(size);

    memset(got, 0xdd, size);
    memcpy(got, &size, sizeof size);
    ck_assert_int_eq(weir_cursor_resolve(&state, NULL, WEIR_OK, &cursor,
                                         WEIR_FROM_START, (void *)got),
                     WEIR_OK);
    for (i = sizeof size; i < size; ++i) {
      ck_assert_uint_eq(
          got[i], i < sizeof full ? ((const unsigned char *)&full)[i] : 0);
    }
  }
}
END_TEST

START_TEST(verdicts_have_names) {
  static const char *const names[] = {
      "pending", "fresh",   "resumed",   "evicted",  "ahead",
      "rewound", "foreign", "malformed", "finished", "unknown"};
  int i;

  for (i = 0; i < COUNT(names); ++i) {
    ck_assert_str_eq(weir_verdict_name(i), names[i]);
  }
  ck_assert_int_eq(WEIR_VERDICT_UNKNOWN + 1, COUNT(names));
  ck_assert_str_eq(weir_verdict_name(COUNT(names)), "none");
  ck_assert_str_eq(weir_verdict_name(-1), "none");
  ck_assert_str_eq(weir_verdict_name(INT32_MAX), "none");
  ck_assert_str_eq(weir_verdict_name(INT32_MIN), "none");
}
END_TEST

/* --- Requirements --------------------------------------------------------- */

/* Header, then query, then path; what is empty is absent; what is strange is
 * malformed, and never crashes. */
START_TEST(r08_header_then_query_then_path) {
  static const struct {
    const char *text;
    size_t len;
  } strange[] = {{TEXT("abc")}, {TEXT("-1")},
                 {TEXT("6 ")},  {TEXT("99999999999999999999")},
                 {TEXT(" 6")},  {TEXT("\xd9\xa6")},
                 {TEXT("6\0")}, {TEXT("0x6")}};
  char long_text[10001];
  char dst[WEIR_CURSOR_MAX];
  weir_cursor cursor;
  size_t len;
  size_t i;

  ck_assert_int_eq(pick("6", "lastEventId=4", "3", dst, sizeof dst, &len),
                   WEIR_OK);
  ck_assert_int_eq(weir_cursor_parse(WEIR_CURSOR_DECIMAL, dst, len, &cursor),
                   WEIR_OK);
  ck_assert_uint_eq(cursor.seq, 6);
  /* No maximum of the three: a header that goes back means it. */
  ck_assert_int_eq(pick("2", "lastEventId=4", "3", dst, sizeof dst, &len),
                   WEIR_OK);
  ck_assert_int_eq(dst[0], '2');
  ck_assert_int_eq(pick("", "lastEventId=4", "3", dst, sizeof dst, &len),
                   WEIR_OK);
  ck_assert_int_eq(dst[0], '4');
  ck_assert_int_eq(pick("", "lastEventId=", "3", dst, sizeof dst, &len),
                   WEIR_OK);
  ck_assert_int_eq(dst[0], '3');
  for (i = 0; i < sizeof strange / sizeof strange[0]; ++i) {
    ck_assert_int_eq(
        parse(WEIR_CURSOR_DECIMAL, strange[i].text, strange[i].len, &cursor),
        WEIR_EMALFORMED);
    ck_assert_int_eq(
        parse(WEIR_CURSOR_EPOCH, strange[i].text, strange[i].len, &cursor),
        WEIR_EMALFORMED);
  }
  memset(long_text, '6', sizeof long_text - 1);
  long_text[sizeof long_text - 1] = '\0';
  ck_assert_int_eq(pick(long_text, NULL, NULL, dst, sizeof dst, &len),
                   WEIR_EMALFORMED);
  ck_assert_int_eq(pick(NULL, NULL, long_text, dst, sizeof dst, &len),
                   WEIR_EMALFORMED);
}
END_TEST

/* With 3 as the oldest that is left, 2 is good and 1 is told of a gap; so are
 * what is beyond the newest, and what belongs to another epoch. */
START_TEST(r60_what_cannot_be_resumed_is_said) {
  static const struct {
    weir_cursor cursor;
    int verdict;
  } asked[] = {
      {{E1, 2}, WEIR_VERDICT_RESUMED},
      {{E1, 1}, WEIR_VERDICT_EVICTED},
      {{E1, 7}, WEIR_VERDICT_AHEAD},
      {{NOBODY, 3}, WEIR_VERDICT_FOREIGN},
  };
  const struct short_state one = ONE;
  weir_epoch epochs[MOST_EPOCHS];
  weir_state state;
  weir_resolution got;
  size_t i;

  fill_state(&state, epochs, &one);
  got.size = sizeof got;
  for (i = 0; i < sizeof asked / sizeof asked[0]; ++i) {
    ck_assert_int_eq(
        weir_cursor_resolve(&state, NULL, WEIR_OK, &asked[i].cursor,
                            WEIR_FROM_HEAD, &got),
        WEIR_OK);
    ck_assert_int_eq(got.verdict, asked[i].verdict);
    ck_assert_uint_eq(got.gap, asked[i].verdict != WEIR_VERDICT_RESUMED);
    ck_assert_uint_eq(got.first, 3);
  }
  ck_assert_int_eq(weir_cursor_resolve(NULL, NULL, WEIR_OK, &asked[0].cursor,
                                       WEIR_FROM_HEAD, &got),
                   WEIR_OK);
  ck_assert_int_eq(got.verdict, WEIR_VERDICT_UNKNOWN);
}
END_TEST

/* What stands in an id is printable, of an alphabet that no client, proxy or
 * CORS rule minds, and short. */
START_TEST(f07_text_is_short_and_plain) {
  static const char plain[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-";
  uint64_t chance = 7;
  char dst[WEIR_CURSOR_MAX + 1];
  weir_cursor cursor;
  size_t longest = 0;
  size_t len;
  int round;

  for (round = 0; round < 10000; ++round) {
    cursor.epoch = round == 0 ? UINT64_MAX : draw_number(&chance) | 1;
    cursor.seq = round == 0 ? SEQ_MAX : draw_number(&chance) / 2;
    ck_assert_int_eq(weir_cursor_format(&cursor, round % 2 == 0 ? 0 : 1, dst,
                                        WEIR_CURSOR_MAX, &len),
                     WEIR_OK);
    dst[len] = '\0';
    ck_assert_uint_eq(strspn(dst, plain), len);
    longest = len > longest ? len : longest;
  }
  ck_assert_uint_eq(longest, 33);
}
END_TEST

/* An id of 16 KiB, controls, or letters beyond Latin: malformed. */
START_TEST(f07_what_no_client_returns_is_malformed) {
  static char huge[16384];
  static const char *const texts[] = {"b-1\x7f", "\x01-1", "b-\xc4\x80",
                                      "\xf0\x9f\x98\x80-1", "b\t-1"};
  weir_cursor cursor;
  size_t i;

  memset(huge, 'b', sizeof huge);
  ck_assert_int_eq(weir_cursor_parse(0, huge, sizeof huge, &cursor),
                   WEIR_EMALFORMED);
  memset(huge, '1', sizeof huge);
  ck_assert_int_eq(weir_cursor_parse(1, huge, sizeof huge, &cursor),
                   WEIR_EMALFORMED);
  for (i = 0; i < sizeof texts / sizeof texts[0]; ++i) {
    ck_assert_int_eq(parse(0, texts[i], strlen(texts[i]), &cursor),
                     WEIR_EMALFORMED);
    ck_assert_int_eq(parse(1, texts[i], strlen(texts[i]), &cursor),
                     WEIR_EMALFORMED);
  }
}
END_TEST

/* Two processes that number alike are told apart by their epochs, and so is a
 * stream from another: the cursor fails closed. */
START_TEST(f08_cursor_of_another_stream_fails_closed) {
  const struct short_state one = ONE;
  weir_epoch epochs[MOST_EPOCHS];
  weir_cursor cursor;
  weir_state state;
  weir_resolution got;
  uint64_t seq;

  fill_state(&state, epochs, &one);
  got.size = sizeof got;
  for (seq = 0; seq < 10; ++seq) {
    cursor.epoch = NOBODY;
    cursor.seq = seq;
    ck_assert_int_eq(weir_cursor_resolve(&state, NULL, WEIR_OK, &cursor,
                                         WEIR_FROM_HEAD, &got),
                     WEIR_OK);
    ck_assert_int_eq(got.verdict, WEIR_VERDICT_FOREIGN);
    ck_assert_uint_eq(got.gap, 1);
    ck_assert_uint_eq(got.position.seq, state.trimmed);
  }
}
END_TEST

/* Room is left for a cursor over several streams. */
START_TEST(f18_signs_that_are_kept_are_malformed) {
  static const char *const texts[] = {"b-1.b-2", "b-1~b-2", "b-1_b-2", "b.1",
                                      "b~1",     "_",       ".",       "~",
                                      "1.2",     "1~2",     "1_2"};
  weir_cursor cursor;
  size_t i;

  for (i = 0; i < sizeof texts / sizeof texts[0]; ++i) {
    ck_assert_int_eq(parse(0, texts[i], strlen(texts[i]), &cursor),
                     WEIR_EMALFORMED);
    ck_assert_int_eq(parse(1, texts[i], strlen(texts[i]), &cursor),
                     WEIR_EMALFORMED);
  }
}
END_TEST

int main(void) {
  TCase *text = tcase_create("text");
  TCase *request = tcase_create("request");
  TCase *verdict = tcase_create("verdict");
  TCase *requirements = tcase_create("requirements");
  TCase *cases[4];

  tcase_add_loop_test(text, format_golden, 0, COUNT(rows));
  tcase_add_loop_test(text, parse_golden, 0, COUNT(rows));
  tcase_add_test(text, decimal_leaves_the_epoch_out);
  tcase_add_test(text, format_refuses);
  tcase_add_loop_test(text, parse_malformed, 0, COUNT(malformed));
  tcase_add_test(text, parse_keeps_the_formats_apart);
  tcase_add_test(text, parse_absent_and_unknown_formats);
  tcase_add_test(text, parse_costs_nothing_beyond_the_longest);
  tcase_add_loop_test(text, mutations_are_another_cursor_or_none, 0,
                      COUNT(rows));
  tcase_add_loop_test(text, short_texts_are_canonical_or_malformed, 0, 2);
  tcase_add_loop_test(text, random_cursors_come_back, 0, 4);
  tcase_add_loop_test(request, pick_golden, 0, COUNT(picks));
  tcase_add_loop_test(request, pick_takes_any_escape, 0, 256);
  tcase_add_test(request, pick_limits_the_length);
  tcase_add_test(request, pick_passes_over_long_names);
  tcase_add_test(request, pick_wants_room);
  tcase_add_test(request, pick_from_a_request_of_any_size);
  tcase_add_loop_test(request, pick_from_random_queries, 0, 4);
  tcase_add_loop_test(verdict, resolve_golden, 0, COUNT(verdicts));
  tcase_add_test(verdict, resolve_without_a_stream);
  tcase_add_loop_test(verdict, resolve_every_state, 0, 3);
  tcase_add_loop_test(verdict, resolve_every_state_after_every_other, 0, 3);
  tcase_add_test(verdict, resolve_refuses_unsound_states);
  tcase_add_test(verdict, resolve_into_any_size);
  tcase_add_test(verdict, verdicts_have_names);
  tcase_add_test(requirements, r08_header_then_query_then_path);
  tcase_add_test(requirements, r60_what_cannot_be_resumed_is_said);
  tcase_add_test(requirements, f07_text_is_short_and_plain);
  tcase_add_test(requirements, f07_what_no_client_returns_is_malformed);
  tcase_add_test(requirements, f08_cursor_of_another_stream_fails_closed);
  tcase_add_test(requirements, f18_signs_that_are_kept_are_malformed);
  cases[0] = text;
  cases[1] = request;
  cases[2] = verdict;
  cases[3] = requirements;
  return kit_main("cursor", cases, 4);
}
