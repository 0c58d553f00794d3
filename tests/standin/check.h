/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_STANDIN_CHECK_H
#define WEIR_STANDIN_CHECK_H

/* As much of check's <check.h> as the suites use, for machines that check is
 * not packaged for, and for watchers that want every line of a program
 * compiled their way. Each test has a process of its own where there is fork,
 * unless CK_FORK is "no"; CK_RUN_CASE names the only case to be run. */

#include <stdint.h>
#include <string.h>

typedef struct ck_case TCase;
typedef struct ck_suite Suite;
typedef struct ck_runner SRunner;

/* What START_TEST defines, and tcase_add_test takes. */
struct ck_test {
  const char *name;
  void (*run)(int index);
};

enum print_output { CK_ENV };

Suite *suite_create(const char *name);
void suite_add_tcase(Suite *suite, TCase *tcase);
TCase *tcase_create(const char *name);
void ck_add(TCase *tcase, const struct ck_test *test, int from, int to);
void tcase_add_checked_fixture(TCase *tcase, void (*setup)(void),
                               void (*teardown)(void));
/* A machine that is emulated takes its time: there is one limit for all. */
void tcase_set_timeout(TCase *tcase, double seconds);
SRunner *srunner_create(Suite *suite);
void srunner_run_all(SRunner *runner, enum print_output mode);
int srunner_ntests_failed(SRunner *runner);
void srunner_free(SRunner *runner);

/* Microsoft's own printf knows no %zu. */
#ifdef __MINGW32__
#define CK_PRINTF gnu_printf
#else
#define CK_PRINTF printf
#endif

/* Say where and why, and leave the test. */
void ck_fail(const char *file, int line, const char *format, ...)
    __attribute__((noreturn, format(CK_PRINTF, 3, 4)));

#define START_TEST(name)                                       \
  static void name##_run(int index);                           \
  static const struct ck_test name[1] = {{#name, name##_run}}; \
  static void name##_run(int _i __attribute__((unused)))
#define END_TEST

#define tcase_add_test(tcase, test) ck_add(tcase, test, 0, 1)
#define tcase_add_loop_test(tcase, test, from, to) ck_add(tcase, test, from, to)

#define ck_abort_msg(...) ck_fail(__FILE__, __LINE__, __VA_ARGS__)
#define ck_assert_msg(expression, ...) \
  do {                                 \
    if (!(expression)) {               \
      ck_abort_msg(__VA_ARGS__);       \
    }                                  \
  } while (0)
#define ck_assert(expression) ck_assert_msg(expression, "%s", #expression)

#define CK_NUMBERS(type, format, a, op, b)                    \
  do {                                                        \
    const type ck_a = (a);                                    \
    const type ck_b = (b);                                    \
    ck_assert_msg(ck_a op ck_b, "%s: " format " and " format, \
                  #a " " #op " " #b, ck_a, ck_b);             \
  } while (0)
#define CK_INT(a, op, b) CK_NUMBERS(intmax_t, "%jd", a, op, b)
#define CK_UINT(a, op, b) CK_NUMBERS(uintmax_t, "%ju", a, op, b)
#define ck_assert_int_eq(a, b) CK_INT(a, ==, b)
#define ck_assert_int_ne(a, b) CK_INT(a, !=, b)
#define ck_assert_int_lt(a, b) CK_INT(a, <, b)
#define ck_assert_int_le(a, b) CK_INT(a, <=, b)
#define ck_assert_int_gt(a, b) CK_INT(a, >, b)
#define ck_assert_int_ge(a, b) CK_INT(a, >=, b)
#define ck_assert_uint_eq(a, b) CK_UINT(a, ==, b)
#define ck_assert_uint_ne(a, b) CK_UINT(a, !=, b)
#define ck_assert_uint_lt(a, b) CK_UINT(a, <, b)
#define ck_assert_uint_le(a, b) CK_UINT(a, <=, b)
#define ck_assert_uint_gt(a, b) CK_UINT(a, >, b)
#define ck_assert_uint_ge(a, b) CK_UINT(a, >=, b)

#define CK_POINTERS(a, op, b) \
  CK_NUMBERS(void *, "%p", (void *)(uintptr_t)(a), op, (void *)(uintptr_t)(b))
#define ck_assert_ptr_eq(a, b) CK_POINTERS(a, ==, b)
#define ck_assert_ptr_ne(a, b) CK_POINTERS(a, !=, b)
#define ck_assert_ptr_null(a) CK_POINTERS(a, ==, NULL)
#define ck_assert_ptr_nonnull(a) CK_POINTERS(a, !=, NULL)

#define CK_STRINGS(a, op, b)                                               \
  do {                                                                     \
    const char *const ck_a = (a);                                          \
    const char *const ck_b = (b);                                          \
    ck_assert_msg(ck_a != NULL && ck_b != NULL && strcmp(ck_a, ck_b) op 0, \
                  "%s: \"%s\" and \"%s\"", #a " " #op " " #b,              \
                  ck_a == NULL ? "(null)" : ck_a,                          \
                  ck_b == NULL ? "(null)" : ck_b);                         \
  } while (0)
#define ck_assert_str_eq(a, b) CK_STRINGS(a, ==, b)
#define ck_assert_str_ne(a, b) CK_STRINGS(a, !=, b)
#define ck_assert_mem_eq(a, b, len)                                       \
  ck_assert_msg((len) == 0 || memcmp(a, b, len) == 0, "%s: not the same", \
                #a " == " #b)

#endif /* WEIR_STANDIN_CHECK_H */
