/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__STALLED_H
#define WEIR__STALLED_H

/* Who has to go when memory is needed. */

#include "reader.h"

/* weir__floors.relieve. */
void weir__stalled_relieve(struct weir__core *core, uint64_t leaving);

#endif /* WEIR__STALLED_H */
