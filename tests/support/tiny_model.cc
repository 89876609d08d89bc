#include "tests/support/tiny_model.h"

#include <cmath>
#include <memory>
#include <numbers>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/dtype.h"
#include "core/base/philox.h"
#include "core/format/safetensors_writer.h"

namespace gptvq {
namespace {

// Standard normal by Box and Muller.
float Normal(const Philox& philox, std::uint64_t n) {
  const double u = 1 - philox.Uniform(2 * n);
  const double v = philox.Uniform(2 * n + 1);
  return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
}

std::vector<TensorInfo> TensorsOf(const TinyModel& model) {
  const std::int64_t hidden = model.hidden_size;
  const std::int64_t head_dim = hidden / model.head_count;
  const std::int64_t kv = head_dim * model.kv_head_count;
  const std::int64_t wide = model.intermediate_size;
  std::vector<TensorInfo> tensors = {{"model.embed_tokens.weight", model.dtype, {model.vocab_size, hidden}},
                                     {"model.norm.weight", model.dtype, {hidden}}};
  for (int layer = 0; layer < model.layer_count; ++layer) {
    const std::string prefix = absl::StrCat("model.layers.", layer, ".");
    const std::vector<std::pair<std::string, std::vector<std::int64_t>>> shapes = {
        {"input_layernorm", {hidden}},          {"post_attention_layernorm", {hidden}},
        {"self_attn.q_proj", {hidden, hidden}}, {"self_attn.k_proj", {kv, hidden}},
        {"self_attn.v_proj", {kv, hidden}},     {"self_attn.o_proj", {hidden, hidden}},
        {"mlp.gate_proj", {wide, hidden}},      {"mlp.up_proj", {wide, hidden}},
        {"mlp.down_proj", {hidden, wide}}};
    for (const auto& [name, shape] : shapes) {
      tensors.push_back({absl::StrCat(prefix, name, ".weight"), model.dtype, shape});
    }
  }
  return tensors;
}

std::vector<float> ValuesOf(const TensorInfo& tensor, std::uint64_t seed) {
  const Philox philox(seed, Philox::StreamOf(tensor.name));
  std::vector<float> values(static_cast<std::size_t>(tensor.element_count()));
  const bool is_norm = tensor.shape.size() == 1;
  const float spread = is_norm ? 0.1f : 1.0f / std::sqrt(static_cast<float>(tensor.shape.back()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = (is_norm ? 1.0f : 0.0f) + spread * Normal(philox, i);
  return values;
}

void WriteText(WritableDirectory& directory, std::string_view name, const std::string& text) {
  auto file = directory.Create(name);
  GPTVQ_CHECK(file.ok() && (*file)->Append(AsBytes(text)).ok() && (*file)->Close().ok());
}

}  // namespace

void WriteTinyModel(const TinyModel& model, WritableDirectory& directory) {
  WriteText(directory, "config.json",
            absl::StrCat(
                "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n",
                "  \"hidden_size\": ", model.hidden_size, ",\n  \"intermediate_size\": ", model.intermediate_size,
                ",\n  \"num_hidden_layers\": ", model.layer_count, ",\n  \"num_attention_heads\": ", model.head_count,
                ",\n  \"num_key_value_heads\": ", model.kv_head_count, ",\n  \"vocab_size\": ", model.vocab_size,
                ",\n  \"max_position_embeddings\": ", model.max_positions,
                ",\n  \"rms_norm_eps\": 1e-05,\n  \"rope_theta\": 10000.0,\n  \"hidden_act\": \"silu\",\n",
                "  \"tie_word_embeddings\": true,\n  \"torch_dtype\": \"float32\"\n}\n"));
  auto file = directory.Create("model.safetensors");
  GPTVQ_CHECK(file.ok());
  auto writer = SafetensorsWriter::Begin(TensorsOf(model), {{"format", "pt"}}, **file);
  GPTVQ_CHECK(writer.ok());
  for (const TensorInfo& tensor : writer->order()) {
    const std::vector<float> values = ValuesOf(tensor, model.seed);
    std::vector<std::byte> bytes(tensor.byte_count());
    EncodeFromFloat(model.dtype, values, absl::MakeSpan(bytes));
    GPTVQ_CHECK(writer->Append(bytes).ok());
  }
  GPTVQ_CHECK(writer->Finish().ok() && (*file)->Close().ok());
}

std::vector<std::int32_t> RandomTokens(const TinyModel& model, std::int64_t count, std::uint64_t seed) {
  const Philox philox(seed, Philox::StreamOf("tokens"));
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<std::int32_t>(philox.Draw(i)[0] % static_cast<std::uint32_t>(model.vocab_size));
  }
  return tokens;
}

}  // namespace gptvq
