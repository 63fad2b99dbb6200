"""One row of usage: which columns it is read from, and what makes it sound."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, NoReturn

from store.errors import FormatWrong
from store.rules.key_format import is_well_formed, redact, shown
from store.rules.text import one_line

MOST_REQUESTS: Final = 10**9  # of one row
MOST_BYTES: Final = 10**15

_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})"
)
_EPOCH: Final = re.compile(r"([0-9]{1,10})(?:\.[0-9]{1,9})?")
_WHOLE: Final = re.compile(r"-?[0-9]{1,40}")
_LONGEST_WHOLE: Final = 18  # digits
_MOST_STATUS: Final = 10**6
_USUAL: Final = {str(status): status < 500 and status != 429 for status in range(100, 600)}
_NOTHING: Final = frozenset({"", "-"})  # what gateways write for a variable without a value
_ENVIRONMENTS: Final = frozenset({"prod", "sandbox"})
_WITH_A_KEY: Final = re.compile(r"([a-z][a-z0-9]{1,15})[psa]_[0-9A-Za-z]{20,}")


class Row(NamedTuple):
    """A sound row, its key not yet looked up."""

    line: int
    key: str  # the reference as the row has it; empty: a line without a key, in JSON
    at: int  # seconds since the epoch
    requests: int
    bytes: int
    counts: bool  # not answered with 429 or 5xx
    environment: str  # prod, sandbox, or empty when the row does not say


class Wrong(NamedTuple):
    """A row that is refused, and why."""

    line: int
    why: str


class RowWrong(Exception):
    """Why this row is refused; the reading goes on."""


@dataclass(frozen=True)
class Fields:
    """The names by which a row's values are found; of several the first that is there."""

    key: tuple[str, ...] = ("key",)
    at: tuple[str, ...] = ("at", "time_iso8601", "msec")
    requests: tuple[str, ...] = ("requests",)
    status: tuple[str, ...] = ("status",)
    environment: tuple[str, ...] = ("environment",)
    bytes: tuple[str, ...] = ()  # of all that are there the sum; by default `bytes`, or else one of each direction
    named: frozenset[str] = field(default=frozenset())  # the values whose fields somebody named

    @classmethod
    def of(cls, named: Iterable[str]) -> "Fields":
        """From texts like `key=api_key_id` and `bytes=sent+received`. FormatWrong says what is wrong with one."""
        found: dict[str, tuple[str, ...]] = {}
        for text in named:
            name, _, told = text.partition("=")
            parts = tuple(part.strip() for part in told.split("+")) if name == "bytes" else (told.strip(),)
            if name not in _NAMES or not all(parts):
                known = ", ".join(_NAMES)
                raise FormatWrong(f"“{one_line(text, 40)}” names no field; write NAME=FIELD with one of {known}.")
            if name in found:
                raise FormatWrong(f"The field of {name} is named twice; keep one.")
            found[name] = parts
        return replace(cls(), **found, named=frozenset(found))


_NAMES: Final = ("key", "at", "requests", "bytes", "status", "environment")
_DIRECTIONS: Final = (("body_bytes_sent", "bytes_sent"), ("content_length", "request_length"))

Place = Any
"""Where a value stands in a record: a cell's number, or a name."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each value stands in records with the same columns or names; None or empty when it is not there."""

    key: Place
    at: Place
    requests: Place
    status: Place
    environment: Place
    bytes: tuple[Place, ...]
    anonymous: bool  # whether lines without a key belong to nobody, as in access logs; else they are refused


def layout_of(places: Mapping[str, Place], fields: Fields, *, anonymous: bool) -> Layout:
    """How records with these names are read. RowWrong when key or instant is not among them."""
    if fields.bytes:
        for name in fields.bytes:
            if name not in places:
                raise RowWrong(f"bytes: there is no “{one_line(name, 40)}” here, which --field names.")
        sizes = [places[name] for name in fields.bytes]
    elif "bytes" in places:
        sizes = [places["bytes"]]
    else:
        found = (_first(places, names) for names in _DIRECTIONS)
        sizes = [place for place in found if place is not None]
    one = {name: _first(places, getattr(fields, name)) for name in _NAMES if name != "bytes"}
    for name, place in one.items():
        if place is None and (name in {"key", "at"} or name in fields.named):
            wanted = " or ".join(getattr(fields, name))
            raise RowWrong(f"{name}: there is no “{one_line(wanted, 60)}” here; name its field, as --field {name}=…")
    return Layout(bytes=tuple(sizes), anonymous=anonymous, **one)


def known_names(fields: Fields) -> set[str]:
    """All names that mean something."""
    own = {name for each in _NAMES for name in getattr(fields, each)}
    return own if fields.bytes else own | {"bytes", *_DIRECTIONS[0], *_DIRECTIONS[1]}


def _first(places: Mapping[str, Place], names: Sequence[str]) -> Place:
    return next((places[name] for name in names if name in places), None)


def row_of(line: int, layout: Layout, record: Any) -> Row:
    """Read one record, by the places of its layout. RowWrong says which value is wrong."""
    key = record[layout.key]
    key = "" if key is None else key.strip() if isinstance(key, str) else _no_text()
    if key in _NOTHING:
        if not layout.anonymous:
            raise RowWrong("key: it is empty; write the key's handle.")
        key = ""
    requests = 1 if layout.requests is None else _whole(record[layout.requests], "requests", 1, MOST_REQUESTS)
    size = 0
    for place in layout.bytes:
        size += _whole(record[place], place if isinstance(place, str) else "bytes", 0, MOST_BYTES)
    environment = "" if layout.environment is None else _environment(record[layout.environment])
    counts = True if layout.status is None else _counts(record[layout.status])
    return Row(line, key, _seconds(record[layout.at]), requests, size, counts, environment)


def _no_text() -> NoReturn:
    raise RowWrong("key: a text is needed, the key's handle.")


def _whole(value: Any, name: str, otherwise: int, most: int) -> int:
    if type(value) is str:
        if value.isdigit() and value.isascii() and len(value) <= _LONGEST_WHOLE:
            number = int(value)  # nearly always
        else:
            text = value.strip()
            if text in _NOTHING:
                return otherwise
            if not _WHOLE.fullmatch(text):
                raise RowWrong(f"{name}: {_told(text)} is not a whole number.")
            number = int(text)
    elif type(value) is int:
        number = value
    elif value is None:
        return otherwise
    else:
        raise RowWrong(f"{name}: {_told(value)} is not a whole number.")
    if number < 0:
        raise RowWrong(f"{name}: {_told(number)} is negative.")
    if number > most:
        raise RowWrong(f"{name}: {_told(number)} is more than one row can have ({most:,}).")
    return number


def _counts(value: Any) -> bool:
    """Whether an answer with this status is charged for: not 429, not 5xx, not none at all (nginx: 000)."""
    if type(value) is str and value in _USUAL:
        return _USUAL[value]
    status = _whole(value, "status", 200, _MOST_STATUS)
    if status and not 100 <= status <= 599:
        raise RowWrong(f"status: {status} is no HTTP status.")
    return 100 <= status < 500 and status != 429


def _environment(value: Any) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or value.strip() not in _ENVIRONMENTS:
        raise RowWrong(f"environment: {_told(value)} is not prod or sandbox.")
    return value.strip()


def _seconds(value: Any) -> int:
    if isinstance(value, str):
        return _seconds_of_text(value)
    if type(value) in {int, float} and 0 <= value < 10**10:
        return int(value)
    raise RowWrong(f"at: {_told(value)} is no instant; write one like 2026-11-23T12:00:00+01:00, or seconds.")


@lru_cache(maxsize=16384)  # many rows share a second
def _seconds_of_text(value: str) -> int:
    text = value.strip()
    if _INSTANT.fullmatch(text):
        try:
            return int(datetime.fromisoformat(text).timestamp() // 1)
        except (ValueError, OverflowError):
            raise RowWrong(f"at: {_told(text)} is an instant that never was.") from None
    epoch = _EPOCH.fullmatch(text)
    if epoch:
        return int(epoch[1])
    raise RowWrong(
        f"at: {_told(text)} is no instant with its offset; write one like 2026-11-23T12:00:00+01:00, or seconds."
    )


def _told(value: object) -> str:
    return f"“{one_line(redact(str(value)), 40)}”"


def leaked(text: str, prefix: str) -> str | None:
    """The key that stands in a text, as it may be shown; None when there is none.

    Other systems' identifiers have the same shape: it is a key when it has this installation's prefix, or the check
    characters of a key.
    """
    for found in _WITH_A_KEY.finditer(text):
        whole = found[0]
        exact = whole[: whole.index("_") + 43]
        if is_well_formed(exact):
            return "…".join(shown(exact))
        if found[1].endswith(prefix):
            return redact(whole)
    return None
