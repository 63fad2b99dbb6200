"""The yearly index: every price of a list raised by a percentage, rounded as it will be published, as a price file."""

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from store.errors import FormatWrong, Refused
from store.rules.calendar import month_of
from store.rules.money import decimals, half_away, price_text, to_decimal
from store.rules.price_lists import OverusePrice, PriceList

_PERCENT = re.compile(r"([+-]?)([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%?", re.ASCII)
_LEAST, _MOST = Decimal(-50), Decimal(100)  # beyond these a slip of the hand is likelier than an index


def percent(text: str) -> Decimal:
    """A percentage as people write it, "3.5%"; FormatWrong for anything else, and for one that is no yearly index."""
    found = _PERCENT.fullmatch(text.strip())
    if found is None:
        raise FormatWrong(f"{text[:64]!r} is not a percentage; write it with a decimal point, such as 3.5%.")
    sign, number = found.groups()
    read = to_decimal(number) * (-1 if sign == "-" else 1)
    if not read or not _LEAST <= read <= _MOST:
        raise FormatWrong(
            f"{text} is not an index; write a percentage from {_LEAST} to {_MOST} that changes something."
        )
    return read


def indexed(prices: PriceList, by: Decimal, month: str) -> PriceList:
    """The next version, from that month on. What is included, the size of blocks and the tiers stay as they are.

    A price is rounded once, half away from zero, to the currency's decimals: 25.00 by 3.5 is 25.88. One that is finer
    than its currency (0.0125 for a block) keeps its own decimals. Refused when the month is not after the version's.
    """
    first_day = date.fromisoformat(f"{month}-01")
    if first_day <= prices.effective_from:
        raise Refused(
            f"Version {prices.version} of {prices.code} in {prices.currency} is in force from "
            f"{month_of(prices.effective_from)}; index it from a later month."
        )

    def raised(price: Decimal) -> Decimal:
        return _raised(price, by, prices.currency)

    def overuse(item: OverusePrice | None) -> OverusePrice | None:
        return None if item is None else replace(item, price=raised(item.price))

    tiers = tuple(replace(tier, price=raised(tier.price)) for tier in prices.access.tiers)
    return replace(
        prices,
        version=prices.version + 1,
        effective_from=first_day,
        access=replace(prices.access, tiers=tiers),
        extra_key=raised(prices.extra_key),
        overuse_requests=overuse(prices.overuse_requests),
        overuse_data=overuse(prices.overuse_data),
    )


def price_file(lists: Iterable[PriceList]) -> str:
    """The lists as TOML for `keydesk prices check|publish`; reading it gives the same lists."""
    return "\n".join(map(_table, lists))


def _raised(price: Decimal, by: Decimal, currency: str) -> Decimal:
    places = decimals(currency)
    if places:
        _, _, fraction = f"{price.normalize():f}".partition(".")
        places = max(places, len(fraction))
    exact = Fraction(price) * (100 + Fraction(by)) / 100
    return Decimal(half_away(exact * 10**places)).scaleb(-places)


def _table(prices: PriceList) -> str:
    def price(amount: Decimal) -> str:
        return _text(price_text(amount, prices.currency))

    access = prices.access
    fields = [f'model = "{access.model}"']
    if access.model == "per_unit":
        fields.append(f"price = {price(access.tiers[0].price)}")
    else:
        name = "fee" if access.model == "flat_by_tier" else "price"
        steps = [
            f"{{ {'' if tier.up_to is None else f'up_to = {tier.up_to}, '}{name} = {price(tier.price)} }}"
            for tier in access.tiers
        ]
        fields.append(f"tiers = [{', '.join(steps)}]")
    if access.proration is not None:
        fields.append(f'proration = "{access.proration}"')
    lines = [
        "[[price_list]]",
        f"code = {_text(prices.code)}",
        f"currency = {_text(prices.currency)}",
        f"version = {prices.version}",
        f'effective_from = "{prices.effective_from.isoformat()}"',
        "[price_list.items]",
        f"access = {{ {', '.join(fields)} }}",
        f"extra_key = {{ price = {price(prices.extra_key)} }}",
    ]
    for item in ("overuse_requests", "overuse_data"):
        overuse = prices.overuse(item)
        if overuse is not None:
            included = "".join(
                f"{name} = {number}, "
                for name, number in (
                    ("included_base", overuse.included_base),
                    ("included_per_user", overuse.included_per_user),
                )
                if number
            )
            lines.append(f"{item} = {{ {included}block = {overuse.block}, price = {price(overuse.price)} }}")
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A TOML string: JSON's, which also writes DEL as it stands."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
