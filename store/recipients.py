"""Who is told: each address once, however many roles it has."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from store.database import run_sql
from store.tables import Integration, IntegrationEmail, IntegrationUser, User

API_ACCESS = "api_access"


@dataclass(frozen=True)
class Recipient:
    """One address and why mail goes there: `resource`, `user-to-notify`, `email-to-notify`; several roles, one mail."""

    address: str  # as sent to
    name: str
    roles: tuple[str, ...]


def recipients(company_id: int, resource_id: int | None = None) -> tuple[Recipient, ...]:
    """Who hears of a change or a notice: the resource, the users and the emails to notify; each address once.

    A user who is not active or has no address is not reachable and is left out.
    """
    found: dict[str, Recipient] = {}

    def add(address: str, name: str, role: str) -> None:
        known = found.get(address.lower())
        if known is None:
            found[address.lower()] = Recipient(address, name, (role,))
        elif role not in known.roles:
            found[address.lower()] = Recipient(known.address, known.name or name, (*known.roles, role))

    if resource_id is not None:
        resource = User.get_or_none(User.id == resource_id)
        if resource is not None and resource.deactivated_at is None and resource.email_ascii:
            add(resource.email_ascii, resource.name, "resource")
    row = api_access_row(company_id)
    if row is not None:
        users = (
            User.select()
            .join(IntegrationUser)
            .where(
                IntegrationUser.integration == row.id,
                User.deactivated_at.is_null(),
                User.email_ascii != "",
            )
        )
        for user in users.order_by(User.folded, User.id):
            add(user.email_ascii, user.name, "user-to-notify")
        for email in (
            IntegrationEmail.select().where(IntegrationEmail.integration == row.id).order_by(IntegrationEmail.id)
        ):
            add(email.ascii, "", "email-to-notify")
    return tuple(found.values())


def of_companies(company_ids: Sequence[int]) -> dict[int, tuple[Recipient, ...]]:
    """The users and the emails to notify of many companies, as `recipients` gives them for one."""
    ids = ", ".join("?" * len(company_ids))
    told: dict[int, dict[str, Recipient]] = {company_id: {} for company_id in company_ids}
    for company_id, address, name in run_sql(_USERS.format(ids=ids), (*company_ids, API_ACCESS)).fetchall():
        told[company_id].setdefault(address.lower(), Recipient(address, name, ("user-to-notify",)))
    for company_id, address in run_sql(_EMAILS.format(ids=ids), (*company_ids, API_ACCESS)).fetchall():
        known = told[company_id].get(address.lower())
        if known is None:
            told[company_id][address.lower()] = Recipient(address, "", ("email-to-notify",))
        elif "email-to-notify" not in known.roles:
            told[company_id][address.lower()] = replace(known, roles=(*known.roles, "email-to-notify"))
    return {company_id: tuple(found.values()) for company_id, found in told.items()}


_USERS = """
    SELECT i.company_id, u.email_ascii, u.name FROM integration AS i
    JOIN integration_user AS n ON n.integration_id = i.id JOIN company_user AS u ON u.id = n.user_id
    WHERE i.company_id IN ({ids}) AND i.code = ? AND u.deactivated_at IS NULL AND u.email_ascii <> ''
    ORDER BY i.company_id, u.folded, u.id
"""
_EMAILS = """
    SELECT i.company_id, e.ascii FROM integration AS i JOIN integration_email AS e ON e.integration_id = i.id
    WHERE i.company_id IN ({ids}) AND i.code = ? ORDER BY i.company_id, e.id
"""


def api_access_row(company_id: int) -> Integration | None:
    """The company's API Access, None when it never opened the form."""
    found: Integration | None = Integration.get_or_none(
        Integration.company == company_id,
        Integration.code == API_ACCESS,
    )
    return found
