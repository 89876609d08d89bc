#!/usr/bin/env python3
"""Checks the C++ sources against tools/layers.toml: who includes whom, and text that belongs to one place only.

usage: check_layers.py [REPOSITORY_ROOT]

Prints one line per violation, `file:line: what (why)`, and exits with 1 if there is any.
"""

import fnmatch
import os
import re
import sys
import tomllib

SOURCE_SUFFIXES = (".h", ".cc", ".cu", ".cuh")
FOLDERS = ("core", "platform", "proto", "server", "worker", "client", "bench", "tests")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
# A comment, a string literal (raw or plain) or a character literal, whichever begins first.
NOT_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<raw>[^(\s]*)\(.*?\)(?P=raw)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)
# Highway compiles one file once per instruction set; its protocol needs these conditionals (and *-inl.h its own guard).
HIGHWAY_CONDITIONAL = re.compile(r"^\s*#\s*(if|elif)\b.*\bHWY_(ONCE|TARGET_TOGGLE)\b")


def main(root):
    with open(os.path.join(root, "tools", "layers.toml"), "rb") as file:
        rules = tomllib.load(file)
    violations = []
    for path in source_files(root):
        with open(os.path.join(root, path), encoding="utf-8") as file:
            source = file.read()
        violations += check_name(path, rules) + check_includes(path, source, rules) + check_text(path, source, rules)
    print("\n".join(violations) or "layers: no violation")
    return 1 if violations else 0


def source_files(root):
    for folder in FOLDERS:
        for parent, _, names in sorted(os.walk(os.path.join(root, folder))):
            for name in sorted(names):
                if name.endswith(SOURCE_SUFFIXES):
                    yield os.path.relpath(os.path.join(parent, name), root)


def check_name(path, rules):
    rule = rules["file_names"]
    return [f"{path}:1: file name ({rule['why']})"] if re.search(rule["forbidden"], path) else []


def check_includes(path, source, rules):
    violations = []
    is_root = matches(path, rules["composition_roots"]["files"])
    here = room_of(path, rules)
    if here is None:
        return [f"{path}:1: lies in no room of tools/layers.toml"]
    allowed = rules["rooms"][here]
    for number, line in enumerate(source.splitlines(), 1):
        include = INCLUDE.match(line)
        if not include:
            continue
        target = include[1]
        there = room_of(target, rules)
        if there not in (None, here) and not is_root and "*" not in allowed and there not in allowed:
            violations.append(f"{path}:{number}: {here} includes {target} of {there}")
        for rule in rules["headers"]:
            if re.search(rule["pattern"], target) and is_forbidden(path, rule):
                violations.append(f"{path}:{number}: includes {target} ({rule['why']})")
    return violations


def check_text(path, source, rules):
    violations = []
    guard = guard_line(path, source)
    # Line breaks stay, so that the lines keep their numbers.
    code = NOT_CODE.sub(lambda found: "\n" * found[0].count("\n") or '""', source)
    for number, line in enumerate(code.splitlines(), 1):
        if number == guard or HIGHWAY_CONDITIONAL.match(line):
            continue
        for rule in rules["text"]:
            found = re.search(rule["pattern"], line)
            if found and is_forbidden(path, rule):
                violations.append(f"{path}:{number}: {found[0].strip()} ({rule['why']})")
    return violations


def guard_line(path, source):
    """The line of the include guard, which is spelled from the path; None if there is no such guard."""
    guard = "GPTVQ_" + re.sub(r"[/.]", "_", path).upper() + "_"
    for number, line in enumerate(source.splitlines(), 1):
        if line == f"#ifndef {guard}":
            return number
    return None


def is_forbidden(path, rule):
    return not matches(path, rule["only_in"]) if "only_in" in rule else matches(path, rule["applies_to"])


def room_of(path, rules):
    rooms = [room for room in rules["rooms"] if path.startswith(room + "/")]
    return max(rooms, key=len, default=None)


def matches(path, globs):
    return any(fnmatch.fnmatchcase(path, glob) for glob in globs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..")))
