"""Days, months and hours as a job counts them: which period is the newest, when it falls due, which came between."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from store.fields import seconds
from store.installation import Installation
from store.rules.calendar import (
    at_local,
    latest_month_due,
    latest_night,
    local_day,
    month_bounds,
    month_of,
    month_range,
    next_month,
    start_of_day,
)

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)


class Cadence(Protocol):
    """How a job's periods follow each other. A period is text that sorts as time does (2026-11, 2026-11-23T15)."""

    def latest(self, now: datetime, zone: ZoneInfo, installation: Installation, /) -> str:
        """The newest period whose time has come."""

    def holding(self, moment: datetime, zone: ZoneInfo, /) -> str:
        """The period that an instant lies in."""

    def range(self, first: str, last: str, zone: ZoneInfo, /) -> list[str]:
        """The periods from first to last, both included."""

    def due_at(self, period: str, zone: ZoneInfo, installation: Installation, /) -> datetime:
        """The instant at which a period's time comes."""

    def following(self, period: str, /) -> str:
        """The period after."""

    def bounds(self, period: str, zone: ZoneInfo, /) -> dict[str, int]:
        """Where the period starts and ends, in epoch seconds."""


@dataclass(frozen=True)
class EachDay:
    """A local day, due at an hour of itself."""

    hour: Callable[[Installation], int]

    def latest(self, now: datetime, zone: ZoneInfo, installation: Installation) -> str:
        """The newest day whose hour has come; each day has it once, whatever the clocks do that night."""
        return latest_night(now, zone, self.hour(installation)).isoformat()

    def holding(self, moment: datetime, zone: ZoneInfo) -> str:
        """The local day of an instant."""
        return local_day(moment, zone).isoformat()

    def range(self, first: str, last: str, zone: ZoneInfo) -> list[str]:
        """The days; one that the zone skipped is left out."""
        day, end, days = date.fromisoformat(first), date.fromisoformat(last), []
        while day <= end:
            if start_of_day(day, zone) < start_of_day(day + _DAY, zone):
                days.append(day.isoformat())
            day += _DAY
        return days

    def due_at(self, period: str, zone: ZoneInfo, installation: Installation) -> datetime:
        """The hour on that day, or when the clocks jump over it."""
        return at_local(date.fromisoformat(period), self.hour(installation), 0, zone)

    def following(self, period: str) -> str:
        """Tomorrow's date."""
        return (date.fromisoformat(period) + _DAY).isoformat()

    def bounds(self, period: str, zone: ZoneInfo) -> dict[str, int]:
        """The local day, 23 to 25 hours."""
        day = date.fromisoformat(period)
        return {"start": seconds(start_of_day(day, zone)), "end": seconds(start_of_day(day + _DAY, zone))}


@dataclass(frozen=True)
class EachMonth:
    """A local month, due at the invoice hour of the 1st of the next one, or some days later."""

    days_after: Callable[[Installation], int]

    def latest(self, now: datetime, zone: ZoneInfo, installation: Installation) -> str:
        """The newest month that is over and whose hour has come."""
        wait = self.days_after(installation)
        return latest_month_due(now, zone, days_after=wait, hour=installation.invoice_hour)

    def holding(self, moment: datetime, zone: ZoneInfo) -> str:
        """The local month of an instant."""
        return month_of(local_day(moment, zone))

    def range(self, first: str, last: str, _zone: ZoneInfo) -> list[str]:
        """The months."""
        return month_range(first, last)

    def due_at(self, period: str, zone: ZoneInfo, installation: Installation) -> datetime:
        """The invoice hour on the 1st of the next month, the wait later."""
        first = date.fromisoformat(f"{next_month(period)}-01")
        return at_local(first + self.days_after(installation) * _DAY, installation.invoice_hour, 0, zone)

    def following(self, period: str) -> str:
        """The month after."""
        return next_month(period)

    def bounds(self, period: str, zone: ZoneInfo) -> dict[str, int]:
        """The local month."""
        start, end = month_bounds(period, zone)
        return {"start": seconds(start), "end": seconds(end)}


@dataclass(frozen=True)
class EachHour:
    """An hour of UTC, due as it begins."""

    def latest(self, now: datetime, _zone: ZoneInfo, _installation: Installation) -> str:
        """The hour that runs."""
        return now.astimezone(UTC).isoformat()[:13]

    def holding(self, moment: datetime, _zone: ZoneInfo) -> str:
        """The hour of an instant."""
        return moment.astimezone(UTC).isoformat()[:13]

    def range(self, first: str, last: str, _zone: ZoneInfo) -> list[str]:
        """The hours."""
        hours, hour = [], first
        while hour <= last:
            hours.append(hour)
            hour = self.following(hour)
        return hours

    def due_at(self, period: str, _zone: ZoneInfo, _installation: Installation) -> datetime:
        """Its first second."""
        return _hour(period)

    def following(self, period: str) -> str:
        """The hour after."""
        return (_hour(period) + _HOUR).isoformat()[:13]

    def bounds(self, period: str, _zone: ZoneInfo) -> dict[str, int]:
        """The hour."""
        return {"start": seconds(_hour(period)), "end": seconds(_hour(period) + _HOUR)}


def _hour(period: str) -> datetime:
    return datetime.fromisoformat(f"{period}:00:00+00:00")
