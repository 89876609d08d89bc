#!/usr/bin/env python3
"""Turns the GGUF file of SmolLM2-135M-Instruct into a Hugging Face checkpoint directory.

usage: demo_model.py GGUF_FILE OUTPUT_DIR

The demo and the tests want a real model in the layout people have on disk; a GGUF file inside a Python package is the
only copy that a package mirror serves. The weights come out in bfloat16, dequantized from the file's Q4_1 and Q8_0
blocks, so the "source model" of the demo is already a 4-bit model; what is compared is always our result against it.

The output depends on the input bytes alone: running it twice gives identical files. Needs numpy and gguf.
"""

import json
import os
import sys

import gguf
import numpy as np

# The added tokens that the published tokenizer_config.json lists by name; everything else with GGUF type CONTROL is
# an added token as well, only without a role.
ROLE_TOKENS = ["<|im_start|>", "<|im_end|>"]

# Facts of the published config.json that GGUF does not carry.
INITIALIZER_RANGE = 0.041666666666666664

LAYER_TENSORS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class Metadata:
    """The key-value part of a GGUF file as Python values."""

    def __init__(self, reader):
        self._fields = reader.fields

    def __getitem__(self, key):
        field = self._fields[key]
        element = field.types[-1]
        values = [self._value(field.parts[i], element) for i in field.data]
        return values if field.types[0] == gguf.GGUFValueType.ARRAY else values[0]

    @staticmethod
    def _value(part, element):
        if element == gguf.GGUFValueType.STRING:
            return bytes(part).decode("utf-8")
        if element == gguf.GGUFValueType.FLOAT32:
            return float(str(part[0]))  # the shortest decimal that gives this float32: 1e-05, not 9.99999974e-06
        return part[0].item()


def main(gguf_file, output_dir):
    reader = gguf.GGUFReader(gguf_file)
    metadata = Metadata(reader)
    if metadata["general.architecture"] != "llama":
        sys.exit(f"{gguf_file}: general.architecture is not llama")
    os.makedirs(output_dir, exist_ok=True)

    config = model_config(metadata)
    write_json(output_dir, "config.json", config)
    write_json(output_dir, "generation_config.json", generation_config(config))
    write_json(output_dir, "tokenizer.json", tokenizer(metadata))
    write_json(output_dir, "tokenizer_config.json", tokenizer_config(metadata))
    write_json(output_dir, "special_tokens_map.json", special_tokens_map(metadata))
    write_safetensors(os.path.join(output_dir, "model.safetensors"), checkpoint_tensors(reader, config))


def model_config(metadata):
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "hidden_act": "silu",
        "hidden_size": metadata["llama.embedding_length"],
        "initializer_range": INITIALIZER_RANGE,
        "intermediate_size": metadata["llama.feed_forward_length"],
        "is_llama_config": True,
        "max_position_embeddings": metadata["llama.context_length"],
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": metadata["llama.attention.head_count"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
        "pretraining_tp": 1,
        "rms_norm_eps": metadata["llama.attention.layer_norm_rms_epsilon"],
        "rope_interleaved": False,
        "rope_scaling": None,
        "rope_theta": metadata["llama.rope.freq_base"],
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": metadata["llama.vocab_size"],
    }


def generation_config(config):
    return {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}


def tokenizer(metadata):
    """SmolLM2's tokenizer.json: byte-level BPE that splits digits one by one before GPT-2's own pattern."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(index, content) for index, content in control_tokens(metadata)],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: i for i, token in enumerate(metadata["tokenizer.ggml.tokens"])},
            "merges": metadata["tokenizer.ggml.merges"],
        },
    }


def control_tokens(metadata):
    tokens = metadata["tokenizer.ggml.tokens"]
    types = metadata["tokenizer.ggml.token_type"]
    return [(i, tokens[i]) for i, kind in enumerate(types) if kind == gguf.TokenType.CONTROL]


def added_token(index, content):
    return {"id": index, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True}


def tokenizer_config(metadata):
    decoder = {str(i): {k: v for k, v in added_token(i, content).items() if k != "id"}
               for i, content in control_tokens(metadata)}
    return {
        "add_prefix_space": False,
        "added_tokens_decoder": decoder,
        "additional_special_tokens": ROLE_TOKENS,
        **role_tokens(metadata),
        "chat_template": metadata["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": metadata["llama.context_length"],
        "tokenizer_class": "GPT2Tokenizer",
        "vocab_size": metadata["llama.vocab_size"],
    }


def special_tokens_map(metadata):
    return {"additional_special_tokens": ROLE_TOKENS, **role_tokens(metadata)}


def role_tokens(metadata):
    tokens = metadata["tokenizer.ggml.tokens"]
    roles = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    return {role: tokens[metadata[f"tokenizer.ggml.{key}_token_id"]] for role, key in roles.items()}


def checkpoint_tensors(reader, config):
    """The checkpoint's tensors by Hugging Face name, as bfloat16 bit patterns. No lm_head: the embedding is tied."""
    tensors = {}
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        name = hugging_face_name(tensor.name)
        if name.endswith("q_proj.weight"):
            values = undo_rope_permutation(values, config["num_attention_heads"])
        elif name.endswith("k_proj.weight"):
            values = undo_rope_permutation(values, config["num_key_value_heads"])
        tensors[name] = to_bfloat16(values)
    return tensors


def hugging_face_name(gguf_name):
    if gguf_name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if gguf_name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, kind, suffix = gguf_name.split(".")
    return f"model.layers.{layer}.{LAYER_TENSORS[kind]}.{suffix}"


def undo_rope_permutation(weight, heads):
    """GGUF interleaves the two halves of each head's rotary pairs (row 2i, 2i+1); checkpoints keep the halves apart."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def to_bfloat16(values):
    """Rounds to nearest, ties to even; the inputs are finite weights."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def write_safetensors(path, tensors):
    header = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in sorted(tensors):
        data = tensors[name]
        header[name] = {"dtype": "BF16", "shape": list(data.shape), "data_offsets": [offset, offset + data.nbytes]}
        offset += data.nbytes
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # tensor data starts aligned
    with open(path, "wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for name in sorted(tensors):
            file.write(tensors[name].tobytes())


def write_json(output_dir, name, value):
    with open(os.path.join(output_dir, name), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
