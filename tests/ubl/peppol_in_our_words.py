"""What PEPPOL BIS Billing 3.0 asks beyond EN 16931, told again in our words, rule by rule, for what Keydesk writes.

It is no PEPPOL validation: that takes PEPPOL's own rules, which no package carries (see validator.py).
"""

from collections.abc import Iterator
from decimal import Decimal
from xml.etree import ElementTree as ET

from store.rules import endpoints

_CAC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2}"
_CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
_NAMES = {"cac": _CAC[1:-1], "cbc": _CBC[1:-1]}
_SPECIFICATION = "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"


def broken(document: bytes) -> list[str]:
    """The rules that the document breaks, each once."""
    root = ET.fromstring(document)
    found = [*_document(root), *_lines(root), *_numbers(root), *_seller(root)]
    return sorted(set(found))


def _all(element: ET.Element, path: str) -> list[ET.Element]:
    return element.findall(path, _NAMES)


def _said(element: ET.Element, path: str) -> str:
    return (element.findtext(path, "", _NAMES) or "").strip()


def _document(root: ET.Element) -> Iterator[str]:
    currency = _said(root, "cbc:DocumentCurrencyCode")
    kept = {
        "R007": _said(root, "cbc:ProfileID") == "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0",
        "R004": _said(root, "cbc:CustomizationID") == _SPECIFICATION,
        "R002": len(_all(root, "cbc:Note")) <= 1,
        "R003": _said(root, "cbc:BuyerReference") or _said(root, "cac:OrderReference/cbc:ID"),
        "R008": all(len(element) or (element.text or "").strip() for element in root.iter()),
        "R010": _said(root, "cac:AccountingCustomerParty/cac:Party/cbc:EndpointID"),
        "R020": _said(root, "cac:AccountingSupplierParty/cac:Party/cbc:EndpointID"),
        "R053": len(_all(root, "cac:TaxTotal[cac:TaxSubtotal]")) == 1,
        "R051": all(element.get("currencyID", currency) == currency for element in root.iter()),
        "R041/R042": all(
            bool(_said(each, "cbc:MultiplierFactorNumeric")) == bool(_said(each, "cbc:BaseAmount"))
            for each in root.iter(f"{_CAC}AllowanceCharge")
        ),
    }
    yield from (f"PEPPOL-EN16931-{rule}" for rule, is_kept in kept.items() if not is_kept)


def _lines(root: ET.Element) -> Iterator[str]:
    start, end = (_said(root, f"cac:InvoicePeriod/cbc:{name}") for name in ("StartDate", "EndDate"))
    for line in [*_all(root, "cac:InvoiceLine"), *_all(root, "cac:CreditNoteLine")]:
        if start and _said(line, "cac:InvoicePeriod/cbc:StartDate") < start:
            yield "PEPPOL-EN16931-R110"
        if end and _said(line, "cac:InvoicePeriod/cbc:EndDate") > end:
            yield "PEPPOL-EN16931-R111"
        quantity = Decimal(_said(line, "cbc:InvoicedQuantity") or _said(line, "cbc:CreditedQuantity"))
        base = Decimal(_said(line, "cac:Price/cbc:BaseQuantity") or "1")
        if base <= 0:
            yield "PEPPOL-EN16931-R121"
        units = {each.get("unitCode") for each in line.iter() if each.get("unitCode")}
        if len(units) != 1:
            yield "PEPPOL-EN16931-R130"
        allowances = sum(Decimal(each.text or "0") for each in _all(line, "cac:AllowanceCharge/cbc:Amount"))
        owed = quantity * (Decimal(_said(line, "cac:Price/cbc:PriceAmount")) / base) - allowances
        if abs(owed - Decimal(_said(line, "cbc:LineExtensionAmount"))) > Decimal("0.02"):
            yield "PEPPOL-EN16931-R120"


def _numbers(root: ET.Element) -> Iterator[str]:
    """PEPPOL-COMMON-R040 to R049."""
    for name in (f"{_CBC}EndpointID", f"{_CBC}CompanyID"):
        for element in root.iter(name):
            if element.get("schemeID"):
                try:
                    endpoints.check(f"{element.get('schemeID')}:{element.text}")
                except ValueError:
                    yield "PEPPOL-COMMON"


def _seller(root: ET.Element) -> Iterator[str]:
    """The rules of the seller's country, Norway or Sweden."""
    (seller,) = _all(root, "cac:AccountingSupplierParty/cac:Party")
    numbers = {
        _said(each, "cac:TaxScheme/cbc:ID"): _said(each, "cbc:CompanyID") for each in _all(seller, "cac:PartyTaxScheme")
    }
    vat_id, registration = numbers.get("VAT", ""), numbers.get("TAX")
    country = _said(seller, "cac:PostalAddress/cac:Country/cbc:IdentificationCode")
    if country == "NO":
        if registration != "Foretaksregisteret":
            yield "NO-R-002"
        if vat_id and not (vat_id.endswith("MVA") and endpoints.is_norwegian(vat_id[2:-3])):
            yield "NO-R-001"
    if country == "SE":
        if vat_id and not (len(vat_id) == 14 and vat_id[2:].isdecimal()):
            yield "SE-R-001/R002"
        if not endpoints.is_swedish(_said(seller, "cac:PartyLegalEntity/cbc:CompanyID")):
            yield "SE-R-003/R004/R013"
        if registration not in {None, "Godkänd för F-skatt"}:
            yield "SE-R-005"
