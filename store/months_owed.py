"""Which companies still lack a month's invoice, and which runs must be opened again for them.

A company that joins a time zone late, or that could not be rated, is never lost: its month is found here.
"""

from collections.abc import Iterator
from datetime import datetime

from store import runs, usage_facts
from store.database import backend, run_sql, session
from store.runs import RunRow

DRAFTS, FINALS = "invoice-lines", "invoice-final"  # the jobs
TOGETHER = 500  # companies in one transaction
_ON_SQLITE = 40  # at most, because everybody else who writes waits for it
_LOOK_BACK = 13  # months whose runs are looked at again

# What is left to do for a company's month: by the job, and by why it is left.
_LATE, _WAITS = "late", "waits"
_LEFT = {
    (DRAFTS, _LATE): "m.id IS NULL",
    (DRAFTS, _WAITS): "m.state = 'parked'",
    (FINALS, _LATE): "m.state = 'draft'",
    (FINALS, _WAITS): "m.state IN ('parked', 'held')",
}
# Every change of a company's facts is in the audit log under its number; what concerns all of them is in `stale_at`.
_CHANGED = """
    m.state = 'draft' AND (m.rated_at <= {stale_at}
        OR c.id IN (SELECT e.company_id FROM event AS e WHERE e.at >= {since} AND e.company_id IS NOT NULL))
"""
# Each company's month is looked up by itself: as a month is being written the server does not know how large it has
# become, and a join would read all of it for each page.
_PAGE = """
    SELECT c.id, coalesce(
        (SELECT CASE WHEN {left} THEN 1 ELSE 0 END FROM invoice_month AS m
         WHERE m.company_id = c.id AND m.month = ? AND m.revision = 1), {missing})
    FROM (SELECT id FROM company WHERE time_zone = ? AND created_at < ? AND id > ? ORDER BY id LIMIT ?) AS c
    ORDER BY c.id
"""
_ANY = """
    SELECT c.id FROM company AS c
    LEFT JOIN invoice_month AS m ON m.company_id = c.id AND m.month = ? AND m.revision = 1
    WHERE c.time_zone = ? AND c.created_at < ? AND ({left}) LIMIT 1
"""


def together() -> int:
    """How many companies are written in one transaction."""
    return min(TOGETHER, _ON_SQLITE) if backend() == "sqlite" else TOGETHER


def chunks(job: str, zone: str, month: str, ends_at: int) -> Iterator[list[int]]:
    """The companies for which `invoice-lines` or `invoice-final` has something to do, by id, as many at once as
    are written together.

    For drafts these are also the companies of which something was learned since they were drafted. `ends_at` is the end
    of the month in epoch seconds; a company that came later owes nothing for it.
    """
    left = f"{_LEFT[job, _LATE]} OR {_LEFT[job, _WAITS]}"
    if job == DRAFTS:
        left += f" OR {_changed(month)}"
    text = _PAGE.format(left=left, missing=int(job == DRAFTS))
    wanted: list[int] = []
    after, most = 0, together()
    while page := _page(text, zone, month, ends_at, after):
        after = page[-1][0]
        wanted += [company_id for company_id, left_to_do in page if left_to_do]
        while len(wanted) >= most:
            yield wanted[:most]
            wanted = wanted[most:]
    if wanted:
        yield wanted


def reopen_for_late(now: datetime) -> int:
    """Make due again the done runs that lack a company which came to their zone late. Gives how many."""
    return _reopen(_LATE, now)


def reopen_for_waiting(now: datetime) -> int:
    """Make due again the done runs with parked or held companies: their facts may be right by now. Gives how many."""
    return _reopen(_WAITS, now)


def _reopen(why: str, now: datetime) -> int:
    reopened = 0
    for job in (DRAFTS, FINALS):
        for run in runs.listed(states=("done",), job=job, limit=_recent()):
            if _any(_LEFT[job, why], run):
                reopened += runs.reopen(run.id, now)
    return reopened


def _changed(month: str) -> str:
    with session():
        stale_at = max(
            usage_facts.newest(month),
            _newest("SELECT max(published_at) FROM price_list"),
            _newest("SELECT max(at) FROM event WHERE act = 'billing.policy'"),
        )
        since = _newest("SELECT min(rated_at) FROM invoice_month WHERE month = ? AND state = 'draft'", month)
    return _CHANGED.format(stale_at=stale_at, since=since)  # whole numbers of our own


def _newest(text: str, *values: str) -> int:
    return int(run_sql(text, values).fetchone()[0] or 0)


def _page(text: str, zone: str, month: str, ends_at: int, after: int) -> list[tuple[int, int]]:
    """The next companies of the zone, by id, each with whether something is left to do."""
    with session():
        return list(run_sql(text, (month, zone, ends_at, after, TOGETHER)).fetchall())


def _any(left: str, run: RunRow) -> bool:
    values = (run.period, run.scope, run.bounds["end"])
    with session():
        return run_sql(_ANY.format(left=left), values).fetchone() is not None


def _recent() -> int:
    with session():
        zones = run_sql("SELECT count(DISTINCT time_zone) FROM company").fetchone()[0]
    return int(zones) * _LOOK_BACK
