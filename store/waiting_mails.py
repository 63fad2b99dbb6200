"""How many mails wait in the outbox and since when, and how many need a person.

A refusal, or a relay that stops at it, moves a mail's `next_at` and not the instant since which it is due. That is when
it was queued or, of mails that wait for the morning, that morning. One that a person sends once more waits from then
on, and when it is refused as well, from the first instant again.
"""

from dataclasses import dataclass
from datetime import date, datetime

from store import notice_mails
from store.database import run_sql, session
from store.errors import FormatWrong
from store.fields import instant, seconds
from store.mail_kinds import DIGESTS
from store.tables import Email


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


def due_since(mail: Email) -> datetime:
    """The instant since which a mail could have left."""
    if mail.attempts == 0 and (mail.reply is None or mail.resends):
        untried: datetime = mail.next_at
        return untried
    zone = mail.context.get("zone") if mail.kind in DIGESTS else None
    return _first_due(mail.queued_at, zone, mail.dedupe_key.removeprefix(f"{mail.kind}:{mail.company_id}:")[:10])


def oldest(now: datetime) -> datetime | None:
    """Since when the mail is due that has waited longest and has not left, whether it was refused or never tried."""
    with session():
        untried = run_sql(_UNTRIED, (seconds(now),)).fetchone()
        tried = run_sql(_TRIED).fetchall()
    found = [instant(at) for at in untried or ()]
    found += [_first_due(instant(queued_at), zone, day) for zone, day, queued_at in tried]
    return min((at for at in found if at <= now), default=None)


def _first_due(queued_at: datetime, zone: str | None, day: str | None) -> datetime:
    """`zone` and `day` are those in whose morning the mail leaves; without them it leaves at any hour."""
    if not zone or not day:
        return queued_at
    try:
        return max(queued_at, notice_mails.morning_of(date.fromisoformat(day), zone))
    except (ValueError, FormatWrong):  # a notice that another program has queued
        return queued_at


# The list of states is that of the partial index; SQLite uses it only where it stands word for word.
_DUE = """
    SELECT count(*) FROM email
     WHERE state IN ('queued', 'claimed', 'handing-over') AND state = 'queued' AND next_at <= ?
"""

_UNTRIED = """
    SELECT next_at FROM email
     WHERE state IN ('queued', 'claimed', 'handing-over') AND attempts = 0 AND next_at <= ?
       AND (reply IS NULL OR resends > 0)
     ORDER BY next_at LIMIT 1
"""

# Of a notice the day stands in its reason, behind kind and company (store/notice_mails.py).
_TRIED = """
    SELECT zone, day, min(queued_at)
      FROM (SELECT e.queued_at,
                   CASE WHEN e.kind IN ({digests}) THEN c.time_zone END AS zone,
                   CASE WHEN e.kind IN ({digests})
                        THEN substr(e.dedupe_key, length(e.kind) + length(CAST(e.company_id AS VARCHAR)) + 3, 10)
                   END AS day
              FROM email e LEFT JOIN company c ON c.id = e.company_id
             WHERE e.state IN ('queued', 'claimed', 'handing-over')
               AND (e.attempts > 0 OR (e.reply IS NOT NULL AND e.resends = 0))) AS tried
     GROUP BY zone, day
""".replace("{digests}", ", ".join(f"'{kind}'" for kind in sorted(DIGESTS)))

_COUNTS = """
    SELECT state, count(*) FROM email WHERE state IN ('queued', 'claimed', 'handing-over') GROUP BY state UNION ALL
    SELECT state, count(*) FROM email WHERE state IN ('failed', 'ambiguous') GROUP BY state
"""
