#!/usr/bin/python3
"""The standard pass set S1-S9, checked by a program that asks no part of the service: it reads the audit log and the rows
in the journal's database, the artifacts and results as files, and what processes wrote to their logs.

usage: checker.py CASE.json     prints what it found as JSON; exit status 1 when anything is violated

CASE.json:
  journal     path of coordinator.db, or a postgresql:// URI; nobody may be writing it
  store       directory of the artifact store, or null when it is not a directory
  golden      SHA-256 of the manifest that every way to run the reference job has to give
  succeeded   job ids that must have succeeded with that manifest, and the directory of each result
  submitted   job ids that a client was told; cancelled: those whose cancellation it was told
  requests    request ids that a client sent; each must name exactly one job
  logs        log files of all processes
  canaries    texts that must not be in any log, besides the journal's secret and the lease tokens made with it
"""

import base64
import collections
import hashlib
import hmac
import json
import pathlib
import re
import sys

from journal import read_journal

ENDED = ("succeeded", "failed", "cancelled")


class Check:
    def __init__(self, case):
        self.case = case
        self.journal = read_journal(case["journal"])
        self.logs = {path: pathlib.Path(path).read_text(encoding="utf-8", errors="replace") for path in case["logs"]}
        self.violations = []

    def expect(self, holds, rule, text):
        if not holds:
            self.violations.append(f"{rule}: {text}")

    def run(self):
        for directory in self.case["succeeded"].values():
            self.check_result(pathlib.Path(directory))
        for task_id, events in self.journal.by_task().items():
            self.check_grants_and_commits(task_id, events)
        self.check_leases()
        self.check_layers()
        self.check_acknowledged()
        self.check_standing()
        self.check_files()
        self.check_secrets()
        return self.violations

    def check_result(self, directory):
        """S1, S5"""
        manifest = directory / "gptvq_manifest.json"
        if not manifest.exists():
            return self.expect(False, "S1", f"{directory}: no manifest")
        found = hashlib.sha256(manifest.read_bytes()).hexdigest()
        self.expect(found == self.case["golden"], "S1", f"manifest {found}, quiet run {self.case['golden']}")
        named = json.loads(manifest.read_text())["files"]
        for name, said in named.items():
            content = (directory / name).read_bytes() if (directory / name).exists() else b""
            self.expect(hashlib.sha256(content).hexdigest() == said["sha256"] and len(content) == said["bytes"], "S5",
                        f"{directory / name} is not what the manifest says")
        present = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
        self.expect(present == set(named) | {manifest.name}, "S5", f"{directory}: files {present ^ set(named)}")
        return None

    def check_grants_and_commits(self, task_id, events):
        """S2, S3, S4 and that epochs rise. What the store lost is committed once more."""
        latest = 0
        commits = []
        for event in events:
            if event.trigger == "grant":
                self.expect(event.epoch > latest, "S4", f"{task_id}: epoch {event.epoch} granted after {latest}")
                latest = event.epoch
            else:
                self.expect(event.epoch == latest, "S3", f"{task_id}: {event.trigger} of {event.epoch}, not {latest}")
            if event.trigger == "commit":
                commits.append(event.epoch)
        row = next(row for row in self.journal.tasks if row["task_id"] == task_id)
        self.expect(row["epoch"] == latest, "S4", f"{task_id}: row has epoch {row['epoch']}, granted was {latest}")
        # Its work was lost, or shown to be wrong, and had to be done again.
        again = sum(event.trigger in ("repair", "overturn") and event.came_from == "TASK_STATE_COMMITTED" for event in events)
        settled = sum(event.trigger == "settle" for event in events)  # an audit that needed no run of its own
        self.expect(len(commits) + settled == again + (row["state"] == "committed"), "S2",
                    f"{task_id}: commits {commits}, made again {again} times")

    def check_leases(self):
        """S4 as the workers saw it: also grants that a journal which was put back has forgotten."""
        leased = collections.Counter()
        for log in self.logs.values():
            leased.update(re.findall(r'msg="task leased" task=(\S+) epoch=(\d+)', log))
        twice = sorted(f"{task_id} under epoch {epoch}" for (task_id, epoch), count in leased.items() if count > 1)
        self.expect(not twice, "S4", f"granted twice: {', '.join(twice)}")

    def check_layers(self):
        """S2 for layers: published once, under the epoch current at that moment; events count without a gap."""
        seen = collections.Counter()
        latest = {(event.job_id, event.layer): event.seq for event in self.journal.events if event.kind == "layer_published"}
        overturned = {event.task_id for event in self.journal.events if event.trigger == "overturn"}
        for job in self.journal.jobs:
            current = {}
            events = [event for event in self.journal.events if event.job_id == job["job_id"]]
            self.expect([event.seq for event in events] == list(range(1, len(events) + 1)), "S6",
                        f"{job['job_id']}: event numbers have gaps")
            self.expect(job["last_event_seq"] == len(events), "S6", f"{job['job_id']}: last_event_seq")
            for event in events:
                if event.trigger == "grant":
                    current[event.task_id] = event.epoch
                if event.task_id in overturned and latest.get((event.job_id, event.layer)) != event.seq:
                    continue  # another one took its place
                if event.kind == "layer_published":
                    seen[event.job_id, event.layer] += 1
                    row = next((row for row in self.journal.layers
                                if row["job_id"] == event.job_id and row["layer"] == event.layer), None)
                    self.expect(row and (row["epoch"], row["digest"]) == (current[event.task_id], event.digest), "S3",
                                f"{event.task_id}: layer {event.layer} has another row")
        self.expect(all(count == 1 for count in seen.values()), "S2", f"layers published twice: {seen}")

    def check_acknowledged(self):
        """S6: what a client or a worker was told is still so."""
        states = {row["job_id"]: row["state"] for row in self.journal.jobs}
        for job_id in self.case["submitted"]:
            self.expect(job_id in states, "S6", f"{job_id} was acknowledged and is gone")
        for job_id in self.case["succeeded"]:
            self.expect(states.get(job_id) == "succeeded", "S6", f"{job_id} is {states.get(job_id)}")
        for job_id in self.case["cancelled"]:
            self.expect(states.get(job_id) in ("cancelled", "succeeded"), "S6", f"{job_id} is {states.get(job_id)}")
        by_request = collections.Counter(row["request_id"] for row in self.journal.jobs)
        for request_id in self.case["requests"]:
            self.expect(by_request[request_id] == 1, "S6", f"{by_request[request_id]} jobs for request {request_id}")
        committed = {row["task_id"] for row in self.journal.tasks if row["state"] == "committed"}
        published = {(event.task_id, event.layer) for event in self.journal.events if event.kind == "layer_published"}
        for path, log in self.logs.items():
            for task_id in re.findall(r'msg="task ended" task=(\S+) result=completed', log):
                self.expect(task_id in committed or "/audit-" in task_id, "S6", f"{path}: commit of {task_id} is gone")
            for task_id, layer in re.findall(r'msg="layer published" task=(\S+) layer=(\d+)', log):
                self.expect((task_id, int(layer)) in published or "/audit-" in task_id, "S6", f"{path}: layer {layer} of {task_id} is gone")

    def check_standing(self):
        """S7 in the journal: nobody holds anything of a job that ended."""
        ended = {row["job_id"] for row in self.journal.jobs if row["state"] in ENDED}
        for row in self.journal.tasks:
            if row["job_id"] in ended:
                self.expect(row["state"] in ("committed", "failed", "cancelled"), "S7",
                            f"{row['task_id']} is {row['state']} although its job ended")

    def check_files(self):
        """S7 in the store: no torn object, no temporary file; and what was published and may not be deleted yet is there."""
        if self.case["store"] is None:
            return
        store = pathlib.Path(self.case["store"])
        for path in [path for path in store.rglob("*") if path.is_file()]:
            if path.name.startswith(".gptvq-tmp-saved-") and path.stat().st_size >= 8 << 20:
                continue  # of an upload whose coordinator died before it said what it had saved: spared for a day
            if path.name.startswith("."):
                self.expect(False, "S7", f"temporary file {path}")
            elif "sha256" in path.parts:
                self.expect(hashlib.sha256(path.read_bytes()).hexdigest() == path.name, "S5", f"{path} holds other bytes")
        ended = {row["job_id"] for row in self.journal.jobs if row["state"] in ENDED}
        waiting = {row["sha256"] for row in self.journal.doomed_artifacts if row["state"] == "doomed"}
        for row in self.journal.layers:
            if row["job_id"] in ended and row["digest"] not in waiting:
                continue  # garbage that was collected
            path = store / "artifacts" / "sha256" / row["digest"][:2] / row["digest"]
            self.expect(path.exists(), "S5", f"layer {row['layer']} of {row['job_id']}: {path} is missing")

    def check_secrets(self):
        """S9"""
        key = self.journal.secret
        canaries = [*self.case["canaries"], key.hex(), base64.b64encode(key).decode()]
        for row in self.journal.tasks:
            parts = ("lease", row["task_id"], row["epoch"], row["worker_name"], row["incarnation"])
            canaries.append(hmac.new(key, "\n".join(map(str, parts)).encode(), "sha256").hexdigest())
        for path, log in self.logs.items():
            for canary in canaries:
                self.expect(canary not in log, "S9", f"{path} holds a secret")


def main():
    case = json.loads(pathlib.Path(sys.argv[1]).read_text())
    check = Check(case)
    violations = check.run()
    print(json.dumps({"violations": violations, "events": len(check.journal.events)}))
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
