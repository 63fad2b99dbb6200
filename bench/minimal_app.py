"""The smallest Textual app that shows something: what the library itself needs to paint."""

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import Footer, Static


class MinimalApp(App[None]):
    """A text and a footer."""

    BINDINGS: ClassVar[list[BindingType]] = [("q", "quit", "Quit")]

    def compose(self) -> ComposeResult:
        yield Static("Hello")
        yield Footer()


if __name__ == "__main__":
    MinimalApp().run()
