"""`keydesk events verify`."""

import argparse
import re
import sys
from collections.abc import Callable
from datetime import datetime

from keydesk.opening import open_store
from keydesk.settings import Settings
from store import events
from store.errors import FormatWrong


def run(given: argparse.Namespace, settings: Settings, _clock: Callable[[], datetime]) -> int:
    """Exit status 0 when every event fits the one before it, 3 when not."""
    open_store(settings)
    chain = events.verify(_noted(given.noted) if given.noted else None)
    if chain.fault is not None:
        sys.stdout.write(chain.fault + "\n")
        return 3
    sys.stdout.write(
        f"{chain.events:,} events, one unbroken chain.\n"
        f"Its head is {chain.events}:{chain.head}\n"
        "Note it outside this machine: `keydesk events verify --noted HEAD` then shows if the end was cut off.\n"
    )
    return 0


def _noted(text: str) -> tuple[int, str]:
    if not re.fullmatch(r"[0-9]{1,18}:[0-9a-f]{64}", text):
        raise FormatWrong("A noted head is a number, a colon and 64 hex digits, as `keydesk events verify` prints it.")
    number, _, link = text.partition(":")
    return int(number), link
