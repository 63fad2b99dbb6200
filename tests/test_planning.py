"""What does the planner write when the clock is wrong, or the worker was away?"""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.periods import EachDay
from jobs.planning import Planner, Verdict, judge, upcoming
from jobs.schedule import TIMETABLE, Job
from store import clock_seen, events, installation, run_decisions, runs
from store.actors import Actor
from store.database import writing
from store.events import Fact
from store.installation import Installation
from store.tables import Company, Run

CHOICES = Installation(vendor="Fjord Software")
SET_UP = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday; 13:00 in Oslo
OLAV = Actor("olav", "operator", "test")
JOBS = {job.name: job for job in TIMETABLE}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def company(external_id: str, zone: str, created_at: datetime = SET_UP) -> Company:
    return Company.create(
        external_id=external_id, name=external_id, folded=external_id, time_zone=zone, currency="NOK", language="en",
        billing_reference="", price_list="API", vat_category="S", vat_rate="25", created_at=created_at,
    )  # fmt: skip


def ledger() -> list[tuple[str, str, str, str]]:
    rows = Run.select().order_by(Run.job, Run.scope, Run.period)
    return [(row.job, row.scope, row.period, row.state) for row in rows]


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


@pytest.mark.parametrize(
    ("lived", "verdict"),
    [
        (timedelta(0), "leap"),  # the clock was set
        (timedelta(days=3), "leap"),  # the store was away for three days, and the clock was set
        (timedelta(days=4), "believed"),
        (timedelta(days=11), "believed"),  # the store was away for eleven days
    ],
)
def test_what_a_process_has_lived_through_is_no_leap(lived: timedelta, verdict: Verdict) -> None:
    before, now = at("2026-11-12T12:00"), at("2026-11-23T12:00")

    assert judge(now, before, before, None, lived) == verdict


def test_what_another_process_believed_meanwhile_is_not_lived_through_once_more() -> None:
    mine, anothers, now = at("2026-11-09T12:00"), at("2026-11-12T12:00"), at("2026-11-23T12:00")

    assert judge(now, mine, anothers, None, timedelta(days=4)) == "leap"
    assert judge(now, mine, anothers, None, timedelta(days=7)) == "believed"


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
    run_decisions.release(OLAV, [run.id for run in runs.listed(states=("held",))], leapt)
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


def test_nor_does_one_that_was_taken_in_before_the_store_was_set_up(empty_store: str) -> None:
    company("old", "Europe/Oslo", created_at=at("2015-03-01T00:00"))
    with writing():
        events.append(OLAV, at("2015-03-01T00:00"), [Fact("company.create", "company old", None)])
    installation.set_up(CHOICES, SET_UP)

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
