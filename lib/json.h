/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__JSON_H
#define WEIR__JSON_H

/* Whether something is JSON (RFC 8259): what stands between other people's
 * braces is looked at before it is let in. Nesting beyond 100 is refused. That
 * strings are UTF-8 is for the caller to check. */

#include <stdbool.h>
#include <stddef.h>

/* One value, with blanks around it. */
bool weir__is_json(const void *text, size_t len);

/* The members of an object, without its braces and at least one; on one
 * line. */
bool weir__is_json_members(const void *text, size_t len);

#endif /* WEIR__JSON_H */
