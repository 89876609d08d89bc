#!/bin/bash
# Inside a clean Debian that has the packages and no systemd: runs both services as their units say (user, environment
# file, command), and a job through them. clean_install_test.sh calls it on a loopback of its own.
set -euo pipefail
deadline=$((SECONDS + 120))

unit_value() { sed -n "s/^$2=-\{0,1\}//p" "/usr/lib/systemd/system/$1.service"; }

# start UNIT: in the background, its log in /tmp/UNIT.log; its process id in $started.
start() {
  local environment
  mapfile -t environment < <(grep -v '^ *\(#\|$\)' "$(unit_value "$1" EnvironmentFile)")
  setpriv --reuid="$(unit_value "$1" User)" --regid="$(unit_value "$1" Group)" --init-groups --no-new-privs \
    env -i PATH=/usr/bin "${environment[@]}" "$(unit_value "$1" ExecStart)" > "/tmp/$1.log" 2>&1 &
  started=$!
}

# await COMMAND...: until it succeeds.
await() {
  until "$@" > /dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
      echo "waited too long for: $*"
      tail -n 20 /tmp/*.log
      exit 1
    fi
    sleep 0.2
  done
}

chown -R gptvq:gptvq /var/lib/gptvq/input
start gptvq-coordinator
coordinator=$started
start gptvq-worker
worker=$started
await test -e /run/gptvq-worker/ready
await gptvq-client list

# The commands of docs/install-debian.md, made small by three more flags.
export GPTVQ_STATE_DIR=/tmp/state
cd /var/lib/gptvq
gptvq-client submit --wait --model input/model --calibration input/calibration.jsonl \
  --evaluation input/held_out.jsonl --output result --preset 2d-3.125bpv --group-weights 2048 --samples 4 --sequence-length 64
gptvq-client verify result
gptvq-client workers

kill -TERM "$worker" && wait "$worker"
test ! -e /run/gptvq-worker/ready
kill -TERM "$coordinator" && wait "$coordinator"
