/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Sums that do not wrap, memory from the host, structs of other sizes, and
 * rings of links. */

#include "../kit.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

#define NEVER ((uint64_t)WEIR_NEVER)

/* --- Sums ----------------------------------------------------------------- */

START_TEST(add_says_when_there_is_no_sum) {
  static const struct {
    size_t a;
    size_t b;
    bool good;
  } rows[] = {
      {0, 0, true},
      {1, 2, true},
      {SIZE_MAX, 0, true},
      {0, SIZE_MAX, true},
      {SIZE_MAX - 1, 1, true},
      {SIZE_MAX, 1, false},
      {1, SIZE_MAX, false},
      {SIZE_MAX, SIZE_MAX, false},
      {SIZE_MAX / 2 + 1, SIZE_MAX / 2, true},
      {SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 1, false},
  };
  size_t sum;
  size_t i;

  for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    ck_assert_int_eq(weir__add(rows[i].a, rows[i].b, &sum), rows[i].good);
    if (rows[i].good) {
      ck_assert_uint_eq(sum - rows[i].b, rows[i].a);
    }
  }
}
END_TEST

START_TEST(later_saturates_at_never) {
  static const struct {
    uint64_t time;
    uint64_t span;
    uint64_t sum;
  } rows[] = {
      {0, 0, 0},
      {1, 2, 3},
      {0, NEVER - 1, NEVER - 1},
      {0, NEVER, NEVER},
      {NEVER - 1, 0, NEVER - 1},
      {NEVER - 1, 1, NEVER},
      {NEVER - 2, 1, NEVER - 1},
      {NEVER, 0, NEVER},
      {NEVER, NEVER, NEVER},
      {NEVER + 1, 0, NEVER},
      {5, UINT64_MAX, NEVER},
      {UINT64_MAX, UINT64_MAX, NEVER},
      {UINT64_MAX, 1, NEVER},
  };
  size_t i;

  for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    ck_assert_uint_eq(weir__later(rows[i].time, rows[i].span), rows[i].sum);
  }
}
END_TEST

START_TEST(least_and_greatest) {
  ck_assert_uint_eq(weir__min(1, 2), 1);
  ck_assert_uint_eq(weir__min(2, 1), 1);
  ck_assert_uint_eq(weir__min(7, UINT64_MAX), 7);
  ck_assert_uint_eq(weir__max(1, 2), 2);
  ck_assert_uint_eq(weir__max(2, 1), 2);
  ck_assert_uint_eq(weir__max(7, UINT64_MAX), UINT64_MAX);
}
END_TEST

START_TEST(nothing_is_an_empty_string) {
  char a[] = "a";

  weir__copy(NULL, NULL, 0);
  weir__copy(a, NULL, 0);
  weir__copy(a, "b", 1);
  ck_assert_str_eq(a, "b");
  ck_assert(weir__same(NULL, 0, NULL, 0));
  ck_assert(weir__same(NULL, 0, "x", 0));
  ck_assert(weir__same("xy", 2, "xy", 2));
  ck_assert(!weir__same("xy", 2, "xy", 1));
  ck_assert(!weir__same("xy", 2, "xz", 2));
  ck_assert(!weir__same(NULL, 0, "x", 1));
}
END_TEST

/* What others have published of SplitMix64. */
START_TEST(draws_what_splitmix64_does) {
  static const struct {
    uint64_t seed;
    uint64_t drawn[3];
  } rows[] = {
      {0,
       {UINT64_C(0xe220a8397b1dcdaf), UINT64_C(0x6e789e6aa1b965f4),
        UINT64_C(0x06c45d188009454f)}},
      {1234567,
       {UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
        UINT64_C(9817491932198370423)}},
  };
  size_t i;
  size_t n;

  for (i = 0; i < 2; ++i) {
    uint64_t state = rows[i].seed;

    for (n = 0; n < 3; ++n) {
      ck_assert_uint_eq(weir__draw(&state), rows[i].drawn[n]);
    }
  }
}
END_TEST

/* --- Memory --------------------------------------------------------------- */

START_TEST(memory_comes_from_the_host) {
  struct kit_memory memory;
  void *bytes;

  kit_memory_init(&memory);
  bytes = weir__alloc(&memory.allocator, 17);
  ck_assert_ptr_nonnull(bytes);
  ck_assert_uint_eq(memory.calls, 1);
  ck_assert_uint_eq(memory.live, 17);
  weir__free(&memory.allocator, bytes, 17);
  ck_assert_uint_eq(memory.live, 0);
  /* The kit's free would fail on it: NULL never gets there. */
  weir__free(&memory.allocator, NULL, 0);
  weir__free(&memory.allocator, NULL, 17);
  memory.fail_at = 2;
  ck_assert_ptr_null(weir__alloc(&memory.allocator, 17));
}
END_TEST

START_TEST(memory_comes_from_malloc_by_default) {
  const weir_allocator none = {sizeof none, NULL, NULL, NULL};
  char *bytes = weir__alloc(&none, 17);

  ck_assert_ptr_nonnull(bytes);
  memset(bytes, 1, 17);
  weir__free(&none, bytes, 17);
  weir__free(&none, NULL, 17);
}
END_TEST

/* --- Structs of other sizes ----------------------------------------------- */

/* What this library thinks the struct is: its size, and three fields. */
struct known {
  size_t size;
  uint64_t fields[3];
};

#define LEAST (sizeof(size_t) + 1)
#define MOST (sizeof(struct known) + 24)

/* A caller's struct of exactly size bytes, before a byte that faults: its size
 * and then bytes that count up from 1, but zeros beyond `filled`. */
static unsigned char *make_callers(size_t size, size_t filled) {
  unsigned char *callers = kit_fence(size);
  size_t i;

  for (i = sizeof size; i < size; ++i) {
    callers[i] = i < filled ? (unsigned char)i : 0;
  }
  memcpy(callers, &size, sizeof size);
  return callers;
}

/* What a field's bytes are where the caller had none. */
#define DEFAULT_BYTE 0xdd

static void fill_known(struct known *known) {
  memset(known, DEFAULT_BYTE, sizeof *known);
  known->size = sizeof *known;
}

START_TEST(load_reads_any_size) {
  struct known known;
  const unsigned char *bytes = (const unsigned char *)&known;
  const unsigned char *callers;
  size_t size;
  size_t i;

  for (size = LEAST; size <= MOST; ++size) {
    fill_known(&known);
    callers = make_callers(size, sizeof known);
    ck_assert_int_eq(weir__load(&known, sizeof known, callers), WEIR_OK);
    /* It is ours from now on, whatever the caller's size was. */
    ck_assert_uint_eq(known.size, sizeof known);
    for (i = sizeof known.size; i < sizeof known; ++i) {
      ck_assert_uint_eq(bytes[i], i < size ? i : DEFAULT_BYTE);
    }
  }
}
END_TEST

START_TEST(load_refuses_a_tail_that_it_does_not_know) {
  struct known known;
  struct known before;
  unsigned char *callers;
  size_t size;
  size_t i;

  for (size = sizeof known + 1; size <= MOST; ++size) {
    for (i = sizeof known; i < size; ++i) {
      callers = make_callers(size, sizeof known);
      callers[i] = 1;
      fill_known(&known);
      before = known;
      ck_assert_int_eq(weir__load(&known, sizeof known, callers), WEIR_EINVAL);
      ck_assert_mem_eq(&known, &before, sizeof known);
    }
  }
}
END_TEST

START_TEST(load_refuses_what_is_no_struct) {
  struct known known;
  struct known before;
  size_t size;

  fill_known(&known);
  before = known;
  ck_assert_int_eq(weir__load(&known, sizeof known, NULL), WEIR_EINVAL);
  for (size = 0; size <= sizeof size; ++size) {
    ck_assert_int_eq(
        weir__load(&known, sizeof known, kit_fenced(&size, sizeof size)),
        WEIR_EINVAL);
  }
  ck_assert_mem_eq(&known, &before, sizeof known);
}
END_TEST

START_TEST(store_writes_any_size) {
  struct known known;
  const unsigned char *bytes = (const unsigned char *)&known;
  unsigned char *callers;
  size_t size;
  size_t stored;
  size_t i;

  fill_known(&known);
  known.fields[0] = 1;
  known.fields[1] = UINT64_MAX;
  known.fields[2] = 3;
  for (size = LEAST; size <= MOST; ++size) {
    callers = make_callers(size, MOST);
    ck_assert_int_eq(weir__store(callers, &known, sizeof known), WEIR_OK);
    memcpy(&stored, callers, sizeof stored);
    ck_assert_uint_eq(stored, size);
    for (i = sizeof size; i < size; ++i) {
      ck_assert_uint_eq(callers[i], i < sizeof known ? bytes[i] : 0);
    }
  }
}
END_TEST

START_TEST(store_refuses_what_is_no_struct) {
  struct known known;
  size_t size;
  size_t *callers;

  fill_known(&known);
  ck_assert_int_eq(weir__store(NULL, &known, sizeof known), WEIR_EINVAL);
  for (size = 0; size <= sizeof size; ++size) {
    callers = kit_fenced(&size, sizeof size);
    ck_assert_int_eq(weir__store(callers, &known, sizeof known), WEIR_EINVAL);
    ck_assert_uint_eq(*callers, size);
  }
}
END_TEST

/* With zeros where known is NULL. */
static void start(void *callers, size_t size, const struct known *known) {
  if (known == NULL) {
    weir__start(callers, size);
  } else {
    weir__start_as(callers, size, known, sizeof *known);
  }
}

static void check_start(const struct known *known) {
  const unsigned char *bytes = (const void *)known;
  unsigned char *callers;
  size_t size;
  size_t stored;
  size_t i;

  start(NULL, 64, known);
  for (size = 0; size <= sizeof size; ++size) {
    callers = kit_fence(size);
    memset(callers, 0xdd, size);
    start(callers, size, known);
    for (i = 0; i < size; ++i) {
      ck_assert_uint_eq(callers[i], 0xdd);
    }
  }
  for (size = LEAST; size <= MOST; ++size) {
    callers = kit_fence(size);
    memset(callers, 0xdd, size);
    start(callers, size, known);
    memcpy(&stored, callers, sizeof stored);
    ck_assert_uint_eq(stored, size);
    for (i = sizeof size; i < size; ++i) {
      ck_assert_uint_eq(callers[i],
                        bytes != NULL && i < sizeof *known ? bytes[i] : 0);
    }
  }
}

START_TEST(start_fills_any_size) {
  struct known known;

  fill_known(&known);
  known.fields[0] = 1;
  known.fields[1] = UINT64_MAX;
  known.fields[2] = 3;
  check_start(NULL);
  check_start(&known);
}
END_TEST

/* --- Rings ---------------------------------------------------------------- */

struct item {
  int name;
  struct weir__link link;
};

/* The ring is these names, in this order, in both directions. */
static void check_ring(const struct weir__link *head, const char *names) {
  const struct weir__link *link = head->next;
  const size_t count = strlen(names);
  size_t i;

  for (i = 0; i < count; ++i, link = link->next) {
    ck_assert_ptr_ne(link, head);
    ck_assert_int_eq(weir__owner_const(link, struct item, link)->name,
                     names[i]);
  }
  ck_assert_ptr_eq(link, head);
  link = head->prev;
  for (i = count; i > 0; --i, link = link->prev) {
    ck_assert_ptr_ne(link, head);
    ck_assert_int_eq(weir__owner_const(link, struct item, link)->name,
                     names[i - 1]);
  }
  ck_assert_ptr_eq(link, head);
  ck_assert_int_eq(weir__link_alone(head), count == 0);
}

static void fill_ring(struct weir__link *head, struct item *items,
                      const char *names) {
  size_t i;

  weir__link_init(head);
  for (i = 0; names[i] != '\0'; ++i) {
    items[i].name = names[i];
    weir__link_init(&items[i].link);
    weir__link_append(head, &items[i].link);
  }
}

START_TEST(owner_is_found_by_its_member) {
  struct item item;

  ck_assert_ptr_eq(weir__owner(&item.link, struct item, link), &item);
  ck_assert_ptr_eq(weir__owner_const(&item.link, struct item, link), &item);
}
END_TEST

START_TEST(ring_keeps_its_order) {
  struct weir__link head;
  struct item items[4];

  fill_ring(&head, items, "");
  check_ring(&head, "");
  fill_ring(&head, items, "a");
  check_ring(&head, "a");
  fill_ring(&head, items, "abcd");
  check_ring(&head, "abcd");
}
END_TEST

START_TEST(ring_gives_up_any_link) {
  static const char *const left[] = {"bcd", "acd", "abd", "abc"};
  struct weir__link head;
  struct item items[4];
  int i;

  for (i = 0; i < 4; ++i) {
    fill_ring(&head, items, "abcd");
    weir__link_remove(&items[i].link);
    ck_assert(weir__link_alone(&items[i].link));
    check_ring(&head, left[i]);
    /* One that is in no ring can be removed again. */
    weir__link_remove(&items[i].link);
    check_ring(&head, left[i]);
    weir__link_append(&head, &items[i].link);
    ck_assert(!weir__link_alone(&items[i].link));
  }
  check_ring(&head, "abcd");
  for (i = 0; i < 4; ++i) {
    weir__link_remove(&items[i].link);
  }
  check_ring(&head, "");
}
END_TEST

START_TEST(ring_takes_over_another) {
  static const char *const names[] = {"", "a", "ab", "abc"};
  static const char *const others[] = {"", "x", "xy", "xyz"};
  struct weir__link head;
  struct weir__link from;
  struct item items[3];
  struct item more[3];
  char both[8];
  int i;
  int n;

  for (i = 0; i < 4; ++i) {
    for (n = 0; n < 4; ++n) {
      fill_ring(&head, items, names[i]);
      fill_ring(&from, more, others[n]);
      weir__link_splice(&head, &from);
      strcpy(both, names[i]);
      strcat(both, others[n]);
      check_ring(&head, both);
      check_ring(&from, "");
    }
  }
}
END_TEST

int main(void) {
  TCase *sums = tcase_create("sums");
  TCase *memory = tcase_create("memory");
  TCase *structs = tcase_create("structs");
  TCase *rings = tcase_create("rings");
  TCase *cases[4];

  tcase_add_test(sums, add_says_when_there_is_no_sum);
  tcase_add_test(sums, later_saturates_at_never);
  tcase_add_test(sums, least_and_greatest);
  tcase_add_test(sums, draws_what_splitmix64_does);
  tcase_add_test(sums, nothing_is_an_empty_string);
  tcase_add_test(memory, memory_comes_from_the_host);
  tcase_add_test(memory, memory_comes_from_malloc_by_default);
  tcase_add_test(structs, load_reads_any_size);
  tcase_add_test(structs, load_refuses_a_tail_that_it_does_not_know);
  tcase_add_test(structs, load_refuses_what_is_no_struct);
  tcase_add_test(structs, store_writes_any_size);
  tcase_add_test(structs, store_refuses_what_is_no_struct);
  tcase_add_test(structs, start_fills_any_size);
  tcase_add_test(rings, owner_is_found_by_its_member);
  tcase_add_test(rings, ring_keeps_its_order);
  tcase_add_test(rings, ring_gives_up_any_link);
  tcase_add_test(rings, ring_takes_over_another);
  cases[0] = sums;
  cases[1] = memory;
  cases[2] = structs;
  cases[3] = rings;
  return kit_main("util", cases, 4);
}
