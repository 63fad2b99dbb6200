"""The mails of notices in the outbox: from when they go, until when they are of use, what makes each the only one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from store import outbox
from store.due_notices import Owing
from store.fields import Canonical, canonical
from store.mail_kinds import KEYS_TOLD
from store.outbox import Owed
from store.rules import calendar

_SEND_FROM_HOUR = 7  # nobody is woken by a warning; local time of the company
_EXPIRED_IS_USEFUL_FOR = timedelta(days=7)


@dataclass(frozen=True)
class Written:
    """Mails as they go into the outbox."""

    mails: Sequence[Owing]
    reasons: Mapping[str, Owing]
    rows: Sequence[outbox.Row]
    number: int  # of the reasons: the first for which they are given that day, or a later one


def write(mails: Sequence[Owing], day: date, now: datetime, number: int = 1) -> Written:
    """Make those that somebody gets ready, before the transaction in which they are queued."""
    to_somebody = [mail for mail in mails if mail.recipient]
    reasons = {_reason(mail, day, number): mail for mail in to_somebody}
    rows = outbox.rows([_owed(mail, reason, day, now) for reason, mail in reasons.items()], now)
    return Written(to_somebody, reasons, rows, number)


def queue(written: Written, day: date, now: datetime) -> dict[int, int]:
    """Put the mails into the outbox; their rows' ids, by the identity of each mail.

    A reason that was used earlier that day (for a mail that was withdrawn, or for other keys) is numbered.
    """
    ids: dict[int, int] = {}
    while written.mails:
        made = outbox.put(written.rows)
        ids.update((id(written.reasons[reason]), email_id) for reason, email_id in made.items())
        left = [mail for mail in written.mails if id(mail) not in ids]
        written = write(left, day, now, written.number + 1)
    return ids


def _reason(mail: Owing, day: date, number: int) -> str:
    once = f"{mail.kind}:{mail.company_id}:{day}:{outbox.mailbox(mail.address)}"
    return once if number == 1 else f"{once}:{number}"


def _owed(mail: Owing, reason: str, day: date, now: datetime) -> Owed:
    morning = morning_of(day, mail.zone)
    last_day = max(key.expires_on for key in mail.keys)
    useless = (
        _day_after(last_day, mail.zone) if mail.kind == "key_expiring" else max(now, morning) + _EXPIRED_IS_USEFUL_FOR
    )
    return Owed(
        kind=mail.kind,
        recipient=mail.recipient,
        recipient_name=mail.recipient_name,
        dedupe_key=reason,
        context=_context(mail),
        company_id=mail.company_id,
        language=mail.language,
        useless_after=useless,
        not_before=morning,
    )


def _context(mail: Owing) -> Canonical:
    """What the mail says: company, keys (the first of them), more (how many there are beside), roles, zone.

    Put together from what is text by now: each key is said to all its recipients.
    """
    keys = ",".join([key.noticed for key in mail.keys[:KEYS_TOLD]])
    more = max(0, len(mail.keys) - KEYS_TOLD)
    company, roles, zone = canonical(mail.company), _said(mail.roles), _said(mail.zone)
    return Canonical(f'{{"company":{company},"keys":[{keys}],"more":{more},"roles":{roles},"zone":{zone}}}')


@lru_cache(maxsize=512)
def _said(value: str | tuple[str, ...]) -> str:
    return canonical(value)


@lru_cache(maxsize=128)
def morning_of(day: date, zone_name: str) -> datetime:
    """From when the mails of that day leave."""
    return calendar.at_local(day, _SEND_FROM_HOUR, 0, calendar.zone(zone_name))


@lru_cache(maxsize=128)
def _day_after(day: date, zone_name: str) -> datetime:
    return calendar.start_of_day(day + timedelta(days=1), calendar.zone(zone_name))
