"""Our forward pass and our perplexity against transformers in float32, on SmolLM2 and real text.

usage: smollm2_test.py MODEL_LOGITS_PROGRAM MODEL_PERPLEXITY_PROGRAM DEMO_DIRECTORY SCRATCH_DIRECTORY
"""

import pathlib
import subprocess
import sys
import unittest

import numpy
import torch
import transformers

LOGITS_PROGRAM, PERPLEXITY_PROGRAM = sys.argv[1:3]
DEMO, SCRATCH = pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4])
WINDOWS, LENGTH = 2, 512
# Largest difference as a share of the largest logit: float32 rounding through 30 layers, 3e-6 is seen.
LOGITS_BOUND = 2e-5
# Relative. The promise to users is 1e-3; both sides in float32 agree to 3e-6, so that a slip in what is counted shows.
PERPLEXITY_BOUND = 1e-4


class SmolLM2(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        SCRATCH.mkdir(parents=True, exist_ok=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(DEMO / "model")
        text = (DEMO / "text" / "held_out.txt").read_text()[:20000]
        ids = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"][: WINDOWS * LENGTH])
        cls.token_ids = ids.view(WINDOWS, LENGTH)
        cls.ids_file = SCRATCH / "ids.txt"
        cls.ids_file.write_text("\n".join(" ".join(map(str, row)) for row in cls.token_ids.tolist()))
        model = transformers.AutoModelForCausalLM.from_pretrained(DEMO / "model", torch_dtype=torch.float32)
        with torch.no_grad():
            cls.expected = model(cls.token_ids).logits

    def test_logits(self):
        logits_file = SCRATCH / "logits.f32"
        subprocess.run([LOGITS_PROGRAM, DEMO / "model", self.ids_file, logits_file], check=True)

        actual = numpy.memmap(logits_file, dtype=numpy.float32, mode="r", shape=tuple(self.expected.shape))
        difference = numpy.abs(actual - self.expected.numpy()).max() / self.expected.abs().max().item()
        print(f"logits: {difference:.1e}")
        self.assertLess(difference, LOGITS_BOUND)

    def test_perplexity(self):
        predictions = self.expected[:, :-1].log_softmax(-1)
        nll = -predictions.gather(-1, self.token_ids[:, 1:, None]).double().mean()

        run = subprocess.run([PERPLEXITY_PROGRAM, DEMO / "model", self.ids_file], check=True, capture_output=True)

        actual = float(run.stdout)
        print(f"perplexity: {actual:.4f}, transformers: {nll.exp():.4f}")
        self.assertLess(abs(actual / nll.exp().item() - 1), PERPLEXITY_BOUND)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
