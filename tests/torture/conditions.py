"""What all processes of the chaos see at once, in shared memory: the time, the workers' clocks, the relay's mood."""

import mmap
from collections.abc import Callable
from datetime import UTC, datetime


class Conditions:
    """Made before the first fork; written by the controller alone. `slots` is the number of workers."""

    def __init__(self, slots: int, now: datetime) -> None:
        self._cells = memoryview(mmap.mmap(-1, 8 * (3 + slots))).cast("q")
        self.now = now
        self.relay_is_open = True
        self.faults_per_mille = 0

    @property
    def now(self) -> datetime:
        """The true time, UTC."""
        return datetime.fromtimestamp(self._cells[0], UTC)

    @now.setter
    def now(self, at: datetime) -> None:
        self._cells[0] = int(at.timestamp())

    @property
    def relay_is_open(self) -> bool:
        """Whether the relay answers at all."""
        return bool(self._cells[1])

    @relay_is_open.setter
    def relay_is_open(self, is_open: bool) -> None:
        self._cells[1] = int(is_open)

    @property
    def faults_per_mille(self) -> int:
        """How many of a thousand mails meet a fault of the relay."""
        return self._cells[2]

    @faults_per_mille.setter
    def faults_per_mille(self, number: int) -> None:
        self._cells[2] = number

    def set_skew(self, slot: int, seconds: int) -> None:
        """Put one worker's clock ahead of the true time, or behind it."""
        self._cells[3 + slot] = seconds

    def skew(self, slot: int) -> int:
        """By how many seconds one worker's clock is wrong."""
        return self._cells[3 + slot]

    def clock(self, slot: int) -> Callable[[], datetime]:
        """The clock of one worker."""
        return lambda: datetime.fromtimestamp(self._cells[0] + self._cells[3 + slot], UTC)
