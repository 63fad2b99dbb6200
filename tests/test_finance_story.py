"""Do preview, stored lines, mail, CSV and UBL agree through a month in which everything happens?

Nordlys pays for two licences. In November it buys a third, rotates a key, makes a fourth test key for Åse and uses the
API a lot, of which some is told only after the month is final. Then a licence number turns out to have been wrong.
"""

import csv
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from billing_documents import NORWEGIAN
from cast import LONG_AGO, OLAV, PEPPERS, Cast, arrive, enable, key_of
from test_invoices import PRICES

from store import (
    invoice_corrections,
    invoice_documents,
    invoice_preview,
    invoice_review,
    invoice_verify,
    invoices,
    keys,
    licences,
    prices,
    usage,
)
from store.exports import csv_file, ubl
from store.exports.document import InvoiceDocument
from store.rules.money import to_minor
from store.tables import CompanyBilling, Email, InvoiceLine, InvoiceMonth, Licence
from store.usage_files.lines import UsageFile

MONTH = "2026-11"
CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"


def at(day: int, hour: int = 10, month: int = 11, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


@pytest.fixture
def cast(empty_store: str) -> Cast:
    arrived = arrive()
    prices.publish(OLAV, PRICES, LONG_AGO)
    enable(arrived.nordlys, arrived.ase)
    Licence.update(licences=2).execute()
    CompanyBilling.create(
        company=arrived.nordlys, organisation_number="923609016", vat_id="NO923609016MVA", endpoint="0192:923609016",
        street="Storgata 1", city="Oslo", postal_code="0155", country="NO", invoice_email="",
    )  # fmt: skip
    return arrived


def told(cast: Cast, tmp_path: Path, name: str, key: keys.Key, day: int, requests: int, now: datetime) -> None:
    file = tmp_path / name
    file.write_text(
        json.dumps({"key": key.handle, "at": f"2026-11-{day:02}T09:00:00Z", "requests": requests, "bytes": 0}) + "\n",
        encoding="utf-8",
    )
    usage.take(OLAV, [UsageFile(name, file)], now)


def everywhere(cast: Cast, month: str = MONTH) -> set[int]:
    """The final month's net in minor units, corrections included: of the lines, the months, the mails, CSV and UBL."""
    lines = InvoiceLine.select().where(InvoiceLine.company == cast.nordlys.id, InvoiceLine.month == month)
    months = InvoiceMonth.select().where(InvoiceMonth.company == cast.nordlys.id, InvoiceMonth.month == month)
    mails = Email.select().where(Email.kind == "invoice_lines", Email.recipient == "ase@nordlys.example")
    documents = list(invoice_documents.documents(month, "nordlys"))
    rows = csv.DictReader(io.StringIO(csv_file.write(documents).decode()))
    return {
        sum(line.net_minor for line in lines if line.status != "needs_review"),
        sum(row.net_minor for row in months),
        sum(
            to_minor(mail.context["net"][4:].replace(",", ""), "NOK")
            for mail in mails
            if mail.context["month"] == month
        ),
        sum(int(row["net_minor"]) for row in rows),
        sum(excluding_tax(document) for document in documents),
    }


def excluding_tax(document: InvoiceDocument) -> int:
    """What the e-invoice says; a credit note says what it takes back in positive amounts."""
    tree = ET.fromstring(ubl.write(document, NORWEGIAN))
    net = to_minor(next(element.text or "" for element in tree.iter(f"{CBC}TaxExclusiveAmount")), "NOK")
    return -net if document.kind == "credit-note" else net


def test_at_each_step_every_view_of_the_month_says_the_same(cast: Cast, tmp_path: Path) -> None:
    company = cast.nordlys.id
    first = key_of(cast.ase, expires_on=date(2028, 1, 1), now=at(1))
    key_of(cast.ase, expires_on=date(2028, 1, 1), now=at(1))
    assert invoice_preview.so_far(company, at(9)).net_minor == 5000  # 2 licences

    licences.set_licences(OLAV, company, 3, date(2026, 11, 10), at(10))
    keys.rotate(OLAV, PEPPERS, first.key.id, at(12))
    for day in (13, 14, 15, 16):
        key_of(cast.ase, kind="test", now=at(day))
    assert invoice_preview.so_far(company, at(17)).net_minor == 12400  # 3 licences, and a fourth test key

    told(cast, tmp_path, "early.jsonl", first.key, 14, 40_000, at(20))  # 30,000 are included
    invoices.draft_month(company, MONTH, at(1, 3, month=12))
    draft = {line.line_key: (line.net_minor, line.status) for line in InvoiceLine.select()}
    assert draft == {
        "access": (7500, "ok"), "extra_test_key": (4900, "ok"), "overuse_requests": (6000, "needs_review"),
    }  # fmt: skip
    assert invoice_preview.so_far(company, at(1, 3, month=12), MONTH).net_minor == 12400

    invoices.finalise_month(company, MONTH, at(4, 3, month=12))

    assert everywhere(cast) == {12400}
    mail = Email.get(Email.kind == "invoice_lines")
    assert (mail.context["net"], mail.context["gross"]) == ("NOK 124.00", "NOK 155.00")

    told(cast, tmp_path, "late.jsonl", first.key, 15, 50_000, at(9, month=12))
    before_draft = invoice_preview.so_far(company, at(31, month=12))
    invoices.draft_month(company, "2026-12", at(1, 3, month=1, year=2027))
    late = InvoiceLine.get(InvoiceLine.line_key == f"adj:{MONTH}:overuse_requests")
    assert (late.net_minor, late.status, late.corrects) == (12000, "needs_review", f"{MONTH}/overuse_requests")
    assert [line.net_minor for line in before_draft.lines if line.line_key == late.line_key] == [12000]
    invoice_review.decide(OLAV, late.id, "approve", "announced on the 10th", at(2, month=1, year=2027))
    invoices.finalise_month(company, "2026-12", at(4, 3, month=1, year=2027))
    assert everywhere(cast, "2026-12") == {19500}  # 3 licences, and the overuse of November

    Licence.update(licences=2).where(Licence.licences == 3).execute()  # it was never bought: put right in the source
    found = at(7, 3, month=1, year=2027)
    seen = invoice_corrections.preview(company, MONTH, found)
    correction = invoice_corrections.credit_and_rebill(OLAV, company, MONTH, "the third licence", found)

    assert seen.rows == correction.rows
    assert sum(line["net_minor"] for line in correction.credit) == -12400 - 12000
    assert [(line["line_key"], line["net_minor"], line["status"]) for line in correction.rebill] == [
        ("access", 5000, "ok"),
        ("extra_test_key", 4900, "ok"),
        ("overuse_requests", 12000, "approved"),  # of the same amount as what was approved in December
    ]
    assert everywhere(cast) == {12400 - 24400 + 21900}
    assert everywhere(cast, "2026-12") == {19500}
    assert [(document.number, document.corrects) for document in invoice_documents.documents(MONTH)] == [
        ("nordlys-2026-11", ""),
        ("nordlys-2026-11-C2", "nordlys-2026-11"),
        ("nordlys-2026-11-R2", "nordlys-2026-11"),
    ]
    assert list(invoice_verify.verify(MONTH)) == []
