"""Taking in 100,000 users from a CSV file, all or nothing, against writing the same rows with the bare driver."""

import csv
import random
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from bench.accept import bare_connection
from bench.report import Goal, Measure
from bench.timing import wall_seconds
from bench.world import NOW, empty_store
from store import database, importing, peppers
from store.actors import Actor

_OPERATOR: Final = Actor("olav", "operator", "bench")
_TABLES: Final = ("company", "company_user", "event")
_FIRST: Final = ("Åse", "Bjørn", "Cecilie", "Dag", "Eiríkur", "Frøydis", "Gunnar", "Jörg", "Käthe", "名美")
_LAST: Final = ("Berg", "Dahl", "Eng", "Häkkinen", "Ødegård", "Straßmann", "Þórsson", 'O"Neill, jr')


def against_bare(folder: Path, users: int) -> Measure:
    """Each side begins with an empty store of its own."""
    folder.mkdir(mode=0o700, parents=True)
    written_files = files(folder, users)
    before, ours, bare = (folder / name for name in ("before.db", "ours.db", "bare.db"))
    empty_store(before, peppers.make(folder / "keydesk.pepper"))
    for path in (ours, bare):
        shutil.copy(before, path)
    database.bind(str(ours))
    taken = wall_seconds(lambda: importing.take(_OPERATOR, written_files, NOW))
    with database.session(), closing(bare_connection(bare)) as connection:
        rows = {table: _new_rows(connection, table) for table in _TABLES}
        written = wall_seconds(lambda: _write(connection, rows))
    database.dispose()
    shutil.rmtree(folder)
    return Measure(f"import {users:,} users", taken, written, "s", Goal("at most", 60, of="ours"))


def files(folder: Path, users: int, prefix: str = "c") -> list[Path]:
    """Two CSV files as a main system writes them, a company to each hundred users."""
    chance = random.Random(users)
    companies = max(1, users // 100)
    first, second = folder / "companies.csv", folder / "users.csv"
    with first.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "name", "time_zone", "currency"))
        writer.writerows(
            (f"{prefix}{c}", f"{chance.choice(_LAST)} {c} AS", "Europe/Oslo", "NOK") for c in range(companies)
        )
    with second.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("company", "id", "name", "email", "active", "licensed", "rights"))
        for u in range(users):
            name = f"{chance.choice(_FIRST)} {chance.choice(_LAST)}"
            company = f"{prefix}{u % companies}"
            writer.writerow((company, f"u{u}", name, f"u{u}@{company}.example", "yes", "yes", "hours.read"))
    return [first, second]


def _new_rows(connection: Any, table: str) -> list[tuple[Any, ...]]:
    """What the bound store has and the other has not yet."""
    last = connection.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]
    return list(database.run_sql(f"SELECT * FROM {table} WHERE id > ?", (last,)).fetchall())


def _write(connection: Any, rows: dict[str, list[tuple[Any, ...]]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for table, of_table in rows.items():
        connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(of_table[0]))})", of_table)
    connection.execute("COMMIT")
