#!/usr/bin/env bash
# Everything that needs a GPU, in one call: the conformance suite on the device, the same under compute-sanitizer's memcheck and
# racecheck, and a table that times every primitive. Prints a summary last; logs go to the output folder.
#
# usage: tools/gpu_check.sh [-b BUILD_DIR] [-o OUTPUT_DIR] [-p PREFIX] [STEP...]
#   STEP    build, conformance, memcheck, racecheck, bench; default: all, `build` only if the programs are not there
#   -b      where the programs are or shall be, default build/gpu; programs built elsewhere with GPTVQ_CORE_ONLY=ON run too
#   -o      default BUILD_DIR/gpu_check
#   -p      where Abseil and GoogleTest are when the system has none: a folder made by tools/gpu_bundle.sh
#
# Needs CMake, a C++ compiler and CUDA to build; a driver, cuBLAS and cuSOLVER to run. Exit code 1 if a step failed.
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
    *) sed -n '5,10p' "$0" >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
output_dir=${output_dir:-$build_dir/gpu_check}
selftest=$build_dir/bin/gptvq-cuda-selftest
bench=$build_dir/bin/bench/gpu_bench
steps=("$@")
if [ ${#steps[@]} -eq 0 ]; then
  steps=(conformance memcheck racecheck bench)
  [ -x "$selftest" ] && [ -x "$bench" ] || steps=(build "${steps[@]}")
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
  cmake -S . -B "$build_dir" -DCMAKE_BUILD_TYPE=Release -DGPTVQ_CORE_ONLY=ON ${prefix:+-DCMAKE_PREFIX_PATH="$prefix"} &&
    cmake --build "$build_dir" --parallel "$(nproc)" --target gptvq-cuda-selftest gpu_bench
}

sanitize() { compute-sanitizer --tool "$1" --error-exitcode 1 --print-limit 20 "$selftest" --gtest_brief=1; }

run_step() {
  case $1 in
    build) build ;;
    conformance) "$selftest" --gtest_brief=1 ;;
    memcheck) sanitize memcheck ;;
    racecheck) sanitize racecheck ;;
    bench) "$bench" ;;
    *) echo "unknown step: $1" >&2; return 2 ;;
  esac
}

find_libraries
summary=()
failed=0
for step in "${steps[@]}"; do
  started=$SECONDS
  run_step "$step" 2>&1 | tee "$output_dir/$step.log"
  code=${PIPESTATUS[0]}
  case $code in
    0) result=passed ;;
    77) result="skipped: no device"; failed=1 ;;
    *) result="FAILED ($code)"; failed=1 ;;
  esac
  summary+=("$(printf '%-12s %4d s  %s' "$step" $((SECONDS - started)) "$result")")
done
printf '%s\n' "" "${summary[@]}" | tee "$output_dir/summary.txt"
exit $failed
