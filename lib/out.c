/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "out.h"

#include "lines.h"
#include "scan.h"
#include "util.h"

void weir__out_init(struct weir__out *out, void *dst, size_t cap) {
  out->dst = dst;
  out->cap = cap;
  out->len = 0;
  out->lines = 0;
  out->overflow = false;
}

int weir__out_end(const struct weir__out *out, size_t *len) {
  if (out->overflow) {
    return WEIR_EOVERFLOW;
  }
  *len = out->len;
  return out->len > out->cap ? WEIR_ENOSPACE : WEIR_OK;
}

void weir__put_number(struct weir__out *out, uint64_t number) {
  char digits[20];
  size_t at = sizeof digits;

  do {
    digits[--at] = (char)('0' + number % 10);
    number /= 10;
  } while (number != 0);
  weir__put(out, digits + at, sizeof digits - at);
}

/* What goes by the block; the rest is put line by line. */
static const unsigned char *put_blocks(struct weir__out *out,
                                       const unsigned char *p, size_t len) {
  struct weir__progress progress;

  if (out->len >= out->cap) {
    return p;
  }
  weir__lines_copy(weir__widest(), out->dst + out->len, out->cap - out->len, p,
                   len, &progress);
  out->len += progress.written;
  out->lines += progress.breaks;
  return p + progress.read;
}

void weir__put_lines(struct weir__out *out, const void *data, size_t len) {
  const unsigned char *p = data;
  const unsigned char *end;
  size_t n;

  if (len == 0) {
    return;
  }
  end = p + len;
  p = put_blocks(out, p, len);
  while (p < end) {
    n = weir__scan_line(p, (size_t)(end - p));
    weir__put(out, p, n);
    p += n;
    if (p < end) {
      p += p[0] == '\r' && end - p > 1 && p[1] == '\n' ? 2 : 1;
      weir__put_text(out, "\ndata: ");
      out->lines += 1;
    }
  }
}

static void put_escape(struct weir__out *out, unsigned char c) {
  static const char hex[] = "0123456789abcdef";
  char escape[6] = {'\\', 'u', '0', '0', '0', '0'};

  if (c == '"') {
    weir__put_text(out, "\\\"");
  } else if (c == '\\') {
    weir__put_text(out, "\\\\");
  } else if (c == '\n') {
    weir__put_text(out, "\\n");
  } else if (c == '\r') {
    weir__put_text(out, "\\r");
  } else if (c == '\t') {
    weir__put_text(out, "\\t");
  } else {
    escape[4] = hex[c >> 4];
    escape[5] = hex[c & 15];
    weir__put(out, escape, sizeof escape);
  }
}

void weir__put_json(struct weir__out *out, const void *text, size_t len) {
  const unsigned char *p = text;
  size_t n;

  weir__put_text(out, "\"");
  while (len != 0) {
    n = weir__scan_json(p, len);
    weir__put(out, p, n);
    if (n != len) {
      put_escape(out, p[n++]);
    }
    p += n;
    len -= n;
  }
  weir__put_text(out, "\"");
}

void weir__put_percent(struct weir__out *out, const void *text, size_t len) {
  static const char hex[] = "0123456789ABCDEF";
  const unsigned char *p = text;
  char escape[3] = {'%', '0', '0'};
  size_t i;

  for (i = 0; i < len; ++i) {
    if (p[i] > 0x20 && p[i] < 0x7f && p[i] != '%') {
      weir__put(out, p + i, 1);
    } else {
      escape[1] = hex[p[i] >> 4];
      escape[2] = hex[p[i] & 15];
      weir__put(out, escape, sizeof escape);
    }
  }
}
