"""A held month is let go by a person who has looked at it, with a reason."""

from textual.app import ComposeResult

from store.rules.text import check_name
from tui.dialogs.dialog import Dialog, row, said
from tui.widgets.field import Field


class ReleaseMonthDialog(Dialog[str]):
    """Dismisses with the reason."""

    caption: str = "Release a held month"
    accepting: str = "Release"

    def __init__(self, month: str, why_held: str) -> None:
        super().__init__()
        self._month = month
        self._why_held = why_held
        self._reason = Field(placeholder="why it is right as it stands, for the log", limit=200)

    def fields(self) -> ComposeResult:
        """Which month, why it is held, what follows, why it is let go."""
        yield said(self._month, style="bold")
        yield said(self._why_held, gap=True)
        yield said("Released, it becomes final at the next run, unless its facts change first.", gap=True)
        yield said("")
        yield row("Reason", self._reason)

    def answer(self) -> str:
        """The reason."""
        with self.about(self._reason):
            return check_name(self._reason.value, "The reason", limit=200)
