"""`keydesk`: the desk on the store. The first time it is made, and the desk begins with a short welcome."""

import argparse
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from keydesk.errands import init
from keydesk.opening import local_actor, open_peppers, open_store
from keydesk.settings import Settings
from store.errors import Refused
from tui.app import open_desk


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Open the desk; the exit status is the desk's. Refused without a terminal, before anything is made."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused(
            "The desk needs a terminal. Over SSH ask for one (`ssh -t`); `keydesk --help` lists what needs none."
        )
    location = settings.store_location()
    if "://" not in location and not Path(location).expanduser().exists():
        _, peppers = init.prepare(settings, clock())
    else:
        open_store(settings)
        peppers = open_peppers(settings, clock())
    read_only = given.read_only or settings.desk.read_only
    return open_desk(local_actor(), peppers, clock=clock, read_only=read_only)
