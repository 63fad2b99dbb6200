"""When each job is due next: for people. The worker decides by its own timetable; a test holds the two together."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from store import installation, zones
from store.installation import Installation
from store.rules import calendar

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Upcoming:
    """The next time a job runs, in the zone where that is first."""

    job: str
    zone: str
    at: datetime


def upcoming(now: datetime) -> list[Upcoming]:
    """Notices, refreshes, drafts and final lines, each where it comes first, in order of time. Empty before set-up."""
    chosen = installation.read()
    if chosen is None:
        return []
    found = [one for scope in zones.in_use() for one in _in_zone(scope.zone, now, chosen)]
    first: dict[str, Upcoming] = {}
    for one in sorted(found, key=lambda one: (one.at, one.zone)):
        first.setdefault(one.job, one)
    return list(first.values())


def _in_zone(name: str, now: datetime, chosen: Installation) -> list[Upcoming]:
    zone = calendar.zone(name)
    return [
        Upcoming("expiry-notices", name, _next_night(now, zone, 0)),
        Upcoming("sandbox-refresh", name, _next_night(now, zone, chosen.refresh_hour)),
        Upcoming("invoice-lines", name, _next_invoices(now, zone, chosen.invoice_hour, 0)),
        Upcoming("invoice-final", name, _next_invoices(now, zone, chosen.invoice_hour, chosen.grace_days)),
    ]


def _next_night(now: datetime, zone: ZoneInfo, hour: int) -> datetime:
    day = calendar.latest_night(now, zone, hour) + _DAY
    while (at := calendar.at_local(day, hour, 0, zone)) <= now:
        day += _DAY
    return at


def _next_invoices(now: datetime, zone: ZoneInfo, hour: int, wait: int) -> datetime:
    month = calendar.next_month(calendar.latest_month_due(now, zone, days_after=wait, hour=hour))
    first = date.fromisoformat(f"{calendar.next_month(month)}-01")
    return calendar.at_local(first + wait * _DAY, hour, 0, zone)
