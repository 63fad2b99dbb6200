"""One line of each sort: quantity times price, rounded once, less what was agreed, with its derivation."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from store.rules.money import percent_of, plain, price_text, priced
from store.rules.price_lists import AccessPrice, PriceList
from store.rules.rating.counting import BilledUsers, Month, Peak, working_at
from store.rules.rating.facts import CompanyFacts, ContractTerm, KeyFact, Policy
from store.rules.rating.invoice import Explain, Line, Reason, Status
from store.rules.rating.sentences import (
    access_because,
    clause_because,
    counted,
    extra_keys_because,
    gigabytes,
    month_words,
    overuse_because,
    terms_because,
    test_keys_because,
)
from store.rules.rating.terms import Terms, told


@dataclass(frozen=True, slots=True)
class Charge:
    """What a line bills. `days` (on, of the month) prorates; terms are found by the line key without its tier."""

    line_key: str
    description: str
    quantity: int
    unit: str
    list_price: Decimal
    because: str
    explain: Explain
    reason: Reason = "beyond_included"
    days: tuple[int, int] | None = None
    status: Status = "ok"


@dataclass(frozen=True, slots=True)
class Pricing:
    """What every line of one company's month is priced with."""

    facts: CompanyFacts
    month: Month
    policy: Policy
    terms: Terms
    prices: PriceList

    def line(self, charge: "Charge") -> Line:
        """Price the charge by the list or the agreed price, round once, and take the discount off."""
        line = charge.line_key.partition("/")[0]
        agreed = self.terms.find(line, "unit_price")
        price = charge.list_price if agreed is None or agreed.value is None else agreed.value
        gross = priced(price, charge.quantity, charge.days or (1, 1), self.facts.currency)
        discount, discount_term = self._discount(line, gross)
        unit_price = price_text(price, self.facts.currency)
        fraction = f"{charge.days[0]}/{charge.days[1]}" if charge.days is not None else ""
        return Line(
            line_key=charge.line_key,
            description=charge.description,
            quantity=str(charge.quantity),
            unit=charge.unit,
            unit_price=unit_price,
            gross_minor=gross,
            discount_minor=discount,
            net_minor=gross - discount,
            reason=charge.reason,
            price_list=self.prices.ref,
            because=" ".join([charge.because, *(terms_because(term) for term in (agreed, discount_term) if term)]),
            status=charge.status,
            fraction=fraction,
            explain={
                **charge.explain,
                "price_list": self.prices.ref,
                "terms": told([agreed, discount_term]),
                "fraction": fraction,
                "arithmetic": self._arithmetic(f"{charge.quantity} x {unit_price}", fraction, gross, discount),
            },
        )

    def _discount(self, line: str, gross: int) -> tuple[int, ContractTerm | None]:
        waived = self.terms.find(line, "waive")
        if waived is not None:
            return gross, waived
        percent = self.terms.find(line, "discount_percent")
        if percent is None or percent.value is None:
            return 0, None
        return percent_of(gross, percent.value), percent

    def _arithmetic(self, product: str, fraction: str, gross: int, discount: int) -> str:
        """Written out: "3 x 29.00 = 87.00; 87.00 - 8.70 = 78.30"."""
        currency = self.facts.currency
        text = f"{product}{f' x {fraction}' if fraction else ''} = {plain(gross, currency)}"
        if discount:
            text += f"; {plain(gross, currency)} - {plain(discount, currency)} = {plain(gross - discount, currency)}"
        return text


def access_lines(pricing: Pricing, users: BilledUsers, on_days: int, clause_for: str) -> list[Line]:
    """The general access fee by the list's model. `clause_for`: what makes it due though access was not on, else ""."""
    month, access = pricing.month, pricing.prices.access
    reason: Reason = "clause" if clause_for else "contract"
    daily = (access.proration or pricing.policy.access_proration) == "daily" and not clause_for
    days = (on_days, month.days) if daily and on_days < month.days else None
    because = (
        clause_because(users, clause_for, pricing.policy)
        if clause_for
        else access_because(users, on_days, month, pricing.policy)
    )
    explain: Explain = {
        "billed_users": users.count,
        "billed_users_on": users.on.isoformat() if users.on is not None else None,
        "licensed_users_rule": pricing.policy.licensed_users_rule,
        "access_days": on_days,
        "days_in_month": month.days,
    }
    whole = Charge(
        line_key="access",
        description=f"API access, {counted(users.count, 'licensed user')}",
        quantity=users.count,
        unit="user",
        list_price=access.tiers[0].price,
        because=because,
        explain=explain,
        reason=reason,
        days=days,
    )
    if access.model == "flat_by_tier":
        tier = next(tier for tier in access.tiers if tier.up_to is None or users.count <= tier.up_to)
        flat = {**explain, "tier_up_to": tier.up_to}
        return [pricing.line(replace(whole, quantity=1, unit="month", list_price=tier.price, explain=flat))]
    if access.model == "per_unit" or pricing.terms.find("access", "unit_price") is not None:
        return [pricing.line(whole)]
    return [pricing.line(charge) for charge in _by_tier(whole, access)]


def _by_tier(whole: Charge, access: AccessPrice) -> Iterable[Charge]:
    """One charge for each tier that is reached: a line of mixed prices has no unit price."""
    below = 0
    for number, tier in enumerate(access.tiers, start=1):
        top = whole.quantity if tier.up_to is None else min(whole.quantity, tier.up_to)
        if top > below:
            yield replace(
                whole,
                line_key=f"access/t{number}",
                description=f"API access, licensed users {below + 1:,} to {top:,}",
                quantity=top - below,
                list_price=tier.price,
                explain={**whole.explain, "tier": number, "tier_up_to": tier.up_to},
            )
        below = top


def extra_key_line(pricing: Pricing, peak: Peak, allowance: int) -> Line:
    """The keys beyond the allowance at the month's peak."""
    extra = peak.slots - allowance
    keys = working_at(pricing.facts.keys, peak.at) if peak.at is not None else []
    explain: Explain = {
        "peak_slots": peak.slots,
        "peak_at": written(peak),
        "allowance": allowance,
        "extra_keys": extra,
        "keys": keys,
        "included_terms": told([pricing.terms.find("extra_key", "included")]),
        "rotation_grace_days": pricing.policy.rotation_grace_days,
    }
    return pricing.line(
        Charge(
            line_key="extra_key",
            description=counted(extra, "extra API key"),
            quantity=extra,
            unit="key",
            list_price=pricing.prices.extra_key,
            because=extra_keys_because(peak, len(keys), allowance, pricing.month),
            explain=explain,
        )
    )


def extra_test_key_line(pricing: Pricing, overflow: Iterable[KeyFact], free: int) -> Line:
    """The test keys beyond the free ones, each at the price of an extra key."""
    keys = [key.id for key in overflow]
    explain: Explain = {
        "keys": keys,
        "free_test_keys_per_resource": free,
        "test_key_window": pricing.policy.test_key_window,
        "test_overflow_cadence": pricing.policy.test_overflow_cadence,
    }
    return pricing.line(
        Charge(
            line_key="extra_test_key",
            description=counted(len(keys), "extra test key"),
            quantity=len(keys),
            unit="key",
            list_price=pricing.prices.extra_key,
            because=test_keys_because(len(keys), free, pricing.month, pricing.policy),
            explain=explain,
        )
    )


def overuse(pricing: Pricing, line_key: str, used: int, users: int) -> tuple[Explain, Line | None] | None:
    """What was used and what is included, and the line when a block was started; None when the list has no price."""
    price = pricing.prices.overuse(line_key)
    if price is None:
        return None
    agreed = pricing.terms.number(line_key, "included")
    included = price.included_base + price.included_per_user * users if agreed is None else agreed
    over = max(0, used - included)
    blocks = -(-over // price.block)
    numbers: Explain = {"used": used, "included": included, "over": over, "blocks": blocks}
    if not blocks or pricing.policy.overuse_mode == "off":
        return numbers, None
    review = pricing.policy.overuse_mode == "review"
    write = "{:,} requests".format if line_key == "overuse_requests" else gigabytes
    line = pricing.line(
        Charge(
            line_key=line_key,
            description=f"API usage above what is included, {counted(blocks, 'block')} of {write(price.block)}",
            quantity=blocks,
            unit=f"started block of {price.block}",
            list_price=price.price,
            because=overuse_because(
                f"{write(used)} in {month_words(pricing.month.name)}, {write(included)} included",
                f"{counted(blocks, 'started block')} of {write(price.block)}",
                pricing.month,
                review=review,
            ),
            explain={
                **numbers,
                "block": price.block,
                "included_terms": told([pricing.terms.find(line_key, "included")]),
            },
            status="needs_review" if review else "ok",
        )
    )
    return numbers, line


def written(peak: Peak) -> str | None:
    """The instant of a peak as "2026-11-17T10:00:00Z"."""
    return None if peak.at is None else f"{peak.at:%Y-%m-%dT%H:%M:%SZ}"
