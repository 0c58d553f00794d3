/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__ANSWERS_H
#define WEIR__ANSWERS_H

/* What becomes of a generation when storage answers. */

#include "generation.h"

/* For weir__floors. */
extern const struct weir__storage_owner weir__answers;
void weir__answers_changed(struct weir__history *history, bool rewound);
void weir__answers_failed(struct weir__history *history, int error);

#endif /* WEIR__ANSWERS_H */
