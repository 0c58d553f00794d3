/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__CRC32C_H
#define WEIR__CRC32C_H

/* CRC-32C (Castagnoli; RFC 3720, appendix B.4): by the processor's instruction
 * where it has one, which is found out when a table is made, else by tables. */

#include <stddef.h>
#include <stdint.h>

/* Words of 8 bytes that a lane takes at most. */
#define WEIR__CRC32C_LANE 64

struct weir__crc32c {
  uint32_t (*update)(const struct weir__crc32c *crc32c, uint32_t crc,
                     const void *bytes, size_t len);
  uint32_t table[8][256];
  /* The remainder of x^(64 n - 33), its bits reversed. */
  uint32_t factor[2 * WEIR__CRC32C_LANE + 1];
};

/* portable: not the instruction, even if there is one. */
void weir__crc32c_init(struct weir__crc32c *crc32c, int portable);

/* Go on with a CRC; that of nothing is 0. */
static inline uint32_t weir__crc32c(const struct weir__crc32c *crc32c,
                                    uint32_t crc, const void *bytes,
                                    size_t len) {
  return crc32c->update(crc32c, crc, bytes, len);
}

#endif /* WEIR__CRC32C_H */
