"""Money is a whole number of a currency's smallest unit; this is how it is read, rounded once, and written."""

import re
from decimal import Decimal
from fractions import Fraction

from store.errors import FormatWrong

# ISO 4217, amendment 176: how many decimals a currency has. Currencies with three (BHD, KWD, TND ...) are left out on
# purpose: an e-invoice after EN 16931 cannot state their amounts (rules BR-DEC-*).
DECIMALS = {
    "AUD": 2, "BGN": 2, "CAD": 2, "CHF": 2, "CNY": 2, "CZK": 2, "DKK": 2, "EUR": 2, "GBP": 2, "HKD": 2, "HUF": 2,
    "INR": 2, "ISK": 0, "JPY": 0, "KRW": 0, "NOK": 2, "NZD": 2, "PLN": 2, "RON": 2, "SEK": 2, "SGD": 2, "TRY": 2,
    "USD": 2, "ZAR": 2,
}  # fmt: skip

_DECIMAL_TEXT = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,6})?", re.ASCII)


def decimals(currency: str) -> int:
    """How many decimals the currency has; FormatWrong when Keydesk cannot bill in it."""
    try:
        return DECIMALS[currency]
    except KeyError:
        raise FormatWrong(
            f"{currency!r} is not a currency Keydesk bills in; use one of {', '.join(DECIMALS)}."
        ) from None


def to_decimal(text: str) -> Decimal:
    """An exact number from text such as "25.00": a decimal point, at most six decimals, no spaces, no exponent."""
    if not _DECIMAL_TEXT.fullmatch(text):
        raise FormatWrong(f"{text!r} is not an amount; write it with digits and a decimal point, such as 49.00.")
    return Decimal(text)


def to_minor(text: str, currency: str) -> int:
    """An amount as people write it, "1250.00", in minor units; more decimals than the currency has are refused."""
    minor = Fraction(to_decimal(text)) * _minor_units(currency)
    if minor.denominator != 1:
        raise FormatWrong(f"{text} has more decimals than {currency} has; write it with {decimals(currency)} decimals.")
    return minor.numerator


def half_away(number: Fraction) -> int:
    """The nearest whole number; a tie goes away from zero, so that a credit is the mirror of its charge."""
    return _divided(number.numerator, number.denominator)


def round_minor(amount: Decimal | Fraction, currency: str) -> int:
    """An exact amount in major units (25.875 kroner), rounded once to minor units, half away from zero."""
    numerator, denominator = amount.as_integer_ratio()
    return _divided(numerator * _minor_units(currency), denominator)


def priced(price: Decimal, quantity: int, share: tuple[int, int], currency: str) -> int:
    """So many at a unit price, for a share (3, 31) of the month, rounded once to minor units, half away from zero."""
    numerator, denominator = price.as_integer_ratio()
    return _divided(numerator * quantity * share[0] * _minor_units(currency), denominator * share[1])


def percent_of(minor: int, percent: Decimal) -> int:
    """A discount or a tax on minor units, rounded once, half away from zero."""
    numerator, denominator = percent.as_integer_ratio()
    return _divided(minor * numerator, denominator * 100)


def _divided(numerator: int, denominator: int) -> int:
    """Whole numbers only, as millions of lines are rounded; the denominator is above zero."""
    whole = (abs(numerator) * 2 + denominator) // (denominator * 2)
    return whole if numerator >= 0 else -whole


def plain(minor: int, currency: str) -> str:
    """For files and records: "1250.00", "-0.50", "4125"."""
    return _written(minor, currency, grouping="")


def amount(minor: int, currency: str) -> str:
    """For people: "NOK 1,250.00", "ISK 4,125", "NOK -0.50"."""
    return f"{currency} {_written(minor, currency, grouping=',')}"


def price_text(price: Decimal, currency: str) -> str:
    """A unit price, which may be finer than the currency: "25.00", "0.0125", "690", but "412.50" for ISK.

    At least the currency's decimals; a price with a fraction shows at least two; none is cut off.
    """
    text = f"{price.normalize():f}"
    whole, _, fraction = text.partition(".")
    places = max(decimals(currency), 2) if fraction else decimals(currency)
    fraction = fraction.ljust(places, "0")
    return f"{whole}.{fraction}" if fraction else whole


def _minor_units(currency: str) -> int:
    """How many make one major unit."""
    return int(10 ** decimals(currency))


def _written(minor: int, currency: str, grouping: str) -> str:
    places = decimals(currency)
    sign = "-" if minor < 0 else ""
    digits = str(abs(minor)).rjust(places + 1, "0")
    whole, fraction = digits[: len(digits) - places], digits[len(digits) - places :]
    grouped = f"{int(whole):{grouping}}"
    return f"{sign}{grouped}.{fraction}" if fraction else f"{sign}{grouped}"
