"""Which of a SQLite store's files this account may not use, and what to do about it.

SQLite says of the whole store that it is read-only, also where its file is well and only something beside it is not.
"""

import os
import pwd
import stat
from collections.abc import Sequence
from pathlib import Path

_BESIDE = ("-wal", "-shm", "-journal", ".gate")


def told(store: Path) -> str | None:
    """A sentence that names the files; None when no owner and no mode is to blame, as on a disk that is read-only."""
    try:
        if os.statvfs(store).f_flag & os.ST_RDONLY:
            return None
    except OSError:  # it is not there
        return None
    if _is_to_blame(store):
        return _of_store(store)
    if _is_to_blame(store.parent):
        return f"The directory of the store {store} is read-only; nothing was changed. {_mend((store.parent,), '700')}"
    beside = [file for end in _BESIDE if _is_to_blame(file := store.with_name(store.name + end))]
    if not beside:
        return None
    named = " and ".join(map(str, beside))
    return f"{named} beside the store may not be written; nothing was changed. {_mend(beside, '600')}"


def _of_store(store: Path) -> str:
    if not is_own(store):
        return _of_another(store)
    what = "is read-only" if os.access(store, os.R_OK, effective_ids=True) else "cannot be opened"
    return f"The store {store} {what}; nothing was changed. Run `chmod 600 {store}`."


def of_another(store: Path) -> str | None:
    """That the store is another account's, and this one may not use it; None also when there is no store."""
    for folder in reversed(store.absolute().parents):
        if not folder.exists():
            return None
        if not os.access(folder, os.X_OK, effective_ids=True):
            if is_own(folder):
                return f"The store {store} is in {folder}, which cannot be entered. Run `chmod 700 {folder}`."
            return (
                f"The store {store} is in {folder}, which belongs to {owner(folder)} and which {_name(os.geteuid())} "
                "may not enter. Run this as the account that the store belongs to."
            )
    return None if os.geteuid() == 0 or not store.exists() or is_own(store) else _of_another(store)


def _of_another(store: Path) -> str:
    whose = owner(store)
    return f"The store {store} belongs to {whose}, and this is {_name(os.geteuid())}. Run this as {whose}."


def may_write(path: Path) -> bool:
    """Whether this account may write the file, or make others in the directory."""
    return os.access(path, os.W_OK | (os.X_OK if path.is_dir() else 0), effective_ids=True)


def is_own(path: Path) -> bool:
    """Whether the file belongs to this account."""
    return path.stat().st_uid == os.geteuid()


def owner(path: Path) -> str:
    """The name of the account that the file belongs to."""
    return _name(path.stat().st_uid)


def _is_to_blame(path: Path) -> bool:
    try:
        needed = stat.S_IWUSR | (stat.S_IXUSR if path.is_dir() else 0)
        return not may_write(path) and not (is_own(path) and path.stat().st_mode & needed == needed)
    except FileNotFoundError:
        return False


def _mend(files: Sequence[Path], mode: str) -> str:
    named = " ".join(map(str, files))
    if all(is_own(file) for file in files):
        return f"Run `chmod {mode} {named}`."
    owners = " and ".join(sorted({owner(file) for file in files}))
    return f"It belongs to {owners}; run `chown {_name(os.geteuid())} {named}` as root."


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:  # of an account that this system does not know, as in a container
        return str(user)
