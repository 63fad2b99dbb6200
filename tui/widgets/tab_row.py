"""The parts of a page, side by side; the one that is open stands out without colour too."""

from collections.abc import Sequence

from rich.text import Text
from textual import events
from textual.message import Message

from tui.widgets.line import Line


class TabRow(Line):
    """`Integrations  [API keys]  Users`; left and right go along it."""

    class Chosen(Message):
        """Somebody clicked a tab."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self) -> None:
        super().__init__()
        self.tabs: tuple[tuple[str, str], ...] = ()
        self.open = ""

    def offer(self, tabs: Sequence[tuple[str, str]], name: str) -> None:
        """Show these (name, title), the named one open."""
        if (tuple(tabs), name) != (self.tabs, self.open):
            self.tabs, self.open = tuple(tabs), name
            self.refresh()

    def render(self) -> Text:
        """All titles; the open one in brackets."""
        row = Text(" ", no_wrap=True)
        for name, title in self.tabs:
            row.append(f"[{title}]" if name == self.open else f" {title} ", "bold reverse" if name == self.open else "")
            row.append(" ")
        return row

    def on_click(self, event: events.Click) -> None:
        """Open what was clicked."""
        offset = event.get_content_offset(self)
        start = 1
        for name, title in self.tabs:
            end = start + len(title) + 2
            if offset is not None and start <= offset.x < end:
                self.post_message(self.Chosen(name))
            start = end + 1
