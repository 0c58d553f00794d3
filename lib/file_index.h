/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FILE_INDEX_H
#define WEIR__FILE_INDEX_H

/* Where the events of streams are in any segment; and the index, which says so
 * in one that is closed. */

#include "file_segment.h"

/* Entry i of a segment's directory. WEIR_OK or an error. */
int weir__index_read(struct weir_log_file *log, struct weir__segment *segment,
                     uint64_t i, struct weir__entry_of_directory *entry);

/* Where the events of a stream are in a segment: false if nowhere. WEIR_EIO if
 * its directory cannot be read. */
int weir__index_entry(struct weir_log_file *log, struct weir__segment *segment,
                      uint64_t generation,
                      struct weir__entry_of_directory *entry, bool *found);

/* The places of events first to first + count - 1, which the entry has. WEIR_OK
 * or an error. */
int weir__index_places(struct weir_log_file *log, struct weir__segment *segment,
                       const struct weir__entry_of_directory *entry,
                       uint64_t first, uint32_t count, uint32_t *places);

/* The index of a segment to which nothing is added any more: what to write at
 * its tail. The caller frees *bytes, of *size. */
int weir__index_make(struct weir_log_file *log, struct weir__segment *segment,
                     unsigned char **bytes, size_t *size, uint64_t *directory,
                     uint64_t *entries);

#endif /* WEIR__FILE_INDEX_H */
