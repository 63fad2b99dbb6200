"""What rating looks at: facts with their instants, the terms agreed, and the vendor's policy."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

Id = str | int
KeyKind = Literal["standard", "test"]
Environment = Literal["prod", "sandbox"]
TermKind = Literal[
    "unit_price",  # value: the agreed price, in place of the price list's
    "discount_percent",  # value: 0 to 100, taken off the line once
    "waive",  # a discount of 100 %: the line stays visible, at zero
    "included",  # value: more keys (extra_key), or the amount in place of the list's (overuse_requests, overuse_data)
    "free_test_keys",  # value: in place of the policy's number per resource
    "access_invoiced_elsewhere",  # another contract bills the access fee
]


@dataclass(frozen=True, slots=True)
class Policy:
    """The vendor's reading of its own terms. The defaults are the product's."""

    licensed_users_rule: Literal["peak", "end", "start"] = "peak"
    rotation_grace_days: int = 7
    free_test_keys_per_resource: int = 3
    test_key_window: Literal["lifetime", "period", "concurrent"] = "lifetime"
    test_overflow_cadence: Literal["once", "monthly"] = "once"
    access_proration: Literal["none", "daily"] = "none"
    overuse_mode: Literal["review", "auto", "off"] = "review"
    usage_environments: tuple[Environment, ...] = ("prod",)
    late_usage_days: int = 35


@dataclass(frozen=True, slots=True)
class LicenceFact:
    """From the instant `at` on the company pays for `count` licensed users."""

    at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class AccessSpan:
    """API Access was on in [start, end), UTC instants; `end` None: it still is."""

    start: datetime
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeyFact:
    """A key with the spans [start, end) in which it worked: more than one when an expired key was given a new date.

    `rotated_from` is the id of the key it succeeds.
    """

    id: Id
    resource: Id
    kind: KeyKind
    created_at: datetime
    spans: tuple[tuple[datetime, datetime], ...]
    rotated_from: Id | None = None


@dataclass(frozen=True, slots=True)
class UsageFact:
    """Calls and bytes (request and response bodies) of one hour, or a bucket within one local day, beginning at `hour`.

    `received_at` is when Keydesk learned of it; None: as it happened.
    """

    hour: datetime
    requests: int
    bytes: int
    environment: Environment = "prod"
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ContractTerm:
    """One agreed deviation for a line ("access", "extra_key", ...), in force for months that begin in [start, end)."""

    line: str
    kind: TermKind
    start: date
    end: date | None = None
    value: Decimal | None = None
    reference: str = ""


@dataclass(frozen=True, slots=True)
class CompanyFacts:
    """All of one company that can matter to the month. Order within the tuples means nothing."""

    company: Id
    zone: str
    currency: str
    price_list: str
    vat_rate: Decimal
    vat_category: str = "S"
    access: tuple[AccessSpan, ...] = ()
    licences: tuple[LicenceFact, ...] = ()
    keys: tuple[KeyFact, ...] = ()
    usage: tuple[UsageFact, ...] = ()
    terms: tuple[ContractTerm, ...] = ()
    access_invoiced_elsewhere: bool = False
