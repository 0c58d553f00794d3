/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__REPLAY_H
#define WEIR__REPLAY_H

/* What follows a number: in a page that is here, or in storage. */

#include "intake.h"

/* A run of whole frames in a page. */
struct weir__span {
  struct weir__page *page;
  uint32_t from;
  uint32_t to;
};

/* Find the bytes that follow event `after`, of events up to `upto` at most,
 * which is committed and beyond `after`. *last is the last event among them.
 *
 * WEIR_OK: *span is filled in, and its page not yet held; page NULL: there are
 * no events up to *last, and nothing is missing. WEIR_EDONE: what follows is
 * lost, up to *last. WEIR_ENOENT: it is not in memory. */
int weir__replay_find(const struct weir__history *history, uint64_t after,
                      uint64_t upto, struct weir__span *span, uint64_t *last);

/* The same of what is not in memory. Also WEIR_EAGAIN: storage has been asked,
 * and *ring is where to wait; an error of storage, WEIR_ENOMEM or
 * WEIR_ERESIDENT. */
int weir__replay_fetch(struct weir__history *history,
                       const struct weir__scheme *scheme, uint64_t after,
                       uint64_t upto, struct weir__span *span, uint64_t *last,
                       struct weir__link **ring);

/* Lose interest in everything that storage was asked for. Nobody waits. */
void weir__replay_abandon(struct weir__history *history);

#endif /* WEIR__REPLAY_H */
