"""Clearing the outbox of what nobody needs any more. What was sent to whom, when and why, stays."""

from collections.abc import Iterator
from datetime import datetime

from store.database import run_sql, session, writing
from store.fields import seconds
from store.usage_facts import marks

_TOGETHER = 100  # mails in one transaction
_WITH_BYTES = """
    SELECT id FROM email
     WHERE id > ? AND state IN ('sent', 'failed', 'withdrawn') AND message IS NOT NULL AND queued_at < ?
     ORDER BY id LIMIT ?
"""


def clear_bytes(before: datetime) -> Iterator[int]:
    """Drop the bytes of closed mails that were queued before an instant; after each transaction, of how many.

    Which ones is read without holding up who writes: for that the whole outbox is gone through, once.
    """
    after = 0
    with session():
        while ids := [int(row[0]) for row in run_sql(_WITH_BYTES, (after, seconds(before), _TOGETHER)).fetchall()]:
            with writing():
                cleared = run_sql(_CLEAR.replace("{ids}", marks(len(ids))), ids).rowcount
            yield int(cleared)
            after = ids[-1]


# A person may have had a failed one sent again meanwhile.
_CLEAR = """
    UPDATE email SET message = NULL WHERE id IN ({ids}) AND state IN ('sent', 'failed', 'withdrawn')
"""
