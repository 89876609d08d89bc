#!/usr/bin/env bash
# Installs the Debian packages that one purpose needs, and nothing when they are all there.
#
# usage: tools/install_packages.sh PURPOSE...
#   build     compiler, CMake and the libraries that the three binaries and their tests link to
#   demo      what tools/prepare_demo.sh runs: Python with NumPy
#   ops       what holds metrics, rules and dashboards against a real Prometheus
#   services  the servers that tests start: PostgreSQL
#   test      demo, ops and services; openssl for certificates, faketime for old ones; the oracle of the tests, PyTorch for
#             Debian's own Python; systemd's checks of units
#   s3        Ceph's object gateway, a real S3 server for the tests
#   chaos     what tests/chaos injects faults with
#   matrix    what tests/matrix plays clients and workers with, and issues certificates
#   fuzz      clang with libFuzzer
#   coverage  gcovr
#   lint      clang-format, clang-tidy, shellcheck
#   package   what CPack runs to make .deb packages
#   images    what builds and runs the images and a clean Debian without a container engine; as root
# shellcheck disable=SC2034  # the groups are read through a nameref
set -euo pipefail

build=(
  cmake g++ make ninja-build ccache mold pkg-config python3
  libabsl-dev libcli11-dev libcurl4-openssl-dev libfmt-dev libgmock-dev libgrpc++-dev libgtest-dev libhwy-dev libicu-dev
  libmicrohttpd-dev libopenblas-dev libpq-dev libprotobuf-dev libpugixml-dev libspdlog-dev libsqlite3-dev libssl-dev
  nlohmann-json3-dev prometheus-cpp-dev protobuf-compiler protobuf-compiler-grpc
)
demo=(ca-certificates python3 python3-numpy python3-venv)
ops=(ca-certificates prometheus python3 python3-numpy python3-venv python3-yaml)
services=(postgresql-15)
test=("${demo[@]}" "${ops[@]}" "${services[@]}" faketime openssl python3-torch systemd)
s3=(ceph-mgr ceph-mon ceph-osd curl openssl python3 radosgw)
chaos=("${s3[@]}" "${services[@]}" faketime fiu-utils fuse3 protobuf-compiler python3-fusepy python3-hpack python3-protobuf)
matrix=(faketime openssl protobuf-compiler python3-grpcio python3-protobuf util-linux)
fuzz=(clang-14 libclang-rt-14-dev)
coverage=(gcovr)
lint=(clang-format clang-tidy shellcheck)
package=(binutils dpkg-dev file)
images=(
  "${package[@]}" aardvark-dns buildah catatonit conmon containernetworking-plugins
  golang-github-containers-common iproute2 lintian mmdebstrap netavark podman runc
)

[ $# -gt 0 ] || { sed -n '2,/^# shellcheck/{/shellcheck/!s/^# \{0,1\}//p}' "$0"; exit 2; }
wanted=()
for purpose in "$@"; do
  case $purpose in
    build|demo|ops|services|test|s3|chaos|matrix|fuzz|coverage|lint|package|images) declare -n group=$purpose; wanted+=("${group[@]}") ;;
    *) echo "$0: unknown purpose '$purpose'" >&2; exit 2 ;;
  esac
done

if ! command -v dpkg-query > /dev/null; then
  echo "$0: this is not a Debian system; install the equivalents of: ${wanted[*]}" >&2
  exit 1
fi
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2> /dev/null | sed -n 's/^installed //p')
mapfile -t missing < <(comm -23 <(printf '%s\n' "${wanted[@]}" | sort -u) <(sort -u <<< "$installed"))
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo > /dev/null || { echo "$0: as root, install: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" > /dev/null
