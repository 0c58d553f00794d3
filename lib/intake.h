/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__INTAKE_H
#define WEIR__INTAKE_H

/* What storage answers is checked, and becomes history. Nothing of it is
 * believed that contradicts itself or what was known. */

#include "history.h"

/* What an answer's state means for a history. */
enum weir__news {
  WEIR__NEWS_NONE,   /* nothing: it comes late */
  WEIR__NEWS_STATE,  /* how far it is */
  WEIR__NEWS_EPOCH,  /* that somebody else writes it now */
  WEIR__NEWS_REWOUND /* that, and events that were known are no more */
};

/* Whether the numbers of this hub's log may have holes. */
bool weir__is_sparse(const struct weir__history *history);

/* Take over the epochs of an answer: before its events. WEIR_OK, WEIR_ENOMEM,
 * or WEIR_ELOG: it contradicts itself, or what was known. */
int weir__intake_epochs(struct weir__history *history,
                        const weir_answer *answer, enum weir__news *news);

/* Take over how far the generation has come (of a history that follows) and
 * what is gone: after its events. Tells weir__floors.changed. */
void weir__intake_progress(struct weir__history *history,
                           const weir_answer *answer, enum weir__news news);

/* Both: the state of an answer without events. */
int weir__intake_adopt(struct weir__history *history,
                       const weir_answer *answer);

/* Make pages of an answer's events, which are of lo+1 to hi. WEIR_OK,
 * WEIR_ELOG, or as weir__page_new. */
int weir__intake_block(struct weir__history *history,
                       const struct weir__scheme *scheme,
                       const weir_answer *answer, uint64_t lo, uint64_t hi);

/* Take in the answer to a read at the head of a history that follows: its
 * events, then its state. WEIR_OK, or an error as above. */
int weir__intake_append(struct weir__history *history,
                        const struct weir__scheme *scheme,
                        const weir_answer *answer);

#endif /* WEIR__INTAKE_H */
