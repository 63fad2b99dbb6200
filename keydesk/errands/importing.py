"""`keydesk import`."""

import argparse
import shutil
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TextIO

from keydesk.opening import local_actor, open_store
from keydesk.settings import Settings
from store import importing


def run(given: argparse.Namespace, settings: Settings, clock: Callable[[], datetime]) -> int:
    """Take the files in and say what changed; on a terminal, a bar on standard error shows how far it is."""
    open_store(settings)
    bar = Bar(sys.stderr) if sys.stderr.isatty() else None
    try:
        summary = importing.take(local_actor(), given.files, clock(), bar)
    finally:
        if bar is not None:
            bar.clear()
    sys.stdout.write("\n".join(summary.sentences()) + "\n")
    return 0


class Bar:
    """A bar on one line of a terminal, drawn again only when it looks different."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._shown = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` is done."""
        percent = 100 * done // total if total else 100
        width = max(shutil.get_terminal_size().columns - 1, 20)
        line = f"{percent:3d} % {'█' * (percent // 5):<20} {what}"[:width]
        if line != self._shown:
            self._shown = line
            self._terminal.write(f"\r\x1b[K{line}")
            self._terminal.flush()

    def clear(self) -> None:
        """Leave the line empty."""
        if self._shown:
            self._terminal.write("\r\x1b[K")
            self._terminal.flush()
