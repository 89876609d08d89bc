"""F68-F75: security under fault, upgrades, cancellation, and everything at once."""

import socket
import subprocess
import threading
import time
import uuid

from experiment import check, experiment, not_run
from fault_proxy import FaultProxy
from laboratory import eventually, pause
from service_harness import BIN, wait_until
from services import LEASE_SECONDS

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


@experiment("F71", "cancellation at 8 random moments of a job, racing with its commits",
            "CANCELLED or SUCCEEDED, never both; workers idle one heartbeat and 5 s later; no result when cancelled",
            quick=True)
def cancel_at_random(lab):
    states = []
    idle = []
    with lab.cluster() as cluster:
        cluster.start_workers(2)
        for _ in range(8):
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


@experiment("F72", "the client is killed as its SubmitJob is sent, or as it is answered, 20 times; then run again",
            "20 jobs for 20 intents", quick=True)
def kill_clients(lab):
    intents = 20
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


@experiment("F74", "3 000 TCP connections that never speak, and 300 that send half a preface", "workers are unaffected")
def silent_connections(lab):
    with lab.cluster() as cluster:
        cluster.start_workers(2)
        host, port = cluster.address.rsplit(":", 1)
        idle = []
        for number in range(3_300):
            connection = socket.create_connection((host, int(port)), timeout=30)
            if number >= 3_000:
                connection.sendall(b"PRI * HTTP/2.0\r\n")
            idle.append(connection)
        job_id = cluster.submit()
        cluster.finish(job_id)
        worst = cluster.metric("calls_total")
        for connection in idle:
            connection.close()
    journal = lab.verify(cluster)
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    return f"{len(idle)} idle connections; {worst:.0f} calls answered; 0 leases expired"
