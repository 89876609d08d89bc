"""F01-F19: what happens to workers."""

import json
import signal
import subprocess
import time

from experiment import check, experiment, not_run
from fault_proxy import FaultProxy
from laboratory import LAYERS, eventually, pause, shown
from process_faults import FailingCalls, cgroup, held_thread
from service_harness import wait_until
from services import BIN, LEASE_SECONDS


def busy_process(cluster, job_id, processes, random):
    """A process that holds a task of the job; None without one."""
    leased = {task["worker"] for task in cluster.job(job_id)["tasks"] if task["state"] == "leased"}
    busy = [process for process in processes if process.name in leased]
    return random.choice(busy) if busy else None


@experiment("F01", "SIGKILL of a random busy worker at random moments, 6 times; each is replaced",
            "every lost task is offered again less than 2L after the kill")
def kill_workers(lab):
    kills, cluster = kill_six_workers(lab)
    journal = lab.verify(cluster)
    expired = journal.triggers("expire")
    late = [event.seconds - max(kill for kill in kills if kill < event.seconds) for event in expired]
    check(len(expired) <= len(kills), f"{len(expired)} leases expired after {len(kills)} kills")
    check(all(wait < 2 * LEASE_SECONDS for wait in late), f"noticed after {shown(late)}")
    return (f"{len(kills)} kills, {len(expired)} leases lost, offered again {shown(late)} after the kill, "
            f"taken after {shown(journal.seconds_until_granted_again())}")


def kill_six_workers(lab, **options):
    """The times of the kills, and the cluster after its jobs: when one is over, the next begins."""
    kills = []
    with lab.cluster(**options) as cluster:
        workers = cluster.start_workers(3)
        job_ids = []

        def find():
            if not job_ids or cluster.job(job_ids[-1])["state"] == "succeeded":
                job_ids.append(cluster.submit())
            return busy_process(cluster, job_ids[-1], workers, lab.random)

        for number in range(6):
            victim = wait_until(find, "a worker with a task")
            pause(lab.random.uniform(0, 0.5))
            kills.append(time.time())
            cluster.kill(victim)
            workers.remove(victim)
            workers.append(cluster.start_worker(f"new{number}"))
        for job_id in job_ids:
            cluster.finish(job_id)
        cluster.deleted = cluster.metric("artifacts_deleted_total")
    return kills, cluster


@experiment("F73", "as F01, with boundaries deleted 0.1 s after their last reader and layers 0.1 s after their job, 40 rounds a second",
            "nothing that is referenced is deleted: the job succeeds; what is stored hashes to its name")
def collect_while_workers_die(lab):
    kills, cluster = kill_six_workers(lab, coordinator_arguments=("--artifact-grace-ms", "100", "--boundary-grace-ms", "100"))
    journal = lab.verify(cluster)
    check(cluster.deleted >= 1, "nothing was deleted")
    return (f"{len(kills)} kills, {journal.count('expire')} leases lost, {cluster.deleted:.0f} artifacts deleted while the job ran "
            "and just after")


@experiment("F02", "SIGSTOP of a worker in mid-compute for 3L, then SIGCONT",
            "its next call is refused with STALE_EPOCH or NOT_HELD; it drops the task; the other worker's bytes stand",
            quick=True)
def stop_a_worker(lab):
    with lab.cluster() as cluster:
        sleeper = cluster.start_worker("sleeper")
        job_id = cluster.submit()
        task = cluster.wait_for_holder(job_id, "sleeper")
        cluster.stop(sleeper)
        cluster.start_worker("heir")
        wait_until(lambda: f"task={task} " in cluster.log("heir"), "the heir to hold the task")
        cluster.resume(sleeper)
        wait_until(lambda: f"task={task} result=lost" in cluster.log("sleeper"), "the sleeper to drop the task")
        refusals = cluster.refusals()
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    check(journal.count("expire") == 1, f"{journal.count('expire')} leases expired")
    check(refusals >= 1, "nothing was refused")
    commit = [event for event in journal.by_task()[task] if event.trigger == "commit"]
    check(commit[0].worker == "heir", f"{commit[0].worker} committed")
    return f"1 lease lost, {refusals} call(s) refused, the heir committed"


@experiment("F03", "SIGSTOP of a worker between its last published layer and CompleteTask, until another holds the task",
            "as F02; the layers are not computed or sent again", quick=True)
def stop_before_commit(lab):
    stopped = []

    def intercept(path, stage):
        if (path, stage) == ("CompleteTask", "request") and "layer published" in cluster.log("sleeper") and not stopped:
            stopped.append(sleeper)
            cluster.stop(sleeper)
            return "cut"  # the call did not get out before the stop
        return None

    with lab.cluster() as cluster, FaultProxy(cluster.address, lab.seed, intercept) as proxy:
        sleeper = cluster.start_worker("sleeper", to=proxy.address)
        job_id = cluster.submit()
        wait_until(lambda: stopped, "the worker to be about to commit")
        task = cluster.log("sleeper").rsplit('msg="layer published" task=', 1)[1].split()[0]
        cluster.start_worker("heir")
        wait_until(lambda: f"task={task} result=completed" in cluster.log("heir"), "the heir to commit")
        again = cluster.log("heir").count(f'msg="layer published" task={task} ')
        cluster.resume(sleeper)
        wait_until(lambda: f"task={task} result=lost" in cluster.log("sleeper"), "the sleeper to drop the task")
        refusals = cluster.refusals()
        cluster.finish(job_id)
    lab.verify(cluster)
    check(again == 0, f"{again} layers were published again")
    check(refusals >= 1, "the late commit was not refused")
    return f"the heir committed without computing a layer; {refusals} late call(s) refused"


@experiment("F04", "the renewal thread of a worker is held by ptrace; its executor, too, until another worker has the task",
            "the lease is lost after L; what the first holder then publishes or commits is refused")
def hold_the_heartbeat(lab):
    with lab.cluster() as cluster:
        mute = cluster.start_worker("mute")
        job_id = cluster.submit()
        task = cluster.wait_for_holder(job_id, "mute")
        with held_thread(mute, "renewal"):
            with held_thread(mute, "executor"):
                cluster.start_worker("heir")
                wait_until(lambda: f"task={task} " in cluster.log("heir"), "the heir to hold the task")
            wait_until(lambda: f"task={task} result=" in cluster.log("mute"), "the mute worker to end the task")
        check(f"task={task} result=lost" in cluster.log("mute"), "the mute worker's late commit was taken")
        refusals = cluster.refusals()
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    check(journal.count("expire") >= 1 and refusals >= 1, "no lease was lost, or no call refused")
    return f"{journal.count('expire')} lease(s) lost, {refusals} late call(s) refused"


@experiment("F05", "SIGSEGV in a random worker in mid-compute, 3 times; a supervisor starts it again under its name",
            "resumes at the first layer that was not published (the product has no executor child: the process is it)",
            quick=True)
def crash_workers(lab):
    with lab.cluster() as cluster:
        workers = cluster.start_workers(2)
        job_id = cluster.submit()
        for _ in range(3):
            victim = wait_until(lambda: busy_process(cluster, job_id, workers, lab.random), "a worker with a task")
            pause(lab.random.uniform(0, 0.3))
            cluster.meant_to_die.add(victim)
            victim.send_signal(signal.SIGSEGV)
            victim.wait()
            workers.remove(victim)
            workers.append(cluster.start_worker(victim.name))
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    return f"3 crashes, {journal.count('expire')} leases lost; no layer was published twice"


@experiment("F06", "the executor thread of a worker is held by ptrace; heartbeats go on",
            "the stall is noticed after --stall-after-ms (3 s here); the task finishes elsewhere")
def hold_the_executor(lab):
    with lab.cluster(coordinator_arguments=("--stall-after-ms", "3000")) as cluster:
        hung = cluster.start_worker("hung")
        job_id = cluster.submit()
        task = cluster.wait_for_holder(job_id, "hung")
        with held_thread(hung, "executor"):
            cluster.start_worker("heir")
            cluster.finish(job_id)
    journal = lab.verify(cluster)
    stalls = [event for event in journal.triggers("stall") if event.task_id == task]
    check(len(stalls) == 1, f"{len(stalls)} stalls of {task}")
    grant = next(event for event in journal.by_task()[task] if event.trigger == "grant")
    check(journal.count("expire") == 0, "a lease expired although heartbeats went on")
    return f"stall noticed {stalls[0].seconds - grant.seconds:.1f} s after the grant; the heir finished; 0 leases expired"


@experiment("F07", "SIGTERM of a worker in mid-compute",
            "it gives the task back and exits with 0; taken again in less than 1 s; no failure is counted", quick=True)
def drain_a_worker(lab):
    with lab.cluster() as cluster:
        leaver = cluster.start_worker("leaver")
        job_id = cluster.submit()
        task = f"{job_id}/quantize-{LAYERS // 2 - 1}"  # the last: whoever comes has nothing else to do
        wait_until(lambda: f'msg="task leased" task={task} ' in cluster.log("leaver"), "the last shard to be leased")
        heir = cluster.start_worker("heir")
        wait_until(lambda: "registered" in cluster.log(heir.name), "the heir to register")
        begin = time.monotonic()
        status = cluster.terminate(leaver)
        seconds = time.monotonic() - begin
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    check(status == 0, f"exit status {status}")
    check(journal.count("expire") == 0, "a lease expired")
    released = [event for event in journal.by_task()[task] if event.trigger == "release"]
    waits = journal.seconds_until_granted_again("release")
    row = next(row for row in journal.tasks if row["task_id"] == task)
    counted = sum(row[name] for name in row if name.startswith("failures_"))
    check(counted == 0, f"{counted} failures counted")
    check(all(wait < 1 for wait in waits), f"taken again after {shown(waits)}")
    return f"exit 0 after {seconds:.2f} s, {len(released)} task given back, taken again after {shown(waits)}, 0 failures"


@experiment("F08", "SIGTERM of a worker that cannot reach the coordinator, SIGKILL after 1 s",
            "the lease ends by itself; the task is offered again within 2L of the kill")
def drain_in_vain(lab):
    with lab.cluster() as cluster, FaultProxy(cluster.address, lab.seed) as proxy:
        leaver = cluster.start_worker("leaver", to=proxy.address)
        job_id = cluster.submit()
        task = cluster.wait_for_holder(job_id, "leaver")
        proxy.hold()
        cluster.meant_to_die.add(leaver)
        leaver.terminate()
        pause(1)
        check(leaver.poll() is None, "the worker ended without having given its task back")
        killed = time.time()
        cluster.kill(leaver)
        cluster.start_worker("heir")
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    expired = [event for event in journal.by_task()[task] if event.trigger == "expire"]
    check(len(expired) == 1, f"{len(expired)} leases of {task} expired")
    late = expired[0].seconds - killed
    check(late < 2 * LEASE_SECONDS, f"offered again {late:.1f} s after the kill")
    return f"offered again {late:.1f} s after the kill"


@experiment("F09", "SIGKILL of all workers at once; others with other names come", "the job completes; S1", quick=True)
def replace_all_workers(lab):
    with lab.cluster() as cluster:
        workers = cluster.start_workers(3)
        job_id = cluster.submit()
        cluster.wait_for_layers(job_id, lab.random.randint(1, 3))
        for worker in workers:
            cluster.kill(worker, wait=False)
        layers = cluster.job(job_id)["published_layers"]
        for number in range(3):
            cluster.start_worker(f"next{number}")
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    return f"killed with {layers} layers published; {journal.count('expire')} leases lost; no layer computed twice"


@experiment("F10", "a worker in a memory cgroup that is too small for a task: the kernel kills it, again and again",
            "the task moves to another worker; the job completes; no failure is fatal")
def starve_a_worker(lab):
    with cgroup("memory", limit_in_bytes=8 << 20) as prefix, lab.cluster() as cluster:
        job_id = cluster.submit(samples=64, sequence_length=256)
        small = cluster.start_worker("small", prefix=prefix)
        cluster.meant_to_die.add(small)
        wait_until(lambda: small.poll() is not None or cluster.job(job_id)["state"] not in ("pending", "running"),
                   "the small worker's end")
        check(small.poll() is not None, "the worker fitted into its memory")
        leased = cluster.log("small").count("task leased")
        cluster.start_worker("large")
        cluster.client("wait", job_id)
    journal = lab.verify(cluster)
    return f"killed by signal {-small.returncode} with {leased} task(s) leased; {journal.count('expire')} lease lost"


not_run("F11", "the worker's scratch is a tmpfs of 16 MiB", "INFRA; the task moves; the worker stops polling",
        "workers have no scratch: they hold one layer in memory and write to the store alone")


@experiment("F12", "two workers with the same name at once",
            "two holders, told apart by incarnation: neither renews nor commits the other's task", quick=True)
def two_of_one_name(lab):
    with lab.cluster() as cluster:
        for _ in range(2):
            cluster.start_worker("twin")
        job_id = cluster.submit()
        listed = set()

        def ended():
            listed.update(line.split()[0] for line in cluster.client("workers").splitlines()[1:])
            return cluster.job(job_id)["state"] == "succeeded"

        wait_until(ended, "the job")
        cluster.finish(job_id)
    journal = lab.verify(cluster)
    incarnations = {row["incarnation"] for row in journal.tasks}
    check(len(incarnations) == 2, f"{len(incarnations)} incarnations held tasks")
    stale = cluster.log("twin").count("STALE_EPOCH")  # what a call about the other's lease would be answered
    check(stale == 0 and journal.count("expire") == 0, f"{stale} stale calls, {journal.count('expire')} expired")
    return "two incarnations shared the tasks; 0 stale calls, 0 leases expired"


@experiment("F16", "as F15, now and then, one of eight workers and an audit of 1 %: the scheduler alone, over 200 seeds (tests/sim)",
            "found before anything is finalized in 1 - 0.99^k of the jobs with k bad tasks; no other worker is blamed")
def rare_flips(_):
    done = subprocess.run([str(BIN.parent / "tests/sim/audit_detection_test")], capture_output=True, text=True, check=False, timeout=600)
    check(done.returncode == 0, done.stdout[-600:])
    return "; ".join(line for line in done.stdout.splitlines() if line.startswith("wrong in"))


@experiment("F17", "a task that kills every worker that takes it; another job beside it",
            "the task fails for good with its 5th lost lease, on 5 workers (docs/protocol.md); the failure names them; the other job "
            "succeeds")
def poison_task(lab):
    lease_seconds = 0.5
    with lab.cluster(lease_seconds=lease_seconds) as cluster:
        poisoned = cluster.submit(refinement_passes=400, shard_layers=8)
        kills = 0
        while cluster.job(poisoned)["state"] in ("pending", "running"):
            victim = cluster.start_worker(f"victim{kills}")
            held = f'msg="task leased" task={poisoned}/quantize-0 '
            wait_until(lambda name=victim.name: held in cluster.log(name) or
                       cluster.job(poisoned)["state"] not in ("pending", "running"), "the poison to be taken")
            kills += held in cluster.log(victim.name)
            cluster.kill(victim)
            eventually(lambda: all(task["state"] != "leased" for task in cluster.job(poisoned)["tasks"]), 30,
                       "the lease of the killed worker ends")
        cluster.start_worker("steady")
        other = cluster.submit()
        cluster.finish(other)
        cluster.client("wait", poisoned, check=1)
        failure = cluster.job(poisoned)["failure"]
    journal = lab.verify(cluster)
    lost = [event for event in journal.by_task()[f"{poisoned}/quantize-0"] if event.trigger in ("expire", "poison")]
    check(len(lost) == 5 and lost[-1].trigger == "poison", f"triggers {[event.trigger for event in lost]}")
    check("quantize-0" in failure and all(f"victim{number}: lost" in failure for number in range(5)), failure)
    return f"{kills} workers killed, 4 x expire then poison; the other job succeeded; failure names the task and the workers"


READS = "posix/io/rw/pread*"


def trust(cluster, name):
    """What the coordinator thinks of a worker."""
    workers = {worker["name"]: worker for worker in json.loads(cluster.client("workers", "-o", "json"))}
    return workers[name]["trust"] if name in workers else "unknown"


@experiment("F18", "a worker whose reads all fail (EIO by libfiu) among four",
            "in quarantine after 3 failures, also when it is started again; released by the operator it fails 3 more and is back; "
            "every task succeeds elsewhere")
def one_bad_disk(lab):
    with lab.cluster() as cluster:
        calls = FailingCalls(cluster.directory)
        bad = cluster.start_worker("bad", environment=calls.environment())
        wait_until(lambda: "registered" in cluster.log("bad"), "the bad worker to register")
        calls.enable(bad, READS)
        for number in range(3):
            cluster.start_worker(f"good{number}")
        jobs = [cluster.submit(), cluster.submit()]
        begin = time.monotonic()
        wait_until(lambda: trust(cluster, "bad") == "quarantined", "the bad worker's quarantine")
        failed = cluster.log("bad").count("task failed")
        check(failed <= 3, f"{failed} failures before the quarantine")
        cluster.kill(bad)
        again = cluster.start_worker("bad", environment=calls.environment())
        wait_until(lambda: cluster.log("bad").count("registered") == 2, "the bad worker to register again")
        calls.enable(again, READS)
        for job_id in jobs:
            cluster.finish(job_id)
        seconds = time.monotonic() - begin
        check(cluster.log("bad").count("task failed") == failed, "a worker in quarantine was given a task")
        check(cluster.metric("quarantines_total") == 1, "not one quarantine")
        cluster.client("release", "bad")
        check(trust(cluster, "bad") == "trusted", "the release did not end the quarantine")
        cluster.client("release", "bad", check=3)
        third = cluster.submit()
        cluster.finish(third)
    journal = lab.verify(cluster)
    granted = [event for event in journal.triggers("grant") if event.worker == "bad"]
    return (f"in quarantine after {failed} failures, restarted and given nothing; two jobs in {seconds:.1f} s (one, quiet: "
            f"{lab.quiet_seconds:.1f} s); {len(granted)} grants to it in all, after the release too")


@experiment("F19", "the reads of all of three workers fail (EIO by libfiu) in the middle of two jobs, and work again later",
            "one worker in quarantine, leasing stops, the metric of GptvqLeasingStopped is 1; no job fails; leasing goes on by "
            "itself when the reads work again")
def everybody_fails(lab):
    lab.use_job("long")  # what is left of both is enough for three workers to fail at
    with lab.cluster(coordinator_arguments=("--quarantine-ms", "5000")) as cluster:
        calls = FailingCalls(cluster.directory)
        workers = [cluster.start_worker(f"w{number}", environment=calls.environment()) for number in range(3)]
        jobs = [cluster.submit(), cluster.submit()]
        cluster.wait_for_layers(jobs[0], 1)
        wait_until(lambda: any(task["state"] == "committed" for task in cluster.job(jobs[1])["tasks"]),
                   "a task of the second job")
        for worker in workers:
            calls.enable(worker, READS)
        wait_until(lambda: cluster.metric("stopped_classes") == 1, "leasing to stop")
        quarantined = cluster.metric("workers_quarantined")
        check(quarantined <= 1, f"{quarantined:.0f} of three workers in quarantine")
        pause(3 * LEASE_SECONDS)
        states = {cluster.job(job_id)["state"] for job_id in jobs}
        check(not states & {"failed", "failing"}, f"jobs are {states}")
        # Whoever still publishes a layer that was read before is trusted again, until it has failed as often again.
        wait_until(lambda: cluster.metric("stopped_classes") == 1 or cluster.metric("workers_suspect") > 0,
                   "leasing to be stopped again")
        for worker in workers:
            calls.disable(worker, READS)
        begin = time.monotonic()
        wait_until(lambda: cluster.metric("stopped_classes") == 0, "leasing to go on")
        resumed = time.monotonic() - begin
        for job_id in jobs:
            cluster.finish(job_id)
    journal = lab.verify(cluster)
    return (f"leasing stopped with {quarantined:.0f} of 3 in quarantine; {journal.count('retry')} failures retried, no job "
            f"failed; leasing again {resumed:.1f} s after the mend")
