#include "core/spec/quant_spec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace gptvq {
namespace {

constexpr std::int64_t kMaxGroupWeights = std::int64_t{1} << 24;
constexpr int kMaxColumnsPerGroup = 65536;
constexpr int kMaxIterations = 10000;

template <typename Enum>
using NameTable = std::pair<Enum, std::string_view>;

constexpr std::array<NameTable<QuantMethod>, 3> kMethods = {
    {{QuantMethod::kGptvq, "gptvq"}, {QuantMethod::kGptq, "gptq"}, {QuantMethod::kRtn, "rtn"}}};
constexpr std::array<NameTable<CodebookDType>, 2> kCodebookDTypes = {
    {{CodebookDType::kInt8, "int8"}, {CodebookDType::kFp16, "fp16"}}};
constexpr std::array<NameTable<Seeding>, 2> kSeedings = {
    {{Seeding::kMahalanobis, "mahalanobis"}, {Seeding::kKMeansPlusPlus, "kmeans++"}}};
constexpr std::array<NameTable<Compatibility>, 2> kCompatibilities = {
    {{Compatibility::kNone, "none"}, {Compatibility::kReference, "reference"}}};
constexpr std::array<NameTable<LayerOrder>, 2> kLayerOrders = {
    {{LayerOrder::kTrueSequential, "true-sequential"}, {LayerOrder::kOnePass, "one-pass"}}};

template <typename Table, typename Enum>
std::string_view NameIn(const Table& table, Enum value) {
  for (const auto& [entry, name] : table) {
    if (entry == value) return name;
  }
  return "unknown";
}

template <typename Enum, typename Table>
std::optional<Enum> ParseIn(const Table& table, std::string_view text) {
  for (const auto& [entry, name] : table) {
    if (name == text) return entry;
  }
  return std::nullopt;
}

template <typename T>
absl::Status Refuse(const char* field, T value, const char* allowed) {
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, "; allowed: ", allowed));
}

absl::Status ValidateVectorFields(const QuantSpec& spec) {
  if (spec.vector_dim != 1 && spec.vector_dim != 2 && spec.vector_dim != 4) {
    return Refuse("vector_dim", spec.vector_dim, "1, 2, 4");
  }
  if (spec.index_bits < 1 || spec.index_bits > 8) return Refuse("index_bits", spec.index_bits, "1 to 8");
  if (spec.group_weights < spec.vector_dim || spec.group_weights > kMaxGroupWeights ||
      spec.group_weights % spec.vector_dim != 0) {
    return Refuse("group_weights", spec.group_weights, "a multiple of vector_dim up to 16777216");
  }
  if (spec.columns_per_group < 16 || spec.columns_per_group > kMaxColumnsPerGroup ||
      !std::has_single_bit(static_cast<unsigned>(spec.columns_per_group))) {
    return Refuse("columns_per_group", spec.columns_per_group, "a power of two from 16 to 65536");
  }
  const std::int64_t stripe_width = std::min<std::int64_t>(spec.columns_per_group, spec.group_weights);
  if (spec.block_scale_columns != 0 && (spec.block_scale_columns < 8 || stripe_width % spec.block_scale_columns != 0)) {
    return Refuse("block_scale_columns", spec.block_scale_columns,
                  "0, or a divisor, from 8 on, of columns_per_group and of a smaller group_weights");
  }
  if (!(spec.svd_rank_fraction >= 0 && spec.svd_rank_fraction <= 1)) {
    return Refuse("svd_rank_fraction", spec.svd_rank_fraction, "0 to 1");
  }
  if (spec.svd_rank_fraction > 0 && (spec.vector_dim != 1 || spec.codebook_dtype != CodebookDType::kInt8)) {
    return Refuse("svd_rank_fraction", spec.svd_rank_fraction, "0, unless vector_dim is 1 and codebook_dtype is int8");
  }
  if (spec.svd_rank_fraction > 0 && spec.compatibility == Compatibility::kReference) {
    return Refuse("svd_rank_fraction", spec.svd_rank_fraction, "0 with compatibility reference");
  }
  if (spec.em_iterations < 0 || spec.em_iterations > kMaxIterations) {
    return Refuse("em_iterations", spec.em_iterations, "0 to 10000");
  }
  if (spec.update_iterations < 0 || spec.update_iterations > kMaxIterations) {
    return Refuse("update_iterations", spec.update_iterations, "0 to 10000");
  }
  if (spec.refinement_passes < 0 || spec.refinement_passes > kMaxIterations) {
    return Refuse("refinement_passes", spec.refinement_passes, "0 to 10000");
  }
  return absl::OkStatus();
}

absl::Status ValidateUniformFields(const QuantSpec& spec) {
  if (spec.uniform_bits < 2 || spec.uniform_bits > 8) return Refuse("uniform_bits", spec.uniform_bits, "2 to 8");
  if (spec.uniform_group_columns != 64 && spec.uniform_group_columns != 128) {
    return Refuse("uniform_group_columns", spec.uniform_group_columns, "64, 128");
  }
  return absl::OkStatus();
}

}  // namespace

int QuantSpec::svd_rank() const { return static_cast<int>(std::ceil(svd_rank_fraction * centroid_count())); }

absl::Status QuantSpec::Validate() const {
  if (!(damping > 0 && damping <= 1)) return Refuse("damping", damping, "above 0, up to 1");
  if (act_order && method != QuantMethod::kGptq) return Refuse("act_order", "true", "with method gptq only");
  return method == QuantMethod::kGptvq ? ValidateVectorFields(*this) : ValidateUniformFields(*this);
}

std::string_view Name(QuantMethod value) { return NameIn(kMethods, value); }
std::string_view Name(CodebookDType value) { return NameIn(kCodebookDTypes, value); }
std::string_view Name(Seeding value) { return NameIn(kSeedings, value); }
std::string_view Name(Compatibility value) { return NameIn(kCompatibilities, value); }
std::string_view Name(LayerOrder value) { return NameIn(kLayerOrders, value); }

std::optional<QuantMethod> ParseQuantMethod(std::string_view text) { return ParseIn<QuantMethod>(kMethods, text); }
std::optional<CodebookDType> ParseCodebookDType(std::string_view text) {
  return ParseIn<CodebookDType>(kCodebookDTypes, text);
}
std::optional<Seeding> ParseSeeding(std::string_view text) { return ParseIn<Seeding>(kSeedings, text); }
std::optional<Compatibility> ParseCompatibility(std::string_view text) {
  return ParseIn<Compatibility>(kCompatibilities, text);
}
std::optional<LayerOrder> ParseLayerOrder(std::string_view text) { return ParseIn<LayerOrder>(kLayerOrders, text); }

}  // namespace gptvq
