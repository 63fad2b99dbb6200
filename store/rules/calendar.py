"""Local days, nights and months, and the UTC instants at which they begin, in zones that skip or repeat hours and days.

`now` and every instant given back are aware and UTC; a day is a local date; a month is written "2026-11".
"""

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from store.errors import FormatWrong

_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
_MONTH: Final = re.compile(r"[1-9][0-9]{3}-(?:0[1-9]|1[0-2])", re.ASCII)
# These load, but mean whatever the machine means, no place at all, or a clock that counts leap seconds.
_NO_PLACE: Final = re.compile(r"localtime|posixrules|Factory|(?:posix|right)/.*", re.DOTALL)


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Find a time zone by its IANA name, or raise FormatWrong."""
    try:
        if not _NO_PLACE.fullmatch(name):
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise FormatWrong(f"{name[:64]!a} is not a time zone; write one like Europe/Oslo, from the IANA list.")


def local_day(now: datetime, zone: ZoneInfo) -> date:
    """Give the date on the wall at an instant."""
    if now.tzinfo is None:
        raise ValueError("An instant without a time zone has no local day; pass an aware one.")
    return now.astimezone(zone).date()


def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """Give the first instant of a local day; for a day that a zone skipped, that of the next one."""
    return at_local(day, 0, 0, zone)


def at_local(day: date, hour: int, minute: int, zone: ZoneInfo) -> datetime:
    """Give the first instant at which the wall clock shows this time or, where it jumped over it, a later one.

    So each day has it exactly once: a repeated hour counts the first time, a skipped one when the jump happens.
    """
    wall = datetime.combine(day, time(hour, minute))
    instant = wall.replace(tzinfo=zone).astimezone(UTC)
    if _on_the_wall(instant, zone) == wall:
        return instant
    # The wall time is in a gap. Read with the offset after the jump it lies before the jump, and the other way round.
    before, after = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), instant
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
        if _on_the_wall(middle, zone) < wall:
            before = middle
        else:
            after = middle
    return after


def latest_night(now: datetime, zone: ZoneInfo, hour: int, minute: int = 0) -> date:
    """Give the newest local day whose nightly instant has come. Days that the zone skipped have no night."""
    day = local_day(now, zone) + _DAY  # a clock put back over midnight has seen tomorrow already
    while at_local(day, hour, minute, zone) > now or not _exists(day, zone):
        day -= _DAY
    return day


def month_of(day: date) -> str:
    """Give the month in which a day lies."""
    return day.isoformat()[:7]


def first_day(month: str) -> date:
    """Give the first day of a month; FormatWrong when it is none."""
    if not _MONTH.fullmatch(month):
        raise FormatWrong(f"{month[:64]!a} is not a month; write it like 2026-11.")
    return date.fromisoformat(f"{month}-01")


def last_day(month: str) -> date:
    """Give the last day of a month."""
    return first_day(next_month(month)) - _DAY


@lru_cache(maxsize=1024)
def month_bounds(month: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Give the half-open span of a local month."""
    return start_of_day(first_day(month), zone), start_of_day(first_day(next_month(month)), zone)


def previous_month(month: str) -> str:
    """Give the month before."""
    return month_of(first_day(month) - _DAY)


def next_month(month: str) -> str:
    """Give the month after."""
    return month_of(first_day(month) + 31 * _DAY)


def month_range(first: str, last: str) -> list[str]:
    """List the months from first to last, both included; none when last comes before first."""
    months = []
    month, beyond = month_of(first_day(first)), next_month(last)
    while month < beyond:
        months.append(month)
        month = next_month(month)
    return months


def latest_month_due(now: datetime, zone: ZoneInfo, *, day: int = 1, days_after: int = 0, hour: int = 3) -> str:
    """Give the newest month whose due instant has come.

    A month is due at `hour` local time on day number `day` of the following month, `days_after` days later: lines are
    written with no days after, and become final with the grace period.
    """
    wait = timedelta(days=day - 1 + days_after)
    month = previous_month(month_of(local_day(now, zone) + _DAY))
    while at_local(first_day(next_month(month)) + wait, hour, 0, zone) > now:
        month = previous_month(month)
    return month


def _on_the_wall(instant: datetime, zone: ZoneInfo) -> datetime:
    """Naive local time."""
    return instant.astimezone(zone).replace(tzinfo=None)


def _exists(day: date, zone: ZoneInfo) -> bool:
    """Whether the zone had that day at all (Apia had no 30 December 2011)."""
    return start_of_day(day, zone) < start_of_day(day + _DAY, zone)
