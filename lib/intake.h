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

/* The state of an answer, checked, and not taken over yet. */
struct weir__report {
  enum weir__news news;
  weir_state state; /* the newest that is known: the answer's or ours */
  bool failed;      /* its end, if it has one, is a failure */
  uint64_t left;    /* REWOUND: of what was known, this is left */
};

/* Whether the numbers of this hub's log may have holes. */
bool weir__is_sparse(const struct weir__history *history);

/* Check the state of an answer to a call; `asked` is the newest epoch that was
 * known when that began: if it is so still, the answer is no old news. WEIR_OK:
 * it can be taken over. WEIR_ENOMEM, or WEIR_ELOG: it contradicts itself, or
 * what was known. */
int weir__intake_check(struct weir__history *history, const weir_answer *answer,
                       uint64_t asked, struct weir__report *report);

/* Whether an answer is about another generation than this one. */
bool weir__intake_is_other(const struct weir__history *history,
                           const weir_answer *answer);

/* Whether it has a newest epoch that is not known here. */
bool weir__intake_is_newer(const struct weir__history *history,
                           const weir_answer *answer);

/* Take it over: the epochs, what is gone, and, of a history that follows, how
 * far the generation has come. Tells weir__floors.changed. */
void weir__intake_adopt(struct weir__history *history,
                        const struct weir__report *report);

/* Make pages of an answer's events of lo+1 to hi. It was asked for those up to
 * `upto`, which may be more only where numbers have holes. WEIR_OK, WEIR_ELOG,
 * or as weir__page_new. */
int weir__intake_block(struct weir__history *history,
                       const struct weir__scheme *scheme,
                       const struct weir__report *report,
                       const weir_answer *answer, uint64_t lo, uint64_t upto,
                       uint64_t hi);

/* Take in the answer to a read of what follows `after`, at the head: its state
 * and, if that says no more than how far a history that follows has come, its
 * events. WEIR_OK, or an error as above: nothing has happened. */
int weir__intake_append(struct weir__history *history,
                        const struct weir__scheme *scheme,
                        const weir_answer *answer, uint64_t asked,
                        uint64_t after);

#endif /* WEIR__INTAKE_H */
