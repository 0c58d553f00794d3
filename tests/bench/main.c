/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* bench [GROUP[:ROW]...]: all groups, or those that are named; of their rows
 * all, or those in whose name ROW is. */

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

/* Run a group if it is named, with what stands behind the colon. */
static void run_named(size_t i, const char *name) {
  const size_t len = strlen(groups[i].name);

  if (strncmp(name, groups[i].name, len) == 0 &&
      (name[len] == '\0' || name[len] == ':')) {
    rows_want(name[len] == ':' ? name + len + 1 : "");
    groups[i].run();
  }
}

int main(int argc, char **argv) {
  size_t i;
  int j;

  for (i = 0; i < COUNT_OF(groups); ++i) {
    if (argc == 1) {
      groups[i].run();
    }
    for (j = 1; j < argc; ++j) {
      run_named(i, argv[j]);
    }
  }
  return 0;
}
