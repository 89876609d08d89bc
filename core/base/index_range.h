#ifndef GPTVQ_CORE_BASE_INDEX_RANGE_H_
#define GPTVQ_CORE_BASE_INDEX_RANGE_H_

#include <cstdint>

namespace gptvq {

// The indices [begin, end). Plain value.
struct IndexRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  std::int64_t count() const { return end - begin; }
  friend bool operator==(const IndexRange&, const IndexRange&) = default;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BASE_INDEX_RANGE_H_
