"""Starts the shipped programs on loopback for the end-to-end tests, and stops exactly what it started."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BIN = pathlib.Path(os.environ["GPTVQ_BIN"])
RUN_POSTGRES = pathlib.Path(__file__).resolve().parent.parent / "support" / "run_postgres.sh"
# Which tasks are audited hangs on the ids of jobs; tests that are about audits say --audit-fraction.
NO_AUDITS = {"GPTVQ_AUDIT_FRACTION": "0"}
MAKE_TINY_MODEL = os.environ["GPTVQ_MAKE_TINY_MODEL"]
DEADLINE_SECONDS = 600  # against hangs only; instruments make a job take minutes


def wait_until(condition, what):
    """Polls until condition() is true; fails the test after the deadline."""
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {DEADLINE_SECONDS} s for {what}")


def tls_flags(folder):
    """The flags for the three files that docs/security.md puts into a folder."""
    return [word for flag, file in (("--tls-cert", "cert.pem"), ("--tls-key", "key.pem"), ("--tls-ca", "ca.pem"))
            for word in (flag, str(pathlib.Path(folder) / file))]


class Cluster:
    """A coordinator and workers in a temporary directory; over TLS with the folders of certificates in `certificates`.
    `coordinator_flags` are given to the coordinator besides its own."""

    def __init__(self, directory, store=None, coordinator_flags=(), certificates=None, client="alice"):
        self.certificates = certificates
        self.coordinator_flags = [str(flag) for flag in coordinator_flags]
        self.client_name = client
        self.directory = pathlib.Path(directory)
        self.store = store or str(self.directory / "data" / "store")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.processes = []
        self.coordinator = None
        self.address = None

    def __enter__(self):
        self.start_coordinator("127.0.0.1:0")
        return self

    def __exit__(self, failure, *unused):
        asked = [process for process in reversed(self.processes) if process.poll() is None]
        for process in asked:
            process.terminate()
        for process in asked:
            try:
                process.wait(timeout=DEADLINE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        # A sanitizer tells what it found by the exit code.
        unclean = [(process.args, process.returncode) for process in asked if process.returncode != 0]
        logs = "".join(f"{path.name}:\n{self.log(path.stem)[-20000:]}" for path in sorted(self.directory.glob("*.log")))
        if failure is not None:
            print(logs, file=sys.stderr)
        elif unclean:
            raise AssertionError(f"{unclean}\n{logs}")

    def _spawn(self, name, arguments):
        log = open(self.directory / f"{name}.log", "ab")
        process = subprocess.Popen([str(BIN / arguments[0]), *arguments[1:]], stdout=log, stderr=log,
                                   env={**os.environ, **NO_AUDITS})
        log.close()
        self.processes.append(process)
        return process

    def start_coordinator(self, listen):
        address_file = self.directory / "address"
        address_file.unlink(missing_ok=True)
        self.coordinator = self._spawn(
            "coordinator",
            ["gptvq-coordinator", "--listen", listen, "--data-dir", str(self.directory / "data"), "--store", self.store,
             "--address-file", str(address_file), "--lease-ttl-ms", "2000", *self.security("coordinator"),
             *self.coordinator_flags])
        self.await_coordinator(address_file)

    def await_coordinator(self, address_file):
        """Until it serves; fails at once when it has ended instead."""
        def serving():
            code = self.coordinator.poll()
            assert code is None, f"the coordinator ended with {code}:\n{self.log('coordinator')[-20000:]}"
            return address_file.exists() and address_file.read_text().strip()
        self.address = wait_until(serving, "the coordinator's address")

    def restart_coordinator_after_kill(self):
        self.coordinator.kill()
        self.coordinator.wait()
        self.start_coordinator(self.address)

    def start_worker(self, name, threads=1, flags=()):
        return self._spawn(name, ["gptvq-worker", "--coordinator", self.address, "--name", name,
                                  "--threads", str(threads), *flags, *self.security(name)])

    def log(self, name):
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def start_client(self, command, job_id):
        """gptvq-client in the background; the log of the command's name has what it says."""
        return self._spawn(command, ["gptvq-client", command, job_id, "--coordinator", self.address,
                                     *self.security(self.client_name)])

    def security(self, name):
        return tls_flags(self.certificates / name) if self.certificates else []

    def client(self, *arguments, check=0, seconds=None):
        """Runs gptvq-client, for at most DEADLINE_SECONDS or so many; returns its standard output."""
        command = [str(BIN / "gptvq-client"), *map(str, arguments)]
        if arguments[0] in ("submit", "get", "list", "watch", "wait", "cancel", "report", "workers", "release",
                            "doctor"):
            command += ["--coordinator", self.address, *self.security(self.client_name)]
        if arguments[0] == "submit":
            command += ["--state-dir", str(self.directory / "state")]
        result = subprocess.run(command, capture_output=True, text=True, timeout=seconds or DEADLINE_SECONDS, check=False)
        assert result.returncode == check, f"{command}: exit {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    def job(self, job_id):
        return json.loads(self.client("get", job_id, "-o", "json"))


class PostgresServer:
    """A PostgreSQL server of the test's own, on a unix socket."""

    def __init__(self):
        # Not below the test's directory: the server's user could not reach it there.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="gptvq-e2e-postgres-"))
        with open(self.directory / "server.log", "ab") as log:
            self.process = subprocess.Popen([str(RUN_POSTGRES), str(self.directory)], stdout=log, stderr=log)
        pid_file = self.directory / "data" / "postmaster.pid"
        wait_until(lambda: pid_file.exists() and "ready" in pid_file.read_text(), "the PostgreSQL server")
        self.uri = f"postgresql://postgres@/postgres?host={self.directory}"

    def remove(self):
        self.process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        self.process.wait(timeout=DEADLINE_SECONDS)
        shutil.rmtree(self.directory)


class SharedCluster(Cluster):
    """Coordinators on one PostgreSQL journal; clients and workers know all of them."""

    def __init__(self, directory, journal, coordinator_flags=()):
        super().__init__(directory, coordinator_flags=coordinator_flags)
        self.journal = journal
        self.coordinators = {}  # by name
        self.addresses = {}

    def __enter__(self):
        return self

    def add_coordinator(self, name):
        address_file = self.directory / f"{name}.address"
        self.coordinators[name] = self._spawn(
            name, ["gptvq-coordinator", "--listen", "127.0.0.1:0", "--journal", self.journal,
                   "--store", str(self.directory / "store"), "--address-file", str(address_file),
                   "--lease-ttl-ms", "2000", *self.coordinator_flags])
        self.addresses[name] = wait_until(
            lambda: address_file.exists() and address_file.read_text().strip(), f"the address of {name}")
        self.address = ",".join(self.addresses.values())

    def is_ready(self, name):
        """What the coordinator last said of itself in its log."""
        lines = [line for line in self.log(name).splitlines() if "ready" in line]
        return bool(lines) and "not ready" not in lines[-1]


class Model:
    """A tiny random model with token-id files, made once per test class."""

    def __init__(self, layers, hidden):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="gptvq-e2e-"))
        subprocess.run([MAKE_TINY_MODEL, str(self.directory), str(layers), str(hidden)], check=True)
        self.layers = layers

    def remove(self):
        shutil.rmtree(self.directory)

    def sources(self):
        """Every file that a job reads."""
        return [path for path in self.directory.rglob("*") if path.is_file()]

    def job_flags(self, output, **overrides):
        flags = {
            "--model": self.directory / "model",
            "--calibration": self.directory / "calibration.jsonl",
            "--evaluation": self.directory / "held_out.jsonl",
            "--output": output,
            "--preset": "2d-3.125bpv",
            "--group-weights": 2048,
            "--refinement-passes": 16,
            "--samples": 16,
            "--sequence-length": 128,
            "--seed": 7,
        }
        flags.update({"--" + key.replace("_", "-"): value for key, value in overrides.items()})
        return [str(part) for flag in flags.items() if flag[1] is not None for part in flag]


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
