"""Mails on their way out: claimed, handed over, and what became of each.

Every step is a conditional update that names the state it leaves and the owner it belongs to, and its rows are counted:
a worker that lost its lease changes nothing. What a crash leaves in `handing-over` may have arrived; see
`store.ambiguous_mails`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from store.database import backend, rows_alone, run_alone, run_sql, session, transact, writing
from store.errors import KeydeskError, NotFound
from store.fields import seconds
from store.rules.key_format import redact
from store.rules.text import one_line
from store.tables import Email

_RELAY_REMEMBERS = timedelta(hours=12)  # the keys of mails that it has taken: half of the day that relays promise
_MINUTE = timedelta(minutes=1)
_PACE_LOCK = 0x6B64_7061  # one PostgreSQL transaction at a time counts what leaves in a minute
NEVER_SO_LATE = timedelta(hours=2)  # no claim lasts so long; one that does was made by a clock gone wrong
_REPLY_LIMIT = 600
_CLAIM_LOST = "Another worker has taken this mail over; nothing was changed."
IN_THE_RECORD = "The record of what was sent says that a relay took it; it was not sent again."

_Change = tuple[str, Sequence[Any]]  # a statement that gives the ids of the mails it has changed, and its values


class ClaimLost(KeydeskError):
    """Another worker has taken this mail over, or a person has decided about it; it must not be handed over."""


@dataclass(frozen=True)
class Bound:
    """What is handed over. `folds`: the relay takes these bytes once, however often they come."""

    subject: str
    message: bytes
    folds: bool = False


@dataclass(frozen=True)
class Going:
    """A mail whose body is about to go; `bound` is None for bytes that are kept already."""

    email_id: int
    bound: Bound | None = None


@dataclass(frozen=True)
class Taken:
    """A mail that the relay has taken, with its reply and the instant."""

    email_id: int
    reply: str
    at: datetime


def claim(owner: str, limit: int, lease: timedelta, now: datetime, per_minute: int = 0) -> list[Email]:
    """Take up to `limit` mails whose time has come, for as long as the lease. Two owners never get the same one.

    With `per_minute` no more are claimed, by all owners together, than may be handed over in this minute.
    """
    instants = (seconds(now), seconds(now), seconds(now + max(NEVER_SO_LATE, 2 * lease)))
    text = _TAKE.replace("{next}", _NEXT + (" FOR UPDATE SKIP LOCKED" if backend() == "postgresql" else ""))

    def take() -> list[Email]:
        most = min(limit, _left_of_minute(per_minute, now)) if per_minute else limit
        return _read([int(row[0]) for row in run_sql(text, (owner, seconds(now + lease), *instants, most)).fetchall()])

    with session():
        if run_sql(_NEXT, (*instants, 1)).fetchone() is None:  # a quiet worker never takes the write lock
            return []
        return transact(take)


def _read(ids: list[int]) -> list[Email]:
    """These mails, the longest due first. One that cannot even be read has failed, and keeps no other back."""
    if not ids:
        return []
    chosen = Email.select().where(Email.id.in_(ids)).order_by(Email.next_at, Email.id)
    try:
        return list(chosen)
    except ValueError as error:
        if len(ids) > 1:
            return [mail for email_id in ids for mail in _read([email_id])]
        run_sql(_UNREADABLE, (f"it could not be read: {one_line(str(error), 200)}", ids[0]))
        return []


def _left_of_minute(per_minute: int, now: datetime) -> int:
    """How many more may leave: what went in the last minute and what is claimed, by whomever, is taken off.

    An instant in the future is of a clock that was put back since, and does not count for longer than a minute.
    """
    if backend() == "postgresql":
        run_sql("SELECT pg_advisory_xact_lock(?)", (_PACE_LOCK,))
    row = run_sql(_IN_THE_MINUTE, (seconds(now - _MINUTE), seconds(now + _MINUTE), seconds(now))).fetchone()
    return max(0, per_minute - int(row[0]))


def hand_over(
    owner: str, lease: timedelta, now: datetime, going: Sequence[Going], taken: Sequence[Taken] = ()
) -> set[int]:
    """Write down, before the bodies go, that they go, and keep their bytes; with `taken`, which the relay has by now.

    One transaction. Gives those of both that are not the owner's any more: nothing was changed about them, and their
    bodies must not go.
    """
    changes = [_sent(owner, taken)] if taken else []
    if going:
        changes.append(_goes(owner, lease, now, going))
    with session():
        return {*(each.email_id for each in going), *(each.email_id for each in taken)} - _changed_by(changes)


def handing_over(email_id: int, owner: str, lease: timedelta, now: datetime, bound: Bound | None = None) -> None:
    """The same for one mail; ClaimLost when it is not the owner's any more."""
    if hand_over(owner, lease, now, [Going(email_id, bound)]):
        raise ClaimLost(_CLAIM_LOST)


def sent(email_id: int, owner: str, reply: str, now: datetime) -> None:
    """The relay has taken it. ClaimLost when it is not the owner's any more."""
    if all_sent(owner, [Taken(email_id, reply, now)]):
        raise ClaimLost(_CLAIM_LOST)


def all_sent(owner: str, taken: Sequence[Taken]) -> set[int]:
    """The relay has taken them. Gives those that are not the owner's any more."""
    with session():
        return {each.email_id for each in taken} - _changed_by([_sent(owner, taken)])


def sent_before(email_id: int, owner: str, at: datetime) -> None:
    """The record beside the store knows it as sent: this store was restored, or a worker died after the answer."""
    leave(email_id, owner, "sent", IN_THE_RECORD, sent_at=at)


def later(
    email_id: int, owner: str, next_at: datetime, reply: str, *, attempted: bool, subject: str | None = None
) -> None:
    """The relay certainly did not take it; it is tried again from `next_at`.

    `attempted` says whether this mail was judged, or the relay itself was in the way; `subject`, how it was written.
    """
    leave(email_id, owner, "queued", reply, attempts=int(attempted), subject=subject, next_at=next_at)


def behind(email_id: int, owner: str, reply: str, now: datetime) -> None:
    """The relay was in the way of any mail; the others whose time has come are tried before this one.

    It has cost this mail nothing, and none of its age where no other waits.
    """
    with session():
        _changed(_BEHIND, (_kept(reply), seconds(now), email_id, owner))


def failed(email_id: int, owner: str, reply: str, subject: str | None = None) -> None:
    """It never will be taken as it is; a person has to look."""
    leave(email_id, owner, "failed", reply, attempts=1, subject=subject)


def withdrawn(email_id: int, owner: str, reason: str) -> None:
    """It is not true or not useful any more."""
    leave(email_id, owner, "withdrawn", reason)


def leave(
    email_id: int,
    owner: str,
    state: str,
    reply: str,
    *,
    attempts: int = 0,
    subject: str | None = None,
    **also: datetime,
) -> None:
    """End the owner's claim in that state; ClaimLost when it is not the owner's any more."""
    at = {name: seconds(value) for name, value in also.items()}
    about = subject and subject[:256]
    text = (
        "UPDATE email SET state = ?, reply = ?, owner = NULL, lease_until = NULL, attempts = attempts + ?, "
        "subject = coalesce(CAST(? AS VARCHAR), subject), "
        "next_at = coalesce(CAST(? AS BIGINT), next_at), sent_at = CAST(? AS BIGINT) "
        "WHERE id = ? AND owner = ? AND state IN ('claimed', 'handing-over')"
    )
    with session():
        _changed(text, (state, _kept(reply), attempts, about, at.get("next_at"), at.get("sent_at"), email_id, owner))


def release(owner: str) -> int:
    """Give back what the owner has claimed and not handed over; how many."""
    with session():
        return run_alone(_RELEASE, (owner,))


def _kept(reply: str) -> str:
    return one_line(redact(reply), _REPLY_LIMIT)


def _goes(owner: str, lease: timedelta, now: datetime, going: Sequence[Going]) -> _Change:
    rows = [(each.email_id, *_kept_of(each.bound, now)) for each in sorted(going, key=_by_id)]
    each = _GOING.replace("{bytes}", "BLOB" if backend() == "sqlite" else "BYTEA")
    query = _GOES.replace("{rows}", ", ".join([each] * len(rows)))
    return query, [seconds(now + lease), seconds(now), *chain.from_iterable(rows), owner]


def _kept_of(bound: Bound | None, now: datetime) -> tuple[str | None, bytes | None, int | None]:
    if bound is None:
        return None, None, None
    return bound.subject[:256], bound.message, seconds(now + _RELAY_REMEMBERS) if bound.folds else None


def _sent(owner: str, taken: Sequence[Taken]) -> _Change:
    rows = [(each.email_id, _kept(each.reply), seconds(each.at)) for each in sorted(taken, key=_by_id)]
    return _SENT.replace("{rows}", ", ".join([_TAKEN] * len(rows))), [*chain.from_iterable(rows), owner]


def _by_id(each: Going | Taken) -> int:
    """The order in which whoever changes several locks them."""
    return each.email_id


def _changed_by(changes: Sequence[_Change]) -> set[int]:
    """The mails that these have changed, all in one transaction; on PostgreSQL in one trip."""
    if not changes:
        return set()
    if len(changes) == 1 or backend() == "postgresql":
        return {int(row[0]) for row in rows_alone(*_as_one(changes))}
    with writing():  # of SQLite, which breaks none off
        return {int(row[0]) for query, values in changes for row in rows_alone(query, values)}


def _as_one(changes: Sequence[_Change]) -> _Change:
    """One statement of them all, for a database that takes a change as a part of another."""
    if len(changes) == 1:
        return changes[0]
    parts = ", ".join(f"part_{place} AS ({query})" for place, (query, _) in enumerate(changes))
    ids = " UNION ALL ".join(f"SELECT id FROM part_{place}" for place in range(len(changes)))  # noqa: S608 - ours
    return f"WITH {parts} {ids}", [*chain.from_iterable(values for _, values in changes)]


def _changed(text: str, values: tuple[Any, ...]) -> None:
    """One row changes, or ClaimLost."""
    if run_alone(text, values) != 1:
        raise ClaimLost(_CLAIM_LOST)


def get(email_id: int) -> Email:
    """One mail, or NotFound."""
    mail: Email | None = Email.get_or_none(Email.id == email_id)
    if mail is None:
        raise NotFound("There is no such mail any more; go back and look again.")
    return mail


# The list of states is that of the partial index; SQLite uses it only where it stands word for word.
_NEXT = """
    SELECT id FROM email
     WHERE state IN ('queued', 'claimed', 'handing-over')
       AND ((state = 'queued' AND next_at <= ?) OR (state = 'claimed' AND (lease_until <= ? OR lease_until > ?)))
     ORDER BY next_at, id
     LIMIT ?
"""

# Both databases name the columns of VALUES alike.
_GOING = "(CAST(? AS BIGINT), CAST(? AS VARCHAR), CAST(? AS {bytes}), CAST(? AS BIGINT))"

_GOES = """
    UPDATE email
       SET state = 'handing-over', lease_until = ?, handed_over_at = ?,
           subject = coalesce(going.column2, subject),
           message = coalesce(going.column3, message),
           folds_until = CASE WHEN going.column3 IS NULL THEN folds_until ELSE going.column4 END
      FROM (VALUES {rows}) AS going
     WHERE id = going.column1 AND owner = ? AND state = 'claimed'
 RETURNING id
"""

_TAKEN = "(CAST(? AS BIGINT), CAST(? AS VARCHAR), CAST(? AS BIGINT))"

_SENT = """
    UPDATE email
       SET state = 'sent', reply = taken.column2, sent_at = taken.column3, owner = NULL, lease_until = NULL,
           attempts = attempts + 1
      FROM (VALUES {rows}) AS taken
     WHERE id = taken.column1 AND owner = ? AND state IN ('claimed', 'handing-over')
 RETURNING id
"""

# Materialized: PostgreSQL could run a joined query with a limit more than once, and take more.
_TAKE = """
    UPDATE email SET state = 'claimed', owner = ?, lease_until = ?
     WHERE id IN (WITH next AS MATERIALIZED ({next}) SELECT id FROM next)
 RETURNING id
"""

# One statement, or a mail that goes from one state to the other meanwhile is in neither.
_IN_THE_MINUTE = """
    SELECT (SELECT count(*) FROM email WHERE handed_over_at > ? AND handed_over_at <= ?)
         + (SELECT count(*) FROM email
             WHERE state IN ('queued', 'claimed', 'handing-over') AND state = 'claimed' AND lease_until > ?)
"""

_UNREADABLE = """
    UPDATE email SET state = 'failed', owner = NULL, lease_until = NULL, context = '{}', reply = ?
     WHERE id = ? AND state = 'claimed'
"""

# A second behind the last of them, so that those of one instant take turns.
_BEHIND = """
    UPDATE email
       SET state = 'queued', reply = ?, owner = NULL, lease_until = NULL,
           next_at = coalesce(
               (SELECT other.next_at + 1 FROM email AS other
                 WHERE other.state IN ('queued', 'claimed', 'handing-over') AND other.state IN ('queued', 'claimed')
                   AND other.next_at >= email.next_at AND other.next_at <= ? AND other.id <> email.id
                 ORDER BY other.next_at DESC LIMIT 1),
               next_at)
     WHERE id = ? AND owner = ? AND state IN ('claimed', 'handing-over')
"""

_RELEASE = """
    UPDATE email SET state = 'queued', owner = NULL, lease_until = NULL
     WHERE state IN ('queued', 'claimed', 'handing-over') AND state = 'claimed' AND owner = ?
"""
