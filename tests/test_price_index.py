"""What does the yearly index make of a price list, and can it be published as it is written?"""

import json
import tomllib
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from command import EXAMPLES, Home
from hypothesis import given
from hypothesis import strategies as st

from store.errors import FormatWrong, Refused
from store.rules.price_index import indexed, percent, price_file
from store.rules.price_lists import AccessPrice, OverusePrice, PriceList, Tier, parse

WORKED = json.loads((Path(__file__).parent / "billing" / "examples.json").read_text(encoding="utf-8"))
NOK_1, NOK_2 = (parse(each) for each in WORKED["price_lists"][:2])


def test_the_worked_list_by_three_and_a_half_percent_is_the_worked_list_of_the_year_after() -> None:
    assert indexed(NOK_1, Decimal("3.5"), "2027-01") == NOK_2


@pytest.mark.parametrize(
    ("price", "currency", "by", "raised"),
    [
        ("25.00", "NOK", "3.5", "25.88"),  # 25.875: a tie goes away from zero
        ("49.00", "NOK", "3.5", "50.72"),  # 50.715
        ("0.01", "NOK", "3.5", "0.01"),
        ("0.00", "NOK", "3.5", "0.00"),
        ("690", "ISK", "3.5", "714"),  # 714.15
        ("10", "ISK", "5", "11"),  # 10.5
        ("0.0125", "NOK", "3.5", "0.0129"),  # 0.0129375: finer than an øre before, and after
        ("100.00", "EUR", "-2.5", "97.50"),
        ("0.10", "EUR", "-5", "0.10"),  # 0.095
        ("999999999999999.99", "NOK", "100", "1999999999999999.98"),
    ],
)
def test_a_price_is_rounded_once_half_away_from_zero_when_it_is_indexed(
    price: str, currency: str, by: str, raised: str
) -> None:
    before = replace(NOK_1, currency=currency, extra_key=Decimal(price), overuse_requests=None, overuse_data=None)

    assert indexed(before, Decimal(by), "2027-01").extra_key == Decimal(raised)


def test_tiers_blocks_and_what_is_included_stay() -> None:
    before = PriceList(
        code="API",
        currency="EUR",
        version=4,
        effective_from=date(2026, 3, 1),
        access=AccessPrice("flat_by_tier", (Tier(10, Decimal("29.00")), Tier(None, Decimal("99.00"))), "daily"),
        extra_key=Decimal("4.90"),
        overuse_requests=OverusePrice(1000, 20, 500, Decimal("10.00")),
        overuse_data=None,
    )

    assert indexed(before, Decimal(10), "2026-12") == PriceList(
        code="API",
        currency="EUR",
        version=5,
        effective_from=date(2026, 12, 1),
        access=AccessPrice("flat_by_tier", (Tier(10, Decimal("31.90")), Tier(None, Decimal("108.90"))), "daily"),
        extra_key=Decimal("5.39"),
        overuse_requests=OverusePrice(1000, 20, 500, Decimal("11.00")),
        overuse_data=None,
    )


@pytest.mark.parametrize("month", ["2026-01", "2025-12"])
def test_a_month_in_which_the_version_is_in_force_already_is_refused(month: str) -> None:
    with pytest.raises(Refused, match=r"^Version 1 of API in NOK is in force from 2026-01; index it from a later mon"):
        indexed(NOK_1, Decimal("3.5"), month)


@pytest.mark.parametrize(
    ("text", "number"),
    [("3.5%", "3.5"), ("3.5", "3.5"), ("3.5 %", "3.5"), ("+4%", "4"), ("-2.25%", "-2.25"), ("100%", "100")],
)
def test_a_percentage_is_read_as_people_write_it(text: str, number: str) -> None:
    assert percent(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "%", "3,5%", "1e1%", "three", "3.5%%", "3 5%", "٣%", "nan", "3.5\n4"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(FormatWrong, match=r" is not a percentage; write it with a decimal point, such as 3\.5%\.$"):
        percent(text)


@pytest.mark.parametrize("text", ["0%", "350%", "100.01", "-51%"])
def test_a_slip_of_the_hand_is_no_index(text: str) -> None:
    with pytest.raises(FormatWrong, match=r" is not an index; write a percentage from -50 to 100 that changes somethi"):
        percent(text)


PRICES = st.decimals(min_value=0, max_value=10**9, places=2)
OVERUSE = st.none() | st.builds(
    OverusePrice,
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(1, 10**12),
    st.decimals(min_value=0, max_value=10**6, places=4),
)
TIERS = (
    st.lists(st.integers(1, 10**6), unique=True, max_size=4)
    .map(sorted)
    .flatmap(lambda ends: st.tuples(*(st.builds(Tier, st.just(end), PRICES) for end in [*ends, None])))
)
ACCESS = st.builds(
    AccessPrice, st.sampled_from(["graduated", "flat_by_tier"]), TIERS, st.sampled_from([None, "none", "daily"])
) | st.builds(AccessPrice, st.just("per_unit"), st.tuples(st.builds(Tier, st.none(), PRICES)), st.just("daily"))
LISTS = st.builds(
    PriceList,
    code=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip),
    currency=st.sampled_from(["NOK", "EUR"]),
    version=st.integers(1, 10**6),
    effective_from=st.dates(date(2001, 1, 1), date(2099, 1, 1)).map(lambda day: day.replace(day=1)),
    access=ACCESS,
    extra_key=PRICES,
    overuse_requests=OVERUSE,
    overuse_data=OVERUSE,
)


@given(lists=st.lists(LISTS, min_size=1, max_size=3))
def test_a_price_file_gives_the_same_lists_when_it_is_read_whatever_they_are_called(lists: list[PriceList]) -> None:
    assert [parse(table) for table in tomllib.loads(price_file(lists))["price_list"]] == lists


@given(prices=LISTS, by=st.decimals(min_value=-50, max_value=100, places=3))
def test_no_indexed_price_is_further_from_the_exact_one_than_half_an_oere(prices: PriceList, by: Decimal) -> None:
    after = indexed(prices, by, "2150-01")

    assert abs(Fraction(after.extra_key) - Fraction(prices.extra_key) * (100 + Fraction(by)) / 100) <= Fraction(1, 200)


def test_the_index_is_written_as_a_file_with_the_prices_before_and_after_and_is_published_as_it_is(home: Home) -> None:
    said = home.keydesk("prices", "index", "3.5%", "--from", "2027-01")

    assert said.status == 0
    assert said.out == (EXAMPLES / "prices-2027.toml").read_text(encoding="utf-8")
    heads = [line for line in said.err.splitlines() if not line.startswith(" ")]
    assert heads[2:4] == [
        "API/ISK@2027-01-01#2 instead of API/ISK@2026-01-01#1",
        "API/NOK@2027-01-01#2 instead of API/NOK@2026-01-01#1",
    ]
    of_nok = said.err.split(f"{heads[3]}\n")[1].split("API/SEK@")[0].splitlines()
    assert [line.split()[-4:] for line in of_nok] == [
        ["25.00", "25.88", "+3.5", "%"],
        ["49.00", "50.72", "+3.5", "%"],
        ["60.00", "62.10", "+3.5", "%"],
        ["40.00", "41.40", "+3.5", "%"],
    ]
    assert home.counts()["price_list"] == 5
    file = home.path / "new.toml"
    file.write_text(said.out, encoding="utf-8")
    assert home.keydesk("prices", "publish", file).status == 0
    shown = home.keydesk("prices", "show", "--currency", "isk")
    assert parse(tomllib.loads(shown.out)["price_list"][0]).version == 2
    assert shown.err.splitlines()[0] == "API/ISK@2027-01-01#2, compared with the version before"
    older = home.keydesk("prices", "show", "--currency", "isk", "--version", "1")
    assert (parse(tomllib.loads(older.out)["price_list"][0]).version, older.err) == (1, "")
    listed = home.keydesk("prices", "list", "--currency", "SEK").out.splitlines()
    assert [line[:75] for line in listed] == [
        "list                     from     until    access                    extra ",
        "API SEK 2                2027-01           26.91 a user                  53",
        "API SEK 1                2026-01  2027-01  26.00 a user                  52",
    ]


def test_only_the_list_and_the_currency_asked_for_are_indexed(home: Home) -> None:
    said = home.keydesk("prices", "index", "3.5%", "--from", "2027-01", "--code", "API", "--currency", "nok")

    (table,) = tomllib.loads(said.out)["price_list"]
    assert parse(table) == NOK_2
    missing = home.keydesk("prices", "index", "3.5%", "--from", "2027-01", "--code", "OTHER")
    assert (missing.status, missing.out) == (1, "")
    assert missing.err == ("keydesk: No price list OTHER is published; publish one with `keydesk prices publish`.\n")
