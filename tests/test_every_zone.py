"""Does every local day and month of every zone in the world come once and in order, whatever its clocks do?"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs.periods import EachDay, EachMonth
from jobs.planning import Known, owed
from jobs.schedule import TIMETABLE
from store.installation import Installation
from store.rules import calendar
from store.zones import ZoneInUse

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
BEGIN, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
NIGHTLY = [(hour, minute) for hour in range(6) for minute in (0, 30)] + [(hour, 0) for hour in range(6, 24)]
CHOICES = Installation(vendor="Fjord Software")
JOBS = {job.name: job for job in TIMETABLE}

Transitions = tuple[tuple[datetime, timedelta], ...]


def transitions(zone: ZoneInfo) -> Transitions:
    """The instants from 2024 to 2030 at which its clocks change, each with the offset from then on; the first is 2024.

    Looked for week by week: no zone changes to and fro within one.
    """
    found = [(BEGIN, offset(BEGIN, zone))]
    week = BEGIN
    while week < END:
        following = week + 7 * DAY
        if offset(following, zone) != found[-1][1]:
            before, after = week, following
            while after - before > SECOND:
                middle = before + timedelta(seconds=(after - before) // SECOND // 2)
                before, after = (middle, after) if offset(middle, zone) == found[-1][1] else (before, middle)
            found.append((after, offset(after, zone)))
        week = following
    return tuple(found)


def offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    found = moment.astimezone(zone).utcoffset()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def kinds() -> dict[Transitions, ZoneInfo]:
    """Of all zones whose clocks show the same in these years, one."""
    names = sorted(available_timezones() - {"localtime", "Factory"})
    return {transitions(ZoneInfo(name)): ZoneInfo(name) for name in names}


def test_the_zones_that_are_tried_are_those_of_the_world(kinds: dict[Transitions, ZoneInfo]) -> None:
    changing = [changes for changes in kinds if len(changes) > 1]

    assert len(kinds) >= 50
    assert len(changing) >= 20
    assert sum(len(changes) - 1 for changes in changing) >= 300


def test_each_night_comes_once_where_clocks_change_for_every_zone_and_nightly_hour(
    kinds: dict[Transitions, ZoneInfo],
) -> None:
    for changes, zone in kinds.items():
        for moment, _ in changes[1:]:
            day = moment.astimezone(zone).date()
            days = [day + number * DAY for number in (-2, -1, 0, 1, 2)]
            for hour, minute in NIGHTLY:
                nights = [calendar.at_local(each, hour, minute, zone) for each in days]

                assert nights == sorted(set(nights)), (zone, day, hour, minute)
                for number in (1, 2, 3):
                    told = [
                        calendar.latest_night(moment, zone, hour, minute)
                        for moment in (nights[number] - SECOND, nights[number], nights[number + 1] - SECOND)
                    ]
                    assert told == [days[number - 1], days[number], days[number]], (zone, days[number], hour, minute)


def test_each_day_of_seven_years_comes_once_and_in_order_in_every_zone(kinds: dict[Transitions, ZoneInfo]) -> None:
    days = [date(2024, 1, 1) + number * DAY for number in range(2557)]
    for zone in kinds.values():
        nights = [calendar.at_local(day, 2, 0, zone) for day in days]

        assert nights == sorted(set(nights)), zone
    assert [day for day in days if (day.month, day.day) == (2, 29)] == [date(2024, 2, 29), date(2028, 2, 29)]


def test_each_month_of_seven_years_is_due_once_and_in_order_in_every_zone_at_every_hour(
    kinds: dict[Transitions, ZoneInfo],
) -> None:
    months = calendar.month_range("2024-01", "2030-12")
    for changes, zone in kinds.items():
        changing = {moment.astimezone(zone).strftime("%Y-%m") for moment, _ in changes[1:]}
        for hour in range(24):
            monthly = EachMonth(days_after=lambda _: 0)
            choices = Installation(vendor="Fjord Software", invoice_hour=hour)
            due = [monthly.due_at(month, zone, choices) for month in months]

            assert due == sorted(set(due)), (zone, hour)
            for number, month in enumerate(months[1:], 1):
                if {month, calendar.next_month(month)} & changing or hour == 3:
                    told = [
                        monthly.latest(due[number] - SECOND, zone, choices),
                        monthly.latest(due[number], zone, choices),
                    ]
                    assert told == months[number - 1 : number + 1], (zone, month, hour)


@pytest.mark.parametrize(
    ("place", "around", "days"),
    [
        ("Pacific/Apia", "2011-12-30", ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]),
        ("Pacific/Fakaofo", "2011-12-30", ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]),
        ("Pacific/Kwajalein", "1993-08-21", ["1993-08-19", "1993-08-20", "1993-08-22", "1993-08-23"]),
        ("Pacific/Kiritimati", "1994-12-31", ["1994-12-29", "1994-12-30", "1995-01-01", "1995-01-02"]),
        ("Pacific/Enderbury", "1994-12-31", ["1994-12-29", "1994-12-30", "1995-01-01", "1995-01-02"]),
    ],
)
def test_a_day_that_a_zone_left_out_is_no_period_and_its_neighbours_come_once(
    place: str, around: str, days: list[str]
) -> None:
    zone, nightly = ZoneInfo(place), EachDay(hour=lambda _: 2)
    begin = datetime.fromisoformat(around).replace(tzinfo=UTC) - timedelta(days=1, hours=12)

    seen = [nightly.latest(begin + number * timedelta(minutes=15), zone, CHOICES) for number in range(96 * 4)]

    assert nightly.range(days[0], days[-1], zone) == days
    assert seen == sorted(seen)
    assert list(dict.fromkeys(seen)) == nightly.range(seen[0], seen[-1], zone)
    assert around not in seen


# The rules of a zone change between two looks: what was planned stays, and nothing is planned twice. Days before the
# change were planned too: what the clocks go back to is never before the first of them.

RULES = ["Europe/Oslo", "Africa/Algiers", "Europe/Istanbul", "Atlantic/Azores", "Pacific/Pago_Pago", "Pacific/Apia"]


def planned(job: str, switch: datetime, before: str, after: str, begin: datetime, end: datetime) -> list[str]:
    """The periods that are planned of a zone called Europe/Oslo, whose rules are another zone's from an instant on."""
    ledger: list[str] = []
    now = begin
    while now <= end:
        rules = before if now < switch else after
        scope = ZoneInUse("Europe/Oslo", rules, begin)
        latest = JOBS[job].cadence.latest(now, ZoneInfo(rules), CHOICES)
        newest = max((period for period in ledger if period <= latest), default=None)
        found = owed(JOBS[job], scope, now, Known(newest, frozenset(ledger)), CHOICES)
        ledger += [each.period for each in found if each.period not in ledger]
        now += timedelta(minutes=30)
    return ledger


@given(
    st.sampled_from(RULES),
    st.sampled_from(RULES),
    st.integers(min_value=0, max_value=7 * 48),
    st.sampled_from(["expiry-notices", "sandbox-refresh"]),
)
@example("Europe/Oslo", "Africa/Algiers", 96, "sandbox-refresh")  # summer time is done away with on its last night
@settings(deadline=None, max_examples=40)
def test_new_rules_for_a_zone_leave_each_day_planned_once_and_in_order(
    before: str, after: str, half_hours: int, job: str
) -> None:
    begin = datetime(2026, 10, 22, tzinfo=UTC)  # the clocks of Oslo go back on the 25th

    switch = begin + half_hours * timedelta(minutes=30)
    days = planned(job, switch, before, after, begin - 2 * DAY, begin + 8 * DAY)

    assert days == sorted(set(days))
    assert days == EachDay(hour=lambda _: 0).range(days[0], days[-1], ZoneInfo("UTC"))


@given(st.sampled_from(RULES), st.sampled_from(RULES), st.integers(min_value=0, max_value=4 * 48))
@settings(deadline=None, max_examples=40)
def test_new_rules_for_a_zone_leave_each_month_planned_once_and_in_order(
    before: str, after: str, half_hours: int
) -> None:
    begin = datetime(2026, 10, 30, tzinfo=UTC)

    months = planned("invoice-lines", begin + half_hours * timedelta(minutes=30), before, after, begin, begin + 5 * DAY)

    assert months == ["2026-10"]
