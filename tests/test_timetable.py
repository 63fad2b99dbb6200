"""When is each job due: at which instant, for which period, and what of it is caught up?"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.periods import EachDay, EachHour, EachMonth
from jobs.planning import Known, owed
from jobs.schedule import TIMETABLE
from store.installation import Installation
from store.runs import Planned
from store.zones import ZoneInUse

CHOICES = Installation(vendor="Fjord Software")
SET_UP = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday; 13:00 in Oslo
OSLO = ZoneInUse("Europe/Oslo", "Europe/Oslo", SET_UP)
EVERYWHERE = ZoneInUse("all", "UTC", datetime(1970, 1, 1, tzinfo=UTC))
JOBS = {job.name: job for job in TIMETABLE}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def told(planned: list[Planned]) -> list[str]:
    return [f"{each.state} {each.period} from {each.not_before:%Y-%m-%d %H:%M}" for each in planned]


def test_the_timetable_is_these_six_jobs() -> None:
    assert [(job.name, job.scope, job.catch_up) for job in TIMETABLE] == [
        ("expiry-notices", "time zone", "latest"),
        ("sandbox-refresh", "time zone", "latest"),
        ("invoice-lines", "time zone", "every"),
        ("invoice-final", "time zone", "every"),
        ("housekeeping", "all", "silent"),
        ("tidying", "all", "latest"),
    ]
    assert all((job.body is None) != (job.slices is None) for job in TIMETABLE)


@pytest.mark.parametrize(
    ("job", "now", "period"),
    [
        ("expiry-notices", "2026-11-22T22:59:59", "2026-11-22"),
        ("expiry-notices", "2026-11-22T23:00:00", "2026-11-23"),
        ("sandbox-refresh", "2026-11-23T00:59:59", "2026-11-22"),
        ("sandbox-refresh", "2026-11-23T01:00:00", "2026-11-23"),
        ("invoice-lines", "2026-12-01T01:59:59", "2026-10"),
        ("invoice-lines", "2026-12-01T02:00:00", "2026-11"),
        ("invoice-final", "2026-12-04T01:59:59", "2026-10"),
        ("invoice-final", "2026-12-04T02:00:00", "2026-11"),
        ("housekeeping", "2026-11-23T14:59:59", "2026-11-23T14"),
        ("housekeeping", "2026-11-23T15:00:00", "2026-11-23T15"),
    ],
)
def test_a_period_begins_at_its_hour_in_oslo(job: str, now: str, period: str) -> None:
    assert JOBS[job].cadence.latest(at(now), ZoneInfo("Europe/Oslo"), CHOICES) == period


def test_the_bounds_of_a_day_on_which_the_clocks_go_forward_are_23_hours_apart() -> None:
    bounds = EachDay(hour=lambda _: 2).bounds("2026-03-29", ZoneInfo("Europe/Oslo"))

    assert bounds == {"start": 1774738800, "end": 1774821600}
    assert bounds["end"] - bounds["start"] == 23 * 3600


def test_the_bounds_of_a_month_are_the_local_ones() -> None:
    bounds = EachMonth(days_after=lambda _: 0).bounds("2026-11", ZoneInfo("Pacific/Auckland"))

    assert bounds == {"start": int(at("2026-10-31T11:00").timestamp()), "end": int(at("2026-11-30T11:00").timestamp())}


@pytest.mark.parametrize(
    ("zone", "first", "days"),
    [
        ("Europe/Oslo", date(2026, 3, 20), 20),  # 02:00 does not exist on the 29th
        ("Europe/Oslo", date(2026, 10, 15), 20),  # 02:00 comes twice on the 25th
        ("America/New_York", date(2026, 3, 1), 15),
        ("Pacific/Auckland", date(2026, 9, 20), 20),
        ("Africa/Cairo", date(2026, 4, 20), 10),  # midnight does not exist on the 24th
        ("Australia/Lord_Howe", date(2026, 9, 28), 15),  # half an hour
    ],
)
@pytest.mark.parametrize("job", ["expiry-notices", "sandbox-refresh"])
def test_every_local_day_is_due_once_and_in_order_over_a_change_of_clocks(
    job: str, zone: str, first: date, days: int
) -> None:
    place = ZoneInfo(zone)
    begin = datetime(first.year, first.month, first.day, 12, tzinfo=place).astimezone(UTC)

    seen = []
    for step in range(days * 96):
        period = JOBS[job].cadence.latest(begin + step * timedelta(minutes=15), place, CHOICES)
        if not seen or seen[-1] != period:
            seen.append(period)

    assert seen == [(first + timedelta(days=number)).isoformat() for number in range(days + 1)][: len(seen)]
    assert len(seen) in {days, days + 1}


def test_a_day_that_a_zone_skipped_is_not_owed() -> None:
    days = EachDay(hour=lambda _: 0).range("2011-12-28", "2012-01-01", ZoneInfo("Pacific/Apia"))

    assert days == ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]


@given(st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)), st.sampled_from(sorted(JOBS)))
def test_the_newest_period_has_come_and_the_one_after_it_has_not(moment: datetime, name: str) -> None:
    now, zone, cadence = moment.replace(tzinfo=UTC), ZoneInfo("America/New_York"), JOBS[name].cadence

    latest = cadence.latest(now, zone, CHOICES)

    assert cadence.due_at(latest, zone, CHOICES) <= now < cadence.due_at(cadence.following(latest), zone, CHOICES)


def test_hours_follow_each_other_over_midnight() -> None:
    assert EachHour().range("2026-11-23T22", "2026-11-24T01", ZoneInfo("UTC")) == [
        "2026-11-23T22", "2026-11-23T23", "2026-11-24T00", "2026-11-24T01",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("job", "scope", "known", "owed_now"),
    [
        ("expiry-notices", OSLO, Known(), ["due 2026-11-23 from 2026-11-22 23:00"]),
        ("expiry-notices", OSLO, Known(newest="2026-11-23"), []),
        ("expiry-notices", OSLO, Known(newest="2026-11-22"), ["due 2026-11-23 from 2026-11-22 23:00"]),
        (
            "sandbox-refresh",
            OSLO,
            Known(newest="2026-11-20"),
            [
                "missed 2026-11-21 from 2026-11-21 01:00",
                "missed 2026-11-22 from 2026-11-22 01:00",
                "due 2026-11-23 from 2026-11-23 01:00",
            ],
        ),
        ("housekeeping", EVERYWHERE, Known(newest="2026-11-01T00"), ["due 2026-11-23T12 from 2026-11-23 12:00"]),
        ("housekeeping", EVERYWHERE, Known(newest="2026-11-23T12"), []),
        (
            "invoice-lines",
            OSLO,
            Known(periods=frozenset({"2026-01", "2026-02", "2026-03", "2026-04", "2026-05", "2026-06", "2026-08"})),
            [
                "due 2026-07 from 2026-08-01 01:00",
                "due 2026-09 from 2026-10-01 01:00",
                "due 2026-10 from 2026-11-01 02:00",
            ],
        ),
    ],
)
def test_what_a_job_lacks_is_owed_as_its_catch_up_says(
    job: str, scope: ZoneInUse, known: Known, owed_now: list[str]
) -> None:
    assert told(owed(JOBS[job], scope, NOON, known, CHOICES)) == owed_now


@pytest.mark.parametrize(
    ("since", "months"),
    [
        ("2026-09-30T21:59", ["2026-09", "2026-10"]),
        ("2026-09-30T22:00", ["2026-10"]),  # October has begun in Oslo
        ("2026-11-05T00:00", []),
    ],
)
def test_no_month_is_invoiced_before_the_one_in_which_the_zones_first_company_came(
    since: str, months: list[str]
) -> None:
    scope = ZoneInUse("Europe/Oslo", "Europe/Oslo", at(since))

    assert [each.period for each in owed(JOBS["invoice-lines"], scope, NOON, Known(), CHOICES)] == months


def test_after_five_years_away_a_month_job_catches_up_two_years_a_pass_and_a_day_job_records_a_year() -> None:
    scope = ZoneInUse("Europe/Oslo", "Europe/Oslo", at("2021-11-15T00:00"))

    months = owed(JOBS["invoice-lines"], scope, NOON, Known(), CHOICES)
    nights = owed(JOBS["sandbox-refresh"], scope, NOON, Known(newest="2021-11-15"), CHOICES)

    assert (months[0].period, months[-1].period, len(months)) == ("2021-11", "2023-10", 24)
    assert (nights[0].period, nights[-1].period, nights[-1].state, len(nights)) == (
        "2025-11-22", "2026-11-23", "due", 367,
    )  # fmt: skip


def test_at_one_instant_two_zones_may_be_on_different_days() -> None:
    now = at("2026-11-23T10:30")
    planned = [
        owed(JOBS["expiry-notices"], ZoneInUse(name, name, SET_UP), now, Known(), CHOICES)[0].period
        for name in ("Pacific/Auckland", "Europe/Oslo", "Pacific/Honolulu")
    ]

    assert planned == ["2026-11-23", "2026-11-23", "2026-11-23"]
    planned = [
        owed(JOBS["expiry-notices"], ZoneInUse(name, name, SET_UP), at("2026-11-23T11:00"), Known(), CHOICES)[0].period
        for name in ("Pacific/Kiritimati", "Europe/Oslo", "Pacific/Pago_Pago")
    ]
    assert planned == ["2026-11-24", "2026-11-23", "2026-11-23"]
