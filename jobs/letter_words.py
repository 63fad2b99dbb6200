"""How the mails write days, instants, places and numbers in English; another language brings its own."""

from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def day(value: date) -> str:
    """`Sunday 6 December 2026`."""
    return f"{_WEEKDAYS[value.weekday()]} {value.day} {_MONTHS[value.month - 1]} {value.year}"


def short_day(value: date, today: date | None = None) -> str:
    """`6 Dec 2026`, or `6 Dec` within half a year of `today`, where nobody can take it for another year's."""
    near = today is not None and abs((value - today).days) < 183
    return f"{value.day} {_MONTHS[value.month - 1][:3]}" + ("" if near else f" {value.year}")


def next_day(value: date) -> date:
    """The day after a key's last one."""
    return value + timedelta(days=1)


def month(value: str) -> str:
    """`November 2026` for `2026-11`."""
    year, number = value.split("-")
    return f"{_MONTHS[int(number) - 1]} {year}"


def place(zone: str) -> str:
    """`Oslo time` for `Europe/Oslo`; a zone without a city is named as it is."""
    area, _, city = zone.rpartition("/")
    return f"{city.replace('_', ' ')} time" if area and not zone.startswith("Etc/") else zone


def instant(at: datetime, zone: str) -> str:
    """`Monday 23 November 2026 at 14:02, Oslo time (UTC+01:00)`."""
    local = at.astimezone(ZoneInfo(zone))
    return f"{day(local.date())} at {local:%H:%M}, {place(zone)}{_offset(local)}"


def moment(at: datetime, zone: str) -> str:
    """`23 Nov 2026, 14:02 Oslo time`."""
    local = at.astimezone(ZoneInfo(zone))
    return f"{short_day(local.date())}, {local:%H:%M} {place(zone)}"


def short_instant(at: datetime, zone: str, today: date) -> str:
    """`14:02` on the day itself, else `22 Nov 14:02`."""
    local = at.astimezone(ZoneInfo(zone))
    clock = f"{local:%H:%M}"
    return clock if local.date() == today else f"{short_day(local.date(), today)} {clock}"


def number(value: int) -> str:
    """`1,204`."""
    return f"{value:,}"


def cut(value: str, limit: int) -> str:
    """At most `limit` characters, the last an ellipsis where something is missing."""
    return value if len(value) <= limit else value[: limit - 1].rstrip() + "…"


def _offset(local: datetime) -> str:
    """` (UTC+01:00)`; nothing where the place already says UTC."""
    text = local.isoformat()[-6:]
    return "" if text == "+00:00" and local.tzname() == "UTC" else f" (UTC{text})"
