"""Another answer to a question that the terms leave open, for all companies."""

from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input

from store.errors import FormatWrong
from store.rating_policy import Question
from store.rules.text import check_name
from tui.dialogs.dialog import row, said
from tui.dialogs.previewed import Preview, PreviewedDialog
from tui.widgets.choice_row import ChoiceRow
from tui.widgets.field import Field


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """What was chosen, and why."""

    value: str
    reason: str


class PolicyDialog(PreviewedDialog[PolicyAnswer, str]):
    """Saving waits until it has been shown what the months become."""

    caption: str = "How the terms are read"

    def __init__(self, question: Question, present: str, product: str, preview: Preview[str]) -> None:
        super().__init__(preview)
        self._question = question
        self._present = present
        self._product = product
        self._words = ChoiceRow(_choices(question.words), present)
        self._number = Field(present, limit=7)
        self._reason = Field(placeholder="why, for the log", limit=200)

    def fields(self) -> ComposeResult:
        """What is decided, the answer, its reason, and what it changes."""
        yield said(f"{self._question.name}: {self._question.meaning}", style="bold")
        yield said(f"For all companies. Now {self._present}; the product's own is {self._product}.", gap=True)
        yield said("")
        yield row("Choice", self._words if self._question.words else self._number)
        yield row("Reason", self._reason)
        yield said("")
        yield row("Invoices", self.difference)

    def draft(self) -> str:
        """The answer, another one than now."""
        value = (self._words.value or "") if self._question.words else self._number.value.strip()
        if value == self._present:
            raise FormatWrong(f"{value} is chosen now; choose another.")
        return value

    def answer(self) -> PolicyAnswer:
        """The answer with its reason, once its difference was seen."""
        value = self.previewed()
        with self.about(self._reason):
            return PolicyAnswer(value, check_name(self._reason.value, "The reason", limit=200))

    @on(ChoiceRow.Changed)
    @on(Input.Changed)
    def _edited(self) -> None:
        self.changed()


def _choices(words: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """Each word with a letter of its own that picks it."""
    made: list[tuple[str, str, str]] = []
    for word in words:
        taken = {key for _, _, key in made}
        made.append((word, word, next(letter for letter in word if letter.isalpha() and letter not in taken)))
    return made
