"""`keydesk run JOB`: one job now, as of a day that has been, or only told."""

import argparse
import sys
from collections.abc import Callable
from datetime import date, datetime

from jobs import rehearsal
from jobs.json_log import JsonLog
from jobs.schedule import TIMETABLE, Job
from jobs.worker import Worker
from keydesk import __version__
from keydesk.errands.worker import queues_of
from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import runs
from store.database import session
from store.errors import Refused

_MAIL = "deliver-mail"


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Exit status 1 when a run failed."""
    open_store(settings)
    now = clock()
    with session():
        if given.job == _MAIL:
            return _deliver(given, settings, clock)
        job = rehearsal.named(given.job)
        if given.dry_run:
            return _tell(job, now, given.as_of)
        return _do(job, now, given.as_of, clock)


def _tell(job: Job, now: datetime, as_of: date | None) -> int:
    told = 0
    for line in rehearsal.rehearse(job, now, as_of):
        sys.stdout.write(line + "\n")
        told += 1
    sys.stdout.write(f"{told} in all. Nothing was changed.\n" if told else "Nothing to do. Nothing was changed.\n")
    return 0


def _do(job: Job, now: datetime, as_of: date | None, clock: Callable[[], datetime]) -> int:
    """Make the runs of that day due, also those that were done or missed (a repeat changes nothing), and do them."""
    scenes = rehearsal.scenes(job, now, as_of)
    if any(scene.now > now for scene in scenes):
        raise Refused(f"{as_of} is not over everywhere; a day that has not been can only be told (--dry-run).")
    for scene in scenes:
        runs.make_due(local_actor(), scene.planned(job, now), now)
    worker = Worker(
        clock=clock,
        log=JsonLog(sys.stderr, clock),
        timetable=[line for line in TIMETABLE if line.name == job.name],
        version=__version__,
    )
    done = worker.run_due(now)
    worker.end(now)
    sys.stdout.write(f"{done.done} runs of {job.name} done, {done.failed} failed.\n")
    return int(done.failed > 0)


def _deliver(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    log = JsonLog(sys.stderr, clock)
    queues = queues_of(settings, log)
    if given.dry_run or given.as_of:
        raise Refused("Mails are handed over now or not at all; `keydesk mail show` lists what waits.")
    if "mails" not in queues:
        raise Refused("No relay is set: mails wait in the outbox. Set [mail] host and sender.")
    worker = Worker(queues={"mails": queues["mails"]}, clock=clock, log=log, timetable=(), version=__version__)
    now = clock()
    taken = worker.once(now).taken["mails"]
    worker.end(now)
    sys.stdout.write(f"{taken} mails were dealt with; `keydesk mail show` lists what became of them.\n")
    return 0
