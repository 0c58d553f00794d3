/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FILE_SEGMENT_H
#define WEIR__FILE_SEGMENT_H

/* Segments: their files. */

#include "file_store.h"

/* Bytes of a file's name, with the NUL. */
#define WEIR__FILE_NAME 32

/* weir-0000000000000001.log, or with .new behind it while it is being made. */
void weir__segment_name(uint64_t number, bool made, char name[WEIR__FILE_NAME]);

/* The number of such a name; 0: it is none. */
uint64_t weir__segment_number(const char *name, bool *made);

/* A segment in memory, in no list; its file is not touched. NULL without
 * memory. */
struct weir__segment *weir__segment_new(struct weir_log_file *log,
                                        uint64_t number);
void weir__segment_free(struct weir_log_file *log,
                        struct weir__segment *segment);

/* Bytes of records that a file of this size has room for, behind `tail`. */
uint64_t weir__segment_room(const struct weir__segment *segment);

/* Its file is made on any thread, in two steps, each of which is WEIR_OK or an
 * error: it is there, of this size, with its heads, and *fd is not -1 from when
 * there is something to be unmade; and when that is synced it gets its name. */
int weir__segment_make(const struct weir__io *io,
                       const struct weir__crc32c *crc,
                       const struct weir__head *head, uint64_t size, int *fd);
int weir__segment_give_name(const struct weir__io *io, uint64_t number);

/* Nothing of that has been: no file is left. */
void weir__segment_unmake(const struct weir__io *io, uint64_t number, int *fd);

/* Open its file if it is not, WEIR_OK or an error; and close it. */
int weir__segment_open(struct weir_log_file *log,
                       struct weir__segment *segment);
void weir__segment_close(struct weir_log_file *log,
                         struct weir__segment *segment);

/* A file is about to be made, on a thread that can close no others: of those
 * that are only read, one less stays open. */
void weir__segment_spare(struct weir_log_file *log);

/* The newest segment up to this number; NULL: they are all gone. */
struct weir__segment *weir__segment_upto(const struct weir_log_file *log,
                                         uint64_t number);

/* Whether the directory would not be known for a log without this segment: of
 * the others there are, all have lost their heads. */
bool weir__segment_is_last_head(const struct weir_log_file *log,
                                const struct weir__segment *segment);

/* What waited to be written to this segment will not be: no stream has its
 * newest record there. */
void weir__segment_give_up(struct weir_log_file *log,
                           struct weir__segment *segment);

/* Somewhere before this place of a segment there was something, nobody knows
 * whose. */
void weir__segment_damaged(struct weir_log_file *log,
                           const struct weir__segment *segment, uint64_t at);

/* Have `len` bytes at a place of a segment in a window, or as many as there are
 * before `end`, but no fewer than `least`. WEIR_OK, or an error: WEIR_EIO if
 * there are not so many, or they cannot be read. */
int weir__segment_view(struct weir_log_file *log, struct weir__segment *segment,
                       struct weir__window *window, uint64_t at, uint64_t least,
                       uint64_t len);

/* It has its index, and its file is open. */
void weir__segment_sealed(struct weir_log_file *log,
                          struct weir__segment *segment, uint64_t size,
                          uint64_t directory, uint64_t entries);

#endif /* WEIR__FILE_SEGMENT_H */
