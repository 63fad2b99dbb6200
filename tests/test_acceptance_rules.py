"""When is a key accepted, and which one reason do admins read when it is not?"""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.rules.acceptance import REASONS, Asked, Facts, refusal
from store.rules.key_format import Environment

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
GOOD = Facts(
    environment="prod",
    ends_at=NOW + SECOND,
    revoked_at=None,
    retired=False,
    integration_enabled=True,
    company_active=True,
    resource_active=True,
    resource_licensed=True,
)
IN_ORDER: list[tuple[str, dict[str, Any]]] = [
    ("revoked", {"revoked_at": NOW}),
    ("expired", {"ends_at": NOW}),
    ("wrong-environment", {"environment": "sandbox"}),
    ("access-disabled", {"integration_enabled": False}),
    ("company-inactive", {"company_active": False}),
    ("resource-inactive", {"resource_active": False}),
    ("resource-unlicensed", {"resource_licensed": False}),
]


def test_a_key_of_which_all_is_right_is_accepted() -> None:
    assert refusal(GOOD, "prod", NOW) is None


def test_a_key_that_nobody_knows_is_refused() -> None:
    assert refusal(None, "prod", NOW) == "unknown-key"


@pytest.mark.parametrize(
    ("environment", "asked", "reason"),
    [
        ("prod", "prod", None),
        ("prod", "sandbox", "wrong-environment"),
        ("sandbox", "prod", "wrong-environment"),
        ("sandbox", "sandbox", None),
        ("all", "prod", None),
        ("all", "sandbox", None),
        ("prod", "PROD", "wrong-environment"),
        ("prod", "", "wrong-environment"),
        ("all", "all", "wrong-environment"),
        ("all", "live", "wrong-environment"),
    ],
)
def test_a_key_works_in_its_environment_and_all_means_both(
    environment: Environment, asked: str, reason: str | None
) -> None:
    facts = GOOD._replace(environment=environment)

    assert refusal(facts, cast("Asked", asked), NOW) == reason


@pytest.mark.parametrize(("ends_at", "reason"), [(NOW + SECOND, None), (NOW, "expired"), (NOW - SECOND, "expired")])
def test_a_key_works_until_the_second_before_its_end(ends_at: datetime, reason: str | None) -> None:
    assert refusal(GOOD._replace(ends_at=ends_at), "prod", NOW) == reason


@pytest.mark.parametrize(("ends_at", "reason"), [(NOW + SECOND, None), (NOW, "retired")])
def test_a_rotated_key_works_through_its_overlap_and_then_is_retired(ends_at: datetime, reason: str | None) -> None:
    assert refusal(GOOD._replace(ends_at=ends_at, retired=True), "prod", NOW) == reason


@pytest.mark.parametrize("revoked_at", [NOW - SECOND, NOW, NOW + SECOND])
def test_a_revoked_key_is_refused_whatever_the_clocks_say(revoked_at: datetime) -> None:
    assert refusal(GOOD._replace(revoked_at=revoked_at), "prod", NOW) == "revoked"


def test_of_several_reasons_the_first_in_the_products_order_is_given() -> None:
    for faults in product([False, True], repeat=7):
        wrong = [entry for entry, is_wrong in zip(IN_ORDER, faults, strict=True) if is_wrong]
        facts = GOOD
        for _, change in wrong:
            facts = facts._replace(**change)

        assert refusal(facts, "prod", NOW) == (wrong[0][0] if wrong else None)


@given(
    environment=st.sampled_from(["prod", "sandbox", "all"]),
    asked=st.sampled_from(["prod", "sandbox", "all", ""]),
    ends_after=st.integers(-2, 2),
    revoked=st.booleans(),
    others=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)
def test_instants_and_the_seconds_that_a_store_keeps_of_them_give_one_answer(
    environment: Environment, asked: Asked, ends_after: int, revoked: bool, others: tuple[bool, ...]
) -> None:
    now = int(NOW.timestamp())

    as_instants = Facts(environment, NOW + ends_after * SECOND, NOW if revoked else None, *others)
    as_seconds = Facts(environment, now + ends_after, now if revoked else None, *others)

    assert refusal(as_seconds, asked, now) == refusal(as_instants, asked, NOW)


def test_every_reason_has_a_sentence_for_admins() -> None:
    assert list(REASONS) == [
        "unknown-key",
        "revoked",
        "expired",
        "retired",
        "wrong-environment",
        "access-disabled",
        "company-inactive",
        "resource-inactive",
        "resource-unlicensed",
    ]
    assert all(sentence.endswith(".") and sentence.count(".") == 1 for sentence in REASONS.values())
