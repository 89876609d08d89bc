"""Small random models of every supported family, written as Hugging Face directories, with what their reference is.

Weights are drawn wide enough that attention is far from uniform and every bias, norm and rotation shows in the logits.
"""

import dataclasses
import json
import pathlib

import qwen3_reference
import safetensors.torch
import torch
import transformers

VOCABULARY = 301
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 48, "intermediate_size": 104, "num_hidden_layers": 3,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
         "rope_theta": 10000.0, "tie_word_embeddings": False}
# Stretches or leaves the 6 frequencies of a 12-wide head according to where they fall.
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
YARN = {"rope_type": "yarn", "factor": 4.0}


@dataclasses.dataclass
class TinyModel:
    name: str
    family: str
    settings: dict
    dtype: torch.dtype = torch.float32
    max_shard_size: str = "5GB"
    # What our config.json says and the reference's configuration can not, or says otherwise.
    written_settings: dict = dataclasses.field(default_factory=dict)


TINY_MODELS = [
    TinyModel("llama1_multi_head", "Llama", {"num_key_value_heads": 4}),
    TinyModel("llama_grouped_queries", "Llama", {"rope_theta": 500000.0}),
    TinyModel("llama_one_kv_head_tied", "Llama", {"num_key_value_heads": 1, "tie_word_embeddings": True}),
    TinyModel("llama_all_biases", "Llama", {"attention_bias": True, "mlp_bias": True}),
    TinyModel("llama_wide_heads", "Llama", {"head_dim": 20}),
    TinyModel("llama_linear_rope", "Llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.5}}),
    TinyModel("llama_dynamic_rope", "Llama", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}),
    TinyModel("llama3_rope", "Llama", {"rope_scaling": LLAMA3, "max_position_embeddings": 512}),
    TinyModel("llama_yarn_rope", "Llama", {"rope_scaling": YARN, "rope_theta": 1000.0}),
    TinyModel("llama_yarn_rope_all_keys", "Llama",
              {"rope_scaling": {**YARN, "attention_factor": 1.3, "beta_fast": 16.0, "beta_slow": 2.0},
               "max_position_embeddings": 256}),
    # This release of transformers takes the original context of yarn from max_position_embeddings.
    TinyModel("llama_yarn_rope_original_context", "Llama", {"rope_scaling": YARN, "rope_theta": 1000.0},
              written_settings={"max_position_embeddings": 512,
                                "rope_scaling": {**YARN, "original_max_position_embeddings": 128}}),
    TinyModel("llama_bf16_in_shards", "Llama", {}, dtype=torch.bfloat16, max_shard_size="30KB"),
    TinyModel("llama_f16", "Llama", {}, dtype=torch.float16),
    TinyModel("mistral_sliding_window", "Mistral", {"sliding_window": 7}),
    TinyModel("mistral_no_window_wide_heads", "Mistral", {"sliding_window": None, "head_dim": 16}),
    TinyModel("qwen2", "Qwen2", {}),
    TinyModel("qwen2_tied_yarn", "Qwen2", {"tie_word_embeddings": True, "rope_scaling": YARN}),
    TinyModel("qwen2_windows_in_later_layers", "Qwen2",
              {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1}),
    TinyModel("qwen3", "Qwen3", {"head_dim": 20}),
    TinyModel("qwen3_tied", "Qwen3", {"head_dim": 12, "tie_word_embeddings": True}),
]


def write(tiny, directory):
    """Writes the model; returns a function from rows of token ids to float32 logits [rows, length, vocabulary]."""
    path = pathlib.Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(20240229)
    logits = _write_qwen3(tiny, path) if tiny.family == "Qwen3" else _write_with_transformers(tiny, path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, **tiny.written_settings}))
    return logits


def _write_with_transformers(tiny, path):
    config = getattr(transformers, tiny.family + "Config")(**{**SIZES, **tiny.settings})
    model = getattr(transformers, tiny.family + "ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_random(name, parameter.shape))
    model.to(tiny.dtype).save_pretrained(path, safe_serialization=True, max_shard_size=tiny.max_shard_size)
    # Read back, because to() has rounded the rotary frequencies too.
    model = type(model).from_pretrained(path, torch_dtype=torch.float32)
    windows = [_window(tiny.settings, layer) for layer in range(config.num_hidden_layers)]
    return lambda token_ids: _logits(model, windows, token_ids)


def _write_qwen3(tiny, path):
    config = {**SIZES, **tiny.settings, "hidden_act": "silu", "model_type": "qwen3",
              "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "use_sliding_window": False}
    tensors = {name: _random(name, shape) for name, shape in _qwen3_shapes(config)}
    safetensors.torch.save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    (path / "config.json").write_text(json.dumps(config))
    return lambda token_ids: torch.stack([qwen3_reference.logits(tensors, config, row) for row in token_ids])


def _qwen3_shapes(config):
    hidden, width = config["hidden_size"], config["head_dim"]
    queries, keys = width * config["num_attention_heads"], width * config["num_key_value_heads"]
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for name, rows, columns in (("q", queries, hidden), ("k", keys, hidden), ("v", keys, hidden),
                                    ("o", hidden, queries)):
            yield f"{prefix}self_attn.{name}_proj.weight", (rows, columns)
        for name in ("gate", "up"):
            yield f"{prefix}mlp.{name}_proj.weight", (config["intermediate_size"], hidden)
        yield f"{prefix}mlp.down_proj.weight", (hidden, config["intermediate_size"])
        for name in ("q_norm", "k_norm"):
            yield f"{prefix}self_attn.{name}.weight", (width,)
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"{prefix}{name}.weight", (hidden,)


def _random(name, shape):
    if name.endswith("bias"):
        return torch.randn(shape) * 0.5
    if len(shape) == 1:
        return 1 + 0.3 * torch.randn(shape)
    if "embed_tokens" in name:
        return torch.randn(shape)
    return torch.randn(shape) * (1.5 / shape[1] ** 0.5)


def _window(settings, layer):
    """As the documentation of the configurations has it; None where the layer sees everything before a token."""
    if "use_sliding_window" not in settings:
        return settings.get("sliding_window")
    return settings["sliding_window"] if layer >= settings["max_window_layers"] else None


def _logits(model, windows, token_ids):
    """The model's own layers under one attention mask for each. transformers' eager attention gives all layers of Qwen2
    the window of the last ones, which its documentation and its flash attention do not."""
    length = token_ids.shape[1]
    positions = torch.arange(length)
    hidden = model.model.embed_tokens(token_ids)
    for layer, window in zip(model.model.layers, windows):
        age = positions[:, None] - positions[None, :]
        hidden_from = (age < 0) | (age >= (window or length))
        mask = torch.zeros(length, length).masked_fill(hidden_from, torch.finfo(torch.float32).min)
        position_ids = positions[None].expand(len(token_ids), -1)
        hidden = layer(hidden, attention_mask=mask[None, None].expand(len(token_ids), 1, -1, -1),
                       position_ids=position_ids, **_position_embeddings(model, hidden, position_ids))[0]
    return model.lm_head(model.model.norm(hidden)).float()


def _position_embeddings(model, hidden, position_ids):
    """Mistral's layers of this release rotate by themselves."""
    rotary = getattr(model.model, "rotary_emb", None)
    return {} if rotary is None else {"position_embeddings": rotary(hidden, position_ids)}
