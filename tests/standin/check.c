/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE /* for fork */

#include <check.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

/* What hangs is named and ended; in seconds, for the slowest of machines,
 * unless a test asks for more. */
#define PATIENCE 300

enum { MOST_FIXTURES = 4, MOST_TESTS = 128, MOST_CASES = 32 };

struct row {
  const struct ck_test *test;
  int from;
  int to;
};

struct ck_case {
  const char *name;
  struct row rows[MOST_TESTS];
  size_t count;
  void (*setup[MOST_FIXTURES])(void);
  void (*teardown[MOST_FIXTURES])(void);
  size_t fixtures;
  unsigned patience;
};

struct ck_suite {
  const char *name;
  TCase *cases[MOST_CASES];
  size_t count;
};

struct ck_runner {
  Suite *suite;
  int run;
  int failed;
};

/* Where a failed test goes. */
static jmp_buf out;

static void need(bool condition, const char *what) {
  if (!condition) {
    fprintf(stderr, "check's stand-in: %s\n", what);
    exit(2);
  }
}

static void *make(size_t size) {
  void *memory = calloc(1, size);

  need(memory != NULL, "no memory");
  return memory;
}

Suite *suite_create(const char *name) {
  Suite *suite = make(sizeof *suite);

  suite->name = name;
  return suite;
}

void suite_add_tcase(Suite *suite, TCase *tcase) {
  need(suite->count < MOST_CASES, "too many cases");
  suite->cases[suite->count++] = tcase;
}

TCase *tcase_create(const char *name) {
  TCase *tcase = make(sizeof *tcase);

  tcase->name = name;
  tcase->patience = PATIENCE;
  return tcase;
}

void ck_add(TCase *tcase, const struct ck_test *test, int from, int to) {
  need(tcase->count < MOST_TESTS, "too many tests");
  tcase->rows[tcase->count++] = (struct row){test, from, to};
}

void tcase_add_checked_fixture(TCase *tcase, void (*setup)(void),
                               void (*teardown)(void)) {
  need(tcase->fixtures < MOST_FIXTURES, "too many fixtures");
  tcase->setup[tcase->fixtures] = setup;
  tcase->teardown[tcase->fixtures] = teardown;
  tcase->fixtures += 1;
}

void tcase_set_timeout(TCase *tcase, double seconds) {
  if (seconds > PATIENCE) {
    tcase->patience = (unsigned)seconds;
  }
}

SRunner *srunner_create(Suite *suite) {
  SRunner *runner = make(sizeof *runner);

  runner->suite = suite;
  return runner;
}

int srunner_ntests_failed(SRunner *runner) {
  return runner->failed;
}

void srunner_free(SRunner *runner) {
  size_t i;

  for (i = 0; i < runner->suite->count; ++i) {
    free(runner->suite->cases[i]);
  }
  free(runner->suite);
  free(runner);
}

void ck_fail(const char *file, int line, const char *format, ...) {
  va_list args;

  printf("%s:%d: ", file, line);
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  printf("\n");
  longjmp(out, 1);
}

/* Whether the test has passed. */
static bool run_here(const TCase *tcase, const struct ck_test *test, int i) {
  size_t n;

  if (setjmp(out) != 0) {
    return false;
  }
  for (n = 0; n < tcase->fixtures; ++n) {
    if (tcase->setup[n] != NULL) {
      tcase->setup[n]();
    }
  }
  test->run(i);
  for (n = tcase->fixtures; n > 0; --n) {
    if (tcase->teardown[n - 1] != NULL) {
      tcase->teardown[n - 1]();
    }
  }
  return true;
}

#ifdef _WIN32

static bool run(const TCase *tcase, const struct ck_test *test, int i) {
  return run_here(tcase, test, i);
}

#else

static bool run(const TCase *tcase, const struct ck_test *test, int i) {
  const char *mode = getenv("CK_FORK");
  pid_t child;
  int status;

  if (mode != NULL && strcmp(mode, "no") == 0) {
    return run_here(tcase, test, i);
  }
  (void)fflush(NULL);
  child = fork();
  need(child >= 0, "no process");
  if (child == 0) {
    (void)alarm(tcase->patience);
    exit(run_here(tcase, test, i) ? 0 : 1);
  }
  need(waitpid(child, &status, 0) == child, "no child");
  if (WIFSIGNALED(status)) {
    printf("signal %d\n", WTERMSIG(status));
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#endif

static void run_case(SRunner *runner, const TCase *tcase) {
  size_t n;
  int i;

  for (n = 0; n < tcase->count; ++n) {
    const struct row *row = &tcase->rows[n];

    for (i = row->from; i < row->to; ++i) {
      runner->run += 1;
      if (!run(tcase, row->test, i)) {
        runner->failed += 1;
        printf("failed: %s:%s:%d\n", tcase->name, row->test->name, i);
      }
    }
  }
}

void srunner_run_all(SRunner *runner, enum print_output mode) {
  const char *only = getenv("CK_RUN_CASE");
  const Suite *suite = runner->suite;
  size_t n;

  (void)mode;
  for (n = 0; n < suite->count; ++n) {
    if (only == NULL || strcmp(only, suite->cases[n]->name) == 0) {
      run_case(runner, suite->cases[n]);
    }
  }
  printf("%s: %d checks, %d failed\n", suite->name, runner->run,
         runner->failed);
}
