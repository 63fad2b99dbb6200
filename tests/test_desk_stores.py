"""Is the desk the same on either database?"""

from desk_stage import at_the_desk
from desk_world import NOW, small_world

from store import keys
from store.tables import Key


async def test_lists_filters_and_changes_are_the_same_on_either(empty_store: str) -> None:
    small_world()
    erp = Key.get(Key.label == "ERP export")

    async with at_the_desk(size=(120, 30)) as desk:
        await desk.until_seen("Fjord AS C0001 on 7 12 due 2026-11-23")
        for section, words in (("2", "1 of 11 keys"), ("3", "mails"), ("v", "1 of 1 notice"), ("4", "1 of 5 runs")):
            await desk.press(section)
            await desk.until_seen(words)
        await desk.press("1", "enter")
        await desk.until_seen("1 of 10 keys")
        await desk.typed("/")
        await desk.write("erp state:live")
        await desk.until_seen("1 of 1 key")
        await desk.until_seen("2026-11-23 live")
        await desk.press("enter", "enter")
        await desk.until_seen("48,211 times")
        await desk.press("escape", "x")
        await desk.until_seen("Revoke key")
        await desk.write("left the company")
        await desk.press("tab")
        await desk.write(erp.last)
        await desk.press("ctrl+s")
        await desk.until_seen("is revoked; it is refused from now on.")
        await desk.until_seen("no keys")
        for _ in range(5):
            await desk.press("tab")
            await desk.settled()
            await desk.until(lambda: desk.page.section.row is not None)

    assert keys.get(erp.id).revoked_at == NOW
