"""The list of a company's invoice lines, and its months."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.database import run_sql
from store.fields import instant
from store.filters import Grammar, one_of, parse
from store.listings.selection import Conditions, Ids, count, marks, read_ids
from store.tables import InvoiceLine

STATES = ("draft", "parked", "held", "final")
STATUSES = ("ok", "needs_review", "approved", "waived")
GRAMMAR: Grammar = {"month": None, "state": STATES}
OF_MONTH: Grammar = {"status": STATUSES}


@dataclass(frozen=True, slots=True)
class LineRow:
    """An invoice line as the list shows it. Amounts are minor units of `currency`."""

    id: int
    company_id: int
    company: str
    zone: str
    month: str
    month_state: str  # draft, parked, held, final; "so far" or "forecast" while it is not stored
    line_key: str
    revision: int
    description: str
    because: str
    quantity: str
    unit: str
    unit_price: str
    currency: str
    gross_minor: int
    discount_minor: int
    net_minor: int
    proposed_minor: int  # the net that was or is to be decided about; another than `net_minor` once it is waived
    status: str  # ok, needs_review, approved, waived
    decided_by: str
    decided_at: datetime | None
    decided_reason: str
    corrects: str
    transfer: str
    reason: str
    price_list: str
    explain: Any


@dataclass(frozen=True, slots=True)
class MonthSum:
    """One company's month. `error` says why a parked one could not be rated."""

    month: str
    state: str
    currency: str
    net_minor: int
    vat_minor: int
    gross_minor: int
    error: str


# What is credited, what is owed for the month, what adjusts other months.
_ORDER = "CASE WHEN v.line_key LIKE 'credit:%' THEN 0 WHEN v.line_key LIKE 'adj:%' THEN 2 ELSE 1 END, v.line_key"


def ids(company_id: int, needle: str = "", limit: int | None = None) -> Ids:
    """The newest month first, its lines in the invoice's order."""
    order = f"v.month DESC, v.revision, {_ORDER}"
    return read_ids("SELECT v.id FROM invoice_line v", _conditions(company_id, needle), order, limit)


def of_month(company_id: int, month: str, revision: int, needle: str = "", limit: int | None = None) -> Ids:
    """The lines of one document, in its order."""
    conditions = _conditions(company_id, needle)
    conditions.add("v.month = ? AND v.revision = ?", month, revision)
    return read_ids("SELECT v.id FROM invoice_line v", conditions, _ORDER, limit)


def newer(company_id: int, needle: str, after_id: int) -> int:
    """How many lines were written after one."""
    conditions = _conditions(company_id, needle)
    conditions.add("v.id > ?", after_id)
    return count("SELECT COUNT(*) FROM invoice_line v", conditions)


_ROWS = """
    SELECT v.id, v.company_id, c.name, c.time_zone, v.month, COALESCE(m.state, 'draft'), v.line_key, v.revision,
           v.description, v.because, v.quantity, v.unit, v.unit_price, v.currency, v.gross_minor, v.discount_minor,
           v.net_minor, COALESCE(v.decided_minor, v.net_minor), v.status, COALESCE(v.decided_by, ''), v.decided_at,
           COALESCE(v.decided_reason, ''), COALESCE(v.corrects, ''), v.transfer, v.reason, v.price_list, v.explain
    FROM invoice_line v JOIN company c ON c.id = v.company_id
    LEFT JOIN invoice_month m ON m.company_id = v.company_id AND m.month = v.month AND m.revision = v.revision
    WHERE v.id IN ({marks})
"""


def rows(wanted: Sequence[int]) -> dict[int, LineRow]:
    """The rows of these lines by id."""
    found = run_sql(_ROWS.format(marks=marks(wanted)), list(wanted)).fetchall()
    return {int(row[0]): _row(row) for row in found}


def months(company_id: int, limit: int = 24) -> tuple[MonthSum, ...]:
    """The company's months, newest first."""
    found = run_sql(
        "SELECT month, state, currency, net_minor, vat_minor, gross_minor, error FROM invoice_month"
        " WHERE company_id = ? ORDER BY month DESC, revision DESC LIMIT ?",
        (company_id, limit),
    ).fetchall()
    return tuple(MonthSum(*(*row[:6], row[6] or "")) for row in found)


_DECIDED_AT = 20  # its place in the columns above


def _conditions(company_id: int, needle: str) -> Conditions:
    conditions = Conditions()
    conditions.add("v.company_id = ?", company_id)
    for term in parse(needle, {**GRAMMAR, **OF_MONTH}):
        if term.field == "status":
            statuses = one_of(term, STATUSES)
            conditions.add_term(term, f"v.status IN ({marks(statuses)})", *statuses)
        elif term.field == "state":
            states = one_of(term, STATES)
            of_month = f"""EXISTS (SELECT 1 FROM invoice_month m
                WHERE m.company_id = v.company_id AND m.month = v.month AND m.revision = v.revision
                  AND m.state IN ({marks(states)}))"""
            conditions.add_term(term, of_month, *states)
        else:
            columns = (
                ("v.month",) if term.field == "month" else ("v.month", "lower(v.description)", "lower(v.line_key)")
            )
            conditions.add_words(term, columns)
    return conditions


def _row(row: Sequence[Any]) -> LineRow:
    *plain, explain = row
    plain[_DECIDED_AT] = None if plain[_DECIDED_AT] is None else instant(plain[_DECIDED_AT])
    return LineRow(*(*plain, InvoiceLine.explain.python_value(explain)))
