"""Mails on their way out: claimed, handed over, and what became of each.

Every step is a conditional update that names the state it leaves and the owner it belongs to, and its rows are counted:
a worker that lost its lease changes nothing. What a crash leaves in `handing-over` may have arrived; it is *ambiguous*.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from store.actors import Actor
from store.change import change
from store.database import backend, run_sql, session, transact, writing
from store.errors import KeydeskError, NotFound, Refused
from store.fields import seconds
from store.rules.key_format import redact
from store.rules.text import check_name, one_line
from store.tables import Email

# About the security of a key: a second mail is better than none. What else is ambiguous waits for a person.
_SENT_AGAIN_BY_ITSELF = frozenset(
    {"key_created", "key_expiry_changed", "key_revoked", "key_rotated", "key_expiring", "key_expired"},
)
_RELAY_RECOVERS = timedelta(minutes=5)
_REPLY_LIMIT = 600


class ClaimLost(KeydeskError):
    """Another worker has taken this mail over, or a person has decided about it; it must not be handed over."""


@dataclass(frozen=True)
class Pending:
    """How many mails wait, are on their way, and need a person."""

    queued: int = 0
    on_their_way: int = 0
    failed: int = 0
    ambiguous: int = 0


def claim(owner: str, limit: int, lease: timedelta, now: datetime) -> list[Email]:
    """Take up to `limit` mails whose time has come, for as long as the lease. Two owners never get the same one."""

    def take() -> list[Email]:
        query = _NEXT + (" FOR UPDATE SKIP LOCKED" if backend() == "postgresql" else "")
        ids = [int(row[0]) for row in run_sql(query, (seconds(now), seconds(now), limit)).fetchall()]
        for email_id in ids:
            run_sql(_TAKE, (owner, seconds(now + lease), email_id))
        return list(Email.select().where(Email.id.in_(ids)).order_by(Email.next_at, Email.id)) if ids else []

    with session():
        return transact(take)


def bind(email_id: int, owner: str, subject: str, message: bytes) -> None:
    """Keep the bytes that will be handed over. ClaimLost when the mail is not the owner's any more."""
    _one(
        "UPDATE email SET subject = ?, message = ? WHERE id = ? AND owner = ? AND state = 'claimed'",
        (subject[:256], message, email_id, owner),
    )


def handing_over(email_id: int, owner: str, lease: timedelta, now: datetime) -> None:
    """Write down, before the body goes, that it goes. ClaimLost when the mail is not the owner's any more."""
    _one(
        "UPDATE email SET state = 'handing-over', lease_until = ? WHERE id = ? AND owner = ? AND state = 'claimed'",
        (seconds(now + lease), email_id, owner),
    )


def sent(email_id: int, owner: str, reply: str, now: datetime) -> None:
    """The relay has taken it."""
    _leave(email_id, owner, "sent", reply, attempts=1, sent_at=now)


def sent_before(email_id: int, owner: str, at: datetime) -> None:
    """The record beside the store knows it as sent: this store was restored, or a worker died after the answer."""
    reply = "The record of what was sent says that a relay took it; it was not sent again."
    _leave(email_id, owner, "sent", reply, sent_at=at)


def later(email_id: int, owner: str, next_at: datetime, reply: str, *, attempted: bool) -> None:
    """The relay certainly did not take it; it is tried again from `next_at`.

    `attempted` says whether this mail was judged, or the relay itself was in the way.
    """
    _leave(email_id, owner, "queued", reply, attempts=int(attempted), next_at=next_at)


def failed(email_id: int, owner: str, reply: str) -> None:
    """It never will be taken as it is; a person has to look."""
    _leave(email_id, owner, "failed", reply, attempts=1)


def withdrawn(email_id: int, owner: str, reason: str) -> None:
    """It is not true or not useful any more."""
    _leave(email_id, owner, "withdrawn", reason)


def answer_lost(email_id: int, owner: str, reply: str, now: datetime) -> str:
    """The whole mail went, but the answer did not come. Gives the new state.

    `queued`, once more and in a while, for a notice about a key; `ambiguous` for anything else.
    """
    with session(), writing():
        _leave(email_id, owner, "ambiguous", reply, attempts=1)
        return "queued" if _send_again(email_id, now + _RELAY_RECOVERS) else "ambiguous"


def release(owner: str) -> int:
    """Give back what the owner has claimed and not handed over; how many."""
    with session(), writing():
        return int(run_sql(_RELEASE, (owner,)).rowcount)


def find_ambiguous(now: datetime) -> list[int]:
    """Find what a crash left between hand-over and answer, once its lease is over; the ids.

    A notice about a key is queued once more, with the same bytes and Message-ID; anything else waits for a person.
    """
    return _ambiguous(_ABANDONED, seconds(now), now)


def bury(owner: str, now: datetime) -> list[int]:
    """Take from an owner that is known to be dead what it held, without waiting for its leases; the ambiguous ids."""
    release(owner)
    return _ambiguous(_OF_OWNER, owner, now)


def _ambiguous(query: str, value: int | str, now: datetime) -> list[int]:
    with session(), writing():
        ids = [int(row[0]) for row in run_sql(query, (value,)).fetchall()]
        for email_id in ids:
            reply = "the worker ended between hand-over and answer; the mail may have arrived"
            run_sql(
                "UPDATE email SET state = 'ambiguous', owner = NULL, lease_until = NULL, reply = ? "
                "WHERE id = ? AND state = 'handing-over'",
                (reply, email_id),
            )
            _send_again(email_id, now)
        return ids


def resend(actor: Actor, email_id: int, now: datetime) -> None:
    """Send a mail once more: an ambiguous one with the same bytes, a failed one written anew."""
    with change(actor, "mail.resend", _company_of(email_id), now) as made:
        mail = _get(email_id)
        changed = run_sql(
            "UPDATE email SET message = CASE WHEN state = 'failed' THEN NULL ELSE message END, state = 'queued', "
            "next_at = ?, resends = resends + 1, owner = NULL, lease_until = NULL "
            "WHERE id = ? AND state IN ('ambiguous', 'failed')",
            (seconds(now), email_id),
        ).rowcount
        if changed != 1:
            raise Refused(
                f"This mail is {_get(email_id).state}; only one that failed or whose answer was lost is sent again."
            )
        made.event(
            "mail.resend", _subject(mail), mail.company_id, before={"state": mail.state}, after={"state": "queued"}
        )


def dismiss(actor: Actor, email_id: int, reason: str, now: datetime) -> None:
    """Decide that a mail is not sent (again). The reason is kept."""
    said = check_name(reason, "reason", limit=200)
    with change(actor, "mail.dismiss", _company_of(email_id), now) as made:
        mail = _get(email_id)
        changed = run_sql(
            "UPDATE email SET state = 'withdrawn', reply = ?, owner = NULL, lease_until = NULL "
            "WHERE id = ? AND state IN ('ambiguous', 'failed', 'queued')",
            (said, email_id),
        ).rowcount
        if changed != 1:
            raise Refused(f"This mail is {_get(email_id).state}; there is nothing left to dismiss.")
        made.event(
            "mail.dismiss", _subject(mail), mail.company_id, before={"state": mail.state}, after={"reason": said}
        )


def pending_counts() -> Pending:
    """What waits in the outbox, and what needs a person."""
    with session():
        found = {str(row[0]): int(row[1]) for row in run_sql(_COUNTS).fetchall()}
    return Pending(
        queued=found.get("queued", 0),
        on_their_way=found.get("claimed", 0) + found.get("handing-over", 0),
        failed=found.get("failed", 0),
        ambiguous=found.get("ambiguous", 0),
    )


def _leave(email_id: int, owner: str, state: str, reply: str, *, attempts: int = 0, **also: datetime) -> None:
    """End the owner's claim in that state."""
    at = {name: seconds(value) for name, value in also.items()}
    _one(
        "UPDATE email SET state = ?, reply = ?, owner = NULL, lease_until = NULL, attempts = attempts + ?, "
        "next_at = coalesce(CAST(? AS BIGINT), next_at), sent_at = CAST(? AS BIGINT) "
        "WHERE id = ? AND owner = ? AND state IN ('claimed', 'handing-over')",
        (state, one_line(redact(reply), _REPLY_LIMIT), attempts, at.get("next_at"), at.get("sent_at"), email_id, owner),
    )


def _one(text: str, values: tuple[Any, ...]) -> None:
    """One row changes in one transaction of its own, or ClaimLost."""
    with session(), writing():
        if run_sql(text, values).rowcount != 1:
            raise ClaimLost("Another worker has taken this mail over; nothing was changed.")


def _send_again(email_id: int, next_at: datetime) -> bool:
    mail = _get(email_id)
    if mail.kind not in _SENT_AGAIN_BY_ITSELF:
        return False
    return bool(
        run_sql(
            "UPDATE email SET state = 'queued', resends = 1, next_at = ? "
            "WHERE id = ? AND state = 'ambiguous' AND resends = 0",
            (seconds(next_at), email_id),
        ).rowcount,
    )


def _get(email_id: int) -> Email:
    mail: Email | None = Email.get_or_none(Email.id == email_id)
    if mail is None:
        raise NotFound("There is no such mail any more; go back and look again.")
    return mail


def _company_of(email_id: int) -> int | None:
    with session():
        return _get(email_id).company_id


def _subject(mail: Email) -> str:
    return f"mail {mail.kind} to {mail.recipient}"


# The list of states is that of the partial index; SQLite uses it only where it stands word for word.
_NEXT = """
    SELECT id FROM email
     WHERE state IN ('queued', 'claimed', 'handing-over')
       AND ((state = 'queued' AND next_at <= ?) OR (state = 'claimed' AND lease_until <= ?))
     ORDER BY next_at, id
     LIMIT ?
"""

_TAKE = "UPDATE email SET state = 'claimed', owner = ?, lease_until = ? WHERE id = ?"

_ABANDONED = """
    SELECT id FROM email
     WHERE state IN ('queued', 'claimed', 'handing-over') AND state = 'handing-over' AND lease_until <= ?
     ORDER BY id
"""

_OF_OWNER = """
    SELECT id FROM email
     WHERE state IN ('queued', 'claimed', 'handing-over') AND state = 'handing-over' AND owner = ?
     ORDER BY id
"""

_RELEASE = """
    UPDATE email SET state = 'queued', owner = NULL, lease_until = NULL
     WHERE state IN ('queued', 'claimed', 'handing-over') AND state = 'claimed' AND owner = ?
"""

_COUNTS = """
    SELECT state, count(*) FROM email WHERE state IN ('queued', 'claimed', 'handing-over') GROUP BY state
    UNION ALL
    SELECT state, count(*) FROM email WHERE state IN ('failed', 'ambiguous') GROUP BY state
"""
