# The CUDA language and its libraries: language level, architectures, warnings.

if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  # H100 and H200, and intermediate code for what comes later; one, because each costs a minute of every build. Preset `cuda`
  # has more.
  set(CMAKE_CUDA_ARCHITECTURES 90)
endif()
if(CCACHE)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
endif()
enable_language(CUDA)
# Debian's packages name /usr/include as theirs. Where CMake does not see that nvcc looks there anyway, it would come before
# the C++ library's own headers, which then do not find math.h behind them.
list(APPEND CMAKE_CUDA_IMPLICIT_INCLUDE_DIRECTORIES ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc takes C++20
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
find_package(CUDAToolkit REQUIRED)
# cuBLAS and cuSOLVER are loaded when a device is made: by what is built here from this toolkit, by what is installed from
# where its system finds them.
list(APPEND CMAKE_BUILD_RPATH ${CUDAToolkit_LIBRARY_DIR})
message(STATUS "CUDA ${CUDAToolkit_VERSION}: ${CMAKE_CUDA_COMPILER}, architectures ${CMAKE_CUDA_ARCHITECTURES}")

# As for C++: fused operations are written explicitly (GptvqToolchain.cmake says why).
add_compile_options($<$<COMPILE_LANGUAGE:CUDA>:--fmad=false>)
add_compile_options($<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wno-sign-compare>)
if(GPTVQ_WERROR)
  add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:-Werror;all-warnings;-Xcompiler=-Werror>")
endif()
