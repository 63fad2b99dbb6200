"""A question with yes or no."""

from collections.abc import Sequence
from typing import ClassVar, Final, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Button

from store.errors import Refused
from store.rules.text import visible
from tui.dialogs.dialog import Dialog, row, said
from tui.widgets.field import Field

Danger = Literal["undoable", "danger", "grave"]

_CAPTIONS: Final[dict[Danger, str]] = {"undoable": "Sure?", "danger": "Careful", "grave": "This is for good"}


class ConfirmDialog(Dialog[bool]):
    """Dismisses with True, or None. With `word`, only after that word was written; else y and n answer too.

    Only an undoable act begins at its button; all others begin at Cancel, so that Enter in passing does nothing.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "yes", "Yes", show=False),
        Binding("n", "cancel", "No", show=False),
    ]
    caption: str = "Sure?"

    def __init__(
        self,
        question: str,
        details: Sequence[str] = (),
        *,
        accept: str = "Yes",
        danger: Danger = "undoable",
        word: str | None = None,
    ) -> None:
        super().__init__(danger=danger != "undoable")
        self._question = question
        self._details = tuple(details)
        self._danger = danger
        self._word = word
        self._typed = Field(placeholder="the same again")
        self.accepting = accept
        self.caption = _CAPTIONS[danger]
        if word is None:
            self.keys = "y yes · n no · esc cancel"

    def fields(self) -> ComposeResult:
        """The question, what follows from yes, the word."""
        yield said(self._question, style="bold")
        if self._details:
            yield said(*self._details, gap=True)
        if self._word is not None:
            yield said("", f"To confirm, write {self._word}")
            yield row("", self._typed)
        yield said("")

    def on_mount(self) -> None:
        """Begin where nothing is done in passing."""
        start = "#accept" if self._danger == "undoable" else "#cancel"
        (self._typed if self._word is not None else self.query_one(start, Button)).focus()

    def answer(self) -> bool:
        """Yes, if the word stands there."""
        with self.about(self._typed):
            if self._word is not None and self._typed.value.strip() != visible(self._word).strip():
                raise Refused(f"To confirm, write {self._word}")
        return True

    def action_yes(self) -> None:
        """The key y; never while a word is asked for."""
        if self._word is None:
            self.action_accept()
