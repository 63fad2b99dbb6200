"""What a person decides about a mail that does not go out by itself: it is sent once more, or never."""

from datetime import datetime

from store import outgoing
from store.actors import Actor
from store.change import change
from store.database import backend, run_sql, session
from store.errors import Refused
from store.fields import seconds
from store.rules.text import check_name
from store.tables import Email


def resend(actor: Actor, email_id: int, now: datetime) -> None:
    """Queue a mail once more: an ambiguous one with the same bytes, a failed one written anew. Its tries begin anew."""
    with change(actor, "mail.resend", _company_of(email_id), now) as made:
        mail = _held(email_id)
        changed = run_sql(
            "UPDATE email SET message = CASE WHEN state = 'failed' THEN NULL ELSE message END, state = 'queued', "
            "next_at = ?, attempts = 0, resends = resends + 1, folds_until = NULL, owner = NULL, lease_until = NULL "
            "WHERE id = ? AND state IN ('ambiguous', 'failed')",
            (seconds(now), email_id),
        ).rowcount
        if changed != 1:
            _refuse_on_its_way(mail)
            raise Refused(f"This mail is {mail.state}; only one that failed or whose answer was lost is sent again.")
        made.event(
            "mail.resend", _subject(mail), mail.company_id, before={"state": mail.state}, after={"state": "queued"}
        )


def dismiss(actor: Actor, email_id: int, reason: str, now: datetime) -> None:
    """Decide that a mail is not sent (again). The reason is kept."""
    said = check_name(reason, "reason", limit=200)
    with change(actor, "mail.dismiss", _company_of(email_id), now) as made:
        mail = _held(email_id)
        changed = run_sql(
            "UPDATE email SET state = 'withdrawn', reply = ?, owner = NULL, lease_until = NULL "
            "WHERE id = ? AND state IN ('ambiguous', 'failed', 'queued')",
            (said, email_id),
        ).rowcount
        if changed != 1:
            _refuse_on_its_way(mail)
            raise Refused(f"This mail is {mail.state}; there is nothing left to dismiss.")
        made.event(
            "mail.dismiss", _subject(mail), mail.company_id, before={"state": mail.state}, after={"reason": said}
        )


def on_its_way(state: str) -> str | None:
    """Why a mail in that state is nobody's to decide about yet, and when it will be; None when it is in no hands."""
    if state == "claimed":
        return "This mail is on its way to the relay. If it has not gone, try again in a minute."
    if state == "handing-over":
        return (
            "This mail is being handed over to the relay. What became of it is known in up to 14 minutes, or 30 if its "
            "worker has died; try again then."
        )
    return None


def _refuse_on_its_way(mail: Email) -> None:
    why = on_its_way(mail.state)
    if why is not None:
        raise Refused(why)


def _held(email_id: int) -> Email:
    """The mail, which no worker takes or settles before this transaction has ended."""
    if backend() == "postgresql":
        run_sql("SELECT 1 FROM email WHERE id = ? FOR UPDATE", (email_id,))
    return outgoing.get(email_id)


def _company_of(email_id: int) -> int | None:
    with session():
        return outgoing.get(email_id).company_id


def _subject(mail: Email) -> str:
    return f"mail {mail.kind} to {mail.recipient}"
