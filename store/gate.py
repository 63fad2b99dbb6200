"""The write gate: SQLite's writers stand in line, so that a batch never starves a person.

SQLite's busy handler sleeps and polls; it does not queue, and a batch that commits without pause keeps others out for
seconds. `flock` queues, and the kernel opens it again when its holder is killed.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock, Thread


class GateClosedError(Exception):
    """Another process of Keydesk has held the gate for all the time that one was ready to wait."""


class WriteGate:
    """An exclusive lock on a file beside the store. One holder at a time over all processes and threads."""

    def __init__(self, path: Path, wait_seconds: float) -> None:
        self.path = path
        self.wait_seconds = wait_seconds

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stand in line for the gate and hold it. GateClosedError when it was not one's turn in time."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _Turn(descriptor).wait(self.wait_seconds)
        except BaseException:
            os.close(descriptor)
            raise
        try:
            yield
        finally:
            os.close(descriptor)


class _Turn:
    """A place in the line. The kernel knows no end of waiting, so a thread waits there and can be left behind."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._come = Event()
        self._lock = Lock()
        self._left = False

    def wait(self, seconds: float) -> None:
        """Until the lock is ours. Otherwise the descriptor is closed, now or when the thread comes to the gate."""
        Thread(target=self._stand_in_line, name="write-gate", daemon=True).start()
        try:
            in_time = self._come.wait(seconds)
        except BaseException:
            if not self._leave():
                os.close(self._descriptor)
            raise
        if not in_time and self._leave():
            raise GateClosedError

    def _stand_in_line(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        with self._lock:
            if self._left:
                os.close(self._descriptor)
            self._come.set()

    def _leave(self) -> bool:
        """Give the place up; whether that was still in time, so that nothing is held."""
        with self._lock:
            self._left = not self._come.is_set()
            return self._left
