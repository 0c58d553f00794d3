/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FILE_READ_H
#define WEIR__FILE_READ_H

/* Events out of segments, in the order of their numbers. */

#include "file_segment.h"

/* Records that one read returns at most. */
#define WEIR__READ_MOST 256

struct weir__file_events {
  const weir_record *records;
  size_t count;
  uint64_t lost_through; /* what is not among them up to here is lost */
};

/* Read events after `after` up to `upto` of a stream, about max_bytes of
 * frames. They, and what they point to, stay until the next read. WEIR_OK or an
 * error. */
int weir__file_read(struct weir_log_file *log, struct weir__file_stream *stream,
                    uint64_t after, uint64_t upto, size_t max_bytes,
                    struct weir__file_events *events);

#endif /* WEIR__FILE_READ_H */
