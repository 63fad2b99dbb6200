"""Documents to export: the worked months as invoices, with buyers of several countries and a seller of one."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from store.exports.document import DocumentLine, InvoiceDocument, Party, Seller
from store.rules import calendar
from store.rules.money import plain
from store.rules.rating import Invoice, Line, adjustments, credit_and_rebill, rate
from store.rules.rating_file import RatingFile, rating_files

CASES = json.loads((Path(__file__).parent / "billing" / "examples.json").read_text(encoding="utf-8"))

NORWEGIAN = Seller(
    Party("Fjord Software AS", "987654325", "NO987654325MVA", "0192:987654325", "Kaigata 1", "Bergen", "5003", "NO"),
    account="NO9386011117947",
    bank="DNBANOKK",
    payment_days=14,
    tax_registration="Foretaksregisteret",
)
SWEDISH = Seller(
    Party("Fjärd & Ö AB", "551234-5678", "SE551234567801", "0007:5512345678", "Hamngatan 2", "Malmö", "211 22", "SE"),
    account="1234567",
    bank="SE:BANKGIRO",
    payment_days=30,
    tax_registration="Godkänd för F-skatt",
)
BUYERS = {
    "NO": Party("Nordlys Æventyr AS", "923456783", "NO923456783MVA", "0192:923456783", "Gata 1", "Oslo", "0155", "NO"),
    "SE": Party("Björk & Öberg AB", "5598765435", "SE559876543501", "0007:5598765435", "Torg 3", "Umeå", "90326", "SE"),
    "DK": Party("Søndergård ApS", "12345678", "DK12345678", "0184:DK12345678", "Havnegade 4", "Århus", "8000", "DK"),
    "FI": Party("Järvinen Oy", "1234567-1", "FI12345671", "0216:003712345671", "Katu 5", "Turku", "20100", "FI"),
    "IS": Party("Þórðarson ehf.", "4501012340", "IS12345", "0196:4501012340", "Gata 6", "Akureyri", "600", "IS"),
    "DE": Party("Groß GmbH", "HRB 1234", "DE123456789", "9930:DE123456789", "Weg 7", "Köln", "50667", "DE"),
}  # fmt: skip
_COUNTRY = {"NOK": "NO", "SEK": "SE", "DKK": "DK", "EUR": "FI", "ISK": "IS"}


def line(**changes: Any) -> DocumentLine:
    """API access for ten licensed users in November 2026."""
    access = DocumentLine(
        id=1,
        line_key="access",
        revision=1,
        description="API access, 10 licensed users",
        because="API access was on for 30 of 30 days; the most licensed users on one day were 10.",
        quantity="10",
        unit="user",
        unit_price="25.00",
        gross_minor=25000,
        discount_minor=0,
        net_minor=25000,
        status="ok",
        reason="contract",
        price_list="API NOK v1",
        corrects="",
        month="2026-11",
        transfer="to-transfer",
    )
    return replace(access, **changes)


def document(*lines: DocumentLine, buyer: str = "NO", **changes: Any) -> InvoiceDocument:
    """An invoice for November 2026, with VAT of 25 %."""
    invoice = InvoiceDocument(
        number="nordlys-2026-11",
        kind="invoice",
        is_draft=False,
        company="nordlys",
        company_id=1,
        buyer=BUYERS[buyer],
        billing_reference="PO-7",
        month="2026-11",
        issued_on=date(2026, 12, 4),
        currency="NOK",
        vat_category="S",
        vat_rate=Decimal(25),
        lines=lines or (line(),),
    )
    return replace(invoice, **changes)


def credit_note(original: InvoiceDocument) -> InvoiceDocument:
    """What takes the whole of it back, in amounts that are negated."""
    lines = tuple(
        replace(
            each,
            line_key=f"credit:{each.line_key}",
            quantity=f"-{each.quantity}".removeprefix("--"),
            gross_minor=-each.gross_minor,
            discount_minor=-each.discount_minor,
            net_minor=-each.net_minor,
            reason="credit",
        )
        for each in original.lines
    )
    return replace(
        original,
        number=f"{original.number}-C2",
        kind="credit-note",
        lines=lines,
        corrects=original.number,
        corrects_issued_on=original.issued_on,
    )


def worked_months() -> Iterator[InvoiceDocument]:
    """Each example as an invoice, and those that adjust or credit a final month with what puts it right."""
    for file in rating_files(CASES):
        invoice = rate(file.facts, file.month, file.price_lists, file.policy, file.as_of)
        deltas: list[Line] = []
        for final in file.final:
            arguments = (file.facts, final.month, final.lines, file.price_lists, file.policy)
            if final.credit_and_rebill:
                correction = credit_and_rebill(*arguments, as_of=file.as_of)
                yield from _documents(f"{file.id}-C2", file, correction.rebill, correction.credit)
                yield from _documents(f"{file.id}-R2", file, correction.rebill, correction.rebill.lines)
            else:
                deltas += adjustments(*arguments, as_of=file.as_of)
        yield from _documents(f"{file.id}", file, invoice, [*invoice.lines, *deltas])


def _documents(number: str, file: RatingFile, invoice: Invoice, lines: Iterable[Line]) -> Iterator[InvoiceDocument]:
    counted = tuple(_line(each, invoice) for each in lines if each.status == "ok")
    is_credit = all(each.reason == "credit" for each in counted)
    if counted:
        yield document(
            *counted,
            buyer=_COUNTRY[invoice.currency],
            number=number,
            kind="credit-note" if is_credit else "invoice",
            month=invoice.month,
            issued_on=calendar.first_day(calendar.next_month(invoice.month)),
            currency=invoice.currency,
            vat_category=invoice.vat_category,
            vat_rate=invoice.vat_rate,
            corrects="first" if is_credit else "",
        )


def _line(each: Line, invoice: Invoice) -> DocumentLine:
    """As it would be stored; what the examples give of a final line has its net amount, and that alone."""
    names = (
        "line_key", "description", "because", "quantity", "unit", "unit_price", "gross_minor", "discount_minor",
        "net_minor", "status", "reason", "price_list",
    )  # fmt: skip
    adjusted = each.line_key.split(":")[1] if each.line_key.startswith("adj:") else invoice.month
    stored = {name: getattr(each, name) for name in names}
    if not each.unit_price:
        stored |= {
            "quantity": "-1" if each.net_minor < 0 else "1",
            "unit_price": plain(abs(each.net_minor), invoice.currency),
        }
    return line(**stored, month=adjusted)
