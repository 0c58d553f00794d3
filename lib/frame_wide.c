/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "frame_wide.h"

#include "frame_plain.h"
#include "lines.h"
#include "scan.h"

#if WEIR__HAS_AVX

#include <immintrin.h>

#define AVX512 __attribute__((target("avx512bw,avx512vl,bmi,bmi2,popcnt")))
#define INLINE AVX512 static inline __attribute__((always_inline))

/* What is rarer stays apart, so that nobody else saves registers for it. */
#define APART AVX512 static __attribute__((noinline))

/* The lines of a frame, each of which is stored as one vector, or half of one:
 * its name, what it says, and line feeds, of which the next line overwrites
 * what is too many. */
#define FEEDS_20 "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"
#define FEEDS FEEDS_20 FEEDS_20 FEEDS_20

static const _Alignas(64) char id_line[] = "id: " FEEDS;
static const _Alignas(64) char type_line[] = "event: " FEEDS;
static const _Alignas(64) char data_line[] = "data: " FEEDS;

#define ID_NAME 4
#define TYPE_NAME 7
#define DATA_NAME 6

/* The longest that any of them says in a vector, and in half of one. */
#define WHOLE 56
#define HALF 24

/* More than all is that is stored besides data in which no line ends. */
#define ROOM 256

/* What 64 line feeds grow by, and what is stored behind them. */
#define GROWTH (64 * 6 + 64)

/* From how many bytes on it pays to store them where they are aligned. */
#define MANY 1024

/* All of 64, and the first so many of them. */
#define ALL UINT64_MAX

/* A limit of 0 is none: below it comes the largest number. */
static inline bool is_too_long(size_t len, uint64_t most) {
  return len - 1 > most - 1;
}

INLINE __mmask64 first(size_t n) {
  return _bzhi_u64(ALL, (unsigned)n);
}

INLINE __m512i load(const unsigned char *p) {
  return _mm512_loadu_si512((const void *)p);
}

INLINE void store(unsigned char *p, __m512i block) {
  _mm512_storeu_si512((void *)p, block);
}

/* Each byte as a signed number: what is not ASCII is less than what is. */
INLINE __m512i lesser(__m512i a, __m512i b) {
  return _mm512_min_epi8(a, b);
}

/* A line whose name has so many bytes, with what it says from there on, which
 * is where `said` is: nothing else is read. */
INLINE __m512i load_line(const char *line, unsigned name, const void *says,
                         __mmask64 said) {
  return _mm512_mask_loadu_epi8(_mm512_load_si512((const void *)line), said,
                                (const void *)((uintptr_t)says - name));
}

/* Store a line of the head, if it says anything, and return where the next one
 * begins. *least is the least of all bytes; somebody else has to look at what
 * is below a blank. */
INLINE unsigned char *put_line(unsigned char *d, const char *line,
                               unsigned name, const void *says, size_t len,
                               __m512i *least) {
  const __mmask64 said = first(len) << name;
  const __m512i block = load_line(line, name, says, said);

  if (len == 0) {
    return d;
  }
  store(d, block);
  *least = _mm512_mask_min_epi8(*least, said, *least, block);
  return d + name + len + 1;
}

/* The same in half a vector, less of which crosses a cache line. */
INLINE unsigned char *put_half(unsigned char *d, const char *line,
                               unsigned name, const void *says, size_t len,
                               __m512i *least) {
  const __mmask64 said = first(len) << name;
  const __m256i names = _mm256_load_si256((const void *)line);
  __m256i block;

  if (len == 0) {
    return d;
  }
  block = _mm256_mask_loadu_epi8(names, (__mmask32)said,
                                 (const void *)((uintptr_t)says - name));
  _mm256_storeu_si256((void *)d, block);
  *least =
      _mm512_mask_min_epi8(*least, said, *least, _mm512_castsi256_si512(block));
  return d + name + len + 1;
}

/* What follows a line break in a block that is stored is stored once more,
 * behind the name of its line. Each adds six bytes, or five if it is a CRLF, as
 * those in pairs are. Of the block, only what is wanted is read. */
INLINE unsigned char *put_breaks(unsigned char *d, const unsigned char *p,
                                 __mmask64 wanted, uint64_t breaks,
                                 uint64_t pairs) {
  const uint64_t rest = wanted >> 1;
  size_t pair;
  size_t at;

  do {
    at = (size_t)_tzcnt_u64(breaks);
    pair = (size_t)(pairs >> at & 1);
    memcpy(d + at, "\ndata: ", 8);
    store(d + at + 7,
          _mm512_maskz_loadu_epi8(rest >> at >> pair, p + at + 1 + pair));
    d += 6 - pair;
    /* With breaks & (breaks - 1), gcc counts them all once more. */
    breaks ^= UINT64_C(1) << at;
  } while (breaks != 0);
  return d;
}

/* The same where there are CR. */
INLINE unsigned char *put_returns(unsigned char *d, const unsigned char *p,
                                  __mmask64 wanted, uint64_t feeds,
                                  uint64_t returns) {
  const uint64_t pairs = returns & feeds >> 1;

  return put_breaks(d, p, wanted, (returns | feeds) ^ pairs << 1, pairs);
}

/* Copy from the front of many bytes to where they are aligned, since a store
 * that crosses a cache line costs two. Stops before what is below 14, as CR and
 * LF are. */
INLINE size_t put_run(unsigned char *d, const unsigned char *p, size_t len,
                      __m512i *least) {
  const __m512i limit = _mm512_set1_epi8(14);
  __m512i v[4];
  size_t at;

  v[0] = load(p);
  if (_mm512_cmplt_epu8_mask(v[0], limit) != 0) {
    return 0;
  }
  store(d, v[0]);
  *least = lesser(*least, v[0]);
  for (at = 64 - ((uintptr_t)d & 63); len - at >= MANY / 2; at += 256) {
    v[0] = load(p + at);
    v[1] = load(p + at + 64);
    v[2] = load(p + at + 128);
    v[3] = load(p + at + 192);
    if (_mm512_cmplt_epu8_mask(_mm512_min_epu8(_mm512_min_epu8(v[0], v[1]),
                                               _mm512_min_epu8(v[2], v[3])),
                               limit) != 0) {
      break;
    }
    store(d + at, v[0]);
    store(d + at + 64, v[1]);
    store(d + at + 128, v[2]);
    store(d + at + 192, v[3]);
    *least = lesser(*least, lesser(lesser(v[0], v[1]), lesser(v[2], v[3])));
  }
  return at;
}

/* All of a frame stands there, of `written` bytes, but its data is not ASCII,
 * or has a NUL. */
APART int put_text(const weir_frame *frame, size_t written, size_t *len) {
  if (!weir__is_text(frame->data, frame->data_len)) {
    return WEIR_EUTF8;
  }
  *len = written;
  return WEIR_OK;
}

/* A frame of any data. */
APART int put_any(const weir_frame *frame, const void *id, size_t id_len,
                  void *dst, size_t cap, size_t *len) {
  const __m512i cr = _mm512_set1_epi8('\r');
  const __m512i lf = _mm512_set1_epi8('\n');
  const unsigned char *const end = (unsigned char *)dst + cap;
  const unsigned char *p = frame->data;
  size_t n = frame->data_len;
  __m512i least = _mm512_set1_epi8(' ');
  unsigned char *d;
  __m512i block;
  uint64_t returns;
  uint64_t feeds;
  size_t stop;
  size_t run;

  d = put_line(dst, id_line, ID_NAME, id, id_len, &least);
  d = put_line(d, type_line, TYPE_NAME, frame->type, frame->type_len, &least);
  if (_mm512_cmplt_epi8_mask(least, _mm512_set1_epi8(' ')) != 0) {
    return weir__frame_plain(frame, id, id_len, dst, cap, len);
  }
  memcpy(d, "data: ", DATA_NAME);
  d += DATA_NAME;
  while (n > 64) {
    stop = 64;
    if (n >= MANY) {
      run = put_run(d, p, n, &least);
      d += run;
      p += run;
      n -= run;
      stop = n - MANY / 4;
    }
    for (; n > stop; p += 64, d += 64, n -= 64) {
      block = load(p);
      store(d, block);
      least = lesser(least, block);
      returns = _mm512_cmpeq_epi8_mask(block, cr);
      feeds = _mm512_cmpeq_epi8_mask(block, lf);
      if ((feeds | returns) != 0) {
        if ((size_t)(end - d) < n + GROWTH) {
          return weir__frame_plain(frame, id, id_len, dst, cap, len);
        }
        if (returns == 0) {
          d = put_breaks(d, p, ALL, feeds, 0);
        } else {
          d = put_returns(d, p, ALL, feeds, returns);
          if (returns >> 63 != 0 && p[64] == '\n') {
            p += 1;
            n -= 1;
          }
        }
      }
    }
  }
  block = _mm512_mask_loadu_epi8(_mm512_set1_epi8(' '), first(n), p);
  store(d, block);
  least = lesser(least, block);
  returns = _mm512_cmpeq_epi8_mask(block, cr);
  feeds = _mm512_cmpeq_epi8_mask(block, lf);
  if ((feeds | returns) != 0) {
    if ((size_t)(end - d) < n + GROWTH) {
      return weir__frame_plain(frame, id, id_len, dst, cap, len);
    }
    d = put_returns(d, p, first(n), feeds, returns);
  }
  memcpy(d + n, "\n\n", 2);
  n = (size_t)(d + n + 2 - (unsigned char *)dst);
  if (is_too_long(n, frame->max_bytes)) {
    return weir__frame_plain(frame, id, id_len, dst, cap, len);
  }
  if ((frame->flags & WEIR_FRAME_BYTES) == 0 &&
      _mm512_cmplt_epi8_mask(least, _mm512_set1_epi8(1)) != 0) {
    return put_text(frame, n, len);
  }
  *len = n;
  return WEIR_OK;
}

/* A frame whose head has lines of HALF, and its data not MANY bytes, and no CR.
 * Of each 64, those where `ascii` is have to be that. */
INLINE int put_some(__mmask64 ascii, const weir_frame *frame, const void *id,
                    size_t id_len, void *dst, size_t cap, size_t *len) {
  const __m512i cr = _mm512_set1_epi8('\r');
  const __m512i lf = _mm512_set1_epi8('\n');
  const unsigned char *const end = (unsigned char *)dst + cap;
  const unsigned char *p = frame->data;
  size_t n = frame->data_len;
  __m512i least = _mm512_set1_epi8(' ');
  unsigned char *d;
  __m512i block;
  uint64_t feeds;
  __mmask64 odd;

  d = put_half(dst, id_line, ID_NAME, id, id_len, &least);
  d = put_half(d, type_line, TYPE_NAME, frame->type, frame->type_len, &least);
  odd = _mm512_cmplt_epi8_mask(least, _mm512_set1_epi8(' '));
  memcpy(d, "data: ", DATA_NAME);
  d += DATA_NAME;
  for (; n > 64; p += 64, d += 64, n -= 64) {
    block = load(p);
    store(d, block);
    odd = _kor_mask64(odd, _mm512_cmpeq_epi8_mask(block, cr));
    least = _mm512_mask_min_epi8(least, ascii, least, block);
    feeds = _mm512_cmpeq_epi8_mask(block, lf);
    if (feeds != 0) {
      if ((size_t)(end - d) < n + GROWTH) {
        return weir__frame_plain(frame, id, id_len, dst, cap, len);
      }
      d = put_breaks(d, p, ALL, feeds, 0);
    }
  }
  block = _mm512_mask_loadu_epi8(_mm512_set1_epi8(' '), first(n), p);
  store(d, block);
  odd = _kor_mask64(odd, _mm512_cmpeq_epi8_mask(block, cr));
  least = _mm512_mask_min_epi8(least, ascii, least, block);
  odd = _kor_mask64(
      odd, _mm512_mask_cmplt_epi8_mask(ascii, least, _mm512_set1_epi8(1)));
  feeds = _mm512_cmpeq_epi8_mask(block, lf);
  if (feeds != 0) {
    if ((size_t)(end - d) < n + GROWTH) {
      return weir__frame_plain(frame, id, id_len, dst, cap, len);
    }
    d = put_breaks(d, p, first(n), feeds, 0);
  }
  memcpy(d + n, "\n\n", 2);
  n = (size_t)(d + n + 2 - (unsigned char *)dst);
  if (odd != 0 || is_too_long(n, frame->max_bytes)) {
    return put_any(frame, id, id_len, dst, cap, len);
  }
  *len = n;
  return WEIR_OK;
}

APART int put_some_ascii(const weir_frame *frame, const void *id, size_t id_len,
                         void *dst, size_t cap, size_t *len) {
  return put_some(ALL, frame, id, id_len, dst, cap, len);
}

APART int put_some_bytes(const weir_frame *frame, const void *id, size_t id_len,
                         void *dst, size_t cap, size_t *len) {
  return put_some(0, frame, id, id_len, dst, cap, len);
}

/* A frame that is none of the smallest, or has something in it. */
static int put_larger(const weir_frame *frame, const void *id, size_t id_len,
                      void *dst, size_t cap, size_t *len) {
  const size_t data_len = frame->data_len;

  /* Nobody counts lines: each has a byte, and that many may be there. */
  if (cap - ROOM < data_len || is_too_long(data_len + 1, frame->max_lines)) {
    return weir__frame_plain(frame, id, id_len, dst, cap, len);
  }
  if (data_len < MANY && id_len <= HALF && frame->type_len <= HALF) {
    return frame->flags == 0 ? put_some_ascii(frame, id, id_len, dst, cap, len)
                             : put_some_bytes(frame, id, id_len, dst, cap, len);
  }
  return data_len < WEIR_FRAME_LINES_MAX && id_len <= WHOLE &&
                 frame->type_len <= WHOLE
             ? put_any(frame, id, id_len, dst, cap, len)
             : weir__frame_plain(frame, id, id_len, dst, cap, len);
}

/* A frame that is a vector of data, and half a one for each line before it. */
INLINE int put_few(__mmask64 ascii, const weir_frame *frame, const void *id,
                   size_t id_len, void *dst, size_t cap, size_t *len) {
  const __m512i blank = _mm512_set1_epi8(' ');
  const __mmask64 said = first(frame->data_len) << DATA_NAME;
  const __m512i block = load_line(data_line, DATA_NAME, frame->data, said);
  __m512i least = blank;
  unsigned char *d;
  __mmask64 odd;

  d = put_half(dst, id_line, ID_NAME, id, id_len, &least);
  d = put_half(d, type_line, TYPE_NAME, frame->type, frame->type_len, &least);
  store(d, block);
  least = _mm512_mask_min_epi8(least, said & ascii, least, block);
  odd = _mm512_mask_cmplt_epu8_mask(said, block, blank);
  if (!_kortestz_mask64_u8(odd, _mm512_cmplt_epi8_mask(least, blank))) {
    return put_larger(frame, id, id_len, dst, cap, len);
  }
  d += DATA_NAME + frame->data_len + 2;
  *len = (size_t)(d - (unsigned char *)dst);
  return WEIR_OK;
}

APART int put_few_ascii(const weir_frame *frame, const void *id, size_t id_len,
                        void *dst, size_t cap, size_t *len) {
  return put_few(ALL, frame, id, id_len, dst, cap, len);
}

APART int put_few_bytes(const weir_frame *frame, const void *id, size_t id_len,
                        void *dst, size_t cap, size_t *len) {
  return put_few(0, frame, id, id_len, dst, cap, len);
}

int weir__frame_wide(const weir_frame *frame, const void *id, size_t id_len,
                     void *dst, size_t cap, size_t *len) {
  if ((frame->retry | (frame->flags & ~WEIR_FRAME_BYTES) | frame->reserved0 |
       frame->reserved[0] | frame->reserved[1]) != 0 ||
      cap < ROOM || weir__frame_is_default(frame->type, frame->type_len)) {
    return weir__frame_plain(frame, id, id_len, dst, cap, len);
  }
  if (frame->data_len <= WHOLE && id_len <= HALF && frame->type_len <= HALF &&
      !is_too_long(ROOM, frame->max_bytes)) {
    return frame->flags == 0 ? put_few_ascii(frame, id, id_len, dst, cap, len)
                             : put_few_bytes(frame, id, id_len, dst, cap, len);
  }
  return put_larger(frame, id, id_len, dst, cap, len);
}

#else

int weir__frame_wide(const weir_frame *frame, const void *id, size_t id_len,
                     void *dst, size_t cap, size_t *len) {
  return weir__frame_plain(frame, id, id_len, dst, cap, len);
}

#endif /* WEIR__HAS_AVX */
