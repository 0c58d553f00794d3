/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__EXPIRY_H
#define WEIR__EXPIRY_H

/* What becomes of a generation as time passes. */

#include "timer.h"

/* The timer of a generation has fired. */
void weir__expire(struct weir__timer *timer);

#endif /* WEIR__EXPIRY_H */
