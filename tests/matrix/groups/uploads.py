"""D28, D29, D37, D40-D42: what a worker can ask about an upload, and say of a checkpoint. Each case plays a worker that holds a task."""

import hashlib
import pathlib

from calls import message
from case import Case, Seen, check
from groups.leases import INVALID, LAYERS, Held, flipped, holding

SOUND = b"the first linear"
DIGESTS = (("in upper case", "A" * 64), ("of another algorithm", "a" * 40), ("that is empty", ""),
           ("with a path", "../" + "a" * 61))


def digest_of(data, hexadecimal=None, size=None):
    return message("Digest", sha256_hex=hashlib.sha256(data).hexdigest() if hexadecimal is None else hexadecimal,
                   size_bytes=len(data) if size is None else size)


# QueryUpload.


def query(held, lease=None, layer=0, **digest):
    """How much is left of an upload that never was: whatever is answered OK has to be nothing."""
    seen, answer = held.caller.ask("QueryUpload", message("QueryUploadRequest", lease=lease or held.lease, layer=layer,
                                                          digest=digest_of(SOUND, **digest)))
    check(answer is None or answer.received_bytes == 0, f"{answer and answer.received_bytes} bytes are left")
    return seen


def asking(row, put, code, words=(), note="", **fields):
    return holding(row, f"QueryUpload: {put}", lambda held: query(held, **fields), code, words, note)


def sending(put, first_offset, code, words=(), size=None):
    """A layer that begins somewhere although nothing is left."""
    return holding("D42", put, lambda held: held.caller.see("PublishLayer", held.publish(
        (first_offset, SOUND, None), data=SOUND, size=size, first_offset=first_offset)), code, words)


# CheckpointTask.


def store(held, data=SOUND):
    """Puts an artifact where workers put theirs."""
    name = hashlib.sha256(data).hexdigest()
    path = pathlib.Path(held.server.store) / "artifacts/sha256" / name[:2] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def keep(held, lease=None, layer=0, sequence=1, linears=1, report=(), **digest):
    checkpoint = message("TaskCheckpoint", layer=layer, sequence=sequence,
                         artifact=message("ArtifactRef", digest=digest_of(SOUND, **digest)),
                         linears=[{"name": f"x{number}", "hessian_policy": 1, **dict(report)} for number in range(linears)])
    return held.caller.see("CheckpointTask", message("CheckpointTaskRequest", lease=lease or held.lease, checkpoint=checkpoint))


def keeping(row, put, code, words=(), note="", stored=True, **fields):
    def act(held):
        if stored:
            store(held)
        return keep(held, **fields)
    return holding(row, f"CheckpointTask: {put}", act, code, words, note, may_store=stored)


def outdated(lab):
    """A sequence that does not rise, whatever it is of."""
    with Held(lab) as held:
        store(held)
        first = keep(held, sequence=5)
        check(first.code == "OK" and keep(held, sequence=5).code == "OK", f"the first one, and the same again: {first}")
        return keep(held, sequence=4)


def ended(call):
    """A call under the lease of an epoch that has passed, with its genuine token."""

    def run(lab):
        with Held(lab) as held:
            store(held)
            old = held.lease
            held.ask("ReleaseTask", message("ReleaseTaskRequest", lease=old))
            held.lease = held.grant("heir")
            return call(held, lease=old)

    return run


def too_large(lab):
    with Held(lab) as held:
        seen = keep(held, linears=64, report={"name": "n" * (20 << 10)})
        check(held.renew(counter=1).code == "OK", "the next call on the connection")
    return Seen(seen.code, seen.message)


def of_leases(make, name):
    """What is wrong with the lease comes first, for either call."""
    call = {"QueryUpload": query, "CheckpointTask": keep}[name]
    bad = "PERMISSION_DENIED (BAD_LEASE_TOKEN)"
    wrong = (("D28", "a lease token with one bit flipped", lambda held: {"lease_token": flipped(held.lease.lease_token)}),
             ("D28", "a lease in the hands of another worker", lambda held: {"worker_name": "thief"}),
             ("D40", "an epoch of the future", lambda held: {"epoch": held.lease.epoch + 1}),
             ("D40", "another job's task", lambda held: {"task_id": "job-0123456789abcdef/quantize-0"}))
    return [*(holding(row, f"{name}: {put}", lambda held, change=change: call(held, lease=held.altered(**change(held))), bad)
              for row, put, change in wrong),
            Case("D28", f"{name}: a lease whose epoch has passed", ended(call), "FAILED_PRECONDITION (STALE_EPOCH)"),
            make("D40", "no lease at all", INVALID, "lease", lease=message("Lease"))]


NOT_THERE = "no upload of it is there: 0 bytes"
CASES = [
    *of_leases(asking, "QueryUpload"),
    asking("D37", "layer -1", INVALID, "layer: is negative", layer=-1),
    asking("D37", f"layer {LAYERS} of layers 0 to {LAYERS - 1}", INVALID, f"layer: {LAYERS} is not a layer of task", layer=LAYERS),
    *(asking("D41", f"a digest {what}", INVALID, "digest", hexadecimal=digest) for what, digest in DIGESTS),
    asking("D42", "an upload that never was", "OK", note=NOT_THERE),
    asking("D42", "a size of 2^63", "OK", note=NOT_THERE, size=1 << 63),
    sending("an offset of 1 in the header, though nothing is left", 1, "OUT_OF_RANGE (CHUNK_OUT_OF_ORDER)", "0 bytes are left",
            size=len(SOUND) + 1),
    sending("an offset of -1 in the header", (1 << 64) - 1, "OUT_OF_RANGE (CHUNK_OUT_OF_ORDER)", "0 bytes are left"),
    sending("an offset at the end of a layer that was not published", len(SOUND), "OUT_OF_RANGE (CHUNK_OUT_OF_ORDER)",
            "was not published"),
    *of_leases(keeping, "CheckpointTask"),
    Case("D29", "CheckpointTask: a message of more than 1 MiB", too_large, "RESOURCE_EXHAUSTED", "at most 1048576"),
    keeping("D37", "layer -1", INVALID, "checkpoint.layer: is negative", layer=-1),
    keeping("D37", f"layer {LAYERS} of layers 0 to {LAYERS - 1}", INVALID, f"layer: {LAYERS} is not a layer of task", layer=LAYERS),
    keeping("D37", "65 linears of a layer", INVALID, "checkpoint.linears", linears=65),
    keeping("D37", "no linear", INVALID, "checkpoint.linears", linears=0),
    keeping("D37", "sequence 0", INVALID, "checkpoint.sequence", sequence=0),
    keeping("D37", "sequence -1", INVALID, "checkpoint.sequence", sequence=-1),
    keeping("D40", "an error that is NaN in its report", INVALID, "x0: a number is not finite",
            report={"relative_error": float("nan")}),
    Case("D40", "CheckpointTask: a sequence that falls", outdated, "FAILED_PRECONDITION (CHECKPOINT_OUTDATED)",
         "comes after 5 is kept"),
    *(keeping("D41", f"a digest {what}", INVALID, "digest", hexadecimal=digest) for what, digest in DIGESTS),
    keeping("D41", "an artifact that nobody stored", "FAILED_PRECONDITION (OUTPUT_MISSING)", "is not stored", stored=False,
            hexadecimal="0" * 64),
    keeping("D41", "a size that the stored one does not have", "FAILED_PRECONDITION (OUTPUT_MISSING)", "is not stored",
            size=1 << 63),
]
