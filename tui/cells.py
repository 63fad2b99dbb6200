"""How values are written in the desk's tables and texts."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from rich.text import Text

from tui import foreign

_STYLES = {
    "live": "green", "expiring": "yellow", "expired": "red", "retiring": "yellow", "retired": "dim", "revoked": "dim",
    "off": "red", "on": "green", "active": "", "inactive": "dim", "failed": "red", "ambiguous": "red", "held": "red",
    "unreachable": "red", "parked": "red", "missed": "yellow", "due": "", "running": "cyan", "done": "green",
    "sent": "green", "queued": "yellow", "withdrawn": "dim", "covered": "dim", "needs_review": "yellow",
}  # fmt: skip
ENVIRONMENTS = {"prod": "Prod", "sandbox": "Sandbox", "all": "All"}


def state(word: str) -> Text:
    """A state is always a word; the colour only helps."""
    return foreign.text(word, _STYLES.get(word, ""))


def number(value: int | None) -> Text:
    """With thousands marked; nothing for None."""
    return Text("" if value is None else f"{value:,}")


def moment(at: datetime | None, zone: ZoneInfo | None = None, never: str = "") -> Text:
    """To the minute, in the zone, UTC where none is given."""
    return Text(never, "dim") if at is None else Text(spelled(at, zone))


def spelled(at: datetime | None, zone: ZoneInfo | None = None, never: str = "never") -> str:
    """To the minute, for texts: `2026-11-23 15:42`, and `UTC` behind it where no zone is given."""
    if at is None:
        return never
    return f"{at:%Y-%m-%d %H:%M} UTC" if zone is None else f"{at.astimezone(zone):%Y-%m-%d %H:%M}"


def days(left: int) -> str:
    """`14 days`, `last day`, `3 days ago`."""
    if left == 0:
        return "last day"
    return f"{abs(left)} {'day' if abs(left) == 1 else 'days'}{' ago' if left < 0 else ''}"


def expiry(day: date, left: int, *, counts: bool) -> Text:
    """The date, and the days left where they still mean something."""
    text = Text(day.isoformat())
    if counts:
        text.append(f" {days(left):>9}", "dim" if left > 14 else "")
    return text
