#include "core/model/model_config.h"

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/memory_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace gptvq {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

// Meta-Llama-3.1-8B, as published.
constexpr std::string_view kLlama31 = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
  "eos_token_id": 128001, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
  "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
  "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1,
  "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
  "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0,
  "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.43.0.dev0", "use_cache": true,
  "vocab_size": 128256})";

// Llama-7B as first converted: few keys, defaults for the rest.
constexpr std::string_view kLlama1 = R"({
  "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
  "hidden_size": 4096, "intermediate_size": 11008, "initializer_range": 0.02, "max_sequence_length": 2048,
  "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32, "pad_token_id": -1,
  "rms_norm_eps": 1e-06, "torch_dtype": "float16", "transformers_version": "4.27.0.dev0", "use_cache": true,
  "vocab_size": 32000})";

constexpr std::string_view kMistral = R"({
  "architectures": ["MistralForCausalLM"], "hidden_act": "silu", "hidden_size": 5120, "head_dim": 128,
  "intermediate_size": 14336, "max_position_embeddings": 131072, "model_type": "mistral", "num_attention_heads": 32,
  "num_hidden_layers": 40, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
  "sliding_window": null, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 131072})";

constexpr std::string_view kQwen25 = R"({
  "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "hidden_act": "silu", "hidden_size": 896,
  "initializer_range": 0.02, "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 21,
  "model_type": "qwen2", "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2,
  "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true,
  "torch_dtype": "bfloat16", "use_cache": true, "use_mrope": false, "use_sliding_window": false,
  "vocab_size": 151936})";

constexpr std::string_view kQwen3 = R"({
  "architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "head_dim": 128,
  "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 3072, "max_position_embeddings": 40960,
  "max_window_layers": 28, "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28,
  "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000,
  "sliding_window": null, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_sliding_window": false,
  "vocab_size": 151936})";

// `text` with the members of `changes` put in place of its own; "<absent>" takes a key away.
std::string With(std::string_view text, const json& changes) {
  json config = json::parse(text);
  for (const auto& [key, value] : changes.items()) {
    if (value == "<absent>")
      config.erase(key);
    else
      config[key] = value;
  }
  return config.dump();
}

ModelConfig ParseOk(std::string_view text) {
  const auto config = ParseModelConfig(text);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.value_or(ModelConfig());
}

std::string ErrorOf(std::string_view text) {
  const auto config = ParseModelConfig(text);
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(config.status().message());
}

TEST(ModelConfig, ReadsLlama31) {
  const ModelConfig config = ParseOk(kLlama31);

  EXPECT_EQ(config.family, ModelFamily::kLlama);
  EXPECT_EQ(config.hidden_size, 4096);
  EXPECT_EQ(config.intermediate_size, 14336);
  EXPECT_EQ(config.vocab_size, 128256);
  EXPECT_EQ(config.layer_count, 32);
  EXPECT_EQ(config.head_count, 32);
  EXPECT_EQ(config.kv_head_count, 8);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_EQ(config.max_positions, 131072);
  EXPECT_EQ(config.rms_norm_epsilon, 1e-5);
  EXPECT_EQ(config.rope_theta, 500000);
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kLlama3);
  EXPECT_EQ(config.rope_scaling.factor, 8);
  EXPECT_EQ(config.rope_scaling.low_freq_factor, 1);
  EXPECT_EQ(config.rope_scaling.high_freq_factor, 4);
  EXPECT_EQ(config.rope_scaling.original_positions, 8192);
  EXPECT_THAT(config.sliding_windows, AllOf(testing::SizeIs(32), Each(0)));
  EXPECT_FALSE(config.has_qkv_bias || config.has_output_bias || config.has_mlp_bias || config.has_head_norms);
  EXPECT_FALSE(config.has_tied_embeddings);
  EXPECT_EQ(config.dtype, DType::kBf16);
  EXPECT_EQ(config.quant_method, "");
}

TEST(ModelConfig, TakesTheDefaultsOfTheFamilyForAbsentKeys) {
  const ModelConfig llama = ParseOk(kLlama1);
  EXPECT_EQ(llama.kv_head_count, 32);
  EXPECT_EQ(llama.max_positions, 2048);
  EXPECT_EQ(llama.rope_theta, 10000);
  EXPECT_EQ(llama.dtype, DType::kF16);

  const ModelConfig mistral = ParseOk(With(kMistral, {{"sliding_window", "<absent>"}, {"rope_theta", "<absent>"}}));
  EXPECT_THAT(mistral.sliding_windows, Each(4096));

  EXPECT_EQ(ParseOk(With(kQwen3, {{"head_dim", "<absent>"}})).head_dim, 128);
  EXPECT_EQ(ParseOk(With(kLlama1, {{"rms_norm_eps", "<absent>"}})).rms_norm_epsilon, 1e-6);
}

TEST(ModelConfig, ReadsMistralWithAndWithoutWindow) {
  EXPECT_THAT(ParseOk(kMistral).sliding_windows, AllOf(testing::SizeIs(40), Each(0)));
  EXPECT_EQ(ParseOk(kMistral).head_dim, 128);
  EXPECT_EQ(ParseOk(kMistral).query_width(), 4096);

  EXPECT_THAT(ParseOk(With(kMistral, {{"sliding_window", 4096}})).sliding_windows, Each(4096));
}

TEST(ModelConfig, GivesQwen2ItsBiasesAndTiedEmbeddings) {
  const ModelConfig config = ParseOk(kQwen25);

  EXPECT_TRUE(config.has_qkv_bias);
  EXPECT_FALSE(config.has_output_bias);
  EXPECT_FALSE(config.has_mlp_bias);
  EXPECT_TRUE(config.has_tied_embeddings);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_THAT(config.sliding_windows, Each(0));
}

TEST(ModelConfig, GivesQwen3ItsHeadNorms) {
  const ModelConfig config = ParseOk(kQwen3);

  EXPECT_TRUE(config.has_head_norms);
  EXPECT_FALSE(config.has_qkv_bias);
  EXPECT_EQ(config.query_width(), 2048);

  const ModelConfig biased = ParseOk(With(kQwen3, {{"attention_bias", true}}));
  EXPECT_TRUE(biased.has_qkv_bias && biased.has_output_bias);
}

TEST(ModelConfig, PlacesQwensWindows) {
  const json base = {{"num_hidden_layers", 4}, {"use_sliding_window", true}, {"sliding_window", 64}};
  json from_layer = base, listed = base;
  from_layer["max_window_layers"] = 3;
  listed["layer_types"] = {"sliding_attention", "full_attention", "sliding_attention", "full_attention"};

  EXPECT_THAT(ParseOk(With(kQwen25, from_layer)).sliding_windows, ElementsAre(0, 0, 0, 64));
  EXPECT_THAT(ParseOk(With(kQwen3, listed)).sliding_windows, ElementsAre(64, 0, 64, 0));
}

TEST(ModelConfig, ReadsBothSpellingsOfRopeScaling) {
  const json yarn = {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  const json parameters = {{"rope_type", "linear"}, {"factor", 2}, {"rope_theta", 20000}};

  const ModelConfig old_form = ParseOk(With(kQwen25, {{"rope_scaling", yarn}, {"max_position_embeddings", 131072}}));
  EXPECT_EQ(old_form.rope_scaling.kind, RopeScaling::Kind::kYarn);
  EXPECT_EQ(old_form.rope_scaling.original_positions, 32768);
  EXPECT_DOUBLE_EQ(old_form.rope_scaling.attention_factor, 0.1 * std::log(4.0) + 1);
  EXPECT_EQ(old_form.rope_scaling.beta_fast, 32);
  EXPECT_EQ(old_form.rope_scaling.beta_slow, 1);

  const ModelConfig new_form = ParseOk(With(kQwen25, {{"rope_theta", "<absent>"}, {"rope_parameters", parameters}}));
  EXPECT_EQ(new_form.rope_theta, 20000);
  EXPECT_EQ(new_form.rope_scaling.kind, RopeScaling::Kind::kLinear);
  EXPECT_EQ(new_form.rope_scaling.factor, 2);

  EXPECT_EQ(ParseOk(With(kQwen25, {{"rope_scaling", {{"rope_type", "default"}}}})).rope_scaling.kind,
            RopeScaling::Kind::kNone);
}

TEST(ModelConfig, AcceptsOurOwnQuantizedCheckpoints) {
  const json ours = {{"quant_method", "gptvq"}, {"anything", {1, 2, 3}}};

  EXPECT_EQ(ParseOk(With(kLlama31, {{"quantization_config", ours}})).quant_method, "gptvq");
}

struct BadValue {
  std::string_view base;
  json changes;
  std::string_view named;  // in the message
};

TEST(ModelConfig, RefusesBadValuesNamingTheKey) {
  const json bad_counts = {
      0, -1, std::int64_t{1} << 31, 1.5, 4096.0, "4096", nullptr, true, json::array({1}), 18446744073709551615u};
  for (const char* key :
       {"hidden_size", "intermediate_size", "vocab_size", "num_hidden_layers", "num_attention_heads"}) {
    for (const json& value : bad_counts) {
      EXPECT_THAT(ErrorOf(With(kLlama31, {{key, value}})), HasSubstr(key)) << value;
    }
  }
  const BadValue cases[] = {
      {kLlama31, {{"num_hidden_layers", 1000000000}}, "num_hidden_layers is 1000000000, must be a whole number"},
      {kLlama31, {{"num_key_value_heads", 64}}, "num_key_value_heads is 64, must divide num_attention_heads, 32"},
      {kLlama31, {{"num_key_value_heads", 5}}, "num_key_value_heads is 5"},
      {kLlama31, {{"num_attention_heads", 24}}, "hidden_size is 4096, not a multiple of num_attention_heads, 24"},
      {kLlama31, {{"num_attention_heads", 8}, {"hidden_size", 8}}, "head_dim is 1"},
      {kLlama31, {{"head_dim", 63}}, "head_dim is 63, must be even"},
      {kLlama31, {{"max_position_embeddings", 0}}, "max_position_embeddings"},
      {kLlama31, {{"rms_norm_eps", 0}}, "rms_norm_eps"},
      {kLlama31, {{"rms_norm_eps", -1e-5}}, "rms_norm_eps"},
      {kLlama31, {{"rms_norm_eps", "1e-5"}}, "rms_norm_eps"},
      {kLlama31, {{"rope_theta", -10000}}, "rope_theta"},
      {kLlama31, {{"rope_theta", 1e300}}, "rope_theta"},
      {kLlama31, {{"rope_theta", 0}}, "rope_theta"},
      {kLlama31, {{"tie_word_embeddings", 1}}, "tie_word_embeddings is 1, must be true or false"},
      {kLlama31, {{"attention_bias", "no"}}, "attention_bias"},
      {kLlama31, {{"torch_dtype", "float8_e4m3fn"}}, "torch_dtype is \"float8_e4m3fn\""},
      {kLlama31, {{"rope_scaling", {{"rope_type", "linear"}, {"factor", -2}}}}, "rope_scaling.factor is -2"},
      {kLlama31, {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 1e9}}}}, "rope_scaling.factor"},
      {kLlama31, {{"rope_scaling", {{"rope_type", "linear"}}}}, "rope_scaling.factor is missing"},
      {kLlama31, {{"rope_scaling", {{"rope_type", "linear"}, {"type", "dynamic"}, {"factor", 2}}}}, "type differ"},
      {kLlama31, {{"rope_scaling", 8}}, "rope_scaling is 8, must be an object"},
      {kLlama31,
       {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2}, {"beta_fast", 1}}}},
       "rope_scaling.beta_fast"},
      {kLlama31, {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2}, {"mscale", 1}}}}, "rope_scaling.\"mscale\""},
      {kLlama31, {{"rope_parameters", {{"rope_type", "default"}}}}, "rope_parameters stands beside"},
      {kMistral, {{"sliding_window", 0}}, "sliding_window"},
      {kMistral, {{"num_key_value_heads", "<absent>"}}, "num_key_value_heads is missing"},
      {kQwen25, {{"use_sliding_window", true}, {"sliding_window", nullptr}}, "sliding_window is missing"},
      {kQwen25, {{"layer_types", {"sliding_attention"}}}, "layer_types"},
      {kQwen25, {{"layer_types", {"full_attention"}}, {"use_sliding_window", true}}, "layer_types"},
  };
  for (const BadValue& bad : cases) EXPECT_THAT(ErrorOf(With(bad.base, bad.changes)), HasSubstr(bad.named));
}

TEST(ModelConfig, RefusesLlama3ScalingThatContradictsItself) {
  json scaling = json::parse(kLlama31)["rope_scaling"];
  scaling["high_freq_factor"] = 0.5;

  EXPECT_THAT(ErrorOf(With(kLlama31, {{"rope_scaling", scaling}})), HasSubstr("rope_scaling.high_freq_factor"));
}

TEST(ModelConfig, RefusesWhatItDoesNotCompute) {
  const BadValue cases[] = {
      {kLlama31, {{"model_type", "mixtral"}}, "model_type is \"mixtral\"; supported are llama, mistral, qwen2, qwen3"},
      {kLlama31, {{"model_type", "<absent>"}}, "model_type is missing"},
      {kLlama31, {{"architectures", {"LlamaForSequenceClassification"}}}, "LlamaForSequenceClassification"},
      {kLlama31, {{"architectures", {"LlamaForCausalLM", "Other"}}}, "architectures is a list of 2"},
      {kLlama31, {{"hidden_act", "gelu"}}, "hidden_act is \"gelu\""},
      {kLlama31, {{"partial_rotary_factor", 0.5}}, "partial_rotary_factor is 0.5"},
      {kLlama31, {{"rope_interleaved", true}}, "rope_interleaved is true"},
      {kLlama31,
       {{"rope_scaling", {{"rope_type", "longrope"}, {"factor", 2}}}},
       "rope_scaling.rope_type is \"longrope\""},
      {kLlama31, {{"auto_map", {{"AutoModel", "modeling.Evil"}}}}, "auto_map"},
      {kLlama31, {{"sliding_window", 4096}}, "\"sliding_window\" is not known (its value is 4096)"},
      {kLlama31, {{"num_local_experts", 8}}, "\"num_local_experts\" is not known"},
      {kMistral, {{"attention_bias", true}}, "\"attention_bias\" is not known"},
      {kQwen25, {{"use_mrope", true}}, "use_mrope"},
      {kLlama31, {{"quantization_config", {{"quant_method", "gptq"}}}}, "quant_method \"gptq\""},
      {kLlama31, {{"quantization_config", json::array()}}, "quantization_config"},
  };
  for (const BadValue& bad : cases) EXPECT_THAT(ErrorOf(With(bad.base, bad.changes)), HasSubstr(bad.named));
}

TEST(ModelConfig, ListsEverythingThatIsWrongAtOnce) {
  const std::string error = ErrorOf(With(
      kLlama31, {{"model_type", "mixtral"}, {"hidden_act", "gelu"}, {"num_local_experts", 8}, {"hidden_size", 0}}));

  EXPECT_THAT(error, AllOf(HasSubstr("mixtral"), HasSubstr("gelu"), HasSubstr("num_local_experts"),
                           HasSubstr("hidden_size is 0")));
}

TEST(ModelConfig, ShowsHostileTextEscapedAndCut) {
  const std::string error =
      ErrorOf(With(kLlama31, {{"model_type", "\x1b[2J\n" + std::string(100000, 'x')}, {"\x1b[31m", 1}}));

  EXPECT_EQ(error.find('\x1b'), std::string::npos);
  EXPECT_EQ(error.find('\n'), std::string::npos);
  EXPECT_LT(error.size(), 1000);
}

TEST(ModelConfig, CutsLongListsOfProblems) {
  json config = json::object();
  for (int i = 0; i < 5000; ++i) config["unknown_key_" + std::to_string(i)] = 1;

  EXPECT_LT(ErrorOf(config.dump()).size(), 4000);
}

TEST(ModelConfig, RefusesTextsThatAreNoConfiguration) {
  for (const char* text : {"", "{", "[]", "null", "{\"hidden_size\": 1,}", "{\"a\": 1, \"a\": 2}", "\xff"}) {
    EXPECT_EQ(ParseModelConfig(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  const std::string deep = std::string(1000, '[') + std::string(1000, ']');
  EXPECT_EQ(ParseModelConfig(deep).status(), absl::InvalidArgumentError("nested deeper than 32 levels"));
  EXPECT_EQ(ParseModelConfig(std::string((1 << 20) + 1, ' ')).status(),
            absl::InvalidArgumentError("JSON of 1048577 bytes, more than the limit of 1048576"));
}

TEST(ModelConfig, NamesTheFileOfADirectory) {
  MemoryDirectory directory("models/x");
  EXPECT_EQ(ReadModelConfig(directory).status().code(), absl::StatusCode::kNotFound);

  directory.Put("config.json", "{\n  \"hidden_size\": 1,\n}");
  EXPECT_THAT(std::string(ReadModelConfig(directory).status().message()),
              AllOf(HasSubstr("config.json"), HasSubstr("line 3")));

  directory.Put("config.json", std::string(kQwen3));
  EXPECT_TRUE(ReadModelConfig(directory).ok());
}

}  // namespace
}  // namespace gptvq
