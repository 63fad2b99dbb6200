"""CSV: what a file is about is told by its header, not by its name."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, BinaryIO, Final

from store.errors import FormatWrong
from store.import_files.columns import Column, Kind
from store.import_files.incoming import ANY_COMPANY, STEP, Reading, not_utf8, unknown
from store.rules.text import one_line

_LONGEST_LINE: Final = 100_000  # bytes; below the limit of Python's csv for one field


class _LineTooLong(Exception):
    def __init__(self, start: bytes) -> None:
        super().__init__()
        self.start = start


class _Lines:
    """The lines of a file as text. What is not UTF-8 is replaced, and `bad` has the first such byte of each line."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        self.bytes = 0
        self.bad: dict[int, int] = {}

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = self._file.readline(_LONGEST_LINE + 1)
        if not raw:
            raise StopIteration
        self.number += 1
        self.bytes += len(raw)
        if len(raw) > _LONGEST_LINE:
            raise _LineTooLong(raw)
        if self.number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            self.bad[self.number] = raw[error.start]
            return raw.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class _Header:
    """What the first line says. `layout` gives each column of the kind and its cell, None when it is not there."""

    kind: Kind
    names: list[str]
    layout: list[tuple[Column, int | None]]
    id_cell: int | None  # where a company's id stands


def read_csv(reading: Reading, file: BinaryIO) -> None:
    """Read a file line by line; after a fault the reading goes on as long as it makes sense."""
    lines = _Lines(file)
    try:
        first = next(lines)
        delimiter = ";" if ";" in first and "," not in first else ","
        rows = csv.reader(_again(first, lines), delimiter=delimiter, strict=True)
        names = next(rows)
    except (_LineTooLong, csv.Error):
        reading.fault(1, "", "it does not begin with the header of a CSV; see the examples.")
        return
    if lines.bad:
        reading.fault(1, "", not_utf8(lines.bad[1]))
        return
    header = _header(reading, names)
    complete = header is not None and _read_rows(reading, header, rows, lines, delimiter)
    if not complete and "id" in names and "company" not in names:
        reading.incoming.company_ids.add(ANY_COMPANY)  # the users of companies that were not read are not refused too
    reading.told(reading.size)


def _read_rows(reading: Reading, header: _Header, rows: Iterator[list[str]], lines: _Lines, delimiter: str) -> bool:
    """Whether the file was read to its end."""
    number = 0
    while True:
        number += 1
        start = lines.number + 1
        try:
            cells = next(rows)
        except StopIteration:
            return True
        except _LineTooLong as long:
            name = _column_reached(long.start, delimiter, header)
            reading.fault(lines.number, name, f"the line is longer than {_LONGEST_LINE:,} bytes here; shorten it.")
            return False
        except csv.Error as error:
            reading.fault(start, "", _misquoted(str(error)))
            if "expected after" not in str(error):
                return False
            continue
        if number % STEP == 0:
            reading.told(lines.bytes)
        if any(cells):
            _take_cells(reading, header, cells, start, lines)


def _again(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _header(reading: Reading, cells: list[str]) -> _Header | None:
    names = [cell.strip().lower() for cell in cells]
    while names and not names[-1]:
        names.pop()
    kind = max(reading.kinds, key=lambda kind: _likeness(kind, names))
    known = kind.names()
    if not set(known) & set(names):
        headers = "; ".join(",".join(kind.names()) for kind in reading.kinds)
        reading.fault(1, "", f"its first line is no header that is known here; write one of: {headers}.")
        return None
    sound = True
    for number, name in enumerate(names):
        if name not in known:
            reading.fault(1, one_line(name, 40) or f"column {number + 1}", unknown(name, kind, "column"))
            sound = False
        elif name in names[:number]:
            reading.fault(1, name, "this column is there twice; keep one.")
            sound = False
    for column in kind.columns:
        if column.required and column.name not in names:
            reading.fault(1, column.name, f"this column is missing; {kind.name} need it.")
            sound = False
    layout = [(column, names.index(column.name) if column.name in names else None) for column in kind.columns]
    id_cell = names.index("id") if kind.name == "companies" and "id" in names else None
    return _Header(kind, names, layout, id_cell) if sound else None


def _likeness(kind: Kind, names: list[str]) -> int:
    """How well a header fits a kind; a misspelt name counts half."""
    known = set(kind.names())
    misspelt = [name for name in names if name not in known and get_close_matches(name, known, n=1)]
    return 2 * len(known & set(names)) + len(misspelt)


def _take_cells(reading: Reading, header: _Header, cells: list[str], start: int, lines: _Lines) -> None:
    if header.id_cell is not None and header.id_cell < len(cells):
        reading.incoming.company_ids.add(cells[header.id_cell].strip())
    if lines.bad:
        bad = [lines.bad.pop(line) for line in range(start, lines.number + 1) if line in lines.bad]
        if bad:
            spoilt = [name for name, text in zip(header.names, cells, strict=False) if "\ufffd" in text]
            for name in spoilt or [""]:
                reading.fault(start, name, not_utf8(bad[0]))
            return
    wanted = len(header.names)
    if len(cells) < wanted or any(cells[wanted:]):
        reading.fault(start, "", f"it has {len(cells)} fields, and the header has {wanted}; make them equal.")
        return
    values: list[Any] = []
    sound = True
    for column, cell in header.layout:
        try:
            values.append(None if cell is None else column.take(cells[cell]))
        except FormatWrong as wrong:
            reading.fault(start, column.name, str(wrong))
            sound = False
    if sound:
        reading.incoming.add(header.kind, (reading.source, start), values)


def _misquoted(error: str) -> str:
    if "expected after" in error:
        return "text follows a closing quotation mark; quote the whole field and write a mark within it twice."
    if "unexpected end" in error or "larger than field limit" in error:
        return "a quotation mark is opened here and not closed; close it, or write it twice within a quoted field."
    return "it is not written as CSV; end each line with a line feed, and quote fields that hold one."


def _column_reached(start: bytes, delimiter: str, header: _Header) -> str:
    """The column in which a line that was cut off ends."""
    cells = next(csv.reader([start[:_LONGEST_LINE].decode(errors="replace")], delimiter=delimiter))
    return header.names[len(cells) - 1] if len(cells) <= len(header.names) else ""
