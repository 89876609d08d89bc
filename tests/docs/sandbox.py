"""A folder that looks like a checkout after `make build` and `tools/prepare_demo.sh`, and a shell in it that runs a page."""

import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import time

from pages import BIN, ROOT

LOOPBACK = "127.0.0.1"
INSTALLED_DATA = "/var/lib/gptvq"
END_OF_COMMAND = "<end of command> "


class Sandbox:
    """Ports and the folder of an installation are others than in the page, so that nothing on the machine is in the way; what
    the programs print is translated back."""

    def __init__(self, directory, text):
        self.directory = pathlib.Path(directory)
        self.places = {f"{LOOPBACK}:{port}": f"{LOOPBACK}:{_free_port()}"
                       for port in sorted(set(re.findall(rf"{re.escape(LOOPBACK)}:(\d+)", text)) | {"7070"})}
        self.places[INSTALLED_DATA] = str(self.directory / "installed")
        self.checkout = self.directory / "checkout"
        self.installed = self.directory / "installed"
        self.installed.mkdir(parents=True)
        (self.checkout / "build").mkdir(parents=True)
        for name in ("docker", "tools", "CMakeLists.txt", "packaging"):
            (self.checkout / name).symlink_to(ROOT / name)
        shutil.copytree(ROOT / "deploy", self.checkout / "deploy")
        config = self.checkout / "deploy" / "prometheus" / "prometheus.yml"
        config.write_text(self.translated(config.read_text()))
        (self.checkout / "build" / "release").symlink_to(BIN.parent)
        demo = ROOT / "build" / "demo"
        assert (demo / "model" / "config.json").exists(), "no model of the demo: run tools/prepare_demo.sh"
        (self.checkout / "build" / "demo").symlink_to(demo)
        self._add_what_readers_have(demo)

    def _add_what_readers_have(self, demo):
        """What pages leave to their readers: a MODEL_DIR, which is two layers of the demo's model, and texts."""
        model = self.checkout / "MODEL_DIR"
        model.mkdir()
        for file in (demo / "model").iterdir():
            (model / file.name).symlink_to(file)
        config = json.loads((model / "config.json").read_text()) | {"num_hidden_layers": 2}
        (model / "config.json").unlink()
        (model / "config.json").write_text(json.dumps(config))
        (self.checkout / "text.txt").symlink_to(demo / "text" / "calibration.txt")
        (self.checkout / "held_out.txt").symlink_to(demo / "text" / "held_out.txt")

    def translated(self, text):
        for shown, here in self.places.items():
            text = text.replace(shown, here)
        return text

    def translated_back(self, text):
        for shown, here in self.places.items():
            text = text.replace(here, shown)
        return text

    def shell(self, extra_path, **environment):
        """A shell in the checkout whose programs find the coordinator where the page says that it listens."""
        own = {"PATH": f"{extra_path}:{os.environ['PATH']}", "HOME": str(self.directory), "LANG": "C.UTF-8",
               "OPENBLAS_NUM_THREADS": "1", "GPTVQ_COORDINATOR": self.places[f"{LOOPBACK}:7070"]}
        return Shell(self.checkout, own | environment)


class Shell:
    """One bash for a whole page: folders, variables and background processes stay from command to command."""

    def __init__(self, directory, environment):
        self._process = subprocess.Popen(["bash", "--noprofile", "--norc"], cwd=directory, env=environment, start_new_session=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, command, timeout_seconds):
        """What the command prints on both outputs, and its exit code. A server in the background listens when this returns, as
        it does by the time that a reader has typed on, and what it says is not mixed with what later commands print."""
        background = command.rstrip().endswith("&")
        if background and ">" not in command:
            command = command.rstrip().removesuffix("&") + "> /dev/null 2>&1 &"
        result = self._run(command, timeout_seconds)
        if command.strip() == "wait":
            self._run("jobs > /dev/null", timeout_seconds)  # else bash may go on listing what has been waited for
        if background:
            for port in re.findall(rf"listen(?:-address)?[ =]{re.escape(LOOPBACK)}:(\d+)", command):
                _await_listener(int(port), timeout_seconds)
        return result

    def _run(self, command, timeout_seconds):
        self._process.stdin.write(f"{command}\ncode=$?; echo; echo '{END_OF_COMMAND}'$code\n".encode())
        self._process.stdin.flush()
        printed = b""
        deadline = time.monotonic() + timeout_seconds
        while not (end := re.search(rf"\n{END_OF_COMMAND}(\d+)\n".encode(), printed)):
            ready, _, _ = select.select([self._process.stdout], [], [], max(0, deadline - time.monotonic()))
            read = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            assert read, f"{'no end after %d s' % timeout_seconds if not ready else 'the shell ended'}: {command}\n{printed.decode()}"
            printed += read
        return printed[:end.start()].decode(), int(end[1])

    def close(self, timeout_seconds=60):
        """Ends the background processes, the last one first; returns what is wrong with them."""
        script = ('for pid in $(jobs -p | tac); do kill "$pid" 2> /dev/null || echo "$pid had ended before"; '
                  'wait "$pid" || echo "$pid ended with $?"; done')
        try:
            return self.run(script, timeout_seconds)[0].strip()
        finally:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()


def _await_listener(port, timeout_seconds):
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on port {port} after {timeout_seconds} s")


def _free_port():
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]
