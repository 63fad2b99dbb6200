"""Mails that are handed over side by side by one thread, each on a connection of its own."""

import select
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Final, Protocol

from jobs.smtp_answers import NO_REPLY, Answer, AnswerLost, Delivered, is_of_connection
from jobs.smtp_session import Conversation, Step
from store.outgoing import Bound
from store.tables import Email

_STEPS: Final[tuple[Step, ...]] = ("begun", "said", "asked", "gone")
_AT_ONCE: Final = 0.001  # seconds


class Session(Protocol):
    """An SMTP connection, or whatever hands a mail over in two phases."""

    def hand_over(self, sender: str, recipient: str, raw: bytes) -> Conversation:
        """Hand one mail over in steps; it stops at `asked` when nothing but the body is missing."""

    def heard_on(self) -> socket.socket | None:
        """Where the server's next word is heard; None where it need not be waited for."""


SessionFactory = Callable[[], AbstractContextManager[Session]]


class Lines:
    """The connections of a worker, each opened when it is wanted first and kept until all are closed."""

    def __init__(self, open_session: SessionFactory) -> None:
        self._open_session = open_session
        self._opened = ExitStack()
        self._sessions: list[Session] = []
        self.are_new = True  # some of them, which nobody has spoken on

    def first(self, number: int) -> Sequence[Session]:
        """So many of them, those first that were opened first."""
        self.are_new = number > len(self._sessions)
        while len(self._sessions) < number:
            self._sessions.append(self._opened.enter_context(self._open_session()))
        return self._sessions[:number]

    def keep(self, sessions: Sequence[Session]) -> None:
        """Speak on these alone from now on."""
        self._sessions = list(sessions)

    def close(self) -> None:
        """Take leave on each of them."""
        self._sessions.clear()
        self._opened.close()


@dataclass(frozen=True)
class Ready:
    """What is to be handed over; `bound` is None for bytes that are kept already."""

    message: bytes
    bound: Bound | None
    things: Sequence[str]


@dataclass(eq=False)
class HandOver:
    """One mail on one connection, and how far it is."""

    mail: Email
    ready: Ready
    session: Session
    steps: Conversation
    reached: int = -1  # of _STEPS
    waits_since: float = 0  # by time.monotonic
    answer: Answer | None = None

    @property
    def stands(self) -> bool:
        """Whether the server has spoken on this connection, and wants it."""
        answer = self.answer
        if answer is None or isinstance(answer, Delivered | AnswerLost):
            return True
        return answer.code != NO_REPLY and not is_of_connection(answer)

    def go_on(self, until: Step | None) -> None:
        """Go on until that step is reached, or the answer is there; None: until it is."""
        wanted = len(_STEPS) if until is None else _STEPS.index(until)
        while self.answer is None and self.reached < wanted:
            self.step()

    def step(self) -> None:
        """Go on to where it stops next, or the answer is there."""
        try:
            self.reached = _STEPS.index(next(self.steps))
            self.waits_since = time.monotonic()
        except StopIteration as end:
            self.answer = end.value

    @property
    def is_being_told(self) -> bool:
        """Whether the server has yet to say that it wants the body, or not."""
        return self.answer is None and self.reached < _STEPS.index("asked")


def offer(
    side_by_side: Sequence[HandOver], *, are_new: bool, meanwhile: Callable[[], object] = lambda: None
) -> Sequence[HandOver]:
    """Have the server ask for the bodies. All are told of before one is waited for; their time begins together.

    What is done `meanwhile`, once or more often, goes on while the server thinks.

    Gives those that it was told of. Where the connections `are_new`, the first that does not come about is the last one
    tried: a server that lets it wait would let every further one wait as long, and those that stand meanwhile.
    """
    for each in side_by_side:
        each.go_on("begun")
    told = []
    for each in side_by_side:
        each.go_on("said")
        told.append(each)
        if are_new and is_of_connection(each.answer):
            break
    while still := [each for each in told if each.is_being_told]:
        meanwhile()
        for each in first_answered(still):
            each.step()
    return told


def first_answered(going: Sequence[HandOver], within: float | None = None) -> Sequence[HandOver]:
    """Those that the server has answered by now; waits for the first, so that no answer waits for another's.

    None of them when it says nothing `within` so many seconds; otherwise those for which it was waited long enough.
    """
    silent = {heard: each for each in going if each.answer is None and (heard := each.session.heard_on()) is not None}
    if len(silent) < len(going):
        return [each for each in going if each not in silent.values()]
    now = time.monotonic()
    left = {heard: each.waits_since + (heard.gettimeout() or 0) - now for heard, each in silent.items()}
    patience = max(0, min(left.values()))
    answered, _, _ = select.select(list(silent), [], [], patience if within is None else min(within, patience))
    if answered or (within is not None and within < patience):
        return [silent[heard] for heard in answered]
    overdue = [heard for heard in silent if left[heard] <= patience]
    for heard in overdue:
        heard.settimeout(_AT_ONCE)
    return [silent[heard] for heard in overdue]
