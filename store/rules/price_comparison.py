"""Two price lists side by side: each price before, after, and by how many percent it went up or down."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from store.rules.money import half_away, price_text
from store.rules.price_lists import AccessPrice, OverusePrice, PriceList

_OVERUSE = {"overuse_requests": "Requests", "overuse_data": "Data"}


@dataclass(frozen=True, slots=True)
class PriceDifference:
    """One row. `before` and `after` are texts, empty where that list has no such price; `percent` as "+3.5 %"."""

    item: str
    before: str
    after: str
    percent: str


def compare(before: PriceList | None, after: PriceList) -> tuple[PriceDifference, ...]:
    """All prices and included amounts of both, in the order of a price list; those that only one has too."""
    old = dict(_values(before)) if before is not None else {}
    new = dict(_values(after))
    return tuple(
        PriceDifference(
            item,
            old[item][1] if item in old else "",
            new[item][1] if item in new else "",
            _percent(old[item][0], new[item][0]) if item in old and item in new else "",
        )
        for item in (*new, *(item for item in old if item not in new))
    )


def _percent(before: Decimal, after: Decimal) -> str:
    """To a tenth, half away from zero; empty where nothing changed, or where something was free."""
    if not before or before == after:
        return ""
    tenths = half_away((Fraction(after) - Fraction(before)) / Fraction(before) * 1000)
    whole, tenth = divmod(abs(tenths), 10)
    return f"{'+' if after > before else '-'}{whole:,}.{tenth} %"


def _values(prices: PriceList) -> list[tuple[str, tuple[Decimal, str]]]:
    """(what it is, (number, text))."""
    found = _access(prices.access, prices.currency)
    found.append(("Extra key, a month", _price(prices.extra_key, prices.currency)))
    for line_key, name in _OVERUSE.items():
        overuse = prices.overuse(line_key)
        if overuse is not None:
            found += _overuse(name, overuse, prices.currency)
    return found


def _access(access: AccessPrice, currency: str) -> list[tuple[str, tuple[Decimal, str]]]:
    if access.model == "per_unit":
        return [("API access, a licensed user", _price(access.tiers[0].price, currency))]
    found = []
    first = 1
    for tier in access.tiers:
        to = f"{first:,} and more" if tier.up_to is None else f"{first:,} to {tier.up_to:,}"
        name = f"API access, users {to}, {'each' if access.model == 'graduated' else 'together'}"
        found.append((name, _price(tier.price, currency)))
        first = (tier.up_to or 0) + 1
    return found


def _overuse(name: str, overuse: OverusePrice, currency: str) -> list[tuple[str, tuple[Decimal, str]]]:
    return [
        (f"{name} above, a block", _price(overuse.price, currency)),
        (f"{name}, size of a block", _number(overuse.block)),
        (f"{name} included", _number(overuse.included_base)),
        (f"{name} included per user", _number(overuse.included_per_user)),
    ]


def _price(price: Decimal, currency: str) -> tuple[Decimal, str]:
    return price, price_text(price, currency)


def _number(number: int) -> tuple[Decimal, str]:
    return Decimal(number), f"{number:,}"
