/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* CRC-32C: all ways of computing it, against the vectors of RFC 3720, appendix
 * B.4, against the definition, and against each other. */

#include "../kit.h"

#include <stdlib.h>
#include <string.h>

#include "crc32c.h"

#define WAYS (WEIR__CRC32C_TABLES + 1)

static struct weir__crc32c ways[WAYS];

static void setup(void) {
  int way;

  for (way = 0; way < WAYS; ++way) {
    weir__crc32c_init(&ways[way], (enum weir__crc32c_way)way);
  }
}

/* One bit after the other, as a CRC is defined. */
static uint32_t slowly(uint32_t crc, const unsigned char *bytes, size_t len) {
  size_t i;
  int bit;

  crc = ~crc;
  for (i = 0; i < len; ++i) {
    crc ^= bytes[i];
    for (bit = 0; bit < 8; ++bit) {
      crc = (crc & 1) != 0 ? crc >> 1 ^ UINT32_C(0x82f63b78) : crc >> 1;
    }
  }
  return ~crc;
}

/* Rows: how 32 bytes (the last row: 48) go on from the first. */
static const struct {
  unsigned char first;
  signed char step;
  uint32_t crc;
} rows[] = {
    {0x00, 0, UINT32_C(0x8a9136aa)},
    {0xff, 0, UINT32_C(0x62a8ab43)},
    {0x00, 1, UINT32_C(0x46dd794e)},
    {0x1f, -1, UINT32_C(0x113fdb5c)},
};

START_TEST(vectors) {
  static const unsigned char scsi_read[48] = {
      0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
      0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
      0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0};
  unsigned char bytes[32];
  size_t row;
  size_t i;

  for (row = 0; row < sizeof rows / sizeof rows[0]; ++row) {
    for (i = 0; i < sizeof bytes; ++i) {
      bytes[i] = (unsigned char)(rows[row].first + rows[row].step * (int)i);
    }
    ck_assert_uint_eq(weir__crc32c(&ways[_i], 0, bytes, sizeof bytes),
                      rows[row].crc);
  }
  ck_assert_uint_eq(weir__crc32c(&ways[_i], 0, scsi_read, sizeof scsi_read),
                    UINT32_C(0xd9963a56));
  ck_assert_uint_eq(weir__crc32c(&ways[_i], 0, "123456789", 9),
                    UINT32_C(0xe3069283));
  ck_assert_uint_eq(weir__crc32c(&ways[_i], 0, "", 0), 0);
}
END_TEST

/* Whatever the length and the alignment; nothing is read behind the end. */
START_TEST(lengths_and_alignments) {
  unsigned char bytes[8 + 300];
  unsigned char *end;
  uint32_t chance = 1;
  size_t from;
  size_t len;
  size_t i;

  for (i = 0; i < sizeof bytes; ++i) {
    chance = chance * 1664525 + 1013904223;
    bytes[i] = (unsigned char)(chance >> 24);
  }
  end = (unsigned char *)kit_fenced(bytes, sizeof bytes) + sizeof bytes;
  for (from = 0; from < 8; ++from) {
    for (len = 0; len <= 300; ++len) {
      ck_assert_uint_eq(
          weir__crc32c(&ways[_i], (uint32_t)len, bytes + from, len),
          slowly((uint32_t)len, bytes + from, len));
      ck_assert_uint_eq(weir__crc32c(&ways[_i], 0, end - len, len),
                        slowly(0, end - len, len));
    }
  }
}
END_TEST

/* What is long is summed up in lanes, or in as many vectors as there are
 * factors for: at either side of as much as they take, and where that comes
 * several times. */
START_TEST(much) {
  const size_t lanes = (size_t)12 * WEIR__CRC32C_FAR;
  const size_t wide = (size_t)8 * WEIR__CRC32C_FAR;
  static unsigned char bytes[120 * WEIR__CRC32C_FAR];
  uint32_t chance = 2;
  size_t len;
  size_t i;

  for (i = 0; i < sizeof bytes; ++i) {
    chance = chance * 1664525 + 1013904223;
    bytes[i] = (unsigned char)(chance >> 24);
  }
  for (len = wide - 70; len <= lanes + 70; ++len) {
    ck_assert_uint_eq(weir__crc32c(&ways[_i], 7, bytes, len),
                      slowly(7, bytes, len));
  }
  for (len = 2 * lanes; len <= sizeof bytes; len += lanes / 2 + 1) {
    ck_assert_uint_eq(weir__crc32c(&ways[_i], 7, bytes, len),
                      slowly(7, bytes, len));
  }
}
END_TEST

/* In pieces it is the same, also if they change hands. */
START_TEST(in_pieces) {
  static const char text[] =
      "A weir holds a stream back so that it can be let through again, and "
      "what "
      "is held back here is long enough to be cut into two pieces of which "
      "each "
      "is long, and some.";
  const size_t len = sizeof text - 1;
  const uint32_t whole = weir__crc32c(&ways[WEIR__CRC32C_TABLES], 0, text, len);
  uint32_t first;
  size_t cut;
  int way;

  for (cut = 0; cut <= len; ++cut) {
    first = weir__crc32c(&ways[_i], 0, text, cut);
    for (way = 0; way < WAYS; ++way) {
      ck_assert_uint_eq(weir__crc32c(&ways[way], first, text + cut, len - cut),
                        whole);
    }
  }
}
END_TEST

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)

/* What __builtin_cpu_supports looks at, in gcc's own library. */
extern struct {
  unsigned vendor;
  unsigned type;
  unsigned subtype;
  unsigned features;
} __cpu_model;

extern unsigned __cpu_features2[];

/* As if this processor lacked one of the instructions that a way takes. */
START_TEST(a_lesser_processor) {
  static const struct {
    unsigned features;
    unsigned features2;
    enum weir__crc32c_way way; /* that is left */
  } lacks[] = {
      {1u << 8, 0, WEIR__CRC32C_TABLES},  /* SSE 4.2 */
      {1u << 19, 0, WEIR__CRC32C_TABLES}, /* PCLMUL */
      {1u << 21, 0, WEIR__CRC32C_WORDS},  /* AVX-512 BW */
      {1u << 31, 0, WEIR__CRC32C_WORDS},  /* AVX-512 VBMI2 */
      {0, 1u << 1, WEIR__CRC32C_WORDS},   /* VPCLMULQDQ */
  };
  const unsigned features = __cpu_model.features;
  const unsigned features2 = __cpu_features2[0];
  struct weir__crc32c crc;

  __cpu_model.features &= ~lacks[_i].features;
  __cpu_features2[0] &= ~lacks[_i].features2;
  weir__crc32c_init(&crc, WEIR__CRC32C_WIDE);
  __cpu_model.features = features;
  __cpu_features2[0] = features2;
  ck_assert(crc.update == ways[lacks[_i].way].update);
  ck_assert_uint_eq(weir__crc32c(&crc, 0, "123456789", 9), 0xe3069283u);
}
END_TEST

#endif

/* By tables is by tables: by others it is another sum. */
START_TEST(by_tables) {
  struct weir__crc32c *crc = &ways[WEIR__CRC32C_TABLES];

  memset(crc->table, 0, sizeof crc->table);
  ck_assert_uint_ne(weir__crc32c(crc, 0, "123456789", 9), 0xe3069283u);
}
END_TEST

int main(void) {
  TCase *const tcase = tcase_create("crc32c");
  TCase *const cases[] = {tcase};

  tcase_add_checked_fixture(tcase, setup, NULL);
  tcase_add_loop_test(tcase, vectors, 0, WAYS);
  tcase_add_loop_test(tcase, lengths_and_alignments, 0, WAYS);
  tcase_add_loop_test(tcase, much, 0, WAYS);
  tcase_add_loop_test(tcase, in_pieces, 0, WAYS);
  tcase_add_test(tcase, by_tables);
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  /* A library that is shared has a model of its own. */
  if (getenv("WEIR_SHARED") == NULL) {
    tcase_add_loop_test(tcase, a_lesser_processor, 0, 5);
  }
#endif
  return kit_main("crc32c", cases, 1);
}
