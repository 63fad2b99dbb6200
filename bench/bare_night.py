"""The bare SQL for what a worker does in a night: the same reading, the same rows written, by the driver alone.

What a sweep writes it knows beforehand, because our side has left its rows in a file.
"""

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest import mock

from bench.accept import bare_connection
from bench.worker_world import NOW, THRESHOLDS, TODAY, ZONES
from store import database, due_notices, marking
from store.fields import seconds

Statement = tuple[str, Sequence[Any]]
_AT: Final = seconds(NOW)
_LEASE_UNTIL: Final = _AT + 1800
_VALUES_A_STATEMENT: Final = 4000
_BATCH: Final = 50
_ENOUGH: Final = 2**62

_CLAIM_RUN: Final = """
    UPDATE run SET state = 'running', owner = 'bare', attempt = attempt + 1, lease_until = ?, started_at = ?
     WHERE id = (SELECT id FROM run WHERE state = 'due' AND job = 'bench' AND not_before <= ?
                  ORDER BY not_before, id LIMIT 1 {lock})
    RETURNING id
"""
_CLOSE_RUN: Final = """
    UPDATE run SET state = 'done', owner = NULL, lease_until = NULL, finished_at = ?, rows = 0
     WHERE id = ? AND owner = 'bare'
"""
_CLAIM_MAILS: Final = f"""
    UPDATE email SET state = 'claimed', owner = 'bare', lease_until = ?
     WHERE id IN (SELECT id FROM email
                   WHERE state IN ('queued', 'claimed', 'handing-over') AND state = 'queued' AND next_at <= ?
                   ORDER BY next_at, id LIMIT {_BATCH} {{lock}})
    RETURNING *
"""
_CLAIM_MARKERS: Final = f"""
    UPDATE refresh_marker
       SET state = 'running', attempt = attempt + 1, token = 'bare', claimed_by = 'bare', lease_until = ?,
           started_at = ?
     WHERE id IN (SELECT id FROM refresh_marker
                   WHERE state IN ('due', 'running') AND state = 'due' AND due_at <= ?
                   ORDER BY due_at, id LIMIT {_BATCH} {{lock}})
    RETURNING id, company_id, night, attempt
"""


class Bare:
    """A connection of the driver alone, what it is to read, and what it is to write."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.on_sqlite = "://" not in asked["location"]
        if self.on_sqlite:
            with database.session():
                self.connection: Any = bare_connection(Path(asked["location"]))
        else:
            import psycopg

            self.connection = psycopg.connect(asked["location"], autocommit=True)
        self.cursor: Any = self.connection.cursor()
        self.reading: list[Statement] = []
        self.written: dict[str, tuple[list[str], list[tuple[Any, ...]]]] = {}
        if asked["task"] == "sweep":
            self.reading = _heard(due_notices, "run_planned", lambda zone: due_notices.owing(zone, TODAY, THRESHOLDS))
            self.written = pickle.loads(Path(asked["kept"]).read_bytes())
        elif asked["task"] == "marking":
            self.reading = _heard(marking, "run_sql", _mark)

    def run(self, text: str, values: Sequence[Any]) -> Any:
        """One statement."""
        return self.cursor.execute(database.text_for_backend(text), values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One, that is kept."""
        self.cursor.execute("BEGIN IMMEDIATE" if self.on_sqlite else "BEGIN")
        yield
        self.cursor.execute("COMMIT")

    @property
    def lock(self) -> str:
        """What passes over rows that another connection takes."""
        return "" if self.on_sqlite else "FOR UPDATE SKIP LOCKED"

    def insert(self, table: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """As many rows a statement as is quickest on both."""
        together = _VALUES_A_STATEMENT // len(names)
        for start in range(0, len(rows), together):
            some = rows[start : start + together]
            marks = ", ".join([f"({', '.join('?' * len(names))})"] * len(some))
            self.run(f"INSERT INTO {table} ({', '.join(names)}) VALUES {marks}", [each for row in some for each in row])


def sweep(bare: Bare) -> int:
    """Read what is owed in each zone and write mails and notices, in one transaction."""
    with bare.transaction():
        for text, values in bare.reading:
            bare.run(text, values).fetchall()
        for table, (names, rows) in bare.written.items():
            bare.insert(table, names, rows)
    return len(bare.written["notice"][1])


def marking_of_night(bare: Bare) -> int:
    """Write the markers of each zone, in one transaction."""
    written = 0
    with bare.transaction():
        for text, values in bare.reading:
            written += max(0, bare.run(text, values).rowcount)
    return written


def claim_runs(bare: Bare) -> int:
    done, claim = 0, _CLAIM_RUN.format(lock=bare.lock)
    while True:
        with bare.transaction():
            found = bare.run(claim, (_LEASE_UNTIL, _AT, _AT)).fetchall()
        if not found:
            return done
        with bare.transaction():
            bare.run(_CLOSE_RUN, (_AT, found[0][0]))
        done += 1


def claim_mails(bare: Bare) -> int:
    return _claimed(bare, _CLAIM_MAILS, (_LEASE_UNTIL, _AT))


def claim_markers(bare: Bare) -> int:
    return _claimed(bare, _CLAIM_MARKERS, (_LEASE_UNTIL, _AT, _AT))


def _claimed(bare: Bare, text: str, values: Sequence[Any]) -> int:
    done, claim = 0, text.format(lock=bare.lock)
    while True:
        with bare.transaction():
            found = bare.run(claim, values).fetchall()
        if not found:
            return done
        done += len(found)


STEPS: Final[dict[str, Callable[[Bare], int]]] = {
    "sweep": sweep,
    "marking": marking_of_night,
    "claim_runs": claim_runs,
    "claim_mails": claim_mails,
    "claim_markers": claim_markers,
}


def _mark(zone: str) -> None:
    marking._Nights(zone, TODAY, NOW, 2, 0, ()).write((0, _ENOUGH))


def _heard(module: Any, name: str, body: Callable[[str], object]) -> list[Statement]:
    """The statements by which the store's module does something for each zone, with their values; nothing is done."""
    heard: list[Statement] = []

    class Nothing:
        rowcount = 0

        def fetchall(self) -> list[tuple[Any, ...]]:
            return []

    def listen(text: str, values: Sequence[Any] = ()) -> Nothing:
        heard.append((text, tuple(values)))
        return Nothing()

    with mock.patch.object(module, name, listen):
        for zone in ZONES:
            body(zone)
    return heard
