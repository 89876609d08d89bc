#!/usr/bin/env bash
# The whole service on this machine: one coordinator and two workers on loopback quantize SmolLM2-135M, then the result
# is verified and its perplexity on text it has not seen is printed beside that of the source model.
#
# usage: tools/demo.sh BINARY_DIR
#
# Expects what tools/prepare_demo.sh makes. Everything the daemons write is under build/demo/run, their logs too; the
# result is build/demo/smollm2-2d-3.125bpv.
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0"; exit 2; }
bin=$(cd "$1" && pwd)
demo=$(cd "$(dirname "$0")/../build/demo" && pwd)
run=$demo/run
preset=2d-3.125bpv
output=$demo/smollm2-$preset
start_seconds=30

rm -rf "$run" "$output"
mkdir -p "$run"
daemons=()

stop_daemons() {
  for pid in "${daemons[@]}"; do kill -TERM "$pid" 2> /dev/null || true; done
  for pid in "${daemons[@]}"; do wait "$pid" || true; done
  daemons=()
}
trap stop_daemons EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start NAME COMMAND...: a daemon in the background, its log in build/demo/run/NAME.log.
start() {
  local name=$1
  shift
  "$@" > "$run/$name.log" 2>&1 &
  daemons+=($!)
}

# The address that the coordinator chose, once it serves.
coordinator_address() {
  local deadline=$((SECONDS + start_seconds))
  until [ -s "$run/address" ]; do
    if [ $SECONDS -ge $deadline ] || ! kill -0 "${daemons[0]}" 2> /dev/null; then
      echo "The coordinator did not start; its log ends with:" >&2
      tail -n 20 "$run/coordinator.log" >&2
      return 1
    fi
    sleep 0.05
  done
  cat "$run/address"
}

start coordinator "$bin/gptvq-coordinator" --listen 127.0.0.1:0 --address-file "$run/address" \
  --data-dir "$run/coordinator"
GPTVQ_COORDINATOR=$(coordinator_address)
export GPTVQ_COORDINATOR
for number in 1 2; do
  start "worker-$number" "$bin/gptvq-worker" --coordinator "$GPTVQ_COORDINATOR" --name "worker-$number" --threads 1
done
echo "Coordinator at $GPTVQ_COORDINATOR, two workers; logs in $run"

"$bin/gptvq-client" submit --watch \
  --model "$demo/model" --calibration "$demo/text/calibration.txt" --evaluation "$demo/text/held_out.txt" \
  --output "$output" --preset "$preset" --propagation parallel \
  --samples 16 --sequence-length 1024 --evaluation-tokens 16384 | tee "$run/job"
job=$(head -n 1 "$run/job")

echo
"$bin/gptvq-client" report "$job"
echo
"$bin/gptvq-client" verify "$output"
"$bin/gptvq-client" report -o html "$job" > "$output.html"
echo
echo "The quantized checkpoint is $output, a page about it $output.html"
