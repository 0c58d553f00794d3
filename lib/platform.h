/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__PLATFORM_H
#define WEIR__PLATFORM_H

/* What has to be asked of the operating system. */

#include <stddef.h>
#include <stdint.h>

/* Milliseconds that never step back, from an arbitrary start. */
uint64_t weir__platform_clock(void *user);

/* Fill dst with at most 256 random bytes: 1, as weir_hub_options.entropy has
 * it, or WEIR_EENTROPY. */
int weir__platform_entropy(void *user, void *dst, size_t len);

#endif /* WEIR__PLATFORM_H */
