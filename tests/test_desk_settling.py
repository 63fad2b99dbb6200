"""Can what is wrong with a final month be put right at the desk: credited, held back, and the terms read otherwise?"""

from datetime import UTC, date, datetime

import pytest
from desk_stage import at_the_desk
from desk_world import AUDITOR, KARI, LONG_AGO, NOW, company, enable, key, user
from test_desk_invoices import publish

from store import installation, invoice_preview, invoice_review, invoices
from store.installation import Installation
from store.tables import Company, Event, InvoiceLine, InvoiceMonth, Licence, UsageBatch, UsageDay

pytestmark = pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)

DECEMBER = datetime(2026, 12, 1, 4, tzinfo=UTC)


def final_october() -> Company:
    """Two licences, three keys since long ago: NOK 50.00 and an extra key for NOK 49.00; and requests in November."""
    installation.set_up(Installation("Vendor AS"), LONG_AGO)
    publish(1, "2026-01-01")
    made = company()
    ola = user(made)
    enable(made, ola)
    Licence.create(company=made, at=LONG_AGO, licences=2, recorded_at=LONG_AGO)
    keys = [key(made, ola, f"Key {number}", at=LONG_AGO) for number in range(3)]
    invoices.finalise_month(made.id, "2026-10", NOW)
    batch = UsageBatch.create(source="gw", batch="1", received_at=NOW, rows=1, rejected=0)
    UsageDay.create(
        batch=batch, company=made, key=keys[0], day="2026-11-02", environment="prod", requests=1600, bytes=0
    )
    return made


async def test_a_final_month_is_credited_and_billed_again_once_it_was_seen_what_each_line_becomes(
    empty_store: str,
) -> None:
    final_october()

    async with at_the_desk() as desk:
        await desk.press("5")
        await desk.until_seen("Fjord AS final NOK 99.00")
        await desk.press("c")
        await desk.until_seen("Nothing of 2026-10 of Fjord AS would change; it was invoiced as the facts are.")
        await desk.press("enter")
        Licence.update(licences=3).execute()
        await desk.press("enter")
        await desk.until_seen("2026-10 final: NOK 99.00")
        await desk.press("c")
        await desk.until_seen("access: NOK 50.00 becomes NOK 75.00")
        assert desk.sees("extra_key: NOK 49.00 becomes NOK 0.00")
        assert desk.sees("October 2026 changes from NOK 99.00 to NOK 75.00. A credit note and a new invoice,")
        await desk.press("ctrl+s")
        await desk.until_seen("The reason is empty")
        await desk.write("a licence too few")
        await desk.press("ctrl+s")
        await desk.until_seen("October 2026 changes from NOK 99.00 to NOK 75.00.")
        await desk.press("escape")
        await desk.until_seen("NOK 75.00 net 1 company")
        assert desk.sees("correction 1 Fjord AS final NOK -24.00")
        await desk.press("end", "enter")
        await desk.until_seen("Fjord AS › 2026-10 correction 1")
        await desk.until_seen("Credit for October 2026: API")
        first, *_, last = [line for line in desk.lines() if "API" in line and "NOK" in line]
        assert ("Credit" in first, "Credit" in last) == (True, False)

    assert [(row.revision, row.net_minor) for row in InvoiceMonth.select().order_by(InvoiceMonth.revision)] == [
        (1, 9900), (2, -2400),
    ]  # fmt: skip
    assert Event.select().order_by(Event.id.desc()).first().after["reason"] == "a licence too few"


async def test_what_was_seen_before_is_what_is_done_or_nothing(empty_store: str) -> None:
    final_october()
    Licence.update(licences=3).execute()

    async with at_the_desk() as desk:
        await desk.press("5")
        await desk.until_seen("Fjord AS final NOK 99.00")
        await desk.press("c")
        await desk.until_seen("access: NOK 50.00 becomes NOK 75.00")
        Licence.update(licences=4).execute()
        await desk.write("a licence too few")
        await desk.press("ctrl+s")
        await desk.until_seen("What 2026-10 of Fjord AS becomes has changed meanwhile; look at it again.")

    assert InvoiceMonth.select().count() == 1


async def test_a_final_line_is_held_back_with_a_reason_and_let_go_with_one_key(empty_store: str) -> None:
    final_october()

    async with at_the_desk(size=(120, 24)) as desk:
        await desk.press("5", "enter")
        await desk.until_seen("1 extra API key")
        await desk.press("down", "u")
        assert desk.message == "This line is not held back."
        await desk.press("b")
        await desk.until_seen("Held back, it is owed as before, and no export has it until it is let go (u).")
        await desk.write("paid in advance")
        await desk.press("ctrl+s")
        await desk.until_seen("do not transfer")
        await desk.press("enter")
        await desk.until_seen("Transfer do not transfer")
        await desk.press("u")
        await desk.until_seen("Transfer to transfer")
        InvoiceLine.update(transfer="transferred").execute()
        await desk.press("escape")
        await desk.until_seen("transferred")
        await desk.press("b")
        assert desk.message == "This line has been transferred; credit the month instead."


async def test_what_was_approved_is_in_what_an_act_is_said_to_change(empty_store: str) -> None:
    made = final_october()
    UsageBatch.update(received_at=LONG_AGO).execute()
    invoices.draft_month(made.id, "2026-11", DECEMBER)
    line = InvoiceLine.get(InvoiceLine.status == "needs_review")
    invoice_review.decide(KARI, line.id, "approve", "as announced", DECEMBER)

    assert invoice_preview.so_far(made.id, DECEMBER, "2026-11").net_minor == 10900
    assert invoice_preview.of_licences(made.id, 3, date(2026, 11, 5), DECEMBER)[0] == (
        "November 2026 changes from NOK 109.00 to NOK 85.00."
    )
    invoice_review.decide(KARI, line.id, "waive", "the first time", DECEMBER)
    waived = invoice_preview.so_far(made.id, DECEMBER, "2026-11")
    assert [(each.line_key, each.net_minor, each.because[-9:]) for each in waived.lines][2:] == [
        ("overuse_requests", 0, "; waived.")
    ]


async def test_the_terms_are_read_otherwise_once_it_was_seen_what_that_changes(empty_store: str) -> None:
    final_october()

    async with at_the_desk() as desk:
        await desk.press("6", "P")
        await desk.until_seen("Prices › How the terms are read")
        await desk.until_seen("which licences of the month count: the most, the last or the first")
        await desk.press(*["down"] * 6, "enter")
        await desk.until_seen("review is chosen now; choose another.")
        await desk.press("a")
        await desk.until_seen("November 2026: 1 of 1 companies changes, in all from NOK 99.00 to NOK 109.00.")
        await desk.press("tab")
        await desk.write("agreed in the new terms")
        await desk.press("ctrl+s")
        await desk.until_seen("overuse_mode is auto from now on; drafts follow with the next run.")
        await desk.until_seen("overuse_mode auto (not review)")

    assert Event.select().order_by(Event.id.desc()).first().after == {
        "overuse_mode": "auto", "reason": "agreed in the new terms",
    }  # fmt: skip


async def test_an_auditor_reads_it_and_changes_none_of_it(empty_store: str) -> None:
    final_october()

    async with at_the_desk(AUDITOR) as desk:
        refusal = "aud (auditor) may not do this here; ask an operator."
        await desk.press("6", "P")
        await desk.until_seen("overuse_mode review what becomes")
        await desk.press("enter")
        assert desk.message == refusal
        await desk.press("5")
        await desk.until_seen("Fjord AS final NOK 99.00")
        await desk.press("c")
        assert desk.message == refusal
        await desk.press("enter")
        await desk.until_seen("1 extra API key")
        await desk.press("b")
        assert desk.message == refusal
