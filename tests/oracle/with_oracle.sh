#!/bin/sh
# Runs a Python script in the oracle environment. Without the environment the test fails: a comparison that did not take
# place has proved nothing.
#
# usage: with_oracle.sh PYTHON SCRIPT [ARG...]
python=$1
shift
if [ ! -x "$python" ]; then
  echo "$python is not there; \`make test\` makes it, or tools/python_env.sh with tools/oracle_requirements.txt"
  exit 1
fi
# Offline: an oracle that could fetch something would test the network.
exec env HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=2 \
  PYTHONDONTWRITEBYTECODE=1 "$python" "$@"
