"""Cases of files that cannot be used: a case's folder is damaged, then commands meet it."""

import functools
import shutil

from case import Case, Seen, check
from laboratory import BIN

MODEL = ("quantize", "submit", "eval")  # commands that read a model
TEXT = ("calibration", "quantize")      # commands that read calibration files and the tokenizer
RESULT = ("inspect", "eval result")     # commands that read a result; `verify` has an exit code of its own


def damaged(row, put, damage, words, code=6, commands=MODEL, note=""):
    """Each of the commands has to refuse with the same code and words, and to write nothing."""
    return Case(row, put, functools.partial(refusals, damage, commands), f"exit {code}", words, note)


def refusals(damage, commands, lab):
    root = lab.case()
    damage(root)
    before = lab.files(root)
    seen = []
    for command in commands:
        seen.append(lab.client_on(command, root))
        check(lab.files(root) == before, f"{command} wrote something")
    shutil.rmtree(root)
    return seen


def accepted(row, put, damage, commands, words=(), note=""):
    """What is odd and can be used."""

    def run(lab):
        root = lab.case()
        damage(root)
        return [lab.client_on(command, root) for command in commands]

    return Case(row, put, run, "exit 0", words, note)


def by_test(row, put, program, name, note=""):
    """What no command can cause within a test's time or without a race: a test of the library shows it."""

    def run(lab):
        seen, printed = lab.run(BIN.parent / "tests" / program, f"--gtest_filter={name}")
        last = printed.decode(errors="replace").strip().splitlines()[-1:]
        return Seen(seen.code, f"{name}: {' '.join(last)}")

    return Case(row, put, run, "exit 0", "PASSED", note or "by a test of the library")
