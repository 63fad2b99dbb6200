"""API Access of a company: on or off, and who hears of its keys."""

from dataclasses import dataclass

from textual.app import ComposeResult

from store.errors import KeydeskError, Refused
from tui.dialogs.confirm import ConfirmDialog
from tui.dialogs.dialog import Dialog, row, said
from tui.widgets.address_list import AddressList
from tui.widgets.field import Field
from tui.widgets.people_picker import PeoplePicker, Person
from tui.widgets.tick import Tick


@dataclass(frozen=True, slots=True)
class ApiAccessShown:
    """What is so now. `users` are those to notify, also one who is no longer active."""

    enabled: bool
    users: tuple[Person, ...]
    emails: tuple[str, ...]
    keys_stopped: int  # how many keys stop working when it is disabled


@dataclass(frozen=True, slots=True)
class ApiAccessDraft:
    """What is to be so."""

    enabled: bool
    user_ids: tuple[int, ...]
    emails: tuple[str, ...]


class ApiAccessDialog(Dialog[ApiAccessDraft]):
    """`people` are the company's active users. Disabling asks first, with the number of keys that stop working."""

    caption: str = "API Access"
    accepting: str = "Save"
    keys: str = "tab next · space/enter tick · ctrl+s save · esc cancel"

    def __init__(self, company: str, now: ApiAccessShown, people: tuple[Person, ...]) -> None:
        super().__init__()
        self._company = company
        self._now = now
        active = {person.id for person in people}
        self._gone = tuple(person for person in now.users if person.id not in active)
        self._enabled = Tick("API keys of this company may be used", ticked=now.enabled)
        self._users = PeoplePicker(people, [person.id for person in now.users if person.id in active])
        self._emails = AddressList(now.emails)

    def fields(self) -> ComposeResult:
        """The three fields, and who drops out by himself."""
        yield said(f"for {self._company}", style="bold")
        yield row("Enabled", self._enabled)
        yield row("Users to\nnotify", self._users)
        if self._gone:
            names = ", ".join(person.name for person in self._gone)
            yield row("", said(f"No longer active, so left out when you save: {names}."))
        yield row("Emails to\nnotify", self._emails)

    def answer(self) -> ApiAccessDraft:
        """The draft; the store checks it again."""
        with self.about(self._users.query_one(Field)):
            if self._enabled.ticked and not self._users.picked:
                raise Refused("API Access needs at least one user to notify before it can be enabled; tick one.")
        with self.about(self._emails.query_one(Field)):
            emails = self._emails.checked()
        return ApiAccessDraft(self._enabled.ticked, tuple(sorted(self._users.picked)), emails)

    def action_accept(self) -> None:
        """Ask before keys stop working."""
        try:
            draft = self.answer()
        except KeydeskError as refused:
            self.refuse(str(refused))
            return
        if not self._now.enabled or draft.enabled:
            self.leave(draft)
            return

        def confirmed(sure: bool | None) -> None:  # noqa: FBT001 (a dialog's answer)
            if sure:
                self.leave(draft)

        question = f"Disable API Access for {self._company}?"
        self.app.push_screen(
            ConfirmDialog(question, (_stops(self._now.keys_stopped),), accept="Disable", danger="danger"), confirmed
        )


def _stops(keys: int) -> str:
    if keys == 0:
        return "No key stops working: the company has none that works now."
    number = "1 key stops" if keys == 1 else f"{keys:,} keys stop"
    return f"{number} working at once. Enabling it again restores those that have not expired by then."
