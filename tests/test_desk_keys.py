"""Can an admin find, issue, extend, rotate and revoke keys by keyboard alone, and does nothing move by itself?"""

import pytest
from desk_stage import at_the_desk
from desk_world import AUDITOR, KARI, NOW, company, enable, key, small_world, user

from store import companies, integrations, keys
from store.actors import Actor
from store.rules import key_format
from store.tables import Event, Key, User

pytestmark = pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)


async def test_the_first_page_lists_companies_and_enter_leads_to_keys_and_escape_back(empty_store: str) -> None:
    small_world()

    async with at_the_desk() as desk:
        assert desk.tabs == ["1 Companies", "2 All keys", "3 Mails", "4 Worker", "5 Invoices", "6 Prices"]
        assert "back" not in desk.hints
        assert [desk.sees(name) for name in ("Fjord AS", "Kiwi Ltd", "Tun ehf", "1 of 3 companies")] == [True] * 4

        await desk.press("enter")
        await desk.until_seen("Companies › Fjord AS › API keys")
        await desk.settled()
        assert desk.sees("Expiring soon Ola Nordma… Prod std 2026-12-01 8d never expiring")
        assert desk.sees("ERP export Ola Nordma… Prod std 2027-06-01 190d 2026-11-23 live")
        assert desk.sees("Over Ola Nordma… Prod std 2026-11-01 22d ago never expired")

        await desk.press("escape")
        await desk.until_seen("1 of 3 companies")
        await desk.press("q")
        assert desk.message == "This is the first page; ^q leaves the desk."


async def test_a_key_is_made_by_keyboard_shown_once_and_then_under_the_cursor(empty_store: str) -> None:
    fjord = small_world()

    async with at_the_desk() as desk:
        await desk.press("enter")
        await desk.until_seen("1 of 10 keys")
        await desk.press("n")
        await desk.until_seen("New API key")
        await desk.write("ola")
        await desk.until_seen("▸ Ola Nordmann")
        await desk.press("enter")
        await desk.write("Web shop")
        await desk.until_seen("No price list")
        await desk.press("ctrl+s")
        await desk.until_seen("shown only now")
        secret = next(word for line in desk.lines() for word in line.split() if key_format.parse(word))
        await desk.press("ctrl+q", "escape")
        assert desk.sees("shown only now")
        await desk.press("space", "enter")
        await desk.until_seen("its recipients are told")
        await desk.settled()

        made = Key.get(Key.label == "Web shop")
        assert (made.company_id, made.first, made.last) == (fjord.id, secret[:8], secret[-4:])
        assert desk.page.section.row.id == made.id
        assert not desk.sees(secret)


async def test_an_expiry_date_is_edited_and_the_list_says_so(empty_store: str) -> None:
    small_world()

    async with at_the_desk() as desk:
        await desk.press("enter")
        await desk.until_seen("1 of 10 keys")
        await desk.press("end", "e")
        await desk.until_seen("Edit expiry date")
        await desk.press("ctrl+a", "ctrl+k")
        await desk.write("2028-11-23")
        await desk.press("ctrl+s")
        await desk.until_seen("The key now works through 2028-11-23.")
        await desk.until_seen("ERP export Ola Nordma… Prod std 2028-11-23 731d")


async def test_a_key_is_revoked_only_with_a_reason_and_its_last_characters(empty_store: str) -> None:
    small_world()
    erp = Key.get(Key.label == "ERP export")

    async with at_the_desk() as desk:
        await desk.press("enter")
        await desk.until_seen("1 of 10 keys")
        await desk.press("end", "x")
        await desk.until_seen("used 48,211 times")
        await desk.write("lost laptop")
        await desk.press("ctrl+s")
        assert keys.get(erp.id).revoked_at is None
        await desk.write(erp.last)
        await desk.press("ctrl+s")
        await desk.until_seen("is revoked; it is refused from now on.")
        await desk.until_seen("2026-11-23 revoked")

    assert (keys.get(erp.id).revoked_at, keys.get(erp.id).revoked_reason) == (NOW, "lost laptop")


async def test_what_cannot_be_done_to_a_key_is_not_offered_and_says_why(empty_store: str) -> None:
    small_world()

    async with at_the_desk() as desk:
        await desk.press("enter")
        await desk.until_seen("1 of 10 keys")
        assert {"expiry", "rotate", "revoke"} & set(desk.hints) == set()
        await desk.press("r")
        assert desk.message == "This key was revoked; make a new key."
        await desk.press("x")
        assert desk.message == "This key was revoked already, by kari."
        await desk.press("end")
        assert {"expiry": "e", "rotate": "r", "revoke": "x", "copy handle": "c"}.items() <= desk.hints.items()
        await desk.press("c")
        assert desk.message.startswith(desk.page.section.row.handle)


async def test_a_filter_narrows_as_one_types_and_escape_takes_it_away(empty_store: str) -> None:
    small_world()

    async with at_the_desk() as desk:
        await desk.press("2")
        await desk.until_seen("1 of 11 keys")
        await desk.typed("/")
        await desk.write("state:expired")
        await desk.until_seen("1 of 1 key")
        await desk.write(" nope:x")
        await desk.until_seen("There is no field nope:")
        await desk.press("escape")
        await desk.until_seen("1 of 11 keys")
        await desk.typed("/")
        await desk.write("zzz")
        await desk.until_seen("Nothing matches this key filter.")
        await desk.press("enter", "escape")
        await desk.until_seen("1 of 11 keys")
        await desk.press("s")
        await desk.until_seen("next to expire first")
        assert desk.page.section.row.label == "Till tomorrow"


async def test_an_empty_list_shows_how_to_make_the_first_key(empty_store: str) -> None:
    small_world()
    sol = company("Aurora AS")
    enable(sol, user(sol, "Sol"))

    async with at_the_desk() as desk:
        await desk.until_seen("Aurora AS")
        await desk.press("enter")
        await desk.until_seen("This company has no API keys yet. Press n to make the first one.")
        assert desk.hints["new key"] == "n"


async def test_the_menu_of_keys_follows_api_access_at_once(empty_store: str) -> None:
    small_world()
    tun = companies.get(2)

    async with at_the_desk() as desk:
        await desk.press("end", "enter")
        await desk.until_seen("Tun ehf › Integrations")
        assert "API keys" not in desk.tabs
        await desk.press("n")
        assert desk.message == "API Access is disabled for this company; enable it under Integrations first."
        await desk.press("enter")
        await desk.until_seen("Users to")
        await desk.press("space", "tab", "enter", "ctrl+s")
        await desk.until_seen("API Access is on; its keys are under API keys.")
        await desk.until(lambda: "API keys" in desk.tabs)
        assert integrations.is_enabled(tun.id)

        others = [user.id for user in User.select().where(User.company == tun.id)]
        integrations.save_api_access(KARI, tun.id, enabled=False, user_ids=others, emails=[], now=NOW)
        desk.page.stored_change()
        await desk.until(lambda: "API keys" not in desk.tabs)


async def test_what_others_write_moves_nothing_under_the_cursor(empty_store: str) -> None:
    fjord = small_world()
    ola = User.get(User.name == "Ola Nordmann")

    async with at_the_desk() as desk:
        await desk.press("enter")
        await desk.until_seen("1 of 10 keys")
        await desk.press("down", "down")
        under, line = desk.page.section.row.id, desk.page.section.table.cursor
        key(fjord, ola, "By somebody else", at=NOW)
        Key.update(label="Renamed").where(Key.id == under).execute()
        desk.page.stored_change()
        await desk.until_seen("3 of 10 keys +1 new (^r)")
        await desk.until_seen("Renamed")
        assert (desk.page.section.row.id, desk.page.section.table.cursor) == (under, line)

        await desk.press("ctrl+r")
        await desk.until_seen("4 of 11 keys")
        assert desk.page.section.row.id == under


async def test_an_auditor_and_a_read_only_desk_change_nothing_and_say_why(empty_store: str) -> None:
    small_world()
    said: list[str | bool] = []

    for actor, read_only in ((AUDITOR, False), (KARI, True)):
        async with at_the_desk(actor, read_only=read_only) as desk:
            await desk.press("enter")
            await desk.until_seen("1 of 10 keys")
            await desk.press("end")
            for act in ("n", "e", "r", "x"):
                await desk.press(act)
                said.append(desk.message)
            assert {"new key", "expiry", "rotate", "revoke"} & set(desk.hints) == set()
            await desk.press("left", "enter")
            await desk.until_seen("Users to notify Ola Nordmann, user1@example.com Emails to notify it@example.com")
            said.append(desk.sees("aud (auditor) may not change integrations; ask an operator."))
            said.append(desk.sees("This desk was opened read-only; nothing can be changed."))

    assert said == [
        *["aud (auditor) may not do this here; ask an operator."] * 4,
        *(True, False),
        *["This desk was opened read-only; nothing can be changed."] * 4,
        *(False, True),
    ]
    assert Event.select().where(Event.actor == "aud").count() == 0


async def test_an_admin_of_one_company_sees_that_one_only(empty_store: str) -> None:
    fjord = small_world()

    async with at_the_desk(Actor("siri", "company-admin", "ssh 10.0.0.9", company_id=fjord.id)) as desk:
        await desk.until_seen("1 of 1 company")
        assert desk.tabs == ["1 Companies", "2 All keys"]
        for section in ("3", "4", "5", "6"):
            await desk.press(section)
            assert desk.message == "This part of the desk shows all companies; your login reaches one."
        await desk.press("2")
        await desk.until_seen("1 of 10 keys")
        assert not desk.sees("Kiwi Ltd")


async def test_a_filter_that_cannot_be_read_is_answered_in_full_on_a_small_terminal(empty_store: str) -> None:
    small_world()

    async with at_the_desk() as desk:
        await desk.press("2")
        await desk.press("slash")
        await desk.write("colour:red")
        await desk.until_seen("Put a text with a colon in quotes.")
        assert desk.sees("There is no field colour: here; the fields are state:, env:, kind:, company:, resource:,")
        await desk.press("escape")
        await desk.until(lambda: desk.message == "")
        assert desk.page.status.size.height == 1
