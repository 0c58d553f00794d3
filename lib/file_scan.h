/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FILE_SCAN_H
#define WEIR__FILE_SCAN_H

/* Segments that have no index, or a damaged one, are read through, record by
 * record. */

#include "file_segment.h"

/* Read the records of a segment up to `end`, all of which were synced once if
 * was_synced, and take over what they say; the segment's tail is where they
 * end, and up to its `synced` they are known to be on the disk. WEIR_OK, or an
 * error that has nothing to do with what is in the file. */
int weir__scan_segment(struct weir_log_file *log, struct weir__segment *segment,
                       uint64_t end, bool was_synced);

#endif /* WEIR__FILE_SCAN_H */
