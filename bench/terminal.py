"""A terminal as a program sees it: a pty that answers what terminals are asked and keeps what is painted."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Final

import pyte

COLUMNS: Final = 120
ROWS: Final = 40

_ANSWERS: Final = (
    (re.compile(rb"\x1b\[>?0?c"), b"\x1b[?62;22c"),
    (re.compile(rb"\x1b\[6n"), b"\x1b[1;1R"),
    (re.compile(rb"\x1b\[\?u"), b"\x1b[?0u"),
    (re.compile(rb"\x1b\[\?(\d+)\$p"), b"\x1b[?%s;2$y"),
    (re.compile(rb"\x1b\]10;\?(?:\x07|\x1b\\)"), b"\x1b]10;rgb:dddd/dddd/dddd\x1b\\"),
    (re.compile(rb"\x1b\]11;\?(?:\x07|\x1b\\)"), b"\x1b]11;rgb:1111/1111/1111\x1b\\"),
)
# What pyte would print or misread: private modes with < > =, mode questions, cursor shapes; APC, DCS and OSC strings.
_FOREIGN: Final = re.compile(
    rb"\x1b\[[<>=][0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p|\x1b\[[0-9;]* q"
    rb"|\x1b[_P][^\x1b]*\x1b\\|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
)


def first_paint(command: Sequence[str], environment: Mapping[str, str], quiet: float = 0.6, limit: float = 30) -> float:
    """Seconds from the start of the program until half of what its settled screen shows is there.

    Settled is when nothing came for `quiet` seconds. RuntimeError when the program ended by itself.
    """
    begun = time.perf_counter()
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(command[0], list(command), environment)
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        return _half_painted(_painted(terminal, begun, quiet, limit))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


def _painted(terminal: int, begun: float, quiet: float, limit: float) -> list[tuple[float, bytes]]:
    """All that came, with the seconds since the start."""
    came: list[tuple[float, bytes]] = []
    while time.perf_counter() - begun < limit:
        # Before the first bytes a program may think as long as it likes.
        ready, _, _ = select.select([terminal], [], [], quiet if came else limit)
        if not ready:
            break
        try:
            part = os.read(terminal, 65536)
        except OSError:
            part = b""
        if not part:
            said = b"".join(text for _, text in came).decode(errors="replace")
            raise RuntimeError(f"The program ended by itself; it said: {said[-2000:]}")
        came.append((time.perf_counter() - begun, part))
        for question, answer in _ANSWERS:
            for match in question.finditer(part):
                os.write(terminal, answer % match.groups())
    return came


def _half_painted(came: Sequence[tuple[float, bytes]]) -> float:
    """Replayed afterwards, so that reading the screen costs the program nothing."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    shown: list[tuple[float, int]] = []
    rest = b""
    for at, part in came:
        whole, rest = _whole_sequences(rest + part)
        stream.feed(_FOREIGN.sub(b"", whole))
        shown.append((at, _cells(screen)))
    return next(at for at, cells in shown if cells and cells >= shown[-1][1] / 2)


def _whole_sequences(text: bytes) -> tuple[bytes, bytes]:
    """The text up to a sequence that is cut off at its end, and that sequence."""
    start = text.rfind(b"\x1b")
    cut_off = start >= 0 and re.fullmatch(rb"\x1b(?:\[[0-9;:<=>? ]*|[\]P_][^\x07\x1b]*)?", text[start:]) is not None
    return (text[:start], text[start:]) if cut_off else (text, b"")


def _cells(screen: pyte.Screen) -> int:
    """How many cells show a character or a colour."""
    return sum(
        screen.buffer[row][column].data.strip() != "" or screen.buffer[row][column].bg != "default"
        for row in range(screen.lines)
        for column in range(screen.columns)
    )
