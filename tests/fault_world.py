"""A company whose every day brings a notice, a marker and a mail, and a worker whose beats are called one by one.

A fault is put in after the n-th statement of a day; the beats then come once more. Whatever is broken
in the middle, the books are right in the end.
"""

from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta

from cast import LONG_AGO, NOON, arrive, enable, key_of
from peewee import QueryEvent
from smtp_server import ScriptedServer
from worker_log import Said

from jobs import queues
from jobs.delivery import Sender
from jobs.json_log import JsonLog
from jobs.process import Process
from jobs.schedule import TIMETABLE
from jobs.smtp_session import SmtpSession
from jobs.worker import Worker
from store import database
from store.database import session
from store.tables import Email, Notice, RefreshMarker, Run

DAY = timedelta(days=1)
TODAY = date(2026, 11, 23)
JOBS = tuple(job for job in TIMETABLE if job.name in {"expiry-notices", "sandbox-refresh", "tidying"})

Books = tuple[list[date], list[date], set[str], set[str], set[str]]
"""Of what expiry dates a 14 days' notice is there, of what nights a marker; states of mails and of runs; what the relay
got more than once, by the Message-ID."""


class FaultWorld:
    """Day after day at noon. `relay` takes the mails, over sessions of that kind; `said` is the worker's log."""

    def __init__(self, relay: ScriptedServer, days: int, kind: type[SmtpSession] = SmtpSession) -> None:
        self.days = 0
        self.now = NOON
        self.relay = relay
        self.said = Said()
        sender = Sender("keys@fjord.example", "")
        log = JsonLog(self.said, clock=self.clock)
        mails = queues.mails(lambda: kind("localhost", relay.port, tls="none"), sender, log)
        self.worker = Worker(queues={"mails": mails}, clock=self.clock, log=log, timetable=JOBS, version="0.1.0")
        self.process = Process(self.worker)
        with session():
            people = arrive()
            enable(people.nordlys, people.ase, now=LONG_AGO)
            for number in range(1, days + 1):
                key_of(people.ase, expires_on=TODAY + (number + 14) * DAY, environment="all", now=LONG_AGO)
            Email.delete().execute()
            self.worker.begin(self.now)

    def clock(self) -> datetime:
        return self.now

    def beats(self) -> None:
        """Each beat once, as the heartbeat calls them."""
        for name in ("work", "tick", "mails"):
            self.process.beat(name)

    def next_day(self) -> None:
        """Noon of the day after."""
        self.days += 1
        self.now = NOON + self.days * DAY

    def day_with_a_fault(self, after: int, fault: Callable[[], object], mend: Callable[[], object]) -> bool:
        """The next day, the fault put in after that many statements; False when there were not so many."""
        self.next_day()
        statements = 0

        def count(_: QueryEvent) -> None:
            nonlocal statements
            statements += 1
            if statements == after:
                fault()

        hooks = database.db.query_hooks
        hooks.append(count)
        try:
            self.beats()
        finally:
            hooks.remove(count)
        mend()
        self.now += timedelta(seconds=5)  # no lease has run out
        self.beats()
        return statements >= after

    def books(self) -> Books:
        """As they are."""
        arrived = Counter(str(each.message["Message-ID"]) for each in self.relay.received)
        with session():
            notices = Notice.select().where(Notice.threshold == 14).order_by(Notice.expires_on)
            markers = RefreshMarker.select().order_by(RefreshMarker.night)
            return (
                [notice.expires_on for notice in notices],
                [marker.night for marker in markers],
                {mail.state for mail in Email.select()},
                {run.state for run in Run.select()},
                {reference for reference, number in arrived.items() if number > 1},
            )

    def right_books(self) -> Books:
        """As they must be when each day was lived through once, by a worker that read every answer of the relay."""
        nights = [TODAY + number * DAY for number in range(1, self.days + 1)]
        return [night + 14 * DAY for night in nights], nights, {"sent"}, {"done"}, set()
