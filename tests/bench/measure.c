/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ENTRIES_MOST 8

static const char *wanted = "";

void rows_want(const char *text) {
  wanted = text;
}

double cpu_ns(void) {
  struct timespec now;

  (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

double wall_ns(void) {
  struct timespec now;

  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

uint64_t draw(uint64_t *state) {
  uint64_t x = *state;

  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  *state = x;
  return x * UINT64_C(0x2545f4914f6cdd1d);
}

size_t draw_below(uint64_t *state, size_t bound) {
  return (size_t)((draw(state) >> 32) * bound >> 32);
}

void die(const char *what) {
  (void)fflush(stdout);
  perror(what);
  exit(1);
}

void *must(void *memory) {
  if (memory == NULL) {
    die("memory");
  }
  return memory;
}

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a;
  const double y = *(const double *)b;

  return (x > y) - (x < y);
}

static double median(const double *values, size_t count) {
  double sorted[ROUNDS_MOST];

  memcpy(sorted, values, count * sizeof *values);
  qsort(sorted, count, sizeof *sorted, compare);
  return count % 2 == 1 ? sorted[count / 2]
                        : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

/* Three digits that matter. */
static void print_number(char text[16], double number) {
  const double size = number < 0 ? -number : number;
  const int digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;

  if (size >= 1e6) {
    (void)snprintf(text, 16, "%.2fM", number / 1e6);
  } else {
    (void)snprintf(text, 16, "%.*f", digits, number);
  }
}

/* The bar, and whether it is met. */
static void print_verdict(enum against against, double value, double bar) {
  char text[16];

  print_number(text, bar);
  if (against == NOBODY) {
    printf(" %6s %-6s", "", "");
  } else {
    printf(" %6s %-6s", text, value <= bar ? "" : "MISSED");
  }
}

void group_print(const char *title) {
  printf("\n%-44s %-9s %8s %8s %6s %6s %-6s  %s\n", title, "unit", "weir",
         "limit", "ratio", "bar", "", "peers");
}

void row_skip(const char *name, const char *why) {
  printf("%-44s skipped: %s\n", name, why);
}

void figure_print(const char *name, const char *unit, double figure,
                  enum against against, double bar) {
  char text[16];

  if (strstr(name, wanted) == NULL) {
    return;
  }
  print_number(text, figure);
  printf("%-44s %-9s %8s %8s %6s", name, unit, text, "", "");
  print_verdict(against, figure, bar);
  printf("\n");
  (void)fflush(stdout);
}

/* The figures of a row: figures[e] are those of entry e, one a round. */
struct figures {
  double of[ENTRIES_MOST][ROUNDS_MOST];
  size_t rounds;
};

static double ratio_of(const struct figures *figures, size_t a, size_t b) {
  double ratios[ROUNDS_MOST];
  size_t i;

  for (i = 0; i < figures->rounds; ++i) {
    ratios[i] = figures->of[a][i] / figures->of[b][i];
  }
  return median(ratios, figures->rounds);
}

/* Weir's ratio to whatever the bar is about, or its figure. */
static double judge(const struct row *row, const struct figures *figures) {
  const size_t first = row->has_limit ? 2 : 1;
  double worst = 0;
  double ratio;
  size_t i;

  if (row->against == LIMIT) {
    return ratio_of(figures, 0, 1);
  }
  if (row->against == FIGURE) {
    return median(figures->of[0], figures->rounds);
  }
  for (i = first; i < row->count; ++i) {
    if (figures->of[i][0] >= 0) {
      ratio = ratio_of(figures, 0, i);
      worst = ratio > worst ? ratio : worst;
    }
  }
  return worst;
}

static void print_row(const struct row *row, const struct figures *figures) {
  const size_t first = row->has_limit ? 2 : 1;
  const double value = judge(row, figures);
  char text[16];
  size_t i;

  print_number(text, median(figures->of[0], figures->rounds));
  printf("%-44s %-9s %8s", row->name, row->unit, text);
  if (row->has_limit) {
    print_number(text, median(figures->of[1], figures->rounds));
    printf(" %8s", text);
    print_number(text, ratio_of(figures, 0, 1));
    printf(" %6s", text);
  } else {
    printf(" %8s %6s", "", "");
  }
  print_verdict(
      row->against == PEERS && row->count == first ? NOBODY : row->against,
      value, row->bar);
  for (i = first; i < row->count; ++i) {
    if (figures->of[i][0] >= 0) {
      print_number(text, median(figures->of[i], figures->rounds));
      printf("  %s %s", row->entries[i].name, text);
      print_number(text, ratio_of(figures, 0, i));
      printf(" (%s)", text);
    } else {
      printf("  %s: not here", row->entries[i].name);
    }
  }
  printf("\n");
  (void)fflush(stdout);
}

void row_print(const struct row *row) {
  static struct figures figures;
  size_t round;
  size_t i;

  if (strstr(row->name, wanted) == NULL) {
    return;
  }
  figures.rounds = row->rounds != 0 ? (size_t)row->rounds : ROUNDS;
  for (round = 0; round < figures.rounds; ++round) {
    for (i = 0; i < row->count; ++i) {
      figures.of[i][round] = row->entries[i].run(row->entries[i].user);
    }
  }
  print_row(row, &figures);
}
