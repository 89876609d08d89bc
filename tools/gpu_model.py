#!/usr/bin/env python3
"""Quantizes the demo's model on a GPU and on the CPU of the same machine, and compares the perplexities.

usage: gpu_model.py CLIENT DEMO [-o FILE] [--preset NAME] [--device DEVICE]

DEMO is what tools/prepare_demo.sh makes: the folders model and text. All three perplexities, of the source and of both
results, are measured on the CPU, so a difference is one of quantization; that of the GPU's result on the GPU is measured, too. Fails
when the results differ by more than 0.5 percent. The table goes to stdout and to FILE. Standard library only.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

CALIBRATION = ["--samples", "16", "--sequence-length", "1024", "--seed", "0"]
EVALUATION = ["--sequence-length", "1024", "--evaluation-tokens", "16384"]
TOLERANCE = 0.005


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("client")
    parser.add_argument("demo")
    parser.add_argument("-o", "--output", metavar="FILE")
    parser.add_argument("--preset", default="2d-2.125bpv")
    parser.add_argument("--device", default="cuda:0", help="what is compared with the CPU")
    parser.add_argument("--refinement-passes", default="48", metavar="N")
    arguments = parser.parse_args()

    scratch = tempfile.mkdtemp(prefix="gptvq-gpu-model-")
    try:
        lines, ratio = compare(arguments, scratch)
    finally:
        shutil.rmtree(scratch)
    print("\n".join(lines))
    if arguments.output:
        with open(arguments.output, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    if abs(ratio - 1) > TOLERANCE:
        sys.exit(f"the perplexities differ by {100 * abs(ratio - 1):.2f} percent")


def compare(arguments, scratch):
    model = os.path.join(arguments.demo, "model")
    lines = [f"# SmolLM2-135M-Instruct, `{arguments.preset}`, {arguments.refinement_passes} passes of refinement", "",
             "| quantized on | seconds | relative error | perplexity | the same, measured on the device |", "|---|---|---|---|---|",
             f"| not at all | | | {perplexity(arguments, model, 'cpu'):.4f} | {perplexity(arguments, model, arguments.device):.4f} |"]
    perplexities = []
    for number, device in enumerate((arguments.device, "cpu")):
        output = os.path.join(scratch, str(number))
        begin = time.monotonic()
        report = output_of([arguments.client, "quantize", "--model", model, *CALIBRATION,
                            "--calibration", os.path.join(arguments.demo, "text", "calibration.txt"),
                            "--preset", arguments.preset, "--refinement-passes", arguments.refinement_passes,
                            "--device", device, "--state-dir", output + "-state", "--output", output, "-o", "json"])
        seconds = time.monotonic() - begin
        errors = [linear["relative_error"] for linear in report["linears"]]
        perplexities.append(perplexity(arguments, output, "cpu"))
        lines.append(f"| {device} | {seconds:.0f} | {sum(errors) / len(errors):.5f} | {perplexities[-1]:.4f} "
                     f"| {perplexity(arguments, output, arguments.device):.4f} |")
    ratio = perplexities[0] / perplexities[1]
    return lines + ["", f"Perplexity of the first result over that of the second: {ratio:.5f}."], ratio


def perplexity(arguments, directory, device):
    return output_of([arguments.client, "eval", directory, "--text", os.path.join(arguments.demo, "text", "held_out.txt"),
                      *EVALUATION, "--device", device, "-o", "json"])["perplexity"]


def output_of(command):
    """What a client command prints as JSON; its talk goes to our stderr."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"exit code {done.returncode} of {' '.join(command)}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
