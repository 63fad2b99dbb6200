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

from store import invoice_corrections, invoice_documents, invoice_preview, invoices, keys, licences, prices, usage
from store.exports import csv_file, ubl
from store.rules.money import to_minor
from store.tables import CompanyBilling, Email, InvoiceLine, InvoiceMonth, Licence
from store.usage_files.lines import UsageFile

MONTH = "2026-11"
CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"


def at(day: int, hour: int = 10, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


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


def everywhere(cast: Cast) -> set[int]:
    """The final month's net in minor units, as the stored lines, the month, the CSV and the UBL have it."""
    lines = InvoiceLine.select().where(InvoiceLine.company == cast.nordlys.id, InvoiceLine.month == MONTH)
    month = InvoiceMonth.get(InvoiceMonth.company == cast.nordlys.id, InvoiceMonth.month == MONTH)
    (document,) = list(invoice_documents.documents(MONTH, "nordlys"))
    rows = list(csv.DictReader(io.StringIO(csv_file.write([document]).decode("utf-8-sig"))))
    net = next(name for name in rows[0] if name.startswith("net_minor"))
    tree = ET.fromstring(ubl.write(document, NORWEGIAN))
    total = next(element.text or "" for element in tree.iter(f"{CBC}TaxExclusiveAmount"))
    return {
        sum(line.net_minor for line in lines if line.status != "needs_review"),
        month.net_minor,
        sum(int(row[net]) for row in rows),
        to_minor(total, "NOK"),
    }


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

    Licence.update(licences=2).where(Licence.licences == 3).execute()  # it was never bought: put right in the source
    correction = invoice_corrections.credit_and_rebill(OLAV, company, MONTH, "the third licence", at(7, 3, month=12))

    assert sum(line["net_minor"] for line in correction.credit) == -12400
    assert sum(line["net_minor"] for line in correction.rebill) == 9900  # 2 x 25.00 + 49.00
    assert invoices.rate(company, MONTH, at(7, 3, month=12)).net_minor == 9900
