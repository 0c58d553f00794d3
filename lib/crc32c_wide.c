/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "crc32c_wide.h"

#include "crc32c_words.h"

#if WEIR__CRC32C_X86

/* Fewer bytes are not worth it. */
#define LEAST 96

#define WIDE                           \
  __attribute__((                      \
      target("sse4.2,pclmul,avx512bw," \
             "avx512vbmi2,vpclmulqdq")))

/* What the words of a vector, of which the last is n words before the end, come
 * to in the last two words: each times x^(64 (words between)), the even ones in
 * the first of them (after Gopal et al., Fast CRC Computation for Generic
 * Polynomials Using PCLMULQDQ Instruction, 2009). Four times that, to be added
 * up. */
WIDE static inline __m512i carry(const struct weir__crc32c *crc32c,
                                 __m512i words, size_t n, __m512i sum) {
  const __m512i by = _mm512_cvtepu32_epi64(
      _mm256_loadu_si256((const __m256i *)(const void *)&crc32c
                             ->factor[WEIR__CRC32C_FAR - n - 7]));

  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(words, by, 0x00),
                                   _mm512_clmulepi64_epi128(words, by, 0x11),
                                   sum, 0x96);
}

/* A vector of so many zeros, which change no sum that begins with them, and of
 * as many bytes as have room behind them; the sum of what comes before is added
 * to the first four of those. */
WIDE static inline __m512i load_behind(size_t zeros, const unsigned char *p,
                                       uint64_t before) {
  const __mmask64 first = _cvtu64_mask64(UINT64_MAX >> zeros);
  const __mmask64 last = _cvtu64_mask64(~((UINT64_C(1) << zeros) - 1));
  const __m512i begun =
      _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)(uint32_t)before));

  return _mm512_maskz_expand_epi8(
      last, _mm512_xor_si512(begun, _mm512_maskz_loadu_epi8(first, p)));
}

/* The sum of what is in the last two words. */
WIDE static inline uint64_t reduce(__m512i four) {
  const __m256i two = _mm256_xor_si256(_mm512_castsi512_si256(four),
                                       _mm512_extracti64x4_epi64(four, 1));
  const __m128i words = _mm_xor_si128(_mm256_castsi256_si128(two),
                                      _mm256_extracti128_si256(two, 1));

  return _mm_crc32_u64(_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(words)),
                       (uint64_t)_mm_extract_epi64(words, 1));
}

WIDE static uint32_t update(const struct weir__crc32c *crc32c, uint32_t crc,
                            const void *bytes, size_t len) {
  const unsigned char *p = bytes;
  uint64_t sum = ~crc;
  __m512i four;
  size_t zeros;
  size_t left;
  size_t n;

  while (len >= LEAST) {
    /* The odd bytes first, then whole vectors; but fewer than four are left. */
    zeros = (64 - len % 64) % 64;
    zeros = zeros > 60 ? 0 : zeros;
    n = 64 - zeros;
    left = (len - n) / 64 * 8;
    left = left < WEIR__CRC32C_FAR ? left : WEIR__CRC32C_FAR - 8;
    four =
        carry(crc32c, load_behind(zeros, p, sum), left, _mm512_setzero_si512());
    p += n;
    len -= n;
    for (; left != 0; p += 64, len -= 64) {
      left -= 8;
      four = carry(crc32c, _mm512_loadu_si512((const void *)p), left, four);
    }
    sum = reduce(four);
  }
  return len == 0 ? ~(uint32_t)sum : weir__sum_rest(sum, p, len);
}

weir__crc32c_update *weir__crc32c_wide(weir__crc32c_update *otherwise) {
  return __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512vbmi2") &&
                 __builtin_cpu_supports("vpclmulqdq")
             ? update
             : otherwise;
}

#else

weir__crc32c_update *weir__crc32c_wide(weir__crc32c_update *otherwise) {
  return otherwise;
}

#endif
