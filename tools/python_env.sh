#!/usr/bin/env bash
# Makes a Python virtual environment over Debian's own Python, with exactly the packages of a requirements file.
#
# usage: tools/python_env.sh DIR REQUIREMENTS_FILE
#
# Debian's packages stay visible in it (NumPy; PyTorch for the oracle). The requirements are installed without their
# dependencies, so each file lists them all: pip must never pull its own PyTorch, which brings gigabytes of CUDA.
# Does nothing when DIR was made from the same requirements.
set -euo pipefail
[ $# -eq 2 ] || { sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0"; exit 2; }
dir=$1 requirements=$2

stamp=$dir/requirements.sha256
sha256sum < "$requirements" | cmp -s - "$stamp" && exit 0

echo "Making the Python environment $dir"
rm -rf "$dir"
/usr/bin/python3 -m venv --system-site-packages "$dir"
"$dir/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$requirements"
sha256sum < "$requirements" > "$stamp"
