#!/usr/bin/env python3
"""Draws a Grafana dashboard from its JSON and the data of a Prometheus, for documents and for tests: no Grafana needed.

Knows the kinds of panel that deploy/grafana uses and the options that they set. Needs matplotlib and NumPy:
`tools/python_env.sh build/ops-venv tools/ops_requirements.txt`.

usage: render_dashboard.py DASHBOARD.json --prometheus URL --start UNIX_SECONDS --end UNIX_SECONDS --output FILE.png
"""

import argparse
import io
import math
import pathlib
import sys

import matplotlib
matplotlib.use("Agg")
import matplotlib.dates as dates  # noqa: E402
import matplotlib.patches as patches  # noqa: E402
import matplotlib.pyplot as pyplot  # noqa: E402
import numpy  # noqa: E402
from PIL import Image  # noqa: E402

import dashboard_data  # noqa: E402
import dashboard_units  # noqa: E402

WIDTH_INCHES, ROW_INCHES, DPI = 16.0, 0.36, 100
COLUMNS = 24
STEPS = 240  # points of a series
BARS = 15  # of a series that is drawn as bars
CANVAS, PANEL, LINE, TEXT, DIM = "#111217", "#181b1f", "#2c3235", "#d8d9da", "#8e9199"
COLORS = {"green": "#73bf69", "yellow": "#fade2a", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2",
          "purple": "#b877d9", "transparent": "none"}
PALETTE = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#37872d", "#fa6400", "#c4162a",
           "#96d98d", "#ffee52"]
GREEN_TO_RED = matplotlib.colors.LinearSegmentedColormap.from_list("GrYlRd", ["#3d7a35", "#c9a227", "#c4162a"])
PROGRESS = matplotlib.colors.LinearSegmentedColormap.from_list("BlPu", ["#3274d9", "#8f3bb8"])


class Frame:
    """A panel's place on the page, in inches from the top left, and its background and title."""

    def __init__(self, figure, panel):
        self.figure, self.panel = figure, panel
        grid, unit = panel["gridPos"], WIDTH_INCHES / COLUMNS
        gap = 0.05
        self.x, self.y = grid["x"] * unit + gap, grid["y"] * ROW_INCHES + gap
        self.width, self.height = grid["w"] * unit - 2 * gap, grid["h"] * ROW_INCHES - 2 * gap
        background = self.axes(0, 0, self.width, self.height)
        background.set_axis_off()
        background.add_patch(patches.FancyBboxPatch((0, 0), 1, 1, boxstyle="square,pad=0", transform=background.transAxes,
                                                    facecolor=PANEL, edgecolor=LINE, linewidth=1))
        background.text(0.1 / self.width, 1 - 0.16 / self.height, panel["title"], color=TEXT, fontsize=9, weight="bold",
                        va="center", transform=background.transAxes)

    def axes(self, x, y, width, height):
        """Axes at (x, y) from the frame's top left corner."""
        page_width, page_height = self.figure.get_size_inches()
        left, bottom = self.x + x, page_height - self.y - y - height
        return self.figure.add_axes((left / page_width, bottom / page_height, width / page_width, height / page_height))

    def place(self, x, y):
        """Where (x, y) from the frame's top left corner is on the page, as the figure counts."""
        page_width, page_height = self.figure.get_size_inches()
        return (self.x + x) / page_width, (page_height - self.y - y) / page_height

    def body(self, left=0.1, top=0.34, right=0.1, bottom=0.1):
        axes = self.axes(left, top, self.width - left - right, self.height - top - bottom)
        axes.set_facecolor("none")
        return axes

    def say_no_data(self):
        axes = self.body()
        axes.set_axis_off()
        words = self.panel.get("fieldConfig", {}).get("defaults", {}).get("noValue", "No data")
        axes.text(0.5, 0.5, words, color=DIM, fontsize=10, ha="center", va="center")


class Drawing:
    """One dashboard over one time range."""

    def __init__(self, dashboard, prometheus, start, end, rate_interval, scrape_seconds):
        self.dashboard, self.prometheus = dashboard, prometheus
        self.start, self.end, self.scrape_seconds = start, end, scrape_seconds
        self.step = max((end - start) / STEPS, 0.5)
        self.variables = {"job": ".*", "worker": ".*", "datasource": "", "__rate_interval": rate_interval,
                          "__range": f"{max(1, round(end - start))}s"}
        self.bar_step = max((end - start) / BARS, 3)
        self.marks = self._marks()

    def render(self):
        panels = self.dashboard["panels"]
        rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
        figure = pyplot.figure(figsize=(WIDTH_INCHES, rows * ROW_INCHES), dpi=DPI, facecolor=CANVAS)
        kinds = {"stat": self._draw_stat, "bargauge": self._draw_bars, "timeseries": self._draw_lines,
                 "heatmap": self._draw_heatmap, "table": self._draw_table}
        for panel in panels:
            if panel["type"] == "row":
                self._draw_row(figure, panel)
                continue
            kinds[panel["type"]](Frame(figure, panel), panel)
        buffer = io.BytesIO()
        figure.savefig(buffer, facecolor=CANVAS)
        pyplot.close(figure)
        return Image.open(buffer).convert("RGB").quantize(256, kmeans=3)  # flat colours: a third of the bytes

    def _marks(self):
        """(begin, end, colour) of what the annotations mark within the time range."""
        marks = set()
        for annotation in dashboard_data.annotations(self.dashboard, self.variables):
            for series in self.prometheus.range(annotation.expr, self.start, self.end, self.step):
                marks.update((*span, COLORS[annotation.color]) for span in annotation.spans(series))
        return sorted(mark for mark in marks if self.start <= mark[0] <= self.end)

    def _answers(self, panel):
        """(legend name, series) of all queries of a panel."""
        found = []
        step = self.bar_step if _is_bars(panel) else self.step
        variables = dict(self.variables)
        if _is_bars(panel):  # Grafana's rule for intervals above four scrapes
            variables["__rate_interval"] = f"{round(1000 * (step + self.scrape_seconds))}ms"
        for query in dashboard_data.panel_queries(panel, variables):
            if query.instant:
                series = self.prometheus.instant(query.expr, self.end)
            else:
                series = self.prometheus.range(query.expr, self.start, self.end, step)
            found += [(one.name(query.legend), one) for one in series]
        return found

    @staticmethod
    def _draw_row(figure, panel):
        grid = panel["gridPos"]
        page_height = figure.get_size_inches()[1]
        figure.text(0.006, 1 - (grid["y"] + 0.6) * ROW_INCHES / page_height, "⌄  " + panel["title"], color=TEXT,
                    fontsize=11, weight="bold", va="center")

    def _draw_stat(self, frame, panel):
        defaults = panel["fieldConfig"]["defaults"]
        answers = self._answers(panel)
        values = [value for _, series in answers for value in series.values if not math.isnan(value)]
        axes = frame.body(left=0.04, right=0.04, top=0.3, bottom=0.03)
        axes.set_axis_off()
        if not values:
            axes.text(0.5, 0.5, "–", color=DIM, fontsize=26, ha="center", va="center")
            return
        color = _threshold_color(defaults, values[-1])
        if panel["options"].get("colorMode") == "background":
            axes.add_patch(patches.Rectangle((0, 0), 1, 1, transform=axes.transAxes, facecolor=color, alpha=0.85))
            color = "white"
        if panel["options"].get("graphMode") == "area" and len(values) > 1:
            spark = frame.body(left=0.04, right=0.04, top=0.85, bottom=0.04)
            spark.set_axis_off()
            spark.fill_between(range(len(values)), values, color=color, alpha=0.25, linewidth=0)
            spark.plot(values, color=color, linewidth=1.2)
            spark.set_ylim(0, max(max(values) * 1.15, 1e-12))
            spark.margins(x=0)
        axes.text(0.5, 0.62 if panel["options"].get("graphMode") == "area" else 0.5, _stat_text(defaults, values[-1]),
                  color=color, fontsize=24, weight="bold", ha="center", va="center")

    def _draw_bars(self, frame, panel):
        defaults = panel["fieldConfig"]["defaults"]
        answers = [(name, series.values[-1]) for name, series in self._answers(panel)]
        answers = [(name, value) for name, value in answers if not math.isnan(value)]
        if not answers:
            frame.say_no_data()
            return
        top = defaults.get("max", max(value for _, value in answers)) or 1
        axes = frame.body(left=0.12, right=0.12, top=0.4)
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.set_ylim(len(answers), 0)
        row_inches = (frame.height - 0.5) / len(answers)
        thickness = min(0.66, 0.28 / row_inches)
        name_length = min(max(len(name) for name, _ in answers), 30)
        bar_left = min(0.55, 0.03 + name_length * 0.066 / frame.width)
        bar_width = 0.98 - 0.85 / frame.width - bar_left
        for i, (name, value) in enumerate(answers):
            by_threshold = defaults.get("color", {}).get("mode") == "thresholds"
            color = _threshold_color(defaults, value) if by_threshold else PALETTE[i % len(PALETTE)]
            share, edge = min(1, max(0, value / top)), i + (1 - thickness) / 2
            axes.add_patch(patches.Rectangle((bar_left, edge), bar_width, thickness, facecolor="#22252b"))
            axes.add_patch(patches.Rectangle((bar_left, edge), bar_width * share, thickness, facecolor=color, alpha=0.75))
            axes.text(bar_left - 0.012, i + 0.5, _short(name, name_length), color=TEXT, fontsize=8.5, ha="right",
                      va="center")
            axes.text(1, i + 0.5, dashboard_units.text(value, defaults["unit"], defaults.get("decimals")), color=color,
                      fontsize=10, weight="bold", ha="right", va="center")

    def _draw_lines(self, frame, panel):
        defaults = panel["fieldConfig"]["defaults"]
        custom, unit = defaults["custom"], defaults["unit"]
        answers = self._answers(panel)
        if not answers:
            frame.say_no_data()
            return
        legend_rows = min(len(answers), 4)
        axes = frame.body(left=0.72, right=0.15, bottom=0.42 + 0.16 * legend_rows)
        stacked = custom.get("stacking", {}).get("mode") == "normal"
        base = numpy.zeros(len(answers[0][1].times))
        for i, (_, series) in enumerate(answers):
            color = PALETTE[i % len(PALETTE)]
            times = _dates(series.times)
            values = numpy.array(series.values)
            upper = base + numpy.nan_to_num(values) if stacked else values
            if _is_bars(panel):  # each up to its time
                width = self.bar_step / 86400
                axes.bar(times, numpy.nan_to_num(values), width=-0.9 * width, align="edge", bottom=base, color=color,
                         alpha=0.85)
            else:
                axes.fill_between(times, base if stacked else 0, upper, color=color, linewidth=0,
                                  alpha=custom.get("fillOpacity", 0) / 100)
                axes.plot(times, upper, color=color, linewidth=1.5)
            if stacked:
                base = upper
        self._mark_thresholds(axes, defaults)
        self._dress(axes, unit, defaults)
        _draw_legend(frame, panel, answers, unit, legend_rows)

    @staticmethod
    def _mark_thresholds(axes, defaults):
        if defaults["custom"].get("thresholdsStyle", {}).get("mode") != "dashed":
            return
        for step in defaults["thresholds"]["steps"]:
            if step.get("value") is not None:
                axes.axhline(step["value"], color=COLORS[step["color"]], linewidth=1, linestyle="--")

    def _dress(self, axes, unit, defaults):
        low, high = defaults.get("min"), defaults.get("max")
        if low is not None:
            axes.set_ylim(bottom=low)
        if high is not None:
            axes.set_ylim(top=high * 1.03)
        elif not axes.dataLim.y1 > 0:
            axes.set_ylim(top=1)
        step = dashboard_units.tick_step(axes.get_ylim()[1], unit)
        if defaults.get("decimals") == 0:
            step = max(1, math.ceil(step))
        axes.yaxis.set_major_locator(matplotlib.ticker.MultipleLocator(step))
        axes.yaxis.set_major_formatter(lambda value, _: dashboard_units.tick_text(value, unit))
        axes.grid(axis="y", color=LINE, linewidth=0.7)
        self._dress_time(axes)
        for begin, end, color in self.marks:
            if end > begin:
                axes.axvspan(*_dates([begin, end]), color=color, alpha=0.15, linewidth=0)
            axes.axvline(_dates([begin])[0], color=color, linewidth=1, linestyle=(0, (4, 3)), alpha=0.9)

    def _dress_time(self, axes):
        axes.set_xlim(*_dates([self.start, self.end]))
        axes.xaxis.set_major_locator(matplotlib.ticker.LinearLocator(5))
        pattern = "%H:%M" if self.end - self.start > 1200 else "%H:%M:%S"
        axes.xaxis.set_major_formatter(dates.DateFormatter(pattern))
        axes.tick_params(colors=DIM, labelsize=7.5, length=0)
        axes.get_xticklabels()[-1].set_horizontalalignment("right")
        for spine in axes.spines.values():
            spine.set_visible(False)

    def _draw_heatmap(self, frame, panel):
        answers = self._answers(panel)
        if not answers:
            frame.say_no_data()
            return
        target = panel["targets"][0]
        is_histogram = target.get("format") == "heatmap"
        unit = panel["options"]["yAxis"]["unit"] if is_histogram else "none"
        cell_unit = panel["options"]["cellValues"]["unit"]
        if is_histogram:
            answers.sort(key=lambda answer: float(answer[1].labels["le"]))
            cells = numpy.nan_to_num(numpy.array([series.values for _, series in answers]))
            cells = numpy.diff(cells, axis=0, prepend=0)
            cells[cells <= 0] = numpy.nan
            names = [dashboard_units.text(float(series.labels["le"]), unit) if series.labels["le"] != "+Inf" else "∞"
                     for _, series in answers]
        else:
            answers.sort(key=lambda answer: answer[0])
            cells = numpy.array([series.values for _, series in answers])
            names = [name for name, _ in answers]
        if numpy.isnan(cells).all():
            frame.say_no_data()
            return
        axes = frame.body(left=0.62, right=0.85, bottom=0.38)
        left, right = _dates([self.start, self.end])
        norm = matplotlib.colors.PowerNorm(0.5, vmin=0, vmax=float(numpy.nanmax(cells)))
        image = axes.imshow(cells, aspect="auto", origin="lower", cmap="turbo", norm=norm, interpolation="nearest",
                            extent=(left, right, 0, len(names)))
        shown = range(0, len(names), max(1, math.ceil(len(names) / 14)))
        axes.set_yticks([i + (1 if is_histogram else 0.5) for i in shown], [names[i] for i in shown])
        self._dress_time(axes)
        bar = self._color_scale(frame, image, cell_unit)
        bar.tick_params(colors=DIM, labelsize=7.5, length=0)

    @staticmethod
    def _color_scale(frame, image, unit):
        axes = frame.axes(frame.width - 0.72, 0.42, 0.12, frame.height - 0.9)
        frame.figure.colorbar(image, cax=axes, format=lambda value, _: dashboard_units.text(value, unit))
        axes.locator_params(nbins=5)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def _draw_table(self, frame, panel):
        first = panel["transformations"][0]
        if first["id"] == "groupingToMatrix":
            self._draw_matrix(frame, panel, first["options"])
        else:
            self._draw_facts(frame, panel, first["options"]["byField"])

    def _draw_matrix(self, frame, panel, options):
        defaults = panel["fieldConfig"]["defaults"]
        query = dashboard_data.panel_queries(panel, self.variables)[0]
        value_of = {(series.labels[options["rowField"]], series.labels[options["columnField"]]): series.values[0]
                    for series in self.prometheus.instant(query.expr, self.end)}
        if not value_of:
            frame.say_no_data()
            return
        rows = sorted({row for row, _ in value_of})
        order = ["q", "k", "v", "o", "gate", "up", "down"]
        columns = sorted({column for _, column in value_of}, key=lambda name: (order.index(name) if name in order else 9, name))
        shown = rows[:int((frame.height - 0.7) / 0.2)]
        top = max(value_of.values())
        axes = frame.body(left=0.55, top=0.42)
        axes.set_axis_off()
        axes.set_xlim(0, len(columns))
        axes.set_ylim(len(shown) + 1, 0)
        for i, column in enumerate(columns):
            axes.text(i + 0.5, 0.5, column, color=COLORS["blue"], fontsize=8.5, weight="bold", ha="center", va="center")
        for j, row in enumerate(shown, start=1):
            axes.text(-0.08, j + 0.5, row, color=TEXT, fontsize=8, ha="right", va="center")
            for i, column in enumerate(columns):
                value = value_of.get((row, column), math.nan)
                color = GREEN_TO_RED(value / top) if not math.isnan(value) else PANEL
                axes.add_patch(patches.Rectangle((i + 0.01, j + 0.03), 0.98, 0.94, facecolor=color, linewidth=0))
                axes.text(i + 0.5, j + 0.5, dashboard_units.text(value, defaults["unit"], defaults.get("decimals")),
                          color="white", fontsize=7.5, ha="center", va="center")
        if len(rows) > len(shown):
            frame.figure.text(*frame.place(0.12, 0.44), f"{len(rows) - len(shown)} more", color=DIM, fontsize=7.5, va="top")

    def _draw_facts(self, frame, panel, key):
        """Joins the queries by a label and renames, as the panel's transformations say."""
        organize = panel["transformations"][1]["options"]
        joined = {}
        for query in dashboard_data.panel_queries(panel, self.variables):
            for series in self.prometheus.instant(query.expr, self.end):
                row = joined.setdefault(series.labels[key], {})
                row.update({label: value for label, value in series.labels.items() if label != "__name__"})
                row[f"Value #{query.ref_id}"] = series.values[0]
        if not joined:
            frame.say_no_data()
            return
        overrides = {rule["matcher"]["options"]: {one["id"]: one["value"] for one in rule["properties"]}
                     for rule in panel["fieldConfig"]["overrides"]}
        fields = sorted(organize["renameByName"], key=organize["indexByName"].get)
        axes = frame.body(top=0.36)
        axes.set_axis_off()
        axes.set_xlim(0, len(fields))
        line_count = max(int((frame.height - 0.5) / 0.27), len(joined) + 1)
        axes.set_ylim(line_count, 0)
        for i, field in enumerate(fields):
            title = organize["renameByName"][field]
            axes.text(i + 0.03, 0.5, title, color=COLORS["blue"], fontsize=9, weight="bold", va="center")
            for j, row in enumerate(joined.values(), start=1):
                axes.axhline(j, color=LINE, linewidth=0.6)
                _draw_cell(axes, i, j, row.get(field), overrides.get(title, {}))


def _draw_cell(axes, column, line, value, properties):
    if isinstance(value, str) or value is None:
        axes.text(column + 0.03, line + 0.5, _short(value or "–", 24), color=TEXT, fontsize=9, va="center")
        return
    text = dashboard_units.text(value, properties.get("unit", "short"))
    if properties.get("custom.cellOptions", {}).get("type") == "gauge":
        axes.add_patch(patches.Rectangle((column + 0.03, line + 0.2), 0.62, 0.6, facecolor="#22252b"))
        axes.add_patch(patches.Rectangle((column + 0.03, line + 0.2), 0.62 * min(1, value), 0.6, facecolor=PROGRESS(value)))
        axes.text(column + 0.69, line + 0.5, text, color=TEXT, fontsize=9, va="center")
        return
    axes.text(column + 0.03, line + 0.5, text, color=TEXT, fontsize=9, va="center")


def _draw_legend(frame, panel, answers, unit, rows):
    """The names of the series below the graph with the values that the panel asks for; what does not fit is counted."""
    axes = frame.axes(0.12, frame.height - 0.14 - 0.16 * rows, frame.width - 0.24, 0.16 * rows + 0.06)
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(rows, 0)
    two_columns = len(answers) > rows
    calculations = panel["options"]["legend"]["calcs"]
    decimals = panel["fieldConfig"]["defaults"].get("decimals")
    for i, (name, series) in enumerate(answers[:2 * rows]):
        left, line = (0.5 if i >= rows else 0, i % rows)
        axes.plot([left, left + 0.02], [line + 0.5] * 2, color=PALETTE[i % len(PALETTE)], linewidth=3)
        values = [_reduce(calculation, series.values) for calculation in calculations]
        shown = "   ".join(f"{_CALCULATION_NAMES[calculation]} {dashboard_units.text(value, unit, decimals)}"
                           for calculation, value in zip(calculations, values))
        right = left + (0.47 if two_columns else 1)
        if two_columns and frame.width < 6:
            shown = dashboard_units.text(values[0], unit, decimals)
        axes.text(left + 0.03, line + 0.5, _short(name, 44), color=TEXT, fontsize=7.5, va="center")
        axes.text(right, line + 0.5, shown, color=DIM, fontsize=7.5, va="center", ha="right")


_CALCULATION_NAMES = {"lastNotNull": "last", "max": "max", "mean": "mean", "sum": "sum"}


def _reduce(calculation, values):
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return math.nan
    return {"lastNotNull": known[-1], "max": max(known), "mean": sum(known) / len(known), "sum": sum(known)}[calculation]


def _is_bars(panel):
    return panel["type"] == "timeseries" and panel["fieldConfig"]["defaults"]["custom"].get("drawStyle") == "bars"


def _stat_text(defaults, value):
    for mapping in defaults.get("mappings", []):
        if word := mapping["options"].get(f"{value:g}"):
            return word["text"]
    return dashboard_units.text(value, defaults["unit"], defaults.get("decimals"))


def _threshold_color(defaults, value):
    color = "blue"
    for step in defaults.get("thresholds", {}).get("steps", []):
        if step.get("value") is None or value >= step["value"]:
            color = step["color"]
    return COLORS[color]


def _short(text, length):
    return text if len(text) <= length else text[:length - 1] + "…"


def _dates(times):
    return [time / 86400 for time in times]  # matplotlib counts days since 1970


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dashboard", type=pathlib.Path)
    parser.add_argument("--prometheus", required=True, metavar="URL")
    parser.add_argument("--start", required=True, type=float, metavar="UNIX_SECONDS")
    parser.add_argument("--end", required=True, type=float, metavar="UNIX_SECONDS")
    parser.add_argument("--rate-interval", default="1m", metavar="DURATION", help="what $__rate_interval stands for")
    parser.add_argument("--scrape-seconds", default=15, type=float, metavar="SECONDS", help="from scrape to scrape")
    parser.add_argument("--output", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    drawing = Drawing(dashboard_data.load(arguments.dashboard), dashboard_data.Prometheus(arguments.prometheus),
                      arguments.start, arguments.end, arguments.rate_interval, arguments.scrape_seconds)
    drawing.render().save(arguments.output, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
