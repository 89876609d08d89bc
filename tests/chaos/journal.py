"""Reads a coordinator's journal as it lies in the database, without any code of the product: rows by SQL, records by the
classes that protoc makes of proto/gptvq/v1."""

import collections
import dataclasses
import functools
import importlib
import json
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
TABLES = ("jobs", "tasks", "layers", "events", "store_info", "doomed_artifacts")


@functools.cache
def messages():
    """The generated module of job.proto."""
    made = tempfile.TemporaryDirectory(prefix="gptvq-chaos-proto-")
    names = [f"gptvq/v1/{name}.proto" for name in ("artifact", "quant_spec", "job")]
    subprocess.run(["protoc", f"--proto_path={PROTO}", f"--python_out={made.name}", *names], check=True)
    sys.path.insert(0, made.name)
    try:
        return importlib.import_module("gptvq.v1.job_pb2")
    finally:
        sys.path.remove(made.name)
        made.cleanup()


@dataclasses.dataclass(frozen=True)
class Event:
    """A line of the audit log; the fields of other kinds of events are empty."""

    job_id: str
    seq: int
    seconds: float  # since the epoch, by the coordinator's clock
    kind: str  # job_state, task_state, layer_published
    task_id: str = ""
    trigger: str = ""
    epoch: int = 0
    worker: str = ""
    layer: int = -1
    digest: str = ""
    to: str = ""
    came_from: str = ""  # of a task; as `to`


class Journal:
    """Everything in the database. Rows are dictionaries by column name."""

    def __init__(self, tables):
        self.jobs, self.tasks, self.layers, events, info, self.doomed_artifacts = (tables[name] for name in TABLES)
        self.secret = next(row["value"] for row in info if row["name"] == "secret")
        job_of = {row["sequence"]: row["job_id"] for row in self.jobs}
        for row in self.tasks + self.layers:
            row["job_id"] = job_of[row["sequence"]]
        self.events = [decode_event(job_of[row["sequence"]], row["record"]) for row in events]
        for row in self.layers:
            layer = messages().PublishedLayer.FromString(row["record"])
            row["digest"] = layer.artifact.digest.sha256_hex
            row["bytes"] = layer.artifact.digest.size_bytes

    def job(self, job_id):
        return next(row for row in self.jobs if row["job_id"] == job_id)

    def triggers(self, *names, job_id=None):
        return [event for event in self.events
                if event.trigger in names and (job_id is None or event.job_id == job_id)]

    def count(self, trigger, job_id=None):
        return len(self.triggers(trigger, job_id=job_id))

    def by_task(self):
        result = collections.defaultdict(list)
        for event in self.events:
            if event.kind == "task_state":
                result[event.task_id].append(event)
        return result

    def seconds_until_granted_again(self, trigger="expire"):
        """For every event with this trigger: how long the task then waited for its next holder."""
        waits = []
        for events in self.by_task().values():
            for before, after in zip(events, events[1:]):
                if before.trigger == trigger and after.trigger == "grant":
                    waits.append(after.seconds - before.seconds)
        return waits


def decode_event(job_id, record):
    event = messages().JobEvent.FromString(record)
    kind = event.WhichOneof("event")
    common = {"job_id": job_id, "seq": event.event_seq, "kind": kind,
              "seconds": event.time.seconds + event.time.nanos / 1e9}
    what = getattr(event, kind)
    if kind == "task_state":
        return Event(**common, task_id=what.task_id, trigger=what.trigger, epoch=what.epoch, worker=what.worker_name,
                     to=messages().TaskState.Name(what.to), came_from=messages().TaskState.Name(getattr(what, "from")))
    if kind == "layer_published":
        return Event(**common, task_id=what.task_id, layer=what.layer, digest=what.artifact.digest.sha256_hex)
    return Event(**common, to=messages().JobState.Name(what.to))


def read_journal(place):
    """`place` is the path of an SQLite database, or a postgresql:// URI."""
    if str(place).startswith("postgresql://"):
        return Journal(read_postgres(str(place)))
    return Journal(read_sqlite(place))


def read_sqlite(path):
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        database.row_factory = sqlite3.Row
        tables = {name: [dict(row) for row in database.execute(f"SELECT * FROM {name}")] for name in TABLES}
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    database.close()
    return tables


def read_postgres(uri):
    tables = {}
    for name in TABLES:
        command = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--dbname", uri,
                   "--command", f"SELECT row_to_json({name}) FROM gptvq.{name}"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        tables[name] = [{column: bytes.fromhex(value[2:]) if isinstance(value, str) and value.startswith("\\x") else value
                         for column, value in json.loads(line).items()} for line in lines]
    tables["events"].sort(key=lambda row: (row["sequence"], row["seq"]))
    return tables
