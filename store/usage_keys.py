"""Which key a row of usage means: by its handle, or as it is shown where that is unique. Memory is bounded."""

import re
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from store.database import run_sql, session
from store.rules.key_format import redact
from store.rules.text import one_line

_SLICE: Final = 500  # keys that one statement asks for
_MOST_KEPT: Final = 60_000
_PAGE: Final = 5000
_HANDLE: Final = re.compile(r"key_[0-9a-f]{16}")
_SHOWN: Final = re.compile(r"([a-z][0-9A-Za-z_]{7})(?:(?:…|\.\.\.)([0-9A-Za-z]{4}))?")


class Known(NamedTuple):
    """What a row is held against."""

    id: int
    company_id: int
    zone: str  # the company's
    environment: str  # prod, sandbox, all
    created_at: int  # seconds since the epoch


class KeyBook:
    """The keys that rows mean, kept for the rows that follow; `scratch` is where a long list may be put aside."""

    def __init__(self, scratch: sqlite3.Connection) -> None:
        self._scratch = scratch
        self._listed = False
        self._kept: dict[str, Known | str] = {}

    def find(self, references: Iterable[str]) -> dict[str, Known | str]:
        """The key of each reference, or why it means none."""
        wanted = set(references)
        missing = [reference for reference in wanted if reference not in self._kept]
        if missing:
            if len(self._kept) + len(missing) > _MOST_KEPT:
                self._kept.clear()
                missing = list(wanted)
            with session():
                self._look_up(missing)
        return self._kept

    def forget(self) -> None:
        """Keep no key any more."""
        self._kept.clear()

    def _look_up(self, references: list[str]) -> None:
        handles: set[str] = set()
        shown: dict[int, list[str]] = {}
        for reference in references:
            if _HANDLE.fullmatch(reference):
                handles.add(reference)
                self._kept[reference] = f"there is no key {reference}."
            else:
                meant = self._meant(reference)
                if isinstance(meant, int):
                    shown.setdefault(meant, []).append(reference)
                else:
                    self._kept[reference] = meant
        for row in _found("handle", list(handles)):
            self._kept[row[0]] = Known(*row[1:])
        for row in _found("id", list(shown)):
            for reference in shown[row[1]]:
                self._kept[reference] = Known(*row[1:])

    def _meant(self, reference: str) -> int | str:
        """The id of the one key that is shown so, or why there is none."""
        parts = _SHOWN.fullmatch(reference)
        if parts is None:
            told = one_line(redact(reference), 40)
            return f"“{told}” is neither a handle (key_…) nor a key as it is shown (kdp_Ab12…9zYx)."
        ids = self._shown_as(parts[1], parts[2])
        if len(ids) == 1:
            return ids[0]
        if ids:
            return f"more than one key is shown as {reference}; have the gateway log the handle."
        return f"there is no key that is shown as {reference}."

    def _shown_as(self, first: str, last: str | None) -> list[int]:
        """The ids of at most two keys that are shown so. The store has no index of that; a list is made once."""
        if not self._listed:
            self._scratch.execute("CREATE TABLE shown (first, last, id, PRIMARY KEY (first, last, id)) WITHOUT ROWID")
            for page in _all_shown():
                self._scratch.executemany("INSERT INTO shown VALUES (?, ?, ?)", page)
            self._listed = True
        text, values = "SELECT id FROM shown WHERE first = ?", [first]
        if last is not None:
            text, values = f"{text} AND last = ?", [first, last]
        return [int(row[0]) for row in self._scratch.execute(f"{text} LIMIT 2", values)]


def _found(column: str, asked: list[Any]) -> Iterator[Any]:
    for start in range(0, len(asked), _SLICE):
        part = asked[start : start + _SLICE]
        places = ", ".join("?" * len(part))
        yield from run_sql(
            "SELECT k.handle, k.id, k.company_id, c.time_zone, k.environment, k.created_at "  # noqa: S608 - our words
            f"FROM api_key k JOIN company c ON c.id = k.company_id WHERE k.{column} IN ({places})",
            part,
        ).fetchall()


def _all_shown() -> Iterator[list[Any]]:
    after = 0
    while True:
        page = run_sql(
            "SELECT first, last, id FROM api_key WHERE id > ? ORDER BY id LIMIT ?", (after, _PAGE)
        ).fetchall()
        if not page:
            return
        yield page
        after = page[-1][2]
