"""Column types that take and give what the rules speak of: aware instants, local days, months, JSON."""

import json
from datetime import UTC, date, datetime
from typing import Any

from peewee import BigIntegerField, CharField, TextField


class InstantField(BigIntegerField):
    """An aware UTC datetime, kept as whole seconds since the epoch so that both databases sort and compare it alike.

    A naive datetime is refused with ValueError: its instant is a guess.
    """

    def db_value(self, value: Any) -> Any:
        """Seconds since the epoch; fractions are cut off. Integers pass, for values that a query computed."""
        if value is None or isinstance(value, int):
            return value
        return seconds(value)

    def python_value(self, value: Any) -> Any:
        """An aware UTC datetime."""
        return None if value is None else datetime.fromtimestamp(value, UTC)


class DayField(CharField):
    """A local calendar day, kept as YYYY-MM-DD: readable in any SQL shell, sorted right, alike on both databases."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, max_length=10, **kwargs)

    def db_value(self, value: Any) -> Any:
        """The ISO text. A datetime is refused with ValueError: which day it means depends on a zone."""
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, datetime):
            raise ValueError("A day was expected, not an instant; take the local day in the company's zone first.")
        return value.isoformat()

    def python_value(self, value: Any) -> Any:
        """A date."""
        return None if value is None else date.fromisoformat(value)


class JsonField(TextField):
    """A JSON value as canonical text (sorted keys, no spaces, no escapes), so that equal values are equal bytes."""

    def db_value(self, value: Any) -> Any:
        """Canonical JSON text."""
        return None if value is None else canonical(value)

    def python_value(self, value: Any) -> Any:
        """What the text says."""
        return None if value is None else json.loads(value)


class Canonical(str):
    """A value's canonical JSON text, put together beforehand; it is stored as it is."""

    __slots__ = ()


def canonical(value: object) -> str:
    """One text for one value: the form that is hashed, compared and stored."""
    return value if isinstance(value, Canonical) else _CANONICAL(value)


_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def seconds(instant: datetime) -> int:
    """An aware instant as whole seconds since the epoch, for statements that are run without a model."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no time zone; an instant must be aware.")
    return int(instant.timestamp())


def instant(value: int) -> datetime:
    """The aware UTC instant of whole seconds since the epoch."""
    return datetime.fromtimestamp(value, UTC)
