#include "core/format/packed_linear.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/base/dtype.h"
#include "core/spec/bits_per_value.h"
#include "core/spec/presets.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/format/random_linear.h"

namespace gptvq {
namespace {

using ::testing::HasSubstr;

struct Case {
  std::string what;
  QuantSpec spec;
  std::int64_t rows;
  std::int64_t cols;
};

QuantSpec Preset(const char* name) { return *FindPreset(name); }

QuantSpec SvdSpec() {
  QuantSpec spec = Preset("1d-3.125bpv");
  spec.svd_rank_fraction = 0.5;
  return spec;
}

QuantSpec ActOrderSpec() {
  QuantSpec spec = Preset("gptq-3bit-g64");
  spec.act_order = true;
  return spec;
}

// Regular and ragged shapes: last stripes narrower than 256, row blocks that do not divide, fewer weights than a group.
std::vector<Case> Cases() {
  return {
      {"regular 2-D", Preset("2d-3.125bpv"), 64, 512},
      {"ragged stripe and blocks", Preset("2d-2.125bpv"), 50, 576},
      {"fewer weights than a group", Preset("4d-2.125bpv"), 3, 20},
      {"one column of vectors", Preset("2d-4.125bpv"), 7, 2},
      {"group of one row", Preset("1d-2.125bpv"), 5, 700},
      {"stripe narrower than columns_per_group", Preset("1d-2.25bpv"), 9, 300},
      {"odd padding: 3 bits", Preset("1d-3.125bpv"), 4, 259},
      {"block scales, odd number of blocks", Preset("2d-3.125bpv-s64"), 33, 330},
      {"block scales of 32", Preset("1d-4.1875bpv-s32"), 10, 96},
      {"fp16", Preset("2d-2.125bpv-fp16"), 40, 384},
      {"SVD", SvdSpec(), 12, 512},
      {"uniform", Preset("rtn-3bit-g128"), 6, 300},
      {"uniform, permuted", ActOrderSpec(), 5, 130},
      {"uniform 2 bits", Preset("gptq-2bit-g64"), 3, 65},
      {"uniform 8 bits", Preset("gptq-8bit-g128"), 3, 128},
  };
}

class Packed {
 public:
  explicit Packed(const std::vector<PackedTensor>& tensors) : tensors_(tensors) {}

  const PackedTensor& At(const std::string& name) const {
    for (const PackedTensor& tensor : tensors_) {
      if (tensor.info.name == name) return tensor;
    }
    ADD_FAILURE() << "no tensor " << name;
    return tensors_.front();
  }
  bool Has(const std::string& name) const {
    for (const PackedTensor& tensor : tensors_) {
      if (tensor.info.name == name) return true;
    }
    return false;
  }
  // `count` bits from bit `position` of row `row` on.
  int Bits(const std::string& name, std::int64_t row, std::int64_t position, int count) const {
    const PackedTensor& tensor = At(name);
    const std::int64_t row_bytes = tensor.info.shape[1];
    int value = 0;
    for (int j = 0; j < count; ++j) {
      const std::byte byte = tensor.bytes[row * row_bytes + (position + j) / 8];
      value |= (std::to_integer<int>(byte) >> ((position + j) % 8) & 1) << j;
    }
    return value;
  }
  template <typename T>
  T Value(const std::string& name, std::int64_t index) const {
    T value;
    std::memcpy(&value, At(name).bytes.data() + index * sizeof(T), sizeof(T));
    return value;
  }

 private:
  const std::vector<PackedTensor>& tensors_;
};

// The value of a weight by the words of docs/format.md sections 4 and 5, element by element.
float VectorWeight(const Packed& packed, const Case& c, std::int64_t row, std::int64_t column) {
  const QuantSpec& spec = c.spec;
  const std::int64_t w = std::min<std::int64_t>(spec.columns_per_group, spec.group_weights);
  const std::int64_t d = spec.vector_dim;
  const std::int64_t b = spec.index_bits;
  std::int64_t groups_before = 0;
  std::int64_t bytes_before = 0;
  std::int64_t begin = 0;
  std::int64_t v = std::min(w, c.cols);
  std::int64_t n = 0;
  while (true) {
    n = std::clamp<std::int64_t>(c.rows * v / spec.group_weights, 1, c.rows);
    if (column < begin + v) break;
    groups_before += n;
    bytes_before += (v / d * b + 7) / 8;
    begin += v;
    v = std::min(w, c.cols - begin);
  }
  std::int64_t block = 0;
  while (row >= (block + 1) * c.rows / n) ++block;
  const std::int64_t group = groups_before + block;
  const std::int64_t k = std::int64_t{1} << b;
  const std::int64_t index = packed.Bits("m.vq_indices", row, 8 * bytes_before + (column - begin) / d * b, b);
  const std::int64_t entry = (group * k + index) * d + (column - begin) % d;
  float weight = 0;
  if (packed.Has("m.vq_svd_codes")) {
    const std::int64_t rank = packed.At("m.vq_svd_codes").info.shape[1];
    for (std::int64_t j = 0; j < rank; ++j) {
      weight += static_cast<float>(packed.Value<std::int8_t>("m.vq_svd_codes", group * rank + j)) *
                packed.Value<float>("m.vq_svd_basis", j * k + index);
    }
  } else if (packed.Has("m.vq_codebook_scales")) {
    weight = static_cast<float>(packed.Value<std::int8_t>("m.vq_codebooks", entry)) *
             Bf16ToFloat(packed.Value<std::uint16_t>("m.vq_codebook_scales", group));
  } else {
    weight = HalfToFloat(packed.Value<std::uint16_t>("m.vq_codebooks", entry));
  }
  if (spec.block_scale_columns == 0) return weight;
  const std::int64_t scale_block = column / spec.block_scale_columns;
  const float offset = packed.Value<float>("m.vq_block_scale_params", 2 * scale_block);
  const float step = packed.Value<float>("m.vq_block_scale_params", 2 * scale_block + 1);
  return std::exp2(offset + step * static_cast<float>(packed.Bits("m.vq_block_scales", row, 4 * scale_block, 4))) *
         weight;
}

float UniformWeight(const Packed& packed, const Case& c, std::int64_t row, std::int64_t i) {
  const std::int64_t groups = (c.cols + c.spec.uniform_group_columns - 1) / c.spec.uniform_group_columns;
  const std::int64_t group = i / c.spec.uniform_group_columns;
  const int bits = c.spec.uniform_bits;
  const int level =
      packed.Bits("m.uq_codes", row, i * bits, bits) - packed.Bits("m.uq_zero_points", row, group * bits, bits);
  return HalfToFloat(packed.Value<std::uint16_t>("m.uq_scales", row * groups + group)) * static_cast<float>(level);
}

TEST(PackedLinear, HoldsTheWeightsThatThePageDescribes) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.what);
    const QuantizedLinear linear = RandomLinear(1, c.rows, c.cols, c.spec);
    std::vector<float> expected(c.rows * c.cols, std::numeric_limits<float>::quiet_NaN());
    Dequantize(linear, MatrixView<float>(expected.data(), c.rows, c.cols));

    const auto tensors = PackLinear(ModuleOf("m", linear, c.spec), linear);

    ASSERT_TRUE(tensors.ok()) << tensors.status();
    const Packed packed(*tensors);
    const bool is_vector = c.spec.method == QuantMethod::kGptvq;
    for (std::int64_t r = 0; r < c.rows; ++r) {
      for (std::int64_t i = 0; i < c.cols; ++i) {
        const float weight = is_vector ? VectorWeight(packed, c, r, i) : UniformWeight(packed, c, r, i);
        const std::int64_t column =
            packed.Has("m.uq_permutation") ? packed.Value<std::int32_t>("m.uq_permutation", i) : i;
        ASSERT_EQ(weight, expected[r * c.cols + column]) << r << ", " << i;
      }
    }
  }
}

TEST(PackedLinear, ComesBackNumberByNumber) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.what);
    const QuantizedLinear linear = RandomLinear(2, c.rows, c.cols, c.spec);
    const PackedModule module = ModuleOf("model.layers.0.q_proj", linear, c.spec);
    const auto tensors = PackLinear(module, linear);
    ASSERT_TRUE(tensors.ok()) << tensors.status();

    const auto unpacked = UnpackLinear(module, *tensors);

    ASSERT_TRUE(unpacked.ok()) << unpacked.status();
    EXPECT_TRUE(SameLinear(*unpacked, linear));
  }
}

// docs/format.md 5.6: the three ways of counting agree, and the last one counts real bytes.
TEST(PackedLinear, OccupiesExactlyTheBitsThatAreReported) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.what);
    const QuantizedLinear linear = RandomLinear(3, c.rows, c.cols, c.spec);
    const PackedModule module = ModuleOf("m", linear, c.spec);

    const BitCount counted = CountBits(linear);
    const auto from_layout = CountPackedBits(module);
    const auto tensors = PackLinear(module, linear);

    ASSERT_TRUE(from_layout.ok()) << from_layout.status();
    EXPECT_EQ(*from_layout, counted);
    std::int64_t bytes = 0;
    for (const PackedTensor& tensor : *tensors) bytes += tensor.bytes.size();
    EXPECT_EQ(counted.total_bits(), 8 * bytes);
  }
}

TEST(PackedLinear, CountsTheBitsOfEveryPresetOnRealShapes) {
  for (const struct Preset& preset : AllPresets()) {
    for (const auto& [rows, cols] : {std::pair(576, 1536), std::pair(4864, 896), std::pair(4096, 11008)}) {
      SCOPED_TRACE(testing::Message() << preset.name << " " << rows << " x " << cols);
      const auto count = CountPackedBits({"m", rows, cols, LayoutOf(preset.spec)});

      ASSERT_TRUE(count.ok()) << count.status();
      EXPECT_EQ(count->weights, std::int64_t{rows} * cols);
      EXPECT_GT(count->bits_per_value(), 1.9);
      EXPECT_LT(count->bits_per_value(), 9.0);
    }
  }
}

TEST(PackedLinear, RefusesALinearThatIsNotOfItsLayout) {
  const QuantSpec spec = Preset("2d-3.125bpv");
  const QuantizedLinear linear = RandomLinear(4, 64, 512, spec);

  for (const char* other :
       {"2d-3.25bpv", "2d-2.125bpv", "1d-3.125bpv", "2d-3.125bpv-s64", "2d-3.125bpv-fp16", "rtn-3bit-g128"}) {
    SCOPED_TRACE(other);
    EXPECT_EQ(PackLinear(ModuleOf("m", linear, Preset(other)), linear).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  PackedModule wrong_shape = ModuleOf("m", linear, spec);
  wrong_shape.rows = 32;
  EXPECT_EQ(PackLinear(wrong_shape, linear).status().code(), absl::StatusCode::kInvalidArgument);
  const QuantizedLinear uniform = RandomLinear(4, 64, 512, Preset("rtn-3bit-g128"));
  EXPECT_EQ(PackLinear(ModuleOf("m", uniform, spec), uniform).status().code(), absl::StatusCode::kInvalidArgument);
}

// Values that no reader may pass on.
TEST(PackedLinear, RefusesDamagedContents) {
  struct Damage {
    std::string what;
    QuantSpec spec;
    std::string tensor;
    std::size_t byte;
    int value;
    std::string message;
  };
  QuantSpec three_bits = Preset("1d-3.125bpv");
  const Damage rows[] = {
      {"padding of indices", three_bits, "m.vq_indices", 97, 0xff, "'m.vq_indices': padding bits of byte 97"},
      {"NaN codebook scale", three_bits, "m.vq_codebook_scales", 1, 0x7f, "codebook scale"},
      {"negative codebook scale", three_bits, "m.vq_codebook_scales", 1, 0xbf, "codebook scale"},
      {"infinite half", Preset("2d-2.125bpv-fp16"), "m.vq_codebooks", 1, 0x7c, "not finite"},
      {"NaN basis", SvdSpec(), "m.vq_svd_basis", 3, 0x7f, "not finite"},
      {"padding of block scales", Preset("2d-3.125bpv-s64"), "m.vq_block_scales", 2, 0xff, "padding bits of byte 2"},
      {"NaN offset", Preset("2d-3.125bpv-s64"), "m.vq_block_scale_params", 3, 0x7f, "offsets"},
      {"infinite scale", ActOrderSpec(), "m.uq_scales", 1, 0x7c, "scales"},
      {"permutation out of range", ActOrderSpec(), "m.uq_permutation", 3, 0x7f, "permutation"},
      {"padding of codes", ActOrderSpec(), "m.uq_codes", 97, 0xff, "padding bits of byte 97"},
      {"padding of zero points", ActOrderSpec(), "m.uq_zero_points", 1, 0xff, "padding bits of byte 1"},
  };
  for (const Damage& damage : rows) {
    SCOPED_TRACE(damage.what);
    const QuantizedLinear linear = RandomLinear(5, 4, 259 + (damage.spec.vector_dim > 1 ? 1 : 0), damage.spec);
    const PackedModule module = ModuleOf("m", linear, damage.spec);
    auto tensors = PackLinear(module, linear);
    ASSERT_TRUE(tensors.ok()) << tensors.status();
    for (PackedTensor& tensor : *tensors) {
      if (tensor.info.name != damage.tensor) continue;
      tensor.bytes[damage.byte] = std::byte(damage.value);
      if (damage.value == 0x7f) tensor.bytes[damage.byte - 1] = std::byte{0xff};
    }

    const auto unpacked = UnpackLinear(module, *tensors);

    ASSERT_FALSE(unpacked.ok());
    EXPECT_EQ(unpacked.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(unpacked.status().message()), HasSubstr(damage.message));
  }
}

TEST(PackedLinear, RefusesAPermutationThatNamesAColumnTwice) {
  const QuantizedLinear linear = RandomLinear(5, 4, 130, ActOrderSpec());
  const PackedModule module = ModuleOf("m", linear, ActOrderSpec());
  auto tensors = PackLinear(module, linear);
  for (PackedTensor& tensor : *tensors) {
    if (tensor.info.name == "m.uq_permutation") std::memcpy(tensor.bytes.data(), tensor.bytes.data() + 4, 4);
  }

  EXPECT_THAT(std::string(UnpackLinear(module, *tensors).status().message()), HasSubstr("permutation"));
}

// A layout that no file could hold must cost nothing.
TEST(PackedLinear, ListsTheTensorsOfAHugeShapeInConstantTime) {
  const std::int64_t side = std::int64_t{1} << 31;
  VectorLayout tiny_groups{.vector_dim = 1, .index_bits = 1, .group_weights = 1, .columns_per_group = 16};

  EXPECT_FALSE(PackedTensorInfos({"m", side, side, tiny_groups}).ok());
  EXPECT_FALSE(PackedTensorInfos({"m", side, side, LayoutOf(Preset("2d-2.125bpv"))}).ok());
  const auto wide = PackedTensorInfos({"m", 2, side, tiny_groups});
  ASSERT_TRUE(wide.ok()) << wide.status();
  EXPECT_EQ(wide->at(2).shape, (std::vector<std::int64_t>{2, side}));
  EXPECT_FALSE(PackedTensorInfos({"m", side + 1, 2, LayoutOf(Preset("2d-2.125bpv"))}).ok());
  EXPECT_FALSE(PackedTensorInfos({"m", 2, 3, LayoutOf(Preset("2d-2.125bpv"))}).ok());
}

TEST(PackedLinear, TellsPackedNamesFromOthers) {
  EXPECT_TRUE(IsPackedTensorName("model.layers.0.mlp.up_proj.vq_indices"));
  EXPECT_TRUE(IsPackedTensorName("x.uq_codes"));
  EXPECT_FALSE(IsPackedTensorName("model.layers.0.mlp.up_proj.weight"));
  EXPECT_FALSE(IsPackedTensorName(".vq_indices"));
}

}  // namespace
}  // namespace gptvq
