"""Usage as rating looks at it: what Keydesk knew of a month at an instant, and what came after a month was closed."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from functools import cache

from store.database import run_sql
from store.fields import instant, seconds
from store.rules import calendar
from store.rules.rating import UsageFact

Totals = tuple[str, int, int]
"""Environment, requests, bytes."""

_TOTALS = """
    SELECT company_id, environment, CAST(sum(requests) AS BIGINT), CAST(sum(bytes) AS BIGINT) FROM usage_day
    WHERE company_id IN ({companies}) AND day >= ? AND day <= ?{known}
    GROUP BY company_id, environment ORDER BY company_id, environment
"""
_UNKNOWN = """
    SELECT id FROM usage_batch
    WHERE received_at > ? AND (first_day IS NULL OR first_day <= ?) AND (last_day IS NULL OR last_day >= ?) ORDER BY id
"""


def totals(company_ids: Sequence[int], month: str, as_of: datetime) -> dict[int, list[Totals]]:
    """What each company used in a whole month, by environment, as far as it was known at `as_of`."""
    first, last = bounds(month)
    unknown = [int(row[0]) for row in run_sql(_UNKNOWN, (seconds(as_of), last, first)).fetchall()]
    known = f" AND batch_id NOT IN ({marks(len(unknown))})" if unknown else ""
    text = _TOTALS.format(companies=marks(len(company_ids)), known=known)
    found: dict[int, list[Totals]] = {}
    for company_id, *used in run_sql(text, (*company_ids, first, last, *unknown)).fetchall():
        found.setdefault(company_id, []).append((str(used[0]), int(used[1]), int(used[2])))
    return found


_DAYS = """
    SELECT u.day, u.environment, b.received_at, CAST(sum(u.requests) AS BIGINT), CAST(sum(u.bytes) AS BIGINT)
    FROM usage_day AS u JOIN usage_batch AS b ON b.id = u.batch_id
    WHERE u.company_id = ? AND u.day >= ? AND u.day <= ?
    GROUP BY u.day, u.environment, b.received_at ORDER BY u.day, u.environment, b.received_at
"""


def of_company(company_id: int, zone_name: str, months: Iterable[str]) -> tuple[UsageFact, ...]:
    """One fact for each local day, environment and instant at which it became known, of these months."""
    zone = calendar.zone(zone_name)
    return tuple(
        UsageFact(
            hour=calendar.start_of_day(date.fromisoformat(day), zone),
            requests=int(requests),
            bytes=int(size),
            environment="sandbox" if environment == "sandbox" else "prod",
            received_at=instant(received_at),
        )
        for month in sorted(set(months))
        for day, environment, received_at, requests, size in run_sql(_DAYS, (company_id, *bounds(month))).fetchall()
    )


_LATE = """
    SELECT DISTINCT u.company_id, m.month FROM usage_day AS u
    JOIN usage_batch AS b ON b.id = u.batch_id
    JOIN invoice_month AS m ON m.company_id = u.company_id AND m.month = substr(u.day, 1, 7)
         AND m.revision = 1 AND m.state = 'final'
    WHERE u.company_id IN ({companies}) AND u.batch_id IN ({batches}) AND u.day >= ? AND u.day < ?
      AND b.received_at > m.rated_at AND b.received_at <= ?
    ORDER BY u.company_id, m.month
"""
# In most months no batch at all tells of days so long ago, and no row of usage is looked at.
_BATCHES = """
    SELECT id FROM usage_batch WHERE received_at > ? AND received_at <= ? AND (first_day IS NULL OR first_day < ?)
      AND (last_day IS NULL OR last_day >= ?) ORDER BY id
"""


def late(company_ids: Sequence[int], first_month: str, before: str, as_of: datetime) -> dict[int, list[str]]:
    """The final months from `first_month` on, before the month `before`, of which more became known once final."""
    first, end = bounds(first_month)[0], bounds(before)[0]
    closed = run_sql(
        "SELECT min(rated_at) FROM invoice_month WHERE month >= ? AND month < ? AND revision = 1 AND state = 'final'",
        (first_month, before),
    ).fetchone()[0]
    if closed is None:
        return {}
    batches = [int(row[0]) for row in run_sql(_BATCHES, (closed, seconds(as_of), end, first)).fetchall()]
    if not batches:
        return {}
    text = _LATE.format(companies=marks(len(company_ids)), batches=marks(len(batches)))
    found: dict[int, list[str]] = {}
    for company_id, month in run_sql(text, (*company_ids, *batches, first, end, seconds(as_of))).fetchall():
        found.setdefault(int(company_id), []).append(str(month))
    return found


def newest(month: str) -> int:
    """When the newest batch came that may tell of the month, in epoch seconds; 0 when there is none."""
    first, last = bounds(month)
    text = (
        "SELECT max(received_at) FROM usage_batch "
        "WHERE (first_day IS NULL OR first_day <= ?) AND (last_day IS NULL OR last_day >= ?)"
    )
    return int(run_sql(text, (last, first)).fetchone()[0] or 0)


def bounds(month: str) -> tuple[str, str]:
    """The first day of a month, and a text no day of it comes after."""
    return f"{month}-01", f"{month}-31"


@cache
def marks(number: int) -> str:
    """So many placeholders of a statement."""
    return ", ".join("?" * number)
