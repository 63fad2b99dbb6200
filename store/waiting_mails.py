"""How many mails wait in the outbox, and how many need a person."""

from dataclasses import dataclass
from datetime import datetime

from store.database import run_sql, session
from store.fields import seconds


@dataclass(frozen=True)
class Pending:
    """How many mails wait, are on their way, and need a person."""

    queued: int = 0
    on_their_way: int = 0
    failed: int = 0
    ambiguous: int = 0


def due(now: datetime) -> int:
    """How many mails wait whose time has come."""
    with session():
        return int(run_sql(_DUE, (seconds(now),)).fetchone()[0])


def pending() -> Pending:
    """What waits in the outbox, and what needs a person."""
    with session():
        found = {str(row[0]): int(row[1]) for row in run_sql(_COUNTS).fetchall()}
    return Pending(
        queued=found.get("queued", 0),
        on_their_way=found.get("claimed", 0) + found.get("handing-over", 0),
        failed=found.get("failed", 0),
        ambiguous=found.get("ambiguous", 0),
    )


# The list of states is that of the partial index; SQLite uses it only where it stands word for word.
_DUE = """
    SELECT count(*) FROM email
     WHERE state IN ('queued', 'claimed', 'handing-over') AND state = 'queued' AND next_at <= ?
"""

_COUNTS = """
    SELECT state, count(*) FROM email WHERE state IN ('queued', 'claimed', 'handing-over') GROUP BY state UNION ALL
    SELECT state, count(*) FROM email WHERE state IN ('failed', 'ambiguous') GROUP BY state
"""
