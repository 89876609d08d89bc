#!/usr/bin/env python3
"""Perplexity and error of every method and size on the demo's model, as one Markdown table.

usage: quality.py GPTVQ_CLIENT [--only REGEX]

Quantizes SmolLM2-135M once per row with `gptvq-client quantize` (sequential propagation) and measures the packed result on
text that is not in the calibration set. All rows share calibration rows, seed and evaluation windows. The
table goes to stdout and to bench/results/quality-<date>.md. A run that is interrupted goes on where it was: each row is
kept in build/quality until the settings, the client or the model change. Standard library only.
"""

import argparse
import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEMO = os.path.join(ROOT, "build", "demo")
WORK = os.path.join(ROOT, "build", "quality")

SAMPLES = 16
SEQUENCE_LENGTH = 1024
EVALUATION_TOKENS = 16384
CALIBRATION = ["--calibration", os.path.join(DEMO, "text", "calibration.txt"), "--samples", str(SAMPLES),
               "--sequence-length", str(SEQUENCE_LENGTH), "--seed", "0"]
EVALUATION = ["--text", os.path.join(DEMO, "text", "held_out.txt"), "--sequence-length", str(SEQUENCE_LENGTH),
              "--evaluation-tokens", str(EVALUATION_TOKENS)]

# Heading of each size, and its rows: baselines first. A vector preset is run a second time as the published code does it.
SIZES = {
    "about 2.125": ["rtn-2bit-g128", "gptq-2bit-g128", "1d-2.125bpv", "2d-2.125bpv", "4d-2.125bpv"],
    "about 2.25": ["rtn-2bit-g64", "gptq-2bit-g64", "1d-2.25bpv", "2d-2.25bpv", "4d-2.25bpv"],
    "about 3.125": ["rtn-3bit-g128", "gptq-3bit-g128", "1d-3.125bpv", "2d-3.125bpv"],
    "about 4.125": ["rtn-4bit-g128", "gptq-4bit-g128", "1d-4.125bpv", "2d-4.125bpv"],
}
METHODS = {"rtn": "RTN", "gptq": "GPTQ", "1d": "GPTVQ 1D", "2d": "GPTVQ 2D", "4d": "GPTVQ 4D"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("client")
    parser.add_argument("--only", default="", metavar="REGEX", help="presets to run; the others are left out")
    arguments = parser.parse_args()
    client = os.path.abspath(arguments.client)
    os.makedirs(WORK, exist_ok=True)

    source = evaluate(client, "source", os.path.join(DEMO, "model"))
    lines = table_head(client, source)
    for size, presets in SIZES.items():
        for preset in presets:
            if re.search(arguments.only, preset):
                lines.append(table_row(client, size, preset))
                print(lines[-1], file=sys.stderr, flush=True)
    table = "\n".join(lines) + "\n"
    print(table, end="")
    path = os.path.join(ROOT, "bench", "results", f"quality-{datetime.date.today()}.md")
    if not arguments.only:
        with open(path, "w", encoding="utf-8") as file:
            file.write(table)


def table_head(client, source):
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return [
        "# Quality on SmolLM2-135M-Instruct",
        "",
        f"`make quality` at commit {commit.stdout.strip() or 'unknown'}. Calibration: {SAMPLES} rows of "
        f"{SEQUENCE_LENGTH} tokens from four novels of Jane Austen, seed 0. Perplexity: two other novels, "
        f"{source['tokens']} tokens in windows of {SEQUENCE_LENGTH}. Bits are counted from the packed tensors. Relative "
        "error is the mean over linears of tr(EHEᵀ) / tr(WHWᵀ). The last two columns compare with the behaviour of the "
        "published code (`--compat reference`) at the same preset.",
        "",
        f"Perplexity of the source model: **{source['perplexity']:.2f}**",
        "",
        "| size | method | preset | bits per value | perplexity | relative error | reference: perplexity "
        "| error, ours / reference |",
        "|---|---|---|---|---|---|---|---|",
    ]


def table_row(client, size, preset):
    ours = run(client, preset, [])
    cells = [size, METHODS[preset.split("-")[0]], f"`{preset}`", f"{ours['bits']:.3f}", f"{ours['perplexity']:.2f}",
             f"{ours['error']:.4f}"]
    if preset[1] == "d":
        reference = run(client, preset, ["--compat", "reference"])
        cells += [f"{reference['perplexity']:.2f}", f"{ours['error'] / reference['error']:.2f}"]
    else:
        cells += ["", ""]
    return "| " + " | ".join(cells) + " |"


def run(client, preset, flags):
    """Quantizes and evaluates one row, or gives what an earlier run kept."""
    name = "-".join([preset, *flags]).replace("--", "")
    command = [client, "quantize", "--model", os.path.join(DEMO, "model"), *CALIBRATION, "--preset", preset, *flags,
               "-o", "json"]
    kept = Kept(client, name, command + EVALUATION)
    if kept.value is None:
        output = os.path.join(WORK, name)
        shutil.rmtree(output, ignore_errors=True)
        report = output_of(command + ["--output", output])
        result = evaluate(client, f"{name}-perplexity", output)
        errors = [linear["relative_error"] for linear in report["linears"]]
        kept.keep({"bits": report["bits_per_value"]["total"], "error": sum(errors) / len(errors),
                   "perplexity": result["perplexity"], "seconds": report["seconds"]})
        shutil.rmtree(output)
    return kept.value


def evaluate(client, name, directory):
    command = [client, "eval", directory, *EVALUATION, "-o", "json"]
    kept = Kept(client, name, command)
    if kept.value is None:
        kept.keep(output_of(command))
    return kept.value


class Kept:
    """A row's result in a file, valid for one command of one client on one model."""

    def __init__(self, client, name, command):
        key = hashlib.sha256("\0".join(command).encode())
        for path in (client, os.path.join(DEMO, "model", "model.safetensors")):
            with open(path, "rb") as file:
                key.update(hashlib.file_digest(file, "sha256").digest())
        self._path = os.path.join(WORK, f"{name}.json")
        self._key = key.hexdigest()
        self.value = None
        if os.path.exists(self._path):
            with open(self._path, encoding="utf-8") as file:
                record = json.load(file)
            if record["key"] == self._key:
                self.value = record["value"]

    def keep(self, value):
        with open(self._path + ".part", "w", encoding="utf-8") as file:
            json.dump({"key": self._key, "value": value}, file, indent=1)
        os.replace(self._path + ".part", self._path)
        self.value = value


def output_of(command):
    """What a client command prints as JSON; its talk goes to our stderr."""
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


if __name__ == "__main__":
    main()
