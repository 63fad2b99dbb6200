"""What a mail says as JSON values, as the outbox keeps it, and back; what does not fit is named by its place."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, date, datetime
from functools import cache, partial
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from jobs.letter_context import CONTEXTS, Context
from store.errors import FormatWrong


def to_json(context: Context) -> dict[str, Any]:
    """The record as JSON values: dates as `2026-12-06`, instants as `2026-11-23T13:02:00Z`."""
    written = _written(context, type(context).__name__)
    return dict(written)


def from_json(kind: str, mapping: Mapping[str, Any]) -> Context:
    """The record of that kind; FormatWrong names the place of anything unknown, missing or of the wrong type."""
    if kind not in CONTEXTS:
        raise FormatWrong(f"There is no mail of the kind {kind!r}; there are {', '.join(CONTEXTS)}.")
    try:
        read = _reader(CONTEXTS[kind])(mapping)  # type: ignore[arg-type]
    except _Misfit as misfit:
        raise FormatWrong(f"{kind}{misfit.place} {misfit.fault}") from None
    if not isinstance(read, Context):  # pragma: no cover - CONTEXTS holds nothing else
        raise TypeError(kind)
    return read


def _written(value: Any, path: str) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise FormatWrong(f"{path} is an instant without a time zone.")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_written(item, f"{path}[{place}]") for place, item in enumerate(value)]
    if is_dataclass(value):
        return {f.name: _written(getattr(value, f.name), f"{path}.{f.name}") for f in fields(value)}
    return value


class _Misfit(Exception):
    """A value does not fit; `place` is where below what was to be read."""

    def __init__(self, fault: str, place: str = "") -> None:
        self.fault, self.place = fault, place
        super().__init__(fault)


Reader = Callable[[Any], Any]


@cache
def _reader(wanted: Any) -> Reader:
    """What reads a value of that type; made once, because mails are read all night long."""
    origin, args = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType):
        inner = _reader(next(arg for arg in args if arg is not type(None)))
        return lambda value: None if value is None else inner(value)
    if origin is Literal:
        return partial(_read_literal, args)
    if origin is tuple:
        return partial(_read_list, _reader(args[0]))
    if is_dataclass(wanted) and isinstance(wanted, type):
        optional = frozenset(field.name for field in fields(wanted) if field.default is not MISSING)
        hints = get_type_hints(wanted)
        return partial(
            _read_record, wanted, {each.name: _reader(hints[each.name]) for each in fields(wanted)}, optional
        )
    return partial(_read_time if wanted in (date, datetime) else _read_plain, wanted)


def _read_plain(wanted: type[Any], value: Any) -> Any:
    if type(value) is not wanted:
        raise _Misfit(f"must be of type {wanted.__name__}.")
    return value


def _read_literal(words: tuple[Any, ...], value: Any) -> Any:
    if value not in words:
        raise _Misfit(f"is {value!r}; it must be one of {', '.join(map(str, words))}.")
    return value


def _read_list(reader: Reader, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _Misfit("must be a list.")
    read = []
    for item in value:
        try:
            read.append(reader(item))
        except _Misfit as misfit:
            raise _Misfit(misfit.fault, f"[{len(read)}]{misfit.place}") from None
    return tuple(read)


def _read_record(wanted: type[Any], readers: Mapping[str, Reader], optional: AbstractSet[str], value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _Misfit("must be an object.")
    if value.keys() != readers.keys():
        odd = (value.keys() ^ readers.keys()) - (optional - value.keys())
        if odd:
            raise _Misfit(f"has unknown or missing names: {', '.join(sorted(map(str, odd)))}.")
    read = {}
    for name, given in value.items():
        try:
            read[name] = readers[name](given)
        except _Misfit as misfit:
            raise _Misfit(misfit.fault, f".{name}{misfit.place}") from None
    return wanted(**read)


def _read_time(wanted: type[date], value: Any) -> date:
    try:
        read = wanted.fromisoformat(value)
    except (TypeError, ValueError):
        raise _Misfit(f"is not a {'date' if wanted is date else 'UTC instant'}.") from None
    if isinstance(read, datetime):
        if read.tzinfo is None:
            raise _Misfit("is an instant without a time zone.")
        return read.astimezone(UTC)
    return read
