/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FILE_RECOVER_H
#define WEIR__FILE_RECOVER_H

/* Opening a directory: what is in it, and what survived of it. */

#include "file_segment.h"

/* Read the directory that has been entered. What is not ours is refused before
 * anything is touched. Afterwards every segment has an index, but for those
 * that could not be written to. WEIR_OK or an error. */
int weir__recover(struct weir_log_file *log);

#endif /* WEIR__FILE_RECOVER_H */
