"""A backup is looked at, and put in the place of the SQLite store; the store that was there is kept beside it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from peewee import DatabaseError, SqliteDatabase

from store import beside, database, events, installation, migrations, restored, unavailable, unfinished, workers
from store.actors import Actor
from store.backup import LOG_BYTES, sync
from store.database import explained, private_directory, run_sql, session
from store.errors import Refused, StoreUnavailable
from store.gate import GateClosedError, GateMissingError, WriteGate
from store.peppers import Peppers
from store.rules.text import one_line, visible
from store.sqlite_file import left_log
from store.tables import TABLES, Event

_PATIENCE_SECONDS = 5  # for the gate, and for whoever still has the store open
_LOGS = ("-wal", "-shm", "-journal")

Bind = Callable[[str], None]
"""Makes a place the store of this process."""


@dataclass(frozen=True)
class Looked:
    """What was found in a backup that is sound."""

    version: int
    vendor: str
    rows: dict[str, int]  # table -> rows
    head: str  # of the audit log, as NUMBER:HASH
    newest_event: datetime | None


@dataclass(frozen=True)
class Placed:
    """What was put in place, and where the store that was there is kept; None when there was none."""

    looked: Looked
    kept: Path | None


def check(backup: Path, store: Path, bind: Bind, peppers: Peppers, now: datetime) -> Looked:
    """Look at all of a backup without touching it: sound pages, version, unbroken log, and the pepper of its keys.

    It is copied beside `store`, because to open a file is to change it. Raises StoreUnavailable, Refused or
    SettingsWrong, which say what is wrong with it. The process is bound to nothing that is left afterwards.
    """
    with _copied(backup, store) as copy:
        return _look(copy, backup, bind, peppers, now)


def restore(backup: Path, store: Path, bind: Bind, peppers: Peppers, actor: Actor, now: datetime) -> Placed:
    """Put a backup that is sound in the place of `store`, held until somebody releases it.

    Refused while a worker or a desk has the store in its hands: nobody else writes from the first look to the last
    step. A crash at any moment leaves either the old store or the new one in place.
    """
    private_directory(store.parent)
    gate = WriteGate(store.with_name(store.name + ".gate"), _PATIENCE_SECONDS)
    try:
        with gate.held(), _shut(store, bind, now):
            pass
        with _copied(backup, store) as copy:
            looked = _look(copy, backup, bind, peppers, now)
            bind(str(copy))
            with session():
                restored.hold(actor, f"from {visible(backup.name)}", now, since=looked.newest_event)
                run_sql("UPDATE worker SET stopped_at = last_tick WHERE stopped_at IS NULL")
            with _alone_in(copy):
                database.dispose()
            sync(copy)
            with gate.held(), _shut(store, bind, now):
                return Placed(looked, _swap(copy, store, now))
    except GateClosedError:
        raise Refused(f"Something is writing to the store {store}; stop it, and restore then.") from None
    except GateMissingError as error:
        raise StoreUnavailable(unavailable.of_file(error.fault, str(store))) from None
    finally:
        database.dispose()


@contextmanager
def _copied(backup: Path, store: Path) -> Iterator[Path]:
    """A copy of the backup in a private folder beside the store, so that it can be renamed into its place."""
    if not backup.is_file():
        raise Refused(f"{backup} is no file; name one that `keydesk backup` made.")
    if store.exists() and backup.samefile(store):
        raise Refused(f"{backup} is the store itself; name a backup of it.")
    if log := left_log(backup):
        raise Refused(f"{log} lies beside it, so this is no finished backup; make one with `keydesk backup`.")
    private_directory(store.parent)
    with (
        unfinished.room(store.parent, backup.stat().st_size + LOG_BYTES),
        unfinished.folder(store.parent, ".restoring-") as folder,
    ):
        copy = folder / "keydesk.db"
        os.close(beside.opened(copy, os.O_RDWR, store))
        shutil.copyfile(backup, copy)
        try:
            yield copy
        finally:
            database.dispose()


def _look(copy: Path, backup: Path, bind: Bind, peppers: Peppers, now: datetime) -> Looked:
    bind(str(copy))
    try:
        with session():
            verdict = run_sql("PRAGMA integrity_check(1)").fetchone()[0]
        found = migrations.version()
    except (StoreUnavailable, DatabaseError) as error:
        if unavailable.has_no_room(error):
            raise
        raise StoreUnavailable(f"{backup} is not a sound SQLite file; take another backup.") from None
    if verdict != "ok":
        raise StoreUnavailable(f"{backup} is not sound ({one_line(verdict, 200)}); take another backup.")
    if found == 0:
        raise Refused(f"{backup} holds no store of Keydesk; take another file.")
    if found > migrations.newest():
        raise Refused(
            f"{backup} is version {found}, newer than this program knows ({migrations.newest()}). Install the newer "
            "Keydesk."
        )
    migrations.migrate(now, backups=copy.parent)
    with session():
        chosen = installation.get()
        installation.check_peppers(peppers)
        rows = {
            model._meta.table_name: int(model.select().count())  # noqa: SLF001 - peewee has no other name for it
            for model in TABLES
        }
        newest = Event.select().order_by(Event.seq.desc()).first()
    chain = events.verify()
    if chain.fault is not None:
        raise Refused(f"{backup}: {chain.fault} Take another backup.")
    return Looked(found, chosen.vendor, rows, f"{chain.events}:{chain.head}", newest.at if newest else None)


@contextmanager
def _shut(store: Path, bind: Bind, now: datetime) -> Iterator[None]:
    """Nobody has the old store open, on this machine or, as a worker, on another one; nobody opens it until the end."""
    with ExitStack() as held:
        if store.exists() and store.stat().st_size:
            try:
                _refuse_workers(store, bind, now)
                held.enter_context(_alone_in(store))
            except (StoreUnavailable, DatabaseError) as error:
                if isinstance(error, StoreUnavailable) and error.is_busy:
                    raise Refused(
                        f"A desk or another program has the store {store} open; close it, and restore then."
                    ) from None
                # Broken, or of no Keydesk: that it cannot be read is why somebody restores.
        yield


def _refuse_workers(store: Path, bind: Bind, now: datetime) -> None:
    bind(str(store))
    try:
        with session():
            here = workers.this_host()
            for row in workers.alive(now):
                if not workers.is_of(here, row) or workers.is_running(row.pid):
                    raise Refused(f"The worker {row.name} uses the store {store}; stop it, and restore then.")
    finally:
        database.dispose()


@contextmanager
def _alone_in(path: Path) -> Iterator[None]:
    """Be alone with the file until the end, its log moved into it and gone."""
    address = f"{path.absolute().as_uri()}?mode=rw"
    alone = SqliteDatabase(address, uri=True, pragmas=(("busy_timeout", _PATIENCE_SECONDS * 1000),))
    try:
        with explained():
            alone.execute_sql("PRAGMA journal_mode = DELETE").fetchall()  # type: ignore[no-untyped-call]
            alone.execute_sql("BEGIN EXCLUSIVE")  # type: ignore[no-untyped-call]
        yield
    finally:
        alone.close()


def _swap(copy: Path, store: Path, now: datetime) -> Path | None:
    kept = None
    if store.exists():
        kept = store.with_name(f"{store.stem}-before-restore-{now:%Y%m%dT%H%M%SZ}{store.suffix}")
        if kept.exists():
            raise Refused(f"{kept} is there already; wait a second, or move it away.")
        os.link(store, kept)
        for log in _LOGS:  # of a store that could not be opened; a log would be read into the file that comes now
            with suppress(FileNotFoundError):
                store.with_name(store.name + log).rename(kept.with_name(kept.name + log))
    copy.replace(store)
    sync(store.parent)
    return kept
