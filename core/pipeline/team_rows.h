#ifndef GPTVQ_CORE_PIPELINE_TEAM_ROWS_H_
#define GPTVQ_CORE_PIPELINE_TEAM_ROWS_H_

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/team.h"
#include "core/model/activations.h"
#include "core/model/decoder_layer.h"
#include "core/model/layer_forward.h"
#include "core/model/model_config.h"
#include "core/pipeline/sample_shares.h"

namespace gptvq {

// The calibration rows of a stage, shared out over a team (core/pipeline/sample_shares.h), with what moves each share through a
// layer. Owns the activations and the scratch of every rank; borrows team and config. Move-only, thread-compatible; different
// ranks may be used at once.
class TeamRows {
 public:
  // Takes activations in the memory of the lead; with one rank nothing is copied, otherwise through the host, chunk by chunk.
  // Errors: those of LayerForward::Create and of copies.
  static absl::StatusOr<TeamRows> ShareOut(const Team& team, const ModelConfig& config, Activations whole);

  const Team& team() const { return *team_; }
  const SampleShares& shares() const { return shares_; }
  LayerForward& forward(int rank) { return forwards_[rank]; }
  Activations& x(int rank) { return x_[rank]; }

  // x := layer(x) on every rank; `layers` has the layer in the memory of every rank. The observer is that of rank 0.
  absl::Status Run(absl::Span<const DecoderLayer> layers, InputObserver observe);

  // All rows in the memory of the lead again. Leaves this without them.
  absl::StatusOr<Activations> Gather() &&;

 private:
  explicit TeamRows(const Team& team) : team_(&team) {}

  // Calls copy(rank, first row there, first row of the whole, row count) for every chunk.
  template <typename Copy>
  absl::Status ForEachChunk(Copy copy) const;

  const Team* team_;
  Activations::Shape shape_;  // of all rows
  SampleShares shares_;
  std::vector<LayerForward> forwards_;
  std::vector<Activations> x_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_TEAM_ROWS_H_
