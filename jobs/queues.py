"""The two queues that a worker empties between its runs: mails that are due, and sandboxes to be refreshed."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from jobs.delivery import Relay, Sender, deliver_slice
from jobs.json_log import JsonLog
from jobs.refresh_command import Command
from jobs.sandbox_refresh import refresh_next
from jobs.side_by_side import Lines, SessionFactory

_PAUSE = timedelta(minutes=5)

Clock = Callable[[], datetime]

Queue = Callable[[Clock, str, Callable[[], bool]], int]
"""Takes a bounded slice as the named owner, asking now and then whether to stop; 0 when nothing is to be done."""


def mails(
    open_session: SessionFactory | None,
    sender: Sender,
    log: JsonLog | None = None,
    *,
    per_minute: int = 0,
    connections: int = 1,
) -> Queue:
    """Hand over what the outbox holds, so many a minute over so many connections. Without a session the mails wait."""
    relay = Relay(per_minute, connections)
    lines = Lines(open_session) if open_session is not None else None

    def deliver(clock: Clock, owner: str, stopping: Callable[[], bool]) -> int:
        goes_on = False
        try:
            outcome = deliver_slice(
                open_session, sender, clock, owner=owner, relay=relay, log=log, stopping=stopping, lines=lines
            )
            taken = 0 if outcome.stopped or relay.is_slowed else outcome.dealt_with  # 0: until the next beat
            goes_on = taken > 0 and not stopping()
        finally:
            if lines is not None and not goes_on:
                lines.close()
        return taken

    return deliver


def refreshes(command: Command, log: JsonLog | None = None) -> Queue:
    """Run the command for one company after the other; one that cannot be started is left alone for some minutes."""
    broken_at: datetime | None = None

    def refresh(clock: Clock, owner: str, stopping: Callable[[], bool]) -> int:
        nonlocal broken_at
        if broken_at is not None and timedelta() <= clock() - broken_at < _PAUSE:
            return 0
        ended = refresh_next(command, clock, owner, stopping)
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
