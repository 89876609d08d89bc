"""The shipped programs over mutual TLS, with certificates made by the very recipe of docs/security.md: who gets in, what is
told, and that a job comes out the same as in plain text."""

import contextlib
import hmac
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import unittest

from service_harness import BIN, DEADLINE_SECONDS, Cluster, Model, kill, tls_flags, wait_until

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from authority import DOMAIN, TOKEN_RECIPE, Authority, point, shell  # noqa: E402

SHOWN = []  # what programs printed, which must hold no secret


def run(*words, **environment):
    result = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            errors="replace", timeout=DEADLINE_SECONDS, check=False, env={**os.environ, **environment})
    SHOWN.append(result.stdout + result.stderr)
    return result


class SecurityTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        os.environ["GPTVQ_LOG_LEVEL"] = "debug"  # whatever a log can say must hold no secret
        cls.model = Model(layers=2, hidden=128)
        cls.folder = tempfile.TemporaryDirectory(prefix="gptvq-e2e-")
        cls.base = pathlib.Path(cls.folder.name)
        cls.authority = Authority(cls.base)
        cls.certificates = cls.authority.certificates
        cls.authority.issue("bob", "URI:" + DOMAIN + "client/bob")
        cls.authority.issue("root", "URI:" + DOMAIN + "admin/root")

    @classmethod
    def tearDownClass(cls):
        del os.environ["GPTVQ_LOG_LEVEL"]
        cls.model.remove()
        cls.folder.cleanup()

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="gptvq-e2e-")
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name)
        SHOWN.clear()
        self.addCleanup(self.check_that_no_secret_was_shown)  # runs first

    def check_that_no_secret_was_shown(self):
        """Experiments end with this: keys and tokens are in no log, no audit log, no output."""
        shown = "".join(SHOWN) + "".join(file.read_text(errors="replace") for pattern in ("*.log", "*.jsonl")
                                         for file in self.root.rglob(pattern))
        for folder in (self.certificates, self.root):
            for key in folder.rglob("*key.pem"):
                for line in key.read_text().splitlines()[1:-1]:
                    self.assertNotIn(line, shown, key)
            for token in folder.rglob("*.token"):
                self.assertNotIn(token.read_text().strip()[:-1], shown, token)
        for journal in self.root.rglob("coordinator.db"):
            for token in self.lease_tokens(journal):
                self.assertNotIn(token, shown, journal)

    def lease_tokens(self, journal):
        """Those of the last grants, made as the coordinator makes them, and the key of all."""
        with contextlib.closing(sqlite3.connect(journal)) as database:
            key = database.execute("SELECT value FROM store_info WHERE name='secret'").fetchone()[0]
            leases = database.execute("SELECT task_id, epoch, worker_name, incarnation FROM tasks").fetchall()
        return [key.hex()] + [hmac.new(key, "\n".join(["lease", *map(str, lease)]).encode(), "sha256").hexdigest()
                              for lease in leases]

    def cluster(self, *flags, **options):
        return Cluster(self.root / "cluster", certificates=self.certificates, coordinator_flags=flags, **options)

    def client(self, cluster, name, *words):
        """As the holder of a folder of certificates; asks once."""
        return run(BIN / "gptvq-client", *words, "--coordinator", cluster.address, "--retry-for", "0s",
                   *tls_flags(self.certificates / name))

    def submit(self, cluster, **overrides):
        return cluster.client("submit", *self.model.job_flags(self.root / f"result-{cluster.client_name}",
                                                              **overrides)).strip()

    def digest(self, cluster, job_id):
        cluster.client("wait", job_id)
        return json.loads(cluster.client("report", job_id, "-o", "json"))["manifest_sha256"]

    def test_a_job_over_tls_gives_the_digest_of_plain_text(self):
        with Cluster(self.root / "plain", client="plain") as cluster:
            cluster.start_worker("worker-1")
            expected = self.digest(cluster, self.submit(cluster))
        audit = self.root / "audit.jsonl"
        with self.cluster("--audit-log", audit) as cluster:
            cluster.start_worker("worker-1")
            job_id = self.submit(cluster)
            self.assertEqual(self.digest(cluster, job_id), expected)
        lines = [json.loads(line) for line in audit.read_text().splitlines()]
        self.assertEqual({line["identity"] for line in lines}, {"client/alice", "worker/worker-1"})
        methods = [line["method"] for line in lines if line["job"] == job_id and line["code"] == "OK"]
        self.assertEqual(methods.count("SubmitJob"), 1)
        self.assertEqual(methods.count("PublishLayer"), self.model.layers)
        self.assertEqual(stat.S_IMODE(audit.stat().st_mode), 0o600)

    def doctor(self, coordinator, security, *words, prefix=(), **environment):
        """Its exit code and the first line that is not well."""
        result = run(*prefix, BIN / "gptvq-client", "doctor", "-o", "json", "--coordinator", coordinator, *security, *words,
                     **environment)
        bad = [line for line in json.loads(result.stdout) if line["result"] != "ok"]
        self.assertTrue(bad, result.stdout)
        self.assertNotEqual(bad[0]["remedy"], "")
        return result.returncode, bad[0]["check"], bad[0]["message"]

    def make_faulty_certificates(self):
        """Folders of certificates that are wrong in one way each."""
        strangers = Authority(self.root / "strangers").certificates
        folders = {}
        for name in ("foreign", "distrusting", "mismatched", "readable", "missing"):
            folders[name] = shutil.copytree(self.certificates / "alice", self.root / name)
        for file in ("cert.pem", "key.pem"):
            shutil.copy(strangers / "alice" / file, folders["foreign"] / file)
        shutil.copy(strangers / "alice/ca.pem", folders["distrusting"] / "ca.pem")
        shutil.copy(self.certificates / "bob/key.pem", folders["mismatched"] / "key.pem")
        (folders["readable"] / "key.pem").chmod(0o644)
        (folders["missing"] / "cert.pem").unlink()
        for name, when in (("expired", "2020-01-01 00:00:00"), ("early", "2090-01-01 00:00:00")):
            self.authority.issue(name, "URI:" + DOMAIN + "client/alice", when=when)
        self.authority.issue("nobody", "DNS:alice.example")
        return {**folders, **{name: self.certificates / name for name in ("expired", "early", "nobody", "worker-1")}}

    def test_doctor_explains_what_is_wrong_with_certificates_and_the_client_says_so_too(self):
        folders = self.make_faulty_certificates()
        with self.cluster() as cluster:
            for name, check, words, listed in (
                    ("expired", "certificate", "expired at 2020-01-31", "expired at"),
                    ("early", "certificate", "not valid before 2090", "not valid before"),
                    ("mismatched", "certificate", "is not the key of", "is not the key of"),
                    ("readable", "certificate", "every user of the machine may read", "chmod 600"),
                    ("missing", "certificate", "No such file", "No such file"),
                    ("nobody", "certificate", "has 0 URIs", "has 0 URIs"),
                    ("worker-1", "certificate", "which may not look at jobs", "may not call"),
                    ("foreign", "tls", "the coordinator refused the handshake", "no answer"),
                    ("distrusting", "tls", "the coordinator's certificate: ", "doctor")):
                with self.subTest(name):
                    _, found_check, message = self.doctor(cluster.address, tls_flags(folders[name]))
                    self.assertEqual(found_check, check)
                    self.assertIn(words, message)
                    result = self.client(cluster, folders[name], "list")
                    self.assertIn(result.returncode, (3, 4, 6))
                    self.assertEqual(result.stdout, "")
                    self.assertIn(listed, result.stderr)

    def test_doctor_explains_what_is_wrong_on_the_way(self):
        alice = tls_flags(self.certificates / "alice")
        elsewhere = self.root / "elsewhere"
        shutil.copytree(self.authority.issue("elsewhere", "URI:" + DOMAIN + "coordinator/main,DNS:elsewhere.example", "serverAuth"),
                        elsewhere / "coordinator")
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            silent = f"127.0.0.1:{unused.getsockname()[1]}"
            self.assertEqual(self.doctor(silent, alice)[:2], (4, "address"))
        self.assertEqual(self.doctor("nowhere.invalid:1", alice)[:2], (4, "address"))
        with self.cluster() as cluster, Cluster(self.root / "plain") as plain, \
                Cluster(self.root / "there", certificates=elsewhere) as other:
            for coordinator, security, code, check, words in (
                    (cluster.address, [], 6, "tls", "speaks TLS, this program plain text"),
                    (plain.address, alice, 6, "tls", "does not speak TLS"),
                    (other.address, alice, 6, "tls", "mismatch"),
                    (cluster.address, alice, 0, "workers", "none: jobs wait")):
                with self.subTest(words):
                    found = self.doctor(coordinator, security)
                    self.assertEqual(found[:2], (code, check))
                    self.assertIn(words, found[2])
            for ahead, code in (("+1h", 6), ("+1m", 0)):
                found = self.doctor(cluster.address, alice, prefix=("faketime", "-f", ahead), FAKETIME_DONT_FAKE_MONOTONIC="1")
                self.assertEqual(found[:2], (code, "clock"))
                self.assertIn("behind", found[2])
            code, check, _ = self.doctor(cluster.address, alice, "--file", "/nonexistent")
            self.assertEqual((code, check), (3, "workers"))  # a warning first, the exit code is that of the failure

    def test_versions_of_tls_that_are_too_old_are_refused(self):
        with self.cluster() as cluster:
            alice = self.certificates / "alice"
            codes = {version: run("openssl", "s_client", "-connect", cluster.address, "-alpn", "h2", version, "-cipher",
                                  "DEFAULT:@SECLEVEL=0", "-cert", alice / "cert.pem", "-key", alice / "key.pem", "-brief",
                                  "-no_ign_eof").returncode for version in ("-tls1", "-tls1_1", "-tls1_2", "-tls1_3")}
            self.assertEqual(codes, {"-tls1": 1, "-tls1_1": 1, "-tls1_2": 0, "-tls1_3": 0})

    def test_certificates_and_their_authority_are_changed_while_jobs_run_without_a_failure(self):
        before, after = self.certificates, Authority(self.root / "after").certificates
        live = self.root / "live"
        live.mkdir()

        def switch(generation, certificates, *authorities):
            """Everybody to the certificates of one authority, trusting `authorities`."""
            for name in ("coordinator", "worker-1", "alice"):
                folder = self.root / generation / name
                shutil.copytree(certificates / name, folder)
                (folder / "ca.pem").write_text("".join((one / "authority/ca.pem").read_text() for one in authorities))
                point(live / name, folder)

        def lets_in(folder):
            return self.client(cluster, folder, "list").returncode == 0

        audit = self.root / "audit.jsonl"
        switch("first", before, before)
        with Cluster(self.root / "cluster", certificates=live, coordinator_flags=["--audit-log", audit]) as cluster:
            cluster.start_worker("worker-1")
            jobs = [self.submit_to(cluster, "first")]
            switch("second", before, before, after)
            wait_until(lambda: lets_in(self.with_authority(after / "alice", before)),
                       "the coordinator to trust the new authority")
            jobs.append(self.submit_to(cluster, "second"))
            switch("third", after, before, after)
            wait_until(lambda: lets_in(after / "alice"), "the coordinator to show the new certificate")
            jobs.append(self.submit_to(cluster, "third"))
            switch("fourth", after, after)
            wait_until(lambda: not lets_in(self.with_authority(before / "alice", after)), "the old authority to count no more")
            jobs.append(self.submit_to(cluster, "fourth"))
            for job in jobs:
                cluster.client("wait", job)
                self.assertEqual({task["attempt"] for task in cluster.job(job)["tasks"]}, {1})
            self.assertNotIn("level=error", cluster.log("worker-1"))
            self.assertNotIn("denied", audit.read_text())
            # The worker shakes hands anew.
            cluster.restart_coordinator_after_kill()
            cluster.client("wait", self.submit_to(cluster, "fifth"))
        checked = run(BIN / "gptvq-coordinator", "verify-audit-log", audit)
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))
        self.assertIn(f"OK: {len(audit.read_text().splitlines())} lines", checked.stdout)

    def test_worker_and_client_come_back_after_a_long_outage(self):
        """Pauses between their tries are then longer than a handshake may take."""
        with self.cluster() as cluster:
            cluster.start_worker("worker-1")
            wait_until(lambda: "worker-1" in cluster.client("workers"), "the worker")
            job = self.submit_to(cluster, "result")
            waiting = cluster.start_client("wait", job)
            kill(cluster.coordinator)
            wait_until(lambda: re.search(r"retry_after_ms=[4-9]\d{3}", cluster.log("worker-1")), "long pauses")
            cluster.start_coordinator(cluster.address)
            self.assertEqual(waiting.wait(DEADLINE_SECONDS), 0)

    def with_authority(self, folder, authority):
        """A copy of a folder that trusts another authority."""
        copy = self.root / f"{folder.parent.parent.name}-{authority.parent.name}"
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        shutil.copy(authority / "authority/ca.pem", copy / "ca.pem")
        return copy

    def submit_to(self, cluster, name):
        return cluster.client("submit", *self.model.job_flags(self.root / f"result-{name}")).strip()

    def test_a_worker_that_is_revoked_during_a_job_loses_its_lease_to_another(self):
        authority = Authority(self.root / "authority-of-all")
        folder = authority.certificates
        for name in ("worker-2", "mallory"):
            authority.issue(name, f"URI:{DOMAIN}worker/{name}")
        lists = authority.revoke("mallory")
        with Cluster(self.root / "cluster", certificates=folder, coordinator_flags=["--tls-crl", lists]) as cluster:
            self.assertNotEqual(run(BIN / "gptvq-worker", "--coordinator", cluster.address, "--threads", "1",
                                    *tls_flags(folder / "mallory")).returncode, 0)
            revoked = cluster.start_worker("worker-1")
            job = self.submit_to(cluster, "result")
            wait_until(lambda: any(task["worker"] == "worker-1" for task in cluster.job(job)["tasks"]), "a lease")
            authority.revoke("worker-1")
            self.assertNotEqual(revoked.wait(DEADLINE_SECONDS), 0)
            self.assertIn("was revoked by its authority", cluster.log("worker-1"))
            cluster.start_worker("worker-2")
            cluster.client("wait", job)
            authority.revoke("alice")
            code, check, message = self.doctor(cluster.address, tls_flags(folder / "alice"))
            self.assertEqual((code, check), (6, "call"))
            self.assertIn("was revoked by its authority", message)

    def test_connections_that_say_nothing_are_capped_and_reaped_while_workers_go_on(self):
        with self.cluster("--max-connections", "16") as cluster:
            cluster.start_worker("worker-1")
            wait_until(lambda: "worker-1" in cluster.client("workers"), "the worker")
            files = pathlib.Path(f"/proc/{cluster.coordinator.pid}/fd")
            host, port = cluster.address.split(":")
            quiet = len(list(files.iterdir()))
            silent = [socket.create_connection((host, int(port)), timeout=60) for _ in range(300)]
            self.assertLessEqual(len(list(files.iterdir())), quiet + 17)
            for one in silent:
                try:
                    self.assertEqual(one.recv(1), b"")
                except ConnectionResetError:
                    pass
                one.close()
            job = self.submit_to(cluster, "result")
            cluster.client("wait", job)
            self.assertEqual({task["attempt"] for task in cluster.job(job)["tasks"]}, {1})
            self.assertIn("too many connections", cluster.log("coordinator"))

    def test_jobs_of_others_do_not_exist(self):
        audit = self.root / "audit.jsonl"
        with self.cluster("--audit-log", audit) as cluster:
            job_id = self.submit(cluster)
            for command in ("get", "cancel", "report", "watch", "wait"):
                self.assertEqual(self.client(cluster, "bob", command, job_id).returncode, 3)
            self.assertEqual(self.client(cluster, "bob", "list", "-o", "name").stdout, "")
            self.assertEqual(self.client(cluster, "root", "list", "-o", "name").stdout.strip(), job_id)
            self.assertEqual(self.client(cluster, "root", "cancel", job_id).returncode, 0)
            self.assertEqual(json.loads(cluster.client("get", job_id, "-o", "json"))["state"], "cancelled")
        denied = [line for line in map(json.loads, audit.read_text().splitlines()) if line["decision"] == "denied"]
        self.assertIn(("client/bob", "CancelJob", job_id), [(line["identity"], line["method"], line["job"]) for line in denied])

    def test_a_worker_is_who_its_certificate_says(self):
        with self.cluster() as cluster:
            for folder, name, words in (("worker-1", "worker-2", "leave --name out"), ("alice", "alice", "client/alice")):
                result = run(BIN / "gptvq-worker", "--coordinator", cluster.address, "--name", name, "--threads", "1",
                             *tls_flags(self.certificates / folder))
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn(words, result.stderr)
            process = cluster._spawn("nameless", ["gptvq-worker", "--coordinator", cluster.address, "--threads", "1",
                                                  *tls_flags(self.certificates / "worker-1")])
            wait_until(lambda: "worker-1" in cluster.client("workers"), "the worker")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(DEADLINE_SECONDS), 0)

    def test_tokens_are_asked_for_and_never_shown(self):
        shell(TOKEN_RECIPE, self.base)
        token_file = self.certificates / "alice.token"
        secret = token_file.read_text().strip()
        audit = self.root / "audit.jsonl"
        with self.cluster("--client-tokens", self.certificates / "tokens", "--audit-log", audit) as cluster:
            self.assertEqual(self.client(cluster, "alice", "list").returncode, 6)
            wrong = self.root / "wrong.token"
            wrong.write_text(secret[:-1])
            wrong.chmod(0o600)
            refused = self.client(cluster, "alice", "list", "--token-file", wrong)
            self.assertEqual(refused.returncode, 6)
            self.assertIn("token", refused.stderr)
            self.assertEqual(self.client(cluster, "alice", "list", "--token-file", token_file).returncode, 0)
            self.assertEqual(self.client(cluster, "bob", "list", "--token-file", token_file).returncode, 6)
            token_file.chmod(0o644)
            self.assertIn("chmod 600", self.client(cluster, "alice", "list", "--token-file", token_file).stderr)
            token_file.chmod(0o600)
            code, check, message = self.doctor(cluster.address, tls_flags(self.certificates / "alice"))
            self.assertEqual((code, check), (6, "call"))
            self.assertIn("--token-file", message)
            # A new token counts at once, the old one no more.
            before = token_file.read_text()
            shell(TOKEN_RECIPE, self.base)
            self.assertEqual(self.client(cluster, "alice", "list", "--token-file", token_file).returncode, 0)
            old = self.root / "old.token"
            old.write_text(before)
            old.chmod(0o600)
            self.assertEqual(self.client(cluster, "alice", "list", "--token-file", old).returncode, 6)
        self.assertGreaterEqual(audit.read_text().count("TOKEN_REFUSED"), 3)

    def test_doctor_is_content_with_a_sound_service_and_says_what_is_missing(self):
        with self.cluster() as cluster:
            lines = {line["check"]: line for line in json.loads(cluster.client("doctor", "-o", "json"))}
            self.assertEqual(lines["workers"]["result"], "warn")
            cluster.start_worker("worker-1")
            wait_until(lambda: "worker-1" in cluster.client("workers"), "the worker")
            text = cluster.client("doctor", "--file", self.model.directory / "model")
            self.assertEqual([line.split()[:2] for line in text.splitlines()],
                             [["ok", check] for check in ("certificate", "address", "tls", "call", "protocol", "clock",
                                                          "workers", "file")])
            self.assertIn("client/alice", text)
            cluster.client("doctor", "--file", "/nonexistent", check=3)
        self.assertEqual(run(BIN / "gptvq-client", "doctor", "--coordinator", cluster.address).returncode, 4)

    def test_plain_text_is_served_on_this_machine_only_unless_told_otherwise(self):
        data = ["--data-dir", self.root / "data"]
        refused = run(BIN / "gptvq-coordinator", *data, "--listen", "0.0.0.0:0")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("--insecure", refused.stderr)
        self.assertFalse((self.root / "data").exists())
        for listen, flags in (("0.0.0.0:0", ["--insecure", "on"]), (f"unix:{self.root}/socket", [])):
            cluster = Cluster(self.root / "open", coordinator_flags=flags)
            cluster.start_coordinator(listen)
            try:
                if listen.startswith("unix:"):
                    self.assertEqual(stat.S_IMODE((self.root / "socket").stat().st_mode), 0o600)
                self.assertEqual(cluster.client("list", "-o", "name"), "")
            finally:
                cluster.__exit__(None)

    def test_a_coordinator_refuses_files_that_can_not_serve(self):
        flags = tls_flags(self.certificates / "coordinator")
        data = ["--data-dir", self.root / "data"]
        tokens = self.root / "tokens"
        tokens.write_text("client/alice hunter2\n")
        tokens.chmod(0o600)
        for words, message in ((flags[:4], "--tls-ca is missing"),
                               ([*flags[:3], "/nonexistent", *flags[4:]], "--tls-key"),
                               ([*flags[:3], self.certificates / "alice/key.pem", *flags[4:]], "is not the key"),
                               (tls_flags(self.certificates / "alice"), "coordinator needs one of"),
                               ([*flags, "--client-tokens", tokens], "line 1"),
                               (["--client-tokens", tokens], "--client-tokens needs"),
                               (["--tls-crl", tokens], "--tls-crl needs"),
                               ([*flags, "--tls-crl", tokens], "holds no PEM revocation list"),
                               (["--max-connections", "0"], "--max-connections"),
                               (["--insecure", "perhaps"], "--insecure"),
                               (["--health-listen", "here"], "--health-listen"),
                               (["--file-root", "relative"], "--file-root"),
                               (["--audit-log", "/nonexistent/audit"], "audit log")):
            with self.subTest(message):
                result = run(BIN / "gptvq-coordinator", *data, "--listen", "127.0.0.1:0", *words)
                self.assertIn(result.returncode, (2, 4), result.stderr)
                self.assertIn(message, result.stderr)
                self.assertNotIn("hunter2", result.stderr)

    def test_a_coordinator_opens_nothing_outside_of_its_roots(self):
        root = self.root / "nothing-here"
        root.mkdir()
        with self.cluster("--file-root", root) as cluster:
            cluster.client("submit", *self.model.job_flags(self.root / "result"), check=6)
            self.assertEqual(cluster.client("list", "-o", "name"), "")

    def test_probes_without_a_certificate_have_an_address_of_their_own(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with self.cluster("--health-listen", f"127.0.0.1:{port}") as cluster:
            # It answers, and serves no jobs.
            listed = run(BIN / "gptvq-client", "list", "--coordinator", f"127.0.0.1:{port}", "--retry-for", "0s")
            self.assertEqual(listed.returncode, 6, listed.stderr)
            self.assertEqual(cluster.client("list", "-o", "name"), "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
