"""F68-F75: security under fault, upgrades, cancellation, and everything at once."""

import os
import pathlib
import resource
import shutil
import socket
import ssl
import subprocess
import threading
import time

from experiment import NotRun, check, experiment
from fault_proxy import FaultProxy
from laboratory import eventually, pause, shown
from process_faults import need
from service_harness import BIN, wait_until
from services import LEASE_SECONDS
from authority import DOMAIN, Authority, point

PEOPLE = {"coordinator": (f"URI:{DOMAIN}coordinator/main,DNS:localhost,IP:127.0.0.1", "serverAuth"),
          "alice": (f"URI:{DOMAIN}client/alice", "clientAuth"),
          **{name: (f"URI:{DOMAIN}worker/{name}", "clientAuth") for name in ("steady", "revoked")}}
# Of F74.
BOUND, SILENT, IDLE = 2_048, 10_000, 1_000


@experiment("F68", "over TLS: everybody gets new certificates during a job, 5 times, and connections are cut; a worker's is "
            "revoked; a worker's expires",
            "new ones: no lease lost, no call denied; revoked or expired: the worker ends in less than 60 s and says why, its task "
            "is offered again within 2L of its end, all jobs succeed")
def certificates(lab):
    need("faketime", "openssl")
    authority = Authority(lab.root / "authority")
    live = lab.root / "live"
    live.mkdir()
    for name in PEOPLE:
        authority.issue(name, *PEOPLE[name])
        point(live / name, authority.certificates / name)
    lists = authority.revoke("worker-1")
    with lab.cluster(certificates=live, coordinator_arguments=("--tls-crl", str(lists))) as cluster:
        with FaultProxy(cluster.address, lab.seed) as proxy:
            steady = cluster.start_worker("steady", to=proxy.address)
            for generation in range(5):
                job_id = cluster.submit()
                pause(lab.random.uniform(0, lab.quiet_seconds / 2))
                rotate(authority, live, generation)
                proxy.cut()
                cluster.finish(job_id)
        check("call denied" not in cluster.log("coordinator"), "a new certificate was refused")
        check(cluster.metric("leases_expired_total") == 0, "a lease was lost to a new certificate")
        cluster.terminate(steady)
        ends = {"revoked": lose_worker(cluster, "revoked", lambda: authority.revoke("revoked"),
                                       "was revoked by its authority")}
        # Eight seconds before its end.
        point(live / "expired", authority.issue("expired", f"URI:{DOMAIN}worker/expired", when="-30 days +8 seconds"))
        ends["expired"] = lose_worker(cluster, "expired", lambda: None, "expired at")
    journal = lab.verify(cluster)
    seen = []
    for name, (end, seconds) in ends.items():
        lost = [event for event in journal.triggers("expire") if event.worker == name]
        late = [event.seconds - end for event in lost]
        check(all(wait < 2 * LEASE_SECONDS for wait in late), f"{name}: offered again {shown(late)} after the worker's end")
        seen.append(f"{name}: ended after {seconds:.1f} s, {len(lost)} leases lost, offered again {shown(late)} later")
    return "5 changes, 0 leases lost; " + "; ".join(seen)


def rotate(authority, live, generation):
    """New certificates for everybody, each file and its key exchanged at once."""
    for name in PEOPLE:
        folder = authority.certificates / name
        point(live / name, shutil.copytree(folder, folder.with_name(f"{name}-{generation}")))
        authority.issue(name, *PEOPLE[name])
        point(live / name, folder)


def lose_worker(cluster, name, fault, words):
    """A worker that is at work when its certificate ends, and another for what it leaves. When it ended, and how long after
    the fault."""
    worker = cluster.start_worker(name)
    cluster.meant_to_die.add(worker)
    jobs = [cluster.submit() for _ in range(3)]
    cluster.wait_for_holder(jobs[0], name)
    fault()
    seconds = eventually(lambda: worker.poll() is not None, 60, f"{name} ends")
    end = time.time()
    check(worker.returncode != 0 and words in cluster.tail(name), f"{name} ended with {worker.returncode}: {cluster.tail(name)}")
    heir = cluster.start_worker("steady")
    for job_id in jobs:
        cluster.finish(job_id)
    cluster.terminate(heir)
    return end, seconds
@experiment("F69", "workers of version N-1 at a coordinator of version N, then of N at one of N-1; each swapped for the other in the "
            "middle of a job", "both jobs finish with digest G")
def version_skew(lab):
    previous = os.environ.get("GPTVQ_PREVIOUS_BIN")
    if not previous:
        raise NotRun("GPTVQ_PREVIOUS_BIN does not name a folder with the programs of the version before (docs/chaos.md)")
    previous = pathlib.Path(previous).resolve()
    old_worker, old_coordinator = previous / "gptvq-worker", previous / "gptvq-coordinator"
    with lab.cluster("workers-first") as cluster:
        worker = cluster.start_worker("w", program=old_worker)
        job_id = cluster.submit()
        cluster.wait_for_layers(job_id, 2)
        check(cluster.terminate(worker) == 0, "the old worker did not drain")
        cluster.start_worker("w")
        cluster.finish(job_id)
    lab.verify(cluster)
    with lab.cluster("coordinator-last") as cluster:
        cluster.terminate(cluster.coordinator)
        shutil.rmtree(cluster.data)
        cluster.coordinator_program = old_coordinator
        cluster.start_coordinator(cluster.address)
        cluster.start_worker("w")
        job_id = cluster.submit()
        cluster.wait_for_layers(job_id, 2)
        cluster.terminate(cluster.coordinator)
        cluster.coordinator_program = "gptvq-coordinator"
        cluster.start_coordinator(cluster.address)
        cluster.finish(job_id)
    lab.verify(cluster)
    return "worker N-1 at coordinator N, replaced by N; worker N at coordinator N-1, replaced by N on its journal: G twice"


@experiment("F70", "SIGKILL of the coordinator while it makes the schema of a new journal, step by step, at 20 moments",
            "the next start completes it and serves", quick=True)
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


@experiment("F74", f"over TLS, at a coordinator that serves {BOUND} connections: {SILENT} TCP connections that never speak, and "
            f"{IDLE} that shake hands and are silent from then on",
            "its descriptors keep to the bound; workers are unaffected: 0 leases lost; all are closed in less than 60 s")
def silent_connections(lab):
    need("openssl", "prlimit")
    allow_descriptors(SILENT + IDLE + 1_000)
    people = Authority(lab.root / "authority").certificates
    with lab.cluster(certificates=people, coordinator_prefix=("prlimit", f"--nofile={2 * BOUND}"),
                     coordinator_arguments=("--max-connections", str(BOUND))) as cluster:
        cluster.start_worker("worker-1")
        job_id = cluster.submit()
        cluster.wait_for_holder(job_id, "worker-1")
        host, port = cluster.address.rsplit(":", 1)
        files = pathlib.Path(f"/proc/{cluster.coordinator.pid}/fd")
        quiet = len(list(files.iterdir()))
        connections = [socket.create_connection((host, int(port)), timeout=30) for _ in range(SILENT)]
        most = len(list(files.iterdir()))
        context = ssl.create_default_context(cafile=people / "alice/ca.pem")
        context.load_cert_chain(people / "alice/cert.pem", people / "alice/key.pem")
        context.set_alpn_protocols(["h2"])
        idle = []
        eventually(lambda: len(idle) == IDLE or idle.extend(shake_hands(context, host, int(port))), 120, "the handshakes")
        most = max(most, len(list(files.iterdir())))
        connections += idle
        seconds = eventually(lambda: all(map(is_closed, connections)), 60, "the silent connections are closed")
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    check(most <= quiet + BOUND, f"{most} descriptors, {quiet} before")
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    return f"{quiet} descriptors before, {most} at most; all closed {seconds:.0f} s after the last; 0 leases expired"


def allow_descriptors(count):
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < count:
        raise NotRun(f"{most} descriptors are allowed; {count} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(least, count), most))


def shake_hands(context, host, port):
    """A connection that has spoken TLS and the beginning of HTTP/2; none when there is no place for it yet."""
    try:
        connection = context.wrap_socket(socket.create_connection((host, port), timeout=30), server_hostname="localhost")
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
    except OSError:
        return []
    return [connection]


def is_closed(connection):
    connection.setblocking(False)
    try:
        while connection.recv(1 << 12):  # what the server says first, its settings
            pass
        return True
    except (BlockingIOError, ssl.SSLWantReadError):
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
