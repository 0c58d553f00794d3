/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "scan.h"

#include <string.h>

#include "lines.h"

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* Not 0 if a byte of the word is 0 (Mycroft, 1987). Exact as a yes or no. */
static uint64_t zeros(uint64_t word) {
  return (word - ONES) & ~word & HIGHS;
}

static uint64_t load(const unsigned char *p) {
  uint64_t word;

  memcpy(&word, p, sizeof word);
  return word;
}

/* Whether a word of 8 bytes holds a CR or LF. */
static bool breaks(uint64_t word) {
  return (zeros(word ^ (ONES * '\n')) | zeros(word ^ (ONES * '\r'))) != 0;
}

static bool is_break(unsigned char c) {
  return c == '\n' || c == '\r';
}

size_t weir__scan_line(const void *text, size_t len) {
  const unsigned char *p = text;
  size_t i = 0;

  while (len - i >= 8 && !breaks(load(p + i))) {
    i += 8;
  }
  while (i < len && !is_break(p[i])) {
    ++i;
  }
  return i;
}

/* Whether a word of 8 bytes holds one that is escaped in a JSON string. */
static bool escapes(uint64_t word) {
  return (((word - ONES * 0x20) & ~word & HIGHS) | zeros(word ^ (ONES * '"')) |
          zeros(word ^ (ONES * '\\'))) != 0;
}

static bool is_escaped(unsigned char c) {
  return c < 0x20 || c == '"' || c == '\\';
}

size_t weir__scan_json(const void *text, size_t len) {
  const unsigned char *p = text;
  size_t i = 0;

  while (len - i >= 8 && !escapes(load(p + i))) {
    i += 8;
  }
  while (i < len && !is_escaped(p[i])) {
    ++i;
  }
  return i;
}

bool weir__is_field(const void *text, size_t len) {
  const unsigned char *p = text;
  size_t i;

  for (i = 0; i < len; ++i) {
    if (p[i] == '\0' || is_break(p[i])) {
      return false;
    }
  }
  return true;
}

/* The length of the well-formed sequence at p, of which n bytes are there; 0
 * if there is none. The bounds of the second byte are those of RFC 3629, which
 * leave out overlong forms, surrogates and what is beyond U+10FFFF. */
static size_t sequence(const unsigned char *p, size_t n) {
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  size_t len;
  size_t i;

  if (p[0] < 0x80) {
    return p[0] != 0;
  }
  if (p[0] < 0xc2 || p[0] > 0xf4) {
    return 0;
  }
  len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
  if (p[0] == 0xe0) {
    low = 0xa0;
  } else if (p[0] == 0xed) {
    high = 0x9f;
  } else if (p[0] == 0xf0) {
    low = 0x90;
  } else if (p[0] == 0xf4) {
    high = 0x8f;
  }
  if (n < len || p[1] < low || p[1] > high) {
    return 0;
  }
  for (i = 2; i < len; ++i) {
    if ((p[i] & 0xc0) != 0x80) {
      return 0;
    }
  }
  return len;
}

bool weir__is_text(const void *text, size_t len) {
  const unsigned char *p = text;
  size_t i = weir__lines_ascii(weir__widest(), p, len);
  size_t n;

  while (i < len) {
    /* ASCII without NUL, eight at a time. */
    while (len - i >= 8 && (load(p + i) & HIGHS) == 0 &&
           zeros(load(p + i)) == 0) {
      i += 8;
    }
    if (i == len) {
      break;
    }
    n = sequence(p + i, len - i);
    if (n == 0) {
      return false;
    }
    i += n;
  }
  return true;
}
