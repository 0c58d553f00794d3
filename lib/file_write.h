/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FILE_WRITE_H
#define WEIR__FILE_WRITE_H

/* Records into segments. Everything is appended to the active one; when that is
 * full, to the next. */

#include "file_segment.h"

/* The first segments are small, so that a log of little takes little; each is
 * twice as large as the one before, up to the size that was asked for. Where
 * there was no room on the disk they begin anew, as small as they can be. */
#define WEIR__SEGMENT_FIRST ((uint64_t)1024 * 1024)

/* What is appended at once: all of it or nothing. */
struct weir__append {
  struct weir__file_stream *stream;
  enum weir__record_kind kind;
  const weir_record *records; /* of events */
  size_t count;
  uint64_t epoch; /* of a take */
  uint64_t seq;   /* of a take or a trim */
};

/* Append. WEIR_OK: it stands in the active segment, in the file or waiting for
 * the next round (see weir__file_waits); else nothing has happened. */
int weir__file_append(struct weir_log_file *log,
                      const struct weir__append *append);

/* Whether what was appended last waits for a round: with WEIR_SYNC_ALWAYS, and
 * when its file is not there yet or something waits before it. */
bool weir__file_waits(const struct weir_log_file *log);

/* Append a stream's whole state, so that the segment it was in may go. */
int weir__file_carry(struct weir_log_file *log,
                     struct weir__file_stream *stream);

#endif /* WEIR__FILE_WRITE_H */
