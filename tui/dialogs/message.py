"""A sentence that must be read."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.dialogs.dialog import Dialog, said


class MessageDialog(Dialog[None]):
    """Shows what went wrong or what is so; any of the usual keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,backspace", "cancel", "Close", show=False)]
    cancelling: str | None = None
    keys: str = "enter or esc closes"

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(danger=refused)
        self._message = message
        self.caption = "That cannot be done" if refused else "Message"

    def fields(self) -> ComposeResult:
        """The message, line by line."""
        yield said(*self._message.splitlines())
        yield said("")

    def answer(self) -> None:
        """There is none."""
