"""Does the process stop when told, also in a single pass, and lose nothing when it is killed?"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cast import LONG_AGO, NOON, arrive, enable, key_of
from postgres_server import PostgresServer
from smtp_server import smtp_server

from store import database, marking, runs, workers
from store.tables import Company, Email, RefreshMarker, Setting, User

HERE = Path(__file__).parent


@pytest.fixture
def start(empty_store: str, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the worker as a process on this test's store, with systemd listening."""
    arrive()
    Company.update(created_at=NOON).execute()  # no months are owed
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


def test_a_process_that_is_told_to_stop_says_goodbye_and_ends_well(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, empty_store: str
) -> None:
    told = signal.SIGINT if empty_store.startswith("postgresql") else signal.SIGTERM
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


@pytest.mark.parametrize("once", [(), ("--once",)], ids=["stays", "once"])
def test_a_process_that_is_stopped_in_the_middle_of_a_run_gives_it_back(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, once: tuple[str, ...]
) -> None:
    child = start(str(tmp_path / "never"), *once)
    until(child, "slow.slice", number=1)

    storm(child)
    child.communicate(timeout=10)

    (slow,) = runs.listed(job="slow")
    assert (child.returncode, slow.state, slow.owner, slow.attempt) == (0, "due", None, 1)
    assert [row.stopped_at is not None for row in workers.listed()] == [True]


@contextmanager
def silent_after_the_sender() -> Iterator[tuple[int, Callable[[], bool]]]:
    """A relay that is asked for a recipient and says nothing; its port, and whether it has been asked."""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as heard:
                connection.sendall(b"220 hello\r\n")
                for line in heard:
                    if line.startswith(b"RCPT"):
                        asked.set()
                    else:
                        connection.sendall(b"250 ok\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        yield listener.getsockname()[1], asked.is_set
        thread.join(10)


@contextmanager
def silent_after_the_body() -> Iterator[tuple[int, Callable[[], bool]]]:
    with smtp_server("slow") as relay:
        yield relay.port, lambda: bool(relay.received)


@pytest.mark.parametrize(
    ("once", "relay", "sent_again"),
    [((), silent_after_the_sender, 0), ((), silent_after_the_body, 1), (("--once",), silent_after_the_body, 1)],
)
def test_a_process_that_is_stopped_while_the_relay_says_nothing_ends_in_time_and_holds_no_mail(
    start: Callable[..., subprocess.Popen[str]],
    once: tuple[str, ...],
    relay: Callable[[], AbstractContextManager[tuple[int, Callable[[], bool]]]],
    sent_again: int,
) -> None:
    enable(Company.get(external_id="nordlys"), User.get(external_id="ase"))
    Email.delete().execute()
    key_of(User.get(external_id="ase"))
    with relay() as (port, has_it_come_to):
        child = start(*once, "--relay", str(port), "--patience", "0.4", "0.2", "5")
        wait_for(has_it_come_to)
        asked = time.monotonic()
        storm(child)
        out, _ = child.communicate(timeout=10)
        took = time.monotonic() - asked

    assert child.returncode == 1
    assert took < 9
    assert {json.loads(line)["fact"] for line in out.splitlines()} >= {"worker.left-behind", "worker.stopped"}
    assert {(mail.state, mail.owner) for mail in Email.select()} == {("queued", None)}
    assert sum(mail.resends for mail in Email.select()) == sent_again
    assert [row.stopped_at is not None for row in workers.listed()] == [True]


@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)
def test_a_process_that_is_stopped_in_the_middle_of_a_long_statement_interrupts_it_and_ends_well(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, postgres: PostgresServer, store_location: str
) -> None:
    go_on = tmp_path / "go-on"
    child = start(str(go_on), "--patience", "0.2", "5", "5")
    until(child, "slow.slice", number=1)
    with psycopg.connect(store_location) as other:
        other.execute("LOCK TABLE setting")
        go_on.touch()
        wait_for(lambda: bool(postgres.sql("SELECT 1 FROM pg_locks WHERE NOT granted")))
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=10)

    (slow,) = runs.listed(job="slow")
    assert (child.returncode, err, slow.state, slow.error) == (0, "", "due", None)
    assert [json.loads(line)["fact"] for line in out.splitlines()][-2:] == ["run.put-back", "worker.stopped"]


@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)
def test_a_pass_that_ends_with_an_error_says_goodbye_and_holds_nothing(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, postgres: PostgresServer, store_location: str
) -> None:
    go_on = tmp_path / "go-on"
    child = start(str(go_on), "--once")
    until(child, "slow.slice", number=1)
    mine = database.db.connection().info.backend_pid
    keydesk = f"FROM pg_stat_activity WHERE application_name = 'keydesk' AND pid <> {mine}"
    postgres.sql(f"SELECT pg_terminate_backend(pid, 5000) {keydesk}")
    go_on.touch()
    out, err = child.communicate(timeout=10)

    (slow,) = runs.listed(job="slow")
    (row,) = workers.listed()
    assert (child.returncode, "StoreUnavailable" in err) == (1, True)
    assert (slow.state, row.stopped_at is not None) == ("due", True)
    assert json.loads(out.splitlines()[-1])["fact"] == "worker.stopped"


@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)
def test_the_goodbye_of_a_pass_that_was_told_to_stop_is_not_interrupted(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, postgres: PostgresServer, store_location: str
) -> None:
    child = start(str(tmp_path / "never"), "--once", "--patience", "0.3", "5", "5")
    until(child, "slow.slice", number=1)
    with psycopg.connect(store_location) as other:
        other.execute("SELECT id FROM run WHERE job = 'slow' FOR UPDATE")
        child.send_signal(signal.SIGTERM)
        wait_for(lambda: bool(postgres.sql("SELECT 1 FROM pg_locks WHERE NOT granted")))
        with pytest.raises(subprocess.TimeoutExpired):  # until long after what its patience is
            child.wait(0.6)
    child.communicate(timeout=10)

    (slow,) = runs.listed(job="slow")
    assert (child.returncode, slow.state, slow.owner) == (0, "due", None)
    assert [row.stopped_at is not None for row in workers.listed()] == [True]


@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)
def test_a_process_that_is_stopped_while_it_starts_at_a_postgresql_that_hangs_ends_at_once(
    start: Callable[..., subprocess.Popen[str]], postgres: PostgresServer, store_location: str
) -> None:
    with psycopg.connect(store_location) as other:
        other.execute("LOCK TABLE worker")
        child = start()
        wait_for(lambda: bool(postgres.sql("SELECT 1 FROM pg_locks WHERE NOT granted")))
        with postgres.hanging():
            child.send_signal(signal.SIGTERM)
            child.communicate(timeout=10)

    assert child.returncode == -signal.SIGTERM


@pytest.mark.parametrize("store_location", ["postgresql"], indirect=True)
@pytest.mark.parametrize("in_a_statement", [False, True])
def test_a_process_that_is_stopped_while_postgresql_hangs_ends_in_time(
    start: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    postgres: PostgresServer,
    store_location: str,
    in_a_statement: bool,
) -> None:
    go_on = tmp_path / "go-on"
    child = start(str(go_on), "--patience", "0.5", "0.3", "0.7")
    until(child, "slow.slice", number=1)
    with psycopg.connect(store_location) as other:
        if in_a_statement:
            other.execute("LOCK TABLE setting")
            go_on.touch()
            wait_for(lambda: bool(postgres.sql("SELECT 1 FROM pg_locks WHERE NOT granted")))
        with postgres.hanging():
            asked = time.monotonic()
            child.send_signal(signal.SIGTERM)
            out, err = child.communicate(timeout=10)
            took = time.monotonic() - asked

    left = [json.loads(line) for line in out.splitlines() if "left-behind" in line]
    assert (child.returncode, err) == (1, "")
    assert took < 4
    assert [fact.get("beats", fact.get("error")) for fact in left] == [
        *([["work"]] if in_a_statement else []),
        "The store does not answer.",
    ]


@pytest.mark.parametrize("once", [(), ("--once",)], ids=["stays", "once"])
def test_a_process_that_is_stopped_during_a_refresh_ends_the_command_and_holds_no_marker(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, once: tuple[str, ...]
) -> None:
    enable(Company.get(external_id="nordlys"), User.get(external_id="ase"))
    key_of(User.get(external_id="ase"), environment="sandbox", expires_on=date(2027, 12, 31), now=LONG_AGO)
    marking.create("Europe/Oslo", date(2026, 11, 23), NOON, hour=2)
    begun = tmp_path / "begun"
    child = start(*once, "--refresher", "sh", "-c", f"echo $$ > {begun}; exec sleep 60")
    wait_for(lambda: begun.exists() and begun.read_text() != "")
    asked = time.monotonic()
    storm(child)
    child.communicate(timeout=15)

    (marker,) = RefreshMarker.select()
    assert (child.returncode, marker.state, marker.token, marker.lease_until) == (0, "due", None, None)
    assert [row.stopped_at is not None for row in workers.listed()] == [True]
    assert time.monotonic() - asked < 9
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)


def storm(child: subprocess.Popen[str]) -> None:
    """Whoever tells it to stop is impatient."""
    for told in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) * 20:
        child.send_signal(told)


def wait_for(come: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not come():
        assert time.monotonic() < deadline
        time.sleep(0.01)
