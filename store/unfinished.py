"""A private folder for what is not finished: held by a lock while its maker lives, cleared away by the next one if not.

What is put in place by a rename is made in such a folder beside that place. Two makers never meet in one, and what a
killed one has left (a whole store, or rows that are not masked yet) stays until the next one comes at the latest.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from peewee import DatabaseError

from store import unavailable
from store.errors import Refused, StoreUnavailable

_NO_SECOND_NAME = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}  # of a file system without hard links


@contextmanager
def folder(beside: Path, prefix: str) -> Iterator[Path]:
    """A new folder (0700) in `beside`, gone at the end. Those of the same prefix whose makers have died go first."""
    for left in beside.glob(f"{escape(prefix)}*"):
        _clear(left)
    made, lock = _made(beside, prefix)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


@contextmanager
def room(beside: Path, needed: int) -> Iterator[None]:
    """While something of `needed` bytes is made in `beside`: StoreUnavailable names that directory when it is full."""
    try:
        yield
    except (OSError, DatabaseError, StoreUnavailable) as error:
        if not unavailable.has_no_room(error):
            raise
        raise StoreUnavailable(unavailable.of_directory(beside, needed)) from error


def name(finished: Path, target: Path) -> None:
    """Give what was made beside it its name; Refused when something has that name by now."""
    try:
        os.link(finished, target)
    except FileExistsError:
        raise Refused(f"{target} is there already; name another file.") from None
    except OSError as fault:
        if fault.errno not in _NO_SECOND_NAME:
            raise
        finished.rename(target)


def _made(beside: Path, prefix: str) -> tuple[Path, int]:
    while True:  # until nobody has taken it for a dead one's before it was locked
        try:
            made = Path(tempfile.mkdtemp(prefix=prefix, dir=beside))
        except OSError as fault:
            raise OSError(fault.errno, fault.strerror, str(beside)) from None  # not by a name that nobody has given
        try:
            lock = _opened(made)
        except FileNotFoundError:
            continue
        with suppress(OSError):  # a file system without locks, where nobody can clear it either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return made, lock
        os.close(lock)


def _clear(left: Path) -> None:
    """Remove it unless its maker lives, or it is somebody else's."""
    with suppress(OSError):
        lock = _opened(left)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        finally:
            os.close(lock)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
