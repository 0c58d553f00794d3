/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__LOG_FILE_H
#define WEIR__LOG_FILE_H

#include <weir/log_file.h>

#include "file_io.h"

/* As weir_log_file_open, on another system's calls (NULL: this one's), which
 * outlive the log. For tests. */
int weir__log_file_open(const weir_log_file_options *options,
                        const struct weir__io *io, weir_log_file **log);

#endif /* WEIR__LOG_FILE_H */
