"""`keydesk backup`."""

import argparse
import shutil
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from keydesk.opening import open_peppers, open_store
from keydesk.settings import Settings
from store import unfinished
from store.backup import backup_sqlite, sync
from store.database import private_file
from store.errors import Refused
from store.rules.text import visible


def run(given: argparse.Namespace, settings: Settings, _clock: Callable[[], datetime]) -> int:
    """Copy the store and say what is not in the copy."""
    open_store(settings)
    target = given.file.expanduser().absolute()
    beside = target.with_name(target.name + ".pepper")
    if given.with_pepper and beside.exists():
        raise Refused(f"{beside} is there already; name another file.")
    if given.with_pepper:
        open_peppers(settings)  # a copy of a wrong one would be found when it is needed
    backup_sqlite(target)
    sys.stdout.write(
        f"{_shown(target)} is a sound copy of {_shown(settings.store_location())} ({target.stat().st_size:,} bytes).\n",
    )
    if given.with_pepper:
        _copy(settings.pepper_path(), beside)
        sys.stdout.write(
            f"The pepper is in {_shown(beside)}: whoever has both can confirm guessed keys. Keep them apart.\n"
        )
    else:
        sys.stdout.write(f"The pepper is not in it: keep {_shown(settings.pepper_path())} too, somewhere else.\n")
    return 0


def _shown(path: Path | str) -> str:
    return visible(str(path))


def _copy(pepper: Path, target: Path) -> None:
    with unfinished.folder(target.parent, ".backing-up-") as folder:
        copy = folder / "pepper"
        private_file(copy)
        shutil.copyfile(pepper, copy)
        sync(copy)
        unfinished.name(copy, target)
        sync(target.parent)
