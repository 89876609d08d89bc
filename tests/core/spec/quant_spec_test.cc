#include "core/spec/quant_spec.h"

#include <functional>
#include <limits>
#include <string>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

struct BadField {
  const char* field;
  std::function<void(QuantSpec&)> spoil;
};

void ExpectRefused(const BadField& bad, QuantSpec spec) {
  bad.spoil(spec);
  const absl::Status status = spec.Validate();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.field;
  EXPECT_NE(status.message().find(bad.field), std::string::npos) << status;
}

TEST(QuantSpec, DefaultsAreValidForEveryMethod) {
  for (QuantMethod method : {QuantMethod::kGptvq, QuantMethod::kGptq, QuantMethod::kRtn}) {
    QuantSpec spec;
    spec.method = method;
    EXPECT_TRUE(spec.Validate().ok()) << Name(method);
  }
}

TEST(QuantSpec, RefusesEachBadVectorFieldByName) {
  const BadField bad_fields[] = {
      {"vector_dim", [](QuantSpec& s) { s.vector_dim = 3; }},
      {"index_bits", [](QuantSpec& s) { s.index_bits = 0; }},
      {"index_bits", [](QuantSpec& s) { s.index_bits = 9; }},
      {"group_weights", [](QuantSpec& s) { s.group_weights = 0; }},
      {"group_weights", [](QuantSpec& s) { s.group_weights = 2047; }},
      {"group_weights", [](QuantSpec& s) { s.group_weights = std::int64_t{1} << 40; }},
      {"columns_per_group", [](QuantSpec& s) { s.columns_per_group = 8; }},
      {"columns_per_group", [](QuantSpec& s) { s.columns_per_group = 192; }},
      {"block_scale_columns", [](QuantSpec& s) { s.block_scale_columns = 4; }},
      {"block_scale_columns", [](QuantSpec& s) { s.block_scale_columns = 48; }},
      {"block_scale_columns", [](QuantSpec& s) { s.group_weights = 96, s.block_scale_columns = 64; }},
      {"svd_rank_fraction", [](QuantSpec& s) { s.svd_rank_fraction = 0.5; }},  // d is 2
      {"svd_rank_fraction", [](QuantSpec& s) { s.vector_dim = 1, s.svd_rank_fraction = 1.5; }},
      {"svd_rank_fraction",
       [](QuantSpec& s) { s.vector_dim = 1, s.svd_rank_fraction = 0.5, s.compatibility = Compatibility::kReference; }},
      {"em_iterations", [](QuantSpec& s) { s.em_iterations = -1; }},
      {"update_iterations", [](QuantSpec& s) { s.update_iterations = 1 << 30; }},
      {"refinement_passes", [](QuantSpec& s) { s.refinement_passes = -1; }},
      {"act_order", [](QuantSpec& s) { s.act_order = true; }},  // a vector layout has no place for a permutation
      {"damping", [](QuantSpec& s) { s.damping = 0; }},
      {"damping", [](QuantSpec& s) { s.damping = std::numeric_limits<double>::quiet_NaN(); }},
  };
  for (const BadField& bad : bad_fields) ExpectRefused(bad, QuantSpec());
}

TEST(QuantSpec, RefusesEachBadUniformFieldByName) {
  QuantSpec uniform;
  uniform.method = QuantMethod::kRtn;
  ExpectRefused({"uniform_bits", [](QuantSpec& s) { s.uniform_bits = 1; }}, uniform);
  ExpectRefused({"uniform_group_columns", [](QuantSpec& s) { s.uniform_group_columns = 32; }}, uniform);
  ExpectRefused({"act_order", [](QuantSpec& s) { s.act_order = true; }}, uniform);
}

template <typename Enum, typename Parse>
void ExpectNamesRoundTrip(std::initializer_list<Enum> values, Parse parse) {
  for (Enum value : values) EXPECT_EQ(parse(Name(value)), value) << Name(value);
  EXPECT_EQ(parse(""), std::nullopt);
  EXPECT_EQ(parse("GPTVQ"), std::nullopt);
}

TEST(QuantSpec, NamesParseBackToTheirValues) {
  ExpectNamesRoundTrip({QuantMethod::kGptvq, QuantMethod::kGptq, QuantMethod::kRtn}, ParseQuantMethod);
  ExpectNamesRoundTrip({CodebookDType::kInt8, CodebookDType::kFp16}, ParseCodebookDType);
  ExpectNamesRoundTrip({Seeding::kMahalanobis, Seeding::kKMeansPlusPlus}, ParseSeeding);
  ExpectNamesRoundTrip({Compatibility::kNone, Compatibility::kReference}, ParseCompatibility);
  ExpectNamesRoundTrip({LayerOrder::kTrueSequential, LayerOrder::kOnePass}, ParseLayerOrder);
}

}  // namespace
}  // namespace gptvq
