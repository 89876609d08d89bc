#ifndef GPTVQ_CORE_BASE_CHECK_H_
#define GPTVQ_CORE_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

// GPTVQ_CHECK(condition): a broken precondition is a bug of the caller, not an input error; it ends the process with the
// place and the expression. Errors that an input can cause are returned as absl::Status instead. Active in every build.
#define GPTVQ_CHECK(condition)                                                           \
  do {                                                                                   \
    if (!(condition)) [[unlikely]] {                                                     \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)

#endif  // GPTVQ_CORE_BASE_CHECK_H_
