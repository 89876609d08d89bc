#!/usr/bin/python3
"""Puts every bad input of the matrix D01-D96 into the real programs and prints a row for each: what was put in, what is
expected, the code and the message that were seen. Exit status 1 when one differs. See docs/bad-input.md.

usage: matrix.py [--only D01,D20-D28]
Needs GPTVQ_BIN and GPTVQ_MAKE_TINY_MODEL in the environment, and `tools/install_packages.sh matrix`."""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import re
import signal
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from case import NotRun, check, difference  # noqa: E402
from groups import CASES  # noqa: E402
from laboratory import Laboratory  # noqa: E402

ROWS = [f"D{number:02}" for number in range(1, 97)]
HEADER = ("row", "put in", "expected", "code seen", "message seen", "verdict")
PASS, DIFFERS, NOT_RUN = "pass", "DIFFERS", "not run"


def row(*cells):
    """A line of the table; what would end a cell or look like markup is spelled out."""
    return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |"


def shown(message, lab):
    """A message as it stands in the table, without what differs from run to run."""
    text = " ".join(re.sub(re.escape(str(lab.root)) + r"(/tmp\w+)?", "…", message).split())
    return text if len(text) <= 200 else text[:197] + "..."


def verdict(case, lab):
    """(verdict, code, message)"""
    if case.run is None:
        return NOT_RUN, "", case.lacking
    try:
        answer = case.run(lab)
    except NotRun as lacking:
        return NOT_RUN, "", str(lacking)
    except Exception as broken:  # pylint: disable=broad-except  # whatever it is, it is this row's verdict
        traceback.print_exc()
        return DIFFERS, "", f"{broken or type(broken).__name__}"[:700]
    answers = answer if isinstance(answer, list) else [answer]
    for seen in answers:
        wrong = difference(case, seen)
        if wrong:
            return DIFFERS, seen.code, f"{wrong}: {seen.message}"[:700]
    return PASS, answers[0].code, shown(answers[0].message, lab)


def expected(case):
    words = (case.words,) if isinstance(case.words, str) else case.words
    text = "; ".join(filter(None, [case.code, ", ".join(f"'{word}'" for word in words)]))
    return f"{text} ({case.note})" if case.note else text


def run_all(cases, lab):
    """Yields (case, verdict, code, message) in the order of the cases. Half of what runs at a time waits for a pause."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=2 * max(2, os.cpu_count() or 1)) as pool:
        together = {index: pool.submit(verdict, case, lab) for index, case in enumerate(cases) if not case.alone}
        done = {index: future.result() for index, future in together.items()}
    for index, case in enumerate(cases):
        yield case, *(done[index] if index in done else verdict(case, lab))


def spelt_out(part):
    """The rows of "D01" or "D01-D12"."""
    first, _, last = part.partition("-")
    return [row_id for row_id in ROWS if first <= row_id <= (last or first)] or [part]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="D01-D96", help="rows and ranges of them, separated by commas")
    wanted = {row_id for part in parser.parse_args().only.split(",") for row_id in spelt_out(part)}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are stopped
    named = {case.row for case in CASES}
    check(named == set(ROWS),
          f"rows that are named and not in the matrix, or in it and not named: {sorted(named ^ set(ROWS))}")
    check(wanted <= named, f"no row {', '.join(sorted(wanted - named))}")
    cases = sorted((case for case in CASES if case.row in wanted), key=lambda case: case.row)
    begin = time.monotonic()
    lab = Laboratory()
    verdicts = collections.defaultdict(list)
    with lab.closing:
        print(row(*HEADER) + "\n" + row(*["---"] * len(HEADER)))
        for case, how, code, message in run_all(cases, lab):
            verdicts[how].append(case.row)
            print(row(case.row, case.put, expected(case), code, message, how), flush=True)
        lab.close()
    print("\n" + "".join(f"{line}.\n" for line in lab.measured))
    print(summary(verdicts), f"{time.monotonic() - begin:.0f} s.")
    return 1 if verdicts[DIFFERS] else 0


def summary(verdicts):
    """Counts of cases, and of rows by the worst of their cases."""
    differ, lack, ran = (set(verdicts[how]) for how in (DIFFERS, NOT_RUN, PASS))
    lines = [f"{sum(map(len, verdicts.values()))} cases: {len(verdicts[PASS])} pass, {len(verdicts[DIFFERS])} differ, "
             f"{len(verdicts[NOT_RUN])} not run.",
             f"{len(differ | lack | ran)} rows: {len(ran - differ - lack)} pass, {len(differ)} differ, "
             f"{len(lack & ran - differ)} run in part, {len(lack - ran - differ)} not run.",
             f"Run in part: {', '.join(sorted(lack & ran - differ)) or 'none'}.",
             f"Not run: {', '.join(sorted(lack - ran - differ)) or 'none'}."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
