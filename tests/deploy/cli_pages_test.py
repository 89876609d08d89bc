"""The manual pages say what --help says, and completions complete."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from manifests import ROOT

BIN = pathlib.Path(os.environ["GPTVQ_BIN"])
PROGRAMS = {"gptvq-coordinator": 8, "gptvq-worker": 8, "gptvq-client": 1}


class CliPages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        for program in PROGRAMS:
            subprocess.run([ROOT / "tools" / "cli_pages.py", BIN / program, cls.directory], check=True)

    def help(self, program, *command):
        return subprocess.run([BIN / program, *command, "--help"], check=True, capture_output=True, text=True).stdout

    def test_every_flag_is_in_the_manual(self):
        for program, section in PROGRAMS.items():
            page = (self.directory / f"{program}.{section}").read_text().replace("\\-", "-")
            commands = re.findall(r"^  ([a-z-]+) ", self.help(program).partition("Subcommands:")[2], re.MULTILINE)
            self.assertEqual(bool(commands), program != "gptvq-worker")
            for text in [self.help(program), *(self.help(program, command) for command in commands)]:
                for flag in re.findall(r"^  (?:-\w,)?(--[a-z-]+)", text, re.MULTILINE):
                    self.assertIn(flag, page, program)

    def test_bash_completes_flags_and_commands(self):
        for program, words, expected in (("gptvq-coordinator", "gptvq-coordinator --data", "--data-dir"),
                                         ("gptvq-coordinator", "gptvq-coordinator back", "backup"),
                                         ("gptvq-coordinator", "gptvq-coordinator verify", "verify-audit-log"),
                                         ("gptvq-coordinator", "gptvq-coordinator --out", "--output"),
                                         ("gptvq-worker", "gptvq-worker --ready", "--ready-file"),
                                         ("gptvq-client", "gptvq-client subm", "submit")):
            function = "_" + program.replace("-", "_")
            script = f"source {self.directory}/{program}.bash; COMP_WORDS=({words}); COMP_CWORD=1; {function}; echo ${{COMPREPLY[@]}}"
            shown = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout
            self.assertEqual(shown.strip(), expected)

    def test_help_of_another_shape_is_refused(self):
        program = self.directory / "gptvq-worker"
        program.write_text("#!/bin/sh\necho nonsense\n")
        program.chmod(0o755)
        result = subprocess.run([ROOT / "tools" / "cli_pages.py", program, self.directory / "none"], capture_output=True, text=True)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("unexpected help text", result.stderr)
        self.assertFalse((self.directory / "none").exists())


if __name__ == "__main__":
    unittest.main()
