/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__CRC32C_WIDE_H
#define WEIR__CRC32C_WIDE_H

/* CRC-32C where the processor multiplies polynomials in vectors of 64 bytes:
 * twice as fast as by its instruction for a CRC, from two vectors on. */

#include "crc32c_table.h"

/* As it is computed with such vectors, or `otherwise` if the processor has none
 * or the compiler knows nothing of them. */
weir__crc32c_update *weir__crc32c_wide(weir__crc32c_update *otherwise);

#endif /* WEIR__CRC32C_WIDE_H */
