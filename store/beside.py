"""What Keydesk makes beside a SQLite store belongs to the store's owner, also when root makes it."""

import os
from contextlib import suppress
from pathlib import Path


def opened(path: Path, how: int, store: Path) -> int:
    """A descriptor of a file that only its owner uses (0600), made where it is not there; `how` are the flags of open.

    What root makes is given away, as SQLite gives away its logs; where there is no store yet, to the owner of its
    directory. Only what was made just now: whatever else has that name may lead to a file of root's.
    """
    with suppress(FileNotFoundError):
        return os.open(path, how | os.O_CLOEXEC)
    try:
        descriptor = os.open(path, how | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:  # made by another process meanwhile, or a link to where nothing is yet
        return os.open(path, how | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        model = (store if store.exists() else store.parent).stat()
        with suppress(PermissionError):  # a root that may not, as in some containers
            os.fchown(descriptor, model.st_uid, model.st_gid)
    return descriptor
