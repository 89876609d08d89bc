"""The documents for operators say what the programs and the manifests say."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from manifests import KUBERNETES, ROOT, objects

BIN = pathlib.Path(os.environ["GPTVQ_BIN"])
DOCS = ROOT / "docs"
PAGES = ["configure", "install-debian", "install-kubernetes", "sizing", "upgrade"]


class Docs(unittest.TestCase):
    def test_every_flag_of_a_daemon_is_in_configure_and_nothing_else(self):
        sections = re.split(r"^## ", (DOCS / "configure.md").read_text(), flags=re.MULTILINE)
        for program in ("coordinator", "worker"):
            section = next(text for text in sections if text.startswith(program.capitalize()))
            documented = set(re.findall(r"^\| `GPTVQ_([A-Z_]+)` ", section, re.MULTILINE))
            help_text = subprocess.run([BIN / f"gptvq-{program}", "--help"], check=True, capture_output=True, text=True).stdout
            flags = set(re.findall(r"^  (?:-\w,)?--([a-z-]+)", help_text, re.MULTILINE)) - {"help", "version"}
            self.assertEqual(documented, {flag.upper().replace("-", "_") for flag in flags})

    def test_sizing_is_what_is_computed(self):
        subprocess.run([ROOT / "tools" / "sizing.py", BIN, "--check", DOCS / "sizing.md"], check=True)

    def test_performance_is_what_is_computed(self):
        subprocess.run([ROOT / "tools" / "roofline.py", "--check", DOCS / "performance.md"], check=True)

    def test_sizing_counts_bits_as_the_client_does(self):
        shown = subprocess.run([BIN / "gptvq-client", "presets"], check=True, capture_output=True, text=True).stdout
        counted = {line.split()[0]: float(line.split()[-1]) for line in shown.splitlines()[1:]}
        source = (ROOT / "tools" / "sizing.py").read_text()
        presets = dict(re.findall(r'"(\dd-[\d.]+bpv)": ([\d.]+)', source))
        self.assertEqual(len(presets), 3)
        for preset, bits in presets.items():
            self.assertAlmostEqual(counted[preset], float(bits), places=4)

    def test_the_first_job_on_debian_is_the_one_that_the_clean_install_runs(self):
        block = re.search(r"```sh\n(cd /var/lib/gptvq\n.*?)```", (DOCS / "install-debian.md").read_text(), re.DOTALL)[1]
        script = (ROOT / "tests" / "deploy" / "run_services.sh").read_text()
        for line in block.splitlines():
            self.assertIn(line.removesuffix("\\").strip(), script)

    def test_files_and_pages_that_are_named_exist(self):
        for page in PAGES:
            text = (DOCS / f"{page}.md").read_text()
            for link in re.findall(r"\]\(([^)#]+)\)", text):
                self.assertTrue((DOCS / link).exists(), f"{page}: {link}")
            for path in re.findall(r"\b((?:deploy|docker|packaging|tools|bench)/[\w./-]+\w)", text):
                self.assertTrue((ROOT / path).exists(), f"{page}: {path}")

    def test_every_overlay_and_component_is_described(self):
        text = (DOCS / "install-kubernetes.md").read_text()
        for folder in ("overlays", "components"):
            for path in (KUBERNETES / folder).iterdir():
                self.assertIn(f"| `{path.name}` |", text)

    def test_the_overlay_that_readers_are_to_write_renders(self):
        text = (DOCS / "install-kubernetes.md").read_text()
        lines = re.search(r"```yaml\n(resources: \[\.\./cpu-demo\]\n.*?)```", text, re.DOTALL)[1]
        with tempfile.TemporaryDirectory() as directory:
            copy = pathlib.Path(directory) / "kubernetes"
            shutil.copytree(KUBERNETES, copy)
            overlay = copy / "overlays" / "of-the-reader"
            overlay.mkdir()
            (overlay / "kustomization.yaml").write_text(lines.replace("REGISTRY", "registry.test"))
            manifest = objects(overlay)
        images = [container["image"] for item in manifest if "template" in item.get("spec", {})
                  for container in item["spec"]["template"]["spec"]["containers"]]
        self.assertEqual(images, ["registry.test/gptvq/worker-cpu:0.1.0", "registry.test/gptvq/coordinator:0.1.0"])


if __name__ == "__main__":
    unittest.main()
