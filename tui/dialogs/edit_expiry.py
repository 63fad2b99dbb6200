"""Another expiry date for a key."""

from dataclasses import dataclass
from datetime import date

from textual.app import ComposeResult

from store.rules import expiry
from store.rules.expiry import Kind
from tui.dialogs.dialog import Dialog, row, said
from tui.dialogs.new_key import quick_dates
from tui.widgets.date_input import DateInput, spelled
from tui.widgets.field import Field


@dataclass(frozen=True, slots=True)
class KeyShown:
    """A key as people recognise it; `last` are its last four characters."""

    label: str
    resource: str
    first: str
    last: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.label} · {self.resource} · {self.first}…{self.last}"


class EditExpiryDialog(Dialog[date]):
    """Dismisses with the date, which the rules allow; the same date is no change and gives None."""

    caption: str = "Edit expiry date"
    accepting: str = "Save"
    keys: str = "enter save · f2 calendar · esc cancel"

    def __init__(self, key: KeyShown, kind: Kind, expires_on: date, today: date) -> None:
        super().__init__()
        self._key = key
        self._kind = kind
        self._old = expires_on
        self._today = today
        latest = min(expires_on, expiry.latest(today)) if kind == "test" else expiry.latest(today)
        self._expiry = DateInput(
            today,
            expires_on,
            first=today,
            last=latest,
            rule=lambda day: expiry.check_edit(kind, expires_on, day, today),
            quick=() if kind == "test" else quick_dates(today),
        )
        self._latest = latest

    def fields(self) -> ComposeResult:
        """What it is now, what it may become."""
        yield said(str(self._key), style="bold")
        yield row("Now", said(spelled(self._old, self._today)))
        yield row("Expiry date", self._expiry)
        yield said(self._limits(), gap=True)

    def answer(self) -> date:
        """The new date."""
        with self.about(self._expiry.query_one(Field)):
            return self._expiry.checked()

    def action_advance(self) -> None:
        """The only field: Enter saves."""
        self.action_accept()

    def leave(self, answer: date | None) -> None:
        """The same date asks for nothing."""
        super().leave(None if answer == self._old else answer)

    def _limits(self) -> str:
        if self._kind == "standard":
            return f"It may be any day from {self._today} to {self._latest}: at most two years from today."
        if self._latest < self._today:
            return "This test key has expired, and a test key is never lengthened."
        return f"A test key can only be shortened: any day from {self._today} to {self._latest}."
