"""Numbers as Grafana writes them, for the units that the dashboards use."""

import math
import re

_POWERS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))
_BYTES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))

_LONG_TIMES = ((86400, "days"), (3600, "hours"), (60, "mins"))
_ROUND_SECONDS = (2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400)
_TIMES = ((86400, "d"), (3600, "h"), (60, "m"))


def _plain(value, decimals):
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _scaled(value, scale, base, decimals):
    for size, unit in scale:
        if abs(value) >= size:
            return f"{_plain(value / size, 1 if decimals is None else decimals)} {unit}"
    return f"{_plain(value, decimals)} {base}".strip()


def _duration(seconds):
    if abs(seconds) < 60:
        return f"{seconds:.0f} s" if abs(seconds) >= 1 else f"{1000 * seconds:.3g} ms"
    parts = []
    for size, unit in _TIMES:
        if seconds >= size:
            parts.append(f"{int(seconds // size)}{unit}")
            seconds %= size
    if len(parts) < 2 and seconds >= 1:
        parts.append(f"{int(seconds)}s")
    return " ".join(parts[:2])


def tick_step(highest, unit):
    """A step for about four ticks up to `highest` whose multiples read well in the unit."""
    wanted = highest / 5
    if unit == "dtdurations" and wanted > 1:
        return next((step for step in _ROUND_SECONDS if step >= wanted), 86400 * math.ceil(wanted / 86400))
    base = 1024 ** max(0, math.floor(math.log(wanted, 1024))) if unit in ("bytes", "Bps") and wanted > 1 else 1
    power = 10 ** math.floor(math.log10(wanted / base))
    return next(step for step in (power * base * nice for nice in (1, 2, 2.5, 5, 10)) if step >= wanted * 0.999)


def tick_text(value, unit):
    """As text(), without decimals that say nothing."""
    return re.sub(r"\.0(?=\D|$)", "", text(value, unit))


def text(value, unit, decimals=None):
    """`value` as Grafana shows it. NaN is a dash."""
    if value is None or math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{_plain(100 * value, decimals)}%"
    if unit == "dtdurations":
        return _duration(value)
    if unit == "s":
        if 0 < abs(value) < 1:
            return f"{1000 * value:.3g} ms" if abs(value) >= 1e-3 else f"{1e6 * value:.3g} µs"
        return _scaled(value, _LONG_TIMES, "s", decimals)
    if unit == "bytes":
        return _scaled(value, _BYTES, "B", decimals)
    if unit == "Bps":
        return _scaled(value, _BYTES, "B", decimals) + "/s"
    if unit == "reqps":
        return f"{_plain(value, decimals)} req/s"
    if unit == "short":
        return _scaled(value, _POWERS, "", decimals).replace(" ", "")
    return _plain(value, decimals)
