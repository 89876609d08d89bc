"""yamllint, checkov, hadolint and systemd's own checks find nothing."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from manifests import KUBERNETES, OVERLAYS, ROOT, render

TOOLS = pathlib.Path(sys.executable).parent


class Lint(unittest.TestCase):
    def run_tool(self, *command):
        result = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=500)
        self.assertEqual(result.returncode, 0, f"{result.stdout}\n{result.stderr[-2000:]}")
        return result.stdout

    def test_yaml_is_tidy(self):
        files = [path for folder in ("deploy", "docker", "tests/deploy") for path in (ROOT / folder).rglob("*.y*ml")]
        self.assertGreater(len(files), 15)
        self.run_tool(TOOLS / "yamllint", "--strict", *files)

    def test_the_dockerfile_is_tidy(self):
        self.run_tool(TOOLS / "hadolint", "docker/Dockerfile")

    def test_policies_hold_for_dockerfile_and_every_overlay(self):
        with tempfile.TemporaryDirectory() as directory:
            for overlay in OVERLAYS:
                (pathlib.Path(directory) / f"{overlay.name}.yaml").write_text(render(overlay))
            shutil.copy(KUBERNETES / "examples" / "submit-job.yaml", directory)
            shutil.copy(ROOT / "docker" / "Dockerfile", directory)
            shown = self.run_tool(TOOLS / "python", TOOLS / "checkov", "--config-file", "tests/deploy/checkov.yaml", "--directory", directory,
                                  "--framework", "kubernetes", "dockerfile", "--skip-download", "--compact")
        self.assertRegex(shown, r"kubernetes scan results:\s+Passed checks: [0-9]{3}")
        self.assertRegex(shown, r"dockerfile scan results:\s+Passed checks: [0-9]{2}")

    def test_units_are_hardened(self):
        for unit, worst in (("gptvq-coordinator", "1.5"), ("gptvq-worker", "2.0")):
            path = ROOT / "packaging" / "systemd" / f"{unit}.service"
            self.run_tool("systemd-analyze", "security", "--offline=true", f"--threshold={int(float(worst) * 10)}", path)


if __name__ == "__main__":
    unittest.main()
