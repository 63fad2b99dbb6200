"""What is found in a store, in a form in which two stores are equal when they say the same.

Numbers of rows, which a sequence gives and a rollback burns, are replaced by what their row says; random names
(workers, tokens) by whether there is one.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peewee import ForeignKeyField

from store import events, migrations
from store.database import run_sql, session, sqlite_path
from store.fields import InstantField, canonical
from store.tables import TABLES, Company, Email, Event, RefreshMarker, Run, Worker

Row = dict[str, Any]

_CLAIMANT = re.compile(r'"claimed_by":"[^"]*"')

_RANDOM = {
    Run: {"owner"},
    RefreshMarker: {"token", "claimed_by"},
    Email: {"owner", "message", "message_id", "dedupe_key"},
    Event: {"hash"},
    Worker: {"name"},
}
# How often it was tried is no part of what was owed.
_TRIES = {Run: {"attempt"}, RefreshMarker: {"attempt"}}
_LAST_SHARE = {"invoice-lines", "invoice-final", "housekeeping", "tidying"}  # whose runs count the last attempt's rows


@dataclass(frozen=True)
class Found:
    """The rows by table, what the audit log's chain has to say against it, and what lies in files."""

    tables: dict[str, list[Row]]
    chain: str | None
    files: dict[str, list[str]] = field(default_factory=dict)

    def digest(self) -> str:
        """Equal for two that say the same."""
        told = [self.tables, self.chain, self.files]
        return hashlib.sha256(canonical(told).encode()).hexdigest()


def find(*, instants: bool = True, tries: bool = False, files: dict[str, list[str]] | None = None) -> Found:
    """Read the whole store that this process is bound to.

    Without `instants`, when something was done is replaced by whether it was: two stores are compared that did the same
    at different times. With `tries`, attempts and workers count too: nothing is left out that Keydesk goes by.
    """
    tables: dict[str, list[Row]] = {}
    names: dict[Any, dict[int, str]] = {}
    place = sqlite_path()
    if place is not None and not place.exists():
        return Found({}, None, files or {})
    with session():
        if migrations.version() == 0:
            return Found({}, None, files or {})
        for model in sorted(TABLES, key=lambda each: each is not Company):  # an event names one, too
            if (model is Worker and not tries) or not model.table_exists():  # an older store lacks some
                continue
            names[model] = {}
            tables[model._meta.table_name] = []
            for number, row in _rows(model, names, instants=instants, tries=tries):
                names[model][number] = hashlib.sha256(canonical(row).encode()).hexdigest()[:12]
                tables[model._meta.table_name].append(row)
            tables[model._meta.table_name].sort(key=canonical)
        chain = None if tries else events.verify().fault
    return Found(tables, chain, files or {})


def _rows(model: Any, names: dict[Any, dict[int, str]], *, instants: bool, tries: bool) -> Iterator[tuple[int, Row]]:
    fields = {each.column_name: each for each in model._meta.sorted_fields}
    random = _RANDOM.get(model, set()) | ({"pid", "host", "boot_id"} if model is Worker else set())
    left_out = {"id"} | (set() if tries else _TRIES.get(model, set()))
    columns = ", ".join(f'"{name}"' for name in fields)
    for values in run_sql(f'SELECT {columns} FROM "{model._meta.table_name}" ORDER BY 1').fetchall():
        row = dict(zip(fields, values, strict=True))
        number = row.get("id", 0)
        for name, value in row.items():
            one = fields[name]
            if name == "after" and isinstance(value, str):
                row[name] = _CLAIMANT.sub('"claimed_by":"somebody"', value)
            elif name in random or (isinstance(one, InstantField) and not instants):
                row[name] = value is not None
            elif isinstance(one, ForeignKeyField) and value is not None:
                row[name] = names[one.rel_model].get(value, "a row of its own table that comes later")
            elif name == "company_id" and value is not None:
                row[name] = names[Company][value]
            elif isinstance(value, bytes | memoryview):
                row[name] = hashlib.sha256(value).hexdigest()
        if model is Run and row["job"] in _LAST_SHARE and not tries:
            del row["rows"]
        yield number, {name: value for name, value in row.items() if name not in left_out}


def files_in(folder: Path, names: tuple[str, ...] | None = None) -> dict[str, list[str]]:
    """The lines of the files that are named, in any order; without names a digest of each that is not the store's."""
    if names is not None:
        return {
            name: sorted((folder / name).read_text(encoding="utf-8").splitlines()) if (folder / name).exists() else []
            for name in names
        }
    return {
        str(path.relative_to(folder)): [hashlib.sha256(path.read_bytes()).hexdigest()]
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not (path.parent == folder and path.name.startswith("keydesk.db"))
    }


def differences(found: Found, wanted: Found) -> list[str]:
    """What is missing and what is there beside it, a sentence each; empty when both say the same."""
    told = [f"the audit log: {found.chain}"] if found.chain != wanted.chain else []
    for kind, here, there in (
        *((f"row of {name}", found.tables[name], wanted.tables[name]) for name in wanted.tables),
        *((f"line of {name}", found.files.get(name, []), lines) for name, lines in wanted.files.items()),
    ):
        there_is = Counter(json.dumps(each, ensure_ascii=False) for each in here)
        there_should = Counter(json.dumps(each, ensure_ascii=False) for each in there)
        told += [f"missing {kind}: {each}" for each in (there_should - there_is).elements()]
        told += [f"extra {kind}: {each}" for each in (there_is - there_should).elements()]
    return told
