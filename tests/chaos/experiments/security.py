"""F68-F75: security under fault, upgrades, cancellation, and everything at once."""

import pathlib
import socket
import subprocess
import threading
import time

from experiment import check, experiment, not_run
from fault_proxy import FaultProxy
from laboratory import eventually, pause
from service_harness import BIN, wait_until
from services import LEASE_SECONDS

not_run("F68", "a certificate is rotated, revoked, expired during a job", "no failure; cut in 60 s; named error",
        "this run speaks plain text; certificates that change or are revoked in mid-job are a matter of tests/e2e")
not_run("F69", "workers of version N-1 at a coordinator of version N, and the reverse", "job finishes with digest G",
        "there is one protocol version so far; tools/check_proto_compat.py guards the wire")


@experiment("F70", "SIGKILL of the coordinator while it makes the schema of a new journal, at 20 moments",
            "the next start completes it and serves (one schema so far: no step from an older one)", quick=True)
def schema_killed(lab):
    unfinished = 0
    for number in range(20):
        data = lab.root / f"data{number}"
        process = subprocess.Popen([str(BIN / "gptvq-coordinator"), "--data-dir", str(data)], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        pause(lab.random.uniform(0, 0.15))
        process.kill()
        unfinished += b"listening" not in process.communicate()[0]
    with lab.cluster(data=data) as cluster:
        cluster.start_worker("w")
        cluster.finish(cluster.submit())
    for number in range(19):
        with lab.cluster(f"cluster{number}", data=lab.root / f"data{number}") as other:
            check(not other.client("list", "-o", "name"), "a job that nobody submitted")
    lab.verify(cluster)
    return f"20 kills, {unfinished} of them before it served; every journal serves after the next start"


@experiment("F71", "cancellation at 5 random moments of a job, racing with its commits",
            "CANCELLED or SUCCEEDED, never both; workers idle one heartbeat and 5 s later; no result when cancelled")
def cancel_at_random(lab):
    states = []
    idle = []
    with lab.cluster() as cluster:
        cluster.start_workers(2)
        for _ in range(5):
            job_id = cluster.submit()
            pause(lab.random.uniform(0, lab.quiet_seconds))
            cluster.cancel(job_id)
            idle.append(eventually(lambda job_id=job_id: all(task["state"] not in ("leased", "cancelling")
                                                             for task in cluster.job(job_id)["tasks"]),
                                   LEASE_SECONDS / 3 + 5, "the workers are idle"))
            states.append(wait_until(lambda job_id=job_id: ended(cluster, job_id), "the job to end"))
            if states[-1] == "succeeded":
                cluster.succeeded.append(job_id)
        expected = cluster.submit()
        cluster.finish(expected)
    lab.verify(cluster)
    return (f"{states.count('cancelled')} cancelled, {states.count('succeeded')} succeeded first; idle after at most "
            f"{max(idle):.1f} s; the next job succeeded")


def ended(cluster, job_id):
    state = cluster.job(job_id)["state"]
    return state if state in ("succeeded", "failed", "cancelled") else None


@experiment("F72", "the client is killed as its SubmitJob is sent, or as it is answered, 10 times; then run again",
            "10 jobs for 10 intents", quick=True)
def kill_clients(lab):
    intents = 10
    seen = threading.Event()

    def intercept(path, stage):
        if path != "SubmitJob" or victim is None or stage != wanted:
            return None
        victim.kill()
        seen.set()
        return None if stage == "request" else "cut"

    victim = None
    with lab.cluster() as cluster, FaultProxy(cluster.address, lab.seed, intercept) as proxy:
        state = cluster.directory / "state"
        for number in range(intents):
            command = [str(BIN / "gptvq-client"), "submit", *lab.job_flags(cluster.directory / f"intent{number}"),
                       "--state-dir", str(state), "--coordinator", proxy.address]
            wanted = lab.random.choice(("request", "reply"))
            seen.clear()
            victim = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            victim.wait()
            check(seen.is_set(), "the client ended before it was killed")
            victim = None
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
            cluster.outputs[told] = cluster.directory / f"intent{number}"
        listed = cluster.client("list", "--limit", "100", "-o", "name").split()
        for job_id in listed:
            cluster.cancel(job_id)
    lab.verify(cluster)
    check(len(listed) == intents and set(listed) == set(cluster.outputs), f"{len(listed)} jobs for {intents} intents")
    return f"{len(listed)} jobs for {intents} intents, each the one that the second run was told"


not_run("F73", "garbage collection at 100 times its speed during F01", "nothing referenced is deleted",
        "the product does not collect garbage yet: artifacts stay")


@experiment("F74", "3 000 TCP connections to the coordinator that never speak, and 300 that send half of HTTP/2's preface",
            "workers are unaffected: 0 leases lost; all are closed in less than 150 s")
def silent_connections(lab):
    with lab.cluster() as cluster:
        cluster.start_workers(2)
        host, port = cluster.address.rsplit(":", 1)
        idle = []
        for number in range(3_300):
            idle.append(socket.create_connection((host, int(port)), timeout=30))
            if number >= 3_000:
                idle[-1].sendall(b"PRI * HTTP/2.0\r\n")
        descriptors = len(list(pathlib.Path(f"/proc/{cluster.coordinator.pid}/fd").iterdir()))
        cluster.finish(cluster.submit())
        seconds = eventually(lambda: all(map(is_closed, idle)), 150, "the silent connections are closed")
        left = len(list(pathlib.Path(f"/proc/{cluster.coordinator.pid}/fd").iterdir()))
    journal = lab.verify(cluster)
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    return f"{descriptors} descriptors at most, {left} after {seconds:.0f} s more; 0 leases expired"


def is_closed(connection):
    connection.setblocking(False)
    try:
        while connection.recv(1 << 12):  # what the server says first, its settings
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


@experiment("F75", "a minute of jobs under kills of workers, cuts and partitions (24 hours in the specification)",
            "every job succeeds; memory grows by less than 10 %, descriptors by less than 16 from the first third to the end")
def soak(lab):
    with lab.cluster() as cluster, FaultProxy(cluster.address, lab.seed) as proxy:
        workers = [cluster.start_worker(f"w{number}", to=proxy.address) for number in range(3)]
        begin = time.monotonic()
        job_ids, early, faults = [], None, 0
        while time.monotonic() - begin < 60:
            if not job_ids or cluster.state(job_ids[-1]) == "succeeded":
                job_ids.append(cluster.submit())
            pause(lab.random.uniform(0.5, 2))
            faults += 1
            fault = lab.random.choice(("kill", "cut", "hold"))
            if fault == "kill":
                cluster.kill(workers.pop(0))
                workers.append(cluster.start_worker(f"n{faults}", to=proxy.address))
            elif fault == "cut":
                proxy.cut()
            else:
                proxy.hold()
                pause(LEASE_SECONDS / 2)
                proxy.heal()
            if early is None and time.monotonic() - begin > 20:
                early = footprint(cluster.coordinator)
        for job_id in job_ids:
            cluster.finish(job_id)
        late = footprint(cluster.coordinator)
    lab.verify(cluster)
    check(late[0] < 1.1 * early[0], f"memory grew from {early[0]} to {late[0]} KiB")
    check(late[1] < early[1] + 16, f"descriptors grew from {early[1]} to {late[1]}")
    return (f"{faults} faults, {len(job_ids)} jobs; memory {early[0] >> 10} then {late[0] >> 10} MiB, "
            f"descriptors {early[1]} then {late[1]}")


def footprint(process):
    """(resident KiB, open descriptors)"""
    proc = pathlib.Path(f"/proc/{process.pid}")
    resident = next(line for line in (proc / "status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(resident.split()[1]), len(list((proc / "fd").iterdir()))
