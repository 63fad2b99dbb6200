"""The virtual tables of a SQLite file: of what module each is, and whether that may keep what no rule reaches."""

import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from store.errors import Refused

FULL_TEXT: Final = frozenset({"fts3", "fts4", "fts5"})
_SHOWING: Final = frozenset({"fts3tokenize", "fts4aux", "fts5vocab", "dbstat"})  # keep nothing themselves
_LIKE_OTHERS: Final = frozenset({"rtree", "rtree_i32", "geopoly"})  # numbers, and columns that a rule can name
_KNOWN: Final = FULL_TEXT | _SHOWING | _LIKE_OTHERS

_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]""")
_TOKEN = re.compile(
    rf"""(?P<gap>[ \t\n\f\r]+ | --[^\n]* | /\*.*?(?:\*/|\Z))
    | {_QUOTED.pattern}
    | (?:[A-Za-z0-9_$]|[^\x00-\x7f])+
    | .""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class VirtualTable:
    """One of them. `module` is in small letters, and `` where the statement that made it cannot be read."""

    name: str
    created: str
    module: str
    arguments: tuple[str, ...]

    @property
    def only_shows(self) -> bool:
        """Whether what it shows is kept elsewhere."""
        return self.module in _SHOWING


def tables(connection: sqlite3.Connection) -> list[VirtualTable]:
    """All of a file's."""
    listed = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND rootpage = 0")
    return [_read(str(name), str(created)) for name, created in listed.fetchall()]


def require_known(connection: sqlite3.Connection) -> None:
    """Refused when a table's module keeps its rows in a way of its own, where what is masked could be left."""
    for table in tables(connection):
        if table.module not in _KNOWN:
            raise Refused(
                f"The source's table {table.name} is virtual, of the module {table.module or '?'}, which may keep what "
                "is masked where no rule reaches. Refresh from a copy of the source from which that table was dropped. "
                "Nothing was refreshed."
            )


def unquoted(text: str) -> str:
    """What SQLite and its modules take such a text for, quoted in one of the four ways or not."""
    found = _QUOTED.match(text)
    if found is None:
        return text
    return found[0][1:-1].replace(found[0][-1] * 2, found[0][-1])


def _read(name: str, created: str) -> VirtualTable:
    """By SQLite's own tokens: it writes `CREATE VIRTUAL TABLE`, and keeps the rest as it was typed, with comments."""
    tokens = [token for token in _TOKEN.finditer(created) if token["gap"] is None]
    if len(tokens) < 6 or tokens[4][0].lower() != "using":
        return VirtualTable(name, created, "", ())
    return VirtualTable(name, created, unquoted(tokens[5][0]).lower(), tuple(_arguments(created, tokens[7:])))


def _arguments(created: str, tokens: Iterable[re.Match[str]]) -> Iterator[str]:
    """What is between the commas, from the first token to the last, as SQLite hands it to a module."""
    depth, argument = 0, list[re.Match[str]]()
    for token in tokens:
        if depth == 0 and token[0] in {",", ")"}:
            if argument:
                yield created[argument[0].start() : argument[-1].end()]
            argument = []
        else:
            depth += {"(": 1, ")": -1}.get(token[0], 0)
            argument.append(token)
