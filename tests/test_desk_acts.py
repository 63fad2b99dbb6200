"""Is every act reachable by a key, explained where it cannot be done, and carried out by somebody?"""

from collections import Counter
from dataclasses import replace

import pytest
from desk_stage import at_the_desk
from desk_world import AUDITOR, KARI, NOW, small_world

from store.listings import emails, keys
from store.listings.keys import KeyRow, KeyScope
from tui import acts
from tui.acts import ACTS, BY_ID, Situation
from tui.app import DeskApp
from tui.screens.company import CompanyPage
from tui.screens.home import HomePage

pytestmark = pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)


def a_key(**more: object) -> KeyRow:
    small_world()
    found = keys.ids(KeyScope(None, NOW), 'label:"erp export"')
    return replace(keys.rows(found, NOW)[found[0]], **more)  # type: ignore[arg-type]


def test_no_key_means_two_things_in_one_place(empty_store: str) -> None:
    for section in (*acts.TOP, *acts.OF_COMPANY, *acts.DEEPER):
        used = Counter(key for act in ACTS if act.offered(section) for key in act.keys)
        assert [key for key, times in used.items() if times > 1] == []


async def test_every_act_is_carried_out_by_its_section_its_page_or_the_desk(empty_store: str) -> None:
    small_world()

    async with at_the_desk() as desk:
        home = desk.page
        await desk.press("enter")
        await desk.until(lambda: isinstance(desk.page, CompanyPage))
        for page in (home, desk.page):
            for section in page.sections.values():
                rows = section.listing.many
                missing = [
                    act.id
                    for act in ACTS
                    if act.offered(section.kind)
                    and not any(hasattr(place, f"do_{act.id}") for place in (section, page, desk.app))
                ]
                assert (rows, missing) == (rows, [])
        assert isinstance(home, HomePage)


@pytest.mark.parametrize(
    ("act", "state", "why"),
    [
        ("rotate", {"kind": "test"}, "A test key is not rotated; make a new one."),
        ("rotate", {"state": "expired"}, "This key has expired; edit its date or make a new key."),
        ("rotate", {"rotated_at": NOW}, "This key was rotated already; rotate its successor."),
        ("edit_expiry", {"rotated_at": NOW}, "This key was rotated; edit the date of its successor."),
        ("edit_expiry", {"revoked_at": NOW}, "This key was revoked, and that is for good; make a new key."),
        ("edit_expiry", {"kind": "test", "days_left": -1}, "A test key is never lengthened; make a new key."),
        ("edit_expiry", {"days_left": -1, "state": "expired"}, None),
        ("revoke", {"revoked_at": NOW, "revoked_by": "siri"}, "This key was revoked already, by siri."),
        ("revoke", {}, None),
        ("rotate", {}, None),
    ],
)
def test_an_act_that_the_rules_refuse_says_so_before_it_is_tried(
    empty_store: str, act: str, state: dict[str, object], why: str | None
) -> None:
    row = a_key(**state)

    situation = Situation("company.keys", KARI, read_only=False, row=row, company_id=row.company_id, api_access=True)

    assert BY_ID[act].refusal(situation) == why


def test_who_may_only_read_is_offered_nothing_that_writes(empty_store: str) -> None:
    row = a_key()
    situation = Situation("company.keys", KARI, read_only=False, row=row, company_id=row.company_id, api_access=True)

    writing = {act.id for act in acts.allowed(situation) if act.right}

    assert writing == {"new_key", "edit_expiry", "rotate", "revoke", "licences"}
    for nobody in (replace(situation, actor=AUDITOR), replace(situation, read_only=True)):
        assert {act.id for act in acts.allowed(nobody) if act.right} == set()


def test_a_mail_that_is_on_its_way_is_put_aside_later(empty_store: str) -> None:
    small_world()
    row = next(iter(emails.mail_rows(emails.mail_ids(None)).values()))

    def refusal(state: str) -> str | None:
        row_of_it = replace(row, state=state)
        return BY_ID["dismiss"].refusal(Situation("mails", KARI, read_only=False, row=row_of_it))

    on_its_way = "This mail is on its way to the relay. If it has not gone, try again in a minute."
    assert [refusal(state) for state in ("claimed", "queued")] == [on_its_way, None]
    assert str(refusal("handing-over")).endswith(
        "known in up to 14 minutes, or 30 if its worker has died; try again then."
    )


async def test_the_palette_offers_the_acts_and_no_picture_of_the_screen(empty_store: str) -> None:
    small_world()

    async with at_the_desk() as desk:
        await desk.press("ctrl+p")
        await desk.until_seen("Search for commands")
        await desk.write("screenshot")
        await desk.pilot.pause(0.3)
        assert not desk.sees("Save")
        await desk.press("ctrl+a", "ctrl+k")
        await desk.write("worker")
        await desk.pilot.pause(0.3)
        await desk.press("down", "enter")
        await desk.until_seen("The worker is alive.")
    assert {provider().__name__ for provider in DeskApp.COMMANDS} == {"ActProvider"}
