"""D29-D39, D44, D46, D47: what anybody can send to the coordinator's port."""

import json
import socket
import struct

from calls import Caller, message
from case import Case, Seen, check
from laboratory import BIN

LARGE = 1 << 20  # a control message, docs/protocol.md
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, CONTINUATION, SETTINGS = 1, 9, 4
FIRST_DYNAMIC = 0xBE  # the newest entry of HPACK's dynamic table, RFC 7541: index 62


def call(row, put, name, build, code, words=(), note=""):
    """One call on a connection that has to serve the next one, too."""

    def run(lab):
        with lab.caller() as caller:
            seen = caller.see(name, build(lab))
            after = caller.see("GetCapabilities", message("GetCapabilitiesRequest"))
            check(after.code == "OK", f"the next call on the connection: {after}")
        return seen

    return Case(row, put, run, code, words, note)


def submit(row, put, code, words=(), note="", request_id=None, spec=None, **changes):
    """SubmitJob; nothing may be accepted."""

    def build(lab):
        wanted = lab.request_id() if request_id is None else request_id
        return message("SubmitJobRequest", request_id=wanted, spec=spec(lab) if spec else lab.spec(**changes))

    return call(row, put, "SubmitJob", build, code, words, note)


def register(row, put, code, words=(), note="", **changes):
    fields = {"worker_name": "matrix", "incarnation": "0" * 32, "numerics_class": "cpu/1", "version": "1",
              "protocol_version": "1.0", "slots": [{"name": "cpu:0"}]}
    return call(row, put, "RegisterWorker", lambda lab: message("RegisterWorkerRequest", **{**fields, **changes}), code,
                words, note)


def list_jobs(row, put, code, words=(), note="", **fields):
    return call(row, put, "ListJobs", lambda lab: message("ListJobsRequest", **fields), code, words, note)


def raw(row, put, path, data, code, words=(), note=""):
    def run(lab):
        with lab.caller() as caller:
            seen = caller.send(path, data)
            check(caller.see("GetCapabilities", message("GetCapabilitiesRequest")).code == "OK", "the next call")
        return seen
    return Case(row, put, run, code, words, note)


def truncated_submit(lab):
    with lab.caller() as caller:
        whole = message("SubmitJobRequest", request_id=lab.request_id(), spec=lab.spec()).SerializeToString()
        return caller.see("SubmitJob", whole[:-1])


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def speak(address, *frames):
    """What the server says to frames before it closes the connection, or falls silent."""
    host, port = address.rsplit(":", 1)
    heard = b""
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0, b"") + b"".join(frames))
        connection.settimeout(2)
        try:
            while len(heard) < 1 << 20:
                data = connection.recv(1 << 16)
                if not data:
                    return heard, "closed"
                heard += data
        except socket.timeout:
            return heard, "silent"
        except ConnectionResetError:
            return heard, "closed"
    return heard, "talks"


def large_metadata(lab):
    """gRPC 1.51 refuses the call and then closes its connection, which it takes for broken. That hurts nobody else, and
    the next call of this channel either finds the close on its way, or a new connection; the one after it does."""
    nothing = message("GetCapabilitiesRequest")
    with lab.caller() as other, lab.caller() as caller:
        check(other.see("GetCapabilities", nothing).code == "OK", "a connection that stands")
        seen = caller.see("GetCapabilities", nothing, metadata=[("x-large", "a" * (1 << 16))])
        after = caller.see("GetCapabilities", nothing)
        check(after.code in ("OK", "UNAVAILABLE"), f"the next call: {after}")
        if after.code == "UNAVAILABLE":
            again = caller.see("GetCapabilities", nothing, wait_for_ready=True)
            check(again.code == "OK", f"the call on a new connection: {again}")
        beside = other.see("GetCapabilities", nothing)
        check(beside.code == "OK", f"the call on the other connection: {beside}")
    return seen


def many_headers(lab):
    with lab.serve() as own, Caller(own.address) as caller:
        before = own.footprint()
        metadata = [(f"x-{number}", "") for number in range(10_000)]
        seen = caller.see("GetCapabilities", message("GetCapabilitiesRequest"), metadata=metadata)
        grown = (own.footprint()[0] - before[0]) >> 20
        check(grown < 32, f"memory grew by {grown} MiB")
        check(own.client("list", "-o", "name") == "", "it serves")
    return Seen("refused" if seen.code in ("RESOURCE_EXHAUSTED", "UNAVAILABLE") else seen.code, seen.message)


def expanding_headers(lab):
    """A header of 4 KiB enters HPACK's table once and is named 15 000 times: 60 MB of metadata in 20 KB."""
    with lab.serve() as own:
        before = own.footprint()
        large = b"\x40\x01x" + b"\x7f" + bytes([0x80 | (4000 - 127) & 0x7F, (4000 - 127) >> 7]) + b"a" * 4000
        block = large + bytes([FIRST_DYNAMIC]) * 15_000
        frames = [frame(HEADERS, 0, 1, block[:16_000]), frame(CONTINUATION, 4, 1, block[16_000:])]
        heard, end = speak(own.address, *frames)
        after = own.footprint()
        grown = (after[0] - before[0]) >> 20
        check(grown < 32, f"memory grew by {grown} MiB")
        check(own.client("list", "-o", "name") == "", "it serves")
    return Seen("refused" if end == "closed" or heard else end, "the stream is ended; memory grew by less than 32 MiB")


def same_id_other_spec(lab):
    with lab.caller() as caller:
        request_id = lab.request_id()
        output = f"file://{lab.folder()}/out"
        first = caller.see("SubmitJob",
                           message("SubmitJobRequest", request_id=request_id, spec=lab.spec(output_uri=output)))
        check(first.code == "OK", str(first))
        seen, _ = caller.ask("SubmitJob", message("SubmitJobRequest", request_id=request_id,
                                                  spec=lab.spec(output_uri=output, seed=8)))
    return seen


def same_id_on_the_command_line(lab):
    root = lab.case()
    words = ["submit", *lab.job_flags(root), "--output", root / "out", "--state-dir", root / "state", "--request-id",
             lab.request_id(), "--coordinator", lab.served.address]
    first, _ = lab.run(BIN / "gptvq-client", *words)
    check(first.code == "exit 0", first.message)
    return lab.client(*words, "--seed", 8)


def deep_model(lab):
    """A model whose config says 10^6 layers."""
    root = lab.case()
    path = root / "model/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_hidden_layers": 10**6}))
    return lab.spec(root)


def stored_verbatim(lab):
    """Texts that would end a statement of SQL or begin a line of the log come back as they were; the tables are there."""
    evil = "1'); DROP TABLE jobs;--\nlevel=error\x1b[31m"
    output = f"file://{lab.folder()}/x'); DROP TABLE tasks;--"
    with lab.caller() as caller:
        seen = [caller.see("RegisterWorker", message("RegisterWorkerRequest", worker_name="evil", incarnation="e" * 32,
                                                     numerics_class="cpu/1", version=evil, protocol_version="1.0",
                                                     slots=[{"name": "cpu:0'--", "description": evil}]))]
        answer, submitted = caller.ask("SubmitJob", message("SubmitJobRequest", request_id=lab.request_id(),
                                                            spec=lab.spec(output_uri=output)))
        seen.append(answer)
        check(answer.code == "OK" and submitted.job.spec.output_uri == output, f"the job came back otherwise: {answer}")
        workers = caller.ask("ListWorkers", message("ListWorkersRequest"))[1].workers
        check([worker.version for worker in workers if worker.name == "evil"] == [evil],
              "the version came back otherwise")
        check(caller.see("ListJobs", message("ListJobsRequest")).code == "OK", "the tables are gone")
        caller.see("CancelJob", message("CancelJobRequest", job_id=submitted.job.job_id))
    check(not [line for line in lab.served.log("coordinator").split("\n") if line.startswith("level=error")],
          "a line of the log was made up")
    check("\x1b" not in lab.served.log("coordinator"), "the log holds an escape")
    shown, printed = lab.run(BIN / "gptvq-client", "workers", "--coordinator", lab.served.address)
    check(shown.code == "exit 0" and b"\x1b" not in printed and b"\nlevel" not in printed, "shown unescaped")
    return [Seen(one.code, "stored and given back verbatim, logged and shown escaped") for one in seen]


def watch(row, put, after, code, words, note=""):
    def run(lab):
        with lab.caller() as caller:
            _, answer = caller.ask("SubmitJob", message("SubmitJobRequest", request_id=lab.request_id(), spec=lab.spec(
                output_uri=f"file://{lab.folder()}/out")))
            seen = caller.see("WatchJob", message("WatchJobRequest", job_id=answer.job.job_id, after_event_seq=after))
            caller.see("CancelJob", message("CancelJobRequest", job_id=answer.job.job_id))
        return seen
    return Case(row, put, run, code, words, note)


def cancel_twice(lab):
    with lab.caller() as caller:
        _, answer = caller.ask("SubmitJob", message("SubmitJobRequest", request_id=lab.request_id(), spec=lab.spec(
            output_uri=f"file://{lab.folder()}/out")))
        return [caller.see("CancelJob", message("CancelJobRequest", job_id=answer.job.job_id)) for _ in range(2)]


INVALID = "INVALID_ARGUMENT (INVALID_FIELD)"
UPGRADE = "FAILED_PRECONDITION (UPGRADE_REQUIRED)"
CASES = [
    call("D29", "a control message of more than 1 MiB", "GetJob",
         lambda lab: message("GetJobRequest", job_id="a" * LARGE), "RESOURCE_EXHAUSTED", "at most 1048576"),
    call("D29", "a message of more than 2 MiB", "GetJob",
         lambda lab: message("GetJobRequest", job_id="a" * (2 * LARGE + 1)), "RESOURCE_EXHAUSTED"),
    Case("D30", "metadata of 64 KiB", large_metadata, "RESOURCE_EXHAUSTED", note="its connection is closed, no other one"),
    Case("D30", "10 000 headers", many_headers, "refused", note="RESOURCE_EXHAUSTED, or the connection is closed"),
    Case("D30", "HPACK that expands 3000 times", expanding_headers, "refused", "memory grew by less than 32 MiB"),
    raw("D31",
        "random bytes",
        "/gptvq.v1.JobService/SubmitJob",
        bytes(range(255, 0, -1)) * 4,
        "INTERNAL",
        note="the framework's answer"),
    raw("D31", "100 000 levels of groups", "/gptvq.v1.JobService/SubmitJob", b"\x7b" * 100_000 + b"\x7c" * 100_000,
        "INTERNAL"),
    Case("D31", "a message that lacks its last byte", truncated_submit, "INTERNAL"),
    raw("D32", "an unknown method", "/gptvq.v1.JobService/DropJobs", b"", "UNIMPLEMENTED"),
    raw("D32", "an unknown service", "/gptvq.v1.AdminService/Stop", b"", "UNIMPLEMENTED"),
    raw("D32",
        "reflection",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        b"",
        "UNIMPLEMENTED",
        note="there with --reflection on"),
    submit("D33", "no request id", INVALID, "request_id", request_id=""),
    submit("D33", "no UUID", INVALID, "request_id", request_id="job-1"),
    submit("D33", "a UUID in upper case", INVALID, "request_id", request_id="0F8FAD5B-D9CB-469F-A165-70867728950E"),
    submit("D33", "a request id of 1 KiB", INVALID, "request_id", request_id="0" * 1024),
    Case("D34", "the same request id for another spec", same_id_other_spec, "ALREADY_EXISTS (IDEMPOTENCY_MISMATCH)"),
    Case("D34", "the same on the command line", same_id_on_the_command_line, "exit 6", "request"),
    submit("D35", "propagation 999", INVALID, "propagation", propagation=999),
    submit("D35", "no propagation", INVALID, "propagation", propagation=0),
    submit("D35", "quant.method 999", INVALID, "method", quant={"method": 999}),
    list_jobs("D35", "state 999 of a list", INVALID, "state", states=[999]),
    list_jobs("D36", "page_size 0", "OK", note="50"),
    list_jobs("D36", "page_size -1", INVALID, "page_size: negative", page_size=-1),
    list_jobs("D36", "page_size 10^9", "OK", note="lowered to 500", page_size=10**9),
    list_jobs("D36", "a forged page token", INVALID, "page_token", page_token="1." + "0" * 64),
    submit("D37",
           "a model of 10^6 layers",
           "FAILED_PRECONDITION (MODEL_UNUSABLE)",
           "num_hidden_layers is 1000000",
           spec=deep_model),
    submit("D37", "shards of -1 layers", INVALID, "shard_layers: -1", shard_layers=-1),
    submit("D37", "shards of 10^6 + 1 layers", INVALID, "shard_layers", shard_layers=10**6 + 1),
    submit("D37", "17 calibration texts", INVALID, "calibration_uris: 17", calibration_uris=["file:///x"] * 17),
    submit("D37", "2^28 + 2048 tokens", INVALID, "samples x sequence_length", samples=65536, sequence_length=4097),
    submit("D38", "a URI with NUL", INVALID, "control character", model_uri="file:///a\0b"),
    submit("D38", "a URI with a line break", INVALID, "control character", model_uri="file:///a\nb"),
    submit("D38", "a URI that reorders text", INVALID, "reorders text", output_uri="file:///a\u202eb"),
    submit("D38", "a URI of 1025 bytes", INVALID, "longer than 1024 bytes", output_uri="file:///" + "a" * 1017),
    submit("D38", "a URI of 10 MB", "RESOURCE_EXHAUSTED", model_uri="file:///" + "a" * 10_000_000),
    register("D38", "a worker's name with a line break", INVALID, "worker_name", worker_name="a\nb"),
    register("D38", "a worker's version of 65 bytes", INVALID, "version", version="v" * 65),
    register("D38", "65 slots", INVALID, "slots", slots=[{
        "name": "cpu:0"
    }] * 65),
    call("D38", "a job id with a line break", "GetJob", lambda lab: message("GetJobRequest", job_id="job-\n"),
         "NOT_FOUND (JOB_UNKNOWN)"),
    Case("D39", "SQL and lines of a log in names and versions", stored_verbatim, "OK"),
    watch("D44",
          "events of the future",
          10**9,
          "OUT_OF_RANGE",
          "beyond the last event",
          note="no call reads artifacts: this is the only one with an offset"),
    watch("D44", "a negative offset", -1, INVALID, "after_event_seq: negative"),
    Case("D46", "a job that was cancelled before", cancel_twice, "OK", "JOB_STATE_CANCELLED", note="changes nothing"),
    call("D46", "an unknown job", "CancelJob", lambda lab: message("CancelJobRequest", job_id="job-0123456789abcdef"),
         "NOT_FOUND (JOB_UNKNOWN)"),
    register("D47", "protocol 0", UPGRADE, ("'0'", "1."), protocol_version="0"),
    register("D47", "protocol 2.0", UPGRADE, "'2.0'", protocol_version="2.0"),
    register("D47", "no protocol", UPGRADE, "''", protocol_version=""),
    register("D47", "protocol 1.99", "OK", note="a later minor version works", protocol_version="1.99"),
    register("D47",
             "no numerics class",
             INVALID,
             "numerics_class",
             numerics_class="",
             note="a class of its own is no mistake: such a worker gets no task of jobs on another"),
]
