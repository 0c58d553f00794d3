/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__CRC32C_WORDS_H
#define WEIR__CRC32C_WORDS_H

/* CRC-32C by the instruction that x86 has for it, word by word: what is short,
 * and what is left of what is long. A sum here is a CRC with its bits turned
 * over, as the instruction has it. */

#include "crc32c_table.h"

#if defined(__x86_64__) && defined(__GNUC__)

#define WEIR__CRC32C_X86 1

#include <immintrin.h>
#include <string.h>

#define WEIR__TARGET_CRC __attribute__((target("sse4.2,pclmul")))

static inline uint64_t weir__load_word(const unsigned char *p) {
  uint64_t word;

  memcpy(&word, p, sizeof word);
  return word;
}

WEIR__TARGET_CRC static inline uint64_t weir__sum_two(uint64_t sum,
                                                      const unsigned char *p) {
  return _mm_crc32_u64(_mm_crc32_u64(sum, weir__load_word(p)),
                       weir__load_word(p + 8));
}

/* The CRC, when these last bytes have been added to the sum. */
WEIR__TARGET_CRC static inline uint32_t weir__sum_rest(uint64_t sum,
                                                       const unsigned char *p,
                                                       size_t len) {
  uint32_t half;

  for (; len >= 32; len -= 32, p += 32) {
    sum = weir__sum_two(weir__sum_two(sum, p), p + 16);
  }
  if (len >= 16) {
    sum = weir__sum_two(sum, p);
    len -= 16;
    p += 16;
  }
  if (len >= 8) {
    sum = _mm_crc32_u64(sum, weir__load_word(p));
    len -= 8;
    p += 8;
  }
  if (len >= 4) {
    memcpy(&half, p, sizeof half);
    sum = _mm_crc32_u32((uint32_t)sum, half);
    len -= 4;
    p += 4;
  }
  for (; len != 0; --len, ++p) {
    sum = _mm_crc32_u8((uint32_t)sum, *p);
  }
  return ~(uint32_t)sum;
}

#else

#define WEIR__CRC32C_X86 0

#endif

#endif /* WEIR__CRC32C_WORDS_H */
