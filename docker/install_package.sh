#!/bin/sh
# Installs a package with what it depends on into an image, and leaves no list, log, cache or package behind.
#
# usage: install_package.sh PACKAGE.deb
set -eu
# The number is the image's promise to whoever mounts a volume; the package finds the user and keeps it.
groupadd --system --gid 65532 gptvq
useradd --system --key SYS_UID_MAX=65532 --uid 65532 --gid 65532 --home-dir /var/lib/gptvq --no-create-home --shell /usr/sbin/nologin gptvq
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$1" > /dev/null
install -d -o gptvq -g gptvq /var/lib/gptvq /run/gptvq /data
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/aux-cache /var/log/*.log /var/log/apt "$1" /usr/local/sbin/install_package.sh
