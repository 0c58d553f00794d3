#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# Each public header stands alone, in C99, C11 and C++17, for gcc and clang and
# whatever CC is.
set -eu

: "${CC:=cc}"
bad=0
for compiler in "$CC" gcc clang; do
  for language in c99 c11 c++17; do
    compile="$compiler -fsyntax-only -Iinclude -Wall -Wextra -Wpedantic -Werror
      -std=$language -x $(echo "$language" | tr -d '0-9') -"
    if ! echo 'int x;' | $compile 2> /dev/null; then
      echo "check-headers: SKIPPED: $compiler has no $language here"
      continue
    fi
    for header in include/weir/*.h; do
      printf '#include <%s>\n' "${header#include/}" | $compile || {
        echo "check-headers: $header: $compiler, $language" >&2
        bad=1
      }
    done
  done
done
exit $bad
