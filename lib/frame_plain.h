/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FRAME_PLAIN_H
#define WEIR__FRAME_PLAIN_H

/* The parts of which every frame is made, and the way to make one that always
 * works. */

#include <weir/frame.h>

#include <string.h>

#include "out.h"

/* Everything up to the data: id, event (prefix and type are one word; the
 * default type and an empty one are not written), retry (unless 0) and the name
 * of the first data line. */
void weir__frame_begin(struct weir__out *out, const void *id, size_t id_len,
                       const void *prefix, size_t prefix_len, const void *type,
                       size_t type_len, uint32_t retry);

/* The type that an event has without a word. */
static inline bool weir__frame_is_default(const void *type, size_t len) {
  return len == 7 && memcmp(type, "message", 7) == 0;
}

/* The end of the data and of the frame. */
void weir__frame_end(struct weir__out *out);

/* As weir_frame_encode_event. */
int weir__frame_plain(const weir_frame *frame, const void *id, size_t id_len,
                      void *dst, size_t cap, size_t *len);

#endif /* WEIR__FRAME_PLAIN_H */
