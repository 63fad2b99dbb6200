"""Every night: sandboxes are marked for refreshing, and a configured command refreshes one company after the other.

Without a command the markers wait for whatever pipeline takes them with `keydesk sandbox next`.
"""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import IO, Final

from store import installation, markers
from store.actors import WORKER
from store.errors import Refused
from store.markers import Claim
from store.runs import RunRow

_SPARE: Final = timedelta(minutes=5)  # between the command's time limit and the end of the lease
_SPOKEN_LIMIT: Final = 2000  # of what the command said last, in bytes
_LOOK_SECONDS: Final = 0.5
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME")


@dataclass(frozen=True)
class Command:
    """What refreshes one company: program and arguments, no shell, and how long it may take."""

    arguments: tuple[str, ...]
    time_limit: timedelta


@dataclass(frozen=True)
class Refreshed:
    """What became of one company's refresh."""

    company: str
    night: date
    state: str  # done, failed, or lost: its lease was over when it ended
    message: str


def body(run: RunRow, now: datetime) -> int:
    """Mark the sandboxes of the run's zone for its night; the number of markers written."""
    return markers.create(run.scope, date.fromisoformat(run.period), now, hour=installation.get().refresh_hour)


def refresh_next(
    command: Command, clock: Callable[[], datetime], owner: str, stopping: Callable[[], bool] = lambda: False
) -> Refreshed | None:
    """Take the oldest due marker and run the command for its company; None when there is none.

    The command reads one JSON object on its standard input (company, name, night, attempt); exit status 0 means done,
    and what it said last is kept as the message. At the time limit, or when the worker stops, its whole process group
    is ended and the refresh has failed.
    """
    lease = command.time_limit + _SPARE
    claims = markers.claim(WORKER, 1, lease, clock(), owner)
    if not claims:
        return None
    claim = claims[0]
    succeeded, message = _run(command, claim, stopping)
    report = markers.done if succeeded else markers.fail
    state = "done" if succeeded else "failed"
    try:
        report(WORKER, claim.token, message, clock())
    except Refused as refused:
        return Refreshed(claim.company, claim.night, "lost", str(refused))
    return Refreshed(claim.company, claim.night, state, message)


def _run(command: Command, claim: Claim, stopping: Callable[[], bool]) -> tuple[bool, str]:
    """Whether it succeeded, and what is to be said of it."""
    told = {
        "company": claim.company,
        "name": claim.name,
        "night": claim.night.isoformat(),
        "attempt": claim.attempt,
    }
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as spoken:
        given.write(json.dumps(told).encode() + b"\n")
        given.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - the arguments are the operator's own setting, and no shell reads them
                command.arguments,
                stdin=given,
                stdout=spoken,
                stderr=subprocess.STDOUT,
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                start_new_session=True,
            )
        except OSError as error:
            return False, f"The command {command.arguments[0]} could not be started: {error.strerror}."
        fault = _awaited(process, command.time_limit.total_seconds(), stopping)
        said = _last_words(spoken)
        if fault:
            return False, f"{fault} {said}".strip()
        if process.returncode != 0:
            return False, said or f"The command ended with status {process.returncode} and said nothing."
        return True, said


def _awaited(process: subprocess.Popen[bytes], seconds: float, stopping: Callable[[], bool]) -> str | None:
    """Wait for the command's end; why it was ended instead, None when it ended by itself."""
    waited = 0.0
    while True:
        try:
            process.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            waited += _LOOK_SECONDS
            if waited >= seconds:
                _end(process)
                return f"The command was ended after {seconds / 60:g} minutes, its time limit."
            if stopping():
                _end(process)
                return "The command was ended because the worker stopped."
        else:
            return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and whatever it has started."""
    for way in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, way)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return


def _last_words(spoken: IO[bytes]) -> str:
    size = spoken.seek(0, os.SEEK_END)
    spoken.seek(max(0, size - _SPOKEN_LIMIT))
    return spoken.read().decode("utf-8", "replace").replace("\0", "").strip()[-500:]
