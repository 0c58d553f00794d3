/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__SHOW_H
#define WEIR__SHOW_H

/* What a reader is shown next: its own frames, signals, events, what is lost,
 * the end. */

#include "reader.h"

/* Show what there is, as far as there is room for it. WEIR_OK: there may be
 * more; else WEIR_EAGAIN, WEIR_ENOMEM, WEIR_EDONE or WEIR_EGONE. */
int weir__show(struct weir_subscriber *subscriber);

/* Have the host pull once more when there may be memory. */
void weir__show_later(struct weir_subscriber *subscriber);

#endif /* WEIR__SHOW_H */
