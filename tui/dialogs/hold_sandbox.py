"""A sandbox is left as it is: why, and for how long."""

from dataclasses import dataclass
from datetime import date

from textual.app import ComposeResult

from store.errors import Refused
from store.rules.text import check_name
from tui.dialogs.dialog import Dialog, row, said
from tui.widgets.date_input import parse_date
from tui.widgets.field import Field


@dataclass(frozen=True, slots=True)
class HoldDraft:
    """The reason, and the last night that is held; None: until it is released."""

    reason: str
    last_night: date | None


class HoldSandboxDialog(Dialog[HoldDraft]):
    """The last night may be left empty."""

    caption: str = "Hold the sandbox"
    accepting: str = "Hold"

    def __init__(self, company: str, data: str, today: date) -> None:
        super().__init__()
        self._company = company
        self._data = data
        self._today = today
        self._reason = Field(placeholder="who needs it as it is, and for what", limit=200)
        self._last = Field(placeholder="empty: until it is released; or 2026-12-01, +7d", limit=20)

    def fields(self) -> ComposeResult:
        """What it holds now, what follows, why and for how long."""
        yield said(f"The sandbox of {self._company}", style="bold")
        yield said(self._data)
        yield said("Its nights are held: no refresh begins. One that runs goes on to its end.", gap=True)
        yield said("")
        yield row("Reason", self._reason)
        yield row("Last night", self._last)

    def answer(self) -> HoldDraft:
        """Both, checked."""
        with self.about(self._reason):
            reason = check_name(self._reason.value, "The reason", limit=200)
        with self.about(self._last):
            last = parse_date(self._last.value, self._today) if self._last.value.strip() else None
            if last is not None and last < self._today:
                raise Refused(f"The last night that is held must not be over; name {self._today} or a later day.")
        return HoldDraft(reason, last)
