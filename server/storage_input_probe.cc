#include "server/storage_input_probe.h"

#include <memory>

#include "core/base/status_macros.h"
#include "core/pipeline/source_model.h"
#include "platform/object_store/object_uri.h"

namespace gptvq {

absl::StatusOr<ModelSummary> StorageInputProbe::SummarizeModel(std::string_view model_uri) {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ObjectUri::Parse(model_uri));
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableDirectory> directory, storage_.OpenDirectory(uri));
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<SourceModel> model, SourceModel::Open(*directory));
  return ModelSummary{.layer_count = model->config().layer_count, .warnings = model->Warnings()};
}

absl::Status StorageInputProbe::CheckText(std::string_view text_uri) {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ObjectUri::Parse(text_uri));
  return storage_.OpenFile(uri).status();
}

absl::Status StorageInputProbe::CheckOutput(std::string_view output_uri) {
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ObjectUri::Parse(output_uri));
  return storage_.CheckCreatable(uri);
}

}  // namespace gptvq
