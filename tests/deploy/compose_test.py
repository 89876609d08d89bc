"""The compose file fits the Dockerfile, the programs and itself."""

import os
import pathlib
import re
import subprocess
import unittest

import yaml

from manifests import ROOT

BIN = pathlib.Path(os.environ["GPTVQ_BIN"])
PROGRAM_OF = {"coordinator": "gptvq-coordinator", "worker-1": "gptvq-worker", "worker-2": "gptvq-worker", "client": "gptvq-client"}
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()


class Compose(unittest.TestCase):
    def setUp(self):
        compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
        self.services, self.volumes = compose["services"], compose["volumes"]

    def test_what_is_built_is_a_target(self):
        targets = set(re.findall(r"^FROM .* AS (\S+)$", DOCKERFILE, re.MULTILINE))
        self.assertEqual({service["build"]["target"] for name, service in self.services.items() if name in PROGRAM_OF},
                         targets - {"debian", "build", "build-cuda", "worker-cuda"})

    def test_our_containers_have_no_rights(self):
        for name in PROGRAM_OF:
            self.assertTrue(self.services[name]["read_only"], name)
            self.assertEqual(self.services[name]["cap_drop"], ["ALL"], name)

    def test_every_variable_is_a_flag(self):
        for name, program in PROGRAM_OF.items():
            command = [BIN / program, "submit", "--help"] if name == "client" else [BIN / program, "--help"]
            help_text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            for variable in self.services[name]["environment"]:
                self.assertIn("--" + variable.removeprefix("GPTVQ_").lower().replace("_", "-") + " ", help_text, name)

    def test_images_of_others_have_a_version(self):
        for name, service in self.services.items():
            if name not in PROGRAM_OF:
                self.assertRegex(service["image"], r":v?\d", name)
                self.assertTrue(service["profiles"], name)

    def test_named_volumes_are_declared(self):
        used = {volume.split(":")[0] for service in self.services.values() for volume in service.get("volumes", [])}
        self.assertEqual({name for name in used if re.fullmatch(r"[a-z]+", name)}, set(self.volumes))

    def test_prometheus_scrapes_the_daemons(self):
        scraped = re.findall(r'"([a-z0-9-]+):9464"', (ROOT / "docker" / "prometheus.yaml").read_text())
        self.assertEqual(set(scraped), set(PROGRAM_OF) - {"client"})


if __name__ == "__main__":
    unittest.main()
