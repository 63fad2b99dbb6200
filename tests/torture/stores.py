"""Stores that are prepared once and copied for each kill: SQLite by copying the file, PostgreSQL by a template."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from postgres_server import PostgresServer


class Stores(Protocol):
    """A database on which acts are tried. Nothing of it is open between two calls."""

    backend: str

    def prepare(self, name: str, furnish: Callable[[str], None] | None, *, keeps_tables: bool) -> None:
        """Keep a migrated store under a name, once `furnish` has filled the place that it is given; None: keep nothing.

        `keeps_tables` says that no act on it changes the schema.
        """

    def fresh(self, name: str, folder: Path) -> str:
        """A copy of what was prepared, and no other one any more; gives where it is."""

    def discard(self, name: str) -> None:
        """Be rid of what was prepared and of its copy."""


class SqliteStores:
    """`template` is a migrated, empty store; `folder` is for what is prepared."""

    backend = "sqlite"

    def __init__(self, template: Path, folder: Path) -> None:
        self.template, self.folder = template, folder

    def prepare(self, name: str, furnish: Callable[[str], None] | None, *, keeps_tables: bool) -> None:  # noqa: ARG002 - a file is copied whole
        place = self._prepared(name)
        place.parent.mkdir(parents=True)
        if furnish is None:
            return
        shutil.copy(self.template, place)
        furnish(str(place))
        if place.with_name(place.name + "-wal").exists():
            raise AssertionError("What was prepared is still open.")
        place.with_name(place.name + ".gate").unlink(missing_ok=True)

    def fresh(self, name: str, folder: Path) -> str:
        place = folder / "keydesk.db"
        for path in self._prepared(name).parent.iterdir():  # what `furnish` has put beside the store comes along
            copy = place if path == self._prepared(name) else folder / path.name
            shutil.copyfile(path, copy)
            copy.chmod(0o600)
        return str(place)

    def discard(self, name: str) -> None:
        shutil.rmtree(self._prepared(name).parent)

    def _prepared(self, name: str) -> Path:
        return self.folder / name.replace(" ", "-") / "prepared.db"


class PostgresStores:
    """`template` is a migrated, empty database of the server.

    To copy a database is slow; where an act leaves the tables as they are, their rows are put back instead.
    """

    backend = "postgresql"

    def __init__(self, server: PostgresServer, template: str) -> None:
        self.server, self.template = server, template
        self._put_back: dict[str, str] = {}  # name -> the statements

    def prepare(self, name: str, furnish: Callable[[str], None] | None, *, keeps_tables: bool) -> None:
        prepared = self._prepared(name)
        template = "template1" if furnish is None else self.template
        self.server.sql(f"CREATE DATABASE {prepared} TEMPLATE {template} STRATEGY file_copy")
        if furnish is not None:
            furnish(self.server.url(prepared))
        if keeps_tables:
            self._put_back[name] = self._rows_aside(prepared)

    def fresh(self, name: str, folder: Path) -> str:  # noqa: ARG002 - it lies elsewhere
        prepared = self._prepared(name)
        if name in self._put_back:
            self.server.sql(self._put_back[name], prepared)
            return self.server.url(prepared)
        self.server.sql(f"DROP DATABASE IF EXISTS {prepared}_copy WITH (FORCE)")
        self.server.sql(f"CREATE DATABASE {prepared}_copy TEMPLATE {prepared} STRATEGY file_copy")
        return self.server.url(f"{prepared}_copy")

    def discard(self, name: str) -> None:
        prepared = self._prepared(name)
        self._put_back.pop(name, None)
        self.server.sql(f"DROP DATABASE IF EXISTS {prepared}_copy WITH (FORCE)")
        self.server.sql(f"DROP DATABASE {prepared} WITH (FORCE)")

    def _prepared(self, name: str) -> str:
        return "crash_" + name.replace(" ", "_").replace("-", "_").lower()

    def _rows_aside(self, database: str) -> str:
        """Keep a copy of every table in a schema of its own; gives the statements that put all of it back."""
        named = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        tables = [row[0] for row in self.server.sql(named, database)]
        self.server.sql("CREATE SCHEMA prepared", database)
        for table in tables:
            self.server.sql(f"CREATE TABLE prepared.{table} AS TABLE public.{table}", database)
        sequences = self.server.sql(
            "SELECT sequencename, coalesce(last_value, 1), last_value IS NOT NULL FROM pg_sequences "
            "WHERE schemaname = 'public'",
            database,
        )
        return ";".join(
            [
                (
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                ),
                "SET session_replication_role = replica",  # neither triggers nor foreign keys
                *(f"DELETE FROM public.{table}" for table in tables),
                *(f"INSERT INTO public.{table} TABLE prepared.{table}" for table in tables),
                *(f"SELECT setval('public.{name}', {last}, {called})" for name, last, called in sequences),
            ]
        )
