"""What becomes of a mail when workers, clocks and people do whatever they may, in any order?"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from any_order import holds
from cast import NOON, OLAV
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from store import ambiguous_mails, mail_decisions, outbox, outgoing, sent_record, workers
from store.database import run_sql
from store.errors import Refused
from store.outbox import Owed
from store.outgoing import Bound, ClaimLost, Going, Taken
from store.tables import Email

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LEASE = timedelta(minutes=30)
IN_HAND = {"claimed", "handing-over"}
OVER = {"sent", "withdrawn"}
MAILS = 4
BYTES, FOLDED = Bound("", b"the bytes"), Bound("", b"bytes with a key", folds=True)


@dataclass
class Mail:
    """What the rules say of a mail."""

    kind: str
    next_at: datetime
    state: str = "queued"
    owner: str | None = None
    lease_until: datetime | None = None
    attempts: int = 0
    resends: int = 0
    handed_over_at: datetime | None = None
    folds_until: datetime | None = None
    message: bytes | None = None
    sent_at: datetime | None = None

    def is_of(self, owner: str) -> bool:
        return self.owner == owner and self.state in IN_HAND

    def end(self, state: str) -> None:
        self.state, self.owner, self.lease_until = state, None, None

    def end_as_taken(self, at: datetime) -> None:
        self.end("sent")
        self.attempts, self.sent_at = self.attempts + 1, at

    def end_in_doubt(self, again_at: datetime) -> None:
        """It goes once more by itself when it is about a key, or the relay folds it still."""
        self.end("ambiguous")
        is_folded = self.folds_until is not None and self.folds_until > again_at
        if self.resends == 0 and (is_folded or self.kind == "key_revoked"):
            self.state, self.resends, self.next_at = "queued", 1, again_at

    def has_lease_over(self, now: datetime) -> bool:
        """Or one that only a clock far ahead can have given."""
        return self.lease_until is not None and not now < self.lease_until <= now + 2 * HOUR


NAMES = [each.name for each in fields(Mail)]


@dataclass
class Heard:
    """What the relay and a person have heard of a mail."""

    bodies: int = 0  # that may have come: of those that it refused it has not taken one
    leave: int = 1
    recorded: datetime | None = None  # when the record beside the store was told last that it was taken


class Outbox(RuleBasedStateMachine):
    """Workers that know nothing of one another, and one outbox. Each step is taken in the store and by the rules."""

    @initialize(kinds=st.lists(st.sampled_from(["key_revoked", "test_mail"]), min_size=MAILS, max_size=MAILS))
    def begin(self, kinds: Sequence[str]) -> None:
        for table in ("email", "event", "worker"):
            run_sql(f"DELETE FROM {table}")
        record = sent_record.path()
        assert record is not None
        record.unlink(missing_ok=True)
        self.now = NOON
        self.mails: dict[int, Mail] = {}
        self.heard: dict[int, Heard] = {}
        self.over: dict[int, Mail] = {}
        self.here = workers.register(workers.this_host(), "1", NOON)  # of the others this machine knows nothing
        self.workers = ["one", "two", self.here]
        for place, kind in enumerate(kinds):
            not_before = NOON + place // 2 * MINUTE
            owed = Owed(kind, "ase@nordlys.example", "", f"mail {place}", {}, not_before=not_before)
            (number,) = outbox.queue([owed], NOON).values()
            self.mails[number], self.heard[number] = Mail(kind, not_before), Heard()

    # What happens

    @rule(
        by=st.sampled_from([SECOND, 5 * MINUTE, LEASE - SECOND, LEASE - SECOND, LEASE, 13 * HOUR, 2 * DAY, -3 * HOUR])
    )
    def time_passes_or_the_clock_is_put_back(self, by: timedelta) -> None:
        self.now += by

    @rule(
        place=st.integers(0, 2),
        limit=st.integers(1, MAILS),
        per_minute=st.sampled_from([0, 0, 2]),
        bound=st.sampled_from([None, None, BYTES, FOLDED]),
    )
    def claim_and_begin(self, place: int, limit: int, per_minute: int, bound: Bound | None) -> None:
        owner, mails = self.workers[place], self.mails
        most = min(limit, max(0, per_minute - self.gone_in_the_minute())) if per_minute else limit
        ready = [number for number, mail in mails.items() if self.may_be_claimed(mail)]
        wanted = sorted(ready, key=lambda number: (mails[number].next_at, number))[:most]

        found = outgoing.claim(owner, limit, LEASE, self.now, per_minute)

        assert [mail.id for mail in found] == wanted
        for number in wanted:
            mails[number].state, mails[number].owner, mails[number].lease_until = "claimed", owner, self.now + LEASE
        if bound is not None:
            self.hand_over(owner, wanted[:2], [], bound)

    @precondition(lambda self: self.has("claimed", "handing-over"))
    @rule(data=st.data(), bound=st.sampled_from([None, BYTES, FOLDED]))
    def hand_over_and_say_what_was_taken(self, data: st.DataObject, bound: Bound | None) -> None:
        owner, going = self.some(data, "claimed")
        _, taken = self.some(data, "handing-over")

        self.hand_over(owner, going, [number for number in taken if number not in going], bound)

    @precondition(lambda self: self.has("claimed", "handing-over"))
    @rule(
        data=st.data(),
        what=st.sampled_from(["sent", "later", "no try", "behind", "failed", "withdrawn", "apart", "answer lost"]),
    )
    def say_what_became_of_one(self, data: st.DataObject, what: str) -> None:
        owner, number = self.one(data, "claimed", "handing-over")
        mail, in_five_minutes = self.mails[number], self.now + 5 * MINUTE
        acts: dict[str, Callable[[], object]] = {
            "sent": lambda: outgoing.sent(number, owner, "250", self.now),
            "later": lambda: outgoing.later(number, owner, in_five_minutes, "450", attempted=True),
            "no try": lambda: outgoing.later(number, owner, in_five_minutes, "421", attempted=False),
            "behind": lambda: outgoing.behind(number, owner, "421", self.now),
            "failed": lambda: outgoing.failed(number, owner, "550"),
            "withdrawn": lambda: outgoing.withdrawn(number, owner, "untrue"),
            "apart": lambda: ambiguous_mails.set_apart(number, owner),
            "answer lost": lambda: ambiguous_mails.answer_lost(number, owner, "", self.now),
        }
        if not mail.is_of(owner):
            with pytest.raises(ClaimLost):
                acts[what]()
            return

        acts[what]()

        if mail.state == "handing-over" and what in {"later", "no try", "behind", "failed"}:
            self.heard[number].bodies -= 1
        if what == "behind":
            others = [each for each in self.mails.values() if each is not mail and each.state in {"queued", "claimed"}]
            before = [each.next_at for each in others if mail.next_at <= each.next_at <= self.now]
            mail.next_at = max(before) + SECOND if before else mail.next_at
        elif what in {"later", "no try"}:
            mail.next_at = in_five_minutes
        mail.attempts += what in {"later", "failed", "answer lost"}
        if what == "sent":
            mail.end_as_taken(self.now)
        elif what == "answer lost":
            mail.end_in_doubt(in_five_minutes)
        else:
            mail.end({"failed": "failed", "withdrawn": "withdrawn", "apart": "ambiguous"}.get(what, "queued"))

    @precondition(lambda self: self.has("handing-over"))
    @rule(data=st.data())
    def the_record_is_told_that_it_was_taken(self, data: st.DataObject) -> None:
        _, number = self.one(data, "handing-over")
        sent_record.add(Email.get_by_id(number), ["0" * 32], self.now)
        self.heard[number].recorded = self.now

    @precondition(lambda self: self.has("claimed"))
    @rule(place=st.integers(0, 2))
    def give_back(self, place: int) -> None:
        owner = self.workers[place]

        assert outgoing.release(owner) == self.given_back(owner)

    @precondition(lambda self: self.has("handing-over"))
    @rule(place=st.sampled_from([None, 0, 2]))
    def find_what_was_left(self, place: int | None) -> None:
        asks = None if place is None else self.workers[place]
        abandoned = [
            number
            for number, mail in self.mails.items()
            if mail.state == "handing-over" and mail.has_lease_over(self.now) and not self.is_at_it(mail, asks)
        ]

        found = ambiguous_mails.find(self.now, asks)

        assert sorted(found) == self.settled(abandoned)

    @precondition(lambda self: self.has("claimed", "handing-over"))
    @rule(place=st.integers(0, 2))
    def bury(self, place: int) -> None:
        owner = self.workers[place]
        self.given_back(owner)

        found = ambiguous_mails.bury(owner, self.now)

        assert sorted(found) == self.settled([number for number, mail in self.mails.items() if mail.is_of(owner)])

    @precondition(lambda self: self.has("ambiguous", "failed", "claimed", "handing-over"))
    @rule(data=st.data())
    def a_person_sends_it_again(self, data: st.DataObject) -> None:
        _, number = self.one(data, "ambiguous", "failed")
        mail = self.mails[number]
        if mail.state not in {"ambiguous", "failed"}:
            with pytest.raises(Refused):
                mail_decisions.resend(OLAV, number, self.now)
            return

        mail_decisions.resend(OLAV, number, self.now)

        mail.message = None if mail.state == "failed" else mail.message
        mail.end("queued")
        mail.next_at, mail.attempts, mail.resends, mail.folds_until = self.now, 0, mail.resends + 1, None
        self.heard[number].leave += 1

    @precondition(lambda self: self.has("ambiguous", "failed", "claimed", "handing-over"))
    @rule(data=st.data())
    def a_person_puts_it_aside(self, data: st.DataObject) -> None:
        _, number = self.one(data, "ambiguous", "failed", "claimed", "handing-over")
        mail = self.mails[number]
        if mail.state not in {"ambiguous", "failed", "queued"}:
            with pytest.raises(Refused):
                mail_decisions.dismiss(OLAV, number, "it came", self.now)
            return

        mail_decisions.dismiss(OLAV, number, "it came", self.now)

        mail.end("withdrawn")

    # What holds after each step

    @invariant()
    def each_mail_is_as_the_rules_say(self) -> None:
        found = {row.id: Mail(**{name: getattr(row, name) for name in NAMES}) for row in Email.select()}
        for mail in found.values():
            mail.message = mail.message and bytes(mail.message)
        assert found == self.mails
        for mail in found.values():
            told = mail.owner is not None, mail.lease_until is not None
            assert told == (mail.state in IN_HAND, mail.state in IN_HAND), "one in hand has an owner, no other has"
        now_over = {number: mail for number, mail in found.items() if mail.state in OVER}
        assert self.over.items() <= now_over.items(), "what is over stays as it is"
        self.over = now_over

    @invariant()
    def a_mail_comes_once_and_after_a_doubt_once_more_by_itself_or_by_a_person_s_word(self) -> None:
        for number, heard in self.heard.items():
            by_itself = self.mails[number].resends - (heard.leave - 1)
            assert by_itself in {0, 1}
            assert heard.bodies <= heard.leave + by_itself

    # Who, and which

    def one(self, data: st.DataObject, *likely: str) -> tuple[str, int]:
        """A mail, most often one of these states, and who acts on it: its owner, or one who is wrong about that."""
        chosen = [number for number, mail in self.mails.items() if mail.state in likely]
        number = data.draw(st.sampled_from(3 * chosen + list(self.mails)))
        owner = self.mails[number].owner
        return data.draw(st.sampled_from([*(owner for _ in range(4) if owner), *self.workers])), number

    def some(self, data: st.DataObject, likely: str) -> tuple[str, list[int]]:
        owner, number = self.one(data, likely)
        more = data.draw(st.lists(st.sampled_from([number, *self.mails]), max_size=2))
        return owner, sorted({number, *more})

    def has(self, *states: str) -> bool:
        return any(mail.state in states for mail in self.mails.values())

    def may_be_claimed(self, mail: Mail) -> bool:
        return (mail.state == "queued" and mail.next_at <= self.now) or (
            mail.state == "claimed" and mail.has_lease_over(self.now)
        )

    def is_at_it(self, mail: Mail, asks: str | None) -> bool:
        """Whether its owner's process lives on this machine, which is believed for a day."""
        assert mail.lease_until is not None
        return mail.owner == self.here != asks and abs(self.now - mail.lease_until) < DAY

    def gone_in_the_minute(self) -> int:
        went = [mail.handed_over_at for mail in self.mails.values() if mail.handed_over_at is not None]
        claimed = [mail.lease_until for mail in self.mails.values() if mail.state == "claimed"]
        return sum(self.now - MINUTE < at <= self.now + MINUTE for at in went) + sum(
            until is not None and until > self.now for until in claimed
        )

    def given_back(self, owner: str) -> int:
        claimed = [mail for mail in self.mails.values() if (mail.state, mail.owner) == ("claimed", owner)]
        for mail in claimed:
            mail.end("queued")
        return len(claimed)

    def hand_over(self, owner: str, going: Sequence[int], taken: Sequence[int], bound: Bound | None) -> None:
        goes = [number for number in going if self.mails[number].is_of(owner) and self.mails[number].state == "claimed"]
        was_taken = [number for number in taken if self.mails[number].is_of(owner)]

        lost = outgoing.hand_over(
            owner,
            LEASE,
            self.now,
            [Going(number, bound) for number in going],
            [Taken(number, "250", self.now) for number in taken],
        )

        assert lost == {*going, *taken} - {*goes, *was_taken}
        for number in was_taken:
            self.mails[number].end_as_taken(self.now)
        for number in goes:
            mail = self.mails[number]
            mail.state, mail.lease_until, mail.handed_over_at = "handing-over", self.now + LEASE, self.now
            if bound is not None:
                mail.message, mail.folds_until = bound.message, self.now + 12 * HOUR if bound.folds else None
            self.heard[number].bodies += 1

    def settled(self, numbers: Iterable[int]) -> list[int]:
        """What somebody left in the middle is sent if the record says so; those of which it does not."""
        in_doubt = []
        for number in numbers:
            mail, recorded = self.mails[number], self.heard[number].recorded
            if recorded is not None and mail.handed_over_at is not None and recorded >= mail.handed_over_at:
                mail.end_as_taken(recorded)
            else:
                mail.end_in_doubt(self.now)
                in_doubt.append(number)
        return in_doubt


def test_a_mail_is_where_the_rules_put_it_after_each_step(empty_store: str, record: Path) -> None:
    holds(Outbox, sequences=80)
