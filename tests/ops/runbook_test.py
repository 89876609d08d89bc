"""Every alert has the words that it needs, its own test, and its section in the runbook."""

import pathlib
import re
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
PARTS = ["**Meaning.**", "**Look.**", "**Causes.**", "**Do.**", "**Over when.**"]


def alerts():
    groups = yaml.safe_load((PROMETHEUS / "rules" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def runbook_sections():
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (Gptvq\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


class RunbookTest(unittest.TestCase):
    def test_alerts_and_sections_are_the_same(self):
        self.assertEqual([rule["alert"] for rule in alerts()], list(runbook_sections()))

    def test_every_section_says_what_it_means_and_what_to_do(self):
        for name, section in runbook_sections().items():
            with self.subTest(section=name):
                places = [section.find(part) for part in PARTS]
                self.assertNotIn(-1, places, PARTS)
                self.assertEqual(places, sorted(places))

    def test_every_alert_has_severity_summary_description_and_its_anchor(self):
        for rule in alerts():
            with self.subTest(alert=rule["alert"]):
                self.assertIn(rule["labels"]["severity"], ("critical", "warning"))
                self.assertEqual(set(rule["annotations"]), {"summary", "description", "runbook_url"})
                self.assertEqual(rule["annotations"]["runbook_url"], f"docs/runbook.md#{rule['alert'].lower()}")

    def test_every_alert_is_seen_firing_and_silent(self):
        tests = yaml.safe_load((PROMETHEUS / "tests" / "alerts_test.yml").read_text())["tests"]
        for rule in alerts():
            with self.subTest(alert=rule["alert"]):
                cases = [case for test in tests for case in test["alert_rule_test"] if case["alertname"] == rule["alert"]]
                times = [int(case["eval_time"].rstrip("m")) for case in cases if case["exp_alerts"]]
                silent = [int(case["eval_time"].rstrip("m")) for case in cases if not case["exp_alerts"]]
                self.assertTrue(times, "never seen firing")
                self.assertTrue(min(silent) < max(times) < max(silent), "not seen silent before, or clearing after")

    def test_the_runbook_names_metrics_that_exist(self):
        page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
        known = set(re.findall(r"^\| `(gptvq_\w+)` \|", page, re.MULTILINE))
        text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
        named = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"gptvq_[a-z0-9_]+", text)}
        self.assertEqual(named - known, set())


if __name__ == "__main__":
    unittest.main(verbosity=2)
