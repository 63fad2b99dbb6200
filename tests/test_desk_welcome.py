"""What does the desk ask in a store that was never set up?"""

from pathlib import Path

import pytest
from desk_stage import at_the_desk
from desk_world import AUDITOR

from store import installation
from store.tables import Company

pytestmark = pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)
EXAMPLES = Path(__file__).parent.parent / "examples"


async def test_it_asks_once_takes_in_what_is_named_and_shows_it(empty_store: str) -> None:
    async with at_the_desk() as desk:
        await desk.until_seen("Welcome to Keydesk")
        await desk.write("Vendor AS")
        await desk.press("enter", "enter", "enter")
        await desk.write(str(EXAMPLES))
        await desk.press("ctrl+s")
        await desk.until_seen("companies: 12 new")
        await desk.press("enter")
        await desk.until_seen("1 of 12 companies")

    assert installation.get().vendor == "Vendor AS"
    assert Company.select().count() == 12
    async with at_the_desk() as desk:
        assert desk.sees("1 of 12 companies")
        assert not desk.sees("Welcome to Keydesk")


async def test_who_cannot_set_it_up_is_not_asked(empty_store: str) -> None:
    for actor, read_only in ((AUDITOR, False), (AUDITOR, True)):
        async with at_the_desk(actor, read_only=read_only) as desk:
            await desk.until_seen("There are no companies yet.")
            assert not desk.sees("Welcome to Keydesk")


async def test_who_leaves_the_questions_is_told_what_is_missing(empty_store: str) -> None:
    async with at_the_desk() as desk:
        await desk.until_seen("Welcome to Keydesk")
        await desk.press("escape")
        await desk.until_seen("The store is not set up yet, so no key can be made.")

    assert installation.read() is None
