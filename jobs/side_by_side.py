"""Mails that are handed over side by side by one thread, each on a connection of its own."""

import select
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from jobs.smtp_answers import Answer
from jobs.smtp_session import Conversation, Step
from store.outgoing import Bound
from store.tables import Email

_STEPS: Final[tuple[Step, ...]] = ("begun", "said", "asked", "gone")


class Session(Protocol):
    """An SMTP connection, or whatever hands a mail over in two phases."""

    def hand_over(self, sender: str, recipient: str, raw: bytes) -> Conversation:
        """Hand one mail over in steps; it stops at `asked` when nothing but the body is missing."""

    def heard_on(self) -> socket.socket | None:
        """Where the server's next word is heard; None where it need not be waited for."""


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
    answer: Answer | None = None

    def go_on(self, until: Step | None) -> None:
        """Go on until that step is reached, or the answer is there; None: until it is."""
        wanted = len(_STEPS) if until is None else _STEPS.index(until)
        try:
            while self.answer is None and self.reached < wanted:
                self.reached = _STEPS.index(next(self.steps))
        except StopIteration as end:
            self.answer = end.value


def first_answered(going: Sequence[HandOver]) -> Sequence[HandOver]:
    """Those that the relay has answered by now; waits for the first, so that no answer waits for another's."""
    silent = {heard: each for each in going if each.answer is None and (heard := each.session.heard_on()) is not None}
    if len(going) == 1:
        return going
    if len(silent) < len(going):
        return [each for each in going if each not in silent.values()]
    answered, _, _ = select.select(list(silent), [], [])
    return [silent[heard] for heard in answered]
