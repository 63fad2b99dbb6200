"""The demo's price lists, one for each currency; they begin with the month in which its world begins."""

from datetime import date
from typing import Any, Final

_ACCESS: Final[dict[str, dict[str, Any]]] = {
    "NOK": {"model": "per_unit", "price": "25.00"},
    "SEK": {"model": "per_unit", "price": "26.00"},
    "DKK": {"model": "per_unit", "price": "17.50"},
    "EUR": {
        "model": "flat_by_tier",
        "tiers": [{"up_to": 10, "fee": "29.00"}, {"up_to": 50, "fee": "99.00"}, {"fee": "249.00"}],
    },
    "ISK": {"model": "graduated", "tiers": [{"up_to": 10, "price": "410"}, {"price": "370"}]},
}
# Of an extra key, of a started block of requests, of a started block of data.
_PRICES: Final = {
    "NOK": ("49.00", "60.00", "40.00"),
    "SEK": ("52.00", "63.00", "42.00"),
    "DKK": ("34.00", "41.00", "27.00"),
    "EUR": ("4.90", "5.90", "3.90"),
    "ISK": ("690", "840", "560"),
}
REQUESTS: Final = {"included_base": 20_000, "included_per_user": 500, "block": 10_000}
DATA: Final = {"included_base": 2_000_000_000, "included_per_user": 50_000_000, "block": 5_000_000_000}


def lists(first_day: date) -> list[dict[str, Any]]:
    """The first version of each, as a price file has them."""
    return [
        {
            "code": "API",
            "currency": currency,
            "version": 1,
            "effective_from": first_day,
            "items": {
                "access": _ACCESS[currency],
                "extra_key": {"price": key},
                "overuse_requests": {**REQUESTS, "price": requests},
                "overuse_data": {**DATA, "price": data},
            },
        }
        for currency, (key, requests, data) in _PRICES.items()
    ]
