"""How are amounts read, rounded and written?"""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import FormatWrong
from store.rules.money import amount, percent_of, plain, price_text, round_minor, to_minor


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1250.00", "NOK", 125000),
        ("1250", "NOK", 125000),
        ("0.5", "EUR", 50),
        ("-147.00", "NOK", -14700),
        ("4125", "ISK", 4125),
        ("4125.00", "ISK", 4125),
        ("12.500", "SEK", 1250),
    ],
)
def test_an_amount_is_read_into_minor_units(text: str, currency: str, minor: int) -> None:
    assert to_minor(text, currency) == minor


@pytest.mark.parametrize(
    "text", ["", "1,250.00", "1 250", "12,50", "1e3", "NaN", "Infinity", ".5", "5.", "+5", "٣", "1.0000001"]
)
def test_an_amount_written_otherwise_is_refused(text: str) -> None:
    with pytest.raises(
        FormatWrong, match=r"is not an amount; write it with digits and a decimal point, such as 49\.00"
    ):
        to_minor(text, "NOK")


def test_more_decimals_than_the_currency_has_are_refused_not_rounded() -> None:
    with pytest.raises(FormatWrong, match=r"^1\.005 has more decimals than NOK has; write it with 2 decimals\.$"):
        to_minor("1.005", "NOK")
    with pytest.raises(FormatWrong, match=r"^412\.5 has more decimals than ISK has; write it with 0 decimals\.$"):
        to_minor("412.5", "ISK")


@pytest.mark.parametrize("currency", ["KWD", "BHD", "TND", "nok", "XXX", ""])
def test_a_currency_with_three_decimals_or_unknown_is_refused(currency: str) -> None:
    with pytest.raises(FormatWrong, match="is not a currency Keydesk bills in; use one of AUD, "):
        plain(1, currency)


@pytest.mark.parametrize(
    ("exact", "currency", "minor"),
    [
        (Decimal("6.125"), "NOK", 613),
        (Decimal("-6.125"), "NOK", -613),
        (Decimal("6.1249999"), "NOK", 612),
        (Decimal("0.005"), "NOK", 1),
        (Decimal("-0.005"), "NOK", -1),
        (Decimal("2598.75"), "ISK", 2599),
        (Decimal("0.5"), "JPY", 1),
        (Decimal("2.5"), "JPY", 3),
        (Fraction(250 * 3, 31), "NOK", 2419),
        (Decimal("28.9935"), "EUR", 2899),
        (Decimal(0), "NOK", 0),
    ],
)
def test_a_tie_is_rounded_away_from_zero(exact: Decimal | Fraction, currency: str, minor: int) -> None:
    assert round_minor(exact, currency) == minor


@pytest.mark.parametrize(
    ("minor", "percent", "part"),
    [
        (8700, "10", 870),
        (2450, "25", 613),
        (-2450, "25", -613),
        (11370, "25.5", 2899),
        (6724, "24", 1614),
        (1, "50", 1),
    ],
)
def test_a_percentage_is_rounded_once(minor: int, percent: str, part: int) -> None:
    assert percent_of(minor, Decimal(percent)) == part


@pytest.mark.parametrize(
    ("minor", "currency", "for_people", "for_files"),
    [
        (125000, "NOK", "NOK 1,250.00", "1250.00"),
        (4125, "ISK", "ISK 4,125", "4125"),
        (5, "EUR", "EUR 0.05", "0.05"),
        (-50, "NOK", "NOK -0.50", "-0.50"),
        (-123456789, "SEK", "SEK -1,234,567.89", "-1234567.89"),
        (0, "NOK", "NOK 0.00", "0.00"),
        (0, "ISK", "ISK 0", "0"),
    ],
)
def test_an_amount_is_written_for_people_and_for_files(
    minor: int, currency: str, for_people: str, for_files: str
) -> None:
    assert (amount(minor, currency), plain(minor, currency)) == (for_people, for_files)


@pytest.mark.parametrize(
    ("price", "currency", "text"),
    [
        ("25", "NOK", "25.00"),
        ("25.5", "NOK", "25.50"),
        ("0.0125", "NOK", "0.0125"),
        ("49.00", "NOK", "49.00"),
        ("100", "NOK", "100.00"),
        ("690", "ISK", "690"),
        ("412.5", "ISK", "412.50"),
        ("0", "EUR", "0.00"),
        ("1000000", "ISK", "1000000"),
    ],
)
def test_a_unit_price_keeps_every_decimal_it_has(price: str, currency: str, text: str) -> None:
    assert price_text(Decimal(price), currency) == text


@given(minor=st.integers(-(10**15) + 1, 10**15 - 1), currency=st.sampled_from(["NOK", "EUR", "ISK", "JPY"]))
def test_what_is_written_for_files_is_read_back_the_same(minor: int, currency: str) -> None:
    assert to_minor(plain(minor, currency), currency) == minor


@given(exact=st.fractions(-(10**9), 10**9, max_denominator=10**6), currency=st.sampled_from(["NOK", "ISK"]))
def test_rounding_is_never_off_by_more_than_half_and_mirrors_its_credit(exact: Fraction, currency: str) -> None:
    rounded = round_minor(exact, currency)

    assert abs(rounded - exact * {"NOK": 100, "ISK": 1}[currency]) <= Fraction(1, 2)
    assert round_minor(-exact, currency) == -rounded
