"""The shipped programs under an experiment: started with whatever surrounds them, stopped, killed, and every exit
accounted for."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import uuid

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / folder) for folder in ("e2e", "support")]
import service_harness  # noqa: E402  pylint: disable=wrong-import-position
from service_harness import BIN, NO_AUDITS, Cluster, wait_until  # noqa: E402  pylint: disable=wrong-import-position

LEASE_SECONDS = 2.0  # of every experiment that does not choose another; heartbeats come every third of it
END_SECONDS = 120  # for a process that was told to end, on a busy machine
service_harness.DEADLINE_SECONDS = 180  # for anything: a hang is a broken promise


class ChaosCluster(Cluster):
    """A coordinator and workers, with a record of what clients were told and which processes were meant to die."""

    def __init__(self, lab, directory, lease_seconds=LEASE_SECONDS, store=None, data=None, coordinator_prefix=(),
                 coordinator_environment=None, coordinator_arguments=(), certificates=None):
        super().__init__(directory, store, certificates=certificates)
        self.lab = lab
        self.data = data or self.directory / "data"
        self.store = store or str(self.data / "store")
        self.lease_seconds = lease_seconds
        self.coordinator_prefix = coordinator_prefix  # a command that runs the coordinator
        self.coordinator_environment = coordinator_environment or {}
        self.coordinator_arguments = coordinator_arguments
        self.coordinator_program = "gptvq-coordinator"  # or a path
        self.meant_to_die = set()
        self.outputs = {}  # directory of each job's result
        self.succeeded = []
        self.cancelled = []
        self.requests = []

    # Starting.

    def _spawn(self, name, arguments, prefix=(), environment=None):  # pylint: disable=arguments-differ
        log = open(self.directory / f"{name}.log", "ab")
        process = subprocess.Popen([*prefix, str(BIN / arguments[0]), *arguments[1:]], stdout=log, stderr=log,
                                   env={**os.environ, **NO_AUDITS, **(environment or {})})
        log.close()
        process.name = name
        self.processes.append(process)
        return process

    def spawn_coordinator(self, listen="127.0.0.1:0"):
        address_file = self.directory / "address"
        address_file.unlink(missing_ok=True)
        self.coordinator = self._spawn(
            "coordinator",
            [str(self.coordinator_program), "--listen", listen, "--data-dir", str(self.data), "--store", self.store,
             "--address-file", str(address_file), "--metrics-listen", "127.0.0.1:0",
             "--lease-ttl-ms", str(int(self.lease_seconds * 1000)), *self.security("coordinator"),
             *self.coordinator_arguments],
            self.coordinator_prefix, self.coordinator_environment)
        return address_file

    def start_coordinator(self, listen="127.0.0.1:0"):
        self.await_coordinator(self.spawn_coordinator(listen))

    def start_worker(self, name, to=None, prefix=(), environment=None, arguments=(),  # pylint: disable=arguments-differ
                     program="gptvq-worker", threads=1):
        """`to` is where the worker finds the coordinator, for instance the address of a FaultProxy; `program` may be a path."""
        command = [str(program), "--coordinator", to or self.address, "--name", name,
                   "--threads", str(threads), *self.security(name), *arguments]
        return self._spawn(name, command, prefix, environment)

    def start_workers(self, count):
        return [self.start_worker(f"w{number}") for number in range(count)]

    # Jobs.

    def submit(self, check=0, place=None, **overrides):
        """With `place`, a URI, model and texts are read from `place`/source and the result goes to `place`/result-N."""
        output = self.directory / f"result-{len(self.outputs)}"
        flags = self.lab.job_flags(output, **overrides)
        if place:
            flags = [flag.replace(str(self.lab.model.directory), f"{place}/source").replace(str(self.directory), place)
                     for flag in flags]
        request_id = str(uuid.UUID(int=self.lab.random.getrandbits(128), version=4))
        job_id = self.client("submit", *flags, "--request-id", request_id, check=check).strip()
        if check == 0:
            self.requests.append(request_id)
            self.outputs[job_id] = output
        return job_id

    def state(self, job_id):
        """The job's state, or None while nobody answers."""
        asked = subprocess.run([str(BIN / "gptvq-client"), "get", job_id, "-o", "json", "--coordinator", self.address,
                                "--retry-for", "0s", *self.security(self.client_name)],
                               capture_output=True, text=True, timeout=END_SECONDS, check=False)
        assert asked.returncode in (0, 4), f"exit {asked.returncode}: {asked.stderr}"
        return json.loads(asked.stdout)["state"] if asked.returncode == 0 else None

    def finish(self, job_id):
        """Waits for the job; it has to succeed with the manifest of the quiet run."""
        self.client("wait", job_id)
        self.succeeded.append(job_id)

    def cancel(self, job_id):
        self.client("cancel", job_id)
        self.cancelled.append(job_id)

    def wait_for_layers(self, job_id, count):
        wait_until(lambda: self.job(job_id)["published_layers"] >= count, f"{count} layers")

    def wait_for_holder(self, job_id, worker):
        """The id of a quantize task that this worker holds and works on."""
        pattern = re.compile(rf'msg="task leased" task=({job_id}/quantize-\d+) ')

        def held():
            log = self.log(worker)
            leased = pattern.findall(log)
            return leased[-1] if leased and f'"task ended" task={leased[-1]} ' not in log else None

        return wait_until(held, f"{worker} to hold a quantize task")

    # Faults.

    def kill(self, process, wait=True):
        self.meant_to_die.add(process)
        process.kill()
        if wait:
            process.wait()

    def terminate(self, process):
        """SIGTERM; returns the exit status."""
        self.meant_to_die.add(process)
        process.terminate()
        return process.wait(timeout=END_SECONDS)

    @staticmethod
    def stop(process):
        process.send_signal(signal.SIGSTOP)

    @staticmethod
    def resume(process):
        process.send_signal(signal.SIGCONT)

    # What is seen.

    def log(self, name):
        return (self.directory / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def tail(self, name):
        return self.log(name)[-600:]

    def logs(self):
        return sorted(map(str, self.directory.glob("*.log")))

    def metric(self, name):
        """The sum of a metric of the coordinator over its labels; `name` may hold some of them: calls_total{...}."""
        port = re.findall(r"metrics on 127\.0\.0\.1:(\d+)", self.log("coordinator"))[-1]
        base, _, labels = name.partition("{")
        wanted = re.findall(r'\w+="[^"]*"', labels)
        total = 0.0
        for line in self.lab.fetch(f"http://127.0.0.1:{port}/metrics").splitlines():
            match = re.fullmatch(rf"gptvq_coordinator_{base}(?:\{{(.*)\}})? (\S+)", line)
            if match and all(label in (match[1] or "") for label in wanted):
                total += float(match[2])
        return total

    def peak_memory_bytes(self):
        """The most that the coordinator had resident."""
        status = pathlib.Path(f"/proc/{self.coordinator.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10

    def refusals(self):
        return int(self.metric('calls_total{code="FAILED_PRECONDITION"}'))

    # Ending.

    def __exit__(self, failure, *unused):
        for process in self.processes:
            if process.poll() is None:
                self.resume(process)
        workers = [process for process in self.processes if process is not self.coordinator]
        for group in (workers, [self.coordinator]):
            asked = [process for process in group if process.poll() is None]
            for process in asked:
                process.terminate()
            for process in asked:
                try:
                    process.wait(timeout=END_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        if failure is None:
            crashed = [process for process in self.processes
                       if process.returncode != 0 and process not in self.meant_to_die]
            assert not crashed, "S8: " + "; ".join(
                f"{process.name} ended with {process.returncode}: {self.tail(process.name)}" for process in crashed)
