"""D78-D88: URIs, roots, and servers that lie."""

import itertools

from calls import message
from case import Case, NotRun, check
from fake_s3 import ENVIRONMENT, FakeS3, answer, error, profile
from files import by_test
from laboratory import BIN, FAST

ACCEPTED = "file:///absolute/path, s3://bucket/prefix"


def commands(lab, uri):
    """Every command that takes a location, with a bad one."""
    sound = lab.sound
    job = ["--calibration", sound / "calibration.jsonl", "--samples", 4, "--sequence-length", 32]
    return {
        "verify": [uri],
        "inspect": [uri],
        "eval": [uri, "--text", sound / "calibration.jsonl"],
        "eval --text": [sound / "model", "--text", uri],
        "export": [sound / "result", "--output", uri],
        "quantize": ["--model", uri, *job, "--output", "never"],
        "submit": ["--model", sound / "model", *job, "--output", uri],
        "calibration": ["inspect", "--model", sound / "model", "--calibration", uri],
        "linear": ["--weight", f"{uri}:w", "--hessian", f"{uri}:h", "--output", "never"],
    }


def bad_uri(row, uri, why, note=""):
    """On the command line of every command that takes a location, and in a call."""

    def run(lab):
        seen = [lab.client(command.split()[0], *words) for command, words in commands(lab, uri).items()]
        with lab.caller() as caller:
            called = caller.see("SubmitJob", message("SubmitJobRequest", request_id=lab.request_id(),
                                                     spec=lab.spec(calibration_uris=[uri])))
        check(called.code == "INVALID_ARGUMENT (INVALID_FIELD)" and "calibration_uris" in called.message,
              f"by a call: {called}")
        return seen

    shown = uri if len(uri) < 60 else f"{uri[:40]}… of {len(uri)} bytes"
    return Case(row, shown, run, "exit 2", why, note or "by a call INVALID_ARGUMENT (INVALID_FIELD)")


def bad_call(row, uri, why, note=""):
    """What a command line takes for a path, or what no command line can hold."""

    def run(lab):
        with lab.caller() as caller:
            return caller.see("SubmitJob",
                              message("SubmitJobRequest", request_id=lab.request_id(), spec=lab.spec(model_uri=uri)))

    return Case(row, repr(uri), run, "INVALID_ARGUMENT (INVALID_FIELD)", why, note)


def in_roots(make):
    """A worker whose root is one folder gets a job that make(root, sound) lays out; how the job ends."""

    def run(lab):
        root, inside = lab.folder(), lab.folder()
        model = make(inside, lab.sound)
        with lab.serve() as own:
            own.start_worker("confined", flags=["--file-root", str(inside)])
            words = ["submit", "--model", model, "--calibration", lab.sound / "calibration.jsonl", "--samples", 4,
                     "--sequence-length", 32, *FAST, "--output", root / "out", "--state-dir", root / "state", "--wait",
                     "--coordinator", own.address]
            seen, _ = lab.run(BIN / "gptvq-client", *words)
            check(own.processes[-1].poll() is None, "the worker has ended")
        check(not (root / "out").exists(), "something was written outside")
        return seen

    return run


def at_coordinator(lab):
    if "--file-root" not in lab.help("gptvq-coordinator"):
        raise NotRun("the coordinator of this build opens every directory; its workers are confined")
    with lab.serve("--file-root", lab.folder()) as own:
        root = lab.folder()
        return lab.client("submit", *lab.job_flags(lab.sound), *FAST, "--output", root / "out", "--state-dir",
                          root / "state", "--coordinator", own.address)


def missing_root(program, words):
    def run(lab):
        if "--file-root" not in lab.help(f"gptvq-{program}"):
            raise NotRun("the coordinator of this build has no --file-root")
        return getattr(lab, program)(*words(lab), "--file-root", lab.folder() / "missing")
    return run


def asked(lab, endpoint):
    return lab.client("verify", "s3://models/result", "--storage-profiles", profile(lab, endpoint), **ENVIRONMENT)


def server(row, put, script, code, words, note=""):
    """`verify` of a result in a bucket of a server that answers everything with the pieces of script()."""

    def run(lab):
        with FakeS3(script) as fake:
            seen = asked(lab, f"http://127.0.0.1:{fake.port}")
            check(fake.requests, "the server was not asked")
        check("CANARY" not in seen.message, "the message holds a secret")
        return seen

    return Case(row, put, run, code, words, note)


def refusal(row, put, status, code, words, exit_code=6, more="", note=""):
    return server(row, put, lambda: [error(status, code, more)], f"exit {exit_code}", (code, *words), note)


def endpoint(row, text, code, words, note=""):
    return Case(row, text, lambda lab: asked(lab, text), code, words, note)


def redirect(lab):
    with FakeS3(lambda: [answer(200)]) as elsewhere:
        location = f"Location: http://127.0.0.1:{elsewhere.port}/models\r\n"
        with FakeS3(lambda: [answer(301, b"", location)]) as fake:
            seen = asked(lab, f"http://127.0.0.1:{fake.port}")
        check(not elsewhere.requests, "it was followed")
    return seen


def endless(begin, piece):
    return lambda: itertools.chain([begin], itertools.repeat(piece))


BOMB = (b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' +
        b"".join(b'<!ENTITY %c "%s">' % (97 + n, b"&%c;" % (96 + n) * 10) for n in range(1, 10)) +
        b"]><ListBucketResult><Contents><Key>&j;</Key><Size>1</Size></Contents><IsTruncated>false</IsTruncated>"
        b"</ListBucketResult>")
CASES = [
    *(bad_uri("D78", uri, (why, ACCEPTED))
      for uri, why in (("s3://", "a bucket is"), ("s3:///k", "a bucket is"), ("s3://B_ad/k", "a bucket is"),
                       ("S3://bucket/k", "scheme"), ("http://host/x", "scheme"), ("gopher://host/x", "scheme"),
                       ("file://host/x", "must be absolute"))),
    bad_call("D78", "no-scheme/x", "file:///absolute/path", note="on a command line this is a path"),
    Case("D79", "a model outside the worker's --file-root", in_roots(lambda inside, sound: sound / "model"), "exit 6",
         ("file://", "outside the directories that this process may use")),
    Case("D79", "a model outside the coordinator's --file-root", at_coordinator, "exit 6",
         "outside the directories that this process may use"),
    Case("D79", "a root of the coordinator that is not there",
         missing_root("coordinator", lambda lab: ["--data-dir", lab.folder()]), "exit 2",
         ("file root", "No such file")),
    *(bad_uri("D80", uri, why)
      for uri, why in (("file:///a/../b", "ends in, a dot"), ("file:///a/%2e%2e/b", "without %"),
                       ("file:///a//b", "empty segment"), ("file:///a\\b", "backslash"),
                       ("file:///a./b", "ends in, a dot"), ("file:///a/.", "ends in, a dot"),
                       ("file:///a/\u0430", "printable ASCII"), ("s3://bucket/../k", "ends in, a dot"),
                       ("file:///" + "a" * 1100, "longer than 1024"))),
    bad_call("D80", "file:///a\0b", "control character", note="no command line holds NUL"),
    Case("D81",
         "a link out of the worker's --file-root",
         in_roots(lambda inside, sound: [(inside / "model").symlink_to(sound / "model"), inside / "model"][1]),
         "exit 6",
         "outside the directories",
         note="the client spells paths out; the kernel confines what a URI names"),
    by_test("D81", "a link inside a root that leads out", "platform/object_store/object_store_test",
            "Storage.NoLinkLeadsOutOfTheRoots"),
    by_test("D81", "a directory that becomes a link while it is used", "platform/object_store/object_store_test",
            "*ADirectorySwappedForALinkNeverLeadsOutside*"),
    *(bad_uri("D82", uri, why)
      for uri, why in (("s3://bucket/k?endpoint=http://evil", "without %, ?"),
                       ("s3://user:CANARY@bucket/k", "a bucket is"), ("s3://bucket/k#part", "without %, ?"),
                       ("file:///a?b", "without %, ?"))),
    endpoint("D83", "https://169.254.169.254", "exit 4", "169.254.169.254"),
    endpoint("D83", "http://[::ffff:169.254.169.254]", "exit 4", "169.254.169.254"),
    endpoint("D83", "http://2852039166", "exit 4", "2852039166", note="169.254.169.254 as one number"),
    endpoint("D83", "http://0251.0376.0251.0376", "exit 4", "0251", note="the same in octal"),
    endpoint("D83", "http://user:CANARY@host", "exit 2", "must be https://HOST"),
    by_test(
        "D83",
        "an address that a name changes to between look-ups",
        "platform/http_client_test",
        "HttpClient.ConnectsToNoLinkLocalAddress",
        note="each address is judged as its socket is made; loopback and private networks are the operator's choice"),
    Case("D84", "a redirection to another server", redirect, "exit 6", ("HTTP 301", "correct its region or endpoint")),
    server("D84", "a redirection to file:///etc/passwd", lambda: [answer(307, b"", "Location: file:///etc/passwd\r\n")],
           "exit 6", "HTTP 307"),
    refusal("D85", "no such bucket", 404, "NoSuchBucket", ["make the bucket"], exit_code=3, note="docs/cli.md: 3"),
    refusal("D85",
            "access denied",
            403,
            "AccessDenied", ["lacks the right"],
            note="docs/cli.md: 6 for all that is refused"),
    refusal("D85", "a wrong key", 403, "SignatureDoesNotMatch", ["check the secret access key"]),
    refusal("D85", "an unknown key", 403, "InvalidAccessKeyId", ["check the credentials"]),
    refusal("D85",
            "a wrong region",
            400,
            "AuthorizationHeaderMalformed", ["the bucket is in region 'eu-west-1'"],
            more="<Region>eu-west-1</Region>"),
    refusal("D85", "a wrong clock", 403, "RequestTimeTooSkewed", ["the clock of this machine is wrong"]),
    server("D86", "headers without end", endless(b"HTTP/1.1 200 OK\r\n", b"X-Header: " + b"a" * 1000 + b"\r\n"),
           "exit 4", "header"),
    server("D86", "a body without end",
           endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"a" * (1 << 16) + b"\r\n"),
           "exit 6", "longer than"),
    server("D86", "10 GB announced", lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\nshort"], "exit 4",
           ""),
    server("D86",
           "entities that expand to 10 GB",
           lambda: [answer(200, BOMB)],
           "exit 4",
           "gptvq_manifest.json",
           note="entities are not expanded; the next answer, the same, is no object"),
    server("D86", "no XML", lambda: [answer(200, b"<html>proxy</html>")], "exit 4",
           "is not a whole <ListBucketResult>"),
    by_test("D87", "keys outside the prefix in a listing", "platform/object_store/s3_test",
            "S3Fault.ListingFollowsItsPagesAndLeavesOutWhatIsNoKey"),
    by_test("D88", "an object that is replaced while it is read", "platform/object_store/s3_test",
            "S3Fault.ServerThatIgnoresTheEtagIsFoundOut"),
]
