/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__OUT_H
#define WEIR__OUT_H

/* Output into a buffer of the caller's that keeps counting after it stops
 * fitting. Measuring and writing are one code path, so the two can never
 * disagree. */

#include "util.h"

struct weir__out {
  unsigned char *dst;
  size_t cap;
  size_t len;    /* what has been put, also beyond cap */
  size_t lines;  /* what weir__put_lines has counted */
  bool overflow; /* no size_t holds len */
};

void weir__out_init(struct weir__out *out, void *dst, size_t cap);

/* How a call that puts ends: *len is set; WEIR_OK, WEIR_ENOSPACE or
 * WEIR_EOVERFLOW. */
int weir__out_end(const struct weir__out *out, size_t *len);

/* Inline: of what is put, most is a few bytes whose number the compiler knows.
 */
static inline void weir__put(struct weir__out *out, const void *src,
                             size_t len) {
  size_t end;

  if (!weir__add(out->len, len, &end)) {
    out->overflow = true;
    return;
  }
  if (len != 0 && end <= out->cap) {
    memcpy(out->dst + out->len, src, len);
  }
  out->len = end;
}

static inline void weir__put_text(struct weir__out *out, const char *text) {
  weir__put(out, text, strlen(text));
}

void weir__put_number(struct weir__out *out, uint64_t number);

/* Data of an event: as it is, but for a CRLF, LF or CR, each of which becomes
 * the end of a data line and the start of the next. out->lines counts them. */
void weir__put_lines(struct weir__out *out, const void *data, size_t len);

/* A JSON string with its quotes. The text is UTF-8, or else it comes out as
 * it went in. */
void weir__put_json(struct weir__out *out, const void *text, size_t len);

/* Percent-encode what is not visible ASCII, and `%`. */
void weir__put_percent(struct weir__out *out, const void *text, size_t len);

#endif /* WEIR__OUT_H */
