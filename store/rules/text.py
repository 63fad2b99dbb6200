"""Text from elsewhere, made harmless: shown so that no character hides, taken in only when none does."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from store.errors import FormatWrong

_HIDING: Final = {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"}
_JOINERS: Final = {"\u200c", "\u200d"}  # emoji and several scripts are written with them
_BLANK_LETTERS: Final = {"\u115f", "\u1160", "\u2800", "\u3164", "\uffa0"}
_FORMULA_STARTS: Final = frozenset("=+-@＝＋－＠\t\r\n\0")
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?", re.ASCII)


def visible(value: str) -> str:
    """Show each control, format, bidi, private, unassigned or surrogate character as its code point, like ‹202E›."""
    return value if value.isprintable() else "".join(map(_shown, value))


def check_name(value: str, field: str, limit: int = 64) -> str:
    """Give a name as it is kept, NFC and trimmed, or raise FormatWrong with the field in its sentence."""
    name = value.strip()
    if len(name) <= 8 * limit:  # composing far more than can fit is slow, and it would not fit
        name = unicodedata.normalize("NFC", name)
    if len(name) > limit:
        raise FormatWrong(f"{field} has {len(name)} characters; shorten it to at most {limit}.")
    hidden = sorted({shown for character in name if (shown := _shown(character)) != character})
    if hidden:
        raise FormatWrong(f"{field} holds characters that cannot be seen ({' '.join(hidden)}); remove them.")
    if not any(_has_ink(character) for character in name):
        raise FormatWrong(f"{field} is empty; write 1 to {limit} characters.")
    return name


def one_line(value: str, limit: int) -> str:
    """Show a text on one line of at most `limit` characters; what is cut off leaves an ellipsis."""
    start = " ".join(value.split(maxsplit=limit))[: limit + 1]  # one more than fits: enough to know, however long it is
    pieces = [_shown(character) for character in start]
    return "".join(pieces) if sum(map(len, pieces)) <= limit else "".join(_up_to(limit - 1, pieces)).rstrip() + "…"


def csv_cell(value: object) -> str:
    """Write a cell that no spreadsheet takes for a formula: an apostrophe before what looks like one. None is empty."""
    cell = "" if value is None else str(value)
    looks_like_formula = cell.lstrip(" ")[:1] in _FORMULA_STARTS if cell.strip(" ") else False
    return f"'{cell}" if looks_like_formula and not _NUMBER.fullmatch(cell) else cell


@lru_cache(maxsize=4096)
def _shown(character: str) -> str:
    hides = unicodedata.category(character) in _HIDING and character not in _JOINERS
    return f"‹{ord(character):04X}›" if hides else character


def _has_ink(character: str) -> bool:
    """Whether there is something to see: a letter, number, sign or symbol."""
    return unicodedata.category(character)[0] in "LNPS" and character not in _BLANK_LETTERS


def _up_to(limit: int, pieces: Iterable[str]) -> Iterable[str]:
    for piece in pieces:
        limit -= len(piece)
        if limit < 0:
            return
        yield piece
