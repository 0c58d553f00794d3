/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "kit.h"

int kit_main(const char *name, TCase *const *cases, size_t count) {
  Suite *suite = suite_create(name);
  SRunner *runner;
  size_t i;
  int failed;

  for (i = 0; i < count; ++i) {
    suite_add_tcase(suite, cases[i]);
  }
  runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? 0 : 1;
}
