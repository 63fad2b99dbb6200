"""What becomes of a night's refresh markers when a worker dies, or is overtaken, in the middle of writing them?"""

from datetime import timedelta

import pytest
import sandbox_nights
from cast import LONG_AGO, OLAV, company, enable, key_of, user
from sandbox_nights import DAY, NIGHT, TWO_OCLOCK, claim, failures_mailed, states, with_sandbox

from jobs.sandbox_refresh import mark
from store import markers, marking, runs
from store.runs import LeaseLost, Planned, RunRow

OSLO = "Europe/Oslo"
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _a_company_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marking, "_SLICE", 1)
    monkeypatch.setattr(marking, "_FEWEST", 1)
    monkeypatch.setattr(marking, "_MAILED_ABOUT", 1)


def two_sandboxes() -> None:
    """Nordlys and East, in this order."""
    with_sandbox()
    east = company("east", "East AS")
    ann = user(east, "ann", "Ann")
    enable(east, ann)
    key_of(ann, environment="sandbox", expires_on=NIGHT + 300 * DAY, now=LONG_AGO)


def claimed(owner: str, days: int = 0, wait: timedelta = timedelta()) -> RunRow:
    night = NIGHT + days * DAY
    at = TWO_OCLOCK + days * DAY
    runs.plan([Planned("sandbox-refresh", OSLO, night.isoformat(), "due", at, {"start": 1, "end": 2})], at)
    run = runs.claim(owner, ["sandbox-refresh"], at + wait)
    assert run is not None
    return run


def do(run: RunRow, days: int = 0) -> int:
    rows = run.rows_before + sum(mark(run, TWO_OCLOCK + days * DAY))
    runs.finish(run, rows, TWO_OCLOCK + days * DAY)
    return rows


def test_another_worker_goes_on_after_the_last_company_and_marks_the_missed_nights_of_the_others(
    empty_store: str,
) -> None:
    two_sandboxes()
    do(claimed("one"))
    dies = mark(claimed("one", 2), TWO_OCLOCK + 2 * DAY)
    next(dies)

    rows = do(claimed("two", 2, HOUR), 2)

    assert rows == 4
    assert states() == [
        *((name, NIGHT, "missed") for name in ("nordlys", "east")),
        *((name, NIGHT + DAY, "missed") for name in ("nordlys", "east")),
        *((name, NIGHT + 2 * DAY, "due") for name in ("nordlys", "east")),
    ]


def test_a_worker_that_was_paused_past_its_lease_marks_nothing_more(empty_store: str) -> None:
    two_sandboxes()
    paused = mark(claimed("one"), TWO_OCLOCK)
    next(paused)
    claimed("two", wait=HOUR)

    with pytest.raises(LeaseLost):
        next(paused)

    assert states() == [("nordlys", NIGHT, "due")]


def test_a_sandbox_left_alone_is_told_of_once_however_often_a_worker_dies_over_it(empty_store: str) -> None:
    two_sandboxes()
    sandbox_nights.mark()
    for each in claim():
        markers.done(OLAV, each.token, "", TWO_OCLOCK)
    for days in (1, 2):
        sandbox_nights.mark(NIGHT + days * DAY)
    first = mark(claimed("one", 3), TWO_OCLOCK + 3 * DAY)
    next(first)

    told = [len(failures_mailed())]
    second = mark(claimed("two", 3, HOUR), TWO_OCLOCK + 3 * DAY)
    next(second), next(second)
    told.append(len(failures_mailed()))
    do(claimed("three", 3, 2 * HOUR), 3)
    told.append(len(failures_mailed()))

    assert told == [0, 2, 3]
