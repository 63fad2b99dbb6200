"""Mails leave: claimed from the outbox, asked again whether they are true, written, handed over, their answer recorded.

For each mail, in this order, and the order matters:

1. withdraw it when it comes too late or nothing of it is true any more;
2. write it as of today in the company's days and keep its bytes; what may have arrived before is not written anew;
3. MAIL, RCPT, DATA; record that it is handed over; then the body;
4. record the relay's answer.

A crash before 3 costs nothing; between 3 and 4 the mail is ambiguous (see store/ambiguous_mails.py). As many mails as
there are connections are taken through this side by side: one transaction records that their bodies go, and that those
before them were taken. While the relay makes up its mind about them, the next are written.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from jobs.json_log import JsonLog
from jobs.mail_writing import Sender, reference_of, write
from jobs.next_mails import NextMails
from jobs.outcome import Outcome, Verdicts, reply_of, wait
from jobs.relay import Relay
from jobs.side_by_side import HandOver, Lines, Session, SessionFactory, first_answered, offer
from jobs.smtp_answers import (
    Answer,
    AnswerLost,
    BadAddress,
    Delivered,
    StopRun,
    TryLater,
    is_of_connection,
)
from jobs.unwritten import Unwritten
from store import ambiguous_mails, outgoing, sent_record
from store.outgoing import Bound, ClaimLost, Going, Taken
from store.tables import Email

__all__ = ["LEASE", "Outcome", "Relay", "Sender", "Session", "deliver_slice", "reference_of", "wait", "write"]

LEASE: Final = timedelta(minutes=30)  # longer than the longest conversation about one mail (smtp_connection.Timeouts)
_TOGETHER: Final = 0.005  # seconds; answers that come so soon after one another are written down in one transaction
_MOST_REFUSALS: Final = 6  # of a mail's content, before a person has to look at it
_MOST_TRIES: Final = 30  # of one at which the relay stops: with their waits some five days (RFC 5321 4.5.4.1)
_LONGEST_SLICE: Final = timedelta(minutes=1)  # no mail is begun later than that
_ABOUT_A_MAIL: Final = frozenset({"mail", "rcpt", "data", "body", "dot"})


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
    unwritten: Unwritten | None = None,
) -> Outcome:
    """Hand over up to `limit` mails whose time has come. Without a session (no relay is set) they stay in the outbox.

    `owner` names this worker process and is never used by another. What was claimed and not handed over is given back.
    `lines` are connections that the next slice is to find open; without them this one has its own. `unwritten` keeps
    the answers of which the store could not be told, for whoever tells it later.
    """
    outcome = Outcome()
    now = clock()
    if open_session is None or relay.is_closed(now):
        return outcome
    outcome.ambiguous.extend(ambiguous_mails.find(now, owner))
    mails = outgoing.claim(owner, min(limit, relay.most or limit), LEASE, now, relay.per_minute)
    if not mails:
        return outcome
    try:
        with (
            closing(Lines(open_session)) if lines is None else nullcontext(lines) as ours,
            ThreadPoolExecutor(1, "sent-record") as beside,
        ):
            sessions = ours.first(relay.at_once(len(mails), now))
            verdicts = Verdicts(owner, outcome, log, Unwritten() if unwritten is None else unwritten)
            waiting = NextMails(mails, sender, clock, verdicts)
            post = _Post(ours, sessions, waiting, sender.address, clock, relay, verdicts, beside)
            try:
                while waiting and not (stopping() or outcome.stopped or clock() - now > _LONGEST_SLICE):
                    post.deliver()
            finally:
                post.settle()
    finally:
        outgoing.release(owner)
    if not outcome.stopped:
        relay.took_all(limit)
    return outcome


@dataclass
class _Post:
    """One run over so many connections."""

    lines: Lines
    sessions: Sequence[Session]
    waiting: NextMails
    sender: str
    clock: Callable[[], datetime]
    relay: Relay
    verdicts: Verdicts
    beside: ThreadPoolExecutor
    is_recorded: bool = True  # all that was taken and is not yet in the store, in the record beside it
    is_on_disk: bool = True  # all of the record, or on its way there:
    syncing: Future[None] | None = None

    def deliver(self) -> None:
        """The next mails, one for each connection, whatever becomes of them; who finds none waits again."""
        side_by_side: list[HandOver] = []
        next_ones = self.waiting.take(len(self.sessions))
        for (mail, ready), session in zip(next_ones, self.sessions, strict=False):
            steps = session.hand_over(self.sender, mail.recipient, ready.message)
            side_by_side.append(HandOver(mail, ready, session, steps))
        try:
            told = offer(
                side_by_side,
                are_new=self.lines.are_new,
                meanwhile=lambda: self.waiting.write_one(len(self.sessions)),
            )
            left_out = [*self._crowded_out(told), *side_by_side[len(told) :]]
            self.waiting.give_back([each.mail for each in left_out])
            self._hand_over([each for each in told if each not in left_out])
        finally:
            for each in side_by_side:
                each.steps.close()

    def settle(self) -> None:
        """Write down what the relay has taken, unless the next hand-over has done so."""
        self._synced()
        self.verdicts.all_sent()
        self.is_recorded = True

    def _settle_unless_recorded(self) -> None:
        """The same before anything else is waited for, unless the record would tell of it after a crash."""
        if not self.is_recorded:
            self.settle()

    def _hand_over(self, offered: Sequence[HandOver]) -> None:
        """The bodies go together; each answer is known as it comes, whatever goes wrong with another."""
        self._judge(offered)
        going = self._bodies_go([each for each in offered if each.answer is None])
        faults: list[Exception] = []
        for each in going:
            each.go_on("gone")
        with _kept(faults):
            if going and not self.verdicts.outcome.stopped:
                self.waiting.write(len(self.sessions))
        while going:
            answered = first_answered(going, None if self.is_recorded else _TOGETHER)
            if not answered:
                with _kept(faults):
                    self._settle_unless_recorded()
                answered = first_answered(going)
            going = [each for each in going if each not in answered]
            for each in answered:
                with _kept(faults):
                    each.go_on(None)
            with _kept(faults):
                self._judge(answered)
        with _kept(faults):
            self._settle_unless_recorded()
        self._to_the_disk()
        if faults:
            raise faults[0]

    def _bodies_go(self, asked: Sequence[HandOver]) -> list[HandOver]:
        """One transaction: the mails before these were taken, and these go. Those that are still ours."""
        if not asked:
            return []
        self._synced()
        going, unwritten = [Going(each.mail.id, each.ready.bound) for each in asked], self.verdicts.unwritten
        taken = tuple(unwritten.taken)
        try:
            not_ours = outgoing.hand_over(self.verdicts.owner, LEASE, self.clock(), going, taken)
        except Exception:
            for each in asked:
                self.verdicts.not_gone(each.mail)
            raise
        unwritten.written(taken)
        self.verdicts.lost(not_ours)
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
        reply = next(reply_of(each.answer) for each in refused.values())
        self.verdicts.say("mail.fewer-connections", "warning", connections=len(self.sessions), reply=reply)
        return list(refused.values())

    def _judge(self, answered: Sequence[HandOver]) -> None:
        """Write down what became of those that have an answer; what the relay has taken, with the next hand-over.

        That it has taken one is in the record before the store is asked about another, which may be away.
        """
        for each in answered:
            if isinstance(each.answer, Delivered):
                self._taken(each.mail, each.ready.things, each.answer.reply, self.clock())
        faults: list[Exception] = []
        for each in answered:
            with _kept(faults):
                try:
                    self._became(each.mail, each.ready.bound, each.answer, self.clock())
                except ClaimLost:
                    self.verdicts.lost([each.mail.id])
        if faults:
            raise faults[0]

    def _became(self, mail: Email, bound: Bound | None, answer: Answer | None, now: datetime) -> None:
        match answer:
            case BadAddress():
                self._relay_answered()
                self.verdicts.failed(mail, reply_of(answer), bound)
            case AnswerLost(text):
                self.verdicts.answer_lost(mail, text, now)
                self._stop(text, now)  # or a relay that never answers would spoil one mail after the other
            case TryLater(of_relay=False):
                self._relay_answered()
                self.verdicts.later(mail, reply_of(answer), now, bound)
            case TryLater() | StopRun():
                self._stopped(mail, answer, now, bound)

    def _taken(self, mail: Email, things: Sequence[str], reply: str, now: datetime) -> None:
        """Note it in the record before anything else is waited for; that goes to the disk while the next is written."""
        self.verdicts.unwritten.taken.append(Taken(mail.id, reply, now))
        try:
            is_added = sent_record.add(mail, things, now)
            self.is_recorded, self.is_on_disk = self.is_recorded and is_added, self.is_on_disk and not is_added
        except OSError as error:
            self.is_recorded = False
            self._not_recorded([mail.id], error)
        self._relay_answered()
        self.verdicts.taken(mail, reply, now)

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
            self._not_recorded([each.email_id for each in self.verdicts.unwritten.taken], error)

    def _not_recorded(self, email_ids: Iterable[int], error: OSError) -> None:
        """It matters after a restore or a crash only; the mails have left."""
        for email_id in email_ids:
            self.verdicts.say("mail.not-recorded", "error", mail=email_id, error=str(error.strerror))

    def _relay_answered(self) -> None:
        """It works, unless it has said of another mail at this moment that it does not."""
        if not self.verdicts.outcome.stopped:
            self.relay.answered()

    def _stop(self, reply: str, now: datetime) -> None:
        """Several refusals of one moment are one."""
        if not self.verdicts.outcome.stopped:
            self.relay.refused(reply, now)
            self.verdicts.outcome.stopped = reply

    def _stopped(self, mail: Email, answer: TryLater | StopRun, now: datetime, bound: Bound | None) -> None:
        """The relay or the settings are at fault, so the others need not be tried; it has cost this mail nothing.

        Content that is refused for good looks alike: after a few times the mail itself is held to be at fault. So does
        a mail that breaks every conversation, and so does a relay that has too much to do: such a mail waits longer
        each time, and is given up only when any other would be.
        """
        reply, is_at_fault = reply_of(answer), self._seems_at_fault(mail, answer)
        self._stop(reply, now)
        if isinstance(answer, TryLater) and answer.too_many:
            self.relay.had_too_many(len(self.verdicts.outcome.sent))
        self.verdicts.say("mail.relay-refused", "error", mail=mail.id, phase=answer.phase, reply=reply)
        if not is_at_fault:
            self.verdicts.not_judged(mail, reply, now)
        elif mail.attempts + 1 >= (_MOST_REFUSALS if _is_of_content(answer) else _MOST_TRIES):
            self.verdicts.failed(mail, reply, bound)
        else:
            self.verdicts.later(mail, reply, now, bound)

    def _seems_at_fault(self, mail: Email, answer: TryLater | StopRun) -> bool:
        """Whether its content is refused; or the relay, which has just taken others, stops at this one once more."""
        if _is_of_content(answer):
            return True
        if answer.phase not in _ABOUT_A_MAIL or (isinstance(answer, TryLater) and answer.too_many):
            return False
        outcome = self.verdicts.outcome
        return bool(mail.reply and outcome.sent and not outcome.stopped)


def _is_of_content(answer: TryLater | StopRun) -> bool:
    return isinstance(answer, StopRun) and answer.of_content


@contextmanager
def _kept(faults: list[Exception]) -> Iterator[None]:
    """What goes wrong is raised later, once all answers are heard."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see above
        faults.append(error)
