"""How each company's sandbox is: its newest night, how old what it holds is, and whether it is left alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from store.database import run_sql
from store.errors import NotFound
from store.fields import instant
from store.listings.selection import Conditions, Ids, marks, read_ids
from store.rules import calendar

STATES = ("quarantined", "held", "due", "running", "done", "failed", "missed", "unmarked")
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Stop:
    """That a sandbox is left alone: why, since when and by whom; through which night, None until it is released."""

    reason: str
    by: str
    since: datetime
    last_night: date | None


@dataclass(frozen=True, slots=True)
class SandboxRow:
    """A sandbox as a list shows it. `night` and what follows are of its newest night; None when it was never marked."""

    company_id: int
    company: str  # the id in the main system
    name: str
    zone: str
    night: date | None
    marked: str | None  # the marker's own state
    due_at: datetime | None
    attempt: int
    message: str
    failures: int  # in a row
    last_done: date | None  # what the sandbox holds was copied for that night
    last_done_at: datetime | None
    hold: Stop | None
    quarantine: Stop | None

    @property
    def state(self) -> str:
        """One of STATES: quarantined and held go before what the newest night is."""
        if self.quarantine is not None:
            return "quarantined"
        if self.hold is not None:
            return "held"
        return self.marked or "unmarked"

    def nights_old(self, now: datetime) -> int | None:
        """How many local days ago the night was that it was last refreshed for; None when it never was."""
        if self.last_done is None:
            return None
        return max(0, (calendar.local_day(now, calendar.zone(self.zone)) - self.last_done).days)


def ids(only: int | None = None) -> Ids:
    """The companies that have, had or may not have sandboxes refreshed, by name."""
    conditions = Conditions()
    if only is not None:
        conditions.add("c.id = ?", only)
    conditions.add(
        "EXISTS (SELECT 1 FROM refresh_marker m WHERE m.company_id = c.id)"
        " OR EXISTS (SELECT 1 FROM sandbox_hold h WHERE h.company_id = c.id AND h.ended_at IS NULL)"
    )
    return read_ids("SELECT c.id FROM company c", conditions, "c.folded, c.id")


def rows(wanted: Sequence[int]) -> dict[int, SandboxRow]:
    """The sandboxes of these companies by the company's id."""
    found = run_sql(_ROWS.replace("{marks}", marks(wanted)), list(wanted)).fetchall()
    return {int(row[0]): _row(row) for row in found}


def every(states: Sequence[str] = ()) -> Iterator[SandboxRow]:
    """All sandboxes by company name, those in one of the states where any are named."""
    order = ids()
    for start in range(0, len(order), _CHUNK):
        some = order[start : start + _CHUNK]
        found = rows(some)
        for company_id in some:
            row = found.get(company_id)
            if row is not None and (not states or row.state in states):
                yield row


def failed() -> list[str]:
    """The active companies, by their ids in the main system, whose newest refresh failed and which nobody holds."""
    return [str(row[0]) for row in run_sql(_FAILED).fetchall()]


def of(company_id: int) -> SandboxRow:
    """The sandbox of one company."""
    found = rows([company_id]).get(company_id)
    if found is None:
        raise NotFound("There is no such company any more; go back and look again.")
    return found


_NEWEST = "(SELECT n.id FROM refresh_marker n WHERE n.company_id = c.id ORDER BY n.night DESC LIMIT 1)"
_DONE = """(SELECT d.id FROM refresh_marker d
             WHERE d.company_id = c.id AND d.state = 'done' ORDER BY d.night DESC LIMIT 1)"""
_FAILURES = """(SELECT f.failures FROM refresh_marker f
                 WHERE f.company_id = c.id AND f.failures IS NOT NULL ORDER BY f.night DESC LIMIT 1)"""
_ROWS = f"""
    SELECT c.id, c.external_id, c.name, c.time_zone,
           m.night, m.state, m.due_at, m.attempt, m.message, {_FAILURES},
           done.night, done.finished_at,
           h.reason, h.started_by, h.started_at, h.last_night,
           q.reason, q.started_by, q.started_at, q.last_night
      FROM company c
      LEFT JOIN refresh_marker m ON m.id = {_NEWEST}
      LEFT JOIN refresh_marker done ON done.id = {_DONE}
      LEFT JOIN sandbox_hold h ON h.company_id = c.id AND h.kind = 'hold' AND h.ended_at IS NULL
      LEFT JOIN sandbox_hold q ON q.company_id = c.id AND q.kind = 'quarantine' AND q.ended_at IS NULL
     WHERE c.id IN ({{marks}})
"""

_FAILED = f"""
    SELECT c.external_id FROM company c JOIN refresh_marker m ON m.id = {_NEWEST}
     WHERE m.state = 'failed' AND c.deactivated_at IS NULL
       AND NOT EXISTS (SELECT 1 FROM sandbox_hold h WHERE h.company_id = c.id AND h.ended_at IS NULL)
     ORDER BY c.folded, c.id
"""


def _row(row: Sequence[Any]) -> SandboxRow:
    return SandboxRow(
        company_id=row[0],
        company=row[1],
        name=row[2],
        zone=row[3],
        night=_day(row[4]),
        marked=row[5],
        due_at=None if row[6] is None else instant(row[6]),
        attempt=row[7] or 0,
        message=row[8] or "",
        failures=row[9] or 0,
        last_done=_day(row[10]),
        last_done_at=None if row[11] is None else instant(row[11]),
        hold=_stop(row[12:16]),
        quarantine=_stop(row[16:20]),
    )


def _stop(row: Sequence[Any]) -> Stop | None:
    reason, by, since, last_night = row
    return None if reason is None else Stop(reason, by, instant(since), _day(last_night))


def _day(value: str | None) -> date | None:
    return None if value is None else date.fromisoformat(value)
