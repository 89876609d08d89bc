#!/usr/bin/env bash
# The Debian packages on a machine that has never seen the project: a minimal Debian in a chroot. They install with what
# they depend on, their services run as the units say, a job goes from submit to a verified result, and after a purge
# nothing is left. As root.
#
# usage: tests/deploy/clean_install_test.sh PACKAGE_DIR MAKE_TINY_MODEL
set -euo pipefail
[ $# -eq 2 ] || { sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0"; exit 2; }
packages=$1 make_tiny_model=$2
here=$(cd "$(dirname "$0")" && pwd)
images=$here/../../build/images
root=$(mktemp -d "${TMPDIR:-/var/tmp}/clean-install.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT

"$here/debian_root.sh" "$images/debian.tar"
tar -C "$root" -xf "$images/debian.tar"
cp /etc/resolv.conf "$root/etc/resolv.conf"
mkdir "$root/packages"
cp "$packages"/*.deb "$root/packages/"

# in_root [UNSHARE_FLAG...] -- COMMAND...: processes and mounts end with the command.
# shellcheck disable=SC2016  # the inner shell expands them
in_root() {
  local flags=()
  while [ "$1" != -- ]; do flags+=("$1"); shift; done
  shift
  unshare --mount --pid --fork --kill-child "${flags[@]}" sh -c '
    set -e
    mount -t proc proc "$1/proc"
    mount -t tmpfs tmpfs "$1/tmp"
    mount --rbind /dev "$1/dev"
    if [ "$2" = isolated ]; then ip link set lo up; fi
    root=$1
    shift 2
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"
  ' sh "$root" "$([[ " ${flags[*]-} " = *" --net "* ]] && echo isolated || echo shared)" "$@"
}

echo "== lint"
# These packages are not for Debian's archive, whose bug tracker has no request for them.
lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$packages"/*.deb

echo "== the same programs give the same packages"
for again in once twice; do
  mkdir "$root/packages/$again"
  (cd "$packages/.." && SOURCE_DATE_EPOCH=1700000000 cpack --config CPackConfig.cmake -B "$root/packages/$again" > /dev/null)
done
for package in "$root"/packages/once/*.deb; do cmp "$package" "$root/packages/twice/$(basename "$package")"; done
rm -rf "$root/packages/once" "$root/packages/twice"

echo "== install"
in_root -- apt-get update -qq
in_root -- sh -c 'apt-get install -qq -y --no-install-recommends /packages/*.deb > /tmp/log 2>&1 || { cat /tmp/log; exit 1; }'
in_root -- sh -c '! ldd /usr/bin/gptvq-* | grep "not found"'

echo "== run"
"$make_tiny_model" "$root/var/lib/gptvq/input" 2 64
cp "$here/run_services.sh" "$root/packages/"
in_root --net -- /packages/run_services.sh

echo "== install again over itself: services, users and settings stay"
echo "# touched by the administrator" >> "$root/etc/default/gptvq-worker"
in_root -- sh -c 'apt-get install -qq -y --reinstall --no-install-recommends /packages/*.deb > /tmp/log 2>&1 || { cat /tmp/log; exit 1; }'
grep -q "touched by the administrator" "$root/etc/default/gptvq-worker"

echo "== remove keeps the journal, purge does not"
in_root -- sh -c 'apt-get remove -qq -y gptvq-coordinator gptvq-worker gptvq-client > /dev/null'
test -f "$root/etc/default/gptvq-coordinator"
test -d "$root/var/lib/gptvq/coordinator"
rm -rf "$root/var/lib/gptvq/input" "$root/var/lib/gptvq/result"
in_root -- dpkg --purge gptvq-coordinator gptvq-worker > /dev/null  # the client had nothing to keep
rm -rf "$root/packages"
# The user tools keep the last version of their files, such as /etc/passwd-.
left=$(find "$root" -xdev -iname '*gptvq*'; grep -rlI --exclude='*-' gptvq "$root/etc" || true)
[ -z "$left" ] || { echo "left behind after purge:"; echo "$left"; exit 1; }
echo "nothing is left"
