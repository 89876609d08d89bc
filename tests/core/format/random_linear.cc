#include "tests/core/format/random_linear.h"

#include <numeric>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/dtype.h"
#include "core/base/philox.h"
#include "core/spec/group_layout.h"

namespace gptvq {
namespace {

class Random {
 public:
  explicit Random(std::uint64_t seed) : philox_(seed, Philox::StreamOf("random linear")) {}

  std::uint32_t Below(std::uint32_t bound) { return philox_.Draw(counter_++)[0] % bound; }
  float Between(float low, float high) { return low + static_cast<float>(philox_.Uniform(counter_++)) * (high - low); }

  template <typename T>
  std::vector<T> Integers(std::int64_t count, std::uint32_t bound) {
    std::vector<T> values(count);
    for (T& value : values) value = static_cast<T>(Below(bound));
    return values;
  }
  std::vector<float> Floats(std::int64_t count, float low, float high) {
    std::vector<float> values(count);
    for (float& value : values) value = Between(low, high);
    return values;
  }
  std::vector<std::uint16_t> Halves(std::int64_t count, float low, float high) {
    std::vector<std::uint16_t> values(count);
    for (std::uint16_t& value : values) value = FloatToHalf(Between(low, high));
    return values;
  }

 private:
  Philox philox_;
  std::uint64_t counter_ = 0;
};

VectorQuantizedLinear RandomVectorLinear(Random random, std::int64_t rows, std::int64_t cols, const QuantSpec& spec) {
  VectorQuantizedLinear linear;
  auto layout = GroupLayout::Make(rows, cols, spec);
  GPTVQ_CHECK(layout.ok());
  linear.layout = *std::move(layout);
  linear.vector_dim = spec.vector_dim;
  linear.index_bits = spec.index_bits;
  const std::int64_t centroids = spec.centroid_count();
  const std::int64_t groups = linear.layout.group_count();
  linear.SetAssignments(random.Integers<std::uint8_t>(rows * cols / spec.vector_dim, centroids));
  const PackedLayout packed_layout = LayoutOf(spec);
  const VectorLayout& packed = std::get<VectorLayout>(packed_layout);
  if (packed.codebook == CodebookKind::kInt8) {
    std::vector<float> scales = random.Floats(groups, 0.001f, 0.01f);
    for (float& scale : scales) scale = Bf16ToFloat(FloatToBf16(scale));
    linear.codebooks = Int8Codebooks{random.Integers<std::int8_t>(groups * centroids * spec.vector_dim, 256), scales};
  } else if (packed.codebook == CodebookKind::kFp16) {
    linear.codebooks = Fp16Codebooks{random.Halves(groups * centroids * spec.vector_dim, -1, 1)};
  } else {
    linear.codebooks = SvdCodebooks{packed.svd_rank, random.Integers<std::int8_t>(groups * packed.svd_rank, 256),
                                    random.Floats(packed.svd_rank * centroids, -0.01f, 0.01f)};
  }
  linear.block_scales.block_columns = spec.block_scale_columns;
  const std::int64_t blocks = linear.block_scales.block_count(cols);
  linear.block_scales.codes = random.Integers<std::uint8_t>(rows * blocks, 16);
  linear.block_scales.offsets = random.Floats(blocks, -3, 1);
  linear.block_scales.steps = random.Floats(blocks, 0, 0.2f);
  return linear;
}

UniformQuantizedLinear RandomUniformLinear(Random random, std::int64_t rows, std::int64_t cols, const QuantSpec& spec) {
  UniformQuantizedLinear linear;
  linear.rows = rows;
  linear.cols = cols;
  linear.bits = spec.uniform_bits;
  linear.group_columns = spec.uniform_group_columns;
  linear.codes = random.Integers<std::uint8_t>(rows * cols, 1u << linear.bits);
  linear.scales = random.Halves(rows * linear.groups_per_row(), 0.001f, 0.1f);
  linear.zero_points = random.Integers<std::uint8_t>(rows * linear.groups_per_row(), 1u << linear.bits);
  if (!spec.act_order) return linear;
  linear.permutation.resize(cols);
  std::iota(linear.permutation.begin(), linear.permutation.end(), 0);
  for (std::int64_t i = cols - 1; i > 0; --i) std::swap(linear.permutation[i], linear.permutation[random.Below(i + 1)]);
  return linear;
}

bool Same(const Int8Codebooks& a, const Int8Codebooks& b) { return a.codes == b.codes && a.scales == b.scales; }
bool Same(const Fp16Codebooks& a, const Fp16Codebooks& b) { return a.entries == b.entries; }
bool Same(const SvdCodebooks& a, const SvdCodebooks& b) {
  return a.rank == b.rank && a.codes == b.codes && a.basis == b.basis;
}
template <typename A, typename B>
bool Same(const A&, const B&) {
  return false;
}

bool Same(const BlockScales& a, const BlockScales& b) {
  return a.block_columns == b.block_columns && a.codes == b.codes && a.offsets == b.offsets && a.steps == b.steps;
}

bool Same(const VectorQuantizedLinear& a, const VectorQuantizedLinear& b) {
  return a.layout == b.layout && a.vector_dim == b.vector_dim && a.index_bits == b.index_bits &&
         a.packed_indices == b.packed_indices && Same(a.block_scales, b.block_scales) &&
         std::visit([](const auto& x, const auto& y) { return Same(x, y); }, a.codebooks, b.codebooks);
}

bool Same(const UniformQuantizedLinear& a, const UniformQuantizedLinear& b) {
  return a.rows == b.rows && a.cols == b.cols && a.bits == b.bits && a.group_columns == b.group_columns &&
         a.codes == b.codes && a.scales == b.scales && a.zero_points == b.zero_points && a.permutation == b.permutation;
}

}  // namespace

QuantizedLinear RandomLinear(std::uint64_t seed, std::int64_t rows, std::int64_t cols, const QuantSpec& spec) {
  if (spec.method == QuantMethod::kGptvq) return RandomVectorLinear(Random(seed), rows, cols, spec);
  return RandomUniformLinear(Random(seed), rows, cols, spec);
}

PackedModule ModuleOf(const std::string& name, const QuantizedLinear& linear, const QuantSpec& spec) {
  return {name, RowCount(linear), ColumnCount(linear), LayoutOf(spec)};
}

bool SameLinear(const QuantizedLinear& a, const QuantizedLinear& b) {
  return std::visit([](const auto& x, const auto& y) { return Same(x, y); }, a, b);
}

}  // namespace gptvq
