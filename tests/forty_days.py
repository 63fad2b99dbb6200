"""A worker that lives through forty days by a clock of its own, three hours a step, from where the store was left.

python forty_days.py STORE MAILS [DIE_AFTER]      # killed by itself after so many SQL statements

Each mail that is handed over becomes a line in the file MAILS: its Message-ID.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

from worker_world import START

from jobs.delivery import Sender
from jobs.json_log import JsonLog
from jobs.queues import mails
from jobs.smtp_answers import Delivered
from jobs.worker import Worker, simulate
from store import clock_seen, database

STEP = timedelta(hours=3)
END = START + timedelta(days=40)


class Letterbox:
    """A mail server that takes everything."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def deliver(self, _sender: str, _recipient: str, raw: bytes, before_body: Callable[[], None]) -> Delivered:
        before_body()
        with self.path.open("a", encoding="ascii") as file:
            file.write(f"{message_from_bytes(raw)['Message-ID']}\n")
        return Delivered("250 taken")


def live(mail_file: Path, log: JsonLog, start: datetime, span: timedelta) -> None:
    @contextmanager
    def session() -> Iterator[Letterbox]:
        yield Letterbox(mail_file)

    post = mails(session, Sender("keys@fjord.example", "help@fjord.example"))
    simulate(Worker(queues={"mail": post}, log=log, version="0.1.0"), start, span, STEP)


def die_after(statements: int) -> None:
    """Kill this process in the middle of whatever it does by then."""
    backend: Any = database._proxy.obj
    execute, left = backend.execute_sql, [statements]

    def counted(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(*arguments, **named)

    backend.execute_sql = counted


if __name__ == "__main__":
    database.bind(sys.argv[1])
    if len(sys.argv) > 3:
        die_after(int(sys.argv[3]))
    with database.session():
        begin = clock_seen.latest() or START
        live(Path(sys.argv[2]), JsonLog(), begin, END - begin)
