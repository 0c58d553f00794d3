/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "history.h"

#include "cursor.h"

/* Of what is fetched for one reader alone, such a part of the cache is kept. */
#define PASSED_SHARE 16

/* ms that what was fetched for somebody is kept for who has not come yet: were
 * it dropped at once, they could ask for it for ever. Hosts come when they are
 * told; a client that has gone never comes. */
#define KEPT_FOR 10000

/* Pages that have to stay that are passed over at a time. */
#define PASSES 16

void weir__history_init(struct weir__history *history,
                        struct weir__core *core) {
  memset(history, 0, sizeof *history);
  history->core = core;
  history->pages = &history->only;
  history->page_cap = 1;
  history->epochs = &history->first;
  history->epoch_cap = 1;
  history->look_at = (uint64_t)WEIR_NEVER;
  weir__link_init(&history->waiters);
  weir__link_init(&history->fetches);
}

/* The bytes of a page's events that are not trimmed. */
static uint64_t kept_bytes(const struct weir__history *history,
                           const struct weir__page *page) {
  return page->used -
         weir__page_end(page, weir__page_count(page, history->trimmed));
}

/* A page is no longer the history's. */
static void let_go(struct weir__history *history, struct weir__page *page) {
  history->bytes -= kept_bytes(history, page);
  history->fetched -= page->fetched ? page->size : 0;
  weir__link_remove(&page->lru);
  page->history = NULL;
  weir__page_release(page);
}

/* What stands at `from` stands at `to` now, where there is nothing. */
static void close_up(struct weir__history *history, uint32_t to,
                     uint32_t from) {
  if (to != from) {
    memmove(history->pages + to, history->pages + from,
            (history->page_count - from) * sizeof history->pages[0]);
    history->page_count -= from - to;
  }
}

/* Drop count pages from number at on. */
static void drop_pages(struct weir__history *history, uint32_t at,
                       uint32_t count) {
  uint32_t i;

  for (i = at; i < at + count; ++i) {
    let_go(history, history->pages[i]);
  }
  close_up(history, at, at + count);
}

static void set_epochs(struct weir__history *history, weir_epoch *epochs,
                       uint32_t cap) {
  if (history->epoch_cap > 1) {
    weir__core_free(history->core, history->epochs,
                    history->epoch_cap * sizeof history->epochs[0]);
  }
  history->epochs = epochs;
  history->epoch_cap = cap;
}

static void set_pages(struct weir__history *history, struct weir__page **pages,
                      uint32_t cap) {
  if (history->page_cap > 1) {
    weir__core_free(history->core, history->pages,
                    history->page_cap * sizeof history->pages[0]);
  }
  history->pages = pages;
  history->page_cap = cap;
}

static void forget_moved(struct weir__history *history) {
  if (history->moved != NULL) {
    weir__page_release(history->moved);
    history->moved = NULL;
  }
}

void weir__history_free(struct weir__history *history) {
  /* The last reader is still in there while it lets go of this. */
  weir__link_remove(&history->waiters);
  forget_moved(history);
  drop_pages(history, 0, history->page_count);
  set_pages(history, &history->only, 1);
  set_epochs(history, &history->first, 1);
  history->epoch_count = 0;
  weir__handle_release(history->handle);
  history->handle = NULL;
}

int weir__history_reserve_epochs(struct weir__history *history, size_t count) {
  weir_epoch *epochs;
  uint32_t cap = history->epoch_cap;

  if (count <= cap) {
    return WEIR_OK;
  }
  /* not reached: an answer of 32 GiB would have as many */
  if (count > UINT32_MAX / 2) {
    return WEIR_ENOMEM;
  }
  while (cap < count) {
    cap *= 2;
  }
  epochs = weir__core_alloc(history->core, cap * sizeof *epochs);
  if (epochs == NULL) {
    return WEIR_ENOMEM;
  }
  memcpy(epochs, history->epochs, history->epoch_count * sizeof *epochs);
  set_epochs(history, epochs, cap);
  return WEIR_OK;
}

void weir__history_set_epochs(struct weir__history *history,
                              const weir_epoch *epochs, size_t count) {
  memcpy(history->epochs, epochs, count * sizeof *epochs);
  history->epoch_count = (uint32_t)count;
}

void weir__history_state(const struct weir__history *history,
                         weir_state *state) {
  memset(state, 0, sizeof *state);
  state->size = sizeof *state;
  state->epochs = history->epochs;
  state->epoch_count = history->epoch_count;
  state->trimmed = history->trimmed;
  state->last = history->committed;
  state->ended = history->ended;
}

uint64_t weir__history_epoch(const struct weir__history *history) {
  return history->epoch_count == 0
             ? 0
             : history->epochs[history->epoch_count - 1].epoch;
}

/* The page that grows, if there is one. What storage has brought does not. */
static struct weir__page *open_page(const struct weir__history *history) {
  struct weir__page *page =
      history->page_count == 0 ? NULL : history->pages[history->page_count - 1];

  return page != NULL && !page->fetched && page->last == history->put ? page
                                                                      : NULL;
}

/* Let the pages whose events are committed be evicted; without a log, not the
 * one that grows. */
static void settle(struct weir__history *history) {
  const struct weir__page *open =
      history->handle != NULL ? NULL : open_page(history);
  uint32_t i = history->page_count;
  struct weir__page *page;

  while (i > 0 && weir__link_alone(&history->pages[i - 1]->lru)) {
    i -= 1;
  }
  for (; i < history->page_count; ++i) {
    page = history->pages[i];
    if (page != open && page->last <= history->committed) {
      weir__link_append(&history->core->pages, &page->lru);
    }
  }
}

static bool reserve_page(struct weir__history *history) {
  const uint32_t cap = history->page_cap * 2;
  struct weir__page **pages;

  if (history->page_count < history->page_cap) {
    return true;
  }
  pages = weir__core_alloc(history->core, cap * sizeof *pages);
  if (pages == NULL) {
    return false;
  }
  memcpy(pages, history->pages, history->page_count * sizeof *pages);
  set_pages(history, pages, cap);
  return true;
}

/* What a page has that is not trimmed: its events from this number on, and the
 * room that they take. */
static size_t kept_room(const struct weir__history *history,
                        const struct weir__page *page, uint32_t *from) {
  *from = weir__page_count(page, history->trimmed);
  return page->used - weir__page_end(page, *from) +
         (page->count - *from) * sizeof(struct weir__page_entry);
}

/* Let another page have the place of the last one. */
static void replace_last(struct weir__history *history,
                         struct weir__page *page) {
  struct weir__page **place = &history->pages[history->page_count - 1];

  history->bytes -= kept_bytes(history, *place);
  (*place)->history = NULL;
  *place = page;
  page->history = history;
  history->bytes += kept_bytes(history, page);
}

/* The last page is full: have another in its place that has what is kept of it.
 * Who reads the old one holds it, and until a commit it can be taken back. */
static void move_page(struct weir__history *history, struct weir__page *page) {
  struct weir__page *before = history->pages[history->page_count - 1];
  uint32_t from;

  (void)kept_room(history, before, &from);
  weir__page_copy(page, before, from);
  replace_last(history, page);
  if (history->moved == NULL) {
    history->moved = before;
  } else {
    weir__page_release(before);
  }
}

/* The last page goes back to where it was moved from. */
static void move_back(struct weir__history *history) {
  struct weir__page *page = history->pages[history->page_count - 1];

  replace_last(history, history->moved);
  history->moved = NULL;
  weir__page_release(page);
}

static int append_page(struct weir__history *history, struct weir__page *page) {
  /* Making room may have dropped pages, and needs none. */
  if (!reserve_page(history)) {
    weir__page_release(page);
    return WEIR_ENOMEM;
  }
  page->history = history;
  page->after = history->put;
  page->last = history->put;
  page->sparse = (history->core->log.flags & WEIR_LOG_SPARSE) != 0;
  history->pages[history->page_count++] = page;
  return WEIR_OK;
}

/* Have a page at the end with room for a frame of len bytes more. Small pages
 * move to larger ones as the stream grows, so that it is few runs of bytes; if
 * half of one is trimmed, to one of the same size. What is moved has to stay
 * meanwhile; if there is no room for that, it is left where it is, and what is
 * added is as small as can be: for that alone is there more room if need be. */
static int add_page(struct weir__history *history, enum weir__need need,
                    size_t len, struct weir__page **added) {
  struct weir__page *before = open_page(history);
  size_t size = WEIR__PAGE_LEAST;
  const size_t least = WEIR__PAGE_LEAST - sizeof(struct weir__page);
  size_t kept = 0;
  uint32_t from;
  size_t room;
  int rv;

  if (before != NULL) {
    kept = kept_room(history, before, &from);
    size = kept <= before->size / 2 ? before->size : before->size * (size_t)2;
  }
  size = size < WEIR__PAGE_MOST ? size : WEIR__PAGE_MOST;
  /* not reached: needs more memory than there are addresses for, but where
   * they have 32 bits */
  if (!weir__add(len, sizeof(struct weir__page_entry), &room)) {
    return WEIR_EOVERFLOW;
  }
  size -= sizeof(struct weir__page);
  if (before != NULL && kept <= size && room <= size - kept) {
    weir__link_remove(&before->lru);
    rv = weir__page_new(history->core, WEIR__NEED_EVENT, size, added);
    if (rv == WEIR_OK) {
      move_page(history, *added);
      return WEIR_OK;
    }
    settle(history);
  } else {
    rv = weir__page_new(history->core, WEIR__NEED_EVENT,
                        room < size ? size : room, added);
  }
  if (rv == WEIR_ERESIDENT) {
    rv =
        weir__page_new(history->core, need, room < least ? least : room, added);
  }
  return rv == WEIR_OK ? append_page(history, *added) : rv;
}

/* A frame of len bytes is in the page, behind the others: account for it. Until
 * it is committed, the page has to stay. */
static void added(struct weir__history *history, struct weir__page *page,
                  size_t len, uint64_t seq) {
  weir__link_remove(&page->lru);
  weir__page_add(page, len, seq);
  history->put = seq;
  history->bytes += len;
}

/* Put a frame where there is room for it: at once into the open page if it
 * fits, else into a new one. */
static int place(struct weir__history *history, enum weir__need need,
                 uint64_t seq, uint64_t max_lines,
                 void (*put)(struct weir__out *out, const void *what),
                 const void *what) {
  struct weir__page *page = open_page(history);
  struct weir__out out;
  size_t len;
  int rv;

  if (page != NULL) {
    weir__out_init(&out, weir__page_bytes(page) + page->used,
                   weir__page_room(page));
  } else {
    weir__out_init(&out, NULL, 0);
  }
  put(&out, what);
  rv = weir__out_end(&out, &len);
  if (out.lines > max_lines) {
    return WEIR_ETOOBIG;
  }
  if (rv == WEIR_ENOSPACE) {
    rv = add_page(history, need, len, &page);
    if (rv == WEIR_OK) {
      weir__out_init(&out, weir__page_bytes(page) + page->used, len);
      put(&out, what);
    }
  }
  if (rv == WEIR_OK) {
    added(history, page, len, seq);
  }
  return rv;
}

struct event {
  const struct weir__scheme *scheme;
  const weir_cursor *cursor;
  const struct weir__content *content;
};

static void put_event(struct weir__out *out, const void *what) {
  const struct event *event = what;

  weir__put_content(out, event->scheme, event->content, event->cursor);
}

static void put_bytes(struct weir__out *out, const void *what) {
  const weir_bytes *bytes = what;

  weir__put(out, bytes->base, bytes->len);
}

int weir__history_put(struct weir__history *history,
                      const struct weir__scheme *scheme,
                      const weir_cursor *cursor,
                      const struct weir__content *content) {
  const struct event event = {scheme, cursor, content};

  return place(history, content->bare ? WEIR__NEED_OWN : WEIR__NEED_EVENT,
               cursor->seq, scheme->lines, put_event, &event);
}

int weir__history_put_frame(struct weir__history *history,
                            const weir_cursor *cursor, const void *frame,
                            size_t len) {
  const weir_bytes bytes = {frame, len};

  return place(history, WEIR__NEED_EVENT, cursor->seq, UINT64_MAX, put_bytes,
               &bytes);
}

int weir__history_insert(struct weir__history *history,
                         struct weir__page *page) {
  const uint32_t at = weir__history_index(history, page->after);

  if (!reserve_page(history)) {
    return WEIR_ENOMEM;
  }
  memmove(history->pages + at + 1, history->pages + at,
          (history->page_count - at) * sizeof history->pages[0]);
  history->pages[at] = page;
  history->page_count += 1;
  history->bytes += kept_bytes(history, page);
  history->fetched += page->size;
  page->fetched = true;
  page->history = history;
  if (page->last <= history->committed) {
    weir__link_append(&history->core->pages, &page->lru);
  }
  return WEIR_OK;
}

void weir__history_commit(struct weir__history *history, uint64_t seq,
                          uint64_t ended) {
  history->committed = seq;
  history->put = weir__max(history->put, seq);
  history->ended = ended != 0 ? ended : history->ended;
  history->epochs[history->epoch_count - 1].last = seq;
  if (history->moved != NULL && history->moved->last <= seq) {
    forget_moved(history);
  }
  settle(history);
  weir__core_ready_all(history->core, &history->waiters);
}

void weir__history_take_back(struct weir__history *history, uint64_t seq) {
  const bool shown = seq < history->committed;
  const bool sent = seq < history->sent;
  struct weir__page *page;

  while (history->page_count != 0) {
    page = history->pages[history->page_count - 1];
    if (page->last <= seq) {
      break;
    }
    if (history->moved != NULL && history->moved->last >= seq &&
        page->after < seq) {
      move_back(history);
      continue;
    }
    /* A page that is cut is written to again: not if it may have been shown, or
     * storage has it still. */
    if (page->after >= seq || shown || (sent && page->refs > 1)) {
      if (history->moved != NULL && history->moved->last > page->after) {
        forget_moved(history);
      }
      drop_pages(history, history->page_count - 1, 1);
    } else {
      history->bytes -= kept_bytes(history, page);
      weir__page_cut(page, weir__page_count(page, seq), seq);
      history->bytes += kept_bytes(history, page);
    }
  }
  history->put = weir__min(history->put, seq);
  history->sent = weir__min(history->sent, seq);
  settle(history);
}

void weir__history_rewind(struct weir__history *history, uint64_t seq) {
  weir__history_take_back(history, seq);
  history->committed = seq;
  /* What was lost may have been all that was left. */
  history->trimmed = weir__min(history->trimmed, seq);
  history->rewinds += 1;
}

void weir__history_trim(struct weir__history *history, uint64_t seq) {
  uint32_t gone = 0;

  seq = weir__min(seq, history->committed);
  if (seq <= history->trimmed) {
    return;
  }
  while (gone < history->page_count && history->pages[gone]->last <= seq) {
    gone += 1;
  }
  drop_pages(history, 0, gone);
  if (history->page_count != 0) {
    history->bytes -= kept_bytes(history, history->pages[0]);
  }
  history->core->info.trimmed += seq - history->trimmed;
  history->trimmed = seq;
  if (history->page_count != 0) {
    history->bytes += kept_bytes(history, history->pages[0]);
  }
}

/* Whether a page of a cache was fetched for somebody who may come for it. */
static bool is_awaited(const struct weir__page *page) {
  return page->unread && page->core->now - page->born < KEPT_FOR;
}

/* Whether the cache is beyond its limit. Of what was fetched for a single
 * reader, who has passed it, little is kept: it would fill the hub and the
 * processor's caches with what nobody may come back for. */
static bool is_full(const struct weir__history *history, bool shared) {
  const uint64_t limit = history->core->options.history_bytes;

  return limit != 0 && (history->bytes > limit ||
                        (!shared && history->fetched > limit / PASSED_SHARE));
}

/* With a log the pages are a cache: drop the oldest that nobody reads, nor is
 * to read; not the one that may grow. Readers may need more than the limit: not
 * all that they need is looked at each time, and the next look begins where
 * this one ends; but all of it when it is time. Returns when that is. */
static uint64_t limit_cache(struct weir__history *history, bool shared) {
  const uint64_t limit = history->core->options.history_bytes;
  const uint64_t now = history->core->now;
  const bool grows = history->ended == 0 && open_page(history) != NULL;
  const uint32_t stop = history->page_count - (grows ? 1 : 0);
  const bool all = history->look_at <= now || history->page_count <= PASSES;
  uint32_t i = all || history->hand >= stop ? 0 : history->hand;
  uint32_t passes = all ? history->page_count : PASSES;
  uint64_t again = (uint64_t)WEIR_NEVER;
  struct weir__page *page;
  uint32_t to = i;

  for (; i < stop && passes != 0 && is_full(history, shared); ++i) {
    page = history->pages[i];
    if (page->refs > 1 || weir__link_alone(&page->lru) || is_awaited(page) ||
        (history->bytes <= limit && !page->fetched)) {
      again = is_awaited(page)
                  ? weir__min(again, weir__later(page->born, KEPT_FOR))
                  : again;
      history->pages[to++] = page;
      passes -= 1;
    } else {
      let_go(history, page);
    }
  }
  close_up(history, to, i);
  history->hand = to;
  if (!is_full(history, shared)) {
    history->hand = 0;
    history->look_at = (uint64_t)WEIR_NEVER;
  } else if (all) {
    history->look_at = again;
  } else {
    history->look_at = weir__min(history->look_at, weir__later(now, KEPT_FOR));
  }
  return history->look_at;
}

/* Event number trimmed + 1, the first that is kept: its page, and its place in
 * there. */
static struct weir__page *first_kept(const struct weir__history *history,
                                     uint32_t *n) {
  struct weir__page *page = history->pages[0];

  *n = weir__page_count(page, history->trimmed);
  return page;
}

/* Whether a limit wants the first event to go. The newest stays, whatever its
 * size, and the end whatever its age. */
static bool is_beyond(const struct weir__history *history, uint64_t trimmed,
                      uint64_t bytes) {
  const weir_hub_options *options = &history->core->options;

  return trimmed + 1 < history->committed &&
         ((options->history_events != 0 &&
           history->committed - trimmed > options->history_events) ||
          (options->history_bytes != 0 && bytes > options->history_bytes));
}

/* When the first event is too old; WEIR_NEVER if there is none, or no limit. */
static uint64_t too_old(const struct weir__history *history) {
  const uint64_t age = history->core->options.history_age;
  const struct weir__page *page;
  uint32_t n;

  if (age == 0 || history->trimmed == history->committed ||
      history->trimmed + 1 == history->ended) {
    return (uint64_t)WEIR_NEVER;
  }
  page = first_kept(history, &n);
  return weir__later(weir__page_time(page, n), age);
}

uint64_t weir__history_limit(struct weir__history *history, bool shared) {
  uint64_t trimmed = history->trimmed;
  uint64_t bytes = history->bytes;
  const struct weir__page *page;
  uint64_t when;
  uint32_t i = 0;
  uint32_t n;

  if (history->handle != NULL) {
    return limit_cache(history, shared);
  }
  while (is_beyond(history, trimmed, bytes)) {
    page = history->pages[i];
    if (page->last <= trimmed) {
      i += 1;
      continue;
    }
    n = weir__page_count(page, trimmed);
    bytes -= weir__page_end(page, n + 1) - weir__page_end(page, n);
    trimmed += 1;
  }
  weir__history_trim(history, trimmed);
  for (when = too_old(history); when <= history->core->now;
       when = too_old(history)) {
    weir__history_trim(history, history->trimmed + 1);
  }
  return when;
}

uint32_t weir__history_index(const struct weir__history *history,
                             uint64_t after) {
  uint32_t low = 0;
  uint32_t high = history->page_count;
  uint32_t middle;

  /* Most readers stand at the head. */
  if (high != 0 && history->pages[high - 1]->after <= after) {
    return history->pages[high - 1]->last > after ? high - 1 : high;
  }
  while (low < high) {
    middle = low + (high - low) / 2;
    if (history->pages[middle]->last > after) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

void weir__history_evict(struct weir__page *page) {
  struct weir__history *history = page->history;

  if (history->handle == NULL) {
    /* What goes without a log goes from the front: not all that is before the
     * page, if a reader has come by there lately. */
    weir__history_trim(history, history->pages[0]->last);
  } else {
    drop_pages(history, weir__history_index(history, page->last - 1), 1);
  }
}
