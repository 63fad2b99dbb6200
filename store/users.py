"""The co-workers of a company: who can be a key's resource, and who can be told."""

from peewee import Expression

from store.database import backend, run_sql
from store.errors import NotFound
from store.tables import User


def get(user_id: int) -> User:
    """The user, or NotFound."""
    found: User | None = User.get_or_none(User.id == user_id)
    if found is None:
        raise NotFound("There is no such user any more; go back and look again.")
    return found


def held(user_id: int) -> User:
    """The user as he stands in this transaction, or NotFound; who wants to change him waits for its end."""
    if backend() == "postgresql":  # on SQLite one transaction at a time writes
        run_sql("SELECT id FROM company_user WHERE id = ? FOR SHARE", (user_id,))
    return get(user_id)


def resources(company_id: int, needle: str = "", limit: int = 50) -> list[User]:
    """Users that a key can be linked to (active and licensed), by name, whose name or address has `needle` in it."""
    licensed = User.licensed_at.is_null(False)
    return _matching(company_id, needle, limit, licensed)


def active(company_id: int, needle: str = "", limit: int | None = None) -> list[User]:
    """Users that can be told of something, by name."""
    return _matching(company_id, needle, limit)


def _matching(company_id: int, needle: str, limit: int | None, *also: Expression) -> list[User]:
    query = User.select().where(User.company == company_id, User.deactivated_at.is_null(), *also)
    folded = needle.casefold().strip()
    if folded:
        # contains() escapes % and _, so that they are found as themselves.
        query = query.where(User.folded.contains(folded) | User.email.contains(folded))
    return list(query.order_by(User.folded, User.id).limit(limit))
