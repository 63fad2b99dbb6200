"""What an import may say about companies, users and licences: each column, how it is read, and its default.

A column that is not there says nothing: the stored value stays, and a new row takes the default. An empty cell (`null`
in JSON) says the default.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from store.errors import FormatWrong
from store.rules import calendar, endpoints, money
from store.rules.addresses import Address, check_address
from store.rules.text import check_name, one_line

Place = tuple[int, int]
"""Which source (a file, or one list of a JSON file), and the line in it (in JSON the number of the object, from 0)."""


class CompanyRow(NamedTuple):
    """A company as a file tells it; None where the file says nothing."""

    place: Place
    id: str
    name: str
    currency: str
    time_zone: str | None
    language: str | None
    billing_reference: str | None
    price_list: str | None
    vat_category: str | None
    vat_rate: str | None
    active: bool | None
    organisation_number: str | None = None
    vat_id: str | None = None
    endpoint: str | None = None
    street: str | None = None
    city: str | None = None
    postal_code: str | None = None
    country: str | None = None
    invoice_email: str | None = None


class UserRow(NamedTuple):
    """A user as a file tells it; None where the file says nothing."""

    place: Place
    company: str
    id: str
    name: str
    email: Address | None
    active: bool | None
    licensed: bool | None
    rights: tuple[str, ...] | None


class LicenceRow(NamedTuple):
    """How many licensed users a company pays for, from an instant or from the start of a local day on."""

    place: Place
    company: str
    start: datetime | date
    licences: int


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `types` is what JSON may write; `read` takes text that is not empty, or raises FormatWrong."""

    name: str
    read: Callable[[str], Any]
    required: bool = False
    default: Any = None
    types: tuple[type, ...] = (str,)

    def take(self, text: str) -> Any:
        """The value of a cell; FormatWrong says what is wrong with it."""
        if text and not text.isspace():
            return self.read(text)
        if self.required:
            raise FormatWrong("it is empty, and it is needed.")
        return self.default


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file can be about. `row` takes the place and the values in the order of the columns."""

    name: str
    row: Callable[..., Any]
    columns: tuple[Column, ...]
    identity: tuple[str, ...]  # the columns that no two rows share; () where only the store can tell

    def names(self) -> list[str]:
        """The columns as a header writes them."""
        return [column.name for column in self.columns]

    def defaults(self) -> dict[str, Any]:
        """What a new row has where the file says nothing; the identity is no part of it."""
        return {column.name: column.default for column in self.columns if column.name not in {"id", "company"}}


def kinds(default_zone: str) -> tuple[Kind, ...]:
    """The three kinds; a company that names no time zone has `default_zone`."""
    whole, yes_or_no, number = (str, int), (bool,), (str, int, Decimal)
    return (
        Kind(
            "companies",
            CompanyRow,
            (
                Column("id", _identity, required=True, types=whole),
                Column("name", _name, required=True),
                Column("currency", _currency, required=True),
                Column("time_zone", _zone, default=default_zone),
                Column("language", _language, default="en"),
                Column("billing_reference", _identity, default="", types=whole),
                Column("price_list", _price_list, default="API"),
                Column("vat_category", _vat_category, default="S"),
                Column("vat_rate", _vat_rate, default="25", types=number),
                Column("active", _truth, default=True, types=yes_or_no),
                Column("organisation_number", _organisation_number, default="", types=whole),
                Column("vat_id", _vat_id, default=""),
                Column("endpoint", endpoints.check, default=""),
                Column("street", _name, default=""),
                Column("city", _city, default=""),
                Column("postal_code", _postal_code, default="", types=whole),
                Column("country", _country, default=""),
                Column("invoice_email", _invoice_email, default=""),
            ),
            ("id",),
        ),
        Kind(
            "users",
            UserRow,
            (
                Column("company", _identity, required=True, types=whole),
                Column("id", _identity, required=True, types=whole),
                Column("name", _name, required=True),
                Column("email", _address, default=Address("", "")),
                Column("active", _truth, default=True, types=yes_or_no),
                Column("licensed", _truth, default=True, types=yes_or_no),
                Column("rights", _rights, default=(), types=(list,)),
            ),
            ("company", "id"),
        ),
        Kind(
            "licences",
            LicenceRow,
            (
                Column("company", _identity, required=True, types=whole),
                Column("from", _start, required=True),
                Column("licences", _licences, required=True, types=(int,)),
            ),
            (),
        ),
    )


def _identity(text: str) -> str:
    return _kept(text, 64)


def _name(text: str) -> str:
    return _kept(text, 128)


def _kept(text: str, limit: int) -> str:
    """What check_name gives; the plain case is decided without looking at each character."""
    plain = text.isprintable() and len(text) <= limit and text[0] in _INK and text[-1] != " "
    if plain and (text.isascii() or unicodedata.is_normalized("NFC", text)):
        return text
    return check_name(text, "it", limit)


_INK = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")


def _currency(text: str) -> str:
    code = text.strip()
    if not re.fullmatch(r"[A-Z]{3}", code):
        raise FormatWrong(f"“{one_line(code, 40)}” is not a currency; write three capital letters, such as NOK.")
    money.decimals(code)
    return code


def _zone(text: str) -> str:
    return calendar.zone(text.strip()).key


def _language(text: str) -> str:
    code = text.strip()
    if not re.fullmatch(r"[a-z]{2}(?:-[A-Z]{2})?", code):
        raise FormatWrong(f"“{one_line(code, 40)}” is not a language; write a code such as en or nb.")
    return code


def _price_list(text: str) -> str:
    return _kept(text, 32)


def _vat_category(text: str) -> str:
    code = text.strip()
    if code not in _VAT_CATEGORIES:
        known = ", ".join(_VAT_CATEGORIES)
        raise FormatWrong(f"“{one_line(code, 40)}” is not a VAT category; use one of {known}.")
    return code


# UNCL 5305, as EN 16931 allows it.
_VAT_CATEGORIES = ("S", "Z", "E", "AE", "K", "G", "O", "L", "M")


def _vat_rate(text: str) -> str:
    rate = text.strip()
    if not re.fullmatch(r"(?:100|[0-9]{1,2})(?:\.[0-9]{1,2})?", rate) or Decimal(rate) > 100:
        raise FormatWrong(f"“{one_line(rate, 40)}” is not a percentage; write 0 to 100, such as 25 or 25.5.")
    return rate


def _organisation_number(text: str) -> str:
    number = _kept(text.strip(), 32)
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z ./-]*", number, re.ASCII):
        raise FormatWrong(f"“{number}” is not an organisation number; write its digits and letters, such as 987654325.")
    return number.replace(" ", "")


def _vat_id(text: str) -> str:
    found = text.strip().replace(" ", "")
    if not re.fullmatch(r"[A-Z]{2}[0-9A-Z+*]{2,18}", found, re.ASCII):
        raise FormatWrong(
            f"“{one_line(found, 40)}” is not a VAT number; begin with the country's two letters, as in NO987654325MVA."
        )
    return found


def _city(text: str) -> str:
    return _kept(text, 64)


def _postal_code(text: str) -> str:
    return _kept(text, 16)


def _country(text: str) -> str:
    code = text.strip()
    if not re.fullmatch(r"[A-Z]{2}", code):
        raise FormatWrong(f"“{one_line(code, 40)}” is not a country; write two capital letters, such as NO.")
    return code


def _invoice_email(text: str) -> str:
    return check_address(text).shown


def _truth(text: str) -> bool:
    try:
        return _TRUTHS[text.strip().lower()]
    except KeyError:
        raise FormatWrong(f"“{one_line(text, 40)}” is neither yes nor no; write one of them.") from None


_TRUTHS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def _address(text: str) -> Address:
    """What check_address gives; a plain address in a domain that was seen before costs nothing."""
    local, _, domain = text.strip().rpartition("@")
    if _PLAIN_LOCAL.fullmatch(local) and len(local) + len(domain) < 200:
        found = _domain(domain)
        if found is not None:
            return Address(f"{local}@{found[0]}", f"{local}@{found[1]}")
    return check_address(text)


_PLAIN_LOCAL = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*", re.ASCII)


@lru_cache(maxsize=8192)
def _domain(domain: str) -> tuple[str, str] | None:
    """The domain as shown and in ASCII; None when it is none, which check_address then explains."""
    try:
        checked = check_address(f"x@{domain}")
    except FormatWrong:
        return None
    return checked.shown[2:], checked.ascii[2:]


@lru_cache(maxsize=8192)
def _rights(text: str) -> tuple[str, ...]:
    """Separated by semicolons, in the order given, each once."""
    return tuple(dict.fromkeys(_kept(right.strip(), 128) for right in text.split(";") if right.strip()))


def _licences(text: str) -> int:
    number = text.strip()
    if not re.fullmatch(r"[0-9]{1,7}", number, re.ASCII):
        raise FormatWrong(f"“{one_line(number, 40)}” is not a number of licences; write a whole number from 0 on.")
    return int(number)


def _start(text: str) -> datetime | date:
    """A local day, or an aware UTC instant."""
    start = text.strip()
    shown = f"“{one_line(start, 40)}”"
    is_day, is_instant = _DAY.fullmatch(start), _INSTANT.fullmatch(start)
    if not is_day and not is_instant:
        if _INSTANT.fullmatch(start + "Z"):
            raise FormatWrong(f"{shown} has no offset from UTC; end it with Z or one like +01:00, or write a day only.")
        raise FormatWrong(f"{shown} is not a date; write one like 2026-11-01, or 2026-11-01T09:00:00+01:00.")
    try:
        found: datetime | date = date.fromisoformat(start) if is_day else datetime.fromisoformat(start)
    except ValueError:
        raise FormatWrong(f"{shown} is a date or time that does not exist; correct it.") from None
    if not 1970 < found.year < 2200:
        raise FormatWrong(f"{shown} is outside 1971 to 2199; correct it.")
    return found.astimezone(UTC).replace(microsecond=0) if isinstance(found, datetime) else found


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})", re.ASCII)
