#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# $B/amalgamation: one compilation unit without a warning, for $CC, gcc and
# clang, with WARNINGS and without; it exports what the library does, and a
# program is built with the two files alone. TESTS are the unit tests, linked
# with it instead of the library.
set -eu

: "${CC:=cc}" "${B:=build}" "${WARNINGS:=-Wall -Wextra}" "${TESTS:=}"
dir=$B/amalgamation

fail() {
  echo "check-amalgamation: $*" >&2
  exit 1
}

exports() {
  nm -D --defined-only "$1" | sed -n 's/.* [TDBR] \([^@]*\).*/\1/p' | sort
}

exports "$B/libweir.so" > "$dir/exports"
for compiler in "$CC" gcc clang; do
  if ! command -v ${compiler%% *} > /dev/null; then
    echo "check-amalgamation: SKIPPED: $compiler, which is not here"
    continue
  fi
  for level in -O3 -O2; do
    $compiler -std=c11 $WARNINGS -Werror $level -fPIC -shared \
      -o "$dir/shared.so" "$dir/weir.c" || fail "$compiler $level warns"
  done
  exports "$dir/shared.so" | cmp - "$dir/exports" ||
    fail "$compiler: it exports something else than the library"

  sed 's|<weir/weir.h>|"weir.h"|' tests/consumers/consumer.c \
    > "$dir/consumer.c"
  $compiler -Wall -Wextra -Werror -o "$dir/consumer" "$dir/consumer.c" \
    "$dir/weir.c" || fail "$compiler warns in a program"
  "$dir/consumer" | grep -q '^data: hello$' || fail "the program fails"
done

# As check-unit runs them: what fails says so, and a slow machine has time.
for test in $TESTS; do
  said=$(CK_VERBOSITY=minimal CK_TIMEOUT_MULTIPLIER=10 "$test" 2>&1) ||
    fail "$test: $said"
done
echo "check-amalgamation: $(echo $TESTS | wc -w) suites"
