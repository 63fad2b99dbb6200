"""Who may use a file: owner, group, mode and access list, as those of the file that it is to replace."""

import os
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
