#include "core/pipeline/source_model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "core/model/model_tensors.h"

namespace gptvq {
namespace {

constexpr std::size_t kMaxListedTensors = 12;

}  // namespace

absl::StatusOr<std::unique_ptr<SourceModel>> SourceModel::Open(const ReadableDirectory& directory) {
  GPTVQ_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(directory));
  GPTVQ_ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(directory));
  GPTVQ_RETURN_IF_ERROR(CheckTensors(config, checkpoint, TensorScope::kAll));
  return std::unique_ptr<SourceModel>(new SourceModel(directory, std::move(config), std::move(checkpoint)));
}

std::vector<std::string> SourceModel::Warnings() const {
  std::vector<std::string> warnings = checkpoint_.warnings();
  const std::vector<std::string> unused = UnusedTensors(config_, checkpoint_);
  if (unused.empty()) return warnings;
  const std::size_t listed = std::min(unused.size(), kMaxListedTensors);
  std::string sentence =
      absl::StrCat("the architecture does not read, and the result keeps unchanged: ",
                   absl::StrJoin(unused.begin(), unused.begin() + static_cast<std::ptrdiff_t>(listed), ", "));
  if (listed < unused.size()) absl::StrAppend(&sentence, " and ", unused.size() - listed, " more tensors");
  warnings.push_back(std::move(sentence));
  return warnings;
}

}  // namespace gptvq
