"""The two queues that a worker empties between its runs: mails that are due, and sandboxes to be refreshed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobs.delivery import Relay, Sender, deliver_slice
from jobs.json_log import JsonLog
from jobs.refresh_command import Command
from jobs.sandbox_refresh import refresh_next
from jobs.side_by_side import Lines, SessionFactory
from jobs.unwritten import Unwritten
from store import ambiguous_mails
from store.database import session

_PAUSE = timedelta(minutes=5)

Clock = Callable[[], datetime]

Queue = Callable[[Clock, str, Callable[[], bool]], int]
"""Takes a bounded slice as the named owner, asking now and then whether to stop; 0 when nothing is to be done."""


@dataclass
class Mails:
    """The queue of the mails that are due. It remembers from one slice to the next what the relay has answered."""

    open_session: SessionFactory | None
    sender: Sender
    relay: Relay
    log: JsonLog | None = None

    def __post_init__(self) -> None:
        self._lines = Lines(self.open_session) if self.open_session is not None else None
        self._unwritten = Unwritten()
        self._is_cut_short = False  # the last slice has ended with an error, or not yet, and may have left a claim

    def __call__(self, clock: Clock, owner: str, stopping: Callable[[], bool]) -> int:
        """Hand over one slice."""
        self.settle(owner, clock())
        self._is_cut_short, goes_on = True, False
        try:
            outcome = deliver_slice(
                self.open_session,
                self.sender,
                clock,
                owner=owner,
                relay=self.relay,
                log=self.log,
                stopping=stopping,
                lines=self._lines,
                unwritten=self._unwritten,
            )
            taken = 0 if outcome.stopped or self.relay.is_slowed else outcome.dealt_with  # 0: until the next beat
            goes_on = taken > 0 and not stopping()
        finally:
            if self._lines is not None and not goes_on:
                self._lines.close()
        self._is_cut_short = False
        return taken

    def settle(self, owner: str, now: datetime) -> None:
        """After a slice that was cut short: tell the store what is known of its mails, then take the owner for dead.

        For the next slice, and for a worker that ends. After any other slice there is nothing to do.
        """
        if not self._is_cut_short:
            return
        with session():
            for email_id in sorted(self._unwritten.write(owner)):
                if self.log is not None:
                    self.log.say("mail.claim-lost", "warning", mail=email_id)
            ambiguous_mails.bury(owner, now)
        self._is_cut_short = False


def mails(
    open_session: SessionFactory | None,
    sender: Sender,
    log: JsonLog | None = None,
    *,
    per_minute: int = 0,
    connections: int = 1,
) -> Mails:
    """Hand over what the outbox holds, so many a minute over so many connections. Without a session the mails wait."""
    return Mails(open_session, sender, Relay(per_minute, connections), log)


def refreshes(
    command: Command, log: JsonLog | None = None, dated: Callable[[datetime], datetime] = lambda now: now
) -> Queue:
    """Run the command for one company after the other; one that cannot be started is left alone for some minutes.

    `dated` puts right the instant of a clock that has gone wrong while the command ran.
    """
    broken_at: datetime | None = None

    def refresh(clock: Clock, owner: str, stopping: Callable[[], bool]) -> int:
        nonlocal broken_at
        if broken_at is not None and timedelta() <= clock() - broken_at < _PAUSE:
            return 0
        ended = refresh_next(command, clock, owner, stopping, dated)
        broken_at = clock() if ended is not None and ended.state == "not started" else None
        if ended is not None and log is not None:
            facts: dict[str, Any] = {"company": ended.company, "night": ended.night, "state": ended.state}
            if ended.state == "done":
                log.say("sandbox.refreshed", **facts)
            else:
                level = "error" if broken_at else "warning"
                log.say("sandbox.refreshed", level, **facts, quarantined=ended.quarantined, text=ended.message)
        return int(ended is not None and broken_at is None)

    return refresh
