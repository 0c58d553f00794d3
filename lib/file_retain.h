/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FILE_RETAIN_H
#define WEIR__FILE_RETAIN_H

/* Retention: which segment goes next, and when. What has to stay of it is
 * carried into the newest one first. Rounds remove it. */

#include "file_store.h"

/* Apply the limits on what is kept: what may go is marked. */
void weir__retain(struct weir_log_file *log);

/* When there is something to let go, by the clock of rounds; WEIR_NEVER not. */
uint64_t weir__retain_time(const struct weir_log_file *log);

/* The segment that may be removed now; 0: none. One at a time, the oldest, so
 * that whatever is left after a crash or a fault, no older one is left over. */
uint64_t weir__retain_next(const struct weir_log_file *log);

/* It has its index, or never gets one: of streams that ended long ago nothing
 * more is needed. */
void weir__retain_settled(struct weir_log_file *log,
                          const struct weir__segment *segment);

/* Its file has been removed, and with it the segment goes, unless what has to
 * stay of it has yet to be carried. */
void weir__retain_gone(struct weir_log_file *log,
                       struct weir__segment *segment);

/* Try again later, since removing or carrying has failed. */
void weir__retain_later(struct weir_log_file *log);

/* Writing to or syncing a segment has failed: what was carried has to be
 * carried again, unless it was before that. */
void weir__retain_failed(struct weir_log_file *log,
                         const struct weir__segment *segment, int error);

#endif /* WEIR__FILE_RETAIN_H */
