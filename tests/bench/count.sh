#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# count.sh PATHS [--write]: count the instructions of the hot paths (PATHS is
# the program made of paths.c) and compare with the file `instructions`, in
# which --write puts them. Ends with status 1 if one has grown by more than 5 %.
set -eu

paths=$1
here=$(dirname "$0")
counts=$here/instructions
new=$(mktemp)
trap 'rm -f "$new" "$new.out"' EXIT

for name in $("$paths"); do
  times=$(valgrind -q --tool=callgrind --callgrind-out-file="$new.out" \
    --toggle-collect=weir_bench_count "$paths" "$name")
  sed -n 's/^summary: //p' "$new.out" |
    awk -v name="$name" -v times="$times" \
      '{ printf "%-28s %9.1f\n", name, $1 / times }' >> "$new"
done

if [ "${2:-}" = --write ]; then
  { sed -n '/^#/p' "$counts"; cat "$new"; } > "$new.out"
  cat "$new.out" > "$counts"
  exit
fi
awk '/^#/ { next }
  NR == FNR { old[$1] = $2; next }
  !($1 in old) { printf "%-28s %9.1f new\n", $1, $2; next }
  { grown = $2 / old[$1] - 1
    printf "%-28s %9.1f %+6.1f %%%s\n", $1, $2, 100 * grown,
      (grown > 0.05 ? "  GROWN" : "")
    if (grown > 0.05) bad = 1 }
  END { exit bad }' "$counts" "$new"
