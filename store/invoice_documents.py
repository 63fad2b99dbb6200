"""Stored months read as documents to hand over: an invoice for each, and for each correction a credit note and another.

What counts in a month's totals is exported, nothing else: a line that waits for a decision, or is not to be
transferred, stays behind. A line that was waived goes along, at zero.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any, Final, Literal

from store.database import run_sql
from store.errors import NotFound, Refused
from store.exports.document import DocumentLine, InvoiceDocument, Party, Seller
from store.fields import instant
from store.rules import calendar
from store.rules.money import amount
from store.sellers import seller_of
from store.tables import SellerFacts

_LINE_ORDER: Final = ("access", "extra_key", "extra_test_key", "overuse_requests", "overuse_data")
_SLICE: Final = 500  # months whose lines one statement asks for
_CREDIT: Final = "credit:"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a month has that is not exported, by company and in counts, for people."""

    not_final: tuple[str, ...]  # external ids of companies whose month is a draft, parked or held
    undecided: int  # lines
    held_back: int  # lines


def documents(month: str, company: str | None = None, *, drafts: bool = False) -> Iterator[InvoiceDocument]:
    """The documents of a local month, by company, then revision. `company` is an external id; NotFound when unknown.

    Only what is final; with `drafts` also drafts and months held for review, each marked as one.
    """
    calendar.first_day(month)
    states = ("final", "draft", "held") if drafts else ("final",)
    rows = _months(month, _company_id(company), states)
    for start in range(0, len(rows), _SLICE):
        part = rows[start : start + _SLICE]
        lines = _lines(month, [row.company_id for row in part])
        issued = {(row.company_id, row.revision): row.issued_on for row in part}
        for row in part:
            before = issued.get((row.company_id, row.revision - 1))
            yield from _documents_of(row, lines.get((row.company_id, row.revision), []), before)


def left_out(month: str, company: str | None = None) -> LeftOut:
    """What an export of the month's final documents leaves behind."""
    company_id = _company_id(company)
    waiting = _months(month, company_id, ("draft", "parked", "held"))
    undecided, held_back = run_sql(_LEFT_OUT, (month, *_from_to(company_id))).fetchone()
    return LeftOut(tuple(row.external_id for row in waiting), int(undecided), int(held_back))


@dataclass(frozen=True, slots=True)
class _Month:
    company_id: int
    external_id: str
    buyer: Party
    billing_reference: str
    present: tuple[Party, str] | None
    seller: Seller | None
    month: str
    revision: int
    state: str
    issued_on: date
    currency: str
    vat_category: str
    vat_rate: Decimal
    net_minor: int
    vat_minor: int


def _company_id(external_id: str | None) -> int | None:
    if external_id is None:
        return None
    row = run_sql("SELECT id FROM company WHERE external_id = ?", (external_id,)).fetchone()
    if row is None:
        raise NotFound(f"There is no company {external_id}; `keydesk` lists them.")
    return int(row[0])


def _from_to(company_id: int | None) -> tuple[int, int]:
    """The range of ids that holds the one company, or all."""
    return (0, 2**62) if company_id is None else (company_id, company_id)


_PARTY: Final = (
    "name", "organisation_number", "vat_id", "endpoint", "street", "city", "postal_code", "country", "invoice_email",
)  # fmt: skip
_BUYER: Final = ", ".join(
    [*(f"f.{name}" for name in _PARTY), "f.billing_reference", "c.name", *(f"b.{name}" for name in _PARTY[1:]),
     "c.billing_reference"]
)  # fmt: skip
_MONTHS: Final = f"""
    SELECT m.company_id, c.external_id, m.revision, m.state, m.final_at, m.rated_at, coalesce(f.time_zone, c.time_zone),
           m.currency, m.vat_category, m.vat_rate, m.net_minor, m.vat_minor, m.seller_id, {_BUYER}
    FROM invoice_month m JOIN company c ON c.id = m.company_id
    LEFT JOIN company_billing b ON b.company_id = m.company_id
    LEFT JOIN buyer_facts f ON f.company_id = m.company_id AND f.month = m.month AND f.revision = m.revision
    WHERE m.month = ? AND m.company_id BETWEEN ? AND ? AND m.state IN ({{marks}})
"""  # noqa: S608 - our own words
_LINES: Final = """
    SELECT company_id, revision, id, line_key, description, because, quantity, unit, unit_price, gross_minor,
           discount_minor, net_minor, status, reason, price_list, corrects, transfer
    FROM invoice_line WHERE month = ? AND company_id IN ({marks}) ORDER BY company_id, revision, id
"""
_LEFT_OUT: Final = """
    SELECT coalesce(sum(CASE WHEN v.status = 'needs_review' THEN 1 ELSE 0 END), 0),
           coalesce(sum(CASE WHEN v.transfer = 'do-not-transfer' THEN 1 ELSE 0 END), 0)
    FROM invoice_line v
    JOIN invoice_month m ON m.company_id = v.company_id AND m.month = v.month AND m.revision = v.revision
    WHERE v.month = ? AND m.company_id BETWEEN ? AND ? AND m.state = 'final'
"""


def _months(month: str, company_id: int | None, states: Sequence[str]) -> list[_Month]:
    marks = ", ".join("?" * len(states))
    rows = run_sql(_MONTHS.format(marks=marks), [month, *_from_to(company_id), *states]).fetchall()
    sellers = {row.id: seller_of(row.facts) for row in SellerFacts.select()}
    found = (_month(month, row, sellers) for row in rows)
    return sorted(found, key=lambda row: (row.external_id, row.revision))  # databases sort text each their way


def _month(month: str, row: Sequence[Any], sellers: Mapping[int, Seller]) -> _Month:
    """The buyer as kept with the month, where it is final; else as it is known now."""
    at = instant(row[4] if row[4] is not None else row[5])
    parties = row[13:]
    kept, now = (_buyer(parties[: len(_PARTY) + 1]), _buyer(parties[len(_PARTY) + 1 :]))
    is_kept = parties[0] is not None
    buyer, reference = kept if is_kept else now
    return _Month(
        company_id=row[0],
        external_id=row[1],
        buyer=buyer,
        billing_reference=reference,
        present=now if is_kept and now != kept else None,
        seller=sellers.get(row[12]),
        month=month,
        revision=row[2],
        state=row[3],
        issued_on=calendar.local_day(at, calendar.zone(row[6])),
        currency=row[7],
        vat_category=row[8],
        vat_rate=Decimal(row[9]),
        net_minor=row[10],
        vat_minor=row[11],
    )


def _buyer(values: Sequence[str | None]) -> tuple[Party, str]:
    """The party and the billing reference."""
    *party, reference = (value or "" for value in values)
    return Party(*party), reference


def _lines(month: str, company_ids: Iterable[int]) -> dict[tuple[int, int], list[DocumentLine]]:
    """The lines that are exported and those that are held back, by company and revision, in the invoice's order."""
    wanted = list(dict.fromkeys(company_ids))
    marks = ", ".join("?" * len(wanted))
    rows = run_sql(_LINES.format(marks=marks), [month, *wanted]).fetchall()
    return {key: [_line(month, row) for row in group] for key, group in groupby(rows, key=lambda row: (row[0], row[1]))}


def _line(month: str, row: Sequence[Any]) -> DocumentLine:
    line_key = row[3]
    kind, _, rest = line_key.removeprefix(_CREDIT).partition(":")
    return DocumentLine(
        id=row[2],
        line_key=line_key,
        revision=row[1],
        description=row[4],
        because=row[5],
        quantity=row[6],
        unit=row[7],
        unit_price=row[8],
        gross_minor=row[9],
        discount_minor=row[10],
        net_minor=row[11],
        status=row[12],
        reason=row[13],
        price_list=row[14],
        corrects=row[15] or "",
        month=rest.partition(":")[0] if kind == "adj" else month,
        transfer=row[16],
    )


def _documents_of(row: _Month, lines: list[DocumentLine], before: date | None) -> Iterator[InvoiceDocument]:
    """The credit note before the invoice that takes its place. `before` is when the revision before was issued."""
    counted = sorted((line for line in lines if line.status != "needs_review"), key=_place)
    exported = [line for line in counted if line.transfer != "do-not-transfer"]
    made = [
        _document(row, part, kind, before)
        for kind in ("credit-note", "invoice")
        if (part := tuple(line for line in exported if line.line_key.startswith(_CREDIT) == (kind == "credit-note")))
    ]
    if len(counted) == len(exported):
        _check(row, made)
    yield from made


def _place(line: DocumentLine) -> tuple[int, str]:
    """In the order of an invoice: access and its tiers, keys, usage, then adjustments; however they were written."""
    kind = line.line_key.removeprefix(_CREDIT).partition("/")[0]
    return (_LINE_ORDER.index(kind) if kind in _LINE_ORDER else len(_LINE_ORDER), line.line_key)


def _document(
    row: _Month, lines: tuple[DocumentLine, ...], kind: Literal["invoice", "credit-note"], before: date | None
) -> InvoiceDocument:
    return InvoiceDocument(
        number=_number(row, kind, row.revision),
        kind=kind,
        is_draft=row.state != "final",
        company=row.external_id,
        company_id=row.company_id,
        buyer=row.buyer,
        billing_reference=row.billing_reference,
        present=row.present,
        seller=row.seller,
        month=row.month,
        issued_on=row.issued_on,
        currency=row.currency,
        vat_category=row.vat_category,
        vat_rate=row.vat_rate,
        lines=lines,
        corrects=_number(row, "invoice", row.revision - 1) if row.revision > 1 else "",
        corrects_issued_on=before,
    )


def _number(row: _Month, kind: str, revision: int) -> str:
    """The same for the same document, ever: fjell-1001-2026-11; its correction fjell-1001-2026-11-C2 and -R2."""
    suffix = f"-{'C' if kind == 'credit-note' else 'R'}{revision}" if revision > 1 or kind == "credit-note" else ""
    draft = "-DRAFT" if row.state != "final" else ""
    return f"{row.external_id}-{row.month}{suffix}{draft}"


def _check(row: _Month, made: Sequence[InvoiceDocument]) -> None:
    """Refused unless the documents, each taxed once, are what the month's own totals say."""
    net, vat = sum(each.net_minor for each in made), sum(each.vat_minor for each in made)
    if (net, vat) != (row.net_minor, row.vat_minor):
        stored = f"{amount(row.net_minor, row.currency)} and {amount(row.vat_minor, row.currency)} VAT"
        raise Refused(
            f"The lines of {row.month} of {row.external_id} sum to {amount(net, row.currency)} and "
            f"{amount(vat, row.currency)} VAT, but the month says {stored}; run `keydesk invoice verify {row.month}`."
        )
