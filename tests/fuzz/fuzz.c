/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What check's macros call. There is no runner here to go back to. */
void _ck_assert_failed(const char *file, int line, const char *expr,
                       const char *msg, ...) {
  va_list list;

  fprintf(stderr, "%s:%d: %s", file, line, expr);
  if (msg != NULL) {
    fputs(": ", stderr);
    va_start(list, msg);
    vfprintf(stderr, msg, list);
    va_end(list);
  }
  fputs("\n", stderr);
  abort();
}

void _mark_point(const char *file, int line) {
  (void)file;
  (void)line;
}

uint8_t fuzz_byte(struct fuzz_input *input) {
  if (input->left == 0) {
    return 0;
  }
  input->left -= 1;
  return *input->p++;
}

uint64_t fuzz_number(struct fuzz_input *input, size_t bytes) {
  uint64_t number = 0;
  size_t i;

  for (i = 0; i < bytes; ++i) {
    number |= (uint64_t)fuzz_byte(input) << 8 * i;
  }
  return number;
}

uint64_t fuzz_extreme(struct fuzz_input *input) {
  const uint8_t how = fuzz_byte(input);

  switch (how >> 5) {
    case 0:
      return how;
    case 1:
      return UINT64_MAX - (how & 31u);
    case 2:
      return (uint64_t)WEIR_SEQ_MAX + 8 - (how & 31u);
    case 3:
      return fuzz_number(input, 8);
    default:
      return fuzz_number(input, 1 + (how & 1u));
  }
}

struct fuzz_bytes fuzz_copy(const void *data, size_t len) {
  struct fuzz_bytes bytes;

  bytes.len = len;
  bytes.data = malloc(len);
  /* malloc(0) may be NULL. */
  if (bytes.data == NULL) {
    kit_need(len == 0);
    bytes.data = malloc(1);
    kit_need(bytes.data != NULL);
  }
  if (len != 0) {
    memcpy(bytes.data, data, len);
  }
  return bytes;
}

struct fuzz_bytes fuzz_take(struct fuzz_input *input, size_t most) {
  const size_t len = input->left < most ? input->left : most;
  const struct fuzz_bytes bytes = fuzz_copy(input->p, len);

  input->p += len;
  input->left -= len;
  return bytes;
}

struct fuzz_bytes fuzz_some(struct fuzz_input *input, size_t most) {
  size_t len = fuzz_byte(input);

  if (len >= 0xf0) {
    len = (len & 15) << 8 | fuzz_byte(input);
  }
  return fuzz_take(input, len < most ? len : most);
}

bool fuzz_same(const void *a, size_t a_len, const void *b, size_t b_len) {
  return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

/* The bytes of a code point. */
static size_t encode(uint32_t point, unsigned char *dst) {
  if (point < 0x80) {
    dst[0] = (unsigned char)point;
    return 1;
  }
  if (point < 0x800) {
    dst[0] = (unsigned char)(0xc0 | point >> 6);
    dst[1] = (unsigned char)(0x80 | (point & 63));
    return 2;
  }
  if (point < 0x10000) {
    dst[0] = (unsigned char)(0xe0 | point >> 12);
    dst[1] = (unsigned char)(0x80 | (point >> 6 & 63));
    dst[2] = (unsigned char)(0x80 | (point & 63));
    return 3;
  }
  dst[0] = (unsigned char)(0xf0 | (point >> 18 & 7));
  dst[1] = (unsigned char)(0x80 | (point >> 12 & 63));
  dst[2] = (unsigned char)(0x80 | (point >> 6 & 63));
  dst[3] = (unsigned char)(0x80 | (point & 63));
  return 4;
}

bool fuzz_is_text(const unsigned char *text, size_t len) {
  unsigned char again[4];
  uint32_t point;
  size_t n;
  size_t i;

  for (; len != 0; text += n, len -= n) {
    n = *text < 0x80 ? 1 : *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : 4;
    if (n > len) {
      return false;
    }
    point = n == 1 ? *text : *text & (0x3fu >> (n - 1));
    for (i = 1; i < n; ++i) {
      point = point << 6 | (text[i] & 63u);
    }
    if (point == 0 || (point >= 0xd800 && point < 0xe000) || point > 0x10ffff ||
        encode(point, again) != n || memcmp(again, text, n) != 0) {
      return false;
    }
  }
  return true;
}

bool fuzz_has(const unsigned char *text, size_t len, const char *any) {
  size_t i;

  for (i = 0; i < len; ++i) {
    if (text[i] == '\0' || strchr(any, text[i]) != NULL) {
      return true;
    }
  }
  return false;
}
