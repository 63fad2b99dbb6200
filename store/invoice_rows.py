"""Invoice lines as rows: how rating's lines are written, what a decision makes of one, and what rows add up to."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final

from store.database import backend, run_many, run_sql
from store.fields import canonical, seconds
from store.rules.money import percent_of
from store.rules.rating.invoice import Line
from store.rules.rating.sentences import WAITS
from store.tables import InvoiceLine
from store.usage_facts import marks

Row = dict[str, Any]
"""A line by column, as the database has it: instants in epoch seconds, `explain` as canonical JSON."""

# What rating and people say of a line; its place, its transfer and when it was rated stand beside these.
CONTENT: Final = (
    "line_key", "description", "because", "quantity", "unit", "unit_price", "currency", "gross_minor", "discount_minor",
    "net_minor", "status", "decided_by", "decided_at", "decided_reason", "decided_minor", "corrects", "reason",
    "price_list", "explain",
)  # fmt: skip
_PLACE: Final = ("company_id", "month", "revision", "rated_at")
_INSERT: Final = f"""
    INSERT INTO invoice_line ({", ".join((*_PLACE, *CONTENT))}, transfer)
    VALUES """  # noqa: S608 - our own words
_VALUES: Final = f"({marks(len(_PLACE) + len(CONTENT))}, 'to-transfer')"
_LINES_A_STATEMENT: Final = 200
_SELECT: Final = f"SELECT id, company_id, month, revision, {', '.join(CONTENT)} FROM invoice_line"  # noqa: S608


def row_of(line: Line, currency: str, corrects: str | None = None) -> Row:
    """A line as it is first written."""
    return {
        "line_key": line.line_key,
        "description": line.description[:200],
        "because": line.because,
        "quantity": line.quantity,
        "unit": line.unit,
        "unit_price": line.unit_price,
        "currency": currency,
        "gross_minor": line.gross_minor,
        "discount_minor": line.discount_minor,
        "net_minor": line.net_minor,
        "status": line.status,
        "decided_by": None,
        "decided_at": None,
        "decided_reason": None,
        "decided_minor": None,
        "corrects": corrects,
        "reason": line.reason,
        "price_list": line.price_list,
        "explain": canonical(line.explain),
    }


def line_of(row: Row) -> Line:
    """A stored line as corrections take it; what a person decided is as good as what needed no decision."""
    return Line(
        line_key=row["line_key"],
        description=row["description"],
        quantity=row["quantity"],
        unit=row["unit"],
        unit_price=row["unit_price"],
        gross_minor=row["gross_minor"],
        discount_minor=row["discount_minor"],
        net_minor=row["net_minor"],
        reason=row["reason"],
        price_list=row["price_list"],
        because=row["because"],
        status="needs_review" if row["status"] == "needs_review" else "ok",
        explain=InvoiceLine.explain.python_value(row["explain"]),
    )


def decided(row: Row, *, waived: bool, by: str, at: datetime | int, reason: str) -> Row:
    """The line under review once somebody has decided: invoiced as it stands, or still there and at zero."""
    given = {
        **row,
        "status": "waived" if waived else "approved",
        "because": row["because"].replace(WAITS, "; waived" if waived else ""),
        "decided_by": by,
        "decided_at": at if isinstance(at, int) else seconds(at),
        "decided_reason": reason,
        "decided_minor": row["net_minor"],
    }
    return {**given, "discount_minor": row["gross_minor"], "net_minor": 0} if waived else given


def as_decided(row: Row, before: Row | None) -> Row:
    """The line with the decision that its predecessor got, if that was about the same amount."""
    if (
        before is None
        or row["status"] != "needs_review"
        or before["decided_by"] is None
        or before["decided_minor"] != row["net_minor"]
    ):
        return row
    return decided(
        row,
        waived=before["status"] == "waived",
        by=before["decided_by"],
        at=before["decided_at"],
        reason=before["decided_reason"],
    )


def settled(row: Row) -> int:
    """How much of what is owed the line has dealt with: what it invoices, or what was waived."""
    return int(row["decided_minor"]) if row["status"] == "waived" else int(row["net_minor"])


def net_of(rows: Iterable[Row]) -> int:
    """What lines come to; one that waits for a decision is not in it."""
    return sum(row["net_minor"] for row in rows if row["status"] != "needs_review")


def taxed(net_minor: int, vat_rate: str) -> dict[str, int]:
    """The totals of a document, its tax taken once."""
    vat = percent_of(net_minor, Decimal(vat_rate))
    return {"net_minor": net_minor, "vat_minor": vat, "gross_minor": net_minor + vat}


def stored(company_ids: Sequence[int], month: str, revision: int = 1) -> dict[int, dict[str, Row]]:
    """The lines of one document of each company, by company and line key."""
    found: dict[int, dict[str, Row]] = {}
    where = f" WHERE company_id IN ({marks(len(company_ids))}) AND month = ? AND revision = ?"
    # Sorted here: asked for the order, SQLite reads the whole month of every company by the index on it.
    for row in sorted(_rows(where, (*company_ids, month, revision)), key=itemgetter("id")):
        found.setdefault(row["company_id"], {})[row["line_key"]] = row
    return found


def by_id(line_id: int) -> Row | None:
    """One line."""
    return next(iter(_rows(" WHERE id = ?", (line_id,))), None)


def about(company_id: int, month: str) -> list[Row]:
    """All final lines that bill, adjust, or credit what a month owes, wherever they were invoiced, the oldest first."""
    where = """
        WHERE company_id = ? AND (month = ? OR line_key LIKE ? OR line_key LIKE ?) AND EXISTS (
            SELECT 1 FROM invoice_month AS m WHERE m.company_id = invoice_line.company_id
            AND m.month = invoice_line.month AND m.revision = invoice_line.revision AND m.state = 'final')
        ORDER BY id
    """
    rows = _rows(f" {where}", (company_id, month, f"adj:{month}:%", f"credit:adj:{month}:%"))
    return [row for row in rows if owner(row)[0] == month]


def owner(row: Row) -> tuple[str, str]:
    """The month and line key that a line is about: that which an adjustment or a credit corrects, or its own."""
    line_key = row["line_key"].removeprefix("credit:").partition("@")[0]
    if line_key.startswith("adj:"):
        _, month, line_key = line_key.split(":", 2)
        return month, line_key
    return row["month"], line_key


def base_line(row: Row) -> Line:
    """The line under the key of what it is about, with the amount that it has dealt with."""
    return replace(line_of(row), line_key=owner(row)[1], net_minor=settled(row))


def insert(lines: Iterable[tuple[int, Row]], month: str, revision: int, now: datetime) -> None:
    """Write lines that are not there yet, each with its company's id."""
    at = seconds(now)
    values = [(company_id, month, revision, at, *(row[name] for name in CONTENT)) for company_id, row in lines]
    if backend() == "sqlite":
        run_many(_INSERT + _VALUES, values)
        return
    # What a statement added is looked at once, so that a statement should add many.
    for start in range(0, len(values), _LINES_A_STATEMENT):
        some = values[start : start + _LINES_A_STATEMENT]
        run_sql(_INSERT + ", ".join([_VALUES] * len(some)), [value for row in some for value in row])


def in_order(rows: Iterable[Row]) -> list[Row]:
    """As people read an invoice: credits, access, keys, overuse, adjustments of earlier months."""
    return sorted(rows, key=lambda row: (_rank(row["line_key"]), row["line_key"]))


_RANKS = ("credit:", "access", "extra_key", "extra_test_key", "overuse_requests", "overuse_data", "adj:")


def _rank(line_key: str) -> int:
    return next((place for place, start in enumerate(_RANKS) if line_key.startswith(start)), len(_RANKS))


def _rows(where: str, values: Sequence[object]) -> list[Row]:
    names = ("id", "company_id", "month", "revision", *CONTENT)
    return [dict(zip(names, row, strict=True)) for row in run_sql(_SELECT + where, values).fetchall()]
