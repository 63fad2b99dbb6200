"""PEPPOL BIS Billing 3.0: a UBL 2.1 Invoice (380) or CreditNote (381), as EN 16931 and PEPPOL's rules want it.

The writer knows the rules and is held to them by the tests; it does not validate what it wrote, and says so nowhere.
A credit note states what it takes back in positive amounts, though it is stored in negative ones.
"""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Final
from xml.etree import ElementTree as ET

from store.exports.document import DocumentLine, InvoiceDocument, Party, Seller
from store.exports.parties import NO_VAT, register
from store.rules.money import plain
from store.rules.text import visible

_COMMON: Final = "urn:oasis:names:specification:ubl:schema:xsd:Common"
_SPECIFICATION: Final = "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
_PROCESS: Final = "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
DRAFT_NOTE: Final = "DRAFT. Not an invoice: it may still change, and must be neither booked nor paid."
_CENT: Final = Decimal("0.01")
_ONE: Final = "C62"  # UN/ECE recommendation 20: one of whatever it is
_UNITS: Final = {"month": "MON"}
# Why no VAT is charged: the code of the list VATEX, and words.
_EXEMPTIONS: Final = {
    "AE": ("VATEX-EU-AE", "Reverse charge"),
    "E": ("", "Exempt from VAT"),
    "G": ("VATEX-EU-G", "Export, no VAT is charged"),
    "K": ("VATEX-EU-IC", "Intra-community supply"),
    "O": ("VATEX-EU-O", "Not subject to VAT"),
}


def write(document: InvoiceDocument, seller: Seller) -> bytes:
    """The document as XML. Seller and buyer must have passed `parties.seller_faults` and `parties.buyer_faults`."""
    root = _Writer(document, seller).root()
    ET.indent(root, " ")
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


class _Writer:
    def __init__(self, document: InvoiceDocument, seller: Seller) -> None:
        self.document = document
        self.seller = seller
        self.is_credit = document.kind == "credit-note"
        self.sign = -1 if self.is_credit else 1

    def root(self) -> ET.Element:
        document = self.document
        kind = "CreditNote" if self.is_credit else "Invoice"
        root = ET.Element(
            kind,
            {
                "xmlns": f"urn:oasis:names:specification:ubl:schema:xsd:{kind}-2",
                "xmlns:cac": f"{_COMMON}AggregateComponents-2",
                "xmlns:cbc": f"{_COMMON}BasicComponents-2",
            },
        )
        _text(root, "CustomizationID", _SPECIFICATION)
        _text(root, "ProfileID", _PROCESS)
        _text(root, "ID", document.number)
        _text(root, "IssueDate", document.issued_on.isoformat())
        if self.is_credit:
            _text(root, "CreditNoteTypeCode", "381")
        else:
            due_on = document.issued_on + timedelta(days=self.seller.payment_days)
            _text(root, "DueDate", due_on.isoformat())
            _text(root, "InvoiceTypeCode", "380")
        if document.is_draft:
            _text(root, "Note", DRAFT_NOTE)
        _text(root, "DocumentCurrencyCode", document.currency)
        _text(root, "BuyerReference", document.billing_reference)
        if all(line.month == document.month for line in document.lines):
            # PEPPOL-R110/R111: a line's period lies inside the document's; a line for another month leaves it out.
            _period(root, document.lines[0])
        if document.corrects:
            reference = _group(_group(root, "BillingReference"), "InvoiceDocumentReference")
            _text(reference, "ID", document.corrects)
            if document.corrects_issued_on is not None:
                _text(reference, "IssueDate", document.corrects_issued_on.isoformat())
        has_vat_ids = document.vat_category != "O"  # BR-O-02
        registration = self.seller.tax_registration
        _party(_group(root, "AccountingSupplierParty"), self.seller.party, registration, has_vat_id=has_vat_ids)
        _party(_group(root, "AccountingCustomerParty"), document.buyer, "", has_vat_id=has_vat_ids)
        self.delivery(root)
        self.payment(root)
        self.totals(root)
        for number, line in enumerate(document.lines, start=1):
            self.line(root, number, line)
        return root

    def delivery(self, root: ET.Element) -> None:
        """BR-IC-11 and BR-IC-12: an intra-community supply says when and where to."""
        if self.document.vat_category == "K":
            delivery = _group(root, "Delivery")
            _text(delivery, "ActualDeliveryDate", self.document.lines[0].last_day.isoformat())
            address = _group(_group(delivery, "DeliveryLocation"), "Address")
            _text(_group(address, "Country"), "IdentificationCode", self.document.buyer.country)

    def payment(self, root: ET.Element) -> None:
        if self.is_credit:
            _text(_group(root, "PaymentTerms"), "Note", f"Settled against {self.document.corrects or 'what is owed'}")
            return
        means = _group(root, "PaymentMeans")
        _text(means, "PaymentMeansCode", "30")
        _text(means, "PaymentID", self.document.number)
        account = _group(means, "PayeeFinancialAccount")
        _text(account, "ID", self.seller.account)
        if self.seller.bank:
            _text(_group(account, "FinancialInstitutionBranch"), "ID", self.seller.bank)

    def totals(self, root: ET.Element) -> None:
        document = self.document
        total = _group(root, "TaxTotal")
        self.amount(total, "TaxAmount", document.vat_minor)
        subtotal = _group(total, "TaxSubtotal")
        self.amount(subtotal, "TaxableAmount", document.net_minor)
        self.amount(subtotal, "TaxAmount", document.vat_minor)
        category = self.category(subtotal, "TaxCategory")
        if document.vat_category in _EXEMPTIONS:
            code, words = _EXEMPTIONS[document.vat_category]
            scheme = category[-1]
            category.remove(scheme)
            if code:
                _text(category, "TaxExemptionReasonCode", code)
            _text(category, "TaxExemptionReason", words)
            category.append(scheme)
        sums = _group(root, "LegalMonetaryTotal")
        self.amount(sums, "LineExtensionAmount", document.net_minor)
        self.amount(sums, "TaxExclusiveAmount", document.net_minor)
        self.amount(sums, "TaxInclusiveAmount", document.gross_minor)
        self.amount(sums, "PayableAmount", document.gross_minor)

    def line(self, root: ET.Element, number: int, line: DocumentLine) -> None:
        element = _group(root, "CreditNoteLine" if self.is_credit else "InvoiceLine")
        unit = _UNITS.get(line.unit, _ONE)
        quantity = self.sign * Decimal(line.quantity)
        _text(element, "ID", str(number))
        _text(element, "CreditedQuantity" if self.is_credit else "InvoicedQuantity", f"{quantity:f}", unitCode=unit)
        self.amount(element, "LineExtensionAmount", line.net_minor)
        _period(element, line)
        if line.discount_minor:
            allowance = _group(element, "AllowanceCharge")
            _text(allowance, "ChargeIndicator", "false")
            _text(allowance, "AllowanceChargeReasonCode", "95")
            _text(allowance, "AllowanceChargeReason", "Agreed discount")
            self.amount(allowance, "Amount", line.discount_minor)
        item = _group(element, "Item")
        _text(item, "Description", line.because)
        _text(item, "Name", line.description)
        _text(_group(item, "SellersItemIdentification"), "ID", line.line_key)
        self.category(item, "ClassifiedTaxCategory")
        self.price(_group(element, "Price"), line, unit)

    def price(self, element: ET.Element, line: DocumentLine, unit: str) -> None:
        """The price of one. Where quantity times price was rounded or prorated, PEPPOL-R120 wants the price of all."""
        currency = self.document.currency
        quantity, gross = abs(Decimal(line.quantity)), Decimal(plain(abs(line.gross_minor), currency))
        price = Decimal(line.unit_price)
        if abs(quantity * price - gross) <= _CENT:
            _text(element, "PriceAmount", f"{price:f}", currencyID=currency)
        else:
            _text(element, "PriceAmount", f"{gross:f}", currencyID=currency)
            _text(element, "BaseQuantity", f"{quantity:f}", unitCode=unit)

    def category(self, parent: ET.Element, name: str) -> ET.Element:
        category = _group(parent, name)
        _text(category, "ID", self.document.vat_category)
        if self.document.vat_category != "O":
            _text(category, "Percent", "0" if self.document.vat_category in NO_VAT else f"{self.document.vat_rate:f}")
        _text(_group(category, "TaxScheme"), "ID", "VAT")
        return category

    def amount(self, parent: ET.Element, name: str, minor: int) -> None:
        _text(parent, name, plain(self.sign * minor, self.document.currency), currencyID=self.document.currency)


def _party(parent: ET.Element, party: Party, registration: str, *, has_vat_id: bool) -> None:
    element = _group(parent, "Party")
    scheme, _, number = party.endpoint.partition(":")
    _text(element, "EndpointID", number, schemeID=scheme)
    _text(_group(element, "PartyName"), "Name", party.name)
    address = _group(element, "PostalAddress")
    for name, value in (("StreetName", party.street), ("CityName", party.city), ("PostalZone", party.postal_code)):
        if value:
            _text(address, name, value)
    _text(_group(address, "Country"), "IdentificationCode", party.country)
    for company_id, tax in _tax_numbers(party, registration, has_vat_id=has_vat_id):
        numbered = _group(element, "PartyTaxScheme")
        _text(numbered, "CompanyID", company_id)
        _text(_group(numbered, "TaxScheme"), "ID", tax)
    entity = _group(element, "PartyLegalEntity")
    _text(entity, "RegistrationName", party.name)
    if party.organisation_number:
        register_scheme, own = register(party)
        _text(entity, "CompanyID", own, **({"schemeID": register_scheme} if register_scheme else {}))
    if party.email:
        _text(_group(element, "Contact"), "ElectronicMail", party.email)


def _tax_numbers(party: Party, registration: str, *, has_vat_id: bool) -> Iterator[tuple[str, str]]:
    if party.vat_id and has_vat_id:
        yield party.vat_id, "VAT"
    if registration:
        yield registration, "TAX"


def _period(parent: ET.Element, line: DocumentLine) -> None:
    period = _group(parent, "InvoicePeriod")
    _text(period, "StartDate", line.first_day.isoformat())
    _text(period, "EndDate", line.last_day.isoformat())


def _group(parent: ET.Element, name: str) -> ET.Element:
    return ET.SubElement(parent, f"cac:{name}")


def _text(parent: ET.Element, name: str, text: str, **attributes: str) -> None:
    """An element with text; what XML cannot hold is shown as its code point."""
    ET.SubElement(parent, f"cbc:{name}", attributes).text = visible(text)
