"""The row above the keys: where in the list one is, and what the desk has to say."""

from rich.text import Text

from tui import foreign
from tui.widgets.line import Line


class StatusLine(Line):
    """A message stays until the next key does something else; there is no clock behind it."""

    def __init__(self) -> None:
        super().__init__()
        self._place = ""
        self._message = Text()

    @property
    def message(self) -> str:
        """What it has to say."""
        return self._message.plain

    def place(self, text: str) -> None:
        """`3 of 1,000,000 keys`."""
        self._place = text
        self._both()

    def tell(self, message: str, style: str = "") -> None:
        """Say something until something else is said; an empty text takes it back."""
        self._message = foreign.text(message, style)
        self._both()

    def _both(self) -> None:
        between = "   " if self._place and self._message.plain else ""
        self.say(Text.assemble(f" {self._place}{between}", self._message))
