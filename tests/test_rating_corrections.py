"""What follows when facts disagree with a month that is already final?"""

import pytest
from rated_company import at, billed, company, november, prices

from store.rules.rating import (
    Line,
    Policy,
    UsageFact,
    adjustments,
    credit_and_rebill,
    rate,
    too_late,
)

OCTOBER_USE = UsageFact(at("2026-10-15T10:00"), 1300, 0)


def late(received: str) -> UsageFact:
    return UsageFact(at("2026-10-20T10:00"), 1000, 0, "prod", at(received))


AUTO = Policy(overuse_mode="auto")


def october(*usage: UsageFact) -> tuple[Line, ...]:
    return rate(company(usage=usage), "2026-10", prices(), AUTO).lines


def test_late_usage_becomes_one_line_that_names_what_it_corrects() -> None:
    (line,) = adjustments(
        company(usage=(OCTOBER_USE, late("2026-11-09T06:00"))), "2026-10", october(OCTOBER_USE), prices(), AUTO
    )

    assert (line.line_key, line.quantity, line.unit_price, line.net_minor) == (
        "adj:2026-10:overuse_requests",
        "1",
        "20.00",
        2000,
    )
    assert line.because == (
        "This line of October 2026 was invoiced at NOK 10.00; with what is known now it is NOK 30.00."
    )
    assert line.explain["corrects"] == {"month": "2026-10", "line_key": "overuse_requests"}


def test_what_an_earlier_adjustment_billed_is_not_billed_again() -> None:
    facts = company(usage=(OCTOBER_USE, late("2026-11-09T06:00")))
    first = adjustments(facts, "2026-10", october(OCTOBER_USE), prices(), AUTO)

    assert adjustments(facts, "2026-10", (*october(OCTOBER_USE), *first), prices(), AUTO) == ()


def test_a_line_that_falls_away_is_a_negative_quantity_of_a_positive_price() -> None:
    (line,) = adjustments(company(), "2026-10", october(OCTOBER_USE), prices(), AUTO)

    assert (line.line_key, line.quantity, line.unit_price, line.net_minor) == (
        "adj:2026-10:overuse_requests",
        "-1",
        "10.00",
        -1000,
    )


# 35 local days after 31 October end on 6 December at 00:00 in Oslo, 5 December 23:00 UTC.
@pytest.mark.parametrize(("received", "billed_later"), [("2026-12-05T22:59:59", True), ("2026-12-05T23:00", False)])
def test_usage_that_comes_later_than_35_days_is_reported_and_not_billed(received: str, billed_later: bool) -> None:
    facts = company(usage=(OCTOBER_USE, late(received)))

    lines = adjustments(facts, "2026-10", october(OCTOBER_USE), prices(), AUTO)

    assert bool(lines) is billed_later
    assert too_late(facts, "2026-10", AUTO) == (() if billed_later else (late(received),))


def test_late_overuse_waits_for_approval_as_overuse_does() -> None:
    (line,) = adjustments(
        company(usage=(OCTOBER_USE, late("2026-11-09T06:00"))), "2026-10", october(OCTOBER_USE), prices(), Policy()
    )

    assert line.status == "needs_review"


def test_adjustments_are_totalled_and_taxed_with_the_month_that_carries_them() -> None:
    facts = company(usage=(OCTOBER_USE, late("2026-11-09T06:00")))
    deltas = adjustments(facts, "2026-10", october(OCTOBER_USE), prices(), AUTO)

    invoice = november(facts, AUTO).with_lines(deltas)

    assert [line.line_key for line in invoice.lines] == ["access", "adj:2026-10:overuse_requests"]
    assert (invoice.net_minor, invoice.vat_minor, invoice.gross_minor) == (7000, 1750, 8750)


def test_a_credit_takes_back_what_was_invoiced_and_not_what_was_only_proposed() -> None:
    stored = rate(company(usage=(OCTOBER_USE,)), "2026-10", prices(), Policy()).lines

    correction = credit_and_rebill(company(), "2026-10", stored, prices(), Policy())

    assert [(line.line_key, line.quantity, line.gross_minor, line.net_minor) for line in correction.credit] == [
        ("credit:access", "-2", -5000, -5000)
    ]
    assert billed(correction.rebill) == [("access", "2", 5000, "contract")]
