"""Housekeeping: what dead workers held is freed, late companies get their invoice run, and what is old is cleared."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from store import markers, months_owed, old_mail, runs, workers
from store.database import backend, run_sql, session
from store.runs import RunRow

_MAIL_BYTES_KEPT = timedelta(days=90)
_RUNS_KEPT = timedelta(days=30)  # of what is done each hour
_WORKERS_KEPT = timedelta(days=30)


def hourly(_run: RunRow, now: datetime) -> Iterator[int]:
    """One chore after the other, each a transaction of its own and harmless when repeated."""
    yield runs.return_leases(now)
    yield markers.return_expired(now)
    yield months_owed.reopen_for_late(now)
    _checkpoint()


def daily(_run: RunRow, now: datetime) -> Iterator[int]:
    """What reads whole tables, and what need not be tried more often."""
    yield months_owed.reopen_for_waiting(now)
    yield from old_mail.clear_bytes(now - _MAIL_BYTES_KEPT)
    yield runs.forget("housekeeping", now - _RUNS_KEPT)
    yield workers.forget(now - _WORKERS_KEPT)


def _checkpoint() -> None:
    """Move what the write-ahead log holds into the file, as far as no reader is in the way; nobody waits for it."""
    if backend() == "sqlite":
        with session():
            run_sql("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
