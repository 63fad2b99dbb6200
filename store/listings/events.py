"""The list of events: of one company, of one key, or of all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.database import run_sql
from store.fields import instant
from store.filters import Grammar, parse
from store.listings.selection import Conditions, Ids, count, marks, read_ids
from store.tables import Event

GRAMMAR: Grammar = {"act": None, "by": None}


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as the list shows it; `before` and `after` are JSON values."""

    id: int
    seq: int
    at: datetime
    actor: str
    role: str
    origin: str
    company_id: int | None
    act: str
    subject: str
    before: Any
    after: Any


def ids(company_id: int | None, needle: str = "", limit: int | None = None) -> Ids:
    """Newest first."""
    return read_ids("SELECT e.id FROM event e", _conditions(company_id, needle), "e.id DESC", limit)


def newer(company_id: int | None, needle: str, after_id: int) -> int:
    """How many came after an event."""
    conditions = _conditions(company_id, needle)
    conditions.add("e.id > ?", after_id)
    return count("SELECT COUNT(*) FROM event e", conditions)


def rows(wanted: Sequence[int]) -> dict[int, EventRow]:
    """The rows of these events by id."""
    columns = "id, seq, at, actor, role, origin, company_id, act, subject, before, after"
    found = run_sql(f"SELECT {columns} FROM event WHERE id IN ({marks(wanted)})", list(wanted)).fetchall()
    return {int(row[0]): _row(row) for row in found}


def about(first: str, last: str, company_id: int, limit: int = 50) -> list[EventRow]:
    """What happened to one key, newest first; it is known by its first and last characters."""
    conditions = _conditions(company_id, "")
    conditions.add("e.subject LIKE ? ESCAPE '!'", f"key {first.replace('_', '!_')}…{last}%")
    found = rows(read_ids("SELECT e.id FROM event e", conditions, "e.id DESC", limit))
    return sorted(found.values(), key=lambda row: -row.seq)


def _conditions(company_id: int | None, needle: str) -> Conditions:
    conditions = Conditions()
    if company_id is not None:
        conditions.add("e.company_id = ?", company_id)
    columns = {"act": ("lower(e.act)",), "by": ("lower(e.actor)",)}
    for term in parse(needle, GRAMMAR):
        everywhere = ("lower(e.subject)", "lower(e.act)", "lower(e.actor)")
        conditions.add_words(term, columns.get(term.field, everywhere))
    return conditions


def _row(row: Sequence[Any]) -> EventRow:
    key, seq, at, actor, role, origin, company_id, act, subject, before, after = row
    read = Event.before.python_value
    return EventRow(key, seq, instant(at), actor, role, origin, company_id, act, subject, read(before), read(after))
