"""Invoice lines, many companies a transaction: what cannot be rated is parked and holds up nobody else."""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from store import invoices, months_owed
from store.database import session, transact
from store.errors import StoreUnavailable
from store.runs import RunRow

_LOG = logging.getLogger(__name__)

Write = Callable[[Sequence[int], str, datetime], int]


def draft(run: RunRow, now: datetime) -> Iterator[int]:
    """Write the drafts of a month for the companies of the zone that have none, wait parked, or have changed since."""
    yield from _each(months_owed.DRAFTS, run, now, invoices.draft_months)


def finalise(run: RunRow, now: datetime) -> Iterator[int]:
    """Make the month's drafts final; one that waits parked is rated first."""
    yield from _each(months_owed.FINALS, run, now, invoices.finalise_months)


def _each(job: str, run: RunRow, now: datetime, write: Write) -> Iterator[int]:
    for company_ids in months_owed.chunks(job, run.scope, run.period, run.bounds["end"]):
        with session():
            yield _together(company_ids, run.period, now, write)


def _together(company_ids: Sequence[int], month: str, now: datetime, write: Write) -> int:
    """All in one transaction; where the store refuses one company's rows, each in its own."""
    try:
        return transact(lambda: write(company_ids, month, now))
    except StoreUnavailable:
        raise  # not these companies' fault: the whole run is tried again later
    except Exception as error:  # noqa: BLE001 - one of them is at fault
        if len(company_ids) > 1:
            return sum(_together([company_id], month, now, write) for company_id in company_ids)
        _LOG.warning("company %d could not be rated for %s", company_ids[0], month, exc_info=error)
        invoices.park_month(company_ids[0], month, error, now)
        return 0
