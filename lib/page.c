/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "page.h"

#include <weir/cursor.h>

/* The longest frame of weir's own that is put but once: nearly all of them. */
#define FRAME_MOST 512

/* Pages that others hold, so that to evict them frees nothing yet, at a time.
 */
#define VAIN_MOST 256

/* Such a part of the limit is there besides it for what weir has to say. */
#define RESERVE_SHARE 16

static uint64_t limit_for(const struct weir__core *core, enum weir__need need) {
  const uint64_t limit = core->options.max_resident;
  const uint64_t reserve = limit / RESERVE_SHARE;

  return need == WEIR__NEED_OWN && limit < UINT64_MAX - reserve
             ? limit + reserve
             : limit;
}

/* What is about to leave does not count, up to as much as the limit: then the
 * host has to let go of some of it first. */
static bool fits(const struct weir__core *core, uint64_t size, uint64_t limit) {
  const uint64_t sum = core->info.resident + size;

  return sum <= limit || sum - limit <= weir__min(core->leaving, limit);
}

static void evict(struct weir__core *core, uint64_t size, uint64_t limit) {
  uint64_t before;
  unsigned vain = 0;

  while (!fits(core, size, limit) && !weir__link_alone(&core->pages) &&
         vain < VAIN_MOST) {
    before = core->info.resident - core->leaving;
    core->floors->evict(weir__owner(core->pages.next, struct weir__page, lru));
    vain += core->info.resident - core->leaving == before ? 1 : 0;
  }
}

/* Make room for size bytes more: without what can be had again or be lost, and
 * then without readers that hold what nobody else does. What these hold is free
 * when the host has released them; until then it counts as free already. */
static int make_room(struct weir__core *core, enum weir__need need,
                     size_t size) {
  const uint64_t limit = limit_for(core, need);
  uint64_t over;

  if (limit == 0) {
    return WEIR_OK;
  }
  if (size > limit) {
    return WEIR_ERESIDENT;
  }
  evict(core, size, limit);
  if (fits(core, size, limit)) {
    return WEIR_OK;
  }
  over = core->info.resident + size - limit;
  if (over <= limit) {
    core->floors->relieve(core, over);
  }
  return fits(core, size, limit) ? WEIR_OK : WEIR_ERESIDENT;
}

int weir__page_new(struct weir__core *core, enum weir__need need, size_t room,
                   struct weir__page **made) {
  struct weir__page *page;
  size_t size;
  int rv;

  if (room > UINT32_MAX - 2 * sizeof *page) {
    return WEIR_ETOOBIG;
  }
  /* The index at the back wants to be aligned. */
  size = (sizeof *page + room + 7) / 8 * 8;
  rv = make_room(core, need, size);
  if (rv != WEIR_OK) {
    return rv;
  }
  page = weir__core_alloc(core, size);
  if (page == NULL) {
    return WEIR_ENOMEM;
  }
  memset(page, 0, sizeof *page);
  weir__link_init(&page->lru);
  page->core = core;
  page->refs = 1;
  page->size = (uint32_t)size;
  page->born = core->now;
  core->info.resident += size;
  *made = page;
  return WEIR_OK;
}

/* Only those hold it who are to go, if anybody does. */
static void leave(struct weir__page *page) {
  if (page->late != 0) {
    page->core->leaving += page->size;
    return;
  }
  weir__link_remove(&page->lru);
  page->core->info.resident -= page->size;
  weir__core_free(page->core, page, page->size);
}

void weir__page_release(struct weir__page *page) {
  page->refs -= 1;
  if (page->refs == 0) {
    leave(page);
  }
}

void weir__page_yield(struct weir__page *page) {
  page->late += 1;
  weir__page_release(page);
}

void weir__page_keep(struct weir__page *page) {
  if (page->refs == 0) {
    page->core->leaving -= page->size;
  }
  page->refs += 1;
  page->late -= 1;
}

int weir__page_frame(struct weir__core *core, enum weir__need need,
                     void (*put)(struct weir__out *out, const void *what),
                     const void *what, struct weir__page **made) {
  unsigned char bytes[FRAME_MOST];
  struct weir__page *page;
  struct weir__out out;
  int rv;

  weir__out_init(&out, bytes, sizeof bytes);
  put(&out, what);
  if (out.overflow) {
    return WEIR_EOVERFLOW;
  }
  rv = weir__page_new(core, need, out.len, &page);
  if (rv != WEIR_OK) {
    return rv;
  }
  page->used = (uint32_t)out.len;
  if (out.len <= sizeof bytes) {
    memcpy(weir__page_bytes(page), bytes, out.len);
  } else {
    weir__out_init(&out, weir__page_bytes(page), out.len);
    put(&out, what);
  }
  *made = page;
  return WEIR_OK;
}

void weir__page_copy(struct weir__page *page, const struct weir__page *source,
                     uint32_t from) {
  const uint32_t begin = weir__page_end(source, from);
  uint32_t older;
  uint32_t n;

  /* not reached: something is left of what is copied */
  older = from < source->count ? weir__page_entry(source, from)->age : 0;
  page->after = from == 0 ? source->after : weir__page_seq(source, from - 1);
  page->last = source->last;
  page->born = source->born + older;
  page->sparse = source->sparse;
  page->used = source->used - begin;
  page->count = source->count - from;
  memcpy(weir__page_bytes(page), weir__page_bytes(source) + begin, page->used);
  for (n = 0; n < page->count; ++n) {
    *weir__page_entry(page, n) = *weir__page_entry(source, from + n);
    weir__page_entry(page, n)->end -= begin;
    weir__page_entry(page, n)->age -= older;
  }
}

void weir__page_cut(struct weir__page *page, uint32_t count, uint64_t last) {
  page->used = weir__page_end(page, count);
  page->count = count;
  page->last = last;
}

uint64_t weir__page_time(const struct weir__page *page, uint32_t n) {
  return page->born + weir__page_entry(page, n)->age;
}

uint64_t weir__page_seq(const struct weir__page *page, uint32_t n) {
  const unsigned char *p;
  uint64_t seq = 0;

  if (!page->sparse) {
    return page->after + n + 1;
  }
  /* The number is the end of the first line: `id: <epoch>-<seq>`, or without
   * the epoch. */
  p = weir__page_bytes(page) + weir__page_end(page, n) + 4;
  for (; *p != '\n'; ++p) {
    seq = *p >= '0' && *p <= '9' ? seq * 10 + (uint64_t)(*p - '0') : 0;
  }
  return seq;
}

/* The first n for which is_beyond says so: a binary search, in steps that grow
 * from the end, where most readers are. */
static uint32_t search(const struct weir__page *page, uint64_t what,
                       bool (*is_beyond)(const struct weir__page *page,
                                         uint32_t n, uint64_t what)) {
  uint32_t low = 0;
  uint32_t high = page->count;
  uint32_t step = 1;
  uint32_t middle;

  while (low == 0 && step < high) {
    if (is_beyond(page, high - step, what)) {
      high -= step;
      step *= 2;
    } else {
      low = high - step + 1;
    }
  }
  while (low < high) {
    middle = low + (high - low) / 2;
    if (is_beyond(page, middle, what)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

static bool seq_beyond(const struct weir__page *page, uint32_t n,
                       uint64_t seq) {
  return weir__page_seq(page, n) > seq;
}

static bool end_beyond(const struct weir__page *page, uint32_t n,
                       uint64_t offset) {
  return weir__page_entry(page, n)->end > offset;
}

uint32_t weir__page_search(const struct weir__page *page, uint64_t seq) {
  return search(page, seq, seq_beyond);
}

uint32_t weir__page_search_at(const struct weir__page *page, uint32_t offset) {
  return search(page, offset, end_beyond);
}
