"""D89-D93: results, artifacts, the journal."""

import contextlib
import functools
import hashlib
import json
import os
import sqlite3

from calls import Caller, enum_name, message
from case import Case, Seen, check
from damage import flipped_bit, manifest
from files import RESULT, by_test, damaged
from groups.leases import Held
from laboratory import BIN


def published_layer(data, spoil=None):
    """A worker of another make publishes a layer and gives the task back; a sound worker takes over."""

    def run(lab):
        with lab.serve() as own, Held(lab, own, lab.numerics_class) as held:
            held.ask("PublishLayer", held.publish(data=data))
            held.ask("ReleaseTask", message("ReleaseTaskRequest", lease=held.lease))
            if spoil:
                spoil(next(path for path in held.stored() if path.read_bytes() == data))
            worker = own.start_worker("sound")
            lab.until(lambda: held.task().last_failure.message, "the worker to report")
            failure = held.task().last_failure
            check(failure.worker_name == "sound" and worker.poll() is None, "the worker has ended")
        return Seen(enum_name(failure, "failure_class"), failure.message)

    return run


def edited_journal(text):
    """The journal of a job that runs, edited by hand."""

    def run(lab):
        data = lab.folder() / "data"
        with lab.serve(data=data) as own:
            root = lab.folder()
            words = ["submit", *lab.job_flags(lab.sound), "--output", root / "out", "--state-dir", root / "state"]
            lab.run(BIN / "gptvq-client", *words, "--coordinator", own.address)
        with contextlib.closing(sqlite3.connect(data / "coordinator.db")) as database:
            database.executescript(text)
        return lab.coordinator("--data-dir", data)

    return run


AUDITED_CALLS = 4


@functools.cache
def audit_log(lab):
    """The lines of the audit log of a coordinator that was restarted in the middle, and the chain value of the last."""
    path, data = lab.folder() / "audit.jsonl", lab.folder() / "data"
    for _ in range(2):
        with lab.serve("--audit-log", path, data=data) as own, Caller(own.address) as caller:
            for _ in range(AUDITED_CALLS // 2):
                caller.see("CancelJob", message("CancelJobRequest", job_id="job-0123456789abcdef"))
    lines, value = path.read_text().splitlines(), "0" * 64
    check(len(lines) == AUDITED_CALLS, f"{len(lines)} lines")
    for line in lines:
        kept = json.loads(line)
        told = kept.pop("chain")
        value = hashlib.sha256((value + json.dumps(kept, separators=(",", ":"))).encode()).hexdigest()
        check(told == value, f"another chain value than {value}: {line}")
    seen, printed = lab.run(BIN / "gptvq-coordinator", "verify-audit-log", path)
    check(seen.code == "exit 0" and printed.decode() == f"OK: {AUDITED_CALLS} lines, 0 of them not written whole\nchain value {value}\n",
          f"the check of a sound log: {seen}, {printed}")
    return lines, value


def edited_audit_log(edit, contains=False):
    """What the check says of a log whose list of lines was edited."""

    def run(lab):
        sound, value = audit_log(lab)
        path = lab.folder() / "edited.jsonl"
        path.write_text("".join(line + "\n" for line in edit(list(sound))))
        return lab.coordinator("verify-audit-log", path, *(["--contains", value] if contains else []))

    return run


def three_damages(root):
    flipped_bit("model.safetensors")(root)
    (root / "result/config.json").unlink()
    (root / "result/extra.bin").write_bytes(b"x")


CASES = [
    damaged("D90",
            "an unknown major version",
            manifest(lambda kept: kept.update(format_version="2.0")),
            "2.0",
            commands=("inspect",)),
    damaged("D90",
            "an unknown major version",
            manifest(lambda kept: kept.update(format_version="2.0")),
            "2.0",
            code=1,
            commands=("verify",)),
    damaged("D90",
            "a digest that is none",
            manifest(lambda kept: kept["files"]["config.json"].update(sha256="00")),
            "files.config.json",
            code=1,
            commands=("verify",)),
    damaged("D90",
            "a wrong digest",
            manifest(lambda kept: kept["files"]["config.json"].update(sha256="0" * 64)),
            "config.json: SHA-256 is",
            code=1,
            commands=("verify",)),
    damaged("D90",
            "a path that leads out",
            manifest(lambda kept: kept["files"].update({"../x": kept["files"]["config.json"]})),
            'files names "../x"',
            code=1,
            commands=("verify",)),
    damaged("D90",
            "a path that leads out",
            manifest(lambda kept: kept["files"].update({"../x": kept["files"]["config.json"]})),
            'files names "../x"',
            commands=("inspect",)),
    damaged("D90",
            "no manifest",
            lambda root: (root / "result/gptvq_manifest.json").unlink(),
            "gptvq_manifest.json is missing",
            code=1,
            commands=("verify",)),
    damaged("D90",
            "a manifest that is no JSON",
            lambda root: (root / "result/gptvq_manifest.json").write_text("{"),
            "gptvq_manifest.json: line 1",
            code=1,
            commands=("verify",)),
    damaged("D91",
            "a flipped bit in the weights",
            flipped_bit("model.safetensors"),
            "model.safetensors: SHA-256 is",
            code=1,
            commands=("verify",)),
    damaged("D91",
            "a flipped bit in the config",
            flipped_bit("config.json"),
            "config.json: SHA-256 is",
            code=1,
            commands=("verify",)),
    damaged("D91",
            "a missing file",
            lambda root: (root / "result/config.json").unlink(),
            "config.json: missing",
            code=1,
            commands=("verify",)),
    damaged("D91",
            "a file too many",
            lambda root: (root / "result/extra.bin").write_bytes(b"x"),
            "extra.bin: is not in the manifest",
            code=1,
            commands=("verify",)),
    damaged("D91",
            "a file that was cut",
            lambda root: os.truncate(root / "result/model.safetensors", 100),
            "model.safetensors: 100 bytes, the manifest says",
            code=1,
            commands=("verify",)),
    damaged("D91",
            "packed weights that were cut",
            lambda root: os.truncate(root / "result/model.safetensors", 100),
            "model.safetensors",
            commands=RESULT),
    damaged("D91",
            "all of that at once",
            three_damages, ("model.safetensors: SHA-256", "config.json: missing", "extra.bin: is not in the manifest"),
            code=1,
            commands=("verify",)),
    by_test("D90", "keys of a later minor version", "core/format/format_result_test",
            "Manifest.IgnoresKeysOfALaterMinorVersion"),
    Case("D89",
         "a layer that another program published",
         published_layer(b"not a layer"),
         "FAILURE_CLASS_INPUT", ("artifacts/sha256/", "offset 0: header length"),
         note="a published layer is a fact of the journal: the job fails and names it"),
    Case("D89",
         "a published layer that was cut on the disk",
         published_layer(b"not a layer " * 100, lambda path: os.truncate(path, 10)),
         "FAILURE_CLASS_TRANSIENT",
         "artifacts/sha256/",
         note="tried again, then the job fails; the next one puts it right, docs/chaos.md"),
    Case("D92",
         "a state that does not exist",
         edited_journal("UPDATE tasks SET state = 'dancing'"),
         "exit 4", ("journal", "job-", "dancing"),
         note="found at the next start, without a doctor"),
    Case("D92", "a task that is gone", edited_journal("DELETE FROM tasks WHERE task_index = 0"), "exit 4",
         ("journal", "job-")),
    Case("D93", "a line of the audit log changed",
         edited_audit_log(lambda lines: [*lines[:1], lines[1].replace("NOT_FOUND", "OK"), *lines[2:]]), "exit 1",
         ("edited.jsonl: line 2", "changed")),
    Case("D93", "a line of the audit log removed", edited_audit_log(lambda lines: lines[:1] + lines[2:]), "exit 1",
         "edited.jsonl: line 2"),
    Case("D93", "a line put into the audit log", edited_audit_log(lambda lines: lines[:2] + lines[1:]), "exit 1",
         "edited.jsonl: line 3"),
    Case("D93", "a line put in that has no chain value",
         edited_audit_log(lambda lines: [*lines[:3], '{"method":"GetJob"}', *lines[3:]]), "exit 1",
         "edited.jsonl: line 4"),
    Case("D93", "the end of the audit log cut in a line", edited_audit_log(lambda lines: [*lines[:3], lines[3][:40]]),
         "exit 1", "edited.jsonl: line 4"),
    Case("D93", "the end of the audit log cut after a line", edited_audit_log(lambda lines: lines[:3], contains=True),
         "exit 1", ("lines after line 3", "cut off"), note="by the chain value that was kept elsewhere"),
]
