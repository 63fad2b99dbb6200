"""Which rules decide what a month costs, and where are their bounds?"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rated_company import at, billed, company, key, november, prices, term

from store.errors import FormatWrong, Refused
from store.rules.rating import (
    AccessSpan,
    ContractTerm,
    LicenceFact,
    Policy,
    UsageFact,
    rate,
)

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


def test_one_day_of_access_is_enough_to_make_the_fee_a_matter_of_contract() -> None:
    facts = company(
        access=(AccessSpan(at("2026-11-30T08:00")),),
        keys=tuple(key(n, ("2026-11-10T08:00", "2027-01-01T00:00")) for n in (1, 2, 3)),
    )

    assert billed(november(facts)) == [("access", "2", 5000, "contract"), ("extra_key", "1", 4900, "beyond_included")]


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


@pytest.mark.parametrize(("made", "billed_now"), [("2026-10-31T22:59:59", False), ("2026-10-31T23:00", True)])
def test_a_test_key_belongs_to_the_local_month_in_which_it_was_made(made: str, billed_now: bool) -> None:
    facts = company(keys=(key(1, (made, "2026-11-14T08:00"), kind="test"),))

    explain = november(facts, Policy(free_test_keys_per_resource=0)).explain

    assert explain["overflow_test_keys"] == ([1] if billed_now else [])


def test_a_monthly_test_key_is_not_billed_before_its_month_begins() -> None:
    facts = company(keys=(key(1, ("2026-10-25T08:00", "2026-11-08T08:00"), kind="test"),))
    policy = Policy(free_test_keys_per_resource=0, test_overflow_cadence="monthly")

    assert rate(facts, "2026-11", prices(), policy, at("2026-10-28T08:00")).explain["overflow_test_keys"] == []
    assert november(facts, policy).explain["overflow_test_keys"] == [1]


@pytest.mark.parametrize(("ends", "over"), [("2026-11-10T08:00", []), ("2026-11-10T08:00:01", [2])])
def test_a_concurrent_limit_is_free_again_at_the_instant_a_test_key_ends(ends: str, over: list[int]) -> None:
    keys = (
        key(1, ("2026-11-02T08:00", ends), kind="test"),
        key(2, ("2026-11-10T08:00", "2026-11-20T08:00"), kind="test"),
    )

    policy = Policy(test_key_window="concurrent", free_test_keys_per_resource=1)
    assert november(company(keys=keys), policy).explain["overflow_test_keys"] == over


def test_a_rotation_grace_is_counted_in_exact_hours() -> None:
    keys = (
        key(1, ("2026-01-05T09:00", "2026-10-29T09:00")),
        key(2, ("2026-10-22T09:00", "2028-01-04T09:00"), after=1),
    )
    longer = replace(keys[0], spans=((keys[0].created_at, keys[0].spans[0][1] + timedelta(seconds=1)),))

    assert rate(company(keys=keys), "2026-10", prices(), Policy()).explain["peak_slots"] == 1
    assert rate(company(keys=(longer, keys[1])), "2026-10", prices(), Policy()).explain["peak_slots"] == 2


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
