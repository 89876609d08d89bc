"""Our forward pass against transformers in float32: logits of tiny random models of every supported family.

usage: forward_test.py MODEL_LOGITS_PROGRAM SCRATCH_DIRECTORY
"""

import pathlib
import subprocess
import sys
import unittest

import numpy
import tiny_models
import torch

PROGRAM, SCRATCH = sys.argv[1], pathlib.Path(sys.argv[2])
TOKEN_IDS = torch.randint(0, tiny_models.VOCABULARY, (3, 61), generator=torch.Generator().manual_seed(7))
# Largest difference as a share of the largest logit. Both sides round every product to float32 (6e-8) in sums of up to
# 104 terms, and attention and three layers let differences grow: 1e-6 to 4e-6 are seen. A wrong term of any formula
# shows as 1e-3 and more.
BOUND = 1e-5


class Forward(unittest.TestCase):
    def check(self, tiny):
        directory = SCRATCH / tiny.name
        reference = tiny_models.write(tiny, directory)
        (directory / "ids.txt").write_text("\n".join(" ".join(map(str, row)) for row in TOKEN_IDS.tolist()))

        subprocess.run([PROGRAM, directory, directory / "ids.txt", directory / "logits.f32"], check=True)

        with torch.no_grad():
            expected = reference(TOKEN_IDS).numpy()
        actual = numpy.fromfile(directory / "logits.f32", dtype=numpy.float32).reshape(expected.shape)
        difference = numpy.abs(actual - expected).max() / numpy.abs(expected).max()
        print(f"{tiny.name}: {difference:.1e}")
        self.assertLess(difference, BOUND)  # false for NaN, too
        self.assertGreater(numpy.abs(expected).max(), 1)


for model in tiny_models.TINY_MODELS:
    setattr(Forward, f"test_{model.name}", lambda self, model=model: self.check(model))

if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
