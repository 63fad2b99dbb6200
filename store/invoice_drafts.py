"""Drafts: what the facts of a month give, compared with what is stored, and written where it differs.

Many companies at once: each table is read once for all of them, and only what has changed is rated again. One company
that cannot be rated is parked and holds up no other.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from peewee import DatabaseError

from store import billing_facts, invoice_rows, late_usage, prices, rating_policy
from store.database import backend, run_many, run_sql
from store.errors import KeydeskError, Refused, StoreUnavailable
from store.fields import canonical, seconds
from store.invoice_rows import Row
from store.rules import calendar
from store.rules.price_lists import PriceList
from store.rules.rating import CompanyFacts, Policy, rate
from store.tables import Company, InvoiceMonth
from store.usage_facts import marks

_LOG = logging.getLogger(__name__)
_DRAFT: Final = (
    "state", "currency", "vat_category", "vat_rate", "net_minor", "vat_minor", "gross_minor", "explain", "policy",
    "facts_hash", "error",
)  # fmt: skip
_MONTHS_A_STATEMENT: Final = 200


@dataclass(slots=True)
class _Wanted:
    """What a company's month is to be: the month's columns, and its lines in order. None where it is parked."""

    columns: dict[str, Any]
    rows: list[Row] | None


@dataclass(slots=True)
class _Batch:
    """One month of some companies, as it is being drafted."""

    month: str
    now: datetime
    policy: Policy
    earlier: dict[int, list[str]]
    chosen: dict[str, Any] = field(init=False)
    price_lists: dict[tuple[str, str], Sequence[PriceList]] = field(default_factory=dict)
    refs: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chosen = rating_policy.differing(self.policy)

    def lists(self, priced_by: tuple[str, str]) -> Sequence[PriceList]:
        """The versions of a list, read once."""
        if priced_by not in self.price_lists:
            self.price_lists[priced_by] = prices.published(*priced_by)
            self.refs[priced_by] = canonical([self.month, [each.ref for each in self.lists(priced_by)], self.chosen])
        return self.price_lists[priced_by]

    def hash(self, company_id: int, rows: billing_facts.Rows) -> str:
        """Of all that the company's month is rated from."""
        self.lists(rows.priced_by)
        return rows.hash((self.refs[rows.priced_by], self.earlier.get(company_id)))


def draft(company_ids: Sequence[int], month: str, now: datetime, *, again: bool = False) -> int:
    """Bring the drafts of a month to what the facts say; how many companies' lines or totals changed.

    Must run inside a transaction. A final month is left as it is, and so is one whose facts are the same, unless
    `again`. What cannot be rated is parked; see `parked`.
    """
    stored = _stored(company_ids, month)
    wanted_ids = [each for each in company_ids if each not in stored or stored[each][1] != "final"]
    if not wanted_ids:
        return 0
    batch = _Batch(month, now, rating_policy.current().policy, late_usage.months(wanted_ids, month, now))
    wanted: dict[int, _Wanted] = {}
    for company_id, rows in billing_facts.of_month(wanted_ids, month, now).items():
        facts_hash = batch.hash(company_id, rows)
        unchanged = company_id in stored and stored[company_id][1:3] in {("draft", facts_hash), ("held", facts_hash)}
        if again or not unchanged:
            wanted[company_id] = _rated(batch, company_id, rows, facts_hash)
    new = {company_id: each for company_id, each in wanted.items() if company_id not in stored}
    return _insert(batch, new) + _update(
        batch, stored, {company_id: each for company_id, each in wanted.items() if company_id in stored}
    )


def park(company_id: int, month: str, error: Exception, now: datetime) -> None:
    """Keep why a company could not be rated; its older draft lines stay. Must run inside a transaction."""
    stored = _stored([company_id], month).get(company_id)
    wanted = _parked(company_id, month, error)
    if stored is None:
        _insert_months(month, {company_id: wanted}, now)
    elif stored[1] != "final" and (stored[1], stored[3]) != ("parked", wanted.columns["error"]):
        _update_month(stored[0], wanted.columns, now)


def _stored(company_ids: Sequence[int], month: str) -> dict[int, tuple[int, str, str | None, str | None]]:
    """Id, state, hash and error of each stored month, held against other workers until the transaction ends."""
    text = f"""
        SELECT company_id, id, state, facts_hash, error FROM invoice_month
        WHERE company_id IN ({marks(len(company_ids))}) AND month = ? AND revision = 1 ORDER BY company_id
    """  # noqa: S608 - our own words
    if backend() == "postgresql":
        text += " FOR UPDATE"
    return {row[0]: tuple(row[1:]) for row in run_sql(text, (*company_ids, month)).fetchall()}


def _rated(batch: _Batch, company_id: int, rows: billing_facts.Rows, facts_hash: str) -> _Wanted:
    try:
        return _document(batch, company_id, rows.facts(batch.month), batch.lists(rows.priced_by), facts_hash)
    except (DatabaseError, StoreUnavailable):
        raise  # not this company's fault
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one company, the others get their invoice
        return _parked(company_id, batch.month, error)


def _document(
    batch: _Batch, company_id: int, facts: CompanyFacts, lists: Sequence[PriceList], facts_hash: str
) -> _Wanted:
    if calendar.month_bounds(batch.month, calendar.zone(facts.zone))[1] > batch.now:
        raise Refused(f"{batch.month} is not over in {facts.zone}; look at its preview until then.")
    invoice = rate(facts, batch.month, lists, batch.policy, batch.now)
    explain = {name: value for name, value in invoice.explain.items() if name != "as_of"}
    lines = [invoice_rows.row_of(line, invoice.currency) for line in invoice.lines]
    if batch.earlier.get(company_id):
        added = late_usage.added(company_id, batch.month, batch.earlier[company_id], batch.now)
        for line in added.lines:
            about = line.explain["corrects"]
            lines.append(invoice_rows.row_of(line, invoice.currency, f"{about['month']}/{about['line_key']}"))
        if added.too_late:
            explain["usage_too_late"] = list(added.too_late)
    columns = {
        "state": "draft",
        "currency": invoice.currency,
        "vat_category": invoice.vat_category,
        "vat_rate": str(invoice.vat_rate),
        "explain": canonical(explain),
        "policy": canonical(batch.chosen),
        "facts_hash": facts_hash,
        "error": None,
    }
    return _Wanted(columns, lines)


def _parked(company_id: int, month: str, error: Exception) -> _Wanted:
    if isinstance(error, KeydeskError):
        sentence = str(error)
    else:
        sentence = f"{type(error).__name__}: rating failed; see the log."
        _LOG.warning("company %d could not be rated for %s", company_id, month, exc_info=error)
    return _Wanted({"state": "parked", "facts_hash": None, "error": sentence}, None)


def _insert(batch: _Batch, new: dict[int, _Wanted]) -> int:
    """Write months that are not there. Where another worker was faster, its lines stand."""
    made = _insert_months(batch.month, new, batch.now)
    rows = [(company_id, row) for company_id, each in new.items() if company_id in made for row in each.rows or ()]
    invoice_rows.insert(rows, batch.month, 1, batch.now)
    return sum(new[company_id].rows is not None for company_id in made)


def _insert_months(month: str, new: dict[int, _Wanted], now: datetime) -> set[int]:
    """Which of the companies got their month; the others had it by then."""
    values = [
        (company_id, month, *(columns[name] for name in _DRAFT), seconds(now))
        for company_id, wanted in new.items()
        for columns in (_complete(company_id, wanted),)
    ]
    made: set[int] = set()
    one = f"({marks(len(_DRAFT) + 3)}, 1, 0)"
    for part in _parts(values, _MONTHS_A_STATEMENT):
        text = f"""
            INSERT INTO invoice_month (company_id, month, {", ".join(_DRAFT)}, rated_at, revision, carried)
            VALUES {", ".join([one] * len(part))}
            ON CONFLICT (company_id, month, revision) DO NOTHING RETURNING company_id
        """  # noqa: S608 - our own words
        made |= {int(row[0]) for row in run_sql(text, [value for row in part for value in row]).fetchall()}
    return made


def _complete(company_id: int, wanted: _Wanted) -> dict[str, Any]:
    """All columns of a new month."""
    columns = wanted.columns
    if wanted.rows is None:
        company = Company.get_by_id(company_id)
        nothing = {"net_minor": 0, "vat_minor": 0, "gross_minor": 0, "explain": None, "policy": None}
        told = {name: getattr(company, name) for name in ("currency", "vat_category", "vat_rate")}
        return {**nothing, **told, **columns}
    return {**columns, **invoice_rows.taxed(invoice_rows.net_of(wanted.rows), columns["vat_rate"])}


def _update(batch: _Batch, stored: dict[int, Any], wanted: dict[int, _Wanted]) -> int:
    lines = invoice_rows.stored(list(wanted), batch.month) if wanted else {}
    changed = 0
    for company_id, each in wanted.items():
        month_id, state, _, error = stored[company_id]
        if each.rows is None:
            if (state, error) != ("parked", each.columns["error"]):
                _update_month(month_id, each.columns, batch.now)
            continue
        there = lines.get(company_id, {})
        rows = [invoice_rows.as_decided(row, there.get(row["line_key"])) for row in each.rows]
        different = _write_lines(batch, company_id, there, rows)
        columns = {**each.columns, **invoice_rows.taxed(invoice_rows.net_of(rows), each.columns["vat_rate"])}
        changed += _update_month(month_id, columns, batch.now) or different
    return changed


def _write_lines(batch: _Batch, company_id: int, there: dict[str, Row], rows: Iterable[Row]) -> bool:
    kept: set[str] = set()
    added: list[tuple[int, Row]] = []
    changed = False
    for row in rows:
        before = there.get(row["line_key"])
        kept.add(row["line_key"])
        if before is None:
            added.append((company_id, row))
        elif any(before[name] != row[name] for name in invoice_rows.CONTENT):
            changed = True
            update_line(before["id"], row, batch.now)
    gone = [(row["id"],) for line_key, row in there.items() if line_key not in kept]
    run_many("DELETE FROM invoice_line WHERE id = ?", gone)
    invoice_rows.insert(added, batch.month, 1, batch.now)
    return changed or bool(gone or added)


def update_line(line_id: int, row: Row, now: datetime) -> None:
    """Write what a line says now."""
    columns = ", ".join(f"{name} = ?" for name in (*invoice_rows.CONTENT, "rated_at"))
    values = [*(row[name] for name in invoice_rows.CONTENT), seconds(now), line_id]
    run_sql(f"UPDATE invoice_line SET {columns} WHERE id = ?", values)  # noqa: S608 - our own words


def _update_month(month_id: int, columns: dict[str, Any], now: datetime) -> bool:
    """Write what differs; whether anything that people see did."""
    names = list(columns)
    before = run_sql(f"SELECT {', '.join(names)} FROM invoice_month WHERE id = ?", (month_id,)).fetchone()  # noqa: S608
    different = [name for name, value in zip(names, before, strict=True) if columns[name] != value]
    if not different:
        return False
    changes = ", ".join(f"{name} = ?" for name in (*different, "rated_at"))
    values = [*(columns[name] for name in different), seconds(now), month_id]
    run_sql(f"UPDATE invoice_month SET {changes} WHERE id = ?", values)  # noqa: S608 - our own words
    return different != ["facts_hash"]


def of_company(company_id: int, now: datetime) -> None:
    """Bring all drafts of one company up to what was agreed or learned just now. Must run inside a transaction."""
    open_months = InvoiceMonth.select(InvoiceMonth.month).where(
        InvoiceMonth.company == company_id, InvoiceMonth.revision == 1, InvoiceMonth.state != "final"
    )
    for row in open_months.order_by(InvoiceMonth.month):
        draft([company_id], row.month, now)


def _parts(values: list[Any], size: int) -> Iterator[list[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))
