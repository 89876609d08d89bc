"""F23-F35, F50: two coordinators on one PostgreSQL journal, and what happens to them and to the database."""

import contextlib
import os
import signal
import time

from experiment import check, experiment
from fault_proxy import FaultProxy
from laboratory import eventually, pause, shown
from process_faults import need
from experiments.database import history_lost
from replicas import ChaosPostgres, ReplicatedCluster, Standby
from services import LEASE_SECONDS


@contextlib.contextmanager
def replicated(lab, **options):
    need("psql")
    server = ChaosPostgres()
    try:
        with ReplicatedCluster(lab, lab.root / "cluster", server, **options) as cluster:
            yield cluster, server
        cluster.verified = lab.verify(cluster)  # while the server still answers
    finally:
        server.remove()


@experiment("F23", "SIGKILL of the leading replica, 3 times; the other takes over, the killed one returns; jobs are submitted "
            "meanwhile", "a submit is answered in less than 10 s (a term ends after 5 s of silence); none is lost or doubled")
def kill_the_leader(lab):
    seconds = []
    with replicated(lab) as (cluster, _):
        cluster.start_workers(2)
        job_ids = [cluster.submit()]
        for _ in range(3):
            pause(lab.random.uniform(0, 1))
            leader = cluster.leader()
            cluster.kill(cluster.coordinators[leader])
            begin = time.monotonic()
            job_ids.append(cluster.submit())
            seconds.append(time.monotonic() - begin)
            cluster.restart(leader)
        for job_id in job_ids:
            cluster.finish(job_id)
    check(max(seconds) < 10, f"answered after {shown(seconds)}")
    return f"3 leaders killed, submits answered after {shown(seconds)}, {cluster.verified.count('expire')} leases expired"


@experiment("F24", "SIGSTOP of the leading replica until the other leads and for 2L more, then SIGCONT",
            "its later appends are refused: the journal is of one history")
def stop_the_leader(lab):
    with replicated(lab) as (cluster, _):
        cluster.start_workers(2)
        job_id = cluster.submit()
        cluster.wait_for_layers(job_id, 1)
        old = cluster.leader()
        new = next(name for name in cluster.names if name != old)
        cluster.stop(cluster.coordinators[old])
        seconds = eventually(lambda: cluster.leads(new), 20, "the other leads")
        pause(2 * LEASE_SECONDS)
        cluster.resume(cluster.coordinators[old])
        cluster.finish(job_id)
        eventually(lambda: not cluster.leads(old), 20, "the old leader notices")
    return f"the other led after {seconds:.1f} s; the old one stood by when it woke up"


@experiment("F27", "SIGTERM of each of two replicas in turn, and a new start, 4 times over, under a job",
            "each exits with 0; the job succeeds; submits are answered")
def rolling_restart(lab):
    statuses = []
    with replicated(lab) as (cluster, _):
        cluster.start_workers(2)
        job_ids = [cluster.submit()]
        for _ in range(4):
            for name in cluster.names:
                statuses.append(cluster.terminate(cluster.coordinators[name]))
                cluster.restart(name)
                cluster.leader()
        job_ids.append(cluster.submit())
        for job_id in job_ids:
            cluster.finish(job_id)
    check(set(statuses) == {0}, f"exit statuses {statuses}")
    return f"{len(statuses)} restarts, each exit 0; {cluster.verified.count('expire')} leases expired"


@experiment("F30", "PostgreSQL is crashed (immediate shutdown) and started again, 5 times in mid-job",
            "S6: what was acknowledged is there; the job succeeds")
def crash_the_database(lab):
    with replicated(lab) as (cluster, server):
        cluster.start_workers(2)
        job_ids = [cluster.submit()]
        for _ in range(5):
            pause(lab.random.uniform(0.3, 1.5))
            server.crash()
            server.start()
            job_ids.append(cluster.submit())
        for job_id in job_ids:
            cluster.finish(job_id)
    return f"5 crashes, {len(job_ids)} jobs acknowledged and done, {cluster.verified.count('expire')} leases expired"


@experiment("F31", "SIGSTOP of all of PostgreSQL for 3L, then SIGCONT", "no storm of lost leases afterwards: at most 1")
def stop_the_database(lab):
    lease_seconds = 8  # the term ends meanwhile; workers find the next leader up to 6 s later
    with replicated(lab, lease_seconds=lease_seconds) as (cluster, server):
        cluster.start_workers(2)
        job_id = cluster.submit()
        cluster.wait_for_layers(job_id, 1)
        processes = server.backends()
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        pause(3 * lease_seconds)
        for process in processes:
            os.kill(process, signal.SIGCONT)
        cluster.finish(job_id)
    expired = cluster.verified.count("expire")
    check(expired <= 1, f"{expired} leases expired")
    return f"stopped {3 * lease_seconds} s; {expired} leases expired"


@experiment("F32", "all connections to PostgreSQL are ended by the server, every 0.5 s for 10 s", "made again; S2")
def kill_backends(lab):
    killed = 0
    with replicated(lab) as (cluster, server):
        cluster.start_workers(2)
        job_id = cluster.submit()
        for _ in range(20):
            ended = server.ask("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                               "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
            killed += int(ended or 0)
            pause(0.5)
        cluster.finish(job_id)
    return f"{killed} connections ended, {cluster.verified.count('expire')} leases expired"


@contextlib.contextmanager
def with_a_standby(lab, synchronous=True):
    """(cluster, primary, standby): a cluster that is not started yet and knows both servers of its journal."""
    need("psql")
    with contextlib.ExitStack() as stack:
        primary = ChaosPostgres()
        stack.callback(primary.remove)
        standby = Standby(primary, synchronous=synchronous)
        stack.callback(standby.remove)
        cluster = ReplicatedCluster(lab, lab.root / "cluster", primary)
        cluster.journal = (f"postgresql://postgres@/postgres?host={primary.directory},{standby.directory}"
                           "&target_session_attrs=read-write")
        yield cluster, primary, standby


@experiment("F33", "SIGKILL of the primary in mid-job, all processes; its synchronous standby is promoted",
            "S6: everything acknowledged is on the standby; the job succeeds")
def promote_the_standby(lab):
    with with_a_standby(lab) as (cluster, primary, standby):
        with cluster:
            cluster.start_workers(2)
            job_ids = [cluster.submit() for _ in range(2)]
            cluster.wait_for_layers(job_ids[0], 2)
            primary.kill()
            begin = time.monotonic()
            standby.promote()
            job_ids.append(cluster.submit())
            seconds = time.monotonic() - begin
            for job_id in job_ids:
                cluster.finish(job_id)
        journal = lab.verify(cluster)
    return f"a submit was answered {seconds:.1f} s after the kill; {journal.count('expire')} leases expired"


@experiment("F34", "as F33, asynchronous, and the standby received nothing since two layers and a submit before",
            "a new generation of epochs: nothing is granted twice; the job reaches G; a lost submit is found or made anew by its request id")
def promote_a_standby_that_is_behind(lab):
    with with_a_standby(lab, synchronous=False) as (cluster, primary, standby):
        with cluster:
            cluster.start_workers(2)
            job_id = cluster.submit()
            cluster.wait_for_layers(job_id, 2)
            standby.fall_behind()
            lost_job = cluster.submit()
            cluster.wait_for_layers(job_id, 4)
            primary.kill()
            standby.promote()
            again = cluster.client("submit", *lab.job_flags(cluster.outputs[lost_job]), "--request-id", cluster.requests[-1])
            check(again.strip() == lost_job, f"the lost job {lost_job} came back as {again.strip()}")
            for one in (job_id, lost_job):
                cluster.finish(one)
            generation = standby.ask("SELECT convert_from(value, 'UTF8') FROM gptvq.store_info WHERE name = 'generation'")
        lost = history_lost(lab, cluster)
    check(int(generation) > 0, f"generation {generation}")
    check("S4" not in lost, lost)
    return f"generation {generation}, the job and the lost one reach G; forgotten as expected: {lost or 'nothing'}"


@experiment("F35", "another session locks the tables for 2.5 s, 4 times; the product waits 2 s for a lock",
            "repeated; no effect twice; the job succeeds")
def lock_timeouts(lab):
    with replicated(lab) as (cluster, server):
        cluster.start_workers(2)
        job_id = cluster.submit()
        for _ in range(4):
            server.ask("BEGIN; LOCK TABLE gptvq.tasks, gptvq.events IN EXCLUSIVE MODE; SELECT pg_sleep(2.5); COMMIT")
            pause(lab.random.uniform(0, 0.5))
        cluster.finish(job_id)
        refused = server.log().count("canceling statement due to lock timeout")
    check(refused > 0, "no lock was refused")
    return f"{refused} statements refused by lock_timeout, {cluster.verified.count('expire')} leases expired"


@experiment("F50", "a partition cuts one of two workers from the leading replica, not from the other, for 3L",
            "the worker that still reaches the leader finishes the tasks; S2")
def partition_a_replica(lab):
    with replicated(lab) as (cluster, _), contextlib.ExitStack() as stack:
        proxies = {name: stack.enter_context(FaultProxy(address, lab.seed))
                   for name, address in cluster.addresses.items()}
        cluster.start_worker("cut", to=",".join(proxy.address for proxy in proxies.values()))
        cluster.start_worker("whole")
        job_id = cluster.submit()
        cluster.wait_for_holder(job_id, "cut")
        proxies[cluster.leader()].hold()
        pause(3 * LEASE_SECONDS)
        proxies[cluster.leader()].heal()
        cluster.finish(job_id)
    return f"{cluster.verified.count('expire')} lease(s) moved; every task committed once"
