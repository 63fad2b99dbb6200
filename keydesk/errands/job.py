"""`keydesk run JOB`: one job now, as of a day that has been, or only told."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from functools import partial
from itertools import chain
from typing import Any

from jobs import rehearsal
from jobs.delivery import Relay, Sender, deliver_slice
from jobs.json_log import JsonLog
from jobs.mail_server import session_for
from jobs.planning import Planner, ServerClock
from jobs.schedule import TIMETABLE, Job
from jobs.side_by_side import Lines
from jobs.unwritten import Unwritten
from jobs.worker import Worker
from keydesk import __version__
from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import (
    ambiguous_mails,
    clock_seen,
    database,
    installation,
    restored,
    run_decisions,
    runs,
    waiting_mails,
    workers,
)
from store.database import session
from store.errors import Refused, StoreUnavailable
from store.rules.key_format import redact
from store.rules.text import visible
from store.runs import RunRow
from store.tables import InvoiceMonth

_MAIL = "deliver-mail"
_IN_PART = 4
_PATIENCE_SECONDS = 60  # with a worker that has taken a run first
_LOOK_SECONDS = 0.2
# What became of a mail, by the names of delivery.Outcome.
_BECAME = {
    "sent": "handed over",
    "later": "to be tried again",
    "failed": "refused for good",
    "withdrawn": "withdrawn as no longer true",
    "ambiguous": "perhaps arrived",
    "sent_before": "sent before, as the record of what was sent says",
}


def run(
    given: argparse.Namespace,
    settings: Settings,
    clock: Callable[[], datetime],
    server_clock: ServerClock = clock_seen.of_server,
) -> int:
    """Exit status 1 when a run failed or a mail was refused, 4 when all were done and months wait for a person."""
    open_store(settings)
    now = clock()
    with session():
        if given.job == _MAIL:
            return _deliver(given, settings, clock, server_clock)
        job = rehearsal.named(given.job)
        if given.dry_run:
            return _tell(job, now, given.as_of)
        restored.require_released()
        restored.compare(now)
        clock_seen.require_near(now, server_clock())
        _require_believed(now)
        return _do(job, now, given.as_of, clock)


def _require_believed(now: datetime, *, sends: bool = False) -> None:
    """Refused by a clock that leapt ahead, by which a worker would do nothing, or was put back, which only sends."""
    seen, verdict = clock_seen.latest(), Planner((), boot=workers.this_boot()).verdict(now)
    if seen is not None and verdict == "leap":
        raise Refused(clock_seen.told_leap(seen, now))
    if seen is not None and verdict == "back" and not sends:
        raise Refused(clock_seen.told_back(seen, now))


def _tell(job: Job, now: datetime, as_of: date | None) -> int:
    told = 0
    for line in rehearsal.rehearse(job, now, as_of):
        sys.stdout.write(visible(line) + "\n")
        told += 1
    sys.stdout.write(f"{told} in all. Nothing was changed.\n" if told else "Nothing to do. Nothing was changed.\n")
    return 0


def _do(job: Job, now: datetime, as_of: date | None, clock: Callable[[], datetime]) -> int:
    """Make the runs of that day due, also those that were done or missed (a repeat changes nothing), and do them."""
    scenes = rehearsal.scenes(job, now, as_of)
    if any(scene.now > now for scene in scenes):
        raise Refused(f"{as_of} is not over everywhere; a day that has not been can only be told (--dry-run).")
    begun = installation.set_up_at()
    if as_of is not None and begun is not None and all(scene.now < begun for scene in scenes):
        raise Refused(f"{as_of} was over before this store was set up, on {begun:%Y-%m-%d}; name a later day.")
    for scene in scenes:
        run_decisions.make_due(local_actor(), scene.planned(job, now), now)
    timetable = [line for line in TIMETABLE if line.name == job.name]
    log = _Faults()
    worker = Worker(clock=clock, log=log, timetable=timetable, version=__version__)
    try:
        done = worker.run_due(now)
    except StoreUnavailable:
        database.let_go()
        raise
    finally:
        worker.end(now)
    elsewhere = _by_other_workers(job, scenes, log.ran)
    months: set[str] = {scene.period for scene in scenes} if job.name.startswith("invoice-") else set()
    waiting = {state: _waiting(months, state) for state in ("parked", "held")}
    for line in chain(*waiting.values()):
        sys.stderr.write(f"keydesk: {visible(line)}\n")
    left = _left(waiting)
    sys.stdout.write(
        f"{_counted(done.done, 'run')} of {job.name} done, {done.failed} failed{_told(elsewhere)}.{left}\n"
    )
    if done.failed > 0 or any(run.state != "done" for run in elsewhere):
        return 1
    return _IN_PART if left else 0


def _left(waiting: Mapping[str, Sequence[str]]) -> str:
    """How many months wait for a person, to be put after what was done; nothing when none does."""
    told = [f"{len(months):,} {state}" for state, months in waiting.items() if months]
    if not told:
        return ""
    return (
        f" For a person to settle: {_counted(sum(map(len, waiting.values())), 'month')} ({', '.join(told)}); "
        "`keydesk invoice review` lists them."
    )


def _by_other_workers(job: Job, scenes: Sequence[rehearsal.Scene], ran: Collection[str]) -> list[RunRow]:
    """The runs that a worker which is up has taken first, as they are when they have ended or after a minute."""
    wanted = {(scene.zone.name, scene.period) for scene in scenes}
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with session():
            found = [run for run in runs.of_job(job.name, wanted) if runs.name_of(run) not in ran]
        if time.monotonic() > give_up or not any(run.state == "running" for run in found):
            return found
        time.sleep(_LOOK_SECONDS)


def _told(elsewhere: Sequence[RunRow]) -> str:
    """What became of the runs that other workers have taken, to be put after the count of one's own."""
    if not elsewhere:
        return ""
    states = Counter("to be tried again" if run.state == "due" else run.state for run in elsewhere)
    return f"; a worker that is up was quicker with {', '.join(f'{states[state]} {state}' for state in sorted(states))}"


def _waiting(months: AbstractSet[str], state: str) -> list[str]:
    """Whose month could not be rated, or is held for a person, and why; the others have theirs."""
    found = InvoiceMonth.select().where(InvoiceMonth.state == state, InvoiceMonth.month.in_(months))
    word = "waits" if state == "parked" else "is held"
    return [
        f"{month.month} of {month.company.name} {word}: {month.error}"
        for month in found.order_by(InvoiceMonth.month, InvoiceMonth.company)
    ]


def _deliver(
    given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime], server_clock: ServerClock
) -> int:
    if given.dry_run or given.as_of:
        raise Refused("Mails are handed over now or not at all; `keydesk mail list` shows what waits.")
    mail, password = settings.mail, settings.mail_password()
    if not mail.host:
        raise Refused("No relay is set: mails wait in the outbox. Set [mail] host and sender.")
    restored.require_released()
    restored.compare(clock())
    clock_seen.require_near(clock(), server_clock())
    _require_believed(clock(), sends=True)
    sender, relay, total = (
        Sender(mail.sender, mail.reply_to, mail.idempotency_header),
        Relay(mail.per_minute, mail.connections),
        Counter[str](),
    )
    name = workers.register(workers.this_host(), __version__, clock(), kind="job")
    open_session = partial(session_for, mail, password)
    lines, unwritten = Lines(open_session), Unwritten()
    deliver = partial(deliver_slice, open_session, sender, clock, owner=name, relay=relay, log=_Faults())
    try:
        while True:
            outcome = deliver(lines=lines, unwritten=unwritten)
            total += Counter({state: len(getattr(outcome, state)) for state in _BECAME})
            if outcome.stopped or not outcome.dealt_with:
                break
    except StoreUnavailable:
        database.let_go()
        raise
    finally:
        lines.close()
        with session():
            unwritten.write(name)  # what the relay has answered and could not be written down
            ambiguous_mails.bury(name, clock())  # what was under way when it was interrupted
            workers.stop(name, clock())
    due = waiting_mails.due(clock())
    told = [f"{total[state]} {became}" for state, became in _BECAME.items() if total[state]]
    told = told or ["none was handed over" if due else "none was due"]
    if outcome.stopped and due:
        told.append(f"{due:,} {'waits' if due == 1 else 'wait'}")
    sys.stdout.write(f"Mails: {', '.join(told)}; `keydesk mail list` shows the newest.\n")
    if due and mail.per_minute and not outcome.stopped:
        sys.stdout.write(f"{due:,} more wait for the next minute: [mail] per_minute is {mail.per_minute}.\n")
    if outcome.stopped:
        raise Refused("The relay takes no mail now; what is not sent waits in the outbox and nothing is lost.")
    return int(total["failed"] > 0)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class _Faults(JsonLog):
    """For a person who looks on: only what went wrong, as a sentence on standard error."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: set[str] = set()  # the names of the runs that this process has done or tried

    def say(self, fact: str, level: str = "info", **more: Any) -> None:
        """Write one fault."""
        if fact in {"run.done", "run.failed"}:
            self.ran.add(str(more["run"]))
        if level != "info":
            why = more.get("reply") or more.get("error") or more.get("text") or ""
            what = " ".join(str(more[name]) for name in ("run", "mail", "worker") if name in more)
            sys.stderr.write(visible(redact(f"keydesk: {fact.replace('.', ' ')} {what}: {why}")) + "\n")
