#!/usr/bin/env bash
# Everything that a reviewer should not have to say: formatting, layers, shell scripts, clang-tidy.
#
# usage: tools/lint.sh
#
# clang-tidy takes up to half a minute for a file that includes gRPC, so it reads only the .cc files that differ from
# LINT_BASE (default: HEAD, that is, what is not committed), with the commands of build/release.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0

git ls-files -z '*.h' '*.cc' '*.cu' '*.cuh' | xargs -0 -r clang-format --dry-run -Werror || failed=1
tools/check_layers.py || failed=1
git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck || failed=1

mapfile -t changed < <(git diff --name-only --diff-filter=d "${LINT_BASE:-HEAD}" -- '*.cc')
if [ ${#changed[@]} -gt 0 ]; then
  [ -f build/release/compile_commands.json ] || cmake --preset release > /dev/null
  # The compile commands are those of GCC, with a warning flag that clang does not know.
  clang-tidy -p build/release --quiet --extra-arg=-Wno-unknown-warning-option "${changed[@]}" || failed=1
fi
exit $failed
