"""What making one more key costs: the month and the one after it, rated with the key and without it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from store.rules import calendar
from store.rules.money import amount
from store.rules.price_lists import PriceList
from store.rules.rating.counting import Month, slots_at, test_key_number
from store.rules.rating.facts import CompanyFacts, KeyFact, KeyKind, Policy
from store.rules.rating.invoice import Invoice
from store.rules.rating.rate import rate
from store.rules.rating.sentences import month_name, month_words


@dataclass(frozen=True, slots=True)
class CostChange:
    """The difference a key makes.

    `counted` of `allowance` standard keys are in use once it is made; a test key is number `test_number`, of which
    `free_test_keys` are free. `first_month` is the first month in which one more key is billed, None when it is
    covered; `net_minor` is what that adds to the key's line then (0: waived), every month if `monthly`.
    `access_minor` is the access fee that the key starts, else None.
    """

    kind: KeyKind
    month: str
    currency: str
    counted: int
    allowance: int
    test_number: int
    free_test_keys: int
    first_month: str | None
    net_minor: int
    monthly: bool
    access_minor: int | None


def difference(
    facts: CompanyFacts,
    month: str,
    price_lists: Sequence[PriceList],
    policy: Policy,
    hypothetical: KeyFact,
) -> CostChange:
    """What the key adds in `month`, in which it is made, and in the next, as far as today's facts tell.

    Refused when the key would be billed and no price list is in force.
    """
    with_key = replace(facts, keys=(*facts.keys, hypothetical))
    standard = hypothetical.kind == "standard"
    line_key = "extra_key" if standard else "extra_test_key"
    first_month: str | None = None
    net_minor = 0
    access_minor: int | None = None
    explain = rate(with_key, month, price_lists, policy).explain
    for each in (month, calendar.next_month(month)):
        without = rate(facts, each, price_lists, policy)
        after = rate(with_key, each, price_lists, policy)
        if first_month is None and _quantity(after, line_key) > _quantity(without, line_key):
            first_month = each
            net_minor = _net(after, line_key) - _net(without, line_key)
        if access_minor is None and _has_access(after) and not _has_access(without):
            access_minor = _net(after, "access")
    span = Month.of(month, calendar.zone(facts.zone), None)
    return CostChange(
        kind=hypothetical.kind,
        month=month,
        currency=facts.currency,
        counted=slots_at(with_key.keys, hypothetical.created_at, policy),
        allowance=explain["allowance"],
        test_number=0 if standard else test_key_number(with_key.keys, hypothetical, span, policy),
        free_test_keys=explain["free_test_keys_per_resource"],
        first_month=first_month,
        net_minor=net_minor,
        monthly=standard or policy.test_overflow_cadence == "monthly",
        access_minor=access_minor,
    )


def cost_sentence(change: CostChange) -> str:
    """The New key dialog's words, such as "extra key: NOK 49.00 a month from November"."""
    text = _standard(change) if change.kind == "standard" else _test(change)
    return text if change.access_minor is None else f"{text}; this also starts the monthly access fee"


def _standard(change: CostChange) -> str:
    if change.first_month is not None:
        if not change.net_minor:
            return "extra key: free by contract"
        return f"extra key: {amount(change.net_minor, change.currency)} a month from {_month(change)}"
    if change.counted > change.allowance:
        return f"no further cost: as many extra keys are already invoiced for {month_name(change.month)}"
    return f"included: {change.counted:,} of {change.allowance:,}"


def _test(change: CostChange) -> str:
    number = f"test key {change.test_number} of {change.free_test_keys} for this resource"
    if change.first_month is None:
        return f"{number}, free"
    over = f"extra test key, number {change.test_number} for this resource ({change.free_test_keys} are free)"
    if not change.net_minor:
        return f"{over}: free by contract"
    price = amount(change.net_minor, change.currency)
    return (
        f"{over}: {price} a month from {_month(change)}"
        if change.monthly
        else f"{over}: {price} once, in {_month(change)}"
    )


def _month(change: CostChange) -> str:
    """The year is said when it is not the one in which the key is made."""
    first = change.first_month or change.month
    return month_name(first) if first[:4] == change.month[:4] else month_words(first)


def _quantity(invoice: Invoice, line_key: str) -> int:
    return sum(int(line.quantity) for line in invoice.lines if line.line_key == line_key)


def _net(invoice: Invoice, line_key: str) -> int:
    """The line's, or that of all its tiers."""
    return sum(line.net_minor for line in invoice.lines if line.line_key.partition("/")[0] == line_key)


def _has_access(invoice: Invoice) -> bool:
    return any(line.line_key.partition("/")[0] == "access" for line in invoice.lines)
