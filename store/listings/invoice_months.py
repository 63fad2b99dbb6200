"""The months of one company, and one month of all companies: what each comes to and how far it has got."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from store.database import run_sql
from store.filters import Grammar, one_of, parse
from store.listings.selection import Conditions, Ids, marks, read_ids
from store.rules import calendar

STATES: Final = ("draft", "parked", "held", "final")
WAITING: Final = "review"  # some of its lines wait for a person's decision
OF_COMPANY: Final[Grammar] = {"month": None, "state": (*STATES, WAITING)}
OF_MONTH: Final[Grammar] = {"company": None, "currency": None, "state": (*STATES, WAITING)}
SO_FAR, FORECAST = -1, -2  # ids of what is not stored


@dataclass(frozen=True, slots=True)
class MonthRow:
    """One company's month. Amounts are minor units of `currency`; `waiting` counts lines nobody decided about yet.

    `error` says why a parked one could not be rated, or why one is held. Id -1 is the present month so far and -2 its
    forecast; their states are "so far" and "forecast".
    """

    id: int
    company_id: int
    company: str
    month: str
    revision: int  # 1 as it was invoiced first; each further one credits it and bills it again
    state: str
    currency: str
    net_minor: int
    vat_minor: int
    gross_minor: int
    error: str
    lines: int
    waiting: int


def of_company(company_id: int, needle: str = "", limit: int | None = None) -> Ids:
    """The newest first."""
    conditions = _conditions(needle, OF_COMPANY)
    conditions.add("m.company_id = ?", company_id)
    return read_ids("SELECT m.id FROM invoice_month m", conditions, "m.month DESC, m.revision DESC", limit)


def of_month(month: str, only: int | None, needle: str = "", limit: int | None = None) -> Ids:
    """The largest first, currency by currency. `only`: the one company that may be seen."""
    conditions = _conditions(needle, OF_MONTH)
    conditions.add("m.month = ?", month)
    if only is not None:
        conditions.add("m.company_id = ?", only)
    select = "SELECT m.id FROM invoice_month m JOIN company c ON c.id = m.company_id"
    return read_ids(select, conditions, "m.currency, m.net_minor DESC, m.id", limit)


_ROWS = """
    SELECT m.id, m.company_id, c.name, m.month, m.revision, m.state, m.currency, m.net_minor, m.vat_minor,
           m.gross_minor, m.error,
           (SELECT COUNT(*) FROM invoice_line v
            WHERE v.company_id = m.company_id AND v.month = m.month AND v.revision = m.revision),
           (SELECT COUNT(*) FROM invoice_line v
            WHERE v.company_id = m.company_id AND v.month = m.month AND v.revision = m.revision
              AND v.status = 'needs_review' AND m.state <> 'final')
    FROM invoice_month m JOIN company c ON c.id = m.company_id
    WHERE m.id IN ({marks})
"""


def rows(wanted: Sequence[int]) -> dict[int, MonthRow]:
    """The stored months of these ids."""
    found = run_sql(_ROWS.format(marks=marks(wanted)), list(wanted)).fetchall()
    return {int(row[0]): MonthRow(*(*row[:10], row[10] or "", *row[11:])) for row in found}


def months(only: int | None) -> tuple[str, ...]:
    """All months there are, oldest first."""
    where, values = ("", ()) if only is None else (" WHERE company_id = ?", (only,))
    found = run_sql(f"SELECT DISTINCT month FROM invoice_month{where} ORDER BY month", values).fetchall()
    return tuple(row[0] for row in found)


@dataclass(frozen=True, slots=True)
class MonthTotal:
    """All companies' month in one currency."""

    currency: str
    companies: int
    net_minor: int
    largest_minor: int
    waiting: int  # companies that are parked, held, or have lines to decide about


def year(company_id: int, last: str) -> tuple[tuple[str, int], ...]:
    """The net of the twelve months up to `last`, oldest first, corrections included; 0 where nothing is stored."""
    first = last
    for _ in range(11):
        first = calendar.previous_month(first)
    found = run_sql(
        "SELECT month, CAST(SUM(net_minor) AS BIGINT) FROM invoice_month"
        " WHERE company_id = ? AND month >= ? AND month <= ? GROUP BY month",
        (company_id, first, last),
    ).fetchall()
    net = {row[0]: int(row[1]) for row in found}
    return tuple((month, net.get(month, 0)) for month in calendar.month_range(first, last))


def totals(month: str, only: int | None) -> tuple[MonthTotal, ...]:
    """By currency, corrections included. PostgreSQL's sum of bigint is numeric, so it is cast back."""
    conditions = Conditions()
    conditions.add("m.month = ?", month)
    if only is not None:
        conditions.add("m.company_id = ?", only)
    found = run_sql(
        "SELECT m.currency, COUNT(DISTINCT m.company_id), CAST(SUM(m.net_minor) AS BIGINT),"
        " MAX(m.net_minor),"
        f" SUM(CASE WHEN m.state IN ('parked', 'held') OR {_WAITS} THEN 1 ELSE 0 END)"
        f" FROM invoice_month m{conditions.where()} GROUP BY m.currency ORDER BY m.currency",
        conditions.values,
    ).fetchall()
    return tuple(MonthTotal(row[0], *map(int, row[1:])) for row in found)


# What nobody had decided about when its month was made final is asked in a later draft.
_WAITS = (
    "(m.state <> 'final' AND EXISTS (SELECT 1 FROM invoice_line v"
    " WHERE v.company_id = m.company_id AND v.month = m.month AND v.revision = m.revision"
    " AND v.status = 'needs_review'))"
)


def _conditions(needle: str, grammar: Grammar) -> Conditions:
    conditions = Conditions()
    for term in parse(needle, grammar):
        if term.field == "state":
            states = [state for state in one_of(term, (*STATES, WAITING)) if state != WAITING]
            texts = [f"m.state IN ({marks(states)})"] if states else []
            if WAITING in one_of(term, (*STATES, WAITING)):
                texts.append(_WAITS)
            conditions.add_term(term, " OR ".join(texts), *states)
        elif term.field == "currency":
            conditions.add_words(term, ("lower(m.currency)",))
        elif "company" in grammar:
            conditions.add_words(term, ("c.folded",))
        else:
            conditions.add_words(term, ("m.month",))
    return conditions
