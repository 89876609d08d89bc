#!/usr/bin/env bash
# Copies what core/ needs beside CUDA, CMake and a compiler (Abseil and GoogleTest, headers and static libraries of Debian's
# packages) into a folder, for building on a GPU machine that has neither: tools/gpu_check.sh -p FOLDER build
#
# usage: tools/gpu_bundle.sh FOLDER
set -euo pipefail
target=${1:?usage: tools/gpu_bundle.sh FOLDER}
libraries=usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo x86_64-linux-gnu)
mkdir -p "$target/usr/include" "$target/$libraries/cmake" "$target/$libraries/pkgconfig"
cp -r /usr/include/absl /usr/include/gtest /usr/include/gmock "$target/usr/include/"
cp "/$libraries"/libabsl_*.a "/$libraries"/libgtest*.a "/$libraries"/libgmock*.a "$target/$libraries/"
cp -r "/$libraries/cmake/absl" "/$libraries/cmake/GTest" "$target/$libraries/cmake/"
# Debian's Abseil names its shared libraries there.
find "$target/$libraries/cmake/absl" -name '*.cmake' -exec sed -i -E \
  -e 's/ SHARED IMPORTED/ STATIC IMPORTED/' -e 's/\.so\.[0-9.]+"/.a"/' -e '/IMPORTED_SONAME/d' {} +
du -sh "$target"
