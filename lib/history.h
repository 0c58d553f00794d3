/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__HISTORY_H
#define WEIR__HISTORY_H

/* A generation's events: which there are, which are committed, which are gone,
 * and the pages of them that are in memory. */

#include "control.h"
#include "log.h"
#include "page.h"

struct weir__history {
  struct weir__core *core;
  struct weir__handle *handle; /* NULL: the pages are all there is */
  /* By number, without overlap. Without a log there are no holes. */
  struct weir__page **pages; /* &only while page_cap is 1 */
  struct weir__page *only;
  /* What the last page has taken the place of since the last commit. */
  struct weir__page *moved;
  uint32_t page_count;
  uint32_t page_cap;
  uint32_t epoch_count;
  uint32_t epoch_cap;
  weir_epoch *epochs; /* &first while epoch_cap is 1 */
  weir_epoch first;
  uint64_t trimmed;
  uint64_t committed;        /* readers may go up to here */
  uint64_t put;              /* committed, or encoded since */
  uint64_t sent;             /* what storage has been given the frames of */
  uint64_t ended;            /* the committed end */
  uint64_t bytes;            /* of the frames in pages that are not trimmed */
  uint64_t fetched;          /* that pages take which storage has brought */
  uint32_t rewinds;          /* how often committed events were lost */
  uint32_t hand;             /* where the cache is looked at next */
  uint64_t look_at;          /* when all of it is; NEVER: not needed */
  bool follow;               /* storage leads: others write */
  bool failed;               /* `ended` is a failure, says storage */
  struct weir__link waiters; /* readers at the head */
  struct weir__link fetches; /* blocks that storage was asked for */
};

void weir__history_init(struct weir__history *history, struct weir__core *core);

/* Drop the pages. Nobody waits, and no fetch is left. */
void weir__history_free(struct weir__history *history);

/* Make room for so many epochs, WEIR_OK or WEIR_ENOMEM, and replace them. There
 * is always room for one. */
int weir__history_reserve_epochs(struct weir__history *history, size_t count);
void weir__history_set_epochs(struct weir__history *history,
                              const weir_epoch *epochs, size_t count);

/* A state that stays valid until the history changes. */
void weir__history_state(const struct weir__history *history,
                         weir_state *state);

/* The epoch that gives numbers now; 0 if there is none yet. */
uint64_t weir__history_epoch(const struct weir__history *history);

/* Encode event number seq, the first after `put`, behind the others, or take
 * over its frame. It is nobody's until it is committed.
 *
 * WEIR_OK, WEIR_ETOOBIG, WEIR_ERESIDENT, WEIR_ENOMEM or WEIR_EOVERFLOW. */
int weir__history_put(struct weir__history *history,
                      const struct weir__scheme *scheme,
                      const weir_cursor *cursor,
                      const struct weir__content *content);
int weir__history_put_frame(struct weir__history *history,
                            const weir_cursor *cursor, const void *frame,
                            size_t len);

/* Put a page in its place. It is the history's then, and may be evicted.
 * WEIR_OK or WEIR_ENOMEM. */
int weir__history_insert(struct weir__history *history,
                         struct weir__page *page);

/* Events up to seq are readers' now; ended, if not 0, is the end among them.
 * Wakes those who wait at the head. */
void weir__history_commit(struct weir__history *history, uint64_t seq,
                          uint64_t ended);

/* Take back what was put, or held, beyond seq. */
void weir__history_take_back(struct weir__history *history, uint64_t seq);

/* Events beyond seq, which were committed, are no more. What readers have been
 * shown of them stays where it is. */
void weir__history_rewind(struct weir__history *history, uint64_t seq);

/* Drop events up to seq, at most those that are committed. */
void weir__history_trim(struct weir__history *history, uint64_t seq);

/* Apply the limits on what is kept; shared: it has more than one reader.
 * Returns when there is something to do again. */
uint64_t weir__history_limit(struct weir__history *history, bool shared);

/* The index of the page with the first event after `after`: the least whose
 * last is beyond. page_count if there is none. */
uint32_t weir__history_index(const struct weir__history *history,
                             uint64_t after);

/* weir__floors.evict. */
void weir__history_evict(struct weir__page *page);

#endif /* WEIR__HISTORY_H */
