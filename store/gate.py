"""The write gate: SQLite's writers stand in line, so that a batch never starves a person.

SQLite's busy handler sleeps and polls; it does not queue, and a batch that commits without pause keeps others out for
seconds. `flock` queues, and the kernel opens it again when its holder is killed.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class WriteGate:
    """An exclusive lock on a file beside the store. One holder at a time over all processes and threads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait in line for the gate and hold it."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
