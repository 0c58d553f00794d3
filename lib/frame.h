/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FRAME_H
#define WEIR__FRAME_H

/* The parts of which every frame is made. */

#include <weir/frame.h>

#include "out.h"

/* Everything up to the data: id, event (prefix and type are one word; the
 * default type and an empty one are not written), retry (unless 0) and the name
 * of the first data line. */
void weir__frame_begin(struct weir__out *out, const void *id, size_t id_len,
                       const void *prefix, size_t prefix_len, const void *type,
                       size_t type_len, uint32_t retry);

/* The end of the data and of the frame. */
void weir__frame_end(struct weir__out *out);

#endif /* WEIR__FRAME_H */
