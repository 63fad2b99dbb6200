"""What of a run that the store cuts off each time, and what of one that is cut off because the store is away?"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cast import arrive
from postgres_server import PostgresServer
from worker_log import Said

from jobs.json_log import JsonLog
from jobs.periods import EachDay
from jobs.process import Process
from jobs.schedule import Job, Slices
from jobs.worker import Worker
from store import runs
from store.database import run_sql, session
from store.runs import RunRow
from store.tables import Setting

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
A_BEAT = timedelta(seconds=5)
Body = Callable[[RunRow, datetime], int]


def full_disk(_run: RunRow, _now: datetime) -> int:
    run_sql("PRAGMA max_page_count = 1")  # of this connection; as many as there are, and no more
    Setting.create(name="much", value="x" * 100_000)
    return 1


def too_slow(_run: RunRow, _now: datetime) -> int:
    run_sql("SET LOCAL statement_timeout = '1ms'")
    run_sql("SELECT pg_sleep(1)")
    return 1


def ended_session(_run: RunRow, _now: datetime) -> int:
    run_sql("SELECT pg_terminate_backend(pg_backend_pid())")
    return 1


def pour(run: RunRow, _now: datetime) -> int:
    Setting.create(name=f"cup of {run.job}", value=1)
    return 1


class Beats:
    """A worker with two jobs a day, of which that at one o'clock is due first; its beats of work come one by one."""

    def __init__(self, first: Body | None, slices: Slices | None = None) -> None:
        self.said, self.now = Said(), NOON
        at_one, at_two = EachDay(hour=lambda _: 1), EachDay(hour=lambda _: 2)
        jobs = [
            Job("poison", "Each day, poison.", "all", at_one, "latest", body=first, slices=slices),
            Job("tea", "Each day, tea.", "all", at_two, "latest", body=pour),
        ]
        log = JsonLog(self.said, clock=lambda: self.now)
        self.worker = Worker(clock=lambda: self.now, log=log, timetable=jobs, version="0.1.0")
        self.process = Process(self.worker)
        with session():
            arrive()
            self.worker.begin(self.now)

    def beat(self) -> None:
        self.process.beat("work")
        self.now += A_BEAT

    def after_a_beat(self) -> dict[str, RunRow]:
        """The runs by their jobs."""
        self.beat()
        with session():
            return {run.job: run for run in runs.listed()}


ALWAYS = pytest.mark.parametrize(
    ("store_location", "body"),
    [("sqlite", full_disk), ("postgresql", too_slow), ("postgresql", ended_session)],
    indirect=["store_location"],
)


@ALWAYS
def test_a_run_that_the_store_always_cuts_off_holds_up_no_other_and_is_shown(store_location: str, body: Body) -> None:
    beats = Beats(body)

    first, second = beats.after_a_beat(), beats.after_a_beat()
    with session():
        (unwell,) = runs.unwell()
    beats.now = NOON + timedelta(minutes=3)
    third = beats.after_a_beat()

    assert (first["poison"].state, first["poison"].error, first["tea"].state) == ("running", None, "due")
    assert (second["poison"].state, second["tea"].state) == ("due", "done")
    assert second["poison"].not_before == NOON + A_BEAT + timedelta(minutes=2)
    assert (unwell.job, (unwell.error or "").partition(":")[0]) == ("poison", "StoreUnavailable")
    assert third["poison"].not_before == NOON + timedelta(minutes=7)
    assert [fact["fact"] for fact in beats.said.facts][-4:] == ["beat.failed", "run.failed", "run.done", "run.failed"]


@ALWAYS
def test_one_that_is_cut_off_once_is_done_with_the_next_beat(store_location: str, body: Body) -> None:
    def once(run: RunRow, now: datetime) -> int:
        return body(run, now) if run.attempt == 1 else pour(run, now)

    beats = Beats(once)
    beats.beat()
    found = beats.after_a_beat()

    assert {job: (run.state, run.error) for job, run in found.items()} == {
        "poison": ("done", None),
        "tea": ("done", None),
    }


@ALWAYS
def test_one_that_was_stopped_and_killed_before_is_cut_off_for_the_first_time_all_the_same(
    store_location: str, body: Body
) -> None:
    def in_the_end(run: RunRow, now: datetime) -> int:
        return body(run, now) if run.attempt == 8 else pour(run, now)

    beats = Beats(in_the_end)
    with session():
        beats.worker._plan(NOON)
        run_sql("UPDATE run SET attempt = 7 WHERE job = 'poison'")
    beats.beat()

    assert beats.after_a_beat()["poison"].state == "done"


@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)
def test_a_run_whose_store_goes_away_does_not_wait_when_that_is_back_however_often_it_was_tried(
    store_location: str, postgres: PostgresServer
) -> None:
    def lose_the_store(run: RunRow, now: datetime) -> int:
        if run.attempt > 3:
            return pour(run, now)
        if run.attempt > 1:
            postgres.sql("ALTER DATABASE keydesk_test ALLOW_CONNECTIONS false")
        return ended_session(run, now)

    beats = Beats(lose_the_store)
    try:
        for _ in range(2):  # cut off, and then the store is away
            beats.beat()
            postgres.sql("ALTER DATABASE keydesk_test ALLOW_CONNECTIONS true")
        beats.beat()
    finally:
        postgres.sql("ALTER DATABASE keydesk_test ALLOW_CONNECTIONS true")
    found = beats.after_a_beat()

    assert {job: (run.state, run.error) for job, run in found.items()} == {
        "poison": ("done", None),
        "tea": ("done", None),
    }
    assert beats.said.named("run.failed") == []


def test_a_run_that_fails_when_another_has_taken_it_over_is_left_to_that_one(store_location: str) -> None:
    def lose(_run: RunRow, now: datetime) -> Iterator[int]:
        yield 1
        assert runs.claim("another", ["poison"], now + timedelta(minutes=6)) is not None
        raise ZeroDivisionError

    beats = Beats(None, slices=lose)
    found = beats.after_a_beat()

    assert (found["poison"].owner, found["tea"].state) == ("another", "done")
    assert [fact["fact"] for fact in beats.said.facts][-2:] == ["run.lost", "run.done"]
