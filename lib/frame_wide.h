/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FRAME_WIDE_H
#define WEIR__FRAME_WIDE_H

/* weir_frame_encode_event where the processor has AVX-512: nearly all frames
 * cost what copying their bytes does, the others go the plain way. */

#include <stdbool.h>
#include <stddef.h>

#include <weir/frame.h>

#include "lines.h"

/* Found out whenever it is asked, since there is nowhere to keep it. */
static inline bool weir__frame_is_wide(void) {
#if WEIR__HAS_AVX
  return __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2");
#else
  return false;
#endif
}

/* The frame is of the size that this library knows. */
int weir__frame_wide(const weir_frame *frame, const void *id, size_t id_len,
                     void *dst, size_t cap, size_t *len);

#endif /* WEIR__FRAME_WIDE_H */
