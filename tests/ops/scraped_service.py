"""Coordinators, workers and a real Prometheus on loopback that scrapes them with the configuration and the rules of
deploy/prometheus, faster. Stops exactly what it started."""

import pathlib
import re
import socket
import subprocess
import sys
import time

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DASHBOARDS = [ROOT / "deploy" / "grafana" / "dashboards" / name
              for name in ("quantization-progress.json", "fleet-health.json")]
sys.path += [str(ROOT / "tests" / "e2e"), str(ROOT / "tools")]

from dashboard_data import Prometheus  # noqa: E402
from service_harness import Cluster, SharedCluster, wait_until  # noqa: E402

LOOPBACK = "127.0.0.1"
SCRAPE_SECONDS = 1
SEVERAL_SCRAPES = {"refinement_passes": 128}  # flags of a job of 20 layers that is seen in the middle on a fast machine, too


def _free_port():
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


class ScrapedService:
    """Everything lies below `directory`. Use as a context; then `cluster` takes jobs and `prometheus` answers. With `journal`,
    the URI of a PostgreSQL database, two coordinators share it, and the first leads."""

    def __init__(self, directory, worker_names, journal=None, coordinator_flags=()):
        self.directory = pathlib.Path(directory)
        self.worker_names = worker_names
        flags = ["--metrics-listen", f"{LOOPBACK}:0", *coordinator_flags]
        if journal is None:
            self.cluster = Cluster(self.directory, coordinator_flags=flags)
            self.coordinator_names = ["coordinator"]
        else:
            self.cluster = SharedCluster(self.directory, journal, coordinator_flags=flags)
            self.coordinator_names = ["first", "second"]
        self.workers = {}
        self.metrics_urls = {}  # by name of a coordinator or worker
        self.prometheus = None
        self._server = None

    def __enter__(self):
        self.cluster.__enter__()
        try:
            if isinstance(self.cluster, SharedCluster):
                for name in self.coordinator_names:
                    self.cluster.add_coordinator(name)
                    wait_until(lambda: self.cluster.is_ready("first"), "the first to lead")
            for name in self.coordinator_names:
                self._find_metrics(name, r"metrics on (\S+)")
            for name in self.worker_names:
                self.workers[name] = self.cluster.start_worker(name, flags=["--metrics-listen", f"{LOOPBACK}:0"])
                self._find_metrics(name, r"serving metrics.* port=(\d+)")
            self._start_prometheus()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *failure):
        if self._server is not None:
            self._server.terminate()
            self._server.wait(timeout=30)
        self.cluster.__exit__(*failure)

    def _find_metrics(self, program, pattern):
        log = self.directory / f"{program}.log"
        found = wait_until(lambda: log.exists() and re.search(pattern, log.read_text()), f"the metrics of {program}")
        self.metrics_urls[program] = f"http://{LOOPBACK}:{found[1].rpartition(':')[2]}/metrics"

    def _configuration(self):
        """deploy/prometheus/prometheus.yml with these targets, and without waiting."""
        source = ROOT / "deploy" / "prometheus"
        configuration = yaml.safe_load((source / "prometheus.yml").read_text())
        configuration["global"] = {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"}
        configuration["rule_files"] = [str(source / pattern) for pattern in configuration["rule_files"]]
        target_of = {program: url.split("/")[2] for program, url in self.metrics_urls.items()}
        for job in configuration["scrape_configs"]:
            if job["job_name"] == "gptvq-coordinator":
                job["static_configs"] = [{"targets": [target_of[name] for name in self.coordinator_names]}]
            else:
                job["static_configs"] = [{"targets": [target_of[name]], "labels": {"worker": name}}
                                         for name in self.worker_names]
        return configuration

    def _start_prometheus(self):
        file = self.directory / "prometheus.yml"
        file.write_text(yaml.safe_dump(self._configuration()))
        port = _free_port()
        with open(self.directory / "prometheus.log", "ab") as log:
            self._server = subprocess.Popen(
                ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={self.directory / 'tsdb'}",
                 f"--web.listen-address={LOOPBACK}:{port}"], stdout=log, stderr=log)
        self.prometheus = Prometheus(f"http://{LOOPBACK}:{port}")
        wait_until(lambda: self._up_count() == len(self.metrics_urls), "Prometheus to reach every target")

    def _up_count(self):
        assert self._server.poll() is None, (self.directory / "prometheus.log").read_text()
        for name, worker in self.workers.items():
            assert worker.poll() is None, f"worker {name} ended with {worker.returncode}"
        try:
            return len(self.prometheus.instant("up == 1", time.time()))
        except OSError:
            return 0  # not listening yet

    def await_data(self, expr, what):
        """Waits until `expr` gives something; returns the time of it."""
        def moment():
            now = time.time()
            return now if self.prometheus.instant(expr, now) else None
        return wait_until(moment, what)
