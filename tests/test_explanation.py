"""Is all that an invoice line was rated by told in words, from what was stored, in the company's time?"""

from rated_company import at, company, key, november, prices, term

from store.rules import explanation
from store.rules.price_comparison import PriceDifference, compare
from store.rules.price_lists import parse
from store.rules.rating import Policy, UsageFact, adjustments

FOUR = tuple(key(number, (f"2026-11-17T0{number}:00", "2027-11-17T00:00")) for number in range(1, 5))
REF = "API/NOK@2026-01-01#1"


def test_extra_keys_name_the_instant_of_their_peak_and_what_was_agreed() -> None:
    agreed = (term("extra_key", "included", "1"), term("extra_key", "discount_percent", "10"))

    line = november(company(keys=FOUR, terms=agreed)).lines[1]

    assert explanation.told("extra_key", line.explain, "Europe/Oslo") == [
        ("Most at once", "4 on 17 November 2026 at 05:00 (Europe/Oslo)"),
        ("Included", "3"),
        ("Extra", "1"),
        ("Rotations", "a key and its successor count as one for 7 days"),
        ("Price list", REF),
        ("Terms", "1 included (extra_key included), 10 % discount (extra_key discount_percent)"),
        ("Arithmetic", "1 x 49.00 = 49.00; 49.00 - 4.90 = 44.10"),
    ]
    assert explanation.counted_keys(line.explain) == [1, 2, 3, 4]


def test_access_names_the_day_of_the_highest_number_the_days_and_the_step_of_the_scale() -> None:
    scale = {"model": "graduated", "proration": "daily", "tiers": [{"up_to": 10, "price": "25.00"}, {"price": "20"}]}
    spans = company().access

    (line,) = november(company(access=spans), lists=prices(scale)).lines

    assert explanation.told("access/t1", line.explain, "Europe/Oslo") == [
        ("Licensed users", "2 on 1 November 2026 (the highest of the month)"),
        ("API Access on", "30 of 30 days"),
        ("Step of scale", "up to 10 users"),
        ("Price list", REF),
        ("Terms", "none agreed"),
        ("Arithmetic", "2 x 25.00 = 50.00"),
    ]


def test_test_keys_usage_and_adjustments_tell_their_counting_too() -> None:
    tries = tuple(key(number, (f"2026-11-0{number}T09:00", "2026-12-01T00:00"), kind="test") for number in range(1, 6))
    told = UsageFact(at("2026-11-03T00:00"), 2400, 0)
    facts = company(keys=tries, usage=(told,))
    _, test_keys, requests = november(facts, Policy(overuse_mode="auto")).lines

    assert explanation.told("extra_test_key", test_keys.explain, "Europe/Oslo")[:2] == [
        ("Free test keys", "3 per resource over the resource's life"),
        ("Each other one", "costs an extra key, once"),
    ]
    assert explanation.told("overuse_requests", requests.explain, "Europe/Oslo")[:4] == [
        ("Used", "2,400 requests"),
        ("Included", "1,200 requests"),
        ("Above", "1,200 requests"),
        ("Started blocks", "3 of 500 requests"),
    ]
    assert explanation.counted_keys(test_keys.explain) == [4, 5]

    (late,) = adjustments(facts, "2026-11", november(company(keys=tries)).lines, prices(), Policy(overuse_mode="auto"))
    assert explanation.told(late.line_key, late.explain, "Europe/Oslo")[:3] == [
        ("Corrects", "overuse_requests of November 2026"),
        ("Was invoiced", "0.00"),
        ("Is now", "30.00"),
    ]


def test_two_price_lists_are_compared_price_by_price_to_a_tenth_of_a_percent() -> None:
    (before,) = prices()
    after = parse(
        {
            "code": "API",
            "currency": "NOK",
            "version": 2,
            "effective_from": "2027-01-01",
            "items": {
                "access": {"model": "flat_by_tier", "tiers": [{"up_to": 10, "fee": "99"}, {"fee": "199"}]},
                "extra_key": {"price": "50.72"},
                "overuse_requests": {"included_base": 500, "included_per_user": 100, "block": 500, "price": "0"},
            },
        }
    )

    assert compare(before, after) == (
        PriceDifference("API access, users 1 to 10, together", "", "99.00", ""),
        PriceDifference("API access, users 11 and more, together", "", "199.00", ""),
        PriceDifference("Extra key, a month", "49.00", "50.72", "+3.5 %"),
        PriceDifference("Requests above, a block", "10.00", "0.00", "-100.0 %"),
        PriceDifference("Requests, size of a block", "500", "500", ""),
        PriceDifference("Requests included", "1,000", "500", "-50.0 %"),
        PriceDifference("Requests included per user", "100", "100", ""),
        PriceDifference("API access, a licensed user", "25.00", "", ""),
    )
    assert [row.before for row in compare(None, before)] == [""] * 6
