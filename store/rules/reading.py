"""Reading a nested TOML or JSON object so that every complaint names the path of the wrong value."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeVar

from store.errors import FormatWrong
from store.rules.money import to_decimal

_Choice = TypeVar("_Choice", bound=str)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:Z|\+00:00)", re.ASCII)
_LARGEST = 10**18  # what a database keeps; far beyond any number of users, calls or bytes
_YEARS = range(1900, 3000)  # what every calendar rule can reckon with


class Reading:
    """One object of the file at `path` ("" at the top, else "items.access")."""

    def __init__(self, value: object, path: str) -> None:
        """FormatWrong when the value is no object with text keys."""
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise FormatWrong(f"{path or 'The file'}: an object with named values is needed.")
        self.values: Mapping[str, object] = value
        self.path = path

    def at(self, key: str) -> str:
        """The path of one value."""
        return f"{self.path}.{key}" if self.path else key

    def wrong(self, key: str, why: str) -> FormatWrong:
        """The error to raise for one value."""
        return FormatWrong(f"{self.at(key)}: {why}.")

    def only(self, *known: str) -> None:
        """Refuse names that nobody reads, so that a misspelt one is not silently without effect."""
        for key in self.values:
            if key not in known:
                raise self.wrong(key, f"this name is not known here; known are {', '.join(known)}")

    def has(self, key: str) -> bool:
        """The name is there, whatever its value."""
        return key in self.values

    def given(self, key: str) -> bool:
        """The name is there and not null."""
        return self.values.get(key) is not None

    def raw(self, key: str) -> object:
        """The value as it stands; FormatWrong when it is missing."""
        if key not in self.values:
            raise self.wrong(key, "it is missing")
        return self.values[key]

    def text(self, key: str) -> str:
        """Text with at least one character."""
        value = self.raw(key)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, f"text is needed, not {value!r}")
        return value

    def identity(self, key: str) -> str | int:
        """An opaque id: text or a whole number."""
        value = self.raw(key)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise self.wrong(key, f"an id is needed, not {value!r}")
        return value

    def truth(self, key: str) -> bool:
        """True or false."""
        value = self.raw(key)
        if not isinstance(value, bool):
            raise self.wrong(key, f"true or false is needed, not {value!r}")
        return value

    def whole(self, key: str, *, least: int, most: int = _LARGEST) -> int:
        """A whole number from `least` to `most`."""
        value = self.raw(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            shown = value if isinstance(value, Decimal) else repr(value)
            raise self.wrong(key, f"a whole number of {least} or more is needed, not {shown}")
        if value > most:
            raise self.wrong(key, f"a whole number of at most {most} is needed")
        return value

    def choice(self, key: str, allowed: tuple[_Choice, ...]) -> _Choice:
        """One of a few words."""
        value = self.raw(key)
        for word in allowed:
            if value == word:
                return word
        raise self.wrong(key, f"one of {', '.join(allowed)} is needed, not {value!r}")

    def choices(self, key: str, allowed: tuple[_Choice, ...]) -> tuple[_Choice, ...]:
        """A list of these words."""
        values = self.raw(key)
        words = tuple(word for word in allowed if isinstance(values, list | tuple) and word in values)
        if not isinstance(values, list | tuple) or len(words) != len(values):
            raise self.wrong(key, f"a list of {', '.join(allowed)} is needed, not {values!r}")
        return words

    def number(self, key: str) -> Decimal:
        """An exact number of zero or more. Binary fractions are refused: 0.1 would not be 0.1."""
        value = self.raw(key)
        if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
            value = str(value)
        if not isinstance(value, str):
            raise self.wrong(key, f'an exact number in quotes is needed, such as "49.00", not {value!r}')
        try:
            number = to_decimal(value)
        except FormatWrong as wrong:
            raise FormatWrong(f"{self.at(key)}: {wrong}") from None
        if number < 0:
            raise self.wrong(key, f"it must not be negative, and it is {value}")
        return number

    def price(self, key: str) -> Decimal:
        """A unit price in major units."""
        return self.number(key)

    def percent(self, key: str) -> Decimal:
        """From 0 to 100."""
        value = self.number(key)
        if value > 100:
            raise self.wrong(key, f"a percentage from 0 to 100 is needed, not {value}")
        return value

    def day(self, key: str) -> date:
        """A date such as 2026-11-01."""
        value = read = self.raw(key)
        try:
            if isinstance(value, str) and _DAY.fullmatch(value):
                read = date.fromisoformat(value)
        except ValueError:
            pass
        if not isinstance(read, date) or isinstance(read, datetime):
            raise self.wrong(key, f"a date such as 2026-11-01 is needed, not {value!r}")
        if read.year not in _YEARS:
            raise self.wrong(key, f"a date from 1900 to 2999 is needed, not {value}")
        return read

    def instant(self, key: str) -> datetime:
        """A UTC instant such as 2026-11-01T09:00:00Z."""
        value = read = self.raw(key)
        try:
            if isinstance(value, str) and _INSTANT.fullmatch(value):
                read = datetime.fromisoformat(value)
        except ValueError:
            pass
        if not isinstance(read, datetime) or read.tzinfo is None or read.microsecond:
            raise self.wrong(key, f"a UTC instant such as 2026-11-01T09:00:00Z is needed, not {value!r}")
        if read.year not in _YEARS:
            raise self.wrong(key, f"an instant from 1900 to 2999 is needed, not {value}")
        return read.astimezone(UTC)

    def inner(self, key: str) -> "Reading":
        """The object under that name."""
        return Reading(self.raw(key), self.at(key))

    def rows(self, key: str) -> "list[Reading]":
        """The list of objects under that name; an empty list when the name is not there."""
        value = self.values.get(key, [])
        if not isinstance(value, list | tuple):
            raise self.wrong(key, "a list is needed")
        return [Reading(row, f"{self.at(key)}[{number}]") for number, row in enumerate(value)]
