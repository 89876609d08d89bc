"""F30-F40: what happens to the journal."""

import shutil
import subprocess

from experiment import Weaker, check, experiment
from laboratory import pause
from process_faults import FailingCalls, filled, forgetful_disk, small_file_system
from service_harness import wait_until
from services import BIN, LEASE_SECONDS

JOURNAL_LOST = 74  # exit code of a coordinator whose journal can not be kept


@experiment("F36", "the file system of the journal is full for 2L, then has space again",
            "changes are refused, nobody loses a lease, work goes on by itself afterwards")
def journal_disk_full(lab):
    with small_file_system(lab.root / "data", 8 << 20) as data:
        store = str(lab.root / "store")
        with lab.cluster(data=data, store=store) as cluster:
            cluster.start_workers(2)
            job_id = cluster.submit()
            cluster.wait_for_layers(job_id, 1)
            with filled(data):
                refused = wait_until(lambda: cluster.metric('calls_total{code="UNAVAILABLE"}'), "a refused change")
                pause(2 * LEASE_SECONDS)
                refused = cluster.metric('calls_total{code="UNAVAILABLE"}')
            cluster.finish(job_id)
        journal = lab.verify(cluster)
    check(journal.count("expire") == 0, f"{journal.count('expire')} leases expired")
    return f"{refused:.0f} calls refused with UNAVAILABLE while full, 0 leases expired"


@experiment("F37", "power loss of the journal's disk (a FUSE file system that forgets what was not synced), at 10 moments",
            "every acknowledged submit and commit is there")
def power_loss(lab):
    with forgetful_disk(lab) as disk, lab.cluster(data=disk.mount, store=str(lab.root / "store")) as cluster:
        cluster.start_workers(2)
        job_ids = []
        for _ in range(10):
            job_ids.append(cluster.submit(refinement_passes=2))
            pause(lab.random.uniform(0, 1))
            cluster.kill(cluster.coordinator)
            disk.lose_power()
            cluster.start_coordinator(cluster.address)
        for job_id in job_ids:
            cluster.client("wait", job_id)
        cluster.terminate(cluster.coordinator)
        journal = lab.verify(cluster)
    return f"10 losses of power, 10 jobs submitted and done, {len(journal.events)} events without a gap"


@experiment("F38", "fsync of the journal fails once with EIO (libfiu)",
            "the coordinator ends with 74 and acknowledges nothing more; nothing acknowledged is lost after a restart")
def failing_fsync(lab):
    calls = FailingCalls(lab.root)
    with lab.cluster(coordinator_environment=calls.environment()) as cluster:
        cluster.start_workers(2)
        job_id = cluster.submit()
        cluster.wait_for_layers(job_id, 1)
        cluster.meant_to_die.add(cluster.coordinator)
        calls.enable(cluster.coordinator, "posix/io/sync/fdatasync")  # SQLite's; the artifact store's is fsync
        wait_until(lambda: cluster.coordinator.poll() is not None, "the coordinator to end")
        seen = cluster.coordinator.poll()
        check(seen == JOURNAL_LOST, f"the coordinator ended with {seen}, not {JOURNAL_LOST}: {cluster.tail('coordinator')}")
        cluster.coordinator_environment = {}
        cluster.start_coordinator(cluster.address)
        cluster.finish(job_id)
    lab.verify(cluster)
    return f"the coordinator ended with {seen}; after a restart the job succeeded"


@experiment("F39", "a bit of the journal is flipped while the coordinator is down, at 12 places of the database and its WAL",
            "the start is refused with a named check, or the job is known and goes on to the same bytes; never silent")
def damaged_journal(lab):
    outcomes = []
    with lab.cluster("original") as cluster:
        worker = cluster.start_worker("first")
        job_id = cluster.submit()
        cluster.wait_for_layers(job_id, 2)
        cluster.kill(cluster.coordinator)
        cluster.kill(worker)  # each of the journals below begins where this one ended
        kept = lab.root / "kept"
        shutil.copytree(cluster.data, kept, ignore=shutil.ignore_patterns("store"))
        for _ in range(12):
            for path in kept.iterdir():
                shutil.copy(path, cluster.data / path.name)
            names = [path.name for path in kept.iterdir() if path.stat().st_size and path.suffix != ".lock"]
            target = cluster.data / lab.random.choice(sorted(names))
            content = bytearray(target.read_bytes())
            place = lab.random.randrange(len(content))
            content[place] ^= 1 << lab.random.randrange(8)
            target.write_bytes(content)
            outcomes.append(start_and_see(cluster, job_id))
            if cluster.coordinator.poll() is None:
                cluster.kill(cluster.coordinator)
        for path in cluster.data.glob("coordinator.db*"):
            path.unlink()
        for path in kept.iterdir():
            shutil.copy(path, cluster.data / path.name)
        cluster.start_coordinator(cluster.address)
        cluster.start_worker("second")
        cluster.finish(job_id)
    lab.verify(cluster)
    check("served, job NOT known" not in outcomes, f"{outcomes}: an acknowledged job is gone without a word")
    return ", ".join(f"{outcomes.count(name)} x {name}" for name in sorted(set(outcomes)))


def history_lost(lab, cluster):
    """Violations that come of a journal that went back in time, as text; any other is a broken promise."""
    try:
        lab.verify(cluster)
    except AssertionError as violations:
        text = str(violations)
        check(all(part.startswith(("S4", "S6")) for part in text.split("; ")), text)
        return text
    return ""


def start_and_see(cluster, job_id):
    """Starts on a damaged journal: what came of it."""
    address_file = cluster.spawn_coordinator(cluster.address)
    cluster.meant_to_die.add(cluster.coordinator)
    process = cluster.coordinator
    wait_until(lambda: process.poll() is not None or address_file.exists(), "the coordinator to start or not")
    if process.poll() is not None:
        check(process.returncode > 0, f"crashed with {process.returncode}: {cluster.tail('coordinator')}")
        return "start refused"
    listed = cluster.client("list", "-o", "name")
    return "served, job known" if job_id in listed else "served, job NOT known"


def in_place_of(cluster, kept):
    """New files, as `mv` or a restored snapshot leaves them."""
    for name in ("coordinator.db", "coordinator.db-wal", "coordinator.db-shm"):
        (cluster.data / name).unlink(missing_ok=True)
    over(cluster, kept)


def over(cluster, kept):
    """The same files with the content of others, as `cp` leaves them."""
    for path in kept.iterdir():
        shutil.copy(path, cluster.data / path.name)


def by_restore(cluster, kept):
    for path in cluster.data.glob("coordinator.db*"):
        path.unlink()
    coordinator_command("restore", "--data-dir", cluster.data, "--input", kept / "backup.db")


def coordinator_command(*words):
    subprocess.run([str(BIN / "gptvq-coordinator"), *map(str, words)], check=True, capture_output=True)


def keep(cluster, kept, with_mark):
    """Copies of the journal while nobody writes it, and a backup."""
    kept.mkdir()
    for path in cluster.data.glob("coordinator.*"):
        if path.suffix != ".lock" and (with_mark or path.suffix != ".mark"):
            shutil.copy(path, kept / path.name)


def go_back(lab, name, put_back, with_mark=True, workers=2):
    """A job whose journal is put back to before three layers that workers published; what was refused, and by which name."""
    with lab.cluster(name) as cluster:
        cluster.start_workers(workers)
        job_id = cluster.submit()
        cluster.wait_for_layers(job_id, 1)
        cluster.kill(cluster.coordinator)
        kept = lab.root / f"{name}-kept"
        keep(cluster, kept, with_mark)
        if put_back is by_restore:
            shutil.rmtree(kept)
            kept.mkdir()
            coordinator_command("backup", "--data-dir", cluster.data, "--output", kept / "backup.db")
        cluster.start_coordinator(cluster.address)
        cluster.wait_for_layers(job_id, 4)
        cluster.kill(cluster.coordinator)
        put_back(cluster, kept)
        if not with_mark:
            check(start_and_see(cluster, job_id) == "start refused", "a journal without acknowledged changes was served")
            check("ACKNOWLEDGED_CHANGES_MISSING" in cluster.log("coordinator"), cluster.tail("coordinator"))
            coordinator_command("accept-loss", "--data-dir", cluster.data)
        cluster.start_coordinator(cluster.address)
        cluster.client("wait", job_id)
        refused = cluster.refusals()
        suspected = cluster.metric("rollbacks_suspected_total")
        cluster.succeeded.append(job_id)
    lost = history_lost(lab, cluster)
    check("S4" not in lost, f"{name}: {lost}")
    return refused, suspected


@experiment("F40", "the journal is replaced by a copy that is older than the workers' leases: by `restore`, by a raw copy of the "
            "database, of all files, and of all files over the ones that were there",
            "a new generation of epochs, or a refused start, or ROLLBACK_SUSPECTED at the first newer epoch; no pair is granted "
            "twice; the job completes")
def older_journal(lab):
    restored, _ = go_back(lab, "restored", by_restore)
    go_back(lab, "database", in_place_of, with_mark=False)
    copied, _ = go_back(lab, "files", in_place_of)
    # With a second worker, whose poll may come before the lease of the lost history, the same pair may be granted again, and only
    # the name of the worker tells the two apart.
    overwritten, suspected = go_back(lab, "overwritten", over, workers=1)
    check(suspected > 0, "the journal went back and nobody suspected it")
    return (f"restored: {restored} calls of the lost history refused; database copied: start refused until accept-loss; files "
            f"copied: {copied} refused; overwritten: {overwritten} refused, ROLLBACK_SUSPECTED {suspected:.0f} time(s); nothing "
            "granted twice")
