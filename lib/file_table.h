/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FILE_TABLE_H
#define WEIR__FILE_TABLE_H

/* The file log as weir sees it: the functions of a weir_log, and the calls that
 * are answered when the disk has what they wrote. */

#include "file_store.h"

/* A weir_log whose calls go to this log. */
void weir__table_init(struct weir_log_file *log, weir_log *table);

/* A round has ended: answer what is decided by it, what is on the disk and what
 * will not come there, which has failed with this error. Answers come in the
 * order of the calls. */
void weir__table_settle(struct weir_log_file *log, int error);

/* Nothing more comes to the disk: fail all that wait for it. */
void weir__table_fail(struct weir_log_file *log, int error);

#endif /* WEIR__FILE_TABLE_H */
