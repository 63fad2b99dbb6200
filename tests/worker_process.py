"""A worker as a process of its own, for the tests that kill it: `python worker_process.py STORE [SLOW]`.

Its clock starts at noon on 23 November 2026. With SLOW, a path, it has one job more, which writes five rows in five
slices and waits after the second until that path exists.
"""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from jobs.json_log import JsonLog, utc_now
from jobs.periods import EachDay
from jobs.schedule import TIMETABLE, Job
from jobs.worker import Worker
from store import database
from store.database import writing
from store.runs import RunRow
from store.tables import Setting

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BEGAN = utc_now()


def clock() -> datetime:
    return NOON + (utc_now() - BEGAN)


def slow(go_on: Path, log: JsonLog) -> Job:
    def pour(run: RunRow, now: datetime) -> Iterator[int]:
        for number in range(5):
            with writing():
                made = Setting.get_or_none(Setting.name == f"slow-{number}") is None
                if made:
                    Setting.create(name=f"slow-{number}", value=run.attempt)
            log.say("slow.slice", number=number)
            yield int(made)
            while number == 1 and not go_on.exists():
                time.sleep(0.01)
                yield 0

    return Job("slow", "Each day, slowly.", "all", EachDay(hour=lambda _: 1), "latest", slices=pour)


def main(location: str, go_on: str | None = None) -> int:
    database.bind(location)
    log = JsonLog(clock=clock)
    timetable = TIMETABLE if go_on is None else (*TIMETABLE, slow(Path(go_on), log))
    return Worker(clock=clock, log=log, timetable=timetable, version="0.1.0").serve()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
