"""Every night: sandboxes are marked for refreshing, and a configured command refreshes one company after the other.

Without a command the markers wait for whatever pipeline takes them with `keydesk sandbox next`.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import IO, Final

from store import installation, markers, marking
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
    state: str  # done, failed; put back: the worker stopped; lost: its lease was over when it ended
    message: str


def body(run: RunRow, now: datetime) -> int:
    """Mark the sandboxes of the run's zone for its night; the number of markers written."""
    chosen = installation.get()
    night = date.fromisoformat(run.period)
    return marking.create(run.scope, night, now, hour=chosen.refresh_hour, window=chosen.refresh_window)


def refresh_next(
    command: Command, clock: Callable[[], datetime], owner: str, stopping: Callable[[], bool] = lambda: False
) -> Refreshed | None:
    """Take the oldest due marker and run the command for its company; None when there is none.

    The command reads one JSON object on its standard input (company, name, night, attempt); exit status 0 means done,
    and what it said last is kept as the message. At the time limit its whole process group is ended and the refresh
    has failed; when the worker stops, it is ended too and the marker is due again.
    """
    lease = command.time_limit + _SPARE
    chosen = installation.read()  # a store that was never set up has no limit, and no marker
    at_once = chosen.refresh_at_once if chosen else 0
    claims = markers.claim(WORKER, 1, lease, clock(), owner, at_once=at_once)
    if not claims:
        return None
    claim = claims[0]
    state, message = _run(command, claim, stopping)
    try:
        if state == "put back":
            markers.put_back(WORKER, claim.token)
        else:
            (markers.done if state == "done" else markers.fail)(WORKER, claim.token, message, clock())
    except Refused as refused:
        return Refreshed(claim.company, claim.night, "lost", str(refused))
    return Refreshed(claim.company, claim.night, state, message)


def _run(command: Command, claim: Claim, stopping: Callable[[], bool]) -> tuple[str, str]:
    """What became of it, and what is to be said of it."""
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
            return "failed", f"The command {command.arguments[0]} could not be started: {error.strerror}."
        ended = _awaited(process, command.time_limit, stopping)
        said = _last_words(spoken)
    if ended == "too late":
        return "failed", f"The command was ended at its time limit of {command.time_limit}. {said}".strip()
    if ended == "told to stop":
        return "put back", "The command was ended because the worker stopped."
    if process.returncode != 0:
        return "failed", said or f"The command ended with status {process.returncode} and said nothing."
    return "done", said


def _awaited(process: subprocess.Popen[bytes], time_limit: timedelta, stopping: Callable[[], bool]) -> str | None:
    """Wait for the command's end; why it was ended instead, None when it ended by itself."""
    deadline = time.monotonic() + time_limit.total_seconds()
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_SECONDS)
            return None
        late = time.monotonic() >= deadline
        if late or stopping():
            _end(process)
            return "too late" if late else "told to stop"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and whatever it has started: politely, then not."""
    for way in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, way)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)


def _last_words(spoken: IO[bytes]) -> str:
    size = spoken.seek(0, os.SEEK_END)
    spoken.seek(max(0, size - _SPOKEN_LIMIT))
    return spoken.read().decode("utf-8", "replace").replace("\0", "").strip()[-500:]
