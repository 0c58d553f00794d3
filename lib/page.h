/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__PAGE_H
#define WEIR__PAGE_H

/* Pages: reference-counted runs of encoded frames that never move. The frames
 * of events lie one behind the other from the front; an index of where each
 * ends grows towards them from the back. A page with no events is a single
 * frame of another kind: a signal, or one of weir's own. */

#include "core.h"
#include "out.h"

struct weir__page {
  struct weir__link lru; /* in core->pages, or alone: not to be evicted */
  struct weir__core *core;
  struct weir__history *history; /* that keeps it; NULL: none does */
  struct weir__page *next;       /* in a list of frames of weir's own */
  uint64_t after; /* the page has the events beyond this number; for a signal to
                     one reader, the stream's signal that comes behind it */
  uint64_t last;  /* up to this; for a frame of another kind, its stamp */
  uint64_t born;  /* when the first event came */
  uint32_t refs;
  uint32_t late; /* holders besides that are to let go of it */
  uint32_t size; /* of the allocation */
  uint32_t used; /* bytes of frames */
  uint32_t count;
  bool sparse;   /* the numbers have holes */
  bool fetched;  /* from storage */
  bool unread;   /* fetched for somebody who has not come yet */
  bool lost;     /* count is 0: storage says that what was here is lost */
  bool greeting; /* the first of a connection: nothing comes before it */
};

struct weir__page_entry {
  uint32_t end; /* where the frame ends */
  uint32_t age; /* ms from born to its event */
};

/* The least and the most that a page of many events takes from the allocator;
 * one event that needs more gets a page of its own size. */
#define WEIR__PAGE_LEAST 384u
#define WEIR__PAGE_MOST 32768u

static inline unsigned char *weir__page_bytes(const struct weir__page *page) {
  return (unsigned char *)(uintptr_t)(page + 1);
}

/* What room is asked for. Where events have no more, there is some for what
 * weir itself has to say, or else nothing could end that takes it: the ends of
 * streams, and the frames that tell one reader where it stands. */
enum weir__need { WEIR__NEED_EVENT, WEIR__NEED_OWN };

/* A page with room for `room` bytes of frames and index. Counted as resident;
 * makes room by evicting others. WEIR_OK, WEIR_ETOOBIG, WEIR_ENOMEM or
 * WEIR_ERESIDENT. */
int weir__page_new(struct weir__core *core, enum weir__need need, size_t room,
                   struct weir__page **page);

static inline void weir__page_hold(struct weir__page *page) {
  page->refs += 1;
}

void weir__page_release(struct weir__page *page);

/* One who holds the page is to go: when only such are left, it is leaving, but
 * it stays where it is. Or it is not to go after all; or has come to release
 * it. */
void weir__page_yield(struct weir__page *page);
void weir__page_keep(struct weir__page *page);

/* A page with one frame: what `put` puts, which may be asked twice. */
int weir__page_frame(struct weir__core *core, enum weir__need need,
                     void (*put)(struct weir__out *out, const void *what),
                     const void *what, struct weir__page **page);

/* Bytes that another frame may take; 0 if not even its index entry fits, or
 * says when it came. */
static inline size_t weir__page_room(const struct weir__page *page) {
  size_t taken = sizeof *page + page->used +
                 (page->count + (size_t)1) * sizeof(struct weir__page_entry);

  return taken < page->size && page->core->now - page->born <= UINT32_MAX
             ? page->size - taken
             : 0;
}

/* The index entry of the n-th event, from 0: the last ones stand in front. */
static inline struct weir__page_entry *weir__page_entry(
    const struct weir__page *page, uint32_t n) {
  char *back = (char *)(uintptr_t)page + page->size;

  return (struct weir__page_entry *)(void *)back - 1 - n;
}

/* Account for the frame of len bytes that has been written behind the others:
 * it is event number seq. */
static inline void weir__page_add(struct weir__page *page, size_t len,
                                  uint64_t seq) {
  const uint64_t age = page->core->now - page->born;
  struct weir__page_entry *entry = weir__page_entry(page, page->count);

  page->used += (uint32_t)len;
  page->count += 1;
  page->last = seq;
  entry->end = page->used;
  entry->age = age < UINT32_MAX ? (uint32_t)age : UINT32_MAX;
}

/* Copy the events of a page from number `from`, from 0, on to an empty one that
 * has room for them. */
void weir__page_copy(struct weir__page *page, const struct weir__page *source,
                     uint32_t from);

/* Take events off the end until there are count left, the last of number
 * last. */
void weir__page_cut(struct weir__page *page, uint32_t count, uint64_t last);

/* Where the first n frames end. */
static inline uint32_t weir__page_end(const struct weir__page *page,
                                      uint32_t n) {
  return n == 0 ? 0 : weir__page_entry(page, n - 1)->end;
}

/* When the n-th event, from 0, came. */
uint64_t weir__page_time(const struct weir__page *page, uint32_t n);

/* How many of its events have a number of at most seq. The numbers of the one
 * that searches have holes. */
uint32_t weir__page_search(const struct weir__page *page, uint64_t seq);

static inline uint32_t weir__page_count(const struct weir__page *page,
                                        uint64_t seq) {
  if (seq >= page->last) {
    return page->count;
  }
  if (seq <= page->after) {
    return 0;
  }
  /* A page may stand for numbers of which there is no event. */
  return page->sparse ? weir__page_search(page, seq)
                      : (uint32_t)weir__min(seq - page->after, page->count);
}

/* The number of the n-th event, from 0. */
uint64_t weir__page_seq(const struct weir__page *page, uint32_t n);

/* How many of its events end at or before this offset. */
uint32_t weir__page_search_at(const struct weir__page *page, uint32_t offset);

static inline uint32_t weir__page_count_at(const struct weir__page *page,
                                           uint32_t offset) {
  if (offset >= page->used) {
    return page->count;
  }
  /* Most readers are before the last. */
  if (page->count != 0 && offset >= weir__page_end(page, page->count - 1)) {
    return page->count - 1;
  }
  return weir__page_search_at(page, offset);
}

#endif /* WEIR__PAGE_H */
