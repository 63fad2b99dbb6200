"""One invoice job as a process of its own, past the ledger: python billing_process.py LOCATION drafts|finals.

The month is November 2026, and seven companies share a transaction.
"""

import sys
from datetime import UTC, datetime

from jobs import invoice_lines
from store import database, months_owed
from store.fields import seconds
from store.rules import calendar
from store.runs import RunRow

NOW = {"drafts": datetime(2026, 12, 1, 12, tzinfo=UTC), "finals": datetime(2026, 12, 4, 12, tzinfo=UTC)}


def main(location: str, job: str) -> None:
    database.bind(location)
    months_owed.TOGETHER = 7  # type: ignore[misc]
    end = calendar.month_bounds("2026-11", calendar.zone("Europe/Oslo"))[1]
    bounds = {"end": seconds(end)}
    run = RunRow(1, job, "Europe/Oslo", "2026-11", "running", 1, None, bounds, NOW[job], NOW[job])
    body = invoice_lines.draft if job == "drafts" else invoice_lines.finalise
    with database.session():
        sys.stdout.write(f"{sum(body(run, NOW[job]))}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
