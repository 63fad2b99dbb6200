"""Is a worker seen to live while it does, and does it end when its heart does?"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cast import arrive
from worker_log import Said

from jobs.heartbeat import Heartbeat
from jobs.json_log import JsonLog
from jobs.ready import notify
from store import workers
from store.database import session


def wait_for(happened: threading.Event) -> None:
    assert happened.wait(10)


def test_the_heart_beats_at_once_and_an_error_in_its_loop_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, beaten, again = Said(), threading.Event(), threading.Event()
    heart = Heartbeat(JsonLog(stream))
    heart.beat("first", 60, beaten.set)
    heart.start()
    wait_for(beaten)
    monkeypatch.setattr("jobs.heartbeat.AFTER_ERROR", 0.01)
    store = heart._jobstores["default"]
    calls = []

    def fail_once(job: object) -> None:
        calls.append(job)
        raise RuntimeError("the store of jobs broke")

    monkeypatch.setattr(store, "update_job", fail_once)
    heart.add_job(beaten.set, "interval", seconds=60, id="second", next_run_time=datetime.now(UTC))
    for _ in range(1000):
        if calls:
            break
        time.sleep(0.01)
    monkeypatch.undo()
    heart.beat("third", 60, again.set)
    wait_for(again)

    assert heart.beats
    assert heart.stop(timedelta(seconds=5))
    assert "RuntimeError: the store of jobs broke" in [fact["error"] for fact in stream.named("heartbeat.failed")]


@pytest.mark.parametrize("step", [-3600, 7200, 20 * 365 * 86400])
def test_a_clock_step_makes_every_beat_come_at_once(step: int) -> None:
    stream, beats, offset = Said(), [], [0]
    first, second = threading.Event(), threading.Event()

    def beat() -> None:
        beats.append(1)
        (first if len(beats) == 1 else second).set()

    heart = Heartbeat(JsonLog(stream), wall=lambda: time.time() + offset[0])
    heart.beat("hourly", 3600, beat)
    heart.start()
    wait_for(first)
    offset[0] = step
    heart.wakeup()
    wait_for(second)

    assert heart.stop(timedelta(seconds=5))
    assert [fact["seconds"] for fact in stream.named("clock.stepped")] == [step]


@pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)
def test_a_worker_whose_heart_has_stopped_says_so_and_goodbye_and_ends_with_status_1(store_location: str) -> None:
    here = Path(__file__).parent
    with session():
        arrive()
    with subprocess.Popen(
        [sys.executable, "-c", _HEART_STOPS, store_location],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{here.parent}:{here}"},
    ) as worker:
        try:
            out, _ = worker.communicate(timeout=20)
        finally:
            worker.kill()
    said = [(fact["fact"], fact["level"]) for fact in map(json.loads, out.splitlines())]
    with session():
        stopped = [row.stopped_at is not None for row in workers.listed()]

    assert worker.returncode == 1
    assert [fact for fact, level in said if level == "error"] == ["heartbeat.dead"]
    assert said[-1] == ("worker.stopped", "info")
    assert stopped == [True]


def test_a_beat_that_takes_longer_than_its_interval_is_left_to_run_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    go_on, begun, others = threading.Event(), [], threading.Semaphore(0)
    heart = Heartbeat(JsonLog(Said()))
    heart.beat("long", 0.01, lambda: (begun.append(1), go_on.wait(20)))
    heart.beat("short", 0.01, others.release)
    heart.start()
    for _ in range(5):
        assert others.acquire(timeout=10)
    so_far = len(begun)
    go_on.set()

    assert heart.stop(timedelta(seconds=5))
    assert (so_far, [record.getMessage() for record in caplog.records]) == (1, [])


def test_a_beat_that_does_not_end_is_not_waited_for_for_ever() -> None:
    go_on, begun = threading.Event(), threading.Event()
    heart = Heartbeat(JsonLog(Said()))
    heart.beat("long", 60, lambda: (begun.set(), go_on.wait(20)))
    heart.start()
    wait_for(begun)

    assert not heart.stop(timedelta(seconds=0.05))
    go_on.set()


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        assert notify("READY=1")
        assert systemd.recv(100) == b"READY=1"


def test_without_systemd_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not notify("READY=1")


# Once it has begun its beats, its thread ends as a thread does: without a word.
_HEART_STOPS = """
import sys
from apscheduler.jobstores.memory import MemoryJobStore
from jobs import process
import worker_process

process._BEAT_SECONDS = 0.1
due = MemoryJobStore.get_due_jobs


def once(store, now):
    if looked:
        sys.exit()
    looked.append(now)
    return due(store, now)


looked = []
MemoryJobStore.get_due_jobs = once
sys.exit(worker_process.main())
"""
