"""The SQLite store's file as a process holds it: always the same one, with the same log beside it.

SQLite itself notices neither. Who writes on after another file was put in its place, or after the log was deleted,
writes into what nobody will read again, or breaks what others write.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from peewee import SqliteDatabase
from peewee import sqlite3 as driver  # type: ignore[attr-defined] # the one that it has chosen

from store.errors import StoreUnavailable
from store.file_access import may_write

_Identity = tuple[int, int]


class _Connection(driver.Connection):  # type: ignore[misc]
    """Remembers which log was there when it was opened; None until there was one."""

    log: _Identity | None = None


class SqliteFile(SqliteDatabase):
    """The first connection makes the file where there is none. Every later one, and every change, wants the same.

    `lock_wait_seconds` is how long one that is opened waits for another program.
    """

    def __init__(self, path: Path, lock_wait_seconds: float, **options: Any) -> None:
        super().__init__(f"{path.absolute().as_uri()}?mode=rwc", factory=_Connection, uri=True, **options)
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._known: _Identity | None = None
        self._lock_wait_seconds = lock_wait_seconds

    def _connect(self) -> _Connection:
        give_up = time.monotonic() + self._lock_wait_seconds
        while True:
            try:
                return self._opened()
            except driver.OperationalError as error:
                # SQLite does not wait by itself where another program, as one that makes the same store, writes into a
                # file that is to get its write-ahead log.
                if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > give_up:
                    raise
            time.sleep(0.02)

    def _opened(self) -> _Connection:
        before = _identity(self._path)
        if self._known is not None and before != self._known:
            raise self._replaced()
        try:
            connection: _Connection = super()._connect()  # type: ignore[misc] # peewee's stubs leave it out
        except driver.Error:
            if before is not None and _identity(self._path) != before:
                raise self._replaced() from None
            raise
        finally:
            if before is not None and not may_write(self._path):
                self._make_logs_writable()
        opened = _identity(self._path)
        if opened is None or before not in (None, opened):
            connection.close()
            raise self._replaced()
        self._known = opened
        self.database = f"{self._path.absolute().as_uri()}?mode=rw"  # from now on none is made where none is
        connection.log = _identity(self._log)
        return connection

    def _make_logs_writable(self) -> None:
        """SQLite gives its logs the mode of the file. Who only reads leaves them there, read-only for ever."""
        for log in (self._log, self._path.with_name(self._path.name + "-shm")):
            with suppress(OSError):  # there is none, or it is another account's
                log.chmod(0o600)

    def check_file(self) -> None:
        """Raise StoreUnavailable unless this thread's connection still is to the store."""
        if _identity(self._path) != self._known:
            raise self._replaced()
        connection: _Connection = self.connection()  # type: ignore[no-untyped-call]
        log = _identity(self._log)
        if connection.log is None:
            connection.log = log
        elif log != connection.log:
            raise StoreUnavailable(
                f"The log {self._log} was removed or replaced while the store was in use; nothing was changed. "
                "Close every program of Keydesk, put the log back if you have it, and run `keydesk doctor`."
            )

    def _replaced(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"The file of the store {self._path} was removed or replaced while this program had it; nothing was "
            "changed. Start the program again."
        )


def left_log(path: Path) -> Path | None:
    """A log beside a path that is not empty: SQLite reads it into whatever file has that name."""
    beside = (path.with_name(path.name + log) for log in ("-wal", "-journal"))
    return next((log for log in beside if log.exists() and log.stat().st_size), None)


def _identity(path: Path) -> _Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a third of the time of Path.stat, with each change
    except OSError:
        return None
    return found.st_dev, found.st_ino
