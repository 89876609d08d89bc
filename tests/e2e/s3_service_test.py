"""The shipped programs with everything in S3: model, texts, artifacts and result lie in a real object gateway."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from ceph_rgw import Rgw  # pylint: disable=wrong-import-position
from service_harness import BIN, Cluster, Model  # pylint: disable=wrong-import-position


class S3ServiceTest(unittest.TestCase):
    def test_a_job_in_s3_gives_the_digest_of_a_job_in_files(self):
        model = Model(layers=2, hidden=128)
        self.addCleanup(model.remove)
        scratch = tempfile.TemporaryDirectory(prefix="gptvq-e2e-")
        self.addCleanup(scratch.cleanup)
        root = pathlib.Path(scratch.name)
        server = self.enterContext(Rgw())
        bucket = f"s3://{server.bucket}"
        for file in model.sources():
            server.put(f"source/{file.relative_to(model.directory)}", file)
        os.environ.update(server.environment())
        self.addCleanup(os.environ.pop, "GPTVQ_STORAGE_PROFILES")
        os.environ["GPTVQ_STORAGE_PROFILES"] = os.environ["GPTVQ_TEST_S3_PROFILES"]

        flags = model.job_flags(f"{bucket}/results/one", propagation="parallel", shard_layers=1)
        in_s3 = [flag.replace(str(model.directory), f"{bucket}/source") for flag in flags]
        with Cluster(root / "cluster", store=f"{bucket}/artifacts") as cluster:
            for name in ("a", "b"):
                cluster.start_worker(name)
            job_id = cluster.client("submit", *in_s3).strip()
            cluster.client("wait", job_id)
            digest = json.loads(cluster.client("report", job_id, "-o", "json"))["manifest_sha256"]
            self.assertIn(digest, cluster.client("verify", f"{bucket}/results/one"))
            missing = [flag.replace("/source/", "/nowhere/") for flag in in_s3]
            cluster.client("submit", *missing, check=3)
            logs = "".join(log.read_text() for log in cluster.directory.glob("*.log"))
        self.assertNotIn("CANARY", logs)

        expected = subprocess.run([str(BIN / "gptvq-client"), "quantize", "-o", "json",
                                   *model.job_flags(root / "result", propagation="parallel", shard_layers=1)],
                                  capture_output=True, text=True, timeout=300, check=True)
        self.assertEqual(json.loads(expected.stdout)["manifest_sha256"], digest)


if __name__ == "__main__":
    unittest.main(verbosity=2)
