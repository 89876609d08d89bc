# The only way to make a target in this project.

# gptvq_library(NAME SRCS ... HDRS ... DEPS ... [PRIVATE_DEPS ...])
# A static library gptvq_<NAME>. Includes are spelled from the repository root.
function(gptvq_library name)
  cmake_parse_arguments(ARG "" "" "SRCS;HDRS;DEPS;PRIVATE_DEPS" ${ARGN})
  if(ARG_SRCS)
    add_library(gptvq_${name} STATIC ${ARG_SRCS} ${ARG_HDRS})
    target_include_directories(gptvq_${name} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(gptvq_${name} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  else()
    add_library(gptvq_${name} INTERFACE)
    target_include_directories(gptvq_${name} INTERFACE ${CMAKE_SOURCE_DIR})
    target_link_libraries(gptvq_${name} INTERFACE ${ARG_DEPS})
  endif()
endfunction()

# gptvq_binary(NAME SRCS ... DEPS ...): an installed program called <NAME>, in an install component of that name.
function(gptvq_binary name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  install(TARGETS ${name} RUNTIME DESTINATION bin COMPONENT ${name})
endfunction()

# gptvq_test_timeout(VARIABLE SECONDS): SECONDS, or eight times that where instruments slow a test down.
function(gptvq_test_timeout variable seconds)
  if(GPTVQ_SANITIZE OR GPTVQ_COVERAGE)
    math(EXPR seconds "8 * ${seconds}")
  endif()
  set(${variable} ${seconds} PARENT_SCOPE)
endfunction()

# gptvq_test(NAME SRCS ... DEPS ... [LABELS unit|conformance|sim|golden|e2e|gpu|fuzz|oracle|s3]):
# one GoogleTest program, one CTest entry, label `unit` unless told otherwise. A test with a gRPC client and server in one
# process is labelled in_process_rpc, too: ThreadSanitizer cannot judge it.
function(gptvq_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SRCS;DEPS;LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  gptvq_test_timeout(timeout ${ARG_TIMEOUT})
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE GPTVQ_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                             GPTVQ_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${timeout})
endfunction()

# gptvq_test_program(NAME SRCS ... DEPS ...): a program that a test starts; not installed.
function(gptvq_test_program name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
endfunction()

# gptvq_bench(NAME SRCS ... DEPS ...): a benchmark program under bin/bench; CI builds it and never times it.
function(gptvq_bench name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/bench)
endfunction()

# gptvq_fuzzer(NAME SRCS ... DEPS ...): a libFuzzer program with GPTVQ_FUZZ, otherwise a program that replays the
# files it is given, so that the corpus runs as a plain regression test with every compiler.
function(gptvq_fuzzer name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  if(GPTVQ_FUZZ)
    add_executable(${name} ${ARG_SRCS})
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name} ${ARG_SRCS} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/fuzz)
endfunction()

# gptvq_carried(NAME): the program also runs on machines that lack this one's C++ runtime, for instance a bare GPU machine.
function(gptvq_carried name)
  target_link_options(${name} PRIVATE -static-libstdc++ -static-libgcc)
endfunction()
