#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# Prove that no text makes what reads a cursor, or picks one from a request, err
# at run time: it reads and writes only where it may, nothing overflows (also
# where C would let it wrap), and every loop ends. By Frama-C's WP, from the
# comments in lib/cursor.c that begin with @, which say what is taken for granted
# of a caller; that each of the functions below calls the others as they want to
# be called; and that what is taken for granted does not contradict itself (the
# smoke tests). Of find and is_known, which only call memchr and memcmp, nothing
# is proven but that they are called as they want.
set -u
proven='weir_cursor_parse parse_epoch parse_seq digit32 decode digit16
  is_cursor_name pick_query pick'
B=${B:-build}
log=$B/prove.log

mkdir -p "$B"
# Which provers there are.
export WHY3CONFIG="$PWD/$B/why3.conf"
why3 config detect > "$log" 2>&1 || { cat "$log"; exit 1; }
frama-c -machdep gcc_x86_64 -cpp-extra-args='-std=c11 -Iinclude -Ilib' \
  -wp -wp-rte -warn-unsigned-overflow -warn-unsigned-downcast \
  -wp-model Typed+Cast -wp-smoke-tests -wp-prover cvc4,z3 \
  -wp-timeout "${TIMEOUT:-60}" -wp-par "$(nproc)" \
  -wp-fct "$(echo $proven | tr ' ' ,)" lib/cursor.c > "$log" 2>&1 ||
  { tail -n 20 "$log"; echo 'prove: frama-c failed'; exit 1; }

# All that was to be proven, and something of every function.
if ! grep -qE '^\[wp\] Proved goals: +([0-9]+) / \1$' "$log"; then
  grep -A 3 -E '^\[wp\] \[(Failed|Unknown|Timeout|Stepout|Doomed)\]' "$log"
  grep 'Proved goals' "$log" || echo 'no goals at all'
  echo "prove: NOT PROVEN (all of it: $log)"
  exit 1
fi
for function in $proven; do
  grep -q "Goal typed_cast_${function}_.* : Valid" "$log" ||
    { echo "prove: nothing has been proven of $function"; exit 1; }
done
echo "prove:$(sed -n 's/^\[wp\] Proved goals: *\([0-9]*\) .*/ \1 goals/p' "$log")"
