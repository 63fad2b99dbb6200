"""The outbox: mails that are owed, one row a recipient, bound to what caused them by one transaction."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.database import run_sql
from store.fields import canonical, seconds


@dataclass(frozen=True)
class Owed:
    """A mail that somebody is owed. `dedupe_key` names reason and recipient: the same one is never owed twice."""

    kind: str
    recipient: str  # the address as sent to
    recipient_name: str
    dedupe_key: str
    context: dict[str, Any]
    company_id: int | None = None
    language: str = "en"
    useless_after: datetime | None = None
    not_before: datetime | None = None  # None: at once


_INSERT = """
    INSERT INTO email (company_id, kind, recipient, recipient_name, language, dedupe_key, message_id, context, state,
                       queued_at, next_at, useless_after, attempts, resends)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, 0, 0)
    ON CONFLICT (dedupe_key) DO NOTHING
"""


def queue(mails: Sequence[Owed], now: datetime) -> None:
    """Put the mails into the outbox. One that is there already (same dedupe_key) stays as it is."""
    at = seconds(now)
    for owed in mails:
        useless = seconds(owed.useless_after) if owed.useless_after else None
        run_sql(
            _INSERT,
            (
                owed.company_id,
                owed.kind,
                owed.recipient,
                owed.recipient_name,
                owed.language,
                owed.dedupe_key,
                reference(owed.dedupe_key),
                canonical(owed.context),
                at,
                max(at, seconds(owed.not_before)) if owed.not_before else at,
                useless,
            ),
        )


def reference(dedupe_key: str) -> str:
    """The left part of the mail's Message-ID, from its reason alone: the same mail always has the same one."""
    return "kd." + hashlib.sha256(dedupe_key.encode()).hexdigest()[:32]
