"""The desk, from its start to its first paint in a terminal, against the smallest Textual app."""

import os
import sys
from pathlib import Path
from typing import Final

from bench.report import Goal, Measure
from bench.terminal import first_paint
from bench.timing import in_turns
from bench.world import World

_MINIMAL: Final = Path(__file__).with_name("minimal_app.py")


def against_minimal(world: World, number: int) -> Measure:
    """Both in a terminal of their own, in turns, after one start each that nobody counts."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}

    def ours() -> float:
        return first_paint([sys.executable, "-m", "keydesk", "--settings", str(world.settings)], environment)

    def minimal() -> float:
        return first_paint([sys.executable, str(_MINIMAL)], environment)

    ours(), minimal()
    desk, app = in_turns(ours, minimal, number)
    return Measure(f"desk to first paint, {world.named}", desk * 1000, app * 1000, "ms", Goal("at most", 2))
