"""From a row of the outbox to the letter and its bytes, as of today in the company's days."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from jobs import letter_json, letters, messages
from jobs.messages import Mailbox
from store import installation
from store.database import run_sql
from store.installation import Installation
from store.mail_kinds import ABOUT_A_KEY, DIGESTS
from store.mail_truth import Confirmed
from store.rules import calendar
from store.tables import Email

_ENVELOPE: Final = frozenset({"roles"})  # what a context says of its recipient


@dataclass(frozen=True)
class Sender:
    """Who writes: the From address, where answers go, and the header in which the relay looks for a mail's key."""

    address: str
    reply_to: str
    idempotency_header: str = ""

    @property
    def domain(self) -> str:
        """The part after the @."""
        return self.address.rpartition("@")[2]


def write(
    mail: Email,
    confirmed: Confirmed,
    sender: Sender,
    now: datetime,
    *,
    chosen: Installation | None = None,
    more: Iterable[tuple[str, str]] = (),
) -> tuple[letters.Letter, bytes]:
    """The letter and its bytes, from what the mail says; days are counted from the company's local day at `now`.

    `chosen` are the installation's choices, where they are at hand; `more` are further headers.
    """
    chosen = chosen or installation.get()
    said = confirmed.said
    company, time_zone = confirmed.company or _company(mail.company_id) or ("", chosen.time_zone)
    reference = reference_of(mail)
    reply_to = sender.reply_to or sender.address
    envelope = {
        "vendor": chosen.vendor,
        "reply_to": reply_to,
        "recipient_name": mail.recipient_name,
        "roles": said.get("roles", []),
        "reference": reference,
    }
    about = {name: value for name, value in said.items() if name not in _ENVELOPE}
    context = letter_json.from_json(mail.kind, {**about, "envelope": envelope})
    letter = letters.render(mail.kind, context, today=calendar.local_day(now, calendar.zone(time_zone)), now=now)
    topic = _topic(mail, confirmed, company)
    raw = messages.build(
        letter,
        kind=mail.kind,
        sender=Mailbox(chosen.vendor, sender.address),
        recipient=Mailbox(mail.recipient_name, mail.recipient),
        reply_to=reply_to,
        message_id=f"<{mail.message_id}@{sender.domain}>",
        date=now,
        reference=reference,
        references=(messages.thread_id(topic, sender.domain),) if topic else (),
        unsubscribe=reply_to if said.get("roles") == ["email-to-notify"] else None,
        more=more,
    )
    return letter, raw


def reference_of(mail: Email) -> str:
    """What a person can read out on the telephone: `KD-3F2A9C01`."""
    return "KD-" + mail.message_id.removeprefix("kd.")[:8].upper()


def idempotency_key(mail: Email, things: Sequence[str]) -> str:
    """What a relay knows a mail by: equal for what tells the same, another once it was refused and is written anew."""
    named = "kd." + hashlib.sha256("\n".join(things).encode()).hexdigest()[:32]
    return f"{named}-{mail.attempts}" if mail.attempts else named


def _topic(mail: Email, confirmed: Confirmed, company: str) -> str:
    """What the mail is about, so that a mailbox shows all of it together; empty where nothing else will be.

    One key from its making to its end; one night's failure; one month and its corrections; the settings of API Access;
    warnings about several keys of a company.
    """
    if mail.kind in DIGESTS:
        handles = {handle for handle, _, _ in confirmed.told}
        return f"key:{handles.pop()}" if len(handles) == 1 else f"keys:{company}"
    if mail.kind in ABOUT_A_KEY:
        return f"key:{mail.dedupe_key.split(':')[1]}"  # kind:handle:… as store.mail_contexts makes it
    return {
        "integration_changed": f"api-access:{company}",
        "sandbox_failed": f"sandbox:{company}:{confirmed.said.get('night')}",
        "invoice_lines": f"invoice:{company}:{confirmed.said.get('month')}",
    }.get(mail.kind, "")


def _company(company_id: int | None) -> tuple[str, str] | None:
    """Its external id and time zone."""
    row = run_sql("SELECT external_id, time_zone FROM company WHERE id = ?", (company_id,)).fetchone()
    return (row[0], row[1]) if row else None
