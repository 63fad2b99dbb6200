"""Does a worker that is in the middle of much work heed a hold that a person puts on the store?"""

from collections.abc import Callable
from datetime import datetime

from cast import NOON, OLAV, arrive
from worker_log import Said

from jobs.json_log import JsonLog
from jobs.periods import EachDay
from jobs.schedule import Job
from jobs.worker import Worker
from store import restored, runs
from store.runs import RunRow
from store.tables import Run, Setting

HELD_AT = 3


def pour() -> int:
    """One more cup, after the third of which a person says hold."""
    cups = Setting.select().where(Setting.name.startswith("cup ")).count() + 1
    Setting.create(name=f"cup {cups}", value="")
    if cups == HELD_AT:
        restored.hold(OLAV, "the store is older than the record", NOON)
    return int(cups)


def take(_clock: Callable[[], datetime], _owner: str, _stopping: Callable[[], bool]) -> int:
    return pour()


def test_what_waits_in_a_queue_is_left_with_the_slice_under_way(empty_store: str) -> None:
    arrive()
    worker = Worker(queues={"mails": take}, timetable=[], log=JsonLog(Said()), version="0.1.0")

    done = worker.once(NOON)

    assert (done.taken, Setting.select().where(Setting.name.startswith("cup ")).count()) == ({"mails": 6}, HELD_AT)


def test_runs_that_are_due_stay_due_with_the_run_under_way(empty_store: str) -> None:
    arrive()

    def body(_run: RunRow, _now: datetime) -> int:
        return pour()

    jobs = [Job(f"tea {n}", "Each day, tea.", "all", EachDay(hour=lambda _: 1), "latest", body=body) for n in range(5)]
    worker = Worker(timetable=jobs, log=JsonLog(Said()), version="0.1.0")

    done = worker.once(NOON)

    assert done.done == HELD_AT
    assert sorted(row.state for row in Run.select()) == ["done"] * HELD_AT + ["due"] * 2
    assert runs.claim("another", ["tea 3", "tea 4"], NOON) is not None  # nobody holds them
