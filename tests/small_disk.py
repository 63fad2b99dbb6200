"""A file system of some megabytes, and what fills it; and what is like a full disk for who may make none."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(disk: Path, *, megabytes: int) -> Iterator[Path]:
    """Made at that path, gone at the end; the test is skipped where none may be made."""
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "keydesk-test", disk], check=False
    )
    if made.returncode != 0:
        pytest.skip("A small file system may not be made here (it takes root): the full disk was not tried.")
    yield disk
    subprocess.run(["umount", disk], check=True)


class Ballast:
    """A file that takes all that is free on a disk, until it is thrown off."""

    def __init__(self, disk: Path) -> None:
        self.path = disk / "ballast"

    def load(self, *, leave: int = 0) -> None:
        """Leave so many bytes free."""
        with self.path.open("wb", buffering=0) as file:
            for size in (65536, 4096, 512, 1):
                try:
                    while file.write(b"\0" * size) == size:
                        pass
                except OSError:
                    continue
        os.truncate(self.path, self.path.stat().st_size - leave)

    def throw_off(self) -> None:
        self.path.unlink(missing_ok=True)

    def sentence(self, store: Path) -> str:
        """What is said of a store on that disk."""
        return f"The disk of the store {store} is full; nothing was changed. Free some space and try again."


class Quota:
    """Like a disk that is full for this process alone: it may not write to any file. Python ignores SIGXFSZ."""

    def __init__(self) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def load(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, self._before[1]))

    def throw_off(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)

    def sentence(self, store: Path) -> str:
        """What is said of a store, as SQLite does not tell a limit from a broken disk."""
        return (
            f"The disk of the store {store} takes no more, or is broken; nothing was changed. "
            "Free some space, look at quota and disk, and try again."
        )
