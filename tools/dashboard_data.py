"""What a Grafana dashboard asks Prometheus: its queries with the variables filled in, and the answers."""

import dataclasses
import json
import math
import pathlib
import re
import urllib.error
import urllib.parse
import urllib.request


@dataclasses.dataclass
class PanelQuery:
    """A query of a panel, as Prometheus gets it."""
    panel: str  # its title
    ref_id: str
    expr: str
    legend: str
    instant: bool


@dataclasses.dataclass
class Series:
    labels: dict
    times: list   # Unix seconds
    values: list  # as many; NaN where there is none

    def name(self, legend):
        """The series' name in a legend such as "{{worker}} {{slot}}"."""
        if legend in ("", "__auto"):
            return " ".join(value for label, value in sorted(self.labels.items()) if label != "__name__") or "value"
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: self.labels.get(match[1], ""), legend).strip()


def load(path):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def fill(expr, variables):
    """Puts values in the place of $name and ${name}. A variable without a value is an error: Grafana would not know it."""
    def value(match):
        name = match[1] or match[2]
        if name not in variables:
            raise KeyError(f"${name} in: {expr}")
        return variables[name]
    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", value, expr)


def panels(dashboard):
    """All panels but the headings of rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def panel_queries(panel, variables):
    return [PanelQuery(panel["title"], target["refId"], fill(target["expr"], variables), target.get("legendFormat", ""),
                       target.get("instant", False))
            for target in panel.get("targets", [])]


@dataclasses.dataclass
class Annotation:
    name: str
    expr: str
    color: str
    value_is_time: bool  # a value is a moment to mark, in milliseconds; else the time that has one is marked

    def spans(self, series):
        """(begin, end) in Unix seconds of what one of its series marks; a moment begins and ends at once."""
        known = [(time, value) for time, value in zip(series.times, series.values) if not math.isnan(value)]
        if not known:
            return set()
        if self.value_is_time:
            return {(value / 1000, value / 1000) for _, value in known}
        return {(known[0][0], known[-1][0])}


def annotations(dashboard, variables):
    return [Annotation(one["name"], fill(one["expr"], variables), one["iconColor"], one["useValueForTime"] == "on")
            for one in dashboard.get("annotations", {}).get("list", []) if "expr" in one]


class Prometheus:
    """The HTTP API of a Prometheus."""

    def __init__(self, url):
        self.url = url.rstrip("/")

    def get(self, path, **parameters):
        """The data of an answer. A refusal is a ValueError with Prometheus' own words; an OSError may be over soon."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # not ready yet
                raise
            raise ValueError(f"{parameters}: {error.read().decode()}") from error

    def instant(self, expr, time):
        result = self.get("query", query=expr, time=time)
        if result["resultType"] == "scalar":
            return [Series({}, [float(result["result"][0])], [float(result["result"][1])])]
        return [Series(one["metric"], [float(one["value"][0])], [float(one["value"][1])]) for one in result["result"]]

    def range(self, expr, start, end, step):
        """Series on one grid of times from `start` to `end`."""
        grid = [start + i * step for i in range(int((end - start) / step) + 1)]
        series = []
        for one in self.get("query_range", query=expr, start=start, end=end, step=step)["result"]:
            found = {round((float(time) - start) / step): float(value) for time, value in one["values"]}
            series.append(Series(one["metric"], grid, [found.get(i, math.nan) for i in range(len(grid))]))
        return series
