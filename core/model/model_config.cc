#include "core/model/model_config.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "core/json/strict_json.h"

namespace gptvq {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxConfigBytes = 1 << 20;
constexpr std::size_t kShownBytes = 60;     // of a value or key in a message
constexpr std::size_t kShownProblems = 24;  // of a file that is no configuration at all

struct Family {
  std::string_view model_type;
  std::string_view architecture;
  ModelFamily family;
  std::int64_t default_max_positions;
};

constexpr Family kFamilies[] = {
    {"llama", "LlamaForCausalLM", ModelFamily::kLlama, 2048},
    {"mistral", "MistralForCausalLM", ModelFamily::kMistral, 131072},
    {"qwen2", "Qwen2ForCausalLM", ModelFamily::kQwen2, 32768},
    {"qwen3", "Qwen3ForCausalLM", ModelFamily::kQwen3, 32768},
};

// Defaults of Hugging Face's configuration classes.
constexpr double kDefaultRmsNormEpsilon = 1e-6;
constexpr double kDefaultRopeTheta = 10000;
constexpr std::int64_t kMistralDefaultWindow = 4096;
constexpr std::int64_t kQwenDefaultMaxWindowLayers = 28;
constexpr std::int64_t kQwen3DefaultHeadDim = 128;
constexpr double kYarnDefaultBetaFast = 32;
constexpr double kYarnDefaultBetaSlow = 1;

// Keys that do not change the logits of a forward pass over whole sequences: training, generation, bookkeeping.
constexpr std::string_view kInertKeys[] = {"_attn_implementation_autoset",
                                           "_name_or_path",
                                           "attention_dropout",
                                           "bos_token_id",
                                           "eos_token_id",
                                           "finetuning_task",
                                           "id2label",
                                           "initializer_range",
                                           "is_llama_config",
                                           "label2id",
                                           "max_length",
                                           "max_sequence_length",
                                           "output_attentions",
                                           "output_hidden_states",
                                           "pad_token_id",
                                           "pretraining_tp",
                                           "return_dict",
                                           "task_specific_params",
                                           "tokenizer_class",
                                           "torchscript",
                                           "transformers_version",
                                           "unk_token_id",
                                           "unsloth_fixed",
                                           "unsloth_version",
                                           "use_cache",
                                           "use_return_dict"};

// Switches of other architectures, harmless where they are off.
struct OffSwitch {
  std::string_view key;
  double off;  // the number, or 0 for false
};
constexpr OffSwitch kOffSwitches[] = {{"add_cross_attention", 0},   {"is_decoder", 0}, {"is_encoder_decoder", 0},
                                      {"partial_rotary_factor", 1}, {"use_mrope", 0},  {"rope_interleaved", 0}};

std::string Shown(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return absl::StrCat("a list of ", value.size());
  // Escapes everything that is not printable ASCII: a configuration can not write to somebody's terminal.
  const std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  return text.size() <= kShownBytes ? text : text.substr(0, kShownBytes) + "...";
}

struct CountRange {
  std::int64_t min = 0;
  std::int64_t max = 0;
};
struct NumberRange {
  double min = 0;
  double max = 0;
};

// Reads the members of one JSON object. What is wrong is collected, so that one message can list all of it; the value
// returned is then the range's minimum, the default or empty.
class Fields {
 public:
  Fields(const json& object, std::string prefix, std::vector<std::string>& problems)
      : object_(object), prefix_(std::move(prefix)), problems_(problems) {}

  void Problem(std::string_view key, std::string_view sentence) {
    problems_.push_back(absl::StrCat(prefix_, std::string(key), " ", std::string(sentence)));
  }

  bool Contains(std::string_view key) const { return object_.contains(key); }

  // Null when the key is absent or its value is null. Marks the key as known.
  const json* Find(std::string_view key) {
    known_.insert(std::string(key));
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  // Without a default the key is required.
  std::int64_t Count(std::string_view key, CountRange range, std::optional<std::int64_t> fallback = std::nullopt) {
    const json* value = Find(key);
    if (value == nullptr) {
      if (!fallback.has_value()) Problem(key, "is missing");
      return fallback.value_or(range.min);
    }
    if (value->is_number_integer() && (!value->is_number_unsigned() || value->get<std::uint64_t>() <= INT64_MAX)) {
      const auto count = value->get<std::int64_t>();
      if (count >= range.min && count <= range.max) return count;
    }
    Problem(key, absl::StrCat("is ", Shown(*value), ", must be a whole number from ", range.min, " to ", range.max));
    return range.min;
  }

  double Number(std::string_view key, NumberRange range, std::optional<double> fallback = std::nullopt) {
    const json* value = Find(key);
    if (value == nullptr) {
      if (!fallback.has_value()) Problem(key, "is missing");
      return fallback.value_or(range.min);
    }
    if (value->is_number()) {
      const auto number = value->get<double>();
      if (number >= range.min && number <= range.max) return number;
    }
    Problem(key, absl::StrCat("is ", Shown(*value), ", must be a number from ", range.min, " to ", range.max));
    return range.min;
  }

  // Absent means false.
  bool Flag(std::string_view key) {
    const json* value = Find(key);
    if (value == nullptr) return false;
    if (value->is_boolean()) return value->get<bool>();
    Problem(key, absl::StrCat("is ", Shown(*value), ", must be true or false"));
    return false;
  }

  std::optional<std::string> Text(std::string_view key) {
    const json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (value->is_string()) return value->get<std::string>();
    Problem(key, absl::StrCat("is ", Shown(*value), ", must be a string"));
    return std::nullopt;
  }

  // Every key that nobody asked for and that is not null.
  void RefuseTheRest() {
    for (const auto& [key, value] : object_.items()) {
      if (known_.contains(key) || value.is_null()) continue;
      problems_.push_back(absl::StrCat(prefix_, Shown(json(key)), " is not known (its value is ", Shown(value), ")"));
    }
  }

 private:
  const json& object_;
  const std::string prefix_;
  std::vector<std::string>& problems_;
  std::set<std::string, std::less<>> known_;
};

std::string SupportedModelTypes() {
  return absl::StrJoin(kFamilies, ", ", [](std::string* out, const Family& family) {
    out->append(family.model_type.data(), family.model_type.size());
  });
}

// An unknown model is read on as a Llama, to list what else it needs.
const Family& ReadFamily(Fields& fields) {
  const Family* family = &kFamilies[0];
  if (const json* model_type = fields.Find("model_type"); model_type == nullptr) {
    fields.Problem("model_type", absl::StrCat("is missing; supported are ", SupportedModelTypes()));
  } else {
    const auto found = std::find_if(std::begin(kFamilies), std::end(kFamilies), [&](const Family& candidate) {
      return model_type->is_string() && model_type->get_ref<const std::string&>() == candidate.model_type;
    });
    if (found == std::end(kFamilies)) {
      fields.Problem("model_type", absl::StrCat("is ", Shown(*model_type), "; supported are ", SupportedModelTypes()));
    } else {
      family = found;
    }
  }
  const json* architectures = fields.Find("architectures");
  if (architectures != nullptr && *architectures != json::array({std::string(family->architecture)})) {
    const bool is_single = architectures->is_array() && architectures->size() == 1;
    fields.Problem("architectures",
                   absl::StrCat("is ", Shown(is_single ? architectures->front() : *architectures), "; ",
                                std::string(family->model_type), " models are ", std::string(family->architecture)));
  }
  return *family;
}

void ReadSizes(Fields& fields, const Family& family, ModelConfig& config) {
  config.hidden_size = fields.Count("hidden_size", {1, kMaxHiddenSize});
  config.intermediate_size = fields.Count("intermediate_size", {1, kMaxIntermediateSize});
  config.vocab_size = fields.Count("vocab_size", {1, kMaxVocabSize});
  config.layer_count = static_cast<int>(fields.Count("num_hidden_layers", {1, kMaxLayers}));
  config.max_positions = fields.Count("max_position_embeddings", {1, kMaxPositions}, family.default_max_positions);

  const std::int64_t heads = fields.Count("num_attention_heads", {1, kMaxHeads});
  config.head_count = static_cast<int>(heads);
  // Llama 1 had no such key; the other classes have defaults of their own, which no published model relies on.
  const bool may_lack_kv_heads = family.family == ModelFamily::kLlama;
  const std::int64_t kv_heads =
      fields.Count("num_key_value_heads", {1, kMaxHeads}, may_lack_kv_heads ? std::optional(heads) : std::nullopt);
  config.kv_head_count = static_cast<int>(kv_heads);
  if (heads % kv_heads != 0) {
    fields.Problem("num_key_value_heads", absl::StrCat("is ", kv_heads, ", must divide num_attention_heads, ", heads));
  }

  std::int64_t default_head_dim = family.family == ModelFamily::kQwen3 ? kQwen3DefaultHeadDim : 0;
  if (default_head_dim == 0 && fields.Find("head_dim") == nullptr) {
    default_head_dim = config.hidden_size / heads;
    if (config.hidden_size % heads != 0) {
      fields.Problem("hidden_size",
                     absl::StrCat("is ", config.hidden_size, ", not a multiple of num_attention_heads, ", heads));
    }
  }
  config.head_dim = static_cast<int>(fields.Count("head_dim", {2, kMaxHeadDim}, default_head_dim));
  if (config.head_dim % 2 != 0 || config.head_dim < 2 || config.head_dim > kMaxHeadDim) {
    fields.Problem("head_dim", absl::StrCat("is ", config.head_dim, ", must be even and from 2 to ", kMaxHeadDim));
  }
}

void ReadYarn(Fields& fields, std::int64_t max_positions, RopeScaling& scaling) {
  scaling.original_positions = fields.Count("original_max_position_embeddings", {1, kMaxPositions}, max_positions);
  // Peng et al., 2309.00071, eq. 22: sqrt(1/t) = 0.1 ln(s) + 1, on queries and on keys.
  scaling.attention_factor = fields.Number("attention_factor", {1e-3, 1e3}, 0.1 * std::log(scaling.factor) + 1);
  scaling.beta_fast = fields.Number("beta_fast", {1e-3, 1e4}, kYarnDefaultBetaFast);
  scaling.beta_slow = fields.Number("beta_slow", {1e-3, 1e4}, kYarnDefaultBetaSlow);
  if (scaling.beta_fast <= scaling.beta_slow) fields.Problem("beta_fast", "must be above beta_slow");
}

void ReadLlama3(Fields& fields, RopeScaling& scaling) {
  scaling.original_positions = fields.Count("original_max_position_embeddings", {1, kMaxPositions});
  scaling.low_freq_factor = fields.Number("low_freq_factor", {1e-3, 1e4});
  scaling.high_freq_factor = fields.Number("high_freq_factor", {1e-3, 1e4});
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    fields.Problem("high_freq_factor", "must be above low_freq_factor");
  }
}

RopeScaling ReadScaling(Fields& fields, std::int64_t max_positions) {
  const std::optional<std::string> new_name = fields.Text("rope_type");
  const std::optional<std::string> old_name = fields.Text("type");
  if (new_name.has_value() && old_name.has_value() && *new_name != *old_name) {
    fields.Problem("rope_type", "and type differ");
  }
  const std::string name = new_name.value_or(old_name.value_or("default"));
  RopeScaling scaling;
  if (name == "default") return scaling;

  scaling.factor = fields.Number("factor", {1, kMaxRopeFactor});
  if (name == "linear") {
    scaling.kind = RopeScaling::Kind::kLinear;
  } else if (name == "dynamic") {
    scaling.kind = RopeScaling::Kind::kDynamic;
  } else if (name == "llama3") {
    scaling.kind = RopeScaling::Kind::kLlama3;
    ReadLlama3(fields, scaling);
  } else if (name == "yarn") {
    scaling.kind = RopeScaling::Kind::kYarn;
    ReadYarn(fields, max_positions, scaling);
  } else {
    fields.Problem("rope_type",
                   absl::StrCat("is ", Shown(json(name)), "; supported are default, linear, dynamic, llama3, yarn"));
  }
  return scaling;
}

// Either rope_theta and rope_scaling, or rope_parameters, which holds both (transformers 5).
void ReadRope(Fields& fields, std::vector<std::string>& problems, ModelConfig& config) {
  constexpr NumberRange kThetaRange = {10, kMaxRopeTheta};
  const json* parameters = fields.Find("rope_parameters");
  const json* scaling = fields.Find("rope_scaling");
  if (parameters != nullptr && (scaling != nullptr || fields.Find("rope_theta") != nullptr)) {
    fields.Problem("rope_parameters", "stands beside rope_theta or rope_scaling; keep one form");
  }
  config.rope_theta = fields.Number("rope_theta", kThetaRange, kDefaultRopeTheta);
  const json* object = parameters != nullptr ? parameters : scaling;
  if (object == nullptr) return;

  const std::string_view name = parameters != nullptr ? "rope_parameters" : "rope_scaling";
  if (!object->is_object()) {
    fields.Problem(name, absl::StrCat("is ", Shown(*object), ", must be an object"));
    return;
  }
  Fields inner(*object, absl::StrCat(std::string(name), "."), problems);
  if (parameters != nullptr) config.rope_theta = inner.Number("rope_theta", kThetaRange, kDefaultRopeTheta);
  config.rope_scaling = ReadScaling(inner, config.max_positions);
  inner.RefuseTheRest();
}

// Qwen names the layers that attend to a window, either all from max_window_layers on or one by one.
void ReadQwenWindows(Fields& fields, ModelConfig& config) {
  const std::int64_t first_layer = fields.Count("max_window_layers", {0, kMaxLayers}, kQwenDefaultMaxWindowLayers);
  const json* layer_types = fields.Find("layer_types");
  if (!fields.Flag("use_sliding_window")) {
    fields.Find("sliding_window");  // known, without effect
    const json all_full(static_cast<std::size_t>(config.layer_count), json("full_attention"));
    if (layer_types != nullptr && *layer_types != all_full) {
      fields.Problem("layer_types", "must be \"full_attention\" for each layer without use_sliding_window");
    }
    return;
  }
  const std::int64_t window = fields.Count("sliding_window", {1, kMaxPositions});
  for (int layer = 0; layer < config.layer_count && layer_types == nullptr; ++layer) {
    config.sliding_windows[layer] = layer >= first_layer ? window : 0;
  }
  if (layer_types == nullptr) return;
  if (!layer_types->is_array() || layer_types->size() != config.sliding_windows.size()) {
    fields.Problem("layer_types", "must be a list with one entry for each layer");
    return;
  }
  for (int layer = 0; layer < config.layer_count; ++layer) {
    const json& type = (*layer_types)[layer];
    if (type == "sliding_attention") {
      config.sliding_windows[layer] = window;
    } else if (type != "full_attention") {
      fields.Problem("layer_types", absl::StrCat("has ", Shown(type), " for layer ", layer,
                                                 "; supported are full_attention, sliding_attention"));
    }
  }
}

void ReadWindows(Fields& fields, ModelConfig& config) {
  config.sliding_windows.assign(static_cast<std::size_t>(config.layer_count), 0);
  switch (config.family) {
    case ModelFamily::kLlama: return;
    case ModelFamily::kMistral: {
      const bool is_absent = !fields.Contains("sliding_window");  // null, in contrast, means none
      const std::int64_t window =
          fields.Count("sliding_window", {1, kMaxPositions}, is_absent ? kMistralDefaultWindow : 0);
      config.sliding_windows.assign(config.sliding_windows.size(), window);
      return;
    }
    case ModelFamily::kQwen2:
    case ModelFamily::kQwen3: ReadQwenWindows(fields, config); return;
  }
}

void ReadBiasesAndNorms(Fields& fields, ModelConfig& config) {
  switch (config.family) {
    case ModelFamily::kLlama:
      config.has_qkv_bias = config.has_output_bias = fields.Flag("attention_bias");
      config.has_mlp_bias = fields.Flag("mlp_bias");
      return;
    case ModelFamily::kMistral: return;
    case ModelFamily::kQwen2: config.has_qkv_bias = true; return;
    case ModelFamily::kQwen3:
      config.has_qkv_bias = config.has_output_bias = fields.Flag("attention_bias");
      config.has_head_norms = true;
      return;
  }
}

void ReadDType(Fields& fields, std::string_view key, ModelConfig& config) {
  const std::optional<std::string> name = fields.Text(key);
  if (!name.has_value()) return;
  if (*name == "float32")
    config.dtype = DType::kF32;
  else if (*name == "float16")
    config.dtype = DType::kF16;
  else if (*name == "bfloat16")
    config.dtype = DType::kBf16;
  else
    fields.Problem(key, absl::StrCat("is ", Shown(json(*name)), "; supported are float32, float16, bfloat16"));
}

void ReadSwitches(Fields& fields, ModelConfig& config) {
  const std::string activation = fields.Text("hidden_act").value_or("silu");
  if (activation != "silu" && activation != "swish") {  // two names of one function
    fields.Problem("hidden_act", absl::StrCat("is ", Shown(json(activation)), "; supported is silu"));
  }
  for (const OffSwitch& off_switch : kOffSwitches) {
    const json* value = fields.Find(off_switch.key);
    if (value == nullptr || (off_switch.off == 0 && *value == false)) continue;
    if (!value->is_number() || value->get<double>() != off_switch.off) {
      fields.Problem(off_switch.key, absl::StrCat("is ", Shown(*value), ", which is not supported"));
    }
  }
  if (fields.Find("auto_map") != nullptr) {
    fields.Problem("auto_map", "names code that comes with the model; such code is never run");
  }
  if (const json* quantization = fields.Find("quantization_config"); quantization != nullptr) {
    const json method = quantization->is_object() ? quantization->value("quant_method", json()) : *quantization;
    if (method == "gptvq") {
      config.quant_method = "gptvq";
    } else {
      fields.Problem("quantization_config",
                     absl::StrCat("says that the model is quantized already (quant_method ", Shown(method), ")"));
    }
  }
  for (std::string_view key : kInertKeys) fields.Find(key);
}

absl::Status AsStatus(const std::vector<std::string>& problems) {
  if (problems.empty()) return absl::OkStatus();
  const std::size_t shown = std::min(problems.size(), kShownProblems);
  std::string list = absl::StrJoin(problems.begin(), problems.begin() + static_cast<std::ptrdiff_t>(shown), "; ");
  if (shown < problems.size()) absl::StrAppend(&list, "; and ", problems.size() - shown, " more");
  return absl::InvalidArgumentError(list);
}

}  // namespace

absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view text) {
  GPTVQ_ASSIGN_OR_RETURN(const json object, ParseStrictJson(text, {.max_bytes = kMaxConfigBytes, .max_depth = 32}));
  if (!object.is_object()) return absl::InvalidArgumentError(absl::StrCat("is ", Shown(object), ", not an object"));

  std::vector<std::string> problems;
  Fields fields(object, "", problems);
  ModelConfig config;
  const Family& family = ReadFamily(fields);
  config.family = family.family;
  ReadSizes(fields, family, config);
  config.rms_norm_epsilon = fields.Number("rms_norm_eps", {1e-12, 1e-2}, kDefaultRmsNormEpsilon);
  ReadRope(fields, problems, config);
  ReadWindows(fields, config);
  ReadBiasesAndNorms(fields, config);
  config.has_tied_embeddings = fields.Flag("tie_word_embeddings");
  ReadDType(fields, "torch_dtype", config);
  ReadDType(fields, "dtype", config);
  ReadSwitches(fields, config);
  fields.RefuseTheRest();

  GPTVQ_RETURN_IF_ERROR(AsStatus(problems));
  return config;
}

absl::StatusOr<ModelConfig> ReadModelConfig(const ReadableDirectory& directory) {
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<RandomAccessFile> file, directory.Open(kModelConfigFile));
  absl::StatusOr<std::string> text = ReadWholeFile(*file, kMaxConfigBytes);
  if (!text.ok()) return WithContext(text.status(), kModelConfigFile);
  absl::StatusOr<ModelConfig> config = ParseModelConfig(*text);
  if (!config.ok()) return WithContext(config.status(), kModelConfigFile);
  return config;
}

}  // namespace gptvq
