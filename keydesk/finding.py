"""What `keydesk doctor` says of one thing."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `text` says what is, and for anything but ok what to do."""

    verdict: Literal["ok", "look", "wrong"]
    about: str
    text: str
