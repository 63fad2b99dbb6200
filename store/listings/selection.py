"""Statements put together from conditions, and ids read from them without making a Python object for each row."""

from array import array
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from store.database import run_sql
from store.filters import Term, like

Ids: TypeAlias = "array[int]"  # 64-bit row numbers in the order of the list

_SLICE = 4096


class Conditions:
    """What must hold, joined by AND, with its values in order."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.values: list[Any] = []

    def add(self, text: str, *values: Any) -> None:
        """One more condition."""
        self.texts.append(f"({text})")
        self.values.extend(values)

    def add_term(self, term: Term, text: str, *values: Any) -> None:
        """One more condition, turned round when the term is. A comparison with NULL counts as false, not as unknown."""
        self.add(f"NOT COALESCE(({text}), FALSE)" if term.negated else text, *values)

    def add_words(self, term: Term, columns: Sequence[str]) -> None:
        """The term's text stands somewhere in one of the columns (SQL expressions that give folded text)."""
        pattern = like(term.value)
        self.add_term(term, " OR ".join(f"{column} LIKE ? ESCAPE '!'" for column in columns), *[pattern] * len(columns))

    def copy(self) -> "Conditions":
        """The same conditions, to go on from."""
        other = Conditions()
        other.texts, other.values = list(self.texts), list(self.values)
        return other

    def where(self) -> str:
        """The WHERE clause, empty when everything is wanted."""
        return f" WHERE {' AND '.join(self.texts)}" if self.texts else ""


def read_ids(select: str, conditions: Conditions, order: str, limit: int | None = None) -> Ids:
    """The first column of all rows, as 64-bit numbers."""
    values = list(conditions.values)
    text = f"{select}{conditions.where()} ORDER BY {order}"
    if limit is not None:
        text += " LIMIT ?"
        values.append(limit)
    cursor = run_sql(text, values)
    ids: Ids = array("q")
    while rows := cursor.fetchmany(_SLICE):
        ids.extend([row[0] for row in rows])
    return ids


def count(select: str, conditions: Conditions) -> int:
    """How many rows there are; `select` begins with SELECT COUNT(*)."""
    return int(run_sql(f"{select}{conditions.where()}", conditions.values).fetchone()[0])


def marks(values: Iterable[Any]) -> str:
    """As many placeholders as there are values, for IN (…). Never empty: NULL matches nothing."""
    return ", ".join("?" for _ in values) or "NULL"
