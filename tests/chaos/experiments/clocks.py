"""F64-F67: clocks that lie."""

import os
import pathlib
import signal

from experiment import NotRun, check, experiment
from laboratory import pause
from process_faults import LyingClock, need_root
from services import END_SECONDS


@experiment("F64", "the coordinator's wall clock jumps by +1 h and -1 h, 5 times each (libfaketime)",
            "0 leases lost; no negative duration")
def jumping_clock(lab):
    clock = LyingClock(lab.root)
    with lab.cluster(coordinator_environment=clock.environment()) as cluster:
        cluster.start_workers(2)
        job_id = cluster.submit()
        for offset in ("+1h", "+0", "-1h", "+0") * 5:
            pause(0.2)
            clock.set(offset)
        cluster.finish(job_id)
        ended = cluster.job(job_id)
    journal = lab.verify(cluster)
    check(ended["state"] == "succeeded", ended["state"])
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    return "20 jumps, 0 leases expired"


@experiment("F65", "the workers' wall clocks are a day ahead and a day behind", "no effect")
def wrong_day(lab):
    with lab.cluster() as cluster:
        for name, offset in (("ahead", "+1d"), ("behind", "-1d")):
            directory = cluster.directory / name
            directory.mkdir()
            cluster.start_worker(name, environment=LyingClock(directory, offset).environment())
        job_id = cluster.submit()
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    holders = {event.worker for event in journal.triggers("commit")}
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    check(holders == {"ahead", "behind"}, f"only {holders} worked")
    return "both worked, 0 leases expired"


@experiment("F66", "a worker's clocks, monotonic too, run at 2 and at 0.7 times their rate",
            "renewed every L/3 by those clocks: no lease is lost")
def wrong_rate(lab):
    with lab.cluster(lease_seconds=4) as cluster:
        for name, rate in (("fast", "+0 x2"), ("slow", "+0 x0.7")):
            directory = cluster.directory / name
            directory.mkdir()
            cluster.start_worker(name, environment=LyingClock(directory, rate, monotonic="faked").environment())
        job_id = cluster.submit()
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    holders = {event.worker for event in journal.triggers("commit")}
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    check(holders == {"fast", "slow"}, f"only {holders} worked")
    return "both worked, 0 leases expired"


@experiment("F67", "the coordinator is killed and starts in a time namespace whose boot was a day later, then a day earlier",
            "leases are rebased: none is lost")
def other_boot(lab):
    need_root("a time namespace")
    if not pathlib.Path("/proc/self/ns/time").exists():
        raise NotRun("the kernel has no time namespaces")
    with lab.cluster() as cluster:
        cluster.start_workers(2)
        job_id = cluster.submit()
        for offset in (86_400, -1_000):
            cluster.wait_for_layers(job_id, 1)
            end(cluster, signal.SIGKILL)
            cluster.coordinator_prefix = ("unshare", "--time", "--fork", "--kill-child", "--monotonic", str(offset),
                                          "--boottime", str(offset))
            cluster.start_coordinator(cluster.address)
        cluster.finish(job_id)
        check(end(cluster, signal.SIGTERM) == 0, "the coordinator did not stop in order")
    journal = lab.verify(cluster)
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    return "2 restarts in other time namespaces, 0 leases expired"


def end(cluster, number):
    """Signals the coordinator itself where `unshare` stands in front of it; returns the exit status."""
    process = cluster.coordinator
    cluster.meant_to_die.add(process)
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]) if children else process.pid, number)
    return process.wait(timeout=END_SECONDS)
