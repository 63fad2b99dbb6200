"""The list of what was agreed with one company."""

from collections.abc import Sequence
from dataclasses import dataclass

from store.database import run_sql
from store.filters import Grammar, parse
from store.listings.selection import Conditions, Ids, marks, read_ids

GRAMMAR: Grammar = {"line": None, "month": None}


@dataclass(frozen=True, slots=True)
class TermRow:
    """One term as it is kept. Months are "2026-11"; `last_month` is empty while it has no end."""

    id: int
    company_id: int
    line: str
    kind: str
    value: str
    first_month: str
    last_month: str
    reference: str


def ids(company_id: int, needle: str = "", limit: int | None = None) -> Ids:
    """The one that begins last first. `month:2026-11` leaves those in force then."""
    conditions = Conditions()
    conditions.add("t.company_id = ?", company_id)
    for term in parse(needle, GRAMMAR):
        if term.field == "month":
            in_force = "t.first_month <= ? AND (t.last_month IS NULL OR t.last_month >= ?)"
            conditions.add_term(term, in_force, term.value, term.value)
        else:
            columns = ("lower(t.line)",) if term.field else ("lower(t.line)", "lower(t.kind)", "lower(t.reference)")
            conditions.add_words(term, columns)
    return read_ids("SELECT t.id FROM contract_term t", conditions, "t.first_month DESC, t.line, t.kind, t.id", limit)


def rows(wanted: Sequence[int]) -> dict[int, TermRow]:
    """The rows of these terms by id."""
    found = run_sql(
        "SELECT id, company_id, line, kind, COALESCE(value, ''), first_month, COALESCE(last_month, ''), reference"
        f" FROM contract_term WHERE id IN ({marks(wanted)})",
        list(wanted),
    ).fetchall()
    return {int(row[0]): TermRow(*row) for row in found}
