#!/usr/bin/env bash
# Makes a minimal Debian 12 as a tar file, from the package archive that this machine uses, unless it is there already.
#
# usage: tests/deploy/debian_root.sh FILE.tar
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0"; exit 2; }
[ ! -f "$1" ] || exit 0
mkdir -p "$(dirname "$1")"
echo "Making a minimal Debian: $1"
mmdebstrap --quiet --variant=minbase --format=tar bookworm "$1.part"
mv "$1.part" "$1"
