"""What becomes of the mails of one slice."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from jobs.json_log import JsonLog
from jobs.smtp_answers import NO_REPLY, Answer, BadAddress, StopRun, TryLater
from jobs.unwritten import Unwritten
from store import ambiguous_mails, outgoing, waiting_mails
from store.outgoing import Bound, ClaimLost
from store.tables import Email

_WAITS: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 30, 60, 120, 240))


@dataclass
class Outcome:
    """What one slice did, by the mails' ids; `stopped` is the relay's word when it ended early."""

    sent: list[int] = field(default_factory=list)
    later: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    withdrawn: list[int] = field(default_factory=list)
    ambiguous: list[int] = field(default_factory=list)
    sent_before: list[int] = field(default_factory=list)
    stopped: str = ""

    @property
    def dealt_with(self) -> int:
        """How many mails are in another state than before."""
        return sum(map(len, (self.sent, self.later, self.failed, self.withdrawn, self.ambiguous, self.sent_before)))


@dataclass(frozen=True)
class Verdicts:
    """Each is written down in the store, then counted in the outcome and said in the log.

    What changes the store about one mail raises ClaimLost when that is not the owner's any more.
    """

    owner: str
    outcome: Outcome
    log: JsonLog | None
    unwritten: Unwritten

    def withdrawn(self, mail: Email, reason: str) -> None:
        """It is not true or not useful any more."""
        outgoing.withdrawn(mail.id, self.owner, reason)
        self.outcome.withdrawn.append(mail.id)
        self.say("mail.withdrawn", mail=mail.id, kind=mail.kind, reason=reason)

    def sent_before(self, mail: Email, at: datetime) -> None:
        """A relay had taken it, which this store did not know or knew no more."""
        outgoing.sent_before(mail.id, self.owner, at)
        self.outcome.sent_before.append(mail.id)
        self.say("mail.sent-before", "warning", mail=mail.id, kind=mail.kind)

    def set_apart(self, mail: Email) -> None:
        """It may have arrived, and a person has to say whether it goes once more."""
        ambiguous_mails.set_apart(mail.id, self.owner)
        self.outcome.ambiguous.append(mail.id)

    def failed(self, mail: Email, reply: str, bound: Bound | None = None, **more: str) -> None:
        """It never will be taken as it is."""

        def tell() -> None:
            outgoing.failed(mail.id, self.owner, reply, bound.subject if bound else None)
            self.outcome.failed.append(mail.id)
            self.say("mail.failed", "error", mail=mail.id, kind=mail.kind, reply=reply, **more)

        self._tell(tell)

    def later(self, mail: Email, reply: str, now: datetime, bound: Bound | None) -> None:
        """It was refused for now."""
        next_at, about = now + wait(mail.id, mail.attempts + 1), bound.subject if bound else None

        def tell() -> None:
            outgoing.later(mail.id, self.owner, next_at, reply, attempted=True, subject=about)
            self.outcome.later.append(mail.id)
            self.say("mail.later", mail=mail.id, kind=mail.kind, reply=reply, again_at=f"{next_at:%Y-%m-%dT%H:%M:%SZ}")

        self._tell(tell)

    def not_judged(self, mail: Email, reply: str, now: datetime) -> None:
        """The relay was in the way of any mail; it has cost this one nothing but its place before the others."""
        self._tell(partial(outgoing.behind, mail.id, self.owner, reply, now))

    def not_gone(self, mail: Email) -> None:
        """Nobody knows whether it is written down that it goes; its body has not gone. The store is told later."""
        put_back = partial(outgoing.later, mail.id, self.owner, mail.next_at, mail.reply or "", attempted=False)
        self.unwritten.others.append(put_back)

    def answer_lost(self, mail: Email, reply: str, now: datetime) -> None:
        """All of it has gone, and nobody knows what became of it."""

        def tell() -> None:
            state = ambiguous_mails.answer_lost(mail.id, self.owner, reply, now)
            self.outcome.ambiguous.append(mail.id)
            self.say("mail.answer-lost", "warning", mail=mail.id, kind=mail.kind, reply=reply, now=state)

        self._tell(tell)

    def taken(self, mail: Email, reply: str, now: datetime) -> None:
        """The relay has taken it, of which the store is told by `all_sent` or with the next hand-over."""
        self.outcome.sent.append(mail.id)
        waited = int((now - waiting_mails.due_since(mail)).total_seconds())
        self.say("mail.sent", mail=mail.id, kind=mail.kind, reply=reply, waited=max(0, waited))

    def all_sent(self) -> None:
        """The store is told what was taken; after a long sleep another worker may have found out."""
        self.lost(self.unwritten.write_taken(self.owner))

    def _tell(self, tell: Callable[[], None]) -> None:
        """Have the store told of an answer; it is kept where that fails."""
        try:
            tell()
        except ClaimLost:
            raise
        except Exception:
            self.unwritten.others.append(tell)
            raise

    def lost(self, email_ids: Iterable[int]) -> None:
        """They are somebody else's business by now."""
        for email_id in sorted(email_ids):
            self.say("mail.claim-lost", "warning", mail=email_id)

    def say(self, fact: str, level: str = "info", **more: object) -> None:
        """Only in the log."""
        if self.log is not None:
            self.log.say(fact, level, **more)


def wait(email_id: int, attempts: int) -> timedelta:
    """How long to wait after that many refusals: 5 minutes to 4 hours, spread by up to a fifth so that mails part."""
    base = _WAITS[min(max(attempts, 1), len(_WAITS)) - 1]
    digest = hashlib.sha256(f"{email_id}:{attempts}".encode()).digest()
    return base + timedelta(seconds=int(base.total_seconds()) // 5 * digest[0] // 255)


def reply_of(answer: Answer | None) -> str:
    """An answer's reply as it is kept and shown: with the code, where the relay gave one."""
    if not isinstance(answer, TryLater | BadAddress | StopRun):
        return ""
    return answer.text if answer.code == NO_REPLY else f"{answer.code} {answer.text}"
