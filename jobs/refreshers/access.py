"""Who may use a file: owner, group, mode and access list, as those of the file that it is to replace.

And who may use the source afterwards: to read it must not lock its application out.
"""

import os
import stat
from pathlib import Path

from store.errors import Refused

_LIST = "system.posix_acl_access"


def give_as(file: Path, model: Path) -> None:
    """Let the same people use the file as use the model, and nobody else. Refused when this user may not do that.

    Without the access list the mode would say too much: with one, the group's bits are those of all who are listed.
    """
    wanted, own = model.stat(), file.stat()
    try:
        if (own.st_uid, own.st_gid) != (wanted.st_uid, wanted.st_gid):
            os.chown(file, wanted.st_uid, wanted.st_gid)
        listed = _list_of(model)
        if listed is not None:
            os.setxattr(file, _LIST, listed)
        elif _list_of(file) is not None:  # what the directory hands on
            os.removexattr(file, _LIST)
        file.chmod(wanted.st_mode & 0o777)
    except PermissionError:
        raise Refused(
            f"{model} belongs to user {wanted.st_uid} and group {wanted.st_gid}, and this user may not give them the "
            f"file that comes in its place; nothing was changed. Run this as root, or once: {_mend(model, own, wanted)}"
        ) from None


def require_no_log_of_ours(source: Path) -> None:
    """Refused when SQLite would make the source's log for this user, and its application could not write to that.

    In WAL mode whoever opens a file first makes a log and a `-shm` beside it, and one who only reads leaves them there.
    Root's are given to the file's owner by SQLite itself.
    """
    source = source.resolve()  # where the log is
    found, own = source.stat(), os.geteuid()
    if own == 0 or source.with_name(source.name + "-shm").exists() or not _has_log(source):
        return
    place = source.parent.stat()
    group = place.st_gid if place.st_mode & stat.S_ISGID else os.getegid()
    by_group = (found.st_mode & stat.S_IWGRP) != 0
    made = f"SQLite would make its log for this user ({own}), and the application could not write any more"
    if own != found.st_uid:
        otherwise = f"as its user ({found.st_uid})"
    elif by_group and group != found.st_gid:
        otherwise = f"with its group ({found.st_gid})"
    elif not os.access(source.parent, os.W_OK, effective_ids=True):
        made = f"SQLite would have to make its log in {source.parent}, where this user ({own}) may not write"
        otherwise = "let this user write there"
    else:
        return
    raise Refused(
        f"{source} is in WAL mode and nobody has it open, so {made}; nothing was touched. Refresh while the "
        f"application has it open, or {otherwise}."
    )


def _has_log(source: Path) -> bool:
    """Whether the file says of itself that it is in WAL mode (bytes 18 and 19, https://sqlite.org/fileformat2.html)."""
    with source.open("rb") as file:
        return file.read(20)[18:] == b"\x02\x02"


def _mend(model: Path, own: os.stat_result, wanted: os.stat_result) -> str:
    """The commands after which new files there have the wanted owner and group by themselves."""
    commands = []
    if own.st_uid != wanted.st_uid:
        commands.append(f"chown {own.st_uid} {model}")
    if own.st_gid != wanted.st_gid:
        commands.append(f"chgrp {wanted.st_gid} {model.parent}; chmod g+s {model.parent}")
    return "; ".join(commands)


def _list_of(path: Path) -> bytes | None:
    try:
        return os.getxattr(path, _LIST)
    except OSError:  # it has none, or the file system knows none
        return None
