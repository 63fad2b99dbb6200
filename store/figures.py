"""Numbers for whoever watches an installation: read by indexes, so that asking costs the store little."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from store import clock_seen, restored, sandbox_holds, stale_sandboxes, waiting_mails
from store.database import run_sql, session
from store.fields import instant, seconds
from store.waiting_mails import Pending

OVERDUE_AFTER = timedelta(minutes=10)  # longer than a run waits for its turn on a healthy machine


@dataclass(frozen=True)
class Figures:
    """The store at one instant. Instants are None where nothing of the kind has happened."""

    last_success: dict[str, datetime]  # job -> when a run of it was done last
    runs: dict[str, int]  # due, overdue, running, failing (tried before), held
    mails: Pending
    oldest_mail: datetime | None  # since when the mail is due that has waited longest, refused or not
    refreshes: dict[str, int]  # due, running
    oldest_refresh: datetime | None  # since when the marker that is due longest is due
    last_refresh: datetime | None
    sandboxes: dict[str, int]  # held, quarantined, stale
    clock_seen: datetime | None  # the latest instant that a worker has believed
    held: bool  # a restored store that waits for a person


def read(now: datetime) -> Figures:
    """All of it."""
    with session():
        at = seconds(now)
        refreshes = run_sql(_REFRESHES, (at,)).fetchall()
        return Figures(
            last_success={str(job): instant(done) for job, done in run_sql(_LAST_SUCCESS).fetchall()},
            runs=_runs(at),
            mails=waiting_mails.pending(),
            oldest_mail=waiting_mails.oldest(now),
            refreshes={"due": 0, "running": 0} | {str(state): int(count) for state, count, _ in refreshes},
            oldest_refresh=next((_instant(due_at) for state, _, due_at in refreshes if state == "due"), None),
            last_refresh=_instant(run_sql(_LAST_REFRESH).fetchone()[0]),
            sandboxes=sandbox_holds.counts() | {"stale": stale_sandboxes.count()},
            clock_seen=clock_seen.latest(),
            held=restored.held() is not None,
        )


def _runs(at: int) -> dict[str, int]:
    overdue = at - int(OVERDUE_AFTER.total_seconds())
    due, late, running, failing = run_sql(_RUNS, (at, overdue)).fetchone()
    held = run_sql("SELECT count(*) FROM run WHERE state = 'held'").fetchone()[0]
    return {"due": due or 0, "overdue": late or 0, "running": running or 0, "failing": failing or 0, "held": held}


def _instant(value: Any) -> datetime | None:
    return None if value is None else instant(value)


_LAST_SUCCESS = "SELECT job, max(finished_at) FROM run WHERE state = 'done' GROUP BY job ORDER BY job"

# The lists of states are those of the partial indexes; SQLite uses them only where they stand word for word.
_RUNS = """
    SELECT sum(CASE WHEN state = 'due' AND not_before <= ? THEN 1 ELSE 0 END),
           sum(CASE WHEN state = 'due' AND not_before <= ? THEN 1 ELSE 0 END),
           sum(CASE WHEN state = 'running' THEN 1 ELSE 0 END),
           sum(CASE WHEN state = 'due' AND attempt > 0 AND error IS NOT NULL THEN 1 ELSE 0 END)
      FROM run WHERE state IN ('due', 'running')
"""

_REFRESHES = """
    SELECT state, count(*), min(due_at) FROM refresh_marker
     WHERE state IN ('due', 'running') AND due_at <= ? GROUP BY state
"""

_LAST_REFRESH = """
    SELECT max(finished_at) FROM refresh_marker
     WHERE state = 'done'
       AND night = (SELECT night FROM refresh_marker WHERE state = 'done' ORDER BY night DESC LIMIT 1)
"""
