"""F41-F51: what happens between a worker and the coordinator, by a fault proxy in front of each worker."""

import contextlib
import itertools
import time

from experiment import Weaker, check, experiment
from fault_proxy import TO_CLIENT, TO_SERVER, FaultProxy, Faults
from laboratory import eventually, pause, upload_layers
from service_harness import wait_until
from services import LEASE_SECONDS


@contextlib.contextmanager
def proxied(lab, workers=2, make_intercept=lambda: None):
    """A cluster whose workers each have a proxy, and interception, of their own: (cluster, proxies)."""
    with lab.cluster() as cluster, contextlib.ExitStack() as stack:
        proxies = []
        for number in range(workers):
            proxies.append(stack.enter_context(FaultProxy(cluster.address, f"{lab.seed}-{number}", make_intercept())))
            cluster.start_worker(f"w{number}", to=proxies[-1].address)
        yield cluster, proxies


@experiment("F41", "both directions of one worker's connections held for 1.5L, in mid-compute",
            "its task moves; its late calls are refused", quick=True)
def partition(lab):
    with proxied(lab, workers=1) as (cluster, proxies):
        job_id = cluster.submit()
        task = cluster.wait_for_holder(job_id, "w0")
        proxies[0].hold()
        cluster.start_worker("heir")
        pause(1.5 * LEASE_SECONDS)
        wait_until(lambda: f"task={task} " in cluster.log("heir"), "the heir to hold the task")
        proxies[0].heal()
        wait_until(lambda: f"task={task} result=" in cluster.log("w0"), "the first holder to end the task")
        refusals = cluster.refusals()
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    check(f"task={task} result=lost" in cluster.log("w0"), "the first holder did not drop the task")
    check(refusals >= 1, "no late call was refused")
    return f"{journal.count('expire')} lease(s) moved, {refusals} late call(s) refused"


@experiment("F42", "answers to one worker are held for 0.7L, its calls pass; 5 times",
            "no effect happens twice; repeated calls find their effect done")
def one_way(lab):
    with proxied(lab) as (cluster, proxies):
        job_id = cluster.submit()
        for _ in range(5):
            pause(lab.random.uniform(0, 0.3))
            proxies[0].hold(TO_CLIENT)
            pause(0.7 * LEASE_SECONDS)
            proxies[0].heal()
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    return f"{journal.count('expire')} leases expired; every task committed once, every layer published once"


def lose_replies(lab, method):
    """Loses every other answer of a method to each worker: (how many, the journal)."""

    def every_other():
        actions = itertools.cycle(("cut", None))  # the repetition is answered
        return lambda path, stage: next(actions) if (path, stage) == (method, "reply") else None

    with proxied(lab, make_intercept=every_other) as (cluster, proxies):
        job_id = cluster.submit()
        cluster.finish(job_id)
        cuts = sum(proxy.cuts for proxy in proxies)
    journal = lab.verify(cluster)
    retries = sum(cluster.log(f"w{number}").count(f"method={method}") for number in range(2))
    check(cuts > 0 and retries >= cuts, f"{cuts} answers lost, {retries} calls repeated")
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    return cuts, journal


@experiment("F43", "exactly the answers to CompleteTask are lost, every other one",
            "the repetition is answered ALREADY_COMMITTED; no second commit", quick=True)
def lose_commit_replies(lab):
    cuts, journal = lose_replies(lab, "CompleteTask")
    return f"{cuts} answers lost, {journal.count('commit')} tasks committed, each once"


@experiment("F44", "exactly the answers to LeaseTask are lost, every other one",
            "the same poll gets the same grant again: no lease expires, no attempt is wasted", quick=True)
def lose_lease_replies(lab):
    cuts, journal = lose_replies(lab, "LeaseTask")
    wasted = sum(max(0, row["attempt"] - 1) for row in journal.tasks)
    check(wasted == 0, f"{wasted} attempts wasted")
    return f"{cuts} answers lost, {journal.count('grant')} grants for {len(journal.tasks)} tasks"


@experiment("F45", "every chunk takes 300 ms and up to 100 ms more, both ways", "0 leases lost")
def latency(lab):
    with proxied(lab) as (cluster, proxies):
        for proxy in proxies:
            proxy.set(Faults(delay_seconds=0.3, jitter_seconds=0.1))
        begin = time.monotonic()
        job_id = cluster.submit()
        cluster.finish(job_id)
        seconds = time.monotonic() - begin
    journal = lab.verify(cluster)
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    return f"0 leases expired; {seconds:.1f} s, quiet run {lab.quiet_seconds:.1f} s"


@experiment("F46", "each connection of a worker carries 64 kbit/s while it uploads layers",
            "renewals get through between the chunks: 0 leases lost")
def narrow(lab):
    with proxied(lab) as (cluster, proxies):
        for proxy in proxies:
            proxy.set(Faults(bytes_per_second=8_000))
        job_id = cluster.submit()
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    return "0 leases expired"


def finish_between_resets(lab):
    """A whole job whose workers' connections all end after some calls; how many did."""
    with proxied(lab) as (cluster, proxies):
        for proxy in proxies:
            proxy.set(Faults(cut_after_bytes=(30_000, 250_000)))
            proxy.cut()
        job_id = cluster.submit()
        cluster.finish(job_id)
        cuts = sum(proxy.cuts for proxy in proxies)
    lab.verify(cluster)
    check(cuts > 0, "nothing was cut")
    return cuts


@experiment("F47", "every connection of the workers of a job is reset after 30 to 250 KB; then every one that carries a layer of "
            "64 MiB at a random byte, more than 30 times", "resumes; at most 8 MiB sent again for each cut")
def resets(lab):
    resets_of_a_job = finish_between_resets(lab)
    lab.use_job("single")
    mib = 64
    with lab.cluster("uploads", lease_seconds=12) as cluster, FaultProxy(cluster.address, lab.seed) as proxy:
        proxy.set(Faults(cut_after_bytes=(1, 2 * (mib << 20) // 30)))
        job_id = cluster.submit()
        seen = upload_layers(cluster, workers=1, mib=mib, layers_to=proxy.address)
        cluster.cancel(job_id)
    journal = lab.verify(cluster)
    check(seen["published"] == 1, "the layer was not published")
    check([row["bytes"] for row in journal.layers] == [mib << 20], "the journal has another layer")
    check(proxy.cuts >= 30, f"only {proxy.cuts} cuts")
    again = max(0, proxy.client_bytes - (mib << 20)) / proxy.cuts / (1 << 20)
    check(again <= 8, f"{again:.1f} MiB sent again for each of {proxy.cuts} cuts")
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    return (f"{resets_of_a_job} resets, the job succeeded; {proxy.cuts} of the layer, {again:.2f} MiB sent again for each, "
            f"it arrived whole after {seen['seconds']:.1f} s")


@experiment("F48", "one bit of a layer is flipped on every connection to the coordinator, without TLS",
            "CRC-32C or SHA-256 refuses the layer, or HTTP/2 the frame; sent again; S1", quick=True)
def flips(lab):
    with proxied(lab) as (cluster, proxies):
        for proxy in proxies:
            proxy.set(Faults(flip_after_bytes=(2_000, 60_000), cut_after_bytes=(200_000, 300_000)))
            proxy.cut()
        job_id = cluster.submit()
        eventually(lambda: cluster.job(job_id)["state"] not in ("pending", "running", "finalizing") or
                   sum(proxy.flips for proxy in proxies) >= 8, 120, "eight flips or the end of the job")
        for proxy in proxies:
            proxy.heal()
            proxy.cut()
        cluster.finish(job_id)
        flipped = sum(proxy.flips for proxy in proxies)
        data_loss = int(cluster.metric('calls_total{code="DATA_LOSS"}'))
    lab.verify(cluster)
    return f"{flipped} bits flipped, {data_loss} calls refused with DATA_LOSS; the manifest is the quiet run's"


@experiment("F49", "a worker's connection is half open: nothing passes, nothing is closed; then its host is gone (SIGKILL)",
            "keepalive closes the coordinator's end in at most 80 s (ping every 60 s, 20 s for the answer)")
def half_open(lab):
    with proxied(lab, workers=1) as (cluster, proxies):
        job_id = cluster.submit()
        cluster.wait_for_holder(job_id, "w0")
        proxies[0].hold()
        cluster.kill(cluster.processes[-1])
        begin = time.monotonic()
        cluster.start_worker("heir")
        cluster.finish(job_id)
        eventually(lambda: proxies[0].closed_by_server > 0, 100, "the coordinator closes its end")
        seconds = time.monotonic() - begin
    lab.verify(cluster)
    check(seconds < 90, f"closed after {seconds:.0f} s")
    return f"closed after {seconds:.0f} s; the job succeeded meanwhile"


@experiment("F51", "swizzle: the workers are cut off one by one in random order and come back in random order, 3 times",
            "the job completes; S1")
def swizzle(lab):
    with proxied(lab, workers=3) as (cluster, proxies):
        job_id = cluster.submit()
        for _ in range(3):
            for order, act in ((proxies[:], FaultProxy.hold), (proxies[:], FaultProxy.heal)):
                lab.random.shuffle(order)
                for proxy in order:
                    pause(lab.random.uniform(0, 1))
                    act(proxy)
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    return f"{journal.count('expire')} leases expired, {journal.count('commit')} tasks committed once each"
