"""A long text, such as a mail, to scroll through."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from tui.dialogs.dialog import Dialog, said, stacked


class ReadTextDialog(Dialog[None]):
    """`head` stays, `body` scrolls. Both are shown line by line, with nothing in them read as markup."""

    DEFAULT_CSS = """
    ReadTextDialog > .panel { max-width: 100; height: 100%; }
    ReadTextDialog .body, ReadTextDialog .text { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,backspace", "cancel", "Close", show=False),
        Binding("up,k", "scroll(-1)", "Up", show=False),
        Binding("down,j", "scroll(1)", "Down", show=False),
        Binding("pageup,b", "page(-1)", "Page up", show=False),
        Binding("pagedown,space", "page(1)", "Page down", show=False),
        Binding("home,g", "edge('home')", "Start", show=False),
        Binding("end,G", "edge('end')", "End", show=False),
    ]
    cancelling: str | None = None
    accepting: str = "Close"
    keys: str = "↑↓ pgup pgdn home end scroll · enter or esc closes"

    def __init__(self, caption: str, head: tuple[str, ...], body: str) -> None:
        super().__init__()
        self.caption = caption
        self._head = head
        self._text = body
        self._window = VerticalScroll(classes="text", can_focus=False)

    def fields(self) -> ComposeResult:
        """The head, and a window on the text."""
        yield said(*self._head, style="bold")
        with self._window:
            yield Static(stacked(line.expandtabs(4) for line in self._text.splitlines()), classes="said gap")

    def answer(self) -> None:
        """There is none."""

    def action_scroll(self, rows: int) -> None:
        """By rows."""
        self._window.scroll_relative(y=rows, animate=False)

    def action_page(self, pages: int) -> None:
        """By what is seen, less one row."""
        self._window.scroll_relative(y=pages * max(1, self._window.size.height - 1), animate=False)

    def action_edge(self, edge: str) -> None:
        """To the start or the end."""
        if edge == "home":
            self._window.scroll_home(animate=False)
        else:
            self._window.scroll_end(animate=False)
