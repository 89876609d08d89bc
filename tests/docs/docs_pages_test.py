"""Every command in the documents runs, in the order of its page, and prints what the page shows; or it is listed with the
reason why not."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

import not_run
import shown_output
from not_run import kubectl
from pages import BIN, COMMANDS, LANGUAGES, PAGES, ROOT, Block, blocks, blocks_of, inline_commands, read
from sandbox import LOOPBACK, Sandbox

COMMAND_SECONDS = 1500  # against hangs only
# Jobs of pages that speak of a reader's own model are made small: by the environment, as every flag may come from there.
SMALL_JOB = {"GPTVQ_GROUP_WEIGHTS": "2048", "GPTVQ_SAMPLES": "4", "GPTVQ_SEQUENCE_LENGTH": "64",
             "GPTVQ_EVALUATION_TOKENS": "512", "GPTVQ_REFINEMENT_PASSES": "1"}
SMALL = ["README.md", "docs/install-debian.md"]
# Pages that begin on a machine where the packages are installed: both daemons run, and models lie in the folder of the daemons.
INSTALLED = ["docs/install-debian.md"]


def command_blocks():
    return [block for block in blocks() if block.language in COMMANDS]


def to_run():
    """The blocks to run, by page."""
    return {page: found for page in PAGES
            if (found := [block for block in command_blocks() if block.page == page and block.key not in not_run.NOT_RUN])}


def start_installed(shell, sandbox):
    data = sandbox.installed
    subprocess.run([os.environ["GPTVQ_MAKE_TINY_MODEL"], data / "input", "2", "64"], check=True)
    for command in (
            f"gptvq-coordinator --listen {sandbox.places[LOOPBACK + ':7070']} --data-dir {data}/coordinator > {data}/coordinator.log 2>&1 &",
            f"gptvq-worker --name worker-1 --ready-file {data}/ready > {data}/worker.log 2>&1 &",
            f"until [ -e {data}/ready ]; do sleep 0.1; done"):
        shell.run(command, COMMAND_SECONDS)


class RunPages(unittest.TestCase):
    """One test for each page that has commands to run; added below."""

    def run_page(self, page, page_blocks):
        with tempfile.TemporaryDirectory(prefix="gptvq-docs-") as directory:
            sandbox = Sandbox(directory, read(page))
            path = f"{BIN}:{pathlib.Path(kubectl()).parent}"
            shell = sandbox.shell(path, **(SMALL_JOB if page in SMALL else {}))
            try:
                if page in INSTALLED:
                    start_installed(shell, sandbox)
                section = None
                for block in page_blocks:
                    if block.section != section:  # which begins in the checkout
                        shell.run(f"cd {sandbox.checkout}", COMMAND_SECONDS)
                        section = block.section
                    self.run_block(block, shell, sandbox)
            finally:
                complaints = shell.close()
            self.assertEqual(complaints, "", "background processes of the page")

    def run_block(self, block, shell, sandbox):
        for command, shown in block.commands():
            printed, code = shell.run(sandbox.translated(command), COMMAND_SECONDS)
            printed = sandbox.translated_back(printed)
            where = f"{block.page}:{block.line}: {command}"
            self.assertEqual(code, 0, f"{where}\n{printed}")
            if shown is not None:
                self.assertIsNone(shown_output.difference(shown, printed), f"{where}\n{printed}")


for page_name, blocks_to_run in to_run().items():
    def test(self, page=page_name, page_blocks=tuple(blocks_to_run)):
        self.run_page(page, page_blocks)
    setattr(RunPages, "test_" + re.sub(r"\W", "_", page_name), test)


class OtherBlocks(unittest.TestCase):
    def test_every_block_says_what_it_is(self):
        for block in blocks():
            with self.subTest(page=block.page, line=block.line):
                self.assertIn(block.language, LANGUAGES)

    def test_what_is_not_run_is_there_once_and_has_a_reason(self):
        keys = [block.key for block in command_blocks()]
        self.assertEqual(len(keys), len(set(keys)), "two blocks of a page begin alike")
        self.assertEqual(set(not_run.NOT_RUN) - set(keys), set(), "blocks that are no longer there")
        self.assertTrue(all(not_run.NOT_RUN.values()))
        run = sum(map(len, to_run().values()))
        self.assertEqual(run + len(not_run.NOT_RUN), len(keys))
        print(f"{run} blocks of commands are run, {len(not_run.NOT_RUN)} are not", file=sys.stderr)

    def test_commands_that_are_not_run_name_what_is_there(self):
        for block in command_blocks():
            if block.key in not_run.NOT_RUN:
                for command, _ in block.commands():
                    with self.subTest(page=block.page, command=command):
                        not_run.check(command)

    def test_data_can_be_read(self):
        parsers = {"json": json.loads, "yaml": yaml.safe_load}
        for block in blocks():
            if block.language in parsers:
                with self.subTest(page=block.page, line=block.line):
                    self.assertTrue(parsers[block.language]("\n".join(block.lines)))

    def test_the_storage_profiles_are_accepted(self):
        block = next(block for block in blocks() if block.page == "docs/storage.md" and block.language == "json")
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write("\n".join(block.lines))
            file.flush()
            result = subprocess.run([BIN / "gptvq-client", "inspect", "s3://elsewhere/x", "--storage-profiles", file.name],
                                    capture_output=True, text=True)
        self.assertIn("s3://elsewhere/x: no storage profile", result.stderr)


class RunningText(unittest.TestCase):
    def test_flags_and_commands_that_are_named_exist(self):
        for page in PAGES:
            for command in inline_commands(read(page)):
                with self.subTest(page=page, command=command):
                    not_run.check(command)

    def test_links_lead_somewhere(self):
        for page in PAGES:
            text = read(page)
            for link, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)", text):
                target = (ROOT / page).parent / link if link else ROOT / page
                with self.subTest(page=page, link=link + anchor):
                    self.assertTrue(target.exists())
                    if anchor:
                        self.assertIn(anchor[1:], anchors(target.read_text(encoding="utf-8")))


class Index(unittest.TestCase):
    def test_every_page_is_in_the_index(self):
        named = set(re.findall(r"\]\(([\w-]+\.md)\)", read("docs/README.md")))
        pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
        self.assertEqual(named, pages)


def anchors(text):
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


class TheTestItself(unittest.TestCase):
    """What it would notice."""

    def test_blocks_are_cut_into_commands(self):
        page = "## s\ntext\n```console\n$ a \\\n    b\none\n\n$ c\n```\n```sh\n# why\nd\n\ne &\n```\n"
        found = blocks_of("p", page)
        self.assertEqual([block.key for block in found], [("p", "a \\"), ("p", "# why")])
        self.assertEqual([block.section for block in found], ["## s", "## s"])
        self.assertEqual(found[0].commands(), [("a \\\n    b", "one\n\n"), ("c", "")])
        self.assertEqual(found[1].commands(), [("d", None), ("e &", None)])

    def test_other_output_is_noticed(self):
        same = ["perplexity  46.67", "perplexity 46.70"], ["a\n...\nz 3", "a\nb\nc\nz  3"], ["took 3.1 s", "took 40 s"], ["a b ...", "a b c d"]
        for shown, printed in same:
            self.assertIsNone(shown_output.difference(shown, printed))
        other = ["perplexity  46.67", "perplexity 56.67"], ["a\n...\nz 3", "a\nb\nz 4"], ["30 of 30 layers", "29 of 30 layers"], \
            ["a", "a\nb"], ["a\nb", "a"], ["ok", ""], ["job-0123456789abcdef", "job-1"], \
            ["a b ...", "a c d"]
        for shown, printed in other:
            self.assertIsNotNone(shown_output.difference(shown, printed), (shown, printed))

    def test_a_failing_command_a_wrong_output_and_a_dying_daemon_are_noticed(self):
        for lines, language in ((["false"], "sh"), (["$ echo b", "a"], "console"), (["false &"], "sh")):
            with self.subTest(lines=lines), self.assertRaises(AssertionError):
                self.run_lines(lines, language)
        self.run_lines(["$ echo a", "a"], "console")

    def run_lines(self, lines, language):
        RunPages.run_page(self, "docs/upgrade.md", [Block("p", "", 1, language, tuple(lines))])
    run_block = RunPages.run_block

    def test_a_command_that_names_what_is_not_there_is_noticed(self):
        for command in ("make everything", "docker build -f docker/Dockerfile --target none .", "systemctl stop gptvq-none",
                        "apt-get install other", "cmake --preset none", "kubectl apply -k deploy/none", "tools/none.sh", "frob"):
            with self.subTest(command=command), self.assertRaises((AssertionError, subprocess.CalledProcessError)):
                not_run.check(command)


if __name__ == "__main__":
    unittest.main(verbosity=2)
