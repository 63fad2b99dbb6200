"""Does the desk show how fresh a sandbox is and what keeps it from being refreshed, and can one act on it?"""

from datetime import date, timedelta

import pytest
from desk_stage import DeskStage, at_the_desk
from desk_world import AUDITOR, KARI, NOW, small_world

from store import sandbox_holds
from store.change import change
from store.listings import companies, sandboxes
from store.tables import Company, RefreshMarker
from tui.screens.company import CompanyPage

pytestmark = pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)


async def open_sandbox(desk: DeskStage) -> None:
    """Fjord's Sandbox tab."""
    await desk.press("enter")
    await desk.until(lambda: isinstance(desk.page, CompanyPage))
    desk.page.open("company.sandbox")
    await desk.until_seen("Data from the night of")


def quarantine(of: Company) -> None:
    RefreshMarker.update(state="failed", failures=3, message="rsync: exit 12").where(
        RefreshMarker.night == date(2026, 11, 23)
    ).execute()
    with change(KARI, "sandbox.refresh", None, NOW - timedelta(hours=9)) as made:
        sandbox_holds.quarantine(made, of.id, 3)


async def test_the_tab_says_how_old_the_data_is_and_a_person_holds_and_releases_it(empty_store: str) -> None:
    fjord = small_world()

    async with at_the_desk() as desk:
        await open_sandbox(desk)
        assert desk.sees("Data from the night of 2026-11-20, 3 nights old.")
        assert desk.hints["hold"] == "x"
        await desk.until(lambda: "release" not in desk.hints)
        await desk.press("x")
        await desk.until_seen("Hold the sandbox")
        await desk.write("demo week")
        await desk.press("enter")
        await desk.write("+7d")
        await desk.press("ctrl+s")
        await desk.until_seen("Held by kari through 2026-11-30: demo week (since 2026-11-23 13:00)")
        await desk.until(lambda: "release" in desk.hints)
        await desk.press("a")
        await desk.until(lambda: desk.message == "This sandbox is held; release it first (t).")
        await desk.press("t")
        await desk.until(lambda: sandbox_holds.standing(fjord.id) == {})
        await desk.until(lambda: not desk.sees("Held by kari"))
        await desk.until(lambda: "release" not in desk.hints)

    assert sandboxes.of(fjord.id).marked == "held"


async def test_a_hold_is_seen_in_the_list_before_its_first_night(empty_store: str) -> None:
    fjord = small_world()
    RefreshMarker.update(state="done").execute()
    sandbox_holds.hold(KARI, fjord.id, "demo week", None, NOW)

    assert list(companies.ids(None, "sandbox:held")) == [fjord.id]
    async with at_the_desk() as desk:
        await desk.until_seen("held 2026-11-23")


async def test_a_quarantine_is_seen_in_the_list_the_tab_and_the_worker_and_a_ends_it(empty_store: str) -> None:
    fjord = small_world()
    quarantine(fjord)

    async with at_the_desk() as desk:
        await desk.until_seen("quarantined")
        await open_sandbox(desk)
        assert desk.sees("In quarantine since 2026-11-23 04:00: 3 refreshes failed in a row.")
        await desk.press("4")
        await desk.until_seen("sandboxes in quarantine: 1")
        await desk.press("1", "enter")
        await desk.until(lambda: isinstance(desk.page, CompanyPage))
        desk.page.open("company.sandbox")
        await desk.until_seen("In quarantine")
        await desk.press("a")
        await desk.until(lambda: not desk.sees("In quarantine"))

    assert sandboxes.of(fjord.id).state == "due"


async def test_who_only_reads_holds_nothing(empty_store: str) -> None:
    small_world()

    async with at_the_desk(AUDITOR) as desk:
        await open_sandbox(desk)
        await desk.press("x")
        await desk.until(lambda: "ask an operator" in desk.message)
        assert {"hold", "release", "refresh again"} & set(desk.hints) == set()


def test_the_list_of_companies_finds_sandboxes_by_how_they_are(empty_store: str) -> None:
    fjord = small_world()
    quarantine(fjord)

    assert list(companies.ids(None, "sandbox:quarantined")) == [fjord.id]
    assert list(companies.ids(None, "sandbox:failed")) == []
    assert list(companies.ids(None, "-sandbox:quarantined")) != []
