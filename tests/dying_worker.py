"""A worker process that hands mails over and is killed at one moment of it.

python dying_worker.py LOCATION PORT MOMENT     # before, handed-over or answered
"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from jobs.delivery import Relay, Sender, deliver_slice
from jobs.smtp_session import Answer, SmtpSession
from store import database

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Dying(SmtpSession):
    moment = ""

    def deliver(self, sender: str, recipient: str, raw: bytes, before_body: Callable[[], None]) -> Answer:
        def dying() -> None:
            self.die_at("before")
            before_body()
            self.die_at("handed-over")

        answer = super().deliver(sender, recipient, raw, dying)
        self.die_at("answered")
        return answer

    def die_at(self, moment: str) -> None:
        if moment == self.moment:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    location, port, Dying.moment = sys.argv[1:]
    database.bind(location)
    with database.session():
        deliver_slice(
            lambda: Dying("localhost", int(port), tls="none"),
            Sender("keys@fjord.example", ""),
            lambda: NOON,
            owner="killed",
            relay=Relay(),
        )
