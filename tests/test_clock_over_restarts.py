"""Does a worker that starts anew, as `keydesk worker --once` always does, tell a clock that leapt from downtime?"""

from datetime import datetime, timedelta

import pytest
from cast import NOON, arrive
from worker_log import Said

from jobs.json_log import JsonLog
from jobs.periods import EachDay
from jobs.planning import Verdict
from jobs.schedule import Job
from jobs.worker import Pass, Worker
from store import clock_seen, run_decisions, runs, workers
from store.actors import Actor
from store.tables import MachineBoot, Run, Setting
from store.workers import Host

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
UP_FOR = 5 * 3600.0  # seconds at noon
OLAV = Actor("olav", "operator", "test")
TEA = Job("tea", "Each day, tea.", "all", EachDay(hour=lambda _: 1), "latest", body=lambda _run, now: _pour(now))


def _pour(now: datetime) -> int:
    Setting.create(name=f"cup {now}", value="")
    return 1


def a_pass(clock: datetime, lived: timedelta, boot: str | None = "before the reboot") -> Pass:
    """One pass of a process of its own: what its clock says, and how long after noon that is in truth."""
    worker = Worker(
        timetable=[TEA],
        log=JsonLog(Said()),
        version="0.1.0",
        elapsed=lambda: UP_FOR + lived.total_seconds(),
        boot=boot,
    )
    done = worker.once(clock)
    worker.end(clock)
    return done


def ledger() -> list[tuple[str, str]]:
    return [(row.period, row.state) for row in Run.select().order_by(Run.period)]


@pytest.fixture(autouse=True)
def believed_at_noon(empty_store: str) -> None:
    arrive()
    a_pass(NOON, timedelta())


@pytest.mark.parametrize(
    ("clock", "lived", "boot", "verdict"),
    [
        (NOON + 8 * DAY, 10 * HOUR, "before the reboot", "leap"),
        (NOON + 3650 * DAY, 10 * HOUR, "before the reboot", "leap"),
        (NOON + 40 * DAY, 40 * DAY, "before the reboot", "believed"),  # nobody called it for so long
        (NOON + 40 * DAY, 33 * DAY + HOUR, "before the reboot", "believed"),
        (NOON + 40 * DAY, 33 * DAY - HOUR, "before the reboot", "leap"),
        (NOON + 7 * DAY, HOUR, "before the reboot", "believed"),
        (NOON + 40 * DAY, 10 * HOUR, "after the reboot", "believed"),  # the machine was off, for all that is known
        (NOON + 40 * DAY, 10 * HOUR, None, "believed"),
        (NOON - DAY, 10 * HOUR, "before the reboot", "back"),
        (NOON - DAY, 10 * HOUR, "after the reboot", "back"),
    ],
)
def test_what_the_machine_has_run_since_a_clock_was_believed_says_whether_it_leapt(
    clock: datetime, lived: timedelta, boot: str | None, verdict: Verdict
) -> None:
    assert a_pass(clock, lived, boot).verdict == verdict


def test_within_a_leap_pass_after_pass_holds_what_falls_due_and_goes_on_when_it_is_over() -> None:
    leapt = [a_pass(NOON + 60 * DAY + number * HOUR, number * HOUR) for number in range(1, 4)]
    held = ledger()
    over = a_pass(NOON + DAY, DAY)

    assert [(each.verdict, each.done) for each in leapt] == [("leap", 0)] * 3
    assert held == [("2026-11-23", "done"), ("2027-01-22", "held")]
    assert (over.verdict, over.done) == ("believed", 1)
    assert ledger() == [("2026-11-23", "done"), ("2026-11-24", "done"), ("2027-01-22", "held")]


def test_a_person_who_says_that_the_clock_is_right_is_believed_by_every_later_pass() -> None:
    later = NOON + 60 * DAY
    a_pass(later, HOUR)
    held = next(run for run in runs.unwell() if run.state == "held")

    run_decisions.release(OLAV, [held.id], later)

    first, second = a_pass(later + HOUR, 2 * HOUR), a_pass(later + DAY, DAY + HOUR)
    assert [(each.verdict, each.done) for each in (first, second)] == [("believed", 1), ("believed", 1)]
    assert a_pass(later + 10 * DAY, DAY + 2 * HOUR).verdict == "leap"  # and holds what leaps from there


def test_a_worker_that_stays_tells_the_store_of_its_boot_again_after_a_person_has_set_the_clock() -> None:
    lived = [0.0]
    stays = Worker(
        timetable=[TEA], log=JsonLog(Said()), version="0.1.0", elapsed=lambda: UP_FOR + lived[0], boot="its own"
    )
    stays.once(NOON + HOUR)
    clock_seen.set_to(NOON + HOUR)
    forgotten = MachineBoot.select().count()

    lived[0] = 3600.0
    stays.once(NOON + 2 * HOUR)

    assert (forgotten, [row.boot_id for row in MachineBoot.select()]) == (0, ["its own"])


def test_boots_that_no_worker_tells_of_any_more_are_forgotten_and_that_of_a_living_one_is_not() -> None:
    workers.register(Host("here", "before the reboot"), "0.1.0", NOON + 40 * DAY)
    clock_seen.note_boot("long ago", NOON - 400 * DAY)

    workers.forget(NOON + 10 * DAY)

    assert [row.boot_id for row in MachineBoot.select()] == ["before the reboot"]
