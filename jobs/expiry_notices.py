"""Every local day: whoever has to know that a key expires, or has expired, is owed a notice, once."""

from collections.abc import Iterator
from datetime import date, datetime
from functools import partial

from store import installation, notices, runs
from store.due_notices import Owing
from store.runs import RunRow


def sweep(run: RunRow, now: datetime) -> Iterator[int]:
    """Write the notices of the run's zone and local day and queue their mails, some hundred companies at a time."""
    days, day = installation.get().notice_days, date.fromisoformat(run.period)
    yield from notices.sweep_in_slices(run.scope, day, now, days, after=run.cursor or 0, go_on=partial(runs.go_on, run))


def dry_run(as_of: date) -> list[Owing]:
    """The mails that the runs of that local day would queue in all zones; nothing is written."""
    return notices.dry_run(as_of, installation.get().notice_days)
