"""The list of a company's users."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.database import run_sql
from store.fields import instant, seconds
from store.filters import Grammar, one_of, parse
from store.listings.selection import Conditions, Ids, marks, read_ids
from store.tables import User

STATES = ("active", "inactive", "licensed", "unlicensed")
GRAMMAR: Grammar = {"state": STATES}
_TEXTS = {
    "active": "u.deactivated_at IS NULL",
    "inactive": "u.deactivated_at IS NOT NULL",
    "licensed": "u.licensed_at IS NOT NULL",
    "unlicensed": "u.licensed_at IS NULL",
}


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user as the list shows it."""

    id: int
    company_id: int
    external_id: str
    name: str
    email: str
    rights: tuple[str, ...]
    active: bool
    licensed: bool
    keys_working: int
    notified: bool  # a user to notify
    created_at: datetime


def ids(company_id: int, needle: str = "", limit: int | None = None) -> Ids:
    """The company's users by name."""
    conditions = Conditions()
    conditions.add("u.company_id = ?", company_id)
    for term in parse(needle, GRAMMAR):
        if term.field == "state":
            states = one_of(term, STATES)
            conditions.add_term(term, " OR ".join(f"({_TEXTS[state]})" for state in states))
        else:
            conditions.add_words(term, ("u.folded", "lower(u.email)", "lower(u.external_id)"))
    return read_ids("SELECT u.id FROM company_user u", conditions, "u.folded, u.id", limit)


_ROWS = """
    SELECT u.id, u.company_id, u.external_id, u.name, u.email, u.rights, u.deactivated_at, u.licensed_at, u.created_at,
           (SELECT COUNT(*) FROM api_key k WHERE k.resource_id = u.id AND k.revoked_at IS NULL AND k.ends_at > ?),
           EXISTS (SELECT 1 FROM integration_user n JOIN integration i ON i.id = n.integration_id
                   WHERE n.user_id = u.id AND i.code = 'api_access')
    FROM company_user u WHERE u.id IN ({marks})
"""


def rows(wanted: Sequence[int], now: datetime) -> dict[int, UserRow]:
    """The rows of these users by id."""
    found = run_sql(_ROWS.format(marks=marks(wanted)), [seconds(now), *wanted]).fetchall()
    return {int(row[0]): _row(row) for row in found}


def _row(row: Sequence[Any]) -> UserRow:
    return UserRow(
        id=row[0],
        company_id=row[1],
        external_id=row[2],
        name=row[3],
        email=row[4],
        rights=tuple(str(right) for right in User.rights.python_value(row[5]) or ()),
        active=row[6] is None,
        licensed=row[7] is not None,
        keys_working=row[9],
        notified=bool(row[10]),
        created_at=instant(row[8]),
    )
