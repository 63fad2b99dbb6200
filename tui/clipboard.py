"""Copying to the clipboard of the terminal a person sits at, wherever the desk runs."""

from base64 import b64encode
from typing import Any, Final

from textual.app import App

SENT: Final = "Sent to your terminal; it may not have taken it. If not, select it by hand (hold Shift while dragging)."


def osc52(text: str, *, tmux: bool) -> str:
    """The control sequence that asks a terminal to take a text; inside tmux also wrapped, so that tmux hands it on."""
    sequence = f"\x1b]52;c;{b64encode(text.encode()).decode('ascii')}\x07"
    return f"{sequence}\x1bPtmux;\x1b{sequence}\x1b\\" if tmux else sequence


def copy(app: App[Any], text: str, *, tmux: bool) -> None:
    """Send a text to the terminal. Unlike App.copy_to_clipboard, the desk itself keeps nothing of it."""
    driver = app._driver  # noqa: SLF001 (the only way to the terminal that keeps no copy in App.clipboard)
    if driver is not None:
        driver.write(osc52(text, tmux=tmux))
        driver.flush()
