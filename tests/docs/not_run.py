"""The blocks of commands that no test can run here, each with the reason, and what is checked about their commands instead."""

import fnmatch
import os
import pathlib
import re
import shlex
import subprocess
import sys

import yaml

from pages import BIN, ROOT

sys.path.append(str(ROOT / "tests" / "deploy"))
from manifests import kubectl  # noqa: E402

# By page and first line. A block that is not here is run; one that is here and nowhere else fails the test.
NOT_RUN = {
    ("README.md", "make demo    # coordinator, two workers and a real 135-million-parameter model on this machine"):
        "installs packages, builds, and runs this test; the demo takes minutes",
    ("CONTRIBUTING.md", "make build     # build/release"): "builds, and runs this test",
    ("docs/chaos.md", "make chaos                          # everything once, about half an hour on two cores; F77 takes a quarter more"):
        "takes half an hour; the test chaos_quick runs the short experiments",
    ("docs/chaos.md", "tools/prepare_demo.sh               # once: downloads the model"): "downloads the model, and takes a quarter of an hour",
    ("docs/bad-input.md", "make matrix                         # every row, about a minute on two cores"):
        "installs packages and builds; the test matrix runs it",
    ("docs/quickstart.md", "make build"): "this test runs from what it builds; the model is downloaded",
    ("docs/install-containers.md", "docker compose -f docker/compose.yaml up --build --detach"): "needs a container engine",
    ("docs/install-containers.md", "sudo install -d -o 65532 -g 65532 docker/data"): "changes the machine",
    ("docs/install-containers.md",
     "docker compose -f docker/compose.yaml run --rm client submit --wait --model /data/model --calibration /data/calibration.txt \\"):
        "needs a container engine",
    ("docs/install-containers.md", "docker compose -f docker/compose.yaml --profile monitoring up --build --detach"):
        "needs a container engine",
    ("docs/install-debian.md", "make packages"): "changes the machine; `make images` does it, on a clean Debian",
    ("docs/install-debian.md", "apt-get install ./build/release/packages/gptvq-*.deb"):
        "changes the machine; tests/deploy/clean_install_test.sh does it, on a clean Debian",
    ("docs/install-debian.md", "cmake --preset release"): "this test runs from what it builds",
    ("docs/install-kubernetes.md", "docker build -f docker/Dockerfile --target coordinator -t REGISTRY/gptvq/coordinator:0.1.0 ."):
        "needs a container engine; tests/deploy/images_test.sh builds and runs the images without one",
    ("docs/install-kubernetes.md",
     "kubectl --namespace gptvq create secret generic gptvq-journal --from-file=uri --from-file=password --from-file=ca.pem"):
        "needs a cluster",
    ("docs/monitoring.md", "docker compose -f docker/compose.yaml --profile monitoring up --build --detach"):
        "needs a container engine",
    ("docs/postgresql.md", "gptvq-coordinator --listen 10.0.0.1:7070 --store /mnt/shared/gptvq \\"):
        "needs the reader's database; tests/e2e/failover_test.py runs coordinators on one of its own",
    ("docs/postgresql.md",
     "pg_dump --format=custom --schema=gptvq --file=gptvq.dump 'postgresql://gptvq@db.example/gptvq'"): "needs the reader's database",
    ("docs/simulation.md", "make sim                               # 20 000 seeds from 1 on"):
        "takes minutes; the test scheduler_sim_test runs a quarter of it",
    ("docs/upgrade.md", "apt-get install ./build/release/packages/gptvq-*.deb"):
        "changes the machine; tests/deploy/clean_install_test.sh does it, on a clean Debian",
}


def check(command):
    """Fails when the command names something that the repository does not have."""
    words = shlex.split(command, comments=True)
    if words[0] == "sudo":
        words = words[1:]
    program = pathlib.PurePath(words[0]).name
    if program.startswith("gptvq-"):
        check_flags(words)
    elif program in CHECKS:
        CHECKS[program](words)
    elif words[0].startswith("tools/"):
        assert os.access(ROOT / words[0], os.X_OK), f"no such tool: {command}"
    else:
        raise AssertionError(f"nothing is known about {words[0]}: {command}")


def check_flags(words):
    """Fails when our program has no such command, or no such flag of it."""
    command = [words[1]] if words[0] == "gptvq-client" and re.fullmatch("[a-z]+", words[1]) else []
    shown = subprocess.run([BIN / words[0], *command, "--help"], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert not command or f"gptvq-client {command[0]} " in shown.stdout, words
    for word in words[1:]:
        if flag := re.match(r"--[a-z-]+", word):
            assert re.search(rf"\s(-\w,)?{flag[0]}\s", shown.stdout), f"{words[0]} has no {flag[0]}"


def _pg(words):
    shown = subprocess.run([words[0], "--help"], check=True, capture_output=True, text=True).stdout
    for flag in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert flag in shown, flag


def _make(words):
    verbs = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    for word in words[1:]:
        assert "=" in word or word in verbs, f"no verb of the Makefile: {word}"


def _cmake(words):
    if "--preset" in words:
        presets = re.findall(r'"name": "([\w-]+)"', (ROOT / "CMakePresets.json").read_text())
        assert words[words.index("--preset") + 1] in presets, words


def _apt_get(words):
    units = (ROOT / "packaging" / "debian" / "packages.cmake").read_text()
    for word in words[2:]:
        packages = [f"{name}_0.deb" for name in ("gptvq-coordinator", "gptvq-worker", "gptvq-client") if name in units]
        assert fnmatch.filter(packages, pathlib.PurePath(word).name) or word in units, word


def _ctest(words):
    labels = re.search(r"^# .*Labels: (.*)\.$", (ROOT / "tests" / "CMakeLists.txt").read_text(), re.MULTILINE)[1].split()
    assert words[words.index("-L") + 1] in labels, words


def _docker(words):
    file = ROOT / words[words.index("-f") + 1]
    if words[1] == "build":
        targets = re.findall(r"^FROM .* AS (\S+)$", file.read_text(), re.MULTILINE)
        assert words[words.index("--target") + 1] in targets, words
        return
    assert words[1] == "compose", words
    services = yaml.safe_load(file.read_text())["services"]
    profiles = {profile for service in services.values() for profile in service.get("profiles", [])}
    for place, word in enumerate(words):
        assert word != "--env-file" or (ROOT / words[place + 1]).exists(), words
    named = {words[place + 1] for place, word in enumerate(words) if word == "--profile"}
    assert named <= profiles, named - profiles
    if "run" in words:
        arguments = [word for word in words[words.index("run") + 1:] if not word.startswith("-")]
        assert arguments[0] in services, words


def _install(words):
    assert words[words.index("-o") + 1] in (ROOT / "docker" / "install_package.sh").read_text(), words


def _kubectl(words):
    if "create" in words:
        assert words[words.index("create") + 1] == "secret", words
        manifests = "".join(path.read_text() for path in (ROOT / "deploy" / "kubernetes").rglob("*.yaml"))
        assert f"secretName: {words[words.index('secret') + 2]}\n" in manifests, words
    if "-k" in words:
        subprocess.run([kubectl(), "kustomize", ROOT / words[words.index("-k") + 1]], check=True, stdout=subprocess.DEVNULL)
    if "-f" in words:
        list(yaml.safe_load_all((ROOT / words[words.index("-f") + 1]).read_text()))


def _systemd(words):
    units = [word for word in words if word.startswith("gptvq-")]
    assert units
    for unit in units:
        assert (ROOT / "packaging" / "systemd" / f"{unit.removesuffix('.service')}.service").exists(), unit


CHECKS = {"apt-get": _apt_get, "cmake": _cmake, "ctest": _ctest, "docker": _docker, "install": _install, "journalctl": _systemd,
          "kubectl": _kubectl, "make": _make, "pg_dump": _pg, "pg_restore": _pg, "systemctl": _systemd}
