"""The shipped programs together, on loopback: a job from submit to a result that verifies, and the promise that neither the
number of workers and threads nor any kill changes a byte of it."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

from service_harness import BIN, DEADLINE_SECONDS, Cluster, Model, kill, wait_until


def checkpoints_of(cluster, worker):
    """(layer, linears) of every checkpoint that the coordinator took from a worker, in order."""
    return [(int(layer), int(linears)) for layer, linears in
            re.findall(r'checkpoint kept".*? layer=(\d+) linears=(\d+)', cluster.log(worker))]


def kept_by(cluster, worker):
    """The linears that a worker kept last, by layer."""
    return dict(checkpoints_of(cluster, worker))


def used_by(cluster, worker):
    """(layer, linears) of the checkpoint that a worker resumed from; None if it had none."""
    found = re.search(r'checkpoint used".*? layer=(\d+) linears=(\d+)', cluster.log(worker))
    return found and (int(found[1]), int(found[2]))


class ServiceCase(unittest.TestCase):
    """A model, and the digest that every way to quantize it has to give."""

    @classmethod
    def setUpClass(cls):
        cls.model = Model(layers=6, hidden=128)
        cls.digests = {}

    @classmethod
    def tearDownClass(cls):
        cls.model.remove()

    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="gptvq-e2e-")
        self.addCleanup(self.scratch.cleanup)
        self.root = pathlib.Path(self.scratch.name)

    def submit(self, cluster, name, **overrides):
        output = self.root / name
        job_id = cluster.client("submit", *self.model.job_flags(output, **overrides)).strip()
        return job_id, output

    def digest(self, cluster, job_id):
        cluster.client("wait", job_id)
        return json.loads(cluster.client("report", job_id, "-o", "json"))["manifest_sha256"]

    def quiet_digest(self, **overrides):
        """The digest of the undisturbed run with one worker and one thread."""
        key = tuple(sorted(overrides.items()))
        if key not in self.digests:
            with Cluster(self.root / "quiet") as cluster:
                cluster.start_worker("alone")
                job_id, _ = self.submit(cluster, f"quiet-result-{len(self.digests)}", **overrides)
                self.digests[key] = self.digest(cluster, job_id)
        return self.digests[key]


class ServiceTest(ServiceCase):
    def test_a_job_runs_from_submit_to_a_result_that_verifies(self):
        with Cluster(self.root / "cluster") as cluster:
            cluster.start_worker("a")
            output = self.root / "result"
            shown = cluster.client("submit", *self.model.job_flags(output), "--watch")
            job_id = shown.split()[0]

            report = json.loads(cluster.client("report", job_id, "-o", "json"))
            self.assertEqual(report["state"], "succeeded")
            self.assertEqual(len(report["linears"]), 7 * self.model.layers)
            self.assertGreater(report["bits_per_value"]["total"], 3)
            self.assertGreater(report["perplexity"]["quantized"], 1)
            self.assertGreater(report["perplexity"]["source"], 1)
            files = [file for file in output.iterdir() if file.is_file()]
            self.assertEqual(report["output_bytes"], sum(file.stat().st_size for file in files))
            self.assertIn("<svg", cluster.client("report", job_id, "-o", "html"))
            self.assertIn("bits per value", cluster.client("report", job_id))
            self.assertIn(report["manifest_sha256"], cluster.client("verify", output))
            self.assertEqual(json.loads(cluster.client("inspect", output, "-o", "json"))["manifest_sha256"],
                             report["manifest_sha256"])
            self.assertIn(job_id, cluster.client("list"))
            self.assertIn("a", cluster.client("workers"))

            evaluation = ["--text", self.model.directory / "held_out.jsonl", "--sequence-length", 128, "-o", "json"]
            packed = json.loads(cluster.client("eval", output, *evaluation))["perplexity"]
            self.assertAlmostEqual(packed, report["perplexity"]["quantized"], delta=1e-6 * packed)
            exported = self.root / "exported"
            cluster.client("export", output, "--output", exported)
            dequantized = json.loads(cluster.client("eval", exported, *evaluation))["perplexity"]
            self.assertAlmostEqual(dequantized, packed, delta=1e-3 * packed)

    def test_workers_and_threads_do_not_change_a_byte(self):
        for overrides in ({"propagation": "sequential"},
                          {"propagation": "sequential", "shard_layers": 2},
                          {"propagation": "parallel", "shard_layers": 2}):
            expected = self.quiet_digest(**overrides)
            for threads in ((1, 1), (2,)):
                with self.subTest(overrides=overrides, threads=threads):
                    with Cluster(self.root / f"cluster-{len(list(self.root.iterdir()))}") as cluster:
                        for number, count in enumerate(threads):
                            cluster.start_worker(f"w{number}", threads=count)
                        job_id, _ = self.submit(cluster, f"result-{len(list(self.root.iterdir()))}", **overrides)
                        self.assertEqual(self.digest(cluster, job_id), expected)

    def test_a_killed_worker_costs_no_byte_and_no_finished_layer(self):
        expected = self.quiet_digest()
        with Cluster(self.root / "cluster") as cluster:
            victim = cluster.start_worker("victim")
            job_id, _ = self.submit(cluster, "result")
            wait_until(lambda: cluster.job(job_id)["published_layers"] >= 2, "two layers")
            kill(victim)
            cluster.start_worker("heir")
            self.assertEqual(self.digest(cluster, job_id), expected)
            tasks = {task["kind"]: task for task in cluster.job(job_id)["tasks"]}
            self.assertEqual(tasks["quantize"]["worker"], "heir")
            self.assertGreaterEqual(tasks["quantize"]["attempt"], 2)

    def test_a_worker_killed_inside_a_layer_costs_no_byte_and_no_linear_that_was_kept(self):
        slowly = {"refinement_passes": 64}  # so that a kill finds a layer that is not finished
        expected = self.quiet_digest(**slowly)
        each = ("--checkpoint-every-seconds", "0")
        with Cluster(self.root / "cluster") as cluster:
            job_id, _ = self.submit(cluster, "result", **slowly)
            kept, used = {}, None
            for number in range(self.model.layers):  # one may be published between the line in the log and the kill
                name = f"victim-{number}"
                victim = cluster.start_worker(name, flags=each)
                wait_until(lambda: kept_by(cluster, name) or
                           cluster.job(job_id)["published_layers"] == self.model.layers, "a checkpoint")
                kill(victim)
                used = used_by(cluster, name)
                if used:
                    break
                kept.update(kept_by(cluster, name))
            cluster.start_worker("heir", flags=each)
            self.assertEqual(self.digest(cluster, job_id), expected)
        self.assertIsNotNone(used, "no attempt was resumed inside a layer")
        layer, linears = used
        # At least: the kill may come between the coordinator's answer and the line in the log.
        self.assertGreaterEqual(linears, kept[layer], "the next attempt begins with what was kept last")
        # Of that layer nothing is kept that is not more, so nothing of it was computed again.
        again = [count for one, count in checkpoints_of(cluster, name) if one == layer]
        self.assertTrue(all(count > linears for count in again), again)

    def test_a_killed_coordinator_costs_no_byte(self):
        expected = self.quiet_digest()
        with Cluster(self.root / "cluster") as cluster:
            cluster.start_worker("steady")
            job_id, _ = self.submit(cluster, "result")
            wait_until(lambda: cluster.job(job_id)["published_layers"] >= 1, "a layer")
            cluster.restart_coordinator_after_kill()
            self.assertEqual(self.digest(cluster, job_id), expected)

    def test_who_waits_or_watches_outlives_a_restart_of_the_coordinator(self):
        with Cluster(self.root / "cluster") as cluster:
            job_id, _ = self.submit(cluster, "result")
            followers = [cluster.start_client(command, job_id) for command in ("wait", "watch")]
            wait_until(lambda: "0 of" in cluster.log("watch"), "the watch")
            cluster.coordinator.kill()
            cluster.coordinator.wait()
            for name in ("wait", "watch"):
                wait_until(lambda: "trying again" in cluster.log(name), f"{name} to notice")
            cluster.start_coordinator(cluster.address)
            cluster.start_worker("a")
            for follower in followers:
                self.assertEqual(follower.wait(timeout=DEADLINE_SECONDS), 0)

    def test_the_same_request_names_the_same_job(self):
        with Cluster(self.root / "cluster") as cluster:
            request = ["--request-id", "0f8fad5b-d9cb-469f-a165-70867728950e"]
            flags = self.model.job_flags(self.root / "result")
            first = cluster.client("submit", *flags, *request)
            self.assertEqual(cluster.client("submit", *flags, *request), first)
            other = self.model.job_flags(self.root / "result", seed=8)
            cluster.client("submit", *other, *request, check=6)

    def test_a_cancelled_job_ends_and_leaves_no_result(self):
        with Cluster(self.root / "cluster") as cluster:
            cluster.start_worker("a")
            job_id, output = self.submit(cluster, "result")
            wait_until(lambda: cluster.job(job_id)["published_layers"] >= 1, "a layer")
            cluster.client("cancel", job_id)
            cluster.client("wait", job_id, check=5)
            self.assertFalse((output / "gptvq_manifest.json").exists())

    def test_a_dry_run_starts_nothing(self):
        with Cluster(self.root / "cluster") as cluster:
            plan = cluster.client("submit", *self.model.job_flags(self.root / "result"), "--dry-run")
            self.assertIn("layers       6", plan)
            self.assertRegex(plan, r"memory +on a GPU 0\.\d GB of the device and 0\.\d GB of the host, on the CPU 0\.\d GB")
            self.assertEqual(cluster.client("list", "-o", "name"), "")
            self.assertFalse((self.root / "result").exists())


class EmbeddedTest(ServiceCase):
    def test_quantize_in_one_process_gives_the_digest_of_the_service(self):
        flags = self.model.job_flags(self.root / "result")
        result = subprocess.run([str(BIN / "gptvq-client"), "quantize", *flags, "--threads", "2", "-o", "json"],
                                capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(json.loads(result.stdout)["manifest_sha256"], self.quiet_digest())


class RefusalTest(unittest.TestCase):
    """What goes wrong is told with the documented exit code, and nothing is written."""

    def run_client(self, *arguments):
        return subprocess.run([str(BIN / "gptvq-client"), *map(str, arguments)], capture_output=True, text=True,
                              timeout=DEADLINE_SECONDS, check=False)

    def test_usage_errors(self):
        for arguments, words in (
                ([], "--help"),
                (["sbmit"], "submit"),
                (["list", "--limt", "3"], "--limit"),
                (["list", "--limit", "0"], "--limit"),
                (["submit", "--model", "m", "--calibration", "c", "--output", "o", "--preset", "2d-3.12bpv"], "2d-3.125bpv"),
                (["submit", "--model", "m", "--calibration", "c", "--output", "o", "--samples", "-1"], "--samples"),
                (["submit", "--model", "m", "--calibration", "c", "--output", "o", "--vector-dim", "3"], "vector_dim"),
                (["submit", "--model", "m", "--calibration", "c", "--output", "o", "--compat", "x"], "--compat"),
                (["completion", "tcsh"], "bash, zsh, fish"),
                (["export", "d", "--dtype", "int4", "--output", "o"], "--dtype"),
                (["calibration", "guess", "--model", "m", "--calibration", "c"], "inspect")):
            with self.subTest(arguments=arguments):
                result = self.run_client(*arguments)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn(words, result.stderr)
                self.assertEqual(result.stdout, "")

    def test_an_unreachable_coordinator_is_exit_code_four(self):
        for time, words in (("0s", "is --coordinator right?"), ("300ms", "trying again for up to")):
            with self.subTest(time=time):
                result = self.run_client("list", "--coordinator", "unix:/nonexistent/socket", "--retry-for", time)
                self.assertEqual(result.returncode, 4, result.stderr)
                self.assertIn(words, result.stderr)

    def test_an_unknown_job_is_exit_code_three(self):
        with tempfile.TemporaryDirectory(prefix="gptvq-e2e-") as directory, Cluster(directory) as cluster:
            for command in ("get", "watch", "wait", "cancel", "report"):
                cluster.client(command, "job-0123456789abcdef", check=3)

    def test_missing_files_are_exit_code_three(self):
        for arguments in (["verify", "/nonexistent"], ["inspect", "/nonexistent"],
                          ["eval", "/nonexistent", "--text", "/nonexistent"],
                          ["linear", "--weight", "/nonexistent:w", "--hessian", "/nonexistent:h", "--output", "/tmp/x"]):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.run_client(*arguments).returncode, 3)


if __name__ == "__main__":
    unittest.main(verbosity=2, argv=[sys.argv[0], *sys.argv[1:]])
