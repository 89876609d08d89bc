"""F78-F81: uploads that outlive the coordinator that receives them."""

import concurrent.futures
import json

from experiment import check, experiment
from experiments.coordinator import restart
from experiments.replicated import replicated
from fault_proxy import TO_SERVER, FaultProxy, Faults
from laboratory import shown, upload_layers
from service_harness import wait_until

MIB = 64
KILLS = 4  # each after so much that the layer can not be complete
PART = 8
# What gRPC and the system hold between the proxy and the last byte that the coordinator stored.
ON_ITS_WAY = 8
LEASE = 30


def upload_under_kills(lab, cluster, proxy, kill):
    """One worker publishes a layer through the proxy, and `kill` is called now and then; what was seen, as text."""
    proxy.set(Faults(bytes_per_second=40 << 20))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        upload = pool.submit(upload_layers, cluster, workers=1, mib=MIB, layers_to=proxy.address)
        for _ in range(KILLS):
            aim = proxy.bytes[TO_SERVER] + (lab.random.randint(9, 14) << 20)
            wait_until(lambda aim=aim: proxy.bytes[TO_SERVER] >= aim, "the next kill")
            kill()
        seen = upload.result()
    check(seen["published"] == 1, "the layer was not published")
    return seen["seconds"]


def judged(proxy, journal, seconds):
    check([row["bytes"] for row in journal.layers] == [MIB << 20], "the journal has another layer")
    again = (proxy.bytes[TO_SERVER] / (1 << 20) - MIB) / KILLS
    check(again <= PART + ON_ITS_WAY, f"{again:.1f} MiB sent again for each of {KILLS} kills")
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    return f"{KILLS} kills, {again:.1f} MiB sent again for each; the layer arrived whole after {seconds:.1f} s"


EXPECTED = "resumes; at most 8 MiB, and what was on its way, sent again for each; no lease is lost"


@experiment("F78", f"SIGKILL of the coordinator, {KILLS} times while it receives a layer of {MIB} MiB; artifacts in files", EXPECTED,
            quick=True)
def kill_while_receiving(lab):
    lab.use_job("single")
    waits = []
    with lab.cluster("uploads", lease_seconds=LEASE) as cluster, FaultProxy(cluster.address, lab.seed) as proxy:
        job_id = cluster.submit()
        seconds = upload_under_kills(lab, cluster, proxy, lambda: waits.append(restart(cluster)))
        cluster.cancel(job_id)
    return f"{judged(proxy, lab.verify(cluster), seconds)}; serving again after {shown(waits)}"


def in_s3(lab):
    """Options of a cluster whose artifacts lie in Ceph's gateway."""
    rgw = lab.shared.gateway
    lab.canaries.append(rgw.secret_key)
    profiles = lab.root / "profiles.json"
    profile = {"endpoint": f"http://127.0.0.1:{rgw.http}", "region": "us-east-1", "credentials": {"source": "environment"}}
    profiles.write_text(json.dumps({"profiles": {"ceph": profile}, "places": {rgw.bucket: "ceph"}}))
    return {"store": f"s3://{rgw.bucket}/{lab.root.name}", "lease_seconds": LEASE, "coordinator_environment": {
        "AWS_ACCESS_KEY_ID": rgw.access_key, "AWS_SECRET_ACCESS_KEY": rgw.secret_key, "GPTVQ_STORAGE_PROFILES": str(profiles)}}


@experiment("F79", "as F78, with artifacts in S3", EXPECTED)
def kill_while_receiving_for_s3(lab):
    lab.use_job("single")
    options = in_s3(lab)
    before = lab.shared.gateway.open_uploads()
    with lab.cluster("uploads", **options) as cluster, FaultProxy(cluster.address, lab.seed) as proxy:
        job_id = cluster.submit()
        seconds = upload_under_kills(lab, cluster, proxy, lambda: restart(cluster))
        cluster.cancel(job_id)
    left = lab.shared.gateway.open_uploads() - before
    return f"{judged(proxy, lab.verify(cluster), seconds)}; {left} multipart uploads left open"


def take_turns(cluster, proxy, leave, come_back):
    """A `kill` for coordinators of which the other one takes over each time: what happens to the one that leads, and afterwards."""
    leaders = [cluster.leader()]

    def kill():
        old = leaders[-1]
        leaders.append(next(name for name in cluster.names if name != old))
        proxy.retarget(cluster.addresses[leaders[-1]])
        leave(cluster.coordinators[old])
        proxy.cut()
        wait_until(lambda: cluster.leads(leaders[-1]), "the other one to lead")
        come_back(old)

    return kill


@experiment("F80", "as F78, with two coordinators on one PostgreSQL journal: SIGKILL of the one that leads, which then returns to stand by",
            EXPECTED)
def kill_the_leader_while_receiving(lab):
    lab.use_job("single")
    with replicated(lab, lease_seconds=LEASE) as (cluster, _):
        with FaultProxy(cluster.addresses[cluster.leader()], lab.seed) as proxy:
            job_id = cluster.submit()
            kill = take_turns(cluster, proxy, cluster.kill, cluster.restart)
            seconds = upload_under_kills(lab, cluster, proxy, kill)
            cluster.cancel(job_id)
    return judged(proxy, cluster.verified, seconds)


@experiment("F81", "as F80, with SIGSTOP and artifacts in S3; the one that was stopped wakes up while the other one goes on with its upload",
            "the layer arrives whole; no lease is lost")
def stop_the_leader_while_receiving(lab):
    lab.use_job("single")
    with replicated(lab, **in_s3(lab)) as (cluster, _):
        with FaultProxy(cluster.addresses[cluster.leader()], lab.seed) as proxy:
            job_id = cluster.submit()
            kill = take_turns(cluster, proxy, cluster.stop, lambda old: cluster.resume(cluster.coordinators[old]))
            seconds = upload_under_kills(lab, cluster, proxy, kill)
            cluster.cancel(job_id)
    check([row["bytes"] for row in cluster.verified.layers] == [MIB << 20], "the journal has another layer")
    check(cluster.verified.count("expire") == 0, f"{cluster.verified.count('expire')} leases expired")
    return f"{KILLS} pauses; the layer arrived whole after {seconds:.1f} s"
