"""Every flag of every command of gptvq-client, as `--help` lists them, with values that can not be: exit code 2, a
message that names the flag, nothing on standard output. A flag that is added without a rule here fails the test."""

import os
import pathlib
import re
import subprocess
import unittest

CLIENT = pathlib.Path(os.environ["GPTVQ_BIN"]) / "gptvq-client"

WHOLE = ["", "x", "-3", "2.5", "NaN", "99999999999999999999"]
SHARE = ["", "x", "-1", "2", "NaN", "1e400"]
URI = ["", "s3://B_ad/key", "ftp://host/x", "file://host/x", "file:///a/../b"]

# Values that are wrong whatever else is said, by the flag's name, or else by the placeholder that its help shows.
BAD_VALUES = {
    "N": WHOLE, "D": [*WHOLE, "0", "5"], "B": [*WHOLE, "0", "9"], "L": [*WHOLE, "0"], "S": WHOLE, "F": SHARE,
    "DURATION": ["", "soon", "5", "-1s"],
    "ADDRESS": ["", "here", "here:x", "host:70000", "unix:"],
    "--samples": [*WHOLE, "0", "65537"], "--limit": [*WHOLE, "0"], "--workers": [*WHOLE, "0", "65"],
    "--columns-per-group": [*WHOLE, "15"], "--uniform-bits": [*WHOLE, "1", "9"],
    "--uniform-group-columns": [*WHOLE, "63"],
    "--preset": ["", "2d-3.12bpv"], "--codebook-dtype": ["", "int7"], "--seeding": ["", "random"],
    "--layer-order": ["", "backwards"], "--compat": ["", "x"],
    "--request-id": ["x", "0F8FAD5B-D9CB-469F-A165-70867728950E"],
    "--weight": ["", "file", ":tensor", "file:"], "--hessian": ["", "file", ":tensor", "file:"],
    "--dtype": ["", "int4"], "export --format": ["", "gguf"],
    "DEVICE": ["", "gpu", "cuda:", "cuda:x", "cuda:0,0", "cuda:-1"],
    "PROFILES": ["/nonexistent/profiles.json"],
    "--tls-cert": ["", "x"], "--tls-key": ["", "x"], "--tls-ca": ["", "x"],  # one alone is none
    "--token-file": ["", "x"],  # without TLS
    "doctor --file": URI,
    "ACTION": ["", "guess"], "SHELL": ["", "tcsh"],
    "DIRECTORY": URI, "--text": URI, "export --output": URI, "linear --output": URI,
    "calibration --model": URI, "calibration --calibration": URI,
    "submit --model": URI, "submit --calibration": URI, "submit --output": URI, "submit --evaluation": URI[1:],
    "quantize --model": URI, "quantize --calibration": URI, "quantize --output": URI, "quantize --evaluation": URI[1:],
}
# Places whose use tells whether they are good (tests/matrix), and names that only a coordinator knows.
OPEN = {"JOB", "WORKER", "--state-dir"}
SOUND = {"ACTION": "inspect", "SHELL": "bash", "--weight": "f:t", "--hessian": "f:t", "--output": "y"}


def run(*arguments):
    return subprocess.run([CLIENT, *arguments], capture_output=True, text=True, timeout=20, check=False)


def commands():
    listed = run("--help").stdout.split("Subcommands:")[1]
    return re.findall(r"^  (\w+) ", listed, re.MULTILINE)


def options(command):
    """(name, placeholder, is required) of every option of a command, in the order of its help."""
    text = re.sub(r"\n {20,}", " ", run(command, "--help").stdout)  # long names have their help on the next line
    found = re.findall(r"^  (?:-\w,)?(--[\w-]+|[A-Z]+)(?: ([\w|:]+))?  ?(.*)$", text, re.MULTILINE)
    return [(name, value, "Required." in words) for name, value, words in found if name != "--help"]


class BadFlagTest(unittest.TestCase):
    def check(self, command, name, value, sound):
        given = dict(sound)
        if name.startswith("--"):
            given[name] = value
        words = [f"{flag}={text}" for flag, text in given.items() if flag.startswith("--")]
        words += [value if flag == name else text for flag, text in given.items() if not flag.startswith("--")]
        result = run(command, *words)
        self.assertEqual(result.returncode, 2, f"{words}: {result.stderr}")
        spellings = (name, name.removeprefix("--").replace("-", "_"), command)
        self.assertTrue(any(spelling in result.stderr for spelling in spellings), result.stderr)
        self.assertEqual(result.stdout, "")

    def test_every_value_that_can_not_be_is_a_usage_error(self):
        checked = 0
        for command in commands():
            declared = options(command)
            sound = {name: SOUND.get(name, "x") for name, _, required in declared if required}
            for name, placeholder, _ in declared:
                values = BAD_VALUES.get(f"{command} {name}", BAD_VALUES.get(name, BAD_VALUES.get(placeholder)))
                if values is None and "|" in placeholder:
                    values = ["", "maybe"]
                if values is None:
                    is_switch = name.startswith("--") and not placeholder
                    self.assertTrue(is_switch or name in OPEN, f"no rule for {command} {name} {placeholder}")
                    values = ["perhaps"] if is_switch else []
                for value in values:
                    with self.subTest(command=command, flag=name, value=value):
                        self.check(command, name, value, sound)
                        checked += 1
        self.assertGreater(checked, 300)

    def test_contradictions_between_flags_are_usage_errors(self):
        job = ["quantize", "--model", "m", "--calibration", "c", "--output", "o"]
        for words, message in (
                (["--vector-dim", "3"], "vector_dim"),
                (["--output", "o"], "--output was given 2 times"),
                (["--sequence-length", "131072", "--samples", "65536"], "samples x sequence_length")):
            with self.subTest(words):
                result = run(*job, *words)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn(message, result.stderr)
        result = run("quantize", "--model", "m", "--calibration", "c", "--output", "m")
        self.assertEqual((result.returncode, "equals model_uri" in result.stderr), (2, True), result.stderr)
        result = run("eval", "m", "--text", "t", "--evaluation-tokens", "5")
        self.assertEqual((result.returncode, "--evaluation-tokens is 5" in result.stderr), (2, True), result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=1)
