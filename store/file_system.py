"""On which kind of file system a place is. SQLite's locks and its shared log hold on a disk of this machine only."""

import ctypes
import os
from pathlib import Path
from typing import Final

from store.errors import SettingsWrong

# linux/magic.h and the file systems' own sources.
_SHARED: Final = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB",
    0x65735546: "FUSE",  # sshfs, s3fs, GlusterFS, and what virtual machines share with their host
    0x01021997: "9P",
    0x00C36400: "Ceph",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
    0x19830326: "BeeGFS",
    0x01161970: "GFS2",
    0x7461636F: "OCFS2",
    0x786F4256: "VirtualBox's shared folder",
    0xBACBACBC: "VMware's shared folder",
}


def refuse_shared(path: Path) -> None:
    """SettingsWrong when a SQLite store at `path` would be on a file system that other machines may write to."""
    place = path if path.exists() else path.parent
    magic = magic_of(place)
    if magic is not None:
        check(magic, path)


def check(magic: int, path: Path) -> None:
    """The same for the file system's number as the kernel gives it."""
    kind = _SHARED.get(magic & 0xFFFFFFFF)
    if kind is not None:
        raise SettingsWrong(
            f"The store {path} is on a shared file system ({kind}), where SQLite loses what two write at once. "
            "Put it on a disk of this machine, or use PostgreSQL."
        )


def magic_of(place: Path) -> int | None:
    """The number of the file system's kind (statfs, f_type); None where that cannot be asked."""
    found = (ctypes.c_long * 64)()  # struct statfs begins with f_type, a long, and is shorter than this
    try:
        asked = ctypes.CDLL(None, use_errno=True).statfs
    except (OSError, AttributeError):
        return None
    return found[0] if asked(os.fsencode(place), ctypes.byref(found)) == 0 else None
