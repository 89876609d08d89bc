"""The committed dashboards: fresh, valid by Grafana's own schema, and made with care."""

import json
import pathlib
import re
import sys
import unittest

import grafana_foundation_sdk.models.dashboard as models
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins

GRAFANA = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "grafana"
sys.path.append(str(GRAFANA))
import generate  # noqa: E402

# Keys that the Prometheus data source reads from an annotation and that the schema leaves to it.
ANNOTATION_KEYS = {"titleFormat", "textFormat", "useValueForTime", "step"}


def committed(name):
    return json.loads((GRAFANA / "dashboards" / name).read_text(encoding="utf-8"))


class DashboardsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        register_default_plugins()

    @staticmethod
    def each():
        return [committed(name) for name in generate.SOURCES]

    def test_the_files_are_what_the_code_makes(self):
        for name, source in generate.SOURCES.items():
            with self.subTest(dashboard=name):
                text = (GRAFANA / "dashboards" / name).read_text(encoding="utf-8")
                self.assertEqual(text, generate.render(source), "run deploy/grafana/generate.py")

    def test_reading_them_by_the_schema_loses_and_adds_nothing(self):
        for board in self.each():
            for annotation in board["annotations"]["list"]:
                for key in ANNOTATION_KEYS:
                    del annotation[key]
            known = json.loads(json.dumps(models.Dashboard.from_json(board), cls=JSONEncoder))
            self.assertEqual(known, board)

    def test_the_schema_would_notice_a_key_that_it_does_not_know(self):
        board = committed("fleet-health.json")
        board["panels"][0]["fieldConfig"]["defaults"]["unitt"] = "s"
        known = json.loads(json.dumps(models.Dashboard.from_json(board), cls=JSONEncoder))
        self.assertNotEqual(known, board)

    def test_every_panel_says_what_it_shows_and_in_which_unit(self):
        for board in self.each():
            for panel in board["panels"]:
                if panel["type"] == "row":
                    continue
                with self.subTest(panel=panel["title"]):
                    self.assertGreater(len(panel["description"]), 15)
                    if panel["type"] == "heatmap":
                        self.assertTrue(panel["options"]["cellValues"]["unit"])
                    else:
                        config = panel["fieldConfig"]
                        self.assertTrue(config["defaults"].get("unit") or config["overrides"])
                    for target in panel["targets"]:
                        self.assertEqual(target["datasource"]["uid"], "$datasource")

    def test_panels_fill_the_grid_without_overlap(self):
        for board in self.each():
            taken = set()
            for panel in board["panels"]:
                grid = panel["gridPos"]
                cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
                self.assertFalse(cells & taken, panel["title"])
                taken |= cells
            self.assertEqual({x for x, _ in taken}, set(range(24)))
            bottom = max(y for _, y in taken) + 1
            self.assertEqual(len(taken), 24 * bottom, "a gap")

    def test_uids_and_panel_ids_are_fixed_and_variables_are_those_of_the_queries(self):
        uids = [board["uid"] for board in self.each()]
        self.assertEqual(uids, ["gptvq-progress", "gptvq-fleet"])
        for board in self.each():
            ids = [panel["id"] for panel in board["panels"]]
            self.assertEqual(ids, list(range(1, len(ids) + 1)))
            names = {variable["name"] for variable in board["templating"]["list"]}
            used = set(re.findall(r"\$(\w+)", " ".join(
                target["expr"] for panel in board["panels"] for target in panel.get("targets", []))))
            self.assertEqual(used - {"__rate_interval", "__range"} | {"datasource"}, names)

    def test_provisioning_points_at_the_dashboards_and_the_data_source(self):
        providers = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "gptvq.yaml").read_text())["providers"]
        sources = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text())["datasources"]
        self.assertEqual([one["type"] for one in providers], ["file"])
        self.assertEqual([one["type"] for one in sources], ["prometheus"])
        self.assertTrue(sources[0]["isDefault"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
