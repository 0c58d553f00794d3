/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The vectors of the encoder: in every width that this processor has, against
 * loops that take one byte at a time, with all that is read and written before
 * a byte that faults. */

#include <weir/frame.h>

#include "../kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame_plain.h"
#include "frame_wide.h"
#include "lines.h"

#define MOST 1400
#define GROWTH 7
#define ROUNDS 40000

static unsigned char *text_end; /* where the page behind faults */
static unsigned char *copy_end;
static unsigned char wanted[MOST * GROWTH];
static uint64_t state;

static size_t draw(size_t below) {
  state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (size_t)(state >> 33) % below;
}

static void setup(void) {
  const size_t size = 16384;

  text_end = (unsigned char *)kit_fence(size) + size;
  copy_end = (unsigned char *)kit_fence(size) + size;
  state = 1;
}

/* Text of one of some kinds, up to where memory ends. */
static const unsigned char *make_text(size_t len) {
  static const struct {
    unsigned lf;
    unsigned cr;
    unsigned crlf;
    unsigned other; /* not ASCII, or NUL */
  } kinds[] = {
      {0, 0, 0, 0},   {15, 0, 0, 0},    {300, 300, 100, 0}, {2, 8, 4, 0},
      {900, 0, 0, 0}, {0, 0, 0, 2},     {10, 0, 0, 2},      {0, 500, 0, 0},
      {1, 0, 0, 0},   {0, 0, 300, 100}, {0, 1, 0, 1},
  };
  static const unsigned char others[] = {0, 9, 11, 12, 14, 127, 128, 0xff};
  const size_t kind = draw(sizeof kinds / sizeof kinds[0]);
  unsigned char *text = text_end - len;
  size_t i;
  uint64_t r;

  for (i = 0; i < len; ++i) {
    r = draw(1000);
    text[i] = (unsigned char)('a' + i % 26);
    if (r < kinds[kind].lf) {
      text[i] = '\n';
    } else if ((r -= kinds[kind].lf) < kinds[kind].cr) {
      text[i] = '\r';
    } else if ((r -= kinds[kind].cr) < kinds[kind].crlf && i + 1 < len) {
      text[i] = '\r';
      text[++i] = '\n';
    } else if ((r -= kinds[kind].crlf) < kinds[kind].other) {
      text[i] = others[draw(sizeof others)];
    }
  }
  return text;
}

/* Text that is UTF-8, and hardly ASCII. */
static const unsigned char *make_umlauts(size_t len) {
  unsigned char *text = text_end - len;
  size_t i;

  memset(text, 'u', len);
  for (i = draw(5); i + 1 < len; i += 2 + draw(5)) {
    memcpy(text + i, "\xc3\xa4", 2);
  }
  return text;
}

/* What len bytes of text become. */
static size_t split(const unsigned char *text, size_t len, size_t *breaks) {
  size_t n = 0;
  size_t i;

  *breaks = 0;
  for (i = 0; i < len; ++i) {
    if (text[i] == '\n' || text[i] == '\r') {
      i += text[i] == '\r' && i + 1 < len && text[i + 1] == '\n';
      memcpy(wanted + n, "\ndata: ", 7);
      n += 7;
      *breaks += 1;
    } else {
      wanted[n++] = text[i];
    }
  }
  return n;
}

/* What is copied is right, whatever is left, and a CRLF is not torn. */
START_TEST(lines_are_copied) {
  const enum weir__width width = (enum weir__width)_i;
  struct weir__progress progress;
  const unsigned char *text;
  size_t breaks;
  size_t far = 0;
  size_t len;
  size_t cap;
  size_t n;
  int round;

  if (width > weir__widest()) {
    return;
  }
  for (round = 0; round < ROUNDS; ++round) {
    len = draw(MOST + 1);
    text = make_text(len);
    cap = draw(3) == 0 ? draw(len * GROWTH + 1) : len * GROWTH;
    cap = draw(5) == 0 ? cap + 1000 : cap;
    weir__lines_copy(width, copy_end - cap, cap, text, len, &progress);
    kit_need(progress.read <= len && progress.written <= cap);
    n = split(text, progress.read, &breaks);
    kit_need(n == progress.written && breaks == progress.breaks);
    kit_need(memcmp(copy_end - cap, wanted, n) == 0);
    kit_need(progress.read == 0 || progress.read == len ||
             text[progress.read - 1] != '\r' || text[progress.read] != '\n');
    far += progress.read;
  }
  /* It does do something. */
  ck_assert(width == WEIR__PLAIN ? far == 0 : far > ROUNDS * (MOST / 4));
}
END_TEST

START_TEST(ascii_is_counted) {
  const enum weir__width width = (enum weir__width)_i;
  const unsigned char *text;
  size_t far = 0;
  size_t len;
  size_t n;
  size_t i;
  int round;

  if (width > weir__widest()) {
    return;
  }
  for (round = 0; round < ROUNDS; ++round) {
    len = draw(MOST + 1);
    text = make_text(len);
    n = weir__lines_ascii(width, text, len);
    for (i = 0; i < n; ++i) {
      kit_need(text[i] - 1u < 127u);
    }
    for (i = n; i < len && text[i] - 1u < 127u; ++i) {
    }
    kit_need(n <= len && (width == WEIR__PLAIN || i - n < 64));
    far += n;
  }
  ck_assert(width == WEIR__PLAIN ? far == 0 : far > ROUNDS * (MOST / 4));
}
END_TEST

static void draw_frame(weir_frame *frame) {
  static const char *const types[] = {"",         "token",    "message",
                                      "bad\nist", "\xc3\xa4", "messagf"};
  static char longest[70];

  weir_frame_init(frame, sizeof *frame);
  frame->type = types[draw(6)];
  frame->type_len = strlen(frame->type);
  if (draw(10) == 0) {
    memset(longest, 't', sizeof longest);
    frame->type = longest;
    frame->type_len = 20 + draw(50);
  }
  frame->data_len = draw(4) == 0 ? draw(MOST + 1) : draw(200);
  frame->data =
      draw(8) == 0 ? make_umlauts(frame->data_len) : make_text(frame->data_len);
  frame->flags = draw(2) == 0 ? WEIR_FRAME_BYTES : 0;
  frame->flags |= draw(50) == 0 ? 2u : 0;
  frame->retry = draw(20) == 0 ? 3000 : 0;
  frame->max_lines = draw(10) == 0 ? (uint32_t)draw(4) : 0;
  frame->max_bytes = draw(10) == 0 ? draw(300) : 0;
}

/* The wide way and the plain one are one function. */
START_TEST(frame_is_the_same_in_any_width) {
  static unsigned char plain[MOST * GROWTH + 400];
  static const char ids[] =
      "0123456789012345678901234567890123456789012345678901234567890123456789";
  unsigned done[2] = {0, 0};
  weir_frame frame;
  size_t plain_len;
  size_t id_len;
  size_t cap;
  size_t len;
  int plain_rv;
  int round;
  int rv;

  if (!weir__frame_is_wide()) {
    return;
  }
  for (round = 0; round < 5 * ROUNDS; ++round) {
    draw_frame(&frame);
    id_len = draw(4) == 0 ? draw(70) : 20;
    cap = draw(4) == 0 ? draw(700) : sizeof plain;
    len = plain_len = 77;
    plain_rv = weir__frame_plain(&frame, ids, id_len, plain, cap, &plain_len);
    rv = weir__frame_wide(&frame, ids, id_len, copy_end - cap, cap, &len);
    kit_need(rv == plain_rv);
    kit_need(len == plain_len);
    kit_need(rv != WEIR_OK || memcmp(copy_end - cap, plain, len) == 0);
    ++done[rv == WEIR_OK];
  }
  ck_assert_uint_gt(done[0], ROUNDS / 2);
  ck_assert_uint_gt(done[1], ROUNDS);
}
END_TEST

/* In any room, also where nothing but lines comes out of it. */
START_TEST(frame_is_the_same_in_any_room) {
  static const char *const breaks[] = {"\n", "\r\n"};
  static unsigned char plain[2048];
  const size_t width = strlen(breaks[_i % 2]);
  const size_t data_len = 62 + (size_t)_i / 2;
  unsigned char *data = text_end - data_len;
  weir_frame frame;
  size_t plain_len;
  size_t cap;
  size_t len;
  size_t i;
  int plain_rv;

  for (i = 0; i < data_len; ++i) {
    data[i] = (unsigned char)breaks[_i % 2][i % width];
  }
  weir_frame_init(&frame, sizeof frame);
  frame.data = data;
  frame.data_len = data_len;
  frame.flags = WEIR_FRAME_BYTES;
  for (cap = 0; cap <= sizeof plain; ++cap) {
    plain_rv = weir__frame_plain(&frame, "7-1", 3, plain, cap, &plain_len);
    kit_need(weir_frame_encode_event(&frame, "7-1", 3, copy_end - cap, cap,
                                     &len) == plain_rv);
    kit_need(len == plain_len);
    kit_need(plain_rv != WEIR_OK || memcmp(copy_end - cap, plain, len) == 0);
  }
}
END_TEST

/* As many lines as there may be, and one more. */
START_TEST(lines_are_counted) {
  const size_t cap = WEIR_FRAME_LINES_MAX * GROWTH + 1000;
  unsigned char *data = malloc(WEIR_FRAME_LINES_MAX);
  unsigned char *dst = malloc(cap);
  weir_frame frame;
  size_t len;

  ck_assert_ptr_nonnull(data);
  ck_assert_ptr_nonnull(dst);
  memset(data, '\n', WEIR_FRAME_LINES_MAX);
  weir_frame_init(&frame, sizeof frame);
  frame.data = data;
  frame.data_len = WEIR_FRAME_LINES_MAX - 1;
  ck_assert_int_eq(weir_frame_encode_event(&frame, NULL, 0, dst, cap, &len),
                   WEIR_OK);
  ck_assert_uint_eq(len, 7 * WEIR_FRAME_LINES_MAX + 1);
  frame.data_len = WEIR_FRAME_LINES_MAX;
  ck_assert_int_eq(weir_frame_encode_event(&frame, NULL, 0, dst, cap, &len),
                   WEIR_ETOOBIG);
  free(data);
  free(dst);
}
END_TEST

#if WEIR__HAS_AVX && defined(__GNUC__) && !defined(__clang__)

/* What __builtin_cpu_supports looks at, in gcc's own library. */
extern struct {
  unsigned vendor;
  unsigned type;
  unsigned subtype;
  unsigned features;
} __cpu_model;

/* As if this processor could do less: the same bytes. */
START_TEST(a_lesser_processor) {
  static const unsigned gone[] = {1u << 21, 1u << 20, 1u << 17,
                                  1u << 10 | 1u << 21};
  const unsigned features = __cpu_model.features;
  unsigned char wanted_frame[600];
  unsigned char frame[600];
  weir_frame event;
  size_t len;
  size_t again;

  weir_frame_init(&event, sizeof event);
  event.data =
      "one\ntwo\r\nthree: and so on, for more than one vector of "
      "them, which has 64 bytes here";
  event.data_len = strlen(event.data);
  ck_assert_int_eq(weir__frame_plain(&event, "7-1", 3, wanted_frame,
                                     sizeof wanted_frame, &len),
                   WEIR_OK);
  __cpu_model.features &= ~gone[_i];
  ck_assert(!weir__frame_is_wide());
  ck_assert_int_eq(
      weir_frame_encode_event(&event, "7-1", 3, frame, sizeof frame, &again),
      WEIR_OK);
  __cpu_model.features = features;
  ck_assert_uint_eq(again, len);
  ck_assert_mem_eq(frame, wanted_frame, len);
}
END_TEST

#endif

static TCase *widths(void) {
  TCase *tcase = tcase_create("widths");

  tcase_add_checked_fixture(tcase, setup, NULL);
  tcase_add_loop_test(tcase, lines_are_copied, WEIR__PLAIN, WEIR__BYTES_32 + 1);
  tcase_add_loop_test(tcase, ascii_is_counted, WEIR__PLAIN, WEIR__BYTES_32 + 1);
  tcase_add_test(tcase, frame_is_the_same_in_any_width);
  tcase_add_loop_test(tcase, frame_is_the_same_in_any_room, 0, 2 * 68);
  tcase_add_test(tcase, lines_are_counted);
#if WEIR__HAS_AVX && defined(__GNUC__) && !defined(__clang__)
  tcase_add_loop_test(tcase, a_lesser_processor, 0, 4);
#endif
  return tcase;
}

KIT_MAIN("lines", widths())
