"""Which companies still lack a month's invoice, and which runs must be opened again for them.

A company that joins a time zone, or is parked because it could not be rated, is never lost: its month is found here.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from store import runs
from store.database import run_sql, session
from store.fields import seconds

RETRY_PARKED = timedelta(days=1)  # by then its price list may have been published
_LOOK_BACK = 13  # months whose runs are looked at for companies that joined late
_PAGE = 500

_UNDRAFTED = """
    SELECT c.id FROM company AS c LEFT JOIN invoice_month AS m ON m.company_id = c.id AND m.month = ?
    WHERE c.time_zone = ? AND c.created_at < ? AND c.id > ?
      AND (m.id IS NULL OR (m.state = 'parked' AND m.rated_at <= ?))
    ORDER BY c.id LIMIT ?
"""
_UNFINAL = """
    SELECT c.id FROM company AS c JOIN invoice_month AS m ON m.company_id = c.id AND m.month = ?
    WHERE c.time_zone = ? AND c.created_at < ? AND c.id > ?
      AND (m.state = 'draft' OR (m.state = 'parked' AND m.rated_at <= ?))
    ORDER BY c.id LIMIT ?
"""
_QUERIES = {"invoice-lines": _UNDRAFTED, "invoice-final": _UNFINAL}


def companies(job: str, zone: str, month: str, ends_at: int, now: datetime) -> Iterator[int]:
    """The companies for which `invoice-lines` or `invoice-final` has something to do, by id.

    `ends_at` is the end of the month in epoch seconds; a company that came later owes nothing for it.
    """
    after = 0
    while page := _page(job, zone, month, ends_at, now, after, _PAGE):
        yield from page
        after = page[-1]


def reopen(now: datetime) -> int:
    """Make the done invoice runs due again that have more to do. Gives how many."""
    reopened = 0
    for job in _QUERIES:
        for run in runs.listed(states=("done",), job=job, limit=_recent()):
            if _page(job, run.scope, run.period, run.bounds["end"], now, 0, 1):
                reopened += runs.reopen(run.id, now)
    return reopened


def _page(job: str, zone: str, month: str, ends_at: int, now: datetime, after: int, limit: int) -> list[int]:
    values = (month, zone, ends_at, after, seconds(now - RETRY_PARKED), limit)
    with session():
        return [int(row[0]) for row in run_sql(_QUERIES[job], values).fetchall()]


def _recent() -> int:
    with session():
        zones = run_sql("SELECT count(DISTINCT time_zone) FROM company").fetchone()[0]
    return int(zones) * _LOOK_BACK
