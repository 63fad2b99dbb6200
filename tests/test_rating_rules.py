"""Which rules decide what a month costs, where they meet their bounds?"""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from store.errors import FormatWrong, Refused
from store.rules.price_lists import PriceList, parse
from store.rules.rating import (
    AccessSpan,
    CompanyFacts,
    ContractTerm,
    Invoice,
    KeyFact,
    LicenceFact,
    Line,
    Policy,
    UsageFact,
    adjustments,
    credit_and_rebill,
    rate,
    too_late,
)


def prices(access: dict[str, Any] | None = None, **items: Any) -> tuple[PriceList, ...]:
    return (
        parse(
            {
                "code": "API",
                "currency": "NOK",
                "version": 1,
                "effective_from": "2026-01-01",
                "items": {
                    "access": access or {"model": "per_unit", "price": "25.00"},
                    "extra_key": {"price": "49.00"},
                    "overuse_requests": {
                        "included_base": 1000,
                        "included_per_user": 100,
                        "block": 500,
                        "price": "10.00",
                    },
                    **items,
                },
            }
        ),
    )


def company(**changes: Any) -> CompanyFacts:
    facts = CompanyFacts(
        company=1,
        zone="Europe/Oslo",
        currency="NOK",
        price_list="API",
        vat_rate=Decimal(25),
        access=(AccessSpan(at("2026-01-01T00:00")),),
        licences=(LicenceFact(at("2026-01-01T00:00"), 2),),
    )
    return replace(facts, **changes)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def key(number: int, *spans: tuple[str, str], after: int | None = None, kind: Any = "standard") -> KeyFact:
    ranges = tuple((at(start), at(end)) for start, end in spans)
    return KeyFact(number, "R1", kind, ranges[0][0], ranges, after)


def term(
    line: str, kind: Any, value: str | None = None, start: str = "2026-01-01", end: str | None = None
) -> ContractTerm:
    return ContractTerm(
        line,
        kind,
        date.fromisoformat(start),
        None if end is None else date.fromisoformat(end),
        None if value is None else Decimal(value),
        f"{line} {kind}",
    )


def november(facts: CompanyFacts, policy: Policy | None = None, lists: tuple[PriceList, ...] | None = None) -> Invoice:
    return rate(facts, "2026-11", prices() if lists is None else lists, policy or Policy())


def billed(invoice: Invoice) -> list[tuple[str, str, int, str]]:
    return [(line.line_key, line.quantity, line.net_minor, line.reason) for line in invoice.lines]


# Access. November in Oslo is 2026-10-31T23:00Z to 2026-11-30T23:00Z.


@pytest.mark.parametrize(
    ("on", "off", "days"),
    [
        ("2026-01-01T00:00", None, 30),
        ("2026-11-30T22:59:59", None, 1),
        ("2026-11-30T23:00", None, 0),
        ("2026-01-01T00:00", "2026-10-31T23:00", 0),
        ("2026-01-01T00:00", "2026-11-01T22:59:59", 0),
        ("2026-01-01T00:00", "2026-11-01T23:00", 1),
        ("2026-11-10T08:00", "2026-11-10T09:00", 0),
        ("2026-11-10T08:00", "2026-11-11T09:00", 1),
        ("2026-11-10T08:00", "2027-01-01T00:00", 21),
    ],
)
def test_access_is_on_for_a_day_when_it_is_on_at_its_end(on: str, off: str | None, days: int) -> None:
    invoice = november(company(access=(AccessSpan(at(on), None if off is None else at(off)),)))

    assert invoice.explain["access_days"] == days
    assert billed(invoice) == ([("access", "2", 5000, "contract")] if days else [])


def test_a_day_in_two_spans_of_access_counts_once() -> None:
    spans = (
        AccessSpan(at("2026-11-01T08:00"), at("2026-11-10T08:00")),
        AccessSpan(at("2026-11-05T08:00"), at("2026-11-12T08:00")),
    )

    assert november(company(access=spans)).explain["access_days"] == 11


def test_a_price_list_can_say_that_access_is_charged_by_the_day() -> None:
    daily = prices({"model": "per_unit", "price": "25.00", "proration": "daily"})
    whole = prices({"model": "per_unit", "price": "25.00", "proration": "none"})
    facts = company(access=(AccessSpan(at("2026-11-21T08:00")),))

    assert [(line.fraction, line.net_minor) for line in november(facts, lists=daily).lines] == [("10/30", 1667)]
    by_policy = november(facts, Policy(access_proration="daily"), whole)
    assert [(line.fraction, line.net_minor) for line in by_policy.lines] == [("", 5000)]


def test_a_full_month_by_the_day_has_no_fraction() -> None:
    lines = november(company(), Policy(access_proration="daily")).lines

    assert [(line.fraction, line.net_minor) for line in lines] == [("", 5000)]


def test_the_clauses_fee_is_for_the_whole_month_also_where_days_are_charged() -> None:
    facts = company(access=(), licences=(), keys=(key(1, ("2026-11-10T08:00", "2027-01-01T00:00")),))
    invoice = november(
        replace(facts, licences=(LicenceFact(at("2026-11-20T08:00"), 1),)), Policy(access_proration="daily")
    )

    assert billed(invoice) == []

    invoice = november(
        facts, Policy(access_proration="daily"), prices({"model": "flat_by_tier", "tiers": [{"fee": "99.00"}]})
    )

    assert billed(invoice) == [("access", "1", 9900, "clause"), ("extra_key", "1", 4900, "beyond_included")]


@pytest.mark.parametrize(
    "free",
    [term("extra_key", "waive"), term("extra_key", "unit_price", "0"), term("extra_key", "discount_percent", "100")],
)
def test_an_extra_key_that_costs_nothing_does_not_start_the_access_fee(free: ContractTerm) -> None:
    facts = company(access=(), licences=(), keys=(key(1, ("2026-11-10T08:00", "2027-01-01T00:00")),), terms=(free,))

    assert billed(november(facts)) == [("extra_key", "1", 0, "beyond_included")]


def test_access_invoiced_elsewhere_can_be_agreed_from_a_month_on() -> None:
    elsewhere = term("access", "access_invoiced_elsewhere", start="2026-11-01")
    facts = company(terms=(elsewhere,))

    assert billed(november(facts)) == []
    assert billed(rate(facts, "2026-10", prices(), Policy())) == [("access", "2", 5000, "contract")]


# Licensed users.


@pytest.mark.parametrize(
    ("rule", "users", "on"), [("peak", 9, "2026-11-10"), ("start", 2, "2026-11-05"), ("end", 4, "2026-11-24")]
)
def test_billed_users_are_taken_from_days_on_which_access_was_on(rule: Any, users: int, on: str) -> None:
    licences = (
        LicenceFact(at("2026-01-01T00:00"), 2),
        LicenceFact(at("2026-11-10T08:00"), 9),
        LicenceFact(at("2026-11-20T08:00"), 4),
        LicenceFact(at("2026-11-28T08:00"), 50),
    )
    access = (AccessSpan(at("2026-11-05T08:00"), at("2026-11-25T08:00")),)

    explain = november(company(licences=licences, access=access), Policy(licensed_users_rule=rule)).explain

    assert (explain["billed_users"], explain["billed_users_on"], explain["allowance"]) == (users, on, users)


# Keys and slots.


def test_a_key_that_expired_and_was_given_a_new_date_does_not_count_in_between() -> None:
    revived = key(1, ("2026-10-01T00:00", "2026-11-05T00:00"), ("2026-11-20T00:00", "2027-01-01T00:00"))
    between = key(2, ("2026-11-05T00:00", "2026-11-20T00:00"))

    assert november(company(keys=(revived, between))).explain["peak_slots"] == 1


def test_two_keys_of_one_rotation_share_a_slot_only_while_both_work() -> None:
    old = key(1, ("2026-10-01T00:00", "2027-01-01T00:00"))
    short_lived = key(2, ("2026-11-10T00:00", "2026-11-12T00:00"), after=1)

    assert november(company(keys=(old, short_lived))).explain["peak_slots"] == 1


def test_a_waiver_of_extra_keys_also_waives_extra_test_keys_unless_those_have_their_own_terms() -> None:
    tests = tuple(key(n, (f"2026-11-0{n}T08:00", f"2026-11-1{n}T08:00"), kind="test") for n in (1, 2, 3, 4))

    follows = november(company(keys=tests, terms=(term("extra_key", "unit_price", "29.00"),)))
    own = november(
        company(
            keys=tests, terms=(term("extra_key", "unit_price", "29.00"), term("extra_test_key", "unit_price", "5.00"))
        )
    )
    more_free = november(company(keys=tests, terms=(term("extra_test_key", "free_test_keys", "4"),)))

    assert billed(follows)[1:] == [("extra_test_key", "1", 2900, "beyond_included")]
    assert billed(own)[1:] == [("extra_test_key", "1", 500, "beyond_included")]
    assert billed(more_free)[1:] == []


# Terms.


@pytest.mark.parametrize(
    ("start", "end", "discounted"),
    [
        ("2026-11-01", None, True),
        ("2026-11-02", None, False),
        ("2026-01-01", "2026-11-01", False),
        ("2026-01-01", "2026-12-01", True),
    ],
)
def test_a_term_is_in_force_for_months_that_begin_within_it(start: str, end: str | None, discounted: bool) -> None:
    invoice = november(company(terms=(term("access", "discount_percent", "10", start, end),)))

    assert invoice.net_minor == (4500 if discounted else 5000)


def test_of_two_terms_of_one_kind_the_later_one_is_in_force() -> None:
    earlier = term("access", "unit_price", "20.00")
    later = term("access", "unit_price", "10.00", start="2026-06-01")

    assert november(company(terms=(later, earlier))).net_minor == 2000


def test_an_agreed_price_replaces_a_graduated_scale_by_one_line() -> None:
    scale = prices({"model": "graduated", "tiers": [{"up_to": 1, "price": "25.00"}, {"price": "20.00"}]})

    assert billed(november(company(), lists=scale)) == [
        ("access/t1", "1", 2500, "contract"),
        ("access/t2", "1", 2000, "contract"),
    ]
    agreed = november(company(terms=(term("access", "unit_price", "22.00"),)), lists=scale)
    assert billed(agreed) == [("access", "2", 4400, "contract")]


@pytest.mark.parametrize(("users", "fee"), [(1, 2900), (10, 2900), (11, 9900), (50, 9900), (51, 24900)])
def test_a_flat_fee_is_that_of_the_tier_in_which_the_users_fall(users: int, fee: int) -> None:
    tiers = [{"up_to": 10, "fee": "29.00"}, {"up_to": 50, "fee": "99.00"}, {"fee": "249.00"}]
    facts = company(licences=(LicenceFact(at("2026-01-01T00:00"), users),))

    assert billed(november(facts, lists=prices({"model": "flat_by_tier", "tiers": tiers}))) == [
        ("access", "1", fee, "contract")
    ]


# Overuse.


@pytest.mark.parametrize(("requests", "blocks"), [(1200, None), (1201, "1"), (1700, "1"), (1701, "2")])
def test_every_started_block_beyond_the_included_requests_is_charged(requests: int, blocks: str | None) -> None:
    facts = company(usage=(UsageFact(at("2026-11-10T08:00"), requests, 0),))

    lines = november(facts, Policy(overuse_mode="auto")).lines[1:]

    assert [line.quantity for line in lines] == ([blocks] if blocks else [])


def test_overuse_waits_for_approval_by_default_and_can_be_off() -> None:
    facts = company(usage=(UsageFact(at("2026-11-10T08:00"), 1201, 0),))

    waits, off = november(facts), november(facts, Policy(overuse_mode="off"))

    assert [(line.status, line.net_minor) for line in waits.lines] == [("ok", 5000), ("needs_review", 1000)]
    assert (waits.net_minor, waits.vat_minor, waits.gross_minor) == (5000, 1250, 6250)
    assert billed(off) == [("access", "2", 5000, "contract")]
    assert off.explain["usage"]["overuse_requests"] == {"used": 1201, "included": 1200, "over": 1, "blocks": 1}


def test_agreed_included_requests_replace_those_of_the_price_list() -> None:
    facts = company(
        usage=(UsageFact(at("2026-11-10T08:00"), 1201, 0),), terms=(term("overuse_requests", "included", "200"),)
    )

    assert november(facts).explain["usage"]["overuse_requests"]["blocks"] == 3


# What is said.


def test_a_line_says_when_how_many_and_by_which_agreement() -> None:
    long_ago, far = "2026-01-05T09:00", "2028-01-04T09:00"
    keys = (
        key(1, (long_ago, far)),
        key(2, (long_ago, far)),
        key(3, ("2026-11-12T09:00", far), after=2),
        key(4, ("2026-11-12T09:00", far)),
    )
    facts = company(keys=keys, terms=(term("extra_key", "discount_percent", "10"),))

    assert november(facts).lines == (
        Line(
            line_key="access",
            description="API access, 2 licensed users",
            quantity="2",
            unit="user",
            unit_price="25.00",
            gross_minor=5000,
            discount_minor=0,
            net_minor=5000,
            reason="contract",
            price_list="API/NOK@2026-01-01#1",
            because=(
                "API Access was on for all 30 days in November 2026; "
                "the highest number was 2 licensed users, on 1 November."
            ),
            status="ok",
            fraction="",
            explain={
                "billed_users": 2,
                "billed_users_on": "2026-11-01",
                "licensed_users_rule": "peak",
                "access_days": 30,
                "days_in_month": 30,
                "price_list": "API/NOK@2026-01-01#1",
                "terms": [],
                "fraction": "",
                "arithmetic": "2 x 25.00 = 50.00",
            },
        ),
        Line(
            line_key="extra_key",
            description="2 extra API keys",
            quantity="2",
            unit="key",
            unit_price="49.00",
            gross_minor=9800,
            discount_minor=980,
            net_minor=8820,
            reason="beyond_included",
            price_list="API/NOK@2026-01-01#1",
            because=(
                "4 keys were in use at the same time on 19 November at 10:00; 2 are included. "
                "10 % is taken off (extra_key discount_percent)."
            ),
            status="ok",
            fraction="",
            explain={
                "peak_slots": 4,
                "peak_at": "2026-11-19T09:00:00Z",
                "allowance": 2,
                "extra_keys": 2,
                "keys": [1, 2, 3, 4],
                "included_terms": [],
                "rotation_grace_days": 7,
                "price_list": "API/NOK@2026-01-01#1",
                "terms": [
                    {
                        "line": "extra_key",
                        "kind": "discount_percent",
                        "value": "10",
                        "reference": "extra_key discount_percent",
                    }
                ],
                "fraction": "",
                "arithmetic": "2 x 49.00 = 98.00; 98.00 - 9.80 = 88.20",
            },
        ),
    )


def test_a_rotated_pair_behind_a_peak_is_explained_as_one_key() -> None:
    keys = (
        key(1, ("2026-01-05T09:00", "2028-01-04T09:00")),
        key(2, ("2026-11-10T09:00", "2026-11-12T09:00"), after=1),
        key(3, ("2026-11-10T09:00", "2026-11-12T09:00")),
    )

    invoice = november(company(licences=(LicenceFact(at("2026-01-01T00:00"), 1),), keys=keys))

    assert invoice.lines[1].because == (
        "2 keys were in use at the same time on 10 November at 10:00 (a rotated key and its successor count as one); "
        "1 is included."
    )


def test_a_preview_says_that_it_is_one() -> None:
    preview = rate(company(), "2026-11", prices(), Policy(), at("2026-11-15T12:00"))

    assert preview.so_far
    assert [line.because for line in preview.lines] == [
        (
            "So far, until 15 November: API Access was on for all 15 days in November 2026; "
            "the highest number was 2 licensed users, on 1 November."
        )
    ]


def test_before_its_month_begins_a_preview_has_no_lines() -> None:
    assert billed(rate(company(), "2026-11", prices(), Policy(), at("2026-10-15T12:00"))) == []


# When it cannot be rated.


def test_without_a_price_list_a_company_that_owes_nothing_is_still_rated() -> None:
    assert billed(november(company(access=()), lists=())) == []
    with pytest.raises(Refused, match=r"^No price list API in NOK is in force for 2026-11; publish one with"):
        november(company(), lists=())


def test_a_month_or_zone_that_is_none_is_refused() -> None:
    with pytest.raises(FormatWrong):
        rate(company(), "2026-13", prices(), Policy())
    with pytest.raises(FormatWrong):
        november(company(zone="Mars/Olympus"))


# Corrections.

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


def test_a_rotation_grace_is_counted_in_exact_hours() -> None:
    keys = (
        key(1, ("2026-01-05T09:00", "2026-10-29T09:00")),
        key(2, ("2026-10-22T09:00", "2028-01-04T09:00"), after=1),
    )
    longer = replace(keys[0], spans=((keys[0].created_at, keys[0].spans[0][1] + timedelta(seconds=1)),))

    assert rate(company(keys=keys), "2026-10", prices(), Policy()).explain["peak_slots"] == 1
    assert rate(company(keys=(longer, keys[1])), "2026-10", prices(), Policy()).explain["peak_slots"] == 2
