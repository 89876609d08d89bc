"""F76, F77: every part that a fleet uses, and a kill every few seconds."""

import time

from authority import DOMAIN, Authority
from experiment import check, experiment
from laboratory import JOB_SECONDS, pause
from process_faults import need
from replicas import ChaosPostgres, ReplicatedCluster

WORKERS = ("w1", "w2", "w3", "w4")
COORDINATORS_SHARE = 0.2  # of the kills: the other one leads no sooner than 5 s after the death of the leader
SETTING = ("over TLS; two coordinators on one PostgreSQL journal; model, texts, artifacts and result in S3; four workers: SIGKILL of "
           "one of the six programs every ")
PROMISE = "the manifest of the quiet run: two workers, files, plain text, nothing killed"


@experiment("F76", SETTING + "1 to 4 s; each is started again", PROMISE)
def small_storm(lab):
    return storm(lab, 1, 4)


@experiment("F77", "the demo's model (SmolLM2-135M): " + SETTING + "4 to 8 s; each is started again", PROMISE)
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
                               certificates=authority.certificates, coordinator_environment=environment) as cluster:
            workers = {name: cluster.start_worker(name, environment=environment) for name in WORKERS}
            job_id, begin = cluster.submit(place=f"s3://{rgw.bucket}/{place}"), time.monotonic()
            kills = {"coordinator": 0, "worker": 0}
            while (state := cluster.state(job_id)) != "succeeded":
                check(state != "failed", f"the job failed, {kills}")
                check(time.monotonic() - begin < JOB_SECONDS, f"not done within {JOB_SECONDS} s, {kills}")
                pause(lab.random.uniform(shortest, longest))
                if lab.random.random() < COORDINATORS_SHARE:
                    name = lab.random.choice(cluster.names)
                    cluster.kill(cluster.coordinators[name])
                    cluster.restart(name)
                    kills["coordinator"] += 1
                else:
                    name = lab.random.choice(WORKERS)
                    cluster.kill(workers[name])
                    workers[name] = cluster.start_worker(name, environment=environment)
                    kills["worker"] += 1
            seconds = time.monotonic() - begin
            cluster.finish(job_id)
            rgw.fetch(f"{place}/{cluster.outputs[job_id].name}", cluster.outputs[job_id])
        journal = lab.verify(cluster)
    finally:
        server.remove()
    return (f"{kills['coordinator']} coordinators and {kills['worker']} workers killed in {seconds:.0f} s (quiet: "
            f"{lab.quiet_seconds:.0f} s), {journal.count('expire')} leases lost, {journal.count('grant')} granted; same manifest")
