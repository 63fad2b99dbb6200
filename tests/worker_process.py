"""A worker as a process of its own, for the tests that kill it: `python worker_process.py STORE [SLOW]`.

Its clock starts at noon on 23 November 2026. With SLOW, a path, it has one job more, which writes five rows in five
slices and waits after the second until that path exists. `--relay PORT` makes it hand mails over on loopback,
`--refresher COMMAND…` refresh sandboxes; `--patience` is how many seconds its beats may take to end, then those whose
statement was interrupted, then the store to take back what they held. With `--once` it is one pass.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jobs import queues
from jobs.delivery import Sender
from jobs.json_log import JsonLog, utc_now
from jobs.periods import EachDay
from jobs.process import Patience, Process
from jobs.queues import Queue
from jobs.sandbox_refresh import Command
from jobs.schedule import TIMETABLE, Job
from jobs.smtp_session import SmtpSession
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


def queues_of(given: argparse.Namespace, log: JsonLog) -> dict[str, Queue]:
    found = {}
    if given.relay:
        sender = Sender("keys@fjord.example", "")
        found["mails"] = queues.mails(lambda: SmtpSession("localhost", given.relay, tls="none"), sender, log)
    if given.refresher:
        found["refreshes"] = queues.refreshes(Command(tuple(given.refresher), timedelta(hours=1)), log)
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("slow", nargs="?", type=Path)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--relay", type=int)
    parser.add_argument("--patience", type=float, nargs=3, default=(12, 3, 4))
    parser.add_argument("--refresher", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    database.bind(given.store)
    log = JsonLog(clock=clock)
    timetable = TIMETABLE if given.slow is None else (*TIMETABLE, slow(given.slow, log))
    worker = Worker(queues=queues_of(given, log), clock=clock, log=log, timetable=timetable, version="0.1.0")
    patience = Patience(*(timedelta(seconds=each) for each in given.patience))
    process = Process(worker, patience)
    return process.serve_once() if given.once else process.serve()


if __name__ == "__main__":
    sys.exit(main())
