"""What `gptvq-client export --format dequantized` writes loads in transformers, and has there the perplexity that we
compute from the packed result.

usage: export_test.py QUANTIZE_PROGRAM PERPLEXITY_PROGRAM GPTVQ_CLIENT DEMO_DIRECTORY SCRATCH_DIRECTORY
"""

import pathlib
import shutil
import subprocess
import sys
import unittest

import tiny_models
import torch
import transformers

QUANTIZE, PERPLEXITY, CLIENT = sys.argv[1:4]
DEMO, SCRATCH = pathlib.Path(sys.argv[4]), pathlib.Path(sys.argv[5])
# Relative difference of the perplexities. In float32 the weights are the same numbers on both sides; bfloat16 rounds
# each to 8 bits, and the promise to users is 1e-3.
FLOAT32_BOUND, BFLOAT16_BOUND = 1e-5, 1e-3


class Export(unittest.TestCase):
    def check(self, name, preset, dtype, bound, token_ids):
        model, result, exported = (SCRATCH / name / part for part in ("model", "result", "exported"))
        ids_file = SCRATCH / name / "ids.txt"
        ids_file.write_text("\n".join(" ".join(map(str, row)) for row in token_ids.tolist()))

        subprocess.run([QUANTIZE, model, ids_file, preset, result], check=True)
        packed = float(subprocess.run([PERPLEXITY, result, ids_file], check=True, capture_output=True).stdout)
        source = float(subprocess.run([PERPLEXITY, model, ids_file], check=True, capture_output=True).stdout)
        subprocess.run([CLIENT, "export", result, "--format", "dequantized", "--dtype", dtype, "--output", exported],
                       check=True, stdout=subprocess.DEVNULL)

        loaded = transformers.AutoModelForCausalLM.from_pretrained(exported, torch_dtype=torch.float32)
        with torch.no_grad():
            predictions = loaded(token_ids).logits[:, :-1].log_softmax(-1)
        expected = (-predictions.gather(-1, token_ids[:, 1:, None]).double().mean()).exp().item()
        print(f"{name}, {preset}, {dtype}: {packed:.6g}, transformers: {expected:.6g}, source: {source:.6g}")
        self.assertLess(abs(packed / expected - 1), bound)
        self.assertGreater(abs(packed / source - 1), bound)  # quantization is seen at all

    def check_tiny(self, name, preset):
        tiny = next(model for model in tiny_models.TINY_MODELS if model.name == name)
        shutil.rmtree(SCRATCH / name, ignore_errors=True)
        tiny_models.write(tiny, SCRATCH / name / "model")
        token_ids = torch.randint(0, tiny_models.VOCABULARY, (8, 64), generator=torch.Generator().manual_seed(3))
        self.check(name, preset, "fp32", FLOAT32_BOUND, token_ids)

    def test_vectors_of_two(self):
        self.check_tiny("llama_all_biases", "2d-3.125bpv")

    def test_block_scales(self):
        self.check_tiny("qwen2", "2d-3.25bpv-s32")

    def test_vectors_of_four(self):
        self.check_tiny("llama_one_kv_head_tied", "4d-2.25bpv")

    def test_uniform(self):
        self.check_tiny("llama_bf16_in_shards", "rtn-3bit-g128")

    def test_smollm2_in_bfloat16(self):
        shutil.rmtree(SCRATCH / "smollm2", ignore_errors=True)
        (SCRATCH / "smollm2").mkdir(parents=True)
        (SCRATCH / "smollm2" / "model").symlink_to((DEMO / "model").resolve())
        tokenizer = transformers.AutoTokenizer.from_pretrained(DEMO / "model")
        text = (DEMO / "text" / "held_out.txt").read_text()[:10000]
        ids = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"][:1024]).view(4, 256)
        self.check("smollm2", "2d-3.125bpv", "bf16", BFLOAT16_BOUND, ids)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
