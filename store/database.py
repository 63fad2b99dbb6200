"""The one store of this process: SQLite in a file, or PostgreSQL by URL.

Connections are never opened by accident: every edge (a command, a worker's tick, a desk query) takes `session()`, every
change takes `writing()`.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from threading import Thread, get_ident
from typing import Any, TypeVar

from peewee import Database, DatabaseError, DatabaseProxy
from peewee import __exception_wrapper__ as exception_wrapper  # type: ignore[attr-defined]
from playhouse.pool import MaxConnectionsExceeded

from store import file_system, unavailable
from store.errors import SettingsWrong, StoreUnavailable
from store.gate import GateClosedError, GateMissingError, WriteGate
from store.postgresql import postgresql_at
from store.sqlite_file import SqliteFile

T = TypeVar("T")

_proxy: Any = DatabaseProxy()
db: Database = _proxy

LOCK_WAIT_SECONDS = 10
_FIRST_PAUSE_SECONDS = 0.01  # before what was broken off is tried again
_gate: WriteGate | None = None
_location = ""
_lock_wait_seconds = LOCK_WAIT_SECONDS
_in_session: dict[int, Any] = {}  # thread -> the connection of its session


def bind(location: str, *, password: str | None = None, lock_wait_seconds: int = LOCK_WAIT_SECONDS) -> None:
    """Make `location` the store of this process; nothing is opened yet.

    `location` is a file's path or `postgresql://user@host:port/name?sslmode=verify-full`. A password never stands in
    the URL; it is passed here, out of its own file. A server that is not reached through a socket or loopback must be
    verified (`sslmode=verify-full`), or SettingsWrong is raised, as it is for a file that other machines may write to.
    `lock_wait_seconds` is how long a write waits for others before it is given up with StoreUnavailable.
    """
    global _gate, _location, _lock_wait_seconds  # noqa: PLW0603 - one process, one store
    _location, _lock_wait_seconds = location, lock_wait_seconds
    if location.startswith(("postgresql://", "postgres://")):
        _gate = None
        _proxy.initialize(postgresql_at(location, password, lock_wait_seconds))
    elif "://" in location:
        raise SettingsWrong("The store's location is a file's path or postgresql://user@host/name; correct it.")
    else:
        path = Path(location)
        file_system.refuse_shared(path)
        _gate = WriteGate(path.with_name(path.name + ".gate"), lock_wait_seconds)
        _proxy.initialize(_sqlite(path, lock_wait_seconds))
    text_for_backend.cache_clear()


def location() -> str:
    """Where the store is, as it may be shown: a path or a URL without a password."""
    return _location


def backend() -> str:
    """`sqlite` or `postgresql`."""
    return "sqlite" if _gate is not None else "postgresql"


def sqlite_path() -> Path | None:
    """The store's file, None on PostgreSQL."""
    return Path(_location) if _gate is not None else None


@contextmanager
def session() -> Iterator[None]:
    """A connection for this thread, given back at the end. May be nested."""
    if not db.is_closed():
        yield
        return
    with explained():
        _connect()
        try:
            yield
        finally:
            _close()  # where `let_go` has not done it before


def _connect() -> None:
    db.connect()
    _in_session[get_ident()] = db.connection()  # type: ignore[no-untyped-call]


def _close() -> None:
    _in_session.pop(get_ident(), None)
    db.close()


@contextmanager
def writing() -> Iterator[None]:
    """One transaction that writes: all of it or none. Nested, it is part of the outer one.

    On SQLite it first stands in line at the write gate. Raises StoreUnavailable when the store is full, locked by a
    foreign program, or read-only.
    """
    if db.in_transaction():
        with db.atomic():
            yield
    elif _gate is None:
        with explained(), db.atomic():
            yield
    else:
        with explained(), _gate.held():
            check_file()
            with db.atomic():
                yield


def check_file() -> None:
    """Raise StoreUnavailable when this thread's connection is to a SQLite file that is no longer the store."""
    if _gate is not None:
        _proxy.obj.check_file()


def transact(body: Callable[[], T], *, tries: int = 5) -> T:
    """Run `body` in one transaction; again when PostgreSQL broke a deadlock or a serialisation (40P01, 40001)."""

    def whole() -> T:
        with writing():
            return body()

    return retried(whole, tries=tries)


def retried(body: Callable[[], T], *, tries: int = 5) -> T:
    """Run `body`, which is a transaction of its own; again when PostgreSQL broke a deadlock or a serialisation.

    After a moment each time: on a busy machine it would be quicker than who waits for what it gave up, and both would
    meet again. What is a part of another transaction is not run again: that one is broken as a whole.
    """
    if db.in_transaction():
        return body()
    for attempt in range(1, tries + 1):
        try:
            return body()
        except (DatabaseError, StoreUnavailable) as error:
            if attempt == tries or unavailable.sqlstate(error) not in {"40P01", "40001"}:
                raise
            time.sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
    raise AssertionError  # pragma: no cover - the last try returned or raised


def run_sql(text: str, values: Sequence[Any] = ()) -> Any:
    """A cursor over a statement written with `?`, the same for both databases."""
    return _proxy.execute_sql(text_for_backend(text), tuple(values))


def run_planned(text: str, values: Sequence[Any] = ()) -> Any:
    """A cursor as from run_sql, over a statement that PostgreSQL plans for these very values; for what reads many rows.

    One that is run again and again is prepared, and planned for any values: a thousand rows are taken for a few then.
    """
    if backend() == "sqlite":
        return run_sql(text, values)
    with exception_wrapper:
        return _proxy.obj.cursor().execute(text_for_backend(text), values, prepare=False)


def run_alone(text: str, values: Sequence[Any] = ()) -> int:
    """Run one statement, written as for run_sql, as a transaction of its own or a part of the one that is open.

    Gives how many rows it changed. What `writing` takes three trips to the server for takes one. It is run again as by
    `retried`.
    """
    return _alone(lambda: int(run_sql(text, values).rowcount))


def rows_alone(text: str, values: Sequence[Any] = ()) -> list[Any]:
    """The same for a statement that gives rows (RETURNING)."""
    return _alone(lambda: list(run_sql(text, values).fetchall()))


def _alone(run: Callable[[], T]) -> T:
    with explained(), exception_wrapper:  # SQLite commits, and may fail, as the last row is read
        if _gate is None or db.in_transaction():
            return retried(run)
        with _gate.held():
            check_file()
            return run()


def first_row(text: str, values: Sequence[Any]) -> Any:
    """The first row of a statement written as for run_sql, None when there is none; for what is asked all day long.

    It goes past peewee's logging and hooks, which cost a tenth of a look-up; errors read as peewee's.
    """
    try:
        return _proxy.obj.cursor().execute(text_for_backend(text), values).fetchone()
    except Exception:
        with exception_wrapper:
            raise


def run_many(text: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run one statement, written as for run_sql, with each row's values."""
    if len(rows) == 1:  # without what the driver does to send many
        run_sql(text, rows[0])
    elif rows:
        with exception_wrapper:  # peewee's: what a driver says reads the same for both
            db.connection().cursor().executemany(text_for_backend(text), rows)  # type: ignore[no-untyped-call]


def row_behind_lock(lock: int, text: str) -> Any:
    """The first row of a statement without values, read when no other PostgreSQL transaction holds this advisory lock.

    The lock is kept to the end of the transaction, which must be open. Both go to the server in one trip, and are two
    statements: one that waited for the lock itself would read as of before it waited. SQLite's one writer needs none.
    """
    if backend() == "sqlite":
        return run_sql(text).fetchone()
    with exception_wrapper:
        cursor = _proxy.obj.cursor().execute(f"SELECT pg_advisory_xact_lock({lock:d}); {text}", prepare=False)
        cursor.nextset()
        return cursor.fetchone()


def one_of(numbers: Sequence[int]) -> tuple[str, list[Any]]:
    """What follows a column that is to be one of these numbers, and the values that go with it."""
    if backend() == "sqlite":
        return one_of_few(numbers)
    return "= ANY (CAST(? AS BIGINT[]))", [[*numbers]]


def one_of_few(numbers: Sequence[int]) -> tuple[str, list[Any]]:
    """The same for some ten numbers in a statement of many tables that is run again and again.

    PostgreSQL keeps one plan for each count of them. For an array, which may be of any length, it plans anew each time,
    and that can take three times as long as to run it.
    """
    return f"IN ({', '.join('?' * len(numbers))})", [*numbers]


@lru_cache(maxsize=2048)
def text_for_backend(text: str) -> str:
    """The statement with the placeholders of this backend."""
    if backend() == "sqlite":
        return text
    return text.replace("%", "%%").replace("?", "%s")


@contextmanager
def explained() -> Iterator[None]:
    """Turn a driver's error about the store itself into one sentence; errors about rows pass unchanged."""
    try:
        yield
    except GateClosedError:
        raise StoreUnavailable(
            f"Another process of Keydesk has been writing to the store {_location} for more than "
            f"{_lock_wait_seconds} s; nothing was changed. Try again when its import or migration is done, or end it.",
            is_busy=True,
        ) from None
    except GateMissingError as error:
        raise StoreUnavailable(unavailable.of_file(error.fault, _location)) from None
    except (DatabaseError, MaxConnectionsExceeded) as error:
        sentence = unavailable.sentence(error, _location, _lock_wait_seconds)
        if sentence is None:
            raise
        raise StoreUnavailable(sentence, is_busy=unavailable.is_busy(error)) from error


def _sqlite(path: Path, lock_wait_seconds: int) -> SqliteFile:
    return SqliteFile(
        path,
        lock_wait_seconds,
        pragmas=(
            ("busy_timeout", lock_wait_seconds * 1000),
            ("journal_mode", "wal"),
            ("foreign_keys", 1),
            ("synchronous", "full"),  # what was acknowledged survives a power cut, not only kill -9
            ("cache_size", -65536),
            ("mmap_size", 0),  # a mapped file that is cut short, or a disk that fails, kills the process (SIGBUS)
            ("temp_store", "memory"),
            ("secure_delete", 1),  # what was erased is not left in free pages
        ),
        lock_type="IMMEDIATE",
        autoconnect=False,
    )


def interrupt() -> None:
    """Stop the statements that other threads run in their sessions; it waits for none of them.

    SQLite ends them within microseconds, PostgreSQL by a request over the network: one that comes late ends what runs
    on that connection by then, and be it for somebody else who has it from the pool.
    """
    for thread, connection in list(_in_session.items()):
        if thread != get_ident():  # each by itself: a server that hangs answers none
            Thread(target=_stop, args=(connection,), name="interrupt", daemon=True).start()


def _stop(connection: Any) -> None:
    with suppress(Exception):
        if backend() == "sqlite":
            connection.interrupt()
        else:  # not `cancel`: libpq waits in it for a server that hangs, and no other thread goes on meanwhile
            connection.cancel_safe(timeout=2)


def let_go() -> None:
    """Close this thread's connection, which may be broken; whoever takes `session()` next opens another one."""
    if not db.in_transaction():
        _close()


def renew() -> None:
    """Another connection for the session that this thread has open, whose own may be broken."""
    if not db.in_transaction():
        _close()
        with explained():
            _connect()


def dispose() -> None:
    """Close this process's connections; a child that was forked, and a test that ends, begin anew."""
    if not db.is_closed():
        _close()
    _in_session.clear()  # of the parent's threads
    close_all = getattr(_proxy.obj, "close_all", None)
    if close_all is not None:
        close_all()


def private_directory(path: Path) -> None:
    """Make the directory for one user's eyes only (0700)."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def private_file(path: Path) -> None:
    """Make an empty file that only its owner reads (0600), before anything is written into it."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
