"""Whether the worker is well, as systemd is told: its beats move on, its tick comes, and the store takes it.

A store that answers with an error is not the worker's fault, and no reason to be started anew. That it has taken no
tick for a quarter of an hour is one: a changed password or a file that was replaced is noticed by a new process only.
"""

import time
from collections.abc import Callable

TICK_SECONDS = 10
FROZEN_AFTER = 3 * TICK_SECONDS  # seconds without the end of a tick, good or bad
SILENT_AFTER = 15 * 60  # seconds without a tick that the store has taken
# Seconds that one piece of work may take: longer than the longest conversation about one mail with what comes before
# and after it, shorter than the lease of a mail.
STUCK_AFTER = 20 * 60
NEVER_BEGUN_AFTER = 5 * 60  # seconds without a beat that is due every few seconds; a clock that steps costs one of 30
_SHOWN_AFTER = 2  # seconds; what is shorter is not worth a word


class Watch:
    """What the beats have last said. Every instant is one of `monotonic`, in seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._ticked = self._taken = monotonic()
        self._refusal = ""
        self._begun: dict[str, float] = {}
        self._moved: dict[str, float] = {}
        self._ended: dict[str, float] = {}  # every beat that is expected

    @property
    def busy(self) -> list[str]:
        """The beats that are in the middle of something."""
        return sorted(self._moved.copy())

    def expects(self, beat: str) -> None:
        """A beat is to come every few seconds from now on, unless it is in the middle of something."""
        self._ended[beat] = self._now()

    def begins(self, beat: str) -> None:
        """A beat has begun."""
        self._begun[beat] = self._moved[beat] = self._now()

    def moves(self, beat: str) -> None:
        """A beat has come further: a slice is done, or it has asked whether to stop."""
        if beat in self._moved:
            self._moved[beat] = self._now()

    def ends(self, beat: str, error: str = "") -> None:
        """A beat has ended, with an error or without. That the tick ended without means that the store has taken it."""
        self._ended[beat] = self._now()  # first: it is in the middle of something, or has just ended
        self._moved.pop(beat, None)
        self._begun.pop(beat, None)
        if beat == "tick":
            self._ticked, self._refusal = self._now(), error
            if not error:
                self._taken = self._ticked

    def fault(self) -> str | None:
        """Why this worker should be started anew; None while it is well."""
        now = self._now()
        for beat, moved in sorted(self._moved.copy().items()):
            if now - moved > STUCK_AFTER:
                return f"Stuck in {beat} for {_minutes(now - moved)}"
        for beat, ended in sorted(self._ended.copy().items()):
            if beat not in self._moved and now - ended > NEVER_BEGUN_AFTER:
                return f"No beat of {beat} has begun for {_minutes(now - ended)}"
        if now - self._ticked >= FROZEN_AFTER:
            return f"No tick for {round(now - self._ticked)} s"
        if now - self._taken >= SILENT_AFTER:
            return f"The store has taken no tick for {_minutes(now - self._taken)}: {self._refusal}"
        return None

    def status(self) -> str:
        """One line for people."""
        now = self._now()
        fault = self.fault()
        if fault is not None:
            return fault
        if self._refusal:
            return f"Waiting for the store for {_minutes(now - self._taken)}: {self._refusal}"
        working = [beat for beat, begun in sorted(self._begun.copy().items()) if now - begun > _SHOWN_AFTER]
        return f"Working: {', '.join(working)}" if working else "Waiting for what falls due"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60} min"
