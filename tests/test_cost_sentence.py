"""What does the New key dialog say a key will cost?"""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from store.errors import Refused
from store.rules.price_lists import PriceList, parse
from store.rules.rating import (
    AccessSpan,
    CompanyFacts,
    ContractTerm,
    CostChange,
    KeyFact,
    LicenceFact,
    Policy,
    cost_sentence,
    difference,
)

PRICES = (
    parse(
        {
            "code": "API",
            "currency": "NOK",
            "version": 1,
            "effective_from": "2026-01-01",
            "items": {"access": {"model": "per_unit", "price": "25.00"}, "extra_key": {"price": "49.00"}},
        }
    ),
)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 12, 9, tzinfo=UTC)
IN_TWO_YEARS = datetime(2028, 11, 12, 23, tzinfo=UTC)


def company(users: int = 12, **changes: object) -> CompanyFacts:
    facts = CompanyFacts(
        company=1,
        zone="Europe/Oslo",
        currency="NOK",
        price_list="API",
        vat_rate=Decimal(25),
        access=(AccessSpan(NEW_YEAR),),
        licences=(LicenceFact(NEW_YEAR, users),),
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


def standard(
    *ids: int, made: datetime = NEW_YEAR, until: datetime = IN_TWO_YEARS, after: int | None = None
) -> tuple[KeyFact, ...]:
    return tuple(KeyFact(each, each % 5, "standard", made, ((made, until),), after) for each in ids)


def trial_key(number: int, made: datetime = NOW, resource: int = 1) -> KeyFact:
    return KeyFact(number, resource, "test", made, ((made, made + timedelta(days=14)),))


def asked(
    facts: CompanyFacts, key: KeyFact, policy: Policy | None = None, prices: tuple[PriceList, ...] = PRICES
) -> str:
    return cost_sentence(difference(facts, "2026-11", prices, policy or Policy(), key))


(NEW_KEY,) = standard(100, made=NOW)


def test_a_key_within_the_allowance_is_included() -> None:
    assert asked(company(12, keys=standard(*range(6))), NEW_KEY) == "included: 7 of 12"


def test_a_key_beyond_the_allowance_costs_an_extra_key_a_month() -> None:
    assert asked(company(12, keys=standard(*range(12))), NEW_KEY) == "extra key: NOK 49.00 a month from November"


def test_the_numbers_behind_the_sentence_are_given_whole() -> None:
    assert difference(company(12, keys=standard(*range(12))), "2026-11", PRICES, Policy(), NEW_KEY) == CostChange(
        kind="standard",
        month="2026-11",
        currency="NOK",
        counted=13,
        allowance=12,
        test_number=0,
        free_test_keys=3,
        first_month="2026-11",
        net_minor=4900,
        monthly=True,
        access_minor=None,
    )


def test_a_key_that_takes_the_place_of_one_revoked_this_month_costs_from_the_next_month_only() -> None:
    revoked = standard(0, until=datetime(2026, 11, 5, tzinfo=UTC))
    fewer = LicenceFact(datetime(2026, 11, 8, 9, tzinfo=UTC), 1)
    facts = company(2, keys=standard(1) + revoked)
    facts = replace(facts, licences=(*facts.licences, fewer))

    assert asked(facts, NEW_KEY) == "extra key: NOK 49.00 a month from December"


def test_a_first_month_in_another_year_is_said_with_its_year() -> None:
    made = datetime(2026, 12, 12, 9, tzinfo=UTC)
    (key,) = standard(100, made=made)
    facts = company(2, keys=standard(1))
    facts = replace(facts, licences=(*facts.licences, LicenceFact(datetime(2026, 12, 8, 9, tzinfo=UTC), 1)))

    sentence = cost_sentence(difference(facts, "2026-12", PRICES, Policy(), key))

    assert sentence == "extra key: NOK 49.00 a month from January 2027"


def test_a_short_key_below_a_peak_that_is_already_invoiced_costs_nothing_more() -> None:
    gone = standard(1, 2, 3, until=datetime(2026, 11, 5, tzinfo=UTC))
    (short,) = standard(100, made=NOW, until=datetime(2026, 11, 20, tzinfo=UTC))

    assert (
        asked(company(1, keys=gone + standard(4)), short)
        == "no further cost: as many extra keys are already invoiced for November"
    )


def test_a_key_made_at_the_instant_another_ends_takes_its_place() -> None:
    ending = standard(1, until=NOW)

    assert asked(company(2, keys=ending), NEW_KEY) == "included: 1 of 2"


def test_a_successor_within_the_grace_period_is_included() -> None:
    old = standard(1, until=NOW + timedelta(days=7))
    (successor,) = standard(2, made=NOW, after=1)

    assert asked(company(1, keys=old), successor) == "included: 1 of 1"


def test_a_successor_whose_predecessor_goes_on_too_long_costs_an_extra_key() -> None:
    old = standard(1, until=NOW + timedelta(days=7, seconds=1))
    (successor,) = standard(2, made=NOW, after=1)

    assert asked(company(1, keys=old), successor) == "extra key: NOK 49.00 a month from November"


def test_a_test_key_within_the_free_ones_says_which_it_is() -> None:
    assert asked(company(keys=(trial_key(1),)), trial_key(2)) == "test key 2 of 3 for this resource, free"


def test_test_keys_of_another_resource_do_not_count() -> None:
    others = tuple(trial_key(number, resource=2) for number in range(4))

    assert asked(company(keys=others), trial_key(9)) == "test key 1 of 3 for this resource, free"


def test_a_fourth_test_key_costs_an_extra_key_once() -> None:
    three = tuple(trial_key(number) for number in (1, 2, 3))

    assert asked(company(keys=three), trial_key(4)) == (
        "extra test key, number 4 for this resource (3 are free): NOK 49.00 once, in November"
    )


def test_a_fourth_test_key_costs_every_month_when_the_policy_says_so() -> None:
    three = tuple(trial_key(number) for number in (1, 2, 3))

    assert asked(company(keys=three), trial_key(4), Policy(test_overflow_cadence="monthly")) == (
        "extra test key, number 4 for this resource (3 are free): NOK 49.00 a month from November"
    )


def test_where_access_is_not_invoiced_an_extra_key_also_starts_the_access_fee() -> None:
    three = tuple(trial_key(number) for number in (1, 2, 3))

    assert asked(company(4, access=(), keys=three), trial_key(4)) == (
        "extra test key, number 4 for this resource (3 are free): NOK 49.00 once, in November; "
        "this also starts the monthly access fee"
    )
    assert (
        difference(company(4, access=(), keys=three), "2026-11", PRICES, Policy(), trial_key(4)).access_minor == 10000
    )
    assert asked(company(0, access=()), NEW_KEY) == (
        "extra key: NOK 49.00 a month from November; this also starts the monthly access fee"
    )


def test_where_access_is_invoiced_elsewhere_no_access_fee_starts() -> None:
    facts = company(1, access=(), access_invoiced_elsewhere=True, keys=standard(1))

    assert asked(facts, NEW_KEY) == "extra key: NOK 49.00 a month from November"


def test_an_agreed_price_is_the_one_that_is_said() -> None:
    agreed = ContractTerm("extra_key", "unit_price", date(2026, 1, 1), None, Decimal("29.00"), "contract 5")
    less = ContractTerm("extra_key", "discount_percent", date(2026, 1, 1), None, Decimal(10), "contract 6")

    assert asked(company(0, terms=(agreed, less)), NEW_KEY) == "extra key: NOK 26.10 a month from November"


def test_a_waived_extra_key_is_free_by_contract() -> None:
    waived = ContractTerm("extra_key", "waive", date(2026, 1, 1), None, None, "contract 7")

    assert asked(company(0, terms=(waived,)), NEW_KEY) == "extra key: free by contract"


def test_keys_included_by_contract_are_in_the_allowance() -> None:
    more = ContractTerm("extra_key", "included", date(2026, 1, 1), None, Decimal(5), "contract 8")

    assert asked(company(12, terms=(more,), keys=standard(*range(12))), NEW_KEY) == "included: 13 of 17"


def test_without_a_price_list_a_key_that_would_cost_is_refused() -> None:
    with pytest.raises(Refused, match=r"^No price list API in NOK is in force for 2026-11; publish one with"):
        asked(company(0, access=()), NEW_KEY, prices=())
