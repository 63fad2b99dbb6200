"""Mails a second through a mail server on loopback, against smtplib sending the same bytes on one kept connection.

`python -m bench.delivering [MAILS]` measures it alone. The mails are a night's notices, of a small store of its own.
"""

import smtplib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bench import relay, worker_world
from bench.report import Goal, Measure, table
from bench.timing import order
from bench.worker_world import NOW, THRESHOLDS, TODAY, ZONES
from jobs.delivery import Sender
from jobs.json_log import JsonLog
from jobs.queues import mails
from jobs.smtp_session import SmtpSession
from store import database, notices, outgoing, workers

_SENDER: Final = Sender("keys@fjord.example", "help@fjord.example")
_TURNS: Final = 3
_COMPANIES_A_MAIL: Final = 4  # that have to be there for one mail to be owed, and more


def against_smtplib(location: str, name: str, number: int) -> Measure:
    """Both send `number` mails in turns. The store is one of bench.worker_world, without a told notice."""
    database.bind(location)
    taken: tuple[list[float], list[float]] = ([], [])
    with database.session(), relay.running() as port:
        with database.writing():
            database.run_sql("DELETE FROM notice")
        for zone in ZONES:
            notices.sweep(zone, TODAY, NOW, THRESHOLDS)
        owner = workers.register(workers.this_host(), "bench", NOW)
        sent: list[tuple[str, bytes]] = []
        for turn in range(_TURNS):
            _hold_back_all_but(number // _TURNS)
            for which in order(turn) if sent else (0, 1):
                if which == 0:
                    begun = time.perf_counter()
                    count = _ours(port, owner)
                    taken[0].append(count / (time.perf_counter() - begun))
                    sent = _sent()
                else:
                    taken[1].append(_bare(port, sent))
    database.dispose()
    ours, bare = (sorted(each)[len(each) // 2] for each in taken)
    return Measure(f"mails handed over, {name}", ours, bare, "mails/s", Goal("at least", 0.5))


def _ours(port: int, owner: str) -> int:
    """The queue as the worker empties it, until nothing is due; how many mails left."""
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        queue = mails(lambda: SmtpSession("127.0.0.1", port, tls="none"), _SENDER, JsonLog(nowhere, clock=lambda: NOW))
        count = 0
        while taken := queue(lambda: NOW, owner, lambda: False):
            count += taken
    if outgoing.pending_counts().queued:
        raise AssertionError("Mails were left in the outbox.")
    return count


def _bare(port: int, sent: list[tuple[str, bytes]]) -> float:
    """Mails a second of smtplib, by one connection, of bytes that are there."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="localhost") as client:
        client.ehlo()
        begun = time.perf_counter()
        for recipient, raw in sent:
            client.sendmail(_SENDER.address, [recipient], raw)
        return len(sent) / (time.perf_counter() - begun)


def _hold_back_all_but(number: int) -> None:
    """So many mails are due; the others wait for a later turn. What left before is forgotten."""
    with database.writing():
        database.run_sql("UPDATE email SET state = 'withdrawn' WHERE state = 'sent'")
        database.run_sql("UPDATE email SET state = 'failed' WHERE state = 'queued'")
        database.run_sql(
            "UPDATE email SET state = 'queued' WHERE id IN "
            "(SELECT id FROM email WHERE state = 'failed' ORDER BY id LIMIT ?)",
            (number,),
        )


def _sent() -> list[tuple[str, bytes]]:
    rows: list[Any] = database.run_sql("SELECT recipient, message FROM email WHERE state = 'sent'").fetchall()
    return [(row[0], bytes(row[1])) for row in rows]


def on_both(folder: Path, number: int) -> Iterator[Measure]:
    """A small store on each database."""
    from bench import postgres

    path = folder / "delivering.db"
    worker_world.build(str(path), number * _COMPANIES_A_MAIL)
    yield against_smtplib(str(path), "SQLite", number)
    with postgres.running() as server:
        server.sql("CREATE DATABASE delivering")
        worker_world.build(server.url("delivering"), number * _COMPANIES_A_MAIL)
        yield against_smtplib(server.url("delivering"), "PostgreSQL", number)


def main() -> None:
    """Measure the delivery alone and print the table."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    build = Path(__file__).parent.parent / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=build) as folder:
        print(table(list(on_both(Path(folder), number))))


if __name__ == "__main__":
    main()
