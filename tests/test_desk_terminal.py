"""How does the desk behave in a real terminal: what it shows, what it sends, and how it ends?"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pyte
import pytest
from desk_world import small_world
from hostile_world import hostile_world

PATIENCE = 30
PROGRAM = Path(__file__).with_name("desk_program.py")
ROOT = PROGRAM.parent.parent
SEQUENCE = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*(?P<csi>[@-~])|\](?P<osc>[0-9]+)[^\x07\x1b]*(?:\x07|\x1b\\)|(?P<other>[^\[\]]))"
)

pytestmark = pytest.mark.parametrize("store_location", ["sqlite"], indirect=True)


class _Screen(pyte.Screen):
    def report_device_attributes(self, *_: object, **__: object) -> None: ...

    def report_device_status(self, *_: object, **__: object) -> None: ...


class Terminal:
    """A pseudo terminal of 80 columns and 24 rows with the desk in it."""

    def __init__(self, location: str, home: Path, *words: str, ignore_hangup: bool = False) -> None:
        self.screen = _Screen(80, 24)
        self._stream = pyte.ByteStream(self.screen)
        self._mine, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.raw = b""
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), location, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "XDG_STATE_HOME": str(home / "state"),
                "PYTHONPATH": f"{ROOT}:{PROGRAM.parent}",
                "TERM": "xterm-256color",
            },
            preexec_fn=(lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) if ignore_hangup else None,
        )
        os.close(theirs)

    def type(self, keys: str) -> None:
        os.write(self._mine, keys.encode())

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def shows(self, words: str) -> str:
        deadline = time.monotonic() + PATIENCE
        while words not in self.text():
            if time.monotonic() > deadline or not self.reads(deadline - time.monotonic()):
                raise AssertionError(f"{words!r} was never shown; the screen was:\n{self.text()}")
        return self.text()

    def reads(self, seconds: float) -> bytes:
        ready, _, _ = select.select([self._mine], [], [], max(0.0, seconds))
        try:
            got = os.read(self._mine, 65536) if ready else b""
        except OSError:
            got = b""
        self.raw += got
        self._stream.feed(got)
        return got

    def quiet(self) -> bytes:
        """What is sent until nothing has come for a while."""
        sent = b""
        while got := self.reads(0.4):
            sent += got
        return sent

    def ends(self) -> int:
        deadline = time.monotonic() + PATIENCE
        while self.reads(deadline - time.monotonic()):
            pass
        return self.process.wait(PATIENCE)

    def hang_up(self) -> None:
        os.close(self._mine)
        self._mine = -1

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        if self._mine >= 0:
            os.close(self._mine)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_it_opens_and_the_keys_of_its_footer_work_and_it_is_silent_when_nothing_happens(
    empty_store: str, tmp_path: Path, terminals: list[Terminal]
) -> None:
    small_world()
    desk = Terminal(empty_store, tmp_path)
    terminals.append(desk)

    first = desk.shows("1 of 3 companies")
    assert [len(line) <= 80 for line in first.split("\n")] == [True] * 24
    desk.type("\r")
    desk.shows("Companies › Fjord AS › API keys")
    desk.shows("ERP export")
    desk.type("\x1b[B")
    desk.shows("2 of 10 keys")
    assert b"\x1b]52;" not in desk.raw
    desk.type("c")
    desk.shows("was sent to your terminal")
    assert re.findall(rb"\x1b\]52;c;([^\x07]+)\x07", desk.raw) == [b64encode(handle_on(desk.text()).encode())]
    desk.type("/")
    desk.type("env:sandbox\r")
    desk.shows("1 of 1 key")
    desk.type("q")
    desk.shows("of 10 keys")
    desk.type("?")
    desk.shows("Rotate key")
    desk.type("\x1b")
    desk.quiet()
    desk.type("4")
    desk.shows("The worker is alive.")
    desk.quiet()
    assert desk.reads(3) == b""  # longer than it takes to look for what others wrote
    desk.type("\x11")
    assert desk.ends() == 0


@pytest.mark.parametrize(("ending", "status"), [(signal.SIGHUP, 129), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_cleanly_even_when_it_was_started_to_ignore_it(
    empty_store: str, tmp_path: Path, terminals: list[Terminal], ending: signal.Signals, status: int
) -> None:
    small_world()
    desk = Terminal(empty_store, tmp_path, ignore_hangup=True)
    terminals.append(desk)
    desk.shows("1 of 3 companies")

    desk.process.send_signal(ending)

    assert desk.ends() == status
    assert b"\x1b[?1049l" in desk.raw  # the admin's own screen is back


def test_a_line_that_is_lost_ends_it(empty_store: str, tmp_path: Path, terminals: list[Terminal]) -> None:
    small_world()
    desk = Terminal(empty_store, tmp_path)
    terminals.append(desk)
    desk.shows("1 of 3 companies")

    desk.process.send_signal(signal.SIGHUP)
    desk.hang_up()

    assert desk.process.wait(PATIENCE) == 129


def test_a_line_that_is_lost_ends_it_also_when_nobody_says_so(
    empty_store: str, tmp_path: Path, terminals: list[Terminal]
) -> None:
    small_world()
    desk = Terminal(empty_store, tmp_path)
    terminals.append(desk)
    desk.shows("1 of 3 companies")

    desk.hang_up()

    assert desk.process.wait(PATIENCE) == 129


def test_without_a_terminal_it_refuses_in_a_sentence(empty_store: str, tmp_path: Path) -> None:
    small_world()

    done = subprocess.run(
        [sys.executable, str(PROGRAM), empty_store],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{PROGRAM.parent}"},
        check=False,
        timeout=PATIENCE,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The desk needs a terminal.")


def test_a_fault_of_the_program_is_one_line_and_a_reference_without_any_value(
    empty_store: str, tmp_path: Path, terminals: list[Terminal]
) -> None:
    small_world()
    desk = Terminal(empty_store, tmp_path, "fault")
    terminals.append(desk)
    desk.shows("1 of 3 companies")

    desk.type("?")

    assert desk.ends() == 1
    after = desk.raw.rpartition(b"\x1b[?1049l")[2].decode()
    said = re.search(r"The desk stopped because of a fault in the program \(reference ([0-9A-F]{8})\)", after)
    kept = (tmp_path / "state" / "keydesk" / "faults.log").read_text()
    assert said is not None
    assert said[1] in kept
    assert "ValueError" in kept
    assert "desk_program.py" in kept
    assert "s3cr3t" not in kept + desk.raw.decode(errors="replace")


def handle_on(screen: str) -> str:
    """The key's handle that the status line names."""
    found = re.search(r"key_[0-9a-f]{16}", screen)
    assert found is not None
    return found[0]


def kinds(raw: bytes) -> set[str]:
    """The kinds of escape sequences that were sent, and bare control characters."""
    found = {"".join(one.decode("latin-1") for one in match.groups() if one) for match in SEQUENCE.finditer(raw)}
    rest = SEQUENCE.sub(b"", raw).decode("utf-8", errors="replace")
    return found | {f"raw {ord(one):x}" for one in rest if (one < " " or "\x7f" <= one <= "\x9f") and one not in "\r\n"}


def visit_all(desk: Terminal) -> bytes:
    """Every page, by the same keys in either world."""
    desk.shows("of 3 companies")
    for keys in ("2", "\x1b[F", "\r", "\x1b", "3", "\r", "\x1b", "v", "4", "\r", "\x1b", "1", "\r", *("\t",) * 6):
        desk.type(keys)
        desk.quiet()
    return desk.raw


def test_hostile_names_send_no_sequence_that_harmless_ones_do_not(
    empty_store: str, tmp_path: Path, terminals: list[Terminal]
) -> None:
    hostile_world()
    desk = Terminal(empty_store, tmp_path)
    terminals.append(desk)
    harmful = kinds(visit_all(desk))

    assert harmful - HARMLESS == set()


# What the library itself sends: the cursor, colours, modes, and the pointer's shape.
HARMLESS = {"H", "m", "h", "l", "p", "u", "22"}
