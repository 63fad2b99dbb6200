"""Does the process stop when told, and lose nothing when it is killed?"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cast import arrive

from store import runs, workers
from store.tables import Setting

HERE = Path(__file__).parent


@pytest.fixture
def start(empty_store: str, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the worker as a process on this test's store, with systemd listening."""
    arrive()
    begun: list[subprocess.Popen[str]] = []

    def process(*more: str, **environment: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, str(HERE / "worker_process.py"), empty_store, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=HERE.parent,
            env={**os.environ, "PYTHONPATH": str(HERE.parent), **environment},
        )
        begun.append(child)
        return child

    yield process
    for child in begun:
        child.kill()
        child.communicate()


def until(child: subprocess.Popen[str], fact: str, **more: object) -> dict[str, Any]:
    """Reads the child's log up to a fact."""
    assert child.stdout is not None
    for text in child.stdout:
        line: dict[str, Any] = json.loads(text)
        if line["fact"] == fact and all(line[name] == value for name, value in more.items()):
            return line
    raise AssertionError(f"The worker ended without {fact}: {child.communicate()[1]}")


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_process_that_is_told_to_stop_says_goodbye_and_ends_well(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, told: signal.Signals
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        child = start(NOTIFY_SOCKET=str(tmp_path / "notify"))
        until(child, "run.done", run="expiry-notices Europe/Oslo 2026-11-23")

        asked = time.monotonic()
        child.send_signal(told)
        out, err = child.communicate(timeout=10)
        took = time.monotonic() - asked
        systemd.setblocking(False)
        first = systemd.recv(100)

    assert (child.returncode, err, first) == (0, "", b"READY=1")
    assert took < 5
    facts = [json.loads(line)["fact"] for line in out.splitlines()]
    assert "worker.told-to-stop" in facts
    assert facts[-1] == "worker.stopped"
    (row,) = workers.listed()
    assert row.stopped_at is not None
    assert {run.state for run in runs.listed()} <= {"done", "due"}


def test_a_run_that_was_killed_half_way_is_completed_by_the_next_process(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    child = start(str(go_on))
    until(child, "slow.slice", number=1)
    child.kill()
    child.communicate()
    assert [row.name for row in Setting.select() if row.name.startswith("slow")] == ["slow-0", "slow-1"]

    go_on.touch()
    child = start(str(go_on))
    done = until(child, "run.done", run="slow 2026-11-23")
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=10)

    assert (done["attempt"], done["rows"], child.returncode) == (2, 3, 0)
    by = {row.name: row.value for row in Setting.select() if row.name.startswith("slow")}
    assert by == {"slow-0": 1, "slow-1": 1, "slow-2": 2, "slow-3": 2, "slow-4": 2}  # slice: attempt


def test_a_process_that_is_stopped_in_the_middle_of_a_run_gives_it_back(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    child = start(str(tmp_path / "never"))
    until(child, "slow.slice", number=1)

    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=10)

    (slow,) = runs.listed(job="slow")
    assert (child.returncode, slow.state, slow.owner, slow.attempt) == (0, "due", None, 1)
