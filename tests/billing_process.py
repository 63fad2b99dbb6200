"""One invoice job as a process of its own, past the ledger: python billing_process.py LOCATION drafts|finals [DIE_AT].

The month is November 2026, and seven companies share a transaction. With DIE_AT, the process is killed as it writes the
lines of that transaction (for finals: its events), before they are kept.
"""

import os
import signal
import sys
from datetime import UTC, datetime
from typing import Any

from jobs import invoice_lines
from store import database, events, invoice_rows, months_owed
from store.fields import seconds
from store.rules import calendar
from store.runs import RunRow

NOW = {"drafts": datetime(2026, 12, 1, 12, tzinfo=UTC), "finals": datetime(2026, 12, 4, 12, tzinfo=UTC)}


def dying(write: Any, at: int) -> Any:
    """The function, which at its so-many-eth call does its work and then dies."""
    calls = 0

    def written(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        result = write(*given)
        if calls == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return written


def main(location: str, job: str, die_at: str = "0") -> None:
    database.bind(location)
    months_owed.TOGETHER = 7  # type: ignore[misc]
    if job == "drafts":
        invoice_rows.insert = dying(invoice_rows.insert, int(die_at))
    else:
        events.append = dying(events.append, int(die_at))
    end = calendar.month_bounds("2026-11", calendar.zone("Europe/Oslo"))[1]
    bounds = {"end": seconds(end)}
    run = RunRow(1, job, "Europe/Oslo", "2026-11", "running", 1, None, bounds, NOW[job], NOW[job])
    body = invoice_lines.draft if job == "drafts" else invoice_lines.finalise
    with database.session():
        sys.stdout.write(f"{sum(body(run, NOW[job]))}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
