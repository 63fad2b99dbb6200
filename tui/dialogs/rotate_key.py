"""A successor for a key, and how long the old one goes on."""

from dataclasses import dataclass
from datetime import date

from textual import on
from textual.app import ComposeResult

from store.rules import expiry
from tui.dialogs.dialog import row, said
from tui.dialogs.edit_expiry import KeyShown
from tui.dialogs.new_key import quick_dates
from tui.dialogs.previewed import Preview, PreviewedDialog
from tui.widgets.date_input import DateInput
from tui.widgets.field import Field


@dataclass(frozen=True, slots=True)
class RotateChoice:
    """The successor's expiry date."""

    expires_on: date


class RotateKeyDialog(PreviewedDialog[RotateChoice, date]):
    """`works_until` says when the old key retires, in the company's time; `cost` what a successor with a date costs."""

    caption: str = "Rotate key"
    accepting: str = "Rotate"
    keys: str = "enter rotate · f2 calendar · esc cancel"

    def __init__(
        self,
        key: KeyShown,
        works_until: str,
        today: date,
        proposed: date,
        cost: Preview[date],
    ) -> None:
        super().__init__(cost)
        self._key = key
        self._works_until = works_until
        self._expiry = DateInput(
            today,
            proposed,
            first=today,
            last=expiry.latest(today),
            rule=lambda day: expiry.check(day, today),
            quick=quick_dates(today),
        )

    def fields(self) -> ComposeResult:
        """Which key, what happens to it, the successor's date."""
        yield said(str(self._key), style="bold")
        yield said(
            "A new key with the same resource, environment and label is made and shown once.",
            f"The old key works until {self._works_until} and then retires; a key is rotated once.",
            gap=True,
        )
        yield said("")
        yield row("New key until", self._expiry)
        yield row("Cost", self.difference)

    def draft(self) -> date:
        """The date."""
        return self._expiry.checked()

    def answer(self) -> RotateChoice:
        """The successor's date, once its cost was seen."""
        with self.about(self._expiry.query_one(Field)):
            return RotateChoice(self.previewed())

    def action_advance(self) -> None:
        """The only field: Enter rotates."""
        self.action_accept()

    @on(DateInput.Changed)
    def _edited(self) -> None:
        self.changed()
