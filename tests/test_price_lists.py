"""What is a price list, which one rates a month, and what is refused before it is published?"""

import json
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from store.errors import FormatWrong, Refused
from store.rules.price_lists import (
    AccessPrice,
    OverusePrice,
    PriceList,
    Tier,
    check_publishable,
    in_force,
    parse,
)

WORKED = json.loads((Path(__file__).parent / "billing" / "examples.json").read_text(encoding="utf-8"))
NOK_1, NOK_2, ISK, EUR = (parse(each) for each in WORKED["price_lists"])


def a_list(**changes: Any) -> dict[str, Any]:
    return {
        "code": "API",
        "currency": "NOK",
        "version": 1,
        "effective_from": "2026-01-01",
        "items": {"access": {"model": "per_unit", "price": "25.00"}, "extra_key": {"price": "49.00"}},
        **changes,
    }


def test_a_list_is_read_from_toml_with_dates_and_without_null() -> None:
    text = """
        code = "API"
        currency = "NOK"
        version = 3
        effective_from = 2026-02-01
        [items.access]
        model = "graduated"
        proration = "daily"
        tiers = [{ up_to = 10, price = "25.00" }, { price = "20.00" }]
        [items.extra_key]
        price = 49
        [items.overuse_data]
        included_base = 1000
        block = 5
        price = "0.0125"
    """

    assert parse(tomllib.loads(text)) == PriceList(
        code="API",
        currency="NOK",
        version=3,
        effective_from=date(2026, 2, 1),
        access=AccessPrice("graduated", (Tier(10, Decimal("25.00")), Tier(None, Decimal("20.00"))), "daily"),
        extra_key=Decimal(49),
        overuse_requests=None,
        overuse_data=OverusePrice(included_base=1000, included_per_user=0, block=5, price=Decimal("0.0125")),
    )


def test_flat_fees_by_number_of_users_are_read() -> None:
    assert EUR.access == AccessPrice(
        "flat_by_tier",
        (Tier(10, Decimal("29.00")), Tier(50, Decimal("99.00")), Tier(None, Decimal("249.00"))),
    )


def test_a_list_is_named_by_code_currency_month_and_version() -> None:
    assert NOK_2.ref == "API/NOK@2027-01-01#2"


def access(**item: Any) -> dict[str, Any]:
    return {"access": item, "extra_key": {"price": "49.00"}}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"currency": "KWD"}, "currency: 'KWD' is not a currency Keydesk bills in"),
        ({"code": ""}, "code: text is needed, not ''."),
        ({"version": 0}, "version: a whole number of 1 or more is needed, not 0."),
        ({"version": True}, "version: a whole number of 1 or more is needed, not True."),
        ({"effective_from": "2026-01-02"}, "effective_from: 2026-01-02 is not the first of a month"),
        ({"effective_from": "2026-W01-1"}, "effective_from: a date such as 2026-11-01 is needed, not '2026-W01-1'."),
        ({"effective_from": "2026-02-30"}, "effective_from: a date such as 2026-11-01 is needed, not '2026-02-30'."),
        ({"items": []}, "items: an object with named values is needed."),
        ({"items": {"access": {"model": "per_unit", "price": "1"}}}, "items.extra_key: it is missing."),
        ({"itmes": {}}, "itmes: this name is not known here; known are code, currency,"),
        (
            {"items": access(model="per_user", price="1")},
            "items.access.model: one of per_unit, graduated, flat_by_tier",
        ),
        ({"items": access(model="per_unit", price=25.1)}, "items.access.price: an exact number in quotes is needed"),
        ({"items": access(model="per_unit", price="25,00")}, "items.access.price: '25,00' is not an amount"),
        ({"items": access(model="per_unit", price="-1")}, "items.access.price: it must not be negative"),
        (
            {"items": access(model="per_unit", price="1", proration="weekly")},
            "items.access.proration: one of none, daily",
        ),
        ({"items": access(model="graduated", tiers=[])}, "items.access.tiers: at least one tier is needed."),
        ({"items": access(model="graduated", tiers={})}, "items.access.tiers: a list is needed."),
        (
            {"items": access(model="graduated", tiers=[{"up_to": 10, "price": "1"}])},
            "items.access.tiers[0].up_to: the last tier, and only it, has no upper end.",
        ),
        (
            {"items": access(model="graduated", tiers=[{"price": "1"}, {"price": "1"}])},
            "items.access.tiers[0].up_to: the last tier, and only it, has no upper end.",
        ),
        (
            {
                "items": access(
                    model="graduated",
                    tiers=[{"up_to": 10, "price": "1"}, {"up_to": 10, "price": "1"}, {"price": "1"}],
                )
            },
            "items.access.tiers[1].up_to: it must be above the tier before it.",
        ),
        (
            {"items": access(model="flat_by_tier", tiers=[{"price": "1"}])},
            "items.access.tiers[0].price: this name is not known here; known are up_to, fee.",
        ),
        (
            {"items": {**access(model="per_unit", price="1"), "overuse_data": {"block": 0, "price": "1"}}},
            "items.overuse_data.block: a whole number of 1 or more is needed, not 0.",
        ),
    ],
)
def test_a_wrong_value_is_named_by_its_path(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(FormatWrong) as refused:
        parse(a_list(**changes))

    assert str(refused.value).startswith(complaint)


@pytest.mark.parametrize(
    ("first_day", "ref"),
    [
        (date(2026, 1, 1), "API/NOK@2026-01-01#1"),
        (date(2026, 12, 1), "API/NOK@2026-01-01#1"),
        (date(2027, 1, 1), "API/NOK@2027-01-01#2"),
        (date(2031, 5, 1), "API/NOK@2027-01-01#2"),
    ],
)
def test_the_newest_list_not_after_the_first_day_rates_the_month(first_day: date, ref: str) -> None:
    assert in_force([NOK_2, ISK, NOK_1, EUR], "NOK", "API", first_day).ref == ref


def test_of_two_lists_for_one_month_the_higher_version_rates_it() -> None:
    corrected = parse(a_list(version=9))

    assert in_force([corrected, NOK_1], "NOK", "API", date(2026, 3, 1)) is corrected


@pytest.mark.parametrize(
    ("currency", "code", "first_day"),
    [("NOK", "API", date(2025, 12, 1)), ("SEK", "API", date(2026, 5, 1)), ("NOK", "API-2", date(2026, 5, 1))],
)
def test_without_a_list_in_force_the_month_cannot_be_rated(currency: str, code: str, first_day: date) -> None:
    with pytest.raises(Refused) as refused:
        in_force([NOK_1, NOK_2, ISK, EUR], currency, code, first_day)

    assert str(refused.value) == (
        f"No price list {code} in {currency} is in force for {first_day:%Y-%m}; "
        "publish one with `keydesk prices publish`."
    )


def test_a_fraction_in_a_currency_without_decimals_is_refused_at_publishing() -> None:
    with pytest.raises(Refused) as refused:
        check_publishable(ISK)

    assert (
        str(refused.value) == "items.access.tiers[0]: ISK has no decimals, so 412.50 is refused; write a whole price."
    )


def test_a_fine_price_in_a_currency_with_decimals_and_a_whole_one_without_are_published() -> None:
    check_publishable(NOK_1)
    check_publishable(EUR)
    check_publishable(parse(a_list(items=access(model="per_unit", price="0.0125"))))
    check_publishable(parse(a_list(currency="ISK")))
