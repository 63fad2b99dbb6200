"""The time zones in which companies live, and since when anything can be owed in each."""

from dataclasses import dataclass
from datetime import datetime

from store.database import run_sql, session
from store.errors import FormatWrong
from store.fields import instant
from store.rules.calendar import zone


@dataclass(frozen=True)
class ZoneInUse:
    """A scope of runs: its name in the ledger, the zone whose days it counts, since when anything can be owed in it."""

    name: str
    zone: str
    since: datetime


def in_use() -> list[ZoneInUse]:
    """Each zone with a company, since its first company was there or the store was set up, whichever came later.

    Without those that this machine does not know (see `unknown`).
    """
    with session():
        found = run_sql(_IN_USE).fetchall()
    return [ZoneInUse(name, name, instant(max(set_up_at or 0, since))) for name, since, set_up_at in found if _is(name)]


def unknown() -> list[str]:
    """Zones with a company that this machine does not know: another one with newer rules has let them in."""
    with session():
        return [str(row[0]) for row in run_sql(_IN_USE).fetchall() if not _is(row[0])]


def _is(name: str) -> bool:
    try:
        zone(name)
    except FormatWrong:
        return False
    return True


_IN_USE = """
    SELECT time_zone, min(created_at),
           (SELECT at FROM event WHERE act = 'installation.set-up' ORDER BY seq LIMIT 1)
      FROM company
     GROUP BY time_zone
     ORDER BY time_zone
"""
