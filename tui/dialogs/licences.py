"""How many licensed users a company pays for, from a day on."""

from dataclasses import dataclass
from datetime import date, timedelta

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input

from store import licences
from tui.dialogs.dialog import row, said
from tui.dialogs.previewed import Preview, PreviewedDialog
from tui.widgets.date_input import DateInput
from tui.widgets.field import Field


@dataclass(frozen=True, slots=True)
class LicenceDraft:
    """So many from that local day on."""

    licences: int
    day: date


class LicencesDialog(PreviewedDialog[LicenceDraft, LicenceDraft]):
    """Saving waits until it has been shown what the months become."""

    caption: str = "Licences"

    def __init__(self, company: str, number: int, today: date, preview: Preview[LicenceDraft]) -> None:
        super().__init__(preview)
        self._company = company
        self._before = number
        self._number = Field(str(number), limit=9)
        self._day = DateInput(
            today,
            today,
            first=today - timedelta(days=400),
            last=today + timedelta(days=400),
            rule=lambda day: licences.check_day(day, today),
        )

    def fields(self) -> ComposeResult:
        """The number, its first day, and what that changes."""
        yield said(f"{self._company} pays for {self._before:,} licensed users today.", style="bold")
        yield said("")
        yield row("Licences", self._number)
        yield row("From", self._day)
        yield said("")
        yield row("Invoice", self.difference)

    def draft(self) -> LicenceDraft:
        """Number and day."""
        return LicenceDraft(licences.parse(self._number.value), self._day.checked())

    def answer(self) -> LicenceDraft:
        """The same, once seen."""
        with self.about(self._number):
            licences.parse(self._number.value)
        with self.about(self._day.query_one(Field)):
            self._day.checked()
        return self.previewed()

    @on(Input.Changed)
    @on(DateInput.Changed)
    def _edited(self) -> None:
        self.changed()
