"""The controller's hold on its worker processes: it orders passes, notices deaths and stops, and lets them go on."""

import ctypes
import json
import os
import select
import signal
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from torture.chaos_worker import Order, Place, live

_PR_SET_PDEATHSIG = 1
PATIENCE_SECONDS = 120

PUT_OUT = ("out", 0)

State = Literal["idle", "passing", "stopped", "dead"]


@dataclass
class Handle:
    """One worker, over all of its processes."""

    place: Place
    pid: int = 0
    orders: int = -1
    answers: int = -1
    state: State = "dead"
    again_at: datetime | None = None  # when a dead one is started, or a stopped one goes on
    fuse: tuple[str, int] = ("", 0)  # to be lit with the next order
    burns: bool = False
    heard: bytes = b""
    last: dict[str, Any] = field(default_factory=dict)  # what the last pass that ended has told

    def start(self) -> None:
        """Fork a process."""
        theirs, self.orders = os.pipe()
        self.answers, back = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads: the child uses none of them
            self.pid = os.fork()
        if self.pid == 0:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.close(self.orders)
            os.close(self.answers)
            live(self.place, theirs, back)
        os.close(theirs)
        os.close(back)
        self.state, self.heard, self.burns, self.again_at = "idle", b"", False, None

    def order(self) -> None:
        """Have it make a pass."""
        is_lit = bool(self.fuse[0]) and (not self.burns or self.fuse == PUT_OUT)
        word = Order("pass", *self.fuse) if is_lit else Order("pass")
        self.burns = (self.burns or is_lit) and self.fuse != PUT_OUT
        self.fuse = ("", 0)
        self.last = {}
        self.state = "passing"
        with suppress(BrokenPipeError):  # its death is heard of below
            os.write(self.orders, json.dumps(word).encode() + b"\n")

    def go_on(self) -> None:
        """Let a stopped one go on."""
        os.kill(self.pid, signal.SIGCONT)
        self.state, self.again_at = "passing", None

    def end(self, *, kill: bool) -> None:
        """Kill it in whatever it does, or have an idle one say goodbye."""
        if self.state == "dead":
            return
        if kill or self.state != "idle":
            os.kill(self.pid, signal.SIGKILL)
        else:
            os.write(self.orders, json.dumps(Order("quit")).encode() + b"\n")
        self._bury()

    def listen(self) -> None:
        """Take in what it has to say; only when there is something to be read."""
        said = os.read(self.answers, 65536)
        if not said:
            self._bury()
            return
        *lines, self.heard = (self.heard + said).split(b"\n")
        for line in lines:
            told = json.loads(line)
            if told.get("stops"):
                os.waitpid(self.pid, os.WUNTRACED)
                self.state, self.burns = "stopped", False
            else:
                self.state, self.last, self.burns = "idle", told, bool(told.get("lit"))

    def _bury(self) -> None:
        os.waitpid(self.pid, 0)
        os.close(self.orders)
        os.close(self.answers)
        self.state, self.burns = "dead", False


def await_passes(handles: Iterable[Handle], told: Callable[[str], None]) -> None:
    """Until none of them is in the middle of a pass."""
    while passing := {each.answers: each for each in handles if each.state == "passing"}:
        ready, _, _ = select.select(list(passing), [], [], PATIENCE_SECONDS)
        if not ready:
            told(f"No word from workers {[each.place.slot for each in passing.values()]} for {PATIENCE_SECONDS} s.")
            raise TimeoutError
        for answers in ready:
            passing[answers].listen()
