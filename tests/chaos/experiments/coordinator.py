"""F20-F29: what happens to the coordinator."""

import subprocess
import threading
import time

from experiment import Weaker, check, experiment
from fault_proxy import FaultProxy
from laboratory import pause, shown, upload_layers
from process_faults import cgroup
from service_harness import BIN, wait_until
from services import END_SECONDS

CALLS = ("RegisterWorker", "LeaseTask", "RenewLease", "PublishLayer", "CompleteTask")
POINTS = [(path, stage) for path in CALLS for stage in ("request", "reply")]


def attempts(journal, job_id):
    """How many leases more than tasks the job took."""
    return sum(row["attempt"] - 1 for row in journal.tasks if row["job_id"] == job_id)


def restart(cluster):
    """Kills the coordinator and starts it at its address; returns the seconds until it served again."""
    cluster.kill(cluster.coordinator)
    begin = time.monotonic()
    cluster.start_coordinator(cluster.address)
    return time.monotonic() - begin


@experiment("F20", "SIGKILL of the coordinator as it gets a call, or as it answers it: every call of a worker, both moments",
            "serves again in less than 3 s; S6")
def kill_at_calls(lab):
    waiting = set(POINTS)
    hit = threading.Event()
    lock = threading.Lock()

    def intercept(path, stage):
        with lock:
            if hit.is_set() or (path, stage) not in waiting:
                return None
            waiting.remove((path, stage))
            cluster.kill(cluster.coordinator)
            hit.set()
            return "cut"

    seconds = []
    with lab.cluster() as cluster, FaultProxy(cluster.address, lab.seed, intercept) as proxy:
        job_ids = [cluster.submit() for _ in range(2)]
        for number in range(2):
            cluster.start_worker(f"w{number}", to=proxy.address)
        while waiting and not all(cluster.state(job_id) == "succeeded" for job_id in job_ids) or hit.is_set():
            if hit.wait(timeout=0.2):
                begin = time.monotonic()
                cluster.start_coordinator(cluster.address)
                seconds.append(time.monotonic() - begin)
                hit.clear()
        for job_id in job_ids:
            cluster.finish(job_id)
    journal = lab.verify(cluster)
    check(not waiting, f"points not reached: {sorted(waiting)}")
    check(max(seconds) < 3, f"serving again after {shown(seconds)}")
    return (f"{len(seconds)} kills at {len(POINTS)} points over 2 jobs, serving again after {shown(seconds)}, "
            f"{journal.count('expire')} leases expired")


@experiment("F21", "SIGKILL of the coordinator every 2 s, 8 times, under one job after the other",
            "the jobs still finish; epochs rise strictly; no lease is lost")
def kill_again_and_again(lab):
    kills = 8
    with lab.cluster() as cluster:
        cluster.start_workers(2)
        job_ids = [cluster.submit()]
        for _ in range(kills):
            pause(lab.random.uniform(1.5, 2.5))
            restart(cluster)
            if cluster.state(job_ids[-1]) == "succeeded":
                job_ids.append(cluster.submit())
        for job_id in job_ids:
            cluster.finish(job_id)
    journal = lab.verify(cluster)
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    return f"{kills} kills over {len(job_ids)} jobs, 0 leases expired"


@experiment("F22", "a second coordinator on the data directory of a running one",
            "the second exits with 6 in less than 1 s (5 s on a busy machine); the first is unharmed", quick=True)
def two_on_one_directory(lab):
    with lab.cluster() as cluster:
        cluster.start_worker("w")
        job_id = cluster.submit()
        begin = time.monotonic()
        second = subprocess.run([str(BIN / "gptvq-coordinator"), "--data-dir", str(cluster.data)], capture_output=True,
                                text=True, timeout=END_SECONDS, check=False)
        seconds = time.monotonic() - begin
        cluster.finish(job_id)
    lab.verify(cluster)
    check(second.returncode == 6, f"exit {second.returncode}: {second.stderr}")
    check(seconds < 5, f"after {seconds:.1f} s")
    return f"exit 6 after {seconds:.2f} s, naming the directory; the job succeeded"


@experiment("F25", "the coordinator is away for 2L, killed; the workers' orphan timeout is longer",
            "0 leases lost, 0 tasks executed again")
def absent_coordinator(lab):
    lease_seconds = 12  # workers look for it up to 6 s apart and renew every third of a lease; made for leases of 30 s
    with lab.cluster(lease_seconds=lease_seconds) as cluster:
        cluster.start_workers(2)
        job_id = cluster.submit()
        cluster.wait_for_layers(job_id, 2)
        cluster.kill(cluster.coordinator)
        pause(2 * lease_seconds)
        cluster.start_coordinator(cluster.address)
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    check(attempts(journal, job_id) == 0, f"{attempts(journal, job_id)} tasks were executed again")
    return f"away {2 * lease_seconds} s; 0 leases lost, 0 tasks executed again"


@experiment("F26", "the coordinator is away for longer than the workers' orphan timeout (3 s here)",
            "the workers drop their tasks and stay; after the return the job resumes from the published layers")
def long_absent_coordinator(lab):
    with lab.cluster() as cluster:
        for name in ("a", "b"):
            cluster.start_worker(name, arguments=("--orphan-timeout-seconds", "3"))
        job_id = cluster.submit(refinement_passes=200)
        cluster.wait_for_layers(job_id, 2)
        layers = cluster.job(job_id)["published_layers"]
        busy = {task["worker"] for task in cluster.job(job_id)["tasks"] if task["state"] == "leased"}
        cluster.kill(cluster.coordinator)
        for name in busy:
            wait_until(lambda name=name: "result=lost" in cluster.log(name), f"{name} to drop its task")
        cluster.start_coordinator(cluster.address)
        cluster.client("wait", job_id)
    journal = lab.verify(cluster)
    return (f"{len(busy)} worker(s) dropped their tasks and went on polling; {layers} published layers kept, "
            f"{attempts(journal, job_id)} tasks leased again")


@experiment("F28", "64 workers upload layers of 32 MiB at once; the coordinator may use 512 MiB of memory, its page cache included",
            "no OOM; uploads throttled; heartbeats p99 < 200 ms")
def many_uploaders(lab):
    lab.use_job("single")
    uploaders = 64
    with cgroup("memory", limit_in_bytes=512 << 20) as prefix:
        with lab.cluster(lease_seconds=30, coordinator_prefix=prefix) as cluster:
            job_ids = [cluster.submit() for _ in range(uploaders)]
            seen = upload_layers(cluster, uploaders, mib=32)
            peak = cluster.peak_memory_bytes()
            for job_id in job_ids:
                cluster.cancel(job_id)
    journal = lab.verify(cluster)
    check(seen["published"] == len(journal.layers) == uploaders, f"{seen['published']} layers published")
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    measured = (f"{uploaders} layers in {seen['seconds']:.1f} s, {seen['retries']} calls told to wait; at most {peak >> 20} MiB resident; "
                f"heartbeats p50 {seen['heartbeat_p50_ms']:.0f}, p99 {seen['heartbeat_p99_ms']:.0f} ms ({seen['heartbeats']})")
    if seen["heartbeat_p99_ms"] >= 200:
        raise Weaker(f"{measured}; two cores play all of it")
    return measured


@experiment("F29", "CPU quota of 20 % for the coordinator until the job is done", "no lease is lost; the job succeeds")
def little_cpu(lab):
    with cgroup("cpu", cfs_period_us=100_000, cfs_quota_us=20_000) as prefix:
        with lab.cluster(coordinator_prefix=prefix) as cluster:
            cluster.start_workers(2)
            job_id = cluster.submit()
            cluster.finish(job_id)
        journal = lab.verify(cluster)
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    return "0 leases expired"
