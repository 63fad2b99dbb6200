"""`keydesk invoice show|explain|preview`: what is stored, with its derivation, and what is still to come."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from keydesk.errands import invoice_json
from keydesk.opening import open_store
from keydesk.settings import Settings
from store import companies, invoice_preview
from store.database import session
from store.errors import NotFound
from store.listings import keys as key_listing
from store.rules import calendar, explanation, money
from store.rules.rating import Invoice, Line, quantity_words
from store.rules.rating.sentences import month_words
from store.rules.text import visible
from store.tables import Company, InvoiceLine, InvoiceMonth

_WIDTH = 60  # of a line's product, before its amount
_WAITS = "  waits for a decision"


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Write what was asked for; nothing is changed."""
    open_store(settings)
    with session():
        company = companies.by_external_id(given.company)
        if given.act != "preview" and given.json:
            sys.stdout.write(_json(company, given))
            return 0
        told = {"show": _show, "explain": _explain, "preview": _preview}[given.act]
        sys.stdout.writelines(f"{line}\n" for line in told(company, given, clock()))
    return 0


def documents(company: Company, month: str) -> list[InvoiceMonth]:
    """The month as it stands in the store and what corrects it, in their order; NotFound when there is nothing."""
    found = list(
        InvoiceMonth.select()
        .where(InvoiceMonth.company == company.id, InvoiceMonth.month == month)
        .order_by(InvoiceMonth.revision)
    )
    if not found:
        raise NotFound(
            f"There is no {month} of {visible(company.name)} yet; `keydesk invoice preview {company.external_id}` "
            "tells what it would be."
        )
    return found


def lines_of(document: InvoiceMonth) -> list[InvoiceLine]:
    """Its lines: what is taken back, what is owed for the month, what adjusts other months."""
    found = InvoiceLine.select().where(
        InvoiceLine.company == document.company_id,
        InvoiceLine.month == document.month,
        InvoiceLine.revision == document.revision,
    )
    return sorted(found, key=lambda line: (line.reason == "adjustment", line.reason != "credit", line.line_key))


def _show(company: Company, given: argparse.Namespace, _now: datetime) -> Iterator[str]:
    """The month with its lines, their reasons and the totals, as they are stored."""
    for document in documents(company, given.month):
        if document.revision > 1:
            yield ""
        yield f"{_named(company)}, {month_words(document.month)}{_state(company, document)}"
        for said in (document.error, document.reason):
            if said:
                yield f"  {visible(said)}"
        for line in lines_of(document):
            yield f"  {_row(line, line.currency)}{_decision(line)}"
            yield f"    {visible(line.because)}"
        yield from _totals(document.net_minor, document.vat_minor, document.gross_minor, document.currency)


def _json(company: Company, given: argparse.Namespace) -> str:
    if given.act == "explain":
        return invoice_json.lines(company, given.month, _wanted(company, given))
    found = ((document, lines_of(document)) for document in documents(company, given.month))
    return invoice_json.months(company, given.month, found)


def _wanted(company: Company, given: argparse.Namespace) -> list[InvoiceLine]:
    """The lines of that key, the month's own and those of its corrections."""
    lines = [line for document in documents(company, given.month) for line in lines_of(document)]
    wanted = [line for line in lines if line.line_key == given.line]
    if not wanted:
        there = ", ".join(line.line_key for line in lines) or "no line at all"
        raise NotFound(f"{given.month} of {visible(company.name)} has no line {visible(given.line)}; it has {there}.")
    return wanted


def _explain(company: Company, given: argparse.Namespace, now: datetime) -> Iterator[str]:
    """One line: its sentence, the values behind it and the keys that counted, all as stored with it."""
    for place, line in enumerate(_wanted(company, given)):
        if place:
            yield ""
        revision = f" (revision {line.revision})" if line.revision > 1 else ""
        yield (
            f"{_named(company)}, {month_words(line.month)}{revision}: {visible(line.description)}, "
            f"{money.amount(line.net_minor, line.currency)}{_decision(line)}"
        )
        yield visible(line.because)
        yield ""
        for name, text in explanation.told(line.line_key, line.explain, company.time_zone):
            yield f"  {name:<16} {visible(text)}"
        if line.decided_reason:
            yield f"  {'Decided because':<16} {visible(line.decided_reason)}"
        yield from _keys(explanation.counted_keys(line.explain), now)


def _keys(ids: Sequence[int], now: datetime) -> Iterator[str]:
    if not ids:
        return
    rows = key_listing.rows(ids, now)
    yield f"  {'Keys':<16} {len(ids):,}, by age"
    for key_id in ids:
        row = rows.get(key_id)
        if row is None:
            yield f"    number {key_id}"
            continue
        made = calendar.local_day(row.created_at, calendar.zone(row.zone))
        yield (
            f"    {row.first}…{row.last}  {row.handle}  {row.kind} {row.environment}, made {made}"
            f" for {visible(row.resource)}: {visible(row.label)}"
        )


def _preview(company: Company, given: argparse.Namespace, now: datetime) -> Iterator[str]:
    """The month as far as it has come, and as it ends if nothing changes any more."""
    so_far = invoice_preview.so_far(company.id, now, given.month)
    yield from _rated(company, so_far, "so far" if so_far.so_far else "as of now")
    if so_far.so_far:
        yield ""
        ended = invoice_preview.forecast(company.id, now, given.month)
        yield from _rated(company, ended, "to its end, if nothing changes any more")


def _rated(company: Company, invoice: Invoice, what: str) -> Iterator[str]:
    yield f"{_named(company)}, {month_words(invoice.month)} {what}"
    for line in invoice.lines:
        yield f"  {_row(line, invoice.currency)}{_WAITS if line.status == 'needs_review' else ''}"
        yield f"    {visible(line.because)}"
    if not invoice.lines:
        yield "  nothing is owed"
    yield from _totals(invoice.net_minor, invoice.vat_minor, invoice.gross_minor, invoice.currency)


def _named(company: Company) -> str:
    return f"{visible(company.name)} ({visible(company.external_id)})"


def _state(company: Company, document: InvoiceMonth) -> str:
    """Such as ": draft" or ", correction 1: final since 2026-12-04 03:00 (Europe/Oslo)"."""
    which = f", correction {document.revision - 1}" if document.revision > 1 else ""
    if document.final_at is None:
        return f"{which}: {document.state}"
    at = document.final_at.astimezone(calendar.zone(company.time_zone))
    return f"{which}: final since {at:%Y-%m-%d %H:%M} ({company.time_zone})"


def _row(line: InvoiceLine | Line, currency: str) -> str:
    """Such as "extra_key  3 keys x 49.00, less 14.70    132.30"."""
    share = f" x {line.explain['fraction']}" if line.explain.get("fraction") else ""
    less = f", less {money.plain(line.discount_minor, currency)}" if line.discount_minor else ""
    quantity = quantity_words(line.quantity, line.unit)
    product = f"{visible(line.line_key):<18} {quantity} x {line.unit_price}{share}{less}"
    return f"{product:<{_WIDTH}} {money.plain(line.net_minor, currency):>14}"


def _decision(line: InvoiceLine) -> str:
    if line.status == "needs_review":
        return _WAITS
    return f"  {line.status} by {visible(line.decided_by)}" if line.decided_by else ""


def _totals(net: int, vat: int, gross: int, currency: str) -> Iterable[str]:
    for name, minor in (("net", net), ("VAT", vat), ("gross", gross)):
        yield f"  {f'{name}, {currency}':<{_WIDTH}} {money.plain(minor, currency):>14}"
