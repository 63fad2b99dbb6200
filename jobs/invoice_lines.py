"""Invoice lines, one transaction a company: what cannot be rated is parked with its error and holds up nobody else."""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime

from store import invoices, months_owed
from store.database import transact
from store.errors import KeydeskError, StoreUnavailable
from store.runs import RunRow

_LOG = logging.getLogger(__name__)


def draft(run: RunRow, now: datetime) -> Iterator[int]:
    """Write the drafts of a month for each company of the zone that has none; one that waits parked is tried again."""
    for company_id in months_owed.companies("invoice-lines", run.scope, run.period, run.bounds["end"]):
        yield _or_park(company_id, run.period, now, invoices.draft_month)


def finalise(run: RunRow, now: datetime) -> Iterator[int]:
    """Make the month's drafts final; one that waits parked is rated first."""
    for company_id in months_owed.companies("invoice-final", run.scope, run.period, run.bounds["end"]):
        yield _or_park(company_id, run.period, now, invoices.finalise_month)


def _or_park(company_id: int, month: str, now: datetime, write: Callable[[int, str, datetime], bool]) -> int:
    try:
        return int(transact(lambda: write(company_id, month, now)))
    except StoreUnavailable:
        raise  # not this company's fault: the whole run is tried again later
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one company, the others get their invoice
        if not isinstance(error, KeydeskError):
            _LOG.warning("company %d could not be rated for %s", company_id, month, exc_info=error)
        invoices.park_month(company_id, month, error, now)
        return 0
