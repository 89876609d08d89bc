"""D12, D15, D19-D27, D47: who calls. On a build without TLS these are named and not run."""

import functools
import hashlib
import json
import shutil
import subprocess

import grpc

from calls import Caller, message
from case import Case, NotRun, Seen, check
from laboratory import BIN, SECONDS

LACKING = "this build speaks plain text only"


class Realm:
    """An authority, its people, and a coordinator that trusts it; made once, when a row first wants it."""

    def __init__(self, lab):
        self.lab = lab
        self.authority = lab.authority
        issue = self.authority.issue
        self.server = issue("coordinator", "coordinator/main", usage="serverAuth",
                            names="URI:spiffe://example.org/gptvq/coordinator/main,DNS:localhost,IP:127.0.0.1")
        self.alice, self.bob = issue("alice", "client/alice"), issue("bob", "client/bob")
        self.worker, self.admin = issue("worker-1", "worker/worker-1"), issue("root", "admin/root")
        issue("revoked", "client/revoked")
        self.audit = lab.folder() / "audit.jsonl"
        self.coordinator = lab.closing.enter_context(lab.serve(
            *self.authority.flags(self.server), "--tls-crl", self.authority.revoke("revoked"), "--audit-log", self.audit))
        self.token = lab.folder() / "token"
        self.tokens = lab.closing.enter_context(lab.serve(*self.authority.flags(self.server), "--client-tokens",
                                                          self._token_list(lab)))

    def _token_list(self, lab):
        """A line for alice, one for bob, and one of alice's that has expired."""
        lines = []
        for name, identity, end in (("alice", "client/alice", "2036-12-31T00:00:00Z"),
                                    ("bob", "client/bob", "2036-12-31T00:00:00Z"),
                                    ("old", "client/alice", "2020-01-01T00:00:00Z")):
            secret = hashlib.sha256(name.encode()).hexdigest()
            path = self.token.with_suffix(f".{name}")
            path.write_text(secret + "\n")
            path.chmod(0o600)
            lines.append(f"{identity} {hashlib.sha256(secret.encode()).hexdigest()} {end}\n")
        path = lab.folder() / "tokens"
        path.write_text("".join(lines))
        path.chmod(0o600)
        return path

    def credentials(self, folder, certificate="cert.pem", key="key.pem"):
        """For calls that no program of the product would make; folder None: no certificate."""
        root = (self.alice / "ca.pem").read_bytes()
        if folder is None:
            return grpc.ssl_channel_credentials(root)
        return grpc.ssl_channel_credentials(root, (folder / key).read_bytes(), (folder / certificate).read_bytes())

    def see(self, folder, name, request, server=None):
        address = (server or self.coordinator).address
        with Caller(address, self.credentials(folder)) as caller:
            return caller.see(name, request, seconds=10)

    def client(self, folder, *words, server=None, **options):
        return self.lab.client(*words, "--coordinator", (server or self.coordinator).address, "--retry-for", "0s",
                               *self.authority.flags(folder), **options)

    def denials(self):
        lines = map(json.loads, self.audit.read_text().splitlines())
        return [(line["identity"], line["method"].rsplit("/", 1)[-1], line["code"]) for line in lines
                if line["decision"] == "denied"]


def secured(row, put, act, code, words=(), note=""):
    """act(realm) says what was seen."""

    def run(lab):
        if "--tls-cert" not in lab.help("gptvq-coordinator"):
            raise NotRun(LACKING)
        return act(lab.realm)

    return Case(row, put, run, code, words, note)


LIST = functools.partial(message, "ListJobsRequest")


def stranger(realm):
    """A certificate of another authority."""
    return realm.lab.other_authority.issue(f"stranger-{realm.lab.request_id()}", "client/alice")


def self_signed(realm):
    folder = realm.lab.folder()
    subprocess.run([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-subj", "/CN=me", "-addext", "subjectAltName=URI:spiffe://example.org/gptvq/client/alice", "-keyout",
        folder / "key.pem", "-out", folder / "cert.pem"
    ],
                   check=True,
                   capture_output=True)
    return folder


def calling(make):
    """ListJobs with the certificate that make(realm) gives, past everything that the client checks itself."""
    return lambda realm: realm.see(make(realm), "ListJobs", LIST())


def issued(*roles, **options):
    return lambda realm: realm.authority.issue(f"odd-{realm.lab.request_id()}", *roles, **options)


def submitted_by_alice(realm):
    with Caller(realm.coordinator.address, realm.credentials(realm.alice)) as caller:
        seen, answer = caller.ask(
            "SubmitJob",
            message("SubmitJobRequest",
                    request_id=realm.lab.request_id(),
                    spec=realm.lab.spec(output_uri=f"file://{realm.lab.folder()}/out")))
    check(seen.code == "OK", str(seen))
    return answer.job.job_id


def job_of_another(realm):
    job_id = submitted_by_alice(realm)
    seen = [
        realm.see(realm.bob, name, message(f"{name}Request", job_id=job_id))
        for name in ("GetJob", "CancelJob", "GetReport")
    ]
    check(("client/bob", "CancelJob", "NOT_FOUND") in realm.denials(), "it is not in the audit log")
    return seen


def other_role(folder, identity, name, request):
    def act(realm):
        seen = realm.see(getattr(realm, folder), name, request(realm))
        check((identity, name, "PERMISSION_DENIED") in realm.denials(), "it is not in the audit log")
        return seen
    return act


def other_host(realm):
    folder = realm.authority.issue("elsewhere", usage="serverAuth",
                                   names="URI:spiffe://example.org/gptvq/coordinator/main,DNS:elsewhere.example")
    with realm.lab.serve(*realm.authority.flags(folder)) as own:
        return [realm.client(realm.alice, "list", server=own)]


def bad_pair(spoil, program="coordinator"):
    """A certificate and key that can not serve."""

    def act(realm):
        folder = shutil.copytree(realm.server, realm.lab.folder() / "pair")
        spoil(realm, folder)
        return realm.lab.coordinator("--data-dir", realm.lab.folder(), *realm.authority.flags(folder))

    return act


def encrypt(realm, folder):
    subprocess.run(["openssl", "ec", "-aes256", "-passout", "pass:CANARY", "-in", folder / "key.pem", "-out",
                    folder / "new.pem"], check=True, capture_output=True)
    (folder / "new.pem").rename(folder / "key.pem")
    (folder / "key.pem").chmod(0o600)


def append(file, data):
    def spoil(_, folder):
        with open(folder / file, "ab") as opened:
            opened.write(data)
    return spoil


def handshake(*words):
    """openssl s_client with a sound certificate; whether it ends the handshake."""

    def act(realm):
        result = subprocess.run([
            "openssl", "s_client", "-connect", realm.coordinator.address, *words, "-cipher", "DEFAULT:@SECLEVEL=0",
            "-cert", realm.alice / "cert.pem", "-key", realm.alice / "key.pem", "-brief", "-no_ign_eof"
        ],
                                stdin=subprocess.DEVNULL,
                                capture_output=True,
                                errors="replace",
                                check=False,
                                timeout=SECONDS)
        return Seen("established" if result.returncode == 0 else "refused", result.stderr)

    return act


def plain_text(realm):
    with Caller(realm.coordinator.address) as caller:
        return caller.see("ListJobs", LIST(), seconds=10)


def http_1(realm):
    """HTTP/1.1 inside of TLS."""
    result = subprocess.run([
        "openssl", "s_client", "-connect", realm.coordinator.address, "-cert", realm.alice / "cert.pem", "-key",
        realm.alice / "key.pem", "-quiet", "-alpn", "http/1.1"
    ],
                            input=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                            capture_output=True,
                            check=False,
                            timeout=SECONDS)
    check(b"200" not in result.stdout[:15], f"it answers {result.stdout[:80]}")
    return Seen("refused", "the connection is closed")


def with_token(folder, suffix):
    def act(realm):
        words = ["--token-file", realm.token.with_suffix(f".{suffix}")] if suffix else []
        return realm.client(getattr(realm, folder), "list", *words, server=realm.tokens)
    return act


def long_token(realm):
    path = realm.lab.folder() / "long"
    path.write_text("a" * (1 << 20))
    path.chmod(0o600)
    return realm.client(realm.alice, "list", "--token-file", path, server=realm.tokens)


def raw_token(text):
    def act(realm):
        with Caller(realm.tokens.address, realm.credentials(realm.alice)) as caller:
            return caller.see("ListJobs", LIST(), metadata=[("authorization", f"Bearer {text}")], seconds=10)
    return act


def token_in_plain_text(realm):
    return realm.lab.client("list", "--coordinator", realm.lab.served.address, "--retry-for", "0s", "--token-file",
                            realm.token.with_suffix(".alice"))


def sound(realm):
    with_it, printed = realm.lab.run(BIN / "gptvq-client", "list", "-o", "name", "--coordinator", realm.tokens.address,
                                     *realm.authority.flags(realm.alice), "--token-file",
                                     realm.token.with_suffix(".alice"))
    check(printed == b"", "there are jobs")
    return [with_it, realm.lab.run(BIN / "gptvq-client", "list", "--coordinator", realm.coordinator.address,
                                   *realm.authority.flags(realm.alice))[0]]


def readable_key(realm):
    folder = shutil.copytree(realm.alice, realm.lab.folder() / "readable")
    (folder / "key.pem").chmod(0o644)
    return realm.client(folder, "list")


def crowd(realm):
    """More connections than --max-connections lets in."""
    with realm.lab.serve(*realm.authority.flags(realm.server), "--max-connections", "8") as own:
        callers = [Caller(own.address, realm.credentials(realm.alice)) for _ in range(16)]
        seen = [caller.see("ListJobs", LIST(), seconds=10) for caller in callers]
        refused = [one for one in seen if one.code != "OK"]
        for caller in callers:
            caller.channel.close()
        check(len(refused) >= 8, f"{len(refused)} of 16 were refused")
        check("too many connections" in own.log("coordinator"), "the log does not say so")
    return refused


REFUSED = "UNAVAILABLE"
DENIED = "PERMISSION_DENIED"
CASES = [
    secured("D19", "what has to work: a sound certificate and token", sound, "exit 0"),
    secured("D12",
            "a clock ten years ahead",
            lambda realm: realm.client(realm.alice, "list", prefix=("faketime", "-f", "+10y")),
            "exit 6", ("expired at", ),
            note="docs/cli.md: 6 is a certificate that can not be used"),
    secured("D15", "a key that everybody may read", readable_key, "exit 6", ("readable/key.pem", "chmod 600")),
    secured("D19", "no certificate", calling(lambda realm: None), REFUSED),
    secured("D19", "a self-signed certificate", calling(self_signed), REFUSED),
    secured("D19", "a certificate of another authority", calling(stranger), REFUSED),
    secured("D20", "an expired certificate", calling(issued("client/alice", when="2020-01-01 00:00:00")), REFUSED),
    secured("D20", "a certificate that is not yet valid", calling(issued("client/alice", when="2090-01-01 00:00:00")),
            REFUSED),
    secured("D20", "a revoked certificate", calling(lambda realm: realm.authority.root / "revoked"), "UNAUTHENTICATED",
            "was revoked by its authority"),
    secured("D21", "a coordinator whose certificate is for another host", other_host, "exit 4"),
    secured("D22", "another client's job", job_of_another, "NOT_FOUND (JOB_UNKNOWN)", note="told in the audit log"),
    secured(
        "D23", "a worker that submits",
        other_role("worker", "worker/worker-1", "SubmitJob",
                   lambda realm: message("SubmitJobRequest", request_id=realm.lab.request_id(), spec=realm.lab.spec())),
        DENIED),
    secured("D23", "a client that completes a task",
            other_role("alice", "client/alice", "CompleteTask", lambda realm: message("CompleteTaskRequest")), DENIED),
    *(secured("D24", f"a certificate with {what}", calling(issued(names=names, **more)), DENIED)
      for what, names, more in (
          ("no URI", "DNS:alice.example", {}),
          ("two URIs", "URI:spiffe://example.org/gptvq/client/alice,URI:spiffe://example.org/gptvq/client/bob", {}),
          ("a malformed URI", "URI:spiffe://example.org/gptvq/client", {}),
          ("an unknown role", "URI:spiffe://example.org/gptvq/king/alice", {}),
          ("a wildcard", "URI:spiffe://example.org/gptvq/client/*", {}),
          ("another domain", "URI:spiffe://example.com/gptvq/client/alice", {}),
          ("its role in the common name only", "", {
              "common_name": "spiffe://example.org/gptvq/client/alice"
          }))),
    secured("D25", "a key of another certificate",
            bad_pair(lambda realm, folder: shutil.copy(realm.bob / "key.pem", folder / "key.pem")), "exit 2",
            "is not the key of"),
    secured("D25", "an encrypted key", bad_pair(encrypt), "exit 2", "key.pem"),
    secured("D25", "a certificate with junk behind it",
            bad_pair(append("cert.pem", b"-----BEGIN CERTIFICATE-----\njunk\n")), "exit 2", "cert.pem"),
    secured("D25", "a chain of 10 MB", bad_pair(append("cert.pem", b"\n" * 10_000_000)), "exit 2", "cert.pem"),
    secured("D26", "TLS 1.0", handshake("-tls1", "-alpn", "h2"), "refused"),
    secured("D26", "TLS 1.1", handshake("-tls1_1", "-alpn", "h2"), "refused"),
    secured("D26", "TLS 1.2", handshake("-tls1_2", "-alpn", "h2"), "established", note="is spoken besides 1.3"),
    secured("D26", "plain text on the port of TLS", plain_text, REFUSED),
    secured("D26", "HTTP/1.1 in TLS", http_1, "refused"),
    secured("D27", "no token", with_token("alice", ""), "exit 6", "token"),
    secured("D27", "an expired token", with_token("alice", "old"), "exit 6", "token"),
    secured("D27", "another client's token", with_token("alice", "bob"), "exit 6", "token"),
    secured("D27",
            "a token file of 1 MiB",
            long_token,
            "exit 4", ("--token-file", "a secret has at most 65536"),
            note="docs/cli.md: 4 is no answer"),
    secured("D27", "a token with one letter changed", raw_token("0" * 64), "UNAUTHENTICATED"),
    secured("D27", "a token of 8 KiB", raw_token("a" * 8192), "UNAUTHENTICATED"),
    secured("D27", "a token without TLS", token_in_plain_text, "exit 2", "--token-file"),
    secured(
        "D47", "a worker's name that is not its certificate's", lambda realm: realm.see(
            realm.worker, "RegisterWorker",
            message("RegisterWorkerRequest",
                    worker_name="worker-2",
                    incarnation="0" * 32,
                    numerics_class="cpu/1",
                    version="1",
                    protocol_version="1.0",
                    slots=[{
                        "name": "cpu:0"
                    }])), "PERMISSION_DENIED (IDENTITY_MISMATCH)"),
    secured("D96", "16 connections where 8 are allowed", crowd, REFUSED),
]
