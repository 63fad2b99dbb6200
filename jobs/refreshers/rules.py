"""What a refresher may write to, and what it masks: a TOML file that is checked whole before anything is copied."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from store.errors import FormatWrong, Refused
from store.rules.text import one_line

WAYS: Final = ("fixed", "mail", "null", "hash")
_KNOWN: Final = ("table", "column", "with", "value")
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class Rule:
    """One `[[mask]]`: patterns of table and column (small and capital letters alike), and what becomes of the values.

    `mail` makes an address below masked.invalid, `hash` 24 hex digits; equal values of one refresh stay equal, and no
    one can go back, because they depend on a secret that is thrown away. Both leave null as it is. `null` and `fixed`
    change every row.
    """

    table: str
    column: str
    way: str
    value: str | int | None = None

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


@dataclass(frozen=True)
class Rules:
    """The whole file."""

    targets: tuple[str, ...]
    masks: tuple[Rule, ...]

    def require_target(self, path: str) -> None:
        """Refused unless the target's name matches a pattern, part by part: `*` does not reach over a slash."""
        parts = path.split("/")
        for pattern in self.targets:
            wanted = pattern.split("/")
            if len(wanted) == len(parts) and all(map(fnmatchcase, parts, wanted)):
                return
        raise Refused(f"{path} matches none of the allowed targets ({', '.join(self.targets)}); nothing was touched.")

    def matched(self, columns: Iterable[tuple[str, str]]) -> list[tuple[str, str, Rule]]:
        """Table, column and rule for all that is masked; the first rule that fits a column is the one that counts.

        Refused when a rule fits no column at all: something has been renamed, and would be copied as it is.
        """
        present = list(columns)
        for rule in self.masks:
            if not any(_fits(rule, table, column) for table, column in present):
                raise Refused(f"The rule {rule} matches no column of the source; correct it. Nothing was refreshed.")
        return list(self._chosen(present))

    def _chosen(self, columns: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str, Rule]]:
        for table, column in columns:
            rule = next((rule for rule in self.masks if _fits(rule, table, column)), None)
            if rule is not None:
                yield table, column, rule


def _fits(rule: Rule, table: str, column: str) -> bool:
    return _is_like(table, rule.table) and _is_like(column, rule.column)


def _is_like(name: str, pattern: str) -> bool:
    """Small and capital letters alike: a column that is masked too much is seen, one that is copied is not."""
    return fnmatchcase(name.casefold(), pattern.casefold())


def read(path: Path) -> Rules:
    """The rules of a file. FormatWrong says what is wrong with it."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FormatWrong(f"The masking rules {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatWrong(f"The masking rules {path} are not TOML: {error}.") from None
    if set(found) - {"targets", "mask"}:
        raise FormatWrong(f"{path}: there are `targets` and [[mask]], and nothing else.")
    targets, masks = found.get("targets"), found.get("mask")
    if not isinstance(targets, list) or not targets or not all(isinstance(one, str) and one for one in targets):
        raise FormatWrong(f"{path} needs targets, a list of patterns of what may be replaced.")
    if not isinstance(masks, list) or not masks:
        raise FormatWrong(f"{path} masks nothing; name at least one [[mask]].")
    return Rules(tuple(targets), tuple(_rule(each, path, number) for number, each in enumerate(masks, 1)))


def _rule(given: Any, path: Path, number: int) -> Rule:
    where = f"{path}: [[mask]] number {number}"
    if not isinstance(given, Mapping):
        raise FormatWrong(f"{where} has {', '.join(_KNOWN)}, and nothing else.")
    for name in given:
        if name not in _KNOWN:
            near = get_close_matches(name, _KNOWN, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_KNOWN)}."
            raise FormatWrong(f"{where}: {one_line(name, 40)} is not known; {hint}")
    table, column, way, value = (given.get(name) for name in ("table", "column", "with", "value"))
    if not (isinstance(table, str) and table and isinstance(column, str) and column):
        raise FormatWrong(f"{where} needs a table and a column.")
    if way not in WAYS:
        raise FormatWrong(f"{where}: with must be one of {', '.join(WAYS)}.")
    if (way == "fixed") != (isinstance(value, (str, int)) and not isinstance(value, bool)):
        raise FormatWrong(f"{where}: fixed needs a value, a text or a whole number, and no other way takes one.")
    return Rule(table, column, str(way), value)


def place(text: str, company: str | None) -> str:
    """The source or target with `{company}` filled in. Refused for an id that could lead somewhere else."""
    if "{company}" not in text:
        return text
    if company is None:
        raise Refused("{company} needs the company's id: the worker's JSON object on standard input.")
    if not _PART.fullmatch(company):
        raise Refused(
            "The company's id is no plain name (letters, digits, dot, dash, underscore), so it names no place."
        )
    return text.replace("{company}", company)
