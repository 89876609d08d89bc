"""F76, F77: every part that a fleet uses, and a kill every few seconds."""

import collections
import time

from authority import DOMAIN, Authority
from experiment import check, experiment
from laboratory import JOB_SECONDS, pause
from process_faults import need
from replicas import ChaosPostgres, ReplicatedCluster

WORKERS = ("w1", "w2", "w3", "w4")
COORDINATOR_TURN = 5  # every fifth kill, from the second on: the other one leads no sooner than 5 s after the death of the leader
# A task whose fifth lease in a row is lost fails for good (docs/protocol.md). One more is left to chance.
MOST_LOSSES = 3
# By default 10 minutes and 10 s: a tenth or less, as leases of 2 s are.
SHORT_QUARANTINE = ("--quarantine-ms", "40000")
OFTEN_KEPT = ("--checkpoint-every-seconds", "1")
SETTING = ("over TLS; two coordinators on one PostgreSQL journal; model, texts, artifacts and result in S3; four workers: SIGKILL of "
           "one of the six programs every ")
AND_THEN = " s, never of the holder of a task that was lost three times in a row; each is started again"
PROMISE = "the manifest of the quiet run: two workers, files, plain text, nothing killed"


@experiment("F76", SETTING + "1 to 4" + AND_THEN, PROMISE)
def small_storm(lab):
    lab.use_job("long")
    return storm(lab, 1, 4)


@experiment("F77", "the demo's model (SmolLM2-135M): " + SETTING + "4 to 8" + AND_THEN, PROMISE)
def storm_of_the_demo(lab):
    lab.use_job("demo")
    return storm(lab, 4, 8)


def storm(lab, shortest, longest):
    """Runs the job under kills that far apart, in seconds."""
    need("openssl", "ceph-mon")
    rgw = lab.shared.gateway
    lab.canaries.append(rgw.secret_key)
    environment = {name: value for name, value in rgw.environment().items() if name.startswith("AWS_")}
    environment["GPTVQ_STORAGE_PROFILES"] = rgw.environment()["GPTVQ_TEST_S3_PROFILES"]
    place = lab.root.name
    for path in lab.model.sources():
        rgw.put(f"{place}/source/{path.relative_to(lab.model.directory)}", path)
    authority = Authority(lab.root / "authority")
    for name in WORKERS:
        authority.issue(name, f"URI:{DOMAIN}worker/{name}")
    authority.issue("coordinator", f"URI:{DOMAIN}coordinator/main,DNS:localhost,IP:127.0.0.1", "serverAuth")
    server = ChaosPostgres()
    try:
        with ReplicatedCluster(lab, lab.root / "cluster", server, store=f"s3://{rgw.bucket}/{place}/store",
                               certificates=authority.certificates, coordinator_environment=environment,
                               coordinator_arguments=SHORT_QUARANTINE) as cluster:
            workers = {name: start_worker(cluster, name, environment) for name in WORKERS}
            job_id, begin = cluster.submit(place=f"s3://{rgw.bucket}/{place}"), time.monotonic()
            kills = collections.Counter()
            while (state := cluster.state(job_id)) != "succeeded":
                check(state != "failed", f"the job failed, {dict(kills)}")
                check(time.monotonic() - begin < JOB_SECONDS, f"not done within {JOB_SECONDS} s, {dict(kills)}")
                pause(lab.random.uniform(shortest, longest))
                if kills.total() % COORDINATOR_TURN == 1:
                    name = lab.random.choice(cluster.names)
                    cluster.kill(cluster.coordinators[name])
                    cluster.restart(name)
                    kills["coordinators"] += 1
                elif victims := sorted(set(WORKERS) - spared(server)):
                    name = lab.random.choice(victims)
                    cluster.kill(workers[name])
                    workers[name] = start_worker(cluster, name, environment)
                    kills["workers"] += 1
            seconds = time.monotonic() - begin
            cluster.finish(job_id)
            rgw.fetch(f"{place}/{cluster.outputs[job_id].name}", cluster.outputs[job_id])
        journal = lab.verify(cluster)
    finally:
        server.remove()
    check(kills["coordinators"] and journal.count("expire"), f"no storm: {dict(kills)}, nothing lost")
    return (f"{kills['coordinators']} coordinators and {kills['workers']} workers killed in {seconds:.0f} s (quiet: "
            f"{lab.quiet_seconds:.0f} s), {journal.count('expire')} leases lost, {journal.count('grant')} granted; same manifest")


def start_worker(cluster, name, environment):
    return cluster.start_worker(name, environment=environment, arguments=OFTEN_KEPT)


def spared(server):
    """The workers that hold a task which may not be lost once more."""
    return set(server.ask("SELECT worker_name FROM gptvq.tasks WHERE state = 'leased' AND "
                          f"failures_lost >= {MOST_LOSSES}").split())
