"""Where experiments happen: a model, the digest of the quiet run, scratch directories, and the check after each."""

import contextlib
import functools
import hashlib
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

from experiment import NotRun, check
from journal import read_journal
from process_faults import need
from services import BIN, END_SECONDS, ChaosCluster  # makes the harnesses of other folders importable
from ceph_rgw import Rgw
from service_harness import Model

LAYERS = 8
# What the experiments run: (layers, hidden size of the model, flags of the job). The boundaries of `wide` take more than
# one part of an upload to S3. `demo` is what `make demo` runs, with the model and the texts that it prepares.
JOBS = {
    "reference": (LAYERS, 128, {"propagation": "parallel", "shard_layers": 2, "evaluation_tokens": 512,
                                "refinement_passes": 48}),
    "wide": (2, 256, {"propagation": "parallel", "shard_layers": 1, "evaluation_tokens": 512, "samples": 64,
                      "sequence_length": 256, "refinement_passes": 2}),
    # Lasts long enough to be hit again and again: 14 s on two idle cores.
    "long": (LAYERS, 128, {"propagation": "parallel", "shard_layers": 2, "evaluation_tokens": 512,
                           "refinement_passes": 1000}),
    "demo": (30, 576, {"propagation": "parallel", "evaluation_tokens": 16384}),
    # One quantize task, and nothing beside it.
    "single": (1, 128, {"evaluation": None, "refinement_passes": 2}),
}
JOB_SECONDS = 1800  # for any of them on a busy machine
DEMO = pathlib.Path(__file__).resolve().parents[2] / "build/demo"
CHECKER = pathlib.Path(__file__).resolve().parent / "checker.py"


class DemoModel:
    """The model and the texts of the demo, as `make demo` prepares them. Errors: NotRun without them."""

    directory = DEMO

    def __init__(self):
        if not (DEMO / "text" / "held_out.txt").exists() or not (DEMO / "model").exists():
            raise NotRun("tools/prepare_demo.sh was not run: there is no model")

    def remove(self):
        """It stays: later runs use it, too."""

    def sources(self):
        return [path for folder in ("model", "text") for path in (DEMO / folder).iterdir()]

    def job_flags(self, output, **overrides):
        flags = {"--model": DEMO / "model", "--calibration": DEMO / "text/calibration.txt",
                 "--evaluation": DEMO / "text/held_out.txt", "--output": output, "--preset": "2d-3.125bpv",
                 "--samples": 16, "--sequence-length": 1024}
        flags.update({"--" + key.replace("_", "-"): value for key, value in overrides.items()})
        return [str(part) for flag in flags.items() for part in flag]


class Shared:
    """What all experiments of one run use: made when first wanted, closed at the end."""

    def __init__(self, keep_files):
        self.closing = contextlib.ExitStack()
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="gptvq-chaos-"))
        if not keep_files:
            self.closing.callback(shutil.rmtree, self.scratch)

    @functools.cache  # pylint: disable=method-cache-max-size-none  # it lives as long as the process
    def model(self, job):
        layers, hidden, _ = JOBS[job]
        model = DemoModel() if job == "demo" else Model(layers=layers, hidden=hidden)
        self.closing.callback(model.remove)
        return model

    @functools.cached_property
    def gateway(self):
        """Ceph's object gateway."""
        need("ceph-mon", "radosgw")
        return self.closing.enter_context(Rgw())

    @functools.cache  # pylint: disable=method-cache-max-size-none
    def quiet(self, job):
        """(manifest digest, seconds) of a job with nothing injected and two workers."""
        lab = Laboratory(self, f"quiet-{job}", 0)
        lab.use_job(job)
        with lab.cluster() as cluster:
            cluster.start_workers(2)
            begin = time.monotonic()
            job_id = cluster.submit()
            cluster.client("wait", job_id, seconds=JOB_SECONDS)
            seconds = time.monotonic() - begin
        manifest = (cluster.outputs[job_id] / "gptvq_manifest.json").read_bytes()
        return hashlib.sha256(manifest).hexdigest(), seconds


class Laboratory:
    """One experiment with one seed."""

    def __init__(self, shared, name, seed):
        self.shared = shared
        self.root = shared.scratch / f"{name}-{seed}"
        self.root.mkdir()
        self.random = random.Random(f"{name} {seed}")
        self.seed = seed
        self.canaries = []
        self.job = "reference"

    def use_job(self, job):
        self.job = job

    @property
    def model(self):
        return self.shared.model(self.job)

    @property
    def quiet_seconds(self):
        return self.shared.quiet(self.job)[1]

    def cluster(self, name="cluster", **options):
        return ChaosCluster(self, self.root / name, **options)

    def job_flags(self, output, **overrides):
        return self.model.job_flags(output, **{**JOBS[self.job][2], **overrides})

    def verify(self, cluster):
        """Runs the checker over what an ended cluster left; returns the journal."""
        in_files = "://" not in cluster.store
        case = {"journal": str(getattr(cluster, "journal", cluster.data / "coordinator.db")),
                "store": cluster.store if in_files else None,
                "golden": self.shared.quiet(self.job)[0],
                "succeeded": {job_id: str(cluster.outputs[job_id]) for job_id in cluster.succeeded},
                "submitted": list(cluster.outputs), "cancelled": cluster.cancelled, "requests": cluster.requests,
                "logs": cluster.logs(), "canaries": self.canaries}
        path = cluster.directory / "case.json"
        path.write_text(json.dumps(case))
        checked = subprocess.run([sys.executable, str(CHECKER), str(path)], capture_output=True, text=True, check=False)
        check(checked.returncode in (0, 1) and checked.stdout, f"the checker failed: {checked.stderr}")
        violations = json.loads(checked.stdout)["violations"]
        check(not violations, "; ".join(violations))
        return read_journal(case["journal"])

    @staticmethod
    def fetch(url):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=30) as answer:
            return answer.read().decode()


def upload_layers(cluster, workers, mib, layers_to=None):
    """Workers that each publish a layer of so many MiB and compute nothing; what they saw. `layers_to` is where layers go
    instead of the coordinator."""
    uploader = BIN.parent / "tests/chaos/layer_uploader"
    done = subprocess.run([str(uploader), cluster.address, layers_to or cluster.address, str(workers), str(mib)],
                          capture_output=True, text=True, check=False, timeout=END_SECONDS)
    check(done.returncode == 0, f"the uploader ended with {done.returncode}: {done.stderr[-600:]}")
    (cluster.directory / "uploader.log").write_text(done.stderr)
    return json.loads(done.stdout)


def pause(seconds):
    """Lets a chosen time pass: the moment of a fault, or its length; never a way to wait for something."""
    time.sleep(seconds)


def shown(waits):
    """Durations, for the table."""
    if not waits:
        return "no wait"
    return f"{min(waits):.1f} s" if len(waits) == 1 else f"{min(waits):.1f} to {max(waits):.1f} s"


def eventually(condition, seconds, what):
    """Polls until condition() is true and returns how long that took; the promise is broken after `seconds`."""
    begin = time.monotonic()
    while not condition():
        check(time.monotonic() - begin < seconds, f"not within {seconds:.0f} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - begin
