"""What becomes of a mail that is handed to a mail server: one of five words, judged from the server's replies.

RFC 5321 and RFC 3463 give the codes. Postfix tells of a wrong sender or relay only after RCPT; there the enhanced code
says whether the recipient or our settings are refused.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

Phase = Literal["connect", "greeting", "tls", "auth", "reset", "mail", "rcpt", "data", "body", "dot"]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The server has taken the mail; `reply` usually names its queue id."""

    reply: str


@dataclass(frozen=True, slots=True)
class TryLater:
    """Certainly not taken. `of_relay`: the server or the way to it is at fault, so the mail has used up no attempt."""

    phase: Phase
    code: int
    text: str
    of_relay: bool = False

    @property
    def too_many(self) -> bool:
        """Whether the server says that it gets more, or quicker, than it takes from us."""
        return 400 <= self.code < 500 and _is_too_many(self.text)


@dataclass(frozen=True, slots=True)
class BadAddress:
    """The server will never take mail for this address."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class StopRun:
    """Certainly not taken, and no later try will be: settings or content are refused, so somebody must look."""

    phase: Phase
    code: int
    text: str

    @property
    def of_content(self) -> bool:
        """Whether this one mail is refused: from DATA on, or for the size that MAIL tells (RFC 1870)."""
        if self.phase == "mail":
            return self.code == _TOO_BIG or _ENHANCED_TOO_BIG.search(self.text) is not None
        return self.phase in {"data", "body", "dot"}


@dataclass(frozen=True, slots=True)
class AnswerLost:
    """The whole mail went, but not the server's answer: it may have been taken."""

    text: str


Answer = Delivered | TryLater | BadAddress | StopRun | AnswerLost

NO_REPLY: Final = 0
"""Stands as the code where the server said nothing."""

_SHOWN: Final = 300
_ENHANCED: Final = re.compile(r"(?<![\d.])5\.(\d{1,3}\.\d{1,3})(?![\d.])")
_TOO_BIG: Final = 552
_ENHANCED_TOO_BIG: Final = re.compile(r"(?<![\d.])5\.3\.4(?![\d.])")
_TOO_MANY: Final = re.compile(
    r"too (?:many|fast|quick|much)|\brate\b|rate.?limit|throttl|exceed|slow down|flood|concurren", re.IGNORECASE
)
_OF_CONNECTIONS: Final = re.compile(r"concurren|connections|sessions", re.IGNORECASE)
_BEFORE_MAIL: Final = frozenset({"connect", "greeting", "tls", "auth"})
_OF_RECIPIENT: Final = re.compile(r"(?<![\d.])4\.[12]\.\d")  # a full mailbox exceeds something too
_LOGIN_WANTED: Final = frozenset({530, 534, 535, 538})


def is_of_connection(answer: Answer | None) -> bool:
    """Whether it is this one connection that the server did not want, or that did not come about."""
    if isinstance(answer, TryLater) and not answer.of_relay:
        return False
    return isinstance(answer, TryLater | StopRun) and (
        answer.phase in _BEFORE_MAIL or _OF_CONNECTIONS.search(answer.text) is not None
    )


def refused(phase: Phase, code: int, text: str) -> TryLater | BadAddress | StopRun:
    """What a reply other than the wanted one means; a code that is none is a server at fault."""
    if not 500 <= code < 600:
        broken = code == 421 or not 400 <= code < 500 or _is_too_many(text)
        return TryLater(phase, code, text, of_relay=broken or phase not in {"rcpt", "data", "body", "dot"})
    if phase == "rcpt" and not _ours(code, text):
        return BadAddress(code, text)
    return StopRun(phase, code, text)


def shown(reply: bytes | object) -> str:
    """A server's reply or an error on one line, without control characters, cut."""
    text = reply.decode("ascii", "replace") if isinstance(reply, bytes) else str(reply)
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def _ours(code: int, text: str) -> bool:
    """Whether a refused RCPT refuses the sender, the relaying or the missing login rather than the recipient."""
    match = _ENHANCED.search(text)
    detail = match[1] if match else ""
    if code in _LOGIN_WANTED or detail.startswith("7.") or detail in {"1.7", "1.8"}:
        return True
    return code == 553 and not detail.startswith("1.")


def _is_too_many(text: str) -> bool:
    return _TOO_MANY.search(text) is not None and _OF_RECIPIENT.search(text) is None
