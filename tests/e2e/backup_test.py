"""gptvq-coordinator backup and restore as docs/backup.md has them: a copy of a journal that is being written, and a
coordinator that goes on from it."""

import pathlib
import shutil
import sqlite3
import stat
import subprocess
import tempfile
import unittest

from service_harness import BIN, DEADLINE_SECONDS, Cluster, Model, kill, wait_until


def coordinator(*words):
    return subprocess.run([BIN / "gptvq-coordinator", *map(str, words)], capture_output=True, text=True,
                          timeout=DEADLINE_SECONDS, check=False)


class BackupTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = Model(layers=2, hidden=128)

    @classmethod
    def tearDownClass(cls):
        cls.model.remove()

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="gptvq-e2e-")
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name)
        self.backup = self.root / "backup.db"

    def back_up(self, cluster):
        return coordinator("backup", "--data-dir", cluster.directory / "data", "--output", self.backup)

    def restore(self, data, source=None):
        return coordinator("restore", "--data-dir", data, "--input", source or self.backup)

    def submit(self, cluster, name):
        return cluster.client("submit", *self.model.job_flags(self.root / name)).strip()

    def test_a_job_in_progress_is_finished_from_a_backup_that_was_made_meanwhile(self):
        with Cluster(self.root / "cluster") as cluster:
            first = self.submit(cluster, "first")
            worker = cluster.start_worker("w")
            wait_until(lambda: cluster.job(first)["published_layers"] >= 1, "a layer")
            made = self.back_up(cluster)
            self.assertEqual(made.returncode, 0, made.stderr)
            self.assertIn("1 jobs", made.stdout)
            kill(worker)
            lost = self.submit(cluster, "lost")
        self.assertEqual(stat.S_IMODE(self.backup.stat().st_mode), 0o600)

        data = cluster.directory / "data"
        for file in data.glob("coordinator.db*"):
            file.unlink()
        restored = self.restore(data)
        self.assertEqual(restored.returncode, 0, restored.stderr)
        with Cluster(self.root / "cluster") as cluster:
            self.assertEqual(cluster.client("list", "-o", "name").split(), [first])
            cluster.client("get", lost, check=3)
            cluster.start_worker("w")
            cluster.client("wait", first)
            cluster.client("verify", self.root / "first")

    def test_a_restored_journal_begins_a_new_generation_of_epochs(self):
        with Cluster(self.root / "cluster") as cluster:
            self.submit(cluster, "first")
            self.back_up(cluster)
        self.assertEqual(self.restore(self.root / "new").returncode, 0)
        with sqlite3.connect(self.root / "new/coordinator.db") as journal:
            generation = journal.execute("SELECT value FROM store_info WHERE name='generation'").fetchone()
        self.assertGreater(int(generation[0]), 0)

    def test_nothing_is_restored_over_a_running_or_an_existing_journal(self):
        with Cluster(self.root / "cluster") as cluster:
            self.back_up(cluster)
            data = cluster.directory / "data"
            running = self.restore(data)
            self.assertEqual((running.returncode, "in use" in running.stderr), (6, True), running.stderr)
        existing = self.restore(data)
        self.assertEqual((existing.returncode, "exists already" in existing.stderr), (6, True), existing.stderr)

    def test_a_journal_that_lacks_acknowledged_changes_is_served_only_when_the_loss_is_accepted(self):
        with Cluster(self.root / "cluster") as cluster:
            self.submit(cluster, "first")
            self.assertEqual(self.back_up(cluster).returncode, 0)
            lost = self.submit(cluster, "lost")
        data = cluster.directory / "data"
        for file in data.glob("coordinator.db*"):
            file.unlink()
        shutil.copy(self.backup, data / "coordinator.db")

        refused = coordinator("--listen", "127.0.0.1:0", "--data-dir", data)
        accepted = coordinator("accept-loss", "--data-dir", data)

        self.assertEqual((refused.returncode, "ACKNOWLEDGED_CHANGES_MISSING: 2 changes were acknowledged, the journal "
                          "holds 1" in refused.stderr), (4, True), refused.stderr)
        self.assertEqual(accepted.returncode, 0, accepted.stderr)
        self.assertEqual(accepted.stdout, "acknowledged changes given up: 1\nleft: 1 jobs, 1 of them active; schema 7\n")
        with Cluster(self.root / "cluster") as cluster:
            cluster.client("get", lost, check=3)

    def test_a_loss_is_not_accepted_under_a_running_coordinator_or_where_no_journal_is(self):
        with Cluster(self.root / "cluster") as cluster:
            running = coordinator("accept-loss", "--data-dir", cluster.directory / "data")
        nowhere = coordinator("accept-loss", "--data-dir", self.root / "nowhere")
        self.assertEqual((running.returncode, "in use" in running.stderr), (6, True), running.stderr)
        self.assertEqual((nowhere.returncode, "nowhere/coordinator.db" in nowhere.stderr), (4, True), nowhere.stderr)

    def test_what_is_no_sound_backup_is_refused_and_leaves_nothing(self):
        with Cluster(self.root / "cluster") as cluster:
            self.submit(cluster, "first")
            self.assertEqual(self.back_up(cluster).returncode, 0)
            again = self.back_up(cluster)
            self.assertEqual((again.returncode, "exists already" in again.stderr), (6, True), again.stderr)
        damaged = bytearray(self.backup.read_bytes())
        damaged[4096:8192] = b"\xff" * 4096
        (self.root / "damaged.db").write_bytes(damaged)
        (self.root / "text.db").write_text("hello " * 1000)
        sqlite3.connect(self.root / "foreign.db").execute("CREATE TABLE x (y)").connection.commit()
        for source in ("damaged.db", "text.db", "foreign.db", "missing.db"):
            with self.subTest(source):
                result = self.restore(self.root / "new", self.root / source)
                self.assertIn(result.returncode, (4, 6), result.stderr)
                self.assertIn(source, result.stderr)
                self.assertEqual([file.name for file in (self.root / "new").iterdir()], ["coordinator.lock"])

    def test_usage_errors_name_the_flag(self):
        for words, flag in ((["backup", "--data-dir", "x"], "--output"), (["backup", "--output", "x"], "--data-dir"),
                            (["restore", "--data-dir", "x"], "--input"), (["restore", "--input", "x"], "--data-dir"),
                            (["accept-loss"], "--data-dir"),
                            (["backup", "--listen", "127.0.0.1:0"], "--listen"), (["bakcup"], "backup")):
            with self.subTest(words):
                result = coordinator(*words)
                self.assertEqual((result.returncode, flag in result.stderr), (2, True), result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
