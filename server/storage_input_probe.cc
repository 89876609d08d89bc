#include "server/storage_input_probe.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "core/base/dtype.h"
#include "core/base/status_macros.h"
#include "core/format/manifest.h"
#include "core/model/linear_role.h"
#include "core/model/model_tensors.h"
#include "core/pipeline/source_model.h"
#include "platform/object_store/object_uri.h"

namespace gptvq {

absl::StatusOr<ModelSummary> StorageInputProbe::SummarizeModel(std::string_view model_uri) {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ObjectUri::Parse(model_uri));
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableDirectory> directory, storage_.OpenDirectory(uri));
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<SourceModel> model, SourceModel::Open(*directory));
  GPTVQ_ASSIGN_OR_RETURN(const TensorInfo weight, model->checkpoint().Get(WeightTensor(0, LinearRole::kQ)));
  return ModelSummary{.layer_count = model->config().layer_count,
                      .warnings = model->Warnings(),
                      .config = model->config(),
                      .bytes_per_weight = static_cast<int>(DTypeBytes(weight.dtype))};
}

absl::Status StorageInputProbe::CheckText(std::string_view text_uri) {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ObjectUri::Parse(text_uri));
  return storage_.OpenFile(uri).status();
}

absl::Status StorageInputProbe::CheckOutput(std::string_view output_uri) {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ObjectUri::Parse(output_uri));
  GPTVQ_RETURN_IF_ERROR(storage_.CheckCreatable(uri));
  // Days of computing may lie there; only a person removes them.
  const auto directory = storage_.OpenDirectory(uri);
  if (!directory.ok()) return absl::IsNotFound(directory.status()) ? absl::OkStatus() : directory.status();
  const absl::Status manifest = (*directory)->Open(kManifestFile).status();
  if (absl::IsNotFound(manifest)) return absl::OkStatus();
  if (!manifest.ok()) return manifest;
  return absl::FailedPreconditionError(absl::StrCat(uri.ToString(), ": holds the result of an earlier job (",
                                                    std::string(kManifestFile),
                                                    "); name another place, or remove that result first"));
}

}  // namespace gptvq
