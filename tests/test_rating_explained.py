"""What does a line say about itself, and a preview about what it knows?"""

import pytest
from rated_company import at, billed, company, key, november, prices, term

from store.rules.rating import (
    AccessSpan,
    LicenceFact,
    Line,
    Policy,
    UsageFact,
    rate,
)


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


@pytest.mark.parametrize(("as_of", "known"), [("2026-11-15T11:59:59", False), ("2026-11-15T12:00", True)])
def test_a_preview_knows_what_happens_at_its_instant_and_nothing_later(as_of: str, known: bool) -> None:
    noon = "2026-11-15T12:00"
    facts = company(
        access=(AccessSpan(at("2026-01-01T00:00"), at(noon)),),
        licences=(LicenceFact(at("2026-01-01T00:00"), 2), LicenceFact(at("2026-11-01T12:00"), 1)),
        keys=(key(1, (noon, "2027-01-01T00:00")), key(2, (noon, "2027-01-01T00:00"), kind="test")),
        usage=(
            UsageFact(at(noon), 1, 0),
            UsageFact(at("2026-11-02T08:00"), 10, 0, "prod", at(noon)),
        ),
    )

    explain = rate(facts, "2026-11", prices(), Policy(free_test_keys_per_resource=0), at(as_of)).explain

    assert {
        "days": explain["access_days"],
        "slots": explain["peak_slots"],
        "test keys": explain["overflow_test_keys"],
        "requests": explain["usage"]["overuse_requests"]["used"] if explain["usage"] else 0,
    } == (
        {"days": 14, "slots": 1, "test keys": [2], "requests": 11}
        if known
        else {"days": 15, "slots": 0, "test keys": [], "requests": 0}
    )
