#!/usr/bin/env bash
# Everything that needs a GPU, in one call: the conformance suite on the device, the same under compute-sanitizer's memcheck and
# racecheck, teams (four ranks on the GPUs that there are, NCCL between all of them), and then a table that times every
# primitive, extrapolated to a whole Llama-2-70B, and the same with the products of a team. Prints a summary last; logs and
# gpu.md and gpu_team.md, which are made for bench/results, go to the output folder.
#
# usage: tools/gpu_check.sh [-b BUILD_DIR] [-o OUTPUT_DIR] [-p PREFIX] [STEP...]
#   STEP    build, conformance, memcheck, racecheck, teams, bench, bench_team; default: all, `build` only if the programs are not there
#   -b      where the programs are or shall be, default build/gpu; programs built elsewhere with GPTVQ_CORE_ONLY=ON run too
#   -o      default BUILD_DIR/gpu_check
#   -p      where Abseil and GoogleTest are when the system has none: a folder made by tools/gpu_bundle.sh
#
# Needs CMake, a C++ compiler and CUDA to build; a driver, cuBLAS, cuSOLVER and NCCL to run. Exit codes: 0 all steps passed, but for
# those whose tool is not there, which the summary names; 1 a step failed; 2 usage; 77 no GPU, and it says why.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

build_dir=build/gpu
output_dir=
prefix=
while getopts b:o:p: option; do
  case $option in
    b) build_dir=$OPTARG ;;
    o) output_dir=$OPTARG ;;
    p) prefix=$(realpath "$OPTARG") ;;
    *) sed -n '7,11p' "$0" >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
output_dir=${output_dir:-$build_dir/gpu_check}
selftest=$build_dir/bin/gptvq-cuda-selftest
gpu_bench=$build_dir/bin/bench/gpu_bench
steps=("$@")
if [ ${#steps[@]} -eq 0 ]; then
  steps=(conformance memcheck racecheck teams bench bench_team)
  [ -x "$selftest" ] && [ -x "$gpu_bench" ] || steps=(build "${steps[@]}")
fi
mkdir -p "$output_dir"

# Programs that were built on another machine look for the libraries of this one's toolkit, or of its Python packages.
find_libraries() {
  local folder folders=()
  for folder in /usr/local/cuda*/lib64 /usr/local/cuda*/targets/*/lib \
      $(python3 -c 'import nvidia, os; print(*(os.path.join(d, "*", "lib") for d in nvidia.__path__))' 2>/dev/null); do
    [ -d "$folder" ] && folders+=("$folder")
  done
  local IFS=:
  export LD_LIBRARY_PATH="${folders[*]}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
}

build() {
  cmake -S . -B "$build_dir" -DCMAKE_BUILD_TYPE=Release -DGPTVQ_CORE_ONLY=ON ${prefix:+-DCMAKE_PREFIX_PATH="$prefix/usr"} &&
    cmake --build "$build_dir" --parallel "$(nproc)" --target gptvq-cuda-selftest gpu_bench
}

has_tool() {
  case $1 in
    memcheck|racecheck) command -v compute-sanitizer > /dev/null ;;
    *) true ;;
  esac
}

sanitize() { compute-sanitizer --tool "$1" --error-exitcode 1 --print-limit 20 "$selftest" --gtest_brief=1; }

# The ranks share the GPUs out among them; NCCL says by itself how they are connected.
teams() { NCCL_DEBUG=WARN "$selftest" --gtest_filter='CudaTeam*'; }

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
  "$gpu_bench" "$@" | tee -a "$file"
  local code=${PIPESTATUS[0]}
  echo '```' >> "$file"
  return "$code"
}

run_step() {
  case $1 in
    build) build ;;
    conformance) "$selftest" --gtest_brief=1 ;;
    memcheck) sanitize memcheck ;;
    racecheck) sanitize racecheck ;;
    teams) teams ;;
    bench) bench bench "Llama-2-70B on a GPU" ;;
    bench_team) bench bench_team "Llama-2-70B on a GPU, with products cut as in a team" 2d-2.125bpv 512 ;;
    *) echo "unknown step: $1" >&2; return 2 ;;
  esac
}

find_libraries
summary=()
failed=0
for step in "${steps[@]}"; do
  if ! has_tool "$step"; then
    summary+=("$(printf '%-12s         skipped: compute-sanitizer is not installed' "$step")")
    continue
  fi
  started=$SECONDS
  run_step "$step" 2>&1 | tee "$output_dir/$step.log"
  code=${PIPESTATUS[0]}
  case $code in
    0) result=passed ;;
    77) echo "no GPU: nothing was checked" >&2; exit 77 ;;
    *) result="FAILED ($code)"; failed=1 ;;
  esac
  summary+=("$(printf '%-12s %4d s  %s' "$step" $((SECONDS - started)) "$result")")
done
printf '%s\n' "" "${summary[@]}" | tee "$output_dir/summary.txt"
exit $failed
