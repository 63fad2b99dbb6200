"""Who may use the desk over SSH, and with which public keys.

Nobody is deleted: events speak of admins by name, so a name is given once and a login ends by being disabled.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from store import events
from store.actors import READ, Actor
from store.change import Change, change
from store.database import backend, run_sql, session, writing
from store.errors import FormatWrong, NotAllowed, NotFound, Refused
from store.events import Fact
from store.rules import public_key
from store.rules.public_key import PublicKey
from store.tables import Admin, AdminKey, Company

ROLES: Final = ("operator", "company-admin", "auditor")
_ACT: Final = "admin.edit"
_NAME: Final = re.compile(r"[a-z][a-z0-9._-]{0,31}", re.ASCII)


@dataclass(frozen=True)
class ListedKey:
    """A public key that logs in now."""

    fingerprint: str
    type: str
    comment: str
    added_at: datetime


@dataclass(frozen=True)
class Listed:
    """An admin as a list shows it. `company` is the external id of the only company it sees."""

    name: str
    role: str
    company: str | None
    created_at: datetime
    disabled_at: datetime | None
    keys: tuple[ListedKey, ...]


def add(
    actor: Actor, name: str, role: str, company_external_id: str | None, key_text: str | None, now: datetime
) -> Admin:
    """Let somebody in. Without a key the admin exists and cannot log in yet.

    Raises FormatWrong (name, key), NotFound (company), Refused (name taken, role without its company, key of another).
    """
    if not _NAME.fullmatch(name):
        raise FormatWrong(
            "An admin's name begins with a letter and has at most 32 of a-z, 0-9, dot, dash and underscore; "
            "choose one like anna.berg."
        )
    if role not in ROLES:
        raise FormatWrong(f"There is no such role; choose one of {', '.join(ROLES)}.")
    key = None if key_text is None else public_key.parse(key_text)
    with _changing(actor, now) as made:
        company = _company(role, company_external_id)
        if Admin.select().where(Admin.name == name).exists():
            raise Refused(f"There is or was an admin {name}; names are not given twice, choose another.")
        company_id = company.id if company else None
        admin: Admin = Admin.create(name=name, role=role, company_id=company_id, created_at=now, disabled_at=None)
        after = {"role": role, "company": company.external_id if company else None}
        made.event("admin.add", _subject(admin), company_id, after=after)
        if key is not None:
            _give(made, admin, key)
    return admin


def add_key(actor: Actor, name: str, key_text: str, now: datetime) -> AdminKey:
    """Let an admin in with this key too. Raises FormatWrong, NotFound, Refused."""
    key = public_key.parse(key_text)
    with _changing(actor, now) as made:
        admin = _named(name)
        if admin.disabled_at is not None:
            raise Refused(f"{name} is disabled and gets no more keys; add an admin with another name.")
        return _give(made, admin, key)


def remove_key(actor: Actor, fingerprint: str, now: datetime) -> AdminKey:
    """Take a key away: the next login with it is refused. Raises NotFound."""
    with _changing(actor, now) as made:
        key: AdminKey | None = (
            AdminKey.select(AdminKey, Admin)
            .join(Admin)
            .where(AdminKey.fingerprint == fingerprint, AdminKey.removed_at.is_null())
            .first()
        )
        if key is None:
            raise NotFound("No admin has a key with that fingerprint; `keydesk admin list` shows them all.")
        AdminKey.update(removed_at=now).where(AdminKey.id == key.id).execute()
        made.event("admin.remove-key", _subject(key.admin), key.admin.company_id, before=_told(key))
        return key


def disable(actor: Actor, name: str, now: datetime) -> Admin:
    """End an admin's access: no login from now on, no change by a session that is open. Raises NotFound, Refused."""
    with _changing(actor, now) as made:
        admin = _named(name)
        if admin.disabled_at is not None:
            raise Refused(f"{name} has been disabled since {admin.disabled_at:%Y-%m-%d}; nothing was changed.")
        Admin.update(disabled_at=now).where(Admin.id == admin.id).execute()
        made.event("admin.disable", _subject(admin), admin.company_id, before={"role": admin.role})
        admin.disabled_at = now
        return admin


def listed() -> tuple[Listed, ...]:
    """All admins by name, the disabled ones too, each with the keys that have not been taken away."""
    with session():
        keys: dict[int, list[ListedKey]] = {}
        for key in AdminKey.select().where(AdminKey.removed_at.is_null()).order_by(AdminKey.id):
            shown = ListedKey(key.fingerprint, key.type, key.comment, key.added_at)
            keys.setdefault(key.admin_id, []).append(shown)
        admins = list(Admin.select().order_by(Admin.name))
        reached = {admin.company_id for admin in admins if admin.company_id is not None}
        companies = {one.id: one.external_id for one in Company.select().where(Company.id.in_(reached))}
    return tuple(
        Listed(
            name=admin.name,
            role=admin.role,
            company=None if admin.company_id is None else companies.get(admin.company_id),
            created_at=admin.created_at,
            disabled_at=admin.disabled_at,
            keys=tuple(keys.get(admin.id, ())),
        )
        for admin in admins
    )


def login_key(key_type: str, blob: str) -> PublicKey | None:
    """The stored key that equals this one, if its admin may log in now. Reads only: sshd asks this of strangers too."""
    found = _row(key_type, blob)
    if found is None:
        return None
    try:  # what is printed for sshd is checked again: a row may have been written past this module
        return public_key.parse(f"{found.type} {found.blob}")
    except FormatWrong:
        return None


def by_key(key_type: str, blob: str) -> Admin | None:
    """The enabled admin that this public key logs in, None for anybody else's. Reads only."""
    found = _row(key_type, blob)
    if found is None:
        return None
    admin: Admin = found.admin
    return admin


def actor_for(key_type: str, blob: str, origin: str) -> Actor:
    """Who acts in a session that this key has opened. NotAllowed when it does not log in, or no longer does."""
    admin = by_key(key_type, blob)
    if admin is None:
        raise NotAllowed("This SSH key does not log in here, or no longer does; ask an operator.")
    return Actor(admin.name, admin.role, origin, admin.company_id, admin.id)


def begin_session(actor: Actor, fingerprint: str, now: datetime) -> None:
    """Say in the events that an admin has come in, and with which key."""
    with change(actor, READ, actor.company_id, now) as made:
        made.event("session.begin", "session", actor.company_id, after={"key": fingerprint})


def end_session(actor: Actor, status: int, now: datetime) -> None:
    """Say that the admin has gone. The right is not asked: the session of somebody disabled meanwhile ends as well."""
    with session(), writing():
        events.append(actor, now, [Fact("session.end", "session", actor.company_id, after={"status": status})])


@contextmanager
def _changing(actor: Actor, now: datetime) -> Iterator[Change]:
    """A change of who may log in. Of two at once the other waits: a name and a key are given once."""
    with change(actor, _ACT, None, now) as made:
        if backend() == "postgresql":
            run_sql("LOCK TABLE admin IN SHARE ROW EXCLUSIVE MODE")
        yield made


def _company(role: str, external_id: str | None) -> Company | None:
    if external_id is None:
        if role == "company-admin":
            raise Refused("A company admin sees one company; name it (`--company`, its external id).")
        return None
    if role == "operator":
        raise Refused("An operator sees every company; leave the company out, or choose another role.")
    found: Company | None = Company.get_or_none(Company.external_id == external_id)
    if found is None:
        raise NotFound("There is no company with that external id; look it up at the desk.")
    return found


def _named(name: str) -> Admin:
    found: Admin | None = Admin.get_or_none(Admin.name == name)
    if found is None:
        raise NotFound("There is no admin with that name; `keydesk admin list` shows them all.")
    return found


def _row(key_type: str, blob: str) -> AdminKey | None:
    try:
        asked = public_key.parse(f"{key_type} {blob}")
    except FormatWrong:
        return None
    with session():
        found: AdminKey | None = (
            AdminKey.select(AdminKey, Admin)
            .join(Admin)
            .where(
                AdminKey.fingerprint == asked.fingerprint,
                AdminKey.type == asked.type,
                AdminKey.blob == asked.blob,
                AdminKey.removed_at.is_null(),
                Admin.disabled_at.is_null(),
            )
            .first()
        )
    return found


def _give(made: Change, admin: Admin, key: PublicKey) -> AdminKey:
    """The key becomes this admin's. One that was taken away may be given again, to anybody."""
    row: AdminKey | None = (
        AdminKey.select(AdminKey, Admin).join(Admin).where(AdminKey.fingerprint == key.fingerprint).first()
    )
    if row is not None and row.removed_at is None:
        raise Refused(
            f"This key is {row.admin.name}'s already; nothing was changed. "
            f"To give it to somebody else, take it away first: `keydesk admin remove-key {key.fingerprint}`."
        )
    row = row or AdminKey(fingerprint=key.fingerprint)
    row.admin, row.type, row.blob, row.comment = admin, key.type, key.blob, key.comment
    row.added_at, row.removed_at = made.now, None
    row.save()
    made.event("admin.add-key", _subject(admin), admin.company_id, after=_told(row))
    return row


def _subject(admin: Admin) -> str:
    return f"admin {admin.name}"


def _told(key: AdminKey) -> dict[str, str]:
    return {"fingerprint": key.fingerprint, "type": key.type, "comment": key.comment}
