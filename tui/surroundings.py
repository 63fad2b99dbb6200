"""What every part of the desk is given: as whom, at what time, and through whom the store is read and written."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from store.actors import Actor
from store.peppers import Peppers
from tui.reading import Reader
from tui.recording import Recorder


@dataclass(frozen=True)
class Surroundings:
    """One for each desk. `clock` gives aware UTC instants."""

    actor: Actor
    peppers: Peppers
    clock: Callable[[], datetime]
    reader: Reader
    recorder: Recorder
    read_only: bool = False
    mail_catcher: Path | None = None  # where mails are kept instead of being sent, on a demonstration
