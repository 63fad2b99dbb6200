"""What does a worker do that comes back after thirteen months, and is each thing done once?

It lived through 23 November 2026, six hours a step, for four companies around the world, and comes back on 23 December
2027. Nobody takes the markers.
"""

import io
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cast import key_of
from forty_days import STEP, live
from lived_days import (
    DAY,
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
from store import untold_ends
from store.database import run_sql
from store.tables import Email, Notice, Run

BACK = datetime(2027, 12, 23, 20, tzinfo=UTC)  # in Auckland it is the 24th
PASSES = [*(START + number * STEP for number in range(4)), BACK]
MONTHS = ["2026-11", "2026-12", *(f"2027-{number:02}" for number in range(1, 12))]
RATED = ("nordlys", "hraun", "kauri")  # hudson has no price list


def day_back(place: Place) -> date:
    return BACK.astimezone(ZoneInfo(place.company.time_zone)).date()


@pytest.fixture
def places(empty_store: str) -> dict[str, Place]:
    """With keys that end while nobody is there: so long before that day that it is news, and a day longer."""
    made = populate()
    for place in made.values():
        for days in (30, 31):
            label = f"ended {days} days before"
            last_day = day_back(place) - timedelta(days=days)
            place.keys[label] = key_of(place.resource, label=label, expires_on=last_day, now=START - DAY).key
    return made


def live_through(mail_file: Path) -> None:
    """The one day, and after thirteen months one pass of another process."""
    log = io.StringIO()
    live(mail_file, JsonLog(log), START, DAY)
    live(mail_file, JsonLog(log), BACK, STEP)
    assert '"level": "error"' not in log.getvalue()
    assert '"verdict": "leap"' not in log.getvalue()


def test_of_notices_and_markers_it_does_the_newest_day_and_of_invoices_every_month_once(
    places: dict[str, Place], tmp_path: Path
) -> None:
    live_through(tmp_path / "mails")

    assert markers() == {
        (name, night.isoformat(), state)
        for name, place in places.items()
        for *lived, newest in [days_come(place.company.time_zone, 2, PASSES)]
        for night, state in (
            *((night, "missed") for night in lived),
            *((newest - number * DAY, "missed") for number in range(1, 32)),
            (newest, "due"),
        )
    }
    assert notices() == expected_notices(places, PASSES)
    assert digests() == expected_digests(places, PASSES)
    assert months() == {
        (name, month, "final" if name in RATED else "parked") for name in places for month in MONTHS
    }  # fmt: skip
    for name in RATED:
        company = places[name].company
        for month in MONTHS:
            assert lines(company, month) == expected_lines(company, month, BACK) != []
    told = Counter(row.recipient for row in Email.select().where(Email.kind == "invoice_lines"))
    assert told == {f"{who}@{name}.example": 13 for name in RATED for who in ("ase", "ops")}


def test_each_mail_goes_once_and_nobody_is_told_twice_of_a_key(places: dict[str, Place], tmp_path: Path) -> None:
    live_through(tmp_path / "mails")

    assert {row.state for row in Email.select()} == {"sent"}
    assert handed_over(tmp_path / "mails") == Counter(
        {f"<{row.message_id}@fjord.example>": 1 for row in Email.select()}
    )
    labels = {key.id: (name, label) for name, place in places.items() for label, key in place.keys.items()}
    told = Counter((*labels[row.key_id], row.recipient) for row in Notice.select().where(Notice.state == "mailed"))
    assert told == {
        (name, label, f"{who}@{name}.example"): 1
        for name in places
        for label in ("expired", "soon", "successor", "ended 30 days before")
        for who in ("ase", "ops")
    }


def test_the_ends_that_are_no_news_any_more_are_counted(places: dict[str, Place], tmp_path: Path) -> None:
    live_through(tmp_path / "mails")

    assert untold_ends.find(BACK) == untold_ends.Untold(
        keys=16,  # in each company soon, later, the test key, and the one that ended 31 days before
        first=date(2026, 12, 3),
        last=date(2027, 11, 23),
        since=date(2027, 12, 24),
    )


def test_the_days_between_are_recorded_as_missed_for_a_year_and_every_month_has_its_run(
    places: dict[str, Place], tmp_path: Path
) -> None:
    live_through(tmp_path / "mails")

    runs = Counter((row.job, row.scope, row.state) for row in Run.select() if row.scope != "all")
    zones = {place.company.time_zone for place in places.values()}
    assert runs == {
        (job, zone, state): count
        for zone in zones
        for job, state, count in (
            ("expiry-notices", "done", len(days_come(zone, 0, PASSES))),
            ("expiry-notices", "missed", 366),
            ("sandbox-refresh", "done", len(days_come(zone, 2, PASSES))),
            ("sandbox-refresh", "missed", 366),
            ("invoice-lines", "done", 13),
            ("invoice-final", "done", 13),
        )
    }


def test_a_second_pass_changes_nothing(places: dict[str, Place], tmp_path: Path) -> None:
    live_through(tmp_path / "mails")
    before, mails = facts(), handed_over(tmp_path / "mails")

    live(tmp_path / "mails", JsonLog(io.StringIO()), BACK, STEP)

    assert (facts(), handed_over(tmp_path / "mails")) == (before, mails)


def facts() -> dict[str, list[tuple[object, ...]]]:
    """All that a worker writes but its own name and ticks."""
    tables = ("run", "notice", "email", "refresh_marker", "invoice_month", "invoice_line", "event", "api_key")
    return {table: sorted(map(tuple, run_sql(f"SELECT * FROM {table}").fetchall())) for table in tables}
