"""The row in which a list is narrowed down as one types."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from store.filters import Grammar
from tui.widgets.field import Field


class FilterBar(Horizontal):
    """`/` and a field. Enter and Down go to the list, Escape empties the field first."""

    DEFAULT_CSS = """
    FilterBar { height: 1; padding: 0 1; }
    FilterBar > Static { width: 2; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave(True)", "Clear", show=False),
        Binding("down,enter,tab", "leave(False)", "To the list", show=False),
    ]

    class Changed(Message):
        """Another filter is wanted."""

        def __init__(self, needle: str) -> None:
            super().__init__()
            self.needle = needle

    class Left(Message):
        """The keys go back to the list."""

    def compose(self) -> ComposeResult:
        """The slash that opens it, and the field."""
        field = Field(limit=400)
        field.select_on_focus = False  # one goes on with a filter more often than one begins again
        yield Static("/")
        yield field

    @property
    def field(self) -> Field:
        """Where the filter is typed."""
        return self.query_one(Field)

    def suit(self, needle: str, grammar: Grammar | None) -> None:
        """Take over another list's filter and say what can be asked there."""
        with self.prevent(Input.Changed):
            self.field.value = needle
        self.display = grammar is not None
        fields = " ".join(f"{name}:{values[0] if values else '…'}" for name, values in (grammar or {}).items())
        self.field.placeholder = f"filter: words {fields}"

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_leave(clear=False)

    def action_leave(self, clear: bool) -> None:  # noqa: FBT001 - Textual passes it by position
        """Back to the list."""
        if clear:
            self.field.value = ""
        self.post_message(self.Left())
