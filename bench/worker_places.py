"""Where the worker's store lies while it is measured, and how it is brought back to before the night."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Protocol

from bench import worker_world
from bench.driver import sqlite3
from bench.filling import settle

_BEFORE: Final = "bench_before"
_RUN: Final = "bench_run"


class Place(Protocol):
    """Where a store lies that is brought back to how it was built."""

    name: str
    location: str

    def build(self, companies: int) -> None: ...

    def fresh(self, *, told: bool = True) -> None: ...

    def drop(self) -> None: ...


class OnSqlite:
    """A file, brought back by copying."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._before, self._run = folder / "before.db", folder / "run.db"
        self.location = str(self._run)

    def build(self, companies: int) -> None:
        """Make the store as it is before the night."""
        worker_world.build(str(self._before), companies)

    def fresh(self, *, told: bool = True) -> None:
        """As it was built; unless `told`, nobody has heard of anything."""
        self._clear(self._run)
        shutil.copy(self._before, self._run)
        if not told:
            with closing(sqlite3.connect(self._run)) as store:
                store.execute("DELETE FROM notice")
                store.commit()
        settle(self._run)

    def drop(self) -> None:
        """Leave nothing on the disk."""
        for path in (self._before, self._run):
            self._clear(path)

    @staticmethod
    def _clear(path: Path) -> None:
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()


class OnPostgresql:
    """A database, brought back by copying."""

    name = "PostgreSQL"

    def __init__(self, server: Any) -> None:
        self._server = server
        self.location = server.url(_RUN)

    def build(self, companies: int) -> None:
        """Make the store as it is before the night."""
        self._server.sql(f"CREATE DATABASE {_BEFORE}")
        worker_world.build(self._server.url(_BEFORE), companies)

    def fresh(self, *, told: bool = True) -> None:
        """As it was built; unless `told`, nobody has heard of anything."""
        self._server.sql(f"DROP DATABASE IF EXISTS {_RUN} WITH (FORCE)")
        self._server.sql(f"CREATE DATABASE {_RUN} TEMPLATE {_BEFORE} STRATEGY file_copy")
        if not told:
            self._server.sql("TRUNCATE notice", _RUN)
        self._server.sql("CHECKPOINT", _RUN)

    def drop(self) -> None:
        """Leave nothing on the disk."""
        for name in (_RUN, _BEFORE):
            self._server.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
