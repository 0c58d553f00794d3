/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FRAME_WIDE_H
#define WEIR__FRAME_WIDE_H

/* weir_frame_encode_event where the processor has AVX-512: nearly all frames
 * cost what copying their bytes does, the others go the plain way. */

#include <stddef.h>

#include <weir/frame.h>

/* The frame is of the size that this library knows. */
int weir__frame_wide(const weir_frame *frame, const void *id, size_t id_len,
                     void *dst, size_t cap, size_t *len);

#endif /* WEIR__FRAME_WIDE_H */
