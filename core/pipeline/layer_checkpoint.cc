#include "core/pipeline/layer_checkpoint.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/linear_role.h"

namespace gptvq {
namespace {

absl::Status CheckReport(const LinearReport& report, const std::string& path, LinearShape shape) {
  if (report.name != path) {
    return absl::InvalidArgumentError(
        absl::StrCat("checkpoint: a report of ", report.name, " where that of ", path, " is due"));
  }
  if (report.rows == shape.rows && report.cols == shape.cols) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("checkpoint: ", path, " is ", report.rows, " x ", report.cols,
                                                 ", the model has ", shape.rows, " x ", shape.cols));
}

}  // namespace

absl::StatusOr<LayerCheckpoint> ReadLayerCheckpoint(const LayerArtifact& artifact, const ModelConfig& config,
                                                    const QuantSpec& spec, std::vector<LinearReport> reports) {
  if (artifact.layer() >= config.layer_count || artifact.spec() != spec) {
    return absl::InvalidArgumentError("checkpoint: of another model or another spec");
  }
  if (reports.size() != artifact.modules().size() || reports.size() > kLinearRoles.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("checkpoint: ", artifact.modules().size(), " linears, ", reports.size(), " reports"));
  }
  LayerCheckpoint checkpoint{.layer = artifact.layer(), .done = {}};
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const LinearRole role = kLinearRoles[i];
    const LinearShape shape = ShapeOf(config, role);
    const std::string path = LinearPath(checkpoint.layer, role);
    GPTVQ_RETURN_IF_ERROR(CheckReport(reports[i], path, shape));
    GPTVQ_ASSIGN_OR_RETURN(QuantizedLinear linear, artifact.ReadLinear(path));
    if (RowCount(linear) != shape.rows || ColumnCount(linear) != shape.cols) {
      return absl::InvalidArgumentError(absl::StrCat("checkpoint: ", path, " has another shape than the model's"));
    }
    checkpoint.done.linears.push_back(std::make_shared<const QuantizedLinear>(std::move(linear)));
  }
  checkpoint.done.reports = std::move(reports);
  return checkpoint;
}

}  // namespace gptvq
