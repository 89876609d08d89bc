#!/usr/bin/env bash
# Builds the images from docker/Dockerfile as it is and runs them, without a container engine's daemon and without a
# registry: buildah builds in a chroot on a base image that mmdebstrap makes, podman runs. The client's container submits a
# job to the coordinator's container, a worker's container does the work, all on a loopback of their own, without rights and
# on read-only roots. Of worker-cuda the last stage is built, twice, which must give the same bytes: where this machine has a
# CUDA toolkit, on a base with its libraries in place of NVIDIA's image, with the package that was built here. As root;
# everything lies below build/images.
#
# usage: tests/deploy/images_test.sh MAKE_TINY_MODEL
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0"; exit 2; }
make_tiny_model=$(realpath "$1")
cd "$(dirname "$0")/../.."
images=$PWD/build/images
mkdir -p "$images/tmp/buildah-cache"
export TMPDIR=$images/tmp
# Few machines grant the limits that podman would set by itself.
cat > "$images/containers.conf" <<'END'
[containers]
default_ulimits=["nofile=20000:20000","nproc=4096:4096"]
[engine]
cgroup_manager="cgroupfs"
runtime="runc"
events_logger="file"
END
export CONTAINERS_CONF=$images/containers.conf
store=(--root "$images/storage" --runroot "$images/run" --storage-driver overlay)
tag=gptvq-test
version=$(build/release/bin/gptvq-client --version | cut -d ' ' -f 2)

make_base() {
  local container
  podman "${store[@]}" image exists docker.io/library/debian:bookworm-slim && return
  tests/deploy/debian_root.sh "$images/debian.tar"
  container=$(buildah "${store[@]}" from scratch)
  buildah "${store[@]}" add --quiet "$container" "$images/debian.tar" / > /dev/null
  buildah "${store[@]}" commit --quiet --rm "$container" docker.io/library/debian:bookworm-slim > /dev/null
}

# build TARGET. What was compiled on this machine is not compiled again in the image, unless SOURCE_DATE_EPOCH is set, which
# gives every file in it that time, the compiler too.
build() {
  ln -sfn "${CCACHE_DIR:-$HOME/.cache/ccache}" "$images/tmp/buildah-cache/gptvq-ccache"
  mkdir -p "${CCACHE_DIR:-$HOME/.cache/ccache}"
  echo "== build $1"
  buildah "${store[@]}" bud --quiet --layers --isolation chroot --pull-never --format docker ${SOURCE_DATE_EPOCH:+--timestamp "$SOURCE_DATE_EPOCH"} \
    --build-arg "JOBS=${JOBS:-$(nproc)}" --build-arg "VERSION=$version" --target "$1" --tag "$tag/$1" --file docker/Dockerfile . > /dev/null
}

# What NVIDIA's runtime image has of what the worker loads.
make_cuda_base() {
  local container library
  podman "${store[@]}" image exists "$tag/cuda-runtime" && return
  container=$(buildah "${store[@]}" from --pull-never docker.io/library/debian:bookworm-slim)
  for library in libcublas libcublasLt libcusolver libcusparse libnvJitLink; do
    buildah "${store[@]}" copy --quiet "$container" "$(realpath "$toolkit/lib64/$library.so")" \
      "/usr/local/cuda/lib64/$(basename "$(readlink "$toolkit/lib64/$library.so")")" > /dev/null
  done
  buildah "${store[@]}" run --isolation chroot "$container" sh -c \
    'echo /usr/local/cuda/lib64 > /etc/ld.so.conf.d/cuda.conf; ldconfig'
  buildah "${store[@]}" commit --quiet --rm "$container" "$tag/cuda-runtime" > /dev/null
}

# build_worker_cuda TAG. The last stage of the Dockerfile; the one that compiles is replaced by what it would leave.
build_worker_cuda() {
  local stage=$images/tmp/worker-cuda
  rm -rf "$stage"
  mkdir -p "$stage/src/build/cuda"
  cp -r build/release/packages "$stage/src/build/cuda/packages"
  sed -n '/^ARG CUDA_RUNTIME/p; /^FROM ${CUDA_RUNTIME} AS worker-cuda/,$p' docker/Dockerfile > "$stage/Dockerfile"
  buildah "${store[@]}" bud --quiet --no-cache --isolation chroot --pull-never --format docker --timestamp 0 \
    --build-context "build-cuda=$stage" --build-arg "CUDA_RUNTIME=localhost/$tag/cuda-runtime" --build-arg "VERSION=$version" \
    --tag "$1" --file "$stage/Dockerfile" . > /dev/null
  rm -rf "$stage"
}

# Twice the same, the worker finds its libraries, says in one line that there is no driver, and computes on the CPU.
check_worker_cuda() {
  local said code=0 layers=()
  toolkit=${CUDA_HOME:-/usr/local/cuda}
  if [ ! -e "$toolkit/lib64/libcusolver.so" ]; then
    echo "== worker-cuda is not built: no CUDA toolkit in $toolkit"
    return
  fi
  echo "== build worker-cuda, twice"
  make_cuda_base
  for name in worker-cuda worker-cuda-again; do
    build_worker_cuda "$tag/$name"
    layers+=("$(podman "${store[@]}" inspect --format '{{.RootFS.Layers}}' "$tag/$name")")
  done
  [ "${layers[0]}" = "${layers[1]}" ] || { printf 'worker-cuda differs:\n%s\n%s\n' "${layers[@]}"; exit 1; }
  in_worker_cuda() {
    podman "${store[@]}" run --rm --pull never --no-healthcheck --read-only --cap-drop all --network none "$@"
  }
  in_worker_cuda --entrypoint sh "$tag/worker-cuda" -c '! ldd /usr/local/cuda/lib64/*.so.* | grep "not found"'
  in_worker_cuda "$tag/worker-cuda" --device cpu --selftest
  [ ! -e /proc/driver/nvidia/version ] || return 0
  said=$(in_worker_cuda "$tag/worker-cuda" --device cuda --selftest 2>&1) || code=$?
  if [ $code != 1 ] || [[ $said != "gptvq-worker: cuda: the NVIDIA driver is missing"* ]] || [ "$(wc -l <<< "$said")" != 1 ]; then
    echo "without a driver, exit code $code: $said"
    exit 1
  fi
  echo "$said"
}

# run NAME TARGET FLAGS -- ARGUMENTS...: a container without rights that writes to volumes and /tmp only. Its health check runs
# when it is asked for; podman complains that it finds no systemd to run it every now and then.
run() {
  local name=$1 target=$2 flags=()
  shift 2
  while [ "$1" != -- ]; do flags+=("$1"); shift; done
  shift
  podman "${store[@]}" run --name "$name" --pull never --read-only --cap-drop all --security-opt no-new-privileges \
    --tmpfs /tmp:mode=1777 --volume "$data:/data" "${flags[@]}" "$tag/$target" "$@"
}

# The coordinator's last: the others live on its network.
remove_containers() {
  for name in "${started[2]}" "${started[1]}" "${started[0]}"; do
    podman "${store[@]}" rm --force --ignore --volumes --time 1 "$name" > /dev/null 2>&1 || true
  done
}

# await COMMAND...: until it succeeds.
await() {
  until "$@" > /dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
      echo "waited too long for: $*" >&2
      for name in "${started[@]}"; do podman "${store[@]}" logs --tail 20 "$name" >&2 || true; done
      exit 1
    fi
    sleep 0.5
  done
}

make_base
for target in coordinator worker-cpu client; do build "$target"; done
podman "${store[@]}" images --filter "reference=localhost/$tag/*" --format '{{.Repository}} {{.Size}}'
for target in coordinator worker-cpu client; do
  user=$(podman "${store[@]}" inspect --format '{{.Config.User}}' "$tag/$target")
  [ "$user" = 65532:65532 ] || { echo "$target runs as $user"; exit 1; }
done

check_worker_cuda

data=$(mktemp -d "$images/data.XXXXXX")
started=(gptvq-test-coordinator gptvq-test-worker gptvq-test-client)
remove_containers
trap 'remove_containers; rm -rf "$data"' EXIT
mkdir "$data/run"
"$make_tiny_model" "$data/input" 2 64
chown -R 65532:65532 "$data"

echo "== run"
deadline=$((SECONDS + 180))
# Nobody but these containers is on its network, which is what GPTVQ_INSECURE vouches for.
run "${started[0]}" coordinator --detach --network none --env GPTVQ_INSECURE=on --env GPTVQ_STORE=/data/artifacts -- > /dev/null
await podman "${store[@]}" healthcheck run "${started[0]}"
run "${started[1]}" worker-cpu --detach --network "container:${started[0]}" --volume "$data/run:/run/gptvq" \
  --env GPTVQ_COORDINATOR=127.0.0.1:7070 --env GPTVQ_METRICS_LISTEN=127.0.0.1:9465 --env GPTVQ_FILE_ROOT=/data -- > /dev/null
await podman "${store[@]}" healthcheck run "${started[1]}"
run "${started[2]}" client --rm --network "container:${started[0]}" -- submit --wait --coordinator 127.0.0.1:7070 \
  --model /data/input/model --calibration /data/input/calibration.jsonl --evaluation /data/input/held_out.jsonl \
  --output /data/result --preset 2d-3.125bpv --group-weights 2048 --samples 4 --sequence-length 64
run "${started[2]}" client --rm --network none -- verify /data/result

echo "== stop"
podman "${store[@]}" stop --time 60 "${started[1]}" "${started[0]}" > /dev/null
for name in "${started[@]:0:2}"; do
  code=$(podman "${store[@]}" inspect --format '{{.State.ExitCode}}' "$name")
  [ "$code" = 0 ] || { echo "$name ended with $code"; podman "${store[@]}" logs --tail 20 "$name"; exit 1; }
done
echo "images built, run, and stopped in order"
