"""What an experiment is: a function that injects a fault, with the promise that it tests and the verdict on it."""

import dataclasses
import enum


class Verdict(enum.Enum):
    PASS = "pass"
    WEAKER = "weaker"  # the specification promises more than the product; what the product does promise held
    FAIL = "FAIL"
    NOT_RUN = "not run"


class NotRun(Exception):
    """This machine cannot run the experiment; the message says what it lacks."""


class Weaker(Exception):
    """All that was checked held; the message says which part of the specification the product does not have, and what
    was seen."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    id: str
    injected: str
    expected: str
    run: object  # takes a Laboratory, returns what was seen; None: it cannot be run, for `lacking`
    lacking: str = ""
    quick: bool = False  # takes a few seconds and nothing but the three programs: part of `make test`


EXPERIMENTS = {}


def experiment(id, injected, expected, quick=False):  # pylint: disable=redefined-builtin
    """Decorates a function of a Laboratory that returns what was seen, raises AssertionError when the promise is broken,
    NotRun or Weaker."""

    def register(run):
        add(Experiment(id, injected, expected, run, quick=quick))
        return run

    return register


def not_run(id, injected, expected, lacking):  # pylint: disable=redefined-builtin
    """An experiment that the product's present state does not allow."""
    add(Experiment(id, injected, expected, None, lacking))


def add(entry):
    assert entry.id not in EXPERIMENTS, entry.id
    EXPERIMENTS[entry.id] = entry


def check(holds, text):
    """Like assert, but not switched off and with a message for the table."""
    if not holds:
        raise AssertionError(text)
