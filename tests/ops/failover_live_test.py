"""Two coordinators share a journal, and the one that leads stands still in the middle of a job until the other has taken over:
dashboards and rules go on, and nothing is counted twice when the former leader is back."""

import math
import pathlib
import signal
import tempfile
import time
import unittest

from scraped_service import DASHBOARDS, SEVERAL_SCRAPES, ScrapedService

import dashboard_data
from service_harness import Model, PostgresServer, wait_until

VARIABLES = {"job": ".*", "worker": ".*", "datasource": "", "__rate_interval": "10s", "__range": "60s"}


class FailoverLiveTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="gptvq-ops-")
        cls.addClassCleanup(cls.scratch.cleanup)
        root = pathlib.Path(cls.scratch.name)
        cls.model = Model(layers=20, hidden=128)
        cls.addClassCleanup(cls.model.remove)
        database = PostgresServer()
        cls.addClassCleanup(database.remove)
        cls.service = cls.enterClassContext(ScrapedService(root / "service", ["a"], database.uri))
        cls.prometheus = cls.service.prometheus
        cluster = cls.service.cluster
        cls.start = time.time()
        cls.job_id = cluster.client("submit", *cls.model.job_flags(root / "result", **SEVERAL_SCRAPES)).strip()
        cls.service.await_data("sum(gptvq_coordinator_job_published_layers) >= 1", "a layer")
        former = cluster.coordinators["first"]
        former.send_signal(signal.SIGSTOP)
        wait_until(lambda: cluster.is_ready("second"), "the second to lead")
        former.send_signal(signal.SIGCONT)
        wait_until(lambda: "not ready" in cluster.log("first"), "the first to notice")
        noticed = time.time()
        cls.service.await_data(f"min(timestamp(gptvq_coordinator_ready)) > {noticed + 1}", "a scrape of both")
        cls.settled = cls.service.await_data("count(gptvq_coordinator_ready) == 2 and sum(gptvq_coordinator_ready) == 1"
                                             " and sum(gptvq_coordinator_workers) == 1", "both, and the worker at one of them")
        cluster.client("wait", cls.job_id)
        cls.end = cls.service.await_data("sum(gptvq_coordinator_jobs) == 0", "the end of the job")

    def over_all_of_it(self, expr):
        return self.prometheus.range(expr, self.start, self.end, 1)

    def test_no_query_of_a_dashboard_fails_and_none_shows_a_series_twice(self):
        for path in DASHBOARDS:
            for panel in dashboard_data.panels(dashboard_data.load(path)):
                for query in dashboard_data.panel_queries(panel, VARIABLES):
                    with self.subTest(panel=panel["title"], query=query.expr):
                        series = self.over_all_of_it(query.expr)  # ValueError where Prometheus refuses
                        if panel["type"] in ("timeseries", "heatmap", "bargauge"):
                            names = [one.name(query.legend) for one in series]
                            self.assertEqual(sorted(names), sorted(set(names)))

    def test_the_former_leader_shows_no_job(self):
        for expr in ("count(gptvq_coordinator_job_info)", "sum(gptvq_coordinator_workers)"):  # for 5 min after the job, too
            with self.subTest(expr=expr):
                series = self.prometheus.range(expr, self.settled, self.end, 1)
                self.assertEqual({value for one in series for value in one.values if not math.isnan(value)}, {1})

    def test_every_rule_is_well_and_no_job_is_called_stuck(self):
        for group in self.prometheus.get("rules")["groups"]:
            for rule in group["rules"]:
                self.assertEqual(rule["health"], "ok", rule.get("lastError"))
        names = {one["labels"]["alertname"] for one in self.prometheus.get("alerts")["alerts"]}
        self.assertNotIn("GptvqJobStuck", names)


if __name__ == "__main__":
    unittest.main(verbosity=2)
