"""Is nothing lost, extra or doubled while workers are killed, stopped and lied to, clocks step and people act?

Ten days and four calm ones, three workers, on SQLite and on PostgreSQL; `make torture` lives through years.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from torture.chaos import Chaos, Chosen
from torture.flaws import handed_over_without_a_word
from torture.timeline import Measure

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
TEN_DAYS = Measure(days=10, workers=3, keys=40)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: a store on a disk is synced with each commit, which tells nothing about kills."""
    with TemporaryDirectory(prefix="keydesk-chaos-", dir=MEMORY) as folder:
        yield Path(folder)


def test_what_is_owed_is_done_once_whoever_is_killed_and_whatever_the_relay_says(
    store_location: str, tmp_path: Path
) -> None:
    result = Chaos(store_location, tmp_path, Chosen(7, TEN_DAYS)).run()

    assert result.faults.all == []
    assert min(result.kills, result.clock_steps, result.outages, result.downtimes, result.tally.cut) > 0
    assert min(result.notices, result.markers, result.months, result.tally.mails) > 0


@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)
def test_a_hand_over_that_is_not_written_down_before_the_body_is_noticed(store_location: str, tmp_path: Path) -> None:
    broken = Chosen(7, replace(TEN_DAYS, kills_a_day=12, in_hand=1), flaw=handed_over_without_a_word)

    result = Chaos(store_location, tmp_path, broken).run()

    assert any("never held for ambiguous" in fault for fault in result.faults.misjudged)
