"""The mails of a slice in their order, each asked again whether it is true, and written; some ahead of their turn.

Whatever is wrong with one of them does not keep the others back.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from peewee import InterfaceError, InternalError, OperationalError

from jobs.json_log import where
from jobs.mail_writing import Sender, idempotency_key, write
from jobs.outcome import Verdicts
from jobs.side_by_side import Ready
from store import ambiguous_mails, installation, mail_truth, restored, sent_record
from store.errors import StoreUnavailable
from store.mail_truth import Confirmed, NoLongerTrue
from store.outgoing import Bound, ClaimLost
from store.tables import Email

_ROUNDS_ASKED: Final = 4
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_TRUE_FOR: Final = timedelta(seconds=10)  # what was written longer ago is asked again whether it is true
# Of the store, of the machine (descriptors, memory, the record's disk), or of somebody else's claim.
_NOT_THE_MAILS_FAULT: Final = (
    StoreUnavailable, OperationalError, InterfaceError, InternalError, ClaimLost, OSError, MemoryError,
)  # fmt: skip


class NextMails:
    """Those that wait, and those that are ready. `number` is always how many go next, side by side."""

    def __init__(
        self, mails: Iterable[Email], sender: Sender, clock: Callable[[], datetime], verdicts: Verdicts
    ) -> None:
        self._waiting = deque(mails)
        self._sender, self._clock, self._verdicts = sender, clock, verdicts
        self._chosen, self._forgotten = installation.get(), restored.forgotten()
        self._truths: dict[int, list[Any] | None] = {}  # of the next mails, as they were read at:
        self._truths_at = _NEVER
        self._ahead: list[tuple[Email, Ready]] = []  # the next, which are written, since:
        self._ahead_since = _NEVER
        self._not_ahead = 0  # the mail that does not go as it is, and waits for its turn

    def __bool__(self) -> bool:
        """Whether there is one left, written or not."""
        return bool(self._ahead or self._waiting)

    def give_back(self, mails: Sequence[Email]) -> None:
        """They did not go, and are the next again."""
        self._waiting.extendleft(reversed(mails))

    def take(self, number: int) -> list[tuple[Email, Ready]]:
        """Mails as they go: those written ahead, if that was just now, and what they lack."""
        found, self._ahead = self._ahead, []
        if len(found) > number or not _just_before(self._ahead_since, self._clock()):
            self.give_back([mail for mail, _ in found])
            found = []
        if len(found) < number:
            self._ask_of(number)
        while self._waiting and len(found) < number:
            mail = self._waiting.popleft()
            ready = self._ready(mail)
            if ready is not None:
                found.append((mail, ready))
        return found

    def write_one(self, number: int) -> None:
        """Have one more written, until half are: a relay that keeps mails takes longer over their bodies."""
        if len(self._ahead) < number // 2:
            self._write_ahead(1, number)

    def write(self, number: int) -> None:
        """Have all written that are not yet."""
        self._write_ahead(number - len(self._ahead), number)

    def _write_ahead(self, more: int, number: int) -> None:
        """As far as they go as they are. The store is only read: an answer may be there by now."""
        while self._waiting and more > 0:
            now, mail = self._clock(), self._waiting[0]
            if mail.id not in self._truths or not _just_before(self._truths_at, now):
                self._ask_of(number)
            ready = self._as_it_is(mail, now) if mail.id != self._not_ahead else None
            if ready is None:
                self._not_ahead = mail.id
                return
            if not self._ahead:
                self._ahead_since = self._truths_at
            self._ahead.append((self._waiting.popleft(), ready))
            more -= 1

    def _ask_of(self, number: int) -> None:
        """Read what is to be known of the keys of those that wait, for a few rounds of so many."""
        asked = list(islice(self._waiting, _ROUNDS_ASKED * number))
        self._truths_at = self._clock()
        self._truths = {mail.id: None for mail in asked} | mail_truth.truths(asked)

    def _as_it_is(self, mail: Email, now: datetime) -> Ready | None:
        """The mail as it goes; None when anything is to be written down about it first."""
        if mail.resends or mail.attempts or _is_useless(mail, now):
            return None
        try:
            confirmed = mail_truth.unchanged(mail, now, self._truths[mail.id])
            if confirmed is None:
                return None
            things = sent_record.told(mail, confirmed)
            return None if self._may_be_known(mail, things) else self._write(mail, confirmed, things)
        except _NOT_THE_MAILS_FAULT:
            raise
        except Exception:  # noqa: BLE001 - when its turn comes it fails again, and is set aside
            return None

    def _ready(self, mail: Email) -> Ready | None:
        """The mail as it goes; None when it does not."""
        try:
            return self._written(mail)
        except ClaimLost:
            self._verdicts.lost([mail.id])
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
            reason = f"it could not be written: {error} ({type(error).__name__})"
            self._verdicts.failed(mail, reason, where=where(error))
            return None

    def _still_true(self, mail: Email) -> Confirmed | None:
        """What the mail says; None when it was withdrawn."""
        now = self._clock()
        if _is_useless(mail, now):
            self._verdicts.withdrawn(mail, "it came too late to be of use")
            return None
        try:
            return mail_truth.confirm(mail, now, self._truths.get(mail.id))
        except NoLongerTrue as reason:
            self._verdicts.withdrawn(mail, str(reason))
            return None

    def _sent_before(self, mail: Email, things: Sequence[str]) -> bool:
        """Whether a relay has taken it, which this store does not know or knows no more."""
        told_at = sent_record.told_at(things) if self._may_be_known(mail, things) else None
        if told_at is None:
            return False
        self._verdicts.sent_before(mail, told_at)
        return True

    def _may_be_known(self, mail: Email, things: Sequence[str]) -> bool:
        if mail.resends or mail.attempts:
            return True
        return self._forgotten is not None and sent_record.may_know(things, self._forgotten)

    def _as_before(self, mail: Email, things: Sequence[str]) -> Ready | None:
        if ambiguous_mails.forgotten(mail, self._clock()):
            self._verdicts.set_apart(mail)
            return None
        return Ready(bytes(mail.message or b""), None, things)

    def _write(self, mail: Email, confirmed: Confirmed, things: Sequence[str]) -> Ready:
        header = self._sender.idempotency_header
        more = ((header, idempotency_key(mail, things)),) if header else ()
        letter, message = write(mail, confirmed, self._sender, self._clock(), chosen=self._chosen, more=more)
        return Ready(message, Bound(letter.subject, message, folds=bool(header)), things)


def _is_useless(mail: Email, now: datetime) -> bool:
    return mail.useless_after is not None and mail.useless_after <= now


def _just_before(then: datetime, now: datetime) -> bool:
    """Whether what was true then is held for true now."""
    return timedelta() <= now - then <= _TRUE_FOR
