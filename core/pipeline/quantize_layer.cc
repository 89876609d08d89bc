#include "core/pipeline/quantize_layer.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <variant>

#include "core/backend/communicator.h"
#include "core/backend/device_matrix.h"
#include "core/backend/team.h"
#include "core/base/status_macros.h"
#include "core/model/layer_forward.h"
#include "core/model/linear_role.h"
#include "core/pipeline/sample_shares.h"
#include "core/pipeline/side_by_side.h"
#include "core/quant/decode_linear.h"
#include "core/quant/hessian.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/quantize_linear.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {
namespace {

// Hessians as one rank sees them: sums them up while its rows go through a layer.
class RankCalibration {
 public:
  // `inputs` in order, without gaps.
  static absl::StatusOr<RankCalibration> Make(Backend& backend, const Communicator& ranks, const SampleShares& shares,
                                              const DecoderLayer& layer, absl::Span<const LayerInput> inputs) {
    RankCalibration calibration(ranks, shares, backend.activation_dtype(), inputs);
    for (LayerInput input : inputs) {
      // The first linear that reads the input tells its width.
      const std::int64_t width = layer.weight(LinearsAt(input).front()).cols;
      GPTVQ_ASSIGN_OR_RETURN(HessianAccumulator accumulator, HessianAccumulator::Make(backend, width, ranks));
      calibration.accumulators_.push_back(std::move(accumulator));
      calibration.widths_.push_back(width);
    }
    return calibration;
  }

  // The rows of this rank's next chunk, for every input in order.
  absl::Status Add(LayerInput input, ConstTensorView rows) {
    const auto i = static_cast<std::size_t>(input) - static_cast<std::size_t>(inputs_.front());
    GPTVQ_RETURN_IF_ERROR(accumulators_[i].AddRound(rows, shares_.TokensOfRound(round_)));
    if (i + 1 == inputs_.size()) ++round_;
    return absl::OkStatus();
  }

  // After the last chunk: takes part in the rounds of the others.
  absl::StatusOr<std::vector<Hessian>> Finish() && {
    while (round_ < shares_.RoundCount()) {
      for (std::size_t i = 0; i < inputs_.size(); ++i) {
        GPTVQ_RETURN_IF_ERROR(Add(inputs_[i], ConstTensorView(nullptr, dtype_, 0, widths_[i], widths_[i])));
      }
    }
    std::vector<Hessian> hessians;
    for (HessianAccumulator& accumulator : accumulators_) {
      GPTVQ_ASSIGN_OR_RETURN(Hessian hessian, std::move(accumulator).Finish());
      hessians.push_back(std::move(hessian));
    }
    return hessians;
  }

 private:
  RankCalibration(const Communicator& ranks, const SampleShares& shares, DType dtype,
                  absl::Span<const LayerInput> inputs)
      : ranks_(ranks), shares_(shares), dtype_(dtype), inputs_(inputs) {}

  Communicator ranks_;
  SampleShares shares_;
  DType dtype_;
  absl::Span<const LayerInput> inputs_;
  std::vector<HessianAccumulator> accumulators_;
  std::vector<std::int64_t> widths_;
  std::int64_t round_ = 0;
};

// The work on one layer: borrows everything, collects the result. What every rank has is a vector by ranks.
class LayerQuantizer {
 public:
  LayerQuantizer(TeamRows& rows, const LinearSource& linears, std::vector<DecoderLayer>& layers,
                 const QuantizeLayerOptions& options, const MonotonicClock& clock, const LayerObserver& observer)
      : team_(rows.team()),
        rows_(rows),
        linears_(linears),
        layers_(layers),
        options_(options),
        clock_(clock),
        observer_(observer) {}

  // Each input on the outputs of the linears quantized before it.
  absl::Status RunTrueSequential() {
    GPTVQ_ASSIGN_OR_RETURN(std::vector<SequentialPass> passes,
                           OnEveryRank<SequentialPass>(team_, [&](const Communicator& ranks) {
                             const int rank = ranks.rank();
                             return SequentialPass::Begin(rows_.forward(rank), layers_[rank], rows_.x(rank), {});
                           }));
    for (const LayerInput& input : kLayerInputs) {
      const auto visit = [&](int rank, InputObserver observe) { return passes[rank].Visit(input, observe); };
      if (IsFinished(input)) {
        GPTVQ_RETURN_IF_ERROR(Replay(visit));
        GPTVQ_RETURN_IF_ERROR(TakeFinished(input));
        continue;
      }
      GPTVQ_ASSIGN_OR_RETURN(std::vector<std::vector<Hessian>> hessians,
                             Calibrate(absl::MakeConstSpan(&input, 1), visit));
      GPTVQ_RETURN_IF_ERROR(QuantizeInput(input, 0, hessians));
    }
    return team_.Run([&](const Communicator& ranks) { return passes[ranks.rank()].Finish(); });
  }

  // All inputs on the layer as it was.
  absl::Status RunOnePass() {
    // Finished linears are the first ones, so what has to be calibrated are the last inputs.
    const auto first_open =
        std::find_if_not(kLayerInputs.begin(), kLayerInputs.end(), [&](LayerInput input) { return IsFinished(input); });
    const auto finished_count = static_cast<std::size_t>(first_open - kLayerInputs.begin());
    const absl::Span<const LayerInput> open = absl::MakeConstSpan(kLayerInputs).subspan(finished_count);
    std::vector<std::vector<Hessian>> hessians;
    if (!open.empty()) {
      GPTVQ_ASSIGN_OR_RETURN(hessians, Calibrate(open, [&](int rank, InputObserver observe) {
                               return rows_.forward(rank).ObserveInputs(layers_[rank], rows_.x(rank), observe);
                             }));
    }
    for (LayerInput input : kLayerInputs) {
      if (IsFinished(input)) {
        GPTVQ_RETURN_IF_ERROR(TakeFinished(input));
      } else {
        GPTVQ_RETURN_IF_ERROR(QuantizeInput(input, static_cast<std::size_t>(input) - finished_count, hessians));
      }
    }
    return rows_.Run(layers_, [&](LayerInput, ConstTensorView) { return ObserveStep("propagate"); });
  }

  QuantizedLayer TakeResult() && { return std::move(result_); }

 private:
  bool IsFinished(LinearRole role) const { return static_cast<std::size_t>(role) < options_.finished.linears.size(); }
  // Whether every linear that reads there is.
  bool IsFinished(LayerInput input) const { return IsFinished(LinearsAt(input).back()); }

  // The Hessians of `inputs`, the last ones or the only one, by ranks. walk(rank, observer) runs the rows of a rank through
  // the layer.
  template <typename Walk>
  absl::StatusOr<std::vector<std::vector<Hessian>>> Calibrate(absl::Span<const LayerInput> inputs, Walk walk) {
    return OnEveryRank<std::vector<Hessian>>(
        team_, [&](const Communicator& ranks) -> absl::StatusOr<std::vector<Hessian>> {
          const int rank = ranks.rank();
          GPTVQ_ASSIGN_OR_RETURN(
              RankCalibration calibration,
              RankCalibration::Make(team_.backend(rank), ranks, rows_.shares(), layers_[rank], inputs));
          GPTVQ_RETURN_IF_ERROR(walk(rank, [&](LayerInput input, ConstTensorView rows) -> absl::Status {
            if (rank == 0) GPTVQ_RETURN_IF_ERROR(ObserveStep("calibrate"));
            return input < inputs.front() ? absl::OkStatus() : calibration.Add(input, rows);
          }));
          return std::move(calibration).Finish();
        });
  }

  // The same walk where no Hessian is needed.
  template <typename Walk>
  absl::Status Replay(Walk walk) {
    return team_.Run([&](const Communicator& ranks) {
      const int rank = ranks.rank();
      return walk(rank,
                  [&](LayerInput, ConstTensorView) { return rank == 0 ? ObserveStep("replay") : absl::OkStatus(); });
    });
  }

  absl::Status ObserveStep(std::string_view step) {
    return observer_.on_step(static_cast<int>(result_.linears.size()), step);
  }

  absl::Status TakeFinished(LayerInput input) {
    for (LinearRole role : LinearsAt(input)) GPTVQ_RETURN_IF_ERROR(TakeFinished(role));
    return absl::OkStatus();
  }

  absl::Status TakeFinished(LinearRole role) {
    const auto i = static_cast<std::size_t>(role);
    const std::shared_ptr<const QuantizedLinear>& linear = options_.finished.linears[i];
    GPTVQ_RETURN_IF_ERROR(SetWeight(team_, role, *linear));
    result_.linears.push_back(linear);
    result_.reports.push_back(options_.finished.reports[i]);
    return absl::OkStatus();
  }

  // In the memory of every rank of `team`.
  absl::Status SetWeight(const Team& team, LinearRole role, const QuantizedLinear& linear) const {
    return team.Run([&](const Communicator& ranks) {
      const int rank = ranks.rank();
      return DecodeLinear(team.backend(rank), linear, layers_[rank].Replace(role));
    });
  }

  // Takes the Hessian of every rank at `index`. All factorise it: that takes no longer than one, and nothing has to be sent.
  absl::Status QuantizeInput(LayerInput input, std::size_t index, std::vector<std::vector<Hessian>>& hessians) {
    GPTVQ_ASSIGN_OR_RETURN(const std::vector<PreparedHessian> prepared,
                           OnEveryRank<PreparedHessian>(team_, [&](const Communicator& ranks) {
                             const int rank = ranks.rank();
                             return PreparedHessian::Make(team_.backend(rank), std::move(hessians[rank][index]),
                                                          options_.spec, &clock_);
                           }));
    std::vector<LinearRole> open;
    for (LinearRole role : LinearsAt(input)) {
      if (IsFinished(role)) {
        GPTVQ_RETURN_IF_ERROR(TakeFinished(role));
      } else {
        open.push_back(role);
      }
    }
    return QuantizeRoles(open, prepared);
  }

  // A linear that was computed.
  struct Computed {
    std::shared_ptr<const QuantizedLinear> linear;
    LinearReport report;
  };

  // Side by side where there are backends for it. Nobody else touches Hessians and layers meanwhile, and both outlive the work, so
  // what the lead allocated stays where it is.
  absl::Status QuantizeRoles(absl::Span<const LinearRole> roles, absl::Span<const PreparedHessian> hessians) {
    const bool has_company = team_.size() == 1 && !options_.auxiliary.empty();
    std::vector<Computed> computed(roles.size());
    std::size_t first = 0;
    const auto begin = [&](int i) { return ObserveStep(LinearPath(layers_.front().index(), roles[first + i])); };
    const auto run = [&](int i, int place) -> absl::Status {
      if (computed[first + i].linear != nullptr) return absl::OkStatus();
      if (place == 0) return QuantizeRole(team_, roles[first + i], hessians, computed[first + i]);
      Backend& backend = *options_.auxiliary[place - 1];
      absl::Status status = QuantizeRole(Team(backend), roles[first + i], hessians, computed[first + i]);
      // Also after an error: what this backend reads must not be freed.
      status.Update(backend.Synchronize());
      return status;
    };
    const auto end = [&](int i) {
      Computed& linear = computed[first + i];
      // The factorisation is shared; its time is booked on the linear that needed it first.
      if (first + i == 0) linear.report.seconds.factor = hessians.front().factor_seconds();
      result_.linears.push_back(linear.linear);
      result_.reports.push_back(std::move(linear.report));
      observer_.on_linear(result_);
    };
    if (has_company) {
      GPTVQ_RETURN_IF_ERROR(team_.lead().Synchronize());  // what it wrote must be there for the others
      const std::size_t before = result_.linears.size();
      const absl::Status status = RunSideBySide(static_cast<int>(roles.size()),
                                                1 + static_cast<int>(options_.auxiliary.size()), {begin, run, end});
      if (!absl::IsResourceExhausted(status)) return status;
      // There was to be room for all, but what is free may lie in pieces.
      first = result_.linears.size() - before;
    }
    return RunSideBySide(static_cast<int>(roles.size() - first), 1, {begin, run, end});
  }

  // By the backends of `team`: all of the layer's, or one that uses the memory of their lead. Other linears may be at work.
  absl::Status QuantizeRole(const Team& team, LinearRole role, absl::Span<const PreparedHessian> hessians,
                            Computed& computed_out) const {
    const DecoderLayer& layer = layers_.front();
    const std::string path = LinearPath(layer.index(), role);
    const std::int64_t rows = layer.weight(role).rows;
    const std::int64_t cols = layer.weight(role).cols;
    // In host memory only where the layer was loaded with rounded weights.
    std::vector<float> read(layer.source(role).data == nullptr ? static_cast<std::size_t>(rows * cols) : 0);
    const MatrixView<float> source(read.data(), rows, cols);
    if (!read.empty()) GPTVQ_RETURN_IF_ERROR(linears_.ReadWeight(layer.index(), role, source));
    const auto copy_rows = [&](int rank, std::int64_t first_row, MatrixView<float> rows_out) {
      Backend& backend = team.backend(rank);
      if (!read.empty()) return backend.CopyFromHost(source.Rows(first_row, rows_out.rows), AsTensor(rows_out));
      return backend.forward().Convert(layers_[rank].source(role).Rows(first_row, rows_out.rows), AsTensor(rows_out));
    };
    DeviceMatrix<std::uint8_t> assignments;
    GPTVQ_ASSIGN_OR_RETURN(LinearResult result, QuantizeLinear(team, path, {rows, cols, copy_rows}, hessians,
                                                               options_.spec, options_.seed, &clock_, assignments));
    GPTVQ_RETURN_IF_ERROR(team.lead().Synchronize());  // Replace frees, on the lead's behalf, what the recipe read
    if (assignments.rows() > 0) {
      // They are where they are needed; else every rank is told all of them.
      GPTVQ_RETURN_IF_ERROR(DecodeLinear(team.lead(), std::get<VectorQuantizedLinear>(result.linear),
                                         std::as_const(assignments).view(), layers_.front().Replace(role)));
    } else {
      GPTVQ_RETURN_IF_ERROR(SetWeight(team, role, result.linear));
    }
    computed_out = {std::make_shared<const QuantizedLinear>(std::move(result.linear)), std::move(result.report)};
    return absl::OkStatus();
  }

  const Team& team_;
  TeamRows& rows_;
  const LinearSource& linears_;
  std::vector<DecoderLayer>& layers_;
  const QuantizeLayerOptions& options_;
  const MonotonicClock& clock_;
  const LayerObserver& observer_;
  QuantizedLayer result_;
};

}  // namespace

absl::StatusOr<QuantizedLayer> QuantizeLayer(TeamRows& rows, const LinearSource& linears,
                                             std::vector<DecoderLayer>& layers, const QuantizeLayerOptions& options,
                                             const MonotonicClock& clock, const LayerObserver& observer) {
  LayerQuantizer quantizer(rows, linears, layers, options, clock, observer);
  switch (options.spec.layer_order) {
    case LayerOrder::kTrueSequential: GPTVQ_RETURN_IF_ERROR(quantizer.RunTrueSequential()); break;
    case LayerOrder::kOnePass: GPTVQ_RETURN_IF_ERROR(quantizer.RunOnePass()); break;
  }
  return std::move(quantizer).TakeResult();
}

}  // namespace gptvq
