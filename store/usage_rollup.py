"""Usage added up by key, local day and environment, in bounded memory: what becomes too much is put aside on disk."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from store.errors import Refused
from store.fields import instant
from store.rules import calendar

_MOST_SUMS: Final = 100_000  # in memory
_PAGE: Final = 5000
_STEP: Final = 900  # seconds; zones change their offset at multiples of it, and where one does not, it is noticed
_MOST_STEPS: Final = 50_000
_ENVIRONMENTS: Final = ("prod", "sandbox")

DayRow = tuple[int, int, str, str, int, int]
"""Company id, key id, local day, environment, requests, bytes."""


@contextmanager
def scratch() -> Iterator[sqlite3.Connection]:
    """A database in a temporary file that nobody else sees and that is gone afterwards."""
    try:
        with closing(sqlite3.connect("")) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA cache_size = -8192")
            yield connection
    except sqlite3.OperationalError as error:
        raise Refused(
            f"The directory for temporary files takes no more ({error}); nothing was taken. Free some space there, or "
            "name another in TMPDIR."
        ) from None


class LocalDays:
    """The local day of an instant, for many instants near each other."""

    def __init__(self) -> None:
        self._days: dict[str, dict[int, int]] = {}
        self._held = 0

    def ordinal(self, at: int, zone: str) -> int:
        """The proleptic Gregorian ordinal of the day on the wall."""
        days = self._days.get(zone)
        if days is None:
            days = self._days[zone] = {}
        found = days.get(at // _STEP)
        return self._look_up(at, zone, days) if found is None else found

    def _look_up(self, at: int, zone: str, days: dict[int, int]) -> int:
        step, where = at // _STEP, calendar.zone(zone)
        first, last = _ordinal(step * _STEP, where), _ordinal((step + 1) * _STEP - 1, where)
        if first != last:
            return _ordinal(at, where)
        self._held += 1
        if self._held > _MOST_STEPS:
            self._days, self._held = {}, 0
        days[step] = first
        return first


def _ordinal(at: int, zone: ZoneInfo) -> int:
    return calendar.local_day(instant(at), zone).toordinal()


class Rollup:
    """The sums of several files, each of which is a part."""

    def __init__(self, scratch: sqlite3.Connection) -> None:
        self._scratch = scratch
        self._part = 0
        self._sums: dict[tuple[int, int], list[int]] = {}
        scratch.execute("CREATE TABLE sums (part, company, key, day, requests, bytes)")

    def begin(self, part: int) -> None:
        """What is added from now on belongs to this part."""
        self._put_aside()
        self._part = part

    def add(self, company_id: int, key_id: int, ordinal: int, environment: str, requests: int, size: int) -> None:
        """Add one row."""
        place = (key_id, 2 * ordinal + (environment != "prod"))
        sums = self._sums.get(place)
        if sums is None:
            if len(self._sums) >= _MOST_SUMS:
                self._put_aside()
            self._sums[place] = [company_id, requests, size]
        else:
            sums[1] += requests
            sums[2] += size

    def pages(self, part: int) -> Iterator[list[DayRow]]:
        """The sums of a part by company, day and key, in pages."""
        self._put_aside()
        found = self._scratch.execute(
            "SELECT company, key, day, sum(requests), sum(bytes) FROM sums WHERE part = ? "
            "GROUP BY company, day, key ORDER BY company, day / 2, key, day",
            (part,),
        )
        while page := found.fetchmany(_PAGE):
            yield [
                (company, key, _day(day // 2), _ENVIRONMENTS[day % 2], requests, size)
                for company, key, day, requests, size in page
            ]

    def days(self, part: int) -> tuple[str, str] | None:
        """The first and the last day of a part."""
        self._put_aside()
        first, last = self._scratch.execute("SELECT min(day), max(day) FROM sums WHERE part = ?", (part,)).fetchone()
        return None if first is None else (_day(first // 2), _day(last // 2))

    def _put_aside(self) -> None:
        rows = ((self._part, sums[0], key, day, sums[1], sums[2]) for (key, day), sums in self._sums.items())
        self._scratch.executemany("INSERT INTO sums VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._sums.clear()


def _day(ordinal: int) -> str:
    return (date.min + timedelta(days=ordinal - 1)).isoformat()
