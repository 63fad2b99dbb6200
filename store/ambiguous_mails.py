"""Mails that may have arrived: a crash or a lost connection left them between hand-over and answer.

A mail about a key, and one that the relay folds into the first, goes once more; anything else waits for a person.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from store import outgoing, sent_record, workers
from store.database import backend, run_sql, session, transact
from store.fields import seconds
from store.mail_kinds import ABOUT_A_KEY
from store.tables import Email

_RELAY_RECOVERS = timedelta(minutes=5)
_LONGEST_LEFT = timedelta(days=1)
_Hold = tuple[int, str, int]  # a mail that is being handed over, by whom, and until when


def answer_lost(email_id: int, owner: str, reply: str, now: datetime) -> str:
    """The whole mail went, but the answer did not come. Gives the new state.

    `queued`, once more and in a while, for a mail about a key and for one that the relay folds into the first;
    `ambiguous` for anything else.
    """

    def leave() -> str:
        outgoing.leave(email_id, owner, "ambiguous", reply, attempts=1)
        return "queued" if _send_again(email_id, now + _RELAY_RECOVERS) else "ambiguous"

    with session():
        return transact(leave)


def forgotten(mail: Email, now: datetime) -> bool:
    """Whether a mail that goes once more by itself may not: the relay may have forgotten that it took it."""
    return (
        mail.resends > 0 and mail.kind not in ABOUT_A_KEY and mail.folds_until is not None and mail.folds_until <= now
    )


def set_apart(email_id: int, owner: str) -> None:
    """Leave to a person what the relay would not fold any more."""
    outgoing.leave(
        email_id, owner, "ambiguous", "it may have arrived, and the relay does not know any more whether it did"
    )


def find(now: datetime, owner: str | None = None) -> list[int]:
    """Find what a crash left between hand-over and answer, once its lease is over; the ids.

    What the record beside the store knows as taken is sent. A mail about a key, and one that the relay folds, is queued
    once more, with the same bytes and Message-ID; anything else waits for a person.

    What a worker on this machine holds whose process lives is left to it, whatever the clock says of its lease, for a
    day: the process may be another one of the same number. It is not left to the `owner` who asks, and has nothing in
    hand.
    """
    values = (seconds(now), seconds(now + outgoing.NEVER_SO_LATE))
    with session():
        abandoned = run_sql(_ABANDONED, values).fetchall()
        at_it = workers.living_here() - {owner} if abandoned else frozenset()
        if all(_is_left(hold, at_it, now) for hold in abandoned):  # a quiet worker never takes the write lock
            return []
        return transact(lambda: _settled(_ABANDONED, values, now, how=" FOR UPDATE SKIP LOCKED", left_to=at_it))


def bury(owner: str, now: datetime) -> list[int]:
    """Take from an owner that is known to be dead what it held, without waiting for its leases; the ambiguous ids."""
    outgoing.release(owner)
    with session():
        if run_sql(_OF_OWNER, (owner,)).fetchone() is None:
            return []
        return transact(lambda: _settled(_OF_OWNER, (owner,), now, how=" FOR UPDATE"))


def _settled(
    query: str, values: tuple[int | str, ...], now: datetime, *, how: str, left_to: Collection[str] = ()
) -> list[int]:
    """Settle those that the query finds and that are not left to their owners; the ambiguous ids.

    `how` PostgreSQL locks them.
    """
    rows = run_sql(query + how if backend() == "postgresql" else query, values).fetchall()
    found = [hold for row in rows if not _is_left(hold := (int(row[0]), row[1], row[2]), left_to, now)]
    return [hold[0] for hold in found if not _was_taken(hold) and _left_open(hold, now)]


def _is_left(hold: _Hold, left_to: Collection[str], now: datetime) -> bool:
    _, owner, lease_until = hold
    return owner in left_to and abs(seconds(now) - lease_until) < _LONGEST_LEFT.total_seconds()


def _was_taken(hold: _Hold) -> bool:
    mail = outgoing.get(hold[0])
    at = sent_record.taken_at(mail.message_id, mail.handed_over_at or mail.queued_at)
    if at is None:
        return False
    text = (
        "UPDATE email SET state = 'sent', owner = NULL, lease_until = NULL, attempts = attempts + 1, reply = ?, "
        "sent_at = ? WHERE id = ? AND owner = ? AND lease_until = ? AND state = 'handing-over'"
    )
    run_sql(text, (outgoing.IN_THE_RECORD, seconds(at), *hold))
    return True


def _left_open(hold: _Hold, now: datetime) -> bool:
    reply = "the worker ended between hand-over and answer; the mail may have arrived"
    text = (
        "UPDATE email SET state = 'ambiguous', owner = NULL, lease_until = NULL, reply = ? "
        "WHERE id = ? AND owner = ? AND lease_until = ? AND state = 'handing-over'"
    )
    if run_sql(text, (reply, *hold)).rowcount != 1:
        return False
    _send_again(hold[0], now)
    return True


def _send_again(email_id: int, next_at: datetime) -> bool:
    mail = outgoing.get(email_id)
    if mail.kind not in ABOUT_A_KEY and (mail.folds_until is None or mail.folds_until <= next_at):
        return False
    return bool(
        run_sql(
            "UPDATE email SET state = 'queued', resends = 1, next_at = ? "
            "WHERE id = ? AND state = 'ambiguous' AND resends = 0",
            (seconds(next_at), email_id),
        ).rowcount,
    )


_ABANDONED = """
    SELECT id, owner, lease_until FROM email
     WHERE state IN ('queued', 'claimed', 'handing-over') AND state = 'handing-over'
       AND (lease_until <= ? OR lease_until > ?)
     ORDER BY next_at, id
"""

_OF_OWNER = """
    SELECT id, owner, lease_until FROM email
     WHERE state IN ('queued', 'claimed', 'handing-over') AND state = 'handing-over' AND owner = ?
     ORDER BY next_at, id
"""
