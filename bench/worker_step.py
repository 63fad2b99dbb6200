"""`python -m bench.worker_step`: what a worker does in a night, or the bare SQL for it, in a process of its own."""

import gc
import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Final

from bench import bare_night, taking_in
from bench.bare_night import Bare
from bench.steps import halves, memory_meanwhile, say, told
from bench.worker_world import NOW
from jobs.json_log import JsonLog
from jobs.schedule import TIMETABLE
from jobs.worker import Worker
from store import database, importing, markers, outgoing, runs
from store.actors import WORKER, Actor
from store.runs import RunRow

_OPERATOR: Final = Actor("olav", "operator", "bench")
_LEASE: Final = timedelta(minutes=30)
TOGETHER: Final = 50  # mails or markers that are claimed at once

Step = Callable[[dict[str, Any]], int]


def main() -> None:
    """Do what the first line says once the second has come."""
    prepared: list[Callable[[], int]] = []
    told(lambda asked: prepared.append(_prepare(asked)))
    (step,) = prepared
    gc.freeze()  # as a worker does
    with memory_meanwhile() as memory, database.session():
        begun, cpu = time.perf_counter(), time.process_time()
        done = step()
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    say(json.dumps({"wall": wall, "cpu": cpu, "done": done, "memory": halves(memory)}))
    database.dispose()


def _prepare(asked: dict[str, Any]) -> Callable[[], int]:
    """What is to be done, with the store open."""
    database.bind(asked["location"])
    with database.session():
        database.run_sql("SELECT count(*) FROM run").fetchone()
    if asked["side"] == "bare":
        return partial(bare_night.STEPS[asked["task"]], Bare(asked))
    return partial(_OURS[asked["task"]], asked)


def _job(asked: dict[str, Any]) -> int:
    """A pass of a worker that knows one job: it plans and runs what is owed; how many rows its runs wrote."""
    timetable = tuple(job for job in TIMETABLE if job.name == asked["job"])
    log, now = StringIO(), datetime.fromisoformat(asked["now"])
    worker = Worker(clock=lambda: now, log=JsonLog(log, clock=lambda: now), timetable=timetable)
    passed = worker.once(now)
    worker.end(now)
    if passed.failed:
        raise RuntimeError(log.getvalue())
    facts = [json.loads(line) for line in log.getvalue().splitlines()]
    return sum(each["rows"] for each in facts if each["fact"] == "run.done")


def _claim_runs(_asked: dict[str, Any]) -> int:
    """Claim and close one run after the other, which writes nothing."""

    def nothing(_run: RunRow, _now: datetime) -> int:
        return 0

    owner, done = _owner(), 0
    while run := runs.claim(owner, ["bench"], NOW):
        runs.execute(run, nothing, NOW)
        done += 1
    return done


def _claim_mails(_asked: dict[str, Any]) -> int:
    owner, done = _owner(), 0
    while mails := outgoing.claim(owner, TOGETHER, _LEASE, NOW):
        done += len(mails)
    return done


def _claim_markers(_asked: dict[str, Any]) -> int:
    owner, done = _owner(), 0
    while claims := markers.claim(WORKER, TOGETHER, _LEASE, NOW, owner):
        done += len(claims)
    return done


def _import(asked: dict[str, Any]) -> int:
    files = taking_in.files(Path(asked["folder"]), asked["users"], "new")
    return importing.take(_OPERATOR, files, NOW).users.all


def _owner() -> str:
    return f"bench:{time.perf_counter_ns()}"


_OURS: Final[dict[str, Step]] = {
    "sweep": _job,
    "marking": _job,
    "drafts": _job,
    "import": _import,
    "claim_runs": _claim_runs,
    "claim_mails": _claim_mails,
    "claim_markers": _claim_markers,
}


if __name__ == "__main__":
    main()
