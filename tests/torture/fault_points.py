"""Where a process can be killed: before every SQL statement, before whatever changes a file, and where it is told so.

BEGIN and COMMIT are statements. The moment after one is the moment before the next point: in between nothing is changed
outside the process, but by a program that it has started and waits for, which goes on; so to wait is a point as well.
The end of an act is the last one.
"""

import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import psycopg
from peewee import SqliteDatabase

_SYSTEM_CALLS = frozenset(
    {
        "open", "write", "pwrite", "writev", "sendfile", "fsync", "fdatasync", "rename", "replace", "link", "unlink",
        "remove", "mkdir", "rmdir", "truncate", "ftruncate", "chmod", "fork_exec", "kill", "killpg", "waitpid",
    }
)  # fmt: skip
_FILE_METHODS = frozenset({"write", "flush", "truncate", "close"})


class FaultPoints:
    """Counts the points of one act, by name, and kills the process at one of them. 0: at none."""

    def __init__(self, die_at: int = 0) -> None:
        self.die_at = die_at
        self.passed: list[str] = []

    def reach(self, what: str) -> None:
        """The moment before something is done."""
        self.passed.append(" ".join(what.split()))
        if len(self.passed) == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    @property
    def is_watching(self) -> bool:
        """Whether a connection that is made now is to be watched."""
        return True

    @contextmanager
    def watching(self, *, files: bool) -> Iterator[None]:
        """See every statement of this process, on any connection made from now on, and with `files` its files too.

        For a process that ends with it: what is put in the drivers' way is not taken out again.
        """
        self._watch_sqlite()
        self._watch_postgresql()
        if files:
            sys.setprofile(self._called)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _watch_sqlite(self) -> None:
        prepare = SqliteDatabase._add_conn_hooks

        def watched(database: SqliteDatabase, connection: Any) -> None:
            prepare(database, connection)
            if self.is_watching:
                connection.set_trace_callback(self._stated)

        SqliteDatabase._add_conn_hooks = watched
        self._watch_other_files()

    def _watch_other_files(self) -> None:
        """What is opened with Python's own driver: a refresher's source and sandbox, which are no store."""
        connect = sqlite3.connect

        def watched(place: Any, *given: Any, **named: Any) -> Any:
            connection = connect(place, *given, **named)
            if place and self.is_watching:  # what has no name is gone with the process
                connection.set_trace_callback(self._stated)
            return connection

        sqlite3.connect = watched

    def _stated(self, statement: str) -> None:
        if not statement.startswith("--"):  # a trigger's, which is part of the statement that set it off
            self.reach(statement)

    def _watch_postgresql(self) -> None:
        for name in ("execute", "executemany"):
            setattr(psycopg.Cursor, name, self._watched(getattr(psycopg.Cursor, name)))
        begin = psycopg.Connection.transaction

        @contextmanager
        def transaction(connection: Any, *given: Any, **named: Any) -> Iterator[Any]:
            self.reach("BEGIN")
            with begin(connection, *given, **named) as begun:
                yield begun
                self.reach("COMMIT")

        psycopg.Connection.transaction = transaction

    def _watched(self, send: Any) -> Any:
        def watched(cursor: Any, statement: Any, *given: Any, **named: Any) -> Any:
            self.reach(str(statement))
            return send(cursor, statement, *given, **named)

        return watched

    def _called(self, _frame: FrameType, event: str, called: Any) -> None:
        if event != "c_call":
            return
        name = called.__name__
        if name in _SYSTEM_CALLS and called.__module__ in {"posix", "_posixsubprocess"}:
            self.reach(f"os.{name}")
        elif name in _FILE_METHODS and type(called.__self__).__name__ in {"TextIOWrapper", "BufferedWriter", "FileIO"}:
            self.reach(f"file.{name}")
