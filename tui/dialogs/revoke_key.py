"""The end of a key, at once and for good."""

from dataclasses import dataclass
from datetime import datetime

from textual.app import ComposeResult

from store.errors import Refused
from store.rules.text import check_name
from tui.dialogs.dialog import Dialog, row, said
from tui.dialogs.edit_expiry import KeyShown
from tui.widgets.field import Field


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How much a key is used: the last time (in the zone it is shown in), from which address, how often in all."""

    last_at: datetime | None
    address: str
    uses: int


class RevokeKeyDialog(Dialog[str]):
    """Dismisses with the reason, once the key's last four characters were written."""

    caption: str = "Revoke key"
    accepting: str = "Revoke"
    cancelling: str | None = "Keep it"

    def __init__(self, key: KeyShown, use: KeyUse) -> None:
        super().__init__(danger=True)
        self._key = key
        self._use = use
        self._reason = Field(placeholder="why, for the log and for those who are told", limit=200)
        self._typed = Field(placeholder="the last four characters of the key", limit=8)

    def fields(self) -> ComposeResult:
        """Which key, what revoking it hits, why, and the proof that it is meant."""
        yield said(str(self._key), style="bold")
        yield said("From the moment you confirm, this key is refused. It cannot be brought back.", gap=True)
        yield said(_impact(self._use))
        yield said("")
        yield row("Reason", self._reason)
        yield row(f"Write {self._key.last}", self._typed)

    def answer(self) -> str:
        """The reason."""
        with self.about(self._reason):
            reason = check_name(self._reason.value, "The reason", limit=200)
        with self.about(self._typed):
            if self._typed.value.strip() != self._key.last:
                raise Refused(f"To revoke this key, write its last four characters as they are: {self._key.last}")
        return reason


def _impact(use: KeyUse) -> str:
    if use.last_at is None:
        return "It has never been used."
    times = "once" if use.uses == 1 else f"{use.uses:,} times"
    return f"It was used {times}, last on {use.last_at:%Y-%m-%d at %H:%M} from {use.address or 'an unknown address'}."
