#!/usr/bin/env bash
# Runs every libFuzzer target of a folder for a bounded time, starting from its seeds in tests/fuzz/corpus/<target>.
#
# usage: tools/fuzz.sh FOLDER SECONDS_PER_TARGET
#
# Prints a table: executions and findings of each target. What a run finds new stays in build/fuzz/corpus, so the next one
# goes on from there. An input that crashes a target is left in build/fuzz/crashes: the fix comes with that input as a seed,
# which every later test run replays.
set -euo pipefail
[ $# -eq 2 ] || { sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0"; exit 2; }
folder=$1 seconds=$2

targets=("$folder"/*)
[ -x "${targets[0]}" ] || { echo "$0: no fuzz target in $folder" >&2; exit 1; }
mkdir -p build/fuzz/crashes
passed=0 failed=0 total=0
echo "| target | seconds | executions | findings |"
echo "| --- | --- | --- | --- |"
for target in "${targets[@]}"; do
  name=$(basename "$target")
  corpora=("build/fuzz/corpus/$name")
  mkdir -p "${corpora[0]}"
  [ ! -d "tests/fuzz/corpus/$name" ] || corpora+=("tests/fuzz/corpus/$name")
  log=build/fuzz/$name.log
  found=0
  "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/crashes/$name-" "${corpora[@]}" > "$log" 2>&1 || found=1  # it ends with the first
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  echo "| $name | $seconds | ${executions:-?} | $found |"
  total=$((total + ${executions:-0}))
  if [ "$found" -eq 0 ]; then
    passed=$((passed + 1))
  else
    tail -n 40 "$log"
    failed=$((failed + 1))
  fi
done
echo "fuzz: $passed passed, $failed failed, $total executions"
[ "$failed" -eq 0 ]
