#ifndef GPTVQ_SERVER_STORAGE_INPUT_PROBE_H_
#define GPTVQ_SERVER_STORAGE_INPUT_PROBE_H_

#include <string_view>

#include "platform/object_store/storage.h"
#include "server/input_probe.h"

namespace gptvq {

// Opens models and texts as the workers will: configuration and headers are read and every tensor's shape is checked, no
// weight and no text is read. Borrows the storage. Thread-safe.
class StorageInputProbe final : public InputProbe {
 public:
  explicit StorageInputProbe(const Storage& storage) : storage_(storage) {}

  absl::StatusOr<ModelSummary> SummarizeModel(std::string_view model_uri) override;
  absl::Status CheckText(std::string_view text_uri) override;
  absl::Status CheckOutput(std::string_view output_uri) override;

 private:
  const Storage& storage_;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_STORAGE_INPUT_PROBE_H_
