"""Ties tests/oracle/qwen3_reference.py to transformers: everything but the head norms against Llama, and the norms by
an identity that only a norm over the head's own width, taken before the rotation, fulfils."""

import unittest

import qwen3_reference
import torch
import transformers

CONFIG = {"vocab_size": 97, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3,
          "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 1e-6,
          "rope_theta": 10000.0, "tie_word_embeddings": False}
TOKEN_IDS = torch.randint(0, 97, (33,), generator=torch.Generator().manual_seed(5))
# Float32 sums of at most 80 terms through three layers; both sides use the same formulas in another order.
TOLERANCE = 2e-5


def llama():
    torch.manual_seed(1)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**CONFIG, initializer_range=0.2)).eval()
    return model, dict(model.state_dict())


class Qwen3Reference(unittest.TestCase):
    def test_equals_llama_without_the_head_norms(self):
        model, tensors = llama()

        with torch.no_grad():
            expected = model(TOKEN_IDS[None]).logits[0]
            actual = qwen3_reference.logits(tensors, {**CONFIG, "qk_norm": False}, TOKEN_IDS)

        self.assertLess((actual - expected).abs().max() / expected.abs().max(), TOLERANCE)

    def test_head_norms_make_the_scale_of_each_head_irrelevant(self):
        _, tensors = llama()
        for layer in range(CONFIG["num_hidden_layers"]):
            for name in ("q_norm", "k_norm"):
                tensors[f"model.layers.{layer}.self_attn.{name}.weight"] = torch.rand(CONFIG["head_dim"]) + 0.5
        scaled = dict(tensors)
        head_scale = torch.repeat_interleave(2.0 ** torch.arange(3, 9), CONFIG["head_dim"])
        scaled["model.layers.1.self_attn.q_proj.weight"] = (
            head_scale[:, None] * tensors["model.layers.1.self_attn.q_proj.weight"])

        with torch.no_grad():
            plain = qwen3_reference.logits(tensors, CONFIG, TOKEN_IDS)
            actual = qwen3_reference.logits(scaled, CONFIG, TOKEN_IDS)
            without = qwen3_reference.logits(scaled, {**CONFIG, "qk_norm": False}, TOKEN_IDS)

        self.assertLess((actual - plain).abs().max() / plain.abs().max(), TOLERANCE)
        self.assertGreater((without - plain).abs().max() / plain.abs().max(), 0.1)


if __name__ == "__main__":
    unittest.main()
