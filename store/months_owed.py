"""Which companies still lack a month's invoice, and which runs must be opened again for them.

A company that joins a time zone late, or that could not be rated, is never lost: its month is found here.
"""

from collections.abc import Iterator
from datetime import datetime

from store import runs
from store.database import run_sql, session

DRAFTS, FINALS = "invoice-lines", "invoice-final"  # the jobs
_LOOK_BACK = 13  # months whose runs are looked at again
_PAGE = 500

# What is left to do for a company's month: by the job, and by why it is left.
_LATE, _PARKED = "late", "parked"
_LEFT = {
    (DRAFTS, _LATE): "m.id IS NULL",
    (DRAFTS, _PARKED): "m.state = 'parked'",
    (FINALS, _LATE): "m.state = 'draft'",
    (FINALS, _PARKED): "m.state = 'parked'",
}
_COMPANIES = """
    SELECT c.id FROM company AS c LEFT JOIN invoice_month AS m ON m.company_id = c.id AND m.month = ?
    WHERE c.time_zone = ? AND c.created_at < ? AND c.id > ? AND ({left})
    ORDER BY c.id LIMIT ?
"""


def companies(job: str, zone: str, month: str, ends_at: int) -> Iterator[int]:
    """The companies for which `invoice-lines` or `invoice-final` has something to do, by id; parked ones included.

    `ends_at` is the end of the month in epoch seconds; a company that came later owes nothing for it.
    """
    left = f"{_LEFT[job, _LATE]} OR {_LEFT[job, _PARKED]}"
    after = 0
    while page := _page(left, zone, month, ends_at, after, _PAGE):
        yield from page
        after = page[-1]


def reopen_for_late(now: datetime) -> int:
    """Make due again the done runs that lack a company which came to their zone late. Gives how many."""
    return _reopen(_LATE, now)


def reopen_for_parked(now: datetime) -> int:
    """Make due again the done runs with parked companies: their price list may be there by now. Gives how many."""
    return _reopen(_PARKED, now)


def _reopen(why: str, now: datetime) -> int:
    reopened = 0
    for job in (DRAFTS, FINALS):
        for run in runs.listed(states=("done",), job=job, limit=_recent()):
            if _page(_LEFT[job, why], run.scope, run.period, run.bounds["end"], 0, 1):
                reopened += runs.reopen(run.id, now)
    return reopened


def _page(left: str, zone: str, month: str, ends_at: int, after: int, limit: int) -> list[int]:
    with session():
        found = run_sql(_COMPANIES.format(left=left), (month, zone, ends_at, after, limit)).fetchall()
    return [int(row[0]) for row in found]


def _recent() -> int:
    with session():
        zones = run_sql("SELECT count(DISTINCT time_zone) FROM company").fetchone()[0]
    return int(zones) * _LOOK_BACK
