"""The row above the keys: where in the list one is, and what the desk has to say."""

from rich.cells import cell_len
from rich.text import Text
from textual import events

from tui import foreign
from tui.widgets.line import Line

_MESSAGE_ROWS = 3


class StatusLine(Line):
    """A message stays until the next key does something else; there is no clock behind it.

    One that does not fit beside the place stands below it, whole.
    """

    DEFAULT_CSS = """
    StatusLine { height: auto; max-height: 4; text-wrap: wrap; text-overflow: fold; }
    """

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
        rows = self._text.plain.count("\n")
        self.say(self._laid_out(self.size.width))
        if self._text.plain.count("\n") != rows:
            self.refresh(layout=True)

    def on_resize(self, event: events.Resize) -> None:
        """What fitted may not fit any more."""
        del event
        self._both()

    def _laid_out(self, width: int) -> Text:
        """Each row begins with a space of its own; without a width, as before the first layout, it is one row."""
        between = "   " if self._place and self._message.plain else ""
        row = Text.assemble(f" {self._place}{between}", self._message)
        if not width or not self._message.plain or cell_len(row.plain) <= width:
            row.truncate(width or cell_len(row.plain), overflow="ellipsis")
            return row
        wrapped = self._message.wrap(self.app.console, width - 2)
        rows = [Text(f" {self._place}")] if self._place else []
        rows += [Text.assemble(" ", line) for line in wrapped[:_MESSAGE_ROWS]]
        for line in rows:
            line.truncate(width, overflow="ellipsis")
        return Text("\n").join(rows)
