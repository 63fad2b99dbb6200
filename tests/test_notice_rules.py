"""Of which coming or past expiry is a key's circle told on a day, and which days are never told of?"""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.rules.notices import due_threshold

TODAY = date(2026, 11, 23)
LONG_AGO = date(2025, 11, 23)


def due(
    left: int, set_days_ago: int = 365, thresholds: tuple[int, ...] = (14, 3, -1)
) -> tuple[int | None, tuple[int, ...]]:
    return due_threshold(
        thresholds, today=TODAY, expires_on=TODAY + timedelta(days=left), set_on=TODAY - timedelta(days=set_days_ago)
    )


@pytest.mark.parametrize(
    ("left", "owed"),
    [
        (400, (None, ())),
        (15, (None, ())),
        (14, (14, ())),
        (13, (14, ())),
        (4, (14, ())),
        (3, (3, (14,))),
        (1, (3, (14,))),
        (0, (3, (14,))),
        (-1, (-1, (3, 14))),
        (-2, (-1, (3, 14))),
        (-30, (-1, (3, 14))),
        (-31, (None, ())),
        (-4000, (None, ())),
    ],
)
def test_the_tightest_threshold_reached_is_owed_and_covers_the_wider_ones(
    left: int, owed: tuple[int | None, tuple[int, ...]]
) -> None:
    assert due(left) == owed


@pytest.mark.parametrize(
    ("set_days_ago", "left", "owed"),
    [
        (0, 14, (None, ())),  # a test key on the day it is made
        (1, 13, (None, ())),
        (10, 4, (None, ())),
        (11, 3, (3, ())),
        (14, 0, (3, ())),
        (15, -1, (-1, (3,))),
        (0, 15, (None, ())),
        (1, 14, (14, ())),
        (0, 3, (None, ())),
        (3, 0, (None, ())),
        (0, 4, (None, ())),
        (1, 3, (3, ())),
        (0, 0, (None, ())),
        (1, -1, (-1, ())),  # made for one day
    ],
)
def test_nobody_is_warned_of_days_that_the_key_never_had(
    set_days_ago: int, left: int, owed: tuple[int | None, tuple[int, ...]]
) -> None:
    assert due(left, set_days_ago) == owed


def test_a_date_given_when_it_had_passed_already_is_no_news() -> None:
    assert due(-3, set_days_ago=2) == (None, ())


def test_the_day_itself_may_be_a_threshold() -> None:
    assert due(0, thresholds=(7, 0, -1)) == (0, (7,))
    assert due(1, thresholds=(7, 0, -1)) == (7, ())


def test_without_the_threshold_for_expired_keys_they_owe_nothing() -> None:
    assert due(-1, thresholds=(14, 3)) == (None, ())


def test_without_thresholds_nothing_is_owed() -> None:
    assert due(0, thresholds=()) == (None, ())


@given(st.permutations([30, 14, 14, 7, 3, 1, 0, -1]), st.integers(-40, 40), st.integers(0, 60))
@settings(deadline=None)
def test_the_order_and_repetition_of_the_thresholds_do_not_matter(
    thresholds: list[int], left: int, set_days_ago: int
) -> None:
    assert due(left, set_days_ago, tuple(thresholds)) == due(left, set_days_ago, (-1, 0, 1, 3, 7, 14, 30))


@given(st.sets(st.integers(-1, 60)), st.integers(-60, 90), st.integers(0, 90))
@settings(deadline=None)
def test_what_is_owed_once_stays_covered_until_the_key_is_forgotten(
    thresholds: set[int], left: int, set_days_ago: int
) -> None:
    owed, covered = due(left, set_days_ago, tuple(thresholds))
    tomorrow, covered_tomorrow = due(left - 1, set_days_ago + 1, tuple(thresholds))

    assert (owed is None) <= (covered == ())
    assert list(covered) == sorted(covered)
    if owed is not None and tomorrow is not None:
        assert {owed, *covered} <= {tomorrow, *covered_tomorrow}
