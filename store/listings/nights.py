"""The list of a company's sandbox nights."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from store.database import run_sql
from store.fields import instant
from store.filters import Grammar, one_of, parse
from store.listings.selection import Conditions, Ids, count, marks, read_ids

STATES = ("due", "running", "done", "failed", "missed", "held")
GRAMMAR: Grammar = {"state": STATES}
_STOPPED = """(SELECT min(h.kind) FROM sandbox_hold h
    WHERE h.company_id = refresh_marker.company_id AND h.ended_at IS NULL)"""


@dataclass(frozen=True, slots=True)
class NightRow:
    """A refresh marker as the list shows it."""

    id: int
    company_id: int
    night: date
    state: str
    due_at: datetime
    attempt: int
    claimed_by: str
    started_at: datetime | None
    finished_at: datetime | None
    message: str
    stopped: str  # hold or quarantine, when the company's sandbox is left alone now; otherwise empty


def ids(company_id: int, needle: str = "", limit: int | None = None) -> Ids:
    """The last night first."""
    return read_ids("SELECT m.id FROM refresh_marker m", _conditions(company_id, needle), "m.night DESC, m.id", limit)


def newer(company_id: int, needle: str, after_id: int) -> int:
    """How many nights came after one."""
    conditions = _conditions(company_id, needle)
    conditions.add("m.id > ?", after_id)
    return count("SELECT COUNT(*) FROM refresh_marker m", conditions)


def rows(wanted: Sequence[int]) -> dict[int, NightRow]:
    """The rows of these markers by id."""
    columns = "id, company_id, night, state, due_at, attempt, claimed_by, started_at, finished_at, message"
    text = f"SELECT {columns}, {_STOPPED} FROM refresh_marker WHERE id IN ({marks(wanted)})"
    found = run_sql(text, list(wanted)).fetchall()
    return {int(row[0]): _row(row) for row in found}


def _conditions(company_id: int, needle: str) -> Conditions:
    conditions = Conditions()
    conditions.add("m.company_id = ?", company_id)
    for term in parse(needle, GRAMMAR):
        if term.field == "state":
            states = one_of(term, STATES)
            conditions.add_term(term, f"m.state IN ({marks(states)})", *states)
        else:
            conditions.add_words(term, ("m.night", "lower(COALESCE(m.message, ''))"))
    return conditions


def _row(row: Sequence[Any]) -> NightRow:
    return NightRow(
        id=row[0],
        company_id=row[1],
        night=date.fromisoformat(row[2]),
        state=row[3],
        due_at=instant(row[4]),
        attempt=row[5],
        claimed_by=row[6] or "",
        started_at=None if row[7] is None else instant(row[7]),
        finished_at=None if row[8] is None else instant(row[8]),
        message=row[9] or "",
        stopped=row[10] or "",
    )
