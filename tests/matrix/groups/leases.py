"""D28, D35, D37, D39-D43, D45: what a worker can send about a task. Each case plays a worker that holds one."""

import contextlib
import hashlib
import pathlib

from calls import Caller, message
from case import Case, Seen, check
from files import by_test

INVALID = "INVALID_ARGUMENT (INVALID_FIELD)"
LAYERS = 3
CHUNK = 1 << 20


def crc32c(data):
    """Castagnoli's, bit by bit: RFC 3720, appendix B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Held:
    """A job of three layers whose quantize task this worker holds. Ends by giving it back."""

    def __init__(self, lab, server=None, numerics_class="cpu/1"):
        self.lab = lab
        self.server = server or lab.leasing
        self.numerics_class = numerics_class

    def __enter__(self):
        self.lab.holding.acquire()
        self.caller = Caller(self.server.address)
        spec = self.lab.spec(self.lab.deep, output_uri=f"file://{self.lab.folder()}/out")
        self.job_id = self.ask("SubmitJob", message("SubmitJobRequest", request_id=self.lab.request_id(),
                                                    spec=spec)).job.job_id
        self.lease = self.grant("matrix")
        return self

    def __exit__(self, *unused):
        self.caller.see("CancelJob", message("CancelJobRequest", job_id=self.job_id))
        self.caller.see("ReleaseTask", message("ReleaseTaskRequest", lease=self.lease))
        self.caller.__exit__()
        self.lab.holding.release()

    def ask(self, name, request):
        seen, answer = self.caller.ask(name, request)
        check(seen.code == "OK", f"{name}: {seen}")
        return answer

    def grant(self, worker):
        """The lease of the task, for a worker that calls for the first time."""
        incarnation = self.lab.request_id().replace("-", "")
        self.ask("RegisterWorker", message("RegisterWorkerRequest", worker_name=worker, incarnation=incarnation,
                                           numerics_class=self.numerics_class, version="1", protocol_version="1.0",
                                           slots=[{"name": "cpu:0"}]))
        answer = self.ask("LeaseTask",
                          message("LeaseTaskRequest", worker_name=worker, incarnation=incarnation, poll_id="1"))
        check(answer.grant.job_id == self.job_id, "another job's task was granted")
        return answer.grant.lease

    def task(self):
        """The task as the coordinator shows it."""
        job = self.ask("GetJob", message("GetJobRequest", job_id=self.job_id)).job
        return next(task for task in job.tasks if task.task_id == self.lease.task_id)

    def renew(self, lease=None, **progress):
        return self.caller.see("RenewLease", message("RenewLeaseRequest", lease=lease or self.lease, progress=progress))

    def altered(self, **changes):
        lease = message("Lease")
        lease.CopyFrom(self.lease)
        for field, value in changes.items():
            setattr(lease, field, value)
        return lease

    def publish(self, *chunks, layer=0, data=b"layer", size=None, digest=None, **header):
        """A header and chunks of (offset, bytes, crc or None)."""
        digest = message("Digest", sha256_hex=digest if digest is not None else hashlib.sha256(data).hexdigest(),
                         size_bytes=len(data) if size is None else size)
        yield_all = [message("PublishLayerRequest", header=message("PublishLayerHeader", lease=self.lease, layer=layer,
                                                                   digest=digest, **header))]
        for offset, piece, crc in chunks or [(0, data, None)]:
            yield_all.append(message("PublishLayerRequest", chunk=message(
                "ArtifactChunk", offset=offset, data=piece, crc32c=crc32c(piece) if crc is None else crc)))
        return yield_all

    def stored(self):
        """The artifacts of the store."""
        return {path for path in pathlib.Path(self.server.store).rglob("*") if path.is_file()}


def holding(row, put, act, code, words=(), note="", may_store=False):
    """act(held) is one call; the task is as it was afterwards, and nothing was stored."""

    def run(lab):
        with Held(lab) as held:
            before, stored = held.task(), held.stored()
            seen = act(held)
            after = held.task()
            for field in ("state", "epoch", "published_layers", "worker_name"):
                check(getattr(after, field) == getattr(before, field), f"{field} has changed")
            check(may_store or held.stored() == stored, "something was stored")
        return seen

    return Case(row, put, run, code, words, note)


def publishing(row, put, build, code, words=(), note="", **options):
    return holding(row, put, lambda held: held.caller.see("PublishLayer", build(held)), code, words, note, **options)


def completing(row, put, result, code, words=(), note=""):
    return holding(row, put, lambda held: held.caller.see("CompleteTask", message(
        "CompleteTaskRequest", lease=held.lease, result=message("TaskResult", **result))), code, words, note)


def flipped(token):
    """A token with one bit changed, still text."""
    return chr(ord(token[0]) ^ 1) + token[1:]


def replay(lab):
    """The lease of an epoch that has passed, with its genuine token."""
    with Held(lab) as held:
        old = held.lease
        held.ask("ReleaseTask", message("ReleaseTaskRequest", lease=old))
        held.lease = held.grant("heir")
        return held.renew(old, counter=1)


def falling_progress(lab):
    with Held(lab) as held:
        seen = [held.renew(counter=5, fraction=0.5), held.renew(counter=3, fraction=0.2)]
        shown = held.task().progress
        check(shown.counter == 5 and shown.fraction == 0.5, f"it fell to {shown.counter}")
    return seen


def unknown_failure_class(lab):
    with Held(lab) as held:
        seen = held.caller.see("FailTask", message("FailTaskRequest", lease=held.lease, failure_class=999, message="x"))
        failure = held.task().last_failure
        check(failure.failure_class == 2, f"taken for class {failure.failure_class}")
    return Seen(seen.code, "taken for TRANSIENT")


def evil_failure(lab):
    evil = "'); DROP TABLE tasks;--\nlevel=error\x1b[31m"
    with Held(lab) as held:
        seen = held.caller.see("FailTask", message("FailTaskRequest", lease=held.lease, failure_class=2, message=evil))
        check(held.task().last_failure.message == evil, "it came back otherwise")
        log = held.server.log("coordinator")
        check("\x1b" not in log and "\nlevel=error" not in log, "the log holds it unescaped")
        shown = held.server.client("get", held.job_id)
        check("\x1b" not in shown and "\nlevel" not in shown, "shown unescaped")
    return Seen(seen.code, "stored and given back verbatim, logged and shown escaped")


def ninth_upload(lab):
    """Eight uploads that say nothing after their header, and one more."""
    with contextlib.ExitStack() as stack, Held(lab) as held:
        for _ in range(8):
            stack.enter_context(silent_upload(held))
        lab.until(lambda: "TOO_MANY" in held.caller.see("PublishLayer", held.publish()).code, "the ninth to be refused")
        seen = held.caller.see("PublishLayer", held.publish())
        check(held.renew(counter=1).code == "OK", "heartbeats still get through")
    return seen


@contextlib.contextmanager
def silent_upload(held):
    """A stream that is open and quiet, as long as the context lasts."""
    caller = Caller(held.server.address)
    ended = held.lab.event()

    def requests():
        yield held.publish()[0]
        ended.wait()

    call = caller.channel.stream_unary("/gptvq.v1.WorkerService/PublishLayer",
                                       request_serializer=lambda one: one.SerializeToString(),
                                       response_deserializer=bytes).future(requests())
    try:
        yield
    finally:
        ended.set()
        call.cancel()
        caller.channel.close()


def unknown_digest(**outcome):
    return {"quantize": {"output_boundary": {"digest": {"sha256_hex": "0" * 64, "size_bytes": 1}}}, **outcome}


UNNAMED = "its bytes may stay under their digest, which nothing names: docs/protocol.md"
DATA = bytes(range(200))
CASES = [
    holding("D28", "a lease token with one bit flipped",
            lambda held: held.renew(held.altered(lease_token=flipped(held.lease.lease_token))),
            "PERMISSION_DENIED (BAD_LEASE_TOKEN)"),
    Case("D28",
         "a lease replayed after its epoch has passed",
         replay,
         "FAILED_PRECONDITION (STALE_EPOCH)",
         note="the journal decides, though the token is genuine"),
    holding("D28", "a lease in the hands of another worker", lambda held: held.renew(held.altered(worker_name="thief")),
            "PERMISSION_DENIED (BAD_LEASE_TOKEN)"),
    Case("D35", "failure class 999 in a report", unknown_failure_class, "OK", "TRANSIENT"),
    holding("D35",
            "a wait of -5 s",
            lambda held: held.caller.see(
                "LeaseTask",
                message("LeaseTaskRequest",
                        worker_name="matrix",
                        incarnation=held.lease.incarnation,
                        poll_id="2",
                        wait={"seconds": -5})),
            INVALID,
            "wait",
            note="no command has a time stamp"),
    publishing("D37",
               "layer 3 of layers 0 to 2",
               lambda held: held.publish(layer=3),
               INVALID,
               "layer: 3 is not a layer of task",
               note=UNNAMED,
               may_store=True),
    publishing("D37", "layer -1", lambda held: held.publish(layer=-1), INVALID, "layer"),
    publishing("D37", "65 linears of a layer", lambda held: held.publish(linears=[{
        "name": "x"
    }] * 65), INVALID, "linears"),
    Case("D39", "SQL and a line of a log in a failure", evil_failure, "OK"),
    Case("D40", "progress that falls", falling_progress, "OK", note="ignored: what is shown does not fall"),
    holding("D40", "a share that is NaN", lambda held: held.renew(counter=1, fraction=float("nan")), INVALID,
            "progress.fraction"),
    holding("D40", "a step of 257 bytes", lambda held: held.renew(counter=1, step="s" * 257), INVALID, "progress.step"),
    holding("D40",
            "an epoch of the future",
            lambda held: held.renew(held.altered(epoch=held.lease.epoch + 1)),
            "PERMISSION_DENIED (BAD_LEASE_TOKEN)",
            note="the token is checked first, docs/protocol.md"),
    holding("D40",
            "another job's task",
            lambda held: held.renew(held.altered(task_id="job-0123456789abcdef/quantize-0")),
            "PERMISSION_DENIED (BAD_LEASE_TOKEN)",
            note="the token is checked first, docs/protocol.md"),
    holding(
        "D40", "an error that is NaN in a layer's report", lambda held: held.caller.see(
            "PublishLayer", held.publish(linears=[{
                "name": "x",
                "relative_error": float("nan")
            }])), INVALID, "x: a number is not finite"),
    completing("D41", "completed without its layers", {"quantize": {}}, "FAILED_PRECONDITION (OUTPUT_MISSING)"),
    completing("D41", "an artifact that nobody wanted or stored", unknown_digest(), INVALID, "output_boundary was not wanted"),
    completing("D41", "no outcome", {}, INVALID, "result.outcome"),
    completing("D41", "the outcome of another kind of task", {"evaluate": {
        "perplexity": 2,
        "token_count": 1
    }}, INVALID),
    completing("D41", "a phase twice", {
        "quantize": {},
        "seconds": [{
            "phase": 1,
            "seconds": 1
        }] * 2
    }, INVALID, "given twice"),
    completing("D41", "seconds below zero", {
        "quantize": {},
        "seconds": [{
            "phase": 1,
            "seconds": -1
        }]
    }, INVALID, "seconds"),
    *(publishing("D41", f"a digest {what}", lambda held, digest=digest: held.publish(digest=digest), INVALID, "digest")
      for what, digest in (("in upper case", "A" * 64), ("of another algorithm", "a" * 40), ("that is empty", ""),
                           ("with a path", "../" + "a" * 61))),
    publishing("D41", "a size of 0", lambda held: held.publish(size=0), INVALID, "size_bytes"),
    publishing("D41",
               "a layer too early",
               lambda held: held.publish(layer=1),
               "FAILED_PRECONDITION (LAYER_OUT_OF_ORDER)",
               "0",
               note=UNNAMED,
               may_store=True),
    publishing("D42", "a gap", lambda held: held.publish((0, DATA[:50], None), (60, DATA[60:], None), data=DATA),
               "OUT_OF_RANGE (CHUNK_OUT_OF_ORDER)", "offset 60 after 50"),
    publishing("D42", "an overlap", lambda held: held.publish((0, DATA[:50], None), (40, DATA[40:], None), data=DATA),
               "OUT_OF_RANGE (CHUNK_OUT_OF_ORDER)", "offset 40 after 50"),
    publishing("D42", "an offset of 2^63", lambda held: held.publish((1 << 63, DATA, None), data=DATA),
               "OUT_OF_RANGE (CHUNK_OUT_OF_ORDER)"),
    publishing("D42", "more bytes than declared", lambda held: held.publish((0, DATA, None), data=DATA, size=100),
               "OUT_OF_RANGE (CHUNK_OUT_OF_ORDER)", "of 100 bytes"),
    publishing("D42", "fewer bytes than declared", lambda held: held.publish((0, DATA, None), data=DATA, size=300),
               "OUT_OF_RANGE (CHUNK_OUT_OF_ORDER)", "ended after 200 of 300"),
    publishing("D42", "a wrong CRC", lambda held: held.publish((0, DATA, 7), data=DATA),
               "DATA_LOSS (CHECKSUM_MISMATCH)"),
    publishing("D42", "a declared size of 2^63", lambda held: held.publish(data=DATA, size=1 << 63), INVALID,
               "size_bytes"),
    publishing("D42", "empty chunks", lambda held: held.publish(*[(0, b"", None)] * 1000, data=DATA), INVALID,
               "chunk.data"),
    publishing("D42", "a chunk of more than 1 MiB", lambda held: held.publish(
        (0, bytes(CHUNK + 1), 0), data=DATA, size=CHUNK + 1), INVALID, "chunk.data"),
    publishing("D42", "no header", lambda held: held.publish()[1:], INVALID, "header"),
    publishing("D42", "a header twice", lambda held: held.publish()[:1] * 2, INVALID, "no chunk"),
    publishing("D43",
               "bytes of another digest",
               lambda held: held.publish(digest="0" * 64),
               "DATA_LOSS (DIGEST_MISMATCH)",
               note="nothing is under the key"),
    Case("D45", "a ninth upload while eight are silent", ninth_upload, "RESOURCE_EXHAUSTED (TOO_MANY_UPLOADS)",
         "[RetryInfo]"),
    by_test("D45", "an upload that says nothing for 60 s", "server/services_test",
            "PublishLayerCall.EndsWhenNothingCameForAMinuteAndFreesItsPlace", "DEADLINE_EXCEEDED; by a test of the library"),
]
