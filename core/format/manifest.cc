#include "core/format/manifest.h"

#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/format/format_version.h"
#include "core/format/spec_json.h"
#include "core/json/strict_json.h"

namespace gptvq {
namespace {

using nlohmann::json;

constexpr char kFullHessian[] = "full";
constexpr char kDiagonalHessian[] = "diagonal-only";

// Calls field(key, member) for every field that is written, so that writer and reader can not name them differently.
template <typename Count, typename Field>
void ForEachBitField(Count& bits, Field field) {
  field("weights", bits.weights);
  field("index", bits.index_bits);
  field("codebook", bits.codebook_bits);
  field("codebook_scale", bits.codebook_scale_bits);
  field("block_scale", bits.block_scale_bits);
  field("permutation", bits.permutation_bits);
}

template <typename Report, typename Field>
void ForEachReportField(Report& report, Field field) {
  field("rows", report.rows);
  field("cols", report.cols);
  field("relative_error", report.relative_error);
  field("sweep_relative_error", report.sweep_relative_error);
  field("damping", report.damping);
  field("dead_columns", report.dead_columns);
  field("em_iterations", report.em_iterations);
  field("update_iterations", report.update_iterations);
  field("refinement_passes", report.refinement_passes);
}

json BitsObject(const BitCount& bits) {
  json object = json::object();
  ForEachBitField(bits, [&object](const char* key, std::int64_t value) { object[key] = value; });
  return object;
}

json DigestObject(const Digest& digest) { return {{"bytes", digest.size_bytes()}, {"sha256", digest.hex()}}; }

json FilesObject(const std::map<std::string, Digest>& files) {
  json object = json::object();
  for (const auto& [file, digest] : files) object[file] = DigestObject(digest);
  return object;
}

absl::StatusOr<json> LinearObject(const LinearReport& report) {
  json object = json::object();
  bool is_finite = true;
  ForEachReportField(report, [&](const char* key, auto value) {
    is_finite = is_finite && std::isfinite(static_cast<double>(value));
    object[key] = value;
  });
  if (!is_finite) return absl::InvalidArgumentError(absl::StrCat(report.name, ": a metric is not finite"));
  object["bits"] = BitsObject(report.bits);
  object["hessian_policy"] = report.hessian_policy == HessianPolicy::kFull ? kFullHessian : kDiagonalHessian;
  return object;
}

// Reads members of one JSON object; the first error stays.
class ObjectReader {
 public:
  ObjectReader(const json& object, std::string path, absl::Status& status)
      : object_(object), path_(std::move(path)), status_(status) {}

  const json* Member(const char* key, bool (json::*is_kind)() const noexcept, const char* kind) const {
    if (!status_.ok()) return nullptr;
    const auto it = object_.is_object() ? object_.find(key) : object_.end();
    if (object_.is_object() && it != object_.end() && ((*it).*is_kind)()) return &*it;
    status_ = absl::InvalidArgumentError(absl::StrCat(path_, key, " is not ", kind));
    return nullptr;
  }

  template <typename Integer>
  requires std::is_integral_v<Integer>
  void Read(const char* key, Integer& value_out) const {
    const json* member = Member(key, &json::is_number_unsigned, "an integer from 0 on");
    if (member == nullptr) return;
    const std::uint64_t wide = member->get<std::uint64_t>();
    if (wide > static_cast<std::uint64_t>(std::numeric_limits<Integer>::max())) {
      status_ = absl::InvalidArgumentError(absl::StrCat(path_, key, " is too large"));
    }
    value_out = static_cast<Integer>(wide);
  }
  void Read(const char* key, double& value_out) const {
    const json* member = Member(key, &json::is_number, "a number");
    if (member != nullptr) value_out = member->get<double>();
  }
  void Read(const char* key, std::string& value_out) const {
    const json* member = Member(key, &json::is_string, "a string");
    if (member != nullptr) value_out = member->get<std::string>();
  }
  void Read(const char* key, Digest& value_out) const {
    const ObjectReader reader = Inside(key);
    std::uint64_t bytes = 0;
    std::string hex;
    reader.Read("bytes", bytes);
    reader.Read("sha256", hex);
    if (!status_.ok()) return;
    auto digest = Digest::FromHex(hex, bytes);
    status_ = WithContext(digest.status(), absl::StrCat(path_, key));
    if (digest.ok()) value_out = *digest;
  }
  void Read(const char* key, BitCount& value_out) const {
    const ObjectReader reader = Inside(key);
    ForEachBitField(value_out, [&reader](const char* part, std::int64_t& bits) { reader.Read(part, bits); });
  }
  void Read(const char* key, std::map<std::string, Digest>& files_out) const {
    const ObjectReader reader = Inside(key);
    for (const std::string& file : reader.Keys()) {
      if (!IsPlainFileName(file) && status_.ok()) {
        status_ = absl::InvalidArgumentError(absl::StrCat(
            path_, key, " names ", json(file.substr(0, 80)).dump(-1, ' ', true, json::error_handler_t::replace),
            ", which is not the name of a sibling"));
      }
      reader.Read(file.c_str(), files_out[file]);
    }
  }

  // The object under `key`; an empty one, with the error set, when there is none.
  ObjectReader Inside(const char* key) const {
    const json* member = Member(key, &json::is_object, "an object");
    return ObjectReader(member != nullptr ? *member : Empty(), absl::StrCat(path_, key, "."), status_);
  }
  std::vector<std::string> Keys() const {
    std::vector<std::string> keys;
    for (const auto& [key, value] : object_.items()) keys.push_back(key);
    return keys;
  }

 private:
  static const json& Empty() {
    static const json& empty = *new json(json::object());
    return empty;
  }

  const json& object_;
  const std::string path_;
  absl::Status& status_;
};

LinearReport ReadLinear(const ObjectReader& linears, const std::string& name, absl::Status& status) {
  LinearReport report;
  report.name = name;
  const ObjectReader reader = linears.Inside(name.c_str());
  ForEachReportField(report, [&reader](const char* key, auto& value) { reader.Read(key, value); });
  reader.Read("bits", report.bits);
  std::string policy;
  reader.Read("hessian_policy", policy);
  if (policy != kFullHessian && policy != kDiagonalHessian && status.ok()) {
    status = absl::InvalidArgumentError(absl::StrCat("linears.", name, ".hessian_policy is not full or diagonal-only"));
  }
  report.hessian_policy = policy == kDiagonalHessian ? HessianPolicy::kDiagonalOnly : HessianPolicy::kFull;
  return report;
}

}  // namespace

absl::StatusOr<std::string> ManifestText(const Manifest& manifest) {
  const ManifestFacts& facts = manifest.facts;
  json linears = json::object();
  for (const LinearReport& report : facts.linears) {
    GPTVQ_ASSIGN_OR_RETURN(linears[report.name], LinearObject(report));
  }
  const json root = {{"format_version", std::string(kFormatVersion)},
                     {"tool_version", facts.tool_version},
                     {"files", FilesObject(manifest.files)},
                     {"source_files", FilesObject(facts.source_files)},
                     {"calibration", DigestObject(facts.calibration)},
                     {"spec", json::parse(QuantSpecText(facts.spec))},
                     {"seed", facts.seed},
                     {"propagation", facts.propagation},
                     {"shard_layers", facts.shard_layers},
                     {"numerics_class", facts.numerics_class},
                     {"bits", BitsObject(manifest.bits)},
                     {"linears", std::move(linears)}};
  return root.dump(2) + "\n";
}

absl::StatusOr<Manifest> ParseManifest(std::string_view text) {
  GPTVQ_ASSIGN_OR_RETURN(const json root, ParseStrictJson(text, {.max_bytes = kMaxManifestBytes}));
  absl::Status status;
  const ObjectReader reader(root, "", status);
  std::string version;
  reader.Read("format_version", version);
  GPTVQ_RETURN_IF_ERROR(status);
  GPTVQ_RETURN_IF_ERROR(CheckFormatVersion(version));
  Manifest manifest;
  ManifestFacts& facts = manifest.facts;
  reader.Read("tool_version", facts.tool_version);
  reader.Read("files", manifest.files);
  reader.Read("source_files", facts.source_files);
  reader.Read("calibration", facts.calibration);
  reader.Read("seed", facts.seed);
  reader.Read("propagation", facts.propagation);
  reader.Read("shard_layers", facts.shard_layers);
  reader.Read("numerics_class", facts.numerics_class);
  reader.Read("bits", manifest.bits);
  const ObjectReader linears = reader.Inside("linears");
  for (const std::string& name : linears.Keys()) facts.linears.push_back(ReadLinear(linears, name, status));
  const json* spec = reader.Member("spec", &json::is_object, "an object");
  GPTVQ_RETURN_IF_ERROR(status);
  GPTVQ_ASSIGN_OR_RETURN(facts.spec, ParseQuantSpec(spec->dump()));
  return manifest;
}

}  // namespace gptvq
