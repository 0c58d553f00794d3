/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__KEY_H
#define WEIR__KEY_H

/* What a map does with the bytes of a key: hash them, and compare them. With
 * vectors where every processor of the kind has them (SSE2, NEON), and in a
 * plain way that says the same. Inline, since a find is little more.
 *
 * A key is taken in blocks of 16 bytes: its last 16, and as many from the front
 * as there are before those, so that some bytes may be taken twice and none
 * outside of it is. One that is shorter is one block, that no other of its
 * length has.
 *
 * Its hash is that of UMAC, NH (Black, Halevi, Krawczyk, Krovetz and Rogaway,
 * 1999), put through Multilinear-HM (Lemire and Kaser, "Strongly universal
 * string hashing is fast", 2014; the trick of the pairs is Motzkin's). With s
 * the words of 32 bits of its blocks, and m as many random ones,
 *
 *   sum of ((s[2i] + m[2i]) mod 2^32) * ((s[2i+1] + m[2i+1]) mod 2^32)
 *
 * mod 2^64 is the same for two keys of one length with a probability of at most
 * 2^-32. Of low and high, its halves, and four random words of 64 bits, the
 * hash is the upper half of
 *
 *   r[0] + r[1] * length + (r[2] + low) * (r[3] + high)
 *
 * mod 2^64. That is strongly universal: over all r, the hashes of what differs
 * in length, low or high are any two numbers of 32 bits with the same
 * probability, 2^-64. (Let all r be known but r[0] and the one that is
 * multiplied with what differs, by d, whose 32 lower bits are not all 0: that
 * product is still anything in the upper half, and the hashes differ by it; and
 * with r[0] the first is anything, too.) So any n bits of two keys' hashes
 * agree with a probability of at most 2^-n + 2^-32. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON) && !defined(__ARM_BIG_ENDIAN)
#include <arm_neon.h>
#endif

#define WEIR__KEY_BLOCK 16

/* The longest key, in bytes. */
#define WEIR__KEY_MOST 512

_Static_assert(WEIR__KEY_MOST % WEIR__KEY_BLOCK == 0,
               "the last block has no secret");

/* Random bits. */
struct weir__secret {
  uint64_t words[4 + WEIR__KEY_MOST / 8]; /* r; then m, two in each, the first
                                             of them lowest, those for the last
                                             block before the others */
};

/* A block: four words, of which the first is the lower half of a. */
struct weir__block {
  uint64_t a;
  uint64_t b;
};

/* Inline also where compilers take that for too much: a call, and what is saved
 * around it, is a fifth of a find. The plain way is there for tests, too. */
#ifdef __GNUC__
#define WEIR__KEY_INLINE static inline __attribute__((always_inline))
#define WEIR__KEY_PLAIN static inline __attribute__((unused))
#define WEIR__KEY_MOSTLY(x) __builtin_expect((x), 1)
#else
#define WEIR__KEY_INLINE static inline
#define WEIR__KEY_PLAIN static inline
#define WEIR__KEY_MOSTLY(x) (x)
#endif

/* Bytes, the first of them lowest: a form that compilers know. */
static inline uint64_t weir__key_load4(const unsigned char *p) {
  return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |
         (uint64_t)p[3] << 24;
}

static inline uint64_t weir__key_load8(const unsigned char *p) {
  return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |
         (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 |
         (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

static inline struct weir__block weir__block_load(const unsigned char *p) {
  const struct weir__block block = {weir__key_load8(p), weir__key_load8(p + 8)};

  return block;
}

/* The block of a key that is shorter than one. */
WEIR__KEY_INLINE struct weir__block weir__block_short(const unsigned char *p,
                                                      size_t len) {
  struct weir__block block = {0, 0};

  if (len >= 8) {
    block.a = weir__key_load8(p);
    block.b = weir__key_load8(p + len - 8);
  } else if (len >= 4) {
    block.a = weir__key_load4(p) | weir__key_load4(p + len - 4) << 32;
  } else if (len != 0) {
    block.a =
        (uint64_t)p[0] | (uint64_t)p[len / 2] << 8 | (uint64_t)p[len - 1] << 16;
  }
  return block;
}

/* The upper half, once all blocks are summed up. */
static inline uint32_t weir__key_finish(const struct weir__secret *secret,
                                        uint64_t sum, size_t len) {
  const uint64_t *r = secret->words;

  sum = r[0] + r[1] * len + (r[2] + (uint32_t)sum) * (r[3] + (sum >> 32));
  return (uint32_t)(sum >> 32);
}

/* --- The plain way -------------------------------------------------------- */

static inline uint64_t weir__word_mix(uint64_t m, uint64_t s) {
  return (uint64_t)(uint32_t)(m + s) * (uint32_t)((m >> 32) + (s >> 32));
}

static inline uint64_t weir__block_mix(const uint64_t *m,
                                       struct weir__block block) {
  return weir__word_mix(m[0], block.a) + weir__word_mix(m[1], block.b);
}

WEIR__KEY_PLAIN uint32_t weir__key_hash_plain(const struct weir__secret *secret,
                                              const void *key, size_t len) {
  const uint64_t *m = secret->words + 4;
  const unsigned char *p = key;
  uint64_t sum = weir__block_mix(
      m, len < WEIR__KEY_BLOCK ? weir__block_short(p, len)
                               : weir__block_load(p + len - WEIR__KEY_BLOCK));
  size_t i;

  for (i = WEIR__KEY_BLOCK; i < len; i += WEIR__KEY_BLOCK) {
    sum +=
        weir__block_mix(m + i / 8, weir__block_load(p + i - WEIR__KEY_BLOCK));
  }
  return weir__key_finish(secret, sum, len);
}

/* Of the same length. */
WEIR__KEY_PLAIN bool weir__key_same_plain(const void *a, const void *b,
                                          size_t len) {
  return len == 0 || memcmp(a, b, len) == 0;
}

/* Which of eight bytes are this one: bit 8 * i + 7 stands for number i. */
WEIR__KEY_PLAIN uint64_t weir__key_tags_plain(const uint8_t tags[8],
                                              uint8_t tag) {
  const uint64_t low = UINT64_C(0x7f7f7f7f7f7f7f7f);
  const uint64_t differ =
      weir__key_load8(tags) ^ UINT64_C(0x0101010101010101) * tag;

  return ~(((differ & low) + low) | differ | low);
}

/* --- With vectors --------------------------------------------------------- */

#if defined(__SSE2__)

#define WEIR__KEY_VECTORS 1

typedef __m128i weir__vector;

static inline weir__vector weir__vector_load(const void *p) {
  return _mm_loadu_si128(p);
}

static inline weir__vector weir__vector_zero(void) {
  return _mm_setzero_si128();
}

/* Two sums; what they are together. */
static inline weir__vector weir__vector_mix(weir__vector sum, const uint64_t *m,
                                            weir__vector block) {
  const weir__vector words = _mm_add_epi32(block, weir__vector_load(m));

  return _mm_add_epi64(
      sum,
      _mm_mul_epu32(words, _mm_shuffle_epi32(words, _MM_SHUFFLE(3, 3, 1, 1))));
}

static inline uint64_t weir__vector_total(weir__vector sum) {
  uint64_t total;

  _mm_storel_epi64((void *)&total,
                   _mm_add_epi64(sum, _mm_unpackhi_epi64(sum, sum)));
  return total;
}

/* Bits that are set where two blocks differ, or did before. */
static inline weir__vector weir__vector_differ(weir__vector before,
                                               weir__vector a, weir__vector b) {
  return _mm_or_si128(before, _mm_xor_si128(a, b));
}

static inline bool weir__vector_is_zero(weir__vector bits) {
  return _mm_movemask_epi8(_mm_cmpeq_epi8(bits, weir__vector_zero())) == 0xffff;
}

#define WEIR__KEY_TAG_BITS 1

static inline uint64_t weir__key_tags(const uint8_t tags[8], uint8_t tag) {
  const weir__vector one = _mm_cvtsi32_si128(tag);
  const weir__vector two = _mm_unpacklo_epi8(one, one);

  return (uint64_t)_mm_movemask_epi8(
             _mm_cmpeq_epi8(_mm_loadl_epi64((const void *)tags),
                            _mm_shufflelo_epi16(two, 0))) &
         0xff;
}

#elif defined(__ARM_NEON) && !defined(__ARM_BIG_ENDIAN)

#define WEIR__KEY_VECTORS 1

typedef uint32x4_t weir__vector;

static inline weir__vector weir__vector_load(const void *p) {
  return vreinterpretq_u32_u8(vld1q_u8(p));
}

static inline weir__vector weir__vector_zero(void) {
  return vdupq_n_u32(0);
}

static inline weir__vector weir__vector_mix(weir__vector sum, const uint64_t *m,
                                            weir__vector block) {
  const uint64x2_t words =
      vreinterpretq_u64_u32(vaddq_u32(block, weir__vector_load(m)));

  return vreinterpretq_u32_u64(vmlal_u32(
      vreinterpretq_u64_u32(sum), vmovn_u64(words), vshrn_n_u64(words, 32)));
}

static inline uint64_t weir__vector_total(weir__vector sum) {
  const uint64x2_t sums = vreinterpretq_u64_u32(sum);

  return vget_lane_u64(vadd_u64(vget_low_u64(sums), vget_high_u64(sums)), 0);
}

static inline weir__vector weir__vector_differ(weir__vector before,
                                               weir__vector a, weir__vector b) {
  return vorrq_u32(before, veorq_u32(a, b));
}

static inline bool weir__vector_is_zero(weir__vector bits) {
  const uint64x2_t both = vreinterpretq_u64_u32(bits);

  return (vgetq_lane_u64(both, 0) | vgetq_lane_u64(both, 1)) == 0;
}

#define WEIR__KEY_TAG_BITS 8

static inline uint64_t weir__key_tags(const uint8_t tags[8], uint8_t tag) {
  const uint8x8_t same = vceq_u8(vld1_u8(tags), vdup_n_u8(tag));

  return vget_lane_u64(vreinterpret_u64_u8(same), 0) &
         UINT64_C(0x8080808080808080);
}

#endif

#ifdef WEIR__KEY_VECTORS

WEIR__KEY_INLINE weir__vector weir__vector_last(const unsigned char *p,
                                                size_t len) {
  struct weir__block block;

  if (WEIR__KEY_MOSTLY(len >= WEIR__KEY_BLOCK)) {
    return weir__vector_load(p + len - WEIR__KEY_BLOCK);
  }
  block = weir__block_short(p, len);
  return weir__vector_load(&block);
}

WEIR__KEY_INLINE uint32_t weir__key_hash(const struct weir__secret *secret,
                                         const void *key, size_t len) {
  const uint64_t *m = secret->words + 4;
  const unsigned char *p = key;
  weir__vector sum =
      weir__vector_mix(weir__vector_zero(), m, weir__vector_last(p, len));
  size_t i;

  for (i = WEIR__KEY_BLOCK; i < len; i += WEIR__KEY_BLOCK) {
    sum = weir__vector_mix(sum, m + i / 8,
                           weir__vector_load(p + i - WEIR__KEY_BLOCK));
  }
  return weir__key_finish(secret, weir__vector_total(sum), len);
}

WEIR__KEY_INLINE bool weir__key_same(const void *a, const void *b, size_t len) {
  const unsigned char *p = a;
  const unsigned char *q = b;
  weir__vector bits =
      weir__vector_differ(weir__vector_zero(), weir__vector_last(p, len),
                          weir__vector_last(q, len));
  size_t i;

  for (i = WEIR__KEY_BLOCK; i < len; i += WEIR__KEY_BLOCK) {
    bits = weir__vector_differ(bits, weir__vector_load(p + i - WEIR__KEY_BLOCK),
                               weir__vector_load(q + i - WEIR__KEY_BLOCK));
  }
  return weir__vector_is_zero(bits);
}

#else

#define WEIR__KEY_TAG_BITS 8

WEIR__KEY_INLINE uint32_t weir__key_hash(const struct weir__secret *secret,
                                         const void *key, size_t len) {
  return weir__key_hash_plain(secret, key, len);
}

WEIR__KEY_INLINE bool weir__key_same(const void *a, const void *b, size_t len) {
  return weir__key_same_plain(a, b, len);
}

static inline uint64_t weir__key_tags(const uint8_t tags[8], uint8_t tag) {
  return weir__key_tags_plain(tags, tag);
}

#endif

#endif /* WEIR__KEY_H */
