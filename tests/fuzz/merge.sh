#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# merge.sh DIRECTORY TARGET ...: make the corpus of each target anew, of the
# smallest inputs that reach all that is reached by it and by what run.sh has
# left in DIRECTORY/corpus. Inputs that once failed are kept: their names say
# what they are about, those of all others are hashes.
set -eu

dir=$1
shift
for target; do
  corpus=tests/fuzz/corpus/$target
  new=$dir/merged/$target
  rm -rf "$new"
  mkdir -p "$new" "$corpus" "$dir/corpus/$target"
  "$dir/fuzz/$target" -merge=1 -max_len=4096 "$new" "$corpus" \
    "$dir/corpus/$target" > "$dir/$target.log" 2>&1
  for file in "$corpus"/*; do
    case ${file##*/} in
      *-*) cp "$file" "$new/" ;;
    esac
  done
  rm -rf "$corpus"
  cp -R "$new" "$corpus"
  echo "$corpus: $(ls "$corpus" | wc -l) inputs," \
    "$(cat "$corpus"/* | wc -c) bytes"
done
