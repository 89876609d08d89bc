#include "core/model/model_tensors.h"

#include <cmath>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr std::size_t kShownTensors = 12;

std::string_view NormName(LayerNorm norm) {
  switch (norm) {
    case LayerNorm::kAttention: return "input_layernorm";
    case LayerNorm::kMlp: return "post_attention_layernorm";
    case LayerNorm::kQuery: return "self_attn.q_norm";
    case LayerNorm::kKey: return "self_attn.k_norm";
  }
  GPTVQ_CHECK(false);
  return {};
}

bool IsFloatingPoint(DType dtype) {
  return dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBf16;
}

std::vector<ExpectedTensor> AllTensors(const ModelConfig& config) {
  std::vector<ExpectedTensor> tensors = OuterTensors(config);
  for (int layer = 0; layer < config.layer_count; ++layer) {
    for (ExpectedTensor& tensor : LayerTensors(config, layer)) tensors.push_back(std::move(tensor));
  }
  return tensors;
}

absl::Status WrongShape(const TensorInfo& found, const ExpectedTensor& expected) {
  return absl::InvalidArgumentError(absl::StrCat(expected.name, " is ", Describe(found), ", config.json asks for [",
                                                 absl::StrJoin(expected.shape, ", "), "] in floating point"));
}

std::int64_t CountNotFinite(MatrixView<const float> values) {
  std::int64_t count = 0;
  for (std::int64_t r = 0; r < values.rows; ++r) {
    for (std::int64_t c = 0; c < values.cols; ++c) count += !std::isfinite(values.at(r, c));
  }
  return count;
}

std::string ShownList(const std::vector<std::string>& entries) {
  const absl::Span<const std::string> shown = absl::MakeSpan(entries).subspan(0, kShownTensors);
  const std::size_t rest = entries.size() - shown.size();
  return absl::StrCat(absl::StrJoin(shown, "; "), rest == 0 ? "" : absl::StrCat("; and ", rest, " more"));
}

}  // namespace

std::string NormTensor(int layer, LayerNorm norm) {
  return absl::StrCat("model.layers.", layer, ".", std::string(NormName(norm)), ".weight");
}

std::string WeightTensor(int layer, LinearRole role) { return absl::StrCat(LinearPath(layer, role), ".weight"); }

std::string BiasTensor(int layer, LinearRole role) { return absl::StrCat(LinearPath(layer, role), ".bias"); }

std::string_view OutputHeadTensor(const ModelConfig& config) {
  return config.has_tied_embeddings ? kEmbeddingTensor : "lm_head.weight";
}

std::vector<ExpectedTensor> LayerTensors(const ModelConfig& config, int layer) {
  std::vector<ExpectedTensor> tensors;
  for (LayerNorm norm : {LayerNorm::kAttention, LayerNorm::kMlp}) {
    tensors.push_back({.name = NormTensor(layer, norm), .shape = {config.hidden_size}});
  }
  for (LinearRole role : kLinearRoles) {
    const LinearShape shape = ShapeOf(config, role);
    tensors.push_back({.name = WeightTensor(layer, role), .shape = {shape.rows, shape.cols}, .is_linear_weight = true});
    if (HasBias(config, role)) tensors.push_back({.name = BiasTensor(layer, role), .shape = {shape.rows}});
  }
  if (config.has_head_norms) {
    for (LayerNorm norm : {LayerNorm::kQuery, LayerNorm::kKey}) {
      tensors.push_back({.name = NormTensor(layer, norm), .shape = {config.head_dim}});
    }
  }
  return tensors;
}

std::vector<ExpectedTensor> OuterTensors(const ModelConfig& config) {
  std::vector<ExpectedTensor> tensors = {
      {.name = std::string(kEmbeddingTensor), .shape = {config.vocab_size, config.hidden_size}},
      {.name = std::string(kFinalNormTensor), .shape = {config.hidden_size}}};
  if (!config.has_tied_embeddings) {
    tensors.push_back(
        {.name = std::string(OutputHeadTensor(config)), .shape = {config.vocab_size, config.hidden_size}});
  }
  return tensors;
}

absl::Status CheckTensors(const ModelConfig& config, const Checkpoint& checkpoint, TensorScope scope) {
  std::vector<std::string> missing;
  std::vector<std::string> wrong;
  for (const ExpectedTensor& expected : AllTensors(config)) {
    if (expected.is_linear_weight && scope == TensorScope::kAllButLinearWeights) continue;
    const TensorInfo* found = checkpoint.Find(expected.name);
    if (found == nullptr) {
      missing.push_back(expected.name);
    } else if (found->shape != expected.shape || !IsFloatingPoint(found->dtype)) {
      wrong.emplace_back(WrongShape(*found, expected).message());
    }
  }
  if (!missing.empty()) return absl::InvalidArgumentError(absl::StrCat("missing tensors: ", ShownList(missing)));
  if (!wrong.empty()) return absl::InvalidArgumentError(ShownList(wrong));
  return absl::OkStatus();
}

absl::Status ReadTensor(const Checkpoint& checkpoint, const ExpectedTensor& expected, MatrixView<float> values_out) {
  GPTVQ_ASSIGN_OR_RETURN(const TensorInfo found, checkpoint.Get(expected.name));
  if (found.shape != expected.shape || !IsFloatingPoint(found.dtype)) return WrongShape(found, expected);
  if (found.shape.size() == 2) {
    GPTVQ_RETURN_IF_ERROR(checkpoint.ReadRows(expected.name, 0, values_out));
  } else {
    GPTVQ_CHECK(values_out.rows == 1);
    GPTVQ_RETURN_IF_ERROR(checkpoint.ReadAll(expected.name, absl::MakeSpan(values_out.data, values_out.cols)));
  }
  return CheckAllFinite(found, CountNotFinite(values_out));
}

absl::Status CheckAllFinite(const TensorInfo& tensor, std::int64_t not_finite) {
  if (not_finite == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(tensor.name, " has ", not_finite, " values that are NaN or infinite, of ", tensor.element_count()));
}

std::vector<std::string> UnusedTensors(const ModelConfig& config, const Checkpoint& checkpoint) {
  std::set<std::string> expected;
  for (ExpectedTensor& tensor : AllTensors(config)) expected.insert(std::move(tensor.name));
  std::vector<std::string> unused = checkpoint.TensorNames();
  std::erase_if(unused, [&](const std::string& name) { return expected.contains(name); });
  return unused;
}

}  // namespace gptvq
