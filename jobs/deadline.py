"""Ends what takes too long, from another thread: a socket's own timeout starts anew with every byte."""

import threading
import time
from collections.abc import Callable
from typing import Final

_LOOKS_EVERY: Final = 1.0  # seconds; a deadline that is nearer wakes the thread
_AGAIN_AFTER: Final = 0.1


class Deadline:
    """Calls `expired` in its thread when the time that was set has passed, and again until it is lifted.

    What was begun anew at that very moment ends as well. Set, lifted and set again all day long.
    One thread, begun with the first deadline: a thread for each mail would cost more than the mail.
    """

    def __init__(self, expired: Callable[[], None]) -> None:
        self.has_passed = False
        self._expired = expired
        self._changed = threading.Condition()
        self._at = float("inf")
        self._closed = False
        self._thread: threading.Thread | None = None

    def set(self, seconds: float) -> None:
        """The time from now on, instead of what was set before."""
        with self._changed:
            self._at = time.monotonic() + seconds
            self.has_passed = False
            if self._thread is None:
                self._closed = False
                self._thread = threading.Thread(target=self._watch, name="deadline", daemon=True)
                self._thread.start()
            elif seconds < _LOOKS_EVERY:
                self._changed.notify()

    def lift(self) -> None:
        """No deadline until the next one is set."""
        with self._changed:
            self._at = float("inf")

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            thread, self._thread, self._closed = self._thread, None, True
            self._changed.notify()
        if thread is not None:
            thread.join()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                left = self._at - time.monotonic()
                if left <= 0:
                    self.has_passed = True
                    self._expired()
                    left = _AGAIN_AFTER
                self._changed.wait(min(_LOOKS_EVERY, left))
