#!/bin/sh
# weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT
#
# run.sh DIRECTORY SECONDS TARGET ...: let libFuzzer feed each of the programs in
# DIRECTORY/fuzz for so long, beginning with the corpus and with what was found
# before; what is found goes to DIRECTORY/corpus. The first that fails ends it.
# OPTIONS are more of libFuzzer's.
set -u

dir=$1
time=$2
shift 2
for target; do
  mkdir -p "$dir/corpus/$target"
  log=$dir/$target.log
  times > "$dir/before"
  if ! "$dir/fuzz/$target" -max_total_time="$time" -timeout=20 -max_len=4096 \
    -print_final_stats=1 -artifact_prefix="$dir/$target-" ${OPTIONS:-} \
    "$dir/corpus/$target" "tests/fuzz/corpus/$target" > "$log" 2>&1
  then
    tail -n 40 "$log"
    echo "fuzz: $target failed; $dir/fuzz/$target FILE runs that input again"
    exit 1
  fi
  times > "$dir/after"
  # Of all children so far, the second line: user and system.
  cpu=$(awk -F '[ms ]+' 'FNR == 2 { used = ($1 + $3) * 60 + $2 + $4 - used }
    END { printf "%.1f", used }' "$dir/before" "$dir/after")
  echo "fuzz: $target: $(sed -n \
    's/^stat::number_of_executed_units: */executions /p
     s/^#[0-9]*.*DONE *cov: \([0-9]*\).*corp: \([0-9]*\).*/edges \1, inputs \2,/p' \
    "$log" | tr '\n' ' ')in $time s, $cpu of them of CPU"
done
