"""What does the worker's own command for a sandbox get, how long may it run, and what is left of it when it may not?"""

import fcntl
import json
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from threading import Event

import pytest
from cast import NOON
from peewee import DatabaseError
from sandbox_nights import HALF_AN_HOUR, NIGHT, claim, failures_mailed, mark, states, with_sandbox

from jobs import queues, refresh_command
from jobs.json_log import JsonLog
from jobs.refresh_command import Command, Ended
from jobs.sandbox_refresh import Refreshed, refresh_next
from store import database
from store.database import run_sql
from store.errors import StoreUnavailable
from store.tables import RefreshMarker

LEFT_OUT = "The command was ended because its claim could not be held."


class Alive:
    """A pipe by name that a command and what it starts hold open for as long as they live."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def command(self, *, lease: float = 60, beat: float = 0.05, limit: timedelta = HALF_AN_HOUR) -> Command:
        """A shell that says that it has begun, and waits beside a child."""
        script = f"exec 3>{self.path}; sleep 600 & echo begun >&3; wait"
        return Command(("sh", "-c", script), limit, timedelta(seconds=lease), timedelta(seconds=beat))

    def has_begun(self) -> bool:
        return self._heard(0.02) == b"begun\n"

    def wait_until_begun(self) -> None:
        while not self.has_begun():
            pass

    def is_over(self) -> bool:
        """Whether the last of them ends within ten seconds."""
        # One that was killed before it had opened the pipe has left no end of it to be heard.
        os.close(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
        return self._heard(10) == b""

    def _heard(self, seconds: float) -> bytes | None:
        try:
            return os.read(self._end, 100) if select.select([self._end], [], [], seconds)[0] else None
        except BlockingIOError:
            return None


@pytest.fixture
def alive(tmp_path: Path) -> Alive:
    return Alive(tmp_path / "alive")


@contextmanager
def worker_of(command: Command) -> Iterator[int]:
    """A process of its own that runs the command and holds its claim; it ends with status 7 when it puts it back."""
    child = os.fork()
    if child == 0:
        ended = refresh_command.run(command, {}, lambda: True, lambda: False)
        os._exit(7 if ended.state == "put back" else 1)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def run_python(program: str, limit: timedelta = HALF_AN_HOUR) -> Ended:
    """What becomes of a command that is this Python program."""
    command = Command((sys.executable, "-I", "-S", "-c", program), limit)
    return refresh_command.run(command, {}, lambda: True, lambda: False)


def test_a_configured_command_refreshes_a_company_and_reads_which_on_its_standard_input(
    empty_store: str, tmp_path: Path
) -> None:
    with_sandbox()
    mark()
    seen = tmp_path / "seen.json"
    command = Command(("sh", "-c", f"cat > {seen}; echo 412 tables"), HALF_AN_HOUR)

    refreshed = refresh_next(command, lambda: NOON, "worker-1")

    assert refreshed == Refreshed("nordlys", NIGHT, "done", "412 tables")
    assert seen.read_text() == '{"company": "nordlys", "name": "Nordlys AS", "night": "2026-11-23", "attempt": 1}\n'
    assert states() == [("nordlys", NIGHT, "done")]
    assert refresh_next(command, lambda: NOON, "worker-1") is None


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import sys; sys.exit('no space left')", "no space left"),
        ("import sys; sys.exit(3)", "The command ended with status 3 and said nothing."),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "The command ended with status -9 and said nothing.",
        ),
        ("import sys; sys.stdout.buffer.write(b'x' * 5000 + b'\\0\\xff'); sys.exit(1)", "x" * 499 + "\ufffd"),
    ],
)
def test_a_command_that_ends_badly_has_failed_with_its_last_words(program: str, message: str) -> None:
    assert run_python(program) == Ended("failed", message)


def test_what_a_command_says_fills_no_disk_and_none_of_its_last_words_is_lost() -> None:
    program = """
import os
for _ in range(3):
    for _ in range(40):
        os.write(1, b"x" * 999_999 + b"\\n")
    while os.fstat(1).st_blocks * 512 > 10_000_000:
        pass
print("40 tables")
"""

    ended = run_python(program, timedelta(seconds=20))

    assert ended == Ended("done", "x" * 490 + "\n40 tables")


def test_a_command_that_cannot_be_started_is_no_failure_of_a_refresh_and_is_left_alone_for_five_minutes(
    empty_store: str, tmp_path: Path
) -> None:
    with_sandbox()
    mark()
    said = StringIO()
    no_program = tmp_path / "refresh-sandbox"
    no_program.write_text("a note, and no program")
    queue = queues.refreshes(Command((str(no_program),), HALF_AN_HOUR), JsonLog(said, clock=lambda: NOON))

    def taken_after(seconds: int) -> int:
        return queue(lambda: NOON + timedelta(seconds=seconds), "w", lambda: False)

    taken = [taken_after(seconds) for seconds in (0, 5, 299)]
    attempts = RefreshMarker.get().attempt
    no_program.write_text("#!/bin/sh\necho fresh\n")
    no_program.chmod(0o755)
    then = [taken_after(seconds) for seconds in (300, 301)]

    assert (taken, attempts, then) == ([0, 0, 0], 1, [1, 0])
    facts = [json.loads(line) for line in said.getvalue().splitlines()]
    assert [(fact["level"], fact["state"]) for fact in facts] == [("error", "not started"), ("info", "done")]
    assert facts[0]["text"] == f"The command {no_program} could not be started: Permission denied."
    assert (states(), failures_mailed()) == ([("nordlys", NIGHT, "done")], [])


def test_a_program_that_says_so_of_another_one_has_failed() -> None:
    script = "echo The command pg_dump could not be started; exit 127"

    ended = refresh_command.run(Command(("sh", "-c", script), HALF_AN_HOUR), {}, lambda: True, lambda: False)

    assert ended == Ended("failed", "The command pg_dump could not be started")


def test_pepper_and_passwords_in_the_environment_are_not_handed_to_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYDESK_MAIL_PASSWORD", "hunter2")

    assert run_python("import os; print('hunter2' in str(os.environ))") == Ended("done", "False")


def test_at_the_time_limit_the_command_and_what_it_started_are_ended(alive: Alive) -> None:
    limit = timedelta(seconds=0.5)

    ended = refresh_command.run(alive.command(limit=limit), {}, lambda: True, lambda: False)

    assert ended == Ended("failed", "The command was ended at its time limit of 0:00:00.500000.")
    alive.wait_until_begun()
    assert alive.is_over()


def test_the_command_and_what_it_started_end_when_the_worker_is_killed(alive: Alive) -> None:
    with worker_of(alive.command()) as worker:
        alive.wait_until_begun()

        os.kill(worker, signal.SIGKILL)

        assert alive.is_over()


def test_they_end_before_the_claim_does_when_the_worker_is_paused_and_it_puts_the_claim_back(alive: Alive) -> None:
    with worker_of(alive.command(lease=1)) as worker:
        alive.wait_until_begun()

        os.kill(worker, signal.SIGSTOP)

        assert alive.is_over()
        os.kill(worker, signal.SIGCONT)
        ended = os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)
        assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 7)


def test_while_it_runs_the_claim_is_held_beyond_the_first_lease(tmp_path: Path) -> None:
    go_on, held = tmp_path / "go on", []

    def hold() -> bool:
        held.append(1)
        if len(held) == 16:
            go_on.touch()
        return True

    script = f"while [ ! -e '{go_on}' ]; do sleep 0.02; done; echo fresh"
    command = Command(("sh", "-c", script), HALF_AN_HOUR, timedelta(seconds=0.6), timedelta(seconds=0.06))
    ended = refresh_command.run(command, {}, hold, lambda: False)

    assert (ended, len(held) >= 16) == (Ended("done", "fresh"), True)


@pytest.mark.parametrize("answer", [False, None])
def test_without_the_claim_or_a_store_that_says_whose_it_is_they_end(alive: Alive, answer: bool | None) -> None:
    ended = refresh_command.run(alive.command(lease=1), {}, lambda: answer, lambda: False)

    assert ended == Ended("put back", LEFT_OUT)
    alive.has_begun()  # or was ended before it could say so
    assert alive.is_over()


def test_a_claim_that_somebody_else_has_taken_is_left_to_him(empty_store: str, alive: Alive) -> None:
    with_sandbox()
    mark()
    taken: list[object] = []

    def another() -> bool:
        if not taken and alive.has_begun():
            taken.extend(claim(NOON + HALF_AN_HOUR, by="another"))
        return False

    refreshed = refresh_next(alive.command(), lambda: NOON, "worker-1", another)

    assert refreshed is not None
    assert (refreshed.state, len(taken), alive.is_over()) == ("lost", 1, True)
    assert [(row.state, row.claimed_by) for row in RefreshMarker.select()] == [("running", "another")]


def test_a_worker_that_stops_in_the_middle_ends_them_politely_although_it_takes_no_signals_itself(
    empty_store: str, alive: Alive, tmp_path: Path
) -> None:
    with_sandbox()
    mark()
    said = tmp_path / "said"
    script = f"trap 'echo tidied > {said}; exit' TERM; exec 3>{alive.path}; echo begun >&3; sleep 600 & wait"
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # as in every thread of the worker
    try:
        refreshed = refresh_next(Command(("sh", "-c", script), HALF_AN_HOUR), lambda: NOON, "w", alive.has_begun)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

    assert refreshed is not None
    assert (refreshed.state, said.read_text(), alive.is_over()) == ("put back", "tidied\n", True)
    assert (states(), failures_mailed()) == ([("nordlys", NIGHT, "due")], [])


@contextmanager
def not_to_be_had(location: str) -> Iterator[None]:
    """The store takes nothing: its server has ended this thread's session, or another process is writing."""
    if "://" in location:
        with suppress(DatabaseError):
            run_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        yield
    else:
        with Path(f"{location}.gate").open("r+b") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield


@pytest.mark.parametrize(("script", "state", "failures"), [("echo fresh", "done", 0), ("exit 1", "failed", 1)])
def test_a_report_that_the_store_cannot_take_is_made_again_instead_of_the_refresh(
    store_location: str, tmp_path: Path, script: str, state: str, failures: int
) -> None:
    database.bind(store_location, lock_wait_seconds=1)
    ran, away = tmp_path / "ran", ExitStack()
    said = iter([lambda: None, lambda: away.enter_context(not_to_be_had(store_location)), away.close])

    def clock() -> datetime:
        """Asked for the claim and for each report: the first of these finds the store away."""
        next(said)()
        return NOON

    with database.session(), away:
        with_sandbox()
        mark()
        refreshed = refresh_next(Command(("sh", "-c", f"echo >> {ran}; {script}"), HALF_AN_HOUR), clock, "worker-1")
    with database.session():
        (marker,) = RefreshMarker.select()

    assert refreshed is not None
    assert (refreshed.state, marker.state, marker.failures) == (state, state, failures)
    assert ran.read_text() == "\n"


@pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)
def test_a_worker_that_stops_does_not_wait_for_a_store_that_takes_no_report(store_location: str) -> None:
    database.bind(store_location, lock_wait_seconds=0)
    away, is_away = ExitStack(), Event()

    def clock() -> datetime:
        if RefreshMarker.get().state == "running" and not is_away.is_set():
            away.enter_context(not_to_be_had(store_location))
            is_away.set()
        return NOON

    with database.session(), away:
        with_sandbox()
        mark()
        with pytest.raises(StoreUnavailable):
            refresh_next(Command(("true",), HALF_AN_HOUR), clock, "worker-1", is_away.is_set)


def test_what_a_command_leaves_behind_is_ended_before_its_report(alive: Alive) -> None:
    script = f"exec 3>{alive.path}; echo begun >&3; sleep 600 & echo fresh"

    ended = refresh_command.run(Command(("sh", "-c", script), HALF_AN_HOUR), {}, lambda: True, lambda: False)

    assert ended == Ended("done", "fresh")
    alive.wait_until_begun()
    assert alive.is_over()


def test_a_third_failure_of_the_command_is_told_to_be_the_last(empty_store: str) -> None:
    with_sandbox()
    mark()
    RefreshMarker.update(failures=2).execute()

    refreshed = refresh_next(Command(("false",), HALF_AN_HOUR), lambda: NOON, "worker-1")

    assert refreshed is not None
    assert (refreshed.state, refreshed.quarantined) == ("failed", True)
