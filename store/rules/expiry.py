"""How long a key may work: from today to two years after today, in the company's days.

An expiry date is the last local day on which the key works. Import the module, not `test_expiry`, into tests.
"""

from calendar import monthrange
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from store.errors import Refused
from store.rules.calendar import start_of_day

Kind = Literal["standard", "test"]


def latest(today: date) -> date:
    """Give the last date allowed: two years after today, 28 February for 29 February."""
    return _months_later(today, 24)


def check(expires_on: date, today: date) -> None:
    """Raise Refused unless the date is from today to the last date allowed."""
    _check_between(expires_on, today, latest(today))


def check_edit(kind: Kind, old: date, new: date, today: date) -> None:
    """Raise Refused unless the expiry date may become `new`. Only a test key is bound by its old date."""
    if kind == "standard":
        check(new, today)
        return
    if old < today:
        raise Refused(f"This test key expired on {old} and a test key is never lengthened; make a new key.")
    if new > old:
        raise Refused(f"A test key is never lengthened; choose a date from {today} to {old}, or make a standard key.")
    _check_between(new, today, old)


def test_expiry(today: date) -> date:
    """Give the expiry date of a test key made today."""
    return today + timedelta(days=14)


def ends_at(expires_on: date, zone: ZoneInfo) -> datetime:
    """Give the UTC instant from which the key no longer works: the start of the next day that the zone has."""
    return start_of_day(expires_on + timedelta(days=1), zone)


def quick_choices(today: date) -> list[tuple[str, date]]:
    """List what the date field offers by name."""
    return [
        ("3 months", _months_later(today, 3)),
        ("1 year", _months_later(today, 12)),
        ("2 years", latest(today)),
    ]


def days_left(expires_on: date, today: date) -> int:
    """Count the days until the expiry date: 0 on the last day, negative once it has passed."""
    return (expires_on - today).days


def overlap_end(ends_at: datetime, now: datetime, days: int) -> datetime:
    """Give the instant at which a rotated key retires: after the overlap, never past its own end."""
    if days < 0:
        raise Refused("The overlap of a rotation cannot be negative; choose 0 days or more.")
    overlap = timedelta(days=days)
    return ends_at if ends_at - now <= overlap else now + overlap


def _check_between(expires_on: date, first: date, last: date) -> None:
    if not first <= expires_on <= last:
        raise Refused(f"The expiry date cannot be {expires_on}; choose a date from {first} to {last}.")


def _months_later(day: date, months: int) -> date:
    """The same day of a later month, or that month's last."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
