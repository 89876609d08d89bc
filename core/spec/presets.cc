#include "core/spec/presets.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace gptvq {
namespace {

struct VectorRow {
  const char* name;
  int vector_dim;
  int index_bits;
  std::int64_t group_weights;
  int block_scale_columns;
  CodebookDType codebook_dtype = CodebookDType::kInt8;
};

constexpr VectorRow kVectorRows[] = {
    {"1d-2.125bpv", 1, 2, 256, 0},
    {"1d-2.25bpv", 1, 2, 128, 0},
    {"1d-3.125bpv", 1, 3, 512, 0},
    {"1d-4.125bpv", 1, 4, 1024, 0},
    {"2d-2.125bpv", 2, 4, 2048, 0},
    {"2d-2.25bpv", 2, 4, 1024, 0},
    {"2d-2.5bpv", 2, 4, 512, 0},
    {"2d-3.125bpv", 2, 6, 8192, 0},
    {"2d-3.25bpv", 2, 6, 4096, 0},
    {"2d-4.125bpv", 2, 8, 32768, 0},
    {"2d-4.25bpv", 2, 8, 16384, 0},
    {"4d-2.125bpv", 4, 8, 65536, 0},
    {"4d-2.25bpv", 4, 8, 32768, 0},
    {"1d-2.125bpv-s64", 1, 2, 512, 64},
    {"1d-2.1875bpv-s64", 1, 2, 256, 64},
    {"1d-3.125bpv-s64", 1, 3, 1024, 64},
    {"1d-4.125bpv-s64", 1, 4, 2048, 64},
    {"2d-2.125bpv-s64", 2, 4, 4096, 64},
    {"2d-2.1875bpv-s64", 2, 4, 2048, 64},
    {"2d-3.125bpv-s64", 2, 6, 16384, 64},
    {"2d-4.125bpv-s64", 2, 8, 65536, 64},
    {"4d-2.1875bpv-s64", 4, 8, 65536, 64},
    {"1d-2.1875bpv-s32", 1, 2, 512, 32},
    {"1d-2.25bpv-s32", 1, 2, 256, 32},
    {"1d-3.1875bpv-s32", 1, 3, 1024, 32},
    {"1d-4.1875bpv-s32", 1, 4, 2048, 32},
    {"2d-2.25bpv-s32", 2, 4, 2048, 32},
    {"2d-2.375bpv-s32", 2, 4, 1024, 32},
    {"2d-3.25bpv-s32", 2, 6, 8192, 32},
    {"2d-4.25bpv-s32", 2, 8, 32768, 32},
    {"1d-2.125bpv-fp16", 1, 2, 512, 0, CodebookDType::kFp16},
    {"1d-3.125bpv-fp16", 1, 3, 1024, 0, CodebookDType::kFp16},
    {"1d-4.125bpv-fp16", 1, 4, 2048, 0, CodebookDType::kFp16},
    {"2d-2.125bpv-fp16", 2, 4, 4096, 0, CodebookDType::kFp16},
    {"2d-3.125bpv-fp16", 2, 6, 16384, 0, CodebookDType::kFp16},
    {"2d-4.125bpv-fp16", 2, 8, 65536, 0, CodebookDType::kFp16},
};

Preset VectorPreset(const VectorRow& row) {
  QuantSpec spec;
  spec.vector_dim = row.vector_dim;
  spec.index_bits = row.index_bits;
  spec.group_weights = row.group_weights;
  spec.block_scale_columns = row.block_scale_columns;
  spec.codebook_dtype = row.codebook_dtype;
  return {row.name, spec};
}

Preset UniformPreset(QuantMethod method, int bits, int group_columns) {
  QuantSpec spec;
  spec.method = method;
  spec.uniform_bits = bits;
  spec.uniform_group_columns = group_columns;
  return {absl::StrCat(std::string(Name(method)), "-", bits, "bit-g", group_columns), spec};
}

std::vector<Preset> MakePresets() {
  std::vector<Preset> presets;
  for (const VectorRow& row : kVectorRows) presets.push_back(VectorPreset(row));
  for (QuantMethod method : {QuantMethod::kGptq, QuantMethod::kRtn}) {
    for (int bits : {2, 3, 4, 8}) {
      for (int group_columns : {128, 64}) presets.push_back(UniformPreset(method, bits, group_columns));
    }
  }
  return presets;
}

// Levenshtein distance: how far a misspelt name is from a preset.
int EditDistance(std::string_view a, std::string_view b) {
  std::vector<int> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const int substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace

const std::vector<Preset>& AllPresets() {
  static const std::vector<Preset>& presets = *new std::vector<Preset>(MakePresets());
  return presets;
}

absl::StatusOr<QuantSpec> FindPreset(std::string_view name) {
  constexpr int kSuggestions = 3;
  std::vector<std::pair<int, std::string>> by_distance;
  for (const Preset& preset : AllPresets()) {
    if (preset.name == name) return preset.spec;
    by_distance.emplace_back(EditDistance(preset.name, name.substr(0, 64)), preset.name);
  }
  std::stable_sort(by_distance.begin(), by_distance.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> closest;
  for (int i = 0; i < kSuggestions; ++i) closest.push_back(by_distance[i].second);
  return absl::NotFoundError(absl::StrCat("no preset '", std::string(name.substr(0, 64)), "'; did you mean ",
                                          absl::StrJoin(closest, ", "), "?"));
}

}  // namespace gptvq
