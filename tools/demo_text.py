#!/usr/bin/env python3
"""Makes calibration.txt and held_out.txt from the text that two Debian packages carry.

usage: demo_text.py austen     UNPACKED_R_CRAN_JANEAUSTENR  OUTPUT_DIR
       demo_text.py postgresql UNPACKED_POSTGRESQL_DOC_15   OUTPUT_DIR

austen      six novels in the public domain: four for calibration, two held out.
postgresql  the manual, a second domain of a very different kind: every fifth page is held out.

The first argument after the domain is the folder that `dpkg-deb -x` made. Both files are UTF-8, one paragraph a line,
paragraphs parted by an empty line. Standard library only; the output depends on the packages' bytes alone.
"""

import html.parser
import os
import re
import struct
import sys
import zlib

# Title line of each novel as its text begins → whether it is held out.
NOVELS = {
    "EMMA": False,
    "MANSFIELD PARK": False,
    "PRIDE AND PREJUDICE": False,
    "SENSE AND SENSIBILITY": False,
    "NORTHANGER ABBEY": True,
    "Persuasion": True,
}
# The held-out novels have 0.97 million characters, the others 3.0 million; a truncated package must not pass.
MINIMUM_NOVEL_CHARACTERS = 400_000
MINIMUM_MANUAL_PAGES = 1000
HELD_OUT_PAGE_STRIDE = 5


def main(domain, package_dir, output_dir):
    calibration, held_out = {"austen": austen, "postgresql": postgresql}[domain](package_dir)
    os.makedirs(output_dir, exist_ok=True)
    for name, paragraphs in (("calibration.txt", calibration), ("held_out.txt", held_out)):
        with open(os.path.join(output_dir, name), "w", encoding="utf-8") as file:
            file.write("\n\n".join(paragraphs) + "\n")


# --- Jane Austen -----------------------------------------------------------------------------------------------------


def austen(package_dir):
    path = os.path.join(package_dir, "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb")
    with open(path, "rb") as file:
        novels = {lines[0]: paragraphs_of(lines) for lines in r_string_vectors(file.read())}
    if set(novels) != set(NOVELS):
        sys.exit(f"{path}: expected the novels {sorted(NOVELS)}, found {sorted(novels)}")
    for title, paragraphs in novels.items():
        if sum(map(len, paragraphs)) < MINIMUM_NOVEL_CHARACTERS:
            sys.exit(f"{path}: {title} is shorter than {MINIMUM_NOVEL_CHARACTERS} characters")
    select = lambda wanted: [p for title, held in NOVELS.items() if held == wanted for p in novels[title]]
    return select(False), select(True)


def r_string_vectors(database):
    """The character vectors of an R lazy-load database: each a big-endian size, then a zlib stream of that size."""
    position = 0
    while position < len(database):
        (size,) = struct.unpack_from(">I", database, position)
        inflate = zlib.decompressobj()
        serialized = inflate.decompress(database[position + 4:])
        if len(serialized) != size:
            sys.exit(f"lazy-load database: {len(serialized)} bytes at offset {position}, its header says {size}")
        yield r_strings(serialized)
        position = len(database) - len(inflate.unused_data)


def r_strings(data):
    """One character vector in R's serialization format 3 (XDR): a header that names the encoding, then the strings."""
    STRSXP, CHARSXP, TYPE_MASK, MISSING = 16, 9, 0xFF, -1
    magic, version, _, _, encoding_length = struct.unpack_from(">2s4i", data)
    if magic != b"X\n" or version != 3:
        sys.exit("lazy-load database: not R serialization format 3")
    position = struct.calcsize(">2s4i") + encoding_length
    kind, count = struct.unpack_from(">2i", data, position)
    if kind & TYPE_MASK != STRSXP:
        sys.exit("lazy-load database: an object that is not a character vector")
    position += 8
    strings = []
    for _ in range(count):
        kind, length = struct.unpack_from(">2i", data, position)
        if kind & TYPE_MASK != CHARSXP or length == MISSING:
            sys.exit("lazy-load database: an element that is not a string")
        position += 8
        strings.append(data[position:position + length].decode("utf-8"))
        position += length
    return strings


def paragraphs_of(lines):
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines))
    return [" ".join(p.split()) for p in paragraphs if p.strip()]


# --- PostgreSQL's manual ---------------------------------------------------------------------------------------------


class ManualPage(html.parser.HTMLParser):
    """Collects the text blocks of a DocBook page and leaves out its navigation."""

    BLOCKS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "dt", "dd", "li", "td", "th", "tr", "table", "div"}

    def __init__(self):
        super().__init__()
        self.blocks = []
        self._text = ""
        self._depth = 0
        self._skip_depth = None
        self._verbatim = False

    def handle_starttag(self, tag, attributes):
        if tag in ("link", "meta", "br", "hr", "img", "col", "input"):
            return
        self._depth += 1
        kind = dict(attributes).get("class") or ""
        if self._skip_depth is None and (tag == "head" or kind in ("navheader", "navfooter", "toc")):
            self._skip_depth = self._depth
        if tag in self.BLOCKS:
            self._end_block()
            self._verbatim = tag == "pre"

    def handle_endtag(self, tag):
        if self._skip_depth == self._depth:
            self._text, self._skip_depth = "", None
        self._depth -= 1
        if tag in self.BLOCKS:
            self._end_block()

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_data(self, data):
        if self._skip_depth is None:
            self._text += data

    def _end_block(self):
        text = self._text.strip("\n").rstrip() if self._verbatim else " ".join(self._text.split())
        if text.strip():
            self.blocks.append(text)
        self._text, self._verbatim = "", False


def postgresql(package_dir):
    folder = os.path.join(package_dir, "usr/share/doc/postgresql-doc-15/html")
    pages = sorted(name for name in os.listdir(folder) if name.endswith(".html"))
    if len(pages) < MINIMUM_MANUAL_PAGES:
        sys.exit(f"{folder}: {len(pages)} pages, expected at least {MINIMUM_MANUAL_PAGES}")
    calibration, held_out = [], []
    for index, name in enumerate(pages):
        page = ManualPage()
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            page.feed(file.read())
        (held_out if index % HELD_OUT_PAGE_STRIDE == 0 else calibration).extend(page.blocks)
    return calibration, held_out


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("austen", "postgresql"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
