"""A sandbox in a SQLite file: copied from production, masked, looked at, and put in place in one step."""

import hashlib
import hmac
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from jobs.refreshers import access, full_text, own_store, virtual_tables
from jobs.refreshers.full_text import quoted
from jobs.refreshers.rules import Rule, Rules
from store import unfinished
from store.errors import Refused, StoreUnavailable
from store.sqlite_file import left_log

T = TypeVar("T")

_PATIENCE_SECONDS = 10
_LOOKS_UP_EVERY = 100_000  # steps of a statement
_PAGES_AT_ONCE = 2000
_SAMPLES = "SELECT name FROM sqlite_schema WHERE name IN ('sqlite_stat2', 'sqlite_stat3', 'sqlite_stat4')"
_IN_USE = "Something has the sandbox {} open; stop it while it is refreshed."


@dataclass(frozen=True)
class Refreshed:
    """What was done: how many columns were masked, and where the sandbox of before is kept."""

    columns: int
    previous: Path | None


def refresh(source: Path, target: Path, rules: Rules) -> Refreshed:
    """Replace the target by a masked copy of the source; the target of before is kept as `….previous`.

    The source is opened read-only. Refused, with the target as it was, when the target is not allowed, is the source,
    is no SQLite file, is in use, or has an owner or group that the copy cannot get, when a rule fits nothing, when the
    source is a Keydesk store or has a virtual table of an unknown module, or when the copy is not sound or not masked
    in every row.
    """
    source, target = source.absolute(), target.absolute()
    _guard(source, target, rules)
    try:
        with unfinished.folder(target.parent, ".refreshing-") as folder:
            if target.exists():
                access.give_as(_private(folder / "empty"), target)  # or it would be refused after hours of copying
            copy = _private(folder / "copy.db")
            columns = _copied(source, copy, rules)
            if target.exists():
                access.give_as(copy, target)
            with _closed(target):
                return Refreshed(columns, _swap(copy, target))
    except sqlite3.Error as error:
        raise StoreUnavailable(f"The sandbox {target} was not refreshed and is as it was: {error}.") from None


def _guard(source: Path, target: Path, rules: Rules) -> None:
    if not source.is_file():
        raise Refused(f"There is no SQLite file {source} to refresh from.")
    if target.is_symlink():
        raise Refused(f"{target} is a link; name the file itself.")
    if not target.parent.is_dir():
        raise Refused(f"There is no directory {target.parent}; make it first.")
    real = target.parent.resolve() / target.name
    rules.require_target(str(real))
    for place in (real, _previous(target)):  # both are written to
        if place == source.resolve() or (place.exists() and place.samefile(source)):
            raise Refused(f"{place} is the source itself; nothing was touched.")
    access.require_no_log_of_ours(source)
    if not target.exists() and (log := left_log(target)):
        raise Refused(f"{log} is left of a sandbox that is gone, and would be read into the new one; move it away.")


def _private(path: Path) -> Path:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    return path


def _copied(source: Path, copy: Path, rules: Rules) -> int:
    """Copy and mask; how many columns were masked."""
    address = f"file:{quote(str(source))}?mode=ro"
    with (
        closing(_read(source, lambda: sqlite3.connect(address, uri=True, timeout=_PATIENCE_SECONDS))) as read_only,
        closing(sqlite3.connect(copy, isolation_level=None)) as writable,
    ):
        for connection in (read_only, writable):
            connection.set_progress_handler(_look_up, _LOOKS_UP_EVERY)
        read_only.execute("BEGIN")  # or a copy of what is written to would begin anew with each write
        if _read(source, lambda: own_store.is_one(_tables(read_only))):
            raise own_store.refused(source)
        _read(source, lambda: virtual_tables.require_known(read_only))
        chosen = _read(source, lambda: rules.matched(_columns(read_only)))  # before anything is copied
        _read(source, lambda: read_only.backup(writable, pages=_PAGES_AT_ONCE, progress=_look_up))
        read_only.rollback()
        writable.execute("PRAGMA journal_mode = DELETE")
        writable.execute("PRAGMA foreign_keys = OFF")
        _mask(writable, chosen)
        writable.execute("VACUUM")  # or what was masked would still stand in free pages
        verdict = writable.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        raise Refused(f"The masked copy of {source} is not sound ({verdict}); the sandbox is as it was.")
    return len(chosen)


def _look_up(*_state: object) -> None:
    """Where Python hears that it is to end: not in the middle of a statement of SQLite's."""


def _read(source: Path, body: Callable[[], T]) -> T:
    try:
        return body()
    except sqlite3.Error as error:
        raise StoreUnavailable(
            f"The source {source} could not be copied ({error}); the sandbox is as it was."
        ) from None


def _tables(connection: sqlite3.Connection) -> list[str]:
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    )
    return [str(name) for (name,) in tables.fetchall()]


def _columns(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Every column that can be written, by table."""
    following = full_text.following(connection)
    following |= {each.name for each in virtual_tables.tables(connection) if each.only_shows}
    for table in (name for name in _tables(connection) if name not in following):
        for column, hidden in connection.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", (table,)):
            if not hidden:  # of another kind are generated columns: they follow those that they are made from
                yield table, str(column)


def _mask(connection: sqlite3.Connection, chosen: list[tuple[str, str, Rule]]) -> None:
    """All or nothing; without triggers, which could keep what is masked somewhere else."""
    _offer(connection, secrets.token_bytes(32))
    connection.execute("BEGIN IMMEDIATE")
    triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {quoted(name)}")
    if chosen:
        full_text.empty(connection)
    texts = full_text.tables(connection)
    for table, masked in groupby(chosen, key=itemgetter(0)):
        if table not in texts or not texts[table].keeps_no_text:
            _update(connection, table, [(column, rule) for _, column, rule in masked])
    full_text.rebuild(connection, {table for table, _, _ in chosen})
    for (samples,) in connection.execute(_SAMPLES).fetchall():
        connection.execute(f"DELETE FROM {quoted(samples)}")  # noqa: S608 - names are quoted
    for _, text in triggers:
        connection.execute(text)
    connection.execute("COMMIT")


def _update(connection: sqlite3.Connection, table: str, masked: list[tuple[str, Rule]]) -> None:
    """Every row or none, also where the table's own ON CONFLICT would pass over a row, or delete another."""
    setting = ", ".join(f"{quoted(column)} = {_value(column, rule)}" for column, rule in masked)
    values = [rule.value for _, rule in masked if rule.way == "fixed"]
    count = f"SELECT count(*) FROM {quoted(table)}"  # noqa: S608 - names are quoted
    (before,) = connection.execute(count).fetchone()
    changed = connection.execute(f"UPDATE OR ABORT {quoted(table)} SET {setting}", values).rowcount  # noqa: S608
    (after,) = connection.execute(count).fetchone()
    if not before == changed == after:
        raise Refused(
            f"Of {before} rows of {table} {changed} were masked, and {after} are there afterwards; "
            "the sandbox is as it was."
        )


def _value(column: str, rule: Rule) -> str:
    return {"fixed": "?", "null": "NULL"}.get(rule.way, f"masked_{rule.way}({quoted(column)})")


def _offer(connection: sqlite3.Connection, secret: bytes) -> None:
    def hashed(value: object) -> str | None:
        if value is None:
            return None
        plain = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        return hmac.new(secret, plain, hashlib.sha256).hexdigest()[:24]

    def mail(value: object) -> str | None:
        return None if value is None else f"{hashed(value)}@masked.invalid"

    functions: dict[str, Callable[[object], str | None]] = {"masked_hash": hashed, "masked_mail": mail}
    for name, body in functions.items():
        connection.create_function(name, 1, body, deterministic=True)


@contextmanager
def _closed(target: Path) -> Iterator[None]:
    """Nobody has the target open: a log that is left behind would be read into the file that comes in its place."""
    if not target.exists():
        yield
        return
    address = f"file:{quote(str(target))}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=_PATIENCE_SECONDS)) as alone:
        try:
            alone.execute("PRAGMA journal_mode = DELETE").fetchall()
            alone.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise Refused(_IN_USE.format(target)) from None
            raise Refused(f"{target} is no SQLite file, so it is not replaced.") from None
        if _is_held(target.resolve()):
            raise Refused(_IN_USE.format(target))
        yield


def _is_held(target: Path) -> bool:
    """Whether another process that this one may look at has the file open, be it idle: it would go on with the old."""
    own = target.stat()
    others = [process for process in Path("/proc").glob("[0-9]*") if process.name != str(os.getpid())]
    return any(_is_file(held, target, own) for process in others for held in _opened_by(process))


def _opened_by(process: Path) -> list[Path]:
    try:
        return list(process.joinpath("fd").iterdir())
    except OSError:  # it has ended, or is somebody else's
        return []


def _is_file(held: Path, target: Path, own: os.stat_result) -> bool:
    try:  # by its name first: to look at a file on a disk of the network can take for ever
        return held.readlink().name == target.name and os.path.samestat(held.stat(), own)
    except OSError:  # it was closed meanwhile
        return False


def _swap(copy: Path, target: Path) -> Path | None:
    _sync(copy)
    previous = None
    if target.exists():
        if log := left_log(target):
            raise Refused(f"{log} holds what was not written into the sandbox yet; open and close it once.")
        previous = _previous(target)
        linked = copy.with_name("previous")
        os.link(target, linked)
        linked.replace(previous)
    copy.replace(target)
    _sync(target.parent)
    return previous


def _previous(target: Path) -> Path:
    return target.with_name(target.name + ".previous")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
