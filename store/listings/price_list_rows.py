"""What stands in published price lists, and what a version of one changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from store.database import run_sql
from store.errors import NotFound
from store.fields import instant
from store.listings.selection import marks
from store.rules import price_lists
from store.rules.money import price_text
from store.rules.price_comparison import PriceDifference, compare
from store.rules.price_lists import PriceList as Prices
from store.tables import PriceList


@dataclass(frozen=True, slots=True)
class PriceListRow:
    """One published version. `until` is the first day of the version after it, None for the newest."""

    id: int
    code: str
    currency: str
    version: int
    effective_from: date
    until: date | None
    access: str
    extra_key: str
    published_at: datetime
    published_by: str
    prices: Prices


_ROWS = """
    SELECT p.id, p.code, p.currency, p.version, p.effective_from, p.items, p.published_at, p.published_by,
           (SELECT MIN(n.effective_from) FROM price_list n
            WHERE n.code = p.code AND n.currency = p.currency AND n.version > p.version)
    FROM price_list p WHERE p.id IN ({marks})
"""


def rows(wanted: Sequence[int]) -> dict[int, PriceListRow]:
    """The rows of these versions by id."""
    found = run_sql(_ROWS.format(marks=marks(wanted)), list(wanted)).fetchall()
    return {int(row[0]): _row(*row) for row in found}


def difference(before_id: int | None, after_id: int) -> tuple[PriceDifference, ...]:
    """What the one changed of the other."""
    found = rows([after_id] if before_id is None else [before_id, after_id])
    if after_id not in found:
        raise NotFound("There is no such price list; go back and look again.")
    old = None if before_id is None else found[before_id].prices
    return compare(old, found[after_id].prices)


def _row(
    row_id: int,
    code: str,
    currency: str,
    version: int,
    effective_from: str,
    items: str,
    published_at: int,
    published_by: str,
    until: str | None,
) -> PriceListRow:
    prices = price_lists.parse(
        {
            "code": code,
            "currency": currency,
            "version": version,
            "effective_from": effective_from,
            "items": PriceList.items.python_value(items),
        }
    )
    return PriceListRow(
        row_id,
        code,
        currency,
        version,
        prices.effective_from,
        None if until is None else date.fromisoformat(until),
        _access(prices),
        price_text(prices.extra_key, currency),
        instant(published_at),
        published_by,
        prices,
    )


def _access(prices: Prices) -> str:
    """The fee in a few words: "25.00 a user", "410 to 370 a user", "29.00 to 249.00"."""
    texts = [price_text(tier.price, prices.currency) for tier in prices.access.tiers]
    each = "" if prices.access.model == "flat_by_tier" else " a user"
    return (texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]}") + each
