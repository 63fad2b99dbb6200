"""JSON: one object with lists of companies, users and licences; a fault is told with the path to it."""

import json
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, BinaryIO, Final

from store.errors import FormatWrong
from store.import_files.columns import Column, Kind
from store.import_files.incoming import ANY_COMPANY, STEP, Reading, Source, not_utf8, unknown
from store.rules.text import one_line

_LARGEST_JSON: Final = 500_000_000  # bytes; it is read as a whole


def read_json(reading: Reading, file: BinaryIO) -> None:
    """Read a whole file; the companies come first, whatever their order in it."""
    if reading.size > _LARGEST_JSON:
        reading.fault(1, "", "it is larger than 500 MB; use CSV for so much.")
        return
    raw = file.read()
    try:
        text = raw.decode("utf-8-sig")
        whole = json.loads(text, object_pairs_hook=_object, parse_float=Decimal, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        reading.fault(raw.count(b"\n", 0, error.start) + 1, "", not_utf8(raw[error.start]))
        return
    except json.JSONDecodeError as error:
        reading.fault(error.lineno, "", f"it is not JSON from column {error.colno} on: {error.msg}.")
        return
    except FormatWrong as wrong:
        reading.fault(1, "", str(wrong))
        return
    except (ValueError, RecursionError):
        reading.fault(1, "", "it holds a number or a nesting that is too large; correct it.")
        return
    if not isinstance(whole, dict):
        reading.fault(1, "", "an object with companies, users or licences is needed.")
        return
    by_name = {kind.name: kind for kind in reading.kinds}
    for name in whole.keys() - by_name.keys():
        near = get_close_matches(name, by_name, n=1)
        hint = f"did you mean “{near[0]}”?" if near else "known are companies, users and licences."
        reading.fault(1, one_line(name, 40), f"this list is not known; {hint}")
    for kind in reading.kinds:
        if kind.name in whole:
            _take_list(reading, kind, whole[kind.name])


def _take_list(reading: Reading, kind: Kind, rows: object) -> None:
    if not isinstance(rows, list):
        reading.fault(1, kind.name, "a list is needed.")
        reading.incoming.company_ids.add(ANY_COMPANY)
        return
    reading.incoming.sources.append(Source(reading.name, kind.name))
    reading.source = len(reading.incoming.sources) - 1
    for number, row in enumerate(rows):
        if number % STEP == 0 and reading.progress is not None:
            reading.progress(f"reading {kind.name} of {reading.name}", number, len(rows))
        if isinstance(row, dict):
            _take_object(reading, kind, number, row)
        else:
            reading.fault(number, "", "an object is needed.")


def _take_object(reading: Reading, kind: Kind, number: int, row: dict[str, object]) -> None:
    if kind.name == "companies" and isinstance(row.get("id"), str | int):
        reading.incoming.company_ids.add(str(row["id"]).strip())
    sound = True
    for name in row.keys() - set(kind.names()):
        reading.fault(number, one_line(name, 40), unknown(name, kind, "name"))
        sound = False
    values: list[Any] = []
    for column in kind.columns:
        try:
            values.append(_value(column, row))
        except FormatWrong as wrong:
            reading.fault(number, column.name, str(wrong))
            sound = False
    if sound:
        reading.incoming.add(kind, (reading.source, number), values)


def _value(column: Column, row: dict[str, object]) -> Any:
    """None where the object says nothing."""
    if column.name not in row:
        if column.required:
            raise FormatWrong("it is missing, and it is needed.")
        return None
    value = row[column.name]
    if value is None:
        return column.take("")
    if not isinstance(value, column.types) or (isinstance(value, bool) and bool not in column.types):
        raise FormatWrong(f"{_JSON_WORDS[column.types[0]]} is needed here.")
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        if not all(isinstance(item, str) and item.strip() and ";" not in item for item in value):
            raise FormatWrong("a list of texts without semicolons is needed here.")
        return column.take(";".join(value))
    return column.take(str(value))


_JSON_WORDS: Final = {str: "text", int: "a whole number", bool: "true or false", list: "a list of texts"}


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise FormatWrong(f"an object has the name “{one_line(name, 40)}” twice; keep one.")
        found[name] = value
    return found


def _no_constant(name: str) -> object:
    raise FormatWrong(f"{name} is not a number of JSON; correct it.")
