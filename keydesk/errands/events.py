"""`keydesk events verify`."""

import argparse
import sys
from collections.abc import Callable
from datetime import datetime

from keydesk.opening import open_store
from keydesk.settings import Settings
from store import events


def run(_given: argparse.Namespace, settings: Settings, _clock: Callable[[], datetime]) -> int:
    """Exit status 0 when every event fits the one before it, 3 when not."""
    open_store(settings)
    count, fault = events.verify()
    sys.stdout.write((fault or f"{count:,} events, one unbroken chain.") + "\n")
    return 0 if fault is None else 3
