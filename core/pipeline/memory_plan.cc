#include "core/pipeline/memory_plan.h"

#include <algorithm>

#include "core/backend/memory_needs.h"
#include "core/base/dtype.h"
#include "core/model/layer_forward.h"
#include "core/model/linear_role.h"

namespace gptvq {
namespace {

constexpr std::int64_t kFloat = sizeof(float);

// Adds up one model's memory; letters as in core/quant: R rows, C columns, d vector dimension.
class Planner {
 public:
  Planner(const ModelConfig& config, const QuantSpec& spec, const MemoryPlanInput& input, const MemoryNeeds& needs)
      : config_(config), spec_(spec), input_(input), needs_(needs) {}

  MemoryPlan Plan() {
    plan_.beside_device_bytes = PeakBytes(Copies::kAhead, Linears::kSideBySide);
    plan_.ahead_device_bytes = PeakBytes(Copies::kAhead, Linears::kOneByOne);
    plan_.device_bytes = PeakBytes(Copies::kWhenNeeded, Linears::kOneByOne);  // last: the place of this peak is told
    plan_.host_bytes = static_cast<std::uint64_t>(HostBytes());
    if (needs_.place == MemoryNeeds::Place::kHost) plan_.host_bytes += plan_.device_bytes;
    return plan_;
  }

 private:
  // Of weights to the device.
  enum class Copies { kWhenNeeded, kAhead };
  // Of one input.
  enum class Linears { kOneByOne, kSideBySide };

  // The largest sum over the stages of a layer, whose place it notes.
  std::uint64_t PeakBytes(Copies copies, Linears linears) {
    peak_bytes_ = 0;
    const std::int64_t resident = ResidentBytes();
    for (LayerInput input : kLayerInputs) {
      const std::int64_t cols = InputWidth(config_, input);
      const std::int64_t square = kFloat * cols * cols;
      // In one pass the Hessians of all inputs exist from the start, each until its turn is over.
      const std::int64_t others = spec_.layer_order == LayerOrder::kOnePass ? LaterHessianBytes(input) : 0;
      const std::int64_t base = resident + others + (copies == Copies::kAhead ? StoredBytes(input) : 0);
      Consider(base + square, "calibrate", {});
      Consider(base + 2 * square + needs_.factor_bytes * cols * cols, "factor", {});
      std::int64_t all = base + 3 * square;
      for (LinearRole role : LinearsAt(input)) {
        const LinearShape shape = ShapeOf(config_, role);
        const std::int64_t linear = base + 3 * square + StateBytes(shape);
        Consider(linear + SweepBytes(shape), "cluster", LinearName(role));
        Consider(linear + RefineBytes(shape), "refine", LinearName(role));
        all += StateBytes(shape) + std::max(SweepBytes(shape), RefineBytes(shape));
      }
      // Each may be where it needs most.
      if (linears == Linears::kSideBySide) Consider(all, "side by side", {});
    }
    return peak_bytes_;
  }

  void Consider(std::int64_t bytes, std::string_view step, std::string_view linear) {
    if (static_cast<std::uint64_t>(bytes) <= peak_bytes_) return;
    peak_bytes_ = static_cast<std::uint64_t>(bytes);
    plan_.peak_step = step;
    plan_.peak_linear = linear;
  }

  std::int64_t tokens() const { return input_.sample_count * input_.sequence_length; }
  std::int64_t activation_bytes() const { return static_cast<std::int64_t>(DTypeBytes(needs_.activation_dtype)); }

  std::int64_t LayerWeights() const {
    std::int64_t weights = 0;
    for (LinearRole role : kLinearRoles) weights += ShapeOf(config_, role).rows * ShapeOf(config_, role).cols;
    return weights;
  }

  // What is there while a layer is at work: its weights, the activations, what a SequentialPass keeps, the scratch of
  // LayerForward and its rotary tables.
  std::int64_t ResidentBytes() const {
    const std::int64_t widths =
        2 * (config_.hidden_size + config_.query_width() + config_.kv_width() + config_.intermediate_size);
    const std::int64_t chunk = ChunkSamples(input_.sequence_length) * input_.sequence_length;
    std::int64_t per_token = config_.hidden_size;
    if (spec_.layer_order == LayerOrder::kTrueSequential) {
      per_token += config_.query_width();
      const std::int64_t product = tokens() * config_.intermediate_size * activation_bytes();
      const bool is_kept = product <= static_cast<std::int64_t>(SequentialPassOptions().max_kept_product_bytes);
      if (is_kept) per_token += config_.intermediate_size;
    }
    const std::int64_t rotary = kFloat * input_.sequence_length * config_.head_dim;
    return activation_bytes() * (LayerWeights() + tokens() * per_token + chunk * widths) + rotary + VectorBytes();
  }

  // As the checkpoint stores them: all linears of the next layer, and those of this one that are not quantized when `input` is
  // at work, unless they are stored in the activation dtype, which nobody asks here.
  std::int64_t StoredBytes(LayerInput input) const {
    if (needs_.lane_bytes == 0) return 0;
    std::int64_t weights = LayerWeights();
    for (LayerInput open : kLayerInputs) {
      if (open < input) continue;
      for (LinearRole role : LinearsAt(open)) weights += ShapeOf(config_, role).rows * ShapeOf(config_, role).cols;
    }
    return input_.source_bytes_per_weight * weights;
  }

  // Norms and biases.
  std::int64_t VectorBytes() const {
    std::int64_t floats = 2 * (config_.hidden_size + (config_.has_head_norms ? config_.head_dim : 0));
    for (LinearRole role : kLinearRoles) {
      if (HasBias(config_, role)) floats += ShapeOf(config_, role).rows;
    }
    return kFloat * floats;
  }

  std::int64_t LaterHessianBytes(LayerInput input) const {
    std::int64_t bytes = 0;
    for (LayerInput later : kLayerInputs) {
      if (later > input) bytes += kFloat * InputWidth(config_, later) * InputWidth(config_, later);
    }
    return bytes;
  }

  // Weights, error and gradient, assignments, codebooks and block scales.
  std::int64_t StateBytes(LinearShape shape) const {
    const std::int64_t weights = shape.rows * shape.cols;
    const std::int64_t groups = weights / std::max<std::int64_t>(spec_.group_weights, 1) + 1;
    const std::int64_t codebook = kFloat * spec_.vector_dim * spec_.centroid_count();
    const std::int64_t scales = spec_.block_scale_columns == 0 ? 0 : kFloat * weights / spec_.block_scale_columns;
    return 3 * kFloat * weights + weights / spec_.vector_dim + 2 * groups * codebook + scales;
  }

  // The current weights of a stripe and their deviation, and what clustering it needs.
  std::int64_t SweepBytes(LinearShape shape) const {
    const std::int64_t width = std::min<std::int64_t>(spec_.columns_per_group, shape.cols);
    return (2 * kFloat + needs_.cluster_bytes) * shape.rows * width + kFloat * width * width;
  }

  // A second error and gradient, and the packed indices from which refinement is undone.
  std::int64_t RefineBytes(LinearShape shape) const {
    const std::int64_t weights = shape.rows * shape.cols;
    return 2 * kFloat * weights + CodeBytes(weights) + needs_.product_bytes * (shape.rows + shape.cols);
  }

  // Two layers as they are stored; the largest linear in f32 twice, as it was read and dequantized, or those of one input, as
  // they were read side by side; what copies of a layer ahead go through; the quantized linears of a layer and of the one
  // before, of which a packed form is on its way.
  std::int64_t HostBytes() const {
    std::int64_t read = 0;
    for (LayerInput input : kLayerInputs) {
      std::int64_t side_by_side = 0;
      for (LinearRole role : LinearsAt(input)) {
        const std::int64_t linear = ShapeOf(config_, role).rows * ShapeOf(config_, role).cols;
        side_by_side += linear;
        read = std::max(read, 2 * linear);
      }
      read = std::max(read, side_by_side);
    }
    const std::int64_t weights = LayerWeights();
    return 2 * input_.source_bytes_per_weight * weights + kFloat * read + needs_.lane_bytes + 3 * CodeBytes(weights) +
           tokens() * static_cast<std::int64_t>(sizeof(std::int32_t));
  }

  // Of quantized weights: indices are packed, the codes of uniform grids are not.
  std::int64_t CodeBytes(std::int64_t weights) const {
    return spec_.method == QuantMethod::kGptvq ? weights * spec_.index_bits / (8 * spec_.vector_dim) + 1 : weights;
  }

  const ModelConfig& config_;
  const QuantSpec& spec_;
  const MemoryPlanInput& input_;
  const MemoryNeeds& needs_;
  std::uint64_t peak_bytes_ = 0;
  MemoryPlan plan_;
};

}  // namespace

MemoryPlan PlanMemory(const ModelConfig& config, const QuantSpec& spec, const MemoryPlanInput& input,
                      PlannedDevice device) {
  const MemoryNeeds& needs = device == PlannedDevice::kGpu ? kCudaMemoryNeeds : kCpuMemoryNeeds;
  return Planner(config, spec, input, needs).Plan();
}

}  // namespace gptvq
