/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_FUZZ_H
#define WEIR_FUZZ_H

/* What the targets share. Each is a program with one function, which libFuzzer
 * or replay.c feeds; what does not hold is said, and ends the process. Inputs
 * are read from the front: what is not there is zero. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../kit.h"

/* The target. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_input {
  const uint8_t *p;
  size_t left;
};

/* Some bytes in memory of their own, of exactly that size, so that a sanitizer
 * sees who reads beyond them. To be freed; never NULL. */
struct fuzz_bytes {
  unsigned char *data;
  size_t len;
};

uint8_t fuzz_byte(struct fuzz_input *input);

/* A number of so many bytes, the least first. */
uint64_t fuzz_number(struct fuzz_input *input, size_t bytes);

/* A number that is near an end of its range as often as not. */
uint64_t fuzz_extreme(struct fuzz_input *input);

/* As many bytes as there are, but at most so many. */
struct fuzz_bytes fuzz_take(struct fuzz_input *input, size_t most);

/* As many as the next one or two bytes say. */
struct fuzz_bytes fuzz_some(struct fuzz_input *input, size_t most);

/* A copy. */
struct fuzz_bytes fuzz_copy(const void *data, size_t len);

bool fuzz_same(const void *a, size_t a_len, const void *b, size_t b_len);

/* Whether it is UTF-8 without NUL: by decoding it and encoding it again. */
bool fuzz_is_text(const unsigned char *text, size_t len);

/* Whether there is a NUL in it, or one of these characters. */
bool fuzz_has(const unsigned char *text, size_t len, const char *any);

#endif /* WEIR_FUZZ_H */
