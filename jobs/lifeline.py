"""A program by itself: run one command for as long as whoever started this lives and says so often enough.

    python -I -S lifeline.py FD SECONDS COMMAND [ARGUMENT ...]

FD is the reading end of a pipe. When its other end is closed, which a killed process cannot avoid, or no byte has come
for SECONDS, this process's whole group is ended: SIGTERM, and SIGKILL 5 seconds later. So it must be started as the
leader of a group of its own. The exit status is the command's; where a signal ended that, this ends by the same.

It is started for every command, so it imports next to nothing.
"""

import os
import select
import signal
import sys
import time

_POLITE_SECONDS = 5
_LOOKS_EVERY = 10  # seconds
_OURS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ}
NOT_STARTED = 127


def main(lifeline: int, patience: float, command: list[str]) -> int:
    """Run it to its end; the exit status."""
    os.set_inheritable(lifeline, False)
    bell = _rung_by_children()
    for number in _OURS:  # what is meant for the command is for it alone
        signal.signal(number, signal.SIG_IGN)
    try:
        child = os.posix_spawnp(command[0], command, os.environ, setsigmask=(), setsigdef=_OURS)
    except OSError as error:
        sys.stderr.write(f"{not_started(command[0])}: {error.strerror}.\n")
        return NOT_STARTED
    deadline = seconds() + patience
    while (status := _ended(child)) is None:
        ready, _, _ = select.select([lifeline, bell], [], [], min(_LOOKS_EVERY, max(0, deadline - seconds())))
        if lifeline in ready:
            if not os.read(lifeline, 4096):
                _end_group(child, bell)
            deadline = seconds() + patience
        elif bell in ready:
            os.read(bell, 4096)
        elif seconds() >= deadline:
            _end_group(child, bell)
    return status


def seconds() -> float:
    """Counted on while the machine is suspended, as a lease is; waiting itself stands still then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def not_started(program: str) -> str:
    """How what it says begins when there is no such program, or it may not be run."""
    return f"The command {program} could not be started"


def _rung_by_children() -> int:
    """Where a byte arrives whenever a child has ended."""
    heard, rung = os.pipe()
    os.set_blocking(rung, False)
    signal.set_wakeup_fd(rung)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    return heard


def _ended(child: int) -> int | None:
    """The child's exit status as subprocess writes it, None while it runs."""
    pid, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def _end_group(child: int, bell: int) -> None:
    """End the command, whatever it has started, and this process."""
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + _POLITE_SECONDS
    while _ended(child) is None and (left := deadline - time.monotonic()) > 0:
        if select.select([bell], [], [], left)[0]:
            os.read(bell, 4096)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    ended = main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
    if ended < 0:
        if -ended in _OURS:
            signal.signal(-ended, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [-ended])
        os.kill(os.getpid(), -ended)
    sys.exit(ended)
