"""What is said of an error that no rule of the product foresaw."""

import traceback
from pathlib import Path

from keydesk import __version__
from store.errors import KeydeskError


def sentence(error: Exception) -> str:
    """One sentence about any error."""
    if isinstance(error, KeydeskError):
        return str(error)
    return (of_file(error) if isinstance(error, OSError) else None) or of_program(error)


def of_file(error: OSError) -> str | None:
    """That a file cannot be used; None when the error names none, or only the number of one that is open."""
    if not error.filename or isinstance(error.filename, int):
        return None
    return f"{error.filename} cannot be used: {error.strerror}."


def of_program(error: Exception) -> str:
    """The kind of error, and the last places it came through; never its text, in which values may stand."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    kind = type(error).__name__
    return f"This is a fault of Keydesk {__version__}; what was being changed was undone. Report: {kind} at {places}"
