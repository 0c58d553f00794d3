/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "lines.h"

#include <string.h>

/* Room that a block may need, and what a store writes beyond it. */
#define BLOCK_ROOM (64 * 7 + 64 + 8)

#if WEIR__HAS_16

static size_t lowest(uint64_t word) {
  return (size_t)__builtin_ctzll(word);
}

#endif

#if WEIR__HAS_AVX

#include <immintrin.h>

/* --- 16 bytes: SSE2 --- */

struct block16 {
  __m128i v[4];
};

static inline struct block16 load16(const unsigned char *p) {
  struct block16 block;
  size_t i;

  for (i = 0; i < 4; ++i) {
    block.v[i] = _mm_loadu_si128((const void *)(p + 16 * i));
  }
  return block;
}

static inline void store16(unsigned char *p, struct block16 block) {
  size_t i;

  for (i = 0; i < 4; ++i) {
    _mm_storeu_si128((void *)(p + 16 * i), block.v[i]);
  }
}

static inline struct block16 least16(struct block16 a, struct block16 b) {
  int i;

  for (i = 0; i < 4; ++i) {
    a.v[i] = _mm_min_epu8(a.v[i], b.v[i]);
  }
  return a;
}

static inline bool is_low16(struct block16 block) {
  const __m128i limit = _mm_set1_epi8(13);
  const __m128i least = _mm_min_epu8(_mm_min_epu8(block.v[0], block.v[1]),
                                     _mm_min_epu8(block.v[2], block.v[3]));

  return _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(least, limit), least)) !=
         0;
}

static inline uint64_t equal16(struct block16 block, char c) {
  const __m128i sought = _mm_set1_epi8(c);
  uint64_t bits = 0;
  int i;

  for (i = 0; i < 4; ++i) {
    bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(
                _mm_cmpeq_epi8(block.v[i], sought))
            << 16 * i;
  }
  return bits;
}

static inline uint64_t breaks16(struct block16 block, uint64_t *returns) {
  *returns = equal16(block, '\r');
  return *returns | equal16(block, '\n');
}

/* As signed numbers, they are all above 0. */
static inline bool is_ascii16(struct block16 block) {
  const __m128i zero = _mm_setzero_si128();

  return _mm_movemask_epi8(_mm_and_si128(
             _mm_and_si128(_mm_cmpgt_epi8(block.v[0], zero),
                           _mm_cmpgt_epi8(block.v[1], zero)),
             _mm_and_si128(_mm_cmpgt_epi8(block.v[2], zero),
                           _mm_cmpgt_epi8(block.v[3], zero)))) == 0xffff;
}

#define TARGET
#define NAME(x) x##_16
#define BLOCK struct block16
#define LOAD load16
#define STORE store16
#define LEAST least16
#define IS_LOW is_low16
#define BREAKS breaks16
#define IS_ASCII is_ascii16
#include "lines_kernel.h"

/* --- 32 bytes: AVX2 --- */

#define AVX2 __attribute__((target("avx2")))

struct block32 {
  __m256i v[2];
};

AVX2 static inline struct block32 load32(const unsigned char *p) {
  struct block32 block;

  block.v[0] = _mm256_loadu_si256((const void *)p);
  block.v[1] = _mm256_loadu_si256((const void *)(p + 32));
  return block;
}

AVX2 static inline void store32(unsigned char *p, struct block32 block) {
  _mm256_storeu_si256((void *)p, block.v[0]);
  _mm256_storeu_si256((void *)(p + 32), block.v[1]);
}

AVX2 static inline struct block32 least32(struct block32 a, struct block32 b) {
  a.v[0] = _mm256_min_epu8(a.v[0], b.v[0]);
  a.v[1] = _mm256_min_epu8(a.v[1], b.v[1]);
  return a;
}

AVX2 static inline bool is_low32(struct block32 block) {
  const __m256i least = _mm256_min_epu8(block.v[0], block.v[1]);

  return _mm256_movemask_epi8(_mm256_cmpeq_epi8(
             _mm256_min_epu8(least, _mm256_set1_epi8(13)), least)) != 0;
}

AVX2 static inline uint64_t equal32(struct block32 block, char c) {
  const __m256i sought = _mm256_set1_epi8(c);

  return (uint64_t)(uint32_t)_mm256_movemask_epi8(
             _mm256_cmpeq_epi8(block.v[0], sought)) |
         (uint64_t)(uint32_t)_mm256_movemask_epi8(
             _mm256_cmpeq_epi8(block.v[1], sought))
             << 32;
}

AVX2 static inline uint64_t breaks32(struct block32 block, uint64_t *returns) {
  *returns = equal32(block, '\r');
  return *returns | equal32(block, '\n');
}

AVX2 static inline bool is_ascii32(struct block32 block) {
  const __m256i zero = _mm256_setzero_si256();

  return _mm256_movemask_epi8(
             _mm256_and_si256(_mm256_cmpgt_epi8(block.v[0], zero),
                              _mm256_cmpgt_epi8(block.v[1], zero))) == -1;
}

#define TARGET AVX2
#define NAME(x) x##_32
#define BLOCK struct block32
#define LOAD load32
#define STORE store32
#define LEAST least32
#define IS_LOW is_low32
#define BREAKS breaks32
#define IS_ASCII is_ascii32
#include "lines_kernel.h"

#elif WEIR__HAS_16

#include <arm_neon.h>

/* --- 16 bytes: NEON --- */

static inline uint8x16x4_t load16(const unsigned char *p) {
  uint8x16x4_t block;
  int i;

  for (i = 0; i < 4; ++i) {
    block.val[i] = vld1q_u8(p + 16 * i);
  }
  return block;
}

static inline void store16(unsigned char *p, uint8x16x4_t block) {
  int i;

  for (i = 0; i < 4; ++i) {
    vst1q_u8(p + 16 * i, block.val[i]);
  }
}

static inline uint8x16x4_t least16(uint8x16x4_t a, uint8x16x4_t b) {
  int i;

  for (i = 0; i < 4; ++i) {
    a.val[i] = vminq_u8(a.val[i], b.val[i]);
  }
  return a;
}

static inline bool is_low16(uint8x16x4_t block) {
  return vminvq_u8(vminq_u8(vminq_u8(block.val[0], block.val[1]),
                            vminq_u8(block.val[2], block.val[3]))) < 14;
}

static inline uint64_t equal16(uint8x16x4_t block, unsigned char c) {
  unsigned char found[64];
  uint64_t bits = 0;
  int i;

  for (i = 0; i < 4; ++i) {
    vst1q_u8(found + 16 * i, vceqq_u8(block.val[i], vdupq_n_u8(c)));
  }
  for (i = 0; i < 64; ++i) {
    bits |= (uint64_t)(found[i] & 1) << i;
  }
  return bits;
}

static inline uint64_t breaks16(uint8x16x4_t block, uint64_t *returns) {
  *returns = equal16(block, '\r');
  return *returns | equal16(block, '\n');
}

static inline bool is_ascii16(uint8x16x4_t block) {
  const uint8x16_t one = vdupq_n_u8(1);

  /* NUL becomes 255, so that all that is wrong is above 126. */
  return vmaxvq_u8(vmaxq_u8(
             vmaxq_u8(vsubq_u8(block.val[0], one), vsubq_u8(block.val[1], one)),
             vmaxq_u8(vsubq_u8(block.val[2], one),
                      vsubq_u8(block.val[3], one)))) < 127;
}

#define TARGET
#define NAME(x) x##_16
#define BLOCK uint8x16x4_t
#define LOAD load16
#define STORE store16
#define LEAST least16
#define IS_LOW is_low16
#define BREAKS breaks16
#define IS_ASCII is_ascii16
#include "lines_kernel.h"

#endif

void weir__lines_copy(enum weir__width width, unsigned char *dst, size_t cap,
                      const unsigned char *src, size_t len,
                      struct weir__progress *progress) {
  memset(progress, 0, sizeof *progress);
  switch (width) {
#if WEIR__HAS_16
    case WEIR__BYTES_16:
      copy_16(dst, cap, src, len, progress);
      break;
#endif
#if WEIR__HAS_AVX
    case WEIR__BYTES_32:
      copy_32(dst, cap, src, len, progress);
      break;
#endif
    default:
      (void)dst;
      (void)cap;
      (void)src;
      (void)len;
      break;
  }
}

size_t weir__lines_ascii(enum weir__width width, const unsigned char *src,
                         size_t len) {
  switch (width) {
#if WEIR__HAS_16
    case WEIR__BYTES_16:
      return ascii_16(src, len);
#endif
#if WEIR__HAS_AVX
    case WEIR__BYTES_32:
      return ascii_32(src, len);
#endif
    default:
      (void)src;
      (void)len;
      return 0;
  }
}
