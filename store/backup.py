"""A copy of the store that was looked at before anybody relies on it."""

import os
from pathlib import Path

from store import unfinished
from store.database import private_directory, private_file, run_sql, session, sqlite_path
from store.errors import Refused, StoreUnavailable


def backup_sqlite(target: Path) -> Path:
    """Copy the live SQLite store to `target` (0600) while others go on writing. It is named once it is checked.

    The pepper is not in it: a stolen backup alone can neither accept nor confirm a key. Raises Refused when the target
    exists or the store is not SQLite, StoreUnavailable when the copy is not sound.
    """
    if sqlite_path() is None:
        raise Refused("This store is PostgreSQL: back it up with `pg_dump -Fc`.")
    if target.exists():
        raise Refused(f"{target} is there already; name another file.")
    private_directory(target.parent)
    with unfinished.folder(target.parent, ".backing-up-") as folder:
        copy = folder / "copy.db"
        private_file(copy)
        with session():
            run_sql("VACUUM INTO ?", (str(copy),))
            address = f"{copy.absolute().as_uri()}?mode=rw"  # or an empty one would be made, and be sound
            run_sql("ATTACH DATABASE ? AS copy", (address,))
            try:
                verdict = run_sql("PRAGMA copy.quick_check").fetchone()[0]
            finally:
                run_sql("DETACH DATABASE copy")
        if verdict != "ok":
            raise StoreUnavailable(f"The copy of the store is not sound ({verdict}); nothing was kept.")
        sync(copy)
        unfinished.name(copy, target)
        sync(target.parent)
    return target


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a directory's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
