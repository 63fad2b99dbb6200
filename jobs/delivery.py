"""Mails leave: claimed from the outbox, asked again whether they are true, written, handed over, their answer recorded.

For each mail, in this order, and the order matters:

1. withdraw it when it comes too late or nothing of it is true any more;
2. write it as of today in the company's days and keep its bytes; what may have arrived before is not written anew;
3. MAIL, RCPT, DATA; record that it is handed over; then the body;
4. record the relay's answer.

A crash before 3 costs nothing; between 3 and 4 the mail is ambiguous (see store/outgoing.py). As many mails as there
are connections are taken through this side by side: one transaction records that their bodies go, and that those before
them were taken. While the relay makes up its mind about them, the next are written.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from peewee import InterfaceError, InternalError, OperationalError

from jobs.json_log import JsonLog, where
from jobs.mail_writing import Sender, idempotency_key, reference_of, write
from jobs.relay import Relay
from jobs.side_by_side import HandOver, Lines, Ready, Session, SessionFactory, first_answered, offer
from jobs.smtp_answers import (
    NO_REPLY,
    Answer,
    AnswerLost,
    BadAddress,
    Delivered,
    StopRun,
    TryLater,
    is_of_connection,
)
from store import installation, notices, outgoing, restored, sent_record
from store.errors import StoreUnavailable
from store.installation import Installation
from store.notices import Confirmed, NoLongerTrue
from store.outgoing import Bound, ClaimLost, Going, Taken
from store.tables import Email

__all__ = ["LEASE", "Outcome", "Relay", "Sender", "Session", "deliver_slice", "reference_of", "wait", "write"]

LEASE: Final = timedelta(minutes=30)  # longer than the longest conversation about one mail (smtp_connection.Timeouts)
_WAITS: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 30, 60, 120, 240))
_MOST_REFUSALS: Final = 6  # of the content of one mail, before a person has to look at it
_LONGEST_SLICE: Final = timedelta(minutes=1)  # no mail is begun later than that
_REFUSED_CONTENT: Final = frozenset({"data", "body", "dot"})
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_TRUE_FOR: Final = timedelta(seconds=10)  # what was written longer ago is asked again whether it is true
_NOT_THE_MAILS_FAULT: Final = (StoreUnavailable, OperationalError, InterfaceError, InternalError, ClaimLost)


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
    lines: Lines | None = None,
) -> Outcome:
    """Hand over up to `limit` mails whose time has come. Without a session (no relay is set) they stay in the outbox.

    `owner` names this worker process and is never used by another. What was claimed and not handed over is given back.
    `lines` are connections that the next slice is to find open; without them this one has its own.
    """
    outcome = Outcome()
    now = clock()
    if open_session is None or relay.is_closed(now):
        return outcome
    outcome.ambiguous.extend(outgoing.find_ambiguous(now))
    mails = outgoing.claim(owner, min(limit, relay.most or limit), LEASE, now, relay.per_minute)
    if not mails:
        return outcome
    try:
        with (
            closing(Lines(open_session)) if lines is None else nullcontext(lines) as ours,
            ThreadPoolExecutor(1, "sent-record") as beside,
        ):
            sessions = ours.first(relay.at_once(len(mails), now))
            chosen, is_restored = installation.get(), restored.ever()
            post = _Post(ours, sessions, sender, clock, owner, relay, outcome, log, chosen, is_restored, beside)
            waiting = deque(mails)
            try:
                while post.has_more(waiting) and not (stopping() or outcome.stopped or clock() - now > _LONGEST_SLICE):
                    post.deliver(waiting)
            finally:
                post.settle()
    finally:
        outgoing.release(owner)
    if not outcome.stopped:
        relay.took_all(limit)
    return outcome


def wait(email_id: int, attempts: int) -> timedelta:
    """How long to wait after that many refusals: 5 minutes to 4 hours, spread by up to a fifth so that mails part."""
    base = _WAITS[min(max(attempts, 1), len(_WAITS)) - 1]
    digest = hashlib.sha256(f"{email_id}:{attempts}".encode()).digest()
    return base + timedelta(seconds=int(base.total_seconds()) // 5 * digest[0] // 255)


@dataclass
class _Post:
    """One run over so many connections."""

    lines: Lines
    sessions: Sequence[Session]
    sender: Sender
    clock: Callable[[], datetime]
    owner: str
    relay: Relay
    outcome: Outcome
    log: JsonLog | None
    chosen: Installation
    is_restored: bool
    beside: ThreadPoolExecutor
    taken: list[Taken] = field(default_factory=list)  # and not yet in the store
    is_recorded: bool = True  # all of that, in the record beside the store
    is_on_disk: bool = True  # all of the record, or on its way there:
    syncing: Future[None] | None = None
    truths: dict[int, list[Any]] = field(default_factory=dict)  # of the next mails
    ahead: list[tuple[Email, Ready]] = field(default_factory=list)  # the next, which are written, since:
    ahead_since: datetime = _NEVER

    def has_more(self, waiting: deque[Email]) -> bool:
        """Whether there is a mail left, written or not."""
        return bool(self.ahead or waiting)

    def deliver(self, waiting: deque[Email]) -> None:
        """The next mails, one for each connection, whatever becomes of them; who finds none waits again."""
        next_ones = self._next(waiting)
        side_by_side: list[HandOver] = []
        for (mail, ready), session in zip(next_ones, self.sessions, strict=False):
            steps = session.hand_over(self.sender.address, mail.recipient, ready.message)
            side_by_side.append(HandOver(mail, ready, session, steps))
        try:
            half = len(side_by_side) // 2  # one that keeps mails takes longer over their bodies
            told = offer(side_by_side, are_new=self.lines.are_new, meanwhile=lambda: self._write_ahead(waiting, half))
            left_out = [*self._crowded_out(told), *side_by_side[len(told) :]]
            waiting.extendleft(each.mail for each in reversed(left_out))
            self._hand_over([each for each in told if each not in left_out], waiting)
        finally:
            for each in side_by_side:
                each.steps.close()

    def _next(self, waiting: deque[Email]) -> list[tuple[Email, Ready]]:
        """Mails as they go, one for each connection: those written ahead, if that was just now, and what they lack."""
        found, self.ahead = self.ahead, []
        if len(found) > len(self.sessions) or not timedelta() <= self.clock() - self.ahead_since <= _TRUE_FOR:
            waiting.extendleft(mail for mail, _ in reversed(found))
            found = []
        self.truths = notices.truths(list(islice(waiting, len(self.sessions) - len(found))))
        while waiting and len(found) < len(self.sessions):
            mail = waiting.popleft()
            ready = self._ready(mail)
            if ready is not None:
                found.append((mail, ready))
        return found

    def _write_ahead(self, waiting: deque[Email], number: int) -> None:
        """Have so many of the next mails written, as far as they go as they are.

        The store is only read: an answer may be there by now.
        """
        now = self.clock()
        if not self.ahead:
            self.ahead_since = now
        truths = notices.truths(list(islice(waiting, max(0, number - len(self.ahead)))))
        while waiting and len(self.ahead) < number:
            ready = self._as_it_is(waiting[0], now, truths.get(waiting[0].id))
            if ready is None:
                return
            self.ahead.append((waiting.popleft(), ready))

    def _as_it_is(self, mail: Email, now: datetime, truth: list[Any] | None) -> Ready | None:
        """The mail as it goes; None when anything is to be written down about it first."""
        is_first_try = not (mail.resends or mail.attempts or self.is_restored)
        if not is_first_try or (mail.useless_after is not None and mail.useless_after <= now):
            return None
        confirmed = notices.unchanged(mail, now, truth)
        if confirmed is None:
            return None
        try:
            return self._write(mail, confirmed, sent_record.told(mail, confirmed))
        except _NOT_THE_MAILS_FAULT:
            raise
        except Exception:  # noqa: BLE001 - when its turn comes it fails again, and is set aside
            return None

    def settle(self) -> None:
        """Write down what the relay has taken, unless the next hand-over has done so."""
        self._synced()
        if self.taken:  # after a long sleep another worker may have found them in the record
            self._say_lost(outgoing.all_sent(self.owner, self.taken))
        self.taken, self.is_recorded = [], True

    def _ready(self, mail: Email) -> Ready | None:
        """The mail as it goes; None when it does not. Whatever is wrong with one mail does not keep the others back."""
        try:
            return self._written(mail)
        except ClaimLost:
            self._say_lost([mail.id])
            return None

    def _written(self, mail: Email) -> Ready | None:
        try:
            confirmed = self._still_true(mail)
            if confirmed is None:
                return None
            things = sent_record.told(mail, confirmed)
            if self._sent_before(mail, things):
                return None
            if mail.resends and mail.message is not None:
                return self._as_before(mail, things)  # the first one may have arrived, so this must be the same
            return self._write(mail, confirmed, things)
        except _NOT_THE_MAILS_FAULT:
            raise
        except Exception as error:  # noqa: BLE001 - it is set aside, with the reason
            self._failed(mail, f"it could not be written: {error} ({type(error).__name__})", where=where(error))
            return None

    def _write(self, mail: Email, confirmed: Confirmed, things: Sequence[str]) -> Ready:
        header = self.sender.idempotency_header
        more = ((header, idempotency_key(mail, things)),) if header else ()
        letter, message = write(mail, confirmed, self.sender, self.clock(), chosen=self.chosen, more=more)
        return Ready(message, Bound(letter.subject, message, folds=bool(header)), things)

    def _as_before(self, mail: Email, things: Sequence[str]) -> Ready | None:
        if outgoing.forgotten(mail, self.clock()):
            outgoing.set_apart(mail.id, self.owner)
            self.outcome.ambiguous.append(mail.id)
            return None
        return Ready(bytes(mail.message or b""), None, things)

    def _still_true(self, mail: Email) -> Confirmed | None:
        """What the mail says; None when it was withdrawn."""
        now = self.clock()
        if mail.useless_after is not None and mail.useless_after <= now:
            self._withdraw(mail, "it came too late to be of use")
            return None
        try:
            return notices.confirm(mail, now, self.truths.get(mail.id))
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

    def _withdraw(self, mail: Email, reason: str) -> None:
        outgoing.withdrawn(mail.id, self.owner, reason)
        self.outcome.withdrawn.append(mail.id)
        self._say("mail.withdrawn", mail=mail.id, kind=mail.kind, reason=reason)

    def _failed(self, mail: Email, reply: str, bound: Bound | None = None, **more: str) -> None:
        outgoing.failed(mail.id, self.owner, reply, bound.subject if bound else None)
        self.outcome.failed.append(mail.id)
        self._say("mail.failed", "error", mail=mail.id, kind=mail.kind, reply=reply, **more)

    def _say(self, fact: str, level: str = "info", **more: object) -> None:
        if self.log is not None:
            self.log.say(fact, level, **more)

    def _hand_over(self, offered: Sequence[HandOver], waiting: deque[Email]) -> None:
        """The bodies go together; each answer is known as it comes, whatever goes wrong with another."""
        self._judge(offered)
        going = self._bodies_go([each for each in offered if each.answer is None])
        faults: list[Exception] = []
        for each in going:
            each.go_on("gone")
        try:
            if going and not self.outcome.stopped:
                self._write_ahead(waiting, len(self.sessions))
        except Exception as error:  # noqa: BLE001 - raised below, once these are heard
            faults.append(error)
        while going:
            answered = first_answered(going)
            going = [each for each in going if each not in answered]
            try:
                for each in answered:
                    each.go_on(None)
                self._judge(answered)
            except Exception as error:  # noqa: BLE001 - raised below, once the others are heard
                faults.append(error)
        self._to_the_disk()
        if faults:
            raise faults[0]

    def _bodies_go(self, asked: Sequence[HandOver]) -> list[HandOver]:
        """One transaction: the mails before these were taken, and these go. Those that are still ours."""
        if not asked:
            return []
        self._synced()
        going = [Going(each.mail.id, each.ready.bound) for each in asked]
        not_ours = outgoing.hand_over(self.owner, LEASE, self.clock(), going, self.taken)
        self.taken = []
        self._say_lost(not_ours)
        return [each for each in asked if each.mail.id not in not_ours]

    def _crowded_out(self, told: Sequence[HandOver]) -> list[HandOver]:
        """Those whose connection the relay did not want beside the others; they go over fewer, after these."""
        were_new, self.lines.are_new = self.lines.are_new, False
        refused = {each.session: each for each in told if is_of_connection(each.answer)}
        if not refused or not any(each.stands for each in told):
            return []
        tried = [each.session for each in told] if were_new else self.sessions
        self.sessions = [session for session in tried if session not in refused]
        self.lines.keep(self.sessions)
        self.relay.was_crowded(len(self.sessions), self.clock())
        reply = next(_reply(each.answer) for each in refused.values())
        self._say("mail.fewer-connections", "warning", connections=len(self.sessions), reply=reply)
        return list(refused.values())

    def _judge(self, answered: Sequence[HandOver]) -> None:
        """Write down what became of those that have an answer; what the relay has taken, with the next hand-over.

        That it has taken one is in the record before the store is asked about another, which may be away.
        """
        for each in answered:
            if isinstance(each.answer, Delivered):
                self._taken(each.mail, each.ready.things, each.answer.reply, self.clock())
        for each in answered:
            try:
                self._became(each.mail, each.ready, each.answer, self.clock())
            except ClaimLost:
                self._say_lost([each.mail.id])
        if not self.is_recorded:
            self.settle()

    def _became(self, mail: Email, ready: Ready, answer: Answer | None, now: datetime) -> None:
        match answer:
            case BadAddress():
                self._relay_answered()
                self._failed(mail, _reply(answer), ready.bound)
            case AnswerLost(text):
                state = outgoing.answer_lost(mail.id, self.owner, text, now)
                self.outcome.ambiguous.append(mail.id)
                self._say("mail.answer-lost", "warning", mail=mail.id, kind=mail.kind, reply=text, now=state)
                self._stop(text, now)  # or a relay that never answers would spoil one mail after the other
            case TryLater(of_relay=False):
                self._relay_answered()
                self._later(mail, _reply(answer), now, ready.bound)
            case TryLater() | StopRun():
                self._stopped(mail, answer, now, ready.bound)

    def _taken(self, mail: Email, things: Sequence[str], reply: str, now: datetime) -> None:
        """Note it in the record before anything else is waited for; that goes to the disk while the next is written."""
        self.taken.append(Taken(mail.id, reply, now))
        try:
            self.is_recorded = sent_record.add(mail, things, now) and self.is_recorded
            self.is_on_disk = False
        except OSError as error:
            self.is_recorded = False
            self._not_recorded([mail.id], error)
        self._relay_answered()
        self.outcome.sent.append(mail.id)
        waited = int((now - max(mail.queued_at, mail.next_at)).total_seconds())
        self._say("mail.sent", mail=mail.id, kind=mail.kind, reply=reply, waited=max(0, waited))

    def _to_the_disk(self) -> None:
        """Let the record go there while the next mails are written."""
        if not self.is_on_disk:
            self.syncing, self.is_on_disk = self.beside.submit(sent_record.sync), True

    def _synced(self) -> None:
        """Wait for the record, which must know what is taken before the store says so."""
        self._to_the_disk()
        syncing, self.syncing = self.syncing, None
        try:
            if syncing is not None:
                syncing.result()
        except OSError as error:
            self._not_recorded([each.email_id for each in self.taken], error)

    def _not_recorded(self, email_ids: Iterable[int], error: OSError) -> None:
        """It matters after a restore or a crash only; the mails have left."""
        for email_id in email_ids:
            self._say("mail.not-recorded", "error", mail=email_id, error=str(error.strerror))

    def _say_lost(self, email_ids: Iterable[int]) -> None:
        """They are somebody else's business by now."""
        for email_id in sorted(email_ids):
            self._say("mail.claim-lost", "warning", mail=email_id)

    def _relay_answered(self) -> None:
        """It works, unless it has said of another mail at this moment that it does not."""
        if not self.outcome.stopped:
            self.relay.answered()

    def _stop(self, reply: str, now: datetime) -> None:
        """Several refusals of one moment are one."""
        if not self.outcome.stopped:
            self.relay.refused(reply, now)
            self.outcome.stopped = reply

    def _later(self, mail: Email, reply: str, now: datetime, bound: Bound | None) -> None:
        next_at = now + wait(mail.id, mail.attempts + 1)
        outgoing.later(mail.id, self.owner, next_at, reply, attempted=True, subject=bound.subject if bound else None)
        self.outcome.later.append(mail.id)
        self._say("mail.later", mail=mail.id, kind=mail.kind, reply=reply, again_at=f"{next_at:%Y-%m-%dT%H:%M:%SZ}")

    def _stopped(self, mail: Email, answer: TryLater | StopRun, now: datetime, bound: Bound | None) -> None:
        """The relay or the settings are at fault, so the others need not be tried; it has cost this mail nothing.

        Content that is refused for good looks alike, so after a few times the mail itself is held to be at fault.
        """
        reply = _reply(answer)
        self._stop(reply, now)
        if isinstance(answer, TryLater) and answer.too_many:
            self.relay.had_too_many(len(self.outcome.sent))
        self._say("mail.relay-refused", "error", mail=mail.id, phase=answer.phase, reply=reply)
        if isinstance(answer, TryLater) or answer.phase not in _REFUSED_CONTENT:
            outgoing.later(mail.id, self.owner, mail.next_at, reply, attempted=False)
        elif mail.attempts + 1 >= _MOST_REFUSALS:
            self._failed(mail, reply, bound)
        else:
            self._later(mail, reply, now, bound)


def _reply(answer: Answer | None) -> str:
    """As it is kept and shown: with the code, where the relay gave one."""
    if not isinstance(answer, TryLater | BadAddress | StopRun):
        return ""
    return answer.text if answer.code == NO_REPLY else f"{answer.code} {answer.text}"
