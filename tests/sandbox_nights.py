"""Nights of sandboxes: Nordlys AS in Oslo has a key that covers Sandbox, Sydlys ApS has not."""

from datetime import UTC, date, datetime, timedelta

from cast import LONG_AGO, OLAV, Cast, arrive, enable, key_of

from store import markers, marking
from store.tables import Company, Email, RefreshMarker

NIGHT = date(2026, 11, 23)
TWO_OCLOCK = datetime(2026, 11, 23, 1, tzinfo=UTC)  # 02:00 in Oslo
HALF_AN_HOUR = timedelta(minutes=30)
DAY = timedelta(days=1)


def with_sandbox() -> Cast:
    people = arrive()
    enable(people.nordlys, people.ase, "drift@nordlys.example")
    enable(people.sydlys, people.dorte)
    key_of(people.ase, environment="sandbox", expires_on=date(2027, 12, 31), now=LONG_AGO)
    key_of(people.dorte, environment="prod", expires_on=date(2027, 12, 31), now=LONG_AGO)
    return people


def mark(night: date = NIGHT, now: datetime | None = None, zone: str = "Europe/Oslo") -> int:
    return marking.create(zone, night, now or TWO_OCLOCK + (night - NIGHT))


def claim(now: datetime = TWO_OCLOCK, limit: int = 10, by: str = "pipeline") -> list[markers.Claim]:
    return markers.claim(OLAV, limit, HALF_AN_HOUR, now, by)


def fail(days: int, **more: timedelta) -> markers.Report:
    """Mark the night so many days on, and let its refresh fail."""
    mark(NIGHT + days * DAY)
    (taken,) = claim(TWO_OCLOCK + days * DAY)
    return markers.fail(OLAV, taken.token, "disk full", TWO_OCLOCK + days * DAY, **more)


def states() -> list[tuple[str, date, str]]:
    rows = RefreshMarker.select(RefreshMarker, Company).join(Company).order_by(RefreshMarker.night, RefreshMarker.id)
    return [(row.company.external_id, row.night, row.state) for row in rows]


def failures_mailed() -> list[str]:
    return [mail.recipient for mail in Email.select().where(Email.kind == "sandbox_failed").order_by(Email.id)]
