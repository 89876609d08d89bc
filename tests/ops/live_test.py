"""A real Prometheus scrapes a real job; then every query of both dashboards and every rule is put to it. What gives no data
stands in a list with its reason, and the list is held to the truth as well."""

import math

import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import yaml

from scraped_service import DASHBOARDS, ROOT, SCRAPE_SECONDS, SEVERAL_SCRAPES, ScrapedService

import dashboard_data
from service_harness import Model

sys.path.append(str(ROOT / "tools"))
import render_dashboard  # noqa: E402

MAX_PICTURE_BYTES = 300_000

# Queries that a healthy job on CPUs leaves without data: (panel, query) and the reason.
WITHOUT_DATA = {
    ("Memory of GPUs", "A"): "only a GPU says how much of its memory is in use",
    ("Load of GPUs", "A"): "needs NVIDIA's dcgm-exporter",
    ("Errors of GPUs", "A"): "needs NVIDIA's dcgm-exporter",
}

# Selectors of alerts without a series in a healthy service, and the reason.
WITHOUT_SERIES = {
    "gptvq_coordinator_certificate_expiry_seconds": "this service speaks plain text",
    "gptvq_worker_certificate_expiry_seconds": "this service speaks plain text",
}

# Metrics of docs/metrics.md that are not there on a CPU or in plain text, and the reason.
NOT_EXPORTED = {
    "gptvq_worker_slot_used_memory_bytes": "only a GPU says how much of its memory is in use",
    "gptvq_coordinator_certificate_expiry_seconds": "this service speaks plain text",
    "gptvq_worker_certificate_expiry_seconds": "this service speaks plain text",
}

# What promtool says against our names, and the reason why it stays.
NOT_BY_CONVENTION = {
    'gptvq_coordinator_job_bits_per_value use base unit "bytes" instead of "bits"': "the quantity goes by this name",
}


def has_data(series):
    return any(not math.isnan(value) for one in series for value in one.values)


def names_in(metrics_text):
    return set(re.findall(r"^# TYPE (\w+) ", metrics_text, re.MULTILINE))


class LiveTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="gptvq-ops-")
        cls.addClassCleanup(cls.scratch.cleanup)
        root = pathlib.Path(cls.scratch.name)
        cls.model = Model(layers=20, hidden=128)
        cls.addClassCleanup(cls.model.remove)
        cls.service = cls.enterClassContext(ScrapedService(root / "service", ["a", "b"]))
        cls.prometheus = cls.service.prometheus
        cls.start = time.time()
        cls.job_id = cls.service.cluster.client(
            "submit", *cls.model.job_flags(root / "result", propagation="parallel", shard_layers=2, **SEVERAL_SCRAPES)).strip()
        cls.service.cluster.client("get", "job-0123456789abcdef", check=3)  # a call that fails
        # Panels of one moment are asked for a moment in the middle of the job.
        cls.moment = cls.service.await_data(
            "gptvq_coordinator_job_eta_seconds and on (job_id) gptvq_coordinator_job_bits_per_value"
            " and on () sum(rate(gptvq_worker_layer_seconds_count[30s])) > 0", "a job in the middle")
        cls.metrics_text = {program: cls.scrape(url) for program, url in cls.service.metrics_urls.items()}
        cls.service.cluster.client("wait", cls.job_id)
        cls.end = cls.service.await_data(f'gptvq_coordinator_job_end_time_seconds{{job_id="{cls.job_id}"}}', "the job's end")
        # Rules look at what was scraped before them.
        cls.service.await_data(f"timestamp(gptvq:calls_failed:ratio_rate5m) > {cls.end + 2}", "the rules")
        cls.end = time.time()
        cls.variables = {"job": ".*", "worker": ".*", "datasource": "", "__rate_interval": "30s",
                         "__range": f"{math.ceil(cls.end - cls.start)}s"}

    @staticmethod
    def scrape(url):
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()

    @staticmethod
    def count_of(rules):
        groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules" / rules).read_text())["groups"]
        return sum(len(group["rules"]) for group in groups)

    def answer(self, query):
        if query.instant:
            return self.prometheus.instant(query.expr, self.moment)
        return self.prometheus.range(query.expr, self.start, self.end, 1)

    def test_every_query_of_the_dashboards_gives_data_or_is_listed(self):
        silent = set()
        for path in DASHBOARDS:
            for panel in dashboard_data.panels(dashboard_data.load(path)):
                for query in dashboard_data.panel_queries(panel, self.variables):
                    if not has_data(self.answer(query)):
                        silent.add((query.panel, query.ref_id))
        self.assertEqual(silent, set(WITHOUT_DATA), "queries without data against WITHOUT_DATA")

    def test_every_variable_offers_the_values_of_the_job(self):
        offered = {}
        for path in DASHBOARDS:
            for variable in dashboard_data.load(path)["templating"]["list"]:
                if variable["type"] != "query":
                    continue
                metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()
                series = self.prometheus.range(metric, self.start, self.end, 1)
                offered.setdefault(variable["name"], set()).update(one.labels[label] for one in series)
        self.assertEqual(offered, {"job": {self.job_id}, "worker": {"a", "b"}})

    def test_annotations_mark_moments_of_the_job(self):
        marked = {}
        for path in DASHBOARDS:
            for annotation in dashboard_data.annotations(dashboard_data.load(path), self.variables):
                marked[annotation.name] = max((begin for series in self.prometheus.range(annotation.expr, self.start, self.end, 1)
                                               for begin, _ in annotation.spans(series)), default=None)
        self.assertEqual(set(marked), {"Job submitted", "Job ended", "Coordinator started", "Worker started", "Alert"})
        self.assertIsNone(marked["Alert"])  # none fires
        self.assertLess(marked["Coordinator started"], marked["Worker started"])
        self.assertLess(marked["Worker started"], marked["Job submitted"])
        self.assertLess(self.start - 1, marked["Job submitted"])
        self.assertLess(marked["Job submitted"], marked["Job ended"])
        self.assertLess(marked["Job ended"], self.end)

    def test_every_rule_is_evaluated_and_recording_rules_give_data(self):
        recorded = 0
        for group in self.prometheus.get("rules")["groups"]:
            for rule in group["rules"]:
                with self.subTest(rule=rule["name"]):
                    self.assertEqual(rule["health"], "ok", rule.get("lastError"))
                    if rule["type"] == "recording":
                        recorded += 1
                        self.assertTrue(has_data(self.prometheus.range(rule["name"], self.start, self.end, 1)))
        self.assertEqual(recorded, self.count_of("recording.yml"))

    def test_every_selector_of_an_alert_has_series_or_is_listed(self):
        missing = set()
        alerts = 0
        for group in self.prometheus.get("rules")["groups"]:
            for rule in group["rules"]:
                if rule["type"] != "alerting":
                    continue
                alerts += 1
                for selector in re.findall(r"\b(?:up|gptvq[a-z0-9_:]*)(?:\{[^}]*\})?", rule["query"]):
                    if not has_data(self.prometheus.range(selector, self.start, self.end, 1)):
                        missing.add(selector)
        self.assertEqual(alerts, self.count_of("alerts.yml"))
        self.assertEqual(missing, set(WITHOUT_SERIES))

    def test_no_alert_fires_on_a_healthy_job(self):
        firing = [one["labels"]["alertname"] for one in self.prometheus.get("alerts")["alerts"]
                  if one["state"] == "firing"]
        self.assertEqual(firing, [])

    def test_metrics_are_named_as_promtool_wants_them(self):
        for program, text in self.metrics_text.items():
            with self.subTest(program=program):
                checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True,
                                         check=False)
                complaints = {line for line in (checked.stdout + checked.stderr).splitlines() if line.startswith("gptvq_")}
                self.assertEqual(complaints - set(NOT_BY_CONVENTION), set())
                if program == "coordinator":
                    self.assertEqual(complaints, set(NOT_BY_CONVENTION))

    def test_the_page_of_metrics_names_what_is_exported(self):
        page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
        documented = set(re.findall(r"^\| `(gptvq_\w+)` \|", page, re.MULTILINE))
        exported = set()
        for text in self.metrics_text.values():
            exported |= {name for name in names_in(text) if name.startswith("gptvq_")}
        exported |= {"gptvq_coordinator_job_end_time_seconds"}  # scraped in the middle of the job: it has not ended
        self.assertEqual(documented - exported, set(NOT_EXPORTED))
        self.assertEqual(exported - documented, set())

    def test_both_dashboards_can_be_drawn_from_their_json(self):
        for path in DASHBOARDS:
            with self.subTest(dashboard=path.name):
                drawing = render_dashboard.Drawing(dashboard_data.load(path), self.prometheus, self.start, self.end, "30s",
                                                   SCRAPE_SECONDS)
                picture = pathlib.Path(self.scratch.name) / "picture.png"
                drawing.render().save(picture, optimize=True)
                self.assertLess(picture.stat().st_size, MAX_PICTURE_BYTES)
                self.assertGreater(picture.stat().st_size, 50_000)  # not a blank page


if __name__ == "__main__":
    unittest.main(verbosity=2)
