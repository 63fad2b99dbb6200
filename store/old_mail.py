"""Clearing the outbox of what nobody needs any more. What was sent to whom, when and why, stays."""

from datetime import datetime

from store.database import run_sql, session, writing
from store.fields import seconds


def clear_bytes(before: datetime, limit: int) -> int:
    """Drop the bytes of at most `limit` closed mails that were queued before an instant. Gives how many."""
    text = """
        UPDATE email SET message = NULL WHERE id IN (
            SELECT id FROM email
            WHERE state IN ('sent', 'failed', 'withdrawn') AND message IS NOT NULL AND queued_at < ?
            ORDER BY id LIMIT ?)
    """
    with session(), writing():
        return int(run_sql(text, (seconds(before), limit)).rowcount)
