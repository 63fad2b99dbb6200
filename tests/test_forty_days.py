"""Are the markers, notices, mails and invoice lines of forty undisturbed days exactly those that the rules give?

From 23 November 2026 to 2 January 2027, six hours a step, four companies around the world. Nobody takes the markers.
"""

import io
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from forty_days import END, STEP, live
from worker_world import START, Place, populate

from jobs.json_log import JsonLog
from store import invoices
from store.rules.notices import due_threshold
from store.tables import Company, Email, InvoiceLine, InvoiceMonth, Key, Notice, RefreshMarker, Run

DAY = timedelta(days=1)


def markers() -> set[tuple[str, str, str]]:
    return {(row.company.external_id, row.night.isoformat(), row.state) for row in RefreshMarker.select()}


def notices() -> set[tuple[int, str, int, str, str]]:
    return {
        (row.key_id, row.expires_on.isoformat(), row.threshold, row.recipient, row.state) for row in Notice.select()
    }


def digests() -> set[tuple[str, str, date]]:
    """The mails about expiry, by the local day on which they were sent."""
    return {
        (row.kind, row.recipient, row.sent_at.astimezone(ZoneInfo(Company.get_by_id(row.company_id).time_zone)).date())
        for row in Email.select().where(Email.kind << ("key_expiring", "key_expired"))
    }


def months() -> set[tuple[str, str, str]]:
    return {(row.company.external_id, row.month, row.state) for row in InvoiceMonth.select()}


def local_days(zone: str, hour: int) -> list[date]:
    """The days whose hour has come between the start and the last step, and the one before them."""
    place, last = ZoneInfo(zone), END - STEP
    days = [START.astimezone(place).date() + number * DAY for number in range(-2, 43)]
    come = [day for day in days if datetime(day.year, day.month, day.day, hour, tzinfo=place) <= last]
    before = [day for day in come if datetime(day.year, day.month, day.day, hour, tzinfo=place) <= START]
    return come[len(before) - 1 :]


def expected_markers(places: dict[str, Place]) -> set[tuple[str, str, str]]:
    expected = set()
    for name, place in places.items():
        nights = local_days(place.company.time_zone, 2)
        expected |= {(name, night.isoformat(), "missed") for night in nights[:-1]}
        expected.add((name, nights[-1].isoformat(), "due"))
    return expected


def owed(places: dict[str, Place]) -> Iterator[tuple[str, date, Key, int, str]]:
    """By the pure rule, day after day: company, day, key, threshold, and whether its mail goes or a tighter one."""
    for name, place in places.items():
        for label, key in place.keys.items():
            if label in {"revoked", "rotated"}:
                continue
            told: set[int] = set()
            for day in local_days(place.company.time_zone, 0):
                tightest, covered = due_threshold(
                    (14, 3, -1), today=day, expires_on=key.expires_on, set_on=key.expiry_set_on
                )
                if tightest is None or tightest in told:
                    continue
                yield name, day, key, tightest, "mailed"
                for wider in set(covered) - told:
                    yield name, day, key, wider, "covered"
                told |= {tightest, *covered}


def expected_notices(places: dict[str, Place]) -> set[tuple[int, str, int, str, str]]:
    return {
        (key.id, key.expires_on.isoformat(), threshold, f"{who}@{name}.example", state)
        for name, _, key, threshold, state in owed(places)
        for who in ("ase", "ops")
    }


def expected_digests(places: dict[str, Place]) -> set[tuple[str, str, date]]:
    """One mail a company, day and recipient, however many keys."""
    return {
        ("key_expired" if threshold == -1 else "key_expiring", f"{who}@{name}.example", day)
        for name, day, _, threshold, state in owed(places)
        for who in ("ase", "ops")
        if state == "mailed"
    }


def handed_over(path: Path) -> Counter[str]:
    return Counter(path.read_text(encoding="ascii").splitlines())


def check_facts(places: dict[str, Place]) -> None:
    assert markers() == expected_markers(places)
    assert notices() == expected_notices(places)
    assert digests() == expected_digests(places)
    assert months() == {
        ("nordlys", "2026-11", "final"), ("nordlys", "2026-12", "draft"),
        ("hraun", "2026-11", "final"), ("hraun", "2026-12", "draft"),
        ("kauri", "2026-11", "final"), ("kauri", "2026-12", "draft"),
        ("hudson", "2026-11", "parked"), ("hudson", "2026-12", "parked"),
    }  # fmt: skip
    for name in ("nordlys", "hraun", "kauri"):
        rated = invoices.rate(places[name].company.id, "2026-11", END)
        stored = InvoiceLine.select().where(InvoiceLine.company == places[name].company, InvoiceLine.month == "2026-11")
        assert sorted((row.line_key, row.net_minor) for row in stored) == sorted(
            (line.line_key, line.net_minor) for line in rated.lines
        )
    assert Counter((row.job, row.scope) for row in Run.select() if row.scope != "all") == Counter(
        {
            (job, place.company.time_zone): times
            for place in places.values()
            for job, times in {
                "expiry-notices": len(local_days(place.company.time_zone, 0)),
                "sandbox-refresh": len(local_days(place.company.time_zone, 2)),
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
