#!/usr/bin/env bash
# Gathers what a GPU machine lacks that has CUDA, CMake and a compiler, but none of Debian's packages and no network, for
# tools/gpu_check.sh -p FOLDER:
#
#   FOLDER/usr     Abseil and GoogleTest, headers and static libraries, to build core/ with
#   FOLDER/run     gptvq-client and, in lib, the shared libraries that it needs, but for those of the C library; with CLIENT only
#
# usage: tools/gpu_bundle.sh FOLDER [CLIENT]
set -euo pipefail
target=${1:?usage: tools/gpu_bundle.sh FOLDER [CLIENT]}
client=${2:-}
libraries=usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo x86_64-linux-gnu)
mkdir -p "$target/usr/include" "$target/$libraries/cmake" "$target/$libraries/pkgconfig"
cp -r /usr/include/absl /usr/include/gtest /usr/include/gmock "$target/usr/include/"
cp "/$libraries"/libabsl_*.a "/$libraries"/libgtest*.a "/$libraries"/libgmock*.a "$target/$libraries/"
cp -r "/$libraries/cmake/absl" "/$libraries/cmake/GTest" "$target/$libraries/cmake/"
# Debian's Abseil names its shared libraries there.
find "$target/$libraries/cmake/absl" -name '*.cmake' -exec sed -i -E \
  -e 's/ SHARED IMPORTED/ STATIC IMPORTED/' -e 's/\.so\.[0-9.]+"/.a"/' -e '/IMPORTED_SONAME/d' {} +

if [ -n "$client" ]; then
  mkdir -p "$target/run/lib"
  strip -o "$target/run/lib/gptvq-client" "$client"
  # For the client alone: other programs, Python for one, are made for the machine's own libraries.
  cat > "$target/run/gptvq-client" << 'END'
#!/bin/sh
lib=$(dirname "$0")/lib
LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$lib/gptvq-client" "$@"
END
  chmod +x "$target/run/gptvq-client"
  # The C library has to be that of the driver's libraries: the machine's own, which may be newer than this one's.
  ldd "$client" | awk '$3 ~ /^\// {print $3}' |
    grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv|ld-linux[^/]*)\.so' |
    xargs -I{} cp -L {} "$target/run/lib/"
fi
du -sh "$target"/*
