"""What is kept of a fault of the program: enough to find it, nothing that anybody could have typed."""

import os
import secrets
import traceback
from datetime import datetime
from pathlib import Path

from platformdirs import user_state_path


def recorded(fault: BaseException | None, now: datetime, folder: Path | None = None) -> str:
    """Write where the program failed into a private file; the line that the admin is shown.

    The file gets the kind of the error and the lines of the program, no values: neither messages nor locals.
    """
    reference = secrets.token_hex(4).upper()
    path = (folder or user_state_path("keydesk")) / "faults.log"
    sentence = f"The desk stopped because of a fault in the program (reference {reference}); the store is sound."
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(f"{now:%Y-%m-%dT%H:%M:%SZ} {reference} {_kind(fault)}\n{_where(fault)}")
    except OSError:
        return sentence
    return f"{sentence} What is known of it stands in {path}."


def _kind(fault: BaseException | None) -> str:
    return type(fault).__qualname__ if fault is not None else "unknown"


def _where(fault: BaseException | None) -> str:
    frames = traceback.extract_tb(fault.__traceback__) if fault is not None else []
    return "".join(f"  {Path(frame.filename).name}:{frame.lineno} {frame.name}\n" for frame in frames)
