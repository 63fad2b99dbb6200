"""Making keys that are about to expire, sweeping, and reading what is owed."""

from datetime import date, datetime, timedelta

from cast import LONG_AGO, NOON, key_of

from store import notices
from store.tables import Email, Key, Notice, User

TODAY = date(2026, 11, 23)
DAYS = (14, 3, -1)
OSLO = "Europe/Oslo"


def sweep(day: date = TODAY, now: datetime = NOON, zone: str = OSLO) -> int:
    return notices.sweep(zone, day, now, DAYS)


def expiring_in(days: int, resource: User, *, label: str = "erp-sync", made: datetime = LONG_AGO) -> Key:
    """A standard key whose last day is so many days from today, made long ago unless said otherwise."""
    return key_of(resource, expires_on=TODAY + timedelta(days=days), label=label, now=made).key


def queue_of_notices() -> list[tuple[str, str, list[str]]]:
    """Kind, recipient and the labels of the keys of every queued digest."""
    found = Email.select().where(Email.kind.in_(["key_expiring", "key_expired"]), Email.state == "queued")
    return [(mail.kind, mail.recipient, labels(mail)) for mail in found.order_by(Email.id)]


def labels(mail: Email) -> list[str]:
    return [each["key"]["label"] for each in mail.context["keys"]]


def written() -> list[tuple[int, str, str]]:
    return [
        (row.threshold, row.recipient, row.state)
        for row in Notice.select().order_by(Notice.threshold.desc(), Notice.recipient)
    ]


def everything_is_sent() -> None:
    Email.update(state="sent").where(Email.state == "queued").execute()


def days_on_which_something_is_owed(days: int) -> list[int]:
    """Sweep day by day; what is queued is sent at once."""
    owed = []
    for day in range(days):
        if sweep(TODAY + timedelta(days=day), NOON + timedelta(days=day)):
            owed.append(day)
        everything_is_sent()
    return owed
