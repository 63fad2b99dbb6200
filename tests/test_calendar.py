"""When do a local day, a night and a month begin, in zones that skip or repeat hours and days?"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.errors import FormatWrong
from store.rules import calendar

OSLO = ZoneInfo("Europe/Oslo")
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
ZONES = [ZoneInfo(name) for name in sorted(available_timezones() - {"localtime", "Factory"})]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def test_a_zone_is_found_by_its_name() -> None:
    assert calendar.zone("Europe/Oslo") == ZoneInfo("Europe/Oslo")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Oslo",
        "Europe",
        "Europe/Olso",
        "../UTC",
        "/etc/localtime",
        "UTC\0",
        "x" * 5000,
        "Europe/\udc80",
        "\x1b[2J",
        "localtime",
        "posixrules",
        "Factory",
        "right/UTC",
        "posix/UTC",
    ],
)
def test_a_name_that_is_no_place_is_refused(name: str) -> None:
    with pytest.raises(
        FormatWrong, match=r" is not a time zone; write one like Europe/Oslo, from the IANA list\.$"
    ) as e:
        calendar.zone(name)

    assert str(e.value).isprintable()


@pytest.mark.parametrize(
    ("now", "place", "day"),
    [
        ("2026-11-22T22:59:59", "Europe/Oslo", date(2026, 11, 22)),
        ("2026-11-22T23:00:00", "Europe/Oslo", date(2026, 11, 23)),
        ("2026-11-22T10:00:00", "Pacific/Kiritimati", date(2026, 11, 23)),
        ("2026-11-23T10:59:59", "Pacific/Pago_Pago", date(2026, 11, 22)),
        ("2011-12-30T09:59:59", "Pacific/Apia", date(2011, 12, 29)),
        ("2011-12-30T10:00:00", "Pacific/Apia", date(2011, 12, 31)),
    ],
)
def test_the_local_day_is_the_one_on_the_wall(now: str, place: str, day: date) -> None:
    assert calendar.local_day(instant(now), ZoneInfo(place)) == day


def test_an_instant_without_a_zone_has_no_local_day() -> None:
    with pytest.raises(ValueError, match="without a time zone"):
        calendar.local_day(datetime(2026, 11, 23), OSLO)


@pytest.mark.parametrize(
    ("day", "hour", "minute", "place", "expected"),
    [
        (date(2026, 11, 23), 2, 0, "Europe/Oslo", "2026-11-23T01:00:00"),
        (date(2026, 3, 29), 1, 59, "Europe/Oslo", "2026-03-29T00:59:00"),
        (date(2026, 3, 29), 2, 0, "Europe/Oslo", "2026-03-29T01:00:00"),  # 02:00 to 03:00 is left out
        (date(2026, 3, 29), 2, 59, "Europe/Oslo", "2026-03-29T01:00:00"),
        (date(2026, 3, 29), 3, 0, "Europe/Oslo", "2026-03-29T01:00:00"),
        (date(2026, 10, 25), 2, 30, "Europe/Oslo", "2026-10-25T00:30:00"),  # and again an hour later
        (date(2026, 10, 25), 3, 0, "Europe/Oslo", "2026-10-25T02:00:00"),
        (date(2026, 4, 24), 0, 0, "Africa/Cairo", "2026-04-23T22:00:00"),  # midnight is left out
        (date(2026, 3, 29), 0, 30, "Asia/Beirut", "2026-03-28T22:00:00"),
        (date(2026, 10, 25), 0, 0, "Asia/Beirut", "2026-10-24T22:00:00"),  # 23:00 comes twice before it
        (date(2026, 11, 1), 0, 0, "America/Havana", "2026-11-01T04:00:00"),  # midnight comes twice
        (date(2026, 3, 28), 23, 30, "America/Nuuk", "2026-03-29T01:00:00"),  # Saturday ends at 23:00
        (date(2026, 4, 5), 1, 45, "Australia/Lord_Howe", "2026-04-04T14:45:00"),  # half an hour comes twice
        (date(2011, 12, 30), 2, 0, "Pacific/Apia", "2011-12-30T10:00:00"),  # the day is left out
        (date(2011, 12, 31), 0, 0, "Pacific/Apia", "2011-12-30T10:00:00"),
        (date(2006, 10, 29), 0, 0, "America/St_Johns", "2006-10-29T02:30:00"),  # 00:01 became 23:01 of the day before
    ],
)
def test_a_wall_time_comes_once_a_day_at_its_first_instant(
    day: date, hour: int, minute: int, place: str, expected: str
) -> None:
    assert calendar.at_local(day, hour, minute, ZoneInfo(place)) == instant(expected)


@given(
    st.sampled_from(ZONES),
    st.dates(date(1900, 1, 2), date(2099, 12, 30)),
    st.integers(min_value=0, max_value=23),
    st.integers(min_value=0, max_value=59),
)
@settings(deadline=None, max_examples=400)
def test_before_a_wall_time_the_clock_shows_less_and_from_it_on_not_less(
    zone: ZoneInfo, day: date, hour: int, minute: int
) -> None:
    asked = datetime(day.year, day.month, day.day, hour, minute)

    found = calendar.at_local(day, hour, minute, zone)

    assert found.tzinfo is UTC
    assert wall(found, zone) >= asked
    assert all(wall(found - n * SECOND, zone) < asked for n in (1, 60, 1800, 3600, 7200, 86400))


@pytest.mark.parametrize("hour", [0, 1, 2, 3])
def test_going_through_a_jump_minute_by_minute_meets_each_night_once(hour: int) -> None:
    for place, start in [
        ("Europe/Oslo", "2026-03-28T12:00:00"),
        ("Europe/Oslo", "2026-10-24T12:00:00"),
        ("Africa/Cairo", "2026-04-23T12:00:00"),
        ("America/Havana", "2026-10-31T12:00:00"),
        ("Asia/Beirut", "2026-10-24T12:00:00"),
        ("America/St_Johns", "2006-10-28T12:00:00"),
    ]:
        zone, first = ZoneInfo(place), instant(start)
        seen = [calendar.latest_night(first + timedelta(minutes=n), zone, hour) for n in range(0, 2880, 10)]

        assert seen == sorted(seen)
        assert sorted(set(seen)) == [seen[0] + n * DAY for n in range(3)]


def test_a_day_that_a_zone_left_out_has_no_night() -> None:
    apia = ZoneInfo("Pacific/Apia")

    nights = [
        calendar.latest_night(instant(f"2011-12-30T{time}"), apia, 2) for time in ("09:59:59", "11:59:59", "12:00")
    ]

    assert nights == [date(2011, 12, 29), date(2011, 12, 29), date(2011, 12, 31)]


def test_a_night_may_begin_on_any_minute() -> None:
    nights = [calendar.latest_night(instant(f"2026-11-23T{time}"), OSLO, 2, 45) for time in ("01:44:59", "01:45:00")]

    assert nights == [date(2026, 11, 22), date(2026, 11, 23)]


def test_months_follow_each_other_over_the_years() -> None:
    assert calendar.month_of(date(2026, 11, 30)) == "2026-11"
    assert [calendar.previous_month(month) for month in ("2026-11", "2027-01")] == ["2026-10", "2026-12"]
    assert [calendar.next_month(month) for month in ("2026-01", "2026-12")] == ["2026-02", "2027-01"]


@pytest.mark.parametrize(
    ("first", "last", "months"),
    [
        ("2026-11", "2027-02", ["2026-11", "2026-12", "2027-01", "2027-02"]),
        ("2026-11", "2026-11", ["2026-11"]),
        ("2026-11", "2026-10", []),
    ],
)
def test_a_range_of_months_includes_both_ends(first: str, last: str, months: list[str]) -> None:
    assert calendar.month_range(first, last) == months


@pytest.mark.parametrize(
    "month", ["", "2026", "2026-00", "2026-13", "2026-1", "26-01", "2026-01-01", "２０２６-01", "2026-01\n"]
)
def test_a_month_is_written_like_2026_11(month: str) -> None:
    with pytest.raises(FormatWrong, match=r" is not a month; write it like 2026-11\.$"):
        calendar.next_month(month)


@pytest.mark.parametrize(
    ("month", "place", "start", "end"),
    [
        ("2026-11", "UTC", "2026-11-01T00:00:00", "2026-12-01T00:00:00"),
        ("2026-03", "Europe/Oslo", "2026-02-28T23:00:00", "2026-03-31T22:00:00"),
        ("2026-12", "Asia/Tokyo", "2026-11-30T15:00:00", "2026-12-31T15:00:00"),
        ("2026-11", "America/Havana", "2026-11-01T04:00:00", "2026-12-01T05:00:00"),
        ("2011-12", "Pacific/Apia", "2011-12-01T10:00:00", "2011-12-31T10:00:00"),
    ],
)
def test_a_month_lasts_from_its_first_local_instant_to_that_of_the_next(
    month: str, place: str, start: str, end: str
) -> None:
    assert calendar.month_bounds(month, ZoneInfo(place)) == (instant(start), instant(end))


@pytest.mark.parametrize(
    ("now", "place", "month"),
    [
        ("2026-12-01T01:59:59", "Europe/Oslo", "2026-10"),
        ("2026-12-01T02:00:00", "Europe/Oslo", "2026-11"),
        ("2026-12-31T23:30:00", "Europe/Oslo", "2026-11"),
        ("2027-01-01T01:59:59", "Europe/Oslo", "2026-11"),
        ("2027-01-01T02:00:00", "Europe/Oslo", "2026-12"),
        ("2026-11-30T12:59:59", "Pacific/Kiritimati", "2026-10"),
        ("2026-11-30T13:00:00", "Pacific/Kiritimati", "2026-11"),
        ("2026-12-01T13:59:59", "Pacific/Pago_Pago", "2026-10"),
        ("2026-12-01T14:00:00", "Pacific/Pago_Pago", "2026-11"),
    ],
)
def test_last_months_lines_are_due_on_the_first_at_3_in_the_company(now: str, place: str, month: str) -> None:
    assert calendar.latest_month_due(instant(now), ZoneInfo(place)) == month


def test_a_month_that_has_been_due_stays_due_when_the_clock_is_put_back_over_midnight() -> None:
    st_johns = ZoneInfo("America/St_Johns")  # 00:01 on 1 November 2009 became 23:01 on 31 October

    due = [
        calendar.latest_month_due(instant(f"2009-11-01T{time}"), st_johns, hour=0)
        for time in ("02:29:59", "02:30:00", "02:40:00")
    ]

    assert due == ["2009-09", "2009-10", "2009-10"]


@pytest.mark.parametrize(
    ("now", "month"),
    [("2026-12-04T01:59:59", "2026-10"), ("2026-12-04T02:00:00", "2026-11"), ("2026-12-01T02:00:00", "2026-10")],
)
def test_they_become_final_after_the_days_of_grace(now: str, month: str) -> None:
    assert calendar.latest_month_due(instant(now), OSLO, days_after=3) == month
    assert calendar.latest_month_due(instant(now), OSLO, day=4) == month


def test_a_grace_longer_than_a_month_is_waited_for() -> None:
    due = [
        calendar.latest_month_due(instant(now), OSLO, days_after=45, hour=0)
        for now in ("2026-12-15T22:59", "2026-12-15T23:00")
    ]

    assert due == ["2026-09", "2026-10"]
