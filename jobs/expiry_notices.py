"""Every local day: whoever has to know that a key expires, or has expired, is owed a notice, once."""

from datetime import date, datetime

from store import installation, notices
from store.due_notices import Owing
from store.runs import RunRow


def body(run: RunRow, now: datetime) -> int:
    """Write the notices of the run's zone and local day and queue their mails; the number of notices."""
    days = installation.get().notice_days
    return notices.sweep(run.scope, date.fromisoformat(run.period), now, days)


def dry_run(as_of: date) -> list[Owing]:
    """The mails that the runs of that local day would queue in all zones; nothing is written."""
    return notices.dry_run(as_of, installation.get().notice_days)
