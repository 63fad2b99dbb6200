"""The lists of mails and of notices. `only`: the one company that the admin may see."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from store.database import run_sql
from store.fields import instant
from store.filters import Grammar, one_of, parse
from store.listings.selection import Conditions, Ids, count, marks, read_ids
from store.tables import Email

MAIL_STATES = ("queued", "claimed", "handing-over", "sent", "failed", "ambiguous", "withdrawn")
NOTICE_STATES = ("mailed", "covered", "withdrawn", "unreachable")
MAIL_GRAMMAR: Grammar = {"state": MAIL_STATES, "kind": None, "to": None, "company": None}
NOTICE_GRAMMAR: Grammar = {"state": NOTICE_STATES, "to": None, "company": None}


@dataclass(frozen=True, slots=True)
class MailRow:
    """A mail as the list shows it."""

    id: int
    company_id: int | None
    company: str
    kind: str
    recipient: str
    recipient_name: str
    subject: str  # empty until it is rendered
    state: str
    queued_at: datetime
    next_at: datetime
    sent_at: datetime | None
    attempts: int
    reply: str
    message_id: str  # before the @
    resends: int
    handed_over_at: datetime | None  # when its bytes went last
    company_external_id: str


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """A notice as the list shows it. An empty recipient: nobody could be reached."""

    id: int
    company_id: int
    company: str
    key: str  # kdp_Ab12…9zYx (label)
    threshold: int  # days before expiry; -1 when it has expired
    expires_on: date
    recipient: str
    state: str
    created_at: datetime
    email_id: int | None


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Mails that nobody but a person can settle, by state."""

    failed: int = 0
    ambiguous: int = 0


def mail_ids(only: int | None, needle: str = "", limit: int | None = None, kind: str = "") -> Ids:
    """Newest first; with `kind` of exactly that kind."""
    conditions = _mail_conditions(only, needle)
    if kind:
        conditions.add("e.kind = ?", kind)
    return read_ids("SELECT e.id FROM email e", conditions, "e.id DESC", limit)


def newer_mails(only: int | None, needle: str, after_id: int) -> int:
    """How many mails were queued after one."""
    conditions = _mail_conditions(only, needle)
    conditions.add("e.id > ?", after_id)
    return count("SELECT COUNT(*) FROM email e", conditions)


_MAILS = """
    SELECT e.id, e.company_id, c.name, e.kind, e.recipient, e.recipient_name, e.subject, e.state, e.queued_at,
           e.next_at, e.sent_at, e.attempts, e.reply, e.message_id, e.resends, e.handed_over_at, c.external_id
    FROM email e LEFT JOIN company c ON c.id = e.company_id WHERE e.id IN ({marks})
"""


def mail_rows(wanted: Sequence[int]) -> dict[int, MailRow]:
    """The rows of these mails by id."""
    found = run_sql(_MAILS.format(marks=marks(wanted)), list(wanted)).fetchall()
    return {int(row[0]): _mail(row) for row in found}


def mail(only: int | None, email_id: int) -> Email | None:
    """One mail with its bytes and its context; None for another company's too."""
    found: Email | None = Email.get_or_none(Email.id == email_id)
    return found if found is not None and only in {None, found.company_id} else None


def unsettled(only: int | None) -> Unsettled:
    """What waits for a person."""
    conditions = Conditions()
    conditions.add("e.state IN ('failed', 'ambiguous')")  # word for word as in the partial index
    if only is not None:
        conditions.add("e.company_id = ?", only)
    text = f"SELECT e.state, COUNT(*) FROM email e{conditions.where()} GROUP BY e.state"
    return Unsettled(**{str(state): int(mails) for state, mails in run_sql(text, conditions.values).fetchall()})


def notice_ids(only: int | None, needle: str = "", limit: int | None = None) -> Ids:
    """Newest first."""
    return read_ids(_NOTICES_FROM.format(columns="n.id"), _notice_conditions(only, needle), "n.id DESC", limit)


def newer_notices(only: int | None, needle: str, after_id: int) -> int:
    """How many notices were written after one."""
    conditions = _notice_conditions(only, needle)
    conditions.add("n.id > ?", after_id)
    return count(_NOTICES_FROM.format(columns="COUNT(*)"), conditions)


_NOTICES_FROM = "SELECT {columns} FROM notice n JOIN api_key k ON k.id = n.key_id"
_NOTICES = """
    SELECT n.id, k.company_id, c.name, k.first, k.last, k.label, n.threshold, n.expires_on, n.recipient, n.state,
           n.created_at, n.email_id
    FROM notice n JOIN api_key k ON k.id = n.key_id JOIN company c ON c.id = k.company_id WHERE n.id IN ({marks})
"""


def notice_rows(wanted: Sequence[int]) -> dict[int, NoticeRow]:
    """The rows of these notices by id."""
    found = run_sql(_NOTICES.format(marks=marks(wanted)), list(wanted)).fetchall()
    return {int(row[0]): _notice(row) for row in found}


def _mail_conditions(only: int | None, needle: str) -> Conditions:
    conditions = Conditions()
    if only is not None:
        conditions.add("e.company_id = ?", only)
    for term in parse(needle, MAIL_GRAMMAR):
        if term.field == "state":
            states = one_of(term, MAIL_STATES)
            conditions.add_term(term, f"e.state IN ({marks(states)})", *states)
        elif term.field == "company":
            conditions.add_words(term, ("(SELECT c.folded FROM company c WHERE c.id = e.company_id)",))
        else:
            to = ("lower(e.recipient)", "lower(e.recipient_name)")
            everywhere = (*to, "e.kind", "lower(COALESCE(e.subject, ''))")
            conditions.add_words(term, {"to": to, "kind": ("e.kind",)}.get(term.field, everywhere))
    return conditions


def _notice_conditions(only: int | None, needle: str) -> Conditions:
    conditions = Conditions()
    if only is not None:
        conditions.add("k.company_id = ?", only)
    for term in parse(needle, NOTICE_GRAMMAR):
        if term.field == "state":
            states = one_of(term, NOTICE_STATES)
            conditions.add_term(term, f"n.state IN ({marks(states)})", *states)
        elif term.field == "company":
            conditions.add_words(term, ("(SELECT c.folded FROM company c WHERE c.id = k.company_id)",))
        else:
            to = ("lower(n.recipient)",)
            conditions.add_words(term, to if term.field == "to" else (*to, "k.folded", "lower(k.first)"))
    return conditions


def _mail(row: Sequence[Any]) -> MailRow:
    return MailRow(
        id=row[0],
        company_id=row[1],
        company=row[2] or "",
        kind=row[3],
        recipient=row[4],
        recipient_name=row[5],
        subject=row[6] or "",
        state=row[7],
        queued_at=instant(row[8]),
        next_at=instant(row[9]),
        sent_at=None if row[10] is None else instant(row[10]),
        attempts=row[11],
        reply=row[12] or "",
        message_id=row[13],
        resends=row[14],
        handed_over_at=None if row[15] is None else instant(row[15]),
        company_external_id=row[16] or "",
    )


def _notice(row: Sequence[Any]) -> NoticeRow:
    return NoticeRow(
        id=row[0],
        company_id=row[1],
        company=row[2],
        key=f"{row[3]}…{row[4]} ({row[5]})",
        threshold=row[6],
        expires_on=date.fromisoformat(row[7]),
        recipient=row[8],
        state=row[9],
        created_at=instant(row[10]),
        email_id=row[11],
    )
