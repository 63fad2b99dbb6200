"""Does a finance person see at the desk what is owed, why, and what an act changes, and can it be settled there?"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from desk_stage import at_the_desk
from desk_world import AUDITOR, KARI, LONG_AGO, NOW, company, enable, key, small_world, user

from store import installation, keys, prices
from store.installation import Installation
from store.tables import (
    Company,
    ContractTerm,
    Event,
    InvoiceLine,
    InvoiceMonth,
    Licence,
    UsageBatch,
    UsageDay,
)

pytestmark = pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)

ITEMS = {
    "access": {"model": "per_unit", "price": "25.00"},
    "extra_key": {"price": "49.00"},
    "overuse_requests": {"included_base": 1000, "included_per_user": 100, "block": 500, "price": "10.00"},
}
OVERUSE = {"used": 2400, "included": 1200, "over": 1200, "blocks": 3, "block": 500, "terms": [], "included_terms": []}


def publish(version: int, first: str, **items: Any) -> None:
    table = {"code": "standard", "currency": "NOK", "version": version, "effective_from": first}
    prices.publish(KARI, {"price_list": [{**table, "items": {**ITEMS, **items}}]}, LONG_AGO)


def fjord() -> Company:
    """Two licences and four keys made in November, so that two are extra; one overuse line waits in October."""
    installation.set_up(Installation("Vendor AS"), LONG_AGO)
    publish(1, "2026-01-01")
    made = company()
    ola = user(made)
    enable(made, ola)
    Licence.create(company=made, at=LONG_AGO, licences=2, recorded_at=LONG_AGO)
    for number in range(4):
        key(made, ola, f"Key {number}", at=datetime(2026, 11, 12, 9 + number, tzinfo=UTC))
    month(made, "2026-10", 5000)
    line(made, "access", "API access, 2 licensed users", 5000)
    line(made, "overuse_requests", "API usage above what is included", 3000, status="needs_review", explain=OVERUSE)
    return made


def month(of: Company, name: str, net: int, state: str = "draft", **more: Any) -> None:
    InvoiceMonth.create(
        company=of,
        month=name,
        state=state,
        currency=of.currency,
        net_minor=net,
        vat_minor=net // 4,
        gross_minor=net + net // 4,
        vat_rate="25",
        rated_at=NOW,
        **more,
    )


def line(of: Company, line_key: str, description: str, net: int, **more: Any) -> None:
    InvoiceLine.create(
        company=of,
        month="2026-10",
        line_key=line_key,
        description=description,
        because=f"Because of {line_key}.",
        quantity="1",
        unit="month",
        unit_price="10.00",
        currency="NOK",
        gross_minor=net,
        discount_minor=0,
        net_minor=net,
        reason="contract",
        price_list="standard/NOK@2026-01-01#1",
        rated_at=NOW,
        **{"status": "ok", "explain": {"arithmetic": "as it is"}, **more},
    )


async def test_months_open_to_lines_lines_to_their_derivation_and_that_to_the_keys_that_counted(
    empty_store: str,
) -> None:
    fjord()

    async with at_the_desk() as desk:
        await desk.press("enter", "tab", "tab")
        await desk.until_seen("1 of 3 months")
        rows = [row.split() for row in desk.lines() if row.startswith("2026-1")]
        assert rows == [
            ["2026-11", "so", "far", "NOK", "148.00", "NOK", "185.00", "2"],
            ["2026-11", "forecast", "NOK", "148.00", "NOK", "185.00", "2"],
            ["2026-10", "draft", "NOK", "50.00", "NOK", "62.50", "2", "1"],
        ]
        await desk.press("enter")
        await desk.until_seen("2026-11 so far: NOK 148.00 + NOK 37.00 VAT = NOK 185.00")
        await desk.until_seen("2 extra API keys")
        await desk.press("down", "enter")
        await desk.until_seen("The 4 keys behind it:")
        for text in (
            "So far, until 23 November: 4 keys were in use at the same time on 12 November at 13:00; 2 are included.",
            "Most at once 4 on 12 November 2026 at 13:00 (Europe/Oslo)",
            "Price list standard/NOK@2026-01-01#1",
            "Terms none agreed",
            "Arithmetic 2 x 49.00 = 98.00",
        ):
            assert desk.sees(text)
        assert "open" not in desk.hints
        await desk.press("end", "enter")
        await desk.until_seen("What happened")
        await desk.press("escape", "o")
        await desk.until(lambda: desk.page.section.kind == "company.keys")
        await desk.until(lambda: desk.page.section.row is not None and desk.page.section.row.label == "Key 3")


async def test_usage_above_what_is_included_waits_for_a_persons_decision_with_its_reason(empty_store: str) -> None:
    fjord()

    async with at_the_desk() as desk:
        await desk.press("5")
        await desk.until_seen("1 to look at")
        await desk.press("slash")
        await desk.typed("state:review")
        await desk.press("enter")
        await desk.until_seen("1 of 1 company")
        await desk.press("enter")
        await desk.until_seen("1 line waits for a decision (d), not in the sum.")
        await desk.press("d")
        assert desk.message == "This line is invoiced without a decision; only overuse waits for one."
        await desk.press("down", "d")
        await desk.until_seen("Approve: NOK 30.00 is invoiced.")
        await desk.press("ctrl+s")
        await desk.until_seen("Choose: a to approve the line, w to waive it.")
        await desk.press("a", "tab")
        await desk.write("their campaign, told in mail 17")
        await desk.press("ctrl+s")
        await desk.until_seen("2026-10 draft: NOK 80.00 + NOK 20.00 VAT = NOK 100.00")
        await desk.press("enter")
        await desk.until_seen("by kari on 2026-11-23 13:00: their campaign, told in mail 17")

        await desk.press("d")
        await desk.until_seen("Decide about an invoice line")
        await desk.press("w", "tab")
        await desk.write("a goodwill")
        await desk.press("ctrl+s")
        await desk.until_seen("by kari on 2026-11-23 13:00: a goodwill")
        await desk.press("d")
        await desk.until_seen("Approve: NOK 30.00 is invoiced.")
        await desk.press("escape")

    assert InvoiceLine.get(InvoiceLine.line_key == "overuse_requests").status == "waived"


async def test_who_may_only_read_sees_all_of_it_and_changes_nothing(empty_store: str) -> None:
    fjord()

    async with at_the_desk(AUDITOR) as desk:
        await desk.press("enter", "tab", "tab", "L")
        assert desk.message == "aud (auditor) may not do this here; ask an operator."
        await desk.until_seen("1 of 3 months")
        await desk.press("end", "enter")
        await desk.until_seen("API usage above what is included")
        await desk.press("end", "d")
        assert desk.message == "aud (auditor) may not do this here; ask an operator."
        await desk.press("escape", "T")
        await desk.until_seen("Nothing was agreed: the price list holds.")
        await desk.press("n")
        assert desk.message == "aud (auditor) may not do this here; ask an operator."
    assert Event.select().where(Event.actor == "aud").count() == 0


async def test_a_contract_term_is_added_and_ended_once_it_was_seen_what_it_changes(empty_store: str) -> None:
    fjord()

    async with at_the_desk() as desk:
        await desk.press("enter", "T")
        await desk.until_seen("Nothing was agreed: the price list holds.")
        await desk.press("n")
        await desk.until_seen("The value is missing: the agreed price, such as 45.00.")
        await desk.press("k", "tab", "d", "tab")
        await desk.write("50")
        await desk.until_seen("November 2026 changes from NOK 148.00 to NOK 99.00.")
        await desk.press("ctrl+s")
        await desk.until_seen("The reference is empty")
        await desk.write("K-2026-14 §3")
        await desk.press("ctrl+s")
        await desk.until_seen("1 of 1 term")
        assert desk.sees("Extra keys Discount 50 % 2026-11 – K-2026-14 §3")
        await desk.press("x")
        await desk.until_seen("December 2026 changes from NOK 99.00 to NOK 148.00.")
        await desk.press("ctrl+s")
        await desk.until_seen("2026-11 2026-11 K-2026-14 §3")

        term = ContractTerm.get()
        assert (term.line, term.kind, term.value) == ("extra_key", "discount_percent", "50")
        assert (term.first_month, term.last_month) == ("2026-11", "2026-11")
        await desk.press("x")
        await desk.until_seen("End contract term")
        await desk.press("ctrl+a", "ctrl+k")
        await desk.until_seen("November 2026 changes from NOK 99.00 to NOK 148.00.")
        await desk.press("ctrl+s")
        await desk.until_seen("Nothing was agreed: the price list holds.")

    assert ContractTerm.select().count() == 0


async def test_licences_are_set_from_a_day_on_once_it_was_seen_what_the_months_become(empty_store: str) -> None:
    made = fjord()

    async with at_the_desk() as desk:
        await desk.press("enter", "L")
        await desk.until_seen("Fjord AS pays for 2 licensed users today.")
        await desk.until_seen("November 2026 stays at NOK 148.00.")
        await desk.press("backspace", "4")
        await desk.until_seen("November 2026 changes from NOK 148.00 to NOK 100.00.")
        assert desk.sees("December 2026 changes from NOK 148.00 to NOK 100.00.")
        await desk.press("ctrl+s")
        await desk.until_seen("Fjord AS pays for 4 licensed users from 2026-11-23 on.")

    newest = Licence.select().where(Licence.company == made.id).order_by(Licence.at.desc()).first()
    assert (newest.at, newest.licences) == (NOW, 4)
    assert Event.select().order_by(Event.id.desc()).first().act == "licence.set"


async def test_a_rotation_says_beforehand_that_it_costs_nothing_or_what_it_costs(empty_store: str) -> None:
    fjord()

    async with at_the_desk() as desk:
        await desk.press("enter")
        await desk.until_seen("1 of 4 keys")
        await desk.press("r")
        await desk.until_seen("no further cost: the old key and its successor count as one for 7 days")
        await desk.press("escape")
        installation.edit(KARI, {"overlap_days": 14}, NOW)
        await desk.press("r")
        await desk.until_seen("November 2026 changes from NOK 148.00 to NOK 197.00.")
        assert desk.sees("December 2026 changes from NOK 148.00 to NOK 197.00.")


async def test_the_month_of_all_companies_is_a_bar_each_and_the_month_before_is_one_key_away(
    empty_store: str,
) -> None:
    small, large = fjord(), company("Storfjord AS")
    month(large, "2026-10", 10000, "final", final_at=NOW)
    month(large, "2026-09", 900, "held", error="the line access is 12 times what it usually was")
    month(small, "2026-09", 700, "final", final_at=NOW)

    async with at_the_desk() as desk:
        await desk.press("5")
        await desk.until_seen("2026-10 NOK 150.00 net 2 companies, 1 to look at")
        await desk.until_seen("████████████")
        assert desk.sees("Storfjord AS final NOK 100.00 ████████████")
        assert desk.sees("Fjord AS draft NOK 50.00 ██████ 1")
        await desk.press("left")
        await desk.until_seen("2026-09 NOK 16.00 net")
        await desk.press("left")
        assert desk.message == "" or desk.sees("There is no invoiced month beyond this one.")
        await desk.press("enter")
        await desk.until_seen("the line access is 12 times what it usually was")
        await desk.press("t")
        await desk.until_seen("Released, it becomes final at the next run, unless its facts change first.")
        await desk.write("they did double")
        await desk.press("ctrl+s")
        await desk.until_seen("2026-09 draft")
        await desk.press("t")
        assert desk.message == "This month is not held."
        await desk.press("escape", "right", "o")
        await desk.until_seen("Storfjord AS › Integrations")


async def test_two_versions_of_a_price_list_are_compared_price_by_price(empty_store: str) -> None:
    fjord()
    publish(2, "2026-12-01", extra_key={"price": "50.72"})
    publish(3, "2027-01-01", access={"model": "per_unit", "price": "20.00"}, extra_key={"price": "50.72"})

    async with at_the_desk() as desk:
        await desk.press("6")
        await desk.until_seen("1 of 3 versions")
        shown = [
            [*row.split()[3:5], row.split()[5]]
            for row in desk.lines()
            if row.lstrip("•").strip().startswith("standard")
        ]
        assert shown == [
            ["2027-01-01", "to", "come"],
            ["2026-12-01", "to", "come"],
            ["2026-01-01", "in", "force"],
        ]
        await desk.press("down", "enter")
        await desk.until_seen("Prices › standard NOK 1 (2026-01) › standard NOK 2 (2026-12)")
        await desk.until_seen("Extra key, a month 49.00 50.72 +3.5 %")
        await desk.press("enter")
        assert desk.message == "There is nothing behind a price."
        await desk.press("escape", "end", "m", "home", "enter")
        await desk.until_seen("API access, a licensed user 25.00 20.00 -20.0 %")


async def test_plots_show_twelve_months_and_each_days_usage_against_what_is_included(empty_store: str) -> None:
    made = fjord()
    batch = UsageBatch.create(source="gw", batch="1", received_at=NOW, rows=2, rejected=0)
    for day, requests in ((date(2026, 11, 2), 600), (date(2026, 11, 20), 900)):
        UsageDay.create(
            batch=batch, company=made, key=keys.Key.get(), day=day, environment="prod", requests=requests, bytes=0
        )

    async with at_the_desk() as desk:
        await desk.press("enter", "tab", "tab", "p")
        await desk.until_seen("Net of twelve months, 2026-11 as its forecast (NOK 148.00)")
        told = "Usage in Prod, 2026-11: 1,500 of 1,200 requests included (125 %); past it since day 20"
        assert [desk.sees(text) for text in (told, "25-12", "26-10", "█", "┄")] == [True] * 5
        await desk.press("escape", "enter", "p")
        await desk.until_seen("no bytes were told of")
        assert desk.sees(told)


async def test_without_a_price_list_the_month_says_so_and_nothing_breaks(empty_store: str) -> None:
    small_world()

    async with at_the_desk(now=NOW + timedelta(hours=1)) as desk:
        await desk.press("enter", "tab", "tab")
        await desk.until_seen("2026-11 forecast")
        await desk.press("enter")
        await desk.until_seen("No price list standard in NOK is in force for 2026-11")
        await desk.press("escape", "p")
        await desk.until_seen("Net of twelve months")
        await desk.press("escape", "L")
        await desk.until_seen("publish one with `keydesk prices publish`.")
