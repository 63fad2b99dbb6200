"""The operator's own command, run for one company: no shell, a group of its own, and never longer than its claim.

It stands under `lifeline.py`, which ends it when this process dies, however it dies, or when its claim has not been
held on to in time: then somebody else may have begun the same refresh.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, Final, Literal

from jobs import lifeline

LEASE: Final = timedelta(minutes=5)
_BEAT: Final = timedelta(minutes=1)
_POLITE_SECONDS: Final = 5
_SPOKEN_LIMIT: Final = 2000  # of what the command said last, in bytes
_SPOKEN_ON_DISK: Final = 10_000_000  # bytes; of what is more, all but the end is given back to the disk
_FIRST_LINE: Final = 256  # bytes of a script that Linux reads
_PUNCH_HOLE_KEEP_SIZE: Final = 0x03
_libc, _offset = ctypes.CDLL(None), ctypes.c_int64
_LOOK_SECONDS: Final = 0.05
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME")


@dataclass(frozen=True)
class Command:
    """What refreshes one company: program and arguments, how long it may take, and how its claim is held meanwhile."""

    arguments: tuple[str, ...]
    time_limit: timedelta
    lease: timedelta = LEASE
    beat: timedelta = _BEAT

    @property
    def patience(self) -> float:
        """Seconds after the claim was last held at which the command is ended, before somebody else may begin.

        By another machine's clock the lease may be over 2 minutes early (`clock_seen.FARTHEST_APART`).
        """
        return self.lease.total_seconds() / 2


def program_of(arguments: tuple[str, ...]) -> str | None:
    """The file that is run, looked for as it will be for the command; None when there is none that can be run.

    A name without a slash is looked for on this process's PATH, which the command gets as well.
    """
    return shutil.which(arguments[0])


def lacks(program: str) -> str | None:
    """What the first line of a script names to run it (`#!`), when that cannot be run; None when nothing is lacking."""
    try:
        with Path(program).open("rb") as file:
            line = file.readline(_FIRST_LINE)
    except OSError:  # a program may be run that may not be read
        return None
    # As Linux reads it, for which a carriage return is part of the name.
    words = os.fsdecode(line[2:].rstrip(b"\n")).replace("\t", " ").split(" ") if line.startswith(b"#!") else []
    words = [word for word in words if word]
    if words and Path(words[0]).name == "env" and shutil.which(words[0]):
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return words[0] if words and shutil.which(words[0]) is None else None


@dataclass(frozen=True)
class Ended:
    """How it ended, and what is to be said of it.

    Put back: it was ended for a reason that is not the refresh's. Not started: there is no such program, or this
    machine lacks what every program needs.
    """

    state: Literal["done", "failed", "put back", "not started"]
    message: str


def run(
    command: Command, told: Mapping[str, Any], hold: Callable[[], bool | None], stopping: Callable[[], bool]
) -> Ended:
    """Run the command with `told` as JSON on its standard input, and see it to its end.

    `hold` is called once a beat: True when the claim is held for another lease, False when it is lost, None when that
    could not be asked. When `stopping` says so, at the time limit, or without the claim, the whole group is ended.
    """
    with ExitStack() as opened:
        try:
            given, spoken = (opened.enter_context(tempfile.TemporaryFile()) for _ in range(2))
            given.write(json.dumps(told).encode() + b"\n")
            given.seek(0)
            hears, speaks = os.pipe()
            opened.callback(os.close, speaks)
            with os.fdopen(hears, "rb"):  # the command's supervisor has its own
                process = _started(command, given, spoken, hears)
        except OSError as error:  # of this machine: no room, no process, no program to supervise it
            return Ended("not started", f"{lifeline.not_started(command.arguments[0])}: {error.strerror}.")
        why = _awaited(process, command, lambda: _held(hold, speaks), stopping, lambda: _trim(spoken.fileno()))
        return _judged(process.returncode, why, command, _last_words(spoken))


def _started(command: Command, given: IO[bytes], spoken: IO[bytes], hears: int) -> subprocess.Popen[bytes]:
    supervisor = (sys.executable, "-I", "-S", str(Path(lifeline.__file__)), str(hears), str(command.patience))
    return subprocess.Popen(  # noqa: S603 - the arguments are the operator's own setting, and no shell reads them
        (*supervisor, *command.arguments),
        stdin=given,
        stdout=spoken,
        stderr=subprocess.STDOUT,
        env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        start_new_session=True,
        pass_fds=(hears,),
    )


def _awaited(
    process: subprocess.Popen[bytes],
    command: Command,
    hold: Callable[[], bool | None],
    stopping: Callable[[], bool],
    look: Callable[[], None],
) -> str:
    """Wait for the end; why the command was ended, empty when it ended by itself. Nothing of its group is left."""
    begun = held = asked = lifeline.seconds()
    why = ""
    try:
        while not why and not _is_over(process):
            time.sleep(_LOOK_SECONDS)
            look()
            now = lifeline.seconds()
            if now - held >= command.patience:  # this process was paused, or the store has been away
                why = "lost"
            elif now - begun >= command.time_limit.total_seconds():
                why = "too late"
            elif stopping():
                why = "told to stop"
            elif now - asked >= command.beat.total_seconds():
                asked, answer = now, hold()
                held = now if answer else held
                why = "lost" if answer is False else ""
    finally:
        _end(process)
    return why


def _held(hold: Callable[[], bool | None], speaks: int) -> bool | None:
    """Hold the claim, and tell the supervisor so."""
    answer = hold()
    if answer:
        with suppress(BrokenPipeError):  # it has ended meanwhile
            os.write(speaks, b".")
    return answer


def _is_over(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended. It is not taken off the list of processes, so that nobody else gets its group's number."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the group: politely, while the command runs, then not."""
    if not _is_over(process):
        os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + _POLITE_SECONDS
        while not _is_over(process) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
    with suppress(ProcessLookupError):  # nobody is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _judged(status: int, why: str, command: Command, said: str) -> Ended:
    if why == "too late":
        return Ended("failed", f"The command was ended at its time limit of {command.time_limit}. {said}".strip())
    if why == "told to stop":
        return Ended("put back", "The command was ended because the worker stopped.")
    if why == "lost":
        return Ended("put back", "The command was ended because its claim could not be held.")
    if status == lifeline.NOT_STARTED and said.startswith(lifeline.not_started(command.arguments[0])):
        return Ended("not started", said)
    if status != 0:
        return Ended("failed", said or f"The command ended with status {status} and said nothing.")
    return Ended("done", said)


def _trim(spoken: int) -> None:
    """Keep a talkative command from filling the disk: all but the end is given back. It writes on where it is."""
    told = os.fstat(spoken)
    if told.st_blocks * 512 > _SPOKEN_ON_DISK:
        start = max(0, told.st_size - _SPOKEN_LIMIT)
        if not _punched(spoken, start):  # a file system without holes; what is said at this moment may be lost
            last = os.pread(spoken, _SPOKEN_LIMIT, start)  # with the place, which the command shares, left where it is
            os.ftruncate(spoken, 0)
            os.pwrite(spoken, last, start)


def _punched(file: int, size: int) -> bool:
    """Give so many bytes at the file's beginning back to the disk (fallocate(2)); False where that is not possible."""
    return bool(_libc.fallocate(file, _PUNCH_HOLE_KEEP_SIZE, _offset(0), _offset(size)) == 0)


def _last_words(spoken: IO[bytes]) -> str:
    size = spoken.seek(0, os.SEEK_END)
    spoken.seek(max(0, size - _SPOKEN_LIMIT))
    return spoken.read().decode("utf-8", "replace").replace("\0", "").strip()[-500:]
