"""Something that is done once somebody has read what follows from it and said why."""

from textual.app import ComposeResult

from store.rules.text import check_name
from tui.dialogs.dialog import Dialog, row, said
from tui.widgets.field import Field


class ReasonedDialog(Dialog[str]):
    """Dismisses with the reason. `about` says what it is done to, each of `told` what is known or follows."""

    placeholder: str

    def __init__(self, about: str, *told: str, danger: bool = False) -> None:
        super().__init__(danger=danger)
        self._about = about
        self._told = told
        self._reason = Field(placeholder=self.placeholder, limit=200)

    def fields(self) -> ComposeResult:
        """What it is about, what is to be known, why it is done."""
        yield said(self._about, style="bold")
        for sentences in self._told:
            yield said(*sentences.split("\n"), gap=True)
        yield said("")
        yield row("Reason", self._reason)

    def answer(self) -> str:
        """The reason."""
        with self.about(self._reason):
            return check_name(self._reason.value, "The reason", limit=200)


class ReleaseMonthDialog(ReasonedDialog):
    """A held month is let go by a person who has looked at it."""

    caption: str = "Release a held month"
    accepting: str = "Release"
    placeholder: str = "why it is right as it stands, for the log"


class HoldBackDialog(ReasonedDialog):
    """A final line is kept out of every export."""

    caption: str = "Hold back a line"
    accepting: str = "Hold back"
    placeholder: str = "why it is not to be transferred, for the log"


class CreditMonthDialog(ReasonedDialog):
    """A final month that was wrong is taken back whole and billed again."""

    caption: str = "Credit the month and bill it again"
    accepting: str = "Credit"
    placeholder: str = "what was wrong, for the log"
