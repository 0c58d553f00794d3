/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__CRC32C_H
#define WEIR__CRC32C_H

/* CRC-32C (Castagnoli; RFC 3720, appendix B.4): as fast as the processor can,
 * which is found out when a table is made. */

#include "crc32c_table.h"

/* Ways to compute it, the fastest first. */
enum weir__crc32c_way {
  WEIR__CRC32C_WIDE,  /* in vectors of 64 bytes */
  WEIR__CRC32C_WORDS, /* by an instruction for that */
  WEIR__CRC32C_TABLES /* anywhere */
};

/* As the processor can; not faster than this. */
void weir__crc32c_init(struct weir__crc32c *crc32c, enum weir__crc32c_way way);

/* Go on with a CRC; that of nothing is 0. */
static inline uint32_t weir__crc32c(const struct weir__crc32c *crc32c,
                                    uint32_t crc, const void *bytes,
                                    size_t len) {
  return crc32c->update(crc32c, crc, bytes, len);
}

#endif /* WEIR__CRC32C_H */
