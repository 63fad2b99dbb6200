"""Clearing the outbox of what nobody needs any more. What was sent to whom, when and why, stays."""

from collections.abc import Iterator
from datetime import datetime

from store.database import run_sql, session, writing
from store.fields import seconds
from store.usage_facts import marks

_TOGETHER = 100  # mails in one transaction
_YOUNG = 1000  # mails in a row, behind which none is taken for old
_WITH_BYTES = """
    SELECT id, queued_at, state FROM email WHERE id > ? AND message IS NOT NULL ORDER BY id LIMIT ?
"""
_CLOSED = frozenset({"sent", "failed", "withdrawn"})


def clear_bytes(before: datetime) -> Iterator[int]:
    """Drop the bytes of closed mails that were queued before an instant; after each transaction, of how many.

    Which ones is read without holding up who writes: the outbox is gone through in the order in which mails were
    queued, and no farther than those that are old. SQLite would read every byte of the others to learn how old they
    are. A mail that a clock gone wrong has made older than those before it is cleared when they are.
    """
    with session():
        for ids in _old(seconds(before)):
            with writing():
                cleared = run_sql(_CLEAR.replace("{ids}", marks(len(ids))), ids).rowcount
            yield int(cleared)


def _old(before: int) -> Iterator[list[int]]:
    found: list[int] = []
    after = young = 0
    while young < _YOUNG and (page := run_sql(_WITH_BYTES, (after, _TOGETHER)).fetchall()):
        for email_id, queued_at, state in page:
            young = young + 1 if queued_at >= before else 0
            if queued_at < before and state in _CLOSED:
                found.append(int(email_id))
        while len(found) >= _TOGETHER:
            yield found[:_TOGETHER]
            found = found[_TOGETHER:]
        after = page[-1][0]
    if found:
        yield found


# A person may have had a failed one sent again meanwhile.
_CLEAR = """
    UPDATE email SET message = NULL WHERE id IN ({ids}) AND state IN ('sent', 'failed', 'withdrawn')
"""
