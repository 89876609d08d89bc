"""The forward pass of Qwen3 (dense) in plain PyTorch, float32, for tests.

transformers has Qwen3 only from a release that no longer runs on the PyTorch of Debian 12. This is written from the
architecture's description: a pre-norm decoder with grouped-query attention, rotary embeddings on the two halves of
each head, SwiGLU, and, what is new against Qwen2, an RMS norm over each head of q and k before the rotation, a head
width of its own, and no bias on q, k and v.

With config["qk_norm"] = False and the biases absent it is the plain Llama decoder, which is how
qwen3_reference_test.py ties everything but the two norms to transformers.
"""

import torch


def logits(tensors, config, token_ids):
    """Logits [tokens, vocabulary] of one row of token ids, from a checkpoint's tensors by their usual names."""
    eps = config["rms_norm_eps"]
    x = tensors["model.embed_tokens.weight"][token_ids]
    rotation = rotary_angles(config, len(token_ids))
    for layer in range(config["num_hidden_layers"]):
        weights = LayerTensors(tensors, f"model.layers.{layer}.")
        x = x + attention(weights, config, rms_norm(x, weights["input_layernorm"], eps), rotation)
        x = x + mlp(weights, rms_norm(x, weights["post_attention_layernorm"], eps))
    x = rms_norm(x, tensors["model.norm.weight"], eps)
    head = tensors.get("lm_head.weight", tensors["model.embed_tokens.weight"])
    return x @ head.T


class LayerTensors:
    def __init__(self, tensors, prefix):
        self._tensors, self._prefix = tensors, prefix

    def __getitem__(self, name):
        return self._tensors[f"{self._prefix}{name}.weight"]


def attention(weights, config, x, rotation):
    heads, kv_heads, width = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    q = (x @ weights["self_attn.q_proj"].T).view(-1, heads, width)
    k = (x @ weights["self_attn.k_proj"].T).view(-1, kv_heads, width)
    v = (x @ weights["self_attn.v_proj"].T).view(-1, kv_heads, width)
    if config.get("qk_norm", True):
        q = rms_norm(q, weights["self_attn.q_norm"], config["rms_norm_eps"])
        k = rms_norm(k, weights["self_attn.k_norm"], config["rms_norm_eps"])
    q, k = rotate(q, rotation), rotate(k, rotation)

    outputs = []
    future = torch.full((len(x), len(x)), float("-inf")).triu(1)
    for head in range(heads):
        shared = head * kv_heads // heads
        scores = q[:, head] @ k[:, shared].T / width**0.5 + future
        outputs.append(torch.softmax(scores, dim=-1) @ v[:, shared])
    return torch.cat(outputs, dim=-1) @ weights["self_attn.o_proj"].T


def mlp(weights, x):
    gate = x @ weights["mlp.gate_proj"].T
    return (gate * torch.sigmoid(gate) * (x @ weights["mlp.up_proj"].T)) @ weights["mlp.down_proj"].T


def rms_norm(x, weight, eps):
    return weight * x / torch.sqrt((x * x).mean(dim=-1, keepdim=True) + eps)


def rotary_angles(config, length):
    pairs = config["head_dim"] // 2
    frequencies = config["rope_theta"] ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
    return torch.outer(torch.arange(length, dtype=torch.float64), frequencies).float()


def rotate(x, angles):
    """Turns the pair (i, i + width / 2) of every head by its angle."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
