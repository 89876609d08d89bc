"""Two coordinators on one PostgreSQL journal: one leads, the other takes over, and no byte of a result changes."""

import json
import pathlib
import subprocess
import tempfile
import unittest

from service_harness import BIN, Cluster, Model, PostgresServer, SharedCluster, kill, wait_until


class FailoverTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = Model(layers=6, hidden=128)
        cls.server = PostgresServer()

    @classmethod
    def tearDownClass(cls):
        cls.server.remove()
        cls.model.remove()

    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="gptvq-e2e-")
        self.addCleanup(self.scratch.cleanup)
        self.root = pathlib.Path(self.scratch.name)

    def submit(self, cluster, name):
        return cluster.client("submit", *self.model.job_flags(self.root / name)).strip()

    def digest(self, cluster, job_id):
        cluster.client("wait", job_id)
        return json.loads(cluster.client("report", job_id, "-o", "json"))["manifest_sha256"]

    def call(self, cluster, name, *arguments):
        return subprocess.run([str(BIN / "gptvq-client"), *arguments, "--coordinator", cluster.addresses[name],
                               "--retry-for", "0s"], capture_output=True, text=True, timeout=60, check=False)

    def test_a_standby_takes_over_from_a_leader_that_was_killed_or_stopped(self):
        with Cluster(self.root / "quiet") as quiet:
            quiet.start_worker("alone")
            expected = self.digest(quiet, self.submit(quiet, "quiet-result"))

        with SharedCluster(self.root / "shared", self.server.uri) as cluster:
            cluster.add_coordinator("first")
            wait_until(lambda: cluster.is_ready("first"), "the first to lead")
            cluster.add_coordinator("second")
            self.assertFalse(cluster.is_ready("second"))
            steady = cluster.start_worker("steady")

            job_id = self.submit(cluster, "killed-result")
            wait_until(lambda: cluster.job(job_id)["published_layers"] >= 1, "a layer")
            listed = self.call(cluster, "second", "list")
            self.assertIn(job_id, listed.stdout)  # from the journal
            refused = self.call(cluster, "second", "workers")
            self.assertEqual(refused.returncode, 4)
            self.assertIn("stands by", refused.stderr)
            self.assertIn(f"process {cluster.coordinators['first'].pid}", refused.stderr)

            kill(cluster.coordinators["first"])
            self.assertEqual(self.digest(cluster, job_id), expected)
            self.assertTrue(cluster.is_ready("second"))

            cluster.add_coordinator("third")
            self.assertFalse(cluster.is_ready("third"))
            late = cluster.start_worker("late")  # knows the addresses as they are now
            job_id = self.submit(cluster, "stopped-result")
            wait_until(lambda: cluster.job(job_id)["published_layers"] >= 1, "a layer")
            cluster.coordinators["second"].terminate()
            self.assertEqual(self.digest(cluster, job_id), expected)
            self.assertEqual(cluster.coordinators["second"].wait(timeout=60), 0)
            self.assertTrue(cluster.is_ready("third"))
            for name, worker in (("steady", steady), ("late", late)):
                self.assertIsNone(worker.poll(), name)
                self.assertNotIn("task failed", cluster.log(name))  # no call came at a bad time

    def run_coordinator(self, *arguments):
        return subprocess.run([str(BIN / "gptvq-coordinator"), "--listen", "127.0.0.1:0", *arguments], capture_output=True,
                              text=True, timeout=60, check=False)

    def test_a_journal_that_can_not_be_used_is_refused_without_showing_a_password(self):
        store = ["--store", str(self.root / "store")]
        for arguments, code, words in (
                (["--journal", "postgresql://user:hunter2@host/db", *store], 2, "PGPASSFILE"),
                (["--journal", "mysql://host/db", *store], 2, "postgresql://"),
                (["--journal", self.server.uri], 2, "--store"),
                (["--journal", self.server.uri.replace("/postgres?", "/nowhere?"), *store], 4, "nowhere"),
                (["--journal", "postgresql://user@/db?host=/nonexistent", *store], 4, "/nonexistent")):
            with self.subTest(arguments=arguments):
                result = self.run_coordinator(*arguments)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertIn(words, result.stderr)
                self.assertNotIn("hunter2", result.stderr + result.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
