"""`keydesk invoice rate`: the arithmetic of a file of facts, for anybody who checks it; no store is opened."""

import argparse
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

from store.errors import FormatWrong, Refused
from store.rules.rating.sentences import month_words, quantity_words
from store.rules.rating_answer import Answer, answers
from store.rules.rating_file import RatingFile
from store.rules.text import one_line, visible


def run(given: argparse.Namespace) -> int:
    """Rate every month of the file before anything is written, so that a fault gives no half of an answer."""
    try:
        rated = list(answers(_document(given.facts)))
    except (FormatWrong, Refused) as fault:
        raise type(fault)(f"{given.facts}: {fault}" if str(given.facts) != "-" else str(fault)) from None
    if given.json:
        # ASCII, so that what a file holds cannot speak to the terminal.
        sys.stdout.write(f"[{','.join(f'{chr(10)}{json.dumps(answer)}' for _, answer in rated)}\n]\n")
    else:
        sys.stdout.write("\n".join("\n".join(_told(file, answer)) + "\n" for file, answer in rated))
    return 0


def _document(path: Path) -> object:
    """The JSON of a file, or of standard input; its decimal numbers stay exact."""
    try:
        if str(path) == "-":
            return _parsed(sys.stdin.buffer)
        with path.open("rb") as file:
            return _parsed(file)
    except OSError as error:
        raise FormatWrong(f"it cannot be read: {error.strerror}.") from None


def _parsed(file: BinaryIO) -> object:
    try:
        text = file.read().decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=_object, parse_float=Decimal, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise FormatWrong(f"it is not UTF-8 from byte {error.start + 1} on.") from None
    except json.JSONDecodeError as error:
        raise FormatWrong(f"it is not JSON from line {error.lineno}, column {error.colno} on: {error.msg}.") from None
    except FormatWrong:
        raise
    except (ValueError, RecursionError, ArithmeticError):
        raise FormatWrong("it holds a number or a nesting that is too large; correct it.") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FormatWrong(f"an object has the name “{one_line(twice, 40)}” twice; keep one.")
    return found


def _no_constant(name: str) -> object:
    raise FormatWrong(f"{name} is not a number of JSON; correct it.")


def _told(file: RatingFile, answer: Answer) -> Iterator[str]:
    """A month as a person reads it: its lines with their reasons, what corrects other months, and the totals."""
    currency = file.facts.currency
    name = visible(str(file.id if file.id is not None else file.facts.company))
    yield f"{name}: {month_words(file.month)}, {currency}"
    for title, lines in (
        ("", answer["lines"]),
        ("adjustments", answer.get("adjustments", [])),
        ("credit note", answer.get("credit_note", [])),
        ("rebill", answer.get("rebill", [])),
    ):
        if title and lines:
            yield f"  {title}"
        for line in lines:
            yield f"  {_product(line):<58.58} {line['net']:>14}{_mark(line)}"
            yield f"    {visible(line['because'])}"
    if not answer["lines"]:
        yield "  nothing is owed"
    for total in ("net", "vat", "gross"):
        yield f"  {total:<58} {answer[f'{total}_total']:>14}"


def _product(line: Answer) -> str:
    line_key = visible(line["line_key"])
    if not line["unit_price"]:
        return line_key
    fraction = f" x {line['fraction']}" if line["fraction"] else ""
    less = f", less {line['discount']}" if line["net"] != line["gross"] else ""
    return f"{line_key:<18} {quantity_words(line['quantity'], line['unit'])} x {line['unit_price']}{fraction}{less}"


def _mark(line: Answer) -> str:
    return "  waits for approval" if line["status"] == "needs_review" else ""
