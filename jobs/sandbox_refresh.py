"""Every night: sandboxes are marked for refreshing, and a configured command refreshes one company after the other.

Without a command the markers wait for whatever pipeline takes them with `keydesk sandbox next`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Final

from jobs import lifeline, refresh_command
from jobs.refresh_command import Command, Ended
from store import database, installation, markers, marking, runs
from store.actors import WORKER
from store.errors import Refused, StoreUnavailable
from store.markers import Claim, LeaseLost
from store.runs import RunRow

_AGAIN_SECONDS: Final = 1
_GIVEN_BACK: Final = {"put back", "not started"}


@dataclass(frozen=True)
class Refreshed:
    """What became of one company's refresh."""

    company: str
    night: date
    state: str  # done, failed; put back: the worker stopped; lost: its claim was over; not started: nobody is to blame
    message: str
    quarantined: bool = False


def mark(run: RunRow, now: datetime) -> Iterator[int]:
    """Mark the sandboxes of the run's zone for its night, some hundred companies at a time."""
    chosen, last = installation.get(), runs.last_done(run)
    yield from marking.create_in_slices(
        run.scope,
        date.fromisoformat(run.period),
        now,
        hour=chosen.refresh_hour,
        window=chosen.refresh_window,
        since=None if last is None else date.fromisoformat(last),
        after=run.cursor or 0,
        go_on=partial(runs.go_on, run),
    )


def refresh_next(
    command: Command,
    clock: Callable[[], datetime],
    owner: str,
    stopping: Callable[[], bool] = lambda: False,
    dated: Callable[[datetime], datetime] = lambda now: now,
) -> Refreshed | None:
    """Take the oldest due marker and run the command for its company; None when there is none.

    The command reads one JSON object on its standard input (company, name, night, attempt); exit status 0 means done,
    and what it said last is kept as the message. While it runs the claim is held by heartbeats. At the time limit its
    whole process group is ended and the refresh has failed; when the worker stops, it is ended too and the marker is
    due again, as it is when the command cannot be started: that is a fault of the settings, not of the refresh. `dated`
    gives the instant by which a claim is held and a report is dated, whatever the clock says by then.
    """
    chosen = installation.read()  # a store that was never set up has no limit, and no marker
    at_once = chosen.refresh_at_once if chosen else 0
    claims = markers.claim(WORKER, 1, command.lease, clock(), owner, at_once=at_once)
    if not claims:
        return None
    claim = claims[0]
    told = {
        "company": claim.company,
        "name": claim.name,
        "night": claim.night.isoformat(),
        "attempt": claim.attempt,
    }

    def right() -> datetime:
        return dated(clock())

    hold = _Hold(command, claim, right)
    ended = refresh_command.run(command, told, hold, stopping)
    return _reported(claim, ended, right, hold, stopping)


def _reported(
    claim: Claim, ended: Ended, clock: Callable[[], datetime], hold: "_Hold", stopping: Callable[[], bool]
) -> Refreshed:
    """Write down how it ended, again and again while the store cannot be had and the claim is held."""
    asked_before = False
    while True:
        try:
            quarantined = _report(claim, ended, clock())
        except Refused as refused:
            if asked_before and ended.state in _GIVEN_BACK:  # the store has heard it, and its answer was lost
                return Refreshed(claim.company, claim.night, ended.state, ended.message)
            return Refreshed(claim.company, claim.night, "lost", str(refused))
        except StoreUnavailable:
            if stopping() or lifeline.seconds() >= hold.until:
                raise  # the claim runs out, and somebody refreshes it once more
            database.let_go()
            asked_before = True
            time.sleep(_AGAIN_SECONDS)
        else:
            return Refreshed(claim.company, claim.night, ended.state, ended.message, quarantined)


def _report(claim: Claim, ended: Ended, now: datetime) -> bool:
    """Write down how it ended; whether the sandbox is in quarantine for it.

    Done and failed, said twice, are the same as once; a claim that was given back is no claim any more.
    """
    if ended.state in _GIVEN_BACK:
        markers.put_back(WORKER, claim.token)
    elif ended.state == "done":
        markers.done(WORKER, claim.token, ended.message, now)
    else:
        return markers.fail(WORKER, claim.token, ended.message, now).quarantined
    return False


class _Hold:
    """Holds the claim for another lease: whether it is still ours, None when the store cannot say."""

    def __init__(self, command: Command, claim: Claim, clock: Callable[[], datetime]) -> None:
        self._command, self._claim, self._clock = command, claim, clock
        self.until = lifeline.seconds() + command.lease.total_seconds()  # how long a report may find it held

    def __call__(self) -> bool | None:
        begun = lifeline.seconds()
        try:
            markers.heartbeat(WORKER, self._claim.token, self._command.lease, self._clock())
        except LeaseLost:
            return False
        except StoreUnavailable:
            database.let_go()
            return None
        self.until = begun + self._command.lease.total_seconds()
        return True
