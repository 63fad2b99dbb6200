"""What is exported: one company's document for one month, frozen, with what its seller and buyer are known by."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from store.rules import calendar
from store.rules.money import percent_of


@dataclass(frozen=True, slots=True)
class Party:
    """A legal person on an invoice; empty text where something is not known. `endpoint` is like 0192:987654325."""

    name: str
    organisation_number: str = ""
    vat_id: str = ""
    endpoint: str = ""
    street: str = ""
    city: str = ""
    postal_code: str = ""
    country: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Seller:
    """Who invoices, where the money goes, and in how many days. `tax_registration`: words that the law asks for."""

    party: Party
    account: str
    bank: str  # BIC, or SE:BANKGIRO and the like; may be empty
    payment_days: int
    tax_registration: str = ""


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """One line as it is stored. A credit is negative: its quantity and its amounts. `id` is its row, never exported."""

    id: int
    line_key: str
    revision: int
    description: str
    because: str
    quantity: str
    unit: str
    unit_price: str
    gross_minor: int
    discount_minor: int
    net_minor: int
    status: str
    reason: str
    price_list: str
    corrects: str
    month: str  # the month of the service, an earlier one for an adjustment
    transfer: str  # to-transfer, transferred, do-not-transfer

    @property
    def first_day(self) -> date:
        """The first local day of the service."""
        return calendar.first_day(self.month)

    @property
    def last_day(self) -> date:
        """The last local day of the service."""
        return calendar.last_day(self.month)


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """One invoice, or one credit note; every amount is minor units of `currency` and as it is stored.

    `corrects` is the number of the document that a credit note takes back, or that a second invoice replaces.
    """

    number: str
    kind: Literal["invoice", "credit-note"]
    is_draft: bool
    company: str  # the external id
    company_id: int
    buyer: Party
    billing_reference: str
    month: str
    issued_on: date  # local to the company
    currency: str
    vat_category: str
    vat_rate: Decimal
    lines: tuple[DocumentLine, ...]
    corrects: str = ""
    corrects_issued_on: date | None = None
    seller: Seller | None = None  # as it was known when the month became final
    present: tuple[Party, str] | None = None  # the buyer and its reference, where they are known otherwise by now

    @property
    def net_minor(self) -> int:
        """The sum of the lines."""
        return sum(line.net_minor for line in self.lines)

    @property
    def vat_minor(self) -> int:
        """One tax on that sum, rounded once."""
        return percent_of(self.net_minor, self.vat_rate)

    @property
    def gross_minor(self) -> int:
        """What is to be paid."""
        return self.net_minor + self.vat_minor

    @property
    def was_transferred(self) -> bool:
        """Whether every line of it has been handed over before."""
        return all(line.transfer == "transferred" for line in self.lines)
