"""What the pure rules give for the days on which a worker came by, and what stands in the store of it.

The worker came by at some instants; of a company's zone that is a row of local days. Nobody takes the markers.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from worker_world import Place

from store import invoices
from store.rules.notices import due_threshold
from store.tables import Company, Email, InvoiceLine, InvoiceMonth, Key, Notice, RefreshMarker

DAY = timedelta(days=1)


def markers() -> set[tuple[str, str, str]]:
    return {(row.company.external_id, row.night.isoformat(), row.state) for row in RefreshMarker.select()}


def notices() -> set[tuple[int, str, int, str, str]]:
    return {
        (row.key_id, row.expires_on.isoformat(), row.threshold, row.recipient, row.state) for row in Notice.select()
    }


def digests() -> Counter[tuple[str, str, date]]:
    """The mails about expiry, by the local day on which they were sent."""
    return Counter(
        (row.kind, row.recipient, row.sent_at.astimezone(ZoneInfo(Company.get_by_id(row.company_id).time_zone)).date())
        for row in Email.select().where(Email.kind << ("key_expiring", "key_expired"))
    )


def months() -> set[tuple[str, str, str]]:
    return {(row.company.external_id, row.month, row.state) for row in InvoiceMonth.select()}


def lines(company: Company, month: str) -> list[tuple[str, int]]:
    stored = InvoiceLine.select().where(InvoiceLine.company == company, InvoiceLine.month == month)
    return sorted((row.line_key, row.net_minor) for row in stored)


def handed_over(path: Path) -> Counter[str]:
    return Counter(path.read_text(encoding="ascii").splitlines())


def days_come(zone: str, hour: int, instants: Sequence[datetime]) -> list[date]:
    """At each instant the newest day whose hour has come; each once."""
    place = ZoneInfo(zone)
    days = set()
    for instant in instants:
        day = instant.astimezone(place).date()
        begun = datetime(day.year, day.month, day.day, hour, tzinfo=place) <= instant
        days.add(day if begun else day - DAY)
    return sorted(days)


def owed(places: dict[str, Place], instants: Sequence[datetime]) -> Iterator[tuple[str, date, Key, int, str]]:
    """By the pure rule, day after day: company, day, key, threshold, and whether its mail goes or a tighter one."""
    for name, place in places.items():
        for label, key in place.keys.items():
            if label in {"revoked", "rotated"}:
                continue
            told: set[int] = set()
            for day in days_come(place.company.time_zone, 0, instants):
                tightest, covered = due_threshold(
                    (14, 3, -1), today=day, expires_on=key.expires_on, set_on=key.expiry_set_on
                )
                if tightest is None or tightest in told:
                    continue
                yield name, day, key, tightest, "mailed"
                for wider in set(covered) - told:
                    yield name, day, key, wider, "covered"
                told |= {tightest, *covered}


def expected_notices(places: dict[str, Place], instants: Sequence[datetime]) -> set[tuple[int, str, int, str, str]]:
    return {
        (key.id, key.expires_on.isoformat(), threshold, f"{who}@{name}.example", state)
        for name, _, key, threshold, state in owed(places, instants)
        for who in ("ase", "ops")
    }


def expected_digests(places: dict[str, Place], instants: Sequence[datetime]) -> Counter[tuple[str, str, date]]:
    """One mail a company, day and recipient, however many keys."""
    return Counter(
        {
            ("key_expired" if threshold == -1 else "key_expiring", f"{who}@{name}.example", day): 1
            for name, day, _, threshold, state in owed(places, instants)
            for who in ("ase", "ops")
            if state == "mailed"
        }
    )


def expected_lines(company: Company, month: str, now: datetime) -> list[tuple[str, int]]:
    return sorted((line.line_key, line.net_minor) for line in invoices.rate(company.id, month, now).lines)
