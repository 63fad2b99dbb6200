"""The full-text tables (FTS3 to FTS5) of a SQLite file: their words outlast the text, until they are built anew."""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from jobs.refreshers import virtual_tables
from jobs.refreshers.virtual_tables import FULL_TEXT, VirtualTable, unquoted

_ALWAYS_KEPT: Final = {
    "fts3": ("segments", "segdir"),
    "fts4": ("segments", "segdir", "stat"),
    "fts5": ("data", "idx", "config"),
}


@dataclass(frozen=True)
class FullText:
    """One of them, and what its `content=` says: the table or view that it reads, `` for no text, None for its own."""

    name: str
    created: str
    module: str
    content: str | None

    @property
    def keeps_no_text(self) -> bool:
        """Whether there are words alone (contentless)."""
        return self.content == ""

    @property
    def reads(self) -> str | None:
        """Whose text it shows instead of its own (external content)."""
        return self.content or None

    @property
    def own(self) -> frozenset[str]:
        """The tables that it keeps itself in. Another with `content=` may be somebody's of a similar name."""
        text = ("content",) if self.content is None else ()
        return frozenset(f"{self.name}_{part}" for part in (*_ALWAYS_KEPT[self.module], *text))


def tables(connection: sqlite3.Connection) -> dict[str, FullText]:
    """All of a file's, by name."""
    return {
        each.name: FullText(each.name, each.created, each.module, _content(each))
        for each in virtual_tables.tables(connection)
        if each.module in FULL_TEXT
    }


def following(connection: sqlite3.Connection) -> set[str]:
    """The tables that only show or keep what others hold, so that nothing is masked in them."""
    found = tables(connection).values()
    return {name for each in found for name in each.own} | {each.name for each in found if each.reads}


def empty(connection: sqlite3.Connection) -> None:
    """Those that keep no text: which of their words are of what was masked cannot be told."""
    for table in tables(connection).values():
        if table.keeps_no_text:
            connection.execute(f"DROP TABLE {quoted(table.name)}")
            connection.execute(table.created)


def rebuild(connection: sqlite3.Connection, changed: Collection[str]) -> None:
    """Build anew each one whose text is in the changed tables, or, where it reads a view, may come from them."""
    masked = {name.lower() for name in changed}
    plain = _plain(connection)
    for table in tables(connection).values():
        source = (table.reads or table.name).lower()
        if not table.keeps_no_text and (source in masked or (table.reads and source not in plain)):
            name = quoted(table.name)
            connection.execute(f"INSERT INTO {name} ({name}) VALUES ('rebuild')")  # noqa: S608 - names are quoted


def quoted(name: str) -> str:
    """A name as SQLite reads it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _content(table: VirtualTable) -> str | None:
    if table.module == "fts3":  # takes it for a column
        return None
    found = None
    for argument in table.arguments:
        option, equals, value = argument.partition("=")
        if equals and _is_content(option.strip().lower(), table.module):
            found = unquoted(value.strip())
    return found


def _is_content(option: str, module: str) -> bool:
    """FTS5 takes the beginning of an option's name for the whole."""
    return option == "content" or (module == "fts5" and option != "" and "content".startswith(option))


def _plain(connection: sqlite3.Connection) -> set[str]:
    """The tables that hold their rows themselves, in small letters."""
    kept = {name.lower() for name in following(connection)}
    listed = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0").fetchall()
    return {name.lower() for (name,) in listed} - kept
