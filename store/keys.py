"""API keys: made, given another date, rotated, revoked."""

import secrets
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from store import companies, installation, mail_contexts, notices, users
from store.actors import Actor
from store.change import Change, change
from store.database import backend
from store.errors import NotFound, Refused
from store.fields import seconds
from store.integrations import is_enabled
from store.peppers import Peppers
from store.rules import expiry, key_format
from store.rules.key_format import Environment
from store.rules.text import check_name
from store.tables import Company, Key, KeySpan, LastUse, User

Kind = Literal["standard", "test"]
EXPIRING_DAYS = 14  # from then on the desk shows a key as expiring


@dataclass(frozen=True)
class Created:
    """A new key. `secret` is its text, which nothing can give back once this value is gone."""

    key: Key
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Impact:
    """What revoking a key hits: when, from where and how often it was accepted; None and 0 when never."""

    last_used_at: datetime | None
    address: str
    uses: int


def get(key_id: int) -> Key:
    """The key, or NotFound."""
    found: Key | None = Key.get_or_none(Key.id == key_id)
    if found is None:
        raise NotFound("There is no such key any more; go back and look again.")
    return found


def create(
    actor: Actor,
    peppers: Peppers,
    *,
    company_id: int,
    resource_id: int,
    environment: Environment,
    kind: Kind,
    label: str,
    expires_on: date | None,
    now: datetime,
) -> Created:
    """Make a key and tell the recipients. A test key's expiry is fixed; a standard key needs `expires_on` (local date).

    Refused when API Access is off, company or resource is not active or not licensed, or the date is out of range.
    """
    label = check_name(label, "label")
    with change(actor, "key.create", company_id, now) as made:
        company = companies.held(company_id)
        resource = _usable_resource(company, resource_id)
        today = companies.today(company, now)
        if kind == "test":
            expires_on = expiry.test_expiry(today)
        elif expires_on is None:
            raise Refused(f"Choose an expiry date from {today} to {expiry.latest(today)}.")
        expiry.check(expires_on, today)
        created = _make(made, peppers, company, resource, environment, kind, label, expires_on)
        key = created.key
        made.event("key.create", _subject(key), company_id, after=_told(key, resource))
        for owed in mail_contexts.about_key("key_created", company, key, resource, actor.name, now):
            made.mail(owed)
        return created


def edit_expiry(actor: Actor, key_id: int, expires_on: date, now: datetime) -> Key:
    """Give a key another last day, counted from today, never from the old date. An expired standard key works again.

    Refused when it was revoked or rotated, when the date is out of range, or when a test key would be lengthened.
    """
    company_id = get(key_id).company_id
    with change(actor, "key.edit-expiry", company_id, now) as made:
        company, key = companies.held(company_id), _locked(key_id)  # always in this order: no deadlock
        if key.revoked_at is not None:
            raise Refused("This key was revoked, and that is for good; make a new key.")
        if key.rotated_at is not None:
            raise Refused("This key was rotated; edit the date of its successor.")
        today, before = companies.today(company, now), key.expires_on
        if expires_on == before:
            return key
        expiry.check_edit(key.kind, before, expires_on, today)  # type: ignore[arg-type]
        _set_expiry(key, company, expires_on, today, now)
        resource = users.get(key.resource_id)
        made.event(
            "key.edit-expiry",
            _subject(key),
            company_id,
            before={"expires_on": before.isoformat()},
            after={"expires_on": expires_on.isoformat()},
        )
        notices.withdraw(key.id, "the key has a new expiry date", now)
        for owed in mail_contexts.about_key(
            "key_expiry_changed",
            company,
            key,
            resource,
            actor.name,
            now,
            before=before.isoformat(),
        ):
            made.mail(owed)
        return key


def rotate(actor: Actor, peppers: Peppers, key_id: int, now: datetime, expires_on: date | None = None) -> Created:
    """Make a successor with the same resource, environment and label; the old key goes on for the overlap.

    The overlap never outlasts the old key's own expiry. `expires_on` defaults to the latest date allowed. Refused for
    test keys, for keys that are revoked, expired or rotated already, and where a new key would be refused.
    """
    company_id = get(key_id).company_id
    with change(actor, "key.rotate", company_id, now) as made:
        company, key = companies.held(company_id), _locked(key_id)  # always in this order: no deadlock
        _rotatable(key, now)
        resource = _usable_resource(company, key.resource_id)
        today = companies.today(company, now)
        expires_on = expires_on or expiry.latest(today)
        expiry.check(expires_on, today)
        key.ends_at = expiry.overlap_end(key.ends_at, now, installation.get().overlap_days)
        key.rotated_at = now
        key.save()
        KeySpan.update(ended_at=key.ends_at).where(KeySpan.key == key.id, KeySpan.ended_at > now).execute()
        environment: Environment = key.environment  # type: ignore[assignment]
        created = _make(made, peppers, company, resource, environment, "standard", key.label, expires_on, key)
        made.event(
            "key.rotate",
            _subject(key),
            company_id,
            before=_told(key, resource),
            after={**_told(created.key, resource), "old_works_until": mail_contexts.instant_text(key.ends_at)},
        )
        made.event(
            "key.create",
            _subject(created.key),
            company_id,
            after={**_told(created.key, resource), "rotated_from": key.handle},
        )
        notices.withdraw(key.id, "the key was rotated", now)
        for owed in mail_contexts.about_key(
            "key_rotated",
            company,
            created.key,
            resource,
            actor.name,
            now,
            old_first=key.first,
            old_last=key.last,
            old_works_until=mail_contexts.instant_text(key.ends_at),
        ):
            made.mail(owed)
        return created


def revoke(actor: Actor, key_id: int, reason: str, now: datetime) -> Key:
    """End a key at once and for good. Refused when it was revoked before."""
    reason = check_name(reason, "reason", limit=200)
    company_id = get(key_id).company_id
    with change(actor, "key.revoke", company_id, now) as made:
        # By condition, so that of two who revoke at once one is told that it was done already.
        changed = (
            Key.update(revoked_at=now, revoked_by=actor.name, revoked_reason=reason)
            .where(Key.id == key_id, Key.revoked_at.is_null())
            .execute()
        )
        key, company = get(key_id), companies.get(company_id)
        if changed != 1:
            raise Refused(f"This key was revoked already, by {key.revoked_by}; nothing was changed.")
        KeySpan.update(ended_at=now).where(KeySpan.key == key_id, KeySpan.ended_at > now).execute()
        resource = users.get(key.resource_id)
        made.event("key.revoke", _subject(key), company_id, before=_told(key, resource), after={"reason": reason})
        notices.withdraw(key_id, "the key was revoked", now)
        for owed in mail_contexts.about_key("key_revoked", company, key, resource, actor.name, now, reason=reason):
            made.mail(owed)
        return key


def impact(key_id: int) -> Impact:
    """What revoking the key would hit."""
    used = LastUse.get_or_none(LastUse.key == key_id)
    return Impact(None, "", 0) if used is None else Impact(used.at, used.address, used.uses)


def _locked(key_id: int) -> Key:
    """The key as it stands in this transaction, held until its end."""
    query = Key.select().where(Key.id == key_id)
    found: Key | None = (query.for_update() if backend() == "postgresql" else query).first()
    if found is None:
        raise NotFound("There is no such key any more; go back and look again.")
    return found


def _usable_resource(company: Company, resource_id: int) -> User:
    if company.deactivated_at is not None:
        raise Refused(f"{company.name} is not active; no key can be made for it.")
    if not is_enabled(company.id):
        raise Refused("API Access is disabled for this company; enable it under Integrations first.")
    resource = users.held(resource_id)
    if resource.company_id != company.id:
        raise NotFound("There is no such user any more; go back and look again.")
    if resource.deactivated_at is not None:
        raise Refused(f"{resource.name} is not active; choose another resource.")
    if resource.licensed_at is None:
        raise Refused(f"{resource.name} is not licensed, so the key would not be accepted; choose another resource.")
    return resource


def _rotatable(key: Key, now: datetime) -> None:
    if key.kind == "test":
        raise Refused("A test key is not rotated; make a new one.")
    if key.revoked_at is not None:
        raise Refused("This key was revoked; make a new key.")
    if key.rotated_at is not None:
        raise Refused("This key was rotated already; rotate its successor.")
    if key.ends_at <= now:
        raise Refused("This key has expired, so there is nothing to overlap with; edit its date or make a new key.")


def _make(
    made: Change,
    peppers: Peppers,
    company: Company,
    resource: User,
    environment: Environment,
    kind: Kind,
    label: str,
    expires_on: date,
    predecessor: Key | None = None,
) -> Created:
    today = companies.today(company, made.now)
    secret = key_format.generate(installation.get().prefix, environment)
    first, last = key_format.shown(secret)
    ends_at = expiry.ends_at(expires_on, companies.zone(company))
    key = Key.create(
        company=company,
        resource=resource,
        handle="key_" + secrets.token_hex(8),
        label=label,
        folded=label.casefold(),
        environment=environment,
        kind=kind,
        digest=key_format.digest(secret, peppers.secrets[peppers.current]),
        pepper_version=peppers.current,
        first=first,
        last=last,
        created_at=made.now,
        created_by=made.actor.name,
        expires_on=expires_on,
        expiry_set_on=today,
        lifetime_days=(expires_on - today).days,
        ends_at=ends_at,
        rotated_from=predecessor,
    )
    KeySpan.create(key=key, started_at=made.now, ended_at=ends_at)
    return Created(key, secret)


def _set_expiry(key: Key, company: Company, expires_on: date, today: date, now: datetime) -> None:
    """A key that works goes on to the new end; one that had expired begins a second span now."""
    was_alive = key.ends_at > now
    key.expires_on = expires_on
    key.expiry_set_on = today
    key.lifetime_days = (expires_on - today).days
    key.ends_at = expiry.ends_at(expires_on, companies.zone(company))
    key.save()
    if was_alive:
        KeySpan.update(ended_at=key.ends_at).where(KeySpan.key == key.id, KeySpan.ended_at > seconds(now)).execute()
    else:
        KeySpan.create(key=key, started_at=now, ended_at=key.ends_at)


def _subject(key: Key) -> str:
    return f"key {key.first}…{key.last} ({key.label})"


def _told(key: Key, resource: User) -> dict[str, str]:
    return {
        "handle": key.handle,
        "label": key.label,
        "resource": resource.name,
        "environment": key.environment,
        "kind": key.kind,
        "expires_on": key.expires_on.isoformat(),
    }
