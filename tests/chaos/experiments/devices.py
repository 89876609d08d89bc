"""F13, F14, F15: what happens to the devices of a worker. The worker is the product's, on slots of the CPU that can be lost
(sick_worker.cc), and asks a management library of ours how they are (fake_nvml.cc)."""

import json
import os
import pathlib

from experiment import NotRun, check, experiment
from services import wait_until

DEVICE_LOST = 75  # exit code of a worker whose device was lost
RESET, REBOOT = 1, 2  # recovery actions of NVML


class SickWorker:
    """A worker whose devices a test makes sick; started again by `supervise`, as a supervisor does."""

    def __init__(self, cluster, name, slots):
        directory = os.environ.get("GPTVQ_SICK_WORKER", "")
        if not directory:
            raise NotRun("GPTVQ_SICK_WORKER does not name the folder of sick_worker")
        self.cluster, self.name = cluster, name
        self.program = pathlib.Path(directory).resolve() / "sick_worker"
        self.lost_file = cluster.directory / f"{name}-lost"
        self.health_file = cluster.directory / f"{name}-health"
        self.slots = slots
        self.health = [(0, 0, []) for _ in range(slots)]
        self.lost_file.touch()
        self._write_health()
        self.environment = {"GPTVQ_SICK_DEVICES": str(self.lost_file), "GPTVQ_FAKE_NVML": str(self.health_file),
                            "LD_LIBRARY_PATH": str(self.program.parent)}
        self.process = self.start()

    def start(self):
        self.process = self.cluster.start_worker(self.name, environment=self.environment, arguments=("--device", "cpu", "--device-slots", str(self.slots)),
                                                 program=self.program, threads=self.slots)
        return self.process

    def lose(self, slot):
        """The device fails whatever it is asked from now on."""
        self.lost_file.write_text(f"cpu:{slot}\n")

    def flip(self, slot):
        """The device is wrong in a bit from now on, and says nothing."""
        self.lost_file.write_text(f"cpu:{slot} flips\n")

    def report(self, slot, action=0, errors=0, xids=()):
        """What the management library says of a slot's device from now on."""
        self.health[slot] = (action, errors, list(xids))
        self._write_health()

    def _write_health(self):
        part = self.health_file.with_suffix(".part")
        part.write_text("".join(f"0000:0{slot + 1}:00.0 {action} {errors} {' '.join(map(str, xids))}\n"
                                for slot, (action, errors, xids) in enumerate(self.health)))
        part.rename(self.health_file)

    def devices(self):
        """The conditions of the devices, as the coordinator knows them, by slot."""
        for worker in json.loads(self.cluster.client("workers", "-o", "json")):
            if worker["name"] == self.name:
                return {device["slot"]: device["condition"] for device in worker["devices"]}
        return {}

    def leases(self):
        return self.cluster.log(self.name).count('msg="task leased"')


@experiment("F13", "a sticky error of a device in the middle of a task, which is still there when the process is started again; later gone",
            "the task fails as DEVICE, exit code 75; the next process tests the device first and takes nothing; mended, it works; "
            "the job reaches G on others")
def lost_device(lab):
    with lab.cluster() as cluster:
        sick = SickWorker(cluster, "sick", slots=1)
        first = cluster.submit()
        cluster.wait_for_holder(first, "sick")
        cluster.meant_to_die.add(sick.process)
        sick.lose(0)
        wait_until(lambda: sick.process.poll() is not None, "the worker to end")
        check(sick.process.returncode == DEVICE_LOST, f"ended with {sick.process.returncode}: {cluster.tail('sick')}")
        leased = sick.leases()
        for _ in range(2):
            again = sick.start()
            cluster.meant_to_die.add(again)
            wait_until(lambda process=again: process.poll() is not None, "the next process to end")
            check(again.returncode != 0, "a worker that failed its self test ended with 0")
        check(sick.leases() == leased, "a worker with a lost device took a task")
        cluster.start_worker("well")
        cluster.finish(first)
        cluster.terminate(cluster.processes[-1])
        sick.lost_file.write_text("")
        sick.start()
        second = cluster.submit()
        cluster.finish(second)
        failure = "class=device" in cluster.log("sick")
    lab.verify(cluster)
    check(failure, "the task did not fail as DEVICE")
    return f"ended with {DEVICE_LOST} after {leased} lease(s); 2 restarts failed their self test and took nothing; mended, it did a job"


@experiment("F14", "of a worker with two devices one has an Xid 79 and wants a reset, later uncorrected ECC errors, then a reboot of its node",
            "the slot gets nothing and the other goes on; what was computed beside an error is void; on REBOOT the whole worker gets and "
            "keeps nothing; mended, it works; the job reaches G")
def sick_devices(lab):
    with lab.cluster() as cluster:
        host = SickWorker(cluster, "host", slots=2)
        first = cluster.submit()
        cluster.wait_for_layers(first, 1)
        host.report(0, action=RESET, xids=(79,))
        wait_until(lambda: host.devices().get("cpu:0") == "reset", "the coordinator to hear of the reset")
        cluster.finish(first)  # by the other slot alone
        check(host.devices() == {"cpu:0": "reset", "cpu:1": "healthy"}, f"devices are {host.devices()}")

        second = cluster.submit()
        cluster.wait_for_holder(second, "host")
        host.report(1, errors=1)
        wait_until(lambda: "uncorrected memory error" in cluster.log("host"), "the attempt to be void")
        check("class=device" in cluster.log("host"), "the task did not fail as DEVICE")
        cluster.finish(second)  # the driver wants nothing and the self test passed: the slot works on

        third = cluster.submit()
        cluster.wait_for_layers(third, 1)
        host.report(0, action=REBOOT, xids=(79,))
        wait_until(lambda: host.devices().get("cpu:0") == "reboot", "the coordinator to hear of the reboot")
        wait_until(lambda: all(task["state"] != "leased" for task in cluster.job(third)["tasks"]), "its leases to end")
        leased = host.leases()
        cluster.start_worker("well")
        cluster.finish(third)
        check(host.leases() == leased, "a worker whose host wants a reboot took a task")
        cluster.terminate(cluster.processes[-1])

        host.report(0)
        host.report(1)
        fourth = cluster.submit()
        cluster.finish(fourth)
    journal = lab.verify(cluster)
    return (f"one slot out, the other did a job; one attempt void; after REBOOT {journal.count('revoke')} lease(s) revoked and 0 "
            f"granted; mended, it did a job")


@experiment("F15", "one of three workers has a bit flipped in whatever it reads from its device; every task is audited",
            "the audits differ, a third worker decides, the worker is put in quarantine, what it made and what was made from that is made "
            "again; G")
def flipped_bit(lab):
    with lab.cluster(coordinator_arguments=("--audit-fraction", "1")) as cluster:
        wrong = SickWorker(cluster, "wrong", slots=1)
        wait_until(lambda: "registered" in cluster.log("wrong"), "the worker to pass its self test")
        wrong.flip(0)
        job_id = cluster.submit()
        cluster.wait_for_holder(job_id, "wrong")
        cluster.start_worker("a")
        cluster.start_worker("b")
        cluster.finish(job_id)
        audits = {outcome: int(cluster.metric(f'audits_total{{outcome="{outcome}"}}'))
                  for outcome in ("agreed", "upheld", "overturned", "skipped", "undecided")}
        trust = {worker["name"]: worker["trust"] for worker in json.loads(cluster.client("workers", "-o", "json"))}
    journal = lab.verify(cluster)
    check(trust == {"wrong": "quarantined", "a": "trusted", "b": "trusted"}, f"workers are {trust}")
    check(audits["overturned"] > 0 and journal.count("dispute") > 0, f"audits came to {audits}")
    overturned = {event.task_id for event in journal.triggers("overturn", job_id=job_id)}
    made = {event.task_id for event in journal.triggers("commit", job_id=job_id) if event.worker == "wrong"}
    check({task_id for task_id in made if "audit" not in task_id} <= overturned, f"{made - overturned} was not made again")
    return (f"{journal.count('dispute')} disputes, {audits['overturned']} results overturned and {audits['upheld']} upheld, {len(overturned)} tasks "
            f"made again; its worker in quarantine, the same manifest")
