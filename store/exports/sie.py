"""SIE 4I for Swedish accounting: one balanced voucher a document, in kronor, in code page 437 with CR LF.

After "SIE filformat" 4B, section 8: import of transactions only, no balances, and the receiver numbers the vouchers.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from store.errors import Refused
from store.exports.document import InvoiceDocument, Party
from store.exports.parties import NO_VAT
from store.rules.endpoints import is_swedish
from store.rules.money import plain

CURRENCY: Final = "SEK"
_LETTERS: Final = str.maketrans(
    {"ø": "o", "Ø": "O", "þ": "th", "Þ": "Th", "ð": "d", "Ð": "D", "“": '"', "”": '"', "’": "'", "–": "-", "—": "-"}
)


@dataclass(frozen=True, slots=True)
class Accounts:
    """Where amounts are booked. `without_vat` takes what is sold without VAT; empty: there is no such account."""

    receivable: str
    access: str
    keys: str
    overuse: str
    vat: str
    without_vat: str
    chart: str
    series: str


def write(documents: Iterable[InvoiceDocument], seller: Party, accounts: Accounts, program: str) -> bytes:
    """The file. Refused when a document is in another currency than SEK, or no account takes what it sells."""
    vouchers = [(document, _postings(document, accounts)) for document in documents]
    latest = max((document.issued_on for document, _ in vouchers), default=date(2000, 1, 1))
    lines = [
        "#FLAGGA 0",
        f"#PROGRAM {_quoted('Keydesk')} {_quoted(program)}",
        "#FORMAT PC8",
        f"#GEN {latest:%Y%m%d}",
        "#SIETYP 4",
        f"#ORGNR {_organisation(seller.organisation_number)}",
        f"#FNAMN {_quoted(seller.name)}",
        f"#KPTYP {accounts.chart}",
        f"#VALUTA {CURRENCY}",
    ]
    for document, postings in vouchers:
        if postings:  # a month that was waived whole books nothing
            text = _quoted(f"{document.number} {document.buyer.name}")
            lines += [
                f'#VER {_quoted(accounts.series)} "" {document.issued_on:%Y%m%d} {text}',
                "{",
                *(f"#TRANS {account} {{}} {plain(minor, CURRENCY)}" for account, minor in postings),
                "}",
            ]
    return "".join(f"{line}\r\n" for line in lines).encode("cp437")


def _postings(document: InvoiceDocument, accounts: Accounts) -> list[tuple[str, int]]:
    """Debit is positive, credit negative; they sum to zero. Nothing is booked with nothing."""
    if document.currency != CURRENCY:
        raise Refused(f"{document.number} is in {document.currency}, and SIE takes {CURRENCY} only; leave it out.")
    booked: dict[str, int] = {accounts.receivable: document.gross_minor}
    for line in document.lines:
        account = _income(line.line_key, document, accounts)
        booked[account] = booked.get(account, 0) - line.net_minor
    booked[accounts.vat] = booked.get(accounts.vat, 0) - document.vat_minor
    if sum(booked.values()):
        raise Refused(f"The voucher of {document.number} does not balance; it was not written.")
    return [(account, minor) for account, minor in booked.items() if minor]


def _income(line_key: str, document: InvoiceDocument, accounts: Accounts) -> str:
    """The account of a line; an adjustment or a credit is booked where the line that it corrects was."""
    if document.vat_category in NO_VAT:
        if not accounts.without_vat:
            raise Refused(
                f"{document.number} is sold without VAT ({document.vat_category}), and no account is named for that; "
                "set without_vat_account in [seller.sie]."
            )
        return accounts.without_vat
    corrected = re.split("[/@]", line_key.rpartition(":")[2])[0]  # without its tier, or the month it was invoiced in
    if corrected == "access":
        return accounts.access
    return accounts.overuse if corrected.startswith("overuse") else accounts.keys


def _organisation(number: str) -> str:
    """As SIE writes it: 551234-5678; a number of another country as it is."""
    digits = number.replace("-", "")
    return f"{digits[:6]}-{digits[6:]}" if is_swedish(digits) else digits


def _quoted(text: str) -> str:
    """A field. What the code page lacks loses its accent or becomes a question mark; a quotation mark is escaped, and
    a backslash, which would escape what follows, is a slash.
    """
    known = "".join(map(_in_code_page, text.translate(_LETTERS)))
    return '"' + known.replace("\\", "/").replace('"', '\\"') + '"'


def _in_code_page(character: str) -> str:
    if not character.isprintable():
        return "?"
    for candidate in (character, unicodedata.normalize("NFKD", character)[0]):
        try:
            candidate.encode("cp437")
        except UnicodeEncodeError:
            continue
        return candidate
    return "?"
