"""What do the dialogs about API keys ask, refuse, show and forget?"""

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from dialog_stage import Stage, on_stage
from textual.widgets import Button

from store.errors import Refused, StoreUnavailable
from tui.clipboard import osc52
from tui.dialogs.edit_expiry import KeyShown
from tui.dialogs.new_key import NewKeyDialog, NewKeyDraft, ResourceChoice
from tui.dialogs.revoke_key import KeyUse, RevokeKeyDialog
from tui.dialogs.rotate_key import RotateChoice, RotateKeyDialog
from tui.dialogs.show_key import NewKey, ShowKeyDialog
from tui.widgets.tick import Tick

TODAY = date(2026, 11, 23)
KARI = ResourceChoice(1, "Kari Nordmann", "kari@acme.example")
OLA = ResourceChoice(2, "Ola Nordmann", "ola@acme.example")
MANY = [ResourceChoice(n, f"Nils {n}", f"nils{n}@acme.example") for n in range(10, 30)]
KEY = KeyShown("ERP export", "Kari Nordmann", "kdp_4fT8", "x9Qz")
SECRET = "kdp_4fT8kZ0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uVwXyx9Qz"


@dataclass
class World:
    """Two look-ups that answer at once, and remember what they were asked."""

    costed: list[NewKeyDraft] = field(default_factory=list)

    async def search(self, needle: str) -> Sequence[ResourceChoice]:
        return [one for one in (KARI, OLA, *MANY) if needle.casefold() in one.name.casefold()]

    async def cost(self, draft: NewKeyDraft) -> tuple[str, ...]:
        self.costed.append(draft)
        return (f"{draft.environment} {draft.kind} until {draft.expires_on}: NOK 49.00 a month.",)

    def dialog(self, **more: Any) -> NewKeyDialog:
        return NewKeyDialog("ACME Ltd", TODAY, self.search, self.cost, **more)


async def test_a_key_is_made_by_keyboard_alone_and_its_cost_stands_there_before() -> None:
    world = World()
    async with on_stage(world.dialog()) as stage:
        await stage.until_seen("▸ Kari Nordmann kari@acme.example")
        await stage.until_seen("Choose a resource and a date to see it.")
        await stage.write("nordm")
        await stage.until(lambda: not stage.sees("Nils"))
        await stage.press("down", "enter")
        await stage.until_seen("✓ Ola Nordmann ola@acme.example")
        await stage.until_seen("prod standard until 2027-11-23: NOK 49.00 a month.")

        await stage.write("ERP export")
        await stage.press("enter", "s", "enter", "enter", "down", "escape")
        await stage.write("2028-01-31")
        await stage.press("enter", "enter")
        await stage.until_seen("sandbox standard until 2028-01-31: NOK 49.00 a month.")
        assert isinstance(stage.app.focused, Button)
        await stage.press("enter")

    assert stage.answers == [NewKeyDraft(2, "ERP export", "sandbox", "standard", date(2028, 1, 31))]
    assert {draft.label for draft in world.costed} == {""}


async def test_test_fixes_the_date_to_fourteen_days_from_today_and_gives_the_old_one_back() -> None:
    async with on_stage(World().dialog(resource=KARI)) as stage:
        await stage.press("tab")
        await stage.write("a try")
        await stage.press("tab", "a", "tab", "space")
        await stage.until_seen("Mon 7 December 2026, in 14 days (fixed)")
        await stage.until_seen("all test until 2026-12-07: NOK 49.00 a month.")
        await stage.press("space")
        await stage.until_seen("all standard until 2027-11-23: NOK 49.00 a month.")
        await stage.press("space")
        await stage.until_seen("all test until 2026-12-07: NOK 49.00 a month.")
        await stage.press("ctrl+s")

    assert stage.answers == [NewKeyDraft(1, "a try", "all", "test", date(2026, 12, 7))]


async def test_what_is_missing_is_said_and_gets_the_focus() -> None:
    async with on_stage(World().dialog()) as stage:
        await stage.press("ctrl+s")
        await stage.until_seen("Choose the resource the key is for: write a part of the name and press Enter.")

        await stage.write("nobody")
        await stage.until_seen("No active, licensed user of this company matches.")
        await stage.press("home", "shift+end")
        await stage.write("kari")
        await stage.press("enter")  # before the look-up has answered
        await stage.until_seen("✓ Kari Nordmann kari@acme.example")
        await stage.press("ctrl+s")
        await stage.until_seen("The label is empty; write 1 to 64 characters.")
        await stage.write("ERP")
        await stage.press("tab", "tab", "tab", "end", "9", "ctrl+s")
        await stage.until_seen("“2027-11-239” is not a date; write one like 2027-11-23, +90d or eom.")
        assert stage.answers == []
        await stage.press("escape")

    assert stage.answers == [None]


async def test_of_many_matches_eight_are_shown() -> None:
    async with on_stage(World().dialog()) as stage:
        await stage.write("nils")
        await stage.until(lambda: stage.sees("Nils 17") and not stage.sees("Kari"))
        assert not stage.sees("Nils 18")


async def test_a_late_cost_of_another_draft_is_dropped_and_generate_waits_for_the_right_one() -> None:
    slow: dict[str, asyncio.Future[tuple[str, ...]]] = {}

    async def cost(draft: NewKeyDraft) -> tuple[str, ...]:
        slow[draft.environment] = asyncio.get_running_loop().create_future()
        return await asyncio.shield(slow[draft.environment])

    async with on_stage(NewKeyDialog("ACME Ltd", TODAY, World().search, cost, resource=KARI)) as stage:
        await stage.press("tab")
        await stage.write("ERP")
        await stage.until(lambda: "prod" in slow)
        await stage.press("tab", "s")
        await stage.until(lambda: "sandbox" in slow)
        slow["prod"].set_result(("The price of Prod.",))
        await stage.press("ctrl+s")
        assert stage.answers == []
        await stage.until_seen("What it will cost is still being worked out; answer again when it stands above.")
        assert not stage.sees("The price of Prod.")

        slow["sandbox"].set_result(("The price of Sandbox.",))
        await stage.until_seen("The price of Sandbox.")
        await stage.press("ctrl+s")

    assert stage.answers == [NewKeyDraft(1, "ERP", "sandbox", "standard", date(2027, 11, 23))]


async def test_a_look_up_that_fails_says_why_and_a_cost_that_cannot_be_said_stops_nobody() -> None:
    async def search(_: str) -> Sequence[ResourceChoice]:
        raise StoreUnavailable("The store is locked; try again in a minute.")

    async def cost(_: NewKeyDraft) -> tuple[str, ...]:
        raise Refused("There is no price list for November 2026; publish one first.")

    async with on_stage(NewKeyDialog("ACME Ltd", TODAY, search, cost)) as stage:
        await stage.until_seen("The store is locked; try again in a minute.")
    async with on_stage(NewKeyDialog("ACME Ltd", TODAY, search, cost, resource=KARI)) as stage:
        await stage.press("tab")
        await stage.write("ERP")
        await stage.until_seen("There is no price list for November 2026; publish one first.")
        await stage.press("ctrl+s")

    assert stage.answers == [NewKeyDraft(1, "ERP", "prod", "standard", date(2027, 11, 23))]


def shown_key(**more: Any) -> ShowKeyDialog:
    key = NewKey("ACME Ltd", "Kari Nordmann", "ERP export", "all", "Tue 23 November 2027")
    return ShowKeyDialog(SECRET, key, **more)


def everything_in(dialog: ShowKeyDialog, stage: Stage) -> str:
    """All that a look at the dialog could find, on the screen and behind it."""
    nodes = [dialog, *dialog.walk_children()]
    attributes = [repr(value) for node in nodes for name, value in vars(node).items() if name != "_nodes"]
    return "\n".join([*stage.lines(), *map(repr, nodes), *attributes, stage.app.title, stage.app.clipboard])


async def test_a_new_key_is_left_only_by_ticking_and_then_enter() -> None:
    async with on_stage(shown_key()) as stage:
        await stage.until_seen(SECRET)
        await stage.until_seen("keydesk key accept --environment prod")

        await stage.press("escape")
        await stage.until_seen("The key is lost if you leave without storing it")
        await stage.press("enter", "q", "ctrl+s", "tab", "enter", "backspace")
        assert stage.answers == []
        await stage.until_seen("Store the key first, then tick the box with Space and press Enter.")
        assert not stage.app.screen.may_quit  # type: ignore[attr-defined]

        stage.app.screen.query_one(Tick).focus()
        await stage.press("space", "space", "enter")
        assert stage.answers == []
        await stage.press("space", "escape")
        assert stage.answers == []
        await stage.press("enter")

    assert stage.answers == [None]


async def test_the_secret_is_in_no_repr_and_gone_once_the_dialog_is_left() -> None:
    dialog = shown_key()
    async with on_stage(dialog) as stage:
        nodes = [dialog, *dialog.walk_children()]
        assert not [node for node in nodes if SECRET in repr(node) or SECRET in str(node)]
        assert SECRET in everything_in(dialog, stage)
        await stage.press("c", "space", "enter")
        await stage.until(lambda: stage.answers == [None])

        assert SECRET not in everything_in(dialog, stage)
        assert not stage.sees(SECRET)


async def test_the_secret_goes_to_the_terminal_only_by_its_key_and_nothing_claims_that_it_arrived() -> None:
    copy = f"\x1b]52;c;{b64encode(SECRET.encode()).decode()}\x07"
    for tmux, expected in ((False, copy), (True, f"{copy}\x1bPtmux;\x1b{copy}\x1b\\")):
        sent: list[str] = []
        async with on_stage(shown_key(tmux=tmux)) as stage:
            stage.app._driver.write = sent.append  # type: ignore[union-attr, method-assign]
            await stage.press("tab", "shift+tab", "escape")
            assert "]52;" not in "".join(sent)

            for key in ("c", "ctrl+c"):
                sent.clear()
                await stage.press(key)
                assert expected in sent
            await stage.until_seen("Sent to your terminal; it may not have taken it. If not, select it by hand")
            assert stage.app.clipboard == ""


async def test_copying_can_be_forbidden() -> None:
    sent: list[str] = []
    async with on_stage(shown_key(may_copy=False)) as stage:
        stage.app._driver.write = sent.append  # type: ignore[union-attr, method-assign]
        await stage.press("c", "ctrl+c")

        assert "]52;" not in "".join(sent)
        await stage.until_seen("Copying is switched off.")


def test_a_copy_inside_tmux_is_sent_twice_once_for_tmux_itself_and_once_for_the_terminal_around_it() -> None:
    assert osc52("key", tmux=False) == "\x1b]52;c;a2V5\x07"
    assert osc52("key", tmux=True) == "\x1b]52;c;a2V5\x07\x1bPtmux;\x1b\x1b]52;c;a2V5\x07\x1b\\"


async def test_rotating_says_until_when_the_old_key_works_and_its_cost_follows_the_date() -> None:
    answered = asyncio.Event()
    answered.set()

    async def cost(day: date) -> tuple[str, ...]:
        await answered.wait()
        return (f"Until {day}: included, 7 of 12.",)

    dialog = RotateKeyDialog(KEY, "Mon 30 November 2026 at 14:05", TODAY, date(2028, 11, 23), cost)
    async with on_stage(dialog) as stage:
        await stage.until_seen("The old key works until Mon 30 November 2026 at 14:05 and then retires")
        await stage.until_seen("Until 2028-11-23: included, 7 of 12.")
        await stage.write("2028-11-24")
        await stage.press("enter")
        assert stage.answers == []
        answered.clear()
        await stage.press("home", "shift+end")
        await stage.write("+365d")
        await stage.press("enter")
        await stage.until_seen("What it changes is still being worked out")
        answered.set()
        await stage.until_seen("Until 2027-11-23: included, 7 of 12.")
        await stage.press("enter", "enter")

    assert stage.answers == [RotateChoice(date(2027, 11, 23))]


async def test_revoking_shows_what_it_hits_and_wants_a_reason_and_the_last_four_characters() -> None:
    use = KeyUse(datetime(2026, 11, 22, 13, 5), "192.0.2.7", 12003)
    async with on_stage(RevokeKeyDialog(KEY, use)) as stage:
        await stage.until_seen("ERP export · Kari Nordmann · kdp_4fT8…x9Qz")
        await stage.until_seen("It was used 12,003 times, last on 2026-11-22 at 13:05 from 192.0.2.7.")
        await stage.press("ctrl+s")
        await stage.until_seen("The reason is empty; write 1 to 200 characters.")
        await stage.write("seen in a public repository")
        await stage.press("ctrl+s")
        await stage.until_seen("To revoke this key, write its last four characters as they are: x9Qz")
        await stage.write("X9QZ")
        await stage.press("enter", "enter")
        assert stage.answers == []
        await stage.press("home", "shift+end")
        await stage.write("x9Qz")
        await stage.press("enter", "enter")

    assert stage.answers == ["seen in a public repository"]


async def test_revoking_says_so_when_a_key_was_never_used_or_once() -> None:
    async with on_stage(RevokeKeyDialog(KEY, KeyUse(None, "", 0))) as stage:
        await stage.until_seen("It has never been used.")
        await stage.press("escape")
    assert stage.answers == [None]
    async with on_stage(RevokeKeyDialog(KEY, KeyUse(datetime(2026, 11, 22, 13, 5), "", 1))) as stage:
        await stage.until_seen("It was used once, last on 2026-11-22 at 13:05 from an unknown address.")
