#!/usr/bin/env bash
# Everything that needs a GPU, in one call or in several:
#
#   build         the programs below, where they are not yet
#   conformance   the conformance suite on the device
#   memcheck      the same under compute-sanitizer
#   racecheck     the same, for races in shared memory
#   repeat        a decoder layer of Llama-3-8B with the whole recipe, twice: the bytes must be the same
#   teams         four ranks on the GPUs that there are, NCCL between all of them
#   model         the demo's model quantized on the device and on the CPU: perplexities within 0.5 %
#   bench         every primitive of a layer of Llama-2-70B, such a layer with the whole recipe, extrapolated to the model
#   bench_8b      the same for Llama-3-8B
#   bench_fast    Llama-2-70B with the short recipe of docs/performance.md
#   bench_team    Llama-2-70B with products cut as in a team
#
# Prints a summary last. Logs and gpu*.md, which are made for bench/results, go to the output folder. A step that takes too long
# is ended and counts as failed, so that the later ones have their turn.
#
# usage: tools/gpu_check.sh [-b BUILD_DIR] [-o OUTPUT_DIR] [-p BUNDLE] [-d DEMO] [-c CLIENT] [-t SECONDS] [STEP...]
#   STEP    default: all but bench_team, `build` only if the programs are not there
#   -b      where the programs are or shall be, default build/gpu; programs built elsewhere with GPTVQ_CORE_ONLY=ON run too
#   -o      default BUILD_DIR/gpu_check
#   -p      a folder made by tools/gpu_bundle.sh: Abseil and GoogleTest to build with, the client for `model`
#   -d      the folder with model and text that tools/prepare_demo.sh makes, default build/demo
#   -c      gptvq-client, default BUNDLE/run/gptvq-client, build/release/bin/gptvq-client
#   -t      most seconds of a step, default 500
#
# Needs CMake, a C++ compiler and CUDA to build; a driver, cuBLAS, cuSOLVER and NCCL to run. Exit codes: 0 all steps passed, but for
# those whose tool is not there, which the summary names; 1 a step failed; 2 usage; 77 no GPU, and it says why.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

build_dir=build/gpu
output_dir=
bundle=
demo=build/demo
client=
nccl_include=
limit=500
while getopts b:o:p:d:c:t: option; do
  case $option in
    b) build_dir=$OPTARG ;;
    o) output_dir=$OPTARG ;;
    p) bundle=$(realpath "$OPTARG") ;;
    d) demo=$OPTARG ;;
    c) client=$OPTARG ;;
    t) limit=$OPTARG ;;
    *) sed -n '/^# usage/,/^# Needs/p' "$0" | sed '$d' >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
output_dir=${output_dir:-$build_dir/gpu_check}
selftest=$build_dir/bin/gptvq-cuda-selftest
gpu_bench=$build_dir/bin/bench/gpu_bench
gpu_repeat=$build_dir/bin/bench/gpu_repeat
steps=("$@")
if [ ${#steps[@]} -eq 0 ]; then
  steps=(conformance memcheck racecheck repeat teams model bench bench_8b bench_fast)
  [ -x "$selftest" ] && [ -x "$gpu_bench" ] && [ -x "$gpu_repeat" ] || steps=(build "${steps[@]}")
fi
for candidate in "$bundle/run/gptvq-client" build/release/bin/gptvq-client; do
  [ -z "$client" ] && [ -x "$candidate" ] && client=$candidate
done
mkdir -p "$output_dir"

# Programs that were built on another machine look for the libraries of this one's toolkit, or of its Python packages, which
# have NCCL's header, too.
find_libraries() {
  local folder folders=()
  for folder in /usr/local/cuda*/lib64 /usr/local/cuda*/targets/*/lib \
      $(python3 -c 'import nvidia, os; print(*(os.path.join(d, "*", "lib") for d in nvidia.__path__))' 2>/dev/null); do
    [ -d "$folder" ] && folders+=("$folder")
    [ -f "$folder/../include/nccl.h" ] && nccl_include=$(realpath "$folder/../include")
  done
  export PATH=$PATH:/usr/local/cuda/bin  # compute-sanitizer is there
  local IFS=:
  export LD_LIBRARY_PATH="${folders[*]}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
}

limited() { timeout --kill-after=10 "$limit" "$@"; }

# A compiler that is newer than ours may warn of more: that must not be the end of it.
build() {
  cmake -S . -B "$build_dir" -DCMAKE_BUILD_TYPE=Release -DGPTVQ_CORE_ONLY=ON -DGPTVQ_WERROR=OFF \
      ${bundle:+-DCMAKE_PREFIX_PATH="$bundle/usr"} ${nccl_include:+-DNCCL_INCLUDE_DIR="$nccl_include"} &&
    limited cmake --build "$build_dir" --parallel "$(nproc)" --target gptvq-cuda-selftest gpu_bench gpu_repeat
}

# Why a step can not be taken, or nothing.
missing() {
  case $1 in
    memcheck|racecheck) command -v compute-sanitizer > /dev/null || echo "compute-sanitizer is not installed" ;;
    model)
      if [ -z "$client" ]; then
        echo "no gptvq-client; name one with -c, or make a bundle that has it"
      elif [ ! -f "$demo/model/config.json" ]; then
        echo "no model in $demo; tools/prepare_demo.sh makes one, -d names another folder"
      fi ;;
  esac
}

# Teams are left out: with the ranks' threads on one device they take longest, and their kernels are those of the suite.
sanitize() {
  limited compute-sanitizer --tool "$1" --error-exitcode 1 --print-limit 20 "$selftest" --gtest_brief=1 --gtest_filter='-CudaTeam*'
}

# The ranks share the GPUs out among them; NCCL says by itself how they are connected.
teams() { NCCL_DEBUG=WARN limited "$selftest" --gtest_filter='CudaTeam*'; }

model() { limited tools/gpu_model.py "$client" "$demo" -o "$output_dir/gpu_model.md"; }

# The table with what a reader has to know about it: step, title, arguments of gpu_bench. Goes to a file named as the step.
bench() {
  local step=$1 title=$2 file=$output_dir/${1/bench/gpu}.md
  shift 2
  {
    echo "# $title"
    echo
    echo "\`tools/gpu_check.sh $step\` at commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown), $(date -u +%F):"
    echo
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader 2>/dev/null | sed 's/^/    /'
    echo
    echo '```'
  } > "$file"
  limited "$gpu_bench" "$@" | tee -a "$file"
  local code=${PIPESTATUS[0]}
  echo '```' >> "$file"
  return "$code"
}

run_step() {
  case $1 in
    build) build ;;
    conformance) limited "$selftest" --gtest_brief=1 ;;
    memcheck|racecheck) sanitize "$1" ;;
    repeat) limited "$gpu_repeat" ;;
    teams) teams ;;
    model) model ;;
    bench) bench bench "Llama-2-70B on a GPU" ;;
    bench_8b) bench bench_8b "Llama-3-8B on a GPU" llama-3-8b ;;
    bench_fast) bench bench_fast "Llama-2-70B on a GPU, the short recipe" llama-2-70b 2d-2.125bpv 16 1 ;;
    bench_team) bench bench_team "Llama-2-70B on a GPU, with products cut as in a team" llama-2-70b 2d-2.125bpv 48 25 512 ;;
    *) echo "unknown step: $1" >&2; return 2 ;;
  esac
}

find_libraries
summary=()
failed=0
for step in "${steps[@]}"; do
  reason=$(missing "$step")
  if [ -n "$reason" ]; then
    summary+=("$(printf '%-12s         skipped: %s' "$step" "$reason")")
    continue
  fi
  started=$SECONDS
  run_step "$step" 2>&1 | tee "$output_dir/$step.log"
  code=${PIPESTATUS[0]}
  case $code in
    0) result=passed ;;
    77) echo "no GPU: nothing was checked" >&2; exit 77 ;;
    124|137) result="FAILED (not done after $limit s)"; failed=1 ;;
    *) result="FAILED ($code)"; failed=1 ;;
  esac
  summary+=("$(printf '%-12s %4d s  %s' "$step" $((SECONDS - started)) "$result")")
done
printf '%s\n' "" "${summary[@]}" | tee "$output_dir/summary.txt"
exit $failed
