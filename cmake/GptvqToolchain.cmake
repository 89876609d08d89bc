# Language level, warnings, sanitizers, linker and compiler cache: everything that applies to every target.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
# Under instruments: quick to build, lines in stack traces, assertions on.
set(CMAKE_CXX_FLAGS_CHECKED "-O1 -g1")
include(CTest)

# Floating-point contraction would let the compiler round a*b+c differently from one inlining to the next; results must
# not depend on that, so fused operations are written explicitly where they are wanted.
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wno-sign-compare;-ffp-contract=off>")
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)  # GCC 12 warns wrongly about std::string concatenation (GCC bug 105651)
endif()
if(GPTVQ_WERROR)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()

if(GPTVQ_SANITIZE)
  list(JOIN GPTVQ_SANITIZE "," sanitizers)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${sanitizers};-fno-omit-frame-pointer>")
  add_link_options(-fsanitize=${sanitizers})
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    add_compile_options(-Wno-maybe-uninitialized)  # of std::optional, GCC 12 says so wrongly under a sanitizer
  endif()
endif()
if(GPTVQ_FUZZ)
  # Also in the libraries, so that the fuzzer sees which inputs reach new code there.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=fuzzer-no-link>)
endif()
option(GPTVQ_COVERAGE "Instrument for gcov" OFF)
if(GPTVQ_COVERAGE)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:--coverage;-fprofile-update=atomic>")
  add_link_options(--coverage)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD AND NOT GPTVQ_SANITIZE AND NOT GPTVQ_COVERAGE)
  add_link_options(-fuse-ld=mold)
endif()
