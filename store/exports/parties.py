"""What an e-invoice must know of its seller and buyer, and what is missing or wrong about one."""

import re
from typing import Final

from store.errors import FormatWrong
from store.exports.document import InvoiceDocument, Party, Seller
from store.rules import endpoints

# The scheme (ISO 6523) in which a country's register numbers its companies.
_REGISTERS: Final = {"NO": "0192", "SE": "0007", "DK": "0184", "FI": "0212", "IS": "0196"}
# VAT categories under which no VAT is charged (UNCL 5305), and those that need the buyer's own VAT number.
NO_VAT: Final = {"Z", "E", "AE", "K", "G", "O"}
_BUYER_ACCOUNTS_FOR_VAT: Final = {"AE", "K"}


def register(party: Party) -> tuple[str, str]:
    """The scheme and the organisation number in it; no scheme where the country's register has none."""
    scheme = _REGISTERS.get(party.country, "")
    number = party.organisation_number
    if scheme and party.country != "FI":
        number = re.sub(r"[-./]", "", number)
    if scheme == "0184" and not number.startswith("DK"):
        number = f"DK{number}"
    return scheme, number


def seller_faults(seller: Seller, vat_category: str = "S") -> list[str]:
    """What is missing or wrong in the settings, as `vat_id` or `endpoint: …`."""
    party = seller.party
    needed = ["name", "organisation_number", "endpoint", "street", "city", "postal_code", "country"]
    missing = [name for name in needed if not getattr(party, name)]
    if vat_category != "O" and not party.vat_id:
        missing.append("vat_id")
    if not seller.account:
        missing.append("account")
    return [*missing, *_wrong(party)]


def buyer_faults(document: InvoiceDocument) -> list[str]:
    """What is missing or wrong about the company, in the names of the import's columns."""
    buyer = document.buyer
    missing = [name for name in ("endpoint", "country") if not getattr(buyer, name)]
    if not document.billing_reference:
        missing.append("billing_reference")
    if document.vat_category in _BUYER_ACCOUNTS_FOR_VAT and not buyer.vat_id:
        missing.append("vat_id")
    wrong = _wrong(buyer)
    charges = document.vat_category not in NO_VAT
    if charges != (document.vat_rate > 0):
        wrong.append(f"vat_rate: {document.vat_rate:f} cannot be, in the VAT category {document.vat_category}")
    return [*missing, *wrong]


def _wrong(party: Party) -> list[str]:
    wrong = []
    if party.country and not re.fullmatch(r"[A-Z]{2}", party.country):
        wrong.append(f"country: {party.country} is not two capital letters")
    scheme, number = register(party)
    named = [("endpoint", party.endpoint)]
    if scheme and party.organisation_number:
        named.append(("organisation_number", f"{scheme}:{number}"))
    for name, address in named:
        try:
            if address:
                endpoints.check(address)
        except FormatWrong as fault:
            wrong.append(f"{name}: {str(fault).rstrip('.')}")
    if party.vat_id and not _is_vat_id(party.vat_id):
        wrong.append(f"vat_id: {party.vat_id} is not a VAT number of its country")
    return wrong


def _is_vat_id(vat_id: str) -> bool:
    """Two letters and a number; Norway's and Sweden's are looked at more closely, as PEPPOL does."""
    country, number = vat_id[:2], vat_id[2:]
    if country == "NO":
        return number.endswith("MVA") and endpoints.is_norwegian(number.removesuffix("MVA"))
    if country == "SE":
        return bool(re.fullmatch(r"[0-9]{12}", number, re.ASCII))
    return bool(re.fullmatch(r"[A-Z]{2}[0-9A-Z+*]{2,18}", vat_id, re.ASCII))
