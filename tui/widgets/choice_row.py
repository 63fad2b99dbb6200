"""One of a few, side by side."""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class ChoiceRow(Widget, can_focus=True):
    """A few choices on one row: left and right move, a choice's own key picks it, Enter goes on.

    `choices` are (value, title, key); the key is a character of the title. Without a value nothing is chosen yet.
    """

    DEFAULT_CSS = """
    ChoiceRow { width: 1fr; height: 1; text-wrap: nowrap; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "Left", show=False),
        Binding("right", "move(1)", "Right", show=False),
        Binding("enter", "screen.advance", "Next", show=False),
    ]

    value: reactive[str | None] = reactive[str | None](None, init=False)

    class Changed(Message):
        """A person chose."""

        def __init__(self, row: "ChoiceRow", value: str) -> None:
            super().__init__()
            self.row = row
            self.value = value

        @property
        def control(self) -> "ChoiceRow":
            """The row itself."""
            return self.row

    def __init__(
        self,
        choices: Sequence[tuple[str, str, str]],
        value: str | None = None,
    ) -> None:
        super().__init__()
        self.choices = tuple(choices)
        self.set_reactive(ChoiceRow.value, value)

    def render(self) -> Text:
        """Marks that need no colour, each choice's key underlined while the row has the focus."""
        row = Text()
        for value, title, key in self.choices:
            mark = "(•)" if value == self.value else "( )"
            choice = Text(f"{mark} {title}")
            if self.has_focus:
                if value == self.value:
                    choice.stylize("reverse")
                at = len(mark) + 1 + title.lower().index(key)
                choice.stylize("underline bold", at, at + 1)
            row.append_text(choice).append("   ")
        row.rstrip()
        return row

    def action_move(self, steps: int) -> None:
        """Choose the neighbour; the row has ends."""
        values = [value for value, _, _ in self.choices]
        at = values.index(self.value) + steps if self.value in values else 0
        self._choose(values[max(0, min(at, len(values) - 1))])

    def on_key(self, event: events.Key) -> None:
        """Choose by a choice's own key."""
        for value, _, key in self.choices:
            if event.character == key:
                event.stop()
                self._choose(value)

    def on_click(self, event: events.Click) -> None:
        """Choose what was clicked."""
        offset = event.get_content_offset(self)
        start = 0
        for value, title, _ in self.choices:
            end = start + 4 + len(title)
            if offset is not None and start <= offset.x < end:
                self._choose(value)
            start = end + 3

    def on_focus(self) -> None:
        """Show the keys."""
        self.refresh()

    def on_blur(self) -> None:
        """Hide the keys."""
        self.refresh()

    def _choose(self, value: str) -> None:
        self.value = value
        self.post_message(self.Changed(self, value))
