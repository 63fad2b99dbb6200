"""Where the invoices' store lies while it is measured, and how it is brought back to before the monthly run."""

import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from bench import invoice_world
from bench.driver import sqlite3
from bench.filling import settle


class Place(Protocol):
    """Where a store lies that is brought back to how it was before the monthly run."""

    name: str
    location: str
    kept: str

    def build(self, companies: int) -> None: ...

    def fresh(self) -> None: ...

    def keep(self, tables: Sequence[str]) -> None: ...

    def drop(self) -> None: ...


class OnSqlite:
    """A file, brought back by copying."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._before, self._run, self._kept = (folder / name for name in ("before.db", "run.db", "kept.db"))
        self.location, self.kept = str(self._run), str(self._kept)

    def build(self, companies: int) -> None:
        """Make the store as it is before the run."""
        invoice_world.build(str(self._before), companies)

    def fresh(self) -> None:
        """Nothing of any run is left."""
        self._clear(self._run)
        shutil.copy(self._before, self._run)
        settle(self._run)

    def keep(self, tables: Sequence[str]) -> None:
        """Keep what was written, for the other side."""
        with closing(sqlite3.connect(self._run)) as store:
            store.execute("ATTACH ? AS kept", (self.kept,))
            for table in tables:
                store.execute(f"CREATE TABLE kept.{table} AS SELECT * FROM main.{table} WHERE company_id IS NOT NULL")
                store.execute(f"CREATE INDEX kept.{table}_company ON {table} (company_id)")
            store.commit()

    def drop(self) -> None:
        """Leave nothing on the disk."""
        for path in (self._before, self._run, self._kept):
            self._clear(path)

    @staticmethod
    def _clear(path: Path) -> None:
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()


class OnPostgresql:
    """A database, brought back by emptying the tables that a run writes."""

    name = "PostgreSQL"

    def __init__(self, server: Any) -> None:
        self._server = server
        self.location = self.kept = server.url("bench")
        self._events = 0

    def build(self, companies: int) -> None:
        """Make the store as it is before the run."""
        self._server.sql("CREATE DATABASE bench")
        invoice_world.build(self.location, companies)
        self._events = int(self._sql("SELECT max(seq) FROM event")[0][0])

    def fresh(self) -> None:
        """Nothing of any run is left."""
        self._sql("TRUNCATE invoice_line, invoice_month, buyer_facts, email, notice, run, worker RESTART IDENTITY")
        self._sql(f"DELETE FROM event WHERE seq > {self._events}")
        self._sql("VACUUM ANALYZE event")
        self._sql("CHECKPOINT")

    def keep(self, tables: Sequence[str]) -> None:
        """Keep what was written, for the other side."""
        for table in tables:
            self._sql(f"CREATE TABLE kept_{table} AS SELECT * FROM {table} WHERE company_id IS NOT NULL")
            self._sql(f"CREATE INDEX ON kept_{table} (company_id)")
            self._sql(f"ANALYZE kept_{table}")

    def drop(self) -> None:
        """Leave nothing on the disk."""
        self._server.sql("DROP DATABASE bench")

    def _sql(self, text: str) -> Any:
        return self._server.sql(text, "bench")
