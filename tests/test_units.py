"""Do the systemd units hold what they say: closed, told when ready, kept alive, stopped in time?"""

import configparser
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import hardened_units
import pytest
from command import Home

DEPLOY = Path(__file__).parent.parent / "deploy"
WITHOUT_SYSTEMD = pytest.mark.skipif(
    not hardened_units.is_there(), reason="systemd-analyze is missing: nobody looked at deploy/*.service"
)


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


@WITHOUT_SYSTEMD
@pytest.mark.parametrize("unit", hardened_units.services(), ids=lambda unit: unit.name)
def test_a_service_is_closed(unit: Path) -> None:
    closed, said = hardened_units.verdict(unit)

    assert closed, said


@WITHOUT_SYSTEMD
def test_a_service_that_is_open_would_be_noticed(tmp_path: Path) -> None:
    unit = tmp_path / "open.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n")

    assert hardened_units.verdict(unit)[0] is False


@WITHOUT_SYSTEMD
def test_the_timer_goes_off_every_five_minutes() -> None:
    when = Unit("keydesk-once.timer")["Timer"]["OnCalendar"]

    done = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=2", "--base-time=2026-11-23 12:00:00 UTC", when],
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC", "PATH": "/usr/bin:/bin"},
    )

    assert re.findall(r"\d\d:\d\d:\d\d UTC", done.stdout)[-2:] == ["12:05:00 UTC", "12:10:00 UTC"]


def test_both_services_are_closed_alike() -> None:
    assert hardening("keydesk-once.service") == hardening("keydesk-worker.service") != []


def test_a_unit_calls_the_command_as_it_is() -> None:
    worker, once = (Unit(f"keydesk-{name}.service")["Service"]["ExecStart"] for name in ("worker", "once"))

    assert worker == "/opt/keydesk/bin/keydesk --settings /etc/keydesk/keydesk.toml worker"
    assert once == f"{worker} --once"


def test_the_worker_ends_before_systemd_kills_it() -> None:
    given_up_after = 20  # seconds, after which the worker leaves behind what does not end

    assert int(Unit("keydesk-worker.service")["Service"]["TimeoutStopSec"]) > given_up_after


def test_systemd_hears_ready_then_alive_and_at_the_end_stopping(home: Home) -> None:
    address = home.path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(20)
        child = subprocess.Popen(
            [sys.executable, "-m", "keydesk", "worker"],
            stdout=subprocess.DEVNULL,
            cwd=home.path,
            env=home.environment(NOTIFY_SOCKET=str(address)),
        )
        heard = [systemd.recv(100), systemd.recv(100), systemd.recv(100)]
        child.send_signal(signal.SIGTERM)
        while heard[-1] == b"WATCHDOG=1" and len(heard) < 30:
            heard.append(systemd.recv(100))
        status = child.wait(20)

    assert (heard[0], heard[1], heard[2], heard[-1]) == (b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1")
    assert status == 0


def test_a_worker_that_hangs_says_no_longer_that_it_is_alive(home: Home) -> None:
    address = home.path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(20)
        child = subprocess.Popen(
            [sys.executable, "-c", _HANGING],
            stdout=subprocess.DEVNULL,
            cwd=home.path,
            env=home.environment(NOTIFY_SOCKET=str(address)),
        )
        assert systemd.recv(100) == b"READY=1"
        last = time.monotonic()
        systemd.settimeout(3)
        heard = []
        with pytest.raises(TimeoutError):
            while len(heard) < 10:
                heard.append(systemd.recv(100))
                last = time.monotonic()
        silent = time.monotonic() - last
        child.kill()
        child.wait(20)

    assert set(heard) <= {b"WATCHDOG=1"}
    assert silent >= 3


_HANGING = """
import threading
from jobs import worker
from keydesk.command import main

worker._FROZEN_AFTER = 1  # seconds
worker.Worker._tick = lambda self: threading.Event().wait()
main(["worker"])
"""
