/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__SCAN_H
#define WEIR__SCAN_H

/* Looking through bytes: the inner loops of the encoder. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the first CR or LF is, or len. */
size_t weir__scan_line(const void *text, size_t len);

/* Where the first byte is that a JSON string has to escape, or len. */
size_t weir__scan_json(const void *text, size_t len);

/* Whether there is no CR, LF or NUL in it: what may stand in a field. */
bool weir__is_field(const void *text, size_t len);

/* Whether it is well-formed UTF-8 (RFC 3629) without NUL. */
bool weir__is_text(const void *text, size_t len);

#endif /* WEIR__SCAN_H */
