/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__CRC32C_TABLE_H
#define WEIR__CRC32C_TABLE_H

/* What all ways to compute a CRC-32C share: numbers that depend on the
 * polynomial alone, and which way is taken. */

#include <stddef.h>
#include <stdint.h>

/* How many words of 8 bytes are multiplied by what stands in a table. */
#define WEIR__CRC32C_FAR 128

struct weir__crc32c;

typedef uint32_t weir__crc32c_update(const struct weir__crc32c *crc32c,
                                     uint32_t crc, const void *bytes,
                                     size_t len);

struct weir__crc32c {
  weir__crc32c_update *update;
  uint32_t table[8][256];
  /* Number WEIR__CRC32C_FAR - n is the remainder of x^(64 n - 33), its bits
   * reversed. */
  uint32_t factor[WEIR__CRC32C_FAR + 1];
};

#endif /* WEIR__CRC32C_TABLE_H */
