"""Until when may a key work, and at which instant does it stop?"""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.errors import Refused
from store.rules import expiry
from store.rules.calendar import zone

TODAY = date(2026, 11, 23)
days = st.dates(date(2000, 1, 1), date(2099, 12, 31))


@pytest.mark.parametrize(
    ("today", "last"),
    [
        (date(2026, 11, 23), date(2028, 11, 23)),
        (date(2028, 2, 28), date(2030, 2, 28)),
        (date(2028, 2, 29), date(2030, 2, 28)),
        (date(2026, 2, 28), date(2028, 2, 28)),
        (date(2098, 3, 1), date(2100, 3, 1)),
    ],
)
def test_the_last_date_allowed_is_two_years_after_today(today: date, last: date) -> None:
    assert expiry.latest(today) == last


@pytest.mark.parametrize("expires_on", [date(2026, 11, 23), date(2026, 11, 24), date(2028, 11, 23)])
def test_a_date_from_today_to_two_years_after_is_allowed(expires_on: date) -> None:
    expiry.check(expires_on, TODAY)


@pytest.mark.parametrize("expires_on", [date(2026, 11, 22), date(2028, 11, 24), date.min, date.max])
def test_any_other_date_is_refused_with_the_dates_that_are_allowed(expires_on: date) -> None:
    with pytest.raises(Refused) as refused:
        expiry.check(expires_on, TODAY)

    assert str(refused.value) == (
        f"The expiry date cannot be {expires_on}; choose a date from 2026-11-23 to 2028-11-23."
    )


def test_a_test_key_works_today_and_14_days_more() -> None:
    assert expiry.test_expiry(date(2026, 12, 24)) == date(2027, 1, 7)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (date(2027, 1, 1), date(2028, 11, 23)),
        (date(2027, 1, 1), date(2026, 11, 23)),
        (date(2020, 1, 1), date(2027, 1, 1)),
        (date(2028, 11, 23), date(2028, 11, 23)),
    ],
)
def test_a_standard_key_is_shortened_lengthened_or_woken_up(old: date, new: date) -> None:
    expiry.check_edit("standard", old, new, TODAY)


def test_two_years_count_from_today_and_not_from_the_old_date() -> None:
    with pytest.raises(Refused, match=r"from 2026-11-23 to 2028-11-23\.$"):
        expiry.check_edit("standard", date(2028, 11, 1), date(2028, 11, 24), TODAY)


@pytest.mark.parametrize("new", [date(2026, 11, 23), date(2026, 12, 6), date(2026, 12, 7)])
def test_a_test_key_is_shortened_or_left_as_it_is(new: date) -> None:
    expiry.check_edit("test", date(2026, 12, 7), new, TODAY)


def test_a_test_key_on_its_last_day_has_not_expired() -> None:
    expiry.check_edit("test", TODAY, TODAY, TODAY)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            date(2026, 12, 7),
            date(2026, 12, 8),
            "A test key is never lengthened; choose a date from 2026-11-23 to 2026-12-07, or make a standard key.",
        ),
        (
            date(2026, 12, 7),
            date(2026, 11, 22),
            "The expiry date cannot be 2026-11-22; choose a date from 2026-11-23 to 2026-12-07.",
        ),
        (
            date(2026, 11, 22),
            date(2026, 11, 23),
            "This test key expired on 2026-11-22 and a test key is never lengthened; make a new key.",
        ),
    ],
)
def test_a_test_key_is_not_lengthened_nor_ended_in_the_past(old: date, new: date, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        expiry.check_edit("test", old, new, TODAY)

    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("expires_on", "place", "ends"),
    [
        (date(2026, 11, 23), "UTC", "2026-11-24T00:00:00+00:00"),
        (date(2026, 11, 23), "Europe/Oslo", "2026-11-23T23:00:00+00:00"),
        (date(2026, 3, 29), "Europe/Oslo", "2026-03-29T22:00:00+00:00"),
        (date(2026, 10, 25), "Europe/Oslo", "2026-10-25T23:00:00+00:00"),
        (date(2026, 4, 23), "Africa/Cairo", "2026-04-23T22:00:00+00:00"),  # no midnight that night
        (date(2026, 10, 31), "America/Havana", "2026-11-01T04:00:00+00:00"),  # two midnights
        (date(2011, 12, 29), "Pacific/Apia", "2011-12-30T10:00:00+00:00"),  # the 30th was left out
        (date(2011, 12, 30), "Pacific/Apia", "2011-12-30T10:00:00+00:00"),
        (date(2026, 11, 23), "Asia/Kathmandu", "2026-11-23T18:15:00+00:00"),
    ],
)
def test_a_key_stops_when_the_next_local_day_begins(expires_on: date, place: str, ends: str) -> None:
    assert expiry.ends_at(expires_on, zone(place)).isoformat() == ends


@pytest.mark.parametrize(
    ("today", "dates"),
    [
        (date(2026, 11, 23), [date(2027, 2, 23), date(2027, 11, 23), date(2028, 11, 23)]),
        (date(2026, 11, 30), [date(2027, 2, 28), date(2027, 11, 30), date(2028, 11, 30)]),
        (date(2027, 11, 30), [date(2028, 2, 29), date(2028, 11, 30), date(2029, 11, 30)]),
        (date(2028, 2, 29), [date(2028, 5, 29), date(2029, 2, 28), date(2030, 2, 28)]),
        (date(2026, 1, 31), [date(2026, 4, 30), date(2027, 1, 31), date(2028, 1, 31)]),
        (date(2026, 12, 31), [date(2027, 3, 31), date(2027, 12, 31), date(2028, 12, 31)]),
    ],
)
def test_the_quick_choices_end_where_their_months_end(today: date, dates: list[date]) -> None:
    assert expiry.quick_choices(today) == list(zip(["3 months", "1 year", "2 years"], dates, strict=True))


@given(days)
@settings(deadline=None)
def test_every_quick_choice_is_allowed(today: date) -> None:
    for _, expires_on in expiry.quick_choices(today):
        expiry.check(expires_on, today)


@pytest.mark.parametrize(
    ("expires_on", "left"), [(date(2026, 11, 23), 0), (date(2026, 11, 26), 3), (date(2026, 11, 22), -1)]
)
def test_days_left_are_0_on_the_last_day(expires_on: date, left: int) -> None:
    assert expiry.days_left(expires_on, TODAY) == left


@pytest.mark.parametrize(
    ("ends", "overlap", "expected"),
    [
        (datetime(2027, 6, 1, tzinfo=UTC), 7, datetime(2026, 11, 30, 9, tzinfo=UTC)),
        (datetime(2027, 6, 1, tzinfo=UTC), 0, datetime(2026, 11, 23, 9, tzinfo=UTC)),
        (datetime(2026, 11, 30, 9, tzinfo=UTC), 7, datetime(2026, 11, 30, 9, tzinfo=UTC)),
        (datetime(2026, 11, 25, tzinfo=UTC), 7, datetime(2026, 11, 25, tzinfo=UTC)),
        (datetime(2026, 11, 25, tzinfo=UTC), 999_999_999, datetime(2026, 11, 25, tzinfo=UTC)),
        (datetime(2026, 11, 1, tzinfo=UTC), 7, datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
def test_a_rotated_key_goes_on_for_the_overlap_and_never_past_its_end(
    ends: datetime, overlap: int, expected: datetime
) -> None:
    assert expiry.overlap_end(ends, datetime(2026, 11, 23, 9, tzinfo=UTC), overlap) == expected


def test_an_overlap_is_not_negative() -> None:
    now = datetime(2026, 11, 23, 9, tzinfo=UTC)

    with pytest.raises(Refused, match=r"^The overlap of a rotation cannot be negative; choose 0 days or more\.$"):
        expiry.overlap_end(now + timedelta(days=30), now, -1)
