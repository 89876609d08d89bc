#!/usr/bin/python3
"""Runs the fault experiments on the real programs and prints one row for each: what was injected, what is promised, what
was seen. Exit status 1 when a promise was broken. See docs/chaos.md.

usage: chaos.py [--only F01,F20] [--seeds N] [--first-seed N] [--quick] [--keep] [--list]
Needs GPTVQ_BIN and GPTVQ_MAKE_TINY_MODEL in the environment, and `tools/install_packages.sh chaos`."""

import argparse
import collections
import signal
import sys
import time
import traceback

import experiments  # noqa: F401  pylint: disable=unused-import
from experiment import EXPERIMENTS, NotRun, Verdict, Weaker
from laboratory import Laboratory, Shared

HEADER = ("experiment", "injected", "expected, besides S1-S9", "seen", "seconds", "verdict")
BEST_FIRST = [Verdict.PASS, Verdict.WEAKER, Verdict.NOT_RUN, Verdict.FAIL]


def row(*cells):
    return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "/") for cell in cells) + " |"


def run_once(shared, entry, seed):
    """(verdict, what was seen) of one experiment with one seed."""
    if entry.run is None:
        return Verdict.NOT_RUN, entry.lacking
    try:
        return Verdict.PASS, entry.run(Laboratory(shared, entry.id, seed))
    except Weaker as weaker:
        return Verdict.WEAKER, str(weaker)
    except NotRun as lacking:
        return Verdict.NOT_RUN, str(lacking)
    except Exception as broken:  # pylint: disable=broad-except  # whatever it is, it is this row's verdict
        traceback.print_exc()
        return Verdict.FAIL, f"{broken or type(broken).__name__}"[:700]


def run_experiment(shared, entry, seeds):
    """Runs the seeds; the row shows the worst one."""
    begin = time.monotonic()
    verdict, seen = None, ""
    for seed in seeds:
        one_verdict, one_seen = run_once(shared, entry, seed)
        if verdict is None or BEST_FIRST.index(one_verdict) > BEST_FIRST.index(verdict):
            verdict, seen = one_verdict, one_seen if len(seeds) == 1 else f"seed {seed}: {one_seen}"
        if verdict in (Verdict.NOT_RUN, Verdict.FAIL):
            break
    seconds = time.monotonic() - begin
    print(row(entry.id, entry.injected, entry.expected, seen, f"{seconds:.1f}", verdict.value), flush=True)
    return verdict


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="ids, separated by commas")
    parser.add_argument("--seeds", type=int, default=1, help="how often each is run, with other moments of the fault")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="those that take seconds and need no server")
    parser.add_argument("--keep", action="store_true", help="leave the files of the run, and say where")
    parser.add_argument("--list", action="store_true", help="print the experiments and run none")
    return parser.parse_args()


def main():
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are stopped
    wanted = arguments.only.split(",") if arguments.only else sorted(EXPERIMENTS)
    unknown = sorted(set(wanted) - set(EXPERIMENTS))
    if unknown:
        sys.exit(f"no experiment {', '.join(unknown)}")
    chosen = [EXPERIMENTS[name] for name in wanted if EXPERIMENTS[name].quick or not arguments.quick]
    print(row(*HEADER) + "\n" + row(*["---"] * len(HEADER)))
    if arguments.list:
        for entry in chosen:
            print(row(entry.id, entry.injected, entry.expected, entry.lacking, "", "quick" if entry.quick else ""))
        return 0
    shared = Shared(arguments.keep)
    with shared.closing:
        seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
        verdicts = collections.Counter(run_experiment(shared, entry, seeds) for entry in chosen)
        if any(entry.run for entry in chosen):
            print("\nquiet run: manifest %s, %.1f s" % shared.quiet("reference"))
        if arguments.keep:
            print(f"files: {shared.scratch}")
    print(", ".join(f"{verdicts[verdict]} {verdict.value}" for verdict in Verdict))
    return 1 if verdicts[Verdict.FAIL] else 0


if __name__ == "__main__":
    sys.exit(main())
