"""Filling a store by SQL inside the database, alike on SQLite and PostgreSQL."""

import os
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bench.driver import sqlite3
from store import database, installation, migrations, prices
from store.actors import WORKER
from store.installation import Installation

Execute = Callable[[str], Any]
_PRICES: Final = Path(__file__).parent.parent / "examples" / "prices.toml"

_NUMBERED: Final = """
    SELECT table_name FROM information_schema.columns
     WHERE table_schema = 'public' AND column_name = 'id' AND column_default LIKE 'nextval%'
"""


def set_up(location: str, at: datetime) -> bool:
    """Make a new store with the example's prices; whether it is on SQLite. It is left unbound."""
    database.bind(location)
    migrations.migrate(at)
    with database.session():
        installation.set_up(Installation(vendor="Fjord Software"), at)
        prices.publish(WORKER, tomllib.loads(_PRICES.read_text(encoding="utf-8")), at)
        on_sqlite = database.backend() == "sqlite"
    database.dispose()
    return on_sqlite


def numbers(last: int) -> str:
    """A table of the numbers from 1 on, in its column `i`."""
    counted = f"SELECT 1 UNION ALL SELECT i + 1 FROM counted WHERE i < {last}"
    return f"(WITH RECURSIVE counted(i) AS ({counted}) SELECT i FROM counted) AS counted_out"


def digest(*, on_sqlite: bool) -> str:
    """What stands for the digest of the key `i`."""
    return "CAST(printf('%032d', i) AS BLOB)" if on_sqlite else "decode(lpad(to_hex(i), 64, '0'), 'hex')"


@contextmanager
def filling(location: str, *, on_sqlite: bool) -> Iterator[Execute]:
    """A way to run statements that looks at no foreign keys and waits for no disk until the end."""
    if on_sqlite:
        with closing(sqlite3.connect(location, isolation_level=None)) as store:
            for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -65536"):
                store.execute(f"PRAGMA {pragma}")
            yield store.execute
            store.execute("PRAGMA journal_mode = wal")
        settle(Path(location))
        return
    import psycopg

    with psycopg.connect(location, autocommit=True) as server:
        server.execute("SET session_replication_role = replica")
        server.execute("SET maintenance_work_mem = '512MB'")
        yield server.execute
        for table in server.execute(_NUMBERED).fetchall():
            server.execute(f"SELECT setval(pg_get_serial_sequence('{table[0]}', 'id'), max(id)) FROM {table[0]}")
        server.execute("VACUUM ANALYZE")
        server.execute("CHECKPOINT")


def settle(path: Path) -> None:
    """Have the kernel write a file down now, not while something is measured."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
