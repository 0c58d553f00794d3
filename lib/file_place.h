/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FILE_PLACE_H
#define WEIR__FILE_PLACE_H

/* Which segment an event of a stream is in. */

#include "file_segment.h"

/* A run of events in one segment. */
struct weir__place {
  struct weir__segment *segment;
  struct weir__entry_of_directory entry;
  uint64_t limit; /* the last event that is there too, or is missing too */
};

/* What is lost by damage of a segment, and not because memory or the disk says
 * no just now. */
static inline bool weir__is_damage(int error) {
  return error == WEIR_EIO;
}

/* Find the segment that has event seq, which is not trimmed and not beyond the
 * last. *found says whether there is one. WEIR_OK or an error. */
int weir__place_find(struct weir_log_file *log,
                     struct weir__file_stream *stream, uint64_t seq,
                     struct weir__place *place, bool *found);

#endif /* WEIR__FILE_PLACE_H */
