"""What waits for a person before it is invoiced, and what becomes of it when the person decides, or does not?"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from cast import LONG_AGO, OLAV, Cast, arrive, enable, key_of
from test_invoices import PRICES
from written_facts import write_usage

from store import invoice_corrections, invoice_review, invoice_verify, invoices, prices, rating_policy
from store.actors import Actor
from store.errors import FormatWrong, NotAllowed, Refused
from store.tables import Email, Event, InvoiceLine, InvoiceMonth, Key, Licence

DECEMBER = datetime(2026, 12, 1, 12, tzinfo=UTC)
FINAL = DECEMBER + timedelta(days=3)
JANUARY = datetime(2027, 1, 1, 12, tzinfo=UTC)
WAITS = "; not invoiced until somebody approves it."


@pytest.fixture
def cast(empty_store: str) -> Cast:
    """Nordlys has used one block of requests more than November includes."""
    arrived = arrive()
    prices.publish(OLAV, PRICES, LONG_AGO)
    enable(arrived.nordlys, arrived.ase)
    key_of(arrived.ase, now=LONG_AGO, expires_on=date(2027, 12, 31))
    use(arrived, 130_000, "2026-11-10T10:00:00Z")
    invoices.draft_month(arrived.nordlys.id, "2026-11", DECEMBER)
    Email.delete().execute()
    return arrived


def use(cast: Cast, requests: int, hour: str, received_at: str | None = None) -> None:
    write_usage(cast.nordlys, [{"hour": hour, "requests": requests, "bytes": 0, "received_at": received_at}])


def lines(month: str = "2026-11") -> list[tuple[str, str, int]]:
    rows = InvoiceLine.select().where(InvoiceLine.month == month, InvoiceLine.revision == 1).order_by(InvoiceLine.id)
    return [(row.line_key, row.status, row.net_minor) for row in rows]


def totals(month: str = "2026-11") -> tuple[str, int, int, int]:
    row = InvoiceMonth.get(InvoiceMonth.month == month, InvoiceMonth.revision == 1)
    return row.state, row.net_minor, row.vat_minor, row.gross_minor


def overuse() -> InvoiceLine:
    return InvoiceLine.get(InvoiceLine.line_key == "overuse_requests")


def test_overuse_waits_outside_the_total(cast: Cast) -> None:
    (waiting,) = invoice_review.waiting()

    assert (waiting.company, waiting.month, waiting.line_key, waiting.net) == (
        "Nordlys AS",
        "2026-11",
        "overuse_requests",
        "NOK 60.00",
    )
    assert waiting.because.endswith(WAITS)
    assert list(invoice_review.waiting(cast.sydlys.id)) == []
    assert totals() == ("draft", 30000, 7500, 37500)


def test_what_is_approved_is_invoiced_and_said_in_the_mail(cast: Cast) -> None:
    invoice_review.decide(OLAV, overuse().id, "approve", "As agreed by phone.", DECEMBER)

    line = overuse()
    assert (line.decided_by, line.decided_at, line.decided_reason) == ("olav", DECEMBER, "As agreed by phone.")
    assert WAITS[:-1] not in line.because
    assert totals() == ("draft", 36000, 9000, 45000)
    invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL)
    assert lines() == [("access", "ok", 30000), ("overuse_requests", "approved", 6000)]
    assert Email.get().context["net"] == "NOK 360.00"
    event = Event.select().where(Event.act == "invoice.approve").get()
    assert (event.before, event.after) == (
        {"status": "needs_review", "net": "60.00"},
        {"status": "approved", "net": "60.00", "reason": "As agreed by phone."},
    )


def test_what_is_waived_stays_to_be_seen_at_zero_and_is_never_asked_again(cast: Cast) -> None:
    invoice_review.decide(OLAV, overuse().id, "waive", "First month.", DECEMBER)

    line = overuse()
    assert (line.gross_minor, line.discount_minor, line.net_minor) == (6000, 6000, 0)
    assert line.because.endswith("; waived.")
    assert totals() == ("draft", 30000, 7500, 37500)
    invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL)
    invoices.draft_month(cast.nordlys.id, "2026-12", JANUARY)
    assert lines("2026-12") == [("access", "ok", 30000)]
    assert list(invoice_verify.verify("2026-11")) == []


def test_a_mind_is_changed_until_the_month_is_final(cast: Cast) -> None:
    invoice_review.decide(OLAV, overuse().id, "waive", "First month.", DECEMBER)
    invoice_review.decide(OLAV, overuse().id, "approve", "No, the second.", DECEMBER)

    assert (lines()[1], totals()) == (("overuse_requests", "approved", 6000), ("draft", 36000, 9000, 45000))
    invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL)
    with pytest.raises(Refused, match="2026-11 of Nordlys AS is final; it can only be credited and billed again"):
        invoice_review.decide(OLAV, overuse().id, "waive", "The first after all.", FINAL)


def test_a_decision_outlives_a_new_draft_of_the_same_amount_and_no_other(cast: Cast) -> None:
    invoice_review.decide(OLAV, overuse().id, "approve", "Fine.", DECEMBER)
    use(cast, 1, "2026-11-11T10:00:00Z")
    invoices.draft_month(cast.nordlys.id, "2026-11", DECEMBER)
    assert lines()[1] == ("overuse_requests", "approved", 6000)

    use(cast, 50_000, "2026-11-12T10:00:00Z")
    invoices.draft_month(cast.nordlys.id, "2026-11", DECEMBER)

    assert lines()[1] == ("overuse_requests", "needs_review", 12000)
    assert (overuse().decided_by, totals()) == (None, ("draft", 30000, 7500, 37500))


@pytest.mark.parametrize(
    ("line_key", "actor", "reason", "error", "sentence"),
    [
        ("access", OLAV, "Why not?", Refused, "needs no decision; it is invoiced as it stands"),
        ("overuse_requests", OLAV, " ", FormatWrong, "reason"),
        ("overuse_requests", Actor("ada", "auditor", "test"), "Fine.", NotAllowed, "ada"),
    ],
)
def test_a_decision_that_cannot_be_changes_nothing(
    cast: Cast, line_key: str, actor: Actor, reason: str, error: Any, sentence: str
) -> None:
    line = InvoiceLine.get(InvoiceLine.line_key == line_key)

    with pytest.raises(error, match=sentence):
        invoice_review.decide(actor, line.id, "approve", reason, DECEMBER)

    assert lines() == [("access", "ok", 30000), ("overuse_requests", "needs_review", 6000)]


def test_what_nobody_decided_about_leaves_the_final_month_and_is_asked_again_in_the_next_draft(cast: Cast) -> None:
    invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL)
    assert (lines(), totals()) == ([("access", "ok", 30000)], ("final", 30000, 7500, 37500))
    final = InvoiceMonth.get(InvoiceMonth.month == "2026-11")
    assert (final.carried, final.explain["carried"]) == (1, [{"line_key": "overuse_requests", "net": "60.00"}])

    invoices.draft_month(cast.nordlys.id, "2026-12", JANUARY)
    (waiting,) = invoice_review.waiting()
    assert waiting.because == (
        "Nobody had decided about this line when November 2026 was made final; it is NOK 60.00" + WAITS
    )
    invoice_review.decide(OLAV, waiting.line_id, "approve", "Fine.", JANUARY)
    invoices.finalise_month(cast.nordlys.id, "2026-12", JANUARY + timedelta(days=3))
    invoices.draft_month(cast.nordlys.id, "2027-01", JANUARY + timedelta(days=31))

    assert lines("2026-12") == [("access", "ok", 30000), ("adj:2026-11:overuse_requests", "approved", 6000)]
    assert lines("2027-01") == [("access", "ok", 30000)]
    assert [list(invoice_verify.verify(month)) for month in ("2026-11", "2026-12")] == [[], []]


def test_what_is_still_undecided_a_month_later_is_carried_on(cast: Cast) -> None:
    invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL)
    invoices.finalise_month(cast.nordlys.id, "2026-12", JANUARY + timedelta(days=3))
    invoices.draft_month(cast.nordlys.id, "2027-01", JANUARY + timedelta(days=31))

    assert lines("2027-01") == [("access", "ok", 30000), ("adj:2026-11:overuse_requests", "needs_review", 6000)]


def test_a_vendor_may_choose_that_undecided_lines_hold_the_month(cast: Cast) -> None:
    rating_policy.choose(OLAV, {"undecided": "hold"}, LONG_AGO)
    assert not invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL)
    held = InvoiceMonth.get()
    assert (held.state, held.error) == ("held", "1 line waits for a decision.")
    with pytest.raises(Refused, match="has lines that wait for a decision; approve or waive them"):
        invoice_review.release(OLAV, cast.nordlys.id, "2026-11", "Go on.", FINAL)

    invoice_review.decide(OLAV, overuse().id, "waive", "First month.", FINAL)

    assert (InvoiceMonth.get().state, InvoiceMonth.get().error) == ("draft", None)
    assert invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL)


# Usage that comes late


def test_late_usage_is_asked_about_in_the_current_draft_and_counts_once(cast: Cast) -> None:
    invoice_review.decide(OLAV, overuse().id, "approve", "Fine.", DECEMBER)
    invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL)
    use(cast, 50_000, "2026-11-30T20:00:00Z", "2026-12-09T06:00:00Z")

    for _ in range(2):
        invoices.draft_month(cast.nordlys.id, "2026-12", JANUARY)

    assert lines("2026-12") == [("access", "ok", 30000), ("adj:2026-11:overuse_requests", "needs_review", 6000)]
    line = InvoiceLine.get(InvoiceLine.line_key == "adj:2026-11:overuse_requests")
    assert (line.corrects, line.because) == (
        "2026-11/overuse_requests",
        "This line of November 2026 was invoiced at NOK 60.00; with what is known now it is NOK 120.00" + WAITS,
    )
    invoice_review.decide(OLAV, line.id, "approve", "Fine.", JANUARY)
    invoices.finalise_month(cast.nordlys.id, "2026-12", JANUARY + timedelta(days=3))
    invoices.draft_month(cast.nordlys.id, "2027-01", JANUARY + timedelta(days=31))
    assert lines("2027-01") == [("access", "ok", 30000)]
    assert [list(invoice_verify.verify(month)) for month in ("2026-11", "2026-12")] == [[], []]


@pytest.mark.parametrize(
    ("received_at", "adjusted"),
    [("2027-01-04T22:59:59Z", True), ("2027-01-04T23:00:00Z", False)],
)
def test_35_days_after_its_month_usage_is_reported_and_no_longer_invoiced(
    cast: Cast, received_at: str, adjusted: bool
) -> None:
    invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL)
    invoices.finalise_month(cast.nordlys.id, "2026-12", JANUARY + timedelta(days=3))
    InvoiceMonth.select().where(InvoiceMonth.month == "2026-11").get()
    use(cast, 100_000, "2026-11-30T20:00:00Z", received_at)

    invoices.draft_month(cast.nordlys.id, "2027-01", JANUARY + timedelta(days=31))

    amount = 18000 if adjusted else 6000  # what nobody decided about in November is asked in any case
    assert lines("2027-01")[1] == ("adj:2026-11:overuse_requests", "needs_review", amount)
    reported = InvoiceMonth.get(InvoiceMonth.month == "2027-01").explain.get("usage_too_late")
    assert reported == (None if adjusted else [{"month": "2026-11", "requests": 100_000, "bytes": 0}])


# Errors


def test_a_correction_takes_back_what_later_months_adjusted(cast: Cast) -> None:
    invoice_review.decide(OLAV, overuse().id, "approve", "Fine.", DECEMBER)
    invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL)
    use(cast, 50_000, "2026-11-30T20:00:00Z", "2026-12-09T06:00:00Z")
    invoices.draft_month(cast.nordlys.id, "2026-12", JANUARY)
    line = InvoiceLine.get(InvoiceLine.line_key == "adj:2026-11:overuse_requests")
    invoice_review.decide(OLAV, line.id, "approve", "Fine.", JANUARY)
    invoices.finalise_month(cast.nordlys.id, "2026-12", JANUARY + timedelta(days=3))
    Licence.update(licences=5).execute()
    Email.delete().execute()

    done = invoice_corrections.credit_and_rebill(
        OLAV, cast.nordlys.id, "2026-11", "Five, not twelve.", JANUARY + timedelta(days=5)
    )

    assert done.sentence("2026-11") == "November 2026 changes from NOK 420.00 to NOK 125.00."
    rows = InvoiceLine.select().where(InvoiceLine.revision == 2).order_by(InvoiceLine.id)
    assert [(row.month, row.line_key, row.net_minor, row.corrects) for row in rows] == [
        ("2026-11", "credit:access", -30000, "2026-11#1/access"),
        ("2026-11", "credit:overuse_requests", -6000, "2026-11#1/overuse_requests"),
        ("2026-11", "credit:adj:2026-11:overuse_requests", -6000, "2026-12#1/adj:2026-11:overuse_requests"),
        ("2026-11", "access", 12500, "2026-11#1/access"),
    ]
    # With five users less is included, so the overuse is another amount, and asked about anew.
    assert [(row["line_key"], row["net_minor"]) for row in done.undecided] == [("overuse_requests", 18000)]
    assert Email.get().context["net"] == "NOK -295.00"
    invoices.draft_month(cast.nordlys.id, "2027-01", JANUARY + timedelta(days=31))
    assert ("adj:2026-11:overuse_requests", "needs_review", 18000) in lines("2027-01")
    assert list(invoice_verify.verify("2026-11")) == []


def test_a_month_is_corrected_as_often_as_it_is_wrong_and_not_when_it_is_right(cast: Cast) -> None:
    with pytest.raises(Refused, match="2026-11 of Nordlys AS is draft, not final; a draft follows the facts by itself"):
        invoice_corrections.credit_and_rebill(OLAV, cast.nordlys.id, "2026-11", "Wrong.", DECEMBER)
    invoice_review.decide(OLAV, overuse().id, "waive", "First month.", DECEMBER)
    invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL)
    with pytest.raises(Refused, match="Nothing of 2026-11 of Nordlys AS would change"):
        invoice_corrections.credit_and_rebill(OLAV, cast.nordlys.id, "2026-11", "Wrong.", FINAL)

    for licences in (13, 14):
        Licence.update(licences=licences).where(Licence.company == cast.nordlys).execute()
        assert invoice_corrections.preview(cast.nordlys.id, "2026-11", FINAL).revision == licences - 11
        invoice_corrections.credit_and_rebill(OLAV, cast.nordlys.id, "2026-11", "Wrong.", FINAL)

    months = InvoiceMonth.select().order_by(InvoiceMonth.revision)
    assert [(month.revision, month.state, month.net_minor) for month in months] == [
        (1, "final", 30000),
        (2, "final", 2500),
        (3, "final", 2500),
    ]
    assert list(invoice_verify.verify("2026-11")) == []


# What is too strange


def test_a_line_far_above_what_it_was_holds_the_month_until_somebody_lets_it_go(cast: Cast) -> None:
    for month, at in (("2026-08", 9), ("2026-09", 10), ("2026-10", 11)):
        invoices.finalise_month(cast.nordlys.id, month, datetime(2026, at, 4, 12, tzinfo=UTC))
    Licence.create(company=cast.nordlys, at=LONG_AGO + timedelta(days=310), licences=121, recorded_at=LONG_AGO)
    Email.delete().execute()

    assert not invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL)
    held = InvoiceMonth.get(InvoiceMonth.month == "2026-11")
    assert (held.state, held.error) == (
        "held",
        "The line access is NOK 3,025.00, more than 10 times the NOK 300.00 that it was before.",
    )
    assert not invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL + timedelta(days=1))
    assert Email.select().count() == 0

    invoice_review.release(OLAV, cast.nordlys.id, "2026-11", "They have bought a rival.", FINAL)
    assert invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL + timedelta(days=1))
    assert totals() == ("final", 302500, 75625, 378125)


def test_a_released_month_whose_facts_change_is_judged_anew_and_one_put_right_goes_by_itself(cast: Cast) -> None:
    for month, at in (("2026-09", 10), ("2026-10", 11)):
        invoices.finalise_month(cast.nordlys.id, month, datetime(2026, at, 4, 12, tzinfo=UTC))
    slip = Licence.create(company=cast.nordlys, at=LONG_AGO + timedelta(days=310), licences=121, recorded_at=LONG_AGO)
    invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL)
    invoice_review.release(OLAV, cast.nordlys.id, "2026-11", "Fine.", FINAL)
    Licence.update(licences=9000).where(Licence.id == slip.id).execute()
    assert not invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL)
    assert totals()[0] == "held"

    Licence.update(licences=12).where(Licence.id == slip.id).execute()

    assert invoices.finalise_month(cast.nordlys.id, "2026-11", FINAL)
    assert totals() == ("final", 30000, 7500, 37500)


def test_what_a_final_line_says_is_compared_with_the_facts_one_row_a_difference(cast: Cast) -> None:
    invoices.finalise_months([cast.nordlys.id, cast.sydlys.id], "2026-11", FINAL)
    Licence.update(licences=11).where(Licence.company == cast.nordlys).execute()

    found = list(invoice_verify.verify("2026-11"))

    assert [(each.external_id, each.line_key, each.what, each.stored, each.computed) for each in found] == [
        ("nordlys", "access", "quantity", "12", "11"),
        ("nordlys", "access", "gross", "300.00", "275.00"),
        ("nordlys", "access", "net", "300.00", "275.00"),
    ]
    assert list(invoice_verify.verify("2026-11", cast.sydlys.id)) == []
    assert Key.select().count() == 1
