/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "crc32c.h"

#include <string.h>

#include "crc32c_wide.h"
#include "crc32c_words.h"

/* The polynomial, its bits reversed. */
#define POLYNOMIAL UINT32_C(0x82f63b78)

/* The remainder that comes to x^31 when it is multiplied by x^64. */
#define X_TO_MINUS_33 UINT32_C(0xa9cdda0d)

static uint32_t load_le(const unsigned char *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
         (uint32_t)p[3] << 24;
}

/* Slicing by 8 (Kounavis and Berry, 2005). */
static uint32_t update_by_table(const struct weir__crc32c *crc32c, uint32_t crc,
                                const void *bytes, size_t len) {
  const uint32_t(*table)[256] = crc32c->table;
  const unsigned char *p = bytes;
  uint32_t high;

  crc = ~crc;
  for (; len >= 8; len -= 8, p += 8) {
    crc ^= load_le(p);
    high = load_le(p + 4);
    crc = table[7][crc & 0xff] ^ table[6][crc >> 8 & 0xff] ^
          table[5][crc >> 16 & 0xff] ^ table[4][crc >> 24] ^
          table[3][high & 0xff] ^ table[2][high >> 8 & 0xff] ^
          table[1][high >> 16 & 0xff] ^ table[0][high >> 24];
  }
  for (; len != 0; --len, ++p) {
    crc = table[0][(crc ^ *p) & 0xff] ^ crc >> 8;
  }
  return ~crc;
}

#if WEIR__CRC32C_X86

#define TARGET WEIR__TARGET_CRC

/* Fewer bytes are not worth putting lanes together for. */
#define LANES_LEAST 96

/* Words that a lane takes at most. */
#define LANE (WEIR__CRC32C_FAR / 2)

/* What a sum becomes over as many words as the factor is for, before the 64
 * bits are taken over by the instruction. */
TARGET static inline uint64_t times(uint64_t sum, uint32_t factor) {
  return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(
      _mm_cvtsi64_si128((long long)sum), _mm_cvtsi32_si128((int)factor), 0));
}

/* Three lanes of n words, side by side, since an instruction can begin long
 * before the one before it is done (Gopal et al., Fast CRC Computation for
 * iSCSI Polynomial Using CRC32 Instruction, 2011). n is even. */
TARGET static inline uint64_t update_lanes(const struct weir__crc32c *crc32c,
                                           uint64_t sum, const unsigned char *p,
                                           size_t n) {
  const unsigned char *last = p + n * 8 - 16;
  uint64_t second = 0;
  uint64_t third = 0;

  for (; p != last; p += 16) {
    sum = weir__sum_two(sum, p);
    second = weir__sum_two(second, p + n * 8);
    third = weir__sum_two(third, p + n * 16);
  }
  sum = weir__sum_two(sum, p);
  second = weir__sum_two(second, p + n * 8);
  third = _mm_crc32_u64(third, weir__load_word(p + n * 16));
  return _mm_crc32_u64(
      third, weir__load_word(p + n * 16 + 8) ^
                 times(sum, crc32c->factor[WEIR__CRC32C_FAR - 2 * n]) ^
                 times(second, crc32c->factor[WEIR__CRC32C_FAR - n]));
}

TARGET static uint32_t update_by_instruction(const struct weir__crc32c *crc32c,
                                             uint32_t crc, const void *bytes,
                                             size_t len) {
  const unsigned char *p = bytes;
  uint64_t sum = ~crc;
  size_t n;

  while (len >= LANES_LEAST) {
    n = len / 48 * 2;
    n = n < LANE ? n : LANE;
    sum = update_lanes(crc32c, sum, p, n);
    p += n * 24;
    len -= n * 24;
  }
  return weir__sum_rest(sum, p, len);
}

static int has_instruction(void) {
  return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

#elif defined(__ARM_FEATURE_CRC32) ||                                   \
    (defined(__aarch64__) && defined(__linux__) && defined(__GNUC__) && \
     !defined(__clang__))

#include <arm_acle.h>

#ifdef __ARM_FEATURE_CRC32

#define TARGET

static int has_instruction(void) {
  return 1;
}

#else

#include <sys/auxv.h>

#define TARGET __attribute__((target("+crc")))

static int has_instruction(void) {
  return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}

#endif

TARGET static uint32_t update_by_instruction(const struct weir__crc32c *crc32c,
                                             uint32_t crc, const void *bytes,
                                             size_t len) {
  const unsigned char *p = bytes;
  uint64_t word;

  (void)crc32c;
  crc = ~crc;
  for (; len >= 8; len -= 8, p += 8) {
    memcpy(&word, p, sizeof word);
    crc = __crc32cd(crc, word);
  }
  for (; len != 0; --len, ++p) {
    crc = __crc32cb(crc, *p);
  }
  return ~crc;
}

#else

#define update_by_instruction update_by_table

static int has_instruction(void) {
  return 0;
}

#endif

void weir__crc32c_init(struct weir__crc32c *crc32c, enum weir__crc32c_way way) {
  uint32_t crc;
  unsigned i;
  int bit;

  for (i = 0; i < 256; ++i) {
    crc = i;
    for (bit = 0; bit < 8; ++bit) {
      crc = (crc & 1) != 0 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
    }
    crc32c->table[0][i] = crc;
  }
  for (i = 256; i < 8 * 256; ++i) {
    crc = crc32c->table[i / 256 - 1][i % 256];
    crc32c->table[i / 256][i % 256] = crc >> 8 ^ crc32c->table[0][crc & 0xff];
  }
  /* x^-33, and from there on by a word. */
  crc = X_TO_MINUS_33;
  for (i = WEIR__CRC32C_FAR + 1; i != 0; --i) {
    crc32c->factor[i - 1] = crc;
    for (bit = 0; bit < 8; ++bit) {
      crc = crc32c->table[0][crc & 0xff] ^ crc >> 8;
    }
  }
  crc32c->update = update_by_table;
  if (way != WEIR__CRC32C_TABLES && has_instruction()) {
    crc32c->update = way == WEIR__CRC32C_WORDS
                         ? update_by_instruction
                         : weir__crc32c_wide(update_by_instruction);
  }
}
