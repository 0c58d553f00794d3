/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* bench [GROUP...]: all groups, or those that are named. */

#include "measure.h"

#include <stdio.h>
#include <string.h>

static const struct {
  const char *name;
  void (*run)(void);
} groups[] = {
    {"encode", bench_encode}, {"timers", bench_timers},
    {"lookup", bench_lookup}, {"hub", bench_hub},
    {"net", bench_net},       {"file", bench_file},
};

#define COUNT_OF(array) (sizeof array / sizeof array[0])

static int is_wanted(const char *name, int argc, char **argv) {
  int i = 1;

  while (i < argc && strcmp(argv[i], name) != 0) {
    ++i;
  }
  return argc == 1 || i < argc;
}

int main(int argc, char **argv) {
  size_t i;

  for (i = 0; i < COUNT_OF(groups); ++i) {
    if (is_wanted(groups[i].name, argc, argv)) {
      groups[i].run();
    }
  }
  return 0;
}
