"""What do the other dialogs ask, refuse and answer?"""

from pathlib import Path

import pytest
from dialog_stage import on_stage
from textual.events import Key, Paste
from textual.widgets import Button

from tui.dialogs.api_access import ApiAccessDialog, ApiAccessDraft, ApiAccessShown
from tui.dialogs.confirm import ConfirmDialog
from tui.dialogs.help import HelpDialog, HelpLine
from tui.dialogs.message import MessageDialog
from tui.dialogs.read_text import ReadTextDialog
from tui.dialogs.welcome import WelcomeDialog, WelcomeDraft
from tui.widgets.people_picker import Person

KARI = Person(7, "Kari Nordmann", "kari@acme.example")
OLA = Person(3, "Ola Nordmann", "ola@acme.example")
GONE = Person(9, "Per Gone", "per@acme.example")
OFF = ApiAccessShown(enabled=False, users=(), emails=(), keys_stopped=0)
ON = ApiAccessShown(enabled=True, users=(OLA, GONE), emails=("ops@acme.example",), keys_stopped=12)


async def test_api_access_is_enabled_only_with_a_user_to_notify() -> None:
    async with on_stage(ApiAccessDialog("ACME Ltd", OFF, (OLA, KARI))) as stage:
        await stage.press("space", "ctrl+s")
        assert stage.answers == []
        await stage.until_seen("API Access needs at least one user to notify before it can be enabled; tick one.")

        await stage.write("kari")
        await stage.until_seen("▸ [ ] Kari Nordmann kari@acme.example")
        await stage.press("enter")
        await stage.until_seen("1 ticked · 1 shown")
        await stage.press("ctrl+s")

    assert stage.answers == [ApiAccessDraft(enabled=True, user_ids=(7,), emails=())]


async def test_addresses_are_checked_and_shown_as_they_will_be_used() -> None:
    async with on_stage(ApiAccessDialog("ACME Ltd", ON, (OLA, KARI))) as stage:
        await stage.press("tab", "tab")
        await stage.write("nobody")
        await stage.press("enter")
        await stage.until_seen("“nobody” is not an email address that can be used")
        await stage.press("home", "shift+end", "delete")
        await stage.write("  Post@BÜCHER.example ")
        await stage.press("enter")
        await stage.until_seen("▸ Post@bücher.example")
        await stage.write("post@xn--bcher-kva.example")
        await stage.press("enter")
        await stage.until_seen("is in the list already")
        await stage.write("a@b.example,\nc@d.example; wrong")
        await stage.press("ctrl+s")
        assert stage.answers == []
        await stage.until_seen("“wrong” is not an email address that can be used")
        await stage.press("home", "shift+end", "delete", "up", "delete")
        await stage.until_seen("a@b.example was taken out.")
        await stage.write("e@f.example")  # not added yet: saving takes it too
        await stage.press("ctrl+s")

    emails = ("ops@acme.example", "Post@bücher.example", "c@d.example", "e@f.example")
    assert stage.answers == [ApiAccessDraft(enabled=True, user_ids=(3,), emails=emails)]


async def test_a_stored_address_that_is_none_any_more_waits_to_be_corrected() -> None:
    shown = ApiAccessShown(enabled=True, users=(OLA,), emails=("old@", "ops@acme.example"), keys_stopped=1)
    async with on_stage(ApiAccessDialog("ACME Ltd", shown, (OLA,))) as stage:
        await stage.press("ctrl+s")
        await stage.until_seen("“old@” is not an email address that can be used")
        await stage.press("home", "shift+end", "delete", "ctrl+s")

    assert stage.answers == [ApiAccessDraft(enabled=True, user_ids=(3,), emails=("ops@acme.example",))]


async def test_disabling_asks_with_the_number_of_keys_that_stop_working() -> None:
    async with on_stage(ApiAccessDialog("ACME Ltd", ON, (OLA, KARI))) as stage:
        await stage.until_seen("No longer active, so left out when you save: Per Gone.")
        await stage.press("space", "ctrl+s")
        await stage.until_seen("Disable API Access for ACME Ltd?")
        await stage.until_seen("12 keys stop working at once.")
        await stage.press("enter")  # begins at Cancel
        assert stage.answers == []
        await stage.press("ctrl+s", "y")

    assert stage.answers == [ApiAccessDraft(enabled=False, user_ids=(3,), emails=("ops@acme.example",))]


async def test_people_are_found_among_thousands_and_the_ticked_ones_stand_first() -> None:
    people = tuple(Person(n, f"User {n:04}", f"user{n}@acme.example") for n in range(5000))
    shown = ApiAccessShown(enabled=True, users=people[4000:4002], emails=(), keys_stopped=0)
    async with on_stage(ApiAccessDialog("ACME Ltd", shown, people)) as stage:
        await stage.until_seen("[x] User 4000 user4000@acme.example [x] User 4001")
        await stage.until_seen("2 ticked · 5,000 shown")
        await stage.press("tab", "pagedown", "pagedown", "enter")
        await stage.until_seen("▸ [x] User 0010")
        await stage.press("up", "up", "up", "up", "up", "up", "up", "up", "up", "up", "up", "up", "up", "enter")
        await stage.press("ctrl+s")

    assert stage.answers == [ApiAccessDraft(enabled=True, user_ids=(10, 4001), emails=())]


async def test_a_grave_question_wants_its_word() -> None:
    dialog = ConfirmDialog("Delete ACME?", ("It is gone.",), accept="Delete", danger="grave", word="ACME Ltd")
    async with on_stage(dialog) as stage:
        await stage.press("y", "ctrl+s")
        await stage.until_seen("To confirm, write ACME Ltd")
        assert stage.answers == []
        await stage.press("home", "shift+end")
        await stage.write("ACME Ltd")
        await stage.press("enter", "enter")

    assert stage.answers == [True]


@pytest.mark.parametrize(
    ("danger", "key", "answer"),
    [
        ("undoable", "enter", True),
        ("undoable", "y", True),
        ("danger", "enter", None),
        ("danger", "y", True),
        ("danger", "n", None),
        ("danger", "escape", None),
    ],
)
async def test_only_an_undoable_act_is_done_by_enter_in_passing(danger: str, key: str, answer: bool | None) -> None:
    async with on_stage(ConfirmDialog("Go on?", danger=danger)) as stage:  # type: ignore[arg-type]
        await stage.press(key)

    assert stage.answers == [answer]


async def test_arrows_walk_between_the_buttons() -> None:
    async with on_stage(ConfirmDialog("Go on?", danger="danger")) as stage:
        await stage.press("left")
        assert isinstance(stage.app.focused, Button)
        assert stage.app.focused.id == "accept"
        await stage.press("right", "enter")

    assert stage.answers == [None]


async def test_keys_that_come_in_one_burst_land_in_the_field_they_were_meant_for() -> None:
    async with on_stage(WelcomeDialog()) as stage:
        for key in ("f", "j", "tab", "x", "tab", "shift+tab", "y"):
            stage.app._driver.send_message(Key(key, key if len(key) == 1 else None))  # type: ignore[union-attr]
        await stage.until_seen("Vendor fj")
        await stage.until_seen("Key prefix y")


async def test_an_installation_is_told_its_vendor_prefix_and_time_zone(tmp_path: Path) -> None:
    companies = tmp_path / "companies.csv"
    companies.touch()
    async with on_stage(WelcomeDialog()) as stage:
        await stage.press("ctrl+s")
        await stage.until_seen("The vendor's name is empty; write 1 to 64 characters.")
        await stage.write("Fjord Software")
        await stage.press("enter")
        await stage.write("9x")
        await stage.press("ctrl+s")
        await stage.until_seen("A key prefix is 2 to 16 small letters and digits (a-z, 0-9) and starts with a letter.")
        await stage.press("home", "shift+end")
        await stage.write("fj")
        await stage.press("enter", "ctrl+s")
        await stage.until_seen("Choose a time zone: write a part of its name, like Oslo, and press Enter.")
        await stage.write("new york")
        await stage.press("enter")
        await stage.until_seen("✓ America/New_York")
        await stage.write(str(tmp_path / "missing.csv"))
        await stage.press("ctrl+s")
        await stage.until_seen("correct the path or leave it empty.")
        await stage.press("home", "shift+end")
        await stage.write(str(companies))
        await stage.press("enter", "enter")

    assert stage.answers == [WelcomeDraft("Fjord Software", "fj", "America/New_York", companies)]


async def test_help_is_searched_and_says_why_something_cannot_be_done_now() -> None:
    lines = [HelpLine("n", "New key"), HelpLine("x", "Revoke key", "it was revoked already")]
    many = [HelpLine(f"f{n}", f"Act number {n}") for n in range(60)]
    async with on_stage(HelpDialog([*lines, *many])) as stage:
        await stage.until_seen("x Revoke key (it was revoked already)")
        await stage.until_seen("62 of 62")
        await stage.press("pagedown", "pagedown", "pagedown", "pagedown", "pagedown")
        await stage.until_seen("▸ f59 Act number 59")
        await stage.write("revoke")
        await stage.until_seen("1 of 62")
        await stage.write("d")
        await stage.until_seen("Nothing matches.")
        await stage.press("enter")

    assert stage.answers == [None]


async def test_a_reason_too_long_for_its_line_stands_in_full_below_while_the_cursor_is_on_it() -> None:
    reason = "berit (company-admin) may not do this here; an operator of the vendor may, so ask one of them."
    async with on_stage(HelpDialog([HelpLine("n", "New key"), HelpLine("x", "Revoke key", reason)])) as stage:
        await stage.until_seen("2 of 2")
        assert not stage.sees("so ask one of them.")
        await stage.press("down")
        await stage.until_seen(reason)


@pytest.mark.parametrize("key", ["enter", "escape", "q", "backspace"])
async def test_a_message_is_closed_by_any_of_the_usual_keys(key: str) -> None:
    async with on_stage(
        MessageDialog("This key was revoked already, by ola; nothing was changed.", refused=True)
    ) as stage:
        await stage.until_seen("This key was revoked already, by ola; nothing was changed.")
        await stage.press(key)

    assert stage.answers == [None]


async def test_a_long_text_scrolls_by_keys_under_a_head_that_stays() -> None:
    mail = "\n".join(f"Line {n} of the mail\tend" for n in range(1, 201))
    async with on_stage(ReadTextDialog("Mail", ("To: kari@acme.example",), mail)) as stage:
        await stage.until_seen("Line 1 of the mail")
        await stage.press("end")
        await stage.until_seen("Line 200 of the mail")
        await stage.until_seen("To: kari@acme.example")
        await stage.press("home", "pagedown", "down")
        await stage.until(lambda: not stage.sees("Line 1 of the mail"))
        await stage.press("q")

    assert stage.answers == [None]


async def test_a_paste_leaves_no_character_in_a_field_that_cannot_be_seen() -> None:
    async with on_stage(ConfirmDialog("Go on?", word="ACME", danger="grave")) as stage:
        assert stage.app.focused is not None
        stage.app.focused.post_message(Paste("\u200bAC\x1b]52;c;eA\x07\u202eME"))
        await stage.until_seen("AC]52;c;eAME")
