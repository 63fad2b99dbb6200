"""A worker of the chaos: the product's own, in a forked process, with a clock that others drive and a fuse.

The controller orders one pass after the other; the process answers when the pass has ended, and before it stops itself.
"""

import gc
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple

from hooked_hand_over import around_the_record

from jobs.delivery import Sender
from jobs.json_log import JsonLog
from jobs.queues import Queue, mails
from jobs.smtp_session import Conversation, SmtpSession, Timeouts
from jobs.worker import Worker
from store import database, markers, workers
from store.actors import WORKER
from store.errors import Refused
from store.workers import Host
from torture.conditions import Conditions
from torture.fault_points import FaultPoints

# Of a relay that is at hand; `dot` is what an answer that never comes costs, while the other workers wait for the step
# to end. An answer that was only slow is told apart from it (post_office.py).
TIMEOUTS = Timeouts(connect=10, command=10, dot=0.2, offer=20)
REFRESH_LEASE = timedelta(minutes=60)
LOCK_WAIT_SECONDS = 1
_IN_HAND = ("before the body", "handed over", "answered")
_MOMENTS = (*_IN_HAND, "refreshing")
_ID = re.compile(rb"(?mi)^Message-ID:\s*<([^>]+)>")

Flaw = Callable[[], None]
"""Breaks a rule of the product in this process, to see whether that is noticed."""


class Order(NamedTuple):
    """Do one pass, with a fuse or without; or `quit`."""

    word: str  # pass, quit
    fuse: str = ""  # kill, stop ("in hand" behind it: only while a mail is handed over), out
    points: int = 0


@dataclass(frozen=True)
class Place:
    """Where a worker lives."""

    slot: int
    store: str
    folder: Path
    port: int
    conditions: Conditions
    own_machine: bool  # of each worker, as on PostgreSQL
    flaw: Flaw | None = None

    @property
    def boot(self) -> str:
        """Of the machine that it is on."""
        return f"boot-{self.slot}" if self.own_machine else workers.this_host().boot_id

    def file(self, name: str) -> Path:
        """One of the files that the workers leave."""
        return self.folder / f"{name}-{self.slot}"


class Fuse(FaultPoints):
    """Ends or stops the process at the n-th point from when it was lit; a stop waits until no transaction is open."""

    def __init__(self, blown: Callable[[str], None]) -> None:
        super().__init__()
        self.left, self.end, self.blown = 0, "", blown

    def light(self, end: str, points: int) -> None:
        """`end` is an order's fuse."""
        self.left, self.end = points, "" if end == "out" else end

    @property
    def is_watching(self) -> bool:
        """Only while it is lit: SQLite would write out each statement with its values, the bytes of mails as well."""
        return bool(self.end)

    def reach(self, what: str) -> None:
        """One of the points: before a statement, or a moment of handing a mail over."""
        if not self.end or (self.end.endswith("in hand") and what not in _IN_HAND):
            return
        self.left -= 1
        if self.left > 0 or (
            self.end.startswith("stop") and (database.db.in_transaction() or not _holds_nothing(what))
        ):
            return
        end, self.end = self.end.split()[0], ""
        self.blown(end)
        os.kill(os.getpid(), signal.SIGKILL if end == "kill" else signal.SIGSTOP)


def _holds_nothing(what: str) -> bool:
    """Whether nobody else waits for this process at that point: it reads, or is between two statements."""
    return what.lstrip().upper().startswith("SELECT") or what in _MOMENTS


@dataclass
class Hand:
    """The mails that a worker has between hand-over and recorded answer, by their Message-IDs."""

    mails: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # for by the relay, and not recorded yet

    def takes_what_was_asked(self) -> None:
        """One transaction records that these go, and what became of those before them."""
        if self.asked:
            self.mails[:], self.asked = self.asked, []

    def is_empty(self) -> None:
        """A slice has ended, and all of it is recorded."""
        self.mails.clear()
        self.asked.clear()


class _Session(SmtpSession):
    """Knows which mails are between hand-over and recorded answer, and lets the fuse burn there."""

    def __init__(self, port: int, fuse: Fuse, hand: Hand) -> None:
        super().__init__("127.0.0.1", port, tls="none", timeouts=TIMEOUTS)
        self.fuse, self.hand = fuse, hand

    def hand_over(self, sender: str, recipient: str, raw: bytes) -> Conversation:
        found = _ID.search(raw)

        def asked() -> None:
            self.fuse.reach("before the body")
            self.hand.asked.append(found[1].decode() if found else "")

        def recorded() -> None:
            self.hand.takes_what_was_asked()
            self.fuse.reach("handed over")

        answer = yield from around_the_record(super().hand_over(sender, recipient, raw), asked, recorded)
        self.fuse.reach("answered")
        return answer


def pipeline(place: Place, fuse: Fuse) -> Queue:
    """What refreshes sandboxes, one marker after the other; one in 25 fails."""

    def refresh(clock: Callable[[], datetime], owner: str, _stopping: Callable[[], bool]) -> int:
        claims = markers.claim(WORKER, 5, REFRESH_LEASE, clock(), owner)
        for claim in claims:
            fuse.reach("refreshing")
            fails = (claim.night.toordinal() + int(claim.company[1:])) % 25 == 0
            with suppress(Refused):  # the lease was over
                (markers.fail if fails else markers.done)(WORKER, claim.token, "told by the pipeline", clock())
                if not fails:
                    with place.file("refreshed").open("a", encoding="ascii") as file:
                        file.write(f"{claim.company} {claim.night}\n")
        return len(claims)

    return refresh


def live(place: Place, orders: int, answers: int) -> None:
    """Do what is ordered until the orders end; never returns."""
    status = 1
    gc.freeze()  # as a worker does that stays; what the controller knows of the world is not looked through again here
    try:
        with place.file("log").open("a", encoding="ascii", buffering=1) as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            _obey(place, os.fdopen(orders, "r", encoding="ascii"), answers, log)
        status = 0
    finally:
        sys.stdout.flush()
        os._exit(status)


def _obey(place: Place, orders: IO[str], answers: int, log: IO[str]) -> None:
    hand = Hand()

    def blown(end: str) -> None:
        with place.file("blown").open("a", encoding="ascii") as file:
            file.write(json.dumps({"end": end, "in_hand": hand.mails}) + "\n")
        if end == "stop":
            _answer(answers, stops=True)

    fuse, clock = Fuse(blown), place.conditions.clock(place.slot)
    if place.own_machine:
        workers.this_host = lambda: Host(f"machine-{place.slot}", place.boot)
    if place.flaw is not None:
        place.flaw()
    database.bind(place.store, lock_wait_seconds=LOCK_WAIT_SECONDS)
    said = JsonLog(log, clock)
    sender = Sender("keys@fjord.example", "help@fjord.example")
    queue = mails(lambda: _Session(place.port, fuse, hand), sender, said, connections=3)

    def post(*given: Any) -> int:
        try:
            return queue(*given)
        finally:
            hand.is_empty()

    worker = Worker(
        queues={"mails": post, "refreshes": pipeline(place, fuse)},
        log=said,
        clock=clock,
        version="0.1.0",
        server_clock=lambda: place.conditions.now if place.own_machine else None,
        elapsed=lambda: place.conditions.now.timestamp(),  # noqa: PLW0108 - anew each time; all days pass in minutes
        boot=place.boot,
    )
    with fuse.watching(files=False):
        for line in orders:
            order = Order(*json.loads(line))
            if order.fuse:
                fuse.light(order.fuse, order.points)
            if order.word == "quit":
                fuse.light("out", 0)
                worker.end(clock())
                return
            _answer(answers, **_passed(worker, clock, said), lit=bool(fuse.end))


def _passed(worker: Worker, clock: Callable[[], datetime], said: JsonLog) -> dict[str, Any]:
    try:
        done = worker.once(clock(), clock)
    except Exception as error:  # noqa: BLE001 - as the beat does, which tries again
        said.failure("pass.failed", error)
        return {"failed": type(error).__name__}
    return {"failed": "run" if done.failed else "", "verdict": done.verdict, "done": done.done, "taken": done.taken}


def _answer(answers: int, **told: Any) -> None:
    os.write(answers, json.dumps(told).encode() + b"\n")
