"""A decision that a mail is not sent (again)."""

from collections.abc import Sequence

from textual.app import ComposeResult

from store.rules.text import check_name
from tui.dialogs.dialog import Dialog, row, said
from tui.widgets.field import Field


class PutAsideDialog(Dialog[str]):
    """Dismisses with the reason."""

    caption: str = "Put mail aside"
    accepting: str = "Put aside"

    def __init__(self, mail: Sequence[str]) -> None:
        super().__init__(danger=True)
        self._mail = tuple(mail)
        self._reason = Field(placeholder="why, for the log", limit=200)

    def fields(self) -> ComposeResult:
        """Which mail, what follows, why."""
        yield said(*self._mail)
        yield said("It is not sent any more, and nobody is told so.", gap=True)
        yield said("")
        yield row("Reason", self._reason)

    def answer(self) -> str:
        """The reason."""
        with self.about(self._reason):
            return check_name(self._reason.value, "The reason", limit=200)
