"""What the worker has done, does and will do: its runs, and how it is.

That is about all companies at once. Whoever may see `only` one of them is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store import notices, sandbox_holds
from store.database import run_sql
from store.errors import NotAllowed
from store.fields import instant, seconds
from store.filters import Grammar, one_of, parse
from store.listings.selection import Conditions, Ids, count, marks, read_ids
from store.workers import AHEAD

STATES = ("due", "running", "done", "failed", "held", "missed")
GRAMMAR: Grammar = {"state": STATES, "job": None}


@dataclass(frozen=True, slots=True)
class WorkRow:
    """A run as the list shows it."""

    id: int
    job: str
    scope: str  # a time zone, or all
    period: str
    state: str
    not_before: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int
    rows: int | None
    error: str


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker process as it last said of itself."""

    name: str
    host: str
    version: str
    started_at: datetime
    last_tick: datetime
    stopped_at: datetime | None
    last_error: str
    kind: str  # stays, or pass: called by a timer


@dataclass(frozen=True, slots=True)
class Health:
    """How the worker is, in one reading."""

    # Newest tick first: a hundred of those that stay and have not stopped, and the newest of the others.
    workers: tuple[WorkerSeen, ...]
    next_runs: tuple[tuple[str, str, str, datetime], ...]  # job, scope, period, when; the first three that are due
    failing: int  # runs that failed and are tried again
    held: int  # runs that wait for a person
    mails_waiting: int
    mails_in_doubt: int  # failed or ambiguous
    quarantined: int  # sandboxes that are not refreshed any more after failures
    unreachable: int  # keys that expire, or have expired, without anybody knowing


def ids(only: int | None, needle: str = "", limit: int | None = None) -> Ids:
    """Newest first."""
    _refuse(only)
    return read_ids("SELECT r.id FROM run r", _conditions(needle), "r.id DESC", limit)


def newer(only: int | None, needle: str, after_id: int) -> int:
    """How many runs were planned after one."""
    _refuse(only)
    conditions = _conditions(needle)
    conditions.add("r.id > ?", after_id)
    return count("SELECT COUNT(*) FROM run r", conditions)


def rows(wanted: Sequence[int]) -> dict[int, WorkRow]:
    """The rows of these runs by id."""
    columns = "id, job, scope, period, state, not_before, started_at, finished_at, attempt, rows, error"
    found = run_sql(f"SELECT {columns} FROM run WHERE id IN ({marks(wanted)})", list(wanted)).fetchall()
    return {int(row[0]): _row(row) for row in found}


def health(only: int | None, now: datetime) -> Health:
    """How the worker is now."""
    _refuse(only)
    workers = run_sql(_WORKERS, (seconds(now + AHEAD),)).fetchall()
    due = run_sql(
        "SELECT job, scope, period, not_before FROM run WHERE state = 'due' ORDER BY not_before, id LIMIT 3"
    ).fetchall()
    return Health(
        workers=tuple(
            WorkerSeen(name, host, version, instant(started), instant(ticked), _instant(stopped), error or "", kind)
            for name, host, version, started, ticked, stopped, error, kind in workers
        ),
        next_runs=tuple((job, scope, period, instant(at)) for job, scope, period, at in due),
        failing=_count("run WHERE state = 'failed' OR (state = 'due' AND error IS NOT NULL)"),
        held=_count("run WHERE state = 'held'"),
        mails_waiting=_count("email WHERE state IN ('queued', 'claimed', 'handing-over')"),
        mails_in_doubt=_count("email WHERE state IN ('failed', 'ambiguous')"),
        quarantined=sandbox_holds.counts()["quarantined"],
        unreachable=len(notices.unreachable()),
    )


_WORKERS = """
    SELECT name, host, version, started_at, last_tick, stopped_at, last_error, kind FROM (
        SELECT * FROM (SELECT * FROM worker WHERE kind = 'stays' AND stopped_at IS NULL
                        ORDER BY last_tick DESC, id DESC LIMIT 100) AS staying
        UNION ALL
        SELECT * FROM (SELECT * FROM worker WHERE kind = 'pass' OR (kind = 'stays' AND stopped_at IS NOT NULL)
                        ORDER BY last_tick <= ? DESC, last_tick DESC, id DESC LIMIT 1) AS others
    ) AS known
    ORDER BY last_tick DESC, id DESC
"""


def overdue(now: datetime, grace_seconds: int = 600) -> int:
    """How many runs should have begun more than ten minutes ago."""
    return _count("run WHERE state = 'due' AND not_before < ?", seconds(now) - grace_seconds)


def _refuse(only: int | None) -> None:
    if only is not None:
        raise NotAllowed("The worker works for all companies and your login reaches one; ask an operator.")


def _count(what: str, *values: int) -> int:
    return int(run_sql(f"SELECT COUNT(*) FROM {what}", values).fetchone()[0])


def _conditions(needle: str) -> Conditions:
    conditions = Conditions()
    for term in parse(needle, GRAMMAR):
        if term.field == "state":
            states = one_of(term, STATES)
            conditions.add_term(term, f"r.state IN ({marks(states)})", *states)
        else:
            columns = ("r.job",) if term.field == "job" else ("r.job", "lower(r.scope)", "r.period")
            conditions.add_words(term, columns)
    return conditions


def _row(row: Sequence[Any]) -> WorkRow:
    return WorkRow(
        id=row[0],
        job=row[1],
        scope=row[2],
        period=row[3],
        state=row[4],
        not_before=instant(row[5]),
        started_at=_instant(row[6]),
        finished_at=_instant(row[7]),
        attempt=row[8],
        rows=row[9],
        error=row[10] or "",
    )


def _instant(value: int | None) -> datetime | None:
    return None if value is None else instant(value)
