"""Is each run done exactly once, whoever crashes, stalls or comes late?"""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from store import run_decisions, runs
from store.actors import Actor
from store.database import run_sql, session
from store.errors import NotAllowed, NotFound, Refused
from store.runs import LeaseLost, Planned, RunRow
from store.tables import Event, Run, Setting

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OLAV = Actor("olav", "operator", "test")
TEA = ["tea"]


def owe(*periods: str, job: str = "tea", scope: str = "all", state: str = "due", at: datetime = NOON) -> None:
    runs.plan([Planned(job, scope, period, state, at, {"start": 1, "end": 2}) for period in periods], NOON)


def claimed(owner: str = "one", now: datetime = NOON) -> RunRow:
    run = runs.claim(owner, TEA, now)
    assert run is not None
    return run


def pour(run: RunRow, now: datetime) -> int:
    """A body: one row that says who wrote it."""
    Setting.create(name=f"{run.period}-{run.attempt}", value=run.owner)
    return 1


def poured() -> list[str]:
    return [row.name for row in Setting.select().order_by(Setting.id)]


def states() -> list[tuple[str, str]]:
    return [(row.period, row.state) for row in Run.select().order_by(Run.period)]


def test_a_run_that_is_planned_claimed_and_executed_is_done_with_its_rows_counted(empty_store: str) -> None:
    owe("2026-11-23")

    run = claimed()
    rows = runs.execute(run, pour, NOON + MINUTE)

    done = runs.get(run.id)
    assert (rows, poured()) == (1, ["2026-11-23-1"])
    assert done == RunRow(
        id=run.id,
        job="tea",
        scope="all",
        period="2026-11-23",
        state="done",
        attempt=1,
        owner=None,
        bounds={"start": 1, "end": 2},
        planned_at=NOON,
        not_before=NOON,
        started_at=NOON,
        finished_at=NOON + MINUTE,
        rows=1,
    )


def test_a_run_is_planned_once_and_stays_as_it_was_planned(empty_store: str) -> None:
    owe("2026-11-23")
    owe("2026-11-23", at=NOON + MINUTE)

    assert [(run.period, run.not_before) for run in runs.listed()] == [("2026-11-23", NOON)]


def test_of_two_claimants_one_gets_the_run(empty_store: str) -> None:
    owe("2026-11-23")

    assert (claimed().owner, runs.claim("two", TEA, NOON)) == ("one", None)


def test_of_eight_claimants_at_the_same_time_each_run_goes_to_one(empty_store: str) -> None:
    for number in range(20):
        owe("2026-11-23", scope=f"zone-{number:02}")
    taken: list[str] = []
    start = threading.Barrier(8)

    def take(name: str) -> None:
        start.wait()
        with session():
            while run := runs.claim(name, TEA, NOON):
                runs.execute(run, lambda _run, _now: 1, NOON)
                taken.append(run.scope)

    threads = [threading.Thread(target=take, args=(f"w{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # One that was skipped because its row was locked is still there for the next pass.
    while run := runs.claim("late", TEA, NOON):
        taken.append(run.scope)
    assert sorted(taken) == [f"zone-{number:02}" for number in range(20)]


@pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)
def test_a_claim_reads_what_is_pending_and_nothing_of_what_was_done_in_years(empty_store: str) -> None:
    rows = run_sql(f"EXPLAIN QUERY PLAN {runs.claimable(1)}", (0, 0, 0, 0, "tea")).fetchall()

    read = [row[3] for row in rows if "run_" in row[3]]
    assert [text.split(" (")[0].rsplit(" ", 1)[1] for text in read] == ["run_pending", "run_ahead"]


def test_a_run_is_not_claimed_before_its_time_nor_by_a_worker_that_does_not_know_its_job(empty_store: str) -> None:
    owe("2026-11-23")

    assert runs.claim("one", TEA, NOON - MINUTE) is None
    assert runs.claim("one", ["coffee"], NOON) is None


def test_the_oldest_is_claimed_first_and_nothing_overtakes_it_within_its_job_and_scope(empty_store: str) -> None:
    owe("2026-09", "2026-10", at=NOON - MINUTE)
    owe("2026-10", scope="Europe/Oslo")

    first, second = claimed("one"), claimed("two")

    assert (first.period, second.scope) == ("2026-09", "Europe/Oslo")
    assert runs.claim("three", TEA, NOON) is None
    runs.finish(first, 0, NOON)
    assert claimed("three").period == "2026-10"


def test_a_lease_that_runs_out_lets_another_take_over(empty_store: str) -> None:
    owe("2026-11-23")
    claimed("one")

    assert runs.claim("two", TEA, NOON + timedelta(minutes=5)) is None
    taken = claimed("two", NOON + timedelta(minutes=5, seconds=1))
    assert (taken.owner, taken.attempt) == ("two", 2)


def test_a_lease_that_is_extended_is_kept(empty_store: str) -> None:
    owe("2026-11-23")
    run = claimed("one")

    runs.extend(run, NOON + timedelta(minutes=4))

    assert runs.claim("two", TEA, NOON + timedelta(minutes=8)) is None


@pytest.mark.parametrize(
    "finish",
    [
        lambda run: runs.execute(run, pour, NOON + timedelta(hours=2)),
        lambda run: runs.finish(run, 7, NOON + timedelta(hours=2)),
        lambda run: runs.fail(run, "too late", NOON + timedelta(hours=2)),
        lambda run: runs.extend(run, NOON + timedelta(hours=2)),
    ],
    ids=["execute", "finish", "fail", "extend"],
)
def test_one_that_was_fenced_off_changes_nothing(empty_store: str, finish: object) -> None:
    owe("2026-11-23")
    late = claimed("one")
    runs.execute(claimed("two", NOON + timedelta(hours=1)), pour, NOON + timedelta(hours=1))
    before = runs.get(late.id)

    with pytest.raises(
        LeaseLost, match=r"^The run tea 2026-11-23 was taken over by another worker; nothing of attempt 1"
    ):
        finish(late)  # type: ignore[operator]

    assert (poured(), runs.get(late.id)) == (["2026-11-23-2"], before)


def test_a_body_that_fails_leaves_no_row_and_its_run_waits_longer_each_time(empty_store: str) -> None:
    owe("2026-11-23")

    def spill(run: RunRow, now: datetime) -> int:
        pour(run, now)
        raise RuntimeError("the cup broke")

    run = claimed()
    with pytest.raises(RuntimeError, match="the cup broke"):
        runs.execute(run, spill, NOON)
    again = runs.fail(run, "RuntimeError: the cup broke", NOON)

    failed = runs.get(run.id)
    assert (poured(), again) == ([], NOON + MINUTE)
    assert (failed.state, failed.error, failed.not_before, failed.owner) == (
        "due", "RuntimeError: the cup broke", NOON + MINUTE, None,
    )  # fmt: skip
    assert [row.id for row in runs.unwell()] == [run.id]
    assert runs.claim("one", TEA, NOON) is None
    assert runs.execute(claimed(now=again), pour, again) == 1
    assert (runs.get(run.id).error, runs.unwell()) == (None, [])


@pytest.mark.parametrize(("attempt", "minutes"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (5000, 60)])
def test_the_wait_doubles_up_to_an_hour(attempt: int, minutes: int) -> None:
    assert runs.wait_after(attempt) == timedelta(minutes=minutes)


def test_a_worker_that_stops_gives_back_what_it_holds_and_no_more(empty_store: str) -> None:
    owe("2026-11-23")
    owe("2026-11-23", scope="Europe/Oslo")
    claimed("one")
    claimed("two")

    assert runs.put_back("one") == 1

    assert sorted((row.state, row.owner or "") for row in Run.select()) == [("due", ""), ("running", "two")]


def test_leases_that_ran_out_are_returned(empty_store: str) -> None:
    owe("2026-11-23")
    claimed("one")

    assert runs.return_leases(NOON + timedelta(minutes=5)) == 0
    assert runs.return_leases(NOON + timedelta(minutes=6)) == 1
    assert states() == [("2026-11-23", "due")]


def test_older_days_are_given_up_but_not_the_one_that_runs(empty_store: str) -> None:
    owe("2026-11-20", "2026-11-21", "2026-11-23")
    owe("2026-11-22", state="held")
    claimed("one")

    assert runs.give_up_older("tea", "all", "2026-11-23", NOON) == 2

    assert states() == [
        ("2026-11-20", "running"), ("2026-11-21", "missed"), ("2026-11-22", "missed"), ("2026-11-23", "due"),
    ]  # fmt: skip


def test_a_held_run_is_not_claimed_until_it_is_released_by_name(empty_store: str) -> None:
    owe("2026-11-23", state="held")
    assert runs.claim("one", TEA, NOON) is None
    (held,) = runs.unwell()

    run_decisions.release(OLAV, [held.id], NOON)

    assert claimed().id == held.id
    assert [(row.actor, row.act, row.subject) for row in Event.select()] == [
        ("olav", "run.release", "run tea 2026-11-23")
    ]


def test_only_a_held_run_is_released(empty_store: str) -> None:
    owe("2026-11-23")
    owe("2026-11-24", state="held")
    due, held = sorted(runs.listed(), key=lambda run: run.period)

    with pytest.raises(Refused, match=r"^The run tea 2026-11-23 is due, not held; there is nothing to release\.$"):
        run_decisions.release(OLAV, [held.id, due.id], NOON)

    assert states() == [("2026-11-23", "due"), ("2026-11-24", "held")]


def test_a_held_run_becomes_due_when_it_is_planned_by_a_clock_that_is_believed(empty_store: str) -> None:
    owe("2026-11-23", state="held")
    owe("2026-11-23", state="held")
    owe("2026-11-23")

    assert states() == [("2026-11-23", "due")]


def test_a_run_that_waits_after_a_failure_can_be_run_now(empty_store: str) -> None:
    owe("2026-11-23")
    run = claimed()
    runs.fail(run, "RuntimeError: no", NOON)

    run_decisions.run_now(OLAV, run.id, NOON)

    assert claimed().attempt == 2
    with pytest.raises(Refused, match=r"is running; only one that is due, failed or missed can be run now\.$"):
        run_decisions.run_now(OLAV, run.id, NOON)


def test_only_an_operator_releases_and_runs(empty_store: str) -> None:
    owe("2026-11-23", state="held")
    (held,) = runs.listed()

    for act in (
        lambda: run_decisions.release(_auditor(), [held.id], NOON),
        lambda: run_decisions.run_now(_auditor(), held.id, NOON),
    ):
        with pytest.raises(NotAllowed):
            act()

    assert states() == [("2026-11-23", "held")]


def _auditor() -> Actor:
    return Actor("ada", "auditor", "test")


def test_a_run_that_does_not_exist_is_said_so(empty_store: str) -> None:
    with pytest.raises(NotFound, match=r"^There is no run 7\.$"):
        runs.get(7)


def test_the_ledger_is_listed_newest_first_page_by_page(empty_store: str) -> None:
    owe("2026-11-21", "2026-11-22", "2026-11-23")

    first = runs.listed(limit=2)
    rest = runs.listed(limit=2, before_id=first[-1].id)

    assert [run.period for run in first + rest] == ["2026-11-23", "2026-11-22", "2026-11-21"]
    assert runs.listed(states=("done",)) == runs.listed(job="coffee") == []


def test_closed_runs_of_a_job_are_forgotten_after_a_while(empty_store: str) -> None:
    owe("2026-11-21", "2026-11-22")
    runs.execute(claimed(), pour, NOON)

    assert runs.forget("tea", NOON) == 0
    assert runs.forget("tea", NOON + MINUTE) == 1
    assert states() == [("2026-11-22", "due")]
