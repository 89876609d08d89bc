"""The pages of the project, and the fenced blocks and commands in them."""

import dataclasses
import os
import pathlib
import re

BIN = pathlib.Path(os.environ["GPTVQ_BIN"])  # the programs
ROOT = pathlib.Path(__file__).resolve().parents[2]
# Records of measurements and decisions stand as they were written.
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]

# The word behind a fence says what the block is. Commands: `sh`, and `console`, where each begins with "$ " and is followed
# by what it prints. Data: what has a parser. `text` is for drawings and for files of no common format.
COMMANDS = ("sh", "console")
LANGUAGES = (*COMMANDS, "json", "yaml", "sql", "ini", "text")


@dataclasses.dataclass(frozen=True)
class Block:
    page: str
    section: str  # the heading above it
    line: int
    language: str
    lines: tuple[str, ...]

    @property
    def key(self):
        """Names the block as long as its first line stays."""
        return self.page, self.lines[0].removeprefix("$ ")

    def commands(self):
        """Pairs of a command, which may have several lines, and what it prints; None where the page does not say."""
        pairs = []
        open_command = False
        for line in self.lines:
            if open_command:
                pairs[-1][0] += "\n" + line.removeprefix("> ")
            elif self.language == "sh":
                if not line.strip() or line.startswith("#"):
                    continue
                pairs.append([line, None])
            elif line.startswith("$ "):
                pairs.append([line.removeprefix("$ "), ""])
            else:
                pairs[-1][1] += line + "\n"
                continue
            open_command = line.endswith("\\")
        return [tuple(pair) for pair in pairs]


def blocks_of(page, text):
    found = []
    opened = None
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("```"):
            if opened is not None:
                opened[2].append(line)
            elif line.startswith("#"):
                section = line
        elif opened is None:
            opened = number, line.removeprefix("```"), []
        else:
            found.append(Block(page, section, opened[0], opened[1], tuple(opened[2])))
            opened = None
    assert opened is None, f"{page}: a block is not closed"
    return found


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks():
    return [block for page in PAGES for block in blocks_of(page, read(page))]


def inline_commands(text):
    """Commands of our programs in running text, in backquotes and with more than the program's name."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`((?:gptvq-(?:client|coordinator|worker)|make|tools/[\w./-]+) [^`]*)`", re.sub(r"\s*\n\s*", " ", outside))
