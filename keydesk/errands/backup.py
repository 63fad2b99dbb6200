"""`keydesk backup`."""

import argparse
import sys
from collections.abc import Callable
from datetime import datetime

from keydesk.opening import open_store
from keydesk.settings import Settings
from store.backup import backup_sqlite


def run(given: argparse.Namespace, settings: Settings, _clock: Callable[[], datetime]) -> int:
    """Copy the store and say what is not in the copy."""
    open_store(settings)
    target = backup_sqlite(given.file.expanduser().absolute())
    sys.stdout.write(
        f"{target} is a sound copy of {settings.store_location()} ({target.stat().st_size:,} bytes).\n"
        f"The pepper is not in it: keep {settings.pepper_path()} too, somewhere else.\n",
    )
    return 0
