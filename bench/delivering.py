"""Mails a second through a mail server on loopback, against smtplib sending the same bytes on one kept connection.

`python -m bench.delivering [MAILS]` measures it alone. The mails are a night's notices, of a small store of its own:
those that tell of one key, which nearly all do, and digests. The server is a process of its own that all sides speak
with, and they take turns. There are three: aiosmtpd; one that answers after 5 ms, as a relay does that writes a mail to
its disk; and one that answers at once, which none does that keeps what it takes: that tells what a mail costs in all
and has no goal. What the disk makes of it is told by a third side: smtplib and the two commits that any sender needs
who must know after a crash what has left, by the driver alone, of the same bytes on the same disk.
"""

import smtplib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from bench import relay, worker_world
from bench.driver import sqlite3
from bench.report import Goal, Measure, table
from bench.worker_world import NOW, THRESHOLDS, TODAY, ZONES
from jobs.delivery import Sender
from jobs.json_log import JsonLog
from jobs.queues import mails
from jobs.smtp_session import SmtpSession
from store import database, notices, waiting_mails, workers
from store.fields import seconds
from store.rules import calendar, expiry

_SENDER: Final = Sender("keys@fjord.example", "help@fjord.example")
_TURNS: Final = 3
_GOAL: Final = Goal("at least", 0.5)
_CONNECTIONS: Final = 4  # as a worker has without a setting
_AT_ONCE: Final = "0"
_RELAYS: Final = {"aiosmtpd": "aiosmtpd", "5": "a relay that answers in 5 ms", _AT_ONCE: "a relay that answers at once"}
_COMPANIES_A_MAIL: Final = 12  # that have to be there for one mail of each sort to be owed, and more
_SORTS: Final = {"one key": (1, 1), "digests of 8 to 10 keys": (8, 10)}
_EVERY_SIXTH: Final = "UPDATE api_key SET expires_on = ?, ends_at = ? WHERE company_id % 6 = 0 AND company_id % 2 = ?"

Sent = list[tuple[str, bytes]]
Step = Callable[[int, bytes], object]  # of one mail, by its place among them


class Speed(NamedTuple):
    """Of one turn: mails a second, and milliseconds of this process's CPU for one of them."""

    rate: float
    cpu: float


@dataclass
class _Speeds:
    """One for each turn."""

    ours: list[Speed] = field(default_factory=list)
    bare: list[Speed] = field(default_factory=list)
    durable: list[Speed] = field(default_factory=list)

    def medians(self, what: int) -> tuple[float, float, float]:
        """Of one of the two numbers, on each side."""
        ours, bare, durable = (median(each[what] for each in side) for side in (self.ours, self.bare, self.durable))
        return ours, bare, durable


def against_smtplib(location: str, name: str, number: int) -> Iterator[Measure]:
    """All sides send `number` mails of each sort. The store is one of bench.worker_world, without a told notice."""
    database.bind(location)
    with database.session(), ExitStack() as running:
        ports = {kind: running.enter_context(relay.running(kind)) for kind in _RELAYS}
        with database.writing():
            database.run_sql("DELETE FROM notice")
            _expire_together()
        for zone in ZONES:
            notices.sweep(zone, TODAY, NOW, THRESHOLDS)
        owner = workers.register(workers.this_host(), "bench", NOW)
        for sort, keys in _SORTS.items():
            of = f"{name}, {sort}"
            for kind, told in _RELAYS.items():
                speeds = _in_turns(location, ports[kind], owner, keys, number // _TURNS)
                ours, bare, durable = speeds.medians(0)
                goal = None if kind == _AT_ONCE else _GOAL
                yield Measure(f"mails to {told}, {of}", ours, bare, "mails/s", goal)
                yield Measure(f"… against smtplib and two commits, {of}", ours, durable, "mails/s")
            ours, bare, _ = speeds.medians(1)
            yield Measure(f"… CPU of a mail, {of}", ours, bare, "ms")
    database.dispose()


def _expire_together() -> None:
    """All keys of every sixth company end on one day, so that digests are owed."""
    day = TODAY + timedelta(days=THRESHOLDS[0])
    for remainder, zone in enumerate(ZONES):
        end = seconds(expiry.ends_at(day, calendar.zone(zone)))
        database.run_sql(_EVERY_SIXTH, (day.isoformat(), end, remainder))


def _in_turns(location: str, port: int, owner: str, keys: tuple[int, int], number: int) -> _Speeds:
    """The first turn of ours warms up and gives the bytes that the others begin with."""
    speeds = _Speeds()
    _hold_back_all_but(number, keys)
    _ours(port, owner)
    sent = _sent()
    for turn in range(_TURNS):
        _hold_back_all_but(number, keys)
        for place in range(turn, turn + 3):
            match place % 3:
                case 0:
                    speeds.ours.append(_ours(port, owner))
                case 1:
                    speeds.bare.append(_bare(port, sent))
                case _:
                    speeds.durable.append(_durable(location, port, sent))
        sent = _sent()
    return speeds


def _ours(port: int, owner: str) -> Speed:
    """Of the queue as the worker empties it, until nothing is due."""
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        log = JsonLog(nowhere, clock=lambda: NOW)
        queue = mails(lambda: SmtpSession("127.0.0.1", port, tls="none"), _SENDER, log, connections=_CONNECTIONS)
        begun, cpu, count = time.perf_counter(), time.process_time(), 0
        while taken := queue(lambda: NOW, owner, lambda: False):
            count += taken
        speed = _speed(count, begun, cpu)
    if waiting_mails.pending().queued:
        raise AssertionError("Mails were left in the outbox.")
    return speed


def _bare(port: int, sent: Sent, before: Step | None = None, after: Step | None = None) -> Speed:
    """Of smtplib, by one connection, of bytes that are there."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="localhost") as client:
        client.ehlo()
        begun, cpu = time.perf_counter(), time.process_time()
        for number, (recipient, raw) in enumerate(sent):
            if before is not None:
                before(number, raw)
            client.sendmail(_SENDER.address, [recipient], raw)
            if after is not None:
                after(number, raw)
        return _speed(len(sent), begun, cpu)


def _speed(count: int, begun: float, cpu: float) -> Speed:
    return Speed(count / (time.perf_counter() - begun), (time.process_time() - cpu) / count * 1000)


def _durable(location: str, port: int, sent: Sent) -> Speed:
    """The same, with one commit before each mail, which keeps its bytes, and one after it."""
    with _commits(location) as execute:
        execute("CREATE TABLE bench_mail (id INT PRIMARY KEY, state TEXT, message {blob})")
        for number in range(len(sent)):
            execute("INSERT INTO bench_mail VALUES (?, 'claimed', NULL)", (number,))
        going = "UPDATE bench_mail SET state = 'handing-over', message = ? WHERE id = ?"
        gone = "UPDATE bench_mail SET state = 'sent' WHERE id = ?"
        try:
            return _bare(
                port,
                sent,
                before=lambda number, raw: execute(going, (raw, number)),
                after=lambda number, _: execute(gone, (number,)),
            )
        finally:
            execute("DROP TABLE bench_mail")


@contextmanager
def _commits(location: str) -> Iterator[Callable[..., Any]]:
    """A statement of the driver alone that is on the disk when it returns, as the store's are."""
    if "://" in location:
        import psycopg

        with psycopg.connect(location, autocommit=True) as server:
            yield lambda text, values=(): server.execute(text.replace("?", "%s").replace("{blob}", "BYTEA"), values)
    else:
        path = Path(location).with_suffix(".bare")
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            for pragma in ("journal_mode = wal", "synchronous = full", "secure_delete = 1", "cache_size = -65536"):
                file.execute(f"PRAGMA {pragma}")
            yield lambda text, values=(): file.execute(text.replace("{blob}", "BLOB"), values)


def _hold_back_all_but(number: int, keys: tuple[int, int]) -> None:
    """So many mails of so many keys, from the fewest to the most, are due; what left before is forgotten."""
    with database.writing():
        database.run_sql("UPDATE email SET state = 'withdrawn' WHERE state = 'sent'")
        database.run_sql("UPDATE email SET state = 'failed' WHERE state = 'queued'")
        chosen = database.run_sql(
            "UPDATE email SET state = 'queued' WHERE id IN "
            "(SELECT e.id FROM email e JOIN notice n ON n.email_id = e.id "
            "WHERE e.state = 'failed' AND n.state = 'mailed' GROUP BY e.id HAVING count(*) BETWEEN ? AND ? "
            "ORDER BY e.id LIMIT ?)",
            (*keys, number),
        ).rowcount
    if chosen != number:
        raise AssertionError(f"Only {chosen} mails are left; the store is too small.")


def _sent() -> Sent:
    rows: list[Any] = database.run_sql("SELECT recipient, message FROM email WHERE state = 'sent'").fetchall()
    return [(row[0], bytes(row[1])) for row in rows]


def on_both(folder: Path, number: int) -> Iterator[Measure]:
    """A small store on each database."""
    from bench import postgres

    path = folder / "delivering.db"
    worker_world.build(str(path), number * _COMPANIES_A_MAIL)
    yield from against_smtplib(str(path), "SQLite", number)
    with postgres.running() as server:
        server.sql("CREATE DATABASE delivering")
        worker_world.build(server.url("delivering"), number * _COMPANIES_A_MAIL)
        yield from against_smtplib(server.url("delivering"), "PostgreSQL", number)


def main() -> None:
    """Measure the delivery alone and print the table."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    build = Path(__file__).parent.parent / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=build) as folder:
        print(table(list(on_both(Path(folder), number))))


if __name__ == "__main__":
    main()
