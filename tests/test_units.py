"""Do the systemd units hold what they say: closed, told when ready, kept alive, stopped in time?"""

import configparser
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import hardened_units
import needed
import pytest
from command import Home

from jobs.process import Patience

DEPLOY = Path(__file__).parent.parent / "deploy"


class Unit(configparser.RawConfigParser):
    """A unit by its sections; of a name that stands twice the last one counts."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=False)
        self.optionxform = str  # type: ignore[assignment,method-assign]
        self.read(DEPLOY / name)


def hardening(name: str) -> list[str]:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    begins = r"^(?:Protect|Restrict|Private|System|Memory|Lock|NoNew|Capab|UMask|ReadWrite).*$"
    return re.findall(begins, text, re.MULTILINE)


@pytest.fixture
def systemd() -> str:
    """The program with which it judges units."""
    return needed.program("systemd-analyze", "systemd")


def given_up_after() -> timedelta:
    """After what time a worker as it is shipped has interrupted what does not end and left it behind."""
    patience = Patience()
    return patience.beats + patience.interrupted + patience.giving_back


@pytest.mark.parametrize("unit", hardened_units.services(), ids=lambda unit: unit.name)
def test_a_service_is_closed(systemd: str, unit: Path) -> None:
    closed, said = hardened_units.verdict(unit)

    assert closed, said


@pytest.mark.usefixtures("systemd")
@pytest.mark.parametrize("unit", hardened_units.services(), ids=lambda unit: unit.name)
def test_a_service_is_as_closed_when_it_may_write_to_the_sandboxes(unit: Path, tmp_path: Path) -> None:
    copied = shutil.copy(unit, tmp_path)
    added = tmp_path / f"{unit.name}.d"
    added.mkdir()
    shutil.copy(DEPLOY / "keydesk-sandbox.conf", added / "sandbox.conf")

    closed, said = hardened_units.verdict(copied)

    assert (closed, said.rpartition(": ")[2]) == (True, hardened_units.verdict(unit)[1].rpartition(": ")[2])


def test_the_sandboxes_of_the_guide_are_where_the_drop_in_lets_the_worker_write() -> None:
    guide = (DEPLOY.parent / "docs" / "sandbox.md").read_text(encoding="utf-8")
    opened = Unit("keydesk-sandbox.conf")["Service"]["ReadWritePaths"]

    assert opened == "-/srv/sandbox"
    assert '"--target", "/srv/sandbox/{company}.db"' in guide
    assert 'targets = ["/srv/sandbox/*.db"]' in guide
    assert f"`ReadWritePaths={opened}`" in guide


def test_a_service_that_is_open_would_be_noticed(systemd: str, tmp_path: Path) -> None:
    unit = tmp_path / "open.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n")

    assert hardened_units.verdict(unit)[0] is False


def test_the_timer_goes_off_every_five_minutes(systemd: str) -> None:
    when = Unit("keydesk-once.timer")["Timer"]["OnCalendar"]

    done = subprocess.run(
        [systemd, "calendar", "--iterations=2", "--base-time=2026-11-23 12:00:00 UTC", when],
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC", "PATH": "/usr/bin:/bin"},
    )

    assert re.findall(r"\d\d:\d\d:\d\d UTC", done.stdout)[-2:] == ["12:05:00 UTC", "12:10:00 UTC"]


@pytest.mark.parametrize(
    ("environment", "status", "first_words"),
    [({}, 0, "NOT CHECKED: systemd-analyze"), ({"CI": "true"}, 1, "NOT CHECKED, and this is CI: systemd-analyze")],
)
def test_where_nobody_can_judge_the_services_that_is_said_and_in_ci_it_is_a_failure(
    environment: dict[str, str], status: int, first_words: str
) -> None:
    done = subprocess.run(
        [sys.executable, hardened_units.__file__],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": "/nowhere", **environment},
    )

    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(f"{first_words} is not installed (Debian: systemd), ")


def test_a_test_whose_program_is_not_there_is_skipped_and_in_ci_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> str:
        return needed.program("keydesk-no-such-program", "keydesk-nowhere")

    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^NOT TESTED: keydesk-no-such-program is not installed \(Debian"):
        ask()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"^Not tested in CI: .*\(Debian: keydesk-nowhere\)\.$"):
        ask()


def test_both_services_are_closed_alike() -> None:
    assert hardening("keydesk-once.service") == hardening("keydesk-worker.service") != []


def test_a_unit_calls_the_command_as_it_is() -> None:
    worker, once = (Unit(f"keydesk-{name}.service")["Service"]["ExecStart"] for name in ("worker", "once"))

    assert worker == "/opt/keydesk/bin/keydesk --settings /etc/keydesk/keydesk.toml worker"
    assert once == f"{worker} --once"


@pytest.mark.parametrize("unit", ["keydesk-worker.service", "keydesk-once.service"])
def test_the_worker_ends_before_systemd_kills_it(unit: str) -> None:
    assert given_up_after() < timedelta(seconds=int(Unit(unit)["Service"]["TimeoutStopSec"]))


def test_a_worker_that_is_told_to_stop_waits_for_less_than_the_20_seconds_that_are_promised() -> None:
    assert given_up_after() < timedelta(seconds=20)


def test_a_single_pass_has_time_for_the_refresh_that_it_begins_last() -> None:
    begun_by, may_take = 1, 1  # hours; the latter is the default of [sandbox] timeout_minutes
    limit = Unit("keydesk-once.service")["Service"]["TimeoutStartSec"]

    assert int(limit.removesuffix("h")) > begun_by + may_take


@contextmanager
def listening(home: Home, *command: str) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], bytes]]]:
    """That command as a service whose messages come one by one from what is given beside it."""
    address = home.path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(20)
        environment = home.environment(NOTIFY_SOCKET=str(address))
        with subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.DEVNULL, cwd=home.path, env=environment
        ) as child:
            try:
                yield child, lambda: systemd.recv(1000)
            finally:
                child.kill()


def test_systemd_hears_ready_then_alive_and_at_the_end_stopping(home: Home) -> None:
    with listening(home, "-m", "keydesk", "worker") as (child, next_message):
        heard = [next_message() for _ in range(4)]
        child.send_signal(signal.SIGTERM)
        while heard[-1] != b"STOPPING=1":
            heard.append(next_message())
        status = child.wait(20)

    assert heard[:3] == [b"READY=1", b"WATCHDOG=1", b"STATUS=Waiting for what falls due"]
    assert set(heard[3:]) == {b"WATCHDOG=1", b"STOPPING=1"}
    assert status == 0


def test_a_worker_that_hangs_says_no_longer_that_it_is_alive_and_says_why(home: Home) -> None:
    with listening(home, "-c", _HANGING) as (_, next_message):
        heard = [next_message()]
        while not heard[-1].startswith(b"STATUS=No tick for "):
            heard.append(next_message())
        heard += [next_message(), next_message()]

    assert heard[0] == b"READY=1"
    assert all(message.startswith(b"STATUS=No tick for ") for message in heard[-3:])


def test_a_worker_that_begins_no_work_any_more_says_so(home: Home) -> None:
    with listening(home, "-c", _IDLE) as (_, next_message):
        heard = [next_message()]
        while heard[-1] != b"STATUS=No beat of work has begun for 0 min":
            heard.append(next_message())

    assert heard[0] == b"READY=1"
    assert b"WATCHDOG=1" in heard


def test_a_worker_whose_store_is_gone_says_so_and_is_started_anew_when_that_lasts(home: Home) -> None:
    with listening(home, "-c", _IMPATIENT) as (child, next_message):
        heard = [next_message()]
        while heard[-1] != b"STATUS=Waiting for what falls due":
            heard.append(next_message())
        home.store.rename(home.path / "elsewhere.db")
        while not heard[-1].startswith(b"STATUS=The store has taken no tick for "):
            heard.append(next_message())
        child.terminate()
        after = next_message()

    waiting = next(message for message in heard if message.startswith(b"STATUS=Waiting for the store for 0 min: The "))
    assert b"was removed or replaced while this program had it" in waiting
    assert after == b"STOPPING=1"


_IMPATIENT = """
from jobs import process, watch
from keydesk.command import main

process.TICK_SECONDS, watch.SILENT_AFTER = 0.1, 4.0  # seconds
main(["worker"])
"""

_IDLE = """
from apscheduler.executors.pool import ThreadPoolExecutor
from jobs import watch
from keydesk.command import main

watch.NEVER_BEGUN_AFTER = 2  # seconds
submit = ThreadPoolExecutor._do_submit_job


def lose(pool, job, times):
    if job.name == "work" and submitted:
        return None  # and it counts as running from then on
    submitted.append(job.name)
    return submit(pool, job, times)


submitted = []
ThreadPoolExecutor._do_submit_job = lose
main(["worker"])
"""

_HANGING = """
import threading
from jobs import watch, worker
from keydesk.command import main

watch.FROZEN_AFTER = 1  # seconds
worker.Worker.tick = lambda self, now: threading.Event().wait()
main(["worker"])
"""
