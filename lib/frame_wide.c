/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "frame_wide.h"

#include "frame_plain.h"
#include "lines.h"
#include "scan.h"

#if WEIR__HAS_64

#include <immintrin.h>

#define AVX512 WEIR__TARGET_64

/* The longest id and type, and the longest data for which it pays to store it
 * first as one line. */
#define FIELD 64
#define SHORT 512

/* What all is stored besides the data: names, id, type, line breaks, and what
 * a vector has more than was wanted. */
#define ROOM (64 + 2 * FIELD + 128)

/* What is known of all bytes that were loaded: enough to say that none is odd,
 * which means CR, LF, NUL, or another that needs a closer look. */
struct seen {
  __m512i least;
  __m512i bits;
};

AVX512 static inline void begin(struct seen *seen) {
  seen->least = _mm512_set1_epi8(' ');
  seen->bits = _mm512_setzero_si512();
}

AVX512 static inline void see(struct seen *seen, __m512i block) {
  seen->least = _mm512_min_epu8(seen->least, block);
  seen->bits = _mm512_or_si512(seen->bits, block);
}

/* A load that stops where the data does: what is beyond is blank. */
AVX512 static inline __m512i load(struct seen *seen, const unsigned char *p,
                                  size_t len) {
  const __mmask64 wanted = _bzhi_u64(UINT64_MAX, (unsigned)len);
  const __m512i block =
      _mm512_mask_loadu_epi8(_mm512_set1_epi8(' '), wanted, p);

  see(seen, block);
  return block;
}

AVX512 static inline void store(unsigned char *p, __m512i block) {
  _mm512_storeu_si512((void *)p, block);
}

/* CR, LF and NUL are below 14; text is looked at closer unless it is ASCII. */
AVX512 static inline bool is_odd(__m512i least, __m512i bits, uint32_t flags) {
  const uint64_t high = (flags & WEIR_FRAME_BYTES) != 0 ? 0 : UINT64_MAX;

  return (_mm512_cmplt_epu8_mask(least, _mm512_set1_epi8(14)) |
          (_mm512_movepi8_mask(bits) & high)) != 0;
}

/* A limit of 0 is none: below it comes the largest number. */
static inline bool is_too_long(size_t len, uint64_t most) {
  return len - 1 > most - 1;
}

/* Everything up to the data. */
AVX512 static inline unsigned char *put_head(struct seen *seen,
                                             const weir_frame *frame,
                                             const void *id, size_t id_len,
                                             unsigned char *d) {
  const size_t type_len = frame->type_len;

  if (id_len != 0) {
    memcpy(d, "id: ", 4);
    store(d + 4, load(seen, id, id_len));
    d[4 + id_len] = '\n';
    d += 5 + id_len;
  }
  if (type_len != 0) {
    memcpy(d, "event: ", 8);
    store(d + 7, load(seen, frame->type, type_len));
    d[7 + type_len] = '\n';
    d += 8 + type_len;
  }
  memcpy(d, "data: ", 6);
  return d + 6;
}

/* Data of any kind, of which some is there. Returns its length in the frame; 0
 * if there was no room, there are too many lines, or it is no text. */
static size_t put_lines(const weir_frame *frame, unsigned char *d, size_t cap) {
  const uint64_t most =
      frame->max_lines != 0 ? frame->max_lines : WEIR_FRAME_LINES_MAX;
  const unsigned char *data = frame->data;
  const size_t len = frame->data_len;
  struct weir__progress progress;

  if ((frame->flags & WEIR_FRAME_BYTES) == 0 && !weir__is_text(data, len)) {
    return 0;
  }
  /* Two bytes are for the end. */
  weir__lines_copy(WEIR__BYTES_64, d, cap - 2, data, len, &progress);
  return progress.read == len && progress.breaks < most ? progress.written : 0;
}

/* A frame of any data. */
AVX512 static int put_long(const weir_frame *frame, const void *id,
                           size_t id_len, void *dst, size_t cap, size_t *len) {
  unsigned char *const start = dst;
  unsigned char *d;
  struct seen seen;
  size_t n;

  begin(&seen);
  d = put_head(&seen, frame, id, id_len, dst);
  if (is_odd(seen.least, seen.bits, frame->flags)) {
    return weir__frame_plain(frame, id, id_len, dst, cap, len);
  }
  n = put_lines(frame, d, cap - (size_t)(d - start));
  if (n == 0 || is_too_long((size_t)(d - start) + n + 2, frame->max_bytes)) {
    return weir__frame_plain(frame, id, id_len, dst, cap, len);
  }
  memcpy(d + n, "\n\n", 2);
  *len = (size_t)(d - start) + n + 2;
  return WEIR_OK;
}

AVX512 static int put_short(const weir_frame *frame, const void *id,
                            size_t id_len, void *dst, size_t cap, size_t *len) {
  unsigned char *d;
  struct seen seen;
  size_t written;

  begin(&seen);
  d = put_head(&seen, frame, id, id_len, dst);
  store(d, load(&seen, frame->data, frame->data_len));
  d += frame->data_len;
  memcpy(d, "\n\n", 2);
  written = (size_t)(d + 2 - (unsigned char *)dst);
  if (is_odd(seen.least, seen.bits, frame->flags)) {
    return put_long(frame, id, id_len, dst, cap, len);
  }
  if (is_too_long(written, frame->max_bytes)) {
    return weir__frame_plain(frame, id, id_len, dst, cap, len);
  }
  *len = written;
  return WEIR_OK;
}

/* Copy so many bytes, and store up to 64 more. */
AVX512 static inline unsigned char *copy_line(unsigned char *d,
                                              const unsigned char *p,
                                              size_t len) {
  for (; len > 64; len -= 64, p += 64, d += 64) {
    store(d, _mm512_loadu_si512((const void *)p));
  }
  store(d, _mm512_maskz_loadu_epi8(_bzhi_u64(UINT64_MAX, (unsigned)len), p));
  return d + len;
}

/* Bits of the bytes of a block that are below 14. */
AVX512 static inline uint64_t low_of(__m512i block) {
  return _mm512_cmplt_epu8_mask(block, _mm512_set1_epi8(14));
}

/* The lines of data of up to SHORT bytes whose breaks are all LF; NULL if there
 * is anything else below 14, or if there are more than `most` breaks. */
AVX512 static unsigned char *put_few_lines(unsigned char *d,
                                           const unsigned char *data,
                                           size_t len, size_t most) {
  struct seen seen;
  uint64_t low;
  size_t from = 0;
  size_t at;
  size_t i;

  begin(&seen);
  for (i = 0; i < len; i += 64) {
    low = low_of(load(&seen, data + i, len - i < 64 ? len - i : 64));
    for (; low != 0; low &= low - 1) {
      at = i + (size_t)__builtin_ctzll(low);
      if (data[at] != '\n' || most == 0) {
        return NULL;
      }
      most -= 1;
      d = copy_line(d, data + from, at - from);
      memcpy(d, "\ndata: ", 8);
      d += 7;
      from = at + 1;
    }
  }
  return copy_line(d, data + from, len - from);
}

/* A frame of data of up to SHORT bytes: all of it is stored as if it were one
 * line, and then looked at once. */
AVX512 static int put_middle(const weir_frame *frame, const void *id,
                             size_t id_len, void *dst, size_t cap,
                             size_t *len) {
  const unsigned char *data = frame->data;
  const size_t data_len = frame->data_len;
  const size_t spare = (cap - ROOM - data_len) / 6;
  const size_t most =
      (frame->max_lines != 0 ? frame->max_lines : WEIR_FRAME_LINES_MAX) - 1;
  unsigned char *start;
  unsigned char *d;
  struct seen seen;
  struct seen head;
  __m512i block;
  size_t written;
  size_t at = 0;

  begin(&seen);
  start = put_head(&seen, frame, id, id_len, dst);
  head = seen;
  for (; data_len - at > 64; at += 64) {
    block = _mm512_loadu_si512((const void *)(data + at));
    see(&seen, block);
    store(start + at, block);
  }
  store(start + at, load(&seen, data + at, data_len - at));
  d = start + data_len;
  if (is_odd(seen.least, seen.bits, frame->flags)) {
    /* Line feeds in the data are nothing special. */
    d = is_odd(head.least, seen.bits, frame->flags)
            ? NULL
            : put_few_lines(start, data, data_len, most < spare ? most : spare);
    if (d == NULL) {
      return put_long(frame, id, id_len, dst, cap, len);
    }
  }
  memcpy(d, "\n\n", 2);
  written = (size_t)(d + 2 - (unsigned char *)dst);
  if (is_too_long(written, frame->max_bytes)) {
    return weir__frame_plain(frame, id, id_len, dst, cap, len);
  }
  *len = written;
  return WEIR_OK;
}

int weir__frame_wide(const weir_frame *frame, const void *id, size_t id_len,
                     void *dst, size_t cap, size_t *len) {
  const size_t data_len = frame->data_len;

  if ((frame->retry | (frame->flags & ~WEIR_FRAME_BYTES) | frame->reserved0 |
       frame->reserved[0] | frame->reserved[1]) != 0 ||
      id_len > FIELD || frame->type_len > FIELD || cap < ROOM ||
      cap - ROOM < data_len ||
      weir__frame_is_default(frame->type, frame->type_len)) {
    return weir__frame_plain(frame, id, id_len, dst, cap, len);
  }
  return data_len <= 64      ? put_short(frame, id, id_len, dst, cap, len)
         : data_len <= SHORT ? put_middle(frame, id, id_len, dst, cap, len)
                             : put_long(frame, id, id_len, dst, cap, len);
}

#else

int weir__frame_wide(const weir_frame *frame, const void *id, size_t id_len,
                     void *dst, size_t cap, size_t *len) {
  return weir__frame_plain(frame, id, id_len, dst, cap, len);
}

#endif /* WEIR__HAS_64 */
