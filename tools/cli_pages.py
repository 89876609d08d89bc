#!/usr/bin/env python3
"""Makes the manual page of a program, and its completion for bash, zsh and fish, from what its --help prints.

usage: tools/cli_pages.py BINARY DIR

Writes DIR/NAME.SECTION, DIR/NAME.bash, DIR/NAME.zsh and DIR/NAME.fish. A program that knows the command `completion`
writes its own completion. Help that does not have the expected shape ends with an error: no page is better than half.
"""

import dataclasses
import pathlib
import re
import subprocess
import sys

# Programs for everybody are in section 1 of the manual, daemons in section 8.
SECTION_OF = {"gptvq-client": "1", "gptvq-coordinator": "8", "gptvq-worker": "8"}
ENTRY = re.compile(r"^  (?P<term>\S.*?)(?:  +(?P<text>\S.*))?$")
CONTINUATION = re.compile(r"^ {20,}(?P<text>\S.*)$")
REFERENCE_TO_ENVIRONMENT = "Every flag may come from the environment"


@dataclasses.dataclass
class Entry:
    term: str  # "--data-dir DIR", or the name of a command
    text: str


@dataclasses.dataclass
class Help:
    summary: str
    usage: str
    positionals: list[Entry]
    options: list[Entry]
    commands: list[Entry]


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def parse_help(text: str) -> Help:
    lines = text.splitlines()
    if len(lines) < 3 or not lines[1].startswith("Usage: "):
        raise SystemExit(f"unexpected help text: {text[:200]!r}")
    sections: dict[str, list[Entry]] = {"Positionals:": [], "Options:": [], "Subcommands:": []}
    entries: list[Entry] | None = None
    for line in lines[2:]:
        if line in sections:
            entries = sections[line]
        elif not line.strip() or line.startswith(REFERENCE_TO_ENVIRONMENT):
            continue
        elif entries and (match := CONTINUATION.match(line)):
            entries[-1].text = f"{entries[-1].text} {match['text']}".strip()
        elif entries is not None and (match := ENTRY.match(line)):
            entries.append(Entry(match["term"], match["text"] or ""))
        else:
            raise SystemExit(f"unexpected line of help: {line!r}")
    return Help(lines[0], lines[1].removeprefix("Usage: "), *sections.values())


def roff(text: str) -> str:
    """Text as it is: every dash a minus, no line taken for a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def roff_entries(entries: list[Entry]) -> list[str]:
    lines = []
    for entry in entries:
        flag, _, value = entry.term.partition(" ")
        lines += [".TP", f"\\fB{roff(flag)}\\fR" + (f" \\fI{roff(value)}\\fR" if value else ""), roff(entry.text)]
    return lines


def manual_page(name: str, version: str, page: Help, commands: dict[str, Help]) -> str:
    section = SECTION_OF[name]
    lines = [
        f'.TH {name.upper()} {section} "" "{version}" "gptvq"',
        ".SH NAME", f"{roff(name)} \\- {roff(page.summary.rstrip('.'))}",
        ".SH SYNOPSIS", roff(page.usage),
        ".SH OPTIONS", *roff_entries(page.positionals + page.options),
    ]
    if commands:
        lines.append(".SH COMMANDS")
    for command in commands.values():
        lines += [f".SS {roff(command.usage.removeprefix(name + ' '))}", roff(command.summary)]
        lines += roff_entries([entry for entry in command.positionals + command.options if "--help" not in entry.term])
    others = ", ".join(f"\\fB{roff(other)}\\fR({number})" for other, number in SECTION_OF.items() if other != name)
    lines += [
        ".SH ENVIRONMENT",
        "Every flag that takes a value is also a variable, for instance GPTVQ_LOG_LEVEL for \\fB\\-\\-log\\-level\\fR. The flag wins.",
        ".SH SEE ALSO", others,
    ]
    return "\n".join(lines) + "\n"


def flag_names(page: Help) -> list[str]:
    names = []
    for entry in page.options:
        names += entry.term.split()[0].split(",")
    return names


def fish_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def completions(name: str, page: Help, commands: dict[str, Help]) -> dict[str, str]:
    """For a program that does not complete itself: its commands, the flags of all, and files behind them."""
    pages = [page, *commands.values()]
    flags = " ".join(dict.fromkeys(flag for one in pages for flag in flag_names(one)))
    words = " ".join(commands)
    function = "_" + name.replace("-", "_")
    bash = (f"{function}() {{\n"
            "  local word=${COMP_WORDS[COMP_CWORD]}\n"
            f"  if [[ $word == -* ]]; then\n    COMPREPLY=($(compgen -W \"{flags}\" -- \"$word\"))\n"
            f"  else\n    COMPREPLY=($(compgen -f -W \"{words}\" -- \"$word\"))\n  fi\n}}\n"
            f"complete -o filenames -F {function} {name}\n")
    zsh = f"#compdef {name}\nif [[ $PREFIX == -* ]]; then\n  compadd -- {flags}\nelse\n  compadd -- {words}\n  _files\nfi\n"
    fish = "".join(f"complete -c {name} -n __fish_use_subcommand -a {command} -d '{fish_text(one.summary)}'\n"
                   for command, one in commands.items())
    for entry in {entry.term: entry for one in reversed(pages) for entry in one.options}.values():
        for flag in entry.term.split()[0].split(","):
            kind = "-l" if flag.startswith("--") else "-s"
            takes_value = " -r" if " " in entry.term else ""
            fish += f"complete -c {name} {kind} {flag.lstrip('-')}{takes_value} -d '{fish_text(entry.text)}'\n"
    return {"bash": bash, "zsh": zsh, "fish": fish}


def main(arguments: list[str]) -> None:
    if len(arguments) != 2:
        raise SystemExit(__doc__)
    binary, directory = arguments[0], pathlib.Path(arguments[1])
    name = pathlib.Path(binary).name
    page = parse_help(run(binary, "--help"))
    commands = {entry.term: parse_help(run(binary, entry.term, "--help")) for entry in page.commands}
    if "completion" in commands:
        scripts = {shell: run(binary, "completion", shell) for shell in ("bash", "zsh", "fish")}
    else:
        scripts = completions(name, page, commands)

    directory.mkdir(parents=True, exist_ok=True)
    version = run(binary, "--version").strip()
    (directory / f"{name}.{SECTION_OF[name]}").write_text(manual_page(name, version, page, commands))
    for shell, script in scripts.items():
        (directory / f"{name}.{shell}").write_text(script)


if __name__ == "__main__":
    main(sys.argv[1:])
