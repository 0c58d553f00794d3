/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdlib.h>
#include <string.h>

void text_free(struct text *text) {
  free(text->data);
  memset(text, 0, sizeof *text);
}

void text_add(struct text *text, const void *data, size_t len) {
  size_t cap = text->cap == 0 ? 64 : text->cap;
  char *grown;

  if (len == 0 || text->failed) {
    return;
  }
  if (len > SIZE_MAX / 4 - text->len) {
    text->failed = true;
    return;
  }
  while (cap < text->len + len) {
    cap *= 2;
  }
  if (cap > text->cap) {
    grown = realloc(text->data, cap);
    if (grown == NULL) {
      text->failed = true;
      return;
    }
    text->data = grown;
    text->cap = cap;
  }
  memcpy(text->data + text->len, data, len);
  text->len += len;
}

void text_put(struct text *text, const char *string) {
  text_add(text, string, strlen(string));
}

void text_number(struct text *text, uint64_t number) {
  char digits[20];
  size_t at = sizeof digits;

  do {
    digits[--at] = (char)('0' + number % 10);
    number /= 10;
  } while (number != 0);
  text_add(text, digits + at, sizeof digits - at);
}

void text_json(struct text *text, const void *data, size_t len) {
  static const char hex[] = "0123456789abcdef";
  const unsigned char *p = data;
  char escape[7] = "\\u0000";
  size_t i;

  text_put(text, "\"");
  for (i = 0; i < len; ++i) {
    if (p[i] == '"' || p[i] == '\\') {
      text_put(text, "\\");
      text_add(text, p + i, 1);
    } else if (p[i] < 0x20) {
      escape[4] = hex[p[i] >> 4];
      escape[5] = hex[p[i] & 15];
      text_put(text, escape);
    } else {
      text_add(text, p + i, 1);
    }
  }
  text_put(text, "\"");
}

bool slice_is(struct slice slice, const char *string) {
  return slice.len == strlen(string) &&
         (slice.len == 0 || memcmp(slice.data, string, slice.len) == 0);
}

static char lower(char c) {
  return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool slice_is_name(struct slice slice, const char *string) {
  size_t i;

  if (slice.len != strlen(string)) {
    return false;
  }
  for (i = 0; i < slice.len; ++i) {
    if (lower(slice.data[i]) != lower(string[i])) {
      return false;
    }
  }
  return true;
}

/* The value of a hex digit, or -1. */
static int digit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool text_decode(struct text *text, struct slice slice, bool query) {
  size_t i;
  char c;

  for (i = 0; i < slice.len; ++i) {
    c = slice.data[i];
    if (c == '%') {
      if (slice.len - i < 3 || digit(slice.data[i + 1]) < 0 ||
          digit(slice.data[i + 2]) < 0) {
        return false;
      }
      c = (char)(digit(slice.data[i + 1]) * 16 + digit(slice.data[i + 2]));
      i += 2;
    } else if (c == '+' && query) {
      c = ' ';
    }
    text_add(text, &c, 1);
  }
  return true;
}

bool query_get(struct slice query, const char *name, struct text *value,
               bool *bad) {
  const char *p = query.len == 0 ? "" : query.data;
  const char *end = p + query.len;
  const char *stop;
  const char *equals;
  struct slice key;
  struct slice rest;

  for (; p < end; p = stop + 1) {
    stop = memchr(p, '&', (size_t)(end - p));
    stop = stop == NULL ? end : stop;
    equals = memchr(p, '=', (size_t)(stop - p));
    key.data = p;
    key.len = (size_t)((equals == NULL ? stop : equals) - p);
    if (slice_is(key, name)) {
      rest.data = equals == NULL ? stop : equals + 1;
      rest.len = (size_t)(stop - rest.data);
      if (!text_decode(value, rest, true)) {
        *bad = true;
        return false;
      }
      return true;
    }
  }
  return false;
}

bool query_choose(struct slice query, const char *name,
                  const char *const *words, int count, int *choice) {
  struct text value = {NULL, 0, 0, false};
  struct slice word;
  bool bad = false;
  bool found = query_get(query, name, &value, &bad);
  int i = 0;

  word.data = value.data;
  word.len = value.len;
  while (found && i < count && !slice_is(word, words[i])) {
    ++i;
  }
  text_free(&value);
  if (found && i < count) {
    *choice = i;
  }
  return !bad && i < count;
}

bool parse_number(struct slice slice, uint64_t *number) {
  uint64_t value = 0;
  size_t i;

  for (i = 0; i < slice.len; ++i) {
    const uint64_t digit = (uint64_t)(slice.data[i] - '0');

    if (slice.data[i] < '0' || slice.data[i] > '9') {
      return false;
    }
    value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
  }
  *number = value;
  return slice.len != 0;
}
