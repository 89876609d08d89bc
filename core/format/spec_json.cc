#include "core/format/spec_json.h"

#include <cstdint>
#include <limits>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/json/strict_json.h"

namespace gptvq {
namespace {

using nlohmann::json;

// Calls field(key, member) for every field, so that writer and reader can not name them differently.
template <typename Spec, typename Field>
void ForEachField(Spec& spec, Field field) {
  field("method", spec.method);
  field("vector_dim", spec.vector_dim);
  field("index_bits", spec.index_bits);
  field("group_weights", spec.group_weights);
  field("columns_per_group", spec.columns_per_group);
  field("codebook_dtype", spec.codebook_dtype);
  field("block_scale_columns", spec.block_scale_columns);
  field("svd_rank_fraction", spec.svd_rank_fraction);
  field("seeding", spec.seeding);
  field("em_iterations", spec.em_iterations);
  field("update_iterations", spec.update_iterations);
  field("refinement_passes", spec.refinement_passes);
  field("uniform_bits", spec.uniform_bits);
  field("uniform_group_columns", spec.uniform_group_columns);
  field("act_order", spec.act_order);
  field("damping", spec.damping);
  field("layer_order", spec.layer_order);
  field("compatibility", spec.compatibility);
}

struct FieldWriter {
  json& object;

  template <typename Enum>
  requires std::is_enum_v<Enum>
  void operator()(const char* key, Enum value) const { object[key] = std::string(Name(value)); }
  template <typename Number>
  requires std::is_arithmetic_v<Number>
  void operator()(const char* key, Number value) const { object[key] = value; }
};

struct FieldReader {
  const json& object;
  absl::Status& status;

  template <typename Value>
  void operator()(const char* key, Value& value) const {
    const auto it = object.find(key);
    if (it == object.end() || !status.ok()) return;
    if (!Read(*it, value)) {
      status = absl::InvalidArgumentError(absl::StrCat("spec.", key, " can not be ", it->dump().substr(0, 80)));
    }
  }

  static bool Read(const json& text, QuantMethod& value) { return ReadName(text, ParseQuantMethod, value); }
  static bool Read(const json& text, CodebookDType& value) { return ReadName(text, ParseCodebookDType, value); }
  static bool Read(const json& text, Seeding& value) { return ReadName(text, ParseSeeding, value); }
  static bool Read(const json& text, Compatibility& value) { return ReadName(text, ParseCompatibility, value); }
  static bool Read(const json& text, LayerOrder& value) { return ReadName(text, ParseLayerOrder, value); }

  static bool Read(const json& number, int& value) {
    std::int64_t wide = 0;
    if (!Read(number, wide) || wide > std::numeric_limits<int>::max()) return false;
    value = static_cast<int>(wide);
    return true;
  }
  static bool Read(const json& number, std::int64_t& value) {
    constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();
    if (!number.is_number_unsigned() || number.get<std::uint64_t>() > kLargest) return false;
    value = number.get<std::int64_t>();
    return true;
  }
  static bool Read(const json& number, double& value) {
    if (!number.is_number()) return false;
    value = number.get<double>();
    return true;
  }
  static bool Read(const json& boolean, bool& value) {
    if (!boolean.is_boolean()) return false;
    value = boolean.get<bool>();
    return true;
  }

  template <typename Enum, typename Parse>
  static bool ReadName(const json& text, Parse parse, Enum& value) {
    if (!text.is_string()) return false;
    const auto parsed = parse(text.get_ref<const std::string&>());
    if (parsed.has_value()) value = *parsed;
    return parsed.has_value();
  }
};

}  // namespace

std::string QuantSpecText(const QuantSpec& spec) {
  json object = json::object();
  ForEachField(spec, FieldWriter{object});
  return object.dump();
}

absl::StatusOr<QuantSpec> ParseQuantSpec(std::string_view text) {
  GPTVQ_ASSIGN_OR_RETURN(const json object, ParseStrictJson(text));
  if (!object.is_object()) return absl::InvalidArgumentError("spec is not an object");
  QuantSpec spec;
  absl::Status status;
  ForEachField(spec, FieldReader{object, status});
  GPTVQ_RETURN_IF_ERROR(status);
  GPTVQ_RETURN_IF_ERROR(WithContext(spec.Validate(), "spec"));
  return spec;
}

}  // namespace gptvq
