# Every third-party package, found once, here.

find_package(Threads REQUIRED)
find_package(absl CONFIG REQUIRED)
if(BUILD_TESTING)
  find_package(GTest CONFIG REQUIRED)
endif()

set(BLA_VENDOR OpenBLAS)
find_package(BLAS)
find_package(LAPACK)
find_package(PkgConfig)
if(PkgConfig_FOUND)
  pkg_check_modules(HWY IMPORTED_TARGET libhwy)
endif()

include(CheckLanguage)
check_language(CUDA)
if(CMAKE_CUDA_COMPILER)
  message(STATUS "CUDA compiler: ${CMAKE_CUDA_COMPILER}")
else()
  message(STATUS "No CUDA compiler: building for the CPU only")
endif()

if(GPTVQ_CORE_ONLY)
  return()
endif()

find_package(Protobuf REQUIRED)  # module mode: Debian ships no protobuf-config.cmake
find_package(gRPC CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(CURL REQUIRED)
find_package(pugixml CONFIG REQUIRED)
pkg_check_modules(ICU REQUIRED IMPORTED_TARGET icu-uc)
