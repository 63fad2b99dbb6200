"""Can a name that somebody else wrote act, crash the desk, or reach the terminal raw?"""

import unicodedata

import pytest
from desk_stage import DeskStage, at_the_desk
from hostile_world import hostile_world

from store.tables import Event, Key

pytestmark = pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)


def hidden(desk: DeskStage) -> list[str]:
    """Characters on the screen that no terminal should get."""
    text = "".join(segment.text for strip in desk.app.screen._compositor.render_strips() for segment in strip)
    joiners = {"\u200c", "\u200d"}
    return [one for one in text if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and one not in joiners]


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_no_name_acts_crashes_or_hides_on_any_page(empty_store: str, size: tuple[int, int]) -> None:
    fjord = hostile_world()
    before = (Event.select().count(), Key.select().where(Key.revoked_at.is_null(False)).count())

    async with at_the_desk(size=size) as desk:
        seen = 0
        for section in ("1", "2", "3", "v", "4", "5", "6"):
            await desk.press(section)
            await desk.settled()
            assert hidden(desk) == []
            seen += len(desk.page.section.table.ids)
            if section != "1":
                await open_and_leave(desk)
        await desk.press("1", "enter")
        await desk.settled()
        for _ in desk.page.tabs.tabs:
            assert hidden(desk) == []
            seen += len(desk.page.section.table.ids)
            await open_and_leave(desk)
            await desk.pilot.click(desk.page.section.table, offset=(3, 1))
            await desk.press("tab")
            await desk.settled()
        await desk.press("T")
        await desk.settled()
        assert hidden(desk) == []
        for dialog in ("n", "e", "r", "x", "question_mark", "ctrl+p"):
            await desk.press("2", "end", dialog)
            await desk.pilot.pause()
            assert hidden(desk) == []
            await desk.press("escape")
            await desk.pilot.pause()

        assert desk.app.is_running
        assert seen > 60
        assert fjord.id == 1

    assert (Event.select().count(), Key.select().where(Key.revoked_at.is_null(False)).count()) == before


async def open_and_leave(desk: DeskStage) -> None:
    """Enter on the row under the cursor, look, and back."""
    page = desk.page
    await desk.press("enter")
    await desk.pilot.pause(0.05)
    assert hidden(desk) == []
    if desk.app.screen is not page:
        await desk.press("escape")
        await desk.pilot.pause()
