"""F52-F63: what happens to stored bytes: Ceph's object gateway behind an HTTP proxy, and directories."""

import contextlib
import errno
import json
import os
import pathlib
import subprocess
import threading

from experiment import check, experiment
from http_fault_proxy import LOSE, TRUNCATE, HttpFaultProxy, Reply
from laboratory import LAYERS, eventually, pause
from process_faults import FailingCalls, filled, small_file_system
from service_harness import wait_until
from services import BIN, LEASE_SECONDS

ERROR_BODY = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>injected</Message></Error>"


# Amazon S3's protocol, against a real gateway.


@contextlib.contextmanager
def stored_in_s3(lab, fault, credentials=None):
    """A cluster of two workers whose artifacts lie in the gateway, reached through a proxy with this fault: (cluster,
    proxy). Boundaries are larger than a part, so that they are sent in several."""
    rgw = lab.shared.gateway
    lab.use_job("wide")
    lab.canaries.append(rgw.secret_key)
    with HttpFaultProxy(rgw.http, fault) as proxy:
        profiles = lab.root / "profiles.json"
        profile = {"endpoint": proxy.endpoint, "region": "us-east-1", "credentials": credentials or {"source": "environment"}}
        profiles.write_text(json.dumps({"profiles": {"faulty": profile}, "places": {rgw.bucket: "faulty"}}))
        environment = {"AWS_ACCESS_KEY_ID": rgw.access_key, "AWS_SECRET_ACCESS_KEY": rgw.secret_key,
                       "GPTVQ_STORAGE_PROFILES": str(profiles)}
        store = f"s3://{rgw.bucket}/{lab.root.name}"
        with lab.cluster(store=store, coordinator_environment=environment) as cluster:
            cluster.environment = environment
            for name in ("a", "b"):
                cluster.start_worker(name, environment=environment)
            yield cluster, proxy


def is_part(request):
    return request.method == "PUT" and "partNumber=" in request.path


def is_complete(request):
    return request.method == "POST" and "uploadId=" in request.path


def run_against(lab, fault):
    with stored_in_s3(lab, fault) as (cluster, proxy):
        job_id = cluster.submit()
        cluster.finish(job_id)
    return lab.verify(cluster), proxy


@experiment("F52", "the gateway is killed as it gets a part, as it completes an upload, and before it says that it has; "
            "it is back 2 s later", "the object is found, or sent again; the job completes; no upload is left open")
def gateway_killed(lab):
    rgw = lab.shared.gateway
    waiting = {"part", "complete", "completed"}
    killed = threading.Event()

    def fault(request):
        if killed.is_set() or not (is_part(request) or is_complete(request)):
            return None
        point = "part" if is_part(request) else "complete" if "complete" in waiting else "completed"
        if point not in waiting:
            return None
        waiting.remove(point)
        if point != "completed":
            killed.set()
            rgw.kill_gateway()
        return LOSE

    with stored_in_s3(lab, fault) as (cluster, proxy):
        job_id = cluster.submit()
        for _ in range(2):
            wait_until(killed.is_set, "the gateway to be killed")
            pause(2)
            rgw.start_gateway()
            killed.clear()
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    check(not waiting, f"not reached: {waiting}")
    uploads = rgw.open_uploads()
    check(uploads == 0, f"{uploads} multipart uploads were left open")
    return f"2 kills and a lost answer, {len(proxy.requests)} requests, 0 open uploads, {journal.count('retry')} task retries"


@experiment("F53", "30 % of the requests are answered with 503 SlowDown or 500", "retried with growing delays within a budget")
def slow_down(lab):
    answers = (Reply(503, ERROR_BODY % b"SlowDown"), Reply(500, ERROR_BODY % b"InternalError"))
    refused = []

    def fault(_):
        if lab.random.random() >= 0.3:
            return None
        refused.append(lab.random.choice(answers))
        return refused[-1]

    journal, proxy = run_against(lab, fault)
    check(len(proxy.requests) < 8 * (len(proxy.requests) - len(refused)), "more than 8 attempts for a request")
    return f"{len(refused)} of {len(proxy.requests)} requests refused, {journal.count('retry')} task retries"


@experiment("F54", "every third GET gets half of its body, and the connection closes", "never used; read again")
def truncated_get(lab):
    gets = []

    def fault(request):
        if request.method != "GET":
            return None
        gets.append(request)
        return TRUNCATE if len(gets) % 3 == 0 else None

    journal, _ = run_against(lab, fault)
    check(len(gets) >= 3, "nothing was cut")
    return f"{len(gets) // 3} of {len(gets)} answers cut short, {journal.count('retry')} task retries"


@experiment("F55", "the first CompleteMultipartUpload is answered 200 with an error in its body, and not done",
            "taken as a failure; repeated")
def complete_that_fails(lab):
    completed = []

    def fault(request):
        if not is_complete(request):
            return None
        completed.append(request)
        return Reply(200, ERROR_BODY % b"InternalError") if len(completed) == 1 else None

    journal, _ = run_against(lab, fault)
    check(len(completed) >= 2, "not repeated")
    return f"{len(completed)} completions asked, the first answered with an error; {journal.count('retry')} task retries"


def is_manifest(request):
    return request.method == "PUT" and request.path.endswith("/gptvq_manifest.json")


def ends_of_jobs(lab, cluster, output, *seeds):
    """Submits one job for each seed, all with this output; their final states, sorted, and what the failed ones say."""
    job_ids = [cluster.client("submit", *lab.job_flags(output, seed=seed)).strip() for seed in seeds]
    for job_id in job_ids:
        wait_until(lambda job_id=job_id: cluster.state(job_id) in ("succeeded", "failed"), f"{job_id} to end")
    states = sorted(cluster.state(job_id) for job_id in job_ids)
    failures = [cluster.job(job_id).get("failure") or "" for job_id in job_ids]
    check("succeeded" in states, f"{output}: {failures}")
    verified = subprocess.run([str(BIN / "gptvq-client"), "verify", output], env={**os.environ, **cluster.environment},
                              check=False, capture_output=True, text=True)
    check(verified.returncode == 0, verified.stderr)
    return states, failures


@experiment("F56", "the manifest's PUT is answered 412, or 409, without being done, or after it was done; two jobs of different seeds "
            "write to one place",
            "read back: equal is success; other is a job that FAILED with CONFLICT, naming the place, and the first result is whole")
def conflicting_manifests(lab):
    refusals = {"412": Reply(412, ERROR_BODY % b"PreconditionFailed"), "409": Reply(409, ERROR_BODY % b"OperationAborted"),
                "lost": LOSE}
    faults = []  # for the next PUTs of a manifest
    puts = []

    def fault(request):
        if not is_manifest(request):
            return None
        puts.append(request)
        return faults.pop() if faults else None

    with stored_in_s3(lab, fault) as (cluster, _):
        for name, refusal in refusals.items():
            faults.append(refusal)
            states, failures = ends_of_jobs(lab, cluster, f"{cluster.store}/result-{name}", 1)
            check(states == ["succeeded"], f"{name}: {failures}")
        states, failures = ends_of_jobs(lab, cluster, f"{cluster.store}/both", 1, 2)
        check(states == ["failed", "succeeded"], f"{states}: {failures}")
    lab.verify(cluster)
    check(all(request.headers.get("if-none-match") == "*" for request in puts), "a manifest was put without condition")
    failure = "".join(failures)
    check("CONFLICT" in failure and f"{cluster.store}/both" in failure, failure)
    return (f"{len(puts)} PUTs of manifests, all with a condition; answered 412, 409 or not at all: succeeded; two jobs: one "
            f"succeeded and is whole, one failed: {failure}")


@experiment("F59", "six jobs that make the same bytes, two at a time, while artifacts are deleted as soon as nobody needs them",
            "never committed but missing: every job has its result; in the end the store is empty")
def garbage_race(lab):
    at_once = ("--artifact-grace-ms", "0", "--boundary-grace-ms", "0")
    with lab.cluster(coordinator_arguments=at_once) as cluster:
        cluster.start_workers(2)
        job_ids = [cluster.submit()]
        for _ in range(5):
            job_ids.append(cluster.submit())
            cluster.finish(job_ids[-2])
        cluster.finish(job_ids[-1])
        folder = pathlib.Path(cluster.store) / "artifacts" / "sha256"
        eventually(lambda: not [path for path in folder.rglob("*") if path.is_file()], 30, "the artifacts are deleted")
        deleted = cluster.metric("artifacts_deleted_total")
        refused = cluster.metric('calls_total{code="UNAVAILABLE"}')
    journal = lab.verify(cluster)
    check(deleted >= LAYERS, f"only {deleted:.0f} artifacts were deleted")
    return (f"{deleted:.0f} artifacts of {len(journal.layers)} layers deleted under {len(job_ids)} jobs, {refused:.0f} calls "
            f"told to come again, {journal.count('retry')} task retries")


@experiment("F62", "from the eighth request on, 403 ExpiredToken for the first credentials; the credentials file has others",
            "read anew; the job completes; no secret in a log")
def expired_credentials(lab):
    rgw = lab.shared.gateway
    new_key, new_secret = "GPTVQNEWKEY", "gptvq-new-secret-CANARY"
    rgw.add_key(new_key, new_secret)
    lab.canaries.append(new_secret)
    file = lab.root / "credentials"
    served, expired = [], []

    def write(key, secret):
        file.with_suffix(".part").write_text(f"[default]\naws_access_key_id={key}\naws_secret_access_key={secret}\n")
        file.with_suffix(".part").rename(file)

    def fault(request):
        is_old = f"Credential={rgw.access_key}/" in request.headers["authorization"]
        if not is_old or len(served) < 7:
            served.append(request)
            return None
        write(new_key, new_secret)
        expired.append(request)
        return Reply(403, ERROR_BODY % b"ExpiredToken")

    write(rgw.access_key, rgw.secret_key)
    with stored_in_s3(lab, fault, credentials={"source": "file", "path": str(file)}) as (cluster, _):
        cluster.finish(cluster.submit())
    lab.verify(cluster)
    check(expired, "no request was refused")
    return f"{len(expired)} requests refused as expired, {len(served)} served; the job completed with the new credentials"


@experiment("F63", "conditional headers are stripped from every request", "nothing depends on them")
def no_conditions(lab):
    _, proxy = run_against(lab, lambda request: None)
    conditional = [request for request in proxy.requests
                   if request.method in ("PUT", "POST") and any(name.startswith("if-") for name in request.headers)]
    check(not conditional, f"{len(conditional)} conditional writes")
    return f"{len(proxy.requests)} requests, none of those that write has a condition to strip"


# Directories.


def artifacts(cluster):
    return [path for path in pathlib.Path(cluster.store).rglob("*") if path.is_file() and "sha256" in path.parts]


def damage_and_repair(lab, damage):
    """Damages every artifact when half of the layers are published, and again when the last one is: before it is read by a
    task, and before it is built into the result. The job has to come to the golden manifest by itself."""
    damaged = []
    with lab.cluster() as cluster:
        worker = cluster.start_worker("a")
        job_id = cluster.submit()
        for layers in (LAYERS // 2, LAYERS):
            cluster.wait_for_layers(job_id, layers)
            cluster.stop(worker)
            damaged.append(artifacts(cluster))
            for path in damaged[-1]:
                damage(path)
            cluster.resume(worker)
        cluster.finish(job_id)
        lost = cluster.metric("artifacts_lost_total")
        # What nobody read again is still as the fault left it; the same job stores it whole.
        cluster.finish(cluster.submit())
    journal = lab.verify(cluster)
    repairs = journal.count("repair", job_id)
    check(repairs > 0, "nothing was made again")
    return (f"{len(damaged[0])} and {len(damaged[1])} artifacts damaged, {lost:.0f} of them found, {repairs} tasks run again; "
            f"the job came to the same manifest by itself")


def flip_a_bit(random):
    def damage(path):
        content = bytearray(path.read_bytes())
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        path.write_bytes(content)

    return damage


@experiment("F57", "a bit of every stored artifact is flipped, half way through the job and again before it is finalized",
            "found when read; made again by who made it (T15); the golden manifest")
def flipped_artifacts(lab):
    return damage_and_repair(lab, flip_a_bit(lab.random))


@experiment("F58", "every stored artifact is deleted, half way through the job and again before it is finalized", "as F57")
def deleted_artifacts(lab):
    return damage_and_repair(lab, pathlib.Path.unlink)


@experiment("F60", "the file system of the artifacts (tmpfs of 32 MiB) is full for 2L, then has space again",
            "refused with RESOURCE_EXHAUSTED; the job completes once there is space; no temporary file is left")
def store_full(lab):
    with small_file_system(lab.root / "store", 32 << 20) as store:
        with lab.cluster(store=str(store)) as cluster:
            cluster.start_workers(2)
            job_id = cluster.submit()
            cluster.wait_for_layers(job_id, 1)
            with filled(store):
                wait_until(lambda: cluster.metric('calls_total{code="RESOURCE_EXHAUSTED"}') or
                           "RESOURCE_EXHAUSTED" in cluster.log("w0") + cluster.log("w1"), "a refused artifact")
                pause(2 * LEASE_SECONDS)
            cluster.finish(job_id)
            refused = int(cluster.metric('calls_total{code="RESOURCE_EXHAUSTED"}'))
        journal = lab.verify(cluster)
    return f"{refused} uploads refused, {journal.count('retry')} task retries, {journal.count('expire')} leases expired"


@experiment("F61", "1 % of pread, pwrite, fsync and fdatasync of coordinator and workers fail with EIO for 15 s (libfiu; not "
            "write and rename: gRPC writes to its event descriptors, and libfiu has no renameat)",
            "retried; the job succeeds with the same bytes; no temporary file is left")
def failing_calls(lab):
    calls = FailingCalls(lab.root)
    with lab.cluster(coordinator_environment=calls.environment()) as cluster:
        processes = [cluster.coordinator, *(cluster.start_worker(name, environment=calls.environment()) for name in "ab")]
        job_id = cluster.submit()
        wait_until(lambda: all("registered" in cluster.log(name) for name in "ab"), "the workers to register")
        names = ("posix/io/rw/pread", "posix/io/rw/pwrite", "posix/io/sync/*")
        for process in processes:
            for name in names:
                calls.enable(process, name, probability=0.01, failinfo=errno.EIO)
        pause(15)
        for process in processes:
            for name in names:
                calls.disable(process, name)
        cluster.finish(job_id)
        unavailable = int(cluster.metric('calls_total{code="UNAVAILABLE"}'))
    journal = lab.verify(cluster)
    return f"{journal.count('retry')} task retries, {unavailable} calls refused by the journal; the job succeeded"
