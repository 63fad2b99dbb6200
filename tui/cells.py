"""How values are written in the desk's tables and texts."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from rich.text import Text

from tui import foreign

_STYLES = {
    "live": "green", "expiring": "yellow", "expired": "red", "retiring": "yellow", "retired": "dim", "revoked": "dim",
    "off": "red", "on": "green", "active": "", "inactive": "dim", "failed": "red", "ambiguous": "red", "held": "red",
    "unreachable": "red", "parked": "red", "missed": "yellow", "due": "", "running": "cyan", "done": "green",
    "sent": "green", "queued": "yellow", "withdrawn": "dim", "covered": "dim", "needs_review": "yellow",
    "quarantined": "red",
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
    return Text(never, "dim") if at is None else Text(f"{at.astimezone(zone or UTC):%Y-%m-%d %H:%M}")


def spelled(at: datetime | None, zone: ZoneInfo | None = None, never: str = "never") -> str:
    """To the minute, for texts: `2026-11-23 15:42`, and `UTC` behind it where no zone is given."""
    if at is None:
        return never
    return f"{at:%Y-%m-%d %H:%M} UTC" if zone is None else f"{at.astimezone(zone):%Y-%m-%d %H:%M}"


def days(left: int, *, short: bool = False) -> str:
    """`14 days`, `last day`, `3 days ago`; short `14d`, `3d ago`."""
    if left == 0:
        return "today" if short else "last day"
    unit = "d" if short else " day" if abs(left) == 1 else " days"
    return f"{abs(left)}{unit}{' ago' if left < 0 else ''}"
