/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "replay.h"

/* How many numbers a block has, and about how many bytes are asked for. Blocks
 * are aligned, so that readers at different positions share them. */
#define BLOCK 64
#define BLOCK_BYTES WEIR__PAGE_MOST

/* Blocks that a reader is brought at once who has come to the end of one. */
#define AHEAD 4

/* Answers of storage that answers at once, one after the other for one reader,
 * before it is told that memory is short. */
#define TRIES 4

/* If numbers have holes, nobody knows how far an answer goes: who stands so far
 * behind where it begins does not wait for it. */
#define NEAR ((uint64_t)BLOCK * AHEAD)

/* A block that storage has been asked for: events lo+1 to hi. */
struct fetch {
  struct weir__link link;
  struct weir__link waiters;
  struct weir__history *history;
  struct weir__call *call;
  struct weir__scheme scheme;
  uint64_t lo;
  uint64_t hi;
  uint64_t upto;    /* it was asked for more, which others ask for */
  uint64_t asked;   /* the newest epoch when it was asked */
  uint32_t rewinds; /* of the history then */
  int *result;      /* of an answer that comes while storage is being called */
};

static void free_fetch(struct fetch *fetch) {
  weir__link_remove(&fetch->link);
  /* As in weir__history_free. */
  weir__link_remove(&fetch->waiters);
  weir__core_free(fetch->history->core, fetch, sizeof *fetch);
}

static int take_block(const struct fetch *fetch, const weir_answer *answer) {
  struct weir__history *history = fetch->history;
  struct weir__report report;
  int rv = weir__intake_check(history, answer, fetch->asked, &report);

  /* If what was asked for has been lost meanwhile, and perhaps been replaced,
   * those who still want something ask again. */
  if (rv == WEIR_OK && report.news != WEIR__NEWS_REWOUND &&
      fetch->rewinds == history->rewinds) {
    rv = weir__intake_block(history, &fetch->scheme, &report, answer, fetch->lo,
                            fetch->upto, fetch->hi);
  }
  if (rv == WEIR_OK) {
    weir__intake_adopt(history, &report);
  }
  return rv;
}

static void fetch_done(void *owner, int result, const weir_answer *answer,
                       struct weir__handle *handle) {
  struct fetch *fetch = owner;
  struct weir__history *history = fetch->history;
  struct weir__core *core = history->core;
  int rv = result;

  (void)handle;
  if (result == WEIR_LOG_YES) {
    rv = take_block(fetch, answer);
  }
  if (fetch->result != NULL) {
    *fetch->result = rv;
  }
  if (rv == WEIR_OK) {
    weir__core_ready_all(core, &fetch->waiters);
  }
  while (!weir__link_alone(&fetch->waiters)) {
    core->floors->deny(
        weir__owner(fetch->waiters.next, struct weir__source, link));
  }
  if (rv != WEIR_OK) {
    core->floors->failed(history, rv);
  }
  free_fetch(fetch);
}

/* A fetch under way that will bring what follows `after`. */
static struct fetch *find_fetch(const struct weir__history *history,
                                uint64_t after) {
  struct weir__link *link;
  struct fetch *fetch;

  for (link = history->fetches.next; link != &history->fetches;
       link = link->next) {
    fetch = weir__owner(link, struct fetch, link);
    if (fetch->lo <= after && after < fetch->hi &&
        (!weir__is_sparse(history) || after - fetch->lo < NEAR)) {
      return fetch;
    }
  }
  return NULL;
}

/* Whether somebody has read up to `after`. i is the page behind. */
static bool reads_on(const struct weir__history *history, uint64_t after,
                     uint32_t i) {
  return i > 0 && history->pages[i - 1]->last == after;
}

/* What to ask for so that it has what follows `after`: so many blocks, without
 * what is gone, here, under way or not committed. i is the page behind. */
static void choose_block(const struct weir__history *history, uint64_t after,
                         uint32_t i, uint64_t blocks, uint64_t *lo,
                         uint64_t *hi) {
  const struct weir__link *link;
  const struct fetch *fetch;

  *lo = weir__is_sparse(history) ? 0 : after / BLOCK * BLOCK;
  *hi = weir__is_sparse(history) ? history->committed : *lo + blocks * BLOCK;
  *lo = weir__max(*lo, history->trimmed);
  *hi = weir__min(*hi, history->committed);
  if (i > 0 && history->pages[i - 1]->last > *lo) {
    /* The block was too much for one answer; what this reader does not want,
     * it does not pay for. */
    *lo = after;
  }
  if (i < history->page_count) {
    *hi = weir__min(*hi, history->pages[i]->after);
  }
  for (link = history->fetches.next; link != &history->fetches;
       link = link->next) {
    fetch = weir__owner_const(link, struct fetch, link);
    if (fetch->hi <= after) {
      *lo = weir__max(*lo, fetch->hi);
    } else {
      *hi = weir__min(*hi, fetch->lo);
    }
  }
  if (weir__is_sparse(history)) {
    *lo = after;
  }
}

/* Have no fetch bring what follows `after`: another one will. Nobody waits for
 * that there, unless numbers have holes. */
static void leave_out(struct weir__history *history, uint64_t after) {
  struct weir__link *link;
  struct fetch *fetch;

  for (link = history->fetches.next; link != &history->fetches;
       link = link->next) {
    fetch = weir__owner(link, struct fetch, link);
    if (fetch->lo < after) {
      fetch->hi = weir__min(fetch->hi, after);
    }
  }
}

/* Ask storage for the block with what follows `after`. WEIR_OK: it is here.
 * WEIR_EAGAIN: it will come. */
static int start_fetch(struct weir__history *history,
                       const struct weir__scheme *scheme, uint64_t after,
                       uint32_t i, struct weir__link **ring) {
  const size_t blocks = reads_on(history, after, i) ? AHEAD : 1;
  struct fetch *fetch = weir__core_alloc(history->core, sizeof *fetch);
  int result = WEIR_EAGAIN;
  int rv;

  if (fetch == NULL) {
    return WEIR_ENOMEM;
  }
  fetch->history = history;
  fetch->scheme = *scheme;
  fetch->asked = weir__history_epoch(history);
  fetch->rewinds = history->rewinds;
  fetch->result = &result;
  fetch->call = NULL;
  weir__link_init(&fetch->waiters);
  leave_out(history, after);
  choose_block(history, after, i, blocks, &fetch->lo, &fetch->hi);
  fetch->upto = fetch->hi;
  weir__link_append(&history->fetches, &fetch->link);
  rv = weir__log_read(history->handle, fetch->lo, fetch->hi,
                      blocks * BLOCK_BYTES, fetch_done, fetch, &fetch->call);
  if (rv != WEIR_OK) {
    free_fetch(fetch);
    return rv;
  }
  if (result == WEIR_EAGAIN) {
    fetch->result = NULL;
    *ring = &fetch->waiters;
  }
  return result;
}

/* Part of a page. */
static void cut_span(struct weir__page *page, uint64_t after, uint64_t upto,
                     struct weir__span *span, uint64_t *last) {
  const uint32_t from = weir__page_count(page, after);
  const uint32_t to = weir__page_count(page, upto);

  span->page = from == to ? NULL : page;
  span->from = weir__page_end(page, from);
  span->to = weir__page_end(page, to);
  *last = to == page->count ? weir__min(page->last, upto)
          : from == to      ? upto
                            : weir__page_seq(page, to - 1);
}

int weir__replay_find(const struct weir__history *history, uint64_t after,
                      uint64_t upto, struct weir__span *span, uint64_t *last) {
  struct weir__page *page;
  uint32_t i;

  if (after < history->trimmed) {
    *last = history->trimmed;
    return WEIR_EDONE;
  }
  i = weir__history_index(history, after);
  if (i == history->page_count || history->pages[i]->after > after) {
    return WEIR_ENOENT;
  }
  page = history->pages[i];
  page->unread = false;
  if (!weir__link_alone(&page->lru) &&
      page->lru.next != &history->core->pages) {
    weir__link_remove(&page->lru);
    weir__link_append(&history->core->pages, &page->lru);
  }
  if (page->lost) {
    *last = page->last;
    return WEIR_EDONE;
  }
  cut_span(page, after, upto, span, last);
  return WEIR_OK;
}

int weir__replay_fetch(struct weir__history *history,
                       const struct weir__scheme *scheme, uint64_t after,
                       uint64_t upto, struct weir__span *span, uint64_t *last,
                       struct weir__link **ring) {
  struct fetch *fetch;
  unsigned tries;
  int rv;

  /* The answer to the first try may end before what is wanted, which the second
   * then asks for alone; unless memory is so short that what comes is driven
   * out again. */
  for (tries = 0; tries <= TRIES; ++tries) {
    fetch = find_fetch(history, after);
    if (fetch != NULL) {
      *ring = &fetch->waiters;
      return WEIR_EAGAIN;
    }
    rv = start_fetch(history, scheme, after,
                     weir__history_index(history, after), ring);
    if (rv != WEIR_OK) {
      return rv;
    }
    if (after >= history->committed) {
      /* What followed has been lost meanwhile. */
      span->page = NULL;
      *last = after;
      return WEIR_OK;
    }
    rv = weir__replay_find(history, after, upto, span, last);
    if (rv != WEIR_ENOENT) {
      return rv;
    }
  }
  return WEIR_ERESIDENT;
}

void weir__replay_abandon(struct weir__history *history) {
  struct fetch *fetch;

  while (!weir__link_alone(&history->fetches)) {
    fetch = weir__owner(history->fetches.next, struct fetch, link);
    weir__call_abandon(&fetch->call);
    free_fetch(fetch);
  }
}
