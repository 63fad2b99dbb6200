"""A worker that lives through forty days by a clock of its own, six hours a step.

Each mail that is handed over becomes a line in a file: its Message-ID.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from email import message_from_bytes
from pathlib import Path

from worker_world import START

from jobs.delivery import Sender
from jobs.json_log import JsonLog
from jobs.queues import mails
from jobs.smtp_answers import Delivered
from jobs.smtp_session import Conversation
from jobs.worker import Worker, simulate

STEP = timedelta(hours=6)
END = START + timedelta(days=40)


class Letterbox:
    """A mail server that takes everything."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def hand_over(self, _sender: str, _recipient: str, raw: bytes) -> Conversation:
        yield "asked"
        with self.path.open("a", encoding="ascii") as file:
            file.write(f"{message_from_bytes(raw)['Message-ID']}\n")
        return Delivered("250 taken")

    def heard_on(self) -> None:
        """Nothing of it is waited for."""


def live(mail_file: Path, log: JsonLog, start: datetime, span: timedelta) -> None:
    @contextmanager
    def session() -> Iterator[Letterbox]:
        yield Letterbox(mail_file)

    post = mails(session, Sender("keys@fjord.example", "help@fjord.example"))
    simulate(Worker(queues={"mail": post}, log=log, version="0.1.0"), start, span, STEP)
