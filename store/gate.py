"""The write gate: SQLite's writers stand in line, so that a batch never starves a person.

SQLite's busy handler sleeps and polls; it does not queue, and a batch that commits without pause keeps others out for
seconds. `flock` wakes who waits, and the kernel opens it again when its holder is killed. But whoever was woken must
still be quicker than the batch, which is back at once: so there is a turnstile before the gate. Who waits at the gate
keeps it shut; the batch finds it so, and stands in line behind.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock, Thread

from store import beside


class GateClosedError(Exception):
    """Another process of Keydesk has held the gate for all the time that one was ready to wait."""


class GateMissingError(Exception):
    """The gate's file cannot be opened, made or locked; `fault` says why."""

    def __init__(self, fault: OSError) -> None:
        self.fault = fault
        super().__init__(str(fault))


class WriteGate:
    """An exclusive lock on a file beside the store. One holder at a time over all processes and threads.

    The file is named as the store, and `.gate`.
    """

    def __init__(self, path: Path, wait_seconds: float) -> None:
        self.path = path
        self.wait_seconds = wait_seconds
        self._given_up: list[_Place] = []  # the next writer takes one up, so that a hanging holder costs few of them

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stand in line for the gate and hold it. GateClosedError when it was not one's turn in time.

        GateMissingError when there can be no gate: the disk is full, or the directory is somebody else's.
        """
        descriptor = self._at_once()
        if descriptor is None:
            descriptor = self._in_line()
        try:
            yield
        finally:
            os.close(descriptor)

    def _at_once(self) -> int | None:
        descriptor = _opened(self.path)
        try:
            _shut_turnstile(descriptor, wait=False)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            os.close(descriptor)
            if isinstance(fault, BlockingIOError):
                return None
            raise GateMissingError(fault) from fault
        _open_turnstile(descriptor)
        return descriptor

    def _in_line(self) -> int:
        place = self._place()
        try:
            place.came.wait(self.wait_seconds)
        except BaseException:
            if not place.give_up():
                os.close(place.descriptor)
            raise
        if place.give_up():
            self._given_up.append(place)
            raise GateClosedError
        if place.fault is not None:
            os.close(place.descriptor)
            raise GateMissingError(place.fault)
        return place.descriptor

    def _place(self) -> "_Place":
        while self._given_up:
            try:
                place = self._given_up.pop()
            except IndexError:  # another thread was quicker
                break
            if place.take_up():
                return place
        return _Place(self.path)


def _opened(path: Path) -> int:
    try:
        return beside.opened(path, os.O_RDWR, store=path.with_suffix(""))
    except OSError as fault:
        raise GateMissingError(fault) from fault


# A lock on the file's first byte, of the open file and not of the process: closing the file opens it, as it does the
# gate. A system that has no such locks has no turnstile.
_TURNSTILE = (os.SEEK_SET, 0, 1, 0)


def _shut_turnstile(descriptor: int, *, wait: bool) -> None:
    """BlockingIOError where somebody stands at the gate and one does not wait."""
    if hasattr(fcntl, "F_OFD_SETLK"):
        how = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
        fcntl.fcntl(descriptor, how, struct.pack(_LOCK, fcntl.F_WRLCK, *_TURNSTILE))


def _open_turnstile(descriptor: int) -> None:
    if hasattr(fcntl, "F_OFD_SETLK"):
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_LOCK, fcntl.F_UNLCK, *_TURNSTILE))


_LOCK = "hhqqi4x"  # type, whence, start, length, process


class _Place:
    """A place in the line. The kernel knows no end of waiting, so a thread waits there and can be left behind."""

    def __init__(self, path: Path) -> None:
        self.descriptor = _opened(path)
        self.came = Event()
        self.fault: OSError | None = None  # the kernel has no lock for it; known once it has come
        self._wanted = True
        self._lock = Lock()
        Thread(target=self._wait, name="write-gate", daemon=True).start()

    def _wait(self) -> None:
        try:
            _shut_turnstile(self.descriptor, wait=True)
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            _open_turnstile(self.descriptor)
        except OSError as fault:
            self.fault = fault
        with self._lock:
            if not self._wanted:
                os.close(self.descriptor)
            self.came.set()

    def give_up(self) -> bool:
        """Whether its turn had not come, so that nothing is held; when it comes, it is passed on."""
        with self._lock:
            self._wanted = self.came.is_set()
            return not self._wanted

    def take_up(self) -> bool:
        """Want a place again that was given up; whether its turn has still to come."""
        with self._lock:
            self._wanted = not self.came.is_set()
            return self._wanted
