"""tools/demo_text.py on packages small enough to read here."""

import os
import struct
import sys
import tempfile
import unittest
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
import demo_text  # noqa: E402


def lazy_load_database(*vectors):
    """What R's makeLazyLoadDB writes for character vectors, from R's documentation of its serialization format."""
    database = b""
    for strings in vectors:
        data = struct.pack(">2s4i5s", b"X\n", 3, 0x40201, 0x30500, 5, b"UTF-8") + struct.pack(">2i", 16, len(strings))
        for string in strings:
            encoded = string.encode("utf-8")
            flags = 0x40009 if string.isascii() else 0x8009
            data += struct.pack(">2i", flags, len(encoded)) + encoded
        database += struct.pack(">I", len(data)) + zlib.compress(data)
    return database


class DemoText(unittest.TestCase):
    def test_reads_every_character_vector_of_a_database(self):
        vectors = [["EMMA", "", "a line"], ["Persuasion", "façade"]]

        self.assertEqual(list(demo_text.r_string_vectors(lazy_load_database(*vectors))), vectors)

    def test_refuses_a_missing_string(self):
        missing = lazy_load_database(["x"])
        data = zlib.decompress(missing[4:])[:-9] + struct.pack(">2i", 9, -1)
        database = struct.pack(">I", len(data)) + zlib.compress(data)

        with self.assertRaisesRegex(SystemExit, "not a string"):
            list(demo_text.r_string_vectors(database))

    def test_refuses_a_size_that_does_not_fit(self):
        database = lazy_load_database(["x"])

        with self.assertRaisesRegex(SystemExit, "its header says 7"):
            list(demo_text.r_string_vectors(struct.pack(">I", 7) + database[4:]))

    def test_joins_the_lines_of_a_paragraph(self):
        self.assertEqual(demo_text.paragraphs_of(["one", "  two", "", " ", "three"]), ["one two", "three"])

    def test_leaves_the_navigation_of_a_page_out_and_keeps_code_as_it_is(self):
        page = demo_text.ManualPage()

        page.feed('<html><head><title>T</title></head><body><div class="navheader"><p>Next</p></div><h2>Title</h2>'
                  "<p>Some <em>text</em>\n here.</p><pre>a\n  b</pre>"
                  '<div class="toc"><dl><dt>x</dt></dl></div></body></html>')

        self.assertEqual(page.blocks, ["Title", "Some text here.", "a\n  b"])

    def test_refuses_a_package_without_the_six_novels(self):
        with tempfile.TemporaryDirectory() as package:
            path = os.path.join(package, "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb")
            os.makedirs(os.path.dirname(path))
            with open(path, "wb") as file:
                file.write(lazy_load_database(["EMMA", "", "By Jane Austen"]))

            with self.assertRaisesRegex(SystemExit, r"expected the novels .*found \['EMMA'\]"):
                demo_text.austen(package)


if __name__ == "__main__":
    unittest.main()
