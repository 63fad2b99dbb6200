"""Which runs are owed at an instant, and what does the planner do when the clock is wrong or the worker was away?"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.periods import EachDay, EachHour, EachMonth
from jobs.planning import Known, Planner, Verdict, judge, owed, upcoming
from jobs.schedule import TIMETABLE, Job
from store import clock_seen, installation, runs
from store.actors import Actor
from store.installation import Installation
from store.runs import Planned
from store.tables import Company, Run
from store.zones import ZoneInUse

CHOICES = Installation(vendor="Fjord Software")
SET_UP = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday; 13:00 in Oslo
OLAV = Actor("olav", "operator", "test")
OSLO = ZoneInUse("Europe/Oslo", "Europe/Oslo", SET_UP)
EVERYWHERE = ZoneInUse("all", "UTC", datetime(1970, 1, 1, tzinfo=UTC))
JOBS = {job.name: job for job in TIMETABLE}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def told(planned: list[Planned]) -> list[str]:
    return [f"{each.state} {each.period} from {each.not_before:%Y-%m-%d %H:%M}" for each in planned]


def company(external_id: str, zone: str, created_at: datetime = SET_UP) -> Company:
    return Company.create(
        external_id=external_id, name=external_id, folded=external_id, time_zone=zone, currency="NOK", language="en",
        billing_reference="", price_list="API", vat_category="S", vat_rate="25", created_at=created_at,
    )  # fmt: skip


def ledger() -> list[tuple[str, str, str, str]]:
    rows = Run.select().order_by(Run.job, Run.scope, Run.period)
    return [(row.job, row.scope, row.period, row.state) for row in rows]


# The timetable


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


# Catching up


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


# The clock


@pytest.mark.parametrize(
    ("now", "previous", "max_seen", "verdict"),
    [
        ("2026-11-23T12:00", None, None, "believed"),  # the first worker ever
        ("2026-11-23T12:00", None, "2026-11-23T11:59", "believed"),
        ("2026-11-23T12:00", None, "2025-01-01T00:00", "believed"),  # long downtime
        ("2026-11-23T12:00", "2026-11-23T11:59", "2026-11-23T11:59", "believed"),
        ("2026-11-23T12:00", "2026-11-16T12:00", "2026-11-16T12:00", "believed"),  # seven days
        ("2026-11-23T12:00", "2026-11-16T11:59", "2026-11-16T11:59", "leap"),  # and a minute
        ("2026-11-23T12:00", "2026-11-23T11:59", "2026-11-01T00:00", "leap"),  # still the same leap, a tick later
        ("2026-11-23T12:00", "2026-11-23T12:01", "2026-11-23T12:00", "believed"),
        ("2026-11-23T12:00", "2026-11-23T13:00", "2026-11-23T12:01", "back"),
        ("2026-11-23T12:00", None, "2036-11-23T12:00", "back"),
    ],
)
def test_a_clock_is_judged(now: str, previous: str | None, max_seen: str | None, verdict: Verdict) -> None:
    assert judge(at(now), at(previous) if previous else None, at(max_seen) if max_seen else None) == verdict


# In the store

DAILY = (JOBS["sandbox-refresh"],)


def set_up(*zones: str) -> None:
    installation.set_up(CHOICES, SET_UP)
    for zone in zones:
        company(zone, zone)


def test_planning_twice_plans_once(empty_store: str) -> None:
    set_up("Europe/Oslo", "Pacific/Auckland")

    first, again = Planner(DAILY).plan(NOON), Planner(DAILY).plan(NOON)

    assert (first.planned, again.planned) == (2, 0)
    assert ledger() == [
        ("sandbox-refresh", "Europe/Oslo", "2026-11-23", "due"),
        ("sandbox-refresh", "Pacific/Auckland", "2026-11-23", "due"),
    ]


def test_a_clock_that_was_put_back_plans_nothing(empty_store: str) -> None:
    set_up("Europe/Oslo")
    planner = Planner(TIMETABLE)
    planner.plan(NOON)
    before = ledger()

    verdicts = [planner.plan(NOON - back).verdict for back in (timedelta(hours=1), timedelta(days=3))]

    assert (verdicts, ledger()) == (["back", "back"], before)


def test_a_clock_that_leaps_is_held_until_a_person_says_that_it_is_right(empty_store: str) -> None:
    set_up("Europe/Oslo")
    planner = Planner(DAILY)
    planner.plan(NOON)
    leapt = NOON + timedelta(days=40)

    verdict = planner.plan(leapt).verdict
    planner.plan(leapt + timedelta(minutes=1))
    held = ledger()
    runs.release(OLAV, [run.id for run in runs.listed(states=("held",))], leapt)
    after = planner.plan(leapt + timedelta(minutes=2)).verdict

    assert (verdict, after) == ("leap", "believed")
    assert held == [
        ("sandbox-refresh", "Europe/Oslo", "2026-11-23", "due"),
        ("sandbox-refresh", "Europe/Oslo", "2027-01-02", "held"),
    ]
    assert ledger()[-1] == ("sandbox-refresh", "Europe/Oslo", "2027-01-02", "due")


def test_a_clock_that_comes_back_from_a_leap_goes_on_and_the_held_run_is_due_when_its_day_really_comes(
    empty_store: str,
) -> None:
    set_up("Europe/Oslo")
    planner = Planner(DAILY)
    planner.plan(NOON)

    planner.plan(NOON + timedelta(days=9))
    for day in range(1, 10):
        planner.plan(NOON + timedelta(days=day, minutes=1))

    assert [(period, state) for _, _, period, state in ledger()] == [
        ("2026-11-23", "missed"),
        *[(f"2026-11-{day}", "missed") for day in range(24, 31)],
        ("2026-12-01", "missed"),
        ("2026-12-02", "due"),
    ]


def test_a_worker_that_starts_after_forty_days_away_catches_up(empty_store: str) -> None:
    set_up("Europe/Oslo")
    Planner(DAILY).plan(NOON)

    plan = Planner(DAILY).plan(NOON + timedelta(days=40))

    states = [state for *_, state in ledger()]
    assert (plan.verdict, states) == ("believed", ["missed"] * 40 + ["due"])


def test_a_day_that_was_tried_and_never_succeeded_is_failed_when_the_next_one_comes(empty_store: str) -> None:
    set_up("Europe/Oslo")
    planner = Planner(DAILY)
    planner.plan(NOON)
    run = runs.claim("w", ["sandbox-refresh"], NOON)
    assert run is not None
    runs.fail(run, "ZeroDivisionError: division by zero", NOON)

    planner.plan(NOON + timedelta(days=1))

    assert [(row.period, row.state, row.error) for row in Run.select().order_by(Run.period)] == [
        ("2026-11-23", "failed", "ZeroDivisionError: division by zero"),
        ("2026-11-24", "due", None),
    ]


def test_a_zone_is_planned_for_when_its_first_company_comes(empty_store: str) -> None:
    set_up("Europe/Oslo")
    planner = Planner((JOBS["invoice-lines"],))
    planner.plan(at("2026-02-25T12:00"))

    company("maori", "Pacific/Auckland", created_at=at("2026-02-25T12:00"))
    planner.plan(at("2026-02-28T14:00"))  # already 03:00 on 1 March in Auckland

    assert ledger() == [
        ("invoice-lines", "Europe/Oslo", "2026-01", "due"),
        ("invoice-lines", "Pacific/Auckland", "2026-02", "due"),
    ]


def test_a_company_that_is_older_than_the_store_owes_nothing_before_it(empty_store: str) -> None:
    installation.set_up(CHOICES, SET_UP)
    company("old", "Europe/Oslo", created_at=at("2015-03-01T00:00"))

    Planner((JOBS["invoice-lines"],)).plan(at("2026-03-15T12:00"))

    assert [period for _, _, period, _ in ledger()] == ["2026-01", "2026-02"]


def test_what_comes_next_is_known(empty_store: str) -> None:
    set_up("Europe/Oslo")

    coming = upcoming(TIMETABLE, NOON)

    assert [(each.job, each.period, f"{each.not_before:%m-%dT%H:%M}") for each in coming] == [
        ("housekeeping", "2026-11-23T13", "11-23T13:00"),
        ("expiry-notices", "2026-11-24", "11-23T23:00"),
        ("sandbox-refresh", "2026-11-24", "11-24T01:00"),
        ("tidying", "2026-11-24", "11-24T04:00"),
        ("invoice-lines", "2026-11", "12-01T02:00"),
        ("invoice-final", "2026-11", "12-04T02:00"),
    ]


def test_the_latest_believed_instant_is_written_once_a_minute_and_never_goes_back(empty_store: str) -> None:
    clock_seen.advance(NOON, None)
    clock_seen.advance(NOON + timedelta(seconds=59), NOON)
    after_59_seconds = clock_seen.latest()
    clock_seen.advance(NOON + timedelta(seconds=60), NOON)
    clock_seen.advance(NOON - timedelta(days=1), None)

    assert (after_59_seconds, clock_seen.latest()) == (NOON, NOON + timedelta(seconds=60))


def test_a_job_of_ones_own_can_stand_in_the_timetable(empty_store: str) -> None:
    set_up("Europe/Oslo")
    tea = Job("tea", "Each afternoon, tea.", "all", EachDay(hour=lambda _: 16), "latest", body=lambda _run, _now: 0)

    Planner((tea,)).plan(NOON)

    assert ledger() == [("tea", "all", "2026-11-22", "due")]
