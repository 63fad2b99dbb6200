"""Who acts in a scenario: a worker that makes one pass, a pipeline, a letterbox that is a relay, a person."""

import hashlib
import io
import random
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default

from jobs.delivery import Sender
from jobs.json_log import JsonLog
from jobs.queues import Queue, mails
from jobs.schedule import TIMETABLE
from jobs.smtp_answers import Delivered
from jobs.smtp_session import Conversation
from jobs.worker import Worker
from store import database
from torture.crash_points import Restart, World

NOW = datetime(2026, 12, 4, 12, 5, tzinfo=UTC)  # a Friday in Oslo, when November's invoices become final
LATER = NOW + timedelta(minutes=31)  # every lease is over: a run's of 5 minutes, a sandbox's of 15, a mail's of 30
LETTERS = "letters"

Queues = Callable[[World], dict[str, Queue]]


def no_queues(_world: World) -> dict[str, Queue]:
    return {}


class Letterbox:
    """A relay that takes everything: each body that reaches it is a line in a file: to whom, about what, a hash."""

    def __init__(self, world: World) -> None:
        self.world = world

    def hand_over(self, _sender: str, recipient: str, raw: bytes) -> Conversation:
        yield "asked"
        self.world.points.reach("the body goes")
        with (self.world.folder / LETTERS).open("a", encoding="utf-8") as file:
            letter = message_from_bytes(raw, policy=default)
            file.write(f"{recipient} | {letter['Subject']} | {hashlib.sha256(raw).hexdigest()[:12]}\n")
        yield "gone"
        self.world.points.reach("the answer comes")
        return Delivered("250 taken")

    def heard_on(self) -> None:
        """Nothing of it is waited for."""


def letterbox(world: World, connections: int = 1) -> dict[str, Queue]:
    @contextmanager
    def session() -> Iterator[Letterbox]:
        yield Letterbox(world)

    sender = Sender("keys@fjord.example", "help@fjord.example")
    return {"mail": mails(session, sender, connections=connections)}


def side_by_side(world: World) -> dict[str, Queue]:
    return letterbox(world, connections=2)


def a_pass(world: World, jobs: Sequence[str], queues: Queues, now: datetime) -> None:
    """One worker does what is due of some jobs, and stops."""
    timetable = [job for job in TIMETABLE if job.name in jobs]
    worker = Worker(queues=queues(world), log=JsonLog(io.StringIO()), timetable=timetable, version="0.1.0")
    with database.session():
        worker.once(now)
        worker.end(now)


def passing(*jobs: str, queues: Queues = no_queues) -> Callable[[World], None]:
    return lambda world: a_pass(world, jobs, queues, NOW)


def workers_after(*jobs: str, queues: Queues = no_queues) -> tuple[Restart, Restart]:
    """Another worker on the same machine, at once; one on another machine, when every lease is over."""

    def elsewhere(world: World) -> None:
        socket.gethostname = lambda: "elsewhere"
        a_pass(world, jobs, queues, LATER)

    return (
        Restart("a worker on the same machine, at once", lambda world: a_pass(world, jobs, queues, NOW)),
        Restart("a worker on another machine, when leases are over", elsewhere, same_instant=False),
    )


@contextmanager
def the_same_secrets() -> Iterator[None]:
    """What is random is the same in every process, so that two stores can be compared whole."""
    stream = random.Random(20261123)
    urandom, random._urandom = random._urandom, stream.randbytes
    try:
        yield
    finally:
        random._urandom = urandom


def by_person(act: Callable[[World], None]) -> Callable[[World], None]:
    def acted(world: World) -> None:
        with the_same_secrets(), database.session():
            act(world)

    return acted


def unless(done: Callable[[], bool], act: Callable[[World], None]) -> tuple[Restart, ...]:
    """The person looks, and does it again where it was not done."""

    def looked(world: World) -> None:
        with database.session():
            if done():
                return
        by_person(act)(world)

    return (Restart("who did it looks, and does it again", looked),)
