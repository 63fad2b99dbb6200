"""One row of text that is drawn only when it says something new."""

from rich.text import Text
from textual.widget import Widget


class Line(Widget):
    """A row that never wraps; what does not fit is cut off."""

    DEFAULT_CSS = """
    Line { height: 1; width: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._text = Text(no_wrap=True)

    @property
    def text(self) -> str:
        """What it says now."""
        return self._text.plain

    def say(self, text: Text) -> None:
        """Show this."""
        if text != self._text or text.spans != self._text.spans:
            self._text = text
            self.refresh()

    def render(self) -> Text:
        """What it says."""
        return self._text
