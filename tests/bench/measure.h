/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

/* What is measured, against what, and how it is printed. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rounds in which everybody has a turn, so that whatever else the machine does
 * meets all of them. A figure is the median of the rounds; a ratio is the
 * median of the ratios within a round. */
#define ROUNDS 7
#define ROUNDS_MOST 64

/* Somebody who does the work: runs it once and says what a unit of it took, or
 * a negative number if it cannot be done here. */
struct entry {
  const char *name;
  double (*run)(void *user);
  void *user;
};

/* What a bar is about. */
enum against {
  NOBODY, /* it is only shown */
  LIMIT,  /* weir divided by its limit is to be at most the bar */
  PEERS,  /* weir divided by the best peer is to be at most the bar */
  FIGURE  /* weir's own figure is to be at most the bar */
};

/* A line of the table. The first entry is weir's; with has_limit the second is
 * the limit; all others are peers. */
struct row {
  const char *name;
  const char *unit;
  enum against against;
  double bar;
  bool has_limit;
  int rounds; /* 0 is ROUNDS */
  const struct entry *entries;
  size_t count;
};

void row_print(const struct row *row);

/* From here on, only the rows in whose name this is. */
void rows_want(const char *text);

/* A figure that is the same each time: bytes, mostly. */
void figure_print(const char *name, const char *unit, double figure,
                  enum against against, double bar);

/* A row that is left out, and why. */
void row_skip(const char *name, const char *why);

/* What stands above the rows of a group. */
void group_print(const char *title);

/* ns of CPU that this thread has used, or that have passed. */
double cpu_ns(void);
double wall_ns(void);

/* Random numbers, the same each time: xorshift64*. */
uint64_t draw(uint64_t *state);
size_t draw_below(uint64_t *state, size_t bound);

/* Memory, or the end. */
void *must(void *memory);
void die(const char *what);

/* The compiler must not know what happens to it. */
static inline void keep(const void *p) {
  __asm__ volatile("" : : "r"(p) : "memory");
}

/* The groups. */
void bench_encode(void);
void bench_timers(void);
void bench_lookup(void);
void bench_hub(void);
void bench_net(void);
void bench_file(void);

#endif /* BENCH_MEASURE_H */
