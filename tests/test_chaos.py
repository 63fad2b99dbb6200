"""Is nothing lost, extra or doubled while workers are killed, stopped and lied to, clocks step and people act?

Twenty-five days and four calm ones, three workers, on SQLite and on PostgreSQL; `make torture` lives through years.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from torture.chaos import Chaos, Chosen
from torture.flaws import handed_over_without_a_word
from torture.ledger import Ledger, Row
from torture.months import is_unusual
from torture.oracle import Faults
from torture.timeline import Measure

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
SOME_WEEKS = Measure(days=25, workers=3, keys=120)
TEN_DAYS = Measure(days=10, workers=3, keys=40)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: a store on a disk is synced with each commit, which tells nothing about kills."""
    with TemporaryDirectory(prefix="keydesk-chaos-", dir=MEMORY) as folder:
        yield Path(folder)


def test_what_is_owed_is_done_once_whoever_is_killed_and_whatever_the_relay_says(
    store_location: str, tmp_path: Path
) -> None:
    result = Chaos(store_location, tmp_path, Chosen(3, SOME_WEEKS)).run()

    assert result.faults.all == []
    assert min(result.kills, result.clock_steps, result.outages, result.downtimes, result.tally.cut) > 0
    assert min(result.markers, result.months, result.refreshed, result.left_open, result.tally.mails) > 0
    assert min(result.expired, *(result.notices[each] for each in ("mailed", "covered", "withdrawn"))) > 0


@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)
def test_a_hand_over_that_is_not_written_down_before_the_body_is_noticed(store_location: str, tmp_path: Path) -> None:
    broken = Chosen(7, replace(TEN_DAYS, kills_a_day=12, in_hand=1), flaw=handed_over_without_a_word)

    result = Chaos(store_location, tmp_path, broken).run()

    assert any("never held for ambiguous" in fault for fault in result.faults.misjudged)


def test_chores_that_stopped_or_still_wait_would_be_found() -> None:
    def told(*rows: tuple[str, str, str]) -> list[str]:
        faults = Faults()
        ledger = Ledger([], datetime(2026, 11, 14, tzinfo=UTC), faults)
        ledger.check([Row(job, "all", period, state) for job, period, state in rows], datetime(2027, 1, 11, tzinfo=UTC))
        return faults.all

    well = [("housekeeping", "2027-01-10T22", "done"), ("tidying", "2027-01-10", "done")]

    assert told(*well) == []
    assert told() == [
        "lost: run housekeeping, which was done last for no time",
        "lost: run tidying, which was done last for no time",
    ]
    assert told(("housekeeping", "2027-01-09T23", "done"), ("tidying", "2027-01-08", "done")) == [
        "lost: run housekeeping, which was done last for 2027-01-09T23",
        "lost: run tidying, which was done last for 2027-01-08",
    ]
    assert told(*well, ("housekeeping", "2027-01-10T21", "running"), ("tidying", "2027-01-09", "missed")) == [
        "lost: run housekeeping 2027-01-10T21, which still waits"
    ]


@pytest.mark.parametrize(
    ("before", "now", "unusual"),
    [
        ({"2027-07": 490, "2027-06": 490, "2027-05": 980}, 4900, False),  # ten times
        ({"2027-07": 490, "2027-06": 490, "2027-05": 980}, 4901, True),
        ({"2027-07": 490, "2027-05": 980}, 4901, True),  # the smaller of two
        ({"2027-07": 490}, 9800, False),  # one month says nothing
        ({"2027-07": 490, "2027-04": 490}, 9800, False),  # nor does what is longer ago
        ({"2027-07": 0, "2027-06": 0, "2027-05": 490}, 4901, False),
        ({}, 4901, False),
    ],
)
def test_a_month_is_taken_for_held_rightly_only_far_above_those_before(
    before: dict[str, int], now: int, *, unusual: bool
) -> None:
    lines = {("extra_key", month): net for month, net in {**before, "2027-08": now}.items()}

    assert is_unusual(lines, "2027-08") is unusual
