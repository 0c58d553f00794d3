#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# Programs that run with the last release (a tag, v1.2.3) run with this: what
# abidiff finds is a failure, but for additions, and for what tests/abi/harmless
# (suppressions, see libabigail) says is none, such as a reserved field that
# has come to mean something.
set -eu

: "${MAKE:=make}" "${CC:=cc}" "${B:=build}"
unset MAKEFLAGS MAKELEVEL

skip() {
  echo "check-release: SKIPPED: $*"
  exit 0
}

[ -e .git ] || skip "this is not a git tree, so there is no release to see"
tag=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2> /dev/null) ||
  skip "nothing has been released yet"
command -v abidiff > /dev/null || skip "no abidiff here"

old=$B/release
rm -rf "$old"
mkdir -p "$old"
git archive "$tag" | tar -x -C "$old"
$MAKE -s -C "$old" CC="$CC" B=build build/libweir.so

set -- --no-added-syms --drop-private-types
[ ! -e tests/abi/harmless ] || set -- "$@" --suppressions tests/abi/harmless
abidiff "$@" --headers-dir1 "$old/include" --headers-dir2 include \
  "$old/build/libweir.so" "$B/libweir.so"
echo "check-release: as good as $tag for whoever was built with that"
