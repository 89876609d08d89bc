#include "core/format/packed_layout.h"

#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/json/strict_json.h"

namespace gptvq {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxModulesBytes = 64 << 20;
constexpr std::int64_t kMaxSide = std::int64_t{1} << 31;

constexpr std::pair<CodebookKind, std::string_view> kCodebookKinds[] = {
    {CodebookKind::kInt8, "int8"}, {CodebookKind::kFp16, "fp16"}, {CodebookKind::kSvd, "svd"}};

std::string Name(CodebookKind kind) {
  for (const auto& [value, name] : kCodebookKinds) {
    if (value == kind) return std::string(name);
  }
  return "unknown";
}

struct LayoutWriter {
  json operator()(const VectorLayout& layout) const {
    return {{"kind", "vector"},
            {"vector_dim", layout.vector_dim},
            {"index_bits", layout.index_bits},
            {"group_weights", layout.group_weights},
            {"columns_per_group", layout.columns_per_group},
            {"codebook", Name(layout.codebook)},
            {"svd_rank", layout.svd_rank},
            {"block_scale_columns", layout.block_scale_columns}};
  }
  json operator()(const UniformLayout& layout) const {
    return {{"kind", "uniform"},
            {"bits", layout.bits},
            {"group_columns", layout.group_columns},
            {"permuted", layout.permuted}};
  }
};

absl::StatusOr<std::int64_t> IntegerAt(const json& object, const char* key, std::int64_t limit) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number_unsigned() || it->get<std::uint64_t>() > static_cast<std::uint64_t>(limit)) {
    return absl::InvalidArgumentError(absl::StrCat("layout.", key, " is not an integer from 0 to ", limit));
  }
  return it->get<std::int64_t>();
}

absl::StatusOr<int> SmallIntegerAt(const json& object, const char* key) {
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t value, IntegerAt(object, key, std::numeric_limits<int>::max()));
  return static_cast<int>(value);
}

absl::StatusOr<CodebookKind> CodebookKindAt(const json& object) {
  const auto it = object.find("codebook");
  for (const auto& [value, name] : kCodebookKinds) {
    if (it != object.end() && it->is_string() && it->get_ref<const std::string&>() == name) return value;
  }
  return absl::InvalidArgumentError("layout.codebook is not one of int8, fp16, svd");
}

absl::StatusOr<PackedLayout> ParseVectorLayout(const json& object) {
  VectorLayout layout;
  GPTVQ_ASSIGN_OR_RETURN(layout.vector_dim, SmallIntegerAt(object, "vector_dim"));
  GPTVQ_ASSIGN_OR_RETURN(layout.index_bits, SmallIntegerAt(object, "index_bits"));
  GPTVQ_ASSIGN_OR_RETURN(layout.group_weights, IntegerAt(object, "group_weights", kMaxSide));
  GPTVQ_ASSIGN_OR_RETURN(layout.columns_per_group, SmallIntegerAt(object, "columns_per_group"));
  GPTVQ_ASSIGN_OR_RETURN(layout.codebook, CodebookKindAt(object));
  GPTVQ_ASSIGN_OR_RETURN(layout.svd_rank, SmallIntegerAt(object, "svd_rank"));
  GPTVQ_ASSIGN_OR_RETURN(layout.block_scale_columns, SmallIntegerAt(object, "block_scale_columns"));
  return layout;
}

absl::StatusOr<PackedLayout> ParseUniformLayout(const json& object) {
  UniformLayout layout;
  GPTVQ_ASSIGN_OR_RETURN(layout.bits, SmallIntegerAt(object, "bits"));
  GPTVQ_ASSIGN_OR_RETURN(layout.group_columns, SmallIntegerAt(object, "group_columns"));
  const auto permuted = object.find("permuted");
  if (permuted == object.end() || !permuted->is_boolean()) {
    return absl::InvalidArgumentError("layout.permuted is not true or false");
  }
  layout.permuted = permuted->get<bool>();
  return layout;
}

absl::StatusOr<PackedLayout> ParseLayout(const json& object) {
  const auto kind = object.is_object() ? object.find("kind") : object.end();
  const bool is_vector = object.is_object() && kind != object.end() && *kind == "vector";
  const bool is_uniform = object.is_object() && kind != object.end() && *kind == "uniform";
  if (!is_vector && !is_uniform) return absl::InvalidArgumentError("layout.kind is not one of vector, uniform");
  GPTVQ_ASSIGN_OR_RETURN(PackedLayout layout, is_vector ? ParseVectorLayout(object) : ParseUniformLayout(object));
  GPTVQ_RETURN_IF_ERROR(WithContext(ValidateLayout(layout), "layout"));
  return layout;
}

absl::StatusOr<PackedModule> ParseModule(const std::string& name, const json& entry,
                                         const PackedLayout& default_layout) {
  PackedModule module;
  module.name = name;
  module.layout = default_layout;
  const auto side = [](const json& value) -> std::int64_t {
    const bool fits = value.is_number_unsigned() && value.get<std::uint64_t>() <= static_cast<std::uint64_t>(kMaxSide);
    return fits ? value.get<std::int64_t>() : 0;
  };
  if (entry.is_object() && entry.contains("shape") && entry["shape"].is_array() && entry["shape"].size() == 2) {
    module.rows = side(entry["shape"][0]);
    module.cols = side(entry["shape"][1]);
  }
  if (module.rows == 0 || module.cols == 0) {
    return absl::InvalidArgumentError("shape is not an array of two integers from 1 to 2^31");
  }
  if (entry.contains("layout")) {
    GPTVQ_ASSIGN_OR_RETURN(module.layout, ParseLayout(entry["layout"]));
  }
  return module;
}

}  // namespace

PackedLayout LayoutOf(const QuantSpec& spec) {
  if (spec.method != QuantMethod::kGptvq) {
    return UniformLayout{spec.uniform_bits, spec.uniform_group_columns, spec.act_order};
  }
  VectorLayout layout{
      .vector_dim = spec.vector_dim,
      .index_bits = spec.index_bits,
      .group_weights = spec.group_weights,
      .columns_per_group = spec.columns_per_group,
      .codebook = spec.codebook_dtype == CodebookDType::kFp16 ? CodebookKind::kFp16 : CodebookKind::kInt8,
      .svd_rank = 0,
      .block_scale_columns = spec.block_scale_columns};
  if (spec.svd_rank_fraction > 0) {
    layout.codebook = CodebookKind::kSvd;
    layout.svd_rank = spec.svd_rank();
  }
  return layout;
}

QuantSpec GeometrySpec(const VectorLayout& layout) {
  QuantSpec spec;
  spec.vector_dim = layout.vector_dim;
  spec.index_bits = layout.index_bits;
  spec.group_weights = layout.group_weights;
  spec.columns_per_group = layout.columns_per_group;
  spec.codebook_dtype = layout.codebook == CodebookKind::kFp16 ? CodebookDType::kFp16 : CodebookDType::kInt8;
  spec.block_scale_columns = layout.block_scale_columns;
  return spec;
}

absl::Status ValidateLayout(const PackedLayout& layout) {
  if (const auto* uniform = std::get_if<UniformLayout>(&layout); uniform != nullptr) {
    QuantSpec spec;
    spec.method = QuantMethod::kGptq;
    spec.uniform_bits = uniform->bits;
    spec.uniform_group_columns = uniform->group_columns;
    return spec.Validate();
  }
  const VectorLayout& vector = std::get<VectorLayout>(layout);
  GPTVQ_RETURN_IF_ERROR(GeometrySpec(vector).Validate());
  if (vector.codebook != CodebookKind::kSvd) {
    return vector.svd_rank == 0 ? absl::OkStatus()
                                : absl::InvalidArgumentError("svd_rank is not 0 without svd codebooks");
  }
  if (vector.vector_dim != 1) return absl::InvalidArgumentError("svd codebooks need vector_dim 1");
  if (vector.svd_rank < 1 || vector.svd_rank > 1 << vector.index_bits) {
    return absl::InvalidArgumentError(absl::StrCat("svd_rank is ", vector.svd_rank, "; allowed: 1 to 2^index_bits"));
  }
  return absl::OkStatus();
}

std::string PackedModulesText(const PackedModules& modules) {
  json entries = json::object();
  for (const PackedModule& module : modules.modules) {
    json& entry = entries[module.name];
    entry["shape"] = {module.rows, module.cols};
    if (module.layout != modules.layout) entry["layout"] = std::visit(LayoutWriter{}, module.layout);
  }
  return json{{"layout", std::visit(LayoutWriter{}, modules.layout)}, {"modules", std::move(entries)}}.dump();
}

absl::StatusOr<PackedModules> ParsePackedModules(std::string_view text) {
  GPTVQ_ASSIGN_OR_RETURN(const json root, ParseStrictJson(text, {.max_bytes = kMaxModulesBytes}));
  if (!root.is_object() || !root.contains("layout") || !root.contains("modules") || !root["modules"].is_object()) {
    return absl::InvalidArgumentError("not an object with layout and modules");
  }
  PackedModules modules;
  GPTVQ_ASSIGN_OR_RETURN(modules.layout, ParseLayout(root["layout"]));
  for (const auto& [name, entry] : root["modules"].items()) {
    auto module = ParseModule(name, entry, modules.layout);
    if (!module.ok()) return WithContext(module.status(), absl::StrCat("module '", name.substr(0, 80), "'"));
    modules.modules.push_back(*std::move(module));
  }
  return modules;
}

}  // namespace gptvq
