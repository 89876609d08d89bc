"""The compose file fits the Dockerfile, the programs and itself."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import yaml

from manifests import ROOT

BIN = pathlib.Path(os.environ["GPTVQ_BIN"])
PROGRAM_OF = {"coordinator": "gptvq-coordinator", "coordinator-2": "gptvq-coordinator", "worker-1": "gptvq-worker",
              "worker-2": "gptvq-worker", "client": "gptvq-client"}
# Variables that a program's libraries and storage profiles read.
FOREIGN_VARIABLES = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD"}
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()


class Compose(unittest.TestCase):
    def setUp(self):
        compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
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
            commands = [["submit"], ["verify"]] if name == "client" else [[]]
            help_text = "".join(subprocess.run([BIN / program, *command, "--help"], check=True, capture_output=True, text=True).stdout
                                for command in commands)
            for variable in set(self.services[name]["environment"]) - FOREIGN_VARIABLES:
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
        config = yaml.safe_load((DOCKER / "prometheus.yaml").read_text())
        scraped = {job["job_name"]: job for job in config["scrape_configs"]}
        self.assertEqual(scraped["gptvq-coordinator"]["dns_sd_configs"], [{"names": ["coordinators"], "type": "A", "port": 9464}])
        self.assertEqual(scraped["gptvq-worker"]["static_configs"], [
            {"targets": [f"{name}:9464"], "labels": {"worker": name}} for name in ("worker-1", "worker-2")])
        for name in ("coordinator", "coordinator-2"):
            self.assertEqual(self.services[name]["networks"]["default"]["aliases"], ["coordinators"])
        # The jobs and labels that alerts and dashboards select by.
        reference = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
        self.assertEqual(list(scraped), [job["job_name"] for job in reference["scrape_configs"]])

    def test_prometheus_accepts_its_configuration_with_the_rules_of_deploy(self):
        mounts = self.mounts("prometheus")
        with tempfile.TemporaryDirectory() as directory:
            for target, source in mounts.items():
                place = pathlib.Path(directory) / target.relative_to("/etc/prometheus")
                shutil.copytree(source, place) if source.is_dir() else shutil.copy(source, place)
            result = subprocess.run(["promtool", "check", "config", f"{directory}/prometheus.yml"], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        for path in (ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"):
            count = sum(len(group["rules"]) for group in yaml.safe_load(path.read_text())["groups"])
            self.assertIn(f"{count} rules found", result.stdout)

    def test_grafana_is_provisioned_with_the_dashboards_and_this_prometheus(self):
        mounts = self.mounts("grafana")
        provisioning = mounts[pathlib.PurePosixPath("/etc/grafana/provisioning")]
        provider = yaml.safe_load((provisioning / "dashboards" / "gptvq.yaml").read_text())["providers"][0]
        dashboards = mounts[pathlib.PurePosixPath(provider["options"]["path"])]
        self.assertEqual(len(list(dashboards.glob("*.json"))), 2)
        environment = self.services["grafana"]["environment"]
        home = pathlib.PurePosixPath(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
        self.assertTrue((dashboards / home.relative_to(provider["options"]["path"])).exists())
        source = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"][0]
        url = re.sub(r"\$\{(\w+)\}", lambda found: environment[found[1]], source["url"])
        self.assertEqual(url, "http://prometheus:9090")

    def test_the_profile_durable_hangs_together(self):
        settings = dict(line.split("=", 1) for line in (DOCKER / "durable.env").read_text().splitlines() if not line.startswith("#"))
        environment = self.services["coordinator"]["environment"]
        for variable in settings:
            self.assertIn(f"${{{variable}:-", (DOCKER / "compose.yaml").read_text())
        profiles = self.mounts("coordinator")[pathlib.PurePosixPath(environment["GPTVQ_STORAGE_PROFILES"])]
        endpoint = json.loads(profiles.read_text())["profiles"]["compose"]["endpoint"]
        self.assertEqual(endpoint, "http://s3" + self.services["s3"]["command"][1])
        self.assertEqual(environment["AWS_ACCESS_KEY_ID"], self.services["s3"]["environment"]["ROOT_ACCESS_KEY"])
        self.assertEqual(self.services["s3-bucket"]["command"][-1], "/objects/" + settings["GPTVQ_STORE"].split("/")[2])
        for name in ("coordinator-2", "postgresql", "s3", "s3-bucket"):
            self.assertEqual(self.services[name]["profiles"], ["durable"])
        self.assertEqual(environment, self.services["coordinator-2"]["environment"])
        addresses = [self.services[name]["networks"]["default"]["ipv4_address"] for name in ("coordinator", "coordinator-2")]
        self.assertEqual(settings.pop("GPTVQ_COORDINATORS"), ",".join(f"{address}:7070" for address in addresses))
        for name in ("worker-1", "worker-2", "client"):
            self.assertEqual(self.services[name]["environment"]["GPTVQ_COORDINATOR"], "${GPTVQ_COORDINATORS:-coordinator:7070}")
        self.assertTrue(settings["GPTVQ_JOURNAL"].startswith("postgresql://gptvq@postgresql/"))
        # The program takes all of it, up to the database that is not there: 2 would be a wrong setting.
        with tempfile.TemporaryDirectory() as directory:
            result = subprocess.run(
                [BIN / "gptvq-coordinator", "--listen", f"unix:{directory}/socket", "--storage-profiles", profiles],
                env={"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"} | settings, capture_output=True, text=True, timeout=120)
        self.assertEqual(result.returncode, 4, result.stderr)

    def mounts(self, name):
        """What of the repository a service sees, by its place there."""
        pairs = [volume.split(":")[:2] for volume in self.services[name]["volumes"] if volume.startswith(".")]
        mounts = {pathlib.PurePosixPath(target): (DOCKER / source).resolve() for source, target in pairs}
        self.assertTrue(mounts)
        for source in mounts.values():
            self.assertTrue(source.exists(), source)
        return mounts


if __name__ == "__main__":
    unittest.main()
