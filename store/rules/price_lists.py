"""Price lists: what things cost in one currency from one month on, never changed once published."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from store.errors import FormatWrong, Refused
from store.rules.money import decimals, price_text
from store.rules.reading import Reading

AccessModel = Literal["per_unit", "graduated", "flat_by_tier"]
Proration = Literal["none", "daily"]

_MODELS: tuple[AccessModel, ...] = ("per_unit", "graduated", "flat_by_tier")
_PRORATIONS: tuple[Proration, ...] = ("none", "daily")


@dataclass(frozen=True, slots=True)
class Tier:
    """One step of a scale. `up_to` is its last user, None in the last one; `price` is per user or, if flat, for all."""

    up_to: int | None
    price: Decimal


@dataclass(frozen=True, slots=True)
class AccessPrice:
    """The general access fee: a price per licensed user, a graduated scale of them, or one fee by number of users.

    `per_unit` has exactly one tier. `proration` None leaves the question to the policy.
    """

    model: AccessModel
    tiers: tuple[Tier, ...]
    proration: Proration | None = None


@dataclass(frozen=True, slots=True)
class OverusePrice:
    """Price of each started block beyond what is included; requests or bytes."""

    included_base: int
    included_per_user: int
    block: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class PriceList:
    """One version. Overuse that is None is never billed."""

    code: str
    currency: str
    version: int
    effective_from: date
    access: AccessPrice
    extra_key: Decimal
    overuse_requests: OverusePrice | None
    overuse_data: OverusePrice | None

    @property
    def ref(self) -> str:
        """How lines and logs name it: "API/NOK@2026-01-01#1"."""
        return f"{self.code}/{self.currency}@{self.effective_from.isoformat()}#{self.version}"

    def overuse(self, item: str) -> OverusePrice | None:
        """The item of that line key, `overuse_requests` or `overuse_data`."""
        return self.overuse_requests if item == "overuse_requests" else self.overuse_data


def parse(mapping: Mapping[str, object]) -> PriceList:
    """A price list from a TOML or JSON object; FormatWrong names the path of the first wrong value."""
    top = Reading(mapping, "")
    top.only("code", "currency", "version", "effective_from", "note", "items")
    currency = top.text("currency")
    try:
        decimals(currency)
    except FormatWrong as wrong:
        raise FormatWrong(f"currency: {wrong}") from None
    effective_from = top.day("effective_from")
    if effective_from.day != 1:
        raise FormatWrong(
            f"effective_from: {effective_from} is not the first of a month; a price list begins with a month."
        )
    items = top.inner("items")
    items.only("access", "extra_key", "overuse_requests", "overuse_data")
    return PriceList(
        code=top.text("code"),
        currency=currency,
        version=top.whole("version", least=1),
        effective_from=effective_from,
        access=_access(items.inner("access")),
        extra_key=_only_price(items.inner("extra_key")),
        overuse_requests=_overuse(items.inner("overuse_requests")) if items.has("overuse_requests") else None,
        overuse_data=_overuse(items.inner("overuse_data")) if items.has("overuse_data") else None,
    )


def in_force(lists: Iterable[PriceList], currency: str, code: str, first_day: date) -> PriceList:
    """The list that rates the month beginning on `first_day`, also when that month is rated again years later."""
    candidates = [
        price_list
        for price_list in lists
        if price_list.code == code and price_list.currency == currency and price_list.effective_from <= first_day
    ]
    if not candidates:
        month = first_day.isoformat()[:7]
        raise Refused(
            f"No price list {code} in {currency} is in force for {month}; publish one with `keydesk prices publish`."
        )
    return max(candidates, key=lambda price_list: (price_list.effective_from, price_list.version))


def check_publishable(price_list: PriceList) -> None:
    """Refused when a unit price has decimals its currency lacks.

    Quantity times price would not equal the rounded line, and e-invoices are checked for that (PEPPOL-EN16931-R120).
    """
    if decimals(price_list.currency) > 0:
        return
    for path, price in _prices(price_list):
        if price % 1:
            written = price_text(price, price_list.currency)
            raise Refused(
                f"{path}: {price_list.currency} has no decimals, so {written} is refused; write a whole price."
            )


def _access(item: Reading) -> AccessPrice:
    model = item.choice("model", _MODELS)
    proration = item.choice("proration", _PRORATIONS) if item.has("proration") else None
    if model == "per_unit":
        item.only("model", "price", "proration")
        return AccessPrice(model, (Tier(None, item.price("price")),), proration)
    item.only("model", "tiers", "proration")
    amount_key = "fee" if model == "flat_by_tier" else "price"
    return AccessPrice(model, _tiers(item, amount_key), proration)


def _tiers(item: Reading, amount_key: str) -> tuple[Tier, ...]:
    """Ascending; TOML has no null, so the last tier may also leave `up_to` out."""
    tiers: list[Tier] = []
    rows = item.rows("tiers")
    if not rows:
        raise item.wrong("tiers", "at least one tier is needed")
    for number, row in enumerate(rows, start=1):
        row.only("up_to", amount_key)
        last = number == len(rows)
        up_to = row.whole("up_to", least=1) if row.given("up_to") else None
        if last != (up_to is None):
            raise row.wrong("up_to", "the last tier, and only it, has no upper end")
        if tiers and up_to is not None and up_to <= (tiers[-1].up_to or 0):
            raise row.wrong("up_to", "it must be above the tier before it")
        tiers.append(Tier(up_to, row.price(amount_key)))
    return tuple(tiers)


def _only_price(item: Reading) -> Decimal:
    item.only("price")
    return item.price("price")


def _overuse(item: Reading) -> OverusePrice:
    item.only("included_base", "included_per_user", "block", "price")
    return OverusePrice(
        included_base=item.whole("included_base", least=0) if item.has("included_base") else 0,
        included_per_user=item.whole("included_per_user", least=0) if item.has("included_per_user") else 0,
        block=item.whole("block", least=1),
        price=item.price("price"),
    )


def _prices(price_list: PriceList) -> Iterable[tuple[str, Decimal]]:
    """Each price with its path in the file."""
    one = price_list.access.model == "per_unit"
    for number, tier in enumerate(price_list.access.tiers):
        yield ("items.access.price" if one else f"items.access.tiers[{number}]"), tier.price
    yield "items.extra_key.price", price_list.extra_key
    for item in ("overuse_requests", "overuse_data"):
        overuse = price_list.overuse(item)
        if overuse is not None:
            yield f"items.{item}.price", overuse.price
