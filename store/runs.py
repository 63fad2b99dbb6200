"""The run ledger: what is owed, who runs it, what became of it. Each job, scope and period has one row.

A worker claims a run (a lease, and an attempt number that fences off whoever lost it), and closes it in the transaction
that writes its rows: a crash anywhere leaves nothing behind but a lease that runs out.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from peewee import Case, fn

from store.database import backend, rows_alone, run_alone, run_sql, session, transact
from store.errors import KeydeskError, NotFound
from store.fields import canonical, instant, seconds
from store.tables import Run

LEASE = timedelta(minutes=5)
LONGEST_WAIT = timedelta(hours=1)
_NEVER_SO_LATE = timedelta(hours=2)  # no lease and no wait ends later; what says so was written by a clock gone wrong
_ROWS_A_STATEMENT = 500
EVERYWHERE = "all"  # the scope of a job for which the time zone does not matter


class LeaseLost(KeydeskError):
    """Another worker has taken the run over; nothing of this attempt's transaction was kept."""


@dataclass(frozen=True)
class Planned:
    """A run that is owed from `not_before` on. `bounds` are epoch seconds, fixed, so that a repeat asks the same."""

    job: str
    scope: str
    period: str
    state: str  # due, held or missed
    not_before: datetime
    bounds: dict[str, int]


@dataclass(frozen=True)
class RunRow:
    """One line of the ledger. `attempt` and `owner` together are the right to finish it."""

    id: int
    job: str
    scope: str
    period: str
    state: str
    attempt: int
    owner: str | None
    bounds: dict[str, int]
    planned_at: datetime
    not_before: datetime
    lease_until: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    rows: int | None = None
    cursor: int | None = None
    error: str | None = None

    @property
    def rows_before(self) -> int:
        """How many rows the slices of earlier attempts wrote, where this one goes on after them."""
        return 0 if self.cursor is None else self.rows or 0


# Planning

# A held run is due by itself once time really gets there.
_PLAN = """
    INSERT INTO run (job, scope, period, state, bounds, attempt, planned_at, not_before, finished_at)
    VALUES {rows}
    ON CONFLICT (job, scope, period) DO UPDATE
    SET state = excluded.state, not_before = excluded.not_before, finished_at = excluded.finished_at
    WHERE run.state = 'held' AND excluded.state <> 'held'
"""


def plan(planned: Iterable[Planned], now: datetime) -> int:
    """Put the runs into the ledger and give how many rows that changed. One that is there already stays as it is.

    Of a job's periods the older are written before the newer, so that what a crash leaves has no gap.
    """
    rows = [
        (
            *(each.job, each.scope, each.period, each.state, canonical(each.bounds), 0),
            *(seconds(now), seconds(each.not_before), seconds(now) if each.state == "missed" else None),
        )
        for each in sorted(planned, key=lambda each: (each.job, each.scope, each.period))
    ]

    changed = 0
    with session():
        for start in range(0, len(rows), _ROWS_A_STATEMENT):
            some = rows[start : start + _ROWS_A_STATEMENT]
            text = _PLAN.replace("{rows}", ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?)"] * len(some)))
            changed += run_alone(text, [*chain.from_iterable(some)])
    return changed


def give_up_older(job: str, scope: str, period: str, now: datetime) -> int:
    """Close what is still due before `period`: it is missed, or failed when it was tried. Gives how many runs."""
    text = f"""
        UPDATE run SET state = CASE WHEN attempt = 0 THEN 'missed' ELSE 'failed' END, finished_at = ?,
                       owner = NULL, lease_until = NULL
        WHERE job = ? AND scope = ? AND period < ? AND {_GIVEN_UP}
    """  # noqa: S608 - ours
    with session():
        return run_alone(text, (seconds(now), job, scope, period, seconds(now)))


_GIVEN_UP = "(state IN ('due', 'held') OR (state = 'running' AND lease_until < ?))"


@dataclass(frozen=True)
class Newest:
    """Of a job in a scope: the newest period up to the asked one, held ones left out, and whether older ones wait."""

    period: str | None
    are_older_due: bool


def newest(asked: Sequence[tuple[str, str, str]], now: datetime) -> dict[tuple[str, str], Newest]:
    """What the ledger knows of these jobs and scopes, each up to a period; by job and scope. One trip for all."""
    if not asked:
        return {}
    text = f"""
        WITH asked (job, scope, upto) AS (VALUES {", ".join(["(?, ?, ?)"] * len(asked))})
        SELECT job, scope,
               (SELECT max(period) FROM run
                 WHERE job = asked.job AND scope = asked.scope AND period <= asked.upto AND state <> 'held'),
               EXISTS (SELECT 1 FROM run
                        WHERE job = asked.job AND scope = asked.scope AND period < asked.upto AND {_GIVEN_UP})
        FROM asked
    """  # noqa: S608 - ours
    with session():
        found = run_sql(text, [*chain.from_iterable(asked), seconds(now)]).fetchall()
    return {(job, scope): Newest(period, bool(are_due)) for job, scope, period, are_due in found}


def last_done(run: RunRow) -> str | None:
    """The newest period before the run's own that was done in its scope."""
    text = "SELECT max(period) FROM run WHERE job = ? AND scope = ? AND period < ? AND state = 'done'"
    with session():
        found = run_sql(text, (run.job, run.scope, run.period)).fetchone()[0]
    return None if found is None else str(found)


def known_periods(jobs: Sequence[str]) -> dict[tuple[str, str], frozenset[str]]:
    """Every period of these jobs that the ledger knows of, held ones left out; by job and scope."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    if jobs:
        text = f"SELECT job, scope, period FROM run WHERE job IN ({', '.join('?' * len(jobs))}) AND state <> 'held'"  # noqa: S608 - ours
        with session():
            for job, scope, period in run_sql(text, jobs).fetchall():
                found[job, scope].add(period)
    return {about: frozenset(periods) for about, periods in found.items()}


# Claiming. The oldest first; within one job and scope never a period before the one ahead of it is closed.

# SQLite would look through all that was ever done, and each year longer, for every claim.
_CLAIMABLE = """
    SELECT ready.id FROM run AS ready {pending}
    WHERE ready.state IN ('due', 'running') AND (ready.not_before <= ? OR (ready.attempt > 0 AND ready.not_before > ?))
      AND (ready.state = 'due' OR ready.lease_until < ? OR ready.lease_until > ?) AND ready.job IN ({jobs})
      AND NOT EXISTS (
        SELECT 1 FROM run AS ahead {ahead} WHERE ahead.job = ready.job AND ahead.scope = ready.scope
        AND ahead.period < ready.period AND ahead.state IN ('due', 'running'))
    ORDER BY ready.not_before, ready.id LIMIT 1
"""
_TAKE = """
    SET state = 'running', owner = ?, attempt = attempt + 1, lease_until = ?, started_at = ?
"""
_COLUMNS = ", ".join(f"run.{field.name}" for field in fields(RunRow))


def claim(owner: str, jobs: Sequence[str], now: datetime, lease: timedelta = LEASE) -> RunRow | None:
    """Take the oldest run of these jobs that is due, or whose worker let its lease run out; None when there is none."""
    wanted = claimable(len(jobs))
    never = seconds(now + max(_NEVER_SO_LATE, 2 * lease))
    which = (seconds(now), never, seconds(now), never, *jobs)
    taken = (owner, seconds(now + lease), seconds(now))

    with session():
        if not jobs or run_sql(wanted, which).fetchone() is None:  # a quiet worker never takes the write lock
            return None
        if backend() == "postgresql":
            text = (
                f"WITH one AS MATERIALIZED ({wanted} FOR UPDATE OF ready SKIP LOCKED) "
                f"UPDATE run {_TAKE} FROM one WHERE run.id = one.id RETURNING {_COLUMNS}"
            )
            found = rows_alone(text, (*which, *taken))
        else:
            found = rows_alone(f"UPDATE run {_TAKE} WHERE id = ({wanted}) RETURNING {_COLUMNS}", (*taken, *which))
        return _read(found[0]) if found else None


def claimable(jobs: int) -> str:
    """The query for the next run of so many jobs; it reads only what is pending."""
    hints = ("INDEXED BY run_pending", "INDEXED BY run_ahead") if backend() == "sqlite" else ("", "")
    return _CLAIMABLE.format(jobs=", ".join("?" * jobs), pending=hints[0], ahead=hints[1])


def extend(run: RunRow, now: datetime, lease: timedelta = LEASE) -> None:
    """Keep the run for another lease. Raises LeaseLost when it is no longer this attempt's."""
    with session():
        transact(lambda: _fenced(run, lease_until=now + lease))


def go_on(run: RunRow, cursor: int, rows: int) -> None:
    """Note in the transaction of a slice how far it comes and what it has written; another attempt begins after that.

    Raises LeaseLost, so that nothing of the slice is kept, when the run is no longer this attempt's.
    """
    written = fn.COALESCE(Case(None, [(Run.cursor.is_null(), 0)], Run.rows), 0) + rows
    _fenced(run, cursor=cursor, rows=written)


# Closing


def execute(run: RunRow, body: Callable[[RunRow, datetime], int], now: datetime) -> int:
    """Close the run and write its rows, one transaction; gives how many. Raises LeaseLost, or what `body` raises."""

    def whole() -> int:
        _close(run, None, now)
        rows = body(run, now)
        run_sql("UPDATE run SET rows = ? WHERE id = ?", (rows, run.id))
        return rows

    with session():
        return transact(whole)


def finish(run: RunRow, rows: int, now: datetime) -> None:
    """Close a run whose rows were written in transactions of their own. Raises LeaseLost."""
    with session():
        _close(run, rows, now)


def fail(run: RunRow, error: str, now: datetime) -> datetime:
    """Record why this attempt failed; the run is due again after a wait that grows. Gives when. Raises LeaseLost."""
    again = now + wait_after(run.attempt)
    with session():
        transact(lambda: _fenced(run, state="due", owner=None, lease_until=None, error=error, not_before=again))
    return again


def wait_after(attempt: int) -> timedelta:
    """1, 2, 4 … minutes after the first, second, third failed attempt; never more than an hour."""
    return min(timedelta(minutes=2 ** min(attempt - 1, 6)), LONGEST_WAIT)


def put_back(owner: str) -> int:
    """Make what this worker has claimed due again, as it stops. Gives how many runs."""
    text = (
        "UPDATE run SET state = 'due', owner = NULL, lease_until = NULL "
        "WHERE state IN ('due', 'running') AND state = 'running' AND owner = ?"
    )
    with session():
        return run_alone(text, (owner,))


def return_leases(now: datetime) -> int:
    """Make due again what a dead worker held. Gives how many runs."""
    text = (
        "UPDATE run SET state = 'due', owner = NULL, lease_until = NULL "
        "WHERE state IN ('due', 'running') AND state = 'running' AND (lease_until < ? OR lease_until > ?)"
    )
    with session():
        return run_alone(text, (seconds(now), seconds(now + _NEVER_SO_LATE)))


def forget(job: str, before: datetime) -> int:
    """Delete the closed runs of a job that was finished before an instant. Gives how many rows."""
    text = "DELETE FROM run WHERE job = ? AND state IN ('done', 'missed', 'failed') AND finished_at < ?"
    with session():
        return run_alone(text, (job, seconds(before)))


def reopen(run_id: int, now: datetime) -> bool:
    """Make a done run due again because there is more for it to do. False when it was not done any more."""
    text = "UPDATE run SET state = 'due', not_before = ?, finished_at = NULL WHERE id = ? AND state = 'done'"
    with session():
        return bool(run_alone(text, (seconds(now), run_id)))


def _close(run: RunRow, rows: int | None, now: datetime) -> None:
    if run_alone(_DONE, (seconds(now), rows, run.id, run.attempt, run.owner)) != 1:
        raise _lost(run)


_DONE = """
    UPDATE run SET state = 'done', owner = NULL, lease_until = NULL, error = NULL, finished_at = ?, cursor = NULL,
                   rows = COALESCE(?, rows)
    WHERE id = ? AND attempt = ? AND owner = ? AND state = 'running'
"""


def _fenced(run: RunRow, **values: Any) -> None:
    mine = (Run.id == run.id) & (Run.attempt == run.attempt) & (Run.owner == run.owner) & (Run.state == "running")
    if Run.update(**values).where(mine).execute() != 1:
        raise _lost(run)


def _lost(run: RunRow) -> LeaseLost:
    return LeaseLost(
        f"The run {name_of(run)} was taken over by another worker; nothing of attempt {run.attempt} was kept.",
    )


# Looking


def get(run_id: int) -> RunRow:
    """One run, or NotFound."""
    with session():
        row = Run.get_or_none(Run.id == run_id)
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    return _row(row)


def listed(
    *,
    states: Sequence[str] = (),
    job: str | None = None,
    before_id: int | None = None,
    limit: int = 100,
) -> list[RunRow]:
    """The ledger, newest first; the next page begins before the last id of this one."""
    asked: list[tuple[str, Sequence[Any]]] = []
    if states:
        asked.append((f"state IN ({', '.join('?' * len(states))})", states))
    if job is not None:
        asked.append(("job = ?", (job,)))
    if before_id is not None:
        asked.append(("id < ?", (before_id,)))
    where = " AND ".join(text for text, _ in asked) or "1 = 1"
    values = [value for _, each in asked for value in each]
    with session():
        text = f"SELECT {_COLUMNS} FROM run WHERE {where} ORDER BY id DESC LIMIT ?"  # noqa: S608 - ours
        return [_read(row) for row in run_sql(text, (*values, limit)).fetchall()]


def of_job(job: str, wanted: Collection[tuple[str, str]]) -> list[RunRow]:
    """The runs of a job for these scopes and periods, as far as the ledger has them; the oldest first."""
    periods = {period for _, period in wanted}
    with session():
        found = Run.select().where(Run.job == job, Run.period.in_(periods)).order_by(Run.id)
        return [_row(row) for row in found if (row.scope, row.period) in wanted]


def unwell() -> list[RunRow]:
    """What a person should look at: runs that are held, and runs whose last attempt failed."""
    wanted = Run.select().where((Run.state == "held") | (Run.state.in_(("due", "running")) & Run.error.is_null(False)))
    with session():
        return [_row(row) for row in wanted.order_by(Run.not_before, Run.id)]


def name_of(run: RunRow) -> str:
    """As people read it: `expiry-notices Europe/Oslo 2026-11-23`."""
    return " ".join(part for part in (run.job, run.scope, run.period) if part != EVERYWHERE)


def _read(row: Sequence[Any]) -> RunRow:
    """A row of `_COLUMNS`."""
    number, job, scope, period, state, attempt, owner, bounds, planned_at, not_before, *later, rows, cursor, error = row
    lease_until, started_at, finished_at = (None if at is None else instant(at) for at in later)
    return RunRow(
        number, job, scope, period, state, attempt, owner, json.loads(bounds or "{}"), instant(planned_at),
        instant(not_before), lease_until, started_at, finished_at, rows, cursor, error,
    )  # fmt: skip


def _row(row: Run) -> RunRow:
    return RunRow(
        id=row.id,
        job=row.job,
        scope=row.scope,
        period=row.period,
        state=row.state,
        attempt=row.attempt,
        owner=row.owner,
        bounds=row.bounds or {},
        planned_at=row.planned_at,
        not_before=row.not_before,
        lease_until=row.lease_until,
        started_at=row.started_at,
        finished_at=row.finished_at,
        rows=row.rows,
        cursor=row.cursor,
        error=row.error,
    )
