"""Are the markers, notices, mails and invoice lines of forty undisturbed days exactly those that the rules give?

From 23 November 2026 to 2 January 2027, six hours a step, four companies around the world. Nobody takes the markers.
"""

import io
from collections import Counter
from pathlib import Path

import pytest
from forty_days import END, STEP, live
from lived_days import (
    days_come,
    digests,
    expected_digests,
    expected_lines,
    expected_notices,
    handed_over,
    lines,
    markers,
    months,
    notices,
)
from worker_world import START, Place, populate

from jobs.json_log import JsonLog
from store.tables import Email, Run

PASSES = [START + number * STEP for number in range((END - START) // STEP)]


def expected_markers(places: dict[str, Place]) -> set[tuple[str, str, str]]:
    expected = set()
    for name, place in places.items():
        nights = days_come(place.company.time_zone, 2, PASSES)
        expected |= {(name, night.isoformat(), "missed") for night in nights[:-1]}
        expected.add((name, nights[-1].isoformat(), "due"))
    return expected


def check_facts(places: dict[str, Place]) -> None:
    assert markers() == expected_markers(places)
    assert notices() == expected_notices(places, PASSES)
    assert digests() == expected_digests(places, PASSES)
    assert months() == {
        ("nordlys", "2026-11", "final"), ("nordlys", "2026-12", "draft"),
        ("hraun", "2026-11", "final"), ("hraun", "2026-12", "draft"),
        ("kauri", "2026-11", "final"), ("kauri", "2026-12", "draft"),
        ("hudson", "2026-11", "parked"), ("hudson", "2026-12", "parked"),
    }  # fmt: skip
    for name in ("nordlys", "hraun", "kauri"):
        company = places[name].company
        assert lines(company, "2026-11") == expected_lines(company, "2026-11", END)
    assert Counter((row.job, row.scope) for row in Run.select() if row.scope != "all") == Counter(
        {
            (job, place.company.time_zone): times
            for place in places.values()
            for job, times in {
                "expiry-notices": len(days_come(place.company.time_zone, 0, PASSES)),
                "sandbox-refresh": len(days_come(place.company.time_zone, 2, PASSES)),
                "invoice-lines": 2,
                "invoice-final": 1,
            }.items()
        }
    )
    assert {row.state for row in Run.select()} == {"done"}


@pytest.fixture
def places(empty_store: str) -> dict[str, Place]:
    return populate()


def test_forty_days_leave_what_the_rules_give(places: dict[str, Place], tmp_path: Path) -> None:
    log = io.StringIO()

    live(tmp_path / "mails", JsonLog(log), START, END - START)

    assert '"level": "error"' not in log.getvalue()
    check_facts(places)
    assert {row.state for row in Email.select()} == {"sent"}
    assert handed_over(tmp_path / "mails") == Counter(
        {f"<{row.message_id}@fjord.example>": 1 for row in Email.select()}
    )
