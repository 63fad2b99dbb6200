"""What can a name do to the desk that asks about it?"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

import pytest
from dialog_stage import on_stage

from store.errors import Refused
from tui.dialogs.api_access import ApiAccessDialog, ApiAccessShown
from tui.dialogs.confirm import ConfirmDialog
from tui.dialogs.dialog import Dialog
from tui.dialogs.edit_expiry import EditExpiryDialog, KeyShown
from tui.dialogs.help import HelpDialog, HelpLine
from tui.dialogs.message import MessageDialog
from tui.dialogs.new_key import NewKeyDialog, NewKeyDraft, ResourceChoice
from tui.dialogs.read_text import ReadTextDialog
from tui.dialogs.reasoned import CreditMonthDialog
from tui.dialogs.revoke_key import KeyUse, RevokeKeyDialog
from tui.dialogs.rotate_key import RotateKeyDialog
from tui.dialogs.show_key import NewKey, ShowKeyDialog
from tui.dialogs.welcome import WelcomeDialog
from tui.widgets.people_picker import Person

TODAY = date(2026, 11, 23)
NAMES = [
    "[@click=screen.dismiss(True)]ACME[/]",
    "[ @click=app.exit]ACME [/] Ltd [/nope] [a='b",
    "\x1b]52;c;eA==\x1b\\ \x1b[2J \x9b2J \x07\r\n\0 \u202eevil\u2066 \ue000 \ud800 %s {{7*7}} {name} 中文 "
    + "n" * 4096,
]


def new_key(name: str) -> NewKeyDialog:
    resource = ResourceChoice(1, name, name)

    async def search(_: str) -> Sequence[ResourceChoice]:
        return [resource]

    async def cost(_: NewKeyDraft) -> tuple[str, ...]:
        raise Refused(name)

    return NewKeyDialog(name, TODAY, search, cost)


def picked_key(name: str) -> NewKeyDialog:
    async def search(_: str) -> Sequence[ResourceChoice]:
        raise Refused(name)

    async def cost(_: NewKeyDraft) -> tuple[str, ...]:
        return (name, name)

    return NewKeyDialog(name, TODAY, search, cost, resource=ResourceChoice(1, name, name))


def rotate_key(name: str) -> RotateKeyDialog:
    async def cost(_: date) -> tuple[str, ...]:
        return (name,)

    return RotateKeyDialog(KeyShown(name, name, name, name), name, TODAY, TODAY, cost)


def api_access(name: str) -> ApiAccessDialog:
    person = Person(1, name, name)
    shown = ApiAccessShown(enabled=True, users=(person, Person(2, name, name)), emails=(), keys_stopped=1)
    return ApiAccessDialog(name, shown, (person,))


DIALOGS: dict[str, Callable[[str], Dialog[Any]]] = {
    "new key": new_key,
    "new key, picked": picked_key,
    "show key": lambda name: ShowKeyDialog("kdp_secret", NewKey(name, name, name, "prod", name)),
    "edit": lambda name: EditExpiryDialog(KeyShown(name, name, name, name), "standard", TODAY, TODAY),
    "rotate": rotate_key,
    "credit": lambda name: CreditMonthDialog(name, name, name, danger=True),
    "revoke": lambda name: RevokeKeyDialog(
        KeyShown(name, name, name, name), KeyUse(datetime(2026, 11, 22, 13, 5), name, 2)
    ),
    "API Access": api_access,
    "confirm": lambda name: ConfirmDialog(name, (name,), accept=name, danger="grave", word=name),
    "welcome": lambda name: WelcomeDialog(vendor=name, prefix=name, time_zone=name),
    "help": lambda name: HelpDialog([HelpLine(name, name, name)]),
    "message": lambda name: MessageDialog(name, refused=True),
    "read": lambda name: ReadTextDialog(name, (name,), f"{name}\n{name}"),
}


@pytest.mark.parametrize("kind", DIALOGS)
async def test_no_name_crashes_a_dialog_acts_by_being_clicked_or_reaches_the_terminal_raw(kind: str) -> None:
    for name in NAMES:
        async with on_stage(DIALOGS[kind](name)) as stage:
            assert [line for line in stage.lines() if not line.isprintable()] == []

            for x, y in [(line.index("ACME"), y) for y, line in enumerate(stage.lines()) if "ACME" in line]:
                await stage.pilot.click(offset=(x + 2, y))
            assert stage.answers == []

            await stage.press("ctrl+s")
            assert [line for line in stage.lines() if not line.isprintable()] == []
            assert stage.app.is_running
