"""The outbox: mails that are owed, one row a recipient, bound to what caused them by one transaction."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.database import run_sql
from store.fields import Canonical, canonical, seconds


@dataclass(frozen=True)
class Owed:
    """A mail that somebody is owed. `dedupe_key` names reason and recipient: the same one is never owed twice."""

    kind: str
    recipient: str  # the address as sent to
    recipient_name: str
    dedupe_key: str
    context: dict[str, Any] | Canonical
    company_id: int | None = None
    language: str = "en"
    useless_after: datetime | None = None
    not_before: datetime | None = None  # None: at once


Row = tuple[Any, ...]
"""The values of a mail in the outbox, in the order of its statement."""

_ROWS_A_STATEMENT = 200
_LONGEST_ADDRESS = 100  # in a dedupe_key, which has room for 200 characters
_INSERT = """
    INSERT INTO email (company_id, kind, recipient, recipient_name, language, dedupe_key, message_id, context, state,
                       queued_at, next_at, useless_after, attempts, resends)
    VALUES {rows}
    ON CONFLICT (dedupe_key) DO NOTHING
    RETURNING dedupe_key, id
"""
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, 0, 0)"


def queue(mails: Sequence[Owed], now: datetime) -> dict[str, int]:
    """Put the mails into the outbox; the ids of those that were put there, by dedupe_key.

    One that is there already (same dedupe_key) stays as it is.
    """
    return put(rows(mails, now))


def rows(mails: Sequence[Owed], now: datetime) -> list[Row]:
    """What `put` writes of these mails: made beforehand, it keeps nobody waiting who wants to write as well."""
    at = seconds(now)
    return [_row(owed, at) for owed in mails]


def put(mails: Sequence[Row]) -> dict[str, int]:
    """The same as `queue` for mails that were made ready by `rows`."""
    ids: dict[str, int] = {}
    for start in range(0, len(mails), _ROWS_A_STATEMENT):
        some = mails[start : start + _ROWS_A_STATEMENT]
        text = _INSERT.replace("{rows}", ", ".join([_ROW] * len(some)))
        found = run_sql(text, [value for row in some for value in row]).fetchall()
        ids.update((str(key), int(number)) for key, number in found)
    return ids


def mailbox(address: str) -> str:
    """What stands for an address in a dedupe_key: equal for one mailbox however it was written, and never too long."""
    folded = address.lower()
    return folded if len(folded) <= _LONGEST_ADDRESS else hashlib.sha256(folded.encode()).hexdigest()[:40]


def _row(owed: Owed, at: int) -> Row:
    return (
        owed.company_id,
        owed.kind,
        owed.recipient,
        _storable(owed.recipient_name),
        owed.language,
        owed.dedupe_key,
        reference(owed.dedupe_key),
        _storable(canonical(owed.context)),
        at,
        max(at, seconds(owed.not_before)) if owed.not_before else at,
        seconds(owed.useless_after) if owed.useless_after else None,
    )


def _storable(text: str) -> str:
    """With a question mark for each half of a character, which no database takes: the change must not fail for it."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def reference(dedupe_key: str) -> str:
    """The left part of the mail's Message-ID, from its reason alone: the same mail always has the same one."""
    return "kd." + hashlib.sha256(dedupe_key.encode()).hexdigest()[:32]
