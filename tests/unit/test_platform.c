/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* What the operating system gives: time that never steps back, and bits that
 * nobody knows. */
#define _DEFAULT_SOURCE /* for fork, pipe and usleep */

#include "../kit.h"

#include <string.h>
#ifndef _WIN32
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#endif

#include "platform.h"

START_TEST(clock_never_steps_back) {
  uint64_t before = weir__platform_clock(NULL);
  uint64_t now;
  int i;

  for (i = 0; i < 100000; ++i) {
    now = weir__platform_clock(NULL);
    if (now < before) {
      ck_abort_msg("stepped back");
    }
    before = now;
  }
}
END_TEST

/* Every byte is drawn, and not one behind the last: if one stays what it was
 * eight times, that is no chance. */
START_TEST(entropy_fills_every_byte) {
  static const size_t lengths[] = {0, 1, 2, 3, 4, 7, 8, 16, 24, 255, 256};
  size_t i;
  size_t n;

  for (i = 0; i < sizeof lengths / sizeof lengths[0]; ++i) {
    unsigned char *dst = kit_fence(lengths[i]);
    unsigned char changed[256] = {0};
    int round;

    for (round = 0; round < 8; ++round) {
      memset(dst, 0xdd, lengths[i]);
      ck_assert_int_eq(weir__platform_entropy(NULL, dst, lengths[i]), 1);
      for (n = 0; n < lengths[i]; ++n) {
        changed[n] |= dst[n] != 0xdd;
      }
    }
    for (n = 0; n < lengths[i]; ++n) {
      ck_assert_uint_eq(changed[n], 1);
    }
  }
}
END_TEST

START_TEST(entropy_differs) {
  uint64_t drawn[1000];
  size_t i;
  size_t n;

  for (i = 0; i < sizeof drawn / sizeof drawn[0]; ++i) {
    ck_assert(weir__platform_entropy(NULL, &drawn[i], sizeof drawn[i]) == 1);
    for (n = 0; n < i; ++n) {
      if (drawn[n] == drawn[i]) {
        ck_abort_msg("drawn twice");
      }
    }
  }
}
END_TEST

/* What POSIX says of it. */
#ifndef _WIN32

static uint64_t system_clock(void) {
  struct timespec now;

  ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &now), 0);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)(now.tv_nsec / 1000000);
}

/* The system's monotonic clock, in milliseconds. */
START_TEST(clock_counts_milliseconds) {
  int i;

  for (i = 0; i < 50; ++i) {
    const uint64_t before = system_clock();
    const uint64_t now = weir__platform_clock(NULL);
    const uint64_t after = system_clock();

    ck_assert_uint_ge(now, before);
    ck_assert_uint_le(now, after);
    ck_assert_uint_lt(now, (uint64_t)WEIR_NEVER);
    usleep(700); /* to see more than one */
  }
}
END_TEST

/* getentropy gives no more than 256 bytes at once: that is said. */
START_TEST(entropy_that_cannot_be_had_is_an_error) {
  unsigned char dst[257];

  ck_assert_int_eq(weir__platform_entropy(NULL, dst, sizeof dst),
                   WEIR_EENTROPY);
}
END_TEST

/* A process that was forked off draws other epochs than its parent. */
START_TEST(f22_forked_process_draws_other_bits) {
  uint64_t mine[4];
  uint64_t other[4];
  int ends[2];
  int status;
  size_t i;
  pid_t child;

  ck_assert_int_eq(weir__platform_entropy(NULL, mine, sizeof mine), 1);
  ck_assert_int_eq(pipe(ends), 0);
  child = fork();
  ck_assert_int_ge(child, 0);
  if (child == 0) {
    if (weir__platform_entropy(NULL, other, sizeof other) != 1 ||
        write(ends[1], other, sizeof other) != sizeof other) {
      _exit(1);
    }
    _exit(0);
  }
  ck_assert_int_eq(weir__platform_entropy(NULL, mine, sizeof mine), 1);
  ck_assert_int_eq(read(ends[0], other, sizeof other), sizeof other);
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  ck_assert_int_eq(status, 0);
  for (i = 0; i < sizeof mine / sizeof mine[0]; ++i) {
    ck_assert_uint_ne(mine[i], other[i]);
  }
  close(ends[0]);
  close(ends[1]);
}
END_TEST

#endif

int main(void) {
  TCase *tcase = tcase_create("platform");

  tcase_add_test(tcase, clock_never_steps_back);
  tcase_add_test(tcase, entropy_fills_every_byte);
  tcase_add_test(tcase, entropy_differs);
#ifndef _WIN32
  tcase_add_test(tcase, clock_counts_milliseconds);
  tcase_add_test(tcase, entropy_that_cannot_be_had_is_an_error);
  tcase_add_test(tcase, f22_forked_process_draws_other_bits);
#endif
  return kit_main("platform", &tcase, 1);
}
