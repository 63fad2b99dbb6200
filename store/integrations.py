"""What a company can switch on. API Access is one: with it keys are accepted, and its recipients hear of changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store import companies, notices, outbox
from store.actors import Actor
from store.change import Change, change
from store.errors import FormatWrong, Refused
from store.fields import canonical, seconds
from store.outbox import Owed
from store.recipients import API_ACCESS, Recipient, api_access_row, recipients
from store.rules.addresses import Address, check_address
from store.tables import Company, Integration, IntegrationEmail, IntegrationSpan, IntegrationUser, Key, User


@dataclass(frozen=True)
class IntegrationKind:
    """One entry of Setup > Settings > Integrations."""

    code: str
    title: str
    summary: str


CATALOGUE = (IntegrationKind(API_ACCESS, "API Access", "Programs of the company call the API with keys made here."),)


@dataclass(frozen=True)
class NotifiedUser:
    """A user to notify. `email` is empty when the user has none and so cannot be reached."""

    id: int
    name: str
    email: str
    active: bool


@dataclass(frozen=True)
class ApiAccess:
    """API Access as a company has it."""

    enabled_at: datetime | None
    users: tuple[NotifiedUser, ...]
    emails: tuple[str, ...]  # as shown


def listed(company_id: int) -> list[tuple[IntegrationKind, datetime | None]]:
    """Every integration and since when it is on."""
    on = {row.code: row.enabled_at for row in Integration.select().where(Integration.company == company_id)}
    return [(kind, on.get(kind.code)) for kind in CATALOGUE]


def api_access(company_id: int) -> ApiAccess:
    """The form's values. A company that never opened the form has it off and empty."""
    row = api_access_row(company_id)
    if row is None:
        return ApiAccess(None, (), ())
    users = (
        User.select().join(IntegrationUser).where(IntegrationUser.integration == row.id).order_by(User.folded, User.id)
    )
    emails = IntegrationEmail.select().where(IntegrationEmail.integration == row.id).order_by(IntegrationEmail.id)
    return ApiAccess(
        row.enabled_at,
        tuple(NotifiedUser(user.id, user.name, user.email, user.deactivated_at is None) for user in users),
        tuple(email.address for email in emails),
    )


def is_enabled(company_id: int) -> bool:
    """Whether keys of the company may be accepted, as far as API Access goes."""
    row = api_access_row(company_id)
    return row is not None and row.enabled_at is not None


def keys_stopped(company_id: int, now: datetime) -> int:
    """How many keys that work by themselves stop when API Access is disabled, or come back when it is enabled."""
    at = seconds(now)
    return int(Key.select().where(Key.company == company_id, Key.revoked_at.is_null(), Key.ends_at > at).count())


def save_api_access(
    actor: Actor, company_id: int, *, enabled: bool, user_ids: Iterable[int], emails: Sequence[str], now: datetime
) -> ApiAccess:
    """Save the form. Everybody who was or is to be notified is told what changed.

    Refused when it is to be enabled without a user to notify, or with a user who is not an active one of the company;
    FormatWrong for an address that is none. Saving what is there already changes nothing and tells nobody.
    """
    addresses = _checked(emails)
    with change(actor, "integration.edit", company_id, now) as made:
        company = companies.held(company_id)
        before, told_before = api_access(company_id), recipients(company_id)
        chosen = _chosen_users(company_id, set(user_ids))
        if enabled and not chosen:
            raise Refused("API Access needs at least one user to notify before it can be enabled; choose one.")
        row = api_access_row(company_id) or Integration.create(company=company_id, code=API_ACCESS, enabled_at=None)
        _switch(row, enabled=enabled, now=now)
        _replace_recipients(row, chosen, addresses)
        after = api_access(company_id)
        changes = _differences(before, after)
        if changes:
            made.event(
                "integration.edit", "integration API Access", company_id, before=_told(before), after=_told(after)
            )
            if before.enabled_at is not None and not enabled:
                notices.withdraw_company(company_id, "API Access was disabled", now)
            _tell(made, company, told_before, before, after, changes)
        return after


def _checked(emails: Sequence[str]) -> list[Address]:
    """Each address once, in the order given; every wrong one is named."""
    good: dict[str, Address] = {}
    faults = []
    for text in emails:
        try:
            address = check_address(text)
        except FormatWrong as fault:
            faults.append(str(fault))
        else:
            good.setdefault(address.key, address)
    if faults:
        raise FormatWrong(" ".join(faults))
    return list(good.values())


def _chosen_users(company_id: int, user_ids: set[int]) -> list[User]:
    """The chosen users, by name. Refused when one of them is not active, also if he was when he was first chosen."""
    chosen = list(User.select().where(User.company == company_id, User.id.in_(user_ids)).order_by(User.folded, User.id))
    active = [user for user in chosen if user.deactivated_at is None]
    if len(active) != len(user_ids):
        names = ", ".join(user.name for user in chosen if user.deactivated_at is not None) or "somebody else"
        raise Refused(f"Only active users of the company can be notified; take out {names}.")
    return active


def _switch(row: Integration, *, enabled: bool, now: datetime) -> None:
    if enabled == (row.enabled_at is not None):
        return
    row.enabled_at = now if enabled else None
    row.save()
    if enabled:
        IntegrationSpan.create(integration=row, started_at=now)
    else:
        IntegrationSpan.update(ended_at=now).where(
            IntegrationSpan.integration == row.id,
            IntegrationSpan.ended_at.is_null(),
        ).execute()


def _replace_recipients(row: Integration, users: list[User], addresses: list[Address]) -> None:
    IntegrationUser.delete().where(IntegrationUser.integration == row.id).execute()
    IntegrationEmail.delete().where(IntegrationEmail.integration == row.id).execute()
    for user in users:
        IntegrationUser.create(integration=row, user=user)
    for address in addresses:
        IntegrationEmail.create(integration=row, address=address.shown, ascii=address.ascii)


def _differences(before: ApiAccess, after: ApiAccess) -> list[dict[str, str]]:
    """What changed, in words: a list of field, before, after."""
    rows = [
        ("Enabled", *("Yes" if side.enabled_at else "No" for side in (before, after))),
        ("Users to notify", *(", ".join(user.name for user in side.users) for side in (before, after))),
        ("Emails to notify", *(", ".join(side.emails) for side in (before, after))),
    ]
    return [{"field": field, "before": was, "after": became} for field, was, became in rows if was != became]


def _told(side: ApiAccess) -> dict[str, Any]:
    return {
        "enabled": side.enabled_at is not None,
        "users_to_notify": [user.name for user in side.users],
        "emails_to_notify": list(side.emails),
    }


def _tell(
    made: Change,
    company: Company,
    told_before: Sequence[Recipient],
    before: ApiAccess,
    after: ApiAccess,
    changes: list[dict[str, str]],
) -> None:
    """A mail to all old and new recipients."""
    switched = None if bool(before.enabled_at) == bool(after.enabled_at) else ("on" if after.enabled_at else "off")
    context = {
        "company": company.name,
        "zone": company.time_zone,
        "integration": "API Access",
        "changes": changes,
        "switched": switched,
        "keys": keys_stopped(company.id, made.now) if switched else 0,
        "by": made.actor.name,
        "at": made.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    everybody = {recipient.address.lower(): recipient for recipient in (*told_before, *recipients(company.id))}
    for recipient in everybody.values():
        made.mail(
            Owed(
                kind="integration_changed",
                recipient=recipient.address,
                recipient_name=recipient.name,
                dedupe_key=f"integration_changed:{company.id}:{context['at']}:{_change_digest(changes)}:"
                + outbox.mailbox(recipient.address),
                context={**context, "roles": list(recipient.roles)},
                company_id=company.id,
                language=company.language,
            ),
        )


def _change_digest(changes: list[dict[str, str]]) -> str:
    """Two changes within one second are two mails."""
    return outbox.reference(canonical(changes))[-12:]
