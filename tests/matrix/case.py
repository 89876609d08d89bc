"""What a row of the matrix of bad inputs consists of: cases, each with what is put in and what has to be seen."""

import dataclasses
import typing


@dataclasses.dataclass(frozen=True)
class Seen:
    """How the product answered: `exit 2`, or a gRPC code with its reason, `NOT_FOUND (JOB_UNKNOWN)`; and what it said."""

    code: str
    message: str


@dataclasses.dataclass(frozen=True)
class Case:
    """One bad input. `run` takes a Laboratory and returns what was Seen; it raises AssertionError where something besides
    the code and the words is wrong: a file was written, a server is gone."""

    row: str
    put: str
    run: typing.Optional[typing.Callable]
    code: str
    words: typing.Union[str, tuple] = ()  # all of them in the message
    note: str = ""  # where the product differs from the specification of the row on purpose
    lacking: str = ""  # why it cannot be run; then `run` is None
    alone: bool = False  # measures, or loads the machine: nothing runs beside it


class NotRun(Exception):
    """This machine or this build cannot run the case; the message says what it lacks."""


def not_run(row, put, lacking):
    """A case that the product's present state does not allow."""
    return Case(row, put, None, "", lacking=lacking)


def check(holds, text):
    """Like assert, but not switched off and with a message for the table."""
    if not holds:
        raise AssertionError(text)


def difference(case, seen):
    """What is not as it has to be; empty when all is."""
    if seen.code != case.code:
        return f"expected {case.code}"
    words = (case.words,) if isinstance(case.words, str) else case.words
    missing = [word for word in words if word not in seen.message]
    return f"the message lacks {missing}" if missing else ""
