/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__UTIL_H
#define WEIR__UTIL_H

/* What every file needs: checked and saturating sums, memory from the host's
 * allocator, structs of other sizes, lists. */

#include <stdbool.h>
#include <string.h>

#include <weir/base.h>

/* The struct that has *ptr as its member. */
#define weir__owner(ptr, type, member) \
  ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define weir__owner_const(ptr, type, member) \
  ((const type *)(const void *)((const char *)(ptr)-offsetof(type, member)))

/* a + b in *sum, false if there is no such size_t. */
static inline bool weir__add(size_t a, size_t b, size_t *sum) {
  *sum = a + b;
  return *sum >= a;
}

/* A time plus a span; the end of time if that is later. */
static inline uint64_t weir__later(uint64_t time, uint64_t span) {
  const uint64_t never = (uint64_t)WEIR_NEVER;

  return time >= never || span >= never - time ? never : time + span;
}

static inline uint64_t weir__min(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static inline uint64_t weir__max(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

/* The number of the highest and of the lowest bit that is set in a word that is
 * not 0. */
static inline unsigned weir__highest_bit(uint64_t word) {
#ifdef __GNUC__
  return 63u - (unsigned)__builtin_clzll(word);
#else
  unsigned bit = 0;
  unsigned step;

  for (step = 32; step != 0; step /= 2) {
    if (word >> step != 0) {
      word >>= step;
      bit += step;
    }
  }
  return bit;
#endif
}

static inline unsigned weir__lowest_bit(uint64_t word) {
#ifdef __GNUC__
  return (unsigned)__builtin_ctzll(word);
#else
  return weir__highest_bit(word & (~word + 1));
#endif
}

/* 64 bits, as good as random to those who do not know the state, which goes on.
 * No secrets are made of them. */
uint64_t weir__draw(uint64_t *state);

/* memcpy and memcmp for lengths of 0 with any pointer. */
static inline void weir__copy(void *dst, const void *src, size_t len) {
  if (len != 0) {
    memcpy(dst, src, len);
  }
}

static inline bool weir__same(const void *a, size_t a_len, const void *b,
                              size_t b_len) {
  return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

/* Memory. Sizes are remembered by the caller, so that no header is needed. */
void *weir__alloc(const weir_allocator *allocator, size_t size);
void weir__free(const weir_allocator *allocator, void *memory, size_t size);

/* Read a caller's struct over *known, which holds the defaults and is as large
 * as this library's idea of it. Both begin with their size. Returns WEIR_OK,
 * or WEIR_EINVAL if the caller's is no struct or has a tail that is unknown
 * here and not zero. */
int weir__load(void *known, size_t known_size, const void *callers);

/* Write *known to a caller's struct, as much as its size has room for. Returns
 * as weir__load. */
int weir__store(void *callers, const void *known, size_t known_size);

/* Whether a field that is reserved is zero, as it has to be until it means
 * something. */
bool weir__is_zero(const uint64_t *field, size_t size);

/* Start a struct of the caller's, if it has room for more than its size: that,
 * and zeros; or what *known has, as in weir__store. */
void weir__start(void *callers, size_t size);
void weir__start_as(void *callers, size_t size, const void *known,
                    size_t known_size);

/* A ring of links with a head of its own, which is its only fixed member. A
 * link that is in no ring points to itself. */
struct weir__link {
  struct weir__link *next;
  struct weir__link *prev;
};

static inline void weir__link_init(struct weir__link *link) {
  link->next = link;
  link->prev = link;
}

static inline bool weir__link_alone(const struct weir__link *link) {
  return link->next == link;
}

static inline void weir__link_remove(struct weir__link *link) {
  link->next->prev = link->prev;
  link->prev->next = link->next;
  weir__link_init(link);
}

/* Put link at the end of the ring of head. */
static inline void weir__link_append(struct weir__link *head,
                                     struct weir__link *link) {
  link->next = head;
  link->prev = head->prev;
  head->prev->next = link;
  head->prev = link;
}

/* Move all of from to the end of the ring of head, whatever their number. */
static inline void weir__link_splice(struct weir__link *head,
                                     struct weir__link *from) {
  if (!weir__link_alone(from)) {
    from->next->prev = head->prev;
    from->prev->next = head;
    head->prev->next = from->next;
    head->prev = from->prev;
    weir__link_init(from);
  }
}

#endif /* WEIR__UTIL_H */
