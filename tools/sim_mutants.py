#!/usr/bin/env python3
"""Whether the simulation sees what it should: breaks one guard of the scheduler at a time and waits for a violation.

Each mutant of tests/sim/mutants.toml is one line of the shipping code, replaced. The sources are not touched: the changed
file is compiled on the side with the command that the build uses, linked in front of the library that holds the original,
and the simulation runs until an invariant breaks or its seeds are spent. Prints one row each, and exits 1 if one survives.

    tools/sim_mutants.py build/release            # all, after `cmake --build build/release --target scheduler_sim`
    tools/sim_mutants.py build/release epoch      # those with "epoch" in their name
    tools/sim_mutants.py --check                  # only that every line is still there
"""
import argparse
import hashlib
import pathlib
import re
import shlex
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST = ROOT / "tests/sim/mutants.toml"
PROGRAM = "tests/sim/scheduler_sim"
# Parsed once for all mutants, which are sources, never headers.
COMMON_HEADERS = ["server/scheduler/scheduler.h", "server/scheduler/job_step.h", "server/ledger.h", "server/grant.h",
                  "absl/strings/str_cat.h", "algorithm"]
TIME_LIMIT_S = 1800  # of one simulation on a busy machine


def read_mutants():
    with LIST.open("rb") as file:
        return tomllib.load(file)["mutant"]


def mutate(mutant):
    """The text of the mutant's file with its line replaced; ValueError when the line is not there exactly once."""
    lines = (ROOT / mutant["file"]).read_text().splitlines()
    begin, end = 0, len(lines)
    if "within" in mutant:
        places = [i for i, line in enumerate(lines) if mutant["within"] in line]
        if len(places) != 1:
            raise ValueError(f"'{mutant['within']}' stands {len(places)} times in {mutant['file']}")
        begin = places[0]
        end = next(i for i in range(begin, len(lines)) if lines[i] == "}") + 1
    found = [i for i in range(begin, end) if lines[i].strip() == mutant["line"]]
    if len(found) != 1:
        raise ValueError(f"'{mutant['line']}' stands {len(found)} times in {mutant['file']}")
    lines[found[0]] = mutant["becomes"]
    return "\n".join(lines) + "\n"


def check(mutants):
    names = [mutant["name"] for mutant in mutants]
    problems = [f"{name}: is there twice" for name in set(names) if names.count(name) > 1]
    for mutant in mutants:
        try:
            mutate(mutant)
        except ValueError as error:
            problems.append(f"{mutant['name']}: {error}; change or drop it in {LIST.relative_to(ROOT)}")
    print("\n".join(sorted(problems)) or f"{len(mutants)} mutants, every line is there")
    return 1 if problems else 0


class Build:
    """Compiles and links single mutants with the commands of a configured build directory."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory).resolve()
        commands = subprocess.run(["ninja", "-C", self.directory, "-t", "commands", PROGRAM], check=True,
                                  capture_output=True, text=True).stdout.splitlines()
        self.compile_of = {}
        for command in commands:
            source = re.search(r" -c (\S+)$", command)
            if source:
                self.compile_of[source.group(1)] = command
        self.link = next(command for command in reversed(commands) if f"-o {PROGRAM} " in command)
        self.work = self.directory / "mutants"
        self.work.mkdir(exist_ok=True)
        self.precompile()

    def compiler(self, source):
        """The build's command for a source, without output and input, and quicker to compile."""
        words = shlex.split(self.compile_of[str(ROOT / source)])
        kept, skip = [], False
        for word in words:
            skip, skipped = word in ("-o", "-c", "-MT", "-MF"), skip
            if skip or skipped or word in ("-MD", "-Werror") or word.endswith("ccache"):
                continue
            kept.append(word)
        return kept + ["-O1", "-w"]

    def precompile(self):
        header = self.work / "common.h"
        text = "".join(f"#include <{name}>\n" if "." not in name else f'#include "{name}"\n' for name in COMMON_HEADERS)
        header.write_text(text)
        subprocess.run(self.compiler("server/ledger.cc") + ["-x", "c++-header", str(header), "-o", f"{header}.gch"],
                       check=True, cwd=self.directory)

    def make(self, mutant):
        """The simulation with this mutant in it, as a path."""
        stem = self.work / hashlib.sha256(mutant["name"].encode()).hexdigest()[:12]
        source = stem.with_suffix(".cc")
        source.write_text(mutate(mutant))
        compiled = subprocess.run(
            self.compiler(mutant["file"]) + ["-include", str(self.work / "common.h"), "-c", str(source), "-o", f"{stem}.o"],
            cwd=self.directory, capture_output=True, text=True)
        if compiled.returncode != 0:
            raise RuntimeError(f"{mutant['name']} does not compile:\n{compiled.stderr}")
        # First come, first linked: the archive's own object is not asked any more.
        link = self.link.replace(f"-o {PROGRAM} ", f"{stem}.o -o {stem}.sim ", 1)
        subprocess.run(link, shell=True, check=True, cwd=self.directory)
        for path in (source, pathlib.Path(f"{stem}.o")):
            path.unlink()
        return pathlib.Path(f"{stem}.sim")


def run(program, first, seeds):
    """(killer, seed) of the first run that fails; (None, None) if none does; the seed is None where the program died."""
    try:
        done = subprocess.run([program, "--first", str(first), "--seeds", str(seeds)], capture_output=True, text=True,
                              timeout=TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        return "does not end", None
    seen = re.search(r"^seed (\d+) breaks (\S+)", done.stdout, re.MULTILINE)
    if seen:
        return seen.group(2), int(seen.group(1))
    return (None, None) if done.returncode == 0 else ("crash", None)


def judge(program, seeds):
    killer, seed = run(program, 1, seeds)
    if killer != "crash":
        return killer, seed
    low, high = 0, 1  # the program dies within `high` seeds, but not within `low`
    while run(program, 1, high)[0] is None:
        low, high = high, min(2 * high, seeds)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if run(program, 1, middle)[0] is None else (low, middle)
    return killer, high


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", nargs="?", help="a configured build directory with scheduler_sim in it")
    parser.add_argument("name", nargs="?", default="", help="only mutants with this in their name")
    parser.add_argument("--check", action="store_true", help="only see that every line is still there")
    parser.add_argument("--seeds", type=int, default=3000)
    arguments = parser.parse_args()
    mutants = read_mutants()
    if arguments.check:
        return check(mutants)
    if arguments.build is None:
        parser.error("which build directory?")
    build = Build(arguments.build)
    survivors = judged = 0
    print("| guard | mutant | killed by | at seed |\n|---|---|---|---|", flush=True)
    for mutant in mutants:
        if arguments.name not in mutant["name"]:
            continue
        program = build.make(mutant)
        killer, seed = judge(program, arguments.seeds)
        program.unlink()
        judged += 1
        survivors += killer is None
        print(f"| {mutant['guard']} | {mutant['name']} | {killer or 'SURVIVED'} | {seed or ''} |", flush=True)
    print(f"\n{judged - survivors} of {judged} mutants killed within {arguments.seeds} seeds")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
