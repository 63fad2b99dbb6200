"""The full-text tables (FTS3 to FTS5) of a SQLite file: their words outlast the text, until they are built anew."""

import re
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

_MODULE = re.compile(r"\bUSING\s+[\"'`\[]?fts([345])\b", re.IGNORECASE)
_CONTENT = re.compile(r"\bcontent\s*=\s*('[^']*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]|[^\s,)]*)", re.IGNORECASE)
_ALWAYS_KEPT = {"3": ("segments", "segdir"), "4": ("segments", "segdir", "stat"), "5": ("data", "idx", "config")}


@dataclass(frozen=True)
class FullText:
    """One of them, and what its `content=` says: the table or view that it reads, `` for no text, None for its own."""

    name: str
    created: str
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
        found = _MODULE.search(self.created)
        parts = _ALWAYS_KEPT[found[1]] if found else ()
        return frozenset(f"{self.name}_{part}" for part in (*parts, *(("content",) if self.content is None else ())))


def tables(connection: sqlite3.Connection) -> dict[str, FullText]:
    """All of a file's, by name."""
    listed = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL%'"
    )
    return {name: FullText(name, text, _content(text)) for name, text in listed.fetchall() if _MODULE.search(text)}


def following(connection: sqlite3.Connection) -> set[str]:
    """The tables that only show or keep what others hold, so that nothing is masked in them."""
    found = tables(connection).values()
    return {name for each in found for name in each.own} | {each.name for each in found if each.reads}


def empty(connection: sqlite3.Connection, table: FullText) -> None:
    """For one that keeps no text: which words were whose cannot be told."""
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


def _content(created: str) -> str | None:
    found = _CONTENT.search(created)
    return found[1].strip("'\"`[]") if found else None


def _plain(connection: sqlite3.Connection) -> set[str]:
    """The tables that hold their rows themselves, in small letters."""
    kept = {name.lower() for name in following(connection)}
    listed = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0").fetchall()
    return {name.lower() for (name,) in listed} - kept
