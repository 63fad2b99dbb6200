"""`python -m bench.invoice_step`: one step of a monthly run in a process of its own, so that its memory is its own.

Told by one line of JSON what to do, it says "ready", waits for a second line, does it, and says how long it took:
`{"wall": s, "cpu": s, "memory": [most bytes that were its own in the first half of that time, and in the second]}`.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Final
from unittest import mock

from bench.accept import bare_connection
from bench.driver import sqlite3
from bench.invoice_world import MONTH, ZONES
from bench.steps import halves, memory_meanwhile, say, told
from jobs.json_log import JsonLog
from jobs.schedule import TIMETABLE
from jobs.worker import Worker
from store import billing_facts, database, months_owed, usage_facts

INVOICES: Final = tuple(job for job in TIMETABLE if job.name in {"invoice-lines", "invoice-final"})
WRITTEN: Final = {"drafts": ("invoice_month", "invoice_line"), "finals": ("event", "email", "buyer_facts")}
_LINES_A_STATEMENT: Final = 200

Execute = Callable[..., Any]


def main() -> None:
    """Do what the first line says once the second has come."""
    asked = told(open_store)
    now = datetime.fromisoformat(asked["now"])
    with memory_meanwhile() as memory:
        begun, cpu = time.perf_counter(), time.process_time()
        if asked["side"] == "ours":
            _work(now)
            wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
        else:
            wall, cpu = _Bare(asked["location"], asked["kept"], asked["step"], now).work(asked["companies"])
    say(json.dumps({"wall": wall, "cpu": cpu, "memory": halves(memory)}))
    database.dispose()


def open_store(asked: dict[str, Any]) -> None:
    """Bind and wake it."""
    database.bind(asked["location"])
    with database.session():
        database.run_sql("SELECT count(*) FROM run").fetchone()


def _work(now: datetime) -> None:
    """A worker that does what is due of the invoices; whatever fails is told in full."""
    log = StringIO()
    worker = Worker(clock=lambda: now, log=JsonLog(log, clock=lambda: now), timetable=INVOICES)
    did = worker.run_due(now)
    worker.end(now)
    if did.failed:
        raise RuntimeError(log.getvalue())


class _Bare:
    """The same statements for the facts, and the same rows written, as many in a transaction; nothing else.

    Rows that are to be written come from `kept`, where a run of ours has left them, and fetching them is not counted.
    """

    def __init__(self, location: str, kept: str, step: str, now: datetime) -> None:
        self.step, self.now = step, now
        self.wall = self.cpu = 0.0
        with database.session():
            self.on_sqlite = database.backend() == "sqlite"
            if self.on_sqlite:
                self.connection: Any = bare_connection(Path(location))
                self.other: Any = sqlite3.connect(kept)
                self.source = ""
            else:
                import psycopg

                self.connection, self.other = psycopg.connect(location, autocommit=True), psycopg.connect(kept)
                self.source = "kept_"
        self.columns = {table: self._columns(table) for tables in WRITTEN.values() for table in tables}

    def work(self, companies: int) -> tuple[float, float]:
        """Seconds of wall time and of CPU."""
        with closing(self.other):
            for ids in together(companies):
                reading = _reading(ids, self.now)
                rows = {table: self._rows(table, ids) for table in WRITTEN[self.step]}
                self._timed(partial(self._chunk, ids, reading, rows))
            self._timed(self.connection.close)  # as a worker does, by which SQLite brings its log into the file
        return self.wall, self.cpu

    def _timed(self, body: Callable[[], object]) -> None:
        begun, cpu = time.perf_counter(), time.process_time()
        body()
        self.wall += time.perf_counter() - begun
        self.cpu += time.process_time() - cpu

    def _chunk(
        self, ids: Sequence[int], reading: list[tuple[str, tuple[Any, ...]]], rows: dict[str, list[tuple[Any, ...]]]
    ) -> None:
        cursor = self.connection.cursor()
        cursor.execute("BEGIN IMMEDIATE" if self.on_sqlite else "BEGIN")
        for text, values in reading:
            cursor.execute(database.text_for_backend(text), values).fetchall()
        if self.step == "finals":
            of_month = f"company_id IN ({', '.join('?' * len(ids))}) AND month = ?"
            place = (*ids, MONTH)
            lines = f"SELECT * FROM invoice_line WHERE {of_month}"
            cursor.execute(database.text_for_backend(lines), place).fetchall()
            final = f"UPDATE invoice_month SET state = 'final', final_at = ?, rated_at = ? WHERE {of_month}"
            at = int(self.now.timestamp())
            cursor.execute(database.text_for_backend(final), (at, at, *place))
        for table, of_table in rows.items():
            self._insert(cursor, table, of_table)
        cursor.execute("COMMIT")

    def _insert(self, cursor: Any, table: str, rows: list[tuple[Any, ...]]) -> None:
        """As quickly as each driver can: many rows a statement where that is quicker."""
        if not rows:
            return
        names = self.columns[table]
        one = f"({', '.join('?' * len(names))})"
        text = f"INSERT INTO {table} ({', '.join(names)}) VALUES "
        if self.on_sqlite:
            cursor.executemany(text + one, rows)
            return
        for start in range(0, len(rows), _LINES_A_STATEMENT):
            some = rows[start : start + _LINES_A_STATEMENT]
            marks = ", ".join([one] * len(some)).replace("?", "%s")
            cursor.execute(text + marks, [value for row in some for value in row])

    def _columns(self, table: str) -> list[str]:
        cursor = self.other.cursor()
        cursor.execute(f"SELECT * FROM {self.source}{table} LIMIT 0")
        return [column[0] for column in cursor.description]

    def _rows(self, table: str, ids: Sequence[int]) -> list[tuple[Any, ...]]:
        """What our run wrote for these companies."""
        only = f" AND month = '{MONTH}'" if table in WRITTEN["drafts"] else ""
        which = ", ".join(map(str, ids))
        text = f"SELECT * FROM {self.source}{table} WHERE company_id IN ({which}){only} ORDER BY id"
        return list(self.other.cursor().execute(text).fetchall())


def together(companies: int) -> Iterator[range]:
    """The companies that a worker takes into one transaction, all of one zone."""
    most = months_owed.together()
    for parity in range(len(ZONES)):
        of_zone = range(parity + 1, companies + 1, len(ZONES))
        yield from (of_zone[start : start + most] for start in range(0, len(of_zone), most))


def _reading(ids: Sequence[int], now: datetime) -> list[tuple[str, tuple[Any, ...]]]:
    """The statements by which the store reads the facts of a month, with their values; nothing is read."""
    told: list[tuple[str, tuple[Any, ...]]] = []

    class Nothing:
        def fetchall(self) -> list[tuple[Any, ...]]:
            return []

    def listen(text: str, values: Sequence[Any] = ()) -> Nothing:
        told.append((text, tuple(values)))
        return Nothing()

    with mock.patch.object(billing_facts, "run_sql", listen), mock.patch.object(usage_facts, "run_sql", listen):
        billing_facts.of_month(ids, MONTH, now)
    return told


if __name__ == "__main__":
    main()
