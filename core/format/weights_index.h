#ifndef GPTVQ_CORE_FORMAT_WEIGHTS_INDEX_H_
#define GPTVQ_CORE_FORMAT_WEIGHTS_INDEX_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/file.h"

namespace gptvq {

// model.safetensors.index.json (docs/format.md section 3.2). Plain value.
struct WeightsIndex {
  std::map<std::string, std::string> weight_map;  // tensor -> file
  std::optional<std::uint64_t> total_size;        // bytes of all tensors
};

// Errors: InvalidArgument naming file and entry: not JSON, no weight_map, a file name that is not that of a safetensors
// sibling, a total_size that is not a whole number; one above 100 MB; those of RandomAccessFile::ReadAt.
absl::StatusOr<WeightsIndex> ReadWeightsIndex(const RandomAccessFile& file);

// The text of the index, keys in byte order, ending in LF.
std::string WeightsIndexText(const WeightsIndex& index);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_WEIGHTS_INDEX_H_
