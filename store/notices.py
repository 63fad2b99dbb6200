"""Notices: mails owed to one recipient for one reason, once; bound to their mails in one transaction."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from store import due_notices, notice_mails
from store.database import backend, one_of, run_planned, run_sql, session, transact, writing
from store.due_notices import MOST_NAMED, Owing, owing
from store.fields import canonical, instant, seconds
from store.mail_truth import NoLongerTrue, confirm, uncover
from store.notice_mails import Written
from store.tables import Email

_ROWS_A_STATEMENT = 500
_SLICE = 800  # mails and keys in one transaction, which takes some hundredths of a second
_SWEEP_LOCK = 0x6B64_6E6F  # one PostgreSQL transaction at a time decides what is owed in a zone

GoOn = Callable[[int, int], object]
"""Notes how far a slice comes and what it wrote, in its transaction."""


class _WrittenMeanwhile(Exception):
    """Somebody else has written some of what is owed since it was read."""


@dataclass(frozen=True)
class Unreachable:
    """A key about whose expiry nobody could be told: it has no recipient, or the relay refused each for good."""

    key_id: int
    company_id: int
    company: str
    label: str
    first: str
    last: str
    expires_on: date
    threshold: int
    since: datetime


def sweep(zone_name: str, day: date, now: datetime, thresholds: Sequence[int]) -> int:
    """Write every notice owed in that zone on that local day, and queue its mail; the number of notices written.

    Run again, it writes nothing. Mails go from 07:00 local time. A wider notice whose mail is still in the queue is
    covered by a tighter one: nobody gets two warnings about one key at once.
    """
    return sum(sweep_in_slices(zone_name, day, now, thresholds))


def sweep_in_slices(
    zone_name: str, day: date, now: datetime, thresholds: Sequence[int], *, after: int = 0, go_on: GoOn | None = None
) -> Iterator[int]:
    """The same for the companies after `after`, by their ids, in transactions that keep nobody waiting for long.

    Yields after each how many notices it wrote. What is owed is read before it; `go_on` is called in it with the last
    company that it deals with and the number of notices.
    """
    with session():
        slice_: list[Owing] = []
        weight = 0
        for mail in due_notices.by_company(zone_name, day, thresholds, after):
            if weight >= _SLICE and mail.company_id != slice_[-1].company_id:
                yield _write(slice_, day, now, thresholds, go_on)
                slice_, weight = [], 0
            slice_.append(mail)
            weight += 1 + len(mail.keys)
        if slice_:
            yield _write(slice_, day, now, thresholds, go_on)


def _write(mails: list[Owing], day: date, now: datetime, thresholds: Sequence[int], go_on: GoOn | None) -> int:
    """One slice in its transaction. Where somebody else has written some of it since it was read, it is read again."""
    zone_name, company_id = mails[0].zone, mails[-1].company_id
    keys = sorted({key.key_id for mail in mails for key in mail.keys})
    ready = notice_mails.write(mails, day, now)  # before anybody has to wait for it

    def whole(*, again: bool) -> int:
        if backend() == "postgresql":
            run_sql("SELECT pg_advisory_xact_lock(CAST(? AS INT), hashtext(?))", (_SWEEP_LOCK, zone_name))
        read_again = {"companies": (mails[0].company_id, company_id)} if len(keys) > MOST_NAMED else {"among": keys}
        if again:
            owed = owing(zone_name, day, thresholds, **read_again)
            written = _record(owed, notice_mails.write(owed, day, now), day, now)
        else:
            written = _record(mails, ready, day, now)
        for start in range(0, len(keys), MOST_NAMED):
            some = keys[start : start + MOST_NAMED]
            _cover_wider(some, now)
            named, ids = one_of(some)
            run_sql(_REACHED_AFTER_ALL.replace("{keys}", named), ids)
        if go_on is not None:
            go_on(company_id, written)
        return written

    try:
        return transact(lambda: whole(again=False))
    except _WrittenMeanwhile:
        return transact(lambda: whole(again=True))


def dry_run(day: date, thresholds: Sequence[int], zone_name: str | None = None) -> list[Owing]:
    """What a sweep of that local day would queue, in one zone or in all; nothing is written."""
    with session():
        zones = [zone_name] if zone_name else [row[0] for row in run_sql(_ZONES).fetchall()]
        return [mail for name in zones for mail in owing(name, day, thresholds)]


def withdraw(key_id: int, reason: str, now: datetime) -> None:
    """Take the key out of what is queued about it, in the transaction of the change that makes it untrue.

    A mail that a worker has claimed is left to that worker, who asks `mail_truth` before it hands anything over.
    """
    _withdraw(_QUEUED_OF_KEY, key_id, reason, now)


def withdraw_company(company_id: int, reason: str, now: datetime) -> None:
    """Take all keys of the company out of what is queued about them."""
    _withdraw(_QUEUED_OF_COMPANY, company_id, reason, now)


def unreachable(company_id: int | None = None) -> list[Unreachable]:
    """The keys that expire, or have expired, without anybody knowing: a red state until somebody can be told."""
    with session():
        rows = run_sql(_UNREACHABLE, (company_id, company_id, company_id, company_id)).fetchall()
    found: dict[int, Unreachable] = {}
    for row in rows:
        key_id, of_company, company, label, first, last, expires_on, threshold, since = row
        found[key_id] = Unreachable(
            key_id, of_company, company, label, first, last, date.fromisoformat(expires_on), threshold, instant(since)
        )
    return sorted(found.values(), key=lambda one: (one.expires_on, one.key_id))


def _record(mails: Sequence[Owing], ready: Written, day: date, now: datetime) -> int:
    """Queue the mails and write their notices; how many. _WrittenMeanwhile when one of them is there already."""
    ids = notice_mails.queue(ready, day, now)
    at = seconds(now)
    owed = [row for mail in mails for row in _notices_of(mail, ids.get(id(mail)), at)]
    written = _insert(owed)
    if written != len(owed):
        raise _WrittenMeanwhile
    return written + _insert([row for mail in mails if mail.recipient for row in _covered_by(mail, at)])


def _insert(rows: Sequence[tuple[Any, ...]]) -> int:
    written = 0
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        some = rows[start : start + _ROWS_A_STATEMENT]
        text = _NOTICES.replace("{rows}", ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(some)))
        written += run_sql(text, [value for row in some for value in row]).rowcount
    return written


def _notices_of(mail: Owing, email_id: int | None, at: int) -> Iterator[tuple[Any, ...]]:
    """A row for each key's tightest threshold."""
    state, address = "unreachable" if email_id is None else "mailed", mail.address
    for key in mail.keys:
        yield key.key_id, key.expires_on.isoformat(), key.threshold, address, state, email_id, at


def _covered_by(mail: Owing, at: int) -> Iterator[tuple[Any, ...]]:
    """A row for each wider threshold, which somebody who is told of a tighter one need not hear of."""
    address = mail.address
    for key in mail.keys:
        for threshold in key.covered:
            yield key.key_id, key.expires_on.isoformat(), threshold, address, "covered", None, at


def _cover_wider(key_ids: Sequence[int], now: datetime) -> None:
    """Let go of queued warnings about these keys of a wider threshold than one that is queued as well."""
    named, ids = one_of(key_ids)
    rows = run_planned(_WIDER_AND_QUEUED.replace("{keys}", named), ids).fetchall()
    for notice_id, _ in rows:
        run_sql("UPDATE notice SET state = 'covered', email_id = NULL WHERE id = ?", (notice_id,))
    _settle({int(email_id) for _, email_id in rows}, "a more urgent notice took its place", now)


def _withdraw(query: str, number: int, reason: str, now: datetime) -> None:
    with session(), writing():
        rows = run_sql(query, (number,)).fetchall()
        for notice_id, _, _ in rows:
            run_sql("UPDATE notice SET state = 'withdrawn' WHERE id = ?", (notice_id,))
        uncover({int(key_id) for _, key_id, _ in rows})
        _settle({int(email_id) for _, _, email_id in rows if email_id is not None}, reason, now)


def _settle(email_ids: set[int], reason: str, now: datetime) -> None:
    """Bring queued mails in line with their notices: without those keys, or withdrawn when none is left."""
    for email_id in sorted(email_ids):
        try:
            context = confirm(Email.get_by_id(email_id), now).said
        except NoLongerTrue:
            text = "UPDATE email SET state = 'withdrawn', reply = ? WHERE id = ? AND state = 'queued'"
            run_sql(text, (reason, email_id))
        else:
            text = "UPDATE email SET context = ? WHERE id = ? AND state = 'queued'"
            run_sql(text, (canonical(context), email_id))


_ZONES = "SELECT DISTINCT time_zone FROM company WHERE deactivated_at IS NULL ORDER BY time_zone"

_NOTICES = """
    INSERT INTO notice (key_id, expires_on, threshold, recipient, state, email_id, created_at)
    VALUES {rows}
    ON CONFLICT (key_id, expires_on, threshold, recipient) DO UPDATE
        SET state = excluded.state, email_id = excluded.email_id, created_at = excluded.created_at
      WHERE notice.state = 'withdrawn'
"""

# Looked up row by row, and not joined: while a sweep fills these tables a planner takes them for as small as they were,
# and begins with all mails that are queued.
_WIDER_AND_QUEUED = """
    SELECT n.id, n.email_id
      FROM notice n
     WHERE n.key_id {keys} AND n.state = 'mailed'
       AND (SELECT min(tighter.threshold) FROM notice tighter
             WHERE tighter.key_id = n.key_id AND tighter.expires_on = n.expires_on
               AND tighter.recipient = n.recipient AND tighter.state = 'mailed') < n.threshold
       AND (SELECT e.state FROM email e WHERE e.id = n.email_id) = 'queued'
"""

_REACHED_AFTER_ALL = """
    UPDATE notice SET state = 'withdrawn'
     WHERE state = 'unreachable' AND key_id {keys}
       AND EXISTS (SELECT 1 FROM notice m
                    WHERE m.key_id = notice.key_id AND m.expires_on = notice.expires_on
                      AND m.threshold <= notice.threshold AND m.state = 'mailed')
"""

_QUEUED_OF_KEY = """
    SELECT n.id, n.key_id, n.email_id
      FROM notice n LEFT JOIN email e ON e.id = n.email_id
     WHERE n.key_id = ? AND (n.state = 'unreachable' OR (n.state = 'mailed' AND e.state = 'queued'))
"""

_QUEUED_OF_COMPANY = """
    SELECT n.id, n.key_id, n.email_id
      FROM api_key k JOIN notice n ON n.key_id = k.id LEFT JOIN email e ON e.id = n.email_id
     WHERE k.company_id = ? AND (n.state = 'unreachable' OR (n.state = 'mailed' AND e.state = 'queued'))
"""

_UNREACHABLE = """
    SELECT k.id, c.id, c.name, k.label, k.first, k.last, n.expires_on, n.threshold, n.created_at
      FROM notice n
      JOIN api_key k ON k.id = n.key_id AND k.expires_on = n.expires_on
      JOIN company c ON c.id = k.company_id
      JOIN integration i ON i.company_id = c.id AND i.code = 'api_access'
     WHERE n.state = 'unreachable'
       AND (CAST(? AS BIGINT) IS NULL OR c.id = ?) AND c.deactivated_at IS NULL AND i.enabled_at IS NOT NULL
       AND k.revoked_at IS NULL AND k.rotated_at IS NULL
    UNION ALL
    SELECT k.id, c.id, c.name, k.label, k.first, k.last, n.expires_on, n.threshold, n.created_at
      FROM email e
      JOIN notice n ON n.email_id = e.id AND n.state = 'mailed'
      JOIN api_key k ON k.id = n.key_id AND k.expires_on = n.expires_on
      JOIN company c ON c.id = k.company_id
      JOIN integration i ON i.company_id = c.id AND i.code = 'api_access'
     WHERE e.state IN ('failed', 'ambiguous') AND e.state = 'failed' AND e.kind IN ('key_expiring', 'key_expired')
       AND (CAST(? AS BIGINT) IS NULL OR c.id = ?) AND c.deactivated_at IS NULL AND i.enabled_at IS NOT NULL
       AND k.revoked_at IS NULL AND k.rotated_at IS NULL
       AND NOT EXISTS (SELECT 1 FROM notice m JOIN email f ON f.id = m.email_id
                        WHERE m.key_id = n.key_id AND m.expires_on = n.expires_on AND m.threshold = n.threshold
                          AND m.state = 'mailed' AND f.state <> 'failed')
     ORDER BY 8 DESC
"""
