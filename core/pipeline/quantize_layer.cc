#include "core/pipeline/quantize_layer.h"

#include <array>
#include <utility>

#include "core/base/status_macros.h"
#include "core/model/linear_role.h"
#include "core/quant/hessian.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/quantize_linear.h"

namespace gptvq {
namespace {

// The work on one layer: borrows everything, collects the result.
class LayerQuantizer {
 public:
  LayerQuantizer(Backend& backend, LayerForward& forward, const LinearSource& linears, DecoderLayer& layer,
                 Activations& x, const QuantizeLayerOptions& options, const MonotonicClock& clock,
                 LayerStepObserver observe_step)
      : backend_(backend),
        forward_(forward),
        linears_(linears),
        layer_(layer),
        x_(x),
        options_(options),
        clock_(clock),
        observe_step_(observe_step) {}

  // Each input on the outputs of the linears quantized before it.
  absl::Status RunTrueSequential() {
    GPTVQ_ASSIGN_OR_RETURN(SequentialPass pass, SequentialPass::Begin(forward_, layer_, x_, {}));
    for (LayerInput input : kLayerInputs) {
      GPTVQ_ASSIGN_OR_RETURN(HessianAccumulator accumulator, MakeAccumulator(input));
      GPTVQ_RETURN_IF_ERROR(pass.Visit(input, [&](LayerInput, ConstTensorView rows) -> absl::Status {
        GPTVQ_RETURN_IF_ERROR(ObserveStep("calibrate"));
        return accumulator.Add(rows);
      }));
      GPTVQ_RETURN_IF_ERROR(QuantizeInput(input, std::move(accumulator)));
    }
    return pass.Finish();
  }

  // All inputs on the layer as it was.
  absl::Status RunOnePass() {
    std::vector<HessianAccumulator> accumulators;
    for (LayerInput input : kLayerInputs) {
      GPTVQ_ASSIGN_OR_RETURN(HessianAccumulator accumulator, MakeAccumulator(input));
      accumulators.push_back(std::move(accumulator));
    }
    GPTVQ_RETURN_IF_ERROR(
        forward_.ObserveInputs(layer_, x_, [&](LayerInput input, ConstTensorView rows) -> absl::Status {
          GPTVQ_RETURN_IF_ERROR(ObserveStep("calibrate"));
          return accumulators[static_cast<std::size_t>(input)].Add(rows);
        }));
    for (LayerInput input : kLayerInputs) {
      GPTVQ_RETURN_IF_ERROR(QuantizeInput(input, std::move(accumulators[static_cast<std::size_t>(input)])));
    }
    return forward_.Run(layer_, x_, [&](LayerInput, ConstTensorView) { return ObserveStep("propagate"); });
  }

  QuantizedLayer TakeResult() && { return std::move(result_); }

 private:
  absl::StatusOr<HessianAccumulator> MakeAccumulator(LayerInput input) {
    // The first linear that reads the input tells its width.
    return HessianAccumulator::Make(backend_, layer_.weight(LinearsAt(input).front()).cols);
  }

  absl::Status ObserveStep(std::string_view step) {
    return observe_step_(static_cast<int>(result_.linears.size()), step);
  }

  absl::Status QuantizeInput(LayerInput input, HessianAccumulator accumulator) {
    GPTVQ_ASSIGN_OR_RETURN(Hessian hessian, std::move(accumulator).Finish());
    GPTVQ_ASSIGN_OR_RETURN(const PreparedHessian prepared,
                           PreparedHessian::Make(backend_, std::move(hessian), options_.spec, &clock_));
    bool is_first = true;
    for (LinearRole role : LinearsAt(input)) {
      GPTVQ_RETURN_IF_ERROR(QuantizeRole(role, prepared));
      // The factorisation is shared; its time is booked on the linear that needed it first.
      if (is_first) result_.reports.back().seconds.factor = prepared.factor_seconds();
      is_first = false;
    }
    return absl::OkStatus();
  }

  absl::Status QuantizeRole(LinearRole role, const PreparedHessian& hessian) {
    const std::string path = LinearPath(layer_.index(), role);
    GPTVQ_RETURN_IF_ERROR(ObserveStep(path));
    const std::int64_t rows = layer_.weight(role).rows;
    const std::int64_t cols = layer_.weight(role).cols;
    std::vector<float> weight(static_cast<std::size_t>(rows * cols));
    const MatrixView<float> view(weight.data(), rows, cols);
    GPTVQ_RETURN_IF_ERROR(linears_.ReadWeight(layer_.index(), role, view));
    GPTVQ_ASSIGN_OR_RETURN(LinearResult result,
                           QuantizeLinear(backend_, path, view, hessian, options_.spec, options_.seed, &clock_));
    GPTVQ_RETURN_IF_ERROR(layer_.SetWeight(role, MatrixView<const float>(result.dequantized.data(), rows, cols)));
    result_.linears.push_back(std::move(result.linear));
    result_.reports.push_back(std::move(result.report));
    return absl::OkStatus();
  }

  Backend& backend_;
  LayerForward& forward_;
  const LinearSource& linears_;
  DecoderLayer& layer_;
  Activations& x_;
  const QuantizeLayerOptions& options_;
  const MonotonicClock& clock_;
  LayerStepObserver observe_step_;
  QuantizedLayer result_;
};

}  // namespace

absl::StatusOr<QuantizedLayer> QuantizeLayer(Backend& backend, LayerForward& forward, const LinearSource& linears,
                                             DecoderLayer& layer, Activations& x, const QuantizeLayerOptions& options,
                                             const MonotonicClock& clock, LayerStepObserver observe_step) {
  LayerQuantizer quantizer(backend, forward, linears, layer, x, options, clock, observe_step);
  switch (options.spec.layer_order) {
    case LayerOrder::kTrueSequential: GPTVQ_RETURN_IF_ERROR(quantizer.RunTrueSequential()); break;
    case LayerOrder::kOnePass: GPTVQ_RETURN_IF_ERROR(quantizer.RunOnePass()); break;
  }
  return std::move(quantizer).TakeResult();
}

}  // namespace gptvq
