"""The demo's price lists, one for each currency; they begin with the month in which its world begins."""

from typing import Any, Final

PRICES: Final[tuple[dict[str, Any], ...]] = (
    {
        "code": "API",
        "currency": "NOK",
        "version": 1,
        "items": {"access": {"model": "per_unit", "price": "25.00"}, "extra_key": {"price": "49.00"}},
    },
    {
        "code": "API",
        "currency": "SEK",
        "version": 1,
        "items": {"access": {"model": "per_unit", "price": "26.00"}, "extra_key": {"price": "52.00"}},
    },
    {
        "code": "API",
        "currency": "DKK",
        "version": 1,
        "items": {"access": {"model": "per_unit", "price": "17.50"}, "extra_key": {"price": "34.00"}},
    },
    {
        "code": "API",
        "currency": "EUR",
        "version": 1,
        "items": {
            "access": {
                "model": "flat_by_tier",
                "tiers": [{"up_to": 10, "fee": "29.00"}, {"up_to": 50, "fee": "99.00"}, {"fee": "249.00"}],
            },
            "extra_key": {"price": "4.90"},
        },
    },
    {
        "code": "API",
        "currency": "ISK",
        "version": 1,
        "items": {
            "access": {"model": "graduated", "tiers": [{"up_to": 10, "price": "410"}, {"price": "370"}]},
            "extra_key": {"price": "690"},
        },
    },
)
