/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Pages: frames from the front, their index from the back, and what they count
 * for. Against plain arrays. */

#include "../kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "page.h"

/* --- Surroundings: a core whose upper floors only take notes -------------- */

static struct weir__page *evicted;
static unsigned evictions;
static uint64_t wanted;
static unsigned pleas;

static void evict(struct weir__page *page) {
  evicted = page;
  evictions += 1;
  weir__link_remove(&page->lru);
  weir__page_release(page);
}

/* Nobody goes. */
static void relieve(struct weir__core *core, uint64_t leaving) {
  (void)core;
  wanted = leaving;
  pleas += 1;
}

static void free_core(struct weir__core *core) {
  const weir_allocator allocator = core->allocator;

  weir__free(&allocator, core, sizeof *core);
}

static const struct weir__floors floors = {
    .evict = evict, .relieve = relieve, .free = free_core};

static uint64_t clock_now;

static uint64_t stand_still(void *user) {
  (void)user;
  return clock_now;
}

static struct weir__core *make_core(struct kit_memory *memory,
                                    uint64_t max_resident) {
  weir_hub_options options;
  struct weir__core *core;

  kit_memory_init(memory);
  weir_hub_options_init(&options, sizeof options);
  options.allocator = &memory->allocator;
  options.clock = stand_still;
  options.max_resident = max_resident;
  clock_now = 5000;
  evictions = 0;
  pleas = 0;
  ck_assert_int_eq(weir__core_new(&options, sizeof *core, &floors, &core),
                   WEIR_OK);
  return core;
}

static void free_all(struct weir__core *core, struct kit_memory *memory) {
  ck_assert_uint_eq(core->info.resident, 0);
  weir__core_release(core);
  ck_assert_uint_eq(memory->live, 0);
}

/* A number below bound. */
static size_t draw(uint64_t *chance, size_t bound) {
  *chance = *chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (size_t)(*chance >> 33) % bound;
}

/* --- Making --------------------------------------------------------------- */

START_TEST(page_has_the_room_that_was_asked_for) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, 0);
  size_t room;

  for (room = 0; room < 600; ++room) {
    const size_t live = memory.live;
    struct weir__page *page;

    ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, room, &page),
                     WEIR_OK);
    ck_assert_uint_ge(page->size, sizeof *page + room);
    ck_assert_uint_lt(page->size, sizeof *page + room + 8);
    ck_assert_uint_eq(page->size % 8, 0);
    ck_assert_uint_eq(memory.live - live, page->size);
    ck_assert_uint_eq(core->info.resident, page->size);
    ck_assert_uint_eq(page->count, 0);
    ck_assert_uint_eq(page->used, 0);
    ck_assert_uint_eq(page->refs, 1);
    ck_assert_uint_eq(page->born, 5000);
    ck_assert_ptr_null(page->history);
    weir__page_release(page);
    ck_assert_uint_eq(core->info.resident, 0);
  }
  free_all(core, &memory);
}
END_TEST

START_TEST(page_lives_while_it_is_held) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, 0);
  struct weir__page *page;

  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 100, &page), WEIR_OK);
  weir__page_hold(page);
  weir__page_hold(page);
  weir__page_release(page);
  weir__page_release(page);
  memset(weir__page_bytes(page), 1, 100);
  ck_assert_uint_gt(core->info.resident, 0);
  weir__page_release(page);
  free_all(core, &memory);
}
END_TEST

START_TEST(page_that_is_too_large_is_refused) {
  static const size_t rooms[] = {UINT32_MAX, SIZE_MAX, SIZE_MAX - 8,
                                 (size_t)UINT32_MAX + (SIZE_MAX > UINT32_MAX),
                                 UINT32_MAX - sizeof(struct weir__page)};
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, 0);
  struct weir__page *page = NULL;
  size_t i;

  for (i = 0; i < sizeof rooms / sizeof rooms[0]; ++i) {
    ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, rooms[i], &page),
                     WEIR_ETOOBIG);
    ck_assert_ptr_null(page);
  }
  free_all(core, &memory);
}
END_TEST

START_TEST(page_without_memory) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, 0);
  struct weir__page *page = NULL;

  memory.fail_at = memory.calls + 1;
  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 100, &page),
                   WEIR_ENOMEM);
  ck_assert_ptr_null(page);
  free_all(core, &memory);
}
END_TEST

/* The hub's limit, at one less, at it, and at one more. */
START_TEST(resident_bytes_are_limited) {
  const size_t size = (sizeof(struct weir__page) + 96 + 7) / 8 * 8;
  uint64_t limit;

  for (limit = 2 * size - 1; limit <= 2 * size + 1; ++limit) {
    struct kit_memory memory;
    struct weir__core *core = make_core(&memory, limit);
    struct weir__page *one;
    struct weir__page *two = NULL;
    int rv;

    ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96, &one), WEIR_OK);
    ck_assert_uint_eq(one->size, size);
    rv = weir__page_new(core, WEIR__NEED_EVENT, 96, &two);
    ck_assert_int_eq(rv, limit < 2 * size ? WEIR_ERESIDENT : WEIR_OK);
    if (rv == WEIR_OK) {
      weir__page_release(two);
    } else {
      ck_assert_ptr_null(two);
    }
    weir__page_release(one);
    free_all(core, &memory);
  }
}
END_TEST

/* Those that nobody reads go first, the one least recently used before all. */
/* For what weir has to say there is a sixteenth more, and no more than that. */
START_TEST(what_weir_says_has_room_of_its_own) {
  const size_t size = (sizeof(struct weir__page) + 96 + 7) / 8 * 8;
  const uint64_t limit = 16 * size - 1 + (uint64_t)_i;
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, limit);
  struct weir__page *pages[17];
  struct weir__page *page = NULL;
  int rv;
  int i;

  for (i = 0; i < 16; ++i) {
    rv = weir__page_new(core, WEIR__NEED_EVENT, 96, &pages[i]);
    ck_assert_int_eq(rv, i == 15 && _i == 0 ? WEIR_ERESIDENT : WEIR_OK);
  }
  if (_i == 0) {
    ck_assert_int_eq(weir__page_new(core, WEIR__NEED_OWN, 96, &pages[15]),
                     WEIR_OK);
  }
  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96, &page),
                   WEIR_ERESIDENT);
  rv = weir__page_new(core, WEIR__NEED_OWN, 96, &pages[16]);
  ck_assert_int_eq(rv, _i == 0 ? WEIR_ERESIDENT : WEIR_OK);
  if (rv == WEIR_OK) {
    ck_assert_int_eq(weir__page_new(core, WEIR__NEED_OWN, 0, &page),
                     WEIR_ERESIDENT);
    weir__page_release(pages[16]);
  }
  for (i = 0; i < 16; ++i) {
    weir__page_release(pages[i]);
  }
  core->options.max_resident = UINT64_MAX;
  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_OWN, 96, &page), WEIR_OK);
  weir__page_release(page);
  free_all(core, &memory);
}
END_TEST

START_TEST(room_is_made_by_evicting) {
  const size_t size = (sizeof(struct weir__page) + 96 + 7) / 8 * 8;
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, 3 * size);
  struct weir__page *pages[3];
  struct weir__page *page;
  int i;

  for (i = 0; i < 3; ++i) {
    ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96, &pages[i]),
                     WEIR_OK);
  }
  weir__link_append(&core->pages, &pages[1]->lru);
  weir__link_append(&core->pages, &pages[0]->lru);
  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96, &page), WEIR_OK);
  ck_assert_uint_eq(evictions, 1);
  ck_assert_ptr_eq(evicted, pages[1]);
  weir__page_release(page);
  /* One that takes the room of two: as many as it needs. */
  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96, &page), WEIR_OK);
  weir__link_append(&core->pages, &page->lru);
  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96 + size, &page),
                   WEIR_OK);
  ck_assert_uint_eq(evictions, 3);
  ck_assert_uint_eq(pleas, 0);
  weir__page_release(page);
  weir__page_release(pages[2]);
  free_all(core, &memory);
}
END_TEST

/* One who is to go has gone. */
static void release_late(struct weir__page *page) {
  weir__page_keep(page);
  weir__page_release(page);
}

/* If that does not do, readers have to go. What is leaving then does not count,
 * up to as much as the limit, and nobody is asked to go for more than that. */
START_TEST(room_is_made_by_who_has_to_go) {
  const size_t size = (sizeof(struct weir__page) + 96 + 7) / 8 * 8;
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, 2 * size);
  struct weir__page *pages[5];
  struct weir__page *page = NULL;
  int i;

  for (i = 0; i < 2; ++i) {
    ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96, &pages[i]),
                     WEIR_OK);
  }
  ck_assert_uint_eq(pleas, 0);
  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96, &page),
                   WEIR_ERESIDENT);
  ck_assert_uint_eq(pleas, 1);
  ck_assert_uint_eq(wanted, size);
  for (; i < 4; ++i) {
    weir__page_yield(pages[i - 2]);
    ck_assert_uint_eq(core->leaving, ((size_t)i - 1) * size);
    ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96, &pages[i]),
                     WEIR_OK);
    ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96, &page),
                     WEIR_ERESIDENT);
    ck_assert_uint_eq(pleas, 2);
  }
  weir__page_yield(pages[2]);
  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96, &page),
                   WEIR_ERESIDENT);
  ck_assert_uint_eq(core->info.resident, 4 * size);
  release_late(pages[0]);
  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96, &pages[4]),
                   WEIR_OK);
  release_late(pages[1]);
  release_late(pages[2]);
  weir__page_release(pages[3]);
  weir__page_release(pages[4]);
  ck_assert_uint_eq(core->leaving, 0);
  free_all(core, &memory);
}
END_TEST

/* A page is leaving when all who hold it have to go, whoever is the last. */
START_TEST(page_is_left_by_all_who_hold_it) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, 0);
  struct weir__page *page;

  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96, &page), WEIR_OK);
  weir__page_hold(page);
  weir__page_hold(page);
  weir__page_yield(page);
  weir__page_yield(page);
  ck_assert_uint_eq(core->leaving, 0);
  weir__page_keep(page);
  weir__page_yield(page);
  release_late(page);
  ck_assert_uint_eq(core->leaving, 0);
  if (_i == 0) {
    /* The one who stays is the last. */
    release_late(page);
    weir__page_release(page);
  } else {
    weir__page_release(page);
    ck_assert_uint_eq(core->leaving, page->size);
    weir__page_keep(page);
    ck_assert_uint_eq(core->leaving, 0);
    weir__page_yield(page);
    ck_assert_uint_eq(core->leaving, page->size);
    release_late(page);
  }
  ck_assert_uint_eq(core->leaving, 0);
  free_all(core, &memory);
}
END_TEST

/* What others hold besides is not free when it is evicted: it goes for nothing,
 * and not without end. */
START_TEST(few_pages_are_evicted_for_nothing) {
  enum { PAGES = 300 };
  const size_t size = (sizeof(struct weir__page) + 96 + 7) / 8 * 8;
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, PAGES * size);
  struct weir__page *pages[PAGES];
  struct weir__page *page = NULL;
  size_t i;

  for (i = 0; i < PAGES; ++i) {
    ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96, &pages[i]),
                     WEIR_OK);
    weir__page_hold(pages[i]);
    weir__link_append(&core->pages, &pages[i]->lru);
  }
  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96, &page),
                   WEIR_ERESIDENT);
  ck_assert_uint_eq(evictions, 256);
  ck_assert_uint_eq(pleas, 1);
  /* It goes on there. */
  weir__page_release(pages[299]);
  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 96, &page), WEIR_OK);
  ck_assert_uint_eq(evictions, 300);
  weir__page_release(page);
  for (i = 0; i < PAGES - 1; ++i) {
    weir__page_release(pages[i]);
  }
  free_all(core, &memory);
}
END_TEST

/* --- Events --------------------------------------------------------------- */

enum { MOST = 100 };

/* What a page should have. */
struct model {
  uint64_t after;
  uint32_t count;
  uint64_t seqs[MOST];
  uint32_t ends[MOST];
  uint64_t times[MOST];
  char bytes[8192];
};

/* Everything that can be asked of a page, against the model. */
static void check_page(const struct weir__page *page,
                       const struct model *model) {
  const uint64_t last =
      model->count == 0 ? model->after : model->seqs[model->count - 1];
  const uint32_t used = model->count == 0 ? 0 : model->ends[model->count - 1];
  uint64_t seq;
  uint32_t offset;
  uint32_t n;

  ck_assert_uint_eq(page->count, model->count);
  ck_assert_uint_eq(page->used, used);
  ck_assert(memcmp(weir__page_bytes(page), model->bytes, used) == 0);
  ck_assert_uint_eq(weir__page_end(page, 0), 0);
  for (n = 0; n < model->count; ++n) {
    if (weir__page_end(page, n + 1) != model->ends[n] ||
        weir__page_seq(page, n) != model->seqs[n] ||
        weir__page_time(page, n) != model->times[n]) {
      ck_abort_msg("event %lu of %lu", (unsigned long)n,
                   (unsigned long)model->count);
    }
  }
  n = 0;
  for (seq = model->after < 3 ? 0 : model->after - 3; seq <= last + 3; ++seq) {
    while (n < model->count && model->seqs[n] <= seq) {
      ++n;
    }
    if (weir__page_count(page, seq) != n) {
      ck_abort_msg("up to %lu there are %lu, not %lu", (unsigned long)seq,
                   (unsigned long)n,
                   (unsigned long)weir__page_count(page, seq));
    }
  }
  n = 0;
  for (offset = 0; offset <= used + 3; ++offset) {
    while (n < model->count && model->ends[n] <= offset) {
      ++n;
    }
    if (weir__page_count_at(page, offset) != n) {
      ck_abort_msg("before byte %lu there end %lu, not %lu",
                   (unsigned long)offset, (unsigned long)n,
                   (unsigned long)weir__page_count_at(page, offset));
    }
  }
  ck_assert_uint_eq(weir__page_count(page, UINT64_MAX), model->count);
  ck_assert_uint_eq(weir__page_count_at(page, UINT32_MAX), model->count);
}

/* Add a frame of this number, if there is room; in a sparse page it has to
 * begin with its id. */
static bool add(struct weir__page *page, struct model *model, uint64_t seq,
                int format, size_t more) {
  char frame[256];
  size_t len;

  len = (size_t)snprintf(frame, sizeof frame, "id: %s%llu\ndata: %.*s\n\n",
                         format == WEIR_CURSOR_EPOCH ? "b7z2-" : "",
                         (unsigned long long)seq, (int)more,
                         "9-3\t:4 id: 5-6xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
  if (len > weir__page_room(page) || model->count == MOST) {
    return false;
  }
  memcpy(weir__page_bytes(page) + page->used, frame, len);
  memcpy(model->bytes + page->used, frame, len);
  weir__page_add(page, len, seq);
  model->seqs[model->count] = seq;
  model->ends[model->count] = page->used;
  model->times[model->count] = page->core->now;
  model->count += 1;
  return true;
}

/* Pages of any size are filled to the last byte; the frames and the index do
 * not touch. _i: whether the numbers have holes, and the format. */
START_TEST(page_is_filled) {
  const bool sparse = _i != 0;
  const int format = _i == 2 ? WEIR_CURSOR_DECIMAL : WEIR_CURSOR_EPOCH;
  uint64_t chance = (uint64_t)_i + 1;
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, 0);
  struct weir__page *page;
  size_t room;

  for (room = 0; room < 700; room += 1 + draw(&chance, 5)) {
    struct model model;
    uint64_t seq;

    memset(&model, 0, sizeof model);
    model.after = draw(&chance, 4) * 1000;
    core->now += draw(&chance, 1000);
    ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, room, &page),
                     WEIR_OK);
    page->after = model.after;
    page->last = model.after;
    page->sparse = sparse;
    check_page(page, &model);
    seq = model.after + 1 + (sparse ? draw(&chance, 5) : 0);
    while (add(page, &model, seq, format, draw(&chance, 40))) {
      seq += 1 + (sparse ? draw(&chance, 5) : 0);
      core->now += draw(&chance, 1000);
    }
    check_page(page, &model);
    ck_assert_uint_le(sizeof *page + page->used +
                          page->count * sizeof(struct weir__page_entry),
                      page->size);
    /* And emptied again, from the end. */
    while (model.count > 0) {
      model.count -= 1 + (uint32_t)draw(&chance, model.count);
      weir__page_cut(
          page, model.count,
          model.count == 0 ? model.after : model.seqs[model.count - 1]);
      check_page(page, &model);
      if (draw(&chance, 3) == 0) {
        /* What comes in the place of what was cut off. */
        seq = (model.count == 0 ? model.after : model.seqs[model.count - 1]) +
              1 + (sparse ? draw(&chance, 5) : 0);
        (void)add(page, &model, seq, format, draw(&chance, 40));
        check_page(page, &model);
        model.count -= model.count > 0;
        weir__page_cut(
            page, model.count,
            model.count == 0 ? model.after : model.seqs[model.count - 1]);
      }
    }
    weir__page_release(page);
  }
  free_all(core, &memory);
}
END_TEST

/* Numbers at both ends of their range. */
START_TEST(page_numbers_at_the_edges) {
  static const uint64_t firsts[] = {1, 9, 99, WEIR_SEQ_MAX - 2};
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, 0);
  struct weir__page *page;
  struct model model;
  size_t i;
  int sparse;
  int format;

  for (i = 0; i < sizeof firsts / sizeof firsts[0]; ++i) {
    for (sparse = 0; sparse < 2; ++sparse) {
      for (format = 0; format < 2; ++format) {
        memset(&model, 0, sizeof model);
        model.after = firsts[i] - 1;
        ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 400, &page),
                         WEIR_OK);
        page->after = model.after;
        page->sparse = sparse != 0;
        ck_assert(add(page, &model, firsts[i], format, 1));
        ck_assert(add(page, &model, firsts[i] + 1, format, 0));
        ck_assert(add(page, &model, firsts[i] + 2, format, 5));
        check_page(page, &model);
        weir__page_release(page);
      }
    }
  }
  free_all(core, &memory);
}
END_TEST

/* Room for one event is room for its index entry too. */
START_TEST(page_for_one_event_takes_it) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, 0);
  struct weir__page *page;
  size_t len;

  for (len = 1; len < 100; ++len) {
    ck_assert_int_eq(
        weir__page_new(core, WEIR__NEED_EVENT,
                       len + sizeof(struct weir__page_entry), &page),
        WEIR_OK);
    ck_assert_uint_ge(weir__page_room(page), len);
    ck_assert_uint_lt(weir__page_room(page), len + 8);
    memset(weir__page_bytes(page), 'x', len);
    weir__page_add(page, len, 1);
    ck_assert_uint_eq(weir__page_end(page, 1), len);
    ck_assert_uint_eq(weir__page_bytes(page)[len - 1], 'x');
    ck_assert_uint_eq(weir__page_room(page), 0);
    weir__page_release(page);
  }
  free_all(core, &memory);
}
END_TEST

/* A page that stands for numbers without events has none, wherever one asks. */
START_TEST(page_without_events_counts_none) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, 0);
  struct weir__page *page;
  uint64_t seq;

  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 0, &page), WEIR_OK);
  page->after = 10;
  page->last = 90;
  page->sparse = _i == 1;
  page->lost = _i == 2;
  for (seq = 0; seq < 100; ++seq) {
    ck_assert_uint_eq(weir__page_count(page, seq), 0);
    ck_assert_uint_eq(weir__page_end(page, weir__page_count(page, seq)), 0);
  }
  ck_assert_uint_eq(weir__page_count_at(page, 0), 0);
  ck_assert_uint_eq(weir__page_room(page), 0);
  weir__page_release(page);
  free_all(core, &memory);
}
END_TEST

/* Cut where a number is that no event has: up to there nothing is left out. */
START_TEST(page_is_cut_between_numbers) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, 0);
  struct weir__page *page;
  struct model model;

  memset(&model, 0, sizeof model);
  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 400, &page), WEIR_OK);
  page->sparse = true;
  ck_assert(add(page, &model, 10, WEIR_CURSOR_EPOCH, 1));
  ck_assert(add(page, &model, 20, WEIR_CURSOR_EPOCH, 1));
  ck_assert(add(page, &model, 30, WEIR_CURSOR_EPOCH, 1));
  weir__page_cut(page, weir__page_count(page, 25), 25);
  ck_assert_uint_eq(page->count, 2);
  ck_assert_uint_eq(page->last, 25);
  ck_assert_uint_eq(weir__page_count(page, 20), 2);
  ck_assert_uint_eq(weir__page_count(page, 19), 1);
  ck_assert_uint_eq(weir__page_count(page, 25), 2);
  weir__page_release(page);
  free_all(core, &memory);
}
END_TEST

/* Times are kept to the millisecond for 49 days, and then stay there. */
START_TEST(page_times_saturate) {
  static const uint64_t ages[] = {0, 1, 86400000, UINT32_MAX - 1, UINT32_MAX};
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, 0);
  struct weir__page *page;
  uint32_t i;

  ck_assert_int_eq(weir__page_new(core, WEIR__NEED_EVENT, 400, &page), WEIR_OK);
  for (i = 0; i < sizeof ages / sizeof ages[0]; ++i) {
    core->now = 5000 + ages[i];
    weir__page_add(page, 1, i + 1);
    ck_assert_uint_eq(weir__page_time(page, i), 5000 + ages[i]);
  }
  core->now = (uint64_t)WEIR_NEVER - 1;
  weir__page_add(page, 1, i + 1);
  ck_assert_uint_eq(weir__page_time(page, i), 5000 + UINT64_C(4294967295));
  weir__page_release(page);
  free_all(core, &memory);
}
END_TEST

/* --- A single frame ------------------------------------------------------- */

static unsigned puts_done;

static void put_text(struct weir__out *out, const void *what) {
  puts_done += 1;
  weir__put_text(out, what);
}

static volatile size_t most = SIZE_MAX; /* or compilers warn */

static void put_too_much(struct weir__out *out, const void *what) {
  (void)what;
  weir__put(out, "", most);
  weir__put(out, "", most);
}

static void put_much(struct weir__out *out, const void *what) {
  (void)what;
  weir__put(out, "", most - 64);
}

/* Up to 512 bytes it is put once, beyond that to measure and to write. */
START_TEST(page_of_one_frame) {
  static const size_t lens[] = {0, 1, 7, 8, 14, 511, 512, 513, 2000};
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, 0);
  struct weir__page *page;
  char text[2001];
  size_t i;
  size_t n;

  for (n = 0; n < sizeof text; ++n) {
    text[n] = (char)('a' + n % 26);
  }
  for (i = 0; i < sizeof lens / sizeof lens[0]; ++i) {
    text[lens[i]] = '\0';
    puts_done = 0;
    ck_assert_int_eq(
        weir__page_frame(core, WEIR__NEED_OWN, put_text, text, &page), WEIR_OK);
    ck_assert_uint_eq(puts_done, lens[i] <= 512 ? 1 : 2);
    ck_assert_uint_eq(page->used, lens[i]);
    ck_assert(memcmp(weir__page_bytes(page), text, page->used) == 0);
    ck_assert_uint_eq(page->count, 0);
    weir__page_release(page);
    text[lens[i]] = (char)('a' + lens[i] % 26);
  }
  free_all(core, &memory);
}
END_TEST

START_TEST(page_of_one_frame_fails) {
  struct kit_memory memory;
  struct weir__core *core = make_core(&memory, 50);
  struct weir__page *page = NULL;

  ck_assert_int_eq(
      weir__page_frame(core, WEIR__NEED_OWN, put_too_much, NULL, &page),
      WEIR_EOVERFLOW);
  ck_assert_int_eq(
      weir__page_frame(core, WEIR__NEED_OWN, put_much, NULL, &page),
      WEIR_ETOOBIG);
  ck_assert_int_eq(weir__page_frame(core, WEIR__NEED_OWN, put_text, "x", &page),
                   WEIR_ERESIDENT);
  core->options.max_resident = 0;
  memory.fail_at = memory.calls + 1;
  ck_assert_int_eq(weir__page_frame(core, WEIR__NEED_OWN, put_text, "x", &page),
                   WEIR_ENOMEM);
  ck_assert_ptr_null(page);
  free_all(core, &memory);
}
END_TEST

int main(void) {
  TCase *making = tcase_create("making");
  TCase *events = tcase_create("events");
  TCase *frame = tcase_create("frame");
  TCase *cases[3];

  tcase_add_test(making, page_has_the_room_that_was_asked_for);
  tcase_add_test(making, page_lives_while_it_is_held);
  tcase_add_test(making, page_that_is_too_large_is_refused);
  tcase_add_test(making, page_without_memory);
  tcase_add_test(making, resident_bytes_are_limited);
  tcase_add_loop_test(making, what_weir_says_has_room_of_its_own, 0, 3);
  tcase_add_test(making, room_is_made_by_evicting);
  tcase_add_test(making, room_is_made_by_who_has_to_go);
  tcase_add_loop_test(making, page_is_left_by_all_who_hold_it, 0, 2);
  tcase_add_test(making, few_pages_are_evicted_for_nothing);
  tcase_add_loop_test(events, page_is_filled, 0, 3);
  tcase_add_test(events, page_numbers_at_the_edges);
  tcase_add_test(events, page_for_one_event_takes_it);
  tcase_add_loop_test(events, page_without_events_counts_none, 0, 3);
  tcase_add_test(events, page_is_cut_between_numbers);
  tcase_add_test(events, page_times_saturate);
  tcase_add_test(frame, page_of_one_frame);
  tcase_add_test(frame, page_of_one_frame_fails);
  cases[0] = making;
  cases[1] = events;
  cases[2] = frame;
  return kit_main("page", cases, 3);
}
