"""Numbers as Grafana writes them, for the units that the dashboards use."""

import math

_POWERS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))
_BYTES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_LONG_TIMES = ((86400, "days"), (3600, "hours"), (60, "mins"))
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
