"""The files of usage: CSV, JSON lines and access logs in JSON, read row by row, each row sound or refused."""

import csv
import json
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final, NoReturn

from store.errors import Refused
from store.rules.text import one_line
from store.usage_files.lines import Lines, UsageFile
from store.usage_files.rows import Fields, Layout, Row, RowWrong, Wrong, known_names, layout_of, row_of

__all__ = ["Fields", "Lines", "Row", "UsageFile", "Wrong", "rows"]

_MOST_LAYOUTS: Final = 1000


def rows(lines: Lines, fields: Fields) -> Iterator[Row | Wrong]:
    """Each row of a file. Refused when the file as a whole is of no use: no header, or a list instead of lines."""
    if lines.head.startswith(b"["):
        raise Refused(f"{lines.name} is one JSON list; write one object a line (`jq -c '.[]'`). Nothing was taken.")
    return _json_rows(lines, fields) if lines.head.startswith(b"{") else _csv_rows(lines, fields)


def _json_rows(lines: Lines, fields: Fields) -> Iterator[Row | Wrong]:
    decode = json.JSONDecoder(parse_constant=_no_constant).decode
    layouts: dict[tuple[str, ...], Layout] = {}
    for number, text in lines:
        if isinstance(text, Wrong):
            yield text
            continue
        try:
            record = _object(decode(text))
            names = tuple(record)
            layout = layouts.get(names)
            if layout is None:
                if len(layouts) >= _MOST_LAYOUTS:
                    layouts.clear()
                layout = layouts[names] = layout_of({name: name for name in names}, fields, anonymous=True)
            yield row_of(number, layout, record)
        except RowWrong as wrong:
            yield Wrong(number, str(wrong))
        except json.JSONDecodeError as error:
            yield Wrong(number, f"it is not JSON from column {error.colno} on: {error.msg}.")
        except (ValueError, RecursionError):
            yield Wrong(number, "it holds a number or a nesting that is too large.")


def _object(value: object) -> dict[str, object]:
    if isinstance(value, dict):
        return value
    raise RowWrong("an object is needed, one a line.")


def _no_constant(name: str) -> NoReturn:
    raise RowWrong(f"{name} is not a number of JSON.")


def _csv_rows(lines: Lines, fields: Fields) -> Iterator[Row | Wrong]:
    """A row is a line: no value of usage holds a line's end, so a mark that is left open spoils one row, not all."""
    reading = iter(lines)
    _, first = next(reading, (1, None))
    if first is None:
        return
    if isinstance(first, Wrong):
        raise Refused(f"{lines.name}:1: {first.why} Nothing was taken.")
    delimiter = ";" if ";" in first and "," not in first else "\t" if "\t" in first and "," not in first else ","
    width, layout = _header(lines.name, first, delimiter, fields)
    for number, text in reading:
        if isinstance(text, Wrong):
            yield text
            continue
        try:
            yield row_of(number, layout, _cells_of_width(width, text, delimiter))
        except RowWrong as wrong:
            yield Wrong(number, str(wrong))


def _cells_of_width(width: int, text: str, delimiter: str) -> list[str]:
    cells = _cells(text, delimiter)
    if len(cells) < width or any(cells[width:]):
        raise RowWrong(f"it has {len(cells)} fields, and the header has {width}.")
    return cells


def _cells(text: str, delimiter: str) -> list[str]:
    if '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error:
        raise RowWrong("a quotation mark is not closed, or text follows it.") from None


def _header(file: str, first: str, delimiter: str, fields: Fields) -> tuple[int, Layout]:
    """How many cells a row has, and where its values stand."""
    try:
        names = [name.strip().lower() for name in _cells(first, delimiter)]
        _check_names(names, known_names(fields))
        places = {name: number for number, name in enumerate(names)}
        return len(names), layout_of(places, fields, anonymous=False)
    except RowWrong as wrong:
        raise Refused(f"{file}:1: {wrong} A CSV begins with a header: key,at,requests,bytes,status.") from None


def _check_names(names: list[str], known: set[str]) -> None:
    """A column that means nothing is passed over, but not one that seems to be a slip of the pen."""
    for number, name in enumerate(names):
        if name in names[:number] and name in known:
            raise RowWrong(f"{one_line(name, 40)}: this column is there twice; keep one.")
        near = get_close_matches(name, known - set(names), n=1, cutoff=0.8)
        if near and name not in known:
            raise RowWrong(f"{one_line(name, 40)}: this column is not known; did you mean “{near[0]}”?")
