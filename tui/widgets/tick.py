"""A box to tick."""

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class Tick(Widget, can_focus=True):
    """A box that Space ticks and unticks. Enter goes on, so that nobody ticks it in passing."""

    DEFAULT_CSS = """
    Tick { width: auto; height: 1; }
    Tick:focus { text-style: reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "turn", "Tick"),
        Binding("enter", "screen.advance", "Next", show=False),
    ]

    ticked: reactive[bool] = reactive(default=False, init=False)

    class Changed(Message):
        """The box was ticked or unticked."""

        def __init__(self, tick: "Tick") -> None:
            super().__init__()
            self.tick = tick

        @property
        def control(self) -> "Tick":
            """The box itself."""
            return self.tick

    def __init__(self, title: str, *, ticked: bool = False) -> None:
        super().__init__()
        self.title = title
        self.set_reactive(Tick.ticked, ticked)

    def render(self) -> Text:
        """A mark that needs no colour."""
        return Text(f"[{'x' if self.ticked else ' '}] {self.title}")

    def watch_ticked(self) -> None:
        """Tell the form."""
        self.post_message(self.Changed(self))

    def action_turn(self) -> None:
        """Tick or untick."""
        self.ticked = not self.ticked

    def on_click(self) -> None:
        """As Space does."""
        self.action_turn()
