#include "core/pipeline/team_rows.h"

#include <cstdint>

#include "core/base/status_macros.h"

namespace gptvq {
namespace {

// Rows from one backend's memory to another's, through the host in f32, which holds either dtype exactly.
class RowMover {
 public:
  RowMover(std::int64_t max_rows, std::int64_t cols)
      : cols_(cols), buffer_(static_cast<std::size_t>(max_rows * cols)) {}

  absl::Status Move(const Activations& source, std::int64_t source_row, Activations& target, std::int64_t target_row,
                    std::int64_t count) {
    const MatrixView<float> rows(buffer_.data(), count, cols_);
    GPTVQ_RETURN_IF_ERROR(source.CopyRowsToHost(source_row, rows));
    return target.CopyRowsFromHost(target_row, rows);
  }

 private:
  std::int64_t cols_;
  std::vector<float> buffer_;
};

}  // namespace

absl::StatusOr<TeamRows> TeamRows::ShareOut(const Team& team, const ModelConfig& config, Activations whole) {
  TeamRows rows(team);
  rows.shape_ = whole.shape();
  const std::int64_t length = rows.shape_.sequence_length;
  rows.shares_ = {.sample_count = rows.shape_.sample_count,
                  .sequence_length = length,
                  .chunk_samples = ChunkSamples(length),
                  .rank_count = team.size()};
  for (int rank = 0; rank < team.size(); ++rank) {
    GPTVQ_ASSIGN_OR_RETURN(LayerForward forward, LayerForward::Create(team.backend(rank), config, length));
    rows.forwards_.push_back(std::move(forward));
  }
  if (team.size() == 1) {
    rows.x_.push_back(std::move(whole));
    return rows;
  }
  for (int rank = 0; rank < team.size(); ++rank) {
    Activations::Shape shape = rows.shape_;
    shape.sample_count = rows.shares_.SampleCountOf(rank);
    GPTVQ_ASSIGN_OR_RETURN(Activations share, Activations::Allocate(team.backend(rank), shape));
    rows.x_.push_back(std::move(share));
  }
  RowMover mover(rows.shares_.chunk_samples * length, rows.shape_.hidden_size);
  GPTVQ_RETURN_IF_ERROR(
      rows.ForEachChunk([&](int rank, std::int64_t share_row, std::int64_t whole_row, std::int64_t count) {
        return mover.Move(whole, whole_row, rows.x_[rank], share_row, count);
      }));
  return rows;
}

absl::Status TeamRows::Run(absl::Span<const DecoderLayer> layers, InputObserver observe) {
  return team_->Run([&](const Communicator& ranks) {
    const int rank = ranks.rank();
    return forwards_[rank].Run(layers[rank], x_[rank], [&](LayerInput input, ConstTensorView rows) {
      return rank == 0 ? observe(input, rows) : absl::OkStatus();
    });
  });
}

absl::StatusOr<Activations> TeamRows::Gather() && {
  if (team_->size() == 1) return std::move(x_.front());
  GPTVQ_ASSIGN_OR_RETURN(Activations whole, Activations::Allocate(team_->lead(), shape_));
  RowMover mover(shares_.chunk_samples * shape_.sequence_length, shape_.hidden_size);
  GPTVQ_RETURN_IF_ERROR(ForEachChunk([&](int rank, std::int64_t share_row, std::int64_t whole_row, std::int64_t count) {
    return mover.Move(x_[rank], share_row, whole, whole_row, count);
  }));
  return whole;
}

template <typename Copy>
absl::Status TeamRows::ForEachChunk(Copy copy) const {
  const std::int64_t length = shares_.sequence_length;
  for (std::int64_t round = 0; round < shares_.RoundCount(); ++round) {
    for (int rank = 0; rank < shares_.rank_count; ++rank) {
      const IndexRange samples = shares_.Samples(round, rank);
      if (samples.count() == 0) continue;
      const std::int64_t share_row = round * shares_.chunk_samples * length;
      GPTVQ_RETURN_IF_ERROR(copy(rank, share_row, samples.begin * length, samples.count() * length));
    }
  }
  return absl::OkStatus();
}

}  // namespace gptvq
