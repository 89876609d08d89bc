"""The few kinds of panel that the dashboards are made of, in one look: units, legends and descriptions are not optional."""

import dataclasses

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="$datasource")
COLUMNS = 24  # of Grafana's grid

GREEN, YELLOW, ORANGE, RED, BLUE = "green", "yellow", "orange", "red", "blue"


@dataclasses.dataclass
class Query:
    """A PromQL expression; `legend` names its series by their labels."""
    expr: str
    legend: str = ""


def steps(base, *rest):
    """Colours of values: `base` below the first limit, then (limit, colour) from each limit on."""
    return [models.Threshold(color=base)] + [models.Threshold(value=limit, color=color) for limit, color in rest]


def _thresholds(colors):
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(colors)


def _add_queries(panel, queries, *, instant, format_val=PromQueryFormat.TIME_SERIES):
    for number, query in enumerate(queries):
        target = (prometheus.Dataquery().expr(query.expr).legend_format(query.legend or "__auto")
                  .ref_id(chr(ord("A") + number)).format(format_val).datasource(DATASOURCE))
        panel = panel.with_target(target.instant() if instant else target.range())
    return panel.datasource(DATASOURCE)


def _last_value():
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def number(title, description, queries, unit, *, colors=None, sparkline=False, decimals=None, words=None, width=4, height=4,
           color_mode=common_models.BigValueColorMode.VALUE):
    """One large number, or one for each series; `words` says {value: text} where a number would say less."""
    panel = (stat.Panel().title(title).description(description).unit(unit).thresholds(_thresholds(colors or steps(BLUE)))
             .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)).color_mode(color_mode)
             .graph_mode(common_models.BigValueGraphMode.AREA if sparkline else common_models.BigValueGraphMode.NONE)
             .reduce_options(_last_value()).no_value("–").span(width).height(height))
    if decimals is not None:
        panel = panel.decimals(decimals)
    if words is not None:
        panel = panel.mappings([models.ValueMap(options={str(value): models.ValueMappingResult(text=text)
                                                         for value, text in words.items()})])
    return _add_queries(panel, queries, instant=not sparkline)


def bars(title, description, queries, unit, *, colors=None, low=None, high=None, width=8, height=8, decimals=None):
    """A bar for each series, longest where most is."""
    panel = (bargauge.Panel().title(title).description(description).unit(unit)
             .thresholds(_thresholds(colors or steps(BLUE)))
             .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS if colors
                                                       else models.FieldColorModeId.PALETTE_CLASSIC))
             .display_mode(common_models.BarGaugeDisplayMode.GRADIENT)
             .orientation(common_models.VizOrientation.HORIZONTAL).value_mode(common_models.BarGaugeValueMode.COLOR)
             .reduce_options(_last_value()).no_value("–").span(width).height(height))
    for setter, value in ((panel.min, low), (panel.max, high), (panel.decimals, decimals)):
        if value is not None:
            setter(value)
    return _add_queries(panel, queries, instant=True)


def lines(title, description, queries, unit, *, stacked=False, bars_drawn=False, colors=None, low=None, high=None, width=12,
          height=8, interval=None, decimals=None, empty=None, legend_values=("lastNotNull", "max")):
    """Series over time; the legend below has their latest and largest value. `empty` says what it means when there are none."""
    panel = (timeseries.Panel().title(title).description(description).unit(unit)
             .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
             .line_width(0 if bars_drawn else 2).fill_opacity(80 if bars_drawn else 35 if stacked else 10)
             .gradient_mode(common_models.GraphGradientMode.NONE if bars_drawn else common_models.GraphGradientMode.OPACITY)
             .draw_style(common_models.GraphDrawStyle.BARS if bars_drawn else common_models.GraphDrawStyle.LINE)
             .line_interpolation(common_models.LineInterpolation.LINEAR).show_points(common_models.VisibilityMode.NEVER)
             .legend(common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.TABLE).show_legend(True)
                     .placement(common_models.LegendPlacement.BOTTOM).calcs(list(legend_values)))
             .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI)
                      .sort(common_models.SortOrder.DESCENDING))
             .span(width).height(height))
    if stacked or bars_drawn:
        panel = panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if colors is not None:
        panel = panel.thresholds(_thresholds(colors)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED))
    for setter, value in ((panel.min, low), (panel.max, high), (panel.interval, interval), (panel.decimals, decimals),
                          (panel.no_value, empty)):
        if value is not None:
            setter(value)
    return _add_queries(panel, queries, instant=False)


def happenings(title, description, metric, label, legend, *, condition="", width=8):
    """How often things happened: a bar for each interval, at least two minutes. $__rate_interval is then that and a scrape more,
    so that what happens between two bars is counted, once."""
    query = Query(f"sum by ({label}) (increase({metric}[$__rate_interval])){condition}", legend)
    return lines(title, description, [query], "none", bars_drawn=True, low=0, interval="2m", decimals=0,
                 legend_values=("sum", "max"), width=width)


def rows_of_color(title, description, query, unit, *, axis, histogram, width=12, height=10, interval=None):
    """A heatmap: a row for each series, or for each bucket of a histogram; time to the right, the value as colour."""
    panel = (heatmap.Panel().title(title).description(description).calculate(False)
             .color(heatmap.HeatmapColorOptions().mode(heatmap_models.HeatmapColorMode.SCHEME).scheme("Turbo")
                    .scale(heatmap_models.HeatmapColorScale.EXPONENTIAL).exponent(0.5).steps(64))
             .cell_gap(0).cell_values(heatmap.CellValues().unit("short" if histogram else unit))
             .y_axis(heatmap.YAxisConfig().axis_label(axis).unit(unit if histogram else "none"))
             .rows_frame(heatmap.RowsHeatmapOptions().layout(
                 common_models.HeatmapCellLayout.LE if histogram else common_models.HeatmapCellLayout.AUTO))
             .show_legend().span(width).height(height))
    if interval is not None:
        panel = panel.interval(interval)
    return _add_queries(panel, [query], instant=False,
                        format_val=PromQueryFormat.HEATMAP if histogram else PromQueryFormat.TIME_SERIES)


def _transformation(id_val, **options):
    return models.DataTransformerConfig(id_val=id_val, options=options)


def _property(id_val, value):
    return models.DynamicConfigValue(id_val=id_val, value=value)


def _table(title, description):
    return (table.Panel().title(title).description(description).align(common_models.FieldTextAlignment.AUTO).inspect(False))


@dataclasses.dataclass
class Column:
    """A column of a table: `expr` gives one value for each value of the table's key."""
    title: str
    expr: str
    unit: str = "short"
    gauge: bool = False


def facts(title, description, key, label_columns, labels_expr, columns, *, width=24, height=5):
    """A table with a row for each value of label `key`: its other labels as `labels_expr` has them, then a value of each
    column. `label_columns` is {label: title}."""
    queries = [Query(labels_expr)] + [Query(column.expr) for column in columns]
    panel = _add_queries(_table(title, description), queries, instant=True,
                         format_val=PromQueryFormat.TABLE)
    value_names = {f"Value #{chr(ord('A') + i)}": column.title for i, column in enumerate(columns, start=1)}
    titles = {**label_columns, **value_names}
    hidden = ["Time", "Value #A"] + [f"Time {i}" for i in range(1, len(queries) + 1)]
    panel = (panel.with_transformation(_transformation("joinByField", byField=key, mode="outer"))
             .with_transformation(_transformation("organize", excludeByName={name: True for name in hidden},
                                                  indexByName={name: i for i, name in enumerate(titles)},
                                                  renameByName=titles)))
    for column in columns:
        properties = [_property("unit", column.unit)]
        if column.gauge:
            properties += [_property("min", 0), _property("max", 1),
                           _property("custom.cellOptions", {"type": "gauge", "mode": "gradient"}),
                           _property("color", {"mode": "continuous-BlPu"})]
        panel = panel.override_by_name(column.title, properties)
    return panel.no_value("–").span(width).height(height)


def matrix(title, description, query, row, column, unit, *, decimals=3, width=12, height=10):
    """A table of colours: a row for each value of label `row`, a column for each of label `column`."""
    panel = _add_queries(_table(title, description), [query], instant=True,
                         format_val=PromQueryFormat.TABLE)
    return (panel.with_transformation(_transformation("groupingToMatrix", columnField=column, rowField=row,
                                                      valueField="Value"))
            .unit(unit).decimals(decimals).min(0)
            .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.CONTINUOUS_GR_YL_RD))
            .override_by_name(f"{row}\\{column}", [_property("custom.width", 80), _property("unit", "string")])
            .override_by_regexp("/^[a-z]+$/", [
                _property("custom.cellOptions", {"type": "color-background", "mode": "basic"}),
                _property("custom.align", "center")])
            .no_value("–").span(width).height(height))


class PrometheusAnnotation(models.AnnotationQuery):
    """An annotation with the keys that the schema leaves to the Prometheus data source."""

    def __init__(self, name, expr, color, text, use_value_for_time):
        super().__init__(name=name, datasource=DATASOURCE, enable=True, hide=False, icon_color=color, expr=expr)
        self._text, self._use_value_for_time = text, use_value_for_time

    def to_json(self):
        return {**super().to_json(), "titleFormat": self.name, "textFormat": self._text,
                "useValueForTime": self._use_value_for_time, "step": "60s"}


class Moment:
    """Marks a moment: the series' value, in milliseconds."""

    def __init__(self, name, expr, color, text):
        self._annotation = PrometheusAnnotation(name, expr, color, text, "on")

    def build(self):
        return self._annotation


class Span:
    """Marks the time for which the expression has a series."""

    def __init__(self, name, expr, color, text):
        self._annotation = PrometheusAnnotation(name, expr, color, text, "off")

    def build(self):
        return self._annotation
