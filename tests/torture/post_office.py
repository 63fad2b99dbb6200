"""What became of every mail: the outbox beside what the relay had in its hands."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

from store.database import run_sql
from store.fields import instant
from torture.model import OwedMail
from torture.oracle import Faults
from torture.relay import Heard

# By what somebody did, each told for certain; the others depend on when a worker came to it.
_OF_ACTS = {"key_created", "key_expiry_changed", "key_rotated", "key_revoked", "integration_changed"}
_TOLD_LATER = {"invoice_lines", "sandbox_failed"}
_MAY_FALL = {"key_expiring", "key_expired", "sandbox_failed", "sandbox_stale"}  # useless or untrue after a while
_SOON = timedelta(hours=8)
_IN_THE_RECORD = "The record of what was sent says that a relay took it; it was not sent again."
SOME_TIME = instant(0)  # of a mail that a worker comes to owe by its own clock


@dataclass(frozen=True)
class Mail:
    """One line of the outbox."""

    id: int
    kind: str
    recipient: str
    mail: str  # the Message-ID without its domain
    state: str
    resends: int
    about: str
    queued_at: datetime
    next_at: datetime
    reply: str


@dataclass
class Tally:
    """How many, for the summary."""

    mails: int = 0
    sent: int = 0
    withdrawn: int = 0
    refused: int = 0
    cut: int = 0  # whose answer was cut
    ambiguous: int = 0  # that the product held for ambiguous at some time
    twice: int = 0  # that a mailbox got again, each after a cut or a lie
    faults: Counter[str] = field(default_factory=Counter)


def outbox(state: str = "") -> list[Mail]:
    """All that was ever owed, oldest first; or what is in one state."""
    text = f"""
        SELECT id, kind, recipient, message_id, state, resends, context, queued_at, next_at, reply, dedupe_key
          FROM email {"WHERE state IN ('failed', 'ambiguous') AND state = ?" if state else ""} ORDER BY id
    """
    return [_mail(row) for row in run_sql(text, (state,) if state else ()).fetchall()]


def _mail(row: Any) -> Mail:
    context = json.loads(row[6])
    about = context.get("key", {}).get("label", "") or context.get("month", "") or context.get("night", "")
    kind = "sandbox_stale" if row[10].startswith("sandbox_stale:") else row[1]
    return Mail(row[0], kind, *row[2:6], about, instant(row[7]), instant(row[8]), row[9] or "")


class PostOffice:
    """Holds the outbox against what the relay has heard.

    `settled` are the mails that a person found ambiguous, `left_open` those that a dead worker had recorded as going.
    """

    def __init__(
        self,
        mails: list[Mail],
        heard: list[Heard],
        settled: set[int],
        left_open: set[str],
        folder: Path,
        faults: Faults,
    ) -> None:
        self.mails, self.settled, self.left_open = mails, settled, left_open
        self.faults, self.tally = faults, Tally()
        self.heard: dict[str, list[Heard]] = defaultdict(list)
        self.may_be_cut: Counter[str] = Counter()  # addresses: the connection went before it was known which mail
        for each in heard:
            self.tally.faults[each.word] += each.word != "ok"
            self.heard[each.mail.partition("@")[0]].append(each)
            if not each.mail:
                self.may_be_cut[each.recipient] += 1
        self.in_hand = Counter(in_hand(folder))
        self.too_slow = _too_slow(folder)

    def check(self, owed: list[OwedMail], now: datetime) -> Tally:
        """Every mail that was owed is there, none beside it, and each was handed over as often as it may be."""
        kinds = _OF_ACTS | _TOLD_LATER
        there = Counter(
            (mail.kind, mail.recipient, mail.about, SOME_TIME if mail.kind in _TOLD_LATER else mail.queued_at)
            for mail in self.mails
            if mail.kind in kinds
        )
        wanted = Counter((mail.kind, mail.recipient, mail.about, mail.at) for mail in owed)
        self.faults.lost += [f"mail {each}" for each in map(_said, (wanted - there).elements())]
        self.faults.extra += [f"mail {each}" for each in map(_said, (there - wanted).elements())]
        for mail in self.mails:
            self._check(mail, self.heard.get(mail.mail, []), now)
        known = {mail.mail for mail in self.mails}
        self.faults.extra += [
            f"a mail {each} that is not in the outbox" for each in self.heard if each and each not in known
        ]
        return self.tally

    def _check(self, mail: Mail, heard: list[Heard], now: datetime) -> None:
        name = f"mail {mail.id} {mail.kind} to {mail.recipient} ({mail.state}: {mail.reply})"
        taken = sum(each.took for each in heard)
        self.tally.mails += 1
        self.tally.sent += mail.state == "sent"
        self.tally.withdrawn += mail.state == "withdrawn"
        self.tally.refused += mail.state == "failed"
        reasons = sum(each.is_cut or (each.took and each.is_lie) for each in heard) + self.in_hand[mail.mail]
        reasons += mail.id in self.too_slow
        if taken > 1:
            self.tally.twice += taken - 1
            if taken - 1 > reasons:
                self.faults.doubled.append(f"{name}: taken {taken} times, {reasons} reasons")
        if not taken:
            self._not_taken(name, mail, heard, now)
        self._ambiguous(name, mail, heard)

    def _not_taken(self, name: str, mail: Mail, heard: list[Heard], now: datetime) -> None:
        fell = mail.state == "withdrawn" and mail.kind in _MAY_FALL
        refused = mail.state == "failed" and (
            mail.recipient.startswith("gone") or sum(each.word.startswith("552") for each in heard) > 5
        )
        waits = mail.state == "queued" and mail.next_at > now - _SOON
        if not (fell or refused or waits):
            self.faults.lost.append(f"{name}: never taken")

    def _ambiguous(self, name: str, mail: Mail, heard: list[Heard]) -> None:
        cut = any(each.is_cut for each in heard)
        held = mail.resends > 0 or mail.state == "ambiguous" or mail.id in self.settled
        self.tally.cut += cut or bool(self.in_hand[mail.mail])
        self.tally.ambiguous += held
        may_be = self.in_hand[mail.mail] or self.may_be_cut[mail.recipient] or mail.id in self.too_slow
        if cut and not held:
            self.faults.misjudged.append(f"{name}: its answer was cut, and it was not held for ambiguous")
        if mail.mail in self.left_open and not held and not _is_in_the_record(mail):
            self.faults.misjudged.append(f"{name}: a dead worker had it in its hands, and it was never ambiguous")
        if sum(each.took and not each.is_lie for each in heard) > 1 and not held:
            self.faults.misjudged.append(f"{name}: it came twice, and was never held for ambiguous")
        if held and not cut and not may_be:
            self.faults.misjudged.append(f"{name}: held for ambiguous, and no answer was cut")


def _said(each: tuple[str, str, str, datetime]) -> str:
    return f"{each[0]} to {each[1]} about {each[2] or 'the company'} of {each[3]:%F %T}"


def _is_in_the_record(mail: Mail) -> bool:
    """Whether the file beside a SQLite store knew, after its worker's end, that the relay has taken it."""
    return mail.state == "sent" and mail.reply == _IN_THE_RECORD


def in_hand(folder: Path) -> list[str]:
    """The mails that a worker had between hand-over and answer as it was killed or stopped."""
    lines = (path.read_text(encoding="ascii").splitlines() for path in sorted(folder.glob("blown-*")))
    return [mail for line in chain.from_iterable(lines) for mail in _of(line)]


def last_in_hand(blown: Path) -> list[str]:
    """Those of one worker when that happened to it last."""
    lines = blown.read_text(encoding="ascii").splitlines() if blown.exists() else []
    return _of(lines[-1]) if lines else []


def _of(line: str) -> list[str]:
    return [mail.partition("@")[0] for mail in json.loads(line)["in_hand"]]


def _too_slow(folder: Path) -> set[int]:
    """The mails whose answer came, but after the worker's patience: this machine was busy elsewhere."""
    found = set()
    for path in sorted(folder.glob("log-*")):
        for line in path.read_text(encoding="ascii").splitlines():
            if '"mail.answer-lost"' in line and "fell silent" in line:
                found.add(json.loads(line)["mail"])
    return found
