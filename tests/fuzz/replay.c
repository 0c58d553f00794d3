/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Feeds files to a target, without libFuzzer: replay FILE or DIRECTORY ... */

#define _DEFAULT_SOURCE
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Feed a file; false: it cannot be read. */
static bool feed(const char *path) {
  struct kit_bytes bytes = {NULL, 0, 0};
  struct fuzz_bytes exact;
  char part[4096];
  FILE *file = fopen(path, "rb");
  size_t n;

  if (file == NULL) {
    return false;
  }
  while ((n = fread(part, 1, sizeof part, file)) != 0) {
    kit_bytes_add(&bytes, part, n);
  }
  n = ferror(file) == 0;
  (void)fclose(file);
  if (n != 0) {
    exact = fuzz_copy(bytes.data, bytes.len);
    (void)LLVMFuzzerTestOneInput(exact.data, exact.len);
    free(exact.data);
  }
  kit_bytes_free(&bytes);
  return n != 0;
}

/* Feed all files of a directory; returns how many there were. */
static size_t feed_all(const char *path) {
  DIR *directory = opendir(path);
  const struct dirent *entry;
  char name[1024];
  size_t count = 0;

  if (directory == NULL) {
    return feed(path) ? 1 : 0;
  }
  while ((entry = readdir(directory)) != NULL) {
    if (entry->d_name[0] == '.') {
      continue;
    }
    snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    /* Which one it was, should it be the last. */
    if (getenv("FUZZ_VERBOSE") != NULL) {
      fprintf(stderr, "%s\n", name);
    }
    if (!feed(name)) {
      fprintf(stderr, "%s: cannot be read\n", name);
      exit(1);
    }
    count += 1;
  }
  (void)closedir(directory);
  return count;
}

int main(int argc, char **argv) {
  size_t count;
  int i;

  for (i = 1; i < argc; ++i) {
    count = feed_all(argv[i]);
    if (count == 0) {
      fprintf(stderr, "%s: there is nothing in it\n", argv[i]);
      return 1;
    }
    printf("%s: %zu inputs\n", argv[i], count);
  }
  return argc > 1 ? 0 : 2;
}
