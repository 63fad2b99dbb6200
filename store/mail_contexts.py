"""What a mail about a change will say, as the outbox keeps it: JSON values, no secret, no count of days.

The shapes are those of the worker's letters. `roles` says why the recipient gets the mail; the worker adds the rest of
the envelope (vendor, reply address, reference) when it writes the letter.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from store.outbox import Owed, mailbox
from store.recipients import Recipient, recipients
from store.tables import Company, Key, User


def key_fact(key: Key, resource: str) -> dict[str, Any]:
    """A key as people may see it."""
    return {
        "first": key.first,
        "last": key.last,
        "label": key.label,
        "resource": resource,
        "environment": key.environment,
        "kind": key.kind,
        "expires_on": key.expires_on.isoformat(),
    }


def instant_text(instant: datetime) -> str:
    """An aware UTC instant as 2026-11-23T13:02:00Z."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def about_key(
    kind: str, company: Company, key: Key, resource: User, by: str, now: datetime, **also: Any
) -> Iterator[Owed]:
    """One mail to each recipient of the company and the key's resource about what `by` did to the key."""
    context = {
        "company": company.name,
        "zone": company.time_zone,
        "key": key_fact(key, resource.name),
        "by": by,
        "at": instant_text(now),
        **also,
    }
    for recipient in recipients(company.id, resource.id):
        # With the date, so that two changes of it within one second are two mails.
        reason = f"{kind}:{key.handle}:{key.expires_on}:{instant_text(now)}"
        yield owed(kind, company, recipient, reason, context)


def owed(kind: str, company: Company, recipient: Recipient, reason: str, context: dict[str, Any]) -> Owed:
    """The mail to one recipient; `reason` and the address together make it unique."""
    return Owed(
        kind=kind,
        recipient=recipient.address,
        recipient_name=recipient.name,
        dedupe_key=f"{reason}:{mailbox(recipient.address)}",
        context={**context, "roles": list(recipient.roles)},
        company_id=company.id,
        language=company.language,
    )
