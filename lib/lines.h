/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__LINES_H
#define WEIR__LINES_H

/* The inner loops of the encoder, as wide as the processor is. Each has a plain
 * twin elsewhere that does the same byte by byte; what these leave undone, that
 * does. Nothing is read or written beyond what is given. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the compiler can build. */
#if defined(__GNUC__) && defined(__x86_64__)
#define WEIR__HAS_16 1  /* SSE2 */
#define WEIR__HAS_AVX 1 /* AVX2 and AVX-512, where the processor has them */
#elif defined(__GNUC__) && defined(__aarch64__)
#define WEIR__HAS_16 1 /* NEON */
#define WEIR__HAS_AVX 0
#else
#define WEIR__HAS_16 0
#define WEIR__HAS_AVX 0
#endif

/* How many bytes a vector has. */
enum weir__width { WEIR__PLAIN, WEIR__BYTES_16, WEIR__BYTES_32 };

/* Found out whenever it is asked, since there is nowhere to keep it. */
static inline enum weir__width weir__widest(void) {
#if WEIR__HAS_AVX
  return __builtin_cpu_supports("avx2") ? WEIR__BYTES_32 : WEIR__BYTES_16;
#else
  return WEIR__HAS_16 ? WEIR__BYTES_16 : WEIR__PLAIN;
#endif
}

/* What a call has done. */
struct weir__progress {
  size_t read;
  size_t written;
  size_t breaks; /* line breaks among what was read */
};

/* Copy data as the lines of an event: every CRLF, LF and CR becomes LF and
 * "data: ". Stops where there might not be room for what comes next, and before
 * a last piece that is too short for it. */
void weir__lines_copy(enum weir__width width, unsigned char *dst, size_t cap,
                      const unsigned char *src, size_t len,
                      struct weir__progress *progress);

/* How many bytes from the front are ASCII without NUL, at least as far as whole
 * blocks go. */
size_t weir__lines_ascii(enum weir__width width, const unsigned char *src,
                         size_t len);

#endif /* WEIR__LINES_H */
