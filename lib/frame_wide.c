/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "frame_wide.h"

#include "frame_plain.h"
#include "lines.h"
#include "scan.h"

#if WEIR__HAS_64

#include <immintrin.h>

#define AVX512 WEIR__TARGET_64

/* The longest id and type, and the longest data for which it pays to try first
 * whether it is one line. */
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
  const uint64_t high = (uint64_t)(flags & WEIR_FRAME_BYTES) - 1;

  return (_mm512_cmplt_epu8_mask(least, _mm512_set1_epi8(14)) |
          (_mm512_movepi8_mask(bits) & high)) != 0;
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

/* Data up to a block in which something is odd. Returns how much that was. */
AVX512 static inline size_t put_line(const weir_frame *frame,
                                     unsigned char *d) {
  const unsigned char *data = frame->data;
  const size_t len = frame->data_len;
  struct seen seen;
  __m512i block;
  size_t at = 0;

  if (len > SHORT) {
    return 0;
  }
  for (; len - at >= 64; at += 64) {
    block = _mm512_loadu_si512((const void *)(data + at));
    if (is_odd(block, block, frame->flags)) {
      return at;
    }
    store(d + at, block);
  }
  begin(&seen);
  store(d + at, load(&seen, data + at, len - at));
  return is_odd(seen.least, seen.bits, frame->flags) ? at : len;
}

/* Data of any kind, of which some is there. Returns its length in the frame; 0
 * if there was no room, there are too many lines, or it is no text. */
static size_t put_lines(const weir_frame *frame, unsigned char *d, size_t cap,
                        size_t done) {
  const uint64_t most =
      frame->max_lines != 0 ? frame->max_lines : WEIR_FRAME_LINES_MAX;
  const unsigned char *data = (const unsigned char *)frame->data + done;
  const size_t len = frame->data_len - done;
  struct weir__progress progress;

  if ((frame->flags & WEIR_FRAME_BYTES) == 0 && !weir__is_text(data, len)) {
    return 0;
  }
  weir__lines_copy(WEIR__BYTES_64, d + done, cap - done, data, len, &progress);
  return progress.read == len && progress.breaks < most &&
                 cap - done - progress.written >= 2
             ? done + progress.written
             : 0;
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
  n = put_line(frame, d);
  if (n < frame->data_len) {
    n = put_lines(frame, d, cap - (size_t)(d - start), n);
  }
  if (n == 0 || (size_t)(d - start) + n + 1 > frame->max_bytes - 1) {
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
  if (written - 1 > frame->max_bytes - 1) { /* 0 is no limit */
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
  return data_len <= 64 ? put_short(frame, id, id_len, dst, cap, len)
                        : put_long(frame, id, id_len, dst, cap, len);
}

#else

int weir__frame_wide(const weir_frame *frame, const void *id, size_t id_len,
                     void *dst, size_t cap, size_t *len) {
  return weir__frame_plain(frame, id, id_len, dst, cap, len);
}

#endif /* WEIR__HAS_64 */
