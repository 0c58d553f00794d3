/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#if defined(_WIN32)
#define _CRT_RAND_S /* for rand_s */
#else
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* for getentropy, which POSIX has since 2024 */
#endif
#endif

#include "platform.h"

#include <weir/base.h>

#include "util.h"

#if defined(_WIN32)

#include <stdlib.h>
#include <windows.h>

uint64_t weir__platform_clock(void *user) {
  LARGE_INTEGER ticks;
  LARGE_INTEGER hertz;

  (void)user;
  QueryPerformanceFrequency(&hertz);
  QueryPerformanceCounter(&ticks);
  return (uint64_t)(ticks.QuadPart / hertz.QuadPart * 1000 +
                    ticks.QuadPart % hertz.QuadPart * 1000 / hertz.QuadPart);
}

int weir__platform_entropy(void *user, void *dst, size_t len) {
  unsigned char *p = dst;
  unsigned word;
  size_t n;

  (void)user;
  for (; len != 0; len -= n, p += n) {
    if (rand_s(&word) != 0) {
      return WEIR_EENTROPY;
    }
    n = len < sizeof word ? len : sizeof word;
    memcpy(p, &word, n);
  }
  return 1;
}

#else

#include <time.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <sys/random.h>
#endif

uint64_t weir__platform_clock(void *user) {
  struct timespec now;

  (void)user;
  /* It cannot fail: POSIX has CLOCK_MONOTONIC, and now is valid. */
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Never blocks once the system has started, never comes short, and gives a
 * forked process other bits than its parent. At most 256 bytes. */
int weir__platform_entropy(void *user, void *dst, size_t len) {
  (void)user;
  return getentropy(dst, len) == 0 ? 1 : WEIR_EENTROPY;
}

#endif
