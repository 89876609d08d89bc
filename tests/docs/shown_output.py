"""Whether a program printed what a page shows.

White space between words does not count; a line `...` stands for any lines, and at the end of a line for any words. What is
different every time or on every machine must only be of the same kind: ids, digests, times of day, durations, places of
files, the class of the CPU. A number with a decimal point is a measurement and may differ by a fifth, because CPUs of other
classes round otherwise, and what a hasty job makes of a small model amplifies that. Everything else must be the same.
"""

import re

KINDS = [
    ("<job>", r"job-[0-9a-f]{16}"),
    ("<sha256>", r"\b[0-9a-f]{64}\b"),
    ("<uuid>", r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"),
    ("<moment>", r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+Z)?"),
    ("<duration>", r"\b\d+(?:\.\d+)? (?:s|ms|min)\b"),
    ("<place>", r"file:///\S*"),
    ("<class>", r"\bcpu-[\w-]+/\d+\b"),
]
MEASURED = re.compile(r"-?\d+\.\d+")
TOLERANCE = 0.2


def difference(shown, printed):
    """None, or a sentence about the first line that differs."""
    return _match(_lines(shown), _lines(printed))


def _lines(text):
    for kind, pattern in KINDS:
        text = re.sub(pattern, kind, text)
    return [line.split() for line in text.splitlines() if line.strip()]


def _match(shown, printed):
    if not shown:
        return f"prints more: {' '.join(printed[0])!r}" if printed else None
    if shown[0] == ["..."]:
        results = [_match(shown[1:], printed[skipped:]) for skipped in range(len(printed) + 1)]
        return None if None in results else f"nothing after '...' is as shown: {results[0]}"
    if not printed:
        return f"does not print {' '.join(shown[0])!r}"
    if not _same_line(shown[0], printed[0]):
        return f"shows {' '.join(shown[0])!r} but prints {' '.join(printed[0])!r}"
    return _match(shown[1:], printed[1:])


def _same_line(shown, printed):
    if shown[-1] == "...":
        shown = shown[:-1]
        printed = printed[:len(shown)]
    return len(shown) == len(printed) and all(map(_same_word, shown, printed))


def _same_word(shown, printed):
    if shown == printed:
        return True
    if MEASURED.split(shown) != MEASURED.split(printed):
        return False
    pairs = zip(map(float, MEASURED.findall(shown)), map(float, MEASURED.findall(printed)))
    return all(abs(one - other) <= TOLERANCE * abs(one) for one, other in pairs)
