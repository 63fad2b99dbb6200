"""A person's yes or waiver for a line that is not invoiced without one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from textual.app import ComposeResult

from store.errors import Refused
from store.rules.text import check_name
from tui.dialogs.dialog import Dialog, row, said
from tui.widgets.choice_row import ChoiceRow
from tui.widgets.field import Field

Verdict = Literal["approve", "waive"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, and why."""

    verdict: Verdict
    reason: str


class DecideLineDialog(Dialog[Decision]):
    """Nothing is chosen beforehand: both answers are meant."""

    caption: str = "Decide about an invoice line"
    accepting: str = "Decide"

    def __init__(self, head: str, because: str, amount: str) -> None:
        super().__init__()
        self._head = head
        self._because = because
        self._amount = amount
        self._verdict = ChoiceRow([("approve", "Approve", "a"), ("waive", "Waive", "w")])
        self._reason = Field(placeholder="why, for the log and the invoice's explanation", limit=200)

    def fields(self) -> ComposeResult:
        """The line, what each answer means, the answer and its reason."""
        yield said(self._head, style="bold")
        yield said(self._because, gap=True)
        yield said(*_meaning(self._amount), gap=True)
        yield said("")
        yield row("Decision", self._verdict)
        yield row("Reason", self._reason)

    def answer(self) -> Decision:
        """Both are needed."""
        with self.about(self._verdict):
            verdict: Verdict | None = next(
                (each for each in ("approve", "waive") if each == self._verdict.value),
                None,
            )
            if verdict is None:
                raise Refused("Choose: a to approve the line, w to waive it.")
        with self.about(self._reason):
            return Decision(verdict, check_name(self._reason.value, "The reason", limit=200))


def _meaning(amount: str) -> Sequence[str]:
    return (f"Approve: {amount} is invoiced.", "Waive: the line stays on the invoice, at zero.")
