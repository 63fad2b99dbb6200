"""Mails leave: claimed from the outbox, asked again whether they are true, written, handed over, their answer recorded.

For each mail, in this order, and the order matters:

1. withdraw it when it comes too late or nothing of it is true any more;
2. write it as of today in the company's days and keep its bytes; what may have arrived before is not written anew;
3. MAIL, RCPT, DATA; record that it is handed over; then the body;
4. record the relay's answer.

A crash before 3 costs nothing; between 3 and 4 the mail is ambiguous (see store/outgoing.py).
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from peewee import PeeweeException

from jobs import letter_context, letters, messages
from jobs.json_log import JsonLog, where
from jobs.messages import Mailbox
from jobs.smtp_answers import NO_REPLY, Answer, AnswerLost, BadAddress, Delivered, StopRun, TryLater
from store import installation, notices, outgoing, restored, sent_record
from store.errors import StoreUnavailable
from store.notices import NoLongerTrue
from store.outgoing import ClaimLost
from store.rules import calendar
from store.tables import Company, Email

LEASE: Final = timedelta(minutes=30)  # longer than the longest conversation about one mail
_WAITS: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 30, 60, 120, 240))
_MOST_REFUSALS: Final = 6  # of the content of one mail, before a person has to look at it
_BREAKER: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10))
_LONGEST_SLICE: Final = timedelta(minutes=1)  # no mail is begun later than that
_REFUSED_CONTENT: Final = frozenset({"data", "body", "dot"})


class Session(Protocol):
    """An SMTP connection, or whatever hands a mail over in two phases."""

    def deliver(self, sender: str, recipient: str, raw: bytes, before_body: Callable[[], None]) -> Answer:
        """Hand one mail over; `before_body` is called when nothing but the body is missing."""


SessionFactory = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True)
class Sender:
    """Who writes: the From address, where answers go, and the domain of the Message-IDs."""

    address: str
    reply_to: str

    @property
    def domain(self) -> str:
        """The part after the @."""
        return self.address.rpartition("@")[2]


@dataclass
class Relay:
    """What this worker knows of the relay: after a refusal of its own it is left alone for a while."""

    refusals: int = 0
    closed_until: datetime | None = None
    reason: str = ""

    def is_closed(self, now: datetime) -> bool:
        """Whether it is too early to ask again. A clock that was put back does not keep it closed for longer."""
        return self.closed_until is not None and now < self.closed_until <= now + _BREAKER[-1]

    def refused(self, reason: str, now: datetime) -> None:
        """Leave it alone for a while, for longer each time."""
        self.closed_until = now + _BREAKER[min(self.refusals, len(_BREAKER) - 1)]
        self.refusals += 1
        self.reason = reason

    def answered(self) -> None:
        """It works."""
        self.refusals, self.closed_until, self.reason = 0, None, ""


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


def deliver_slice(
    open_session: SessionFactory | None,
    sender: Sender,
    clock: Callable[[], datetime],
    *,
    owner: str,
    relay: Relay,
    log: JsonLog | None = None,
    limit: int = 50,
    stopping: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Hand over up to `limit` mails whose time has come. Without a session (no relay is set) they stay in the outbox.

    `owner` names this worker process and is never used by another. What was claimed and not handed over is given back.
    """
    outcome = Outcome()
    now = clock()
    if open_session is None or relay.is_closed(now):
        return outcome
    outcome.ambiguous.extend(outgoing.find_ambiguous(now))
    mails = outgoing.claim(owner, limit, LEASE, now)
    if not mails:
        return outcome
    try:
        with open_session() as session:
            post = _Post(session, sender, clock, owner, relay, outcome, log, restored.ever())
            for mail in mails:
                if stopping() or outcome.stopped or clock() - now > _LONGEST_SLICE:
                    break
                post.deliver(mail)
    finally:
        outgoing.release(owner)
    return outcome


def wait(email_id: int, attempts: int) -> timedelta:
    """How long to wait after that many refusals: 5 minutes to 4 hours, spread by up to a fifth so that mails part."""
    base = _WAITS[min(max(attempts, 1), len(_WAITS)) - 1]
    digest = hashlib.sha256(f"{email_id}:{attempts}".encode()).digest()
    return base + timedelta(seconds=int(base.total_seconds()) // 5 * digest[0] // 255)


@dataclass
class _Post:
    """One run over one connection."""

    session: Session
    sender: Sender
    clock: Callable[[], datetime]
    owner: str
    relay: Relay
    outcome: Outcome
    log: JsonLog | None
    is_restored: bool

    def deliver(self, mail: Email) -> None:
        """One mail, whatever becomes of it. ClaimLost means that it is somebody else's business by now."""
        try:
            said = self._still_true(mail)
            if said is None:
                return
            things = sent_record.told(mail, said)
            message = None if self._sent_before(mail, things) else self._written(mail, said)
            if message is not None:
                self._hand_over(mail, message, things)
        except ClaimLost:
            self._say("mail.claim-lost", "warning", mail=mail.id)

    def _still_true(self, mail: Email) -> dict[str, object] | None:
        """What the mail says; None when it was withdrawn."""
        now = self.clock()
        if mail.useless_after is not None and mail.useless_after <= now:
            self._withdraw(mail, "it came too late to be of use")
            return None
        try:
            return notices.confirm(mail, now)
        except NoLongerTrue as reason:
            self._withdraw(mail, str(reason))
            return None

    def _sent_before(self, mail: Email, things: Sequence[str]) -> bool:
        """Whether a relay has taken it, which this store does not know or knows no more."""
        may_be_known = mail.resends or mail.attempts or self.is_restored
        told_at = sent_record.told_at(things) if may_be_known else None
        if told_at is None:
            return False
        outgoing.sent_before(mail.id, self.owner, told_at)
        self.outcome.sent_before.append(mail.id)
        self._say("mail.sent-before", "warning", mail=mail.id, kind=mail.kind)
        return True

    def _written(self, mail: Email, said: dict[str, object]) -> bytes | None:
        """The bytes to hand over; None when it cannot be written."""
        if mail.resends and mail.message is not None:
            return bytes(mail.message)  # the first one may have arrived, so this must be the same
        try:
            letter, message = write(mail, said, self.sender, self.clock())
        except (PeeweeException, StoreUnavailable):
            raise  # not this mail's fault
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one mail must not keep the others back
            self._failed(mail, f"it could not be written: {error} ({type(error).__name__})", where=where(error))
            return None
        outgoing.bind(mail.id, self.owner, letter.subject, message)
        return message

    def _withdraw(self, mail: Email, reason: str) -> None:
        outgoing.withdrawn(mail.id, self.owner, reason)
        self.outcome.withdrawn.append(mail.id)
        self._say("mail.withdrawn", mail=mail.id, kind=mail.kind, reason=reason)

    def _failed(self, mail: Email, reply: str, **more: str) -> None:
        outgoing.failed(mail.id, self.owner, reply)
        self.outcome.failed.append(mail.id)
        self._say("mail.failed", "error", mail=mail.id, kind=mail.kind, reply=reply, **more)

    def _say(self, fact: str, level: str = "info", **more: object) -> None:
        if self.log is not None:
            self.log.say(fact, level, **more)

    def _hand_over(self, mail: Email, message: bytes, things: Sequence[str]) -> None:
        answer = self.session.deliver(
            self.sender.address,
            mail.recipient,
            message,
            lambda: outgoing.handing_over(mail.id, self.owner, LEASE, self.clock()),
        )
        now = self.clock()
        match answer:
            case Delivered(reply):
                self._remember(mail, things, now)
                outgoing.sent(mail.id, self.owner, reply, now)
                self.relay.answered()
                self.outcome.sent.append(mail.id)
                waited = int((now - max(mail.queued_at, mail.next_at)).total_seconds())
                self._say("mail.sent", mail=mail.id, kind=mail.kind, reply=reply, waited=max(0, waited))
            case BadAddress(code, text):
                self.relay.answered()
                self._failed(mail, _reply(code, text))
            case AnswerLost(text):
                state = outgoing.answer_lost(mail.id, self.owner, text, now)
                self.outcome.ambiguous.append(mail.id)
                self._say("mail.answer-lost", "warning", mail=mail.id, kind=mail.kind, reply=text, now=state)
                self._stop(text, now)  # or a relay that never answers would spoil one mail after the other
            case TryLater(_, code, text, of_relay=False):
                self.relay.answered()
                self._later(mail, _reply(code, text), now)
            case TryLater(_, code, text) | StopRun(_, code, text):
                self._stopped(mail, answer, _reply(code, text), now)

    def _remember(self, mail: Email, things: Sequence[str], now: datetime) -> None:
        try:
            sent_record.add(mail, things, now)
        except OSError as error:  # it matters after a restore only; the mail has left
            self._say("mail.not-recorded", "error", mail=mail.id, error=str(error.strerror))

    def _stop(self, reply: str, now: datetime) -> None:
        self.relay.refused(reply, now)
        self.outcome.stopped = reply

    def _later(self, mail: Email, reply: str, now: datetime) -> None:
        next_at = now + wait(mail.id, mail.attempts + 1)
        outgoing.later(mail.id, self.owner, next_at, reply, attempted=True)
        self.outcome.later.append(mail.id)
        self._say("mail.later", mail=mail.id, kind=mail.kind, reply=reply, again_at=f"{next_at:%Y-%m-%dT%H:%M:%SZ}")

    def _stopped(self, mail: Email, answer: TryLater | StopRun, reply: str, now: datetime) -> None:
        """The relay or the settings are at fault, so the others need not be tried; it has cost this mail nothing.

        Content that is refused for good looks alike, so after a few times the mail itself is held to be at fault.
        """
        self._stop(reply, now)
        self._say("mail.relay-refused", "error", mail=mail.id, phase=answer.phase, reply=reply)
        if isinstance(answer, TryLater) or answer.phase not in _REFUSED_CONTENT:
            outgoing.later(mail.id, self.owner, mail.next_at, reply, attempted=False)
        elif mail.attempts + 1 >= _MOST_REFUSALS:
            self._failed(mail, reply)
        else:
            self._later(mail, reply, now)


def _reply(code: int, text: str) -> str:
    """As it is kept and shown: with the code, where the relay gave one."""
    return text if code == NO_REPLY else f"{code} {text}"


def write(mail: Email, said: dict[str, object], sender: Sender, now: datetime) -> tuple[letters.Letter, bytes]:
    """The letter and its bytes, from what the mail says; days are counted from the company's local day at `now`."""
    company = Company.get_or_none(Company.id == mail.company_id) if mail.company_id is not None else None
    chosen = installation.get()
    zone = calendar.zone(company.time_zone if company else chosen.time_zone)
    reference = reference_of(mail)
    reply_to = sender.reply_to or sender.address
    envelope = {
        "vendor": chosen.vendor,
        "reply_to": reply_to,
        "recipient_name": mail.recipient_name,
        "roles": said.get("roles", []),
        "reference": reference,
    }
    context = letter_context.from_json(
        mail.kind, {**{name: value for name, value in said.items() if name != "roles"}, "envelope": envelope}
    )
    letter = letters.render(mail.kind, context, today=calendar.local_day(now, zone), now=now)
    raw = messages.build(
        letter,
        kind=mail.kind,
        sender=Mailbox(chosen.vendor, sender.address),
        recipient=Mailbox(mail.recipient_name, mail.recipient),
        reply_to=reply_to,
        message_id=f"<{mail.message_id}@{sender.domain}>",
        date=now,
        reference=reference,
        unsubscribe=reply_to if said.get("roles") == ["email-to-notify"] else None,
    )
    return letter, raw


def reference_of(mail: Email) -> str:
    """What a person can read out on the telephone: `KD-3F2A9C01`."""
    return "KD-" + mail.message_id.removeprefix("kd.")[:8].upper()
