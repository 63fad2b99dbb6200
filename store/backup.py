"""A copy of the store that was looked at before anybody relies on it."""

import os
from pathlib import Path

from store import unfinished
from store.database import private_file, run_sql, session, sqlite_path
from store.errors import Refused, StoreUnavailable
from store.rules.text import one_line
from store.sqlite_file import left_log

LOG_BYTES = 128 * 1024  # more than SQLite puts beside a copy that is looked at


def backup_sqlite(target: Path) -> Path:
    """Copy the live SQLite store to `target` (0600) while others go on writing. It is named once it is checked.

    The pepper is not in it: a stolen backup alone can neither accept nor confirm a key. Raises Refused when the target
    or a log of its name exists, its directory does not, or the store is not SQLite, StoreUnavailable when the copy is
    not sound or finds no room.
    """
    if sqlite_path() is None:
        raise Refused("This store is PostgreSQL: back it up with `pg_dump -Fc`.")
    if target.exists():
        raise Refused(f"{target} is there already; name another file.")
    if not target.parent.is_dir():
        raise Refused(f"There is no directory {target.parent}; make it first, or mount what it is on.")
    if log := left_log(target):
        raise Refused(f"{log} is left of another file and would be read into this one; move it away, or name another.")
    with (
        session(),
        unfinished.room(target.parent, _size() + LOG_BYTES),
        unfinished.folder(target.parent, ".backing-up-") as folder,
    ):
        copy = folder / "copy.db"
        private_file(copy)
        # As a URI, which takes any bytes in the path; of a mode in which none is made, for an empty one is sound.
        address = f"{copy.absolute().as_uri()}?mode=rw"
        run_sql("VACUUM INTO ?", (address,))
        run_sql("ATTACH DATABASE ? AS copy", (address,))
        try:
            verdict = run_sql("PRAGMA copy.quick_check").fetchone()[0]
        finally:
            run_sql("DETACH DATABASE copy")
        if verdict != "ok":
            raise StoreUnavailable(f"The copy of the store is not sound ({one_line(verdict, 200)}); nothing was kept.")
        sync(copy)
        unfinished.name(copy, target)
        sync(target.parent)
    return target


def _size() -> int:
    """How many bytes a copy of the store takes."""
    pages, unused, size = (
        int(run_sql(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - unused) * size


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a directory's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
